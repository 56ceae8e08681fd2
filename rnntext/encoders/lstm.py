"""Encoder ``lstm``: long short-term memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Encoded, Reads, State
from rnntext.encoders.stack import RecurrentStack, copy_from_torch, last_real, stack_problems, stack_reads
from rnntext.errors import ShapeError

CLOSED, OPEN = -1e4, 1e4  # a sigmoid of these is exactly 0 and 1 in every precision


class LstmLayer(nn.Module):
    """One LSTM layer in one direction, by torch's own kernel (fused on a CPU in float32 without projection)."""

    def __init__(self, input_dim: int, hidden_dim: int, proj_dim: int | None) -> None:
        super().__init__()
        self.cell = nn.LSTM(input_dim, hidden_dim, batch_first=True, proj_size=proj_dim or 0)
        self.state_dims = (proj_dim or hidden_dim, hidden_dim)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None) -> Tensor:
        """Return float [B, T, H], the state h after each token."""
        with _without_projection_warning() if self.cell.proj_size else nullcontext():
            states: Tensor = self.cell(inputs, _as_torch(state))[0]
        return states

    def last_state(self, inputs: Tensor, states: Tensor, lengths: Tensor, state: State | None) -> State:
        """Return (h, c) after each text's last real token, [B, H] each.

        torch gives the cell state c only after the last step, padding included. So the texts are read again
        with one input more, which is 1 at padding and holds the forget gate open and the input gate closed:
        c then passes through padding unchanged.
        """
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        padding = (steps[None, :] >= lengths[:, None]).to(inputs.dtype)[..., None]  # [B, T, 1]
        weights = dict(self.cell.named_parameters())
        input_weight = weights.pop("weight_ih_l0")  # [4H, E]: input, forget, candidate and output gate
        hold = input_weight.new_zeros(4, self.cell.hidden_size)
        hold[0], hold[1] = CLOSED, OPEN
        held = torch.cat([input_weight, hold.reshape(-1, 1)], dim=1)
        if state is None:
            start = tuple(inputs.new_zeros(1, len(inputs), width) for width in self.state_dims)
        else:
            start = tuple(tensor[None].contiguous() for tensor in state)
        _, _, cell_state = torch._VF.lstm(  # what nn.LSTM itself calls
            torch.cat([inputs, padding], dim=-1), start, [held, *weights.values()], True, 1, 0.0, False, False, True
        )
        return last_real(states, lengths), cell_state[0]


class LstmEncoder(nn.Module):
    """Long short-term memory, read from one or both ends.

    Choose it first: its cell state carries what matters over long texts, and on a CPU torch has
    a fused kernel for it, which the GRU lacks.

    Args:
        input_dim: width E of the embedded tokens.
        hidden_dim: width of the cell state in each direction.
        num_layers: layers on top of each other.
        bidirectional: also read each text from its end; the output is then twice as wide.
        dropout: share dropped from what one layer hands to the next, in training.
        interleaved: each layer reads both directions of the one below; false keeps them apart to the top.
        shortcut: hand each token's own vector on beside its state; the output is wider by E.
        proj_dim: map each state to this smaller width before it leaves the cell; leaves the fused kernel.

    Source:
        Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9(8), with the forget gate
        of Gers et al. (2000); projection by Sak et al. (2014). Kernel: torch.nn.LSTM.
    """

    contract = 1

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: Annotated[int, Field(ge=1)] = 128,
        num_layers: Annotated[int, Field(ge=1)] = 1,
        bidirectional: bool = True,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        interleaved: bool = True,
        shortcut: bool = False,
        proj_dim: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        super().__init__()
        self.stack = RecurrentStack(
            lambda width: LstmLayer(width, hidden_dim, proj_dim),
            input_dim=input_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            interleaved=interleaved,
            shortcut=shortcut,
        )
        self.output_dim = self.stack.output_dim

    @classmethod
    def reads(cls, options: Mapping[str, Any]) -> frozenset[Reads]:
        """Return what may reach a state; see ``contracts.Encoder.reads``."""
        return stack_reads(options)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        yield from stack_problems(options)
        if options["proj_dim"] is not None and options["proj_dim"] >= options["hidden_dim"]:
            yield "proj_dim", f"must be smaller than hidden_dim ({options['hidden_dim']})"

    def forward(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read float [B, T, E]; states are [B, T, D], D = 2H or H (H is ``proj_dim`` where there is one).

        ``state`` is (h, c), each [B, layers x directions, width]. See ``RecurrentStack.forward``.
        """
        encoded: Encoded = self.stack(embedded, lengths, state)
        return encoded

    def load_torch(self, module: nn.LSTM) -> None:
        """Copy the weights of an ``nn.LSTM`` of the same shape (``batch_first`` or not).

        Raises:
            ShapeError: it is no LSTM, or differs in depth, directions or widths.
        """
        if not isinstance(module, nn.LSTM):
            raise ShapeError(f"expected a torch.nn.LSTM, got {type(module).__name__}")
        copy_from_torch(self.stack, module)


def _as_torch(state: State | None) -> tuple[Tensor, ...] | None:
    return None if state is None else tuple(tensor[None].contiguous() for tensor in state)


@contextmanager
def _without_projection_warning() -> Iterator[None]:
    """Silence torch: that a projection leaves the fused kernel, the help of ``proj_dim`` says in plainer words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        yield
