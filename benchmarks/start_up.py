"""How long commands that need no network take, beside ``import torch``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.pairs import Ratio, compare

COMMANDS = (["--help"], ["--version"], ["list"])


def benchmarks() -> Iterator[Ratio]:
    """Yield the ratio of each command's time to that of importing torch."""
    for command in COMMANDS:
        yield compare(
            f"rnntext {' '.join(command)}",
            (" ".join(command), lambda given=command: seconds(["-m", "rnntext", *given])),
            ("import torch", lambda: seconds(["-c", "import torch"])),
            "s",
        )


def seconds(arguments: list[str]) -> float:
    """Return how long a fresh Python takes for these arguments."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
