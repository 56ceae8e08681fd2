"""CSV and TSV: a header line, then a row a line (more, where a quoted cell holds line breaks)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rnntext.contracts import Example, FilePath, Split
from rnntext.datasets.rows import (
    Columns,
    check_columns,
    column_faults,
    given_splits,
    lines_with_ends,
    repeated,
    short_name,
    skip_blank,
    source_of,
    text_lines,
    to_example,
)
from rnntext.errors import DataError

LONGEST_CELL = 1 << 26  # characters; bounds the memory that an unclosed quotation mark can take
DELIMITERS = {",": ",", ";": ";", "tab": "\t", "|": "|"}
NAMES = {delimiter: name for name, delimiter in DELIMITERS.items()}
BARE_RETURN = "a line ends with a carriage return alone; save the file with line ends LF or CR LF"
NO_QUOTES = " In a tab-delimited file quotation marks are ordinary characters."


class CsvDataset:
    """Labelled texts from CSV or TSV files with a header line (UTF-8; ``.gz`` is unpacked while reading).

    Choose it for spreadsheets and exports. Cells are strings: ``NA``, ``null`` and ``01`` stay what they
    are. Cells with the delimiter, a quotation mark or a line break stand in quotation marks, a mark inside
    them is doubled. Not so in tab-delimited files, which by custom know no quoting: there a quotation mark
    is an ordinary character, and no cell holds a tab or a line break. A file is read row by row, never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        text_field: the column of the text.
        label_field: the column of the label.
        multi_label: whether a text has any number of labels, in one cell; an empty cell means none.
        group_fields: further columns to report scores by.
        delimiter: what separates cells; auto takes tab for .tsv, else what splits the header into the columns.
        label_separator: with multi_label, what separates labels in a cell; blanks around a label are dropped.

    Attributes:
        notes: what ``read`` passed over without an error, such as
            ``{"blank lines skipped in reviews.csv": 2}``, complete once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        text_field: str = "text",
        label_field: str = "label",
        multi_label: bool = False,
        group_fields: Sequence[str] = (),
        delimiter: Literal["auto", ",", ";", "tab", "|"] = "auto",
        label_separator: Annotated[str, Field(min_length=1)] = ";",
    ) -> None:
        self._paths = given_splits(train, validation, test)
        self._columns = Columns(text_field, label_field, tuple(group_fields), multi_label)
        self._delimiter = delimiter
        self._label_separator = label_separator
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for columns and separators that cannot go together."""
        yield from column_faults(options)
        separator = options.get("label_separator", ";")
        if separator != ";" and not options.get("multi_label"):
            yield "label_separator", "needs multi_label = true; without it a cell holds one label"
        if options.get("delimiter") == "tab" and "\t" in separator:
            yield "label_separator", "a tab ends the cell in a tab-delimited file; choose another separator"

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that have a file."""
        return tuple(self._paths)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split."""
        return (source_of(self._paths, split),)

    def read(self, split: Split) -> Iterator[Example]:
        """Return an iterator over the split's examples, in file order; ``line`` is a row's first line.

        Raises:
            UsageError: the options name no such split.
            DataError: while iterating: the file or a row of it cannot be used.
        """
        return self._examples(source_of(self._paths, split))

    def _examples(self, path: str) -> Iterator[Example]:
        name = short_name(path, self._paths.values())
        in_quotes = f"texts in quotation marks in {name} (marks kept: it is tab-delimited)"
        self.notes.pop(in_quotes, None)
        delimiter = self._delimiter_of(path)
        rows = skip_blank(_cells(path, delimiter), _is_blank, self.notes, f"blank lines skipped in {name}")
        line, header = next(rows, (0, []))
        if not header:
            raise DataError("no rows: the file is empty; a header line with the column names is needed", path)
        _check_header(header, self._columns, delimiter, path, line)
        line = 0
        for line, cells in rows:
            if len(cells) != len(header):
                raise DataError(_ragged(len(cells), len(header), delimiter), path, line)
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            if self._columns.multi_label:
                row[self._columns.label] = self._labels(row[self._columns.label])
            example = to_example(row, self._columns, path, line)
            if delimiter == "\t" and len(example.text) > 1 and example.text[0] == '"' == example.text[-1]:
                self.notes[in_quotes] = self.notes.get(in_quotes, 0) + 1
            yield example
        if not line:
            raise DataError("no rows: there is a header and nothing below it; add rows", path)

    def _labels(self, cell: str) -> list[str]:
        return [label.strip() for label in cell.split(self._label_separator)] if cell.strip() else []

    def _delimiter_of(self, path: str) -> str:
        if self._delimiter != "auto":
            return DELIMITERS[self._delimiter]
        if path.lower().removesuffix(".gz").endswith(".tsv"):
            return "\t"
        number, header = next(((number, line) for number, line in text_lines(path) if line.strip()), (0, ""))
        first_line = header.split("\r", 1)[0][:100_000]  # what stops the csv module here is said when it reads on
        cut = {delimiter: _header_cells(first_line, delimiter) for delimiter in NAMES}
        for delimiter, cells in cut.items():
            if self._columns.text in cells and self._columns.label in cells:
                return delimiter
        best = max(cut, key=lambda delimiter: len(cut[delimiter]))
        if len(cut[best]) < 2 and number:
            wanted = f"{self._columns.text!r} and {self._columns.label!r}"
            shown = repr(header if len(header) <= 200 else header[:200] + "...")
            message = (
                f"cannot tell the delimiter: none of , ; tab | cuts the header into the columns {wanted}. "
                f"The header: {shown}. The first line must name the columns; set dataset.text_field, "
                "dataset.label_field or dataset.delimiter"
            )
            raise DataError(message, path, number)
        return best  # the likely one: what is missing is said with the names of its columns


def _is_blank(cells: list[str]) -> bool:
    return len(cells) < 2 and not "".join(cells).strip()


def _header_cells(header: str, delimiter: str) -> list[str]:
    return header.split("\t") if delimiter == "\t" else next(csv.reader([header + "\n"], delimiter=delimiter))


def _cells(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    if delimiter == "\t":
        for number, line in text_lines(path):
            yield number, line.split("\t")
        return
    reader = csv.reader((line for _, line in lines_with_ends(path)), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        # The limit is one for the whole process: raised for one row at a time, so that nobody else meets it.
        usual = csv.field_size_limit(LONGEST_CELL)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(_malformed(str(error)), path, first) from None
        finally:
            csv.field_size_limit(usual)
        yield first, cells


def _malformed(reason: str) -> str:
    if "new-line character" in reason:
        return BARE_RETURN
    return (
        f"not valid CSV: {reason}. In the row that starts here, end each quoted cell with a quotation mark, and "
        "double the marks inside it"
    )


def _check_header(header: list[str], columns: Columns, delimiter: str, path: str, line: int) -> None:
    if doubled := repeated(filter(None, header)):  # nameless columns are common, and nobody can ask for one
        raise DataError(f"the header has the column {doubled[0]!r} twice; rename one", path, line)
    if delimiter == "\t" and any("\r" in name for name in header):
        raise DataError(BARE_RETURN, path, line)
    quoted = delimiter == "\t" and any(name.startswith('"') for name in header)
    try:
        check_columns(header, columns, f" (Cut at: {NAMES[delimiter]}.){NO_QUOTES if quoted else ''}")
    except DataError as error:
        raise DataError(error.message, path, line) from None


def _ragged(cells: int, columns: int, delimiter: str) -> str:
    found = f"{cells} cell{'s' if cells != 1 else ''} in a row, but {columns} columns in the header"
    if delimiter == "\t":
        return f"{found}; take tabs and line breaks out of the texts.{NO_QUOTES}"
    return f"{found}; put a text that holds {NAMES[delimiter]!r} or a line break in quotation marks"
