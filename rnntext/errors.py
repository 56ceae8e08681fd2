"""The errors that a user can cause, and the suggestion of the nearest valid name.

Every message says what is wrong and what to do next. The command line prints it without a traceback and
ends with ``exit_status``: 2 for a usage or recipe error, 1 when the work failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class RnntextError(Exception):
    """Base of all errors that rnntext raises on purpose."""

    exit_status = 1


class UsageError(RnntextError):
    """A command or a call was given something that it cannot take."""

    exit_status = 2


class UnknownNameError(UsageError, LookupError):
    """No part of that kind has that name."""


class PartError(UsageError):
    """A part breaks the rules of its contract, or cannot be imported."""


class ShapeError(RnntextError, ValueError):
    """A tensor does not have the shape that a part needs."""


class DataError(RnntextError):
    """The data cannot be used as they are.

    Args:
        message: what is wrong and what to do.
        file: the file at fault, if there is one.
        line: its line, counted from 1; 0 where none applies.
    """

    def __init__(self, message: str, file: str | None = None, line: int = 0) -> None:
        self.message = message
        self.file = file
        self.line = line
        super().__init__(self._text())

    def _text(self) -> str:
        if self.file is None:
            return self.message
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"

    def located(self, file: str | None) -> DataError:
        """Return this error with the file filled in, where the raiser knew only the line."""
        return self if self.file or file is None else DataError(self.message, file, self.line)


class TrainingError(RnntextError):
    """Training cannot go on."""


class RunFolderError(RnntextError):
    """A run folder cannot be written, or is not whole."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a recipe, and where it stands."""

    message: str
    table: str = ""
    key: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        table = f"[{self.table}] " if self.table else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{table}{key}{self.message}"


class RecipeError(UsageError):
    """A recipe is not valid. ``problems`` holds every fault that was found, in reading order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join([*map(str, problems), f"{counted(len(problems), 'problem')}. Nothing was run."]))


def suggest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or "" if none is near."""
    choices = {known_name.lower(): known_name for known_name in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{choices[close[0]]}'?" if close else ""


def counted(count: int, what: str) -> str:
    """Return a number with its noun: ``1 blank``, ``2 blanks``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
