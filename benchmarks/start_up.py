"""How long commands that need no network take, beside ``import torch``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.pairs import Ratio, compare

COMMANDS = (["--help"], ["--version"], ["list"])


def benchmarks(pairs: int = 5) -> Iterator[Ratio]:
    """Yield the ratio of each command's time to that of importing torch."""
    for command in COMMANDS:
        text = f"rnntext {' '.join(command)}"
        yield compare(
            f"{text}, against import torch",
            (text, lambda given=command: seconds(["-m", "rnntext", *given])),
            ("import torch", lambda: seconds(["-c", "import torch"])),
            "s",
            pairs,
            compares="the command and `python -c 'import torch'`, each in a fresh Python, from start to end.",
        )


def seconds(arguments: list[str]) -> float:
    """Return how long a fresh Python takes for these arguments."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
