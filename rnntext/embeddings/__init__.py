"""Embeddings: token ids to vectors, one a token."""
