"""Texts to numbers, once: each distinct token becomes a type, each text a run of type ids, kept flat on disk.

Tokenizing comes before the vocabulary is known, so ids of *types* (distinct raw tokens, numbered as they appear)
are stored; the vocabulary then sees each type once, and one look-up table turns type ids into token ids. Raw
tokens stay at hand for whatever reads characters.
"""

from __future__ import annotations

import itertools
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnntext.aligning import Misaligned, Offsets, locate, with_tags, without_edges
from rnntext.contracts import UNKNOWN_ID, Example, Head, Tokenizer, Vocabulary

EMPTY = ""
"""Stands for a text without tokens, which is read as one ``<unk>``."""
VALUES_A_WRITE = 1 << 18
TOKENS_KEPT = 100_000
"""Tokens whose ids are kept from one type table to the next, so that a stream of ever new ones fits in memory."""
LONGEST_KEPT = 50  # characters; a token as long as a text might be one


class TypeTable:
    """Distinct raw tokens, numbered in order of appearance; 0 is ``EMPTY``."""

    def __init__(self) -> None:
        self._types: list[str] = [EMPTY]
        self._ids = defaultdict(itertools.count(1).__next__, {EMPTY: 0})

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the type id of each token, numbering new ones."""
        return list(map(self._ids.__getitem__, tokens))  # no Python a token, known or new

    def numbers(self, tokens: Iterable[str | None]) -> list[int]:
        """Return the type id of each token, -1 for None."""
        return [-1 if token is None else self._ids[token] for token in tokens]

    @property
    def types(self) -> list[str]:
        """Return the token of each type id: always the same list, grown."""
        new = len(self._ids) - len(self._types)
        self._types += reversed(list(itertools.islice(reversed(self._ids), new)))
        return self._types

    def token_ids(self, vocabulary: Vocabulary | KnownTokens) -> np.ndarray:
        """Return int64 [types]: the vocabulary id of each type."""
        ids = np.asarray(vocabulary.encode(self.types), dtype=np.int64)
        ids[0] = UNKNOWN_ID  # EMPTY is <unk>, whatever the vocabulary holds
        return ids


class KnownTokens:
    """A vocabulary's ids, kept once looked up: one type table follows another, and most of their tokens are the same.

    Args:
        vocabulary: finished; what it makes of a token may not change any more.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids: dict[str, int] = {}

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Return what the vocabulary's ``encode`` does; of ``TOKENS_KEPT`` tokens at most the ids are kept."""
        ids = self._ids  # only ever added to, so that threads do not disturb each other
        new = [token for token in tokens if token not in ids]
        if not new:
            return [ids[token] for token in tokens]
        if len(ids) + len(new) > TOKENS_KEPT:
            ids = self._ids = {}
            new = list(tokens)
        found = dict(zip(new, self._vocabulary.encode(new), strict=True))
        if len(found) <= TOKENS_KEPT:
            ids.update((token, number) for token, number in found.items() if len(token) <= LONGEST_KEPT)
        return [found[token] if token in found else ids[token] for token in tokens]


@dataclass(slots=True)
class Ragged:
    """Rows of unequal length, end to end."""

    values: np.ndarray
    ends: np.ndarray
    """int64 [N + 1], 0 first; row n is values[ends[n]:ends[n + 1]]."""

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N]."""
        return np.diff(self.ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def row(self, number: int) -> np.ndarray:
        """Return one row."""
        return self.values[self.ends[number] : self.ends[number + 1]]

    def padded(self, rows: np.ndarray, filler: int) -> np.ndarray:
        """Return int64 [len(rows), longest], ``filler`` after the last value of each row."""
        if len(rows) == 1:
            return np.array(self.row(rows[0]), dtype=np.int64)[None]
        starts = self.ends[rows]
        lengths = self.ends[rows + 1] - starts
        steps = np.arange(int(lengths.max(initial=0)))
        # Past a row's end stand other rows' values, or nothing: whatever is read there is overwritten.
        padded: np.ndarray = np.asarray(self.values).take(starts[:, None] + steps, mode="clip").astype(np.int64)
        np.putmask(padded, steps >= lengths[:, None], filler)
        return padded


@dataclass(slots=True)
class EncodedSplit:
    """One split as arrays."""

    name: str
    types: Ragged
    """Type ids of each text's tokens, at least one a text."""
    targets: Ragged | None
    """What the head made of each text's label; None for texts without."""
    targets_are_types: bool = False
    """Whether targets are ids of types, as those of a head that fills blanks."""
    groups: dict[str, tuple[list[str], np.ndarray]] = field(default_factory=dict)
    """Group field -> (its values, int32 [N] which one each text has)."""
    texts_cut: int = 0
    texts_without_tokens: int = 0
    misaligned: Misaligned = field(default_factory=Misaligned)

    def __len__(self) -> int:
        return len(self.types)


class RaggedWriter:
    """Collects rows in a file, so that no corpus has to fit in memory.

    Args:
        folder: where the values live until the program ends; None keeps them in memory (prediction).
    """

    def __init__(self, folder: Path | None) -> None:
        # Open as long as this object lives, so no `with`.
        self._stream: IO[bytes] | None = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._values = array("i")
        self._ends = array("q", [0])
        self._total = 0

    def __enter__(self) -> RaggedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()  # a memory map outlives the file that it was made from

    def append(self, row: Sequence[int]) -> None:
        """Add one row."""
        self._values.fromlist(list(row))  # twice as quick as extend
        self._total += len(row)
        self._ends.append(self._total)
        if self._stream is not None and len(self._values) >= VALUES_A_WRITE:
            self._values.tofile(self._stream)
            del self._values[:]

    def finish(self) -> Ragged:
        """Return all rows; the file is memory-mapped and vanishes with the arrays."""
        dtype = np.dtype(self._values.typecode)
        ends = np.frombuffer(self._ends, dtype=np.int64)
        if self._stream is None or self._total == 0:
            return Ragged(np.frombuffer(self._values, dtype=dtype), ends)
        self._values.tofile(self._stream)
        self._stream.flush()
        return Ragged(np.memmap(self._stream, dtype=dtype, mode="r", shape=(self._total,)), ends)


def encode_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    table: TypeTable,
    max_tokens: int | None,
    task: tuple[type[Head], Mapping[str, Any]] | None = None,
    group_fields: Sequence[str] = (),
    name: str = "texts",
    folder: Path | None = None,
    offsets: list[Offsets] | None = None,
    read: Callable[[Example, Sequence[str]], Sequence[str]] | None = None,
    keep_empty: bool = True,
) -> EncodedSplit:
    """Tokenize examples and encode their targets, row by row.

    Args:
        examples: read once, in order.
        tokenizer: cuts those that bring no tokens of their own.
        table: numbers the distinct tokens; it grows.
        max_tokens: a longer text is cut, and counted; None never cuts.
        task: the head's class and the labels that it learnt; None leaves targets out.
        group_fields: columns to keep, for scores by group.
        name: of the split.
        folder: where the arrays live; None keeps them in memory.
        offsets: takes, where it is given, the place of each text's tokens in it, without white space at their edges.
        read: turns the tokens of an example, as they stand in the text, into what is read.
        keep_empty: whether a text without tokens is read as one ``<unk>``, and counted; else it is left out.

    Raises:
        DataError: a label does not fit; ``line`` names the row.
    """
    groups: dict[str, tuple[dict[str, int], array[int]]] = {
        field_name: ({}, array("i")) for field_name in group_fields
    }
    cut = empty = 0
    misaligned = Misaligned()
    first: Callable[[str, int], Sequence[str]] | None = getattr(tokenizer, "first", None)
    as_types = task is not None and getattr(task[0], "fills_blanks", False)
    with RaggedWriter(folder) as types, RaggedWriter(folder) as targets:
        for example in examples:
            if example.spans is not None:
                example = with_tags(example, tokenizer, misaligned)
            tokens: Sequence[str] | None = example.tokens
            if offsets is not None:
                places = tokenizer.spans(example.text) if tokens is None else locate(example.text, tokens)
                tokens = [example.text[start:end] for start, end in places]
                offsets.append(without_edges(example.text, places))
            if tokens is None:
                if max_tokens is None or first is None:
                    tokens = tokenizer.tokens(example.text)
                else:
                    tokens = first(example.text, max_tokens + 1)
            if max_tokens is not None and len(tokens) > max_tokens:
                tokens = tokens[:max_tokens]
                cut += 1
            if read is not None:
                tokens = read(example, tokens)
            if not tokens and not keep_empty:
                continue
            empty += not tokens
            types.append(table.encode(tokens or (EMPTY,)))
            if task is not None:
                head, labels = task
                wanted = head.encode_targets(example, labels, max(1, len(tokens)))
                targets.append(table.numbers(wanted) if as_types else wanted)
            for field_name, (numbers, column) in groups.items():
                column.append(numbers.setdefault(example.fields.get(field_name, ""), len(numbers)))
        return EncodedSplit(
            name,
            types.finish(),
            None if task is None else targets.finish(),
            as_types,
            {
                key: (list(numbers), np.frombuffer(column, dtype=np.int32))
                for key, (numbers, column) in groups.items()
            },
            cut,
            empty,
            misaligned,
        )


def occurrences(split: EncodedSplit, table: TypeTable) -> np.ndarray:
    """Return int64 [types]: how often each raw token occurs in a split."""
    counts = np.zeros(len(table.types), dtype=np.int64)
    values = split.types.values
    for start in range(0, len(values), VALUES_A_WRITE):
        counts += np.bincount(values[start : start + VALUES_A_WRITE], minlength=len(counts))
    return counts


def type_counts(split: EncodedSplit, table: TypeTable) -> dict[str, int]:
    """Return each raw token of a split with its number of occurrences; ``EMPTY`` left out."""
    counts = occurrences(split, table)
    return {table.types[number]: int(counts[number]) for number in np.flatnonzero(counts) if number}


def share_of_tokens(split: EncodedSplit, types: np.ndarray) -> float:
    """Return the share of a split's tokens whose type is marked in bool [types]."""
    values = split.types.values
    marked = 0
    for start in range(0, len(values), VALUES_A_WRITE):
        marked += int(types[values[start : start + VALUES_A_WRITE]].sum())
    return marked / len(values)
