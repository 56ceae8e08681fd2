"""Dropout from cheap random bits does what torch's does."""

from __future__ import annotations

import pytest
import torch

from rnntext.heads.dropout import STEPS, Dropout


def dropout(probability: float) -> Dropout:
    return Dropout(probability).train()


@pytest.mark.parametrize("probability", [0.01, 0.2, 0.5, 0.75, 0.99])
def test_the_share_is_dropped_and_the_mean_is_kept(probability: float) -> None:
    torch.manual_seed(0)
    states = torch.ones(400, 500)
    some = dropout(probability)(states)
    assert some.shape == states.shape
    assert some.dtype == states.dtype
    kept = some != 0
    assert float(kept.float().mean()) == pytest.approx(1 - probability, abs=0.005)
    assert float(some.mean()) == pytest.approx(1, abs=0.03 if probability < 0.9 else 0.1)
    scale = 1 / (1 - probability)
    torch.testing.assert_close(some[kept], torch.full_like(some[kept], scale), rtol=2e-3, atol=0)


def test_every_place_is_as_likely_as_any_other() -> None:
    torch.manual_seed(0)
    module, states = dropout(0.5), torch.ones(2, 8)
    kept = torch.stack([module(states) != 0 for _ in range(4000)]).float()
    torch.testing.assert_close(kept.mean(dim=0), torch.full((2, 8), 0.5), atol=0.04, rtol=0)
    together = torch.corrcoef(kept.flatten(1).T)
    assert float((together - torch.eye(16)).abs().max()) < 0.08, "neighbours are drawn each on its own"


def test_nothing_is_dropped_in_evaluation_or_with_a_probability_of_0() -> None:
    states = torch.randn(3, 5)
    assert torch.equal(Dropout(0.5).eval()(states), states)
    assert torch.equal(dropout(0)(states), states)
    assert torch.equal(dropout(0.2 / STEPS)(states), states), "rounded to 0"


@pytest.mark.parametrize("probability", [1 - 0.4 / STEPS, 1 - 1e-12])
def test_a_probability_next_to_1_is_no_division_by_zero(probability: float) -> None:
    torch.manual_seed(0)
    some = dropout(probability)(torch.ones(1000))
    assert bool(some.isfinite().all())
    assert int((some != 0).sum()) < 10


def test_a_seed_decides_what_is_dropped() -> None:
    module, states = dropout(0.5), torch.ones(50)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(module(states))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(module(states), drawn[2]), "and each call draws anew"


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2,), (3,), (5, 1), (7, 3), (2, 0, 3), (3, 1, 5)])
def test_any_shape_is_taken(shape: tuple[int, ...]) -> None:
    states = torch.ones(shape)
    some = dropout(0.5)(states)
    assert some.shape == states.shape
    assert bool(((some == 0) | (some == 2)).all())


def test_gradients_reach_what_was_kept_scaled_as_it_was() -> None:
    states = torch.randn(40, 30, requires_grad=True)
    some = dropout(0.3)(states)
    some.sum().backward()
    assert states.grad is not None
    torch.testing.assert_close(some.detach(), states.detach() * states.grad)
    values = states.grad.unique()
    assert len(values) == 2
    assert float(values[0]) == 0
    assert float(values[1]) == pytest.approx(1 / 0.7, rel=1e-4)


def test_states_may_lie_in_memory_in_any_order() -> None:
    states = torch.arange(1.0, 601.0).view(20, 30)
    for view in (states.T, states[:, ::3], states[::2].T, states[:1].expand(20, 30)):
        some = dropout(0.5)(view)
        assert some.shape == view.shape
        assert bool(((some == 0) | (some == 2 * view)).all())
        assert 0.3 < float((some != 0).float().mean()) < 0.7
    assert torch.equal(states, torch.arange(1.0, 601.0).view(20, 30)), "what is given stays as it is"


def test_bfloat16_stays_bfloat16() -> None:
    some = dropout(0.5)(torch.ones(64, dtype=torch.bfloat16))
    assert some.dtype == torch.bfloat16
    assert bool(((some == 0) | (some == 2)).all())
