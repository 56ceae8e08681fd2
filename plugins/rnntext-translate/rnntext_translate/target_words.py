"""Words of the language that is translated into: sentences to numbers and back, without losing a character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from rnntext.contracts import Example
from rnntext.errors import DataError

END_ID, UNKNOWN_ID, FIRST_ID = 0, 1, 2
"""What the decoder tells besides words: that the sentence is at its end (also what stands before its first word), and
a word that it has no number for."""
CHARACTERS = 0x110000  # Unicode's
_word = re.compile(r"\s?\w+['’](?=\w)|\s?\w+|\s?[^\w\s]|\s")


def cut(sentence: str) -> list[str]:
    """Return the words of a sentence, each with the blank before it: joined, they are the sentence again.

    Marks are words, and so is what stands before an apostrophe: ``["J'", "ai", " fini", "."]``.
    """
    return _word.findall(sentence)


def learn(examples: Iterable[Example]) -> dict[str, Any]:
    """Return the words of all translations and how often each occurs, the most frequent first.

    Raises:
        DataError: an example has no translation, or there is none at all.
    """
    counts: Counter[str] = Counter()
    sentences = 0
    for example in examples:
        counts.update(cut(translation_of(example)))
        sentences += 1
    if not counts:
        raise DataError("there is no translation to learn from; give pairs of sentences")
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "words": {word: number for number, (word, _) in enumerate(ordered)},
        "counts": [occurrences for _, occurrences in ordered],
        "sentences": sentences,
    }


def translation_of(example: Example) -> str:
    """Return the translation that an example brings.

    Raises:
        DataError: it brings none.
    """
    if not isinstance(example.label, str) or not example.label.strip():
        raise DataError("this text has no translation; give its line one, or take it out", line=example.line)
    return example.label


def encode(sentence: str, words: Mapping[str, int]) -> list[int]:
    """Return a sentence's words as numbers; one that training does not have is spelled.

    So that a translation is scored against the sentence itself: a word that nobody could know still counts as missed.
    Its first character is V + its code, each further one V + 0x110000 + its code, V being the number of words.
    """
    numbers: list[int] = []
    for word in cut(sentence):
        number = words.get(word)
        if number is None:
            offsets = [len(words), *[len(words) + CHARACTERS] * (len(word) - 1)]
            numbers += [offset + ord(character) for offset, character in zip(offsets, word, strict=True)]
        else:
            numbers.append(number)
    return numbers


class TargetWords:
    """The words that a decoder can tell: all of training, or those that are frequent enough.

    Args:
        labels: what ``learn`` returned.
        min_count: words that occur less often are unknown.
        max_size: only so many words, the most frequent; all if None.

    Raises:
        DataError: no word is left.
    """

    def __init__(self, labels: Mapping[str, Any], min_count: int, max_size: int | None) -> None:
        self.words = list(labels["words"])
        self.counts: list[int] = list(labels["counts"])
        self.sentences: int = labels["sentences"]
        frequent = next((place for place, number in enumerate(self.counts) if number < min_count), len(self.counts))
        self.kept = min(frequent, max_size or frequent)
        if not self.kept:
            raise DataError(f"no word of the translations occurs {min_count} times; lower head.min_count")

    def __len__(self) -> int:
        """Return the number of ids: of words, and of the end and of unknown words."""
        return self.kept + FIRST_ID

    def shares(self) -> Tensor:
        """Return float [V]: the share of each id among all that the decoder is taught to tell."""
        rare = sum(self.counts[self.kept :])
        told = torch.tensor([self.sentences, max(1, rare), *self.counts[: self.kept]], dtype=torch.float64)
        return (told / told.sum()).float()

    def ids(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the decoder is to tell of encoded sentences.

        Args:
            targets: int64 [B, S] of ``encode``, -1 after the last.

        Returns:
            int64 [B, S'] ids, the end after each sentence's last word and -1 after it, and int64 [B], how many.
        """
        known = len(self.words)
        begins = (targets >= 0) & (targets < known + CHARACTERS)  # a word, or the first character of a spelled one
        ids = torch.where(targets < self.kept, targets + FIRST_ID, UNKNOWN_ID)
        lengths = begins.sum(1)
        ids = ids.gather(1, torch.argsort((~begins).int(), dim=1, stable=True))
        ids = torch.nn.functional.pad(ids, (0, 1))
        places = torch.arange(ids.shape[1], device=ids.device)
        ids = torch.where(places < lengths[:, None], ids, torch.where(places == lengths[:, None], END_ID, -1))
        return ids[:, : int(lengths.max()) + 1], lengths + 1

    def sentence(self, targets: Sequence[int]) -> str:
        """Return the sentence that was encoded, to the letter; what is below 0 is left out."""
        known = len(self.words)
        return "".join(
            self.words[number] if number < known else chr((number - known) % CHARACTERS)
            for number in targets
            if number >= 0
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return the sentence of the ids before the first end; unknown words are left out."""
        told = takewhile(lambda number: number != END_ID, ids)
        return "".join(self.words[number - FIRST_ID] for number in told if number >= FIRST_ID).strip()
