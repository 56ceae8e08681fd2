from pathlib import Path

import pytest

import rnntext
from rnntext.recipe import read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "encoder.hidden_dim": 4,
    "head.dropout": 0.0,
    "training.epochs": 1,
    "head.ngram_buckets": 100,
    "baselines.enabled": False,
}
THINGS = ["杯子", "雨伞", "书架", "台灯", "椅子", "茶壶", "闹钟", "毛巾"]


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_are_valid(path):
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize("name", ["sentiment_zh", "sentiment_zh_words"])
def test_reviews_from_file_to_answer(tmp_path, name):
    files = {}
    for label, words in (("positive", "很漂亮，真好用"), ("negative", "坏了，太难用")):
        file = tmp_path / f"{label}.txt"
        file.write_text("".join(f"{thing}{words}\n" for thing in THINGS), encoding="utf-8")
        files[f"dataset.{label}"] = str(file)
    path = RECIPES / f"{name}.toml"
    splits = {"dataset.test_fraction": 0.25, "dataset.validation_fraction": 0.25}
    run = rnntext.run(path, overrides=files | splits | SMALL, out=tmp_path / "run")
    assert run.metrics["data"]["texts"] == {"train": 8, "validation": 4, "test": 4}
    answer = rnntext.load(run.path)("雨伞很漂亮😀")
    assert set(answer.probabilities) == {"positive", "negative"}


def test_news_from_file_to_answer(tmp_path):
    file = tmp_path / "news.txt"
    file.write_text("".join(f"{thing}/n  坏/a  了/y  。/w\n" for thing in THINGS), encoding="utf-8")
    splits = {"dataset.test_fraction": 0.25, "dataset.validation_fraction": 0.25}
    small = {key: value for key, value in SMALL.items() if key != "head.ngram_buckets"}
    run = rnntext.run(
        RECIPES / "tagging_zh.toml", overrides={"dataset.train": str(file)} | splits | small, out=tmp_path / "run"
    )
    assert run.metrics["data"]["texts"] == {"train": 4, "validation": 2, "test": 2}
    text = "😀 雨伞 坏了。"
    tokens = rnntext.load(run.path)(text).tokens
    assert [token["text"] for token in tokens] == ["😀", "雨伞", "坏", "了", "。"]
    assert all(text[token["start"] : token["end"]] == token["text"] for token in tokens)
    assert {token["tag"] for token in tokens} <= {"n", "a", "y", "w"}
