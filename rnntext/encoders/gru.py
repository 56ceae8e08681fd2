"""Encoder ``gru``: gated recurrent units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.reading import Reading
from rnntext.encoders.recurrences import gru_states
from rnntext.encoders.stack import RecurrentStack
from rnntext.encoders.torch_twin import copy_from_torch, prefers_torch, run_torch
from rnntext.errors import ShapeError


class GruLayer(nn.Module):
    """One GRU layer in one direction."""

    num_gates = 3
    skips_padding = True
    kernel = "a loop over steps that skips padding"

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.cell: Any = nn.GRU(input_dim, hidden_dim, batch_first=True)
        self.state_dims = (hidden_dim,)

    def recurrent_weight(self) -> Tensor:
        """Return W_hh, float [3H, H]: reset gate, update gate, candidate."""
        weight: Tensor = self.cell.weight_hh_l0
        return weight

    def start_forget_gate(self, bias: float) -> None:
        """Start the update gate at this bias: it is what keeps the state."""
        update = slice(self.cell.hidden_size, 2 * self.cell.hidden_size)
        with torch.no_grad():
            self.cell.bias_ih_l0[update] = bias
            self.cell.bias_hh_l0[update] = 0

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state after each token, and the state at each text's end."""
        cell, width = self.cell, self.cell.hidden_size
        if prefers_torch(inputs, reading):
            replaced = {} if weight is None else {"weight_hh_l0": weight}
            states = reading.in_order(run_torch(cell, reading.in_order(inputs), state, replaced)[0])
        else:
            # The candidate's recurrent bias stands inside the reset gate's product; the others only add up.
            gates, candidate = cell.bias_hh_l0.split([2 * width, width])
            bias = cell.bias_ih_l0 + nn.functional.pad(gates, (0, width))
            tokens = nn.functional.linear(reading.packed(inputs), cell.weight_ih_l0, bias)
            start = reading.first(state, self.state_dims, inputs)[0]
            recurrent = cell.weight_hh_l0 if weight is None else weight
            states = reading.unpacked(gru_states(tokens, start, recurrent, candidate, reading.sizes))
        return states, lambda: (reading.ends(states),)

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t,) of X_t [B, E] and (H_{t-1},).

        R = sigmoid(X W_xr + H W_hr + b_r), Z = sigmoid(X W_xz + H W_hz + b_z),
        candidate N = tanh(X W_xn + b_xn + R * (H W_hn + b_hn)), H_t = Z * H + (1 - Z) * N.
        """
        X, (H,) = inputs, state
        W_hh = self.cell.weight_hh_l0 if weight is None else weight
        X_r, X_z, X_n = (X @ self.cell.weight_ih_l0.T + self.cell.bias_ih_l0).chunk(3, dim=-1)
        H_r, H_z, H_n = (H @ W_hh.T + self.cell.bias_hh_l0).chunk(3, dim=-1)
        R, Z = torch.sigmoid(X_r + H_r), torch.sigmoid(X_z + H_z)
        N = torch.tanh(X_n + R * H_n)
        return (Z * H + (1 - Z) * N,)


class GruEncoder(RecurrentStack):
    """Gated recurrent units, read from one or both ends.

    Choose it to save parameters: three gates' worth of weights against the LSTM's four.

    Args:
        input_dim: width E of the embedded tokens.

    The options are those of every stack: see ``stack_options``; ``forget_bias`` acts on the update gate.

    Source:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, section 2.3, in torch's
        variant: the reset gate acts on the recurrent product. On an accelerator: torch.nn.GRU.
    """

    contract = 1

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
        forget_bias: shared.ForgetBias = None,
        shortcut: shared.Shortcut = False,
        chunk_tokens: shared.ChunkTokens = 0,
    ) -> None:
        super().__init__(
            lambda width: GruLayer(width, hidden_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )

    def load_torch(self, module: nn.GRU) -> None:
        """Copy the weights of an ``nn.GRU`` of the same shape (``batch_first`` or not).

        Raises:
            ShapeError: it is no GRU, or differs in depth, directions or widths.
        """
        if not isinstance(module, nn.GRU):
            raise ShapeError(f"expected a torch.nn.GRU, got {type(module).__name__}")
        copy_from_torch(self, module)
