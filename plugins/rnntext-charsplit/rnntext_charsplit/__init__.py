"""A tokenizer for texts in several scripts."""
