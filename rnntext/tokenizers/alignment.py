"""Where tokens stand in a text, when the library that cut them altered some of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]

PIECE_SIZE = 2_000
"""Characters handed to a library at once: some of their patterns take time by the square of the length."""

_SEARCH_AHEAD = 200  # characters; bounded, so that a text full of altered tokens takes no square of its length
_BLANKS = re.compile(r"\s*")
_RUNS = re.compile(r"\S+")
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_])\s+(?=[^\W\d_])")
_BLANK = re.compile(r"\s+")


def align(text: str, tokens: Iterable[str], originals: Callable[[str], Iterable[str]]) -> list[Span]:
    """Return where each token stands in the text, so that every character but white space is in one span.

    A token is sought at the first character that is not yet covered: as it is, then in its original forms,
    then a little further on. One that is nowhere is left out. What no token covers becomes spans of its own,
    split at white space, so nothing is lost whatever the tokens are. Takes time in proportion to the text.

    Args:
        text: the untouched text.
        tokens: what a library made of it, in order.
        originals: what a token may have been in the text, most likely first.
    """
    spans: list[Span] = []
    cursor = 0
    for token in filter(None, tokens):
        start = _end_of_blanks(text, cursor)
        length = next((len(form) for form in (token, *originals(token)) if text.startswith(form, start)), 0)
        if not length:
            found = text.find(token, start, start + len(token) + _SEARCH_AHEAD)
            if found < 0:
                continue
            spans += _runs(text, start, found)
            start, length = found, len(token)
        cursor = start + length
        spans.append((start, cursor))
    spans += _runs(text, cursor, len(text))
    return spans


def pieces(text: str, size: int = PIECE_SIZE) -> Iterator[Span]:
    """Yield consecutive spans of at most ``size`` characters that make up the text.

    A cut falls between two words where there is a place (not after a full stop or within a number, which
    could change the tokens beside it), else at white space, else anywhere.
    """
    start = 0
    while len(text) - start > size:
        window = (start + size // 2, start + size)
        cut = _BETWEEN_WORDS.search(text, *window) or _BLANK.search(text, *window)
        end = cut.end() if cut else start + size
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _runs(text: str, start: int, end: int) -> Iterator[Span]:
    return (run.span() for run in _RUNS.finditer(text, start, end))


def _end_of_blanks(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start
