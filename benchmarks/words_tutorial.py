"""A language model by characters as tutorials show it: the other side of ``words``, and whether ours does the same.

The stream is cut into rows, read in windows; the hidden state is carried from window to window and detached.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.model import Follower, build_model
from rnntext.optimizing import clip_gradients, make_optimizer
from rnntext.prediction import TrainedModel
from rnntext.preparing import prepare
from rnntext.recipe import Recipe

NEVER = 2
"""Rows of the vocabulary that no text is made of: padding, and what is unknown."""
CHECKED = 3
"""Steps of training in which both loops must have the same loss."""
State = tuple[Tensor, Tensor]


class LanguageModel(nn.Module):
    """Character ids to logits.

    Args:
        characters: V.
        width: E and H.
    """

    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.lstm = nn.LSTM(width, width, num_layers=2)
        self.output = nn.Linear(width, characters)

    def forward(self, token_ids: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return float [T, B, V] of int64 ids [T, B], and the state after them."""
        states, state = self.lstm(self.embedding(token_ids), state)
        return self.output(states), state


class LanguageTutorial:
    """An encoded stream, how to train on it and how to go on with a text.

    Args:
        stream: its characters.
        characters: each id's; the first ``NEVER`` stand for none.
        width: E and H.
        rows: into which the stream is cut.
        num_steps: of a window.
    """

    def __init__(self, stream: str, characters: Sequence[str], width: int, rows: int, num_steps: int) -> None:
        self.width, self.num_steps = width, num_steps
        self.characters = characters
        self.ids = {character: number for number, character in enumerate(characters)}
        encoded = torch.tensor([self.ids[character] for character in stream])
        length = len(encoded) // rows
        self.columns = encoded[: rows * length].view(rows, length).T.contiguous()  # [T, B]
        self.start()

    def start(self) -> None:
        """Begin with a new model."""
        torch.manual_seed(1)
        self.model = LanguageModel(len(self.characters), self.width)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3)
        self.state: State | None = None

    def step(self, token_ids: Tensor, targets: Tensor) -> float:
        """Take a step with a window, int64 ids and targets [T, B]; return the mean loss."""
        self.optimizer.zero_grad()
        if self.state is not None:
            self.state = self.state[0].detach(), self.state[1].detach()
        logits, self.state = self.model(token_ids, self.state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def epoch(self) -> float:
        """Train a new model for one epoch; return tokens a second."""
        self.start()
        self.model.train()
        columns, tokens, started = self.columns, 0, time.perf_counter()
        for first in range(0, len(columns) - self.num_steps, self.num_steps):
            last = first + self.num_steps
            self.step(columns[first:last], columns[first + 1 : last + 1])
            tokens += columns[first:last].numel()
        return tokens / (time.perf_counter() - started)

    @torch.no_grad()
    def generate(self, prompt: str, length: int, draw: bool = True) -> str:
        """Return a text with so many characters more, each drawn, or else the most probable."""
        self.model.eval()
        token_ids, state = torch.tensor([self.ids[character] for character in prompt])[:, None], None
        added = []
        for _ in range(length):
            logits, state = self.model(token_ids, state)
            shares = logits[-1, 0].exp()
            shares[:NEVER] = 0
            token_ids = (torch.multinomial(shares, 1) if draw else shares.argmax()).view(1, 1)
            added.append(self.characters[int(token_ids)])
        return prompt + "".join(added)


def take_weights(model: Any, tutorial: LanguageTutorial) -> None:
    """Give a model of rnntext the weights of the tutorial's."""
    given = tutorial.model
    model.encoder.load_torch(given.lstm)
    with torch.no_grad():
        model.embeddings[0].weight.copy_(given.embedding.weight)
        model.head.words.weight.copy_(given.output.weight)
        model.head.words.bias.copy_(given.output.bias)


def check_losses(recipe: Recipe, tutorial: LanguageTutorial) -> None:
    """Refuse to compare loops that do not learn the same, from the same weights on the same windows.

    Raises:
        AssertionError: a loss differs.
    """
    prepared = prepare(recipe, lambda _: None)
    model = build_model(recipe, prepared.vocabulary, prepared.labels).train()
    tutorial.start()
    take_weights(model, tutorial)
    optimizer, follow, collator = make_optimizer(model, recipe.training), Follower(model), prepared.collator("train")
    for batch in collator.batches(collator.training_rows(recipe.batching, (recipe.seed, 1))[:CHECKED]):
        optimizer.zero_grad()
        loss: Any = follow(batch).loss
        loss.backward()
        clip_gradients(optimizer.parameters, recipe.training.gradient_clip)
        optimizer.step()
        assert batch.targets is not None
        theirs = tutorial.step(batch.token_ids.T, batch.targets.T)
        assert abs(loss.item() - theirs) < 1e-4, f"{loss.item()} is not {theirs}"


def check_generating(model: TrainedModel, tutorial: LanguageTutorial, prompt: str, length: int) -> None:
    """Refuse to compare what does not go on alike where nothing is drawn.

    Raises:
        AssertionError: a character differs.
    """
    ours, theirs = model.generate(prompt, length, temperature=0), tutorial.generate(prompt, length, draw=False)
    assert ours == theirs, f"{ours!r} is not {theirs!r}"
