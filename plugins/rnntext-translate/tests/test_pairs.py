"""Reading sentence pairs, and refusing what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.contracts import Example
from rnntext.errors import DataError, UsageError
from rnntext_translate.pairs import PairsDataset


def write(folder: Path, content: str | bytes) -> str:
    path = folder / "pairs.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(path: str, **options: int) -> list[Example]:
    return list(PairsDataset(train=path, **options).read("train"))


def test_a_line_is_a_sentence_its_translation_and_its_origin(tmp_path):
    path = write(tmp_path, "Run!\tCours\u202f!\r\nRun!\t Courez ! \n")
    assert read(path) == [
        Example("Run!", label="Cours\u202f!", origin="Run!", line=1),
        Example("Run!", label="Courez !", origin="Run!", line=2),
    ]


def test_columns_may_be_others_and_the_rest_is_left_alone(tmp_path):
    path = write(tmp_path, "1\tVa !\tby someone\tGo.\n")
    (example,) = read(path, source_column=-1, target_column=1)
    assert (example.text, example.label) == ("Go.", "Va !")


def test_a_line_is_split_at_line_feeds_alone_and_a_mark_at_the_start_is_no_text(tmp_path):
    path = write(tmp_path, "\ufeffGo\u2028on.\tVa\x0b.\n")
    (example,) = read(path)
    assert (example.text, example.label) == ("Go\u2028on.", "Va\x0b.")


def test_blank_lines_are_counted_anew_each_time(tmp_path):
    dataset = PairsDataset(train=write(tmp_path, "\nGo.\tVa !\n\t \n\n"))
    for _ in range(2):
        assert len(list(dataset.read("train"))) == 1
        assert dataset.notes == {"blank lines skipped": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Go.\tVa !\nRun!\n", r"2: no column 1 for dataset\.target_column; the line has 1 column, the first is 0"),
        ("Go.\tVa !\nRun!\t  \n", "2: the translation in column 1 is empty; write one, or take the line out"),
        ("Go.\tVa !\n \tCours\n", "2: the sentence in column 0 is empty"),
        (b"Go.\tVa !\nRun!\t\xe0\xff\n", "2: not UTF-8: 0xe0 at byte 6 of the line; save the file as UTF-8"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"pairs\.tsv:{message}"):
        read(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.tsv: cannot be read \(No such file"):
        read(str(tmp_path / "missing.tsv"))


def test_splits_are_those_that_are_named(tmp_path):
    path = write(tmp_path, "Go.\tVa !\n")
    dataset = PairsDataset(train=path, test=path)
    assert dataset.splits() == ("train", "test")
    assert dataset.files("test") == (path,)
    with pytest.raises(UsageError, match=r"has no validation split, only train, test; set dataset\.validation"):
        dataset.files("validation")


def test_one_column_cannot_be_both():
    faults = list(PairsDataset.check_options({"source_column": 1, "target_column": 1}))
    assert faults == [("target_column", "is also source_column; a sentence cannot be its own translation")]
    assert not list(PairsDataset.check_options({"source_column": 0, "target_column": 1}))
