"""Encoder ``peephole_lstm``: an LSTM whose gates see the cell state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.lstm_recurrences import peephole_states
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack


class PeepholeLstmLayer(nn.Module):
    """One LSTM layer whose gates see the cell state, in one direction."""

    num_gates = 4
    skips_padding = True
    kernel = "a loop over steps that skips padding"

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.state_dims = (hidden_dim, hidden_dim)
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_dim, input_dim))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(4 * hidden_dim))
        self.peepholes = nn.Parameter(torch.empty(3, hidden_dim))  # of the input, forget and output gate
        for parameter in self.parameters():  # as torch starts its own
            nn.init.uniform_(parameter, -(hidden_dim**-0.5), hidden_dim**-0.5)

    def recurrent_weight(self) -> Tensor:
        """Return W_h, float [4H, H]: input, forget, candidate and output gate."""
        return self.weight_h

    def start_forget_gate(self, bias: float) -> None:
        """Start the forget gate at this bias."""
        with torch.no_grad():
            self.bias.chunk(4)[1].fill_(bias)

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state h after each token, and (h, c) at each text's end."""
        tokens = nn.functional.linear(reading.packed(inputs), self.weight_x, self.bias)
        hidden, cell = reading.first(state, self.state_dims, inputs)
        recurrent = self.weight_h if weight is None else weight
        packed, cells = peephole_states(tokens, hidden, cell, recurrent, self.peepholes, reading.sizes)
        states = reading.unpacked(packed)
        return states, lambda: (
            reading.ends(states),
            reading.ends(reading.unpacked(cells)),
        )

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t, C_t) of X_t [B, E] and (H_{t-1}, C_{t-1}).

        I = sigmoid(X W_xi + H W_hi + P_i * C + b_i) and F likewise; G = tanh(X W_xg + H W_hg + b_g);
        C_t = F * C + I * G; O = sigmoid(X W_xo + H W_ho + P_o * C_t + b_o); H_t = O * tanh(C_t).
        """
        X, (H, C) = inputs, state
        W_h = self.weight_h if weight is None else weight
        P_i, P_f, P_o = self.peepholes
        I, F, G, O = (X @ self.weight_x.T + H @ W_h.T + self.bias).chunk(4, dim=-1)
        I, F = torch.sigmoid(I + P_i * C), torch.sigmoid(F + P_f * C)
        C = F * C + I * torch.tanh(G)
        return (torch.sigmoid(O + P_o * C) * torch.tanh(C), C)


class PeepholeLstmEncoder(RecurrentStack):
    """Long short-term memory with peepholes: input and forget gate see the old cell state, the output gate the new.

    Choose it where timing counts, or to compare; it has no fused kernel.

    Args:
        input_dim: width E of the embedded tokens.

    The options are those of every stack: see ``stack_options``.

    Source:
        Gers and Schmidhuber (2000), Recurrent nets that time and count, section 3.
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
            lambda width: PeepholeLstmLayer(width, hidden_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )
