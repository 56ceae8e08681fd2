"""From a dataset part to splits on disk: read once into Arrow, drawn by seed, memory-mapped.

Rows are streamed into an Arrow file under a cache of our own, keyed by the digest of the data file, the reader's
options and the versions; a file that is read again is not parsed again, and a changed one never serves old rows.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnntext import __version__, registry
from rnntext.caching import cache_error, cache_folder, file_digest
from rnntext.contracts import Dataset, Example, Split
from rnntext.discovery import OWN_DISTRIBUTION
from rnntext.errors import DataError
from rnntext.recipe import PartChoice
from rnntext.splitting import draw, draw_missing, is_whole, kinds_of, shared_origins
from rnntext.tables import SplitOptions

ROWS_A_WRITE = 5_000
SCHEMA = pa.schema(
    {
        "text": pa.large_string(),
        "tokens": pa.list_(pa.string()),
        "label": pa.list_(pa.string()),
        "one_label": pa.bool_(),
        "scheme": pa.string(),
        "spans": pa.string(),  # JSON
        "choices": pa.string(),  # JSON
        "fields": pa.string(),  # JSON
        "origin": pa.large_string(),
        "line": pa.int64(),
        "stratum": pa.int32(),  # rows with the same label(s), or tags of the same kinds, share a number
        "family": pa.int64(),  # digest of the origin, 0 without: rows of one number are never parted
    }
)


@dataclass(slots=True)
class SplitTable:
    """The examples of one split: rows of a memory-mapped Arrow table."""

    name: Split
    table: Any
    rows: np.ndarray
    """int64, which rows of the table, in order."""
    file: str | None
    """Where the rows came from, for messages."""

    def __len__(self) -> int:
        return len(self.rows)

    def examples(self) -> Iterator[Example]:
        """Yield the examples in order, a few thousand in memory at a time."""
        for start in range(0, len(self.rows), ROWS_A_WRITE):
            rows = self.rows[start : start + ROWS_A_WRITE]
            yield from self.table[rows.tolist()]["example"]


@dataclass(slots=True)
class Corpus:
    """All splits of a recipe's data."""

    splits: dict[Split, SplitTable]
    digests: dict[str, str] = field(default_factory=dict)
    """Data file -> sha256."""
    notes: list[str] = field(default_factory=list)
    """What was skipped, drawn or changed on the way: nothing happens silently."""
    windows: tuple[int, Any] | None = None
    """As the dataset's attribute: whether each split is one stream, whose order means something."""
    cut_blanks: Any = None
    """The dataset's method, if it has one."""


def read_corpus(choice: PartChoice, drawing: SplitOptions, seed: int) -> Corpus:
    """Read every split that a dataset names and draw those that it does not.

    Args:
        choice: the dataset part and its options.
        drawing: fractions and limit.
        seed: decides which rows are drawn.

    Raises:
        DataError: a file cannot be read, or a drawn split would be empty.
    """
    reader: Dataset = choice.build()
    corpus = Corpus({}, windows=getattr(reader, "windows", None), cut_blanks=getattr(reader, "cut_blanks", None))
    for split in reader.splits():
        corpus.splits[split] = _read_split(reader, choice, split, corpus)
    corpus.notes += shared_origins(corpus)
    draw_missing(corpus, drawing, seed)
    if drawing.limit is not None:
        for number, table in enumerate(corpus.splits.values()):
            if len(table) > drawing.limit and corpus.windows is not None:
                corpus.notes.append(f"{table.name}: the first {drawing.limit:,} of {len(table):,} lines (limit)")
                table.rows = table.rows[: drawing.limit]
            elif len(table) > drawing.limit:
                corpus.notes.append(f"{table.name}: {drawing.limit:,} of {len(table):,} examples, drawn (limit)")
                table.rows = np.sort(draw(table, drawing.limit, (seed, 10 + number)))
    return corpus


def _read_split(reader: Dataset, choice: PartChoice, split: Split, corpus: Corpus) -> SplitTable:
    files = reader.files(split)
    for file in files:
        if not Path(file).is_file():
            raise DataError("there is no such file; check the path in [dataset]", file)
        corpus.digests[file] = file_digest(file)
    shown = files[0] if len(files) == 1 else None
    # Folders and the other splits do not change what a file holds. Its name may (.tsv), and notes tell it.
    options = {key: value for key, value in choice.options.items() if key not in ("train", "validation", "test")}
    source = choice.options.get(split)
    key = {
        "digests": [corpus.digests[file] for file in files],
        "names": [Path(file).name for file in files],
        "source": None if files == (source,) else [split, source],  # such as a split of a folder
        "type": choice.name,
        "options": options,
        "rnntext": __version__,
        "package": _package_of(choice) if files else [],
        "schema": str(SCHEMA),
        "arrow": pa.__version__,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    path = cache_folder() / "examples" / f"{digest[:32]}.arrow"
    notes_path = path.with_suffix(".json")
    # Nothing tells whether a source without local files has changed, nor the code of a class that was
    # registered in this process: these are read anew.
    lasting = bool(files) and registry.find("datasets", choice.name).distribution != registry.SESSION
    if not (lasting and path.is_file() and notes_path.is_file()):
        notes = _write_table(reader, split, shown, path, choice.brings_labels)
        try:
            _replace_text(notes_path, json.dumps(notes))
        except OSError as error:
            raise cache_error(error) from None
    corpus.notes += [f"{split}: {note}" for note in json.loads(notes_path.read_text(encoding="utf-8"))]
    table = _open_table(path)
    if not len(table):
        raise DataError("there are no examples in it", shown or f"{choice.name} ({split})")
    return SplitTable(split, table, np.arange(len(table)), shown)


def _package_of(choice: PartChoice) -> list[str]:
    """Return what tells one state of a package's reader from another: its author changes code between versions."""
    entry = registry.find("datasets", choice.name)
    if entry.distribution in (OWN_DISTRIBUTION, registry.SESSION):
        return []
    source = inspect.getsourcefile(choice.part)
    return [entry.full_name, entry.version, file_digest(source) if source else ""]


def _write_table(reader: Dataset, split: Split, shown: str | None, path: Path, labelled: bool) -> list[str]:
    """Stream a split into an Arrow file, whole or not at all; return the reader's notes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    except OSError as error:
        raise cache_error(error) from None
    strata: dict[tuple[str, ...], int] = {}
    mended = 0
    try:
        with os.fdopen(handle, "wb") as stream, pa.ipc.new_stream(stream, SCHEMA) as writer:
            rows: list[dict[str, Any]] = []
            for example in reader.read(split):
                row = _as_row(example, strata, labelled)
                try:
                    row["text"].encode()
                except UnicodeEncodeError:  # half a surrogate pair, which no UTF-8 file can hold
                    mended += 1
                    row["text"] = row["text"].encode("utf-8", "replace").decode()
                rows.append(row)
                if len(rows) == ROWS_A_WRITE:
                    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
                    rows.clear()
            if rows:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        os.replace(partial, path)
    except DataError as error:
        raise error.located(shown) from None
    except OSError as error:
        raise cache_error(error) from None
    finally:
        Path(partial).unlink(missing_ok=True)
    notes = [f"{what}: {count:,}" for what, count in getattr(reader, "notes", {}).items() if count]
    if mended:
        notes.append(f"texts with half a surrogate pair, read as a question mark: {mended:,}")
    return notes


def _as_row(example: Example, strata: dict[tuple[str, ...], int], labelled: bool) -> dict[str, Any]:
    several = isinstance(example.label, tuple)
    labels = None
    if example.label is not None:
        labels = list(example.label) if isinstance(example.label, tuple) else [example.label]
    kinds = tuple(labels or ()) if is_whole(example) else tuple(sorted(kinds_of(example)))
    stratum = strata.setdefault(kinds if labelled else (), len(strata))  # answers are no labels to keep in proportion
    return {
        "text": example.text,
        "tokens": None if example.tokens is None else list(example.tokens),
        "label": labels,
        "one_label": not several and example.spans is None,
        "scheme": example.scheme,
        "spans": None if example.spans is None else json.dumps(example.spans),
        "choices": None if example.choices is None else json.dumps(example.choices),
        "fields": json.dumps(dict(example.fields)) if example.fields else None,
        "origin": example.origin,
        "line": example.line,
        "stratum": stratum,
        "family": 0 if example.origin is None else _number_of(example.origin),
    }


def _number_of(origin: str) -> int:
    """Return a number other than 0 that stands for an origin: a table of all origins need not fit in memory."""
    digest = hashlib.blake2b(origin.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def _open_table(path: Path) -> Any:
    """Return the memory-mapped table; its rows are given as Examples."""
    import datasets

    table = datasets.Dataset.from_file(str(path))

    def as_examples(columns: dict[str, list[Any]]) -> dict[str, list[Example]]:
        names = ("text", "tokens", "label", "one_label", "scheme", "spans", "choices", "fields", "origin", "line")
        return {"example": [_as_example(*row) for row in zip(*(columns[name] for name in names), strict=True)]}

    return table.with_transform(as_examples)


def _as_example(
    text: str,
    tokens: list[str] | None,
    label: list[str] | None,
    one: bool,
    scheme: str | None,
    spans: str | None,
    choices: str | None,
    fields: str | None,
    origin: str | None,
    line: int,
) -> Example:
    return Example(
        text=text,
        tokens=None if tokens is None else tuple(tokens),
        label=None if label is None else label[0] if one else tuple(label),
        scheme=scheme,
        spans=None if spans is None else tuple((start, end, name) for start, end, name in json.loads(spans)),
        choices=None if choices is None else tuple(map(tuple, json.loads(choices))),
        fields=json.loads(fields) if fields else {},
        origin=origin,
        line=line,
    )


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
