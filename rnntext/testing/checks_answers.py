"""What is asked of what heads answer: predictions, scores, and the simple methods beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rnntext.evaluation import GroupedScores, evaluate
from rnntext.testing.material import task_of
from rnntext.testing.subject import (
    Checks,
    DoesNotApplyError,
    Subject,
    difference,
    refuse,
    require,
    shown,
)

of_answers = Checks()
TOLERANCE = 1e-4


@of_answers
def predictions(subject: Subject) -> None:
    """As many answers as texts, JSON-able, probabilities from 0 to 1, labels and words that it knows."""
    with task_of(subject) as task:
        known = set(_strings(task.prepared.labels))
        vocabulary = task.prepared.vocabulary
        words = {vocabulary.token(number) for number in range(2, len(vocabulary))}
        texts = task.texts()
        for top_k in (None, 1, 3):
            answers = [answer.to_dict() for answer in task.trained()(texts, top_k=top_k)]
            require(len(answers) == len(texts), f"of {len(texts)} texts there are {len(answers)} answers")
            for text, answer in zip(texts, answers, strict=True):
                given = {key: value for key, value in answer.items() if key != "text"}
                require(given, f"of {shown(text)}, the answer is empty")
                try:
                    json.dumps(given, allow_nan=False)
                except (TypeError, ValueError) as error:
                    refuse(f"of {shown(text)}, the answer is no JSON ({error}): {shown(given)}")
                for key, value in _leaves(given):
                    _check_leaf(key, value, known, words)


def _check_leaf(key: str, value: Any, known: set[str], words: set[str]) -> None:
    if key.startswith("probabilit"):
        require(isinstance(value, float) and 0 <= value <= 1 + 1e-9, f"a {key} is {value!r}, not from 0 to 1")
    if key in ("label", "labels", "tag", "tags", "name of a probability") and known:
        parts = {part for name in known for part in (name, name.partition("-")[2])}
        require(value in parts, f"the label {value!r} is answered, which learn_labels did not learn")
    if key == "token" and isinstance(value, str):
        require(value in words, f"the token {value!r} is answered, which the vocabulary does not have")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (*_strings(key), *_strings(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if key == "probabilities":
                yield "name of a probability", name
            yield from _leaves(inner, key if key == "probabilities" else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


@of_answers
def alone_as_among_others(subject: Subject) -> None:
    """A text is answered the same alone, in any batch and in any order; a text without tokens, too."""
    with task_of(subject) as task:
        texts = [*task.texts(), ""]
        model = task.trained()
        together = [answer.to_dict() for answer in model(texts)]
        turned = [answer.to_dict() for answer in model(texts[::-1])][::-1]
        for text, answer, other in zip(texts, together, turned, strict=True):
            alone = model(text).to_dict()
            away = difference(alone, answer, TOLERANCE)
            require(not away, f"of {shown(text)}, alone and among {len(texts)} texts, {away}")
            away = difference(other, answer, TOLERANCE)
            require(not away, f"of {shown(text)}, with the texts in another order, {away}")


@of_answers
def scores(subject: Subject) -> None:
    """Scores are finite, named in ``metrics``, and the same however the texts are cut into batches."""
    with task_of(subject) as task:
        results = []
        for size in (4, 1):
            batching = replace(task.recipe.batching, batch_size=size)
            results.append(evaluate(task.model, task.collator(), batching).scores())
        _check_scores(results[0], task.model.head.metrics, "the model")
        first = next(iter(task.model.head.metrics))
        require(first in results[0], f"the first metric, {first!r}, is not among the scores: {shown(results[0])}")
        away = difference(results[0], results[1], TOLERANCE)
        require(not away, f"of batches of 4 texts and of 1, {away}; count so that batches add up")


def _check_scores(found: Mapping[str, Any], metrics: Mapping[str, str], whose: str) -> None:
    for name, value in found.items():
        named = name in metrics or name == "loss" or any(name.startswith(f"{metric}_") for metric in metrics)
        require(named, f"the scores of {whose} name {name!r}, which metrics does not; it has {', '.join(metrics)}")
        require(isinstance(value, int | float) and math.isfinite(value), f"the {name} of {whose} is {value!r}")


@of_answers
def baselines_work(subject: Subject) -> None:
    """Each simple method that it offers learns from the training split and is scored as the model is."""
    with task_of(subject) as task:
        offered = task.model.head.baselines()
        if not offered:
            raise DoesNotApplyError("it offers no simple methods")
        for name, baseline in offered.items():
            raw = getattr(baseline, "raw_tokens", False)
            train, validation = (task.prepared.labelled_tokens(split, None, raw) for split in ("train", "validation"))
            baseline.fit(train, validation)
            counts = GroupedScores(task.model.head.scores)
            for tokens, targets in validation.chunks():
                counts.update(baseline.answers(tokens), targets, {})
            _check_scores(counts.scores(), task.model.head.metrics, f"the baseline {name}")
            require(baseline.megabytes() >= 0, f"the baseline {name} has {baseline.megabytes()} megabytes")
