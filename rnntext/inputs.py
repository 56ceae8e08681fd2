"""What a model may be given: texts, mappings with ``text`` or ``tokens``; in windows, and cut into sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from rnntext.aligning import joined
from rnntext.contracts import Example
from rnntext.errors import UsageError

CHARACTERS_A_WINDOW = 1 << 22
"""A window of long texts ends earlier: with the text that makes it so many characters."""
CHARACTERS_A_PARAGRAPH = 100_000
"""A longer paragraph is handed to the sentence splitter in pieces; it refuses a million characters."""

_half_pairs = re.compile("[\ud800-\udfff]")

Item = TypeVar("Item")
Text = str | Mapping[str, Any]
"""A text; or a mapping with ``text`` or ``tokens``, and perhaps ``id``, as a line of ``rnntext predict``."""


def as_example(text: Text) -> Example:
    """Return the example of a text, or of a mapping with ``text`` or ``tokens``.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(text, str):
        return Example(text)
    if isinstance(text, Mapping):
        tokens, whole = text.get("tokens"), text.get("text")
        if isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens):
            return Example(whole if isinstance(whole, str) else joined(tokens), tuple(tokens))
        if isinstance(whole, str):
            return Example(whole)
        raise UsageError('expected "text" (a string) or "tokens" (a list of strings)')
    raise UsageError(f"expected a text, got {type(text).__name__}: {str(text)[:60]}")


def windows(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield the items in lists, each as soon as it is full: of so many items, or of ``CHARACTERS_A_WINDOW``.

    Args:
        items: read no further than the list that is yielded.
        most: items in a list.
        size: characters of an item.
    """
    window: list[Item] = []
    total = 0
    for item in items:
        window.append(item)
        total += size(item)
        if len(window) >= most or total >= CHARACTERS_A_WINDOW:
            yield window
            window, total = [], 0
    if window:
        yield window


class SentenceSplitter:
    """Cuts a text into sentences by spaCy's rule: they end with a full stop, question mark or their like.

    A blank line ends a sentence too.
    """

    def __init__(self) -> None:
        import spacy

        self._pipeline = spacy.blank("xx")
        self._pipeline.add_pipe("sentencizer")

    def split(self, example: Example) -> list[tuple[int, Example]]:
        """Return (start in the text, sentence), at least one; a text that brings its tokens is one sentence."""
        if example.tokens is not None:
            return [(0, example)]
        text = example.text
        found: list[tuple[int, Example]] = []
        for start, end in _paragraphs(text):
            # spaCy takes no half of a surrogate pair; a question mark is as long, but would end a sentence.
            document = self._pipeline(_half_pairs.sub("_", text[start:end]))
            for sentence in document.sents:
                piece = text[start + sentence.start_char : start + sentence.end_char]
                if piece.strip():
                    found.append((start + sentence.start_char, Example(piece)))
        return found or [(0, example)]


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of what blank lines part, in pieces that the splitter takes."""
    start = 0
    for gap in [*re.finditer(r"\n[^\S\n]*\n\s*", text), None]:
        end = len(text) if gap is None else gap.start()
        while end - start > CHARACTERS_A_PARAGRAPH:
            blank = text.rfind(" ", start + CHARACTERS_A_PARAGRAPH // 2, start + CHARACTERS_A_PARAGRAPH)
            cut = blank if blank > 0 else start + CHARACTERS_A_PARAGRAPH
            yield start, cut
            start = cut
        if start < end:
            yield start, end
        start = end if gap is None else gap.end()
