"""Raw text to label by a trained model, beside its bare encoder and beside TF-IDF with logistic regression."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import rnntext
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.workload import Rows, Size, workload
from rnntext.batching import evaluation_batches
from rnntext.prediction import TOKENS_A_TEXT
from rnntext.tables import BatchingOptions

SHORT = 10
"""Most tokens of a text that counts as short."""


def benchmarks(size: Size | None = None, pairs: int = 9, seconds: float = 0.4) -> Iterator[Ratio]:
    """Yield ratios of speeds and of latencies."""
    with workload(size) as work:
        model = rnntext.load(work.run().path)
        texts = [text for text, _ in work.held_out]
        lengths = np.sort([len(text.split()) for text in texts])
        regression = tfidf(work.train)
        yield compare(
            "raw text to label, against the bare encoder's forward",
            ("rnntext", lambda: rate(lambda: labels(model, texts), int(lengths.sum()), seconds)),
            ("bare encoder", lambda: encoder_speed(model, lengths, work.size, seconds)),
            "tokens/s",
            pairs,
            compares="the pipe of a loaded model, from raw texts to labels in their order, and its encoder's forward "
            "alone over random vectors: the same lengths in order, in the same batches of 4,096 tokens.",
        )
        yield compare(
            "raw text to label, against TF-IDF + logistic regression",
            ("rnntext", lambda: rate(lambda: labels(model, texts), len(texts), seconds)),
            ("TF-IDF", lambda: rate(lambda: regression.predict(texts), len(texts), seconds)),
            "texts/s",
            pairs,
            compares="the same pipe and a scikit-learn pipeline of words and pairs of words, sublinear TF-IDF and "
            "logistic regression, as every run has for a baseline.",
        )
        short = [text for text in texts if len(text.split()) <= SHORT] or texts[:1]
        yield compare(
            "one short text, against TF-IDF + logistic regression",
            ("rnntext", partial(latency, model, short, seconds)),
            ("TF-IDF", partial(latency, lambda text: regression.predict_proba([text]), short, seconds)),
            "ms",
            pairs,
            compares=f"the time for one raw text of at most {SHORT} tokens, one call for each: `model(text)` and the "
            "pipeline's `predict_proba([text])`.",
        )


def labels(model: rnntext.TrainedModel, texts: list[str]) -> list[str]:
    """Return the label of each text."""
    return [answer.label for answer in model.pipe(texts)]


def latency(answer: Callable[[str], object], texts: list[str], seconds: float) -> float:
    """Return milliseconds for one text, given one at a time."""
    turns = itertools.cycle(texts)
    return 1000 / rate(lambda: answer(next(turns)), 1, seconds)


def encoder_speed(model: rnntext.TrainedModel, lengths: np.ndarray, size: Size, seconds: float) -> float:
    """Return tokens a second of the encoder alone over batches of texts in order of length."""
    batches = []
    for rows in evaluation_batches(lengths, BatchingOptions(batch_tokens=size.batch * TOKENS_A_TEXT)):
        of_batch = torch.from_numpy(lengths[rows])
        batches.append((torch.randn(len(of_batch), int(of_batch.max()), size.input_dim), of_batch))

    def forward() -> None:
        for embedded, of_batch in batches:
            model.model.encoder(embedded, of_batch)

    with torch.inference_mode():
        return rate(forward, int(lengths.sum()), seconds)


def tfidf(rows: Rows) -> Any:
    """Return a fitted pipeline: what ``rnntext.baselines`` does, as users of scikit-learn would write it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    features = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), sublinear_tf=True)
    pipeline = make_pipeline(features, LogisticRegression(C=4.0, max_iter=1000))
    return pipeline.fit([text for text, _ in rows], [label for _, label in rows])
