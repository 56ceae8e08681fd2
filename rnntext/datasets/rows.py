"""What the datasets share: text read with clear errors, and a row turned into an Example."""

from __future__ import annotations

import codecs
import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from rnntext.contracts import Example, Split
from rnntext.errors import DataError, UsageError, suggest

Row = TypeVar("Row")

UTF16 = "this looks like UTF-16; save the file as UTF-8"
OTHER_FORMATS = {
    codecs.BOM_UTF16_LE: UTF16,
    codecs.BOM_UTF16_BE: UTF16,
    b"\x1f\x8b": "this is packed with gzip; give its name the suffix .gz",
    b"PK\x03\x04": "this is a zip archive or a spreadsheet, not text; save it as CSV in UTF-8, or unpack it",
    b"PAR1\x15": 'this is a Parquet file; read it with dataset.type = "huggingface"',
}
"""How files begin that are no UTF-8 text, although some of them decode as such for a while."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a row hold what."""

    text: str
    label: str
    groups: tuple[str, ...] = ()
    multi_label: bool = False


def text_lines(path: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line number, line without its end), one line in memory at a time; ``.gz`` is unpacked.

    A line ends at ``\n`` or ``\r\n`` and nowhere else: U+2028, U+0085, ``\x0b`` or a lone ``\r`` inside a
    text never split it. A UTF-8 byte order mark is left out.

    Raises:
        DataError: the file cannot be read, is damaged, or is not UTF-8.
    """
    for number, line in lines_with_ends(path):
        yield number, line.removesuffix("\n").removesuffix("\r")


def lines_with_ends(path: str) -> Iterator[tuple[int, str]]:
    r"""Yield what ``text_lines`` does, each line with its ``\n`` or ``\r\n``."""
    number = offset = 0
    try:
        with _open_bytes(path) as file:
            for number, raw in enumerate(file, start=1):  # bytes: split at \n only
                yield number, _decoded(raw, path, number, offset)
                offset += len(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"this gzip file is cut short or damaged ({error}); copy or pack it again"
        raise DataError(message, path, number + 1) from error
    except OSError as error:
        if os.path.isdir(path):
            raise DataError("this is a folder; name one file", path) from error
        if isinstance(error, FileNotFoundError):
            raise DataError("there is no such file; correct the path in [dataset]", path) from error
        reason = f"cannot be read ({error.strerror or error}); check its permissions and the disk"
        raise DataError(reason, path) from error


def _open_bytes(path: str) -> IO[bytes] | gzip.GzipFile:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    return open(path, "rb")


def _decoded(raw: bytes, path: str, number: int, offset: int) -> str:
    if number == 1:
        for start, message in OTHER_FORMATS.items():
            if raw.startswith(start):
                raise DataError(message, path, 1)
        if raw.startswith(codecs.BOM_UTF8):
            offset += len(codecs.BOM_UTF8)
            raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        unpacked = "unpacked " if path.lower().endswith(".gz") else ""
        message = (
            f"not UTF-8: {raw[error.start]:#04x} at byte offset {offset + error.start} of the {unpacked}file; "
            "save the file as UTF-8 (or convert it: iconv -f ENCODING -t UTF-8, ENCODING being what it has now)"
        )
        raise DataError(message, path, number) from None


def skip_blank(
    rows: Iterable[tuple[int, Row]], is_blank: Callable[[Row], bool], notes: dict[str, int], note: str
) -> Iterator[tuple[int, Row]]:
    """Yield the rows that are not blank; count under ``notes[note]`` the blank ones that others follow."""
    notes.pop(note, None)  # a second reading counts afresh
    blank = 0
    for number, row in rows:
        if is_blank(row):
            blank += 1
            continue
        if blank:
            notes[note] = notes.get(note, 0) + blank
            blank = 0
        yield number, row


def short_name(path: str, others: Iterable[str]) -> str:
    """Return a file's name for a note; its whole path where another file has the same name."""
    name = os.path.basename(path)
    return path if any(other != path and os.path.basename(other) == name for other in others) else name


def given_splits(train: str, validation: str | None, test: str | None) -> dict[Split, str]:
    """Return the splits that have a source, ``train`` first."""
    sources: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
    return {split: source for split, source in sources.items() if source is not None}


def source_of(sources: Mapping[Split, str], split: Split) -> str:
    """Return a split's source.

    Raises:
        UsageError: the options do not name that split.
    """
    if split not in sources:
        raise UsageError(f"this dataset has no {split} split, only {', '.join(sources)}; set dataset.{split}")
    return sources[split]


def column_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) for column names that cannot go together, as ``check_options`` does."""
    text, label = options.get("text_field"), options.get("label_field")
    groups = list(options.get("group_fields") or ())
    if text is not None and text == label:
        yield "label_field", f"{label!r} is also text_field; a text cannot be its own label"
    if text in groups:
        yield "group_fields", f"{text!r} is the text itself; name columns that several rows share"
    if doubled := repeated(groups):
        yield "group_fields", f"{doubled[0]!r} is there twice; name each column once"


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once, each once, in order."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    return [name for name, count in seen.items() if count > 1]


def check_columns(known: Iterable[str], columns: Columns, hint: str = "") -> None:
    """Refuse a header without the columns that are asked for.

    Raises:
        DataError: one is missing; names those that are there. Without file and line.
    """
    known = list(known)
    wanted = {columns.text: "text_field", columns.label: "label_field"}
    for name in [*wanted, *columns.groups]:
        if name not in known:
            option = wanted.get(name, "group_fields")
            shown = ", ".join(column if len(column) <= 60 else column[:60] + "..." for column in known[:30])
            more = f" and {len(known) - 30} more" if len(known) > 30 else ""
            there = f"its columns: {shown}{more}" if known else "it has no columns"
            raise DataError(f"no column {name!r}; {there}.{suggest(name, known)} Set dataset.{option}.{hint}")


def to_example(row: Mapping[str, Any], columns: Columns, file: str, line: int) -> Example:
    """Return a row as an Example.

    Raises:
        DataError: a column is missing, the text is no string, or the label is missing or unusable.
    """
    try:
        if columns.text not in row or columns.label not in row or any(name not in row for name in columns.groups):
            check_columns(row, columns)
        text = row[columns.text]
        if not isinstance(text, str):
            fault = "is null" if text is None else f"is {_shown(text)}, not a string"
            raise DataError(f'the text in {columns.text!r} {fault}; write a string ("" for an empty text)')
        label = _label(row[columns.label], columns)
        return Example(
            text, label=label, fields={name: _group(row[name], name) for name in columns.groups}, line=line
        )
    except DataError as error:
        raise DataError(error.message, file, line) from None


def _label(value: Any, columns: Columns) -> str | tuple[str, ...]:
    where = f"the label in {columns.label!r}"
    if not isinstance(value, list):
        name = _label_name(value, where, columns.multi_label)
        return (name,) if columns.multi_label else name
    if not columns.multi_label:
        raise DataError(f"{where} is a list, {_shown(value)}; set dataset.multi_label = true, or write one label")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise DataError(f"{where} is a list that holds {_shown(item)}; write strings or integers in it")
        if isinstance(item, str) and not item.strip():
            raise DataError(f"{where} has an empty label among others; take it out")
    names = tuple(_label_name(item, where, True) for item in value)
    if doubled := repeated(names):
        raise DataError(f"{where} has {doubled[0]!r} more than once; write each label once")
    return names


def _label_name(value: Any, where: str, multi_label: bool) -> str:
    nothing = "null" if value is None else "NaN" if value != value else "empty" if value == "" else ""
    if nothing or (isinstance(value, str) and not value.strip()):
        advice = ", or an empty list where no label applies" if multi_label else ""
        raise DataError(f"{where} is {nothing or 'blank'}; give the row a label{advice}, or take the row out")
    name = _word(value)
    if name is None:
        raise DataError(f"{where} is {_shown(value)}; write a string")
    return name


def _group(value: Any, name: str) -> str:
    word = "" if value is None else _word(value)
    if word is None:
        raise DataError(f"the group field {name!r} is {_shown(value)}; write a string")
    return word


def _word(value: Any) -> str | None:
    """Return a string, or a number or truth value as JSON writes it; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
