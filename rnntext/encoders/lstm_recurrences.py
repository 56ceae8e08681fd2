"""The recurrences of two LSTM variants over packed texts, made for a CPU: peepholes, and coupled gates.

Packed order: see ``packed_steps``.

A step is a few operations in place. Going backwards, each gate's gradient is that of the state, h or C, times a
factor; the factors of all steps are computed at once before the loop, and the weights' gradient after it, as one
product. tanh(x) is taken as 1 - 2 sigmoid(-2x), which a CPU computes in half the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnntext.encoders.packed_steps import each_step, one_dtype, states_before, wants_gradients, weight_gradient_of


def peephole_states(
    projected: Tensor, start_h: Tensor, start_c: Tensor, weight: Tensor, peepholes: Tensor, sizes: list[int]
) -> tuple[Tensor, Tensor]:
    """Return h and C after each token, [N, H] each in packed order, of an LSTM whose gates see its cell.

    The input and forget gate see C of the step before, the output gate that of its own step. Below float32 it
    computes in float32. Gradients reach all five tensors, once.

    Args:
        projected: float [N, 4H] in packed order, the inputs times their weights, with all biases; input gate,
            forget gate, candidate and output gate.
        start_h: float [B, H], h before each text, longest text first.
        start_c: float [B, H], C before each text.
        weight: float [4H, H], ``weight_hh`` of ``nn.LSTM``.
        peepholes: float [3, H], from each cell to its own input, forget and output gate.
        sizes: texts alive at each step, never rising; the first is B, their sum N.

    Source:
        Gers and Schmidhuber (2000), Recurrent nets that time and count, section 2.
    """
    tensors = one_dtype(projected, start_h, start_c, weight, peepholes)
    if wants_gradients(*tensors):
        # torch gives ``apply`` no types.
        h, c = _Peephole.apply(sizes, *tensors)
    else:
        h, c, *_ = _run_peephole(sizes, False, *tensors)
    return h.to(projected.dtype), c.to(projected.dtype)


def coupled_states(
    projected: Tensor, start_h: Tensor, start_c: Tensor, weight: Tensor, sizes: list[int]
) -> tuple[Tensor, Tensor]:
    """Return h and C after each token, [N, H] each in packed order, of an LSTM whose input gate is 1 - forget gate.

    Below float32 it computes in float32. Gradients reach all four tensors, once.

    Args:
        projected: float [N, 3H] in packed order, the inputs times their weights, with all biases; forget gate,
            candidate and output gate.
        start_h: float [B, H], h before each text, longest text first.
        start_c: float [B, H], C before each text.
        weight: float [3H, H], from h before to the same three.
        sizes: texts alive at each step, never rising; the first is B, their sum N.

    Source:
        Greff et al. (2017), LSTM: a search space odyssey, section V, variant CIFG.
    """
    tensors = one_dtype(projected, start_h, start_c, weight)
    if wants_gradients(*tensors):
        # torch gives ``apply`` no types.
        h, c = _Coupled.apply(sizes, *tensors)
    else:
        h, c, *_ = _run_coupled(sizes, False, *tensors)
    return h.to(projected.dtype), c.to(projected.dtype)


class _Peephole(torch.autograd.Function):
    """``peephole_states`` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, sizes: list[int], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        kept = _run_peephole(sizes, True, *tensors)
        ctx.save_for_backward(*tensors[1:], *kept)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)  # most callers use h alone
        return kept[0], kept[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, h_gradient: Tensor | None, c_gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        start_h, start_c, weight, peepholes, h, c, gates, entered, u = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        i, f, s, o = gates.chunk(4, 1)
        see_i, see_f, see_o = peepholes.unbind()
        # What a gradient of 1 at C (at h for the output gate) is before each gate's nonlinearity.
        into_gates = torch.empty_like(gates)
        into_i, into_f, into_g, into_o = into_gates.chunk(4, 1)
        torch.addcmul(entered, entered, i, value=-1, out=into_i)  # i (1 - i) g
        torch.sub(c, entered, out=into_f)  # f C_before
        into_f.addcmul_(into_f, f, value=-1)  # f (1 - f) C_before
        torch.sub(i, entered, out=into_g).addcmul_(entered, s, value=2)  # i - i g (1 - 2s) = i (1 - g^2)
        torch.addcmul(h, h, o, value=-1, out=into_o)  # o (1 - o) tanh(C)
        # o (1 - tanh(C)^2), and by way of what the output gate sees; f, and by way of what the other two see.
        h_to_c = torch.sub(o, h).addcmul_(h, u, value=2).addcmul_(into_o, see_o)
        c_to_before = torch.addcmul(f, into_i, see_i).addcmul_(into_f, see_f)
        given = h_gradient, c_gradient
        starts = _go_back(sizes, given, into_gates, h_to_c, c_to_before, weight, ctx.needs_input_grad[2])
        weight_gradient = None
        if ctx.needs_input_grad[4]:
            weight_gradient = weight_gradient_of(into_gates, states_before(start_h, h, sizes))
        peepholes_gradient = None
        if ctx.needs_input_grad[5]:
            before = states_before(start_c, c, sizes)
            seen = (into_i, before), (into_f, before), (into_o, c)
            peepholes_gradient = torch.stack([(gradient * cell).sum(0) for gradient, cell in seen])
        return None, into_gates, *starts, weight_gradient, peepholes_gradient


def _run_peephole(
    sizes: list[int],
    keep: bool,
    projected: Tensor,
    start_h: Tensor,
    start_c: Tensor,
    weight: Tensor,
    peepholes: Tensor,
) -> tuple[Tensor, ...]:
    """Return h, C and for the way back the gates i, f, s, o, with g = 1 - 2s; i g; and u, with tanh(C) = 1 - 2u.

    What is for the way back is kept for all steps, or else for one.
    """
    rows, width = len(projected) if keep else len(start_h), start_h.shape[1]
    h_all, c_all = (projected.new_empty(len(projected), width) for _ in range(2))
    gates, entered, u_all = (projected.new_empty(rows, size) for size in (4 * width, width, width))
    see_i, see_f, see_o = peepholes.unbind()
    transposed = weight.t()
    minus_two = projected.new_full((), -2)  # a Python number would be converted at each step, which takes longer
    before_h, before_c = start_h, start_c
    for inputs, now, ig, u, h, c in zip(
        projected.split_with_sizes(sizes),
        each_step(gates, sizes),
        each_step(entered, sizes),
        each_step(u_all, sizes),
        h_all.split_with_sizes(sizes),
        c_all.split_with_sizes(sizes),
        strict=True,
    ):
        if len(h) < len(before_h):
            before_h, before_c = before_h[: len(h)], before_c[: len(h)]
        torch.addmm(inputs, before_h, transposed, out=now)
        i, f, s, o = now.chunk(4, 1)
        i.addcmul_(before_c, see_i)
        f.addcmul_(before_c, see_f)
        s.mul_(minus_two)
        now[:, : 3 * width].sigmoid_()
        torch.addcmul(i, i, s, value=-2, out=ig)
        torch.addcmul(ig, f, before_c, out=c)
        o.addcmul_(c, see_o).sigmoid_()
        torch.mul(c, minus_two, out=u).sigmoid_()
        torch.addcmul(o, o, u, value=-2, out=h)
        before_h, before_c = h, c
    return h_all, c_all, gates, entered, u_all


class _Coupled(torch.autograd.Function):
    """``coupled_states`` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, sizes: list[int], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        kept = _run_coupled(sizes, True, *tensors)
        ctx.save_for_backward(*tensors[1:], *kept)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        return kept[0], kept[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, h_gradient: Tensor | None, c_gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        start_h, _, weight, h, c, gates, u = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        f, g, o = gates.chunk(3, 1)
        into_gates = torch.empty_like(gates)  # as in ``_Peephole``
        into_f, into_g, into_o = into_gates.chunk(3, 1)
        torch.sub(c, g, out=into_f)  # f (C_before - g)
        into_f.addcmul_(into_f, f, value=-1)  # f (1 - f) (C_before - g)
        torch.addcmul(g.new_ones(()), g, g, value=-1, out=into_g)
        into_g.addcmul_(into_g, f, value=-1)  # (1 - f) (1 - g^2)
        torch.addcmul(h, h, o, value=-1, out=into_o)  # o (1 - o) tanh(C)
        h_to_c = torch.sub(o, h).addcmul_(h, u, value=2)  # o (1 - tanh(C)^2)
        given = h_gradient, c_gradient
        starts = _go_back(sizes, given, into_gates, h_to_c, f, weight, ctx.needs_input_grad[2])
        weight_gradient = None
        if ctx.needs_input_grad[4]:
            weight_gradient = weight_gradient_of(into_gates, states_before(start_h, h, sizes))
        return None, into_gates, *starts, weight_gradient


def _run_coupled(
    sizes: list[int], keep: bool, projected: Tensor, start_h: Tensor, start_c: Tensor, weight: Tensor
) -> tuple[Tensor, ...]:
    """Return h, C, the gates f, g, o, and u, with tanh(C) = 1 - 2u; the last two are kept as by ``_run_peephole``."""
    rows, width = len(projected) if keep else len(start_h), start_h.shape[1]
    h_all, c_all = (projected.new_empty(len(projected), width) for _ in range(2))
    gates, u_all = (projected.new_empty(rows, size) for size in (3 * width, width))
    transposed = weight.t()
    one, minus_two = projected.new_full((), 1), projected.new_full((), -2)
    before_h, before_c = start_h, start_c
    for inputs, now, u, h, c in zip(
        projected.split_with_sizes(sizes),
        each_step(gates, sizes),
        each_step(u_all, sizes),
        h_all.split_with_sizes(sizes),
        c_all.split_with_sizes(sizes),
        strict=True,
    ):
        if len(h) < len(before_h):
            before_h, before_c = before_h[: len(h)], before_c[: len(h)]
        torch.addmm(inputs, before_h, transposed, out=now)
        f, g, o = now.chunk(3, 1)
        g.mul_(minus_two)
        now.sigmoid_()
        torch.sub(one, g, alpha=2, out=g)
        torch.lerp(g, before_c, f, out=c)  # g + f (C_before - g)
        torch.mul(c, minus_two, out=u).sigmoid_()
        torch.addcmul(o, o, u, value=-2, out=h)
        before_h, before_c = h, c
    return h_all, c_all, gates, u_all


def _go_back(
    sizes: list[int],
    given: tuple[Tensor | None, Tensor | None],
    into_gates: Tensor,
    h_to_c: Tensor,
    c_to_before: Tensor,
    weight: Tensor,
    to_start: bool,
) -> tuple[Tensor | None, Tensor]:
    """Multiply the factors ``into_gates``, output gate last, by the gradients of C and h; return those of the start.

    Args:
        sizes: texts alive at each step.
        given: float [N, H] each, of h and C as the caller used them; zero if None.
        into_gates: float [N, gates x H], a factor for each gate; becomes the gradient of ``projected``.
        h_to_c: float [N, H], what a gradient of 1 at h is at C of the same step.
        c_to_before: float [N, H], what a gradient of 1 at C is at C of the step before.
        weight: float [gates x H, H].
        to_start: whether the gradient of the h before the texts is wanted.
    """
    rows, width = h_to_c.shape
    dh_all, dc_all = (h_to_c.new_zeros(sizes[0], width) for _ in range(2))  # zero until a text's last step
    to_cell = into_gates.view(rows, -1, width)[:, :-1].split_with_sizes(sizes)
    to_output, to_all = into_gates[:, -width:].split_with_sizes(sizes), into_gates.split_with_sizes(sizes)
    h_to_c_steps, c_to_before_steps = h_to_c.split_with_sizes(sizes), c_to_before.split_with_sizes(sizes)
    h_given, c_given = (None if gradient is None else gradient.split_with_sizes(sizes) for gradient in given)
    for step in range(len(sizes) - 1, -1, -1):
        dh, dc = dh_all[: sizes[step]], dc_all[: sizes[step]]
        if h_given is not None:
            dh.add_(h_given[step])
        if c_given is not None:
            dc.add_(c_given[step])
        dc.addcmul_(dh, h_to_c_steps[step])
        to_output[step].mul_(dh)
        to_cell[step].mul_(dc[:, None])
        if step or to_start:
            torch.mm(to_all[step], weight, out=dh)
        dc.mul_(c_to_before_steps[step])
    return dh_all if to_start else None, dc_all
