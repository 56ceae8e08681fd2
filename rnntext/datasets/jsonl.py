"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, NoReturn

from pydantic import Field

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.datasets.rows import (
    Columns,
    column_faults,
    given_splits,
    repeated,
    short_name,
    skip_blank,
    source_of,
    text_lines,
    to_example,
)
from rnntext.datasets.spans import spans_of
from rnntext.errors import DataError, suggest

OBJECT = 'one object a line is needed, such as {"text": "...", "label": "..."}'


class JsonLinesDataset:
    """Labelled texts from JSON lines (UTF-8, one object a line; ``.gz`` is unpacked while reading).

    Choose it for your own data: nothing about a text has to be guessed, line breaks, quotes and emoji
    included. Labels may be strings, numbers (``1`` is read as ``"1"``) or true and false; ``"NA"`` and
    ``"null"`` are labels like any other, null is not one. Spans may stand in the place of labels, such as
    ``{"text": "Ada left.", "spans": [{"start": 0, "end": 3, "label": "PER"}]}``. A file is read line by line,
    never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        text_field: the key of the text.
        label_field: the key of the label.
        multi_label: whether a text has any number of labels, written as a list.
        group_fields: further keys to report scores by; null is read as an empty string.
        spans_field: the key of the spans, and then label_field is not read: a list of objects with label, start and
            end, in characters from 0, end being the place after the last; [] where there are none.

    Attributes:
        notes: what ``read`` passed over without an error, such as
            ``{"blank lines skipped in reviews.jsonl": 2}``, complete once a split has been read.
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
        spans_field: Annotated[str, Field(min_length=1)] | None = None,
    ) -> None:
        self._paths = given_splits(train, validation, test)
        self._columns = Columns(text_field, spans_field or label_field, tuple(group_fields), multi_label)
        self._spans_field = spans_field
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for column names that cannot go together."""
        spans = options.get("spans_field")
        if spans is None:
            yield from column_faults(options)
            return
        yield from column_faults({**options, "label_field": None})
        if options.get("multi_label"):
            yield "spans_field", "multi_label = true asks for labels of whole texts, not of spans; set one of them"
        if spans == options.get("text_field"):
            yield "spans_field", f"{spans!r} is also text_field; a text cannot be its own spans"
        if spans in (options.get("group_fields") or ()):
            yield "group_fields", f"{spans!r} holds the spans; name keys that several rows share"

    @classmethod
    def gives(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return what rows are labelled with: spans, which become tags, or labels of whole texts."""
        return frozenset({"labels"} if options.get("spans_field") is None else {"tags", "spans"})

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that have a file."""
        return tuple(self._paths)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split."""
        return (source_of(self._paths, split),)

    def read(self, split: Split) -> Iterator[Example]:
        """Return an iterator over the split's examples, in file order.

        Raises:
            UsageError: the options name no such split.
            DataError: while iterating: the file or a line of it cannot be used.
        """
        return self._examples(source_of(self._paths, split))

    def _examples(self, path: str) -> Iterator[Example]:
        note = f"blank lines skipped in {short_name(path, self._paths.values())}"
        number = 0
        for number, line in skip_blank(text_lines(path), _is_blank, self.notes, note):
            row = _parsed(line, path, number)
            if self._spans_field is None:
                example = to_example(row, self._columns, path, number)
            else:
                example = self._with_spans(row, self._spans_field, path, number)
            if "\\ud" in line or "\\uD" in line:
                _refuse_half_characters(example, path)
            yield example
        if not number:
            raise DataError(f"no rows: the file is empty; {OBJECT}", path)

    def _with_spans(self, row: dict[str, Any], field: str, path: str, number: int) -> Example:
        if field not in row:
            message = f"no key {field!r}; its keys: {', '.join(row)}.{suggest(field, row)} Set dataset.spans_field"
            raise DataError(f"{message}, or write [] where a text has no spans", path, number)
        # All else is read as in any row, the name of the spans' key standing in for its label.
        example = to_example({**row, field: field}, self._columns, path, number)
        try:
            return replace(example, label=None, spans=spans_of(row[field], example.text))
        except DataError as error:
            raise DataError(error.message, path, number) from None


def _is_blank(line: str) -> bool:
    return not line.strip()


def _parsed(line: str, path: str, number: int) -> dict[str, Any]:
    if line.lstrip().startswith("["):  # before parsing: a file that is one array may be one very long line
        message = f"this is a JSON array; {OBJECT}. A file that is one array is converted by: jq -c '.[]'"
        raise DataError(message, path, number)
    try:
        value = _decoder.decode(line)
    except json.JSONDecodeError as error:
        message = f"not valid JSON at column {error.pos + 1}: {error.msg}; {OBJECT}"
        raise DataError(message, path, number) from None
    except DataError as error:  # from the hooks below
        raise DataError(error.message, path, number) from None
    except RecursionError:
        raise DataError("this JSON is nested too deeply; keep texts and labels at the top", path, number) from None
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"a number cannot be read: {error}; write it as a string", path, number) from None
    if not isinstance(value, dict):
        raise DataError(f"this is JSON, but not an object; {OBJECT}", path, number)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        doubled = repeated(key for key, _ in pairs)[0]
        raise DataError(f"the key {doubled!r} is there twice in one object; keep one")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise DataError(f"{name} is not JSON; write null or a string")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _refuse_half_characters(example: Example, path: str) -> None:
    labels = (example.label,) if isinstance(example.label, str) else example.label or ()
    spans = [label for _, _, label in example.spans or ()]
    for part in (example.text, *labels, *spans, *example.fields.values()):
        try:
            part.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(part[error.start]):04x}"
            message = f"{half} is one half of a character without its other half; write the whole character"
            raise DataError(message, path, example.line) from None
