"""Training tokens a second: a recipe's epoch beside loops that tutorials show, its steps and its bare encoder."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.pairs import Ratio, compare
from benchmarks.tutorial import Tutorial
from benchmarks.workload import Size, Workload, workload
from rnntext.batching import training_batches
from rnntext.contracts import Batch
from rnntext.model import build_model
from rnntext.optimizing import clip_gradients, make_optimizer
from rnntext.preparing import prepare
from rnntext.recipe import Recipe, read_recipe


def benchmarks(size: Size | None = None, pairs: int = 5) -> Iterator[Ratio]:
    """Yield ratios of training speeds."""
    with workload(size) as work:
        own = ("rnntext", lambda: epoch(work))
        packed, bucketed = Tutorial(work.train, work.size, False), Tutorial(work.train, work.size, True)
        yield compare(
            "epoch, against a packed loop in random batches",
            own,
            ("packed loop", packed.epoch),
            "tokens/s",
            pairs,
            compares=f"an epoch of training by a recipe and by a tutorial's loop with the same network: batches as "
            f"shuffled, pack_padded_sequence, torch.optim.Adam ({work.describe()}).",
        )
        yield compare(
            "epoch, against a bucketed loop that lets padding leak",
            own,
            ("bucketed loop", bucketed.epoch),
            "tokens/s",
            pairs,
            compares="the same, but the loop puts texts of like length together and runs torch's LSTM over the "
            "padded texts, so that its backward direction reads padding: fast, and not exact.",
        )
        steps = Steps(work.recipe)
        yield compare(
            "epoch, against its steps",
            own,
            ("steps", steps.all),
            "tokens/s",
            pairs,
            compares="an epoch by a recipe and its mere steps: as many batches, made beforehand, each through model, "
            "loss, backward, clipping and optimizer.",
        )
        yield compare(
            "step, against the bare encoder's forward and backward",
            ("step", steps.all),
            ("bare encoder", steps.encoder),
            "tokens/s",
            pairs,
            compares="the same steps and the encoder's forward and backward alone, over random vectors in the same "
            "shapes.",
        )


def epoch(work: Workload) -> float:
    """Train one epoch by the recipe; return tokens a second."""
    speed: float = work.run().metrics["training"]["tokens_per_second"]
    return speed


class Steps:
    """The batches of an epoch, made beforehand, and what is done with each.

    Args:
        recipe: its file.
        overrides: dotted key -> value.
        most: batches, in the epoch's order, if there are more.
    """

    def __init__(self, recipe: Path, overrides: Mapping[str, Any] | None = None, most: int | None = None) -> None:
        self.recipe: Recipe = read_recipe(recipe, overrides)
        self.prepared = prepare(self.recipe, lambda _: None)
        collator = self.prepared.collator("train")
        rows = training_batches(collator.split.types.lengths, self.recipe.batching, (self.recipe.seed, 1))
        self.batches: Sequence[Batch] = list(collator.batches(rows[:most]))
        self.tokens = sum(int(batch.lengths.sum()) for batch in self.batches)
        torch.manual_seed(1)
        self.model: Any = build_model(self.recipe, self.prepared.vocabulary, self.prepared.labels)

    @cached_property
    def shapes(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each batch: vectors as from an embedding, lengths, and gradients as from a head."""
        read = sum(embedding.output_dim for embedding in self.model.embeddings)
        shapes = []
        for batch in self.batches:
            embedded = torch.randn(*batch.token_ids.shape, read, requires_grad=True)
            gradient = torch.randn(*batch.token_ids.shape, self.model.encoder.output_dim) * batch.mask[..., None]
            shapes.append((embedded, batch.lengths, gradient))
        return shapes

    def all(self) -> float:
        """Take a step with each batch; return tokens a second."""
        model = copy.deepcopy(self.model).train()
        optimizer = make_optimizer(model, self.recipe.training)
        started = time.perf_counter()
        for batch in self.batches:
            optimizer.zero_grad()
            model(batch).loss.backward()
            clip_gradients(optimizer.parameters, self.recipe.training.gradient_clip)
            optimizer.step()
        return self.tokens / (time.perf_counter() - started)

    def encoder(self) -> float:
        """Run the encoder forwards and backwards over each batch; return tokens a second."""
        encoder, shapes = copy.deepcopy(self.model.encoder).train(), self.shapes
        started = time.perf_counter()
        for embedded, lengths, gradient in shapes:
            embedded.grad = None
            encoder.zero_grad()
            encoder(embedded, lengths).states.backward(gradient)
        return self.tokens / (time.perf_counter() - started)
