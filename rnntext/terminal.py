"""Where commands print their tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_A_PIPE = 120
"""Columns of what goes into a file or another command: that has no width, and tables must not fold there."""


def console(*, stderr: bool = False) -> Console:
    """Return a console of rich's on standard output, or standard error; ``COLUMNS`` and ``NO_COLOR`` are obeyed."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = WIDTH_OF_A_PIPE
    return found
