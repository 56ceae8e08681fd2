"""One plain loop for all heads: epoch, batch, loss, clip, step, validate, keep the best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rnntext.batching import Collator, training_batches
from rnntext.contracts import Batch, HeadOutput
from rnntext.errors import TrainingError
from rnntext.evaluation import evaluate
from rnntext.model import TextModel
from rnntext.progress import Reporter
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
    training: Collator,
    validation: Collator,
    options: TrainingOptions,
    batching: BatchingOptions,
    select_by: str,
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
        select_by: a metric of the head, or ``loss``.
        seed: decides the order of the texts.
        keep: saves the model's weights.
        record: takes each epoch's line of history.
        reporter: hears of every step and epoch.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    lengths = training.split.types.lengths
    direction = model.head.metrics.get(select_by, "smaller")  # loss is no metric of a head, and smaller is better
    sign = 1.0 if direction == "larger" else -1.0
    optimizer = make_optimizer(model, options)
    rate = RateSchedule(options, len(training_batches(lengths, batching, (seed, 0))))
    result = TrainingResult(0, 0, 0.0, 0)
    best, since_best = -math.inf, 0
    try:
        for epoch in range(1, options.epochs + 1):
            batches = training_batches(lengths, batching, (seed, epoch))
            reporter.start_epoch(epoch, options.epochs, len(batches))
            started = time.perf_counter()
            totals = _one_epoch(model, training.batches(batches), optimizer, rate, options, reporter, epoch)
            seconds = time.perf_counter() - started
            result.seconds += seconds
            result.tokens += totals.tokens
            scores = evaluate(model, validation, batching).scores()
            if select_by not in scores:
                known = ", ".join(scores)
                raise TrainingError(f"these data give no {select_by}; set training.select_by to one of: {known}")
            value = sign * scores[select_by]
            if not (math.isfinite(value) and math.isfinite(scores["loss"])):
                raise TrainingError(
                    f"the validation loss or {select_by} is no number after epoch {epoch}. {_advice(options)}"
                )
            is_best = value > best
            line = {
                "epoch": epoch,
                "train_loss": totals.loss / max(1, totals.texts),
                "validation": scores,
                "seconds": seconds,
                "tokens": totals.tokens,
                "tokens_per_second": totals.tokens / seconds,
                "learning_rate": optimizer.param_groups[0]["lr"],
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
                reporter.note(f"stopped early: no better {select_by} in {since_best} epochs")
                break
    except KeyboardInterrupt:
        result.interrupted = True
    return result


@dataclass(slots=True)
class _EpochTotals:
    loss: float = 0.0
    norm: float = 0.0
    texts: int = 0
    tokens: int = 0
    steps: int = 0


def _one_epoch(
    model: TextModel,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    rate: RateSchedule,
    options: TrainingOptions,
    reporter: Reporter,
    epoch: int,
) -> _EpochTotals:
    model.train()
    totals = _EpochTotals()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for batch in batches:
        for group in optimizer.param_groups:
            group["lr"] = rate.next()
        optimizer.zero_grad()
        output: HeadOutput = model(batch)
        if output.loss is None:
            raise TrainingError("the head gave no loss for a batch with targets; its forward must")
        loss = float(output.loss.detach())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch}, step {totals.steps + 1}, after {totals.norm:.3g} in gradient "
                f"norms so far. {_advice(options)}"
            )
        output.loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, options.gradient_clip or math.inf)
        optimizer.step()
        tokens = int(batch.lengths.sum())
        totals.loss += loss * len(batch.lengths)
        totals.norm += float(norm)
        totals.texts += len(batch.lengths)
        totals.tokens += tokens
        totals.steps += 1
        reporter.step(loss, tokens)
    return totals


def _advice(options: TrainingOptions) -> str:
    return (
        f"Lower training.learning_rate (now {options.learning_rate}), or set training.gradient_clip "
        f"(now {options.gradient_clip}) to 1"
    )


def make_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer that ``[training]`` names, over all parameters that are trained."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shared: Mapping[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    # "fused" updates each tensor in one pass; it gives the same numbers.
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=options.momentum, fused=True, **shared)
    family = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return family(parameters, fused=True, **shared)


class RateSchedule:
    """The learning rate of each step.

    Args:
        options: the ``[training]`` table.
        steps_an_epoch: steps of one epoch; the schedule spans ``options.epochs`` of them.
    """

    def __init__(self, options: TrainingOptions, steps_an_epoch: int) -> None:
        self._options = options
        self._total = max(1, steps_an_epoch * options.epochs)
        self._step = 0
        self._reduction = 1.0

    def next(self) -> float:
        """Return the rate of the next step."""
        self._step += 1
        # The middle of the step, so that neither the first nor the last rate is zero.
        return self._options.learning_rate * self._reduction * self._share(min(1.0, (self._step - 0.5) / self._total))

    def _share(self, progress: float) -> float:
        """Return the rate at a share of all steps, as a share of the largest."""
        kind, rise = self._options.schedule, self._options.warmup_fraction
        if kind in ("constant", "plateau"):
            return 1.0
        if rise and progress < rise:
            return progress / rise
        fallen = (progress - rise) / (1 - rise)
        if kind == "linear":
            return 1 - fallen
        return 0.5 * (1 + math.cos(math.pi * fallen)) if kind == "cosine" else 1.0

    def end_epoch(self, epochs_without_improvement: int) -> None:
        """Halve the rate, under ``plateau``, each time the metric has stalled for too long."""
        stalled = self._options.plateau_patience + 1
        if self._options.schedule == "plateau" and epochs_without_improvement % stalled == 0:
            self._reduction *= 0.5 if epochs_without_improvement else 1.0
