"""What the benchmarks of taggers work on: tagged sentences, a plain recipe and a run of it.

The sentences are made up to be like those of CoNLL-2003 (lengths, words by Zipf's law and as long as English ones,
names of four types in a sixth of the tokens); or they are your own: name a CoNLL file in the environment.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import rnntext
from rnntext import registry
from rnntext.schemes import TagSet, tags_of

CONLL = "RNNTEXT_BENCH_CONLL"
"""Environment variable: a file to train on, in columns, the token first and its BIO tag last. A tenth is held out."""
Sentence = tuple[list[str], list[str]]
"""Tokens and their tags, in BIO."""
TYPES = ("LOC", "MISC", "ORG", "PER")
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"

RECIPE = """
recipe_version = 1
name = "benchmark"
[dataset]
type = "conll"
train = "train.conll"
validation = "validation.conll"
[tokenizer]
type = "whitespace"
[vocabulary]
type = "frequency"
min_count = 2
[batching]
batch_size = {batch}
[[embedding]]
type = "learned"
output_dim = {input_dim}
word_dropout = 0.05
dropout = 0.5
[[embedding]]
type = "char_lstm"
output_dim = {char_dim}
dropout = 0.5
[encoder]
type = "lstm"
hidden_dim = {hidden_dim}
bidirectional = true
[head]
type = "tagging"
crf = true
scheme = "bioes"
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
class TaggedSize:
    """How many sentences are made up, and how large the networks are."""

    sentences: int = 8000
    held_out: int = 1000
    words: int = 20_000
    batch: int = 32
    input_dim: int = 100
    char_dim: int = 50
    """Of both directions together; and as many as each direction has for a character's own vector."""
    hidden_dim: int = 256
    of_peers: int = 1500
    """Sentences of a slow peer's epoch; its words and tags are those of all."""


@dataclass
class TaggedWork:
    """Sentences in a folder with a recipe for them."""

    folder: Path
    size: TaggedSize
    train: Sequence[Sentence]
    held_out: Sequence[Sentence]
    given: bool
    runs: int = 0
    tags: TagSet = field(init=False)
    """Of all names, in BIO."""

    def __post_init__(self) -> None:
        self.tags = TagSet(sorted({"O"} | {tag for _, tags in self.train for tag in tags}), "bio")

    @property
    def recipe(self) -> Path:
        """The recipe's file."""
        return self.folder / "recipe.toml"

    @property
    def file(self) -> Path:
        """The training sentences in columns."""
        return self.folder / "train.conll"

    @property
    def tokens(self) -> int:
        """How many tokens the training sentences have."""
        return sum(len(words) for words, _ in self.train)

    @property
    def texts(self) -> list[list[str]]:
        """The tokens of each held-out sentence."""
        return [words for words, _ in self.held_out]

    def describe(self) -> str:
        """Return whose sentences these are and how many words they have."""
        words = len({word for words, _ in self.train for word in words})
        whose = "given" if self.given else "made-up"
        return f"{len(self.train):,} {whose} sentences of {self.tokens:,} tokens, {words:,} of them distinct"

    def bioes(self) -> list[Sentence]:
        """Return the training sentences with the network's own tags."""
        return [
            (words, tags_of(self.tags.spans([self.tags.ids[tag] for tag in tags]), len(tags), "bioes"))
            for words, tags in self.train
        ]

    def run(self, overrides: Mapping[str, Any] | None = None) -> rnntext.Run:
        """Train the recipe anew, as its user would."""
        self.runs += 1
        return rnntext.run(self.recipe, overrides, self.folder / f"run-{self.runs}")


@contextmanager
def tagged_work(size: TaggedSize | None = None) -> Iterator[TaggedWork]:
    """Give sentences and recipe in a folder of their own, with a cache of its own, for as long as they are needed."""
    size = size or TaggedSize()
    given = os.environ.get(CONLL)
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, RNNTEXT_CACHE=f"{name}/cache"):
        if given:
            sentences = read(Path(given))
            random.Random(0).shuffle(sentences)
            held_out = [sentences.pop() for _ in range(len(sentences) // 10)]
        else:
            sentences = made_up(size.sentences + size.held_out, size.words, seed=0)
            sentences, held_out = sentences[size.held_out :], sentences[: size.held_out]
        known = {tag for _, tags in sentences for tag in tags}
        held_out = [(words, tags) for words, tags in held_out if known.issuperset(tags)]
        work = TaggedWork(Path(name), size, sentences, held_out, bool(given))
        write(work.file, work.train)
        write(work.folder / "validation.conll", work.held_out)
        work.recipe.write_text(
            RECIPE.format(
                batch=size.batch, input_dim=size.input_dim, char_dim=size.char_dim, hidden_dim=size.hidden_dim
            ),
            encoding="utf-8",
        )
        yield work


def made_up(sentences: int, words: int, seed: int) -> list[Sentence]:
    """Return sentences of 1 to 80 tokens, 14 on average; rank decides how often a word occurs and how it is written.

    Names are drawn, so that nothing can be learnt of them.
    """
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.gamma(1.6, 9, sentences).astype(int), 1, 80)
    shares = 1 / np.arange(1, words + 1)
    ranks = draw.choice(words, int(lengths.sum()), p=shares / shares.sum())
    spelt = spellings(words, draw)
    return [
        ([spelt[rank] for rank in of_sentence], _drawn_tags(len(of_sentence), draw))
        for of_sentence in np.split(ranks, np.cumsum(lengths)[:-1])
    ]


def spellings(words: int, draw: np.random.Generator) -> list[str]:
    """Return distinct words, the first ones short, the others of 7 letters on average, a third with a capital."""
    found: dict[str, None] = {}
    while len(found) < words:
        common = len(found) < 100
        length = int(np.clip(draw.gamma(6, 1.25), 1, 4 if common else 20))
        spelt = "".join(LETTERS[number] for number in draw.integers(len(LETTERS), size=length))
        found[spelt if common or draw.random() > 0.35 else spelt.capitalize()] = None
    return list(found)


def _drawn_tags(length: int, draw: np.random.Generator) -> list[str]:
    spans, place = [], 0
    while place < length:
        end = min(length, place + int(draw.choice((1, 2, 3), p=(0.63, 0.3, 0.07))))
        if draw.random() < 0.12:
            spans.append((place, end, TYPES[draw.integers(len(TYPES))]))
            place = end
        else:
            place += 1
    return tags_of(spans, length, "bio")


def read(path: Path) -> list[Sentence]:
    """Return the sentences of a CoNLL file; what is no BIO is mended."""
    reader = registry.get("datasets", "conll")(train=str(path), repair=True)
    return [(list(example.tokens), list(example.label)) for example in reader.read("train")]


def write(path: Path, sentences: Sequence[Sentence]) -> None:
    """Write sentences in two columns."""
    with open(path, "w", encoding="utf-8") as stream:
        for words, tags in sentences:
            stream.writelines(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
            stream.write("\n")
