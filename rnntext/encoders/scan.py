"""A linear recurrence over all steps of padded texts: h_t = keep_t * h_{t-1} + add_t.

The factors do not depend on h, so the steps need not wait for each other: several blocks of steps go forward at
once, from an unknown start each; then the starts are carried from block to block, and the blocks go forward again
from there. Where one step of the whole batch already fills a processor core, blocks would only read everything
twice, and one step follows the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Measured on one core at 400 steps: blocks are 1.5 times as fast at a width (texts times states) of 2048, level at
# 3072, slower by a third at 6144. Below this number of steps they gain nothing at any width.
BLOCKS_BELOW_WIDTH = 3072
BLOCKS_FROM_STEPS = 64


def linear_scan(keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
    """Return float [B, T, H], h after each step: h_t = keep_t * h_{t-1} + add_t, elementwise.

    Each state is a function of the steps up to it, so what trailing padding holds reaches no real one. Below
    float32 it computes in float32. Gradients reach all three, once.

    Args:
        keep: float [B, T, H], from 0 to 1: the share of the state before that stays.
        add: float [B, T, H], what each step adds.
        start: float [B, H], the state before the first step.

    Source:
        Blelloch (1990), Prefix sums and their applications, section 1.4; for minGRU by Feng et al. (2024), Were RNNs
        all we needed?, section 3.
    """
    dtype = torch.promote_types(torch.promote_types(keep.dtype, add.dtype), torch.float32)
    tensors = keep.to(dtype), add.to(dtype), start.to(dtype)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        # torch gives ``apply`` no types.
        states: Tensor = _LinearScan.apply(*tensors)
    else:
        states = torch.empty_like(tensors[0])
        _scan(*tensors, states)
    return states.to(keep.dtype)


class _LinearScan(torch.autograd.Function):
    """``linear_scan`` as one node of the graph; its gradient is the recurrence from the last step to the first."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
        states = torch.empty_like(keep)
        _scan(keep, add, start, states)
        ctx.save_for_backward(keep, start, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, states_gradient: Tensor) -> tuple[Tensor | None, ...]:
        keep, start, states = ctx.saved_tensors
        add_gradient = torch.empty_like(keep)
        add_gradient[:, -1] = last = states_gradient[:, -1]
        _scan(keep[:, 1:], states_gradient[:, :-1], last, add_gradient[:, :-1], reverse=True)
        keep_gradient = start_gradient = None
        if ctx.needs_input_grad[0]:
            keep_gradient = torch.empty_like(keep)
            torch.mul(add_gradient[:, 1:], states[:, :-1], out=keep_gradient[:, 1:])
            torch.mul(add_gradient[:, 0], start, out=keep_gradient[:, 0])
        if ctx.needs_input_grad[2]:
            start_gradient = keep[:, 0] * add_gradient[:, 0]
        return keep_gradient, add_gradient, start_gradient


def _scan(keep: Tensor, add: Tensor, start: Tensor, states: Tensor, reverse: bool = False) -> None:
    """Fill ``states`` [B, T, H]; if ``reverse``, from the last step to the first."""
    order = slice(None, None, -1) if reverse else slice(None)
    (batch, steps, width), done = keep.shape, 0
    if steps >= BLOCKS_FROM_STEPS and start.numel() < BLOCKS_BELOW_WIDTH:
        num_blocks = isqrt(steps)
        done = steps - steps % num_blocks
        covered = slice(steps - done, None) if reverse else slice(None, done)
        shape = (batch, num_blocks, done // num_blocks, width)
        keep_blocks, add_blocks, state_blocks = (
            tensor[:, covered].view(shape).unbind(2)[order]  # [B, blocks, H] each
            for tensor in (keep, add, states)
        )
        # What a block leaves of its start, and what it ends with from a start of zero.
        share, end = keep_blocks[0].clone(), add_blocks[0].clone()
        for factor, addend in zip(keep_blocks[1:], add_blocks[1:], strict=True):
            share.mul_(factor)
            torch.addcmul(addend, factor, end, out=end)
        starts = torch.empty_like(end)
        for begin, factor, addend in zip(*(each.unbind(1)[order] for each in (starts, share, end)), strict=True):
            begin.copy_(start)
            start = torch.addcmul(addend, factor, start)
        _step(keep_blocks, add_blocks, starts, state_blocks)
    left = slice(None, steps - done) if reverse else slice(done, None)
    keep_left, add_left, states_left = (tensor[:, left].unbind(1)[order] for tensor in (keep, add, states))
    _step(keep_left, add_left, start, states_left)


def _step(keep: Sequence[Tensor], add: Sequence[Tensor], start: Tensor, states: Sequence[Tensor]) -> None:
    for factor, addend, state in zip(keep, add, states, strict=True):
        start = torch.addcmul(addend, factor, start, out=state)
