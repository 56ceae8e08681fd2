"""The softmax over words: whole and in two steps, against its definition and against itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rnntext.contracts import Batch
from rnntext.devices import computing_in
from rnntext.embeddings.learned import LearnedEmbedding
from rnntext.embeddings.one_hot import OneHotEmbedding
from rnntext.errors import DataError
from rnntext.heads import softmax
from rnntext.heads.softmax import Softmax, WordSoftmax, count_tokens, word_weight
from rnntext.vocabularies.frequency import FrequencyVocabulary

WIDTH = 5
sizes = st.integers(1, 40)
kinds = st.sampled_from(["full", "adaptive", "auto"])
both_kinds = pytest.mark.parametrize("kind", ["full", "adaptive"])


def words_of(size: int, kind: Softmax, seed: int = 0) -> WordSoftmax:
    """A softmax with random weights, those of its groups too, cut at a few words instead of at thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, "CUTS", (2, 5, 9))
        patch.setattr(softmax, "LARGE", 12)
        words = WordSoftmax(nn.Parameter(torch.empty(size, WIDTH)), kind)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in words.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return words


def drawn(size: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Vectors, and each word as a target twice, in any order."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.arange(2 * size)[torch.randperm(2 * size, generator=random)] % size
    return torch.randn(2 * size, WIDTH, generator=random), targets


@pytest.mark.parametrize(
    ("size", "kind", "cuts"),
    [
        (3, "adaptive", [3]),
        (4, "adaptive", [2, 4]),
        (9, "adaptive", [2, 9]),
        (10, "adaptive", [2, 5, 10]),
        (17, "adaptive", [2, 5, 17]),
        (18, "adaptive", [2, 5, 9, 18]),
        (12, "auto", [12]),
        (13, "auto", [2, 5, 13]),
        (18, "full", [18]),
    ],
)
def test_a_cut_is_made_where_as_many_words_come_after_it_as_before(size: int, kind: Softmax, cuts: list[int]) -> None:
    words = words_of(size, kind)
    assert words.cuts == cuts
    groups = f"{len(cuts) - 1} group{'s' if len(cuts) > 2 else ''}"
    assert words.steps == (f"adaptive softmax: 2 words + {groups}" if len(cuts) > 1 else "full softmax")


def test_large_vocabularies_are_cut_without_being_asked_and_small_ones_are_not() -> None:
    assert list(softmax.CUTS) == sorted(set(softmax.CUTS))
    for size, cuts in (
        (softmax.LARGE, []),
        (softmax.LARGE + 1, [cut for cut in softmax.CUTS if 2 * cut <= softmax.LARGE + 1]),
        (3 * max(softmax.CUTS), list(softmax.CUTS)),
    ):
        assert WordSoftmax(nn.Parameter(torch.zeros(size, 1))).cuts == [*cuts, size]
        assert cuts or size == softmax.LARGE


@settings(max_examples=40, deadline=None)
@given(size=sizes, kind=kinds, seed=st.integers(0, 99))
def test_probabilities_sum_to_one_and_losses_are_their_logs(size: int, kind: Softmax, seed: int) -> None:
    words = words_of(size, kind, seed)
    vectors, targets = drawn(size, seed)
    logs = words.log_probabilities(vectors)
    assert logs.shape == (2 * size, size)
    torch.testing.assert_close(logs.exp().sum(dim=1), torch.ones(2 * size))
    told = logs.gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(words.losses(vectors, targets), -told, rtol=1e-5, atol=1e-5)


def by_definition(words: WordSoftmax, vector: Tensor, groups: Sequence[range]) -> list[float]:
    """The first group's words and the other groups compete; then the words of each group among themselves."""
    logits = (words.weight @ vector + words.bias).tolist()
    rest = (words.group_weight @ vector + words.group_bias).tolist()
    first = np.exp([*(logits[word] for word in groups[0]), *rest])
    first /= first.sum()
    shares = first[: len(groups[0])].tolist()
    for group, among in zip(first[len(groups[0]) :].tolist(), groups[1:], strict=True):
        within = np.exp([logits[word] for word in among])
        shares += (group * within / within.sum()).tolist()
    return shares


@pytest.mark.parametrize(
    ("size", "kind", "groups"),
    [
        (7, "full", [range(7)]),
        (3, "adaptive", [range(3)]),
        (4, "adaptive", [range(2), range(2, 4)]),
        (20, "adaptive", [range(2), range(2, 5), range(5, 9), range(9, 20)]),
    ],
)
def test_probabilities_are_those_of_the_definition(size: int, kind: Softmax, groups: list[range]) -> None:
    words = words_of(size, kind)
    vectors, _ = drawn(size)
    expected = [by_definition(words, vector, groups) for vector in vectors]
    torch.testing.assert_close(words.log_probabilities(vectors).exp(), torch.tensor(expected), rtol=1e-4, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(size=st.sampled_from([1, 3, 4, 9, 10, 17, 30]), kind=kinds)
def test_losses_have_the_gradients_of_the_probabilities(size: int, kind: Softmax) -> None:
    words = words_of(size, kind)
    vectors, targets = drawn(size)
    found = []
    for loss in (
        lambda given: words.losses(given, targets),
        lambda given: -words.log_probabilities(given).gather(1, targets[:, None])[:, 0],
    ):
        given_vectors = vectors.clone().requires_grad_()
        words.zero_grad()
        (loss(given_vectors) * torch.arange(1, len(targets) + 1)).sum().backward()
        weights = [parameter for parameter in words.parameters() if parameter.numel()]
        found.append([given_vectors.grad, *(weight.grad for weight in weights)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
        assert one is not None


@both_kinds
def test_it_starts_at_the_shares_of_the_counts_each_one_up(kind: Softmax) -> None:
    counts = np.arange(20, 0, -1) ** 2
    counts[3] = 0
    words = words_of(20, kind)
    words.start_from(counts)
    shares = words.log_probabilities(torch.zeros(1, WIDTH))[0].exp()
    expected = torch.from_numpy((counts + 1) / (counts + 1).sum()).float()
    torch.testing.assert_close(shares, expected)


@both_kinds
def test_nothing_to_tell_costs_nothing(kind: Softmax) -> None:
    words = words_of(20, kind)
    losses = words.losses(torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.int64))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert words.log_probabilities(torch.zeros(0, WIDTH)).shape == (0, 20)


@both_kinds
def test_in_bfloat16_losses_and_probabilities_are_float32(kind: Softmax) -> None:
    words = words_of(30, kind)
    vectors, targets = drawn(30)
    exact = words.losses(vectors, targets)
    with computing_in("bfloat16", torch.device("cpu")):
        losses, logs = words.losses(vectors, targets), words.log_probabilities(vectors)
    assert losses.dtype == logs.dtype == torch.float32
    assert not torch.equal(losses, exact), "it is rounded"
    torch.testing.assert_close(losses, exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(logs.exp().sum(dim=1), torch.ones(60), rtol=1e-4, atol=1e-4)
    losses.sum().backward()
    assert words.weight.grad is not None
    assert words.weight.grad.dtype == torch.float32


# ---------------------------------------------------------------- the vectors of the words


def vocabulary_of(*words: str) -> FrequencyVocabulary:
    vocabulary = FrequencyVocabulary()
    vocabulary.fit(dict.fromkeys(words, 1))
    return vocabulary


def test_tied_weights_are_the_first_table_with_a_trained_row_for_each_word() -> None:
    vocabulary, other = vocabulary_of("soup", "lamp"), vocabulary_of("soup")
    right = LearnedEmbedding(vocabulary=vocabulary, output_dim=3)
    embeddings: list[nn.Module] = [
        OneHotEmbedding(vocabulary=vocabulary),
        LearnedEmbedding(vocabulary=other, output_dim=3),
        LearnedEmbedding(vocabulary=vocabulary, output_dim=3, trainable=False),
        right,
        LearnedEmbedding(vocabulary=vocabulary, output_dim=3),
    ]
    assert word_weight(embeddings, len(vocabulary), 7, tied=True) is right.weight
    with pytest.raises(DataError, match=r"no embedding has one.*set head\.tied = false"):
        word_weight(embeddings[:3], len(vocabulary), 7, tied=True)


def test_untied_weights_are_fresh_and_as_wide_as_asked_for() -> None:
    vocabulary = vocabulary_of("soup", "lamp")
    embedding = LearnedEmbedding(vocabulary=vocabulary, output_dim=3)
    weight = word_weight([embedding], len(vocabulary), 7, tied=False)
    assert weight.shape == (4, 7)
    assert weight.requires_grad
    assert 0 < weight.abs().max() <= 0.1


def test_tokens_are_counted_without_padding() -> None:
    batches = [
        Batch(torch.tensor([[3, 3, 1], [2, 0, 0]]), torch.tensor([3, 1])),
        Batch(torch.tensor([[3]]), torch.tensor([1])),
    ]
    assert count_tokens(batches, 6).tolist() == [0, 1, 1, 3, 0, 0]
