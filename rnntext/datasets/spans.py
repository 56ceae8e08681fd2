"""Spans of a text, as a row of JSON writes them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from rnntext.errors import DataError

CharacterSpan = tuple[int, int, str]
"""(start, end, label), in characters."""
EXPECTED = 'write a list of objects such as {"start": 0, "end": 5, "label": "PER"}, [] for none'


def spans_of(value: Any, text: str) -> tuple[CharacterSpan, ...]:
    """Return the spans that a list of objects names, in order.

    Raises:
        DataError: one cannot be read, lies outside the text, or shares characters with another; without a line.
    """
    if not isinstance(value, list):
        raise DataError(f"the spans are {_shown(value)}; {EXPECTED}")
    spans = sorted(_span(item, text) for item in value)
    for one, other in pairwise(spans):
        if other[0] < one[1]:
            raise DataError(f"{_named(one, text)} and {_named(other, text)} share characters; keep one of them")
    return tuple(spans)


def _span(item: Any, text: str) -> CharacterSpan:
    if not isinstance(item, dict):
        raise DataError(f"{_shown(item)} among the spans; {EXPECTED}")
    if missing := [key for key in ("start", "end", "label") if key not in item]:
        raise DataError(f"the span {_shown(item)} has no {missing[0]!r}; {EXPECTED}")
    start, end, label = item["start"], item["end"], item["label"]
    for key in ("start", "end"):
        if isinstance(item[key], bool) or not isinstance(item[key], int):
            raise DataError(f"{key!r} is {_shown(item[key])} in the span {_shown(item)}; write an integer")
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"the label is {_shown(label)} in the span {_shown(item)}; write a string that is not blank")
    if not 0 <= start < end <= len(text):
        raise DataError(
            f"{start} to {end} is no span of this text, which has {len(text)} characters; count characters, "
            "not bytes, from 0, and let end be the place after the last"
        )
    return start, end, label


def _named(span: CharacterSpan, text: str) -> str:
    start, end, label = span
    return f"the span {label} {start} to {end} ({_shown(text[start:end])})"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "..."
