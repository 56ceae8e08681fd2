"""A B A B ...: the ratio of each pair, and their median. Machines are noisy; ratios of neighbours are less so."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """What came of one comparison."""

    name: str
    of: str
    to: str
    unit: str
    ratio: float
    """Median over the pairs; above 1 means that ``of`` has more of the unit."""
    lowest: float
    highest: float
    of_median: float
    to_median: float
    pairs: int
    compares: str = ""
    """What is compared, in one sentence."""
    beside: Mapping[str, float] = field(default_factory=dict)
    """Plain figures that belong to it: name, with the unit -> value."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return asdict(self)


def compare(
    name: str,
    of: tuple[str, Callable[[], float]],
    to: tuple[str, Callable[[], float]],
    unit: str,
    pairs: int = 5,
    *,
    compares: str = "",
    beside: Mapping[str, float] | None = None,
) -> Ratio:
    """Measure two things in turn, after one unmeasured run of each.

    Args:
        name: of the comparison; no other may have it.
        of: what is compared, and a function that runs it once and returns its figure.
        to: what it is compared to.
        unit: of the figures.
        pairs: how often each is run.
        compares: what is compared, in one sentence.
        beside: plain figures that belong to it.
    """
    of[1](), to[1]()
    measured = [(of[1](), to[1]()) for _ in range(pairs)]
    ratios = [left / right for left, right in measured]
    return Ratio(
        name,
        of[0],
        to[0],
        unit,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(left for left, _ in measured),
        statistics.median(right for _, right in measured),
        pairs,
        compares,
        dict(beside or {}),
    )


def rate(work: Callable[[], object], amount: float, seconds: float) -> float:
    """Return how much is done a second: ``work``, which does ``amount``, is repeated for at least so many seconds."""
    done, started = 0, time.perf_counter()
    while True:
        work()
        done += 1
        passed = time.perf_counter() - started
        if passed >= seconds:
            return done * amount / passed
