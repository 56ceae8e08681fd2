"""The dataset of plain text: lines, sentences, questions and streams, and what each fault is told."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import options
from rnntext.contracts import Dataset, Example
from rnntext.datasets.text import TextDataset
from rnntext.errors import DataError, UsageError

Write = Callable[..., str]
# Texts that UTF-8 can hold, of characters that matter here and of any others; no carriage returns.
characters = st.one_of(
    st.sampled_from("abzAZ \n\n\t'._5éİ\u212a\u2028\x85"), st.characters(exclude_categories=["Cs"])
)
any_text = st.text(characters, max_size=80).map(lambda text: text.replace("\r", "").removeprefix("\ufeff"))
without_marks = any_text.filter(lambda text: "____" not in text)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(content: str | bytes, name: str = "book.txt") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    return write_file


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to write over: for property tests, which share one."""
    return tmp_path_factory.mktemp("text") / "any.txt"


def read(path: str | Path, **more: Any) -> list[Example]:
    return list(TextDataset(train=str(path), **more).read("train"))


def texts(path: str | Path, **more: Any) -> list[str]:
    return [example.text for example in read(path, **more)]


def questions(write: Write, *rows: Any, **more: Any) -> list[Example]:
    return read(write("".join(json.dumps(row) + "\n" for row in rows), "questions.jsonl"), **more)


def told(path: str, line: int, *words: str, **more: Any) -> None:
    """Reading fails, and the error names the file and the line, and says all of these."""
    with pytest.raises(DataError) as caught:
        read(path, **more)
    assert (caught.value.file, caught.value.line) == (path, line), str(caught.value)
    for word in words:
        assert word in caught.value.message, f"{word!r} is not in: {caught.value.message}"


# --- what every dataset promises ---------------------------------------------------------------------------------


def test_it_follows_the_contract() -> None:
    dataset = TextDataset(train="nowhere/a.txt", test="nowhere/b.jsonl")  # touches no file
    assert isinstance(dataset, Dataset)
    assert dataset.splits() == ("train", "test")
    assert dataset.files("test") == ("nowhere/b.jsonl",)
    assert dataset.notes == {}
    for method in (dataset.read, dataset.files):
        with pytest.raises(UsageError, match=r"no validation split, only train, test; set dataset\.validation"):
            method("validation")


@pytest.mark.parametrize(
    ("given_options", "key", "reason"),
    [
        ({"unit": "sentence", "num_steps": 5}, "unit", "one stream of all lines"),
        ({"sampling": "sequential"}, "sampling", "needs num_steps"),
        ({"language": "de"}, "language", 'unit = "sentence"'),
        ({"text_field": "answer"}, "text_field", "a key of questions"),
        ({"num_blanks": 0}, None, ""),
        ({"num_steps": 0}, None, ""),
        ({"sampling": "backwards"}, None, ""),
        ({"unit": "sentence", "language": "de"}, None, None),
        ({"num_steps": 35, "sampling": "sequential", "letters_only": True, "max_characters": 10}, None, None),
        ({"num_blanks": 2, "blank_min_count": 3, "min_tokens": 6}, None, None),
    ],
)
def test_options_that_work_and_those_that_cannot(
    given_options: dict[str, Any], key: str | None, reason: str | None
) -> None:
    values, faults = options.validate(
        options.options_of(TextDataset, "datasets"), {"train": "a", **given_options}, {}
    )
    assert bool(faults) == (reason == "")
    if not faults:
        found = list(TextDataset.check_options(values))
        assert [fault for fault, _ in found] == ([] if key is None else [key])
        assert all(str(reason) in why for _, why in found)


def test_texts_have_no_labels_and_a_stream_says_how_it_is_read() -> None:
    kinds: list[tuple[dict[str, Any], set[str], Any]] = [
        ({}, set(), None),
        ({"num_steps": 9}, {"windows"}, (9, "random")),
        ({"num_steps": 9, "sampling": "sequential"}, {"windows", "sequence"}, (9, "sequential")),
    ]
    for chosen, gives, windows in kinds:
        values, _ = options.validate(options.options_of(TextDataset), {"train": "a", **chosen}, {})
        assert TextDataset.gives(values) == gives
        assert TextDataset(train="a", **chosen).windows == windows


def test_missing_and_useless_files(write: Write, tmp_path: Path) -> None:
    told(str(tmp_path / "gone.txt"), 0, "there is no such file")
    told(write("soup\n".encode("utf-16")), 1, "UTF-16")
    told(write("tea\ncafé\n".encode("latin-1")), 2, "not UTF-8", "save the file as UTF-8")
    for name in ("book.txt", "rows.jsonl"):
        told(write("\n \n", name), 0, "no texts", "add some")
        told(write("", name), 0, "no texts", num_steps=3)
    told(write("12\n-\n"), 0, "a letter from a to z (letters_only)", letters_only=True)
    told(write("long line\n"), 0, "5 characters or less (max_characters)", max_characters=5)


def test_gzip_is_unpacked_for_both_kinds(write: Write) -> None:
    assert read(write(gzip.compress(b"one\ntwo\n"), "book.txt.gz")) == [
        Example("one", line=1),
        Example("two", line=2),
    ]
    row = b'{"text": "a ____ c", "answer": "b"}\n'
    for name in ("rows.jsonl.gz", "rows.NDJSON.GZ"):
        assert read(write(gzip.compress(row), name)) == [Example("a ____ c", label="b", line=1)]
    told(write(gzip.compress(b"one\ntwo\n")), 1, "give its name the suffix .gz")


def test_notes_tell_what_was_passed_over_and_count_afresh(write: Write) -> None:
    path = write('{"text": " "}\n\n{"text": "soup"}\n{"text": ""}\n', "rows.jsonl")
    dataset = TextDataset(train=path, max_characters=4)
    for _ in range(2):
        assert [example.line for example in dataset.read("train")] == [3]
        assert dataset.notes == {"rows with a blank text skipped in rows.jsonl": 2}
    plain = TextDataset(train=write("soup\n\n\nbread\n"))
    assert len(list(plain.read("train"))) == 2
    assert plain.notes == {}, "blank lines of a book are nothing to tell"
    dataset = TextDataset(train=write("soup\nbread\n"), max_characters=7)
    assert [example.text for example in dataset.read("train")] == ["soup"]
    assert dataset.notes == {"characters read (max_characters; there are more) in book.txt": 4}
    next(dataset.read("train"))
    assert dataset.notes == {}, "a reading that was not finished has nothing to tell"


@pytest.mark.parametrize("more", [{}, {"num_steps": 4}, {"letters_only": True}, {"max_characters": 400_000}], ids=str)
def test_memory_stays_flat(more: dict[str, Any], write: Write) -> None:
    reading = TextDataset(train=write("And then we ate soup, which was good. But who\n" * 12_000), **more).read(
        "train"
    )
    tracemalloc.start()
    try:
        assert sum(1 for _ in reading) > 8_000  # 550 kB
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# --- lines and sentences -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(text=any_text)
def test_lines_come_back_as_written_but_for_blank_ones(scratch: Path, text: str) -> None:
    scratch.write_bytes((text + "\nend").encode("utf-8"))
    lines = [(number, line) for number, line in enumerate((text + "\nend").split("\n"), 1) if line.strip()]
    assert [(example.line, example.text) for example in read(scratch)] == lines


def test_sentences_run_over_wrapped_lines_and_end_at_blank_ones(write: Write) -> None:
    path = write("A Heading\n\n  It rained. Dr. Wu\nstayed in,\r\n as one does.\n \t\n\nBo left. 好。很好\n")
    assert read(path, unit="sentence") == [
        Example("A Heading", line=1),
        Example("It rained.", line=3),
        Example("Dr. Wu stayed in, as one does.", line=3),
        Example("Bo left.", line=8),
        Example("好。", line=8),
        Example("很好", line=8),
    ]


def test_sentences_know_the_abbreviations_of_their_language(write: Write) -> None:
    path = write("Er kam bzw. ging um ca. 5 Uhr.\n")
    assert len(read(path, unit="sentence")) == 3
    assert texts(path, unit="sentence", language="de") == ["Er kam bzw. ging um ca. 5 Uhr."]
    with pytest.raises(UsageError, match=r"language 'klingon'; correct dataset\.language"):
        read(path, unit="sentence", language="klingon")


def test_sentences_of_a_long_paragraph_are_those_of_the_whole(write: Write) -> None:
    lines = [f"said {n}. Then Mr.\nWu ate soup {n}" + ("!" if n % 3 else ",") + "\n" for n in range(60)]
    path = write("".join(lines))
    whole = read(path, unit="sentence")
    assert len(whole) > 60
    with pytest.MonkeyPatch.context() as patch:
        for most in (1, 30, 300):
            patch.setattr("rnntext.sentences.CHARACTERS_OF_LINES", most)
            if most == 1:  # a piece of one sentence is not held back: words are cut, but none is lost
                assert " ".join(texts(path, unit="sentence")).split() == "".join(lines).split()
            else:
                assert read(path, unit="sentence") == whole


def test_rows_of_json_are_cut_into_sentences_too_but_not_questions(write: Write) -> None:
    rows = [{"text": "It rained\nall day. We ate."}, {"text": "It rained. We ____. Then we slept.", "answer": "ate"}]
    assert questions(write, *rows, unit="sentence") == [
        Example("It rained all day.", line=1),
        Example("We ate.", line=1),
        Example(rows[1]["text"], label="ate", line=2),
    ]


# --- streams -----------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(text=any_text.filter(bool), end=st.sampled_from(["\n", "\r\n"]))
def test_the_texts_of_a_stream_joined_are_the_file(scratch: Path, text: str, end: str) -> None:
    scratch.write_bytes(text.replace("\n", end).encode("utf-8"))
    found = read(scratch, num_steps=3)
    assert "".join(example.text for example in found) == text
    assert all(example.text.endswith("\n") for example in found[:-1])
    assert [example.line for example in found] == list(range(1, len(found) + 1))


@settings(max_examples=150, deadline=None)
@given(text=any_text)
def test_letters_of_a_stream_are_those_of_the_whole_text(scratch: Path, text: str) -> None:
    text += "\nEnd.\n5"
    scratch.write_bytes(text.encode("utf-8"))
    expected = re.sub("[^a-z]+", " ", text.lower()).lstrip(" ")
    found = texts(scratch, num_steps=3, letters_only=True)
    assert "".join(found) == expected
    assert all(found)


@settings(max_examples=80, deadline=None)
@given(text=without_marks)
def test_letters_of_lines_are_words_parted_by_one_blank(scratch: Path, text: str) -> None:
    text += "\nEnd, at 5."
    scratch.write_bytes(text.encode("utf-8"))
    expected = [re.sub("[^a-z]+", " ", line.lower()).strip() for line in text.split("\n")]
    assert texts(scratch, letters_only=True) == [line for line in expected if line]


@settings(max_examples=80, deadline=None)
@given(text=any_text, most=st.integers(1, 40), letters_only=st.booleans())
def test_so_many_characters_of_a_stream_are_read_and_no_more(
    scratch: Path, text: str, most: int, letters_only: bool
) -> None:
    scratch.write_bytes((text + "\nend").encode("utf-8"))
    whole = "".join(texts(scratch, num_steps=3, letters_only=letters_only))
    dataset = TextDataset(train=str(scratch), num_steps=3, letters_only=letters_only, max_characters=most)
    found = [example.text for example in dataset.read("train")]
    assert "".join(found) == whole[:most]
    assert all(found)
    assert list(dataset.notes.values()) == ([most] if len(whole) > most else [])


@settings(max_examples=60, deadline=None)
@given(text=any_text, most=st.integers(5, 60))
def test_of_lines_only_whole_ones_are_read(scratch: Path, text: str, most: int) -> None:
    scratch.write_bytes(("first\n" + text).encode("utf-8"))
    whole = texts(scratch)
    found = texts(scratch, max_characters=most)
    assert found == whole[: len(found)]
    assert sum(map(len, found)) <= most
    assert len(found) == len(whole) or sum(map(len, whole[: len(found) + 1])) > most


def test_rows_of_json_make_a_stream_of_lines(write: Write) -> None:
    found = questions(write, {"text": "So it goes."}, {"text": ""}, {"text": "On ____ on"}, num_steps=3)
    assert [example.text for example in found] == ["So it goes.\n", "\n", "On ____ on\n"]
    path = write('{"text": "a"}\n{"text": "b ____", "answer": "c"}\n', "rows.jsonl")
    told(path, 2, "a stream of tokens (num_steps) has no questions", num_steps=3)


# --- questions ---------------------------------------------------------------------------------------------------


def test_questions_with_one_blank_and_with_several(write: Write) -> None:
    one, two = "We ____ soup.", "We ____ soup at ______."
    found = questions(
        write,
        {"text": one},
        {"text": one, "answer": "ate", "choices": ["ate", "saw"]},
        {"text": one, "answer": [" ate "], "choices": [["saw", "ate"]]},
        {"text": two, "answer": ["ate", "noon"], "choices": [["ate"], ["dawn", "noon"]]},
        {"text": two, "choices": [["ate", "saw"], ["noon"]], "answer": None, "id": 7},
        {"text": "No ___ here."},
    )
    assert found == [
        Example(one, line=1),
        Example(one, label="ate", choices=(("ate", "saw"),), line=2),
        Example(one, label="ate", choices=(("saw", "ate"),), line=3),
        Example(two, label=("ate", "noon"), choices=(("ate",), ("dawn", "noon")), line=4),
        Example(two, choices=(("ate", "saw"), ("noon",)), line=5),
        Example("No ___ here.", line=6),
    ]


def test_another_key_of_the_text(write: Write) -> None:
    assert questions(write, {"body": "a ____", "text": 5, "answer": "b"}, text_field="body") == [
        Example("a ____", label="b", line=1)
    ]


def test_letters_only_keeps_blanks_and_treats_answers_like_texts(write: Write) -> None:
    row = {
        "text": "____: At 5 O'Clock--____!",
        "answer": ["LATE", "T-Bone"],
        "choices": [["late", "Early"], ["t bone"]],
    }
    assert questions(write, row, letters_only=True) == [
        Example("____ at o clock ____", label=("late", "t bone"), choices=(("late", "early"), ("t bone",)), line=1)
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("[1]", "a JSON array; one object a line is needed"),
        ('"soup"', "not an object"),
        ('{"text": "a"', "not valid JSON at column 13"),
        ('{"text": "a", "text": "b"}', "the key 'text' is there twice"),
        ('{"text": NaN}', "NaN is not JSON"),
        ('{"text": ' + "1" * 5000 + "}", "a number cannot be read"),
        ('{"text": ' + "[" * 100_000, "nested too deeply"),
        ('{"Text": "a"}', "no key 'text'; its keys: Text. Did you mean 'Text'? Set dataset.text_field"),
        ("{}", "no key 'text'; its keys: none."),
        ('{"text": null}', "the text in 'text' is null; write a string"),
        ('{"text": 5}', "is 5, not a string"),
        ('{"text": "\\ud83d"}', "\\ud83d is one half of a character"),
        ('{"text": "a ____", "answer": "\\uDC00"}', "\\udc00 is one half of a character"),
        ('{"text": "a ____", "choices": ["\\ud83d"]}', "\\ud83d is one half of a character"),
        ('{"text": "a ___ b", "answer": "c"}', "there is 'answer', but no blank in the text; write ____"),
        ('{"text": "a", "choices": ["c"]}', "there is 'choices', but no blank in the text"),
        ('{"text": "a ____ ____", "answer": "c"}', "1 answer for 2 blanks (____) in the text; write one for each"),
        ('{"text": "a ____", "answer": ["c", "d"]}', "2 answers for 1 blank (____)"),
        ('{"text": "a ____", "answer": []}', "0 answers for 1 blank"),
        ('{"text": "a ____", "answer": 5}', "'answer' is 5; write a string"),
        ('{"text": "a ____", "answer": ["c", 5]}', "write a string, or for several blanks a list of strings"),
        ('{"text": "a ____", "answer": " "}', "the answer ' ' is blank"),
        ('{"text": "a ____", "answer": "c", "choices": ["d", "e"]}', "the answer 'c' is not among its choices, d, e"),
        ('{"text": "____ ____", "answer": ["c", "d"], "choices": [["c"], ["c"]]}', "the answer 'd' is not among"),
        ('{"text": "a ____", "choices": "c"}', "'choices' is 'c'; write a list of strings"),
        ('{"text": "a ____", "choices": []}', "'choices' is []; write a list of strings"),
        ('{"text": "a ____", "choices": ["c", 5]}', "write a list of strings"),
        ('{"text": "a ____", "choices": [["c"], "d"]}', "write a list of strings"),
        ('{"text": "a ____", "choices": [["c"], ["d"]]}', "2 lists of choices for 1 blank (____)"),
        ('{"text": "____ ____", "choices": ["c", "d"]}', "write a list of lists of strings, one list for each blank"),
        ('{"text": "____ ____", "choices": [["c"]]}', "1 list of choices for 2 blanks"),
        ('{"text": "____ ____", "choices": [["c"], []]}', "write a list of lists of strings"),
        ('{"text": "a ____", "choices": ["c", "d", "c"]}', "'c' is among the choices more than once"),
        ('{"text": "a ____", "choices": ["c", ""]}', "the choice '' is blank"),
    ],
)
def test_faults_of_a_question_name_its_line(write: Write, row: str, words: str) -> None:
    told(write('{"text": "a ____"}\n\n' + row + "\n", "rows.jsonl"), 3, words)


def test_an_answer_without_a_letter_is_told_why(write: Write) -> None:
    path = write('{"text": "at ____", "answer": "5"}\n', "rows.jsonl")
    told(path, 1, "the answer '5' has no letter from a to z, which dataset.letters_only asks for", letters_only=True)
    assert read(path)[0].label == "5"


# --- blanks that are cut -----------------------------------------------------------------------------------------


def cut(counts: Sequence[int], seed: int = 1, **more: Any) -> list[int]:
    dataset = TextDataset(train="a", **more)
    return list(dataset.cut_blanks(np.asarray(counts, dtype=np.int64), np.random.default_rng(seed)))


def most_apart(places: list[int]) -> int:
    """Return the size of the largest set without neighbours, by trying all."""
    if not places:
        return 0
    return max(most_apart(places[1:]), 1 + most_apart([place for place in places if place > places[0] + 1]))


@settings(max_examples=300, deadline=None)
@given(
    counts=st.lists(st.integers(0, 4), max_size=16),
    num_blanks=st.integers(1, 6),
    min_count=st.integers(1, 4),
    min_tokens=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_cut_blanks(counts: list[int], num_blanks: int, min_count: int, min_tokens: int, seed: int) -> None:
    found = cut(counts, seed, num_blanks=num_blanks, blank_min_count=min_count, min_tokens=min_tokens)
    places = [place for place, count in enumerate(counts) if count >= min_count]
    if len(counts) < min_tokens:
        assert found == []
        return
    assert len(found) == min(num_blanks, max(1, len(counts) // 3), len(places))
    assert found == sorted(set(found))
    assert set(found) <= set(places)
    assert all(type(place) is int for place in found)
    if most_apart(places) >= len(found):
        assert all(other - one > 1 for one, other in pairwise(found))


def test_every_candidate_is_drawn_about_as_often() -> None:
    counts = [9, 0, 9, 9, 9, 0, 9]
    drawn = [cut(counts, seed)[0] for seed in range(1_000)]
    assert {place: drawn.count(place) for place in sorted(set(drawn))} == pytest.approx(
        {0: 200, 2: 200, 3: 200, 4: 200, 6: 200}, abs=60
    )


def test_neighbours_are_avoided_where_the_middle_would_leave_no_room() -> None:
    counts = [0, 1, 1, 1, 0, 0]
    assert {tuple(cut(counts, seed, num_blanks=2)) for seed in range(50)} == {(1, 3)}
    assert {tuple(cut([0, 1, 1, 0, 0, 0], seed, num_blanks=2)) for seed in range(5)} == {(1, 2)}, "no other way"


def test_the_same_seed_cuts_the_same() -> None:
    counts = [3] * 30
    drawn = [tuple(cut(counts, seed, num_blanks=4)) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
