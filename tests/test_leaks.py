"""A model that reads what it should tell: refused with the reason; where it is allowed, every figure says so."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console, RenderableType
from tiny import write_recipe

import rnntext
from rnntext.cli import main
from rnntext.contracts import Batch
from rnntext.evaluation import LEAKED
from rnntext.generating import Reader
from rnntext.model import Follower
from rnntext.prediction import TrainedModel
from rnntext.shipping import recipes_folder
from rnntext.summary import closing_table, group_tables, scores_table

SHIPPED = str(recipes_folder() / "notes" / "bidirectional_lm.toml")
SENTENCES = [
    "the ferry left at noon with nobody on deck .",
    "a man with a ladder was too late for it .",
    "so he sat down on a crate and ate an apple .",
    "the next ferry was full of sheep and rain .",
]
ALLOWED = ["--set", "head.allow_leak=true"]


@dataclass
class Told:
    """What a command printed."""

    status: int
    out: str
    err: str

    def table(self) -> dict[str, list[str]]:
        """Return the rows of what was printed, by their first cell."""
        rows = [line.split() for line in self.out.splitlines() if line.split()]
        return {row[0]: row[1:] for row in rows}


def told(*arguments: str) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(list(arguments))
    return Told(status, out.getvalue(), err.getvalue())


def recipe_of_letters(folder: Path) -> str:
    for name, times in (("train", 12), ("test", 2)):
        (folder / f"{name}.txt").write_text("\n".join(SENTENCES * times) + "\n", encoding="utf-8")
    recipe = write_recipe(
        folder,
        dataset={
            "type": "text",
            "train": "train.txt",
            "validation": "test.txt",
            "test": "test.txt",
            "num_steps": 12,
            "sampling": "sequential",
        },
        tokenizer={"type": "character", "keep_whitespace": True},
        encoder={"bidirectional": True},
        head={"type": "next_token"},
        training={"epochs": 4, "learning_rate": 0.03},
        baselines={"enabled": True},
    )
    return str(recipe)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return recipe_of_letters(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def leaked(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """Return the folder of a leaked run, and what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "leaked"
    return folder, told("run", recipe, *ALLOWED, "--out", str(folder))


@pytest.fixture(scope="module")
def model(leaked: tuple[Path, Told]) -> TrainedModel:
    return rnntext.load(leaked[0])


def marked(scores: dict[str, Any]) -> bool:
    return bool(scores) and all(name.startswith(LEAKED) for name in scores)


# ---- refused


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_language_model_that_reads_both_ways_is_refused_with_the_reason(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = told(command, SHIPPED)
    assert refused.status == 2
    assert refused.out == ""
    assert "reads the future; the token that is to be told stands there already" in refused.err
    assert "Set encoder.bidirectional = false" in refused.err
    assert "head.allow_leak = true" in refused.err
    assert refused.err.endswith("1 problem. Nothing was run.\n")
    assert not list(tmp_path.iterdir())


def test_check_says_what_leaks_where_it_is_allowed():
    allowed = told("check", SHIPPED, *ALLOWED)
    assert (allowed.status, allowed.out) == (0, f"{SHIPPED}: valid\n")
    assert allowed.err == "LEAKED: the encoder reads the future; every figure of a run is marked\n"
    sound = told("check", SHIPPED, *ALLOWED, "--set", "encoder.bidirectional=false")
    assert (sound.status, sound.err) == (0, "")


# ---- allowed: every figure is marked


def test_the_history_is_marked(leaked):
    lines = [json.loads(line) for line in (leaked[0] / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert marked(line["validation"])
        assert [name for name in line if "loss" in name] == ["leaked_train_loss"]


def test_metrics_json_is_marked_and_its_baselines_are_not(leaked):
    metrics = json.loads((leaked[0] / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["leaked"] == ["future"]
    assert marked(metrics["validation"])
    assert marked(metrics["test"])
    assert metrics["units"]["perplexity"] == "per character"
    assert all("perplexity" in scores and not marked(scores) for scores in metrics["baselines"].values())


def test_what_is_printed_is_marked(leaked):
    folder, printed = leaked
    assert printed.status == 0
    assert "LEAKED: the encoder reads the future, which is to be told" in printed.err
    epochs = [line for line in printed.err.splitlines() if line.startswith("epoch")]
    assert all("leaked train loss" in line and "validation leaked_perplexity" in line for line in epochs)
    lines = printed.out.splitlines()
    assert " ".join(lines[0].split()) == "test, 8 texts (LEAKED: the encoder reads the future)"
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    rows = printed.table()
    assert rows["method"][:2] == ["perplexity", "bits_per_character"]
    perplexity = metrics["test"]["leaked_perplexity"]
    assert rows["LEAKED"][:5] == ["lstm", "(this", "run)", "leaked", f"{perplexity:.4f}"]
    assert rows["6-gram"][0] == f"{metrics['baselines']['6-gram']['perplexity']:.4f}"
    assert "perplexity per character; bits_per_character: blanks between words included" in printed.out
    assert lines[-1] == str(folder), "the last line of results is the folder"
    assert f"rnntext generate {folder} --prompt TEXT --length 200" in printed.err.splitlines()[-1]


def test_a_sound_run_says_nothing_of_leaks(recipe, tmp_path):
    folder = str(tmp_path / "run")
    sound = told("run", recipe, "--set", "encoder.bidirectional=false", *ALLOWED, "--out", folder)
    assert sound.status == 0
    assert "leaked" not in (sound.out + sound.err).lower()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert "leaked" not in metrics
    assert "perplexity" in metrics["test"]
    assert "leaked" not in rnntext.load(folder)("the ferry").to_dict()
    assert "leaked" not in told("generate", folder, "--prompt", "the", "--length", "5").err.lower()


def test_the_best_epoch_is_chosen_and_training_stops_early(recipe, leaked, tmp_path):
    lines = [json.loads(line) for line in (leaked[0] / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    best = min(lines, key=lambda line: line["validation"]["leaked_perplexity"])["epoch"]
    metrics = json.loads((leaked[0] / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["best_epoch"] == best
    # No token is unknown, in any epoch: the first is the best, and the next no better.
    settings = ["training.select_by=unknown_rate", "training.patience=1", "baselines.enabled=false"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    stopped = told("run", recipe, *ALLOWED, *pairs, "--out", str(tmp_path / "run"))
    assert stopped.status == 0
    assert "stopped early: no better leaked_unknown_rate in 1 epochs" in stopped.err
    assert len((tmp_path / "run" / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_evaluate_is_marked(recipe, leaked):
    file = str(Path(recipe).parent / "test.txt")
    metrics = json.loads((leaked[0] / "metrics.json").read_text(encoding="utf-8"))
    assert json.loads(told("evaluate", str(leaked[0]), file, "--json").out) == pytest.approx(metrics["test"])
    shown = told("evaluate", str(leaked[0]), file)
    assert shown.out.split()[:3] == ["8", "texts,", "LEAKED"]
    value = f"{metrics['test']['leaked_perplexity']:.4f}"
    assert shown.table()["leaked_perplexity"] == [value, "per", "character"]


def test_predictions_are_marked(leaked, model):
    assert model("the ferry").leaked is True
    answers = [json.loads(line) for line in told("predict", str(leaked[0]), "--text", "the ferry").out.splitlines()]
    assert answers == [{**model("the ferry").to_dict(), "leaked": True}]


def test_a_series_of_seeds_is_marked(recipe, tmp_path):
    pairs = ["--set", "baselines.enabled=false", "--set", "training.epochs=1"]
    series = told("run", recipe, *ALLOWED, *pairs, "--seeds", "2", "--out", str(tmp_path / "runs"))
    assert series.status == 0
    summary = json.loads((tmp_path / "runs" / "seeds.json").read_text(encoding="utf-8"))
    assert summary["leaked"] == ["future"]
    assert summary["units"]["perplexity"] == "per character"
    assert marked(summary["test"])
    assert "(LEAKED: the encoder reads the future)" in " ".join(series.out.split())
    rows = series.table()
    mean = summary["test"]["leaked_perplexity"]["mean"]
    assert rows["LEAKED"][:5] == ["lstm", "(these", "runs)", "leaked", f"{mean:.4f}"]


def test_generate_says_that_the_model_is_leaked(leaked):
    made = told("generate", str(leaked[0]), "--prompt", "the", "--length", "5")
    assert made.status == 0
    assert len(made.out) == len("the") + 5 + 1
    assert "this model is LEAKED" in made.err


# ---- what leaks


def test_no_state_is_carried_into_windows_whose_end_was_read_first(model):
    token_ids = torch.tensor([[2, 3, 4, 5]])
    targets = torch.tensor([[3, 4, 5, 6]])
    follow = Follower(model.model)
    with torch.inference_mode():
        outputs = [
            follow(Batch(token_ids=token_ids, lengths=torch.tensor([4]), targets=targets, goes_on=goes_on))
            for goes_on in (False, True)
        ]
    torch.testing.assert_close(outputs[0].losses, outputs[1].losses, rtol=0, atol=0)


def test_a_leaked_model_tells_much_less_from_the_text_so_far_than_its_perplexity_says(recipe, leaked, model):
    text = (Path(recipe).parent / "test.txt").read_text(encoding="utf-8")[:150]
    reader = Reader(model.model)
    token_ids = model.vocabulary.encode(list(text))
    losses = [
        -reader.read([token], [token_id])[following]
        for token, token_id, following in zip(text, token_ids, token_ids[1:], strict=False)
    ]
    metrics = json.loads((leaked[0] / "metrics.json").read_text(encoding="utf-8"))
    assert np.exp(np.mean(losses)) > 1.5 * metrics["test"]["leaked_perplexity"]


# ---- blanks that are none


def test_texts_without_a_blank_are_counted(tmp_path):
    (tmp_path / "train.txt").write_text("\n".join(SENTENCES * 6) + "\n", encoding="utf-8")
    recipe = write_recipe(
        tmp_path,
        dataset={"type": "text", "train": "train.txt"},
        tokenizer={"type": "whitespace"},
        encoder={"interleaved": False},
        head={"type": "fill_blank"},
        training={"epochs": 1},
    )
    run = rnntext.run(recipe, out=tmp_path / "run")
    assert run.metrics["units"] == {"perplexity": "per blank whose answer the vocabulary knows"}
    lines = ["the ____ left", "the ferry", '{"text": "a man"}']
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    answered = told("predict", str(run.path), str(tmp_path / "lines.txt"))
    assert answered.status == 0
    assert [len(json.loads(line)["blanks"]) for line in answered.out.splitlines()] == [1, 0, 0]
    assert answered.err == "2 of 3 texts have no blank; write it ____\n"
    model = rnntext.load(run.path)
    assert model.counts.without_blanks == 0, "those of the self-test do not count"
    model(["a ____", "b ____"])
    assert model.counts.without_blanks == 0


# ---- tables


def shown(table: RenderableType) -> list[list[str]]:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return [line.split() for line in console.export_text().splitlines() if line.split()]


def metrics_of(count: int, **more: Any) -> dict[str, Any]:
    """Return as much of metrics.json as tables read, with so many metrics."""
    costs = {"milliseconds_per_text": 0.1, "megabytes": 1.0}
    names = ["top1", "top5", "mrr", "perplexity", "unknown_answers"][:count]
    return {
        "validation": {f"leaked_{name}": 0.5 for name in names},
        "test": None,
        "baselines": {"unigram": {**dict.fromkeys(names, 0.25), **costs}},
        "prediction": costs,
        "data": {"texts": {"validation": 7}},
        "leaked": ["own_token"],
        **more,
    }


@pytest.mark.parametrize("count", [4, 5])
def test_a_leaked_network_stands_beside_honest_methods_whichever_way_the_table_is_laid(count):
    rows = shown(closing_table(metrics_of(count), "lstm"))
    title = " ".join(word for row in rows[:2] for word in row)  # it is as wide as the table
    assert title.startswith("validation, 7 texts (LEAKED: the encoder reads the hidden token itself)")
    by_name = {row[0]: row[1:] for row in rows}
    if count > 4:
        assert by_name["metric"] == ["LEAKED", "lstm", "unigram"]
        assert by_name["top1"] == ["leaked", "0.5000", "0.2500"]
        assert by_name["ms/text"] == ["0.100", "0.100"]
    else:
        assert by_name["LEAKED"] == ["lstm", *["leaked", "0.5000"] * 4, "0.100", "1.00"]
        assert by_name["unigram"] == [*["0.2500"] * 4, "0.100", "1.00"]


def test_groups_are_compared_by_the_metric_without_its_mark():
    groups = {"genre": {"news": {"texts": 3, "leaked_top1": 0.5}}}
    others = {"unigram": {"genre": {"news": {"texts": 3, "top1": 0.25}}}}
    (table,) = group_tables(metrics_of(1, groups=groups, baseline_groups=others), "lstm")
    rows = shown(table)
    assert rows[0] == ["top1", "by", "genre"]
    assert rows[1] == ["genre", "texts", "LEAKED", "lstm", "unigram"]
    assert rows[-1] == ["news", "3", "leaked", "0.5000", "0.2500"]


def test_units_are_named_for_the_metrics_that_are_there():
    units = {"perplexity": "per word", "ece": "of probabilities", "bits": "per character"}
    metrics = metrics_of(4, units=units)
    assert shown(closing_table(metrics, "lstm"))[-1] == ["perplexity", "per", "word"]
    rows = {row[0]: row[1:] for row in shown(scores_table({"perplexity": 2.5, "top1": 0.5, "ece": 0.1}, 7, units))}
    assert rows["metric"] == ["value", "unit"]
    assert rows["perplexity"] == ["2.5000", "per", "word"]
    assert rows["top1"] == ["0.5000"]
    assert rows["ece"] == ["0.1000", "of", "probabilities"]
    assert ["metric", "value"] in shown(scores_table({"top1": 0.5}, 7))
