"""N-gram models against their definition, and the baselines of language models and of blanks made of them."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import ngram_baselines
from rnntext.baselines import Baseline, LabelledTokens
from rnntext.ngram_baselines import (
    WEIGHTS,
    NgramBaseline,
    NgramModel,
    TwoSidedNgramBaseline,
    UnigramBlankBaseline,
    discounts,
)
from rnntext.vocabularies.frequency import FrequencyVocabulary

BLANK = "<blank>"
NUM_WORDS = 5
TRAIN = [
    "the cook stirs the soup",
    "the cook tastes the soup",
    "the cook stirs the stew",
    "a sailor mends the net",
    "a sailor mends a sail",
    "a sailor folds the sail",
    "the soup was hot",
    "the stew was hot",
    "the net was torn",
]
NONE_ASKED = [("the soup was hot", [])]

sequences = st.lists(st.lists(st.integers(0, NUM_WORDS - 1), max_size=12), max_size=8)
contexts = st.lists(st.integers(0, NUM_WORDS - 1), max_size=5)
orders = st.integers(1, 4)


def fitted(
    texts: Sequence[Sequence[int]], order: int, joined: bool = False, num_words: int = NUM_WORDS
) -> NgramModel:
    model = NgramModel(order, num_words)
    model.fit((np.array(text, dtype=np.int64) for text in texts), joined)
    return model


def by_definition(texts: Sequence[Sequence[int]], order: int, context: Sequence[int]) -> list[float]:
    """Return the probability of each word after a context, counted anew and without arrays."""
    often: Counter[tuple[int, ...]] = Counter()
    before: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    for text in texts:
        for start, stop in itertools.combinations(range(len(text) + 1), 2):
            gram = tuple(text[start:stop])
            often[gram] += 1
            before[gram].add(text[start - 1] if start else -1)

    def probability(context: tuple[int, ...], word: int, whole: bool) -> float:
        length = len(context) + 1
        counts = {gram: count if whole else len(before[gram]) for gram, count in often.items() if len(gram) == length}
        discount = discounts(np.array(list(counts.values()), dtype=np.int64))
        shorter = probability(context[1:], word, False) if context else 1 / NUM_WORDS
        after = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == context}
        if not after:
            return shorter
        own = after.get(word, 0)
        rest = sum(discount[min(count, 3)] for count in after.values())
        return float((own - discount[min(own, 3)] + rest * shorter) / sum(after.values()))

    context = tuple(context)[max(0, len(context) - order + 1) :]
    return [probability(context, word, True) for word in range(NUM_WORDS)]


def test_discounts_follow_from_how_many_counts_are_1_2_3_and_4():
    counts = np.array([*[1] * 8, *[2] * 4, 3, 3, 4, 9, 9])
    # 8 / (8 + 2 * 4) = 1/2; 1 - 2/2 * 4/8; 2 - 3/2 * 2/4; 3 - 4/2 * 1/2
    assert discounts(counts).tolist() == pytest.approx([0, 0.5, 1.25, 2.0])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1, 1, 2, 7], 3 / 5),
        ([1, 1, 2, 3, 3, 3], 1 / 2),
        ([1, 1, 2, 3], 1 / 2),
        ([2, 2, 5], 0.5),
        ([1, 1], 0.5),
        ([], 0.5),
    ],
    ids=[
        "no count of 3",
        "a count of 2 would gain",
        "one of 3 would lose more",
        "none of 1",
        "none of 2",
        "none",
    ],
)
def test_where_counts_are_few_there_is_one_discount(counts, expected):
    assert discounts(np.array(counts, dtype=np.int64)).tolist() == pytest.approx([0, *[expected] * 3])


@given(st.lists(st.integers(1, 6), max_size=60))
def test_a_discount_is_never_nothing_and_more_often_seen_stays_more(counts):
    found = discounts(np.array(counts, dtype=np.int64))
    assert found[0] == 0
    assert (found[1:] > 0).all()
    assert (np.diff([0, 1, 2, 3] - found) >= 0).all()


@settings(deadline=None)
@given(sequences, orders, contexts)
def test_distributions_are_what_the_definition_says(texts, order, context):
    model = fitted(texts, order)
    assert model.distribution(context) == pytest.approx(by_definition(texts, order, context), abs=1e-12)


@settings(deadline=None)
@given(sequences, orders, contexts)
def test_joined_sequences_are_one(texts, order, context):
    one = list(itertools.chain.from_iterable(texts))
    assert fitted(texts, order, joined=True).distribution(context) == pytest.approx(
        by_definition([one], order, context), abs=1e-12
    )


@settings(deadline=None)
@given(sequences, orders, contexts, st.booleans())
def test_each_word_has_a_probability_and_they_sum_to_one(texts, order, context, joined):
    distribution = fitted(texts, order, joined).distribution(context)
    assert distribution.shape == (NUM_WORDS,)
    assert (distribution > 0).all()
    assert distribution.sum() == pytest.approx(1)


@settings(deadline=None)
@given(sequences, orders, st.lists(st.integers(0, NUM_WORDS - 1), max_size=9))
def test_log_probabilities_are_those_of_the_distributions(texts, order, sequence):
    model = fitted(texts, order)
    wanted = [np.log(model.distribution(sequence[:place])[word]) for place, word in enumerate(sequence)]
    found = model.log_probabilities(np.array(sequence, dtype=np.int64))
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx(wanted)


def test_a_model_that_has_seen_nothing_guesses():
    assert NgramModel(3, 4).distribution([2, 1]).tolist() == [0.25] * 4


def test_fitting_again_forgets():
    model = fitted([[0, 1, 2, 3]], 3)
    model.fit([np.array([4, 4, 2])], joined=False)
    assert model.distribution([4]).tolist() == fitted([[4, 4, 2]], 3).distribution([4]).tolist()


def test_large_ids_and_long_contexts_stay_apart():
    num_words = 400_000
    chooser = np.random.default_rng(0)
    text = chooser.integers(0, num_words, 3000)
    model = fitted([text], 6, num_words=num_words)
    assert (np.exp(model.log_probabilities(text)[5:]) > 0.4).all()  # each context was seen once, with one word
    assert model.distribution(text[:5].tolist()).argmax() == text[5]


def test_a_long_text_is_learnt_and_costs_what_its_n_grams_cost():
    cycle = np.arange(20_000) % 7
    model = fitted([cycle], 4, num_words=7)
    assert np.exp(model.log_probabilities(cycle)[3:]).min() > 0.99
    assert 0 < model.megabytes() < 0.01


def vocabulary_of(texts: Sequence[str], min_count: int = 1) -> FrequencyVocabulary:
    vocabulary = FrequencyVocabulary(min_count=min_count)
    vocabulary.fit({**Counter(" ".join(texts).split()), BLANK: 10**9})
    return vocabulary


def labelled(vocabulary: FrequencyVocabulary, rows: Sequence[tuple[str, Sequence[str]]]) -> LabelledTokens:
    """Return texts with the answers to their blanks."""
    width = max([1, *(len(answers) for _, answers in rows)])
    targets = np.full((len(rows), width), -1, dtype=np.int64)
    for target, (_, answers) in zip(targets, rows, strict=True):
        target[: len(answers)] = vocabulary.encode(answers)
    return LabelledTokens(
        lambda: (text.split() for text, _ in rows),
        lambda part: targets[part],
        lambda tokens: [number == 1 for number in vocabulary.encode(tokens)],
    )


def fit(
    baseline: Baseline,
    vocabulary: FrequencyVocabulary,
    train: Sequence[str] = TRAIN,
    validation: Sequence[tuple[str, Sequence[str]]] = NONE_ASKED,
) -> None:
    baseline.fit(labelled(vocabulary, [(text, []) for text in train]), labelled(vocabulary, validation))


def probabilities(baseline: Baseline, *texts: str) -> np.ndarray:
    """Return [N, S, V] probabilities, with NaN left in."""
    answers = baseline.answers([text.split() for text in texts])
    assert answers.dtype == np.float32
    return np.exp(answers.astype(np.float64))


def next_token(train: Sequence[str], order: int = 3, min_count: int = 1) -> NgramBaseline:
    vocabulary = vocabulary_of(train, min_count)
    baseline = NgramBaseline(order, vocabulary)
    fit(baseline, vocabulary, train)
    return baseline


def test_next_token_answers_cost_length_and_whether_unknown():
    baseline = next_token(TRAIN, min_count=2)  # "tastes", "folds", "a sail" and "torn": "a" and "sail" are known
    answers = baseline.answers([["the", "cook", "tastes", "soup"], [], ["the"], ["a", "sailor"]])
    assert answers.shape == (4, 4, 3)
    assert answers.dtype == np.float64
    held = ~np.isnan(answers)
    assert held.all(axis=2).tolist() == [
        [False, True, True, True],
        [False] * 4,
        [False] * 4,
        [False, True, False, False],
    ]
    assert (held.any(axis=2) == held.all(axis=2)).all()
    assert answers[0, 1:, 1].tolist() == [5, 7, 5]  # with a blank each
    assert answers[0, 1:, 2].tolist() == [0, 1, 0]
    ids = baseline.vocabulary.encode(["the", "cook", "tastes", "soup"])
    assert ids[2] == 1
    expected = [baseline.model.distribution(ids[:place])[ids[place]] for place in (1, 2, 3)]
    assert np.exp(-answers[0, 1:, 0]).tolist() == pytest.approx(expected)


def test_characters_have_no_blank_between_them():
    letters = [" ".join(text.replace(" ", "_")) for text in TRAIN]
    baseline = next_token(letters)
    assert baseline.answers([list("the_c")])[0, 1:, 1].tolist() == [1] * 4
    assert next_token([*letters, "ab"]).answers([list("the_c")])[0, 1:, 1].tolist() == [2] * 4


def test_no_text_and_only_empty_ones_have_answers_too():
    baseline = next_token(TRAIN)
    assert baseline.answers([]).shape == (0, 0, 3)
    assert baseline.answers([[], []]).shape == (2, 0, 3)


def test_texts_are_sequences_of_their_own():
    apart, together = next_token(["x y", "z x", "z y"], order=2), next_token(["x y z x z y"], order=2)
    costs = [baseline.answers([["y", "z"]])[0, 1, 0] for baseline in (apart, together)]
    assert costs[0] > costs[1]


def test_a_longer_order_knows_more():
    texts = ["a b c", "d b e"] * 10
    costs = [np.nansum(next_token(texts, order).answers([["a", "b", "c"]])[..., 0]) for order in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


def unigram(train: Sequence[str] = TRAIN) -> UnigramBlankBaseline:
    vocabulary = vocabulary_of(train)
    baseline = UnigramBlankBaseline(vocabulary)
    fit(baseline, vocabulary, train)
    return baseline


def two_sided(
    train: Sequence[str] = TRAIN,
    validation: Sequence[tuple[str, Sequence[str]]] = NONE_ASKED,
    order: int = 3,
    min_count: int = 1,
) -> TwoSidedNgramBaseline:
    vocabulary = vocabulary_of(train, min_count)
    baseline = TwoSidedNgramBaseline(order, vocabulary)
    fit(baseline, vocabulary, train, validation)
    return baseline


@pytest.mark.parametrize("make", [unigram, two_sided])
def test_blanks_have_a_distribution_each_over_words_that_are_none_of_the_special_ones(make):
    baseline = make()
    found = probabilities(baseline, f"the {BLANK} was {BLANK}", "no blank at all", f"a {BLANK} soup")
    assert found.shape == (3, 2, len(baseline.vocabulary))
    assert np.isnan(found[1]).all()
    assert np.isnan(found[2, 1]).all()
    for filled in (found[0, 0], found[0, 1], found[2, 0]):
        assert filled[:3].tolist() == [0, 0, 0]  # <pad>, <unk>, <blank>
        assert (filled[3:] > 0).all()
        assert filled.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("make", [unigram, two_sided])
def test_texts_without_blanks_leave_nothing_to_answer(make):
    baseline = make()
    assert baseline.answers([["the", "soup"], []]).shape == (2, 0, len(baseline.vocabulary))
    assert baseline.answers([]).shape == (0, 0, len(baseline.vocabulary))
    assert baseline.megabytes() > 0


def test_unigram_is_the_same_everywhere_and_follows_counts():
    baseline = unigram()
    found = probabilities(baseline, f"the {BLANK} was {BLANK}", f"a {BLANK}")
    assert (found[0, 0] == found[0, 1]).all()
    assert (found[0, 0] == found[1, 0]).all()
    words = ["the", "soup", "net", "torn"]
    counted = Counter(" ".join(TRAIN).split())
    assert [counted[word] for word in words] == [11, 3, 2, 1]
    shares = found[0, 0][baseline.vocabulary.encode(words)]
    assert (np.diff(shares) < 0).all()
    assert shares[0] / shares[1] == pytest.approx(11 / 3, rel=0.3)


def test_a_word_that_stood_between_the_same_neighbours_is_the_answer():
    baseline = two_sided()
    best = probabilities(baseline, f"a sailor {BLANK} the net", f"the {BLANK} stirs the soup")[:, 0].argmax(1)
    assert [baseline.vocabulary.token(number) for number in best] == ["mends", "cook"]


def test_both_sides_are_read():
    texts = [f"{left} {left}{right} {right}" for left in "ab" for right in "cd"] * 3
    baseline = two_sided(texts)
    for left, right in itertools.product("ab", "cd"):
        filled = probabilities(baseline, f"{left} {BLANK} {right}")[0, 0]
        assert baseline.vocabulary.token(filled.argmax()) == left + right


def product_by_hand(
    baseline: TwoSidedNgramBaseline, left: Sequence[int], right: Sequence[int], weight: float = 1
) -> np.ndarray:
    """Return (P_l P_r)^a / P_1^(2a - 1) of the words, normalised; ``right`` from the far end to the blank."""
    ids = [baseline.vocabulary.encode(text.split()) for text in TRAIN]
    models = [
        fitted([*([baseline.end, *text[::step]] for text in ids), [baseline.end]], 3, num_words=baseline.end + 1)
        for step in (1, -1)
    ]
    product = (models[0].distribution(left) * models[1].distribution(right)) ** weight
    product /= models[0].distribution([]) ** (2 * weight - 1)
    product[[0, 1, 2, baseline.end]] = 0
    return np.asarray(product[:-1] / product.sum())


def test_neighbours_never_seen_together_leave_the_product_over_the_words_own_frequency():
    baseline = two_sided()
    assert baseline.weight == 1  # nothing to choose it by
    sailor, mends, was, torn = baseline.vocabulary.encode(["sailor", "mends", "was", "torn"])
    expected = product_by_hand(baseline, [sailor, mends], [torn, was])
    question = f"a sailor mends {BLANK} was torn"
    assert probabilities(baseline, question)[0, 0] == pytest.approx(expected, rel=1e-4)
    baseline.weight = 0.7
    expected = product_by_hand(baseline, [sailor, mends], [torn, was], 0.7)
    assert probabilities(baseline, question)[0, 0] == pytest.approx(expected, rel=1e-4)


def pair_of(baseline: TwoSidedNgramBaseline, word: str) -> int:
    """Return the rank of the start of a text and a word as neighbours."""
    key = baseline.end * (baseline.end + 1) + baseline.vocabulary.encode([word])[0]
    return baseline.pairs.tolist().index(key)


def test_the_ends_of_a_text_are_neighbours_too():
    baseline = two_sided()
    was, hot = baseline.vocabulary.encode(["was", "hot"])
    first = probabilities(baseline, f"{BLANK} was hot")[0, 0]  # nothing stood between a start and "was"
    assert first == pytest.approx(product_by_hand(baseline, [baseline.end], [hot, was]), rel=1e-4)
    soup = probabilities(baseline, f"{BLANK} soup was hot")[0, 0]  # but "the" between a start and "soup"
    assert baseline.vocabulary.token(soup.argmax()) == "the"
    without = product_by_hand(baseline, [baseline.end], baseline.vocabulary.encode(["was", "soup"]))
    assert soup == pytest.approx(
        baseline.between.mixed(pair_of(baseline, "soup"), np.append(without, 0))[:-1], rel=1e-4
    )
    assert (soup < without)[3:].sum() == len(soup) - 4  # all but "the", which the pair of neighbours has seen


@pytest.mark.parametrize("hidden", ["unheard", BLANK])
def test_an_unknown_word_or_another_blank_hides_what_is_beyond_it(hidden):
    baseline = two_sided()
    one = probabilities(baseline, f"a {hidden} the {BLANK} was {hidden} torn")
    other = probabilities(baseline, f"soup {hidden} the {BLANK} was {hidden} hot")
    column = int(hidden == BLANK)
    assert (one[0, column] == other[0, column]).all()
    near = probabilities(baseline, f"{hidden} {BLANK} {hidden}")[0, column]
    assert near == pytest.approx(product_by_hand(baseline, [], []), rel=1e-4)
    assert not np.allclose(one[0, column], near)


def test_unknown_words_of_the_training_split_are_no_context_and_no_answer():
    baseline = two_sided([*TRAIN, *(f"the rare{number} soup" for number in range(9))], min_count=2)
    the, soup = baseline.vocabulary.encode(["the", "soup"])
    assert baseline.vocabulary.encode(["rare3"]) == [1]
    for model, beside in ((baseline.left, the), (baseline.right, soup)):
        after = model.distribution([beside])
        assert after[1] == after[0] == after.min()  # as <pad>, which no text holds
        assert (model.distribution([beside, 1]) == model.distribution([1])).all()  # both back off to no context


def test_neighbours_that_are_unknown_are_no_pair():
    texts = [*TRAIN, *(f"the lamp rare{number}" for number in range(5))]
    baseline = two_sided(texts, min_count=2)
    asked = probabilities(baseline, f"the {BLANK} unheard", f"the {BLANK} {BLANK}")[:, 0]
    assert (asked[0] == asked[1]).all()


def test_the_weight_is_the_one_that_makes_the_answers_of_the_validation_split_most_probable():
    chooser = random.Random(4)
    words = [f"w{number}" for number in range(12)]

    def sentence() -> list[str]:
        text = [chooser.choice(words)]
        while len(text) < 8:  # each word says much of the next, and so both sides the same of a word between
            text.append(words[(words.index(text[-1]) + chooser.choice((1, 1, 2))) % 12])
        return text

    questions = []
    for _ in range(40):
        text = sentence()
        answer, text[4] = text[4], BLANK
        questions.append((" ".join(text), [answer]))
    train = [" ".join(sentence()) for _ in range(30)]
    baseline = two_sided(train, questions)
    answers = baseline.vocabulary.encode([answer for _, (answer,) in questions])
    costs = {}
    chosen = baseline.weight
    for weight in WEIGHTS:
        baseline.weight = weight
        found = baseline.answers([text.split() for text, _ in questions])[:, 0]
        costs[weight] = -found[np.arange(len(questions)), answers].mean()
    assert chosen == min(costs, key=costs.__getitem__)
    assert len({round(float(cost), 6) for cost in costs.values()}) == len(WEIGHTS)


def test_so_many_blanks_are_tried_and_no_more(monkeypatch):
    monkeypatch.setattr(ngram_baselines, "BLANKS_TO_TUNE", 3)
    places: list[int] = []
    sides = TwoSidedNgramBaseline._sides
    monkeypatch.setattr(
        TwoSidedNgramBaseline,
        "_sides",
        lambda self, text, place: places.append(place) or sides(self, text, place),
    )
    answered = (f"the {BLANK} was {BLANK}", ["soup", "hot"])
    two_sided(validation=[(f"a {BLANK}", ["unheard"]), (f"a {BLANK}", []), answered, answered, answered])
    assert places == [1, 3, 1]  # an unknown answer, and a blank without one, are none


def test_blanks_of_the_training_split_are_filled_by_their_answers_or_break_the_text():
    vocabulary = vocabulary_of(TRAIN)
    questions = [(f"the cook {BLANK} the {BLANK}", ["stirs", "soup"]), (f"a {BLANK} mends", [])]
    whole = [("the cook stirs the soup", []), ("a unheard mends", [])]
    found = []
    for make, train in itertools.product(
        (UnigramBlankBaseline, lambda v: TwoSidedNgramBaseline(2, v)), (questions, whole)
    ):
        baseline = make(vocabulary)
        baseline.fit(labelled(vocabulary, train), labelled(vocabulary, NONE_ASKED))
        found.append(probabilities(baseline, f"the {BLANK} stirs"))
    assert (found[0] == found[1]).all()
    assert (found[2] == found[3]).all()


@cache
def one_of_each() -> tuple[Baseline, ...]:
    return unigram(), two_sided(), next_token(TRAIN)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_texts_asked_together_have_the_answers_that_they_have_alone(data):
    words = st.sampled_from(["the", "cook", "soup", "was", "unheard", BLANK])
    texts = data.draw(st.lists(st.lists(words, max_size=7), min_size=1, max_size=4))
    baseline = data.draw(st.sampled_from(one_of_each()))
    together = baseline.answers(texts)
    for number, text in enumerate(texts):
        alone = baseline.answers([text])[0]
        assert np.array_equal(together[number, : len(alone)], alone, equal_nan=True)
        assert np.isnan(together[number, len(alone) :]).all()
