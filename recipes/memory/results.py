"""The file in which the probe keeps what it has measured."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

import rnntext


def load(path: Path) -> dict[str, Any]:
    """Return earlier results, or none."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    machine = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread"
    about = {"machine": machine, "torch": torch.__version__, "rnntext": rnntext.__version__}
    return {"about": about, "runs": [], "gradients": {}, "exploding": {}}


def save(found: dict[str, Any], path: Path) -> None:
    """Write results, one line a run, whole or not at all: an interruption leaves the file of before."""
    parts = []
    for key, value in found.items():
        if isinstance(value, list):
            lines, (opening, closing) = [json.dumps(rounded(item)) for item in value], "[]"
        else:
            lines = [f"{json.dumps(name)}: {json.dumps(rounded(inner))}" for name, inner in value.items()]
            opening, closing = "{}"
        parts.append(f" {json.dumps(key)}: {opening}\n  " + ",\n  ".join(lines) + f"\n {closing}")
    other = path.with_suffix(".part")
    other.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    other.replace(path)


def rounded(value: Any) -> Any:
    """Return numbers with four significant digits, wherever they stand; more would only make the file larger."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the accuracies as the Markdown table of README.md: mean of the seeds, an encoder a line."""
    gaps = sorted({run["gap"] for run in runs})
    lines = [f"| encoder | {' | '.join(map(str, gaps))} |", f"| --- |{' ---: |' * len(gaps)}"]
    for label in dict.fromkeys(run["encoder"] for run in runs):
        cells = []
        for gap in gaps:
            values = [run["accuracy"] for run in runs if (run["encoder"], run["gap"]) == (label, gap)]
            cells.append(f"{mean(values):.2f}" if values and None not in values else "–")
        lines.append(f"| `{label}` | {' | '.join(cells)} |")
    return "\n".join(lines)
