"""Sentences to numbers and back."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnntext.contracts import Example
from rnntext.errors import DataError
from rnntext_translate.target_words import END_ID, UNKNOWN_ID, TargetWords, cut, encode, learn

SENTENCES = ["J'ai fini.", "J'ai vu l'âne.", "Tu as fini ?", "Tu as vu !"]
LABELS = learn(Example("x", label=sentence) for sentence in SENTENCES)


def words(min_count: int = 1, max_size: int | None = None) -> TargetWords:
    return TargetWords(LABELS, min_count, max_size)


def padded(*rows: list[int]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])


def test_a_word_keeps_the_blank_before_it_and_what_stands_before_an_apostrophe_is_a_word():
    assert cut("J'ai vu l’âne, là-bas\u202f!") == ["J'", "ai", " vu", " l’", "âne", ",", " là", "-", "bas", "\u202f!"]
    assert cut("Les amis'") == ["Les", " amis", "'"]


@given(st.text())
def test_words_joined_are_the_sentence(sentence):
    assert "".join(cut(sentence)) == sentence


@given(st.text(min_size=1))
def test_an_encoded_sentence_comes_back_to_the_letter_whatever_words_training_had(sentence):
    numbers = encode(sentence, LABELS["words"])
    assert words(2).sentence([*numbers, -1, -1]) == sentence
    assert all(0 <= number < 2**31 for number in numbers)  # they are stored in 32 bits


def test_words_are_ordered_by_frequency_and_labels_survive_json():
    assert LABELS["counts"] == sorted(LABELS["counts"], reverse=True)
    assert LABELS["sentences"] == 4
    again = json.loads(json.dumps(LABELS))
    assert again == LABELS
    assert TargetWords(again, 1, None).words == list(LABELS["words"])


def test_known_words_have_ids_and_the_end_follows_the_last():
    target_words = words()
    ids, lengths = target_words.ids(padded(*(encode(sentence, LABELS["words"]) for sentence in SENTENCES)))
    assert lengths.tolist() == [len(cut(sentence)) + 1 for sentence in SENTENCES]
    for row, length, sentence in zip(ids.tolist(), lengths.tolist(), SENTENCES, strict=True):
        assert row[length - 1] == END_ID
        assert set(row[length:]) <= {-1}
        assert min(row[: length - 1]) > UNKNOWN_ID
        assert target_words.text(row[:length]) == sentence


def test_a_word_that_is_spelled_is_one_unknown_word_to_the_decoder():
    rows = [encode("J'ai vu Tombouctou, Zanzibar.", LABELS["words"]), encode("Tu as fini.", LABELS["words"])]
    ids, lengths = words().ids(padded(*rows))
    assert lengths.tolist() == [8, 5]  # J' ai vu Tombouctou , Zanzibar . end
    assert (ids[0] == UNKNOWN_ID).tolist() == [False, False, False, True, True, True, False, False]
    assert ids[1].tolist()[4:] == [END_ID, -1, -1, -1]


def test_rare_words_are_unknown_but_still_in_the_reference():
    rare = words(min_count=2)
    numbers = encode("J'ai vu l'âne.", LABELS["words"])
    ids, _ = rare.ids(torch.tensor([numbers]))
    assert (ids[0] == UNKNOWN_ID).sum() == 2
    assert rare.sentence(numbers) == "J'ai vu l'âne."
    assert len(rare) == 2 + sum(count >= 2 for count in LABELS["counts"])
    assert len(words(max_size=3)) == 5


def test_shares_are_those_of_words_ends_and_rare_words():
    shares = words(min_count=2).shares()
    total = 4 + sum(LABELS["counts"])
    assert shares.sum().item() == pytest.approx(1)
    assert shares[END_ID].item() == pytest.approx(4 / total)
    assert shares[UNKNOWN_ID].item() == pytest.approx(sum(count == 1 for count in LABELS["counts"]) / total)


def test_text_ends_at_the_end_and_leaves_the_unknown_out():
    target_words = words()
    first, second = target_words.words[:2]
    assert target_words.text([2, UNKNOWN_ID, 3, END_ID, 2]) == (first + second).strip()
    assert target_words.text([END_ID]) == ""


@pytest.mark.parametrize("label", [None, "  ", ("a", "b")])
def test_a_text_without_translation_is_named(label):
    with pytest.raises(DataError, match="has no translation") as caught:
        learn([Example("a", label=label, line=7)])
    assert caught.value.line == 7


def test_no_word_frequent_enough_is_refused():
    with pytest.raises(DataError, match=r"no word .* occurs 100 times; lower head\.min_count"):
        words(min_count=100)
    with pytest.raises(DataError, match="there is no translation to learn from"):
        learn([])
