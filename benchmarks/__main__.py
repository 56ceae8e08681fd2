"""Run the benchmarks, print a table, write ``benchmarks/results.json``."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

NAMES = ("start_up", "training")
RESULTS = Path(__file__).parent / "results.json"


def main(names: list[str]) -> None:
    """Run the named benchmarks, all if none is named."""
    torch.set_num_threads(1)
    figures = []
    for name in names or NAMES:
        for ratio in importlib.import_module(f"benchmarks.{name}").benchmarks():
            figures.append(ratio.to_dict())
            print(
                f"{ratio.name}: {ratio.of} {ratio.of_median:,.3g} {ratio.unit}, {ratio.to} {ratio.to_median:,.3g} "
                f"{ratio.unit}: ratio {ratio.ratio:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f}, "
                f"{ratio.pairs} pairs)",
                flush=True,
            )
    machine = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread"
    versions = {package: version(package) for package in ("torch", "numpy")}
    RESULTS.write_text(json.dumps({"machine": machine, "versions": versions, "ratios": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
