"""Scores of a model on labelled texts: all together, and by group. Nothing is kept but counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from rnntext.contracts import Batch
from rnntext.encoding import EncodedSplit
from rnntext.errors import DataError
from rnntext.metrics import Scores
from rnntext.model import Follower, TextModel
from rnntext.streaming import AnyCollator
from rnntext.tables import BatchingOptions

LEAKED = "leaked_"
"""Stands before every figure of a model that reads what it should predict."""
LEAKS: Mapping[str, str] = {"future": "the future", "own_token": "the hidden token itself"}
"""What an encoder reads then, by its name in ``contracts.Reads``, in words."""
GroupScores = dict[str, dict[str, dict[str, float]]]
"""Group field -> value of the field -> metric -> value; ``texts`` is their number."""


@dataclass(slots=True)
class GroupedScores:
    """Counts scores of all texts, and of those that share a value of a group field.

    Args:
        make_scores: gives a fresh counter of the head's metrics.
        prefix: stands before the name of each metric.
    """

    make_scores: Callable[[], Scores]
    prefix: str = ""
    total: Scores = field(init=False)
    texts: int = 0
    loss_sum: float | None = None
    """Of all texts; None where no loss was counted."""
    loss_count: int = 0
    """Of how many things the losses are means, together."""
    _groups: dict[str, dict[str, tuple[Scores, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = self.make_scores()

    def update(self, answers: np.ndarray, targets: np.ndarray, groups: Mapping[str, Sequence[str]]) -> None:
        """Count some texts: answers and targets by row, and each text's value of every group field."""
        self.total.update(answers, targets)
        self.texts += len(answers)
        for name, column in groups.items():
            values = np.asarray(column, dtype=object)
            counters = self._groups.setdefault(name, {})
            for value in sorted(set(column)):
                counter, count = counters.get(value) or (self.make_scores(), 0)
                chosen = np.flatnonzero(values == value)
                counter.update(answers[chosen], targets[chosen])
                counters[value] = (counter, count + len(chosen))

    def scores(self) -> dict[str, float]:
        """Return metric -> value over all texts; ``loss`` too where there was one."""
        loss = {} if self.loss_sum is None or not self.loss_count else {"loss": self.loss_sum / self.loss_count}
        return self._named({**self.total.compute(), **loss})

    def _named(self, scores: dict[str, float]) -> dict[str, float]:
        return {self.prefix + name: value for name, value in scores.items()}

    def groups(self) -> GroupScores:
        """Return the scores of each group."""
        return {
            name: {
                value: {"texts": count, **self._named(counter.compute())}
                for value, (counter, count) in sorted(counters.items())
            }
            for name, counters in self._groups.items()
        }


def fresh_scores(model: TextModel) -> GroupedScores:
    """Return counts of a model's metrics, marked if it leaks."""
    return GroupedScores(model.head.scores, LEAKED if model.leaks else "")


def evaluate(
    model: TextModel, texts: AnyCollator, batching: BatchingOptions, into: GroupedScores | None = None
) -> GroupedScores:
    """Score a model on labelled texts.

    Args:
        model: put into evaluation mode.
        texts: a split with targets.
        batching: size of a batch; texts of like length share one.
        into: counts to add to, with groups; without, groups are not counted.
    """
    model.eval()
    head = model.head
    counts = into or fresh_scores(model)
    follow = Follower(model)
    with torch.inference_mode():
        for batch in texts.batches(texts.evaluation_rows(batching)):
            output = follow(batch)
            groups = {} if into is None else groups_of(texts.split, rows_of(batch))
            counts.update(head.answers(output), targets_of(batch), groups)
            if output.loss is not None:
                count = len(batch.lengths) if output.count is None else output.count
                counts.loss_sum = (counts.loss_sum or 0.0) + float(output.loss) * count
                counts.loss_count += count
    return counts


def groups_of(split: EncodedSplit, rows: np.ndarray) -> dict[str, list[str]]:
    """Return, for each group field, the value that each of these rows has."""
    return {name: [values[code] for code in codes[rows]] for name, (values, codes) in split.groups.items()}


def rows_of(batch: Batch) -> np.ndarray:
    """Return which examples of its split a batch holds."""
    return np.arange(len(batch.lengths)) if batch.rows is None else batch.rows


def targets_of(batch: Batch) -> np.ndarray:
    """Return int64 [B, S] targets on the CPU.

    Raises:
        DataError: the texts have no labels.
    """
    if batch.targets is None:
        raise DataError("these texts have no labels to score against")
    targets: np.ndarray = batch.targets.cpu().numpy()
    return targets
