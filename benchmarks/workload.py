"""What the benchmarks of training and of whole texts work on: labelled texts, a plain recipe and a run of it.

The texts are made up to be like the Stanford Sentiment Treebank's sentences (lengths, words by Zipf's law, a
vocabulary of 15,000); or they are your own: name JSON Lines files with ``text`` and ``label`` in the environment.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

import rnntext

TRAIN, TEST = "RNNTEXT_BENCH_TRAIN", "RNNTEXT_BENCH_TEST"
"""Environment variables: files to train on and to label. Without a test file a tenth of the other is held out."""
Rows = Sequence[tuple[str, str]]
"""Texts with their labels."""

RECIPE = """
recipe_version = 1
name = "benchmark"
[dataset]
type = "jsonl"
train = "train.jsonl"
validation = "validation.jsonl"
[tokenizer]
type = "whitespace"
[batching]
batch_size = {batch}
[embedding]
type = "learned"
output_dim = {input_dim}
dropout = 0.5
[encoder]
type = "lstm"
hidden_dim = {hidden_dim}
bidirectional = true
[head]
type = "classification"
pooling = ["max", "mean"]
dropout = 0.5
[training]
epochs = 1
learning_rate = 1e-3
gradient_clip = 5.0
patience = 0
device = "cpu"
threads = 1
[baselines]
enabled = false
"""


@dataclass(frozen=True)
class Size:
    """How large the made-up texts and the network are."""

    texts: int = 4000
    held_out: int = 1000
    words: int = 15_000
    batch: int = 64
    input_dim: int = 100
    hidden_dim: int = 128


@dataclass
class Workload:
    """Texts in a folder with a recipe for them."""

    folder: Path
    size: Size
    train: Rows
    validation: Rows
    held_out: Rows
    scored: bool
    """Whether the held-out texts are somebody's test file, so that an accuracy means something."""
    runs: int = 0

    @property
    def recipe(self) -> Path:
        """The recipe's file."""
        return self.folder / "recipe.toml"

    def describe(self) -> str:
        """Return whose texts these are and how many words they have."""
        words = len({word for text, _ in self.train for word in text.lower().split()})
        return f"{'given' if os.environ.get(TRAIN) else 'made-up'} texts of {words:,} words"

    def run(self, epochs: int = 1) -> rnntext.Run:
        """Train the recipe anew, as its user would."""
        self.runs += 1
        return rnntext.run(self.recipe, {"training.epochs": epochs}, self.folder / f"run-{self.runs}")


@contextmanager
def workload(size: Size | None = None) -> Iterator[Workload]:
    """Give texts and recipe in a folder of their own, with a cache of its own, for as long as they are needed."""
    size = size or Size()
    given, test = os.environ.get(TRAIN), os.environ.get(TEST)
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, RNNTEXT_CACHE=f"{name}/cache"):
        if given:
            rows = read(Path(given))
            random.Random(0).shuffle(rows)
            held_out = read(Path(test)) if test else [rows.pop() for _ in range(len(rows) // 10)]
            validation = [rows.pop() for _ in range(len(rows) // 20)]
        else:
            rows = made_up(size.texts, size.words, seed=0)
            held_out, validation = made_up(size.held_out, size.words, seed=1), made_up(64, size.words, seed=2)
        work = Workload(Path(name), size, rows, validation, held_out, bool(given and test))
        write(work.folder / "train.jsonl", work.train)
        write(work.folder / "validation.jsonl", work.validation)
        work.recipe.write_text(
            RECIPE.format(batch=size.batch, input_dim=size.input_dim, hidden_dim=size.hidden_dim), encoding="utf-8"
        )
        yield work


def made_up(texts: int, words: int, seed: int) -> list[tuple[str, str]]:
    """Return texts of 2 to 52 words, 19 on average; each word occurs if there is room, and rank decides how often.

    The label is whether most of a text's words have an even rank: something to learn, but nothing to compare.
    """
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.gamma(4.3, 4.5, texts).astype(int), 2, 52)
    shares = 1 / np.arange(1, words + 1)
    ranks = draw.choice(words, int(lengths.sum()), p=shares / shares.sum())
    if words * 2 < len(ranks):
        ranks[:words] = np.arange(words)
    draw.shuffle(ranks)
    rows = []
    for of_text in np.split(ranks, np.cumsum(lengths)[:-1]):
        label = "even" if (of_text % 2 == 0).mean() > 0.5 else "odd"
        rows.append((" ".join(f"w{rank}" for rank in of_text), label))
    return rows


def read(path: Path) -> list[tuple[str, str]]:
    """Return the texts and labels of a JSON Lines file."""
    with open(path, encoding="utf-8") as stream:
        return [(row["text"], str(row["label"])) for row in map(json.loads, stream)]


def write(path: Path, rows: Rows) -> None:
    """Write texts and labels as JSON Lines."""
    with open(path, "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
