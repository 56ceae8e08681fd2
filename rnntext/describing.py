"""What a recipe builds: each stage with shapes, parameters, and the memory that its longest batch takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rnntext.batching import Collator, evaluation_batches
from rnntext.contracts import Batch, Example, Vocabulary
from rnntext.encoding import TypeTable, encode_examples
from rnntext.model import TextModel, build_model
from rnntext.optimizing import row_tables
from rnntext.preparing import prepare
from rnntext.recipe import Recipe
from rnntext.tables import TrainingOptions

ASSUMED_WORDS = 20_000
ASSUMED_TOKENS = 50


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the flow."""

    name: str
    part: str
    gives: str
    """What it hands on, with shape."""
    parameters: int


@dataclass(frozen=True, slots=True)
class Description:
    """A recipe's network at its longest batch."""

    stages: list[Stage]
    batch: tuple[int, int]
    """B and T of the longest batch of the training split."""
    megabytes: dict[str, float]
    """What takes memory in training, in 10^6 bytes."""


def describe(recipe: Recipe, note: Callable[[str], None]) -> Description:
    """Build a recipe's network and run its longest batch once, forwards.

    Args:
        recipe: where it brings no data, a vocabulary, two labels and a text length are assumed, and noted.
        note: takes a line for everything worth telling about the data.

    Raises:
        DataError: the data cannot be used.
    """
    torch.manual_seed(recipe.seed)
    if recipe.needs:
        note(
            f"needs {', '.join(recipe.needs)}: {ASSUMED_WORDS:,} words and {ASSUMED_TOKENS} tokens a text are assumed"
        )
        vocabulary, labels, collator = _assumed(recipe)
    else:
        prepared = prepare(recipe, note)
        vocabulary, labels, collator = prepared.vocabulary, prepared.labels, prepared.collator("train")
    model = build_model(recipe, vocabulary, labels)
    lengths = collator.split.types.lengths
    batches = evaluation_batches(lengths, recipe.batching)
    longest = max(batches, key=lambda rows: len(rows) * int(lengths[rows].max()))
    batch = collator.batch(longest)
    stages = _stages(recipe, model, batch, len(vocabulary))
    return Description(stages, _shape(batch), _memory(model, batch, recipe.training))


def _assumed(recipe: Recipe) -> tuple[Vocabulary, dict[str, Any], Collator]:
    vocabulary: Vocabulary = recipe.vocabulary.build()
    words = min(ASSUMED_WORDS, (recipe.vocabulary.options.get("max_size") or ASSUMED_WORDS) - 2)
    minimum = recipe.vocabulary.options.get("min_count", 1)
    vocabulary.fit({f"w{number}": minimum for number in range(words)})
    tokens = tuple(vocabulary.token(2 + number % max(1, len(vocabulary) - 2)) for number in range(ASSUMED_TOKENS))
    texts = [Example("", tokens, label) for label in ("a", "b") * recipe.batching.batch_size]
    labels = recipe.head.part.learn_labels(texts)
    table = TypeTable()
    task = (recipe.head.part, labels)
    split = encode_examples(texts, recipe.tokenizer.build(), table, recipe.max_tokens, task)
    return vocabulary, labels, Collator(split, table.types, table.token_ids(vocabulary))


def _stages(recipe: Recipe, model: TextModel, batch: Batch, words: int) -> list[Stage]:
    texts, steps = _shape(batch)
    widths = [embedding.output_dim for embedding in model.embeddings]
    with torch.inference_mode():
        logits = model.eval()(batch).logits
    stages = [
        Stage("tokenizer", recipe.tokenizer.name, f"tokens, at most {steps} a text", 0),
        Stage("vocabulary", recipe.vocabulary.name, f"token_ids int64 [B {texts}, T {steps}], V {words:,}", 0),
    ]
    for choice, embedding, width in zip(recipe.embeddings, model.embeddings, widths, strict=True):
        gives = f"embedded float [B {texts}, T {steps}, E {width}]"
        stages.append(Stage("embedding", choice.name, gives, _count(embedding)))
    reads = " and ".join(sorted(recipe.encoder.part.reads(recipe.encoder.options))).replace("_", " ")
    sees = f"; a state reads the {reads}" if reads else "; a state reads the past alone"
    kernel = getattr(model.encoder, "kernel", "")
    gives = f"states float [B {texts}, T {steps}, D {model.encoder.output_dim}]{sees}"
    gives += f"; trained on a CPU by {kernel}" if kernel else ""
    stages.append(Stage("encoder", recipe.encoder.name, gives, _count(model.encoder)))
    select_by = recipe.training.select_by or next(iter(model.head.metrics))
    gives = f"logits float {list(logits.shape)}; chosen by {select_by}"
    stages.append(Stage("head", recipe.head.name, gives, _count(model.head)))
    return stages


def _memory(model: TextModel, batch: Batch, training: TrainingOptions) -> dict[str, float]:
    """Measure what a training step holds: weights, gradients, optimizer state, and what backward needs."""
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(batch)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    trained = sum(each.nbytes for each in model.parameters() if each.requires_grad)
    # A table whose rows are updated alone has a gradient of one row a token, and all moments.
    gradients = trained + sum(
        batch.token_ids.numel() * table[0].nbytes - table.nbytes for table in row_tables(model, training)
    )
    moments = 2 if training.optimizer.startswith("adam") else int(training.momentum > 0)
    activations = sum(size for pointer, size in held.items() if pointer not in own)
    megabytes = {
        "weights": weights,
        "gradients": gradients,
        training.optimizer: moments * trained,
        "activations": activations,
    }
    return {name: size / 1e6 for name, size in megabytes.items()}


def _shape(batch: Batch) -> tuple[int, int]:
    texts, steps = np.asarray(batch.token_ids.shape).tolist()
    return texts, steps


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
