"""What simple methods reach on the same tokens and labels: the yardstick beside every network."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from rnntext.metrics import Scores

STRENGTHS = (1.0, 4.0, 16.0)
"""Inverse regularisation strengths C that the TF-IDF baseline tries on the validation split."""
TEXTS_A_CHUNK = 256
"""One long text pads so many rows, not a whole split."""


@dataclass(frozen=True, slots=True)
class LabelledTokens:
    """One split as a baseline sees it."""

    tokens: Callable[[], Iterable[list[str]]]
    """Each text's tokens, normalised by the vocabulary unless the baseline asks for raw ones; [] for a text without.
    May be gone through more than once."""
    targets_of: Callable[[slice], np.ndarray]
    """int64 [N, S], the targets of a slice of the texts, as the network's, -1 after the last of each text."""
    unknown: Callable[[Sequence[str]], list[bool]]
    """Whether the vocabulary knows a token, of each: what is unknown to the network is so to every method."""

    @property
    def targets(self) -> np.ndarray:
        """int64 [N, S], of all texts: padded to the longest, so not for targets that are one a token."""
        return self.targets_of(slice(None))

    def chunks(self) -> Iterator[tuple[list[list[str]], np.ndarray]]:
        """Yield the tokens of some texts, and int64 [n, S] targets."""
        texts, start = iter(self.tokens()), 0
        while chunk := list(itertools.islice(texts, TEXTS_A_CHUNK)):
            yield chunk, self.targets_of(slice(start, start + len(chunk)))
            start += len(chunk)

    def sentences(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield each text's tokens, and int64 [tokens] targets where those are one a token."""
        for texts, targets in self.chunks():
            for tokens, row in zip(texts, targets, strict=True):
                yield tokens, row[: len(tokens)]


class Baseline(Protocol):
    """A method that trains in seconds."""

    raw_tokens: ClassVar[bool] = False
    """Whether it reads tokens as they stand in the text, not normalised by the vocabulary; may be left out."""

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

    raw_tokens: ClassVar[bool] = False

    def __init__(self, num_labels: int, multi_label: bool, scores: Callable[[], Scores]) -> None:
        self.shares = np.zeros(num_labels)

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count the labels of the training split."""
        targets = train.targets
        self.shares = np.bincount(targets[targets >= 0], minlength=len(self.shares)) / len(targets)

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

    raw_tokens: ClassVar[bool] = False

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
        targets, validation_targets = train.targets, validation.targets
        best = -np.inf
        for strength in STRENGTHS:
            models = self._fitted(features, targets, strength)
            scores = self.scores()
            scores.update(self._probabilities(models, validation_features), validation_targets)
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
