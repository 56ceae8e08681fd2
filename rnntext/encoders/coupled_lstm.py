"""Encoder ``coupled_lstm``: an LSTM whose input gate is one minus its forget gate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.lstm_recurrences import coupled_states
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack


class CoupledLstmLayer(nn.Module):
    """One LSTM layer that forgets only where something new comes in, in one direction."""

    num_gates = 3
    skips_padding = True
    kernel = "a loop over steps that skips padding"

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.state_dims = (hidden_dim, hidden_dim)
        self.weight_x = nn.Parameter(torch.empty(3 * hidden_dim, input_dim))
        self.weight_h = nn.Parameter(torch.empty(3 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(3 * hidden_dim))
        for parameter in self.parameters():  # as torch starts its own
            nn.init.uniform_(parameter, -(hidden_dim**-0.5), hidden_dim**-0.5)

    def recurrent_weight(self) -> Tensor:
        """Return W_h, float [3H, H]: forget, candidate and output gate."""
        return self.weight_h

    def start_forget_gate(self, bias: float) -> None:
        """Start the forget gate at this bias."""
        with torch.no_grad():
            self.bias.chunk(3)[0].fill_(bias)

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state h after each token, and (h, c) at each text's end."""
        tokens = nn.functional.linear(reading.packed(inputs), self.weight_x, self.bias)
        hidden, cell = reading.first(state, self.state_dims, inputs)
        recurrent = self.weight_h if weight is None else weight
        packed, cells = coupled_states(tokens, hidden, cell, recurrent, reading.sizes)
        states = reading.unpacked(packed)
        return states, lambda: (
            reading.ends(states),
            reading.ends(reading.unpacked(cells)),
        )

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t, C_t) of X_t [B, E] and (H_{t-1}, C_{t-1}).

        F and O are sigmoids and G a tanh of X W_x + H W_h + b; C_t = F * C + (1 - F) * G; H_t = O * tanh(C_t).
        """
        X, (H, C) = inputs, state
        W_h = self.weight_h if weight is None else weight
        F, G, O = (X @ self.weight_x.T + H @ W_h.T + self.bias).chunk(3, dim=-1)
        F = torch.sigmoid(F)
        C = F * C + (1 - F) * torch.tanh(G)
        return (torch.sigmoid(O) * torch.tanh(C), C)


class CoupledLstmEncoder(RecurrentStack):
    """Long short-term memory with coupled gates: it forgets only where it takes something in (also called CIFG).

    Choose it to save a quarter of the LSTM's weights at about its accuracy; it has no fused kernel.

    Args:
        input_dim: width E of the embedded tokens.

    The options are those of every stack: see ``stack_options``.

    Source:
        Greff et al. (2017), LSTM: a search space odyssey, IEEE TNNLS 28(10), variant CIFG.
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
            lambda width: CoupledLstmLayer(width, hidden_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )
