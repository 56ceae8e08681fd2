"""Taggers with characters and a CRF: beside a loop that tutorials show, and what the CRF costs beside softmax."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import rnntext
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.sentences import TaggedSize, TaggedWork, tagged_work
from benchmarks.tagging_tutorial import TaggingTutorial
from benchmarks.training import Steps
from rnntext import registry
from rnntext.aligning import joined, locate
from rnntext.batching import evaluation_batches
from rnntext.contracts import Batch
from rnntext.prediction import TOKENS_A_TEXT
from rnntext.tables import BatchingOptions

RECIPE_SHAPE = {"embedding.1.type": "char_cnn", "embedding.1.output_dim": 90, "encoder.hidden_dim": 200}
"""What makes the benchmark's recipe the network of ``recipes/conll2003.toml``."""
BATCHES = 50
"""How many training batches a CRF's steps are timed on."""


def benchmarks(size: TaggedSize | None = None, pairs: int = 7, seconds: float = 0.5) -> Iterator[Ratio]:
    """Yield ratios of training, prediction, the CRF's cost and reading."""
    with tagged_work(size) as work:
        yield from _tutorial(work, pairs, seconds)
        yield from _crf(work, pairs, seconds)
        yield compare(
            "reading a CoNLL file, against splitting its lines",
            ("rnntext", lambda: rate(lambda: read(work.file), work.tokens, seconds)),
            ("split lines", lambda: rate(lambda: split_lines(work.file), work.tokens, seconds)),
            "tokens/s",
            pairs,
            compares="the dataset `conll`, which gives checked examples, and a loop over the file's lines that "
            "splits each at white space and collects the cells of a sentence: the least that a reader can do.",
        )


def _tutorial(work: TaggedWork, pairs: int, seconds: float) -> Iterator[Ratio]:
    tutorial = TaggingTutorial(work.bioes(), work.size)
    yield compare(
        "tagger, epoch, against a packed loop with a CRF of log-sum-exps",
        ("rnntext", lambda: epoch(work)),
        ("tutorial", tutorial.epoch),
        "tokens/s",
        min(pairs, 5),
        compares=f"an epoch of training by a recipe and by a tutorial's loop with the same network, {shape(work)}: "
        f"batches of {work.size.batch} as shuffled, pack_padded_sequence over words and characters, a CRF whose "
        f"every step sums over [B, L, L], torch.optim.Adam ({work.describe()}).",
    )
    model, encoded = rnntext.load(work.run().path), [tutorial.encode(words) for words in work.texts]
    tokens = sum(map(len, work.texts))
    for batch, by_length, name in ((work.size.batch, False, "in file order"), (128, True, "by length")):
        way = partial(tutorial.tag, encoded, batch, by_length)
        yield compare(
            f"tagger, tokens to tags and spans, against a loop with batches of {batch} {name}",
            ("rnntext", partial(tagging_speed, model, work.texts, seconds)),
            ("tutorial", partial(rate, way, tokens, seconds)),
            "tokens/s",
            pairs,
            compares="the pipe of a loaded model, from tokens to answers (tags and their probabilities, places in "
            "the text, spans), and the tutorial's network with Viterbi, from numbers to tags.",
        )


def _crf(work: TaggedWork, pairs: int, seconds: float) -> Iterator[Ratio]:
    crf, softmax = (Steps(work.recipe, {**RECIPE_SHAPE, "head.crf": crf}, BATCHES) for crf in (True, False))
    tags = len(crf.model.head.tags)
    yield compare(
        "CRF, training step, against softmax",
        ("CRF", lambda: milliseconds(crf)),
        ("softmax", lambda: milliseconds(softmax)),
        "ms",
        2 * pairs,
        compares=f"a step (model, loss, backward, clipping, optimizer) of the network of recipes/conll2003.toml with "
        f"head.crf true and false, {tags} tags, batches of {work.size.batch}, mean of "
        f"{len(crf.batches)} batches made beforehand.",
    )
    there = answering_batches(crf, work.texts)
    for what, name, compares in (
        ("answers", "Viterbi", "`Head.answers`, what evaluation scores"),
        (
            "predictions",
            "Viterbi and marginals",
            "`Head.predictions`: tags, their probabilities (of the CRF: marginals), spans and places in the text",
        ),
    ):
        yield compare(
            f"CRF, prediction with {name}, against softmax",
            ("CRF", partial(answering_time, crf.model, there, what, seconds)),
            ("softmax", partial(answering_time, softmax.model, there, what, seconds)),
            "ms",
            2 * pairs,
            compares=f"the same two networks, untrained, over held-out sentences in batches of at most 4,096 tokens, "
            f"mean of a batch: the network's forward and {compares}.",
        )


def shape(work: TaggedWork) -> str:
    """Return the widths in words."""
    size = work.size
    return f"words {size.input_dim}, characters {size.char_dim}, a bidirectional LSTM of {size.hidden_dim} and a CRF"


def epoch(work: TaggedWork) -> float:
    """Train one epoch by the recipe; return tokens a second."""
    speed: float = work.run().metrics["training"]["tokens_per_second"]
    return speed


def tagging_speed(model: rnntext.TrainedModel, texts: Sequence[Sequence[str]], seconds: float) -> float:
    """Return tokens a second, from lists of tokens to answers."""
    given = [{"tokens": words} for words in texts]
    return rate(lambda: deque(model.pipe(given), maxlen=0), sum(map(len, texts)), seconds)


def milliseconds(steps: Steps) -> float:
    """Return the time of a step."""
    return 1000 * steps.tokens / steps.all() / len(steps.batches)


def answering_batches(steps: Steps, texts: Sequence[Sequence[str]]) -> list[Batch]:
    """Return the batches in which a model would answer the validation split, whose tokens these are."""
    collator = steps.prepared.collator("validation")
    whole = [joined(words) for words in texts]
    batches = []
    for rows in evaluation_batches(collator.split.types.lengths, BatchingOptions(batch_tokens=64 * TOKENS_A_TEXT)):
        chosen = rows.tolist()
        offsets = [locate(whole[row], texts[row]) for row in chosen]
        batch = replace(collator.batch(rows), targets=None, texts=[whole[row] for row in chosen], offsets=offsets)
        batches.append(batch)
    return batches


def answering_time(model: Any, batches: Sequence[Batch], what: str, seconds: float) -> float:
    """Return milliseconds for a batch, from numbers to the head's ``answers`` or ``predictions``."""
    model.eval()

    def answer() -> None:
        for batch in batches:
            output = model(batch)
            model.head.answers(output) if what == "answers" else model.head.predictions(output, batch)

    with torch.inference_mode():
        return 1000 / rate(answer, len(batches), seconds)


def read(path: Path) -> None:
    """Read a CoNLL file by rnntext."""
    deque(registry.get("datasets", "conll")(train=str(path)).read("train"), maxlen=0)


def split_lines(path: Path) -> None:
    """Read a CoNLL file with no check at all."""
    sentence: list[list[str]] = []
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if cells := line.split():
                sentence.append(cells)
            else:
                sentence = []
