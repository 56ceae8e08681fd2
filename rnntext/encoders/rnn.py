"""Encoder ``rnn``: the plain recurrent network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Encoded, Reads, State
from rnntext.encoders.stack import RecurrentStack, copy_from_torch, last_real, stack_problems, stack_reads
from rnntext.errors import ShapeError


class RnnLayer(nn.Module):
    """One plain recurrent layer in one direction, by torch's own kernel."""

    def __init__(self, input_dim: int, hidden_dim: int, nonlinearity: str) -> None:
        super().__init__()
        self.cell = nn.RNN(input_dim, hidden_dim, batch_first=True, nonlinearity=nonlinearity)
        self.state_dims = (hidden_dim,)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None) -> Tensor:
        """Return float [B, T, H], the state after each token."""
        start = None if state is None else state[0][None].contiguous()
        steps = inputs.shape[1]
        if self.cell.nonlinearity == "relu" and int(lengths.min()) < steps:
            # Over padding, relu can grow without bound, and infinity times the zero gradient there is not a number.
            packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
            ran = self.cell(packed, start)[0]
            states: Tensor = nn.utils.rnn.pad_packed_sequence(ran, batch_first=True, total_length=steps)[0]
        else:
            states = self.cell(inputs, start)[0]
        return states

    def last_state(self, inputs: Tensor, states: Tensor, lengths: Tensor, state: State | None) -> State:
        """Return ([B, H],): of a plain recurrent network the state is the output."""
        return (last_real(states, lengths),)


class RnnEncoder(nn.Module):
    """The plain recurrent network, H_t = phi(X_t W_xh + H_{t-1} W_hh + b), read from one or both ends.

    Choose it to learn or to compare: it forgets over long texts, where gradients vanish or explode.

    Args:
        input_dim: width E of the embedded tokens.
        hidden_dim: width of the state in each direction.
        num_layers: layers on top of each other.
        bidirectional: also read each text from its end; the output is then twice as wide.
        dropout: share dropped from what one layer hands to the next, in training.
        interleaved: each layer reads both directions of the one below; false keeps them apart to the top.
        shortcut: hand each token's own vector on beside its state; the output is wider by E.
        nonlinearity: phi; relu keeps gradients from vanishing but lets them explode.

    Source:
        Elman (1990), Finding structure in time, Cognitive Science 14(2); both directions: Schuster and Paliwal
        (1997), Bidirectional recurrent neural networks. Kernel: torch.nn.RNN.
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
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__()
        self.stack = RecurrentStack(
            lambda width: RnnLayer(width, hidden_dim, nonlinearity),
            input_dim=input_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            interleaved=interleaved,
            shortcut=shortcut,
        )
        self.nonlinearity = nonlinearity
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
        copy_from_torch(self.stack, module)
