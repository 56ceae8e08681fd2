"""What a recipe builds: each stage with shapes and parameters, the memory of its longest batch, and its data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnntext.assuming import assume
from rnntext.contracts import Batch, Vocabulary
from rnntext.model import TextModel, build_model, stored_weights
from rnntext.optimizing import row_tables
from rnntext.preparing import prepare
from rnntext.recipe import Recipe
from rnntext.streaming import StreamCollator
from rnntext.tables import TrainingOptions
from rnntext.zipf import DataCounts, count_words, coverage

LONGEST_SHOWN = 30  # characters of a word


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
    data: DataCounts | None = None
    """None where they are assumed."""
    cut: str | None = None
    """Which option leaves words out of the vocabulary, if one does."""


def describe(recipe: Recipe, note: Callable[[str], None]) -> Description:
    """Build a recipe's network and run its longest batch once, forwards.

    Args:
        recipe: where it brings no data, a vocabulary, two labels and a text length are assumed, and noted.
        note: takes a line for everything worth telling about the data.

    Raises:
        DataError: the data cannot be used.
    """
    torch.manual_seed(recipe.seed)
    data = None
    if recipe.needs:
        vocabulary, labels, collator = assume(recipe, note)
    else:
        prepared = prepare(recipe, note)
        vocabulary, labels, collator = prepared.vocabulary, prepared.labels, prepared.collator("train")
        data = count_words(prepared)
    model = build_model(recipe, vocabulary, labels)
    batch = collator.batch(collator.longest_rows(recipe.batching))
    stages = _stages(recipe, model, batch, len(vocabulary), isinstance(collator, StreamCollator))
    megabytes = _memory(model, batch, recipe.training)
    return Description(stages, _shape(batch), megabytes, data, _cut(recipe, vocabulary))


def _cut(recipe: Recipe, vocabulary: Vocabulary) -> str | None:
    options = recipe.vocabulary.options
    if options.get("max_size") == len(vocabulary):
        return f"max_size = {len(vocabulary):,}"
    return f"min_count = {options['min_count']:,}" if options.get("min_count", 1) > 1 else None


def _stages(recipe: Recipe, model: TextModel, batch: Batch, words: int, stream: bool) -> list[Stage]:
    texts, steps = _shape(batch)
    widths = [embedding.output_dim for embedding in model.embeddings]
    counted: set[int] = set()

    def count(module: torch.nn.Module) -> int:
        """Return the parameters that no stage above has."""
        new = [parameter for parameter in module.parameters() if id(parameter) not in counted]
        counted.update(map(id, new))
        return sum(parameter.numel() for parameter in new)

    tokens = f"tokens, one stream in windows of {steps}" if stream else f"tokens, at most {steps} a text"
    stages = [
        Stage("tokenizer", recipe.tokenizer.name, tokens, 0),
        Stage("vocabulary", recipe.vocabulary.name, f"token_ids int64 [B {texts}, T {steps}], V {words:,}", 0),
    ]
    for choice, embedding, width in zip(recipe.embeddings, model.embeddings, widths, strict=True):
        gives = f"embedded float [B {texts}, T {steps}, E {width}]"
        stages.append(Stage("embedding", choice.name, gives, count(embedding)))
    reads = " and ".join(sorted(recipe.encoder.part.reads(recipe.encoder.options))).replace("_", " ")
    sees = f"; a state reads the {reads}" if reads else "; a state reads the past alone"
    kernel = getattr(model.encoder, "kernel", "")
    gives = f"states float [B {texts}, T {steps}, D {model.encoder.output_dim}]{sees}"
    gives += f"; trained on a CPU by {kernel}" if kernel else ""
    stages.append(Stage("encoder", recipe.encoder.name, gives, count(model.encoder)))
    select_by = recipe.training.select_by or next(iter(model.head.metrics))
    own = count(model.head)
    shared = sum(parameter.numel() for parameter in model.head.parameters()) - own
    gives = getattr(model.head, "gives", "") or f"logits float {_logits_shape(model, batch)}"
    gives += f"; chosen by {select_by}" + (f"; shares {shared:,} parameters with stages above" if shared else "")
    stages.append(Stage("head", recipe.head.name, gives, own))
    return stages


def _logits_shape(model: TextModel, batch: Batch) -> list[int]:
    with torch.inference_mode():
        return list(model.eval()(batch).logits.shape)


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
    weights = sum(tensor.numel() * tensor.element_size() for tensor in stored_weights(model).values())
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


def data_tables(data: DataCounts) -> Iterator[RenderableType]:
    """Yield tables of what the splits hold, how often tokens of the training split occur, and how few cover most."""
    counts, law = data.train.counts, data.train.law
    asked = any(split.questions for split in data.splits)
    table = _table("split", "texts", "tokens", "distinct", "seen once", "unknown", *(["questions"] if asked else []))
    for split in data.splits:
        numbers = [f"{number:,}" for number in (split.texts, split.tokens, split.distinct, split.once)]
        blanks = f" ({split.blanks:,} blanks)" if split.blanks != split.questions else ""
        questions = f"{split.questions:,}{blanks}" if split.questions else ""
        table.add_row(split.name, *numbers, f"{split.unknown:.1%}", *([questions] if asked else []))
    yield Group("the data, in tokens as the vocabulary looks them up", table)
    if not len(counts):
        return
    table = _table("rank", "token", "count", "share", "Zipf's law")
    table.columns[0].justify, table.columns[1].justify = "right", "left"
    for rank in (10**power for power in range(len(str(len(counts))))):
        count, word = int(counts[rank - 1]), Text(shown(data.train.words[rank - 1]))  # no markup, whatever is in it
        predicted = f"{law.count(rank):,.1f}" if law else ""
        table.add_row(f"{rank:,}", word, f"{count:,}", f"{count / counts.sum():.4%}", predicted)
    yield Group("tokens of the training split, the most frequent first", table)
    if law:
        yield (
            f"Zipf's law: {law.first:,.0f} / rank^{law.exponent:.2f}, by least squares of log count on log rank over "
            f"ranks 1 to {law.ranks:,}\n"
        )
    covered = coverage(counts)
    table = _table("share of tokens", *(f"{percent}%" for percent in covered))
    table.add_row("distinct ones", *(f"{number:,}" for number in covered.values()))
    yield Group("how many of them make up so much of the training split", table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def shown(word: str) -> str:
    """Return a word as a terminal can show it: no control characters, not too long, in letters that it has."""
    text = word if len(word) <= LONGEST_SHOWN else f"{word[: LONGEST_SHOWN - 3]}..."
    text = text if text.isprintable() and text == text.strip() else repr(text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return ascii(text)
    return text
