"""CoNLL column files: a token a line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.datasets.rows import given_splits, short_name, source_of
from rnntext.datasets.tagged import LIKE_SPANS, REPAIRED, TagCheck, annotations_of, blocks, keep_notes, repair_faults
from rnntext.errors import DataError
from rnntext.schemes import Scheme

DOCUMENT = "-DOCSTART-"
DOCUMENTS = f"documents ({DOCUMENT} lines left out)"
COMMENTS = "comment lines skipped"
EXPECTED = "a token and its tag a line are needed, and a blank line after each sentence"
MAY_BE_COMMENT = ". If lines that start with # are comments here, set dataset.comment_prefix"
# Blanks and tabs alone: a no-break space or an ideographic one belongs to its token.
_cells_between_blanks = re.compile(r"[^ \t]+").findall

Line = tuple[int, list[str]]
"""(line number, cells) of a token."""


class ConllDataset:
    """Sentences with a tag a token, from column files as those of CoNLL-2003 (UTF-8; ``.gz`` is unpacked).

    Choose it for named entities, chunks or parts of speech in columns, one token a line. A line of only white
    space ends a sentence, and so does one with the cell ``-DOCSTART-``, which is left out. The files know no
    quotes: a quotation mark is a token like any other. All lines have the same number of columns. A file is
    read sentence by sentence, never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        token_column: the column of the token, counted from 0; a negative number counts from the end, -1 being last.
        label_column: the column of the tag, counted likewise.
        separator: whitespace takes any run of blanks and tabs; tab takes exactly one tab, and tokens may hold blanks.
        comment_prefix: how a comment starts; only lines before a sentence's first token are comments, and by default
            none, since tokens may start with #. No first token of a sentence may start so.
        scheme: how the tags write spans; none for tags that are no spans, such as parts of speech.
        repair: whether sentences whose tags break the scheme are read as conlleval would, and counted.

    Attributes:
        notes: what ``read`` passed over or mended, such as ``{"sentences with broken tags repaired in a.conll": 2}``,
            complete once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        token_column: int = 0,
        label_column: int = -1,
        separator: Literal["whitespace", "tab"] = "whitespace",
        comment_prefix: Annotated[str, Field(min_length=1)] | None = None,
        scheme: Scheme = "bio",
        repair: bool = False,
    ) -> None:
        self._paths = given_splits(train, validation, test)
        self._columns = {"token_column": token_column, "label_column": label_column}
        self._tabs = separator == "tab"
        self._comment_prefix = comment_prefix
        self._scheme: Scheme = scheme
        self._repair = repair
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for columns that are one, and for a repair that has nothing to do."""
        if options.get("token_column") == options.get("label_column"):
            yield "label_column", "is also token_column; a token cannot be its own tag"
        yield from repair_faults(options)

    @classmethod
    def gives(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that sentences have tags, and whether these are parts of spans."""
        return annotations_of(options)

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that have a file."""
        return tuple(self._paths)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split."""
        return (source_of(self._paths, split),)

    def read(self, split: Split) -> Iterator[Example]:
        """Return an iterator over the split's sentences, in file order; ``line`` is that of the first token.

        Raises:
            UsageError: the options name no such split.
            DataError: while iterating: the file or a line of it cannot be used.
        """
        return self._examples(source_of(self._paths, split))

    def _examples(self, path: str) -> Iterator[Example]:
        name = short_name(path, self._paths.values())
        checked = TagCheck(path, self._scheme, self._repair)
        counts: Counter[str] = Counter()
        keep_notes(self.notes, name, counts)  # a second reading counts afresh
        first: Line | None = None
        for sentence in self._sentences(path, counts):
            if first is None:
                first = sentence[0]
                token_column, label_column = self._places(*first, path)
            for number, cells in sentence:
                if len(cells) != len(first[1]):
                    raise DataError(self._ragged(cells, *first), path, number)
            tokens = tuple(cells[token_column] for _, cells in sentence)
            tags = [cells[label_column] for _, cells in sentence]
            lines = [number for number, _ in sentence]
            if self._tabs:
                tags = [tag.strip(" ") for tag in tags]
                _refuse_empty("token", tokens, lines, path)
                _refuse_empty("tag", tags, lines, path)
            try:
                label = checked(tags, lines)
            except DataError as error:
                hint = self._comment_hint(tokens[lines.index(error.line)])
                raise DataError(error.message + hint, path, error.line) from None
            yield Example(" ".join(tokens), tokens=tokens, label=label, scheme=self._scheme, line=lines[0])
        if first is None:
            raise DataError(f"no sentences: the file holds no token; {EXPECTED}", path)
        counts.update({REPAIRED: checked.num_repaired, LIKE_SPANS: checked.num_like_spans})
        keep_notes(self.notes, name, counts)

    def _sentences(self, path: str, counts: Counter[str]) -> Iterator[list[Line]]:
        """Yield the token lines of each sentence, cut into cells; count what is left out."""
        for block in blocks(path):
            sentence: list[Line] = []
            for number, line in block:
                if self._comment_prefix and not sentence and line.startswith(self._comment_prefix):
                    counts[COMMENTS] += 1
                elif DOCUMENT in line and DOCUMENT in line.split():
                    counts[DOCUMENTS] += 1
                    if sentence:
                        yield sentence
                        sentence = []
                else:
                    sentence.append((number, line.split("\t") if self._tabs else _cells_between_blanks(line)))
            if sentence:
                yield sentence

    def _comment_hint(self, token: str) -> str:
        return MAY_BE_COMMENT if self._comment_prefix is None and token.startswith("#") else ""

    def _places(self, number: int, cells: list[str], path: str) -> tuple[int, int]:
        """Return where token and tag stand, or refuse a file whose first line has them not."""
        width = len(cells)
        comment = self._comment_hint(cells[0])
        if width == 1:
            message = _spaces_for_tabs(cells[0]) if self._tabs else ""
            message = message or f"only one column, {_cut(cells[0])}; {EXPECTED}"
            raise DataError(message + comment, path, number)
        for option, column in self._columns.items():
            if not -width <= column < width:
                message = f"{option} = {column}, but this line has {width} columns, 0 to {width - 1}"
                raise DataError(f"{message}; set dataset.{option}{comment}", path, number)
        token_column, label_column = (column % width for column in self._columns.values())
        if token_column == label_column:
            message = f"token_column and label_column are both column {token_column} of {width}"
            raise DataError(f"{message}; set dataset.label_column{comment}", path, number)
        return token_column, label_column

    def _ragged(self, cells: list[str], first_number: int, first_cells: list[str]) -> str:
        if self._tabs and (spaces := _spaces_for_tabs(cells[0] if len(cells) == 1 else "")):
            return spaces
        found = f"{len(cells)} column{'s' if len(cells) > 1 else ''}, but line {first_number} has {len(first_cells)}"
        hint = self._comment_hint(cells[0]) or self._comment_hint(first_cells[0])
        if not hint and not self._tabs and len(cells) > len(first_cells):
            return f'{found}; a token that holds a blank needs tabs between columns and dataset.separator = "tab"'
        return f"{found}; give all lines the same columns{hint}"


def _spaces_for_tabs(line: str) -> str:
    if " " not in line.strip(" "):
        return ""
    return 'spaces for tabs: the line has blanks and no tab; set dataset.separator = "whitespace", or write tabs'


def _refuse_empty(what: str, cells: tuple[str, ...] | list[str], lines: list[int], path: str) -> None:
    for cell, line in zip(cells, lines, strict=True):
        if not cell.strip(" "):
            raise DataError(f"the {what} is empty; write one, or leave the line out", path, line)


def _cut(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "...")
