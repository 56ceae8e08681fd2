"""JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.datasets.json_objects import json_object, refuse_half_characters
from rnntext.datasets.rows import (
    Columns,
    column_faults,
    given_splits,
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
            try:
                row = json_object(line, OBJECT)
                if self._spans_field is None:
                    example = to_example(row, self._columns, path, number)
                else:
                    example = self._with_spans(row, self._spans_field, path, number)
                if "\\ud" in line or "\\uD" in line:
                    refuse_half_characters(_strings(example))
            except DataError as error:
                raise DataError(error.message, path, number) from None
            yield example
        if not number:
            raise DataError(f"no rows: the file is empty; {OBJECT}", path)

    def _with_spans(self, row: dict[str, Any], field: str, path: str, number: int) -> Example:
        if field not in row:
            message = f"no key {field!r}; its keys: {', '.join(row)}.{suggest(field, row)} Set dataset.spans_field"
            raise DataError(f"{message}, or write [] where a text has no spans")
        # All else is read as in any row, the name of the spans' key standing in for its label.
        example = to_example({**row, field: field}, self._columns, path, number)
        return replace(example, label=None, spans=spans_of(row[field], example.text))


def _is_blank(line: str) -> bool:
    return not line.strip()


def _strings(example: Example) -> Iterator[str]:
    yield example.text
    yield from (example.label,) if isinstance(example.label, str) else example.label or ()
    yield from (label for _, _, label in example.spans or ())
    yield from example.fields.values()
