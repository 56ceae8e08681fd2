"""Words told by their neighbours: the softmax in two steps, and a language model beside a loop that tutorials show.

The networks are those of ``recipes/brown_blank.toml`` and ``recipes/time_machine.toml``, over sentences made up by
Zipf's law; the language model without dropout, so that both loops must have the same losses.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import rnntext
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.sentences import spellings
from benchmarks.tagging import milliseconds
from benchmarks.training import Steps
from benchmarks.words_tutorial import LanguageTutorial, check_generating, check_losses, take_weights
from rnntext.contracts import BLANK, Batch
from rnntext.prediction import TrainedModel
from rnntext.recipe import read_recipe

RECIPES = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class WordsSize:
    """How much is made up, and how large the networks are."""

    words: int = 18_000
    sentences: int = 96
    batch: int = 48
    asked: int = 64
    """Sentences in a batch of questions."""
    width: int = 256
    """E and H."""
    rows: int = 32
    """Windows in a batch of the stream."""
    num_steps: int = 35
    added: int = 100
    """Characters that are generated in one go."""


def benchmarks(size: WordsSize | None = None, pairs: int = 5, seconds: float = 0.5) -> Iterator[Ratio]:
    """Yield ratios of the two ways of a softmax, and of training and generating by a language model."""
    size = size or WordsSize()
    words = spellings(size.words, np.random.default_rng(0))
    made = made_up(size.sentences + size.asked, words, seed=1)
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, RNNTEXT_CACHE=f"{name}/cache"):
        train, held_out = made[: size.sentences], made[size.sentences :]
        # The most frequent words first, as in every vocabulary: the two steps need it.
        for file, lines in (("train", train), ("held_out", held_out), ("words", [BLANK, *words])):
            (Path(name) / f"{file}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        yield from _softmaxes(size, Path(name), pairs, seconds)
        yield from _language_model(size, Path(name), pairs, seconds)


def made_up(sentences: int, words: Sequence[str], seed: int) -> list[str]:
    """Return sentences of 5 to 60 words, 21 on average; a word's rank decides how often it occurs."""
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.gamma(4.3, 5, sentences).astype(int), 5, 60)
    shares = 1 / np.arange(1, len(words) + 1)
    ranks = draw.choice(len(words), int(lengths.sum()), p=shares / shares.sum())
    return [" ".join(words[rank] for rank in of) for of in np.split(ranks, np.cumsum(lengths)[:-1])]


def _softmaxes(size: WordsSize, folder: Path, pairs: int, seconds: float) -> Iterator[Ratio]:
    options = {
        "dataset.train": str(folder / "train.txt"),
        "dataset.validation": str(folder / "held_out.txt"),
        "vocabulary.type": "word_list",
        "vocabulary.path": str(folder / "words.txt"),
        "vocabulary.lowercase": False,
        "batching.batch_size": size.batch,
        **shape(size),
    }
    adaptive, full = (
        Steps(RECIPES / "brown_blank.toml", {**options, "head.softmax": softmax}) for softmax in ("adaptive", "full")
    )
    quick, slow = answering(adaptive), answering(full)
    check_softmaxes(quick.model, slow.model, adaptive.prepared.collator("validation").batch(np.arange(size.asked)))
    yield compare(
        "fill_blank, training step, adaptive softmax against full",
        ("adaptive", lambda: milliseconds(adaptive)),
        ("full", lambda: milliseconds(full)),
        "ms",
        pairs,
        compares=f"a step (model, loss, backward, clipping, optimizer) of the network of recipes/brown_blank.toml (E "
        f"and H {size.width}, tied, every word a gap) with head.softmax adaptive and full: {size.words:,} words, "
        f"made-up sentences of {adaptive.tokens / size.sentences:.0f} on average, batches of {size.batch}, mean of "
        f"{len(adaptive.batches)} made beforehand.",
    )
    questions = adaptive.prepared.texts("validation", size.asked)
    yield compare(
        "fill_blank, prediction, adaptive softmax against full",
        ("adaptive", lambda: 1000 / rate(lambda: quick(questions), 1, seconds)),
        ("full", lambda: 1000 / rate(lambda: slow(questions), 1, seconds)),
        "ms",
        pairs,
        compares=f"the same two networks, untrained: one call, from the tokens of {size.asked} sentences, a blank in "
        "each, read as one batch, to the five most probable words of each blank.",
    )


def shape(size: WordsSize) -> dict[str, int]:
    """Return what gives a recipe the widths."""
    return {"embedding.output_dim": size.width, "encoder.hidden_dim": size.width}


def answering(steps: Steps) -> TrainedModel:
    """Return an untrained network as something that answers."""
    there, model = steps.prepared, steps.model.eval()
    parts = there.tokenizer, there.vocabulary, there.labels
    return TrainedModel(steps.recipe, *parts, model, torch.device("cpu"))


def check_softmaxes(adaptive: Any, full: Any, asked: Batch) -> None:
    """Refuse to compare networks that differ in more than how probable each group of words is.

    Raises:
        AssertionError: they do, or the words are one group.
    """
    cuts = adaptive.head.words.cuts
    assert len(full.head.words.cuts) == 1 < len(cuts)
    with torch.inference_mode():
        between = adaptive(asked).logits - full(asked).logits
    for start, stop in itertools.pairwise([adaptive.head.blank_id + 1, *cuts]):  # what is before is no answer
        group = between[:, start:stop]
        assert float((group - group[:, :1]).abs().max()) < 1e-4


def _language_model(size: WordsSize, folder: Path, pairs: int, seconds: float) -> Iterator[Ratio]:
    options = {
        "dataset.train": str(folder / "train.txt"),
        "dataset.num_steps": size.num_steps,
        "batching.batch_size": size.rows,
        **shape(size),
        **{f"{table}.dropout": 0.0 for table in ("embedding", "encoder", "head")},
        "encoder.num_layers": 2,
        # As the tutorial has them, whatever becomes of the recipe.
        "training.optimizer": "adam",
        "training.learning_rate": 2e-3,
        "training.gradient_clip": 1.0,
        "training.epochs": 1,
        "training.schedule": "constant",
        "training.device": "cpu",
        "baselines.enabled": False,
    }
    recipe, numbers = read_recipe(RECIPES / "time_machine.toml", options), itertools.count()

    def run() -> rnntext.Run:
        return rnntext.run(recipe, out=folder / f"run-{next(numbers)}")

    model = rnntext.load(run().path)
    stream = " ".join((folder / "train.txt").read_text(encoding="utf-8").lower().split())
    stream = stream[: len(stream) * 9 // 10]  # the recipe holds a tenth out, too
    characters = [model.vocabulary.token(number) for number in range(len(model.vocabulary))]
    tutorial = LanguageTutorial(stream, characters, size.width, size.rows, size.num_steps)
    check_losses(recipe, tutorial)
    yield compare(
        "next_token, epoch, against a loop that carries the hidden state",
        ("rnntext", lambda: float(run().metrics["training"]["tokens_per_second"])),
        ("tutorial", tutorial.epoch),
        "tokens/s",
        pairs,
        compares=f"an epoch of training by a recipe and by a tutorial's loop (nn.Embedding, nn.LSTM, nn.Linear, "
        f"torch.optim.Adam; the state carried and detached) with the same losses: {len(characters)} characters, two "
        f"layers, E and H {size.width}, {size.rows} windows of {size.num_steps} tokens in sequence, no dropout.",
    )
    take_weights(model.model, tutorial)
    check_generating(model, tutorial, prompt := stream[: size.num_steps], size.added)
    yield compare(
        "generate, against a loop that keeps the hidden state",
        ("rnntext", lambda: rate(lambda: model.generate(prompt, size.added), size.added, seconds)),
        ("tutorial", lambda: rate(lambda: tutorial.generate(prompt, size.added), size.added, seconds)),
        "tokens/s",
        pairs,
        compares=f"`model.generate` and a tutorial's loop (network, exp, torch.multinomial), the network as before "
        f"and the same weights: {size.added} characters drawn after a prompt of {size.num_steps}.",
    )
