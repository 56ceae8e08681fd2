"""Encoder ``dense``: the same linear layers on each token, and no recurrence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Encoded, Reads, State
from rnntext.encoders.reading import Reading, check_texts
from rnntext.errors import ShapeError


class DenseEncoder(nn.Module):
    """Each token on its own through the same linear layers: what a network can do that reads no order.

    Choose it as a control, to see what recurrence buys; or where speed counts most and words say enough.

    Args:
        input_dim: width E of the embedded tokens.
        hidden_dim: width of each layer, and of a state.
        num_layers: layers on top of each other.
        dropout: share dropped from what one layer hands to the next, in training.
        activation: what follows each layer.
        shortcut: hand each token's own vector on beside its state; the output is wider by E.
    """

    contract = 1
    refused_options: ClassVar[Mapping[str, str]] = {
        "bidirectional": "dense reads each token on its own, in no direction",
        "interleaved": "dense reads each token on its own, in no direction",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: Annotated[int, Field(ge=1)] = 128,
        num_layers: Annotated[int, Field(ge=1)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        activation: Literal["tanh", "relu"] = "tanh",
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim] + [hidden_dim] * num_layers
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.Tanh() if activation == "tanh" else nn.ReLU()
        self.input_dim = input_dim
        self.shortcut = shortcut
        self.output_dim = hidden_dim + (input_dim if shortcut else 0)

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> frozenset[Reads]:
        """Return nothing: a state has read its own token alone."""
        return frozenset()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        if options["dropout"] and options["num_layers"] == 1:
            yield "dropout", "is between layers, and there is only one; use the head's dropout, or more layers"

    def forward(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read float [B, T, E]; states are [B, T, D], D = H (+ E); ``final`` is the last real token's.

        Raises:
            ShapeError: the texts do not fit (``reading.check_texts``), or a state is given: there is none to carry.
        """
        check_texts(embedded, lengths, self.input_dim)
        if state is not None:
            raise ShapeError("dense carries no state from one piece of a text to the next")
        reading = Reading(lengths, embedded.shape[1])
        # Infinity times zero is not a number, so padding is cleared before it can meet a gradient.
        embedded = reading.cleared(embedded)
        states = embedded
        for number, layer in enumerate(self.layers):
            states = self.activation(layer(self.dropout(states) if number else states))
        states = reading.joined([states, embedded] if self.shortcut else [states], clear=True)
        return Encoded(states, reading.ends(states), from_end=slice(0, 0))
