"""How a run tells what it is doing: a bar on a terminal, plain lines in a pipe, log records in Python."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rnntext.metrics import split_by_type

SECONDS_BETWEEN_LINES = 60.0
LOGGER = logging.getLogger("rnntext")


class Reporter(Protocol):
    """Hears of a run as it goes. Used as a context manager, so that a bar is always taken down."""

    def __enter__(self) -> Reporter:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, whatever happened."""

    def note(self, text: str) -> None:
        """Tell something worth a line."""

    def start_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Begin an epoch of so many steps."""

    def step(self, loss: float, tokens: int) -> None:
        """Count one step: its loss, and the real tokens in its batch."""

    def end_epoch(self, record: Mapping[str, Any], is_best: bool) -> None:
        """End an epoch with its line of history."""


def epoch_line(record: Mapping[str, Any], epochs: int, is_best: bool) -> str:
    """Return one line that sums an epoch up."""
    together, _ = split_by_type(record["validation"])
    scores = "  ".join(f"{name} {value:.4f}" for name, value in together.items())
    star = "  *" if is_best else ""
    train_loss = next(name for name in record if name.endswith("train_loss"))  # it may be marked, as all scores are
    return (
        f"epoch {record['epoch']}/{epochs}  {train_loss.replace('_', ' ')} {record[train_loss]:.4f}  "
        f"validation {scores}  "
        f"{record['tokens_per_second']:,.0f} tokens/s  {record['seconds']:.1f} s{star}"
    )


class LineReporter:
    """One line an epoch, and one a minute within long epochs: for pipes, files and logs.

    Args:
        write: takes each line.
    """

    def __init__(self, write: Any = LOGGER.info) -> None:
        self._write = write
        self._epoch = self._epochs = self._steps = self._done = self._tokens = 0
        self._started = self._told = 0.0

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        """Write the text."""
        self._write(text)

    def start_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Remember the epoch; its line comes at its end."""
        self._epoch, self._epochs, self._steps = epoch, epochs, steps
        self._done = self._tokens = 0
        self._started = self._told = time.monotonic()

    def step(self, loss: float, tokens: int) -> None:
        """Write a line if the last is a minute old."""
        self._done += 1
        self._tokens += tokens
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            elapsed = now - self._started
            left = elapsed / self._done * (self._steps - self._done)
            rate = self._tokens / elapsed
            self._write(
                f"epoch {self._epoch}/{self._epochs}  step {self._done}/{self._steps}  loss {loss:.4f}  "
                f"{rate:,.0f} tokens/s  {left:.0f} s left in the epoch"
            )

    def end_epoch(self, record: Mapping[str, Any], is_best: bool) -> None:
        """Write the epoch's line."""
        self._write(epoch_line(record, self._epochs, is_best))


class BarReporter:
    """A progress bar with loss, tokens/s and the time left in the whole training; a line stays for each epoch.

    Args:
        console: where to draw; standard error, so that results alone go to standard output.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: Any = None
        self._epochs = self._tokens = 0
        self._started = self._drawn = 0.0

    def __enter__(self) -> BarReporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print the text above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def start_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Show a fresh bar for the first epoch, and count on in it for the others."""
        self._epochs = epochs
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=steps * epochs, state="")
            self._bar.start()
        self._bar.update(self._task, description=f"epoch {epoch}/{epochs}")
        self._tokens = 0
        self._started = time.monotonic()

    def step(self, loss: float, tokens: int) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._tokens += tokens
        now = time.monotonic()
        self._bar.advance(self._task)
        if now - self._drawn >= 0.1:
            self._drawn = now
            rate = self._tokens / max(1e-9, now - self._started)
            self._bar.update(self._task, state=f"loss {loss:.3f}  {rate:,.0f} tokens/s")

    def end_epoch(self, record: Mapping[str, Any], is_best: bool) -> None:
        """Leave the epoch's line above the bar."""
        self.note(epoch_line(record, self._epochs, is_best))
