"""The embeddings: where rows start, what padding is, and when words are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import registry
from rnntext.contracts import Batch, Embedding, Vocabulary
from rnntext.embeddings.learned import count_words
from rnntext.errors import DataError

NAMES = ["learned", "one_hot"]


def vocabulary_of(size: int) -> Vocabulary:
    """Return a vocabulary with ``size`` ids, <pad> and <unk> included."""
    vocabulary: Vocabulary = registry.get("vocabularies", "frequency")()
    vocabulary.fit({f"w{number}": 1 for number in range(size - 2)})
    assert len(vocabulary) == size
    return vocabulary


def build(name: str, size: int = 12, **options: Any) -> Any:
    torch.manual_seed(0)
    return registry.get("embeddings", name)(vocabulary=vocabulary_of(size), **options)


def batch_of(*rows: list[int]) -> Batch:
    longest = max(map(len, rows))
    return Batch(
        token_ids=torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows]),
        lengths=torch.tensor([len(row) for row in rows]),
    )


SOME = batch_of([2, 5, 1], [3], [11, 2])


@pytest.mark.parametrize("name", NAMES)
def test_each_token_gets_a_vector_of_the_stated_width_and_padding_zero(name: str) -> None:
    embedding: Embedding = build(name).eval()
    embedded = embedding(SOME)
    assert embedded.shape == (3, 3, embedding.output_dim)
    assert embedded.dtype == torch.float32
    assert not bool(embedded[~SOME.mask].any())
    assert bool(embedded[SOME.mask].any(dim=-1).all())
    assert torch.equal(embedded[0, 0], embedded[2, 1]), "the same word has the same vector everywhere"


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(3, 40),
    rows=st.lists(st.lists(st.integers(1, 39), min_size=1, max_size=6), min_size=1, max_size=4),
)
def test_one_hot_is_the_look_up_in_an_identity_matrix(size: int, rows: list[list[int]]) -> None:
    batch = batch_of(*[[min(token, size - 1) for token in row] for row in rows])
    identity = torch.eye(size)
    identity[0] = 0  # padding has no identity
    assert torch.equal(build("one_hot", size).eval()(batch), identity[batch.token_ids])


def test_one_hot_times_the_matrix_is_the_learned_look_up() -> None:
    one_hot, learned = build("one_hot").eval(), build("learned", output_dim=7).eval()
    torch.testing.assert_close(one_hot(SOME) @ learned.weight, learned(SOME), atol=1e-7, rtol=0)


def test_one_hot_learns_nothing() -> None:
    assert list(build("one_hot").parameters()) == []


@pytest.mark.parametrize("initial_range", [0.1, 0.5])
def test_rows_start_uniform_in_the_range(initial_range: float) -> None:
    rows = build("learned", 500, output_dim=40, initial_range=initial_range).weight.detach()[1:]
    assert initial_range * 0.99 < float(rows.max()) <= initial_range
    assert -initial_range <= float(rows.min()) < -initial_range * 0.99
    assert abs(float(rows.mean())) < initial_range / 50
    assert float(rows.std()) == pytest.approx(initial_range / 3**0.5, rel=0.02)


def test_the_padding_row_is_zero_and_stays_zero_under_an_optimizer() -> None:
    learned = build("learned", output_dim=4).train()
    start = learned.weight.detach().clone()
    assert not bool(start[0].any())
    optimizer = torch.optim.AdamW(learned.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (learned(SOME) - 1).square().sum().backward()
        optimizer.step()
    assert not bool(learned.weight[0].any())
    assert bool((learned.weight[2] != start[2]).all())


def test_a_table_that_is_not_trainable_asks_for_no_gradient() -> None:
    frozen, trained = build("learned", trainable=False), build("learned")
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(parameter.requires_grad for parameter in trained.parameters())
    assert torch.equal(frozen.weight, trained.weight), "frozen is the same random start"


def dropped_in(embedding: Any, batch: Batch) -> torch.Tensor:
    """Return bool [B, T]: which tokens were read as <unk>, told from the vectors alone."""
    embedding.eval()
    unknown = embedding(batch_of([1]))[0, 0]
    embedding.train()
    with torch.no_grad():
        return (embedding(batch) == unknown).all(dim=-1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_word_dropout_reads_words_as_unknown_at_the_rate_and_never_padding(name: str, rate: float) -> None:
    embedding = build(name, word_dropout=rate)
    batch = batch_of(*[[2 + (row + step) % 10 for step in range(row % 60 + 1)] for row in range(240)])
    before = batch.token_ids.clone()
    dropped = dropped_in(embedding, batch)
    assert not bool(dropped[~batch.mask].any())
    assert float(dropped[batch.mask].float().mean()) == pytest.approx(rate, abs=0.03)
    assert torch.equal(batch.token_ids, before), "the batch itself stays as it was"
    assert not torch.equal(dropped, dropped_in(embedding, batch)), "each reading drops others"
    with torch.no_grad():
        kept = embedding(batch)[~batch.mask]
    assert not bool(kept.any())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_dropped_outside_training(name: str) -> None:
    dropping, plain = build(name, word_dropout=0.9, dropout=0.9).eval(), build(name).eval()
    assert torch.equal(dropping(SOME), plain(SOME))


@pytest.mark.parametrize("name", NAMES)
def test_dropout_drops_single_numbers_in_training_and_scales_the_rest(name: str) -> None:
    embedding = build(name, dropout=0.5)
    batch = batch_of(*[list(range(1, 12))] * 40)
    whole = embedding.eval()(batch)
    some = embedding.train()(batch)
    lost = (some == 0) & (whole != 0)
    assert float(lost.sum() / (whole != 0).sum()) == pytest.approx(0.5, abs=0.07)
    assert torch.equal(some[~lost], 2 * whole[~lost])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_table(name: str) -> None:
    for weight, again in zip(build(name).parameters(), build(name).parameters(), strict=True):
        assert torch.equal(weight, again)


@pytest.mark.parametrize("counted", [False, True])
def test_rare_words_are_read_as_unknown_and_words_that_were_not_counted_are_not(counted: bool) -> None:
    embedding = build("learned", rare_word_dropout=2.0).train()
    often, never = batch_of([2] * 2000), batch_of([3] * 2000)
    if counted:
        embedding.begin_from([batch_of([2, 5]), batch_of([2, 5, 5])])  # 2 / (2 + 2) of the word 2
    share = dropped_in(embedding, often).float().mean().item()
    assert share == pytest.approx(0.5 if counted else 0.0, abs=0.05 * counted)
    assert not bool(dropped_in(embedding, never).any())
    assert embedding.eval().rare_words.chances(often.token_ids) is None


COUNTS = np.array([[0, 3, 8, 1, 2], [0, 3, 1, 7, 2]])  # texts by label and word; words 2 and 3 tell them apart


def texts_with(counts: np.ndarray) -> list[Batch]:
    """Return batches of two texts, which hold each word in as many texts of each label as ``counts`` says."""
    texts = [
        ([word] * (1 + number % 2), label)  # a word said twice still counts once
        for (label, word), count in np.ndenumerate(counts)
        for number in range(count)
    ]
    return [labelled(texts[start : start + 2]) for start in range(0, len(texts), 2)]


def labelled(texts: list[tuple[list[int], Any]]) -> Batch:
    batch = batch_of(*[tokens for tokens, _ in texts])
    targets = [target if isinstance(target, list) else [target] for _, target in texts]
    longest = max(map(len, targets))
    batch.targets = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in targets]).reshape(len(texts), -1)
    return batch


SOME_LABELLED = labelled([([2, 5], 0), ([3], 1)])


def ratio(counts: np.ndarray, label: int, word: int) -> float:
    own, others = counts[label] + 1, np.delete(counts + 1, label, axis=0).sum(axis=0)
    return float(np.log((own[word] / own.sum()) / (others[word] / others.sum())))


def test_of_two_labels_the_first_dimension_starts_as_the_second_ones_log_ratio() -> None:
    embedding = build("learned", 5, label_start=0.5, output_dim=4)
    before = embedding.weight.detach().clone()
    embedding.begin_from(iter(texts_with(COUNTS)))
    expected = torch.tensor([0.0, *(0.5 * ratio(COUNTS, 1, word) for word in range(1, 5))])
    torch.testing.assert_close(embedding.weight[:, 0].detach(), expected, check_dtype=False)
    assert embedding.weight[3, 0] > 0 > embedding.weight[2, 0]
    assert torch.equal(embedding.weight[:, 1:], before[:, 1:])


def test_of_many_labels_each_has_a_dimension() -> None:
    counts = np.vstack([COUNTS, [[0, 2, 2, 2, 9]]])
    embedding = build("learned", 5, label_start=1.0, output_dim=4)
    before = embedding.weight.detach().clone()
    embedding.begin_from(texts_with(counts))
    expected = [[ratio(counts, label, word) for label in range(3)] for word in range(1, 5)]
    torch.testing.assert_close(embedding.weight[1:, :3].detach(), torch.tensor(expected), check_dtype=False)
    assert torch.equal(embedding.weight[:, 3], before[:, 3])
    assert not bool(embedding.weight[0].any()), "padding stays zero"
    with pytest.raises(DataError, match="output_dim of at least 3"):
        build("learned", 5, label_start=1.0, output_dim=2).begin_from(texts_with(counts))


def unread() -> Iterator[Batch]:
    pytest.fail("a batch was asked for")
    yield


def test_without_label_start_no_batch_is_asked_for_and_nothing_changes() -> None:
    embedding, plain = build("learned"), build("learned")
    embedding.begin_from(unread())
    assert torch.equal(embedding.weight, plain.weight)


def test_one_label_alone_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(DataError, match="compares labels, and the training split has only one"):
        build("learned", 5, label_start=1.0).begin_from(texts_with(COUNTS[:1]))


def test_label_start_needs_labels() -> None:
    with pytest.raises(DataError, match="no labels"):
        build("learned", label_start=1.0).begin_from([SOME])


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(
        st.tuples(
            st.lists(st.integers(1, 6), min_size=1, max_size=5),
            st.lists(st.integers(0, 3), unique=True, max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
    size=st.integers(1, 5),
)
def test_words_are_counted_once_a_text_under_each_of_its_labels(
    texts: list[tuple[list[int], list[int]]], size: int
) -> None:
    counts = count_words((labelled(texts[start : start + size]) for start in range(0, len(texts), size)), 7)
    assert counts.dtype == np.int64
    for label in range(4):
        for word in range(7):
            expected = sum(word in tokens and label in labels for tokens, labels in texts)
            assert (counts[label, word] if label < len(counts) else 0) == expected, (label, word)


@pytest.mark.parametrize("rows", [[[1, 0, 1]], [[0, 1], [1, -1], [2, 2]]])
def test_tags_of_tokens_are_no_labels_to_start_from(rows: list[list[int]]) -> None:
    batch = labelled([([2, 3, 4][: len(row)], row) for row in rows])
    with pytest.raises(DataError, match=r"label_start is for labels of whole texts.*set it to 0"):
        build("learned", label_start=1.0).begin_from([SOME_LABELLED, batch])


def test_a_batch_whose_texts_have_none_of_several_labels_counts_nothing() -> None:
    texts = [([2, 3], [0, 1]), ([2], [1]), ([3, 4], []), ([4], [])]
    counts = count_words([labelled(texts[:2]), labelled(texts[2:])], 5)
    assert counts.tolist() == [[0, 0, 1, 1, 0], [0, 0, 2, 1, 0]]
