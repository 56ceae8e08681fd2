"""From gradients to steps: the optimizer, clipping, and how the learning rate moves.

A batch reads few rows of a large embedding, and only those are worked on: see ``row_adam``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.row_adam import RowAdam
from rnntext.stages import Stage, Unfreezing, stages_of
from rnntext.tables import TrainingOptions

SMALLEST_TABLE = 2_000_000
"""Numbers in a table from which its rows are updated alone; below, torch's fused dense Adam is as quick.

Milliseconds of CPU time for gradient, clipping and step of a table 100 wide, dense and by rows, in batches of 1,280
tokens whose words follow Zipf's law (641 distinct), one thread: 2,000 words 1.2 and 2.4; 15,000 words 3.9 and 3.9;
100,000 words 28 and 6; 400,000 words 214 and 6.5. In batches ten times as long the two meet at 100,000 words, but
there the network takes most of the time by far.
"""


class ModelOptimizer:
    """All that moves a model's weights: several optimizers as one.

    Args:
        optimizers: each over parameters of its own.
        tables: those whose rows are updated alone, each with its module, which was told to ask before it reads.
        unfreezing: lets some parameters learn later than others.
    """

    def __init__(
        self,
        optimizers: list[torch.optim.Optimizer],
        tables: Mapping[nn.Parameter, Any],
        unfreezing: Unfreezing,
    ) -> None:
        self.optimizers = optimizers
        self._tables = tables
        self._unfreezing = unfreezing
        self.rate = 0.0
        """The learning rate, of the head where that of others is smaller."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that are trained."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps; a group with a ``scale`` has so many times that."""
        self.rate = rate
        for group in self.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)

    def start_epoch(self, epoch: int, epochs: int) -> list[str]:
        """Let those parameters learn that are due in an epoch, the first being 1, of so many; return what to tell."""
        return self._unfreezing.start_epoch(epoch, epochs)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        """Take a step with the gradients that there are."""
        for optimizer in self.optimizers:
            optimizer.step()

    def settle(self) -> None:
        """Bring every weight up to date, before the model is measured or kept."""
        for optimizer in self.optimizers:
            if isinstance(optimizer, RowAdam):
                optimizer.settle()

    def finish(self) -> None:
        """Bring every weight up to date, and let modules read without asking: training is over."""
        self.settle()
        self._unfreezing.finish()
        for module in self._tables.values():
            module.before_reading = None

    def state_dict(self) -> dict[str, Any]:
        """Return all that a training needs, besides the weights, to go on."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` of an optimizer for the same model and options gave."""
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def make_optimizer(model: nn.Module, options: TrainingOptions) -> ModelOptimizer:
    """Return the optimizer that ``[training]`` names, over all parameters that are trained."""
    tables = row_tables(model, options)
    by_rows = {id(table) for table in tables}
    stages = stages_of(model) if options.layer_decay < 1 or options.unfreeze_epochs else []
    dense = _groups(model, stages, options, lambda parameter: id(parameter) not in by_rows)
    rare = _groups(model, stages, options, lambda parameter: id(parameter) in by_rows)
    shared: Mapping[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    optimizers: list[torch.optim.Optimizer] = []
    if dense:
        # "fused" updates each tensor in one pass; it gives the same numbers.
        if options.optimizer == "sgd":
            optimizers.append(torch.optim.SGD(dense, momentum=options.momentum, fused=True, **shared))
        else:
            family = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
            optimizers.append(family(dense, fused=True, **shared))
    if rare and options.optimizer == "sgd":
        optimizers.append(torch.optim.SGD(rare, foreach=False, **shared))
        for module in tables.values():
            module.before_reading = _nothing
    elif rare:
        rows = RowAdam(rare, decoupled=options.optimizer == "adamw", **shared)
        optimizers.append(rows)
        for table, module in tables.items():
            module.before_reading = partial(rows.catch_up, table)
    return ModelOptimizer(optimizers, tables, Unfreezing(stages, options.unfreeze_epochs))


def _groups(
    model: nn.Module, stages: list[Stage], options: TrainingOptions, chosen: Callable[[nn.Parameter], bool]
) -> list[dict[str, Any]]:
    """Return groups of chosen parameters: one of all, or, where there are stages, one a stage with its ``scale``.

    Source:
        Howard and Ruder (2018), Universal language model fine-tuning for text classification, section 3.2.
    """
    if not stages:
        alone = [each for each in model.parameters() if each.requires_grad and chosen(each)]
        return [{"params": alone}] if alone else []
    groups = []
    for number, stage in enumerate(stages):
        scale = options.layer_decay**number
        if parameters := [each for each in stage.parameters if chosen(each)]:
            groups.append({"params": parameters, "scale": scale, "lr": options.learning_rate * scale})
    return groups


def row_tables(model: nn.Module, options: TrainingOptions) -> dict[nn.Parameter, Any]:
    """Return the trained tables whose rows are updated alone, each with its module.

    They are the parameters ``weight`` of modules that have an attribute ``before_reading``, where the table is so
    large that it pays, belongs to no second module (tied weights are read as a whole there), and optimizer and device
    can do it: momentum of sgd moves, and its weight decay draws, every row in every step; mps knows no sparse
    gradients.
    """
    if not options.row_updates or (options.optimizer == "sgd" and (options.momentum or options.weight_decay)):
        return {}
    if options.learning_rate * options.weight_decay >= 1:  # it turns weights round, which no sum of logs can
        return {}
    holders = Counter(id(each) for module in model.modules() for each in module.parameters(recurse=False))
    asking: list[Any] = [module for module in model.modules() if hasattr(module, "before_reading")]
    tables = {module.get_parameter("weight"): module for module in asking}
    return {
        table: module
        for table, module in tables.items()
        if table.requires_grad
        and table.numel() >= SMALLEST_TABLE
        and holders[id(table)] == 1
        and table.device.type != "mps"
    }


def _nothing(rows: Tensor) -> None:
    """Stand for ``catch_up`` where idle rows miss nothing."""


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], largest_norm: float) -> Tensor:
    """Scale all gradients by one factor so that their L2 norm together is at most ``largest_norm``.

    Sparse gradients are coalesced on the way: two gradients of one row are one.

    Args:
        parameters: some may have no gradient.
        largest_norm: 0 never clips.

    Returns:
        Float scalar, the norm before; reading it is the first time that anything waits for an accelerator.

    Source:
        Pascanu et al. (2013), On the difficulty of training recurrent neural networks, algorithm 1, as in
        torch.nn.utils.clip_grad_norm_, which refuses sparse gradients.
    """
    gradients: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values())
        else:
            gradients.append(parameter.grad)
    if not gradients:
        return torch.zeros(())
    norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    if largest_norm:
        factor = (largest_norm / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)
    return norm


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
