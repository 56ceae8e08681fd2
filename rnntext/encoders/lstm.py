"""Encoder ``lstm``: long short-term memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack
from rnntext.encoders.torch_twin import copy_from_torch, run_torch, run_torch_both_ways
from rnntext.errors import ShapeError

CLOSED, OPEN = -1e4, 1e4  # a sigmoid of these is exactly 0 and 1 in every precision


class LstmLayer(nn.Module):
    """One LSTM layer in one direction, by torch's own kernel (fused on a CPU in float32 without projection)."""

    num_gates = 4
    skips_padding = False

    def __init__(self, input_dim: int, hidden_dim: int, proj_dim: int | None) -> None:
        super().__init__()
        self.cell: Any = nn.LSTM(input_dim, hidden_dim, batch_first=True, proj_size=proj_dim or 0)
        self.state_dims = (proj_dim or hidden_dim, hidden_dim)
        self.kernel = (
            "torch's kernel, not fused, since proj_dim is set" if proj_dim else "torch's fused kernel (oneDNN)"
        )

    def recurrent_weight(self) -> Tensor:
        """Return W_hh, float [4H, H]: input, forget, candidate and output gate."""
        weight: Tensor = self.cell.weight_hh_l0
        return weight

    def start_forget_gate(self, bias: float) -> None:
        """Start the forget gate at this bias."""
        forget = slice(self.cell.hidden_size, 2 * self.cell.hidden_size)
        with torch.no_grad():
            self.cell.bias_ih_l0[forget] = bias
            self.cell.bias_hh_l0[forget] = 0

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state h after each token, and (h, c) at each text's end."""
        replaced = {} if weight is None else {"weight_hh_l0": weight}
        begun = reading.first(state, self.state_dims, inputs) if reading.is_blocked else state
        blocks = []
        for tokens in reading.blocks(inputs):
            if begun is not None and len(tokens) < len(begun[0]):
                begun = tuple(tensor[: len(tokens)] for tensor in begun)
            in_order, begun = run_torch(self.cell, tokens, begun, replaced)
            blocks.append(in_order)
        states, last = reading.unblocked(blocks), begun
        if not reading.is_ragged and last is not None:
            return states, lambda: last
        return states, lambda: (
            reading.ends(states),
            self._last_cell_state(reading.in_order(inputs), reading, state, replaced),
        )

    def both_ways(
        self,
        backwards: LstmLayer,
        inputs: Tensor,
        states: tuple[State | None, State | None],
        weights: tuple[Tensor | None, Tensor | None],
    ) -> list[tuple[Tensor, Callable[[], State]]]:
        """Return what this layer and its backward twin give for texts without padding, by one call of the kernel."""
        replaced = [{} if weight is None else {"weight_hh_l0": weight} for weight in weights]
        output, (end, other_end) = run_torch_both_ways([self.cell, backwards.cell], inputs, states, replaced)
        forwards, other = output.chunk(2, dim=-1)
        return [(forwards, lambda: end), (other, lambda: other_end)]

    def _last_cell_state(
        self, tokens: Tensor, reading: Reading, state: State | None, replaced: Mapping[str, Tensor]
    ) -> Tensor:
        """Return c after each text's last real token, [B, H].

        torch gives the cell state c only after the last step, padding included. So the texts are read again
        with one input more, which is 1 at padding and holds the forget gate open and the input gate closed:
        c then passes through padding unchanged.
        """
        padding = (~reading.mask).to(tokens.dtype)[..., None]  # [B, T, 1]
        hold = self.cell.weight_ih_l0.new_zeros(4, self.cell.hidden_size)
        hold[0], hold[1] = CLOSED, OPEN
        held = torch.cat([self.cell.weight_ih_l0, hold.reshape(-1, 1)], dim=1)
        _, last = run_torch(
            self.cell, torch.cat([tokens, padding], dim=-1), state, {**replaced, "weight_ih_l0": held}
        )
        return last[1]

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (H_t, C_t) of X_t [B, E] and (H_{t-1}, C_{t-1}).

        I, F and O are sigmoids and G a tanh of X W_x + H W_h + b, each with weights of its own;
        C_t = F * C + I * G, H_t = O * tanh(C_t), mapped to ``proj_dim`` where that is set.
        """
        X, (H, C) = inputs, state
        W_x, W_h = self.cell.weight_ih_l0, self.cell.weight_hh_l0 if weight is None else weight
        b = self.cell.bias_ih_l0 + self.cell.bias_hh_l0
        I, F, G, O = (X @ W_x.T + H @ W_h.T + b).chunk(4, dim=-1)
        I, F, G, O = torch.sigmoid(I), torch.sigmoid(F), torch.tanh(G), torch.sigmoid(O)
        C = F * C + I * G
        H = O * torch.tanh(C)
        return (H @ self.cell.weight_hr_l0.T if self.cell.proj_size else H, C)


class LstmEncoder(RecurrentStack):
    """Long short-term memory, read from one or both ends.

    Choose it first: its cell state carries what matters over long texts, and torch has a fused kernel for it.

    Args:
        input_dim: width E of the embedded tokens.
        proj_dim: map each state to this smaller width before it leaves the cell; leaves the fused kernel.

    The other options are those of every stack: see ``stack_options``.

    Source:
        Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9(8), with the forget gate
        of Gers et al. (2000); projection by Sak et al. (2014). Kernel: torch.nn.LSTM. A forget gate that starts
        open: Jozefowicz et al. (2015), An empirical exploration of recurrent network architectures.
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
        proj_dim: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        super().__init__(
            lambda width: LstmLayer(width, hidden_dim, proj_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        yield from super().check_options(options)
        if options["proj_dim"] is not None and options["proj_dim"] >= options["hidden_dim"]:
            yield "proj_dim", f"must be smaller than hidden_dim ({options['hidden_dim']})"

    def load_torch(self, module: nn.LSTM) -> None:
        """Copy the weights of an ``nn.LSTM`` of the same shape (``batch_first`` or not).

        Raises:
            ShapeError: it is no LSTM, or differs in depth, directions or widths.
        """
        if not isinstance(module, nn.LSTM):
            raise ShapeError(f"expected a torch.nn.LSTM, got {type(module).__name__}")
        copy_from_torch(self, module)
