"""A B A B ...: the ratio of each pair, and their median. Machines are noisy; ratios of neighbours are less so."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
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

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return asdict(self)


def compare(
    name: str,
    of: tuple[str, Callable[[], float]],
    to: tuple[str, Callable[[], float]],
    unit: str,
    pairs: int = 5,
) -> Ratio:
    """Measure two things in turn, after one unmeasured run of each.

    Args:
        name: of the comparison.
        of: what is compared, and a function that runs it once and returns its figure.
        to: what it is compared to.
        unit: of the figures.
        pairs: how often each is run.
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
    )
