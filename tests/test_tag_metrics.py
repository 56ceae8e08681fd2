"""Scores of tags: those of the evaluation script of CoNLL-2000 and 2003, on valid and on broken sequences."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from rnntext.metrics import TagScores, split_by_type
from rnntext.schemes import Scheme, TagSet, all_tags, tags_of

TYPES = ["LOC", "ORG", "PER"]
SCHEMES: list[Scheme] = ["io", "bio", "bioes", "biluo"]
Sentences = list[list[str]]


# --- the script's procedure, written out ------------------------------------------------------------------------


def end_of_chunk(prev_tag: str, tag: str, prev_type: str, type_: str) -> bool:
    """Return whether a chunk ended between the previous and the current word."""
    ended = (prev_tag, tag) in {
        ("B", "B"), ("B", "S"), ("B", "O"), ("I", "B"), ("I", "S"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O"),
        ("E", "B"), ("E", "S"), ("S", "S"), ("S", "B"), ("S", "I"), ("S", "E"), ("S", "O"),
    }  # fmt: skip
    return ended or (prev_tag != "O" and prev_type != type_)


def start_of_chunk(prev_tag: str, tag: str, prev_type: str, type_: str) -> bool:
    """Return whether a chunk started between the previous and the current word."""
    started = (prev_tag, tag) in {
        ("B", "B"), ("I", "B"), ("O", "B"), ("E", "B"), ("S", "B"), ("O", "I"), ("E", "I"), ("S", "I"), ("E", "E"),
        ("O", "E"), ("S", "E"), ("B", "S"), ("I", "S"), ("E", "S"), ("O", "S"), ("S", "S"),
    }  # fmt: skip
    return started or (tag != "O" and prev_type != type_)


def parsed(tag: str) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    prefix, _, label = tag.partition("-")
    return {"L": "E", "U": "S"}.get(prefix, prefix), label


def script(gold: Sentences, guessed: Sentences) -> dict[str, float]:
    """Return what the script counts: one walk over all words, an O after each sentence."""
    correct_chunk: Counter[str] = Counter()
    found_correct: Counter[str] = Counter()
    found_guessed: Counter[str] = Counter()
    in_correct = False
    last = {"correct": ("O", ""), "guessed": ("O", "")}
    correct_tags = tokens = 0
    for gold_tags, guessed_tags in zip(gold, guessed, strict=True):
        for correct_word, guessed_word in [*zip(gold_tags, guessed_tags, strict=True), (None, None)]:
            correct, correct_type = parsed(correct_word or "O")
            guess, guess_type = parsed(guessed_word or "O")
            last_correct, last_correct_type = last["correct"]
            last_guess, last_guess_type = last["guessed"]
            end_correct = end_of_chunk(last_correct, correct, last_correct_type, correct_type)
            end_guessed = end_of_chunk(last_guess, guess, last_guess_type, guess_type)
            if in_correct:
                if end_correct and end_guessed and last_guess_type == last_correct_type:
                    in_correct = False
                    correct_chunk[last_correct_type] += 1
                elif end_correct != end_guessed or guess_type != correct_type:
                    in_correct = False
            start_correct = start_of_chunk(last_correct, correct, last_correct_type, correct_type)
            start_guessed = start_of_chunk(last_guess, guess, last_guess_type, guess_type)
            if start_correct and start_guessed and guess_type == correct_type:
                in_correct = True
            found_correct[correct_type] += start_correct
            found_guessed[guess_type] += start_guessed
            if correct_word is not None:
                correct_tags += (correct, correct_type) == (guess, guess_type)
                tokens += 1
            last = {"correct": (correct, correct_type), "guessed": (guess, guess_type)}
    scores = {}
    types = sorted(label for label in TYPES if found_correct[label] or found_guessed[label])
    for name, labels in [("", types), *((f"_{label}", [label]) for label in types)]:
        right = sum(correct_chunk[label] for label in labels)
        predicted, wanted = (
            sum(found_guessed[label] for label in labels),
            sum(found_correct[label] for label in labels),
        )
        precision = right / predicted if predicted else 0.0
        recall = right / wanted if wanted else 0.0
        scores[f"span_precision{name}"], scores[f"span_recall{name}"] = precision, recall
        scores[f"span_f1{name}"] = 2 * precision * recall / (precision + recall) if right else 0.0
    scores["token_accuracy"] = correct_tags / tokens if tokens else 0.0
    scores["span_macro_f1"] = sum(scores[f"span_f1_{label}"] for label in types) / len(types) if types else 0.0
    return scores


# --- helpers ----------------------------------------------------------------------------------------------------


def padded(rows: Sequence[Sequence[int]], width: int = 0) -> np.ndarray:
    width = max(width, *map(len, rows))
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], dtype=np.int64).reshape(len(rows), width)


def answers_of(rows: Sequence[Sequence[int]], unknown: Sequence[Sequence[int]] | None = None, width: int = 0):
    marks = unknown or [[0] * len(row) for row in rows]
    return np.stack([padded(rows, width), padded(marks, width)], axis=-1).astype(np.int32)


def scored(
    tag_set: TagSet, gold: Sentences, guessed: Sentences, batch: int = 1000, wider: int = 0
) -> dict[str, float]:
    scores = TagScores(tag_set)
    for start in range(0, len(gold), batch):
        part = slice(start, start + batch)
        rows = [[tag_set.ids[tag] for tag in tags] for tags in guessed[part]]
        targets = padded([[tag_set.ids[tag] for tag in tags] for tags in gold[part]])
        scores.update(answers_of(rows, width=targets.shape[1] + wider), targets)
    return scores.compute()


def drawn(chooser: random.Random, scheme: Scheme, length: int, broken: bool) -> list[str]:
    if broken:
        return chooser.choices(all_tags(TYPES, scheme), k=length)
    spans, place = [], 0
    while place < length:
        end = min(length, place + chooser.randint(1, 3))
        if chooser.random() < 0.5:
            spans.append((place, end, chooser.choice(TYPES)))
        place = end
    return tags_of(spans, length, scheme)


# --- tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True], ids=["valid", "broken"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_scores_are_the_scripts_on_a_thousand_sequences(scheme: Scheme, broken: bool) -> None:
    chooser = random.Random(5)
    tag_set = TagSet(all_tags(TYPES, scheme), scheme)
    gold, guessed = [], []
    for _ in range(1000):
        tags = drawn(chooser, scheme, chooser.randint(1, 12), broken)
        others = drawn(chooser, scheme, len(tags), broken)
        cut = chooser.randint(0, len(tags))  # half right, so that there is something to count
        gold.append(tags)
        guessed.append(others if chooser.random() < 0.3 else [*tags[:cut], *others[cut:]])
    expected = script(gold, guessed)
    assert 0.1 < expected["span_f1"] < 0.9
    assert scored(tag_set, gold, guessed) == pytest.approx(expected)
    for one, other in zip(gold[:300], guessed[:300], strict=True):  # each alone, where one wrong span shows
        assert scored(tag_set, [one], [other]) == pytest.approx(script([one], [other])), (one, other)


def test_an_example_worked_by_hand() -> None:
    gold = [
        ["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG"],
        ["B-LOC", "B-LOC", "O"],
        ["O", "O"],
    ]
    guessed = [
        ["B-PER", "I-PER", "O", "B-ORG", "O", "I-ORG"],  # right, wrong type, right though broken
        ["B-LOC", "I-LOC", "O"],  # neither of the two
        ["O", "B-PER"],  # one too many
    ]
    scores = scored(TagSet(all_tags(TYPES, "bio"), "bio"), gold, guessed)
    assert list(scores)[:5] == ["span_f1", "span_precision", "span_recall", "span_macro_f1", "token_accuracy"]
    assert scores == pytest.approx(
        {
            "span_precision": 2 / 5,
            "span_recall": 2 / 5,
            "span_f1": 2 / 5,
            "span_macro_f1": (0 + 2 / 3 + 2 / 3) / 3,
            "token_accuracy": 7 / 11,
            "span_precision_PER": 1 / 2,
            "span_recall_PER": 1,
            "span_f1_PER": 2 / 3,
            "span_precision_ORG": 1 / 2,
            "span_recall_ORG": 1,
            "span_f1_ORG": 2 / 3,
            "span_precision_LOC": 0,
            "span_recall_LOC": 0,
            "span_f1_LOC": 0,
        }
    )


def test_a_type_that_neither_occurs_nor_is_predicted_is_no_failure() -> None:
    scores = scored(TagSet(all_tags(TYPES, "bio"), "bio"), [["B-PER", "O"]], [["B-PER", "O"]])
    assert scores["span_macro_f1"] == 1
    assert not [name for name in scores if name.endswith(("LOC", "ORG"))]


def test_nothing_predicted_and_nothing_to_find_score_0_and_a_share_of_right_tokens() -> None:
    tag_set = TagSet(all_tags(TYPES, "bioes"), "bioes")
    for gold, guessed in ((["S-PER", "O"], ["O", "O"]), (["O", "O"], ["O", "S-LOC"])):
        scores = scored(tag_set, [gold], [guessed])
        assert (scores["span_precision"], scores["span_recall"], scores["span_f1"]) == (0, 0, 0)
        assert scores["token_accuracy"] == 0.5
    silent = scored(tag_set, [["O", "O"]], [["O", "O"]])
    assert (silent["span_f1"], silent["span_macro_f1"], silent["token_accuracy"]) == (0, 0, 1)
    assert TagScores(tag_set).compute() == {}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scheme=st.sampled_from(SCHEMES),
    batch=st.integers(1, 9),
    wider=st.integers(0, 4),
)
def test_batches_and_padding_change_nothing(seed: int, scheme: Scheme, batch: int, wider: int) -> None:
    chooser = random.Random(seed)
    tag_set = TagSet(all_tags(TYPES, scheme), scheme)
    gold = [drawn(chooser, scheme, chooser.randint(1, 9), chooser.random() < 0.5) for _ in range(12)]
    guessed = [drawn(chooser, scheme, len(tags), True) for tags in gold]
    assert scored(tag_set, gold, guessed, batch, wider) == pytest.approx(script(gold, guessed))


def test_spans_do_not_run_on_into_the_next_text() -> None:
    tag_set = TagSet(all_tags(TYPES, "io"), "io")
    gold = [["O", "I-PER"], ["I-PER", "O"]]
    scores = scored(tag_set, gold, [["O", "I-PER"], ["I-PER", "I-PER"]])
    assert (scores["span_precision"], scores["span_recall"]) == (0.5, 0.5)
    assert scores == pytest.approx(script(gold, [["O", "I-PER"], ["I-PER", "I-PER"]]))


@pytest.mark.parametrize("scheme", ["bio", "none"])
def test_what_stands_beside_a_missing_target_is_not_scored(scheme: Scheme) -> None:
    tag_set = TagSet(["O", "B-PER", "I-PER"], scheme)
    scores = TagScores(tag_set)
    # A text without tokens, which the network read as one unknown word and tagged; and a gap in the second.
    scores.update(answers_of([[1], [1, 2, 2]], [[1], [0, 1, 0]]), np.array([[-1, -1, -1], [1, -1, 2]]))
    found = scores.compute()
    assert found["token_accuracy"] == 1
    assert "unknown_accuracy" not in found
    if scheme == "bio":  # on both sides the gap ends a span, and another begins after it
        assert (found["span_precision"], found["span_recall"]) == (1, 1)
        assert scores.predicted.tolist() == [2]
    else:
        assert found["macro_f1"] == 1


@pytest.mark.parametrize("scheme", ["bio", "none"])
def test_texts_without_a_token_to_score_still_give_every_metric(scheme: Scheme) -> None:
    tag_set = TagSet(["O", "B-PER", "I-PER"], scheme)
    for answers, targets in (
        (answers_of([[1]]), np.array([[-1]])),
        (np.zeros((1, 0, 2), dtype=np.int32), np.array([[-1]])),
        (np.zeros((2, 3, 2), dtype=np.int32), np.zeros((2, 0), dtype=np.int64)),
    ):
        scores = TagScores(tag_set)
        scores.update(answers, targets)
        found = scores.compute()
        assert next(iter(found)) == ("span_f1" if scheme == "bio" else "token_accuracy")
        assert set(found.values()) == {0}


def test_a_token_without_an_answer_is_wrong_and_outside() -> None:
    scores = TagScores(TagSet(["O", "B-PER", "I-PER"], "bio"))
    scores.update(answers_of([[1]]), np.array([[1, 2, 0, 1]]))
    found = scores.compute()
    assert found["token_accuracy"] == 0.25
    assert (found["span_precision"], found["span_recall"]) == (0, 0)


def test_unknown_words_are_scored_on_their_own() -> None:
    scores = TagScores(TagSet(["A", "B", "C"], "none"))
    scores.update(answers_of([[0, 1, 2], [1]], [[0, 1, 1], [1]]), np.array([[0, 1, 1], [0, -1, -1]]))
    scores.update(answers_of([[2, 2]], [[0, 1]]), np.array([[2, 2]]))
    found = scores.compute()
    assert list(found) == ["token_accuracy", "unknown_accuracy", "macro_f1"]
    assert found["token_accuracy"] == pytest.approx(4 / 6)
    assert found["unknown_accuracy"] == pytest.approx(2 / 4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tags=st.integers(1, 6), texts=st.integers(1, 8))
def test_tags_that_are_no_spans_have_scikit_learns_scores(seed: int, tags: int, texts: int) -> None:
    chooser = random.Random(seed)
    gold = [[chooser.randrange(tags) for _ in range(chooser.randint(1, 7))] for _ in range(texts)]
    guessed = [[tag if chooser.random() < 0.6 else chooser.randrange(tags) for tag in row] for row in gold]
    scores = TagScores(TagSet([f"T{number}" for number in range(tags)], "none"))
    scores.update(answers_of(guessed), padded(gold))
    flat, flat_guessed = ([tag for row in rows for tag in row] for rows in (gold, guessed))
    assert scores.compute() == pytest.approx(
        {
            "token_accuracy": accuracy_score(flat, flat_guessed),
            "macro_f1": f1_score(flat, flat_guessed, average="macro", zero_division=0),
        }
    )


def test_a_scheme_of_spans_without_any_type_has_the_metrics_of_spans() -> None:
    scores = scored(TagSet(["O"], "bio"), [["O", "O"]], [["O", "O"]])
    assert scores == {
        "span_f1": 0, "span_precision": 0, "span_recall": 0, "span_macro_f1": 0, "token_accuracy": 1
    }  # fmt: skip


def test_metrics_of_one_type_are_told_from_those_of_all() -> None:
    gold = [["B-PER", "O", "B-LOC"]]
    scores = scored(TagSet(all_tags(TYPES, "bio"), "bio"), gold, [["B-PER", "O", "O"]])
    together, by_type = split_by_type(scores)
    assert set(together) == {"span_f1", "span_precision", "span_recall", "span_macro_f1", "token_accuracy"}
    assert by_type == {
        "LOC": {"precision": 0, "recall": 0, "f1": 0},
        "PER": {"precision": 1, "recall": 1, "f1": 1},
    }
    assert split_by_type({"accuracy": 1, "macro_f1": 0.5}) == ({"accuracy": 1, "macro_f1": 0.5}, {})


def test_a_long_text_among_short_ones_is_scored() -> None:
    tag_set = TagSet(all_tags(TYPES, "bio"), "bio")
    gold = [["B-PER", "I-PER"] * 2500, ["O"], ["B-LOC"]]
    guessed = [["B-PER", "I-PER"] * 2499 + ["B-PER", "O"], ["O"], ["B-LOC"]]
    assert scored(tag_set, gold, guessed)["span_f1"] == pytest.approx(2500 / 2501)
