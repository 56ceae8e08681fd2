"""Reading data: what the cache may and may not do, and how splits are drawn."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_rows, write_jsonl

from rnntext import corpus as corpus_module
from rnntext import registry
from rnntext.contracts import Example
from rnntext.corpus import cache_folder, file_digest, read_corpus
from rnntext.datasets.csv import CsvDataset
from rnntext.datasets.huggingface import HuggingFaceDataset
from rnntext.datasets.jsonl import JsonLinesDataset
from rnntext.datasets.text import TextDataset
from rnntext.errors import DataError
from rnntext.recipe import PartChoice
from rnntext.tables import SplitOptions


class Made:
    """A dataset that gives examples from memory, without a file."""

    contract = 1
    examples: tuple[Example, ...] = ()

    def splits(self):
        return ("train",)

    def files(self, split):
        return ()

    def read(self, split):
        yield from self.examples


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def parses(monkeypatch):
    """The splits that JSON lines were really parsed for, in order."""
    seen = []
    read = JsonLinesDataset.read

    def counted(self, split):
        seen.append(split)
        return read(self, split)

    monkeypatch.setattr(JsonLinesDataset, "read", counted)
    return seen


def read_jsonl(folder, drawing=None, seed=1, **options):
    files = {key: str(folder / options[key]) for key in ("train", "validation", "test") if key in options}
    choice = PartChoice("datasets", "jsonl", JsonLinesDataset, {**options, **files})
    return read_corpus(choice, drawing or SplitOptions(), seed)


def lines_of(split):
    return [example.line for example in split.examples()]


def labels_of(split):
    return Counter(example.label for example in split.examples())


# --- the cache -------------------------------------------------------------------------------------------------


def test_a_file_that_was_read_is_not_parsed_again(tmp_path, parses):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    first = read_jsonl(tmp_path, train="a.jsonl")
    second = read_jsonl(tmp_path, train="a.jsonl")
    assert parses == ["train"]
    assert list(first.splits["train"].examples()) == list(second.splits["train"].examples())


def test_a_changed_file_is_parsed_again(tmp_path, parses):
    path = write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    before = path.stat()
    read_jsonl(tmp_path, train="a.jsonl")
    # The same size, name and times: only the content tells.
    path.write_bytes(path.read_bytes().replace(b'"good"', b'"fine"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    labels = labels_of(read_jsonl(tmp_path, train="a.jsonl").splits["train"])
    assert parses == ["train", "train"]
    assert set(labels) == {"fine", "bad"}


def test_a_changed_option_is_parsed_again(tmp_path, parses):
    rows = [{**row, "other": row["label"].upper()} for row in tiny_rows(20)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    read_jsonl(tmp_path, train="a.jsonl")
    labels = labels_of(read_jsonl(tmp_path, train="a.jsonl", label_field="other").splits["train"])
    assert parses == ["train", "train"]
    assert set(labels) == {"GOOD", "BAD"}


def test_the_same_rows_in_another_folder_are_not_parsed_again(tmp_path, parses):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    read_jsonl(tmp_path, train="a.jsonl")
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "a.jsonl", tmp_path / "moved" / "a.jsonl")
    again = read_jsonl(tmp_path, train="moved/a.jsonl")
    assert parses == ["train"]
    assert again.splits["train"].file == str(tmp_path / "moved" / "a.jsonl")


def test_notes_of_the_reader_are_kept_for_later_readings(tmp_path, parses):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n\n\n{"text": "b", "label": "y"}\n' * 5)
    notes = [read_jsonl(tmp_path, train="a.jsonl").notes for _ in range(2)]
    assert parses == ["train"]
    assert notes[0] == notes[1]
    assert notes[0][0] == "train: blank lines skipped in a.jsonl: 10"


def test_a_note_names_the_file_as_it_is_called_now(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n\n{"text": "b", "label": "y"}\n' * 5)
    read_jsonl(tmp_path, train="a.jsonl")
    shutil.move(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert "b.jsonl" in read_jsonl(tmp_path, train="b.jsonl").notes[0]


def test_a_suffix_that_decides_how_rows_are_cut_is_part_of_the_key(tmp_path):
    rows = ["text,label,more\ttext\tlabel", *["comma,x,_\ttab\ty", "comma,z,_\ttab\tz"] * 10]  # good either way
    for name in ("a.tsv", "a.csv"):
        (tmp_path / name).write_text("\n".join(rows))

    def texts(name):
        choice = PartChoice("datasets", "csv", CsvDataset, {"train": str(tmp_path / name)})
        return {example.text for example in read_corpus(choice, SplitOptions(), 1).splits["train"].examples()}

    assert texts("a.tsv") == {"tab"}
    assert texts("a.csv") == {"comma"}


def test_splits_of_one_folder_do_not_stand_in_for_each_other(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub_cache"))
    folder = tmp_path / "hub"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", tiny_rows(40, 1))
    write_jsonl(folder / "test.jsonl", tiny_rows(12, 2))
    options = {"path": str(folder), "train": "train", "test": "test"}
    found = read_corpus(PartChoice("datasets", "huggingface", HuggingFaceDataset, options), SplitOptions(), 1)
    assert [example.text for example in found.splits["test"].examples()] == [row["text"] for row in tiny_rows(12, 2)]
    sliced = read_corpus(
        PartChoice("datasets", "huggingface", HuggingFaceDataset, {**options, "train": "train[:20]"}),
        SplitOptions(),
        1,
    )
    assert len(sliced.splits["train"]) + len(sliced.splits["validation"]) == 20


def test_a_class_that_was_defined_anew_in_a_notebook_is_read_anew(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))

    def define(text):
        class Cell(Made):
            examples = tuple(Example(f"{text} {number}", label=str(number % 2)) for number in range(20))

            def files(self, split):
                return (str(path),)

        Cell.__qualname__ = "Cell"
        registry.register("datasets", "cell")(Cell)
        return read_corpus(PartChoice("datasets", "cell", Cell, {}), SplitOptions(), 1).splits["train"]

    with registry.registrations_undone():
        assert next(define("old").examples()).text.startswith("old")
        assert next(define("new").examples()).text.startswith("new")


@pytest.mark.parametrize("fault", [DataError("no good", line=3), KeyboardInterrupt(), RuntimeError("a bug")])
def test_a_reading_that_breaks_off_leaves_nothing_behind(tmp_path, cache, monkeypatch, fault):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    read = JsonLinesDataset.read

    def breaks_off(self, split):
        for example in read(self, split):
            if example.line == 3:
                raise fault
            yield example

    monkeypatch.setattr(corpus_module, "ROWS_A_WRITE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(JsonLinesDataset, "read", breaks_off)
        with pytest.raises(type(fault)) as caught:
            read_jsonl(tmp_path, train="a.jsonl")
    if isinstance(fault, DataError):
        assert str(caught.value) == f"{tmp_path}/a.jsonl:3: no good", "the file is filled in"
    assert list((cache / "examples").iterdir()) == []
    found = read_jsonl(tmp_path, train="a.jsonl")
    assert sum(map(len, found.splits.values())) == 20


def test_rows_without_their_notes_are_not_trusted(tmp_path, cache, parses):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    read_jsonl(tmp_path, train="a.jsonl")
    (notes,) = (cache / "examples").glob("*.json")
    notes.unlink()
    read_jsonl(tmp_path, train="a.jsonl")
    assert parses == ["train", "train"]
    assert notes.is_file()


def test_a_cache_that_cannot_be_written_to_is_said_plainly(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    (tmp_path / "a_file").write_text("in the way")
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "a_file" / "cache"))
    with pytest.raises(DataError, match=r"cannot write to the cache .*RNNTEXT_CACHE"):
        read_jsonl(tmp_path, train="a.jsonl")


def test_a_disk_that_is_full_in_the_middle_is_said_plainly(tmp_path, cache, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnntext.corpus.os.replace", full)
    with pytest.raises(DataError, match=r"No space left on device.*make room"):
        read_jsonl(tmp_path, train="a.jsonl")
    assert list((cache / "examples").iterdir()) == []


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("RNNTEXT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "rnntext"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "rnntext"


def test_digests_are_told_for_each_file(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    write_jsonl(tmp_path / "b.jsonl", tiny_rows(6, 5))
    found = read_jsonl(tmp_path, train="a.jsonl", test="b.jsonl")
    assert found.digests == {str(tmp_path / name): file_digest(tmp_path / name) for name in ("a.jsonl", "b.jsonl")}


# --- examples come back as they were read ----------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "\0", "nul\0nul", "😀👩\u200d🍳", "one\r\ntwo", "a\u2028b", "\ufeff", "e\u0301", "\x1c\x85"]
)
labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Example,
            text=words,
            tokens=st.none() | st.lists(words, max_size=3).map(tuple),
            label=labels | st.lists(labels, max_size=3).map(tuple),
            choices=st.none() | st.lists(st.lists(words, max_size=3).map(tuple), max_size=2).map(tuple),
            fields=st.dictionaries(labels, words, max_size=2),
            line=st.integers(0, 2**40),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_examples_equal_what_the_reader_gave(examples):
    class Given(Made):
        pass

    Given.examples = tuple(examples)
    split = corpus_module._read_split(
        Given(), PartChoice("datasets", "given", Given, {}), "train", corpus_module.Corpus({})
    )
    assert list(split.examples()) == examples


def test_more_rows_than_one_write_come_back_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "ROWS_A_WRITE", 7)
    rows = tiny_rows(50)
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_jsonl(tmp_path / "v.jsonl", rows[:5])
    split = read_jsonl(tmp_path, train="a.jsonl", validation="v.jsonl", group_fields=["length"]).splits["train"]
    assert [(example.text, example.label, example.fields["length"]) for example in split.examples()] == [
        (row["text"], row["label"], row["length"]) for row in rows
    ]
    assert lines_of(split) == list(range(1, 51))


def test_half_a_surrogate_pair_is_replaced_and_counted():
    class Given(Made):
        examples = tuple(Example(text, label=text[0]) for text in ["a\ud800b", "b", "a", "b"] * 5)

    found = read_corpus(PartChoice("datasets", "given", Given, {}), SplitOptions(), 1)
    texts = {example.text for split in found.splits.values() for example in split.examples()}
    assert texts == {"a?b", "a", "b"}
    assert "train: texts with half a surrogate pair, read as a question mark: 5" in found.notes


# --- drawing ---------------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(tmp_path):
    """200 rows: 140 of a, 50 of b, 10 of c."""
    labels = ["a"] * 140 + ["b"] * 50 + ["c"] * 10
    write_jsonl(tmp_path / "u.jsonl", [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)])
    return tmp_path


def test_drawn_splits_are_disjoint_and_hold_every_row_once(uneven):
    drawing = SplitOptions(validation_fraction=0.2, test_fraction=0.3)
    found = read_jsonl(uneven, drawing, train="u.jsonl")
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 100, "validation": 40, "test": 60}
    assert sorted(line for split in found.splits.values() for line in lines_of(split)) == list(range(1, 201))


def test_drawn_splits_keep_the_labels_in_proportion(uneven):
    drawing = SplitOptions(validation_fraction=0.2, test_fraction=0.3)
    splits = read_jsonl(uneven, drawing, train="u.jsonl").splits
    for name, share in (("validation", 0.2), ("test", 0.3), ("train", 0.5)):
        counts = labels_of(splits[name])
        for label, whole in (("a", 140), ("b", 50), ("c", 10)):
            assert abs(counts[label] - share * whole) <= 2, (name, counts)


def test_the_seed_decides_what_is_drawn(uneven):
    drawing = SplitOptions(validation_fraction=0.2)
    one, same, other = (
        lines_of(read_jsonl(uneven, drawing, seed, train="u.jsonl").splits["validation"]) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert one == sorted(one), "file order"


def test_a_tenth_is_held_out_where_no_validation_is_given_and_that_is_told(uneven):
    found = read_jsonl(uneven, train="u.jsonl")
    assert len(found.splits["validation"]) == 20
    assert "validation: 20 of the 200 training examples, drawn by seed, labels in proportion" in found.notes


def test_given_splits_are_not_drawn_from_the_training_file(uneven):
    write_jsonl(uneven / "v.jsonl", tiny_rows(8))
    found = read_jsonl(uneven, train="u.jsonl", validation="v.jsonl")
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 200, "validation": 8}
    assert found.notes == []


def test_a_limit_draws_that_many_of_each_larger_split_labels_in_proportion(uneven):
    write_jsonl(uneven / "v.jsonl", tiny_rows(8))
    found = read_jsonl(uneven, SplitOptions(limit=40), train="u.jsonl", validation="v.jsonl")
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 40, "validation": 8}
    counts = labels_of(found.splits["train"])
    assert abs(counts["a"] - 28) <= 1
    assert abs(counts["c"] - 2) <= 1
    assert found.notes == ["train: 40 of 200 examples, drawn (limit)"]


def test_the_only_example_of_a_label_stays_in_training(tmp_path):
    rows = [*tiny_rows(20), {"text": "rare one", "label": "rare"}]
    write_jsonl(tmp_path / "r.jsonl", rows)
    for seed in range(8):
        found = read_jsonl(tmp_path, SplitOptions(validation_fraction=0.4, test_fraction=0.3), seed, train="r.jsonl")
        assert labels_of(found.splits["train"])["rare"] == 1
        assert sum(map(len, found.splits.values())) == 21


def test_data_whose_labels_are_all_different_cannot_be_drawn_from(tmp_path):
    write_jsonl(tmp_path / "r.jsonl", [{"text": "a", "label": str(number)} for number in range(30)])
    with pytest.raises(DataError, match=r"r\.jsonl: no validation split can be drawn.*label_field"):
        read_jsonl(tmp_path, train="r.jsonl")


@pytest.mark.parametrize(("count", "fraction", "size"), [(4, 0.1, 0), (10, 0.99, 10)])
def test_a_fraction_that_leaves_a_split_empty_is_refused(tmp_path, count, fraction, size):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(count))
    with pytest.raises(
        DataError, match=rf"validation_fraction = {fraction} of {count} examples leaves {size} for"
    ) as caught:
        read_jsonl(tmp_path, SplitOptions(validation_fraction=fraction), train="a.jsonl")
    assert caught.value.file == str(tmp_path / "a.jsonl")


def test_texts_with_several_labels_are_drawn_too(tmp_path):
    rows = [{"text": f"t{n}", "label": ["a"] * (n % 2) + ["b"] * (n % 3 == 0)} for n in range(60)]
    write_jsonl(tmp_path / "m.jsonl", rows)
    found = read_jsonl(tmp_path, SplitOptions(validation_fraction=0.5), train="m.jsonl", multi_label=True)
    assert len(found.splits["validation"]) == 30
    counts = Counter(found.label for found in found.splits["validation"].examples())
    assert all(
        abs(counts[label] - whole / 2) <= 1 for label, whole in Counter(tuple(r["label"]) for r in rows).items()
    )


def test_a_file_that_went_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl: there is no such file"):
        read_jsonl(tmp_path, train="gone.jsonl")


def test_a_dataset_without_examples_is_named():
    with pytest.raises(DataError, match=r"made \(train\): there are no examples"):
        read_corpus(PartChoice("datasets", "made", Made, {}), SplitOptions(), 1)


def test_cached_notes_are_json_without_anything_else(tmp_path, cache):
    write_jsonl(tmp_path / "a.jsonl", tiny_rows(20))
    read_jsonl(tmp_path, train="a.jsonl")
    assert sorted(path.suffix for path in (cache / "examples").iterdir()) == [".arrow", ".json"]
    assert [json.loads(path.read_text()) for path in Path(cache / "examples").glob("*.json")] == [[]]


# --- questions and streams -------------------------------------------------------------------------------------


def read_text(folder, drawing=None, seed=1, **options):
    files = {key: str(folder / options[key]) for key in ("train", "validation", "test") if key in options}
    return read_corpus(
        PartChoice("datasets", "text", TextDataset, {**options, **files}), drawing or SplitOptions(), seed
    )


def write_lines(path, count, word="line"):
    path.write_text("".join(f"{word} {number}\n" for number in range(1, count + 1)))


def stream_of(split):
    return "".join(example.text for example in split.examples())


def test_choices_and_answers_survive_the_cache(tmp_path, monkeypatch):
    questions = [
        {"text": "We ____ at noon.", "answer": "ate", "choices": ["ate", "left", "slept"]},
        {"text": "The ____ was ____.", "answer": ["soup", "hot"], "choices": [["soup", "lamp"], ["hot", "late"]]},
        {"text": "It ____ again.", "answer": "rained"},
    ]
    write_jsonl(tmp_path / "q.jsonl", questions)
    write_lines(tmp_path / "t.txt", 5)
    first, second = (read_text(tmp_path, train="t.txt", validation="q.jsonl") for _ in range(2))
    expected = [
        ("ate", (("ate", "left", "slept"),)),
        (("soup", "hot"), (("soup", "lamp"), ("hot", "late"))),
        ("rained", None),
    ]
    for found in (first, second):
        examples = list(found.splits["validation"].examples())
        assert [(example.label, example.choices) for example in examples] == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_splits_of_a_stream_are_cut_off_its_end(tmp_path, seed):
    write_lines(tmp_path / "s.txt", 40)
    drawing = SplitOptions(validation_fraction=0.2, test_fraction=0.1)
    found = read_text(tmp_path, drawing, seed, train="s.txt", num_steps=5)
    assert lines_of(found.splits["train"]) == list(range(1, 29))
    assert lines_of(found.splits["validation"]) == list(range(29, 37))
    assert lines_of(found.splits["test"]) == list(range(37, 41))
    assert found.notes == [
        "test: the last 4 of the 40 lines of the training stream",
        "validation: the last 8 of the 40 lines of the training stream",
    ]
    whole = "".join(stream_of(found.splits[name]) for name in ("train", "validation", "test"))
    assert whole == (tmp_path / "s.txt").read_text()


def test_a_tenth_of_a_stream_validates_unless_a_file_is_given(tmp_path):
    write_lines(tmp_path / "s.txt", 40)
    write_lines(tmp_path / "v.txt", 6, "other")
    alone = read_text(tmp_path, train="s.txt", num_steps=5)
    assert lines_of(alone.splits["validation"]) == [37, 38, 39, 40]
    given_file = read_text(tmp_path, SplitOptions(test_fraction=0.5), train="s.txt", validation="v.txt", num_steps=5)
    assert {name: len(split) for name, split in given_file.splits.items()} == {
        "train": 20,
        "validation": 6,
        "test": 20,
    }
    assert next(given_file.splits["validation"].examples()).text == "other 1\n"


def test_the_limit_of_a_stream_keeps_its_start(tmp_path):
    write_lines(tmp_path / "s.txt", 40)
    found = read_text(tmp_path, SplitOptions(validation_fraction=0.5, limit=15), train="s.txt", num_steps=5)
    assert lines_of(found.splits["train"]) == list(range(1, 16))
    assert lines_of(found.splits["validation"]) == list(range(21, 36))
    assert "train: the first 15 of 20 lines (limit)" in found.notes
    whole = read_text(tmp_path, SplitOptions(validation_fraction=0.5, limit=20), train="s.txt", num_steps=5)
    assert not any("limit" in note for note in whole.notes)


def test_lines_that_are_no_stream_are_drawn_as_ever(tmp_path):
    write_lines(tmp_path / "s.txt", 40)
    found = read_text(tmp_path, SplitOptions(validation_fraction=0.2), train="s.txt")
    assert lines_of(found.splits["validation"]) != list(range(33, 41))


@pytest.mark.parametrize(("count", "fraction", "size"), [(1, 0.5, 0), (4, 0.1, 0), (10, 0.99, 10)])
def test_a_stream_of_too_few_lines_to_cut_is_refused(tmp_path, count, fraction, size):
    write_lines(tmp_path / "s.txt", count)
    expected = rf"s\.txt: validation_fraction = {fraction} of {count} lines leaves {size} for validation and"
    with pytest.raises(DataError, match=expected):
        read_text(tmp_path, SplitOptions(validation_fraction=fraction), train="s.txt", num_steps=5)


def test_test_and_validation_may_not_take_the_whole_stream_together(tmp_path):
    write_lines(tmp_path / "s.txt", 10)
    drawing = SplitOptions(validation_fraction=0.5, test_fraction=0.5)
    with pytest.raises(DataError, match="leaves 5 for validation and 0 to train on; give more data"):
        read_text(tmp_path, drawing, train="s.txt", num_steps=5)
