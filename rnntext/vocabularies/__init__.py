"""Vocabularies: each maps tokens to ids, and owns lower-casing and Unicode normalisation."""
