"""Encoder ``gru``: gated recurrent units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Encoded, Reads, State
from rnntext.encoders.stack import RecurrentStack, copy_from_torch, last_real, stack_problems, stack_reads
from rnntext.errors import ShapeError


class GruLayer(nn.Module):
    """One GRU layer in one direction, by torch's own kernel."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.cell = nn.GRU(input_dim, hidden_dim, batch_first=True)
        self.state_dims = (hidden_dim,)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None) -> Tensor:
        """Return float [B, T, H], the state after each token."""
        states: Tensor = self.cell(inputs, None if state is None else state[0][None].contiguous())[0]
        return states

    def last_state(self, inputs: Tensor, states: Tensor, lengths: Tensor, state: State | None) -> State:
        """Return ([B, H],): of a GRU the state is the output."""
        return (last_real(states, lengths),)


class GruEncoder(nn.Module):
    """Gated recurrent units, read from one or both ends.

    Choose it to save parameters (three gates' worth of weights against the LSTM's four); on a CPU it has no
    fused kernel, so measure before you expect it to be faster.

    Args:
        input_dim: width E of the embedded tokens.
        hidden_dim: width of the state in each direction.
        num_layers: layers on top of each other.
        bidirectional: also read each text from its end; the output is then twice as wide.
        dropout: share dropped from what one layer hands to the next, in training.
        interleaved: each layer reads both directions of the one below; false keeps them apart to the top.
        shortcut: hand each token's own vector on beside its state; the output is wider by E.

    Source:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, section 2.3, in torch's
        variant: the reset gate acts on the recurrent product. Kernel: torch.nn.GRU.
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
    ) -> None:
        super().__init__()
        self.stack = RecurrentStack(
            lambda width: GruLayer(width, hidden_dim),
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
        return stack_problems(options)

    def forward(self, embedded: Tensor, lengths: Tensor, state: State | None = None) -> Encoded:
        """Read float [B, T, E]; states are [B, T, D], D = 2H or H. See ``RecurrentStack.forward``.

        ``state`` is (h,), float [B, layers x directions, H].
        """
        encoded: Encoded = self.stack(embedded, lengths, state)
        return encoded

    def load_torch(self, module: nn.GRU) -> None:
        """Copy the weights of an ``nn.GRU`` of the same shape (``batch_first`` or not).

        Raises:
            ShapeError: it is no GRU, or differs in depth, directions or widths.
        """
        if not isinstance(module, nn.GRU):
            raise ShapeError(f"expected a torch.nn.GRU, got {type(module).__name__}")
        copy_from_torch(self.stack, module)
