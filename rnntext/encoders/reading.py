"""How padded texts are read without reading padding: reversal within a text's length, and packing.

Both are gathers of whole rows by an index that is worked out once for all layers. Positions are computed by NumPy:
they are small, and a call of torch costs more than the work.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnntext.errors import ShapeError

TOKENS_A_BLOCK_COSTS = 150
"""Padded tokens worth one more call of the fused LSTM kernel: a call for 5 tokens took 0.3 ms, in which it reads 50
of a batch (E 100, H 128, AVX2); the rest is margin, for the gathers and the way back."""
SHRINKS_TO = 0.85
"""Share of a block's texts that may still be read where the next begins."""


class Reading:
    """Where the tokens of padded texts are, and in which direction they are read.

    Args:
        lengths: int64 [B], in tokens, each from 1 to ``steps``.
        steps: T, the padded length.
        backwards: each text is read from its last token to its first; what goes in and comes out stands in the
            order of the text all the same.
    """

    def __init__(self, lengths: Tensor, steps: int, *, backwards: bool = False) -> None:
        self.lengths = lengths
        self.steps = steps
        self.backwards = backwards
        self._sizes: np.ndarray = lengths.cpu().numpy()
        self._device = lengths.device
        self.is_ragged = min(self._sizes.tolist()) < steps
        """Whether there is any padding."""

    @cached_property
    def _inside(self) -> np.ndarray:
        """Bool [B, T]: where real tokens are."""
        return np.arange(self.steps) < self._sizes[:, None]

    @cached_property
    def _first_rows(self) -> np.ndarray:
        """int64 [B]: the row of [B x T] where each text begins."""
        return np.arange(len(self._sizes)) * self.steps

    @cached_property
    def mask(self) -> Tensor:
        """Bool [B, T], True at real tokens."""
        return self._tensor(self._inside)

    @cached_property
    def _padding(self) -> Tensor:
        """int64: rows of [B x T] that are padding."""
        return self._tensor(np.flatnonzero(~self._inside))

    def cleared(self, states: Tensor) -> Tensor:
        """Return [B, T, H] with zero at padding, whatever stood there."""
        return states.flatten(0, 1).index_fill(0, self._padding, 0).view_as(states) if self.is_ragged else states

    def joined(self, streams: list[Tensor], *, clear: bool) -> Tensor:
        """Return the states of both directions end to end, [B, T, D]; ``clear`` puts zero at padding."""
        if len(streams) == 1:
            return self.cleared(streams[0]) if clear else streams[0]
        states = torch.cat(streams, dim=-1)
        if clear and self.is_ragged:  # in place: nothing else holds what was joined just now
            states.flatten(0, 1).index_fill_(0, self._padding, 0)
        return states

    def ends(self, states: Tensor) -> Tensor:
        """Return [B, H]: the vector of [B, T, H] at the token of each text that is read last."""
        if self.backwards:
            return states[:, 0]
        return states.flatten(0, 1)[self._last_rows] if self.is_ragged else states[:, -1]

    @cached_property
    def _last_rows(self) -> Tensor:
        return self._tensor(self._first_rows + self._sizes - 1)

    @cached_property
    def _reversal(self) -> Tensor:
        """int64 [B x T]: for each place the row that stands there when every text is reversed within its length."""
        positions = np.arange(self.steps)
        order = np.where(self._inside, self._sizes[:, None] - 1 - positions, positions)
        return self._tensor((order + self._first_rows[:, None]).ravel())

    def in_order(self, states: Tensor) -> Tensor:
        """Return [B, T, H] with each text's tokens in the order of reading, padding after them. Its own inverse."""
        if not self.backwards:
            return states
        if not self.is_ragged:
            return states.flip(1)
        gathered = _gathered(states.flatten(0, 1), self._reversal, self._reversal, None, None)
        return gathered.view_as(states)

    @cached_property
    def _blocks(self) -> list[tuple[int, int, int]]:
        """(texts, first step, step after the last) of rectangles that hold all real tokens and little padding.

        Texts count from the longest. A new block begins where it saves enough padding to pay for itself.
        """
        sizes, blocks, start = self.sizes, [], 0
        for step in range(1, len(sizes)):
            dropped = sizes[start] - sizes[step]
            if dropped * (len(sizes) - step) > TOKENS_A_BLOCK_COSTS and sizes[step] <= sizes[start] * SHRINKS_TO:
                blocks.append((sizes[start], start, step))
                start = step
        return [*blocks, (sizes[start], start, len(sizes))]

    @cached_property
    def _blocking(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of [B x T] in the order of the blocks [M]; for each of [B x T] its place there; which are in none."""
        rows = []
        for texts, start, stop in self._blocks:
            first, length = self._first_rows[self._ranks[:texts], None], self._sizes[self._ranks[:texts], None]
            steps = np.arange(start, stop)
            places = np.where(steps < length, length - 1 - steps, steps) if self.backwards else steps
            rows.append((first + places).ravel())
        order = np.concatenate(rows)
        inverse = np.full(self._inside.size, -1)
        inverse[order] = np.arange(len(order))
        left_out = np.flatnonzero(inverse < 0)
        inverse[left_out] = 0
        return self._tensor(order), self._tensor(inverse), self._tensor(left_out)

    @property
    def is_blocked(self) -> bool:
        """Whether ``blocks`` gives more than one, and then the longest text first."""
        return self.is_ragged and len(self._blocks) > 1

    def blocks(self, states: Tensor) -> list[Tensor]:
        """Return [b, t, H] tensors that follow each other in time, each for the texts that are still being read.

        Texts are cut at few steps, so that little padding is read where lengths differ much; what stands at padding
        must be finite. They come in the order of the batch if there is one block, else the longest first.
        """
        if not self.is_blocked:
            return [self.in_order(states)]
        order, places, left_out = self._blocking
        joined = _gathered(states.flatten(0, 1), order, places, None, left_out)
        shapes = [(texts, stop - start) for texts, start, stop in self._blocks]
        pieces = joined.split_with_sizes([texts * steps for texts, steps in shapes])
        return [piece.view(*shape, -1) for piece, shape in zip(pieces, shapes, strict=True)]

    def unblocked(self, blocks: list[Tensor]) -> Tensor:
        """Return [B, T, H] in the order of the text; anything at padding."""
        if not self.is_blocked:
            return self.in_order(blocks[0])
        order, places, left_out = self._blocking
        joined = torch.cat([block.flatten(0, 1) for block in blocks])
        states = _gathered(joined, places, order, left_out, None)
        return states.view(len(self._sizes), self.steps, -1)

    @cached_property
    def _ranks(self) -> np.ndarray:
        """int64 [B]: texts by length, the longest first: the order of rows in a packed step."""
        return np.argsort(-self._sizes, kind="stable")

    @cached_property
    def sizes(self) -> list[int]:
        """How many texts are still being read at each step of the longest."""
        if not self.is_ragged:
            return [len(self._sizes)] * self.steps
        return [size for size in self._inside.sum(axis=0).tolist() if size]

    @cached_property
    def _packing(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows of [B x T] in packed order [N]; for each of [B x T] its place there; where padding is, if anywhere."""
        lengths = self._sizes[self._ranks]
        step, rank = np.nonzero(np.arange(self.steps)[:, None] < lengths)
        position = lengths[rank] - 1 - step if self.backwards else step
        rows = self._first_rows[self._ranks][rank] + position  # [N]
        places = np.zeros(self._inside.size, dtype=np.int64)
        places[rows] = np.arange(len(rows))
        return self._tensor(rows), self._tensor(places), self._padding if self.is_ragged else None

    def packed(self, states: Tensor) -> Tensor:
        """Return [N, H]: all real tokens in the order of reading, within a step the longest text first."""
        rows, places, padding = self._packing
        return _gathered(states.flatten(0, 1), rows, places, None, padding)

    def unpacked(self, packed: Tensor) -> Tensor:
        """Return [B, T, H] of [N, H], in the order of the text, zero at padding."""
        rows, places, padding = self._packing
        padded = _gathered(packed, places, rows, padding, None)
        return padded.view(len(self._sizes), self.steps, -1)

    def first(self, state: tuple[Tensor, ...] | None, widths: tuple[int, ...], like: Tensor) -> tuple[Tensor, ...]:
        """Return the [B, H] tensors of a state in packed order, zero if None."""
        if state is None:
            return tuple(like.new_zeros(len(self._sizes), width) for width in widths)
        ranks = self._tensor(self._ranks)
        return tuple(tensor[ranks] for tensor in state)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device)


class _Gather(torch.autograd.Function):
    """Rows of a matrix in another order; the gradient is a gather by the inverse order, not a slow scatter."""

    @staticmethod
    def forward(
        ctx: Any, source: Tensor, order: Tensor, inverse: Tensor, holes: Tensor | None, inverse_holes: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(inverse, inverse_holes)
        return _gather(source, order, holes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gather(gradient, *ctx.saved_tensors), None, None, None, None


def _gathered(
    source: Tensor, order: Tensor, inverse: Tensor, holes: Tensor | None, inverse_holes: Tensor | None
) -> Tensor:
    """Return rows of [N, H] in an order, with zero at ``holes``; the others are those of the way back."""
    # torch gives ``apply`` no types.
    rows: Tensor = _Gather.apply(source, order, inverse, holes, inverse_holes)
    return rows


def _gather(source: Tensor, order: Tensor, holes: Tensor | None) -> Tensor:
    rows = source.index_select(0, order)
    return rows if holes is None else rows.index_fill_(0, holes, 0)


def check_texts(embedded: Tensor, lengths: Tensor, input_dim: int) -> None:
    """Refuse texts that no encoder can read.

    Raises:
        ShapeError: ``embedded`` is not [B, T, input_dim], or a length lies outside 1..T.
    """
    if embedded.dim() != 3 or embedded.shape[-1] != input_dim:
        shape = list(embedded.shape)
        raise ShapeError(f"expected embedded float [B, T, {input_dim}], got {shape}; batch comes first")
    batch, steps = embedded.shape[:2]
    if lengths.dtype != torch.int64:
        raise ShapeError(f"expected lengths int64, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ShapeError(f"expected {batch} lengths, one a text, got shape {list(lengths.shape)}")
    numbers = lengths.tolist()
    if not numbers or min(numbers) < 1 or max(numbers) > steps:
        raise ShapeError(f"expected at least one text and lengths from 1 to {steps}, got {numbers}")
