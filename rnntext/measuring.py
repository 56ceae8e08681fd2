"""What a trained model reaches and costs, and what simple methods reach and cost beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from rnntext.baselines import LabelledTokens
from rnntext.contracts import Split
from rnntext.evaluation import GroupedScores, evaluate, fresh_scores, groups_of
from rnntext.model import TextModel
from rnntext.prediction import TrainedModel
from rnntext.preparing import Prepared
from rnntext.progress import Reporter
from rnntext.recipe import Recipe
from rnntext.training import TrainingResult

TEXTS_TO_TIME = 1000


def measure(
    trained: TrainedModel, prepared: Prepared, result: TrainingResult, megabytes: float, reporter: Reporter
) -> dict[str, Any]:
    """Return what metrics.json holds: the stored model's scores, and those of simple methods beside it.

    The closing split is the test split where there is one. Without it, it is the validation split, which has
    already chosen the epoch (and the strength of TF-IDF's regression), so its scores flatter.

    Figures of a model that reads what it should predict are called ``leaked_...``; those of simple methods are not.

    Args:
        trained: the model as it was stored: what is measured is what is served.
        prepared: its data.
        result: of its training.
        megabytes: size of the stored model.
        reporter: hears of rows that were left out.
    """
    recipe, model = trained.recipe, trained.model
    closing: Split = "test" if "test" in prepared.splits else "validation"
    counts = fresh_scores(model)
    evaluate(model, prepared.collator(closing, trained.device), recipe.batching, counts)
    validation = counts
    if closing == "test":
        validation = evaluate(model, prepared.collator("validation", trained.device), recipe.batching)
    texts = prepared.texts(closing, TEXTS_TO_TIME)
    baselines: dict[str, dict[str, float]] = {}
    baseline_groups: dict[str, Any] = {}
    if recipe.baselines.enabled and not result.interrupted:
        baselines, baseline_groups = _baselines(model, recipe, prepared, closing, texts, reporter)
    units = dict(getattr(model.head, "units", {}))
    return {
        **({"leaked": sorted(model.leaks)} if model.leaks else {}),
        **({"units": units} if units else {}),
        "validation": validation.scores(),
        "test": counts.scores() if closing == "test" else None,
        "baselines": baselines,
        "training": {
            "seconds": result.seconds,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "tokens_per_second": result.tokens_per_second,
            "parameters": sum(each.numel() for each in model.parameters() if each.requires_grad),
            "interrupted": result.interrupted,
        },
        "prediction": {
            "milliseconds_per_text": _milliseconds(lambda: trained(texts), len(texts)),
            "megabytes": megabytes,
        },
        "groups": counts.groups(),
        "baseline_groups": baseline_groups,
        "data": {
            "texts": {name: len(split) for name, split in prepared.splits.items()},
            "texts_cut": {name: split.texts_cut for name, split in prepared.splits.items()},
            "texts_without_tokens": {name: split.texts_without_tokens for name, split in prepared.splits.items()},
            "unknown_rate": prepared.unknown_rates(),
            "vocabulary_size": len(prepared.vocabulary),
            "notes": prepared.corpus.notes,
        },
    }


def _baselines(
    model: TextModel, recipe: Recipe, prepared: Prepared, closing: Split, texts: list[Any], reporter: Reporter
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Train and score each simple method that the head offers."""
    head = model.head
    rows, limit = None, recipe.baselines.max_rows
    # A stream is no set of texts to draw from: simple methods read all of it.
    if limit is not None and limit < len(prepared.splits["train"]) and prepared.windows is None:
        random = np.random.default_rng((recipe.seed, 20))
        rows = np.sort(random.choice(len(prepared.splits["train"]), limit, replace=False))
        reporter.note(f"baselines: trained on {limit:,} of {len(prepared.splits['train']):,} texts (max_rows)")

    @cache
    def data(split: Split, raw: bool) -> LabelledTokens:
        return prepared.labelled_tokens(split, rows if split == "train" else None, raw)

    scores, grouped = {}, {}
    for name, baseline in head.baselines().items():
        raw = getattr(baseline, "raw_tokens", False)
        train_data, validation_data = data("train", raw), data("validation", raw)
        started = time.perf_counter()
        baseline.fit(train_data, validation_data)
        seconds = time.perf_counter() - started
        counts, start = GroupedScores(head.scores), 0
        for tokens, targets in data(closing, raw).chunks():
            places = np.arange(start, start + len(tokens))
            counts.update(baseline.answers(tokens), targets, groups_of(prepared.splits[closing], places))
            start += len(tokens)
        scores[name] = {
            **counts.scores(),
            "milliseconds_per_text": _milliseconds(
                lambda method=baseline, raw=raw: method.answers(_from_raw(texts, prepared, raw)), len(texts)
            ),
            "megabytes": baseline.megabytes(),
            "train_seconds": seconds,
        }
        grouped[name] = counts.groups()
    return scores, grouped


def _from_raw(texts: Iterable[Any], prepared: Prepared, raw: bool) -> Iterator[list[str]]:
    """Yield a baseline's tokens from raw texts: the work that it has with them, too."""
    for text in texts:
        tokens = prepared.tokenizer.tokens(text) if isinstance(text, str) else text["tokens"]
        yield tokens if raw else [prepared.vocabulary.normalize(token) for token in tokens]


def _milliseconds(work: Any, count: int) -> float:
    """Return milliseconds a text, tokenizing included, after one warm-up."""
    work()
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000 / count
