"""What all recurrent encoders share: depth, directions, padding that is never read, regularisation, and state.

Padding is exact. Each direction runs on its own. A cell with a fused kernel reads padded texts: forwards, padding
follows the last real token, so nothing real ever reads it; backwards, each text is first reversed *within its length*
(an index gather), so that its padding trails there too. torch's own packing would lose the fused kernel at unequal
lengths. The other cells read real tokens alone, packed step by step. See ``reading``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rnntext.contracts import Encoded, Piece, Pieces, Reads, State
from rnntext.encoders.layer import Layer, step_by_step
from rnntext.encoders.reading import Reading, check_texts
from rnntext.encoders.stack_options import StackOptions, stack_problems, stack_reads
from rnntext.errors import ShapeError


class RecurrentStack(nn.Module):
    """Layers of one cell, one or both directions: all of an encoder but its cell and its options' signature.

    Args:
        make_layer: input width -> one layer in one direction.
        input_dim: width E of the embedded tokens.
        options: depth, directions and regularisation.

    Source:
        Variational dropout: Gal and Ghahramani (2016), A theoretically grounded application of dropout in recurrent
        neural networks. Weight drop: Merity et al. (2018), Regularizing and optimizing LSTM language models, section
        3. Zoneout: Krueger et al. (2017). Layer normalisation: Ba et al. (2016).
    """

    def __init__(
        self, make_layer: Callable[[int], nn.Module], *, input_dim: int, options: StackOptions | None = None
    ) -> None:
        super().__init__()
        self.options = options = options or StackOptions()
        self.input_dim = input_dim
        self.directions = 2 if options.bidirectional else 1
        self.interleaved = options.interleaved and options.bidirectional
        self.dropout = nn.Dropout(options.dropout)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for depth in range(options.num_layers):
            for _ in range(self.directions):
                width = input_dim
                if depth:
                    width = self._layer(-1).state_dims[0] * (2 if self.interleaved else 1)
                    if options.layer_norm:
                        self.norms.append(nn.LayerNorm(width))
                self.layers.append(make_layer(width))
        self.state_dims: tuple[int, ...] = self._layer(0).state_dims
        self.output_dim = self.state_dims[0] * self.directions + (input_dim if options.shortcut else 0)
        self.chunk_tokens = options.chunk_tokens
        self._skips_padding = self._layer(0).skips_padding and not options.zoneout
        self._start()

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> frozenset[Reads]:
        """Return what may reach a state; see ``contracts.Encoder.reads``."""
        return stack_reads(options)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        return stack_problems(options)

    def _layer(self, index: int) -> Layer:
        return cast(Layer, self.layers[index])  # a ModuleList forgets what it holds

    def _start(self) -> None:
        """Put in place what the options say of the first weights; each layer has drawn its own already."""
        for index in range(len(self.layers)):
            layer = self._layer(index)
            weight = layer.recurrent_weight()
            if self.options.orthogonal and weight is not None:
                for gate in weight.chunk(layer.num_gates):
                    nn.init.orthogonal_(gate)
            if self.options.forget_bias is not None:
                layer.start_forget_gate(self.options.forget_bias)

    @property
    def kernel(self) -> str:
        """What computes a layer on a CPU, for ``rnntext describe``."""
        if self.options.zoneout:
            return "the cell itself, step by step, since zoneout acts inside the recurrence"
        return self._layer(0).kernel

    @property
    def _from_end(self) -> slice | None:
        """Which columns of a state have read a text from its end; see ``contracts.Encoded``."""
        if self.interleaved and self.options.num_layers > 1:
            return None
        width = self.state_dims[0]
        return slice(width, width * self.directions)

    def forward(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read every token; states are float [B, T, D], D = 2H or H (+ E). See ``contracts.Encoder``.

        Args:
            embedded: float [B, T, E]; what stands at or past a text's length is ignored, whatever it is.
            lengths: int64 [B], in tokens, each from 1 to T, in any order.
            state: what an earlier call left in ``Encoded.state``, [B, layers x directions, H] tensors; zero if None.

        Raises:
            ShapeError: E is not ``input_dim``, a length lies outside 1..T, or the state does not fit.
        """
        check_texts(embedded, lengths, self.input_dim)
        self._check_state(len(embedded), state)
        if 0 < self.chunk_tokens < embedded.shape[1]:
            pieces = self.in_pieces(lambda rows, places: embedded[rows[:, None], places], lengths, state)
            states = embedded.new_zeros(*embedded.shape[:2], self.output_dim)
            for piece in pieces:
                row, column = piece.mask.nonzero(as_tuple=True)
                target = (piece.rows[row], piece.positions[row, column])
                states[..., piece.columns].index_put_(target, piece.states[row, column].to(states.dtype))
            return Encoded(states, pieces.final, pieces.state, self._from_end)
        readings = [Reading(lengths, embedded.shape[1], backwards=number > 0) for number in range(self.directions)]
        skipped = self._skips_padding and embedded.device.type == "cpu"
        # Infinity times zero is not a number, so padding is cleared before it can meet a gradient.
        inputs = embedded if skipped and not self.options.shortcut else readings[0].cleared(embedded)
        streams, ends = self._read(inputs, readings, state, self._draw(inputs))
        finals = [reading.ends(stream) for reading, stream in zip(readings, streams, strict=True)]
        if self.options.shortcut:
            streams.append(inputs)
            finals.append(readings[0].ends(inputs))
        states = readings[0].joined(streams, clear=not skipped)  # [B, T, D]
        with_gradients = torch.is_grad_enabled()

        def whole_state() -> State:  # asked for later, it belongs to this reading all the same
            with torch.set_grad_enabled(with_gradients):
                return _stacked([end() for end in ends])

        return Encoded(states, torch.cat(finals, dim=-1), whole_state, self._from_end)

    def in_pieces(
        self, embed: Callable[[Tensor, Tensor], Tensor], lengths: Tensor, state: State | None = None
    ) -> Pieces:
        """Read texts in pieces of ``chunk_tokens``; states are those of ``forward``, held one piece at a time.

        Each direction goes through the texts on its own, the backward one from their ends, and embeds them anew. In
        training the state is carried from piece to piece, and to the end, without its gradient (truncated
        back-propagation); what back-propagation needs of all pieces is kept, so memory is flat at prediction alone.

        Args:
            embed: rows int64 [b] of the batch and places int64 [b, t] in each -> float [b, t, E].
            lengths: int64 [B], in tokens.
            state: as in ``forward``.

        Raises:
            ShapeError: the state does not fit, or a layer reads both directions of one below.
        """
        self._check_state(len(lengths), state)
        if self.interleaved and self.options.num_layers > 1:
            raise ShapeError("interleaved layers read no text in pieces; build the encoder with interleaved=False")
        return Pieces(lambda pieces: self._pieces(embed, lengths, state, pieces))

    def _pieces(
        self,
        embed: Callable[[Tensor, Tensor], Tensor],
        lengths: Tensor,
        state: State | None,
        result: Pieces,
    ) -> Iterator[Piece]:
        width, size, longest = self.state_dims[0], self.chunk_tokens, int(lengths.max())
        final: list[list[Tensor]] = [[] for _ in range(self.directions + int(self.options.shortcut))]
        states: list[tuple[Tensor, ...]] = []
        drawn: _Drawn | None = None
        for direction in range(self.directions):
            held: State | None = None
            ended: list[tuple[Tensor, list[Tensor], State]] = []
            rows = torch.arange(len(lengths), device=lengths.device)
            if state is not None:
                held = tuple(tensor[:, direction :: self.directions] for tensor in state)
            for start in range(0, longest, size):
                still = (lengths[rows] > start).nonzero()[:, 0]
                if start and len(still) < len(rows):
                    held = None if held is None else tuple(tensor[still] for tensor in held)
                    rows = rows[still]
                left = lengths[rows] - start
                taken = left.clamp(max=size)
                reading = Reading(taken, min(size, longest - start), backwards=direction > 0)
                steps = torch.arange(reading.steps, device=lengths.device)
                places = steps + (start if direction == 0 else (left - taken)[:, None])  # [b, t]
                places = torch.where(reading.mask, places, 0)
                inputs = reading.cleared(embed(rows, places))
                if drawn is None:
                    drawn = self._draw(inputs)
                streams, ends = self._read(inputs, [reading], held, drawn.of(rows))
                held = _stacked([end() for end in ends])
                if self.training:
                    held = tuple(tensor.detach() for tensor in held)
                halves = [(streams[0], slice(direction * width, (direction + 1) * width))]
                if self.options.shortcut and direction == 0:
                    halves.append((inputs, slice(self.directions * width, self.output_dim)))
                for tokens, columns in halves:
                    yield Piece(rows, places, columns, tokens, reading.mask)
                over = (left <= size).nonzero()[:, 0]
                lasts = [reading.ends(tokens)[over] for tokens, _ in halves]
                ended.append((rows[over], lasts, tuple(tensor[over] for tensor in held)))
            # Texts ended in the order of their lengths; put them back into that of the batch.
            back = torch.cat([rows for rows, _, _ in ended]).argsort()
            for place, half in zip(
                (direction, -1), zip(*(lasts for _, lasts, _ in ended), strict=True), strict=False
            ):
                final[place] = [torch.cat(half)[back]]
            states.append(tuple(torch.cat(parts)[back] for parts in zip(*(end for _, _, end in ended), strict=True)))
        result.final = torch.cat([tensor for (tensor,) in final], dim=-1)
        # Layer by layer, the directions of each side by side, as forward gives it.
        result.state = tuple(torch.stack(parts, dim=2).flatten(1, 2) for parts in zip(*states, strict=True))

    def _draw(self, inputs: Tensor) -> _Drawn:
        """Draw what stays the same over a whole text in training: locked masks and dropped weights."""
        locked: list[Tensor | None] = [None] * len(self.layers)
        weights: list[Tensor | None] = [None] * len(self.layers)
        if self.training:
            for index in range(len(self.layers)):
                layer = self._layer(index)
                if self.options.variational_dropout:
                    width = self.input_dim if index < self.directions else self._width_between()
                    kept = 1 - self.options.variational_dropout
                    locked[index] = inputs.new_empty(len(inputs), 1, width).bernoulli_(kept) / kept
                if self.options.weight_drop:
                    weight = layer.recurrent_weight()
                    assert weight is not None  # a cell without one refuses the option
                    weights[index] = nn.functional.dropout(weight, self.options.weight_drop)
        return _Drawn(locked, weights)

    def _width_between(self) -> int:
        return self.state_dims[0] * (2 if self.interleaved else 1)

    def _read(
        self, inputs: Tensor, readings: list[Reading], state: State | None, drawn: _Drawn
    ) -> tuple[list[Tensor], list[Callable[[], State]]]:
        """Run all layers of the directions that are given; return the top states of each and every layer's end."""
        layers = cast(list[Layer], list(self.layers))
        streams = previous = [inputs] * len(readings)
        ends: list[Callable[[], State]] = []
        for depth in range(self.options.num_layers):
            below = streams
            if depth and self.interleaved:
                below = [torch.cat(streams, dim=-1)] * len(readings)
            jobs = []
            for place, reading in enumerate(readings):
                index = depth * self.directions + int(reading.backwards)
                given = below[place]
                if depth and self.options.layer_norm:
                    given = self.norms[index - self.directions](given)
                if depth and self.options.dropout and self.training:
                    given = self.dropout(given)
                if (mask := drawn.locked[index]) is not None:
                    given = given * mask
                slot = depth * len(readings) + place
                start = None if state is None else tuple(tensor[:, slot] for tensor in state)
                jobs.append((layers[index], given, reading, start, drawn.weights[index]))
            done = self._both_at_once(jobs) or [self._run(*job) for job in jobs]
            streams = [states for states, _ in done]
            ends += [end for _, end in done]
            if depth and self.options.residual:
                streams = [new + old for new, old in zip(streams, previous, strict=True)]
            previous = streams
        return streams, ends

    def _both_at_once(self, jobs: list[_Job]) -> list[_Done] | None:
        """Return what both directions read, if their cell has a kernel for both and they are given the same."""
        (layer, given, reading, start, weight), *others = jobs
        both_ways = getattr(layer, "both_ways", None)
        if both_ways is None or not others or given is not others[0][1] or reading.is_ragged or self.options.zoneout:
            return None
        backwards, _, _, other_start, other_weight = others[0]
        done: list[_Done] = both_ways(backwards, given, (start, other_start), (weight, other_weight))
        return done

    def _run(
        self, layer: Layer, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        if not self.options.zoneout:
            return layer(inputs, reading, state, weight)
        return step_by_step(
            layer, inputs, reading, state, weight, zoneout=self.options.zoneout, training=self.training
        )

    def _check_state(self, texts: int, state: State | None) -> None:
        expected = [(texts, len(self.layers), width) for width in self.state_dims]
        if state is not None and [tuple(tensor.shape) for tensor in state] != expected:
            shapes = [list(tensor.shape) for tensor in state]
            raise ShapeError(f"expected state tensors of shape {[list(shape) for shape in expected]}, got {shapes}")


_Job = tuple[Layer, Tensor, Reading, State | None, Tensor | None]  # what a layer is called with
_Done = tuple[Tensor, Callable[[], State]]  # what it returns


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What was drawn for one reading: by layer, [B, 1, width] masks and stand-ins for recurrent weights."""

    locked: list[Tensor | None]
    weights: list[Tensor | None]

    def of(self, rows: Tensor) -> _Drawn:
        """Return what belongs to some rows of the batch."""
        return _Drawn([None if mask is None else mask[rows] for mask in self.locked], self.weights)


def _stacked(ends: list[State]) -> State:
    return tuple(torch.stack(tensors, dim=1) for tensors in zip(*ends, strict=True))
