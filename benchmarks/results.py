"""What was measured, kept by name from run to run: ``results.json``, and ``RESULTS.md`` to read."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import rnntext
from benchmarks.pairs import Ratio

Row = dict[str, Any]
"""A ratio's figures, and under ``benchmark`` whose they are, under ``measured`` when and on what."""

COLUMNS = f"{'figure':<80} {'ratio':>6}  {'lowest .. highest':<17} {'first':>10} {'second':>10}  {'unit':<9} pairs"
INTRODUCTION = """\
# Measured speed

Written by `python -m benchmarks`. Every figure is a ratio of two things that were run in turn (A B A B ..., after one
run of each that does not count), the median over the pairs, with the lowest and the highest of them; beside it the
medians of the two. A ratio above 1 means that the first has more of the unit: good for tokens/s and texts/s, bad for
s and ms. Absolute figures change with the machine and with what else it does; ratios do so less.
"""


def conditions() -> dict[str, Any]:
    """Return today's date, the machine and the versions: what a figure depends on."""
    threads = torch.get_num_threads()
    machine = (
        f"{platform.machine()}, CPU capability {torch.backends.cpu.get_cpu_capability()}, "
        f"{threads} thread{'' if threads == 1 else 's'}"
    )
    versions = {"python": platform.python_version(), "rnntext": rnntext.__version__}
    versions |= {package: version(package) for package in ("torch", "numpy", "scikit-learn")}
    return {"date": date.today().isoformat(), "machine": machine, "versions": versions}


def merged(rows: Iterable[Row], new: Row) -> list[Row]:
    """Return the rows with the new one in the place of its namesake, or behind the last of its benchmark."""
    kept = list(rows)
    for place, row in enumerate(kept):
        if row["name"] == new["name"]:
            return [*kept[:place], new, *kept[place + 1 :]]
    ends = [place for place, row in enumerate(kept) if row["benchmark"] == new["benchmark"]]
    place = ends[-1] + 1 if ends else len(kept)
    return [*kept[:place], new, *kept[place:]]


class Results:
    """The rows of a results file, written anew with every figure so that nothing measured is lost.

    Args:
        json_file: where the rows are kept; rows of earlier runs are read from it.
        markdown_file: the same to read.
        measured: what ``conditions`` returned.
    """

    def __init__(self, json_file: Path, markdown_file: Path, measured: dict[str, Any]) -> None:
        self.json_file, self.markdown_file, self.measured = json_file, markdown_file, measured
        stored = json.loads(json_file.read_text(encoding="utf-8")) if json_file.is_file() else {}
        # Rows of an older form, which knew nothing of when they were measured, are left out.
        self.rows: list[Row] = [row for row in stored.get("ratios", []) if "measured" in row]

    def add(self, benchmark: str, ratio: Ratio) -> None:
        """Keep a figure and write both files."""
        row = {"benchmark": benchmark, **ratio.to_dict(), "measured": self.measured}
        self.rows = merged(self.rows, row)
        self.json_file.write_text(json.dumps({"ratios": self.rows}, indent=1) + "\n", encoding="utf-8")
        self.markdown_file.write_text(markdown(self.rows), encoding="utf-8")


def line(ratio: Ratio) -> str:
    """Return a figure as one line under ``COLUMNS``."""
    spread = f"{ratio.lowest:.2f} .. {ratio.highest:.2f}"
    return (
        f"{ratio.name:<80} {ratio.ratio:>6.2f}  {spread:<17} {number(ratio.of_median):>10} "
        f"{number(ratio.to_median):>10}  {ratio.unit:<9} {ratio.pairs:>5}"
    )


def number(value: float) -> str:
    """Return a figure with three digits that count: 12,300 or 0.0456."""
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: Sequence[Row]) -> str:
    """Return RESULTS.md: a table for each benchmark, then what each of its rows compares."""
    distinct: list[dict[str, Any]] = []
    for row in rows:
        if row["measured"] not in distinct:
            distinct.append(row["measured"])
    parts = [INTRODUCTION, *_conditions(distinct)]
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        chosen = [row for row in rows if row["benchmark"] == benchmark]
        parts += [f"\n## {benchmark}\n", *_table(chosen, distinct), *_explanations(chosen)]
    return "\n".join(parts) + "\n"


def _conditions(distinct: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for place, measured in enumerate(distinct, 1):
        versions = ", ".join(f"{package} {found}" for package, found in measured["versions"].items())
        label = f"({place}) " if len(distinct) > 1 else ""
        lines.append(f"- {label}Measured on {measured['date']}: {measured['machine']}; {versions}.")
    return lines


def _table(rows: Sequence[Row], distinct: Sequence[dict[str, Any]]) -> list[str]:
    several = len(distinct) > 1
    header = ["figure", "ratio", "lowest..highest", "first", "second", "unit", "pairs"] + ["measured"] * several
    lines = [_cells(header), _cells(["---", *["---:"] * 4, "---", "---:", *["---"] * several])]
    for row in rows:
        cells = [
            row["name"],
            f"{row['ratio']:.2f}",
            f"{row['lowest']:.2f}..{row['highest']:.2f}",
            f"{row['of']}: {number(row['of_median'])}",
            f"{row['to']}: {number(row['to_median'])}",
            row["unit"],
            str(row["pairs"]),
        ]
        lines.append(_cells(cells + [f"({distinct.index(row['measured']) + 1})"] * several))
    return lines


def _explanations(rows: Sequence[Row]) -> list[str]:
    """Return what the rows compare, rows with one sentence together; and the plain figures beside them."""
    lines = ["", "What is compared:", ""]
    for sentence in dict.fromkeys(row["compares"] for row in rows):
        names = "; ".join(row["name"] for row in rows if row["compares"] == sentence)
        lines.append(f"- {names}: {sentence}")
    beside = [row for row in rows if row["beside"]]
    if beside:
        lines += ["", "Beside them:", ""]
    for row in beside:
        figures = ", ".join(f"{name} {number(value)}" for name, value in row["beside"].items())
        lines.append(f"- {row['name']}: {figures}.")
    return lines


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
