"""What simple methods reach on the same tokens and labels: the yardstick beside every network."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnntext.metrics import Scores

STRENGTHS = (1.0, 4.0, 16.0)
"""Inverse regularisation strengths C that the TF-IDF baseline tries on the validation split."""


@dataclass(frozen=True, slots=True)
class LabelledTokens:
    """One split as a baseline sees it."""

    tokens: Callable[[], Iterable[list[str]]]
    """Each text's tokens, normalised by the vocabulary; may be gone through more than once."""
    targets: np.ndarray
    """int64 [N, S], as the network's, -1 after the last of each text."""


class Baseline(Protocol):
    """A method that trains in seconds."""

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Learn from the training split; choose between settings by the validation split."""

    def answers(self, tokens: Iterable[list[str]]) -> Any:
        """Return for each text what ``Head.answers`` would."""

    def megabytes(self) -> float:
        """Return the size of what was learnt, in 10^6 bytes."""


class MajorityBaseline:
    """Answers every text with the labels' shares in the training split.

    Args:
        num_labels: L.
        multi_label: whether a text may have several.
        scores: makes a fresh counter of the head's metrics; unused here.
    """

    def __init__(self, num_labels: int, multi_label: bool, scores: Callable[[], Scores]) -> None:
        self.shares = np.zeros(num_labels)

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count the labels of the training split."""
        labels = train.targets[train.targets >= 0]
        self.shares = np.bincount(labels, minlength=len(self.shares)) / len(train.targets)

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return the same float [N, L] row for every text."""
        return np.tile(self.shares, (sum(1 for _ in tokens), 1))

    def megabytes(self) -> float:
        """Return the size of one row."""
        return self.shares.nbytes / 1e6


class TfidfBaseline:
    """TF-IDF of the same tokens and their pairs, sublinear, with logistic regression (scikit-learn).

    Args:
        num_labels: L.
        multi_label: whether a text may have several: one regression a label then.
        scores: makes a fresh counter of the head's metrics; the first chooses C.
    """

    def __init__(self, num_labels: int, multi_label: bool, scores: Callable[[], Scores]) -> None:
        self.num_labels = num_labels
        self.multi_label = multi_label
        self.scores = scores
        self.vectorizer: Any = None
        self.models: list[Any] = []
        self.strength = 0.0

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Fit for each C in 1, 4, 16; keep the one with the best first metric on validation."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer = TfidfVectorizer(
            analyzer=unigrams_and_bigrams, sublinear_tf=True, lowercase=False, dtype=np.float64
        )
        features = self.vectorizer.fit_transform(train.tokens())
        validation_features = self.vectorizer.transform(validation.tokens())
        best = -np.inf
        for strength in STRENGTHS:
            models = self._fitted(features, train.targets, strength)
            scores = self.scores()
            scores.update(self._probabilities(models, validation_features), validation.targets)
            value = next(iter(scores.compute().values()), 0.0)
            if value > best:
                best, self.models, self.strength = value, models, strength

    def _fitted(self, features: Any, targets: np.ndarray, strength: float) -> list[Any]:
        """Return one regression for all labels; a yes-or-no one each, where a text may have several."""
        if not self.multi_label:
            return [_regression(features, targets[:, 0], strength)]
        return [_regression(features, wanted, strength) for wanted in _indicators(targets, self.num_labels).T]

    def _probabilities(self, models: list[Any], features: Any) -> np.ndarray:
        whole = np.zeros((features.shape[0], self.num_labels))  # a label that train lacks (max_rows) stays at 0
        for label, model in enumerate(models):
            probabilities = model.predict_proba(features)
            if self.multi_label:
                whole[:, label] = probabilities @ model.classes_  # classes False, True: the probability of True
            else:
                whole[:, model.classes_] = probabilities
        return whole

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return the probability of each label, float [N, L]."""
        return self._probabilities(self.models, self.vectorizer.transform(tokens))

    def megabytes(self) -> float:
        """Return the size of weights, document frequencies and n-grams."""
        weights = sum(model.coef_.nbytes for model in self.models if hasattr(model, "coef_"))
        terms = sum(len(term.encode("utf-8", "surrogatepass")) for term in self.vectorizer.vocabulary_)
        return float(weights + self.vectorizer.idf_.nbytes + terms) / 1e6


def unigrams_and_bigrams(tokens: Sequence[str]) -> list[str]:
    """Return the tokens and each pair of neighbours, joined by a blank; one empty term for a text without tokens."""
    return [*tokens, *(f"{left} {right}" for left, right in itertools.pairwise(tokens))] or [""]


def _regression(features: Any, wanted: np.ndarray, strength: float) -> Any:
    """Return a fitted logistic regression; a constant where all texts have the same answer."""
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if (wanted == wanted[0]).all():
        return DummyClassifier(strategy="prior").fit(features, wanted)
    with warnings.catch_warnings():
        # A thousand steps leave nothing that a score would show.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=1000).fit(features, wanted)


def _indicators(targets: np.ndarray, num_labels: int) -> np.ndarray:
    """Return bool [N, L] for int64 [N, S] label ids with -1 after the last."""
    wanted = np.zeros((len(targets), num_labels + 1), dtype=bool)
    for column in targets.T:
        wanted[np.arange(len(targets)), column] = True
    return wanted[:, :-1]
