"""One plain loop for all heads: epoch, batch, loss, clip, step, validate, keep the best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rnntext.contracts import Batch
from rnntext.errors import TrainingError
from rnntext.evaluation import LEAKED, LEAKS, evaluate
from rnntext.model import Follower, TextModel
from rnntext.optimizing import ModelOptimizer, RateSchedule, clip_gradients, make_optimizer
from rnntext.progress import Reporter
from rnntext.streaming import AnyCollator
from rnntext.tables import BatchingOptions, TrainingOptions


@dataclass(slots=True)
class TrainingResult:
    """What came of a training."""

    best_epoch: int
    """The epoch whose weights were kept; 0 if none was finished."""
    epochs: int
    """Epochs that were finished."""
    seconds: float
    """Wall time of the training steps, validation left out."""
    tokens: int
    """Real tokens read in those steps."""
    interrupted: bool = False

    @property
    def tokens_per_second(self) -> float:
        """Real tokens read a second in training."""
        return self.tokens / self.seconds if self.seconds else 0.0


def train(
    model: TextModel,
    training: AnyCollator,
    validation: AnyCollator,
    options: TrainingOptions,
    batching: BatchingOptions,
    select_by: str | None,
    seed: int,
    keep: Callable[[TextModel], None],
    record: Callable[[dict[str, Any]], None],
    reporter: Reporter,
) -> TrainingResult:
    """Train a model; ``keep`` is called whenever an epoch is the best so far.

    Ctrl-C ends the training at once; what ``keep`` was given stays.

    Args:
        model: trained in place, on the device that it is on; its weights afterwards are the last epoch's.
        training: batches of the training split.
        validation: batches of the validation split.
        options: the ``[training]`` table.
        batching: the ``[batching]`` table.
        select_by: a metric of the head, or ``loss``; the head's first metric if None.
        seed: decides the order of the texts.
        keep: saves the model's weights.
        record: takes each epoch's line of history.
        reporter: hears of every step and epoch.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    select_by = select_by or next(iter(model.head.metrics))
    if select_by not in (*model.head.metrics, "loss"):
        known = ", ".join([*model.head.metrics, "loss"])
        raise TrainingError(f"these data give no {select_by}; set training.select_by to one of: {known}")
    mark = LEAKED if model.leaks else ""  # before the name of each figure
    direction = model.head.metrics.get(select_by, "smaller")  # loss is no metric of a head, and smaller is better
    sign = 1.0 if direction == "larger" else -1.0
    optimizer = make_optimizer(model, options)
    rate = RateSchedule(options, len(training.training_rows(batching, (seed, 0))))
    if model.leaks:
        what = " and ".join(LEAKS[leak] for leak in sorted(model.leaks))
        reporter.note(f"LEAKED: the encoder reads {what}, which is to be told; no figure of this run is a fair one")
    result = TrainingResult(0, 0, 0.0, 0)
    best, since_best = -math.inf, 0
    try:
        for epoch in range(1, options.epochs + 1):
            for text in optimizer.start_epoch(epoch, options.epochs):
                reporter.note(text)
            batches = training.training_rows(batching, (seed, epoch))
            reporter.start_epoch(epoch, options.epochs, len(batches))
            started = time.perf_counter()
            totals = _one_epoch(model, training.batches(batches), optimizer, rate, options, reporter, epoch)
            seconds = time.perf_counter() - started
            result.seconds += seconds
            result.tokens += totals.tokens
            scores = evaluate(model, validation, batching).scores()
            if mark + select_by not in scores:
                known = ", ".join(name.removeprefix(mark) for name in scores)
                raise TrainingError(f"these data give no {select_by}; set training.select_by to one of: {known}")
            value = sign * scores[mark + select_by]
            # There is no loss where nothing could be told: not one answer that the vocabulary knows.
            if not (math.isfinite(value) and math.isfinite(scores.get(f"{mark}loss", 0.0))):
                raise TrainingError(
                    f"the validation loss or {select_by} is no number after epoch {epoch}. {_advice(options)}"
                )
            is_best = value > best
            line = {
                "epoch": epoch,
                f"{mark}train_loss": totals.loss / max(1, totals.count),
                "validation": scores,
                "seconds": seconds,
                "tokens": totals.tokens,
                "tokens_per_second": totals.tokens / seconds,
                "learning_rate": optimizer.rate,
                "gradient_norm": totals.norm / max(1, totals.steps),
            }
            result.epochs = epoch
            if is_best:
                keep(model)
                best, since_best, result.best_epoch = value, 0, epoch
            else:
                since_best += 1
            record(line)
            reporter.end_epoch(line, is_best)
            rate.end_epoch(since_best)
            if options.patience and since_best >= options.patience:
                reporter.note(f"stopped early: no better {mark + select_by} in {since_best} epochs")
                break
    except KeyboardInterrupt:
        result.interrupted = True
    finally:
        optimizer.finish()
    return result


@dataclass(slots=True)
class _EpochTotals:
    loss: float = 0.0
    norm: float = 0.0
    count: int = 0
    """Of what the losses are means: texts, unless the head says otherwise."""
    tokens: int = 0
    steps: int = 0


def _one_epoch(
    model: TextModel,
    batches: Iterator[Batch],
    optimizer: ModelOptimizer,
    rate: RateSchedule,
    options: TrainingOptions,
    reporter: Reporter,
    epoch: int,
) -> _EpochTotals:
    model.train()
    totals, follow = _EpochTotals(), Follower(model)
    for batch in batches:
        optimizer.set_rate(rate.next())
        optimizer.zero_grad()
        output = follow(batch)
        if output.loss is None:
            raise TrainingError("the head gave no loss for a batch with targets; its forward must")
        loss = float(output.loss.detach())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch}, step {totals.steps + 1}, after {totals.norm:.3g} in gradient "
                f"norms so far. {_advice(options)}"
            )
        output.loss.backward()
        norm = clip_gradients(optimizer.parameters, options.gradient_clip)
        optimizer.step()
        tokens = int(batch.lengths.sum())
        count = len(batch.lengths) if output.count is None else output.count
        totals.loss += loss * count
        totals.norm += float(norm)
        totals.count += count
        totals.tokens += tokens
        totals.steps += 1
        reporter.step(loss, tokens)
    optimizer.settle()
    return totals


def _advice(options: TrainingOptions) -> str:
    return (
        f"Lower training.learning_rate (now {options.learning_rate}), or set training.gradient_clip "
        f"(now {options.gradient_clip}) to 1"
    )
