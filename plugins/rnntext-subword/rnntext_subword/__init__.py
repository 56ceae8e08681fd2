"""Pieces of words for rnntext: tokenizer ``subword``, which learns where to cut, and vocabulary ``subword``."""
