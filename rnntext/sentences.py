"""A text cut into sentences, with their places in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from rnntext.contracts import Example
from rnntext.errors import UsageError

CHARACTERS_A_PARAGRAPH = 100_000
"""A longer paragraph is handed to the sentence splitter in pieces; it refuses a million characters."""
CHARACTERS_OF_LINES = 50_000
"""Of a paragraph with more, a piece is cut before all of it is read, so that no text is held whole."""
LONGEST_RUN = 256
"""Of a longer run without a blank, the splitter is shown the end alone; it takes time by the square of its length."""

_half_pairs = re.compile("[\ud800-\udfff]")
_long_runs = re.compile(rf"\S{{{LONGEST_RUN + 1},}}")
# The end of a sentence of Chinese or Japanese, which no blank has to follow: its marks, and what closes quotes and
# brackets behind them. A straight quotation mark may also open one, unless a blank follows.
_full_stop = r"""[。！？](?:[。！？.!?…」』”’»）】》〉〕］｝〗)\]}]|["'](?!\S))*"""
_stops = re.compile(rf"({_full_stop})\s*|\n[^\S\n]*\n\s*")


class SentenceSplitter:
    """Cuts a text into sentences by rules: no model, no download.

    A blank line ends a sentence, and so do full stops, exclamation and question marks of Chinese and Japanese with
    the quotes and brackets that close behind them, no blank being needed. What is between these is cut by spaCy's
    sentencizer, after a full stop, question mark or their like that is a token of its own: so not after the
    language's abbreviations. A run of more than 256 characters without a blank is read by its end alone.

    Args:
        language: spaCy's code of the language whose abbreviations are known; xx knows none. Languages that spaCy cuts
            by another kind of tokenizer (Chinese, Japanese) have those of en.

    Raises:
        UsageError: spaCy has no such language.
    """

    def __init__(self, language: str = "en") -> None:
        import spacy
        from spacy.tokenizer import Tokenizer

        try:
            self._pipeline = spacy.blank(language)
        except (ImportError, AttributeError, ValueError) as error:
            raise UsageError(
                f"spaCy cannot cut sentences of the language {language!r} (the tokenizer's); leave sentences out, or "
                "give one sentence a line"
            ) from error
        if type(self._pipeline.tokenizer) is not Tokenizer:  # slow, and cuts full stops off any word
            self._pipeline = spacy.blank("en")
        self._pipeline.add_pipe("sentencizer")

    def split(self, example: Example) -> list[tuple[int, Example]]:
        """Return (start in the text, sentence), at least one; a text that brings its tokens is one sentence."""
        if example.tokens is not None:
            return [(0, example)]
        text = example.text
        found: list[tuple[int, Example]] = []
        for start, end in _paragraphs(text):
            # spaCy takes no half of a surrogate pair; a question mark is as long, but would end a sentence.
            shown = _long_runs.sub(_end_of_run, _half_pairs.sub("_", text[start:end]))
            for sentence in self._pipeline(shown).sents:
                piece = text[start + sentence.start_char : start + sentence.end_char]
                if piece.strip():
                    found.append((start + sentence.start_char, Example(piece)))
        return found or [(0, example)]


def sentences_of(lines: Iterable[tuple[int, str]], splitter: SentenceSplitter) -> Iterator[Example]:
    """Yield the sentences of paragraphs, their lines joined by a blank; ``line`` is a paragraph's first."""
    begun: list[str] = []
    first = size = 0
    for number, line in chain(lines, [(0, "")]):
        if stripped := line.strip():
            first = first if begun else number
            begun.append(stripped)
            size += len(stripped)
            if size < CHARACTERS_OF_LINES:
                continue
        if begun:
            found = [sentence.text.strip() for _, sentence in splitter.split(Example(" ".join(begun)))]
            # The last sentence of a piece goes on in the next, unless it is all there is.
            begun = [found.pop()] if stripped and len(found) > 1 else []
            size = sum(map(len, begun))
            for sentence in found:
                yield Example(sentence, line=first)


def _end_of_run(run: re.Match[str]) -> str:
    """Return a run of the same length, all but its end made blank."""
    return run[0][-LONGEST_RUN // 2 :].rjust(len(run[0]))


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of what blank lines and ``_full_stop`` part, in pieces that the splitter takes."""
    start = 0
    for gap in [*_stops.finditer(text), None]:
        end = len(text) if gap is None else max(gap.start(), gap.end(1))  # -1 if it is a blank line
        while end - start > CHARACTERS_A_PARAGRAPH:
            blank = text.rfind(" ", start + CHARACTERS_A_PARAGRAPH // 2, start + CHARACTERS_A_PARAGRAPH)
            cut = blank if blank > 0 else start + CHARACTERS_A_PARAGRAPH
            yield start, cut
            start = cut
        if start < end:
            yield start, end
        start = end if gap is None else gap.end()
