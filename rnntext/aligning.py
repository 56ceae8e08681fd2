"""Where tokens stand in a text, and what spans in characters mean to its tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rnntext.contracts import Example, Tokenizer
from rnntext.errors import DataError, UsageError
from rnntext.schemes import Scheme, Span, tags_of

Offsets = list[tuple[int, int]]
"""(start, end) of each token, in characters."""
LISTED = 10
"""Misaligned spans that a note names one by one."""
SPAN_SCHEME: Scheme = "bio"
"""Scheme of the tags that spans in characters are turned into."""


@dataclass(slots=True)
class Misaligned:
    """Spans whose ends are no ends of tokens."""

    count: int = 0
    shown: list[str] = field(default_factory=list)
    """The first ``LISTED`` of them, and what became of each."""

    def add(self, line: int, given: str, became: str) -> None:
        """Count a span, and list it if it is one of the first."""
        self.count += 1
        if len(self.shown) < LISTED:
            self.shown.append(f"line {line}: {given!r} {became}" if line else f"{given!r} {became}")

    def summary(self) -> str:
        """Return how many there are, without a word of any text."""
        they = f"{self.count:,} spans do" if self.count > 1 else "1 span does"
        return f"{they} not begin and end with a token"

    def note(self) -> str:
        """Return a line that says how many there are and names some; "" if there are none."""
        if not self.count:
            return ""
        more = f"; and {self.count - len(self.shown):,} more" if self.count > len(self.shown) else ""
        return f"{self.summary()} (another tokenizer may cut there): {'; '.join(self.shown)}{more}"


def with_tags(example: Example, tokenizer: Tokenizer, misaligned: Misaligned | None = None) -> Example:
    """Return an example whose spans in characters have become tags of its tokens; one without spans as it is.

    A span that begins or ends within a token is widened to whole tokens. One that then shares a token with the span
    before it is left out.

    Args:
        example: any.
        tokenizer: cuts the text.
        misaligned: counts the spans that were widened or left out.

    Raises:
        DataError: a span holds nothing but white space, or is not within the text.
    """
    if example.spans is None:
        return example
    text, line = example.text, example.line
    offsets = tokenizer.spans(text)
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    spans: list[Span] = []
    free = 0
    for start, end, label in example.spans:
        if not 0 <= start < end <= len(text):
            raise DataError(f"the span {start} to {end} is not within the text of {len(text)} characters", line=line)
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first >= last:
            raise DataError(f"the span {start} to {end}, {text[start:end]!r}, holds no token", line=line)
        overlaps = first < free
        if misaligned is not None and (overlaps or (starts[first], ends[last - 1]) != (start, end)):
            whole = text[starts[first] : ends[last - 1]]
            became = "left out: it shares a token with the span before" if overlaps else f"read as {whole!r}"
            misaligned.add(line, text[start:end], became)
        if not overlaps:
            spans.append((first, last, label))
            free = last
    tokens = tuple(text[start:end] for start, end in offsets)
    return replace(
        example, tokens=tokens, label=tuple(tags_of(spans, len(tokens), SPAN_SCHEME)), scheme=SPAN_SCHEME, spans=None
    )


def locate(text: str, tokens: Iterable[str]) -> Offsets:
    """Return where each token stands in a text that holds them in order, whatever else is between them.

    Raises:
        UsageError: a token is empty, or not there.
    """
    offsets: Offsets = []
    cursor = 0
    for token in tokens:
        start = text.find(token, cursor) if token else -1
        if start < 0:
            where = f"is not in the text after its first {cursor} characters" if token else "is empty"
            raise UsageError(f"the token {token!r} {where}; give tokens as they stand in the text, or no text")
        cursor = start + len(token)
        offsets.append((start, cursor))
    return offsets


def joined(tokens: Sequence[str]) -> str:
    """Return the text of tokens that come without one: a blank between any two."""
    return " ".join(tokens)
