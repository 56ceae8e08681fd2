"""The scan: the recurrence written step by step, forwards and backwards, in float64 and below."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnntext.encoders import scan
from rnntext.encoders.scan import linear_scan

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
WIDE = (64, 128)  # as many states as make blocks not worth while


def step_by_step(keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
    h, states = start, []
    for t in range(keep.shape[1]):
        h = keep[:, t] * h + add[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def make(batch: int, steps: int, width: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keep = torch.randn(batch, steps, width, generator=generator, dtype=torch.float64).mul(3).sigmoid()
    add = torch.randn(batch, steps, width, generator=generator, dtype=torch.float64)
    start = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    return [tensor.to(dtype).requires_grad_() for tensor in (keep, add, start)]


def assert_equal(ours: Any, theirs: Any, dtype: torch.dtype = torch.float64) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


def check(tensors: list[Tensor], dtype: torch.dtype = torch.float64) -> None:
    """Hold values and all gradients against the plain loop, which always runs in float64."""
    twins = [tensor.detach().double().requires_grad_() for tensor in tensors]
    ours, theirs = linear_scan(*tensors), step_by_step(*twins)
    weights = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    gradients = torch.autograd.grad(ours, tensors, weights.to(dtype))
    expected = torch.autograd.grad(theirs, twins, weights)
    assert ours.dtype == dtype
    assert_equal(ours.double(), theirs, dtype)
    assert_equal([gradient.double() for gradient in gradients], list(expected), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 3, 63, 64, 65, 71, 1000])
def test_equals_the_recurrence_step_by_step(steps, dtype):
    check(make(2, steps, 3, dtype), dtype)


@pytest.mark.parametrize("steps", [1, 70])
def test_equals_the_recurrence_where_one_step_is_wide(steps):
    assert WIDE[0] * WIDE[1] >= scan.BLOCKS_BELOW_WIDTH
    check(make(WIDE[0], steps, WIDE[1]))


@given(steps=st.integers(1, 130), batch=st.integers(1, 3), width=st.integers(1, 3), seed=st.integers(0, 99))
@example(steps=80, batch=1, width=1, seed=0)  # one short of nine blocks of nine
@settings(max_examples=60, deadline=None)
def test_equals_the_recurrence_at_any_length(steps, batch, width, seed):
    check(make(batch, steps, width, seed=seed))


@pytest.mark.parametrize("steps", [1, 3, 66])
def test_gradients_agree_with_finite_differences(steps):
    assert torch.autograd.gradcheck(linear_scan, make(1, steps, 1))


@pytest.mark.parametrize("steps", [5, 75])
def test_keep_of_one_sums_and_keep_of_zero_forgets(steps):
    keep, add, start = make(2, steps, 3)
    assert_equal(linear_scan(torch.ones_like(keep), add, start), add.cumsum(1) + start[:, None])
    assert torch.equal(linear_scan(torch.zeros_like(keep), add, start), add)
    mixed = (keep.detach() > 0.5).double().requires_grad_()
    check([mixed, add, start])


@pytest.mark.parametrize("steps", [6, 80])
def test_a_state_needs_nothing_that_comes_after_it(steps):
    keep, add, start = (tensor.detach() for tensor in make(2, steps, 3))
    short = linear_scan(keep[:, : steps // 2], add[:, : steps // 2], start)
    keep[:, steps // 2 :], add[:, steps // 2 :] = 1, 1e300
    assert_equal(linear_scan(keep, add, start)[:, : steps // 2], short)


@pytest.mark.parametrize("steps", [4, 74])
@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)))
def test_gradients_reach_only_those_who_want_them(steps, wanted):
    tensors = make(2, steps, 3)
    whole = torch.autograd.grad(linear_scan(*tensors).square().sum(), tensors)
    chosen = [tensor.detach().requires_grad_(want) for tensor, want in zip(tensors, wanted, strict=True)]
    states = linear_scan(*chosen)
    assert states.requires_grad == any(wanted)
    if any(wanted):
        states.square().sum().backward()
    assert [tensor.grad is not None for tensor in chosen] == list(wanted)
    for tensor, gradient in zip(chosen, whole, strict=True):
        if tensor.requires_grad:
            assert_equal(tensor.grad, gradient)


@pytest.mark.parametrize("steps", [4, 74])
def test_without_gradients_the_same_numbers(steps):
    tensors = make(2, steps, 3)
    with_gradients = linear_scan(*tensors)
    with torch.no_grad():
        assert torch.equal(linear_scan(*tensors), with_gradients)
    with torch.inference_mode():
        assert torch.equal(linear_scan(*tensors), with_gradients)


@pytest.mark.parametrize("shape", [(2, 74, 3), (WIDE[0], 5, WIDE[1])])
def test_memory_order_does_not_matter(shape):
    keep, add, start = make(*shape)
    step_first = [tensor.detach().transpose(0, 1).contiguous() for tensor in (keep, add)]
    by_step = [tensor.transpose(0, 1).requires_grad_() for tensor in step_first]
    check([*by_step, start])
    states = linear_scan(by_step[0], add, start.detach()[:1].expand_as(start))
    assert_equal(states, step_by_step(keep, add, start[:1].expand_as(start)))


def test_bfloat16_is_computed_in_float32_and_autocast_changes_nothing():
    tensors = make(2, 70, 3, torch.bfloat16)
    expected = linear_scan(*(tensor.detach().float() for tensor in tensors))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = linear_scan(*tensors)
        assert torch.equal(linear_scan(*(tensor.detach().float() for tensor in tensors)), expected)
        states.sum().backward()
    assert states.dtype == torch.bfloat16
    assert torch.equal(states, expected.bfloat16())
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.bfloat16 for tensor in tensors)


def test_the_gradient_may_be_taken_twice_but_has_none_itself():
    tensors = make(2, 70, 3)
    states = linear_scan(*tensors)
    once, twice = (torch.autograd.grad(states.sum(), tensors, retain_graph=True) for _ in range(2))
    assert all(torch.equal(first, second) for first, second in zip(once, twice, strict=True))
    (gradient,) = torch.autograd.grad(states.square().sum(), tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
