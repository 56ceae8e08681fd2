"""Scores, counted batch by batch, so that no evaluation holds all its outputs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

CALIBRATION_BINS = 15


class Scores(Protocol):
    """Counts what a head's metrics need. ``answers`` is whatever ``Head.answers`` returns."""

    def update(self, answers: Any, targets: np.ndarray) -> None:
        """Count some texts: answers, and int64 [B, S] targets with -1 after the last of each."""

    def compute(self) -> dict[str, float]:
        """Return metric -> value for all that was counted."""


class ClassificationScores:
    """Accuracy, F1 and calibration of labels.

    ``accuracy``: share of texts whose label (with several: whose whole set) is right. ``macro_f1``: mean of the
    labels' F1, over labels that occur or are predicted (with several: over all). ``micro_f1``: F1 of all decisions
    together; only with several labels a text. ``ece``: expected calibration error, how far confidence is from
    accuracy, in 15 bins of equal width (Guo et al. 2017, On calibration of modern neural networks, section 2);
    with several labels, of each yes-or-no decision.

    Args:
        num_labels: L.
        multi_label: whether a text may have several.
        threshold: with several, the probability from which a label is given.
    """

    def __init__(self, num_labels: int, multi_label: bool, threshold: float = 0.5) -> None:
        self.multi_label = multi_label
        self.threshold = threshold
        self.texts = 0
        self.right = 0
        self.true_positives = np.zeros(num_labels, dtype=np.int64)
        self.predicted = np.zeros(num_labels, dtype=np.int64)
        self.wanted = np.zeros(num_labels, dtype=np.int64)
        self.bin_decisions = np.zeros(CALIBRATION_BINS, dtype=np.int64)
        self.bin_confidence = np.zeros(CALIBRATION_BINS)
        self.bin_right = np.zeros(CALIBRATION_BINS, dtype=np.int64)

    def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
        """Count some texts: probabilities float [B, L], and int64 [B, S] label ids, -1 after the last."""
        rows = np.arange(len(answers))
        wanted = np.zeros((len(answers), answers.shape[1] + 1), dtype=bool)
        for column in targets.T:
            wanted[rows, column] = True  # -1 lands in the extra last column
        wanted = wanted[:, :-1]
        if self.multi_label:
            given = answers >= self.threshold
            right = given == wanted
            self.right += int(right.all(axis=1).sum())
            self._calibrate(np.where(given, answers, 1 - answers).ravel(), right.ravel())
        else:
            given = np.zeros_like(wanted)
            best = answers.argmax(axis=1)
            given[rows, best] = True
            hit = wanted[rows, best]
            self.right += int(hit.sum())
            self._calibrate(answers[rows, best], hit)
        self.texts += len(answers)
        self.true_positives += (given & wanted).sum(axis=0)
        self.predicted += given.sum(axis=0)
        self.wanted += wanted.sum(axis=0)

    def _calibrate(self, confidence: np.ndarray, right: np.ndarray) -> None:
        # A broken model answers NaN, which is no bin; the weights below carry it on to the result.
        numbers = np.nan_to_num(confidence * CALIBRATION_BINS).astype(np.int64)
        bins = np.minimum(numbers, CALIBRATION_BINS - 1).clip(min=0)
        self.bin_decisions += np.bincount(bins, minlength=CALIBRATION_BINS)
        self.bin_confidence += np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
        self.bin_right += np.bincount(bins, weights=right, minlength=CALIBRATION_BINS).astype(np.int64)

    def compute(self) -> dict[str, float]:
        """Return the metrics of all texts that were counted; {} if there were none."""
        if not self.texts:
            return {}
        decided = self.predicted + self.wanted
        f1 = np.divide(2 * self.true_positives, decided, out=np.zeros(len(decided)), where=decided > 0)
        counted = np.ones(len(decided), dtype=bool) if self.multi_label else decided > 0
        gaps = np.abs(self.bin_confidence - self.bin_right).sum()
        scores = {"accuracy": self.right / self.texts, "macro_f1": float(f1[counted].mean())}
        if self.multi_label:  # with one label a text it is the accuracy over again
            scores["micro_f1"] = float(2 * self.true_positives.sum() / max(1, decided.sum()))
        scores["ece"] = float(gaps / self.bin_decisions.sum())
        return scores
