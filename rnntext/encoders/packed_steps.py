"""What recurrences over packed texts share: views of each step's rows, and the precision they are computed in.

Packed order is that of ``torch.nn.utils.rnn.PackedSequence.data``: step 0 of all B texts, longest text first, then
step 1 of those still alive, and so on; N rows in all. ``sizes`` holds the number of texts alive at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def each_step(buffer: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    """Return each step's rows; where there are rows for one step only, the same ones again and again."""
    if len(buffer) == sum(sizes):
        return buffer.split_with_sizes(sizes)
    views = {size: buffer[:size] for size in set(sizes)}
    return [views[size] for size in sizes]


def going_on(steps: Sequence[Tensor], sizes: list[int]) -> list[Tensor]:
    """Return for each step but the last its rows of texts that go on to the next step."""
    return [
        rows if after == now else rows[:after] for rows, (now, after) in zip(steps, pairwise(sizes), strict=False)
    ]


def states_before(start: Tensor, states: Tensor, sizes: list[int]) -> Tensor:
    """Return for each packed row the state that it started from, [N, H]."""
    return torch.cat([start, *going_on(states.split_with_sizes(sizes), sizes)])


def weight_gradient_of(into: Tensor, before: Tensor) -> Tensor:
    """Return [gates x H, H]: products of gradients [N, gates x H] and the states before [N, H], over all tokens."""
    # Written into a given tensor, a product keeps its precision: autocast, if on, leaves it alone.
    return torch.mm(into.t(), before, out=into.new_empty(into.shape[1], before.shape[1]))


def one_dtype(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors in the widest of their types, float32 at least."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def wants_gradients(*tensors: Tensor) -> bool:
    """Return whether autograd is to hear of what is computed from these."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
