"""Plain and gated recurrences over packed texts, with gradients written by hand: exact, and fast on a CPU.

torch has no fused kernel for its RNN and GRU on a CPU: autograd notes down each small operation of each step,
and packing copies at each step where a text ends. Here a step is a few operations in place, and a direction is
one node of the graph. Going backwards, all that does not depend on the recurrence is computed for all steps at
once before the loop, and the weights' gradient is one product after it.

Packed order: see ``packed_steps``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnntext.encoders.packed_steps import (
    each_step,
    going_on,
    one_dtype,
    states_before,
    wants_gradients,
    weight_gradient_of,
)

Nonlinearity = Literal["tanh", "relu"]

# torch's tanh takes a CPU with AVX2 three times as long as its sigmoid. So where a step holds more numbers than this,
# tanh(x) is taken as 2 sigmoid(2x) - 1: more operations, each of them fast. Doubling is exact, and the absolute error
# stays at the last digit of a number next to 1 (1e-7 in float32, 1e-16 in float64).
FEW_FOR_TANH = 2048

aten = torch.ops.aten


def rnn_states(
    projected: Tensor, start: Tensor, weight: Tensor, sizes: Sequence[int], nonlinearity: Nonlinearity = "tanh"
) -> Tensor:
    """Return the state after each token, [N, H] in packed order: h' = f(projected + W h).

    Below float32 it computes in float32. Gradients reach ``projected``, ``start`` and ``weight``, once.

    Args:
        projected: float [N, H] in packed order, the inputs times their weights, with all biases.
        start: float [B, H], the state before each text, longest text first.
        weight: float [H, H], ``weight_hh`` of ``nn.RNN``.
        sizes: texts alive at each step, never rising; the first is B, their sum N.
        nonlinearity: f.
    """
    dtype, live_texts = projected.dtype, list(sizes)
    projected, start, weight = one_dtype(projected, start, weight)
    if wants_gradients(projected, start, weight):
        # torch gives ``apply`` no types.
        states: Tensor = _PlainRecurrence.apply(projected, start, weight, live_texts, nonlinearity)
    else:
        states = _run_rnn(projected, start, weight, live_texts, nonlinearity)
    return states.to(dtype)


def gru_states(projected: Tensor, start: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the state after each token, [N, H] in packed order, of a GRU in torch's variant.

    With the gates r, z, n stacked in this order: r and z are sigmoids of ``projected + W h``;
    n = tanh(projected + r * (W h + bias)); h' = (1 - z) n + z h.

    Below float32 it computes in float32. Gradients reach ``projected``, ``start``, ``weight`` and ``bias``, once.

    Args:
        projected: float [N, 3H] in packed order, the inputs times their weights, with all biases but ``bias``.
        start: float [B, H], the state before each text, longest text first.
        weight: float [3H, H], ``weight_hh`` of ``nn.GRU``.
        bias: float [H], the last third of ``bias_hh`` of ``nn.GRU``.
        sizes: texts alive at each step, never rising; the first is B, their sum N.
    """
    dtype, live_texts = projected.dtype, list(sizes)
    projected, start, weight, bias = one_dtype(projected, start, weight, bias)
    if wants_gradients(projected, start, weight, bias):
        # torch gives ``apply`` no types.
        states: Tensor = _GatedRecurrence.apply(projected, start, weight, bias, live_texts)
    else:
        states, _, _ = _run_gru(projected, start, weight, bias, live_texts, keep=False)
    return states.to(dtype)


class _PlainRecurrence(torch.autograd.Function):
    """``rnn_states`` as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, start: Tensor, weight: Tensor, sizes: list[int], nonlinearity: Nonlinearity
    ) -> Tensor:
        states = _run_rnn(projected, start, weight, sizes, nonlinearity)
        ctx.save_for_backward(start, weight, states)
        ctx.sizes, ctx.nonlinearity = sizes, nonlinearity
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, states_gradient: Tensor) -> tuple[Tensor | None, ...]:
        start, weight, states = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        # It collects the gradient of each state, and becomes, step by step, that of ``projected``.
        gradient = states_gradient.clone(memory_format=torch.contiguous_format)
        if ctx.nonlinearity == "tanh":
            slopes = torch.addcmul(states.new_ones(()), states, states, value=-1)  # 1 - h^2
        else:
            slopes = states.sign()  # 1 where h > 0, else 0
        start_gradient = torch.zeros_like(start) if ctx.needs_input_grad[1] else None
        steps = gradient.split_with_sizes(sizes)
        befores = [start_gradient, *going_on(steps, sizes)]
        for now, slope, before in zip(
            reversed(steps), reversed(slopes.split_with_sizes(sizes)), reversed(befores), strict=True
        ):
            now.mul_(slope)
            if before is not None:
                before.addmm_(now, weight)
        weight_gradient = None
        if ctx.needs_input_grad[2]:
            weight_gradient = weight_gradient_of(gradient, states_before(start, states, sizes))
        return gradient, start_gradient, weight_gradient, None, None


class _GatedRecurrence(torch.autograd.Function):
    """``gru_states`` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, start: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> Tensor:
        states, gates, candidates = _run_gru(projected, start, weight, bias, sizes, keep=True)
        ctx.save_for_backward(start, weight, bias, states, gates, candidates)
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, states_gradient: Tensor) -> tuple[Tensor | None, ...]:
        start, weight, bias, states, gates, candidates = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        width = len(bias)
        reset, update, recurrent = gates.chunk(3, 1)
        previous = states_before(start, states, sizes)
        # The gradient of each gate is that of the state times a factor known beforehand. ``into`` starts as these
        # factors, for what W h adds to r, z and n; ``into_candidate`` is the factor for what enters n's tanh.
        into = torch.empty_like(gates)
        into_reset, into_update, into_recurrent = into.chunk(3, 1)
        into_candidate = aten.tanh_backward(1 - update, candidates)
        torch.mul(into_candidate, reset, out=into_recurrent)
        aten.sigmoid_backward.grad_input((recurrent + bias).mul_(into_candidate), reset, grad_input=into_reset)
        aten.sigmoid_backward.grad_input(previous - candidates, update, grad_input=into_update)
        gradient = states_gradient.clone(memory_format=torch.contiguous_format)  # collects that of each state
        start_gradient = torch.zeros_like(start) if ctx.needs_input_grad[1] else None
        steps = gradient.split_with_sizes(sizes)
        for now, for_each, z, into_now, into_each, before in zip(
            reversed(steps),
            reversed(gradient[:, None].split_with_sizes(sizes)),
            reversed(update.split_with_sizes(sizes)),
            reversed(into.split_with_sizes(sizes)),
            reversed(into.view(-1, 3, width).split_with_sizes(sizes)),
            reversed([start_gradient, *going_on(steps, sizes)]),
            strict=True,
        ):
            into_each.mul_(for_each)
            if before is not None:
                before.addcmul_(now, z).addmm_(into_now, weight)
        weight_gradient = weight_gradient_of(into, previous) if ctx.needs_input_grad[2] else None
        bias_gradient = into_recurrent.sum(0) if ctx.needs_input_grad[3] else None
        torch.mul(into_candidate, gradient, out=into_recurrent)  # with this ``into`` is what enters from the inputs
        return into, start_gradient, weight_gradient, bias_gradient, None


def _run_rnn(
    projected: Tensor, start: Tensor, weight: Tensor, sizes: list[int], nonlinearity: Nonlinearity
) -> Tensor:
    by_sigmoid = nonlinearity == "tanh" and _is_tanh_slow(start)
    scale = 2 if by_sigmoid else 1
    states, transposed = projected * scale, (weight * scale).t()
    minus_one = projected.new_full((), -1)
    steps = states.split_with_sizes(sizes)
    for now, before in zip(steps, [start, *going_on(steps, sizes)], strict=True):
        now.addmm_(before, transposed)
        if by_sigmoid:
            torch.add(minus_one, now.sigmoid_(), alpha=2, out=now)
        elif nonlinearity == "tanh":
            now.tanh_()
        else:
            now.relu_()
    return states


def _run_gru(
    projected: Tensor, start: Tensor, weight: Tensor, bias: Tensor, sizes: list[int], keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states [N, H], and what the way back needs: (r, z, the n rows of W h) [N, 3H] and n [N, H].

    With ``keep`` false the last two have B rows, and each step writes over the one before.
    """
    width, by_sigmoid = len(bias), _is_tanh_slow(start)
    rows = len(projected) if keep else len(start)
    states = projected.new_empty(len(projected), width)
    gates, candidates = projected.new_empty(rows, 3 * width), projected.new_empty(rows, width)
    transposed, minus_one = weight.t(), projected.new_full((), -1)
    into_gates, into_candidate = projected.split_with_sizes([2 * width, width], 1)
    state_steps = states.split_with_sizes(sizes)
    for gates_input, candidate_input, now, before, products, opening, r, z, recurrent, n in zip(
        into_gates.split_with_sizes(sizes),
        into_candidate.split_with_sizes(sizes),
        state_steps,
        [start, *going_on(state_steps, sizes)],
        *(each_step(part, sizes) for part in (gates, gates[:, : 2 * width], *gates.chunk(3, 1), candidates)),
        strict=True,
    ):
        torch.mm(before, transposed, out=products)
        opening.add_(gates_input).sigmoid_()
        torch.add(recurrent, bias, out=n)
        torch.addcmul(candidate_input, r, n, out=n)
        if by_sigmoid:
            torch.add(minus_one, n.add_(n).sigmoid_(), alpha=2, out=n)
        else:
            n.tanh_()
        torch.lerp(n, before, z, out=now)
    return states, gates, candidates


def _is_tanh_slow(start: Tensor) -> bool:
    return start.device.type == "cpu" and start.numel() > FEW_FOR_TANH
