"""The recurrences of the LSTM variants: the papers' equations step by step, torch's own LSTM, finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rnntext.encoders.lstm_recurrences import coupled_states, peephole_states

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
SIZES = [4, 4, 3, 1, 1]

States = tuple[Tensor, Tensor]


def peephole_loop(
    projected: Tensor, start_h: Tensor, start_c: Tensor, weight: Tensor, peepholes: Tensor, sizes: list[int]
) -> States:
    """Gers and Schmidhuber (2000), with the gates' names of today."""
    w_ci, w_cf, w_co = peepholes
    h, c, h_all, c_all = start_h, start_c, [], []
    for x in projected.split(sizes):
        h, c = h[: len(x)], c[: len(x)]
        x_i, x_f, x_g, x_o = (x + h @ weight.t()).chunk(4, 1)
        i = torch.sigmoid(x_i + w_ci * c)
        f = torch.sigmoid(x_f + w_cf * c)
        c = f * c + i * torch.tanh(x_g)
        o = torch.sigmoid(x_o + w_co * c)
        h = o * torch.tanh(c)
        h_all.append(h)
        c_all.append(c)
    return torch.cat(h_all), torch.cat(c_all)


def coupled_loop(projected: Tensor, start_h: Tensor, start_c: Tensor, weight: Tensor, sizes: list[int]) -> States:
    """Greff et al. (2017): an LSTM without peepholes with i = 1 - f."""
    h, c, h_all, c_all = start_h, start_c, [], []
    for x in projected.split(sizes):
        h, c = h[: len(x)], c[: len(x)]
        x_f, x_g, x_o = (x + h @ weight.t()).chunk(3, 1)
        f, o = torch.sigmoid(x_f), torch.sigmoid(x_o)
        i = 1 - f
        c = f * c + i * torch.tanh(x_g)
        h = o * torch.tanh(c)
        h_all.append(h)
        c_all.append(c)
    return torch.cat(h_all), torch.cat(c_all)


VARIANTS: dict[str, tuple[Callable[..., States], Callable[..., States], int]] = {
    "peephole": (peephole_states, peephole_loop, 4),
    "coupled": (coupled_states, coupled_loop, 3),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def make(
    variant: str, sizes: list[int], width: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[Tensor]:
    """Return inputs, a start and weights far enough from zero that a mistake shows."""
    gates = VARIANTS[variant][2]
    generator = torch.Generator().manual_seed(seed)
    shapes = [(sum(sizes), gates * width), (sizes[0], width), (sizes[0], width), (gates * width, width)]
    if variant == "peephole":
        shapes.append((3, width))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [tensor.requires_grad_() for tensor in made]


def assert_equal(ours: Any, theirs: Any, dtype: torch.dtype = torch.float64) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


def both(states: States) -> Tensor:
    """Return a number to which every h and every C adds a share of its own."""
    h, c = (state.double() for state in states)
    shares = torch.randn(2, *h.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return (shares[0] * h).sum() + (shares[1] * c).sum()


READINGS: dict[str, Callable[[States], Tensor]] = {
    "h": lambda states: both((states[0], torch.zeros_like(states[1]))),
    "c": lambda states: both((torch.zeros_like(states[0]), states[1])),
    "both": both,
}


def check(variant: str, tensors: list[Tensor], sizes: list[int], read: Callable[[States], Tensor] = both) -> None:
    """Hold values and all gradients against the plain loop, which always runs in float64."""
    recurrence, loop, _ = VARIANTS[variant]
    dtype = tensors[0].dtype
    twins = [tensor.detach().double().requires_grad_() for tensor in tensors]
    ours, theirs = recurrence(*tensors, sizes), loop(*twins, sizes)
    assert {state.dtype for state in ours} == {dtype}
    assert_equal([state.double() for state in ours], list(theirs), dtype)
    gradients = torch.autograd.grad(read(ours), tensors)
    expected = torch.autograd.grad(read(theirs), twins)
    assert_equal([gradient.double() for gradient in gradients], list(expected), dtype)


@every_variant
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("sizes", [SIZES, [3, 3, 3], [2], [1, 1]], ids=str)
def test_equals_the_equations_step_by_step(variant, dtype, sizes):
    check(variant, make(variant, sizes, dtype=dtype), sizes)


@every_variant
@pytest.mark.parametrize("read", READINGS)
def test_gradients_come_from_either_output(variant, read):
    check(variant, make(variant, SIZES), SIZES, READINGS[read])


@every_variant
def test_a_caller_who_uses_one_output_gets_its_gradient(variant):
    """Autograd hands over no gradient at all for the other one, where ``READINGS`` above hands over zeros."""
    recurrence, loop, _ = VARIANTS[variant]
    tensors = make(variant, SIZES)
    for used in (0, 1):
        ours = torch.autograd.grad(recurrence(*tensors, SIZES)[used].square().sum(), tensors, allow_unused=True)
        theirs = torch.autograd.grad(loop(*tensors, SIZES)[used].square().sum(), tensors)
        assert_equal(list(ours), list(theirs))


@every_variant
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    width=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@example(lengths=[9, 1, 1], width=2, seed=0)
@settings(max_examples=40, deadline=None)
def test_equals_the_equations_at_any_lengths(variant, lengths, width, seed):
    sizes = [sum(length > step for length in lengths) for step in range(max(lengths))]
    check(variant, make(variant, sizes, width, seed=seed), sizes)


@every_variant
def test_gradients_agree_with_finite_differences(variant):
    sizes = [2, 2, 1]
    assert torch.autograd.gradcheck(VARIANTS[variant][0], (*make(variant, sizes, width=2), sizes))


def test_without_peepholes_it_is_the_lstm_of_torch():
    lengths, width, inputs = torch.tensor([5, 3, 3, 2]), 3, 2
    sizes = [4, 4, 3, 1, 1]
    generator = torch.Generator().manual_seed(0)
    draw = [
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in [(4, 5, inputs), *[(4, width)] * 2]
    ]
    texts, start_h, start_c = (tensor.requires_grad_() for tensor in draw)
    torch.manual_seed(1)
    lstm = nn.LSTM(inputs, width, batch_first=True).double()
    packed = nn.utils.rnn.pack_padded_sequence(texts, lengths, batch_first=True)
    assert packed.batch_sizes.tolist() == sizes
    theirs, (last_h, last_c) = lstm(packed, (start_h[None], start_c[None]))

    projected = nn.functional.linear(packed.data, lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0)
    peepholes = torch.zeros(3, width, dtype=torch.float64)
    h, c = peephole_states(projected, start_h, start_c, lstm.weight_hh_l0, peepholes, sizes)
    assert_equal(h, theirs.data)
    ends = torch.tensor([12, 9, 10, 7])  # rows of the last tokens
    assert_equal([h[ends], c[ends]], [last_h[0], last_c[0]])
    wanted = [texts, start_h, start_c, *lstm.parameters()]
    ours_gradients = torch.autograd.grad(h.square().sum() + c[ends].sum(), wanted, retain_graph=True)
    their_gradients = torch.autograd.grad(theirs.data.square().sum() + last_c.sum(), wanted)
    assert_equal(list(ours_gradients), list(their_gradients))


def test_coupled_gates_share_one_whole():
    """A constant candidate of 1 leaves 1 - C = f (1 - C_before), whatever f: what is not kept is let in."""
    width = 2
    projected, start_h, start_c, weight = (tensor.detach() for tensor in make("coupled", SIZES, width))
    projected[:, width : 2 * width] = 1e3
    weight[width : 2 * width] = 0
    assert_equal(
        coupled_states(projected, start_h, torch.ones_like(start_c), weight, SIZES)[1], torch.ones(13, 2).double()
    )
    c = coupled_states(projected, start_h, torch.zeros_like(start_c), weight, SIZES)[1]
    f = torch.sigmoid(projected[:4] + start_h @ weight.t())[:, :width]
    assert_equal(c[:4], 1 - f)


@every_variant
def test_a_state_carried_on_gives_the_same_as_one_pass(variant):
    recurrence = VARIANTS[variant][0]
    sizes = [3] * 6
    projected, start_h, start_c, *weights = make(variant, sizes)
    tensors = [projected, start_h, start_c, *weights]
    whole = recurrence(*tensors, sizes)
    first = recurrence(projected[:9], start_h, start_c, *weights, sizes[:3])
    second = recurrence(projected[9:], first[0][-3:], first[1][-3:], *weights, sizes[3:])
    pieces = [torch.cat(pair) for pair in zip(first, second, strict=True)]
    assert_equal(pieces, list(whole))
    ours, theirs = (torch.autograd.grad(both((h, c)), tensors) for h, c in (pieces, whole))
    assert_equal(list(ours), list(theirs))


@every_variant
def test_gradients_reach_only_those_who_want_them(variant):
    recurrence = VARIANTS[variant][0]
    tensors = make(variant, SIZES)
    whole = torch.autograd.grad(both(recurrence(*tensors, SIZES)), tensors)
    for wanted in range(len(tensors)):
        chosen = [tensor.detach().requires_grad_(place == wanted) for place, tensor in enumerate(tensors)]
        both(recurrence(*chosen, SIZES)).backward()
        assert [tensor.grad is not None for tensor in chosen] == [place == wanted for place in range(len(tensors))]
        assert_equal(chosen[wanted].grad, whole[wanted])
    assert not recurrence(*(tensor.detach() for tensor in tensors), SIZES)[0].requires_grad


@every_variant
@pytest.mark.parametrize("sizes", [SIZES, [3, 3, 3]], ids=str)
def test_without_gradients_the_same_numbers(variant, sizes):
    recurrence = VARIANTS[variant][0]
    tensors = make(variant, sizes)
    expected = recurrence(*tensors, sizes)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            states = recurrence(*tensors, sizes)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(states, expected, strict=True))


@every_variant
def test_what_was_given_stays_as_it_was(variant):
    tensors = make(variant, SIZES)
    before = [tensor.detach().clone() for tensor in tensors]
    states = VARIANTS[variant][0](*tensors, SIZES)
    after_forward = [state.detach().clone() for state in states]
    loss = both(states)
    once, twice = (torch.autograd.grad(loss, tensors, retain_graph=True) for _ in range(2))
    assert all(torch.equal(first, second) for first, second in zip(once, twice, strict=True))
    assert all(torch.equal(now, then) for now, then in zip(tensors, before, strict=True))
    assert all(torch.equal(now, then) for now, then in zip(states, after_forward, strict=True))


@every_variant
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("size", [50.0, 1e4, 1e30])
def test_extreme_values_give_finite_states_and_gradients(variant, dtype, size):
    tensors = make(variant, SIZES, dtype=dtype)
    tensors[0] = (tensors[0].detach() * size).requires_grad_()
    states = VARIANTS[variant][0](*tensors, SIZES)
    gradients = torch.autograd.grad(both(states), tensors)
    assert all(bool(tensor.isfinite().all()) for tensor in (*states, *gradients))
    if size == 50.0:
        check(variant, tensors, SIZES)


@every_variant
def test_memory_order_does_not_matter(variant):
    projected, start_h, start_c, weight, *rest = make(variant, SIZES)
    strided = [tensor.detach().t().contiguous().t().requires_grad_() for tensor in (projected, weight)]
    one_start = start_c.detach()[:1].expand_as(start_c).requires_grad_()
    check(variant, [strided[0], start_h, one_start, strided[1], *rest], SIZES)


@every_variant
def test_bfloat16_is_computed_in_float32_and_autocast_changes_nothing(variant):
    recurrence = VARIANTS[variant][0]
    tensors = make(variant, SIZES, dtype=torch.bfloat16)
    exact = [tensor.detach().float().requires_grad_() for tensor in tensors]
    expected = recurrence(*exact, SIZES)
    both(expected).backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = recurrence(*tensors, SIZES)
        both(states).backward()
        again = [tensor.detach().requires_grad_() for tensor in exact]
        both(recurrence(*again, SIZES)).backward()
    assert all(state.dtype == torch.bfloat16 for state in states)
    assert all(torch.equal(state, wanted.bfloat16()) for state, wanted in zip(states, expected, strict=True))
    for half, full, other in zip(tensors, exact, again, strict=True):
        assert half.grad is not None
        assert half.grad.dtype == torch.bfloat16
        assert torch.equal(full.grad, other.grad)
        torch.testing.assert_close(half.grad.float(), full.grad, atol=0.05, rtol=0.05)


@every_variant
def test_a_gradient_of_the_gradient_is_refused(variant):
    tensors = make(variant, SIZES)
    loss = VARIANTS[variant][0](*tensors, SIZES)[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
