"""What translates without any network: the text itself, and the translation of the most similar text of training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from rnntext.baselines import LabelledTokens, unigrams_and_bigrams
from rnntext_translate.target_words import TargetWords

TEXTS_AT_ONCE = 64


class CopyBaseline:
    """Answers with the text: names and numbers are right in any language."""

    raw_tokens: ClassVar[bool] = True

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Learn nothing."""

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return object [N, 3], as the head's; its tokens joined by blanks."""
        return as_answers([" ".join(text) for text in tokens])

    def megabytes(self) -> float:
        """Return that nothing was learnt."""
        return 0.0


class NearestBaseline:
    """Answers with the translation of the most similar text of training: cosine of TF-IDF of tokens and their pairs.

    Of texts that are equally near, the first is taken, of a text without any known token the first of all.

    Args:
        words: turns targets back into sentences.
    """

    raw_tokens: ClassVar[bool] = False

    def __init__(self, words: TargetWords) -> None:
        self.words = words
        self.vectorizer: Any = None
        self.features: Any = None
        self.targets: list[np.ndarray] = []

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Keep the training split: its texts' features, and their translations."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer = TfidfVectorizer(
            analyzer=unigrams_and_bigrams, sublinear_tf=True, lowercase=False, dtype=np.float32
        )
        self.features = self.vectorizer.fit_transform(train.tokens())
        self.targets = [row[row >= 0].astype(np.int32) for _, targets in train.chunks() for row in targets]

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return object [N, 3], as the head's."""
        texts, found = iter(tokens), []
        while chunk := list(itertools.islice(texts, TEXTS_AT_ONCE)):
            likeness = self.vectorizer.transform(chunk) @ self.features.T
            nearest = np.asarray(likeness.argmax(axis=1)).ravel()
            found += [self.words.sentence(self.targets[place].tolist()) for place in nearest]
        return as_answers(found)

    def megabytes(self) -> float:
        """Return the size of features, translations and terms."""
        features = self.features.data.nbytes + self.features.indices.nbytes + self.features.indptr.nbytes
        terms = sum(len(term.encode("utf-8", "surrogatepass")) for term in self.vectorizer.vocabulary_)
        return float(features + terms + sum(row.nbytes for row in self.targets)) / 1e6


def as_answers(translations: list[str], losses: Iterable[float] = (), told: Iterable[int] = ()) -> np.ndarray:
    """Return object [B, 3] of ``TranslationScores.update``; without losses, of a method that has no probabilities."""
    answers = np.zeros((len(translations), 3), dtype=object)
    answers[:, 0] = translations
    for row, pair in enumerate(zip(losses, told, strict=True)):
        answers[row, 1:] = pair
    return answers
