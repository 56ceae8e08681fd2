"""Encoder ``rnn``: the plain recurrent network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.reading import Reading
from rnntext.encoders.recurrences import rnn_states
from rnntext.encoders.stack import RecurrentStack
from rnntext.encoders.torch_twin import copy_from_torch, prefers_torch, run_torch
from rnntext.errors import ShapeError


class RnnLayer(nn.Module):
    """One plain recurrent layer in one direction."""

    num_gates = 1
    skips_padding = True
    kernel = "a loop over steps that skips padding"

    def __init__(self, input_dim: int, hidden_dim: int, nonlinearity: Literal["tanh", "relu"]) -> None:
        super().__init__()
        self.cell: Any = nn.RNN(input_dim, hidden_dim, batch_first=True, nonlinearity=nonlinearity)
        self.nonlinearity = nonlinearity
        self.state_dims = (hidden_dim,)

    def recurrent_weight(self) -> Tensor:
        """Return W_hh, float [H, H]."""
        weight: Tensor = self.cell.weight_hh_l0
        return weight

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state after each token, and the state at each text's end."""
        cell = self.cell
        # Over padding, relu can grow without bound, and infinity times the zero gradient there is not a number.
        reads_padding_safely = self.nonlinearity == "tanh" or not reading.is_ragged
        if prefers_torch(inputs, reading) and reads_padding_safely:
            replaced = {} if weight is None else {"weight_hh_l0": weight}
            states = reading.in_order(run_torch(cell, reading.in_order(inputs), state, replaced)[0])
        else:
            recurrent = cell.weight_hh_l0 if weight is None else weight
            start = reading.first(state, self.state_dims, inputs)[0]
            bias = cell.bias_ih_l0 + cell.bias_hh_l0
            tokens = nn.functional.linear(reading.packed(inputs), cell.weight_ih_l0, bias)
            states = reading.unpacked(rnn_states(tokens, start, recurrent, reading.sizes, self.nonlinearity))
        return states, lambda: (reading.ends(states),)

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t,) of X_t [B, E] and (H_{t-1},): H_t = phi(X_t W_xh + H_{t-1} W_hh + b)."""
        W_xh, W_hh = self.cell.weight_ih_l0, self.cell.weight_hh_l0 if weight is None else weight
        b = self.cell.bias_ih_l0 + self.cell.bias_hh_l0
        phi = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        X, (H,) = inputs, state
        return (phi(X @ W_xh.T + H @ W_hh.T + b),)


class RnnEncoder(RecurrentStack):
    """The plain recurrent network, H_t = phi(X_t W_xh + H_{t-1} W_hh + b), read from one or both ends.

    Choose it to learn or to compare: it forgets over long texts, where gradients vanish or explode.

    Args:
        input_dim: width E of the embedded tokens.
        nonlinearity: phi; relu keeps gradients from vanishing but lets them explode.

    The other options are those of every stack: see ``stack_options``.

    Source:
        Elman (1990), Finding structure in time, Cognitive Science 14(2); both directions: Schuster and Paliwal
        (1997), Bidirectional recurrent neural networks. On an accelerator: torch.nn.RNN.
    """

    contract = 1
    refused_options: ClassVar[Mapping[str, str]] = {
        "forget_bias": "a plain recurrent network has no gate that forgets; it belongs to lstm, gru and their like"
    }

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: shared.HiddenDim = 128,
        num_layers: shared.NumLayers = 1,
        bidirectional: shared.Bidirectional = True,
        interleaved: shared.Interleaved = True,
        dropout: shared.Dropout = 0.0,
        variational_dropout: shared.VariationalDropout = 0.0,
        weight_drop: shared.WeightDrop = 0.0,
        zoneout: shared.Zoneout = 0.0,
        layer_norm: shared.LayerNorm = False,
        residual: shared.Residual = False,
        orthogonal: shared.Orthogonal = False,
        shortcut: shared.Shortcut = False,
        chunk_tokens: shared.ChunkTokens = 0,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__(
            lambda width: RnnLayer(width, hidden_dim, nonlinearity),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )
        self.nonlinearity = nonlinearity

    def load_torch(self, module: nn.RNN) -> None:
        """Copy the weights of an ``nn.RNN`` of the same shape and nonlinearity (``batch_first`` or not).

        Raises:
            ShapeError: it is no RNN, or differs in depth, directions, widths or nonlinearity.
        """
        if not isinstance(module, nn.RNN):
            raise ShapeError(f"expected a torch.nn.RNN, got {type(module).__name__}")
        if module.nonlinearity != self.nonlinearity:
            raise ShapeError(
                f"the encoder's nonlinearity is {self.nonlinearity}, the torch module's {module.nonlinearity}"
            )
        copy_from_torch(self, module)
