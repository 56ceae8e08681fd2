"""The metrics: scikit-learn's numbers, however the texts are cut into batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from rnntext.metrics import ClassificationScores

BINS = 15
cases = st.builds(
    lambda seed, texts, labels, sharpness: (np.random.default_rng(seed), texts, labels, sharpness),
    seed=st.integers(0, 2**32 - 1),
    texts=st.integers(1, 60),
    labels=st.integers(2, 6),
    sharpness=st.sampled_from([0.1, 1.0, 10.0]),
)
Case = tuple[np.random.Generator, int, int, float]


def one_label(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities [N, L] and targets [N, 1]; some labels may never occur."""
    random, texts, labels, sharpness = case
    logits = random.normal(size=(texts, labels)) * sharpness
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), random.integers(0, labels, (texts, 1))


def several_labels(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities [N, L], targets [N, S] with -1 after the last, and the same as bool [N, L]."""
    random, texts, labels, sharpness = case
    answers = 1 / (1 + np.exp(-random.normal(size=(texts, labels)) * sharpness))
    wanted = random.random((texts, labels)) < 0.4
    targets = np.full((texts, max(1, int(wanted.sum(axis=1).max()))), -1)
    for row, flags in enumerate(wanted):
        ids = random.permutation(np.flatnonzero(flags))
        targets[row, : len(ids)] = ids
    return answers, targets, wanted


def counted(answers: np.ndarray, targets: np.ndarray, multi_label: bool, threshold: float = 0.5) -> dict[str, float]:
    scores = ClassificationScores(answers.shape[1], multi_label, threshold)
    scores.update(answers, targets)
    return scores.compute()


def slow_ece(confidences: list[float], right: list[bool]) -> float:
    """Return the expected calibration error as its definition reads."""
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        last = number == BINS - 1
        inside = [place for place, value in enumerate(confidences) if low <= value < high or (last and value == 1)]
        if inside:
            accuracy = sum(right[place] for place in inside) / len(inside)
            confidence = sum(confidences[place] for place in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_scores_of_one_label_a_text_equal_scikit_learns(case: Case) -> None:
    answers, targets = one_label(case)
    scores = counted(answers, targets, multi_label=False)
    best = answers.argmax(axis=1)
    assert list(scores) == ["accuracy", "macro_f1", "ece"]
    assert scores["accuracy"] == pytest.approx(accuracy_score(targets[:, 0], best))
    assert scores["macro_f1"] == pytest.approx(f1_score(targets[:, 0], best, average="macro", zero_division=0))
    right = (best == targets[:, 0]).tolist()
    assert scores["ece"] == pytest.approx(slow_ece(answers.max(axis=1).tolist(), right))


@settings(max_examples=60, deadline=None)
@given(case=cases, threshold=st.sampled_from([0.3, 0.5, 0.8]))
def test_scores_of_several_labels_a_text_equal_scikit_learns(case: Case, threshold: float) -> None:
    answers, targets, wanted = several_labels(case)
    scores = counted(answers, targets, True, threshold)
    given_labels = answers >= threshold
    assert set(scores) == {"accuracy", "macro_f1", "micro_f1", "ece"}
    assert scores["accuracy"] == pytest.approx(accuracy_score(wanted, given_labels))
    for average in ("macro", "micro"):
        expected = f1_score(wanted, given_labels, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    confidences = np.where(given_labels, answers, 1 - answers).ravel().tolist()
    assert scores["ece"] == pytest.approx(slow_ece(confidences, (given_labels == wanted).ravel().tolist()))


@settings(max_examples=40, deadline=None)
@given(case=cases, multi_label=st.booleans(), size=st.integers(1, 20))
def test_updates_batch_by_batch_equal_one_update(case: Case, multi_label: bool, size: int) -> None:
    answers, targets = several_labels(case)[:2] if multi_label else one_label(case)
    scores = ClassificationScores(answers.shape[1], multi_label)
    for start in range(0, len(answers), size):
        cut = targets[start : start + size]
        longest = max(1, int((cut >= 0).sum(axis=1).max()))  # a batch is as wide as its longest target
        scores.update(answers[start : start + size], cut[:, :longest])
    assert scores.compute() == pytest.approx(counted(answers, targets, multi_label))


def test_certain_answers_fall_into_the_last_and_first_bin() -> None:
    assert counted(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0], [1]]), False)["ece"] == pytest.approx(0.5)
    several = counted(np.array([[1.0, 0.0]]), np.array([[0]]), True)
    assert several["ece"] == 0
    assert several["accuracy"] == 1


def test_a_label_that_neither_occurs_nor_is_answered_leaves_macro_f1_alone() -> None:
    answers = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert counted(answers, np.array([[0], [1]]), False)["macro_f1"] == 1


def test_texts_without_labels_count_as_the_empty_set() -> None:
    scores = counted(np.array([[0.1, 0.2], [0.1, 0.9]]), np.full((2, 1), -1), True)
    assert scores["accuracy"] == 0.5
    assert scores["micro_f1"] == 0
    assert counted(np.array([[0.1, 0.2]]), np.empty((1, 0), dtype=np.int64), True)["accuracy"] == 1


def test_nothing_counted_gives_no_scores() -> None:
    assert ClassificationScores(3, False).compute() == {}
    assert ClassificationScores(3, True).compute() == {}
