"""What all recurrent encoders share: depth, directions, padding that is never read, and state.

Padding is exact without packing. Each direction runs on its own over the padded texts. Forwards, padding
follows the last real token, so nothing real ever reads it. Backwards, each text is first reversed *within its
length* (an index gather), so that its padding trails there too; the states are put back in reading order
afterwards. On a CPU this keeps the fused kernels that ``pack_padded_sequence`` loses at unequal lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rnntext.contracts import Encoded, Reads, State
from rnntext.errors import ShapeError


class Layer(Protocol):
    """One layer in one direction: an ``nn.Module``."""

    state_dims: tuple[int, ...]
    """Width of each tensor of its state; the first is the state that it hands on."""

    def __call__(self, inputs: Tensor, lengths: Tensor, state: State | None) -> Tensor:
        """Return float [B, T, H], the state after each token of float [B, T, E], left to right.

        Padding trails, so most layers need no ``lengths``; what they give there is ignored. ``state`` holds
        [B, H] tensors to begin from; zero if None.
        """

    def last_state(self, inputs: Tensor, states: Tensor, lengths: Tensor, state: State | None) -> State:
        """Return [B, H] tensors: the whole state after each text's last real token."""


class RecurrentStack(nn.Module):
    """Layers of one cell, one or both directions.

    Args:
        make_layer: input width -> one layer in one direction.
        input_dim: width E of the embedded tokens.
        num_layers: depth.
        bidirectional: read from both ends.
        dropout: share dropped from what a layer hands to the next, in training.
        interleaved: every layer reads both directions of the one below; False keeps the two directions apart
            to the top, so that a state never reads its own token by way of a neighbour.
        shortcut: each token's own vector stands beside its state, and the last token's beside the final states.
    """

    def __init__(
        self,
        make_layer: Callable[[int], nn.Module],
        *,
        input_dim: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        interleaved: bool,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.num_layers = num_layers
        self.directions = 2 if bidirectional else 1
        self.interleaved = interleaved and bidirectional
        self.shortcut = shortcut
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList()
        for depth in range(num_layers):
            for _ in range(self.directions):
                # A ModuleList loses the type; state_dims is read from the layers below.
                below: Any = self.layers[-1] if depth else None
                width = input_dim if below is None else below.state_dims[0] * (2 if self.interleaved else 1)
                self.layers.append(make_layer(width))
        top: Any = self.layers[-1]
        self.state_dims: tuple[int, ...] = top.state_dims
        self.output_dim = self.state_dims[0] * self.directions + (input_dim if shortcut else 0)

    def forward(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read every token; see ``contracts.Encoder``.

        Args:
            embedded: float [B, T, E]; what stands at or past a text's length is ignored, whatever it is.
            lengths: int64 [B], in tokens, each from 1 to T, in any order.
            state: what an earlier call left in ``Encoded.state``; zero if None.

        Raises:
            ShapeError: E is not ``input_dim``, a length lies outside 1..T, or the state does not fit.
        """
        self._check(embedded, lengths, state)
        steps = embedded.shape[1]
        positions = torch.arange(steps, device=embedded.device)[None, :]
        mask = positions < lengths[:, None]  # [B, T]
        ragged = not bool(mask.all())
        # Infinity times zero is not a number, so padding is cleared before it can meet a gradient.
        inputs = embedded.masked_fill(~mask[..., None], 0) if ragged else embedded
        order = torch.where(mask, lengths[:, None] - 1 - positions, positions)  # reversed within each length

        # One entry a direction; the backward one stays reversed until a layer must see both.
        streams = [inputs] if self.directions == 1 else [inputs, _reorder(inputs, order)]
        trail: list[tuple[Any, Tensor, Tensor, State | None]] = []
        for depth, pair in enumerate(self._pairs()):
            if depth:
                streams = [self.dropout(stream) for stream in streams]
                if self.interleaved:
                    both = torch.cat([streams[0], _reorder(streams[1], order)], dim=-1)
                    streams = [both, _reorder(both, order)]
            below, streams = streams, []
            for direction, layer in enumerate(pair):
                start = self._slice(state, depth * self.directions + direction)
                states = layer(below[direction], lengths, start)  # [B, T, H]
                streams.append(states)
                trail.append((layer, below[direction], states, start))

        ends = [last_real(stream, lengths) for stream in streams]
        if self.directions == 2:
            streams[1] = _reorder(streams[1], order)
        if self.shortcut:
            streams.append(inputs)
            ends.append(last_real(inputs, lengths))
        states = torch.cat(streams, dim=-1) if len(streams) > 1 else streams[0]  # [B, T, D]
        if ragged:
            states = states.masked_fill(~mask[..., None], 0)

        def whole_state() -> State:
            each = [layer.last_state(given, states, lengths, start) for layer, given, states, start in trail]
            return tuple(torch.stack(tensors, dim=1) for tensors in zip(*each, strict=True))

        return Encoded(states, torch.cat(ends, dim=-1), whole_state)

    def _pairs(self) -> Iterator[list[Any]]:
        for depth in range(self.num_layers):
            yield list(self.layers[depth * self.directions : (depth + 1) * self.directions])

    @staticmethod
    def _slice(state: State | None, index: int) -> State | None:
        return None if state is None else tuple(tensor[:, index] for tensor in state)

    def _check(self, embedded: Tensor, lengths: Tensor, state: State | None) -> None:
        check_texts(embedded, lengths, self.input_dim)
        expected = [(len(embedded), len(self.layers), width) for width in self.state_dims]
        if state is not None and [tuple(tensor.shape) for tensor in state] != expected:
            shapes = [list(tensor.shape) for tensor in state]
            raise ShapeError(f"expected state tensors of shape {[list(shape) for shape in expected]}, got {shapes}")


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
    if batch == 0 or int(lengths.min()) < 1 or int(lengths.max()) > steps:
        raise ShapeError(f"expected at least one text and lengths from 1 to {steps}, got {lengths.tolist()}")


def last_real(states: Tensor, lengths: Tensor) -> Tensor:
    """Return [B, H]: the vector at each text's last real token in [B, T, H]."""
    return states[torch.arange(len(states), device=states.device), lengths - 1]


def stack_reads(options: Mapping[str, Any]) -> frozenset[Reads]:
    """Return what may reach a state of a stack with these options; see ``contracts.Encoder.reads``."""
    if not options["bidirectional"]:
        return frozenset()
    if options["interleaved"] and options["num_layers"] > 1:
        return frozenset({"future", "own_token"})
    return frozenset({"future"})


def stack_problems(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) for what no stack can do with these options."""
    if options["dropout"] and options["num_layers"] == 1:
        yield (
            "dropout",
            (
                "drops between layers, and there is one layer, so it would do nothing; "
                "set num_layers to 2 or more, or use the dropout of [embedding] or [head]"
            ),
        )


def torch_weights(stack: RecurrentStack, module: nn.RNNBase) -> Iterator[tuple[nn.RNNBase, dict[str, Tensor]]]:
    """Yield each layer's torch module of one direction with the weights of its twin in a whole torch module.

    Raises:
        ShapeError: depth, directions or widths differ, or the stack keeps its directions apart (torch has no twin).
    """
    if stack.directions == 2 and stack.num_layers > 1 and not stack.interleaved:
        raise ShapeError("torch has no stack whose directions stay apart; build the encoder with interleaved=True")
    theirs = (module.input_size, module.num_layers, module.bidirectional)
    ours = (stack.input_dim, stack.num_layers, stack.directions == 2)
    if theirs != ours:
        names = "(input_dim, num_layers, bidirectional)"
        raise ShapeError(f"{names} of the encoder are {ours}, of the torch module {theirs}; they must be equal")
    for index, layer in enumerate(stack.layers):
        depth, direction = divmod(index, stack.directions)
        inner: Any = layer
        suffix = f"_l{depth}" + ("_reverse" if direction else "")
        weights = {}
        for name, ours_tensor in inner.cell.named_parameters():
            twin = name.removesuffix("_l0") + suffix
            if not hasattr(module, twin) or getattr(module, twin).shape != ours_tensor.shape:
                shape = list(getattr(module, twin).shape) if hasattr(module, twin) else "missing"
                raise ShapeError(f"{twin} of the torch module is {shape}; the encoder's is {list(ours_tensor.shape)}")
            weights[name] = getattr(module, twin).detach()
        yield inner.cell, weights


def copy_from_torch(stack: RecurrentStack, module: nn.RNNBase) -> None:
    """Copy all weights of a torch module; nothing is copied unless everything fits."""
    pairs = list(torch_weights(stack, module))
    with torch.no_grad():
        for cell, weights in pairs:
            for name, tensor in weights.items():
                cell.get_parameter(name).copy_(tensor)


def _reorder(states: Tensor, order: Tensor) -> Tensor:
    """Return [B, T, H] with the tokens of each text in the order [B, T]; its own inverse for a reversal."""
    return states.gather(1, order[..., None].expand(-1, -1, states.shape[-1]))
