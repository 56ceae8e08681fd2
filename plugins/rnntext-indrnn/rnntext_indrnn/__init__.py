"""Encoder ``indrnn`` for rnntext: the independently recurrent network."""
