"""Where tokens stand in a text, and what spans in characters mean to its tokens."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, zip_longest

from rnntext.contracts import Example, Tokenizer
from rnntext.errors import DataError, UsageError
from rnntext.schemes import Scheme, Span, tags_of

Offsets = list[tuple[int, int]]
"""(start, end) of each token, in characters."""
LISTED = 10
"""Misaligned spans that a note names one by one."""
SPAN_SCHEME: Scheme = "bio"
"""Scheme of the tags that spans in characters are turned into."""
FIRST_MARK = "\u0300"
"""The first combining mark of Unicode: an accent or vowel sign, which is part of the letter before it."""
_BLANKS = re.compile(r"\s*")


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
    places = tokenizer.spans(text)
    offsets = without_edges(text, places)
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    spans: list[Span] = []
    free = 0
    for start, end, label in example.spans:
        if not 0 <= start < end <= len(text):
            raise DataError(
                f"the span {start} to {end} is not within the text of {len(text)} characters; count its characters "
                "from 0, and let the end be the place after the last",
                line=line,
            )
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first >= last:
            raise DataError(
                f"the span {start} to {end}, {text[start:end]!r}, holds no token; move it to the words that it is "
                "for, or take it out",
                line=line,
            )
        overlaps = first < free
        if misaligned is not None and (overlaps or (starts[first], ends[last - 1]) != (start, end)):
            whole = text[starts[first] : ends[last - 1]]
            became = "left out: it shares a token with the span before" if overlaps else f"read as {whole!r}"
            misaligned.add(line, text[start:end], became)
        if not overlaps:
            spans.append((first, last, label))
            free = last
    tokens = tuple(text[start:end] for start, end in places)
    return replace(
        example, tokens=tokens, label=tuple(tags_of(spans, len(tokens), SPAN_SCHEME)), scheme=SPAN_SCHEME, spans=None
    )


def without_edges(text: str, offsets: Offsets) -> Offsets:
    """Return where tokens stand in a text, without white space at their edges; one of nothing else stays as it is."""
    trimmed = []
    for start, end in offsets:
        if start < end and (text[start].isspace() or text[end - 1].isspace()) and (token := text[start:end].strip()):
            start += text[start:end].index(token)
            end = start + len(token)
        trimmed.append((start, end))
    return trimmed


def locate(text: str, tokens: Iterable[str]) -> Offsets:
    """Return where each token stands in a text that holds them in order, whatever else is between them.

    A token is sought where the one before ended or after the white space there, if a word ends with it or the next
    token goes on; else as the next whole word that leaves room for the tokens behind it; else anywhere.

    Raises:
        UsageError: a token is empty, or not there.
    """
    given = list(tokens)
    if text == joined(given) and all(given):  # by far the most frequent
        ends = list(accumulate(len(token) + 1 for token in given))
        return [(end - 1 - len(token), end - 1) for token, end in zip(given, ends, strict=True)]
    offsets: Offsets = []
    cursor = 0
    last_starts: list[int] = []
    words: dict[str, int] = {}  # where a token is the next whole word, so that none is sought twice
    for place, (token, following) in enumerate(zip_longest(given, given[1:], fillvalue="")):
        start = cursor if text.startswith(token, cursor) else _after_blanks(text, cursor)
        end = start + len(token)
        here = token and text.startswith(token, start)
        if not here or not (_parted(text, end) or (following and text.startswith(following, end))):
            if not last_starts:
                last_starts = _last_starts(text, given, place, cursor)
            word = words.get(token, -1)
            if word < cursor:
                words[token] = word = _whole_word(text, token, cursor)
            start = word if word <= last_starts[place] else text.find(token, cursor)
        cursor = start + len(token)
        offsets.append((start, cursor))
    return offsets


def _after_blanks(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start


def _parted(text: str, place: int) -> bool:
    """Whether no word goes on across a place, from one letter or digit to another."""
    if not 0 < place < len(text):
        return True
    return not (_is_of_word(text[place]) and _is_of_word(text[place - 1]))


def _is_of_word(character: str) -> bool:
    return character.isalnum() or (character >= FIRST_MARK and unicodedata.category(character)[0] == "M")


def _whole_word(text: str, token: str, start: int) -> int:
    """Return where the token next stands as a whole word; the length of the text if it does not."""
    found = text.find(token, start)
    while found >= 0 and not (_parted(text, found) and _parted(text, found + len(token))):
        found = text.find(token, found + 1)
    return len(text) if found < 0 else found


def _last_starts(text: str, tokens: Sequence[str], place: int, start: int) -> list[int]:
    """Return the last start of each token from ``place`` on that leaves room for those behind it; 0 for others.

    Raises:
        UsageError: a token is empty, or not there from ``start`` on.
    """
    starts = [0] * len(tokens)
    end = len(text)
    for number in range(len(tokens) - 1, place - 1, -1):
        end = text.rfind(tokens[number], start, end) if tokens[number] else -1
        if end < 0:
            raise _missing(text, tokens[place:], start)
        starts[number] = end
    return starts


def _missing(text: str, tokens: Iterable[str], cursor: int) -> UsageError:
    """Return what is wrong with tokens that are not all there from the cursor on: the first that is not."""
    for token in tokens:
        if not token:
            return UsageError("the token '' is empty; take it out, or give no text")
        start = text.find(token, cursor)
        if start < 0:
            break
        cursor = start + len(token)
    return UsageError(
        f"the token {token!r} is not in the text after its first {cursor} characters; give tokens as they stand in "
        "the text and in its order, or no text"
    )


def joined(tokens: Sequence[str]) -> str:
    """Return the text of tokens that come without one: a blank between any two."""
    return " ".join(tokens)
