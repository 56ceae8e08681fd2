"""Tokens between blanks: nothing but white space separates them."""

from __future__ import annotations

import re

_RUNS = re.compile(r"\S+")


class WhitespaceTokenizer:
    """Whatever stands between white space, marks and all; for text that is cut into tokens already."""

    contract = 1

    def tokens(self, text: str) -> list[str]:
        """Return the runs of characters that are not white space."""
        return text.split()  # str.split and \S agree on what white space is, and split is faster

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same runs."""
        return [run.span() for run in _RUNS.finditer(text)]
