"""One layer of a cell in one direction: what its file gives the stack, and the loop over its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from rnntext.contracts import State
from rnntext.encoders.reading import Reading


class Layer(Protocol):
    """One layer in one direction: an ``nn.Module``."""

    state_dims: tuple[int, ...]
    """Width of each tensor of its state; the first is the state that it hands on."""
    num_gates: int
    """Blocks of H rows in the recurrent weight."""
    skips_padding: bool
    """Whether on a CPU it never reads what stands at padding, and returns zero there."""
    kernel: str
    """What computes it on a CPU, for ``rnntext describe``."""

    def recurrent_weight(self) -> Tensor | None:
        """Return W_hh, float [gates x H, H]; None if no weight acts on the state."""

    def start_forget_gate(self, bias: float) -> None:
        """Start the bias of the gate that keeps the state; raises AttributeError where there is none."""

    def __call__(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state after each token, and a function for the whole state at each text's end.

        Args:
            inputs: float [B, T, E], in the order of the text, finite at padding unless that is skipped.
            reading: where the padding is, and from which end the texts are read.
            state: [B, H] tensors to begin from; zero if None.
            weight: stands in for ``recurrent_weight()``; that if None.
        """

    # A layer may also have ``both_ways(backwards, inputs, states, weights)``: itself and its backward twin at once,
    # for texts without padding; and ``project(inputs)``: what ``step`` reads, of all tokens at once.

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return the state after one token, float [B, E]: the cell as it is written in books."""


def step_by_step(
    layer: Layer,
    inputs: Tensor,
    reading: Reading,
    state: State | None = None,
    weight: Tensor | None = None,
    *,
    zoneout: float = 0.0,
    training: bool = False,
) -> tuple[Tensor, Callable[[], State]]:
    """Read texts one token at a time by the layer's ``step``: the reference that its kernel must equal.

    Args:
        layer: the cell.
        inputs: float [B, T, E], finite at padding.
        reading: where the padding is.
        state: to begin from; zero if None.
        weight: stands in for the recurrent weight.
        zoneout: chance that a number of the state stays as it was; its expectation outside training.
        training: whether to draw.
    """
    if state is None:
        state = tuple(inputs.new_zeros(len(inputs), width) for width in layer.state_dims)
    project: Callable[[Tensor], Tensor] | None = getattr(layer, "project", None)
    tokens = reading.in_order(inputs if project is None else project(inputs))
    alive = reading.mask  # padding trails in the order of reading, too
    all_alive = reading.sizes.count(len(inputs))
    states = []
    for position in range(reading.steps):
        stepped = layer.step(tokens[:, position], state, weight)
        if zoneout and training:
            stepped = tuple(
                torch.where(torch.rand_like(new) < zoneout, old, new) for new, old in zip(stepped, state, strict=True)
            )
        elif zoneout:
            stepped = tuple(new + zoneout * (old - new) for new, old in zip(stepped, state, strict=True))
        if position >= all_alive:  # a text that has ended keeps its state
            now = alive[:, position, None]
            stepped = tuple(torch.where(now, new, old) for new, old in zip(stepped, state, strict=True))
        state = stepped
        states.append(state[0])
    end = state
    return reading.in_order(torch.stack(states, dim=1)), lambda: end
