"""Tokenizers: each cuts a text into slices of it, and can say where each slice stands."""
