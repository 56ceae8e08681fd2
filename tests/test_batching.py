"""Which texts share a batch, and what a batch holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.batching import Collator, evaluation_batches, training_batches
from rnntext.contracts import Example
from rnntext.encoding import TypeTable, encode_examples, type_counts
from rnntext.heads.classification import ClassificationHead
from rnntext.tables import BatchingOptions
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

some_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=150).map(np.asarray)
some_options = st.builds(BatchingOptions, batch_size=st.integers(1, 20)) | st.builds(
    BatchingOptions, batch_tokens=st.integers(1, 200)
)


def both_ways(lengths, options):
    return training_batches(lengths, options, (1, 1)), evaluation_batches(lengths, options)


@settings(max_examples=60, deadline=None)
@given(some_lengths, some_options)
def test_every_row_is_in_exactly_one_batch(lengths, options):
    for batches in both_ways(lengths, options):
        assert sorted(row for rows in batches for row in rows.tolist()) == list(range(len(lengths)))
        assert all(len(rows) for rows in batches)


@settings(max_examples=60, deadline=None)
@given(some_lengths, st.integers(1, 200))
def test_the_token_budget_is_kept_but_for_a_text_alone(lengths, budget):
    for batches in both_ways(lengths, BatchingOptions(batch_tokens=budget)):
        for rows in batches:
            assert len(rows) * lengths[rows].max() <= budget or len(rows) == 1


def test_the_token_budget_is_used():
    lengths = np.full(100, 10)
    batches = evaluation_batches(lengths, BatchingOptions(batch_tokens=49))
    assert [len(rows) for rows in batches] == [4] * 25


def test_a_text_longer_than_the_budget_is_a_batch_alone():
    lengths = np.array([3, 500, 4, 3])
    batches = evaluation_batches(lengths, BatchingOptions(batch_tokens=12))
    assert [rows.tolist() for rows in batches] == [[0, 3, 2], [1]]
    assert [1] in [rows.tolist() for rows in training_batches(lengths, BatchingOptions(batch_tokens=12), (1, 1))]


@settings(max_examples=40, deadline=None)
@given(some_lengths, st.integers(1, 20))
def test_batches_are_of_the_size_asked_for(lengths, size):
    for batches in both_ways(lengths, BatchingOptions(batch_size=size)):
        sizes = sorted((len(rows) for rows in batches), reverse=True)
        assert all(found == size for found in sizes[:-1])
        assert sizes[-1] <= size


def test_lengths_within_a_batch_are_close():
    lengths = np.random.default_rng(0).integers(1, 400, 4000)
    batches = training_batches(lengths, BatchingOptions(batch_size=32), (1, 1))
    padding = sum(len(rows) * lengths[rows].max() - lengths[rows].sum() for rows in batches)
    assert padding < 0.05 * lengths.sum()
    # Without sorting a batch of 32 would be padded to almost 400: as much padding as text.
    assert np.mean([np.ptp(lengths[rows]) for rows in batches]) < 20


def test_evaluation_goes_from_the_shortest_to_the_longest():
    lengths = np.random.default_rng(0).integers(1, 40, 100)
    order = np.concatenate(evaluation_batches(lengths, BatchingOptions(batch_size=8)))
    assert lengths[order].tolist() == sorted(lengths.tolist())


@pytest.mark.parametrize("options", [BatchingOptions(batch_size=8), BatchingOptions(batch_tokens=100)])
def test_the_seed_decides_the_order_and_each_epoch_has_its_own(options):
    lengths = np.random.default_rng(0).integers(1, 40, 300)

    def order(*seed):
        return [rows.tolist() for rows in training_batches(lengths, options, seed)]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_neighbours_change_from_epoch_to_epoch():
    lengths = np.random.default_rng(0).integers(1, 10, 2000)
    options = BatchingOptions(batch_size=8)
    first, second = (
        {frozenset(rows.tolist()) for rows in training_batches(lengths, options, (1, epoch))} for epoch in (1, 2)
    )
    assert len(first & second) < 0.05 * len(first)


def test_short_and_long_batches_come_in_no_order():
    lengths = np.arange(1, 513)
    longest = [lengths[rows].max() for rows in training_batches(lengths, BatchingOptions(batch_size=8), (1, 1))]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


# --- the collator ----------------------------------------------------------------------------------------------


@pytest.fixture
def collator():
    texts = [("the cat sat", "x"), ("a Cat", "y"), ("", "x"), ("unheard of cat sat down", "y")]
    examples = [Example(text, label=label) for text, label in texts]
    table, vocabulary = TypeTable(), FrequencyVocabulary(min_count=2)
    labels = ClassificationHead.learn_labels(examples)
    split = encode_examples(examples, WhitespaceTokenizer(), table, None, (ClassificationHead, labels))
    vocabulary.fit(type_counts(split, table))
    return Collator(split, table.types, table.token_ids(vocabulary))


def test_a_batch_holds_ids_lengths_and_targets_in_the_order_asked_for(collator):
    batch = collator.batch(np.array([1, 0, 2]))
    cat, sat = 2, 3
    assert batch.token_ids.tolist() == [[1, cat, 0], [1, cat, sat], [1, 0, 0]]
    assert batch.lengths.tolist() == [2, 3, 1]
    assert batch.targets.tolist() == [[1], [0], [0]]
    assert batch.rows.tolist() == [1, 0, 2]
    assert {tensor.dtype for tensor in (batch.token_ids, batch.lengths, batch.targets, batch.type_ids)} == {
        torch.int64
    }


def test_the_mask_is_true_at_real_tokens(collator):
    batch = collator.batch(np.array([1, 2]))
    assert batch.mask.tolist() == [[True, True], [True, False]]


def test_types_keep_the_raw_tokens(collator):
    batch = collator.batch(np.array([0, 1]))
    raw = [[batch.types[number] if number >= 0 else None for number in row] for row in batch.type_ids.tolist()]
    assert raw == [["the", "cat", "sat"], ["a", "Cat", None]]


def test_batches_come_one_by_one(collator):
    found = list(collator.batches([np.array([3]), np.array([0, 1])]))
    assert [batch.lengths.tolist() for batch in found] == [[5], [3, 2]]
