"""The baselines: simple methods on the network's own tokens and targets, whatever labels the rows hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rnntext.baselines import STRENGTHS, LabelledTokens, MajorityBaseline, TfidfBaseline, unigrams_and_bigrams
from rnntext.metrics import ClassificationScores, Scores

GOOD, BAD = ["crisp", "lovely", "warm"], ["soggy", "dull", "broken"]
PLAIN = ["the", "soup", "was", "my", "lamp", "and", "quite", "today"]


def made_up(count: int, seed: int, noise: float = 0.0) -> tuple[list[list[str]], list[int]]:
    """Return texts of plain words and one telling word, two in three of them good; ``noise`` flips some."""
    chooser = random.Random(seed)
    texts, labels = [], []
    for number in range(count):
        label = int(number % 3 > 0)
        words = [*chooser.choices(PLAIN, k=5), chooser.choice(GOOD if label else BAD)]
        chooser.shuffle(words)
        texts.append(words)
        labels.append(1 - label if chooser.random() < noise else label)
    return texts, labels


def labelled(texts: Sequence[list[str]], targets: Sequence[Any]) -> LabelledTokens:
    rows = [[target] if isinstance(target, int) else list(target) for target in targets]
    width = max(1, *map(len, rows))
    array = np.array([[*row, *[-1] * (width - len(row))] for row in rows])
    return LabelledTokens(lambda: iter(texts), lambda part: array[part], lambda tokens: [False] * len(tokens))


def counter(num_labels: int, multi_label: bool) -> Callable[[], ClassificationScores]:
    return lambda: ClassificationScores(num_labels, multi_label)


def fitted(
    kind: type, num_labels: int, multi_label: bool, train: LabelledTokens, validation: LabelledTokens | None = None
) -> Any:
    baseline = kind(num_labels, multi_label, counter(num_labels, multi_label))
    baseline.fit(train, validation or train)
    return baseline


def accuracy(baseline: Any, data: LabelledTokens, num_labels: int, multi_label: bool) -> float:
    scores = ClassificationScores(num_labels, multi_label)
    scores.update(baseline.answers(data.tokens()), data.targets)
    return scores.compute()["accuracy"]


def test_majority_answers_every_text_with_the_shares_of_train() -> None:
    train = labelled([["a"]] * 4, [2, 0, 2, 2])
    baseline = fitted(MajorityBaseline, 3, False, train)
    assert baseline.answers([["x"], [], ["y", "z"]]).tolist() == [[0.25, 0, 0.75]] * 3
    assert baseline.answers([]).shape == (0, 3)
    assert baseline.megabytes() > 0


def test_majority_of_several_labels_counts_texts_not_labels() -> None:
    train = labelled([["a"]] * 4, [(0, 1), (0,), (), (0, 1)])
    assert fitted(MajorityBaseline, 2, True, train).answers([["x"]]).tolist() == [[0.75, 0.5]]


def test_tfidf_beats_majority_where_words_tell() -> None:
    train, validation = labelled(*made_up(90, 1)), labelled(*made_up(30, 2))
    majority = fitted(MajorityBaseline, 2, False, train, validation)
    tfidf = fitted(TfidfBaseline, 2, False, train, validation)
    test = labelled(*made_up(60, 3))
    assert accuracy(majority, test, 2, False) == pytest.approx(2 / 3)
    assert accuracy(tfidf, test, 2, False) > 0.95
    answers = tfidf.answers(test.tokens())
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert tfidf.megabytes() > majority.megabytes() > 0


def test_tfidf_is_scikit_learns_with_pairs_sublinear_counts_and_the_chosen_c() -> None:
    texts, labels = made_up(60, 4, noise=0.2)
    train, validation = labelled(texts, labels), labelled(*made_up(30, 5))
    baseline = fitted(TfidfBaseline, 2, False, train, validation)
    vectorizer = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True
    )
    features = vectorizer.fit_transform([" ".join(words) for words in texts])
    model = LogisticRegression(C=baseline.strength, max_iter=1000).fit(features, labels)
    expected = model.predict_proba(vectorizer.transform([" ".join(words) for words in validation.tokens()]))
    np.testing.assert_allclose(baseline.answers(validation.tokens()), expected, atol=1e-4)


class Rigged:
    """Scores that say in advance which of the three strengths did best."""

    def __init__(self, value: float) -> None:
        self.value = value

    def update(self, answers: Any, targets: np.ndarray) -> None:
        pass

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.value, "ece": -self.value}


@pytest.mark.parametrize(
    ("values", "chosen"), [([0.1, 0.9, 0.5], 4.0), ([0.1, 0.2, 0.3], 16.0), ([0.5, 0.5, 0.5], 1.0), ([0, 0, 0], 1.0)]
)
def test_tfidf_keeps_the_c_that_the_validation_split_likes_best(values: list[float], chosen: float) -> None:
    assert STRENGTHS == (1.0, 4.0, 16.0)
    waiting = iter(values)

    def rigged() -> Scores:
        return Rigged(next(waiting))

    data = labelled(*made_up(30, 6, noise=0.1))
    baseline = TfidfBaseline(2, False, rigged)
    baseline.fit(data, data)
    assert baseline.strength == chosen
    features = baseline.vectorizer.transform(data.tokens())
    alone = LogisticRegression(C=chosen, max_iter=1000).fit(features, data.targets[:, 0])
    np.testing.assert_allclose(baseline.answers(data.tokens()), alone.predict_proba(features), atol=1e-6)


def test_c_is_chosen_on_the_validation_split_and_not_on_train() -> None:
    seen: list[int] = []

    class Watching(ClassificationScores):
        def update(self, answers: np.ndarray, targets: np.ndarray) -> None:
            seen.append(len(answers))
            super().update(answers, targets)

    baseline = TfidfBaseline(2, False, lambda: Watching(2, False))
    baseline.fit(labelled(*made_up(30, 7)), labelled(*made_up(11, 8)))
    assert seen == [11, 11, 11]


def test_a_label_that_train_lacks_keeps_its_column_at_zero() -> None:
    train = labelled([["a"], ["b"], ["a"], ["b"]], [0, 2, 0, 2])
    validation = labelled([["a"], ["b"], ["c"]], [0, 2, 1])
    for kind in (MajorityBaseline, TfidfBaseline):
        answers = fitted(kind, 4, False, train, validation).answers([["a"], ["b"]])
        assert answers.shape == (2, 4)
        assert not answers[:, [1, 3]].any()
        np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert answers.argmax(axis=1).tolist() == [0, 2]


def test_a_train_split_with_one_label_left_is_answered_with_it() -> None:
    train = labelled([["a"], ["b"]], [1, 1])
    baseline = fitted(TfidfBaseline, 3, False, train, labelled([["a"]], [0]))
    assert baseline.answers([["a"], ["z"]]).tolist() == [[0, 1, 0]] * 2
    assert baseline.megabytes() > 0


def test_several_labels_include_those_that_all_or_no_texts_have() -> None:
    texts = [["soup", "warm"], ["soup", "cold"], ["lamp", "warm"], ["lamp", "cold"]] * 3
    targets = [(0, 2, 3), (0, 2), (2, 3), (2,)] * 3  # 0 soup, 1 never, 2 always, 3 warm
    train = labelled(texts, targets)
    baseline = fitted(TfidfBaseline, 4, True, train)
    answers = baseline.answers(iter(texts[:4]))
    assert answers.shape == (4, 4)
    assert answers[:, 1].tolist() == [0] * 4
    assert answers[:, 2].tolist() == [1] * 4
    assert (answers[:, [0, 3]] >= 0.5).tolist() == [[True, True], [True, False], [False, True], [False, False]]
    assert accuracy(baseline, train, 4, True) == 1
    assert baseline.megabytes() > 0


@pytest.mark.parametrize("targets", [[(0,), ()], [(0,), (0,)], [(), ()]], ids=["some", "all", "none"])
def test_a_single_label_of_the_several_label_kind_has_one_column(targets: list[tuple[int, ...]]) -> None:
    train = labelled([["fine"], ["odd"]], targets)
    answers = fitted(TfidfBaseline, 1, True, train).answers([["fine"], ["odd"]])
    assert answers.shape == (2, 1)
    first, second = answers[:, 0]
    if targets == [(0,), ()]:
        assert first > 0.5 > second
    else:
        assert first == second == len(targets[0])


def test_texts_without_tokens_are_answered_even_where_all_of_them_are() -> None:
    train = labelled([["a"], [], ["a"], []], [0, 1, 0, 1])
    answers = fitted(TfidfBaseline, 2, False, train).answers([[], ["a"], ["never", "seen"]])
    assert answers.argmax(axis=1).tolist()[:2] == [1, 0]
    assert np.isfinite(answers).all()
    silent = labelled([[], []], [0, 1])
    assert fitted(TfidfBaseline, 2, False, silent).answers([[]]).tolist() == [[0.5, 0.5]]


def test_tokens_are_taken_as_they_are() -> None:
    assert unigrams_and_bigrams(["New York", "!", "É", "a"]) == [
        "New York",
        "!",
        "É",
        "a",
        "New York !",
        "! É",
        "É a",
    ]
    texts = [["GOOD", "!"], ["good", "?"], ["GOOD", "a"], ["good", "b"]]
    train = labelled(texts, [0, 1, 0, 1])
    baseline = fitted(TfidfBaseline, 2, False, train)
    assert set(baseline.vectorizer.vocabulary_) == {term for text in texts for term in unigrams_and_bigrams(text)}
    assert baseline.answers([["GOOD"], ["good"]]).argmax(axis=1).tolist() == [0, 1]


def test_lone_surrogates_in_tokens_do_no_harm() -> None:
    train = labelled([["\ud83d"], ["fine"]], [0, 1])
    assert fitted(TfidfBaseline, 2, False, train).megabytes() > 0


def test_the_same_data_give_the_same_answers() -> None:
    data = labelled(*made_up(45, 9, noise=0.1))

    def answers() -> Iterable[float]:
        return fitted(TfidfBaseline, 2, False, data).answers(data.tokens()).ravel().tolist()

    assert answers() == answers()
