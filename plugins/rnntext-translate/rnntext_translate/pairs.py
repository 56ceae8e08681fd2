"""Dataset ``pairs``: a sentence and its translation a line, in two columns parted by a tab."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rnntext.contracts import Example, FilePath, Split
from rnntext.errors import DataError, UsageError

TRANSLATION = "translation"
"""What these data give and the head of this package needs."""
BLANK_LINES = "blank lines skipped"


class PairsDataset:
    """Sentences with their translations from tab-separated files (UTF-8, no header), such as those of Tatoeba.

    A sentence may stand in several lines, with a translation each. Splits that are drawn keep such lines together:
    what is tested was never read in training. A file is read line by line, never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        source_column: the column of the sentence that is read, 0 being the first; -1 is the last.
        target_column: the column of its translation.

    Attributes:
        notes: what ``read`` passed over without an error, complete once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        source_column: Annotated[int, Field(ge=-1)] = 0,
        target_column: Annotated[int, Field(ge=-1)] = 1,
    ) -> None:
        paths: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
        self._paths = {split: path for split, path in paths.items() if path is not None}
        self._columns = (source_column, target_column)
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for columns that cannot go together."""
        if options.get("source_column") == options.get("target_column"):
            yield "target_column", "is also source_column; a sentence cannot be its own translation"

    @classmethod
    def gives(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return that each text has a translation."""
        return frozenset({TRANSLATION})

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that have a file."""
        return tuple(self._paths)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split.

        Raises:
            UsageError: the options do not name that split.
        """
        if split not in self._paths:
            raise UsageError(f"this dataset has no {split} split, only {', '.join(self._paths)}; set dataset.{split}")
        return (self._paths[split],)

    def read(self, split: Split) -> Iterator[Example]:
        """Yield the pairs in file order: ``text`` the sentence, ``label`` its translation, ``origin`` the sentence.

        Raises:
            DataError: the file cannot be read, is not UTF-8, or a line lacks a sentence or its translation.
        """
        (path,) = self.files(split)
        self.notes.pop(BLANK_LINES, None)
        blank = number = 0
        try:
            with open(path, "rb") as file:
                for number, raw in enumerate(file, start=1):  # bytes: split at \n only
                    line = _decoded(raw, path, number)
                    if not line.strip():
                        blank += 1
                        continue
                    source, target = self._cells(line, path, number)
                    yield Example(text=source, label=target, origin=source, line=number)
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error}); correct the path in [dataset] or its permissions"
            raise DataError(reason, path) from error
        if blank:
            self.notes[BLANK_LINES] = blank

    def _cells(self, line: str, path: str, number: int) -> tuple[str, str]:
        """Return the sentence and its translation, without blanks around them."""
        cells = line.split("\t")
        found = []
        for column, what in zip(self._columns, ("source", "target"), strict=True):
            if column >= len(cells):
                there = f"{len(cells)} column{'s' if len(cells) > 1 else ''}"
                raise DataError(
                    f"no column {column} for dataset.{what}_column; the line has {there}, the first is 0. Part "
                    "sentence and translation by a tab, or name other columns",
                    path,
                    number,
                )
            if not (cell := cells[column].strip()):
                name = "sentence" if what == "source" else "translation"
                raise DataError(
                    f"the {name} in column {column} is empty; write one, or take the line out", path, number
                )
            found.append(cell)
        return found[0], found[1]


def _decoded(raw: bytes, path: str, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8: {raw[error.start]:#04x} at byte {error.start + 1} of the line; save the file as UTF-8 (or "
            "convert it: iconv -f ENCODING -t UTF-8, ENCODING being what it has now)",
            path,
            number,
        ) from None
