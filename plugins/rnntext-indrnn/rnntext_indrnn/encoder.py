"""Encoder ``indrnn``: a recurrent network in which each number of the state sees itself alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders.cell import CellEncoder, CellLayer


class IndRnnLayer(CellLayer):
    """One layer in one direction."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        self.input = nn.Linear(input_dim, hidden_dim)
        self.memory = nn.Parameter(torch.rand(hidden_dim))  # 0: forgets at once; 1: keeps all

    def project(self, inputs: Tensor) -> Tensor:
        """Return W x_t + b, float [B, T, H], of all tokens at once."""
        projected: Tensor = self.input(inputs)
        return projected

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return (h_t,) of W x_t + b, float [B, H], and (h_{t-1},): h_t = relu(W x_t + b + u * h_{t-1})."""
        # Above 1, relu could grow without end. The bound changes what is used, not its gradient, or u might stick.
        bounded = self.memory + (self.memory.clamp(-1, 1) - self.memory).detach()
        return (torch.relu(torch.addcmul(inputs, bounded, state[0])),)


class IndRnnEncoder(CellEncoder):
    """The independently recurrent network: a state number is kept by its own weight; layers above mix the numbers.

    Choose it to see how a cell of one's own is made, or in two layers and more, for texts over which a plain
    recurrent network forgets.

    Source:
        Li et al. (2018), Independently recurrent neural network (IndRNN): building a longer and deeper RNN, sections
        3 and 4, with the bound on u of endless texts, 1.
    """

    contract = 1
    layer = IndRnnLayer
