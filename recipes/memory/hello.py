"""The smallest recurrent network: reads "hello" one character at a time and learns to say "ohlol".

    python recipes/memory/hello.py

The first l must become an l and the second an o: the same input, so that only what was read before, the state, can
tell them apart. Characters come in as one-hot vectors, then as narrower ones that are learnt. The states are computed
twice, by a loop that says H_t = tanh(X_t W_xh + H_{t-1} W_hh + b), and by rnntext's encoder ``rnn``: the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnntext import registry

GIVEN, WANTED = "hello", "ohlol"
CHARACTERS = sorted(set(GIVEN))  # e h l o
HIDDEN_DIM, EMBEDDING_DIM = 8, 3
STEPS, LEARNING_RATE = 100, 0.02


def loop(X: Tensor, W_xh: Tensor, W_hh: Tensor, b: Tensor) -> Tensor:
    """Return every state, float [B, T, H], of the inputs X, float [B, T, E]: one cell, applied T times.

    W_xh is [E, H], W_hh is [H, H], b is [H]; the same three at every step.
    """
    H_t = X.new_zeros(len(X), len(b))
    states = []
    for X_t in X.unbind(dim=1):
        H_t = torch.tanh(X_t @ W_xh + H_t @ W_hh + b)  # [B, H]
        states.append(H_t)
    return torch.stack(states, dim=1)


def weights_of(encoder: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return W_xh, W_hh and b of a one-layer, one-way encoder ``rnn``.

    torch keeps both matrices the other way round, and two biases that are only ever added.
    """
    found = {name.split(".")[-1].removesuffix("_l0"): weight for name, weight in encoder.named_parameters()}
    return found["weight_ih"].T, found["weight_hh"].T, found["bias_ih"] + found["bias_hh"]


@dataclass(frozen=True)
class Moment:
    """The network after some steps of training."""

    step: int
    loss: float
    said: str
    difference: float
    """The largest between a state of the loop and the same state of the module."""


class Hello(nn.Module):
    """Characters in, a score for each character out, at every step."""

    def __init__(self, embedded: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), EMBEDDING_DIM) if embedded else None
        width = EMBEDDING_DIM if embedded else len(CHARACTERS)
        rnn: Any = registry.get("encoders", "rnn")
        self.encoder = rnn(input_dim=width, hidden_dim=HIDDEN_DIM, bidirectional=False)
        self.head = nn.Linear(HIDDEN_DIM, len(CHARACTERS))

    def inputs(self, ids: Tensor) -> Tensor:
        """Return float [B, T, E]: E is 4, the number of characters, for one-hot vectors, and 3 for learnt ones."""
        one_hot = nn.functional.one_hot(ids, len(CHARACTERS)).float()  # [B, T, 4]
        # A row looked up is a one-hot vector times the matrix: nn.Embedding only spares the multiplication.
        return one_hot if self.embedding is None else self.embedding(ids)


def ids_of(text: str) -> Tensor:
    """Return int64 [1, T], the place of each character in the alphabet."""
    return torch.tensor([[CHARACTERS.index(character) for character in text]])


def learn(embedded: bool, seed: int = 1) -> Iterator[Moment]:
    """Train, and yield each moment from before the first step to after the last."""
    torch.manual_seed(seed)
    model = Hello(embedded)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    given, wanted = ids_of(GIVEN), ids_of(WANTED)
    lengths = torch.tensor([len(GIVEN)])
    for step in range(STEPS + 1):
        X = model.inputs(given)
        H = model.encoder(X, lengths).states  # [1, 5, 8]
        scores = model.head(H)  # [1, 5, 4]
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten())  # over T * B rows
        with torch.no_grad():
            difference = float((loop(X, *weights_of(model.encoder)) - H).abs().max())
        said = "".join(CHARACTERS[number] for number in scores.argmax(dim=2)[0])
        yield Moment(step, float(loss.detach()), said, difference)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    """Print how both networks learn: a line each time that they say something new."""
    torch.set_num_threads(1)
    for embedded in (False, True):
        width = EMBEDDING_DIM if embedded else len(CHARACTERS)
        kind = "embedded" if embedded else "one-hot"
        shapes = f"X [1, 5, {width}], W_xh [{width}, {HIDDEN_DIM}], W_hh [{HIDDEN_DIM}, {HIDDEN_DIM}]"
        print(f"{kind} characters: {shapes}, H [1, 5, {HIDDEN_DIM}]")
        print("  step    loss  hello ->   largest difference, loop and module")
        moments = list(learn(embedded))
        for before, moment in zip([None, *moments], moments, strict=False):
            if before is None or moment.said != before.said or moment is moments[-1]:
                print(f"  {moment.step:4}  {moment.loss:.4f}  {moment.said}      {moment.difference:.1e}")
        worst = max(moment.difference for moment in moments)
        print(f"  loop and module: the same states within {worst:.1e} in all {len(moments)} moments\n")


if __name__ == "__main__":
    main()
