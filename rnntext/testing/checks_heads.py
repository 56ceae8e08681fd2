"""What is asked of heads: what they declare, their labels, their loss; each in a small model with its data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch

from rnntext.contracts import Annotations, Batch, Example, HeadOutput, Reads
from rnntext.errors import DataError
from rnntext.evaluation import evaluate
from rnntext.model import Follower
from rnntext.optimizing import make_optimizer
from rnntext.tables import TrainingOptions
from rnntext.testing.material import Task, examples_of, needs_of, task_of, widened
from rnntext.testing.subject import (
    Checks,
    DoesNotApplyError,
    Subject,
    difference,
    refuse,
    require,
    require_gradients,
    shown,
)

of_heads = Checks()
TOLERANCE = 1e-4
STEPS_BY_HEART = 60
LEARNT = 0.25
"""Share of the loss at the start that may be left of it."""
STRANGE_LABEL = "a label that no text has"


@of_heads
def declared(subject: Subject) -> None:
    """What it states about itself can be read: metrics, hides, why_hidden, cuts_long_texts, needs, why_whole."""
    part, values = subject.part, subject.all_options
    for name in ("metrics", "hides", "why_hidden", "cuts_long_texts"):
        require(hasattr(part, name), f"the class has no {name}; every head states it")
    require(
        isinstance(part.metrics, Mapping) and part.metrics and set(part.metrics.values()) <= {"larger", "smaller"},
        f'metrics is {shown(part.metrics)}; a mapping of names to "larger" or "smaller" is asked for, the first the '
        "default",
    )
    require(
        isinstance(part.hides, frozenset) and part.hides <= set(get_args(Reads)),
        f"hides is {shown(part.hides)}; a frozenset of {', '.join(get_args(Reads))} is asked for",
    )
    reason = part.why_hidden
    require(
        isinstance(reason, str) and (reason or not part.hides),
        f"hides is {sorted(part.hides)}, and why_hidden gives no reason; a recipe that is refused would show none",
    )
    require(isinstance(part.cuts_long_texts, bool), f"cuts_long_texts is {shown(part.cuts_long_texts)}, not a bool")
    needs = getattr(part, "needs", lambda options: frozenset({"labels"}))(values)
    require(isinstance(needs, frozenset), f"needs gives {shown(needs)}; a frozenset is asked for")
    why = getattr(part, "why_whole", lambda options: "it does not say")(values)
    require(why is None or (isinstance(why, str) and why), f"why_whole gives {shown(why)}; None or a reason")


def _has_labels(subject: Subject) -> None:
    """Skip heads whose targets are no labels of a closed set: words, the examples' own kind."""
    needs = needs_of(subject)
    if not needs or not needs <= set(get_args(Annotations)) - {"windows", "sequence"}:
        raise DoesNotApplyError("its targets are no labels that could be missing or unknown")


@of_heads
def labels_are_kept(subject: Subject) -> None:
    """``learn_labels`` takes an iterator, gives the same each time, and what it gives survives JSON."""
    examples, _ = examples_of(subject)
    first, again = (subject.part.learn_labels(iter(examples)) for _ in range(2))
    require(isinstance(first, dict), f"learn_labels gives {shown(first)}; a dict is asked for")
    require(first == again, f"learn_labels gives {shown(first)}, and of the same examples {shown(again)}")
    try:
        stored = json.loads(json.dumps(first))
    except (TypeError, ValueError) as error:
        refuse(f"learn_labels gives what is no JSON, and is kept as labels.json: {error}")
    require(stored == first, f"learn_labels gives {shown(first)}, of which JSON makes {shown(stored)}")


@of_heads
def missing_label(subject: Subject) -> None:
    """A text without a label raises DataError, in training and where a model is scored."""
    _has_labels(subject)
    examples, _ = examples_of(subject)
    bare: Example = replace(examples[1], label=None, scheme=None, spans=None)
    labels = subject.part.learn_labels(iter(examples))
    with_bare = [examples[0], bare, *examples[2:]]
    _raises_data_error(lambda: subject.part.learn_labels(iter(with_bare)), "learn_labels, of a text without a label,")
    _raises_data_error(
        lambda: subject.part.encode_targets(bare, labels, len(bare.text.split())),
        "encode_targets, of a text without a label,",
    )


@of_heads
def unknown_label(subject: Subject) -> None:
    """A label that the training split has not raises DataError."""
    _has_labels(subject)
    examples, _ = examples_of(subject)
    if examples[0].spans is not None:
        raise DoesNotApplyError("the examples have spans, which become tags once the text is cut into tokens")
    labels = subject.part.learn_labels(iter(examples))
    example = next(each for each in examples if each.label)
    strange = STRANGE_LABEL if isinstance(example.label, str) else (STRANGE_LABEL, *(example.label or ())[1:])
    num_tokens = len(example.text.split() if example.tokens is None else example.tokens)
    _raises_data_error(
        lambda: subject.part.encode_targets(replace(example, label=strange), labels, num_tokens),
        f"encode_targets, of the label {STRANGE_LABEL!r},",
    )


def _raises_data_error(call: Any, what: str) -> None:
    try:
        found = call()
    except DataError as error:
        require(str(error), f"{what} raises DataError without a message; say what is wrong and what to do")
        return
    except Exception as error:
        refuse(f"{what} raises {type(error).__name__} ({error}); raise DataError with the example's line")
    refuse(f"{what} gives {shown(found)}; raise DataError with the example's line")


# ---------------------------------------------------------------- loss


def _read(task: Task, batch: Batch) -> HeadOutput:
    output: HeadOutput = task.model(batch)
    return output


@of_heads
def loss(subject: Subject) -> None:
    """The loss is one finite number; every parameter of the head gets a finite gradient from it."""
    with task_of(subject) as task:
        task.model.train()
        for batch in task.batches("train"):
            output = _read(task, batch)
            require(output.loss is not None, "a batch with targets gives no loss")
            assert output.loss is not None
            require(output.loss.ndim == 0, f"the loss has the shape {list(output.loss.shape)}; a scalar is asked for")
            require(math.isfinite(float(output.loss.detach())), f"the loss is {float(output.loss.detach())}")
            require(output.loss.requires_grad, "the loss has no gradient")
            torch.autograd.backward(output.loss)
        require_gradients(task.model.head)
        reached = any(each.grad is not None and bool(each.grad.any()) for each in task.model.encoder.parameters())
        require(reached, "no gradient reaches the encoder, which would never learn")


@of_heads
def no_targets_no_loss(subject: Subject) -> None:
    """Without targets, as at prediction, there is no loss, and the logits are the same."""
    with task_of(subject) as task, torch.no_grad():
        task.model.eval()
        for batch in task.batches():
            wanted = _read(task, batch)
            found = _read(task, replace(batch, targets=None))
            hides_targets = hasattr(task.model.head, "conceal")
            windows = batch.goes_on is not None or getattr(task.model.head, "reads_windows", False)
            require(found.loss is None or windows or hides_targets, f"without targets, the loss is {found.loss}")
            away = difference(found.logits, wanted.logits, TOLERANCE, "the logits ")
            require(not away, f"with and without targets, {away.replace('logits differs', 'logits differ')}")


@of_heads
def padding_not_counted(subject: Subject) -> None:
    """More columns of padding change neither loss nor answers."""
    with task_of(subject) as task, torch.no_grad():
        task.model.eval()
        for batch in task.batches():
            outputs = [_read(task, each) for each in (batch, widened(batch, 3))]
            found, wide = (None if each.loss is None else float(each.loss) for each in outputs)
            away = difference(wide, found, TOLERANCE, "the loss ")
            require(
                not away, f"with three columns of padding more, {away}; padding (-1 in targets) counts for nothing"
            )


@of_heads
def loss_is_a_mean(subject: Subject) -> None:
    """The loss of a batch is the mean of its texts' (or of what ``count`` counts): batches add up."""
    with task_of(subject) as task, torch.no_grad():
        task.model.eval()
        collator = task.collator()
        for rows in collator.evaluation_rows(task.recipe.batching):
            whole = _counted(_read(task, collator.batch(rows)), len(rows))
            parts = [_counted(_read(task, collator.batch(rows[n : n + 1])), 1) for n in range(len(rows))]
            summed = sum(total for total, _ in parts), sum(count for _, count in parts)
            require(
                whole[1] == summed[1], f"of {len(rows)} texts together count is {whole[1]}, one by one {summed[1]}"
            )
            away = difference(whole[0], summed[0], 1e-3)
            require(
                not away,
                f"of {len(rows)} texts together, loss times count is {whole[0]:.6g}, and one by one {summed[0]:.6g}; "
                "the loss is a mean over texts, or over as many things as count says",
            )


def _counted(output: HeadOutput, texts: int) -> tuple[float, int]:
    count = texts if output.count is None else output.count
    return (0.0, 0) if output.loss is None else (float(output.loss) * count, count)


@of_heads
def learns_by_heart(subject: Subject) -> None:
    """A handful of examples is learnt by heart: the loss falls to a quarter, or the scores are perfect."""
    plain = {"head": {"dropout": 0.0}} if "dropout" in subject.all_options else {}
    with task_of(subject, changed={"encoder": {"hidden_dim": 24}, **plain}) as task:
        model, collator = task.model, task.collator("train")
        optimizer = make_optimizer(model, TrainingOptions(learning_rate=0.03))
        losses: list[float] = []
        try:
            for step in range(STEPS_BY_HEART):
                model.train()
                follow, before = Follower(model), []
                for batch in collator.batches(collator.training_rows(task.recipe.batching, (1, step))):
                    optimizer.zero_grad()
                    output = follow(batch)
                    assert output.loss is not None
                    torch.autograd.backward(output.loss)
                    optimizer.step()
                    before.append(float(output.loss.detach()))
                losses.append(float(np.mean(before)))
        finally:
            optimizer.finish()
        found = evaluate(model, task.collator(), task.recipe.batching).scores()
        metric, direction = next(iter(model.head.metrics.items()))
        perfect = direction == "larger" and found.get(metric, 0.0) > 0.99
        last = float(np.mean(losses[-5:]))
        require(
            perfect or last < LEARNT * losses[0],
            f"after {STEPS_BY_HEART} passes over {len(collator.split)} texts the loss is {last:.3g}, and was "
            f"{losses[0]:.3g}; {metric} is {found.get(metric)}: it does not learn what it is shown",
        )
