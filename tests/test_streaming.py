"""Streams of tokens in windows: what each batch holds, and that nothing of a stream is lost or read twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnntext
from rnntext import streaming
from rnntext.contracts import Batch
from rnntext.encoding import EncodedSplit, Ragged
from rnntext.errors import DataError
from rnntext.streaming import StreamCollator
from rnntext.tables import BatchingOptions

FIRST_ID = 100
"""The vocabulary's id of the token at place 0; the one at place p has p more."""

lengths = st.integers(2, 90)
steps = st.integers(1, 25)
sizes = st.integers(1, 9)
seeds = st.integers(0, 2**31)


def stream(length: int, num_steps: int, sampling: str = "random", lines: int = 3) -> StreamCollator:
    """Return the windows of a stream whose tokens are all different, cut into lines; some places are blank lines."""
    values = np.arange(1, length + 1, dtype=np.int32)
    ends = np.unique(np.linspace(0, length, lines + 1).astype(np.int64))
    types = ["", *(f"token{place}" for place in range(length))]
    token_ids = np.append(1, np.arange(length) + FIRST_ID)
    return StreamCollator(EncodedSplit("train", Ragged(values, ends), None), types, token_ids, (num_steps, sampling))


def places(batch: Batch) -> list[list[int]]:
    """Return where in the stream each token of a batch stands, by row, having looked at all that the batch holds."""
    assert batch.type_ids is not None
    assert batch.targets is not None
    found = []
    for row, length in enumerate(batch.lengths.tolist()):
        inside = (batch.token_ids[row, :length] - FIRST_ID).tolist()
        assert [batch.types[number] for number in batch.type_ids[row, :length].tolist()] == [
            f"token{place}" for place in inside
        ]
        assert batch.targets[row, :length].tolist() == [FIRST_ID + place + 1 for place in inside]
        assert not batch.token_ids[row, length:].any()
        assert (batch.targets[row, length:] == -1).all()
        assert (batch.type_ids[row, length:] == -1).all()
        found.append(inside)
    assert batch.token_ids.shape[1] == max(map(len, found))
    return found


def epoch(collator: StreamCollator, options: BatchingOptions, seed: Sequence[int] = (1, 1)) -> list[list[list[int]]]:
    """Return the places that the batches of one epoch read, by batch and row."""
    return [places(batch) for batch in collator.batches(collator.training_rows(options, seed))]


def said_to_go_on(collator: StreamCollator, rows: list[np.ndarray]) -> list[bool | None]:
    return [batch.goes_on for batch in collator.batches(rows)]


# --- at random -------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(lengths, steps, sizes, seeds)
def test_random_windows_are_whole_and_read_a_stretch_of_the_stream_once(length, num_steps, size, seed):
    collator = stream(length, num_steps)
    batches = epoch(collator, BatchingOptions(batch_size=size), (seed, 1))
    windows = sorted(window for batch in batches for window in batch)
    whole = min(num_steps, length - 1)
    assert {len(window) for window in windows} == {whole}
    read = [place for window in windows for place in window]
    assert read == list(range(read[0], read[-1] + 1)), "side by side, none twice"
    assert read[0] < whole
    assert length - 2 - read[-1] < whole, "what is left at the end is less than a window"
    assert all(len(batch) == size for batch in batches[:-1])
    assert 0 < len(batches[-1]) <= size


@settings(max_examples=40, deadline=None)
@given(lengths, steps, seeds)
def test_random_windows_never_go_on_even_where_one_follows_by_chance(length, num_steps, seed):
    collator = stream(length, num_steps)
    rows = collator.training_rows(BatchingOptions(batch_size=1), (seed, 1))
    assert not any(said_to_go_on(collator, rows))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 20), st.integers(1, 5))
def test_over_the_epochs_every_token_is_read_and_every_next_one_told(length, num_steps):
    collator = stream(length, num_steps)
    rows = [rows for number in range(80) for rows in collator.training_rows(BatchingOptions(), (5, number))]
    read = {place for windows in rows for start, end, _ in windows.tolist() for place in range(start, end)}
    assert read == set(range(length - 1))


def test_windows_come_shuffled_and_each_epoch_has_its_own_offset_and_order():
    collator, options = stream(2000, 10), BatchingOptions(batch_size=8)
    firsts = [[window[0] for batch in epoch(collator, options, (1, number)) for window in batch] for number in (1, 2)]
    assert firsts[0] != sorted(firsts[0])
    assert [first // 10 for first in firsts[0]] != [first // 10 for first in firsts[1]]
    offsets = {min(row[0] for rows in collator.training_rows(options, (1, n)) for row in rows) for n in range(100)}
    assert offsets == set(range(10))


@pytest.mark.parametrize("sampling", ["random", "sequential"])
def test_the_seed_decides_the_windows(sampling):
    collator, options = stream(500, 7, sampling), BatchingOptions(batch_size=4)
    assert epoch(collator, options, (3, 1)) == epoch(collator, options, (3, 1))
    others = [epoch(collator, options, seed) for seed in ((3, 2), (3, 3), (4, 1), (5, 1))]
    assert any(other != epoch(collator, options, (3, 1)) for other in others)


# --- in sequence -----------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(lengths, steps, sizes, seeds)
def test_each_row_goes_on_where_it_ended_and_rows_share_the_stream(length, num_steps, size, seed):
    collator = stream(length, num_steps, "sequential")
    options = BatchingOptions(batch_size=size)
    batches = epoch(collator, options, (seed, 1))
    whole = min(num_steps, length - 1)
    assert {len(window) for batch in batches for window in batch} == {whole}
    count = len(batches[0])
    assert 1 <= count <= size
    assert {len(batch) for batch in batches} == {count}
    rows = [[place for window in windows for place in window] for windows in zip(*batches, strict=True)]
    for row in rows:
        assert row == list(range(row[0], row[-1] + 1)), "without a gap"
    starts = [row[0] for row in rows]
    assert starts[0] < whole
    assert rows[-1][-1] <= length - 2
    shares = {later - sooner for sooner, later in pairwise(starts)}
    assert len(shares) <= 1, "all rows have an equal share of the stream"
    for row, next_start in zip(rows, [*starts[1:], length - 1], strict=True):
        # Left over: less than a window a row, and in the last one what cannot be shared out.
        assert 0 <= next_start - 1 - row[-1] < whole + (count if row is rows[-1] else 0)
    assert said_to_go_on(collator, collator.training_rows(options, (seed, 1))) == [
        number > 0 for number in range(len(batches))
    ]


# --- evaluation ------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(lengths, steps, st.integers(1, 30), st.integers(1, 5), st.sampled_from(["random", "sequential"]))
def test_an_evaluation_reads_every_token_but_the_last_once_in_sequence(length, num_steps, least, most, sampling):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "TOKENS_A_ROW", least)
        patch.setattr(streaming, "MOST_ROWS", most)
        collator = stream(length, num_steps, sampling)
        rows = collator.evaluation_rows(BatchingOptions())
    batches = [places(batch) for batch in collator.batches(rows)]
    assert sorted(place for batch in batches for window in batch for place in window) == list(range(length - 1))
    assert len(batches[0]) == min(most, max(1, (length - 1) // least))
    assert said_to_go_on(collator, rows) == [number > 0 for number in range(len(batches))]
    for before, after in pairwise(batches):
        assert len(after) <= len(before)
        for ended, window in zip(before, after, strict=False):
            assert window[0] == ended[-1] + 1
        assert {len(window) for window in before[: len(after)]} == {num_steps}, "only a row's last window is shorter"


@given(lengths, steps, sizes, sizes)
def test_the_windows_of_an_evaluation_do_not_depend_on_the_size_of_a_batch(length, num_steps, one, other):
    collator = stream(length, num_steps)
    found = [
        [rows.tolist() for rows in collator.evaluation_rows(options)]
        for options in (BatchingOptions(batch_size=one), BatchingOptions(batch_tokens=other))
    ]
    assert found[0] == found[1]


def test_a_long_stream_is_evaluated_in_rows_side_by_side():
    collator = stream(100_001, 50)
    rows = collator.evaluation_rows(BatchingOptions())
    assert {len(windows) for windows in rows} == {32}
    assert len(rows) == 100_000 // 32 // 50 + 1


# --- sizes -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(lengths, steps, st.integers(1, 120), st.sampled_from(["random", "sequential"]))
def test_a_budget_of_tokens_decides_how_many_windows_share_a_batch(length, num_steps, budget, sampling):
    collator = stream(length, num_steps, sampling)
    whole = min(num_steps, length - 1)
    most = max(1, budget // whole)
    same = BatchingOptions(batch_size=most)
    assert epoch(collator, BatchingOptions(batch_tokens=budget)) == epoch(collator, same)
    assert len(collator.longest_rows(BatchingOptions(batch_tokens=budget))) <= most


@pytest.mark.parametrize("sampling", ["random", "sequential"])
def test_the_longest_batch_is_a_full_one(sampling):
    rows = stream(1000, 10, sampling).longest_rows(BatchingOptions(batch_size=16))
    assert (rows[:, 1] - rows[:, 0]).tolist() == [10] * 16


@pytest.mark.parametrize("sampling", ["random", "sequential"])
@pytest.mark.parametrize(("length", "num_steps"), [(2, 1), (2, 35), (5, 35)])
def test_a_stream_shorter_than_a_window_is_one_window(sampling, length, num_steps):
    collator = stream(length, num_steps, sampling, lines=1)
    everything = [[list(range(length - 1))]]
    if num_steps >= length - 1:
        assert epoch(collator, BatchingOptions(batch_size=4)) == everything
    assert [places(batch) for batch in collator.batches(collator.evaluation_rows(BatchingOptions()))] == everything


@pytest.mark.parametrize("length", [0, 1])
def test_a_single_token_has_no_next_one(length):
    with pytest.raises(DataError, match=rf"the train split has {length} token\(s\); a next one needs two"):
        stream(length, 5)


def test_a_stream_of_blank_lines_is_refused_with_its_file(tmp_path: Path) -> None:
    for name, text in (("train.txt", "a b c d\n" * 9), ("validation.txt", "\n \n\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        'recipe_version = 1\n[dataset]\ntype = "text"\ntrain = "train.txt"\nvalidation = "validation.txt"\n'
        'num_steps = 3\n[encoder]\nbidirectional = false\n[head]\ntype = "next_token"\n',
        encoding="utf-8",
    )
    with pytest.raises(DataError, match=r"validation\.txt.*0 token\(s\); a next one needs two"):
        rnntext.run(tmp_path / "r.toml", out=tmp_path / "run")
