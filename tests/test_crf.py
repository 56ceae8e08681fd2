"""The conditional random field against counting every sequence of tags there is."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnntext.heads.crf import Crf
from rnntext.schemes import TagSet, all_tags, first_fault

TAG_SETS = {
    "none": TagSet(["DET", "NOUN", "VERB"], "none"),
    "io": TagSet(all_tags(["PER", "LOC"], "io"), "io"),
    "bio": TagSet(all_tags(["PER", "LOC"], "bio"), "bio"),
    "bioes": TagSet(all_tags(["PER"], "bioes"), "bioes"),
    "biluo": TagSet(all_tags(["PER"], "biluo"), "biluo"),
}
SCHEMES = list(TAG_SETS)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def crf_of(scheme: str, seed: int = 0, size: float = 1.0) -> Crf:
    """A CRF in float64 with random weights, so that nothing is zero by chance."""
    crf = Crf(TAG_SETS[scheme].allowed).double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64) * size)
    return crf


def emissions_of(crf: Crf, lengths: list[int], seed: int = 1, size: float = 2.0, extra_steps: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths) + extra_steps, crf.num_tags)
    return torch.randn(shape, generator=random, dtype=torch.float64) * size


@cache
def valid_paths(scheme: str, length: int) -> list[tuple[int, ...]]:
    """Every sequence that the scheme allows, by the scheme's own word on whole sequences."""
    tags = TAG_SETS[scheme].tags
    return [
        path
        for path in itertools.product(range(len(tags)), repeat=length)
        if first_fault([tags[number] for number in path], scheme) is None
    ]


def some_path(scheme: str, length: int, seed: int) -> tuple[int, ...]:
    """A random sequence that the scheme allows."""
    allowed, edge = TAG_SETS[scheme].allowed, len(TAG_SETS[scheme])
    random = np.random.default_rng(seed)
    while True:
        path = [edge]
        for _ in range(length):
            path.append(int(random.choice(np.flatnonzero(allowed[path[-1], :edge]))))
        if allowed[path[-1], edge]:
            return tuple(path[1:])


def padded(paths: list[tuple[int, ...]], filler: int = -1) -> Tensor:
    width = max(map(len, paths))
    return torch.tensor([[*path, *[filler] * (width - len(path))] for path in paths])


def scores_of(crf: Crf, emissions: Tensor, paths: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The score of each sequence, one number after the other; all are of one length."""
    start, end, transitions = (each.detach().numpy() for each in (crf.start, crf.end, crf.transitions))
    rows, columns = emissions.detach().numpy(), np.array(paths).T
    total: np.ndarray = start[columns[0]] + end[columns[-1]]
    for step, tags in enumerate(columns):
        total = total + rows[step, tags]
    for before, here in itertools.pairwise(columns):
        total = total + transitions[before, here]
    return total


def score_of(crf: Crf, emissions: Tensor, path: tuple[int, ...]) -> float:
    return float(scores_of(crf, emissions, [path])[0])


class Enumerated:
    """What the CRF must say of one text, from all sequences one by one."""

    def __init__(self, crf: Crf, scheme: str, emissions: Tensor, length: int) -> None:
        self.paths = valid_paths(scheme, length)
        scores = scores_of(crf, emissions, self.paths)
        top = scores.max()
        self.log_partition = float(top + np.log(np.exp(scores - top).sum()))
        self.probabilities = np.exp(scores - self.log_partition)
        self.order = np.argsort(-scores, kind="stable")
        self.best = self.paths[self.order[0]]
        self.marginals = np.zeros((length, crf.num_tags))
        for step, tags in enumerate(np.array(self.paths).T):
            np.add.at(self.marginals[step], tags, self.probabilities)


def enumerated(crf: Crf, scheme: str, emissions: Tensor, lengths: list[int]) -> list[Enumerated]:
    return [Enumerated(crf, scheme, row, length) for row, length in zip(emissions, lengths, strict=True)]


ragged = st.lists(st.integers(1, 4), min_size=1, max_size=4)
problems = {
    "scheme": st.sampled_from(SCHEMES),
    "lengths": ragged,
    "seed": st.integers(0, 10_000),
    "size": st.sampled_from([0.0, 0.3, 3.0, 12.0]),
}

# --- against enumeration ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(**problems)
def test_loss_is_minus_the_log_of_a_sequences_share_of_all(
    scheme: str, lengths: list[int], seed: int, size: float
) -> None:
    crf = crf_of(scheme, seed, size)
    emissions = emissions_of(crf, lengths, seed + 1, size, extra_steps=seed % 3)
    paths = [some_path(scheme, length, seed + row) for row, length in enumerate(lengths)]
    tags = torch.nn.functional.pad(padded(paths), (0, seed % 3), value=-1)
    found = crf.loss(emissions, tags, torch.tensor(lengths))
    assert found.dtype == torch.float64
    wanted = [
        each.log_partition - score_of(crf, row, path)
        for each, row, path in zip(enumerated(crf, scheme, emissions, lengths), emissions, paths, strict=True)
    ]
    assert found.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(**problems)
def test_marginals_are_the_shares_of_all_sequences_with_that_tag_there(
    scheme: str, lengths: list[int], seed: int, size: float
) -> None:
    crf = crf_of(scheme, seed, size)
    emissions = emissions_of(crf, lengths, seed + 1, size, extra_steps=seed % 3)
    found = crf.marginals(emissions, torch.tensor(lengths))
    assert found.shape == emissions.shape
    for row, each, length in zip(found, enumerated(crf, scheme, emissions, lengths), lengths, strict=True):
        np.testing.assert_allclose(row[:length].numpy(), each.marginals, atol=1e-10)
        assert not row[length:].any(), "padding has no tag"


@settings(max_examples=40, deadline=None)
@given(**problems)
def test_the_best_path_is_the_best_of_all(scheme: str, lengths: list[int], seed: int, size: float) -> None:
    crf = crf_of(scheme, seed, size)
    emissions = emissions_of(crf, lengths, seed + 1, size, extra_steps=seed % 3)
    found = crf.best_path(emissions, torch.tensor(lengths))
    assert found.dtype == np.int64
    assert found.shape == emissions.shape[:2]
    for row, each, length, scores in zip(
        found, enumerated(crf, scheme, emissions, lengths), lengths, emissions, strict=True
    ):
        path = tuple(row[:length].tolist())
        assert path in each.paths
        # Of sequences that are as good, any will do.
        assert score_of(crf, scores, path) == pytest.approx(score_of(crf, scores, each.best), rel=1e-6, abs=1e-5)
        assert (row[length:] == -1).all()


@settings(max_examples=25, deadline=None)
@given(**problems, count=st.integers(1, 8))
def test_best_paths_are_the_first_of_all_by_probability(
    scheme: str, lengths: list[int], seed: int, size: float, count: int
) -> None:
    crf = crf_of(scheme, seed, size)
    emissions = emissions_of(crf, lengths, seed + 1, size, extra_steps=seed % 3)
    answers = crf.best_paths(emissions, torch.tensor(lengths), count)
    for found, each, length in zip(answers, enumerated(crf, scheme, emissions, lengths), lengths, strict=True):
        by_path = dict(zip(each.paths, each.probabilities.tolist(), strict=True))
        assert len(found) == min(count, len(by_path))
        assert [share for _, share in found] == pytest.approx(
            each.probabilities[each.order[: len(found)]].tolist(), rel=1e-9, abs=1e-300
        )
        for path, share in found:
            assert len(path) == length
            assert share == pytest.approx(by_path[tuple(path)], rel=1e-9, abs=1e-300)


@settings(max_examples=20, deadline=None)
@given(scheme=st.sampled_from(SCHEMES), length=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_all_paths_together_have_probability_one_sorted_and_each_once(scheme: str, length: int, seed: int) -> None:
    crf = crf_of(scheme, seed)
    count = len(TAG_SETS[scheme]) ** length
    (found,) = crf.best_paths(emissions_of(crf, [length], seed), torch.tensor([length]), count)
    shares = [share for _, share in found]
    assert sum(shares) == pytest.approx(1, abs=1e-10)
    assert shares == sorted(shares, reverse=True)
    assert {tuple(path) for path, _ in found} == set(valid_paths(scheme, length))
    assert len(found) == len(valid_paths(scheme, length))


@every_scheme
def test_the_first_of_the_best_paths_is_the_best_path(scheme: str) -> None:
    crf, lengths = crf_of(scheme), [30, 7, 1, 19]
    emissions = emissions_of(crf, lengths)
    best = crf.best_path(emissions, torch.tensor(lengths))
    several = crf.best_paths(emissions, torch.tensor(lengths), 3)
    assert [paths[0][0] for paths in several] == [
        row[:length].tolist() for row, length in zip(best, lengths, strict=True)
    ]


def test_a_text_of_one_token_needs_no_transition() -> None:
    crf = Crf(TAG_SETS["bioes"].allowed).double()
    tags = TAG_SETS["bioes"].ids
    emissions = torch.zeros(1, 1, len(tags), dtype=torch.float64)
    emissions[0, 0, tags["S-PER"]] = math.log(3)
    emissions[0, 0, tags["B-PER"]] = 50.0  # may not be the last
    marginals = crf.marginals(emissions, torch.tensor([1]))[0, 0]
    assert marginals[tags["S-PER"]] == pytest.approx(0.75)
    assert marginals[tags["O"]] == pytest.approx(0.25)
    assert crf.best_path(emissions, torch.tensor([1])).tolist() == [[tags["S-PER"]]]
    loss = crf.loss(emissions, torch.tensor([[tags["O"]]]), torch.tensor([1]))
    assert loss.tolist() == pytest.approx([math.log(4)])


# --- gradients -------------------------------------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize(("lengths", "size"), [([1], 1.0), ([3, 1, 4, 2], 1.0), ([3, 1, 2], 400.0)], ids=str)
def test_gradients_agree_with_finite_differences(scheme: str, lengths: list[int], size: float) -> None:
    crf = crf_of(scheme)
    emissions = emissions_of(crf, lengths, size=size).requires_grad_()
    tags = padded([some_path(scheme, length, row) for row, length in enumerate(lengths)])
    weights = torch.linspace(0.5, 2.0, len(lengths), dtype=torch.float64)  # texts must not be mixed up

    def loss(emissions: Tensor, *_: Tensor) -> Tensor:
        return crf.loss(emissions, tags, torch.tensor(lengths)) * weights

    assert torch.autograd.gradcheck(loss, (emissions, crf.transitions, crf.start, crf.end), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(scheme=st.sampled_from(SCHEMES), lengths=ragged, seed=st.integers(0, 1000))
def test_the_gradient_by_emissions_is_marginals_less_the_truth(scheme: str, lengths: list[int], seed: int) -> None:
    crf = crf_of(scheme, seed)
    emissions = emissions_of(crf, lengths, seed).requires_grad_()
    paths = [some_path(scheme, length, seed + row) for row, length in enumerate(lengths)]
    crf.loss(emissions, padded(paths), torch.tensor(lengths)).sum().backward()
    wanted = crf.marginals(emissions, torch.tensor(lengths))
    for row, path in enumerate(paths):
        wanted[row, torch.arange(len(path)), torch.tensor(path)] -= 1
    np.testing.assert_allclose(emissions.grad, wanted, atol=1e-10)


@every_scheme
def test_gradients_by_transitions_are_expected_counts_less_counts(scheme: str) -> None:
    crf, length = crf_of(scheme), 4
    emissions = emissions_of(crf, [length])
    path = some_path(scheme, length, 5)
    crf.loss(emissions, torch.tensor([path]), torch.tensor([length])).sum().backward()
    wanted = torch.zeros_like(crf.transitions)
    (each,) = enumerated(crf, scheme, emissions, [length])
    for other, probability in zip(each.paths, each.probabilities.tolist(), strict=True):
        for pair in itertools.pairwise(other):
            wanted[pair] += probability
    for pair in itertools.pairwise(path):
        wanted[pair] -= 1
    np.testing.assert_allclose(crf.transitions.grad, wanted, atol=1e-10)
    np.testing.assert_allclose(crf.start.grad, each.marginals[0] - np.eye(crf.num_tags)[path[0]], atol=1e-10)
    np.testing.assert_allclose(crf.end.grad, each.marginals[-1] - np.eye(crf.num_tags)[path[-1]], atol=1e-10)


def test_weights_of_forbidden_moves_have_no_gradient() -> None:
    crf, tag_set = crf_of("bioes"), TAG_SETS["bioes"]
    size, lengths = len(tag_set), [5, 2, 1]
    tags = padded([some_path("bioes", length, length) for length in lengths])
    crf.loss(emissions_of(crf, lengths), tags, torch.tensor(lengths)).sum().backward()
    assert not crf.transitions.grad[torch.from_numpy(~tag_set.allowed[:size, :size])].any()
    assert not crf.start.grad[torch.from_numpy(~tag_set.allowed[size, :size])].any()
    assert not crf.end.grad[torch.from_numpy(~tag_set.allowed[:size, size])].any()
    assert crf.transitions.grad[torch.from_numpy(tag_set.allowed[:size, :size])].all()


def test_float32_weights_take_gradients_in_float32() -> None:
    crf = Crf(TAG_SETS["bio"].allowed)
    emissions = torch.randn(2, 4, crf.num_tags, requires_grad=True)
    crf.loss(emissions, torch.zeros(2, 4, dtype=torch.int64), torch.tensor([4, 2])).sum().backward()
    assert {each.grad.dtype for each in (emissions, *crf.parameters())} == {torch.float32}


def test_adam_learns_moves_that_emissions_cannot_tell() -> None:
    """Tags alternate, and nothing but the tag before says which one comes."""
    torch.manual_seed(0)
    crf = Crf(TAG_SETS["none"].allowed)
    tags = torch.tensor([[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0]])
    emissions, lengths = torch.zeros(2, 6, 3), torch.tensor([6, 6])
    emissions[0, 0, 0] = emissions[1, 0, 1] = 3.0
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = crf.loss(emissions, tags, lengths).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert crf.best_path(emissions, lengths).tolist() == tags.tolist()


# --- padding and neighbours ------------------------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize("garbage", [0.0, 1e4, -1e4, "random"])
def test_what_stands_at_padding_changes_nothing(scheme: str, garbage: Any) -> None:
    crf, lengths = crf_of(scheme), [5, 3, 1]
    count = torch.tensor(lengths)
    paths = [some_path(scheme, length, row) for row, length in enumerate(lengths)]
    plain = emissions_of(crf, lengths)
    dirty = torch.nn.functional.pad(plain, (0, 0, 0, 4))
    real = torch.arange(dirty.shape[1]) < count[:, None]
    filler = torch.randn_like(dirty) * 30 if garbage == "random" else torch.full_like(dirty, garbage)
    dirty = torch.where(real[:, :, None], dirty, filler)
    tags = padded(paths)
    dirty_tags = torch.nn.functional.pad(tags, (0, 4), value=-1)
    dirty_tags[~real] = 2  # of a tag that would count, were it read

    found = []
    for emissions, targets in ((plain, tags), (dirty, dirty_tags)):
        crf.zero_grad()
        leaf = emissions.clone().requires_grad_()
        loss = crf.loss(leaf, targets, count)
        (loss * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        assert leaf.grad is not None
        found.append((loss.detach(), [each.grad.clone() for each in crf.parameters()], leaf.grad))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(found[0][2], found[1][2][:, :5], atol=1e-12)
    assert not found[1][2][~real].any()
    np.testing.assert_allclose(crf.marginals(plain, count), crf.marginals(dirty, count)[:, :5], atol=1e-12)
    assert crf.best_path(plain, count).tolist() == crf.best_path(dirty, count)[:, :5].tolist()
    assert crf.best_paths(plain, count, 3) == crf.best_paths(dirty, count, 3)


@settings(max_examples=25, deadline=None)
@given(
    scheme=st.sampled_from(SCHEMES),
    lengths=st.lists(st.integers(1, 12), min_size=2, max_size=6),
    seed=st.integers(0, 10_000),
)
def test_a_text_is_the_same_alone_and_among_others(scheme: str, lengths: list[int], seed: int) -> None:
    crf = crf_of(scheme, seed)
    emissions = emissions_of(crf, lengths, seed, size=4.0)
    tags = padded([some_path(scheme, length, seed + row) for row, length in enumerate(lengths)])
    count = torch.tensor(lengths)
    together = (
        crf.loss(emissions, tags, count),
        crf.marginals(emissions, count),
        crf.best_path(emissions, count),
        crf.best_paths(emissions, count, 2),
    )
    for row, length in enumerate(lengths):
        own, own_count = emissions[row : row + 1, :length], count[row : row + 1]
        loss = crf.loss(own, tags[row : row + 1, :length], own_count)
        assert loss.tolist() == pytest.approx(together[0][row : row + 1].tolist(), rel=1e-12)
        np.testing.assert_allclose(crf.marginals(own, own_count)[0], together[1][row, :length], atol=1e-12)
        assert crf.best_path(own, own_count)[0].tolist() == together[2][row, :length].tolist()
        (several,) = crf.best_paths(own, own_count, 2)
        assert [path for path, _ in several] == [path for path, _ in together[3][row]]


def test_no_texts_at_all_have_no_loss() -> None:
    crf = crf_of("bio")
    emissions = torch.zeros(0, 3, crf.num_tags, dtype=torch.float64, requires_grad=True)
    loss = crf.loss(emissions, torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert loss.shape == (0,)
    loss.sum().backward()
    assert not crf.transitions.grad.any()


# --- forbidden moves -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    scheme=st.sampled_from(["bio", "bioes", "biluo"]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    push=st.sampled_from([5.0, 60.0, 1e4]),
    seed=st.integers(0, 10_000),
)
def test_forbidden_moves_are_never_decoded_however_hard_scores_push(
    scheme: str, lengths: list[int], push: float, seed: int
) -> None:
    crf, tag_set = crf_of(scheme, seed), TAG_SETS[scheme]
    random = np.random.default_rng(seed)
    emissions = emissions_of(crf, lengths, seed)
    # One random tag a token, as likely as not where it cannot stand.
    pushed = random.integers(0, len(tag_set), emissions.shape[:2])
    emissions += push * torch.nn.functional.one_hot(torch.from_numpy(pushed), len(tag_set))
    count = torch.tensor(lengths)
    decoded = [row[:length].tolist() for row, length in zip(crf.best_path(emissions, count), lengths, strict=True)]
    decoded += [path for paths in crf.best_paths(emissions, count, 3) for path, _ in paths]
    for path in decoded:
        assert first_fault([tag_set.tags[number] for number in path], scheme) is None


@every_scheme
def test_a_sequence_with_a_forbidden_move_has_probability_zero(scheme: str) -> None:
    crf, size = crf_of(scheme), len(TAG_SETS[scheme])
    emissions = emissions_of(crf, [3]).expand(size**3, -1, -1)
    every = torch.tensor(list(itertools.product(range(size), repeat=3)))
    shares = (-crf.loss(emissions, every, torch.full((size**3,), 3)).detach()).exp()
    valid = set(valid_paths(scheme, 3))
    assert [share > 0 for share in shares.tolist()] == [tuple(path) in valid for path in every.tolist()]
    assert float(shares.sum()) == pytest.approx(1, abs=1e-10)


def test_tags_that_cannot_stand_at_an_edge_have_no_probability_there() -> None:
    crf, tag_set = crf_of("bioes"), TAG_SETS["bioes"]
    lengths = [6, 3, 1]
    marginals = crf.marginals(emissions_of(crf, lengths, size=20.0), torch.tensor(lengths))
    for row, length in enumerate(lengths):
        for tag in ("I-PER", "E-PER"):
            assert marginals[row, 0, tag_set.ids[tag]] == 0
        for tag in ("B-PER", "I-PER"):
            assert marginals[row, length - 1, tag_set.ids[tag]] == 0


# --- extreme scores --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    scheme=st.sampled_from(SCHEMES),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_scores_of_any_size_give_the_loss_and_marginals_of_enumeration(
    scheme: str, lengths: list[int], seed: int, data: st.DataObject
) -> None:
    """A score of 10,000 that a forbidden move rules out must not drown what is left."""
    sizes = st.sampled_from([1e4, -1e4, 500.0, -500.0, 140.0, 0.0])
    crf = crf_of(scheme, seed)
    emissions = emissions_of(crf, lengths, seed)
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    extremes = data.draw(st.lists(sizes, min_size=1, max_size=5))
    emissions += torch.from_numpy(random.choice(extremes, emissions.shape))
    count = torch.tensor(lengths)
    paths = [some_path(scheme, length, seed + row) for row, length in enumerate(lengths)]
    leaf = emissions.clone().requires_grad_()
    losses = crf.loss(leaf, padded(paths), count)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert leaf.grad is not None
    for gradient in (leaf.grad, *(each.grad for each in crf.parameters())):
        assert gradient.isfinite().all()
    marginals = crf.marginals(emissions, count)
    for row, each in enumerate(enumerated(crf, scheme, emissions, lengths)):
        wanted = each.log_partition - score_of(crf, emissions[row], paths[row])
        assert losses[row].item() == pytest.approx(wanted, rel=1e-9, abs=1e-8)
        np.testing.assert_allclose(marginals[row, : lengths[row]], each.marginals, atol=1e-8)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e-30])
def test_transitions_of_any_size_stay_finite(size: float) -> None:
    crf, lengths = crf_of("bioes"), [6, 1, 3]
    with torch.no_grad():
        crf.transitions[0] += size
        crf.start[0] -= size
        crf.end[-1] += size
    emissions, count = emissions_of(crf, lengths).requires_grad_(), torch.tensor(lengths)
    loss = crf.loss(emissions, padded([(0,) * length for length in lengths]), count)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert (loss >= -1e-9).all()
    assert all(each.grad.isfinite().all() for each in (emissions, *crf.parameters()))
    sums = crf.marginals(emissions, count).sum(dim=2)
    np.testing.assert_allclose(sums, (torch.arange(6) < count[:, None]).double(), atol=1e-9)


def test_one_score_for_all_tags_of_a_token_changes_nothing() -> None:
    crf, lengths = crf_of("bio"), torch.tensor([4, 2])
    emissions = emissions_of(crf, [4, 2])
    shifted = emissions + torch.tensor([1e6, -1e6, 3.0, 0.0])[:, None]
    np.testing.assert_allclose(crf.marginals(emissions, lengths), crf.marginals(shifted, lengths), atol=1e-9)


# --- long texts ------------------------------------------------------------------------------------------------


def test_five_thousand_tokens_are_quick_and_exact() -> None:
    crf, lengths = crf_of("bioes"), [5000, 17]
    emissions, count = emissions_of(crf, lengths, size=8.0).requires_grad_(), torch.tensor(lengths)
    path = some_path("bioes", 5000, 3)
    started = time.process_time()
    loss = crf.loss(emissions, padded([path, (*path[:16], 0)]), count)
    loss.sum().backward()
    marginals = crf.marginals(emissions, count)
    best = crf.best_path(emissions, count)
    several = crf.best_paths(emissions[:1], count[:1], 2)
    assert time.process_time() - started < 20, "processor seconds; about one without other work"
    assert loss.isfinite().all()
    np.testing.assert_allclose(marginals.sum(dim=2), (torch.arange(5000) < count[:, None]).double(), atol=1e-9)
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()
    assert several[0][0][0] == best[0].tolist()
    assert several[0][0][1] >= several[0][1][1]
    # The recursion in plain logarithms, over the long text.
    allowed = torch.from_numpy(TAG_SETS["bioes"].allowed)
    size = crf.num_tags
    moves = crf.transitions.detach().masked_fill(~allowed[:size, :size], -torch.inf)
    forward = emissions.detach()[0, 0] + crf.start.detach().masked_fill(~allowed[size, :size], -torch.inf)
    for row in emissions.detach()[0, 1:]:
        forward = torch.logsumexp(forward[:, None] + moves, dim=0) + row
    whole = torch.logsumexp(forward + crf.end.detach().masked_fill(~allowed[:size, size], -torch.inf), dim=0)
    assert loss[0].item() == pytest.approx(float(whole) - score_of(crf, emissions.detach()[0], path), rel=1e-9)


def test_the_best_path_of_a_long_text_is_exact_though_scores_add_up() -> None:
    """Differences of 0.01 decide; a running sum of 5,000 scores of 40 in float32 would round them away."""
    crf, length = crf_of("bio", size=0.05), 5000
    random = torch.Generator().manual_seed(3)
    emissions = 40 + 0.01 * torch.randn(1, length, crf.num_tags, generator=random, dtype=torch.float64)
    best = crf.best_path(emissions, torch.tensor([length]))[0].tolist()
    (((wanted, _),),) = crf.best_paths(emissions, torch.tensor([length]), 1)
    assert best == wanted
