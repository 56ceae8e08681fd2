"""Texts to numbers: what is counted, what is cut, and that files and memory hold the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import encoding
from rnntext.contracts import Example
from rnntext.encoding import (
    EMPTY,
    KnownTokens,
    Ragged,
    RaggedWriter,
    TypeTable,
    encode_examples,
    share_of_tokens,
    type_counts,
)
from rnntext.errors import DataError
from rnntext.heads.classification import ClassificationHead
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

ragged_rows = st.lists(st.lists(st.integers(0, 1000), max_size=6), min_size=1, max_size=12)


def written(rows, folder=None):
    with RaggedWriter(folder) as writer:
        for row in rows:
            writer.append(row)
        return writer.finish()


def encode(examples, table=None, max_tokens=None, **more: Any):
    given_examples = [Example(text) if isinstance(text, str) else text for text in examples]
    return encode_examples(given_examples, WhitespaceTokenizer(), table or TypeTable(), max_tokens, **more)


@settings(max_examples=60, deadline=None)
@given(ragged_rows, st.data())
def test_padding_equals_a_plain_loop(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    padded = written(rows).padded(np.asarray(chosen), -7)
    longest = max(len(rows[number]) for number in chosen)
    assert padded.dtype == np.int64
    assert padded.tolist() == [rows[number] + [-7] * (longest - len(rows[number])) for number in chosen]


@settings(max_examples=30, deadline=None)
@given(rows=ragged_rows, values_a_write=st.integers(1, 9))
def test_rows_in_a_file_equal_rows_in_memory(tmp_path_factory, rows, values_a_write):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "VALUES_A_WRITE", values_a_write)
        filed = written(rows, tmp_path_factory.getbasetemp())
    memory = written(rows)
    assert filed.values.tolist() == memory.values.tolist() == [value for row in rows for value in row]
    assert filed.ends.tolist() == memory.ends.tolist()
    assert filed.lengths.tolist() == [len(row) for row in rows]
    assert [filed.row(number).tolist() for number in range(len(filed))] == rows


def test_a_file_of_values_leaves_no_name_on_disk(tmp_path):
    found = written([[1, 2], [3]], tmp_path)
    assert isinstance(found.values, np.memmap)
    assert list(tmp_path.iterdir()) == []


def test_a_type_has_one_number_in_order_of_appearance():
    table = TypeTable()
    assert table.encode(["b", "a", "b", "B"]) == [1, 2, 1, 3]
    assert table.encode(["a", "c"]) == [2, 4]
    assert table.types == [EMPTY, "b", "a", "B", "c"]


@given(st.lists(st.lists(st.sampled_from(["a", "A", "b", "", "é", "c"]))))
def test_numbers_of_types_equal_a_plain_loop(texts):
    table, plain = TypeTable(), [EMPTY]
    for tokens in texts:
        for token in tokens:
            if token not in plain:
                plain.append(token)
        assert table.encode(tokens) == [plain.index(token) for token in tokens]
        if len(plain) % 2:  # asked for at some times, not at others
            assert table.types == plain
    assert table.types == plain


def test_the_types_of_a_table_are_one_list_that_grows():
    table = TypeTable()
    types = table.types
    table.encode(["b", "a"])
    assert table.types is types
    assert types == [EMPTY, "b", "a"]


# --- ids that are kept -----------------------------------------------------------------------------------------


def vocabulary_of(*tokens):
    vocabulary = FrequencyVocabulary()
    vocabulary.fit(dict.fromkeys(tokens, 1))
    return vocabulary


@settings(max_examples=60, deadline=None)
@given(
    windows=st.lists(st.lists(st.text("abC", max_size=3), unique=True)),
    most=st.integers(0, 12),
    longest=st.integers(0, 3),
)
def test_kept_ids_are_those_of_the_vocabulary_and_bounded(windows, most, longest):
    vocabulary = vocabulary_of("a", "b", "ab", "abc", "cc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "TOKENS_KEPT", most)
        patch.setattr(encoding, "LONGEST_KEPT", longest)
        known = KnownTokens(vocabulary)
        for tokens in windows:
            assert known.encode(tokens) == vocabulary.encode(tokens)
            assert len(known._ids) <= most
            assert all(len(token) <= longest for token in known._ids)


def test_a_token_is_looked_up_once():
    class Counting(FrequencyVocabulary):
        asked: list[str] = []

        def encode(self, tokens):
            self.asked += tokens
            return super().encode(tokens)

    known = KnownTokens(Counting())
    for tokens in (["a", "b"], ["b", "c"], ["c", "a"]):
        known.encode(tokens)
    assert Counting.asked == ["a", "b", "c"]


def test_encoded_texts_can_be_read_back():
    table = TypeTable()
    texts = ["one two one", "", "two  three"]
    split = encode(texts, table)
    back = [" ".join(table.types[number] for number in split.types.row(row)) for row in range(len(split))]
    assert back == ["one two one", "", "two three"]


@pytest.mark.parametrize("blank", ["", "   ", "\n\t"])
def test_a_text_without_tokens_is_one_unknown_token_and_counted(blank):
    table = TypeTable()
    split = encode(["a b", blank, Example("kept", tokens=())], table)
    vocabulary = FrequencyVocabulary()
    vocabulary.fit(type_counts(split, table))
    assert split.types.lengths.tolist() == [2, 1, 1]
    assert split.texts_without_tokens == 2
    assert table.token_ids(vocabulary)[split.types.row(1)].tolist() == [1]
    assert EMPTY not in type_counts(split, table)


def test_the_empty_type_is_unknown_whatever_the_vocabulary_holds():
    class Holds(FrequencyVocabulary):
        def encode(self, tokens):
            return [5 for _ in tokens]

    assert TypeTable().token_ids(Holds()).tolist() == [1]


def test_long_texts_are_cut_to_their_first_tokens_and_counted():
    table = TypeTable()
    split = encode(["a b c d", "a b c", "a", Example("", tokens=("x", "y", "z", "w", "v"))], table, max_tokens=3)
    assert split.types.lengths.tolist() == [3, 3, 1, 3]
    assert split.texts_cut == 2
    assert [table.types[number] for number in split.types.row(3)] == ["x", "y", "z"]
    assert encode(["a b c d"], max_tokens=None).texts_cut == 0


def test_tokens_that_the_data_bring_are_not_cut_again():
    table = TypeTable()
    encode([Example("New York is big", tokens=("New York", "is", "big"))], table)
    assert table.types[1] == "New York"


def test_counts_of_types_equal_a_plain_count(monkeypatch):
    monkeypatch.setattr(encoding, "VALUES_A_WRITE", 4)
    table = TypeTable()
    split = encode(["a b a", "", "c a b b"], table)
    assert type_counts(split, table) == {"a": 3, "b": 3, "c": 1}


def test_types_of_another_split_are_not_counted():
    table = TypeTable()
    train = encode(["a b"], table)
    encode(["c c c"], table)
    assert type_counts(train, table) == {"a": 1, "b": 1}


def test_the_unknown_rate_is_the_share_of_unknown_tokens(monkeypatch):
    monkeypatch.setattr(encoding, "VALUES_A_WRITE", 2)
    table = TypeTable()
    train, test = encode(["a b a a"], table), encode(["a x", "", "b y z"], table)
    vocabulary = FrequencyVocabulary()
    vocabulary.fit(type_counts(train, table))
    token_ids = table.token_ids(vocabulary)
    assert share_of_tokens(train, token_ids == 1) == 0
    assert share_of_tokens(test, token_ids == 1) == pytest.approx(4 / 6)  # x, the empty text, y, z


def test_targets_stand_beside_their_texts():
    examples = [Example("a", label=label) for label in ("y", "x", "y")]
    labels = ClassificationHead.learn_labels(examples)
    split = encode(examples, task=(ClassificationHead, labels))
    assert split.targets is not None
    assert [labels["labels"][split.targets.row(row)[0]] for row in range(3)] == ["y", "x", "y"]
    assert encode(examples).targets is None


def test_several_labels_a_text_are_ragged_and_may_be_none():
    examples = [Example("a", label=label) for label in (("x", "y"), (), ("y",))]
    labels = ClassificationHead.learn_labels(examples)
    split = encode(examples, task=(ClassificationHead, labels))
    assert split.targets is not None
    assert split.targets.padded(np.arange(3), -1).tolist() == [[0, 1], [-1, -1], [1, -1]]
    assert split.targets.padded(np.array([1]), -1).shape == (1, 0)


def test_a_label_that_is_not_known_names_its_line():
    labels = ClassificationHead.learn_labels([Example("a", label="x"), Example("a", label="y")])
    with pytest.raises(DataError, match="'z' does not occur") as caught:
        encode([Example("a", label="x", line=1), Example("b", label="z", line=9)], task=(ClassificationHead, labels))
    assert caught.value.line == 9


def test_group_values_are_kept_by_row():
    examples = [Example("a", fields={"source": value}) for value in ("web", "mail", "web")]
    values, codes = encode(examples, group_fields=["source"]).groups["source"]
    assert [values[code] for code in codes] == ["web", "mail", "web"]


def test_a_row_is_a_view_of_the_whole():
    ragged = Ragged(np.arange(5), np.array([0, 2, 2, 5]))
    assert [ragged.row(number).tolist() for number in range(3)] == [[0, 1], [], [2, 3, 4]]
    assert len(ragged) == 3
