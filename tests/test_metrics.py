"""The metrics: scikit-learn's numbers, however the texts are cut into batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from rnntext.metrics import BlankScores, ClassificationScores, LanguageScores

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


# --- language models: perplexity and its unit ------------------------------------------------------------------


def told(*tokens: tuple[float, int, bool] | None) -> np.ndarray:
    """Return the answers to one text [1, T, 3]: probability, characters, unknown; None: a token that is not told."""
    answers = np.full((1, len(tokens), 3), np.nan)
    for place, token in enumerate(tokens):
        if token is not None:
            answers[0, place] = -np.log(token[0]), token[1], token[2]
    return answers


def language_scores(*texts: np.ndarray) -> dict[str, float]:
    scores = LanguageScores()
    for answers in texts:
        scores.update(answers, np.empty((len(answers), 0), dtype=np.int64))
    return scores.compute()


def test_perplexity_and_bits_by_hand() -> None:
    scores = language_scores(told((1 / 2, 4, False), (1 / 4, 3, True), (1 / 16, 7, False), None))
    assert list(scores) == ["perplexity", "bits_per_character", "unknown_rate"]
    # 1 + 2 + 4 bits: the geometric mean of 2, 4 and 16; and 14 characters.
    assert scores["perplexity"] == pytest.approx(2 ** (7 / 3))
    assert scores["bits_per_character"] == pytest.approx(7 / 14)
    assert scores["unknown_rate"] == pytest.approx(1 / 3)


def test_a_perfect_model_has_a_perplexity_of_1_and_a_guess_that_of_the_number_of_words() -> None:
    assert language_scores(told((1.0, 5, False), (1.0, 2, False)))["perplexity"] == 1
    assert language_scores(told(*[(1 / 30, 5, False)] * 7))["perplexity"] == pytest.approx(30)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=30))
def test_of_characters_the_bits_are_the_logarithm_of_the_perplexity(probabilities: list[float]) -> None:
    scores = language_scores(told(*((probability, 1, False) for probability in probabilities)))
    assert scores["bits_per_character"] == pytest.approx(np.log2(scores["perplexity"]))


tokens = st.tuples(st.floats(0.01, 1), st.integers(1, 12), st.booleans())


@given(st.lists(st.lists(st.none() | tokens, max_size=6), min_size=1, max_size=8))
def test_perplexity_is_that_of_all_tokens_whichever_text_they_stand_in(texts: list[list[Any]]) -> None:
    together = [token for text in texts for token in text]
    expected = language_scores(told(*together))
    assert language_scores(*(told(*text) for text in texts)) == pytest.approx(expected)
    longest = max(map(len, texts))
    padded = [told(*text, *[None] * (longest - len(text))) for text in texts]
    assert language_scores(np.concatenate(padded)) == pytest.approx(expected)
    if not any(together):
        assert expected == {}, "nothing told has no perplexity"


# --- blanks: ranks of the answers, and choices -----------------------------------------------------------------

WORDS = 9
Question = list[tuple[list[float], int, list[int]]]
"""Of each blank of a text: logits of all words but the first three, the answer, and what may be chosen from."""
blanks = st.tuples(
    st.lists(st.integers(-3, 0).map(float), min_size=WORDS - 3, max_size=WORDS - 3),  # few values, so that some tie
    st.integers(1, WORDS - 1),
    st.lists(st.integers(1, WORDS - 1), min_size=1, max_size=4),
)
questions = st.lists(st.tuples(st.lists(blanks, min_size=0, max_size=3), st.booleans()), max_size=8)


def packed(texts: list[tuple[Question, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Return answers [B, S, V] and targets [B, S'] as a head and a batch have them; with choices where wanted."""
    answers = np.full((len(texts), max((len(text) for text, _ in texts), default=0), WORDS), np.nan)
    rows = []
    for number, (text, with_choices) in enumerate(texts):
        for place, (logits, _, _) in enumerate(text):
            answers[number, place] = [-np.inf] * 3 + logits
        groups = [[-1, *choices] for _, _, choices in text] if with_choices else []
        rows.append([*(answer for _, answer, _ in text), *(word for group in groups for word in group)])
    width = max(map(len, rows), default=0)
    targets = np.array([row + [-1] * (width - len(row)) for row in rows], dtype=np.int64).reshape(len(rows), width)
    return answers, targets


def blank_scores(texts: list[tuple[Question, bool]]) -> dict[str, float]:
    scores = BlankScores()
    if texts:
        scores.update(*packed(texts))
    return scores.compute()


def slow_blank_scores(texts: list[tuple[Question, bool]]) -> dict[str, float]:
    """Return the metrics as their definitions read; ids below 3 are no words."""
    ranks, losses, chosen = [], [], []
    for text, with_choices in texts:
        for logits, answer, choices in text:
            by_word = dict(enumerate(logits, 3))
            own = by_word.get(answer, -np.inf)
            if answer in by_word:
                ranks.append(1 + sum(other > own for other in logits))
                losses.append(-own)
            else:
                ranks.append(np.inf)
            if with_choices:
                best = max(by_word.get(choice, -np.inf) for choice in choices)
                chosen.append(answer in by_word and own >= best)
    if not ranks:
        return {}
    return {
        "top1": float(np.mean([rank == 1 for rank in ranks])),
        "top5": float(np.mean([rank <= 5 for rank in ranks])),
        "mrr": float(np.mean([1 / rank for rank in ranks])),
        **({"perplexity": float(np.exp(np.mean(losses)))} if losses else {}),
        **({"choice_accuracy": float(np.mean(chosen))} if chosen else {}),
        "unknown_answers": 1 - len(losses) / len(ranks),
    }


@settings(max_examples=80, deadline=None)
@given(texts=questions)
def test_scores_of_blanks_are_those_of_the_definitions(texts: list[tuple[Question, bool]]) -> None:
    found = blank_scores(texts)
    expected = slow_blank_scores(texts)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(texts=questions, size=st.integers(1, 4))
def test_scores_of_blanks_do_not_depend_on_the_batches(texts: list[tuple[Question, bool]], size: int) -> None:
    scores = BlankScores()
    for start in range(0, len(texts), size):
        scores.update(*packed(texts[start : start + size]))
    assert scores.compute() == pytest.approx(blank_scores(texts))


def test_scores_of_a_few_blanks_by_hand() -> None:
    logits = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]  # of the words 3 to 8
    first: Question = [(logits, 3, [4, 3]), (logits, 5, [4, 5])]
    second: Question = [(logits, 8, []), (logits, 1, [])]
    assert blank_scores([(first, True), (second, False)]) == pytest.approx(
        {
            "top1": 1 / 4,
            "top5": 2 / 4,
            "mrr": (1 + 1 / 3 + 1 / 6 + 0) / 4,
            "perplexity": np.exp((1 + 3 + 6) / 3),
            "choice_accuracy": 1 / 2,
            "unknown_answers": 1 / 4,
        }
    )


def test_an_answer_that_is_unknown_is_wrong_among_unknown_choices_too() -> None:
    scores = blank_scores([([([-1.0] * 6, 1, [1])], True)])
    assert scores == {"top1": 0, "top5": 0, "mrr": 0, "choice_accuracy": 0, "unknown_answers": 1}


def test_texts_without_blanks_are_not_counted() -> None:
    assert blank_scores([]) == blank_scores([([], False), ([], True)]) == {}
