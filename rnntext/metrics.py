"""Scores, counted batch by batch, so that no evaluation holds all its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from rnntext.schemes import TagSet

CALIBRATION_BINS = 15
BY_TYPE = {"precision": "span_precision_", "recall": "span_recall_", "f1": "span_f1_"}
"""What stands before a span's type in the name of a metric of that type alone."""


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


class TagScores:
    """Right tags, and right spans by the definitions of the evaluation script of CoNLL-2000 and 2003 (conlleval).

    Where tags are parts of spans: ``span_precision``, the share of predicted spans that are right, which is to say of
    the same start, end and type as a true one; ``span_recall``, the share of true spans that are predicted;
    ``span_f1``, their harmonic mean; each also by type (``span_f1_PER``), for types that occur or are predicted, and
    ``span_macro_f1``, the mean of these types' F1. Broken sequences of tags have the spans that the script sees in
    them. A share of nothing is 0.

    ``token_accuracy``: share of tokens with the right tag; ``unknown_accuracy``: of tokens that the vocabulary does
    not know, if there are any; ``macro_f1``, where tags are no spans: mean of the tags' F1, over tags that occur or
    are predicted.

    Args:
        tag_set: which tags there are, and where they say that spans begin and end.
    """

    def __init__(self, tag_set: TagSet) -> None:
        self.tag_set = tag_set
        self.texts = 0
        self.tokens = np.zeros(2, dtype=np.int64)  # known, unknown
        self.right_tokens = np.zeros(2, dtype=np.int64)
        classes = len(tag_set) if tag_set.scheme == "none" else len(tag_set.types)
        self.right = np.zeros(classes, dtype=np.int64)
        self.predicted = np.zeros(classes, dtype=np.int64)
        self.wanted = np.zeros(classes, dtype=np.int64)

    def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
        """Count some texts.

        Args:
            answers: int [B, T, 2], a tag's number, and 1 where the token is unknown; -1 at padding.
            targets: int64 [B, S], tags' numbers; what stands beside a -1 is not counted, nor part of a span.
        """
        self.texts += len(targets)
        width = targets.shape[1]
        here = answers[:, :width]
        here = np.pad(here, ((0, 0), (0, width - here.shape[1]), (0, 0)), constant_values=-1)
        counted = targets >= 0
        given, unknown, wanted = here[counted, 0], here[counted, 1] == 1, targets[counted]
        right = given == wanted
        self.tokens += np.bincount(unknown, minlength=2)
        self.right_tokens += np.bincount(unknown[right], minlength=2)
        if self.tag_set.scheme == "none":
            self._count(wanted[right], given[given >= 0], wanted)
        else:
            self._count_spans(np.where(counted, here[..., 0], -1), targets)

    def _count(self, right: np.ndarray, predicted: np.ndarray, wanted: np.ndarray) -> None:
        classes = len(self.right)
        self.right += np.bincount(right, minlength=classes)
        self.predicted += np.bincount(predicted, minlength=classes)
        self.wanted += np.bincount(wanted, minlength=classes)

    def _count_spans(self, given: np.ndarray, targets: np.ndarray) -> None:
        starts, ends, types = self.tag_set.places_of(given)
        true_starts, true_ends, true_types = self.tag_set.places_of(targets)
        _, places, true_places = np.intersect1d(starts, true_starts, assume_unique=True, return_indices=True)
        right = (ends[places] == true_ends[true_places]) & (types[places] == true_types[true_places])
        self._count(types[places][right], types, true_types)

    def compute(self) -> dict[str, float]:
        """Return the metrics of all texts that were counted; {} if there were none."""
        if not self.texts:
            return {}
        tokens = {"token_accuracy": _share(self.right_tokens.sum(), self.tokens.sum())}
        if self.tokens[1]:
            tokens["unknown_accuracy"] = _share(self.right_tokens[1], self.tokens[1])
        decided = self.predicted + self.wanted
        classes = np.flatnonzero(decided).tolist()
        f1 = {place: _share(2 * self.right[place], decided[place]) for place in classes}
        macro_f1 = sum(f1.values()) / max(1, len(f1))
        if self.tag_set.scheme == "none":
            return {**tokens, "macro_f1": macro_f1}
        right, predicted, wanted = self.right.sum(), self.predicted.sum(), self.wanted.sum()
        scores = {
            "span_f1": _share(2 * right, predicted + wanted),
            "span_precision": _share(right, predicted),
            "span_recall": _share(right, wanted),
            "span_macro_f1": macro_f1,
            **tokens,
        }
        for place in classes:
            label = self.tag_set.types[place]
            scores[f"{BY_TYPE['precision']}{label}"] = _share(self.right[place], self.predicted[place])
            scores[f"{BY_TYPE['recall']}{label}"] = _share(self.right[place], self.wanted[place])
            scores[f"{BY_TYPE['f1']}{label}"] = f1[place]
        return scores


class BlankScores:
    """How near the top the right words of blanks are.

    ``top1``, ``top5``: share of answers that are the most probable word, or among the five. ``mrr``: mean of one over
    the answer's rank. ``perplexity``: exp of the mean loss of the answers that the vocabulary knows: 1 is perfect.
    ``choice_accuracy``, where there are choices: share of blanks whose answer is the most probable of them.
    ``unknown_answers``: share of answers that the vocabulary does not know, which are wrong everywhere else.
    """

    def __init__(self) -> None:
        self.blanks = self.known = self.questions = 0
        self.top1 = self.top5 = self.right_choices = 0
        self.reciprocal_ranks = self.loss = 0.0

    def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
        """Count some texts.

        Args:
            answers: float [B, S, V] log probabilities, -inf for what is no word; NaN where a text has fewer blanks.
            targets: int64 [B, S'], word ids: an answer for each blank of the text; then, if there are choices, a -1
                before those of each blank.
        """
        for row, wanted in zip(answers, targets, strict=True):
            logits = row[~np.isnan(row[:, 0])]
            groups = np.split(wanted[len(logits) :], np.flatnonzero(wanted[len(logits) :] < 0))[1:]
            for number, (blank, answer) in enumerate(zip(logits, wanted, strict=False)):
                choices = groups[number][1:] if number < len(groups) else wanted[:0]
                self._count(blank, int(answer), choices)

    def _count(self, logits: np.ndarray, answer: int, choices: np.ndarray) -> None:
        self.blanks += 1
        own = logits[answer] if answer >= 0 else -np.inf
        if len(choices):
            self.questions += 1
            self.right_choices += bool(np.isfinite(own) and own >= logits[choices].max())
        if np.isfinite(own):
            rank = 1 + int((logits > own).sum())
            self.known += 1
            self.loss -= float(own)
            self.top1 += rank == 1
            self.top5 += rank <= 5
            self.reciprocal_ranks += 1 / rank

    def compute(self) -> dict[str, float]:
        """Return the metrics of all blanks that were counted; {} if there were none."""
        if not self.blanks:
            return {}
        scores = {"top1": self.top1, "top5": self.top5, "mrr": self.reciprocal_ranks}
        shares = {name: _share(value, self.blanks) for name, value in scores.items()}
        if self.known:
            shares["perplexity"] = float(np.exp(self.loss / self.known))
        if self.questions:
            shares["choice_accuracy"] = _share(self.right_choices, self.questions)
        return {**shares, "unknown_answers": _share(self.blanks - self.known, self.blanks)}


class LanguageScores:
    """How well the tokens of texts are told.

    ``perplexity``: exp of the mean loss of a token; 1 is perfect, V is guessing. Only figures of one and the same
    vocabulary compare. ``bits_per_character``: the same loss in bits by the characters of the text, blanks between
    words included, which compares across tokenizers where few tokens are unknown. ``unknown_rate``: share of tokens
    that the vocabulary does not know, and which are told as ``<unk>``: an easy word.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.sums = np.zeros(3)
        """Of losses, characters, unknown tokens."""

    def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
        """Count float [B, T, 3], losses, characters and whether they are unknown, of tokens; NaN is left out."""
        told = answers[~np.isnan(answers[..., 0])]
        self.tokens += len(told)
        self.sums += told.sum(axis=0)

    def compute(self) -> dict[str, float]:
        """Return the metrics of all tokens that were counted; {} if there were none."""
        if not self.tokens:
            return {}
        loss, characters, unknown = self.sums.tolist()
        return {
            "perplexity": float(np.exp(loss / self.tokens)),
            "bits_per_character": loss / float(np.log(2)) / characters,
            "unknown_rate": unknown / self.tokens,
        }


def _share(part: Any, whole: Any) -> float:
    return float(part) / max(1, int(whole))


def split_by_type(scores: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the metrics of all types together, and type -> ``precision``, ``recall``, ``f1`` of that type."""
    together: dict[str, Any] = {}
    by_type: dict[str, dict[str, Any]] = {}
    for name, value in scores.items():
        for measure, start in BY_TYPE.items():
            if name.startswith(start):
                by_type.setdefault(name.removeprefix(start), {})[measure] = value
                break
        else:
            together[name] = value
    return together, by_type
