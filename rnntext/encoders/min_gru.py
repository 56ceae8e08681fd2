"""Encoder ``min_gru``: a gated unit whose gates see no state, so that all steps are computed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.reading import Reading
from rnntext.encoders.scan import linear_scan
from rnntext.encoders.stack import RecurrentStack


class MinGruLayer(nn.Module):
    """One minGRU layer in one direction, by a parallel scan."""

    num_gates = 0
    skips_padding = False
    kernel = "a parallel scan"

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.state_dims = (hidden_dim,)
        self.weight_x = nn.Parameter(torch.empty(2 * hidden_dim, input_dim))
        self.bias = nn.Parameter(torch.empty(2 * hidden_dim))
        for parameter in self.parameters():  # as nn.Linear starts: by the number of inputs
            nn.init.uniform_(parameter, -(input_dim**-0.5), input_dim**-0.5)

    def recurrent_weight(self) -> None:
        """Return None: no weight acts on the state."""

    def start_forget_gate(self, bias: float) -> None:
        """Start the gate so that it keeps the state."""
        with torch.no_grad():
            self.bias.chunk(2)[0].fill_(-bias)

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state after each token, and the state at each text's end."""
        tokens = reading.in_order(inputs)
        # Two products rather than one that is cut in two: what follows then reads memory in a row.
        (W_z, W_n), (b_z, b_n) = self.weight_x.chunk(2), self.bias.chunk(2)
        Z = torch.sigmoid(nn.functional.linear(tokens, W_z, b_z))
        start = inputs.new_zeros(len(inputs), self.state_dims[0]) if state is None else state[0]
        states = reading.in_order(linear_scan(1 - Z, Z * nn.functional.linear(tokens, W_n, b_n), start))
        return states, lambda: (reading.ends(states),)

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t,) of X_t [B, E] and (H_{t-1},).

        Z = sigmoid(X W_xz + b_z); candidate N = X W_xn + b_n; H_t = (1 - Z) * H + Z * N.
        """
        X, (H,) = inputs, state
        Z, N = (X @ self.weight_x.T + self.bias).chunk(2, dim=-1)
        Z = torch.sigmoid(Z)
        return ((1 - Z) * H + Z * N,)


class MinGruEncoder(RecurrentStack):
    """The minimal gated unit: what comes in decides how much is kept, never what is there already.

    Choose it for long texts: all steps of a layer are computed at once, so it trains faster than an LSTM.
    Its gates see no order; from the second layer on, they see the states of the layer below, which do.

    Args:
        input_dim: width E of the embedded tokens.

    The options are those of every stack: see ``stack_options``.

    Source:
        Feng et al. (2024), Were RNNs all we needed?, section 3.1; the scan in the linear domain, by blocks.
    """

    contract = 1
    refused_options: ClassVar[Mapping[str, str]] = {
        "weight_drop": "no weight of min_gru acts on the state; use dropout or variational_dropout",
        "orthogonal": "no weight of min_gru acts on the state, so there is none to start as a rotation",
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
        zoneout: shared.Zoneout = 0.0,
        layer_norm: shared.LayerNorm = False,
        residual: shared.Residual = False,
        forget_bias: shared.ForgetBias = None,
        shortcut: shared.Shortcut = False,
        chunk_tokens: shared.ChunkTokens = 0,
    ) -> None:
        super().__init__(
            lambda width: MinGruLayer(width, hidden_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )
