"""Blanks in texts: ``____`` as one token, and sentences made into questions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from rnntext.contracts import BLANK, MARK, Example, Tokenizer
from rnntext.encoding import EncodedSplit, RaggedWriter
from rnntext.errors import DataError, counted

_marks = re.compile(f"{MARK}_*")

CutBlanks = Callable[[np.ndarray, np.random.Generator], Sequence[int]]


class BlankTokenizer:
    """A tokenizer to which each ``____`` is one token.

    Where the tokenizer itself would cut a mark, or join it to a word, it reads what stands between marks one by one.

    Args:
        tokenizer: cuts all else.
    """

    contract: ClassVar[int] = 1

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text; each mark as it stands there."""
        if MARK not in text:
            return self._tokenizer.tokens(text)
        return [text[start:end] for start, end in self.spans(text)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same tokens, in characters."""
        marks = [found.span() for found in _marks.finditer(text)]
        spans = self._tokenizer.spans(text)
        if set(marks) <= set(spans):
            return spans
        found, place = [], 0
        for start, end in [*marks, (len(text), len(text))]:
            found += [(place + first, place + last) for first, last in self._tokenizer.spans(text[place:start])]
            found += [(start, end)] if start < end else []
            place = end
        return found


def around_blanks(text: str) -> Iterator[str]:
    """Yield what stands between the marks of a text."""
    return filter(None, _marks.split(text))


def with_blanks(example: Example, tokens: Sequence[str]) -> list[str]:
    """Return the tokens of an example, each mark as ``<blank>``.

    Raises:
        DataError: there is another number of answers than of blanks.
    """
    read = [BLANK if _marks.fullmatch(token) else token for token in tokens]
    if example.label is not None and example.scheme is None:  # tags are no answers
        blanks = read.count(BLANK)
        answers = len(example.label) if isinstance(example.label, tuple) else 1
        if blanks and blanks != answers:
            raise DataError(
                f"{counted(answers, 'answer')} for {counted(blanks, 'blank')} ({MARK}); write one for each",
                line=example.line,
            )
    return read


def without_labels(examples: Iterable[Example]) -> Iterator[Example]:
    """Yield examples without their labels, which are no answers to blanks."""
    for example in examples:
        yield replace(example, label=None, scheme=None, spans=None)


def cut_one(counts: np.ndarray, random: np.random.Generator) -> list[int]:
    """Return a place to hide: any known word of a text; for datasets that do not say how they are cut."""
    known = np.flatnonzero(counts)
    return [int(random.choice(known))] if len(known) and len(counts) > 1 else []


def as_questions(
    split: EncodedSplit, counts: np.ndarray, blank: int, cut: CutBlanks, random: np.random.Generator
) -> EncodedSplit:
    """Return the questions that a split holds, and those that its other texts are cut into.

    Args:
        split: its targets are the answers to blanks that there are.
        counts: int64 [types], how often the word of each type occurs in the training split.
        blank: type id of ``<blank>``.
        cut: where to cut; texts for which it names no place are left out.
        random: drawn from text by text.
    """
    assert split.targets is not None
    kept = []
    with RaggedWriter(None) as types, RaggedWriter(None) as targets:
        for row in range(len(split)):
            tokens, answers = split.types.row(row), split.targets.row(row)
            if not len(answers) and not (tokens == blank).any():  # a blank without an answer asks nothing
                places = np.asarray(cut(counts[tokens], random), dtype=np.int64)
                answers, tokens = tokens[places], tokens.copy()
                tokens[places] = blank
            if len(answers):
                kept.append(row)
                types.append(tokens.tolist())
                targets.append(answers.tolist())
        chosen = np.array(kept, dtype=np.int64)
        groups = {name: (values, codes[chosen]) for name, (values, codes) in split.groups.items()}
        return replace(split, types=types.finish(), targets=targets.finish(), groups=groups)


def filled_in(split: EncodedSplit, blank: int) -> EncodedSplit:
    """Return a split whose blanks hold their answers: training reads whole texts, and hides anew in each epoch."""
    assert split.targets is not None
    values = split.types.values
    if not any((values[start : start + 2**18] == blank).any() for start in range(0, len(values), 2**18)):
        return split
    values = values.copy()
    for row in range(len(split)):
        answers = split.targets.row(row)
        places = split.types.ends[row] + np.flatnonzero(split.types.row(row) == blank)
        if len(answers) >= len(places):  # else they have none, and stay blanks
            values[places] = answers[: len(places)]
    return replace(split, types=replace(split.types, values=values))
