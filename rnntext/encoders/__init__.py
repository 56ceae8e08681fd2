"""Encoders: each token read in the light of its neighbours.

``stack`` does once for all cells what they share (depth, directions, reversal, dropout between layers);
a cell's file gives one layer in one direction.
"""
