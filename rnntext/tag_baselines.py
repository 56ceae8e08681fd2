"""What simple methods reach where each token has a tag: the yardstick beside every tagger."""

from __future__ import annotations

import importlib.util
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rnntext.baselines import LabelledTokens

CRFSUITE_OPTIONS = {"c1": 0.1, "c2": 0.01, "max_iterations": 100}
"""Weights of the penalties on absolute and squared weights, and how often L-BFGS goes through the data at most."""
LONGEST_AFFIX = 4
STEPS = (-2, -1, 1, 2)
"""From a word to the neighbours that CRFsuite's features know of."""


def crfsuite_installed() -> bool:
    """Return whether there is python-crfsuite, which the extra ``crfsuite`` brings."""
    return importlib.util.find_spec("pycrfsuite") is not None


class MostFrequentTagBaseline:
    """Answers each word with the tag that it has most often in the training split.

    A word that is not there gets the most frequent tag of those that are there once: unknown words are rare ones.

    Args:
        num_tags: L.
    """

    raw_tokens: ClassVar[bool] = False

    def __init__(self, num_tags: int) -> None:
        self.num_tags = num_tags
        self.words: dict[str, int] = {}
        self.unknown: Callable[[Sequence[str]], list[bool]] = lambda tokens: [False] * len(tokens)
        self.tags = np.zeros(1, dtype=np.int32)
        """int32 [words + 1]: of each word, and last of a word that is not known."""

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count the tags of each word of the training split."""
        occurrences: Counter[tuple[str, int]] = Counter()
        for tokens, row in _tagged(train):
            occurrences.update(zip(tokens, row, strict=True))
        numbers: dict[str, int] = {}
        words = np.array([numbers.setdefault(word, len(numbers)) for word, _ in occurrences], dtype=np.int64)
        tags = np.array([tag for _, tag in occurrences], dtype=np.int64)
        counts = np.array(list(occurrences.values()), dtype=np.int64)
        by_tag = np.bincount(tags, weights=counts, minlength=self.num_tags)
        by_word = np.bincount(words, weights=counts, minlength=len(numbers))
        once = np.bincount(tags[by_word[words] == 1], minlength=self.num_tags)
        # The best tag of a word comes last; of two as frequent, the one that all words have more often.
        order = np.lexsort((-tags, by_tag[tags], counts, words))
        best = order[np.diff(words[order], append=-1) != 0]
        self.words = numbers
        self.unknown = train.unknown
        self.tags = np.zeros(len(numbers) + 1, dtype=np.int32)
        self.tags[words[best]] = tags[best]
        self.tags[-1] = (once if once.any() else by_tag).argmax()

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return tags and which tokens are unknown, int32 [N, T, 2], -1 at padding."""
        new = len(self.words)
        texts = list(tokens)
        words = list(itertools.chain.from_iterable(texts))
        numbers = np.array([self.words.get(word, new) for word in words], dtype=np.int64)
        return _padded(list(map(len, texts)), self.tags[numbers], self.unknown(words))

    def megabytes(self) -> float:
        """Return the size of the words and their tags."""
        words = sum(len(word.encode("utf-8", "surrogatepass")) for word in self.words)
        return (words + self.tags.nbytes) / 1e6


class CrfsuiteBaseline:
    """A linear-chain CRF over hand-made features of words, their shapes, affixes and neighbours (CRFsuite, L-BFGS).

    Args:
        num_tags: L.
    """

    raw_tokens: ClassVar[bool] = True

    def __init__(self, num_tags: int) -> None:
        self.num_tags = num_tags
        self.unknown: Callable[[Sequence[str]], list[bool]] = lambda tokens: [False] * len(tokens)
        self.model = b""
        """What CRFsuite wrote; empty where there was nothing to learn from."""
        self._tagger: Any = None

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Train on the sentences of the training split."""
        import pycrfsuite

        trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=CRFSUITE_OPTIONS, verbose=False)
        self.unknown, self.model = train.unknown, b""
        empty = True
        for tokens, row in _tagged(train):
            empty = False
            trainer.append(features(tokens), list(map(str, row)))
        if not empty:
            with tempfile.TemporaryDirectory() as folder:  # CRFsuite writes to no other thing than a file
                file = Path(folder) / "model"
                trainer.train(str(file))
                self.model = file.read_bytes()
            self._tagger = pycrfsuite.Tagger()
            self._tagger.open_inmemory(self.model)

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return the most probable tags and which tokens are unknown, int32 [N, T, 2], -1 at padding."""
        lengths: list[int] = []
        tags: list[int] = []
        unknown: list[bool] = []
        for text in tokens:
            lengths.append(len(text))
            unknown += self.unknown(text)
            tags += map(int, self._tagger.tag(features(text))) if self.model and text else [0] * len(text)
        return _padded(lengths, tags, unknown)

    def megabytes(self) -> float:
        """Return the size of CRFsuite's model file."""
        return len(self.model) / 1e6


def _tagged(data: LabelledTokens) -> Iterator[tuple[list[str], list[int]]]:
    """Yield the tokens and tags of each text; texts without tokens, or with a token that has no tag, are left out."""
    for tokens, row in data.sentences():
        if tokens and len(row) == len(tokens) and row.min() >= 0:
            yield tokens, row.tolist()


def _padded(
    lengths: Sequence[int], tags: np.ndarray | Sequence[int], unknown: np.ndarray | Sequence[bool]
) -> np.ndarray:
    """Return int32 [N, T, 2] for tags and marks that stand end to end."""
    mask = np.arange(max(lengths, default=0)) < np.array(lengths, dtype=np.int64)[:, None]
    answers = np.full((*mask.shape, 2), -1, dtype=np.int32)
    answers[mask, 0] = tags
    answers[mask, 1] = unknown
    return answers


def features(tokens: Sequence[str]) -> list[list[str]]:
    """Return the features of each token of a sentence: its own, its neighbours', and the two pairs that it is in."""
    words = [word.encode("utf-8", "replace").decode() for word in tokens]  # CRFsuite takes no half surrogate pair
    described = list(map(_described, words))
    rows = []
    for place, (own, _) in enumerate(described):
        row = list(own)
        for step in STEPS:
            beside = place + step
            if 0 <= beside < len(words):
                row += described[beside][1][step]
            else:
                row.append(f"{step}:edge")
        if place:
            row.append(f"pair-:{words[place - 1]} {words[place]}")
        if place + 1 < len(words):
            row.append(f"pair+:{words[place]} {words[place + 1]}")
        rows.append(row)
    return rows


@lru_cache(maxsize=20_000)
def _described(word: str) -> tuple[Sequence[str], Mapping[int, Sequence[str]]]:
    """Return the features of a word, and step -> what a neighbour sees of it from which it is one step away."""
    lower = word.lower()
    flags = [
        name
        for name, holds in (
            ("title", word.istitle()),
            ("upper", word.isupper()),
            ("digits", word.isdigit()),
            ("mark", not any(map(str.isalnum, word))),
        )
        if holds
    ]
    seen = [f"lower={lower}", f"shape={shape(word)}", *flags]
    own = ["bias", f"word={word}", *seen]
    own += [f"prefix={word[:length]}" for length in range(1, min(LONGEST_AFFIX, len(word)) + 1)]
    own += [f"suffix={word[-length:]}" for length in range(1, min(LONGEST_AFFIX, len(word)) + 1)]
    if "-" in word:
        own.append("hyphen")
    if any(map(str.isdigit, word)):
        own.append("digit")
    return own, {step: [f"{step}:{feature}" for feature in seen] for step in STEPS}


def shape(word: str) -> str:
    """Return a word's outline: X for upper case, x for other letters, d for digits, each run once; and all marks."""
    outline = "".join(
        "X" if letter.isupper() else "x" if letter.isalpha() else "d" if letter.isdigit() else letter
        for letter in word
    )
    return re.sub(r"([Xxd])\1+", r"\1", outline)
