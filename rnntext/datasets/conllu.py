"""CoNLL-U, the format of Universal Dependencies: ten columns, a word a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.datasets.conllu_sentences import COLUMNS, FORM, LEMMA, Sentence, sentences
from rnntext.datasets.rows import given_splits, repeated, short_name, source_of
from rnntext.datasets.tagged import LIKE_SPANS, REPAIRED, TagCheck, annotations_of, keep_notes, repair_faults
from rnntext.errors import DataError, UsageError, suggest
from rnntext.schemes import OUTSIDE, Scheme

NOTHING = "_"
WITH_KEYS = ("feats", "misc")
MAY_BE_NOTHING = ("form", "feats", "deps", "misc")
"""Columns in which an underscore says something: the character itself, or that there are no features."""
OF_DOCUMENTS = ("newdoc ", "newpar ", "meta::")


class ConlluDataset:
    """Sentences with a tag a word, from CoNLL-U files (UTF-8; ``.gz`` is unpacked while reading).

    Choose it for treebanks of Universal Dependencies, and for spans written into their last column. The words
    are those that the format numbers 1, 2, 3: multiword ranges (1-2) and empty nodes (5.1) are left out. The
    text of a sentence is its comment ``# text`` where the tokens stand in it in order; otherwise the tokens,
    joined with regard to ``SpaceAfter=No``. A file is read sentence by sentence, never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        token_column: what of a word is its token.
        label_column: the column of the tag, or one key of a column of KEY=VALUE pairs, such as misc:NER or
            feats:Number; a word without the key has the tag O, or _ where the scheme is none.
        scheme: how the tags write spans; none for tags that are no spans, such as parts of speech.
        repair: whether sentences whose tags break the scheme are read as conlleval would, and counted.
        group_fields: names of comments to report scores by, such as genre for "# genre = news"; "newdoc id",
            "newpar id" and "meta::..." hold until the next document, and a sentence without one has an empty string.

    Attributes:
        notes: what ``read`` passed over or mended, such as ``{"multiword ranges skipped in a.conllu": 2}``, complete
            once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        token_column: Literal["form", "lemma"] = "form",
        label_column: str = "upos",
        scheme: Scheme = "none",
        repair: bool = False,
        group_fields: Sequence[str] = (),
    ) -> None:
        self._paths = given_splits(train, validation, test)
        self._token_column = LEMMA if token_column == "lemma" else FORM
        self._column, self._key = _column_and_key(label_column)
        self._scheme: Scheme = scheme
        self._repair = repair
        self._group_fields = tuple(group_fields)
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for columns that are not there or are one, and for a repair that has nothing to do."""
        label_column, groups = options.get("label_column", "upos"), options.get("group_fields") or ()
        try:
            _column_and_key(label_column)
        except UsageError as error:
            yield "label_column", str(error)
        if label_column.lower() == options.get("token_column"):
            yield "label_column", "is also token_column; a token cannot be its own tag"
        yield from repair_faults(options)
        if "text" in groups:
            yield "group_fields", "'text' is the text itself; name comments that several sentences share"
        if doubled := repeated(groups):
            yield "group_fields", f"{doubled[0]!r} is there twice; name each comment once"

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
        """Return an iterator over the split's sentences, in file order; ``line`` is that of the first word.

        Raises:
            UsageError: the options name no such split.
            DataError: while iterating: the file or a line of it cannot be used.
        """
        return self._examples(source_of(self._paths, split))

    def _examples(self, path: str) -> Iterator[Example]:
        name = short_name(path, self._paths.values())
        counts: Counter[str] = Counter()
        keep_notes(self.notes, name, counts)  # a second reading counts afresh
        checked = TagCheck(path, self._scheme, self._repair)
        document: dict[str, str] = {}
        num_words, key_found = 0, self._key is None
        for sentence in sentences(path, counts):
            tokens = tuple(self._cells(sentence, self._token_column, path))
            tags = self._tags(sentence, path)
            num_words += len(tags)
            key_found = key_found or any(f"{self._key}=" in cells[self._column] for cells in sentence.words)
            yield Example(
                sentence.text(tokens),
                tokens=tokens,
                label=checked(tags, sentence.lines),
                scheme=self._scheme,
                fields=self._groups(sentence.comments, document, counts),
                line=sentence.lines[0],
            )
        if not num_words:
            raise DataError("no sentences: the file holds no word; CoNLL-U has a word a line, in ten columns", path)
        if not key_found:
            what = f"words without {self._key}= in {COLUMNS[self._column]}"
            if self._scheme == "none":
                raise DataError(f"{what}: all {num_words:,}; correct dataset.label_column", path)
            counts[f"{what}, all of them, read as {OUTSIDE}"] = num_words
        counts.update({REPAIRED: checked.num_repaired, LIKE_SPANS: checked.num_like_spans})
        keep_notes(self.notes, name, counts)

    def _tags(self, sentence: Sentence, path: str) -> list[str]:
        if self._key is None:
            return self._cells(sentence, self._column, path)
        missing = NOTHING if self._scheme == "none" else OUTSIDE
        tags = [_value(cells[self._column], self._key, missing) for cells in sentence.words]
        if "" in tags:
            message = f"nothing follows {self._key}= in {COLUMNS[self._column]}; write a value, or take the key out"
            raise DataError(message, path, sentence.lines[tags.index("")])
        return tags

    def _cells(self, sentence: Sentence, column: int, path: str) -> list[str]:
        """Return one column of the words, or refuse a word that has nothing there."""
        found = [cells[column] for cells in sentence.words]
        name = COLUMNS[column]
        if "" in found:
            message = f"the {name} is empty; write it, or an underscore where there is none"
            raise DataError(message, path, sentence.lines[found.index("")])
        if NOTHING in found and name not in MAY_BE_NOTHING:
            for cells, line in zip(sentence.words, sentence.lines, strict=True):
                # The lemma of an underscore is one.
                if cells[column] == NOTHING and not (column == LEMMA and cells[FORM] == NOTHING):
                    option = "token_column" if column == self._token_column else "label_column"
                    raise DataError(
                        f"{cells[FORM]!r} has no {name}; give it one, or set dataset.{option}", path, line
                    )
        return found

    def _groups(self, comments: dict[str, str], document: dict[str, str], counts: Counter[str]) -> dict[str, str]:
        """Return the group fields of a sentence; ``document`` is what holds for those that follow."""
        if not self._group_fields:
            return {}
        for kind in ("newdoc", "newpar"):
            if kind in comments or f"{kind} id" in comments:
                for key in list(document):
                    if kind == "newdoc" or key.startswith(kind):
                        del document[key]
        document.update((key, value) for key, value in comments.items() if key.startswith(OF_DOCUMENTS))
        groups = {name: comments.get(name, document.get(name, "")) for name in self._group_fields}
        for name, value in groups.items():
            if not value:
                counts[f"sentences without the comment {name!r}"] += 1
        return groups


def _column_and_key(label_column: str) -> tuple[int, str | None]:
    """Return the place of a column, and the key in it where one is named.

    Raises:
        UsageError: there is no such column, or none with keys.
    """
    column, colon, key = label_column.partition(":")
    column = column.lower()
    if column not in COLUMNS[1:]:
        columns = ", ".join(COLUMNS[1:])
        raise UsageError(
            f"{label_column!r} is no column of CoNLL-U.{suggest(column, COLUMNS[1:])} Columns: {columns}"
        )
    if colon and (column not in WITH_KEYS or not key):
        raise UsageError(f"{label_column!r} names no key; write misc:KEY or feats:KEY, or {column} alone")
    return COLUMNS.index(column), key if colon else None


def _value(cell: str, key: str, missing: str) -> str:
    """Return what KEY has in ``KEY=VALUE|KEY=VALUE``."""
    if key in cell:
        for item in cell.split("|"):
            if item.startswith(key + "="):
                return item[len(key) + 1 :]
    return missing
