"""Whole runs: the same weights every time, on every kind of data and part, and nothing left behind by accident."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interrupting import StopsIn
from tiny import SETTINGS, make_tiny, sha256, tiny_rows, write_jsonl, write_recipe

import rnntext
from rnntext.embeddings.learned import LearnedEmbedding, count_words
from rnntext.errors import DataError, RecipeError, TrainingError, UsageError
from rnntext.heads.classification import ClassificationHead
from rnntext.progress import LineReporter
from rnntext.run_folder import RunFolder

REPOSITORY = Path(__file__).parent.parent


def run(recipe, overrides=None, **more):
    return rnntext.run(recipe, overrides, progress=LineReporter(lambda text: None), **more)


def weights_of(found) -> str:
    return sha256(found.path / "model.safetensors")


# --- the same recipe, the same weights -------------------------------------------------------------------------


def test_another_process_trains_the_same_weights(tiny_run, tiny_recipe, tmp_path):
    surroundings = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONHASHSEED": "77",
        "RNNTEXT_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "rnntext", "run", str(tiny_recipe), "-q", "--set", "baselines.enabled=false"]
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs/tiny-1\n"
    assert sha256(tmp_path / "runs" / "tiny-1" / "model.safetensors") == weights_of(tiny_run)
    for name in ("vocabulary.json", "labels.json", "selftest.json"):
        assert (tmp_path / "runs" / "tiny-1" / name).read_bytes() == (tiny_run.path / name).read_bytes()


def test_what_the_caller_did_before_changes_no_weight(tiny_run, tiny_recipe, tmp_path):
    torch.manual_seed(999)
    torch.rand(10)
    assert weights_of(run(tiny_recipe, out=tmp_path / "again")) == weights_of(tiny_run)


def test_another_seed_gives_other_weights(tiny_run, tiny_recipe, tmp_path):
    assert weights_of(run(tiny_recipe, {"seed": 4}, out=tmp_path / "other")) != weights_of(tiny_run)


def test_dropout_and_drawn_splits_follow_the_seed(tmp_path):
    dataset = {"validation": None, "test": None, "validation_fraction": 0.2, "limit": 50}
    recipe = make_tiny(
        tmp_path, dataset=dataset, embedding={"dropout": 0.3, "word_dropout": 0.1}, head={"dropout": 0.5}
    )
    one, two = (weights_of(run(recipe, out=tmp_path / name)) for name in ("one", "two"))
    assert one == two


def test_a_frozen_recipe_runs_again_to_the_same_weights(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    again = run(tiny_run.path / "recipe.toml", out="again")
    assert weights_of(again) == weights_of(tiny_run)
    frozen = (tiny_run.path / "recipe.toml").read_text(encoding="utf-8")
    once_more = (again.path / "recipe.toml").read_text(encoding="utf-8")
    assert tomllib.loads(once_more) == tomllib.loads(frozen)


def test_a_frozen_recipe_has_what_the_run_was_told(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    overrides = {"encoder.hidden_dim": 5, "training.threads": 1, "head.class_weights": {"good": 2.0}}
    found = run(tiny_recipe, overrides, out=tmp_path / "run")
    frozen = tomllib.loads((found.path / "recipe.toml").read_text(encoding="utf-8"))
    assert frozen["encoder"]["hidden_dim"] == 5
    assert frozen["head"]["class_weights"] == {"good": 2.0}
    assert frozen["training"]["threads"] == 1
    assert frozen["dataset"]["train"] == str(tiny_recipe.parent / "train.jsonl")
    assert weights_of(run(found.path / "recipe.toml", out=tmp_path / "again")) == weights_of(found)


def test_the_thread_count_that_was_used_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = run(make_tiny(tmp_path, training={"threads": None, "epochs": 1}), out=tmp_path / "run")
    frozen = tomllib.loads((found.path / "recipe.toml").read_text(encoding="utf-8"))
    assert frozen["training"]["threads"] == 1


# --- the caller's surroundings ---------------------------------------------------------------------------------


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("stop_epoch", [None, 1])
def test_random_numbers_and_threads_of_the_caller_are_untouched(tiny_recipe, tmp_path, two_threads, stop_epoch):
    seen = set()

    class Looking(StopsIn):
        def step(self, loss, tokens):
            seen.add(torch.get_num_threads())
            super().step(loss, tokens)

    torch.manual_seed(123)
    state = torch.get_rng_state()
    arguments = {"overrides": {"training.threads": 1}, "out": tmp_path / "run", "progress": Looking(stop_epoch)}
    with pytest.raises(KeyboardInterrupt) if stop_epoch else nullcontext():
        rnntext.run(tiny_recipe, **arguments)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2
    assert seen == {1}, "training has the threads of its recipe"


def test_a_run_in_python_says_how_it_goes_by_log_records(tiny_recipe, tmp_path, caplog):
    with caplog.at_level("INFO", logger="rnntext"):
        rnntext.run(tiny_recipe, {"baselines.enabled": False}, out=tmp_path / "run")
    told = "\n".join(record.getMessage() for record in caplog.records)
    for expected in ("train: 96 texts", "0.0% unknown", "vocabulary: 26 words", "parameters, on cpu", "epoch 3/3"):
        assert expected in told


# --- what a run takes ------------------------------------------------------------------------------------------


def test_a_recipe_may_be_a_path_a_string_or_read_already(tiny_run, tiny_recipe, tmp_path):
    plain = ["baselines.enabled=false"]
    found = [
        run(tiny_recipe, plain, out=tmp_path / "path"),
        run(str(tiny_recipe), plain, out=str(tmp_path / "text")),
        run(rnntext.read_recipe(tiny_recipe, plain), out=tmp_path / "read"),
    ]
    assert {weights_of(each) for each in found} == {weights_of(tiny_run)}
    assert found[1].path == tmp_path / "text"


def test_overrides_go_with_a_recipe_that_is_still_to_be_read(tiny_recipe, tmp_path):
    recipe = rnntext.read_recipe(tiny_recipe)
    with pytest.raises(UsageError, match="give overrides to read_recipe"):
        run(recipe, {"seed": 2}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_overrides_win_over_the_file(tiny_recipe, tmp_path):
    found = run(tiny_recipe, {"training.epochs": 1, "baselines.enabled": False}, out=tmp_path / "run")
    assert found.metrics["training"]["epochs"] == 1


def test_runs_are_numbered_in_the_current_folder(tmp_path, monkeypatch):
    recipe = make_tiny(tmp_path, training={"epochs": 1})
    monkeypatch.chdir(tmp_path)
    assert [run(recipe).path for _ in range(2)] == [Path("runs/tiny-1"), Path("runs/tiny-2")]
    assert rnntext.load("runs/tiny-2")("soup").label in ("good", "bad")


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(tiny_recipe, run_copy, monkeypatch):
    monkeypatch.setattr("rnntext.running.prepare", lambda *_: pytest.fail("data were read"))
    before = weights_of(rnntext.Run(run_copy, {}))
    with pytest.raises(UsageError, match="--force to replace it"):
        run(tiny_recipe, out=run_copy)
    assert weights_of(rnntext.Run(run_copy, {})) == before


def test_force_replaces_a_run_whole(tiny_recipe, run_copy):
    found = run(tiny_recipe, {"seed": 9, "baselines.enabled": False}, out=run_copy, force=True)
    assert found.path == run_copy
    assert len((run_copy / "history.jsonl").read_text().splitlines()) == 3
    assert tomllib.loads((run_copy / "recipe.toml").read_text())["seed"] == 9


def test_a_recipe_without_data_is_not_run(tmp_path):
    recipe = write_recipe(tmp_path, dataset={})
    with pytest.raises(RecipeError, match=r'add the line train = "FILE" under \[dataset\]'):
        run(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- how a run can end -----------------------------------------------------------------------------------------


def test_ctrl_c_in_the_second_epoch_leaves_the_model_of_the_first(tiny_recipe, tmp_path):
    found = rnntext.run(tiny_recipe, out=tmp_path / "run", progress=StopsIn(2))
    assert found.interrupted
    assert found.metrics["training"]["interrupted"] is True
    assert (found.metrics["training"]["epochs"], found.metrics["training"]["best_epoch"]) == (1, 1)
    assert found.metrics["baselines"] == {}
    whole = run(tiny_recipe, {"training.epochs": 1, "baselines.enabled": False}, out=tmp_path / "whole")
    assert weights_of(found) == weights_of(whole)
    assert rnntext.load(found.path)("lovely soup").text == "lovely soup"


def test_ctrl_c_before_the_first_epoch_leaves_nothing(tiny_recipe, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        rnntext.run(tiny_recipe, out=tmp_path / "run", progress=StopsIn(1))
    assert not (tmp_path / "run").exists()


def test_force_keeps_the_old_run_until_there_is_a_new_one(tiny_recipe, tmp_path):
    old = run(tiny_recipe, {"training.epochs": 1}, out=tmp_path / "run")
    weights = weights_of(old)
    with pytest.raises(KeyboardInterrupt):
        rnntext.run(tiny_recipe, {"seed": 5}, out=tmp_path / "run", force=True, progress=StopsIn(1))
    assert weights_of(old) == weights
    new = run(tiny_recipe, {"seed": 5, "training.epochs": 1}, out=tmp_path / "run", force=True)
    assert (new.path, weights_of(new) == weights) == (old.path, False)
    assert sorted(path.name for path in tmp_path.glob("*run*")) == ["run"]


class PressesCtrlCInTheFirstSave:
    def __call__(self, *_):
        raise KeyboardInterrupt


def test_ctrl_c_while_the_first_epoch_is_saved_leaves_nothing(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(RunFolder, "save_weights", PressesCtrlCInTheFirstSave())
    with pytest.raises(KeyboardInterrupt):
        run(tiny_recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_that_breaks_after_a_good_epoch_keeps_it(tiny_recipe, tmp_path):
    class Breaks(StopsIn):
        def step(self, loss, tokens):
            if self.now == self.stop_epoch:
                raise TrainingError("the loss is no number")

    with pytest.raises(TrainingError, match=r"no number.* The best epoch until then is kept: .*run"):
        rnntext.run(tiny_recipe, out=tmp_path / "run", progress=Breaks(2))
    assert rnntext.load(tmp_path / "run")("lovely soup").text == "lovely soup"


def test_ctrl_c_while_measuring_leaves_a_model_and_says_so(tiny_recipe, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnntext.running.measure", interrupted)
    with pytest.raises(KeyboardInterrupt, match="predicts, without metrics"):
        run(tiny_recipe, out=tmp_path / "run")
    assert rnntext.load(tmp_path / "run")("lovely soup").text == "lovely soup"


def test_data_that_cannot_be_used_leave_no_folder(tmp_path):
    recipe = make_tiny(tmp_path, dataset={"label_field": "text_type"})
    with pytest.raises(DataError):
        run(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cache_that_is_full_while_texts_are_encoded_is_said_plainly(tiny_recipe, tiny_run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnntext.encoding.tempfile.TemporaryFile", full)
    with pytest.raises(DataError, match="cannot write to the cache"):
        run(tiny_recipe, out=tmp_path / "run")


# --- what is measured ------------------------------------------------------------------------------------------


def test_without_a_test_split_baselines_are_scored_on_validation(tmp_path):
    recipe = make_tiny(tmp_path, dataset={"test": None}, baselines={"enabled": True}, training={"epochs": 1})
    metrics = run(recipe, out=tmp_path / "run").metrics
    assert metrics["test"] is None
    assert metrics["data"]["texts"] == {"train": 96, "validation": 16}
    assert metrics["baselines"]["majority"]["accuracy"] == 0.5
    assert sum(group["texts"] for group in metrics["groups"]["length"].values()) == 16


def test_baselines_can_be_left_out(tmp_path):
    metrics = run(make_tiny(tmp_path, training={"epochs": 1}), out=tmp_path / "run").metrics
    assert metrics["baselines"] == {}


@pytest.mark.parametrize("rows", [1, 20, 96])
def test_max_rows_bounds_what_baselines_are_trained_on(tmp_path, rows):
    told = []
    recipe = make_tiny(tmp_path, baselines={"enabled": True, "max_rows": rows}, training={"epochs": 1})
    metrics = rnntext.run(recipe, out=tmp_path / "run", progress=LineReporter(told.append)).metrics
    assert (f"baselines: trained on {rows} of 96 texts (max_rows)" in told) == (rows < 96)
    assert set(metrics["baselines"]) == {"majority", "tfidf"}
    if rows == 1:
        assert metrics["baselines"]["tfidf"]["accuracy"] == 0.5, "one text has one label"


def test_scores_are_given_by_group_with_their_shares(tiny_run, tiny_recipe):
    rows = [json.loads(line) for line in (tiny_recipe.parent / "test.jsonl").read_text().splitlines()]
    groups = tiny_run.metrics["groups"]["length"]
    assert {value: scores["texts"] for value, scores in groups.items()} == {
        value: sum(row["length"] == value for row in rows) for value in ("short", "long")
    }
    assert set(tiny_run.metrics["baseline_groups"]) == {"majority", "tfidf"}
    whole = sum(scores["texts"] * scores["accuracy"] for scores in groups.values()) / len(rows)
    assert whole == pytest.approx(tiny_run.metrics["test"]["accuracy"])


def test_texts_cut_without_tokens_and_unknown_are_counted(tmp_path):
    recipe = make_tiny(tmp_path, batching={"max_tokens": 5}, training={"epochs": 1})
    rows = [*tiny_rows(8), *[{"text": text, "label": "good", "length": "short"} for text in ("", "  ", "zzz yyy")]]
    write_jsonl(tmp_path / "test.jsonl", rows)
    told = []
    metrics = rnntext.run(recipe, out=tmp_path / "run", progress=LineReporter(told.append)).metrics
    cut = sum(len(row["text"].split()) > 5 for row in rows)
    assert metrics["data"]["texts_cut"]["test"] == cut
    assert metrics["data"]["texts_without_tokens"] == {"train": 0, "validation": 0, "test": 2}
    tokens = sum(max(1, min(5, len(row["text"].split()))) for row in rows)
    assert metrics["data"]["unknown_rate"]["test"] == pytest.approx(4 / tokens)
    assert any(f"{cut} cut at 5 tokens, 2 without tokens, read as one <unk>" in text for text in told)


def test_the_network_learns_what_there_is_to_learn(tiny_run):
    assert tiny_run.metrics["test"]["accuracy"] > 0.9 > tiny_run.metrics["baselines"]["majority"]["accuracy"]


def test_the_kept_epoch_is_chosen_by_the_metric_of_the_recipe(tiny_recipe, tmp_path):
    overrides = {"training.select_by": "loss", "training.epochs": 6, "baselines.enabled": False}
    found = run(tiny_recipe, overrides, out=tmp_path / "run")
    lines = [json.loads(line) for line in (found.path / "history.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["validation"]["loss"])
    assert found.metrics["training"]["best_epoch"] == best["epoch"]
    assert found.metrics["validation"]["loss"] == pytest.approx(best["validation"]["loss"], abs=1e-6)


def test_what_is_measured_and_kept_is_the_best_epoch_and_not_the_last(tiny_recipe, tmp_path, monkeypatch):
    falling = iter([0.9, 0.5, 0.4, 0.3])
    scores = SimpleNamespace(scores=lambda: {"accuracy": next(falling), "loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr("rnntext.training.evaluate", lambda *_: scores)
        found = run(tiny_recipe, {"training.epochs": 4, "baselines.enabled": False}, out=tmp_path / "run")
    assert found.metrics["training"]["best_epoch"] == 1
    first = run(tiny_recipe, {"training.epochs": 1, "baselines.enabled": False}, out=tmp_path / "first")
    assert weights_of(found) == weights_of(first)
    assert found.metrics["test"] == pytest.approx(first.metrics["test"], abs=1e-6)
    assert found.metrics["validation"] == pytest.approx(first.metrics["validation"], abs=1e-6)


# --- kinds of data and parts -----------------------------------------------------------------------------------


def finished(recipe, folder, **overrides):
    """Run, load, and return the run and its model: what every kind of recipe must come to."""
    found = run(recipe, overrides, out=folder)
    return found, rnntext.load(found.path)


def test_several_labels_a_text_end_to_end(tmp_path):
    rows = []
    for number, row in enumerate(tiny_rows(120)):
        labels = [row["label"], *(["tent"] if "tent" in row["text"] else [])]
        rows.append({"text": row["text"], "label": labels if number % 10 else []})
    write_jsonl(tmp_path / "train.jsonl", rows)
    dataset = {"train": "train.jsonl", "multi_label": True, "test_fraction": 0.2}
    recipe = write_recipe(tmp_path, dataset=dataset, baselines={"enabled": True}, training={"epochs": 6})
    found, model = finished(recipe, tmp_path / "run")
    assert {"accuracy", "macro_f1", "micro_f1", "ece"} <= set(found.metrics["test"])
    assert found.metrics["test"]["micro_f1"] > found.metrics["baselines"]["majority"]["micro_f1"]
    answer = model("dull soggy soup")
    assert set(answer.probabilities) == {"bad", "good", "tent"}
    assert answer.labels == [label for label, share in answer.probabilities.items() if share >= 0.5]
    assert "bad" in answer.labels
    assert model.evaluate(tmp_path / "train.jsonl").texts == 120


def test_a_csv_file_end_to_end(tmp_path):
    with open(tmp_path / "reviews.csv", "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["stars", "review"])
        writer.writerows([1 if row["label"] == "bad" else 10, f'"{row["text"]};\nreally"'] for row in tiny_rows(96))
    dataset = {"type": "csv", "train": "reviews.csv", "text_field": "review", "label_field": "stars"}
    recipe = write_recipe(tmp_path, dataset={**dataset, "test_fraction": 0.2})
    found, model = finished(recipe, tmp_path / "run")
    assert json.loads((found.path / "labels.json").read_text())["labels"] == ["1", "10"]
    assert model("lovely lovely soup").label == "10"
    assert model.evaluate(tmp_path / "reviews.csv").texts == 96


def test_a_parquet_file_end_to_end(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub_cache"))
    names = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    for name, count, seed in (("train", 96, 1), ("test", 24, 2)):
        rows = tiny_rows(count, seed)
        columns = {"text": [row["text"] for row in rows], "label": [names.str2int(row["label"]) for row in rows]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / f"{name}.parquet")
    dataset = {"type": "huggingface", "train": "train.parquet", "test": "test.parquet"}
    found, model = finished(write_recipe(tmp_path, dataset=dataset), tmp_path / "run")
    assert found.metrics["data"]["texts"] == {"train": 86, "test": 24, "validation": 10}
    assert model("lovely soup").label == "good"
    assert model.evaluate(tmp_path / "test.parquet").scores() == pytest.approx(found.metrics["test"], abs=1e-6)


def test_two_files_without_validation_draw_it_from_training(tmp_path):
    recipe = make_tiny(tmp_path, dataset={"validation": None}, training={"epochs": 1})
    metrics = run(recipe, out=tmp_path / "run").metrics
    assert metrics["data"]["texts"] == {"train": 86, "test": 24, "validation": 10}
    assert metrics["data"]["notes"] == [
        "validation: 10 of the 96 training examples, drawn by seed, labels in proportion"
    ]


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"type": "whitespace"},
        {"type": "character"},
        {"type": "spacy"},
        {"type": "nltk"},
        {"type": "regex", "pattern": r"\S+"},
    ],
    ids=lambda options: options["type"],
)
def test_every_tokenizer_end_to_end(tmp_path, tokenizer):
    found, model = finished(
        make_tiny(tmp_path, texts=48, tokenizer=tokenizer, training={"epochs": 1}), tmp_path / "r"
    )
    assert found.metrics["data"]["vocabulary_size"] > 10
    assert model.evaluate(tmp_path / "test.jsonl").scores() == pytest.approx(found.metrics["test"], abs=1e-6)


@pytest.mark.parametrize(
    "tables",
    [
        {"encoder": {"type": "gru"}},
        {"encoder": {"type": "rnn", "nonlinearity": "relu"}},
        {"encoder": {"num_layers": 2, "interleaved": False, "dropout": 0.2}},
        {"encoder": {"proj_dim": 3, "bidirectional": False}},
        {"embedding": {"type": "one_hot", "output_dim": None}},
        {"head": {"pooling": ["final", "attention"], "class_weights": "balanced", "label_smoothing": 0.1}},
        {"vocabulary": {"min_count": 2, "max_size": 12}},
        {"batching": {"batch_tokens": 40}},
    ],
    ids=lambda tables: next(iter(tables)) + "-" + next(iter(next(iter(tables.values())))),
)
def test_options_of_every_table_end_to_end(tmp_path, tables):
    found, model = finished(make_tiny(tmp_path, texts=48, **{"training": {"epochs": 1}, **tables}), tmp_path / "run")
    scores, again = found.metrics["test"], model.evaluate(tmp_path / "test.jsonl").scores()
    assert again["accuracy"] == scores["accuracy"]
    assert again["ece"] == pytest.approx(scores["ece"], abs=1e-6)


def test_several_embeddings_are_joined_end_to_end(tmp_path):
    recipe = make_tiny(tmp_path, training={"epochs": 1})
    text = recipe.read_text().replace("[embedding]", "[[embedding]]")
    recipe.write_text(text + '[[embedding]]\ntype = "one_hot"\n')
    found, model = finished(recipe, tmp_path / "run")
    width = SETTINGS["embedding"]["output_dim"] + found.metrics["data"]["vocabulary_size"]
    assert model.model.encoder.input_dim == width
    assert weights_of(run(found.path / "recipe.toml", out=tmp_path / "again")) == weights_of(found)


def test_a_word_list_is_needed_for_training_alone(tmp_path):
    recipe = make_tiny(tmp_path, vocabulary={"type": "word_list", "path": "words.txt"}, training={"epochs": 1})
    (tmp_path / "words.txt").write_text("lovely\ndull\nsoup\n")
    found = run(recipe, out=tmp_path / "run")
    (tmp_path / "words.txt").unlink()
    assert len(rnntext.load(found.path).vocabulary) == 5
    assert 0 < found.metrics["data"]["unknown_rate"]["train"] < 1


def test_many_labels_end_to_end(tmp_path):
    rows = [{"text": f"word{number % 5} and more", "label": number % 5} for number in range(100)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    recipe = write_recipe(tmp_path, dataset={"train": "train.jsonl", "test_fraction": 0.1}, training={"epochs": 8})
    found, model = finished(recipe, tmp_path / "run")
    assert found.metrics["test"]["accuracy"] == 1
    assert model("word3").label == "3"


def test_one_label_among_several_a_text_end_to_end(tmp_path):
    rows = [{"text": row["text"], "label": ["a"] if row["label"] == "good" else []} for row in tiny_rows(60)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    dataset = {"train": "train.jsonl", "multi_label": True}
    recipe = write_recipe(tmp_path, dataset=dataset, baselines={"enabled": True}, training={"epochs": 1})
    found, _ = finished(recipe, tmp_path / "run")
    assert set(found.metrics["baselines"]) == {"majority", "tfidf"}


def test_an_embedding_that_starts_from_labels_gets_the_training_texts_counts(tiny_recipe, tmp_path, monkeypatch):
    seen = []

    def spy(batches, num_words):
        seen.append((count_words(batches, num_words), num_words))
        return seen[0][0]

    monkeypatch.setattr("rnntext.embeddings.learned.count_words", spy)
    settings = {"embedding.label_start": 0.5, "training.epochs": 1}
    found = run(tiny_recipe, settings, out=tmp_path / "run")
    ((counts, words),) = seen
    labels = json.loads((found.path / "labels.json").read_text())
    texts = list(map(json.loads, tiny_recipe.parent.joinpath("train.jsonl").read_text().splitlines()))
    tokens = json.loads((found.path / "vocabulary.json").read_text())["tokens"]
    assert counts.shape == (len(labels["labels"]), words) == (len(labels["labels"]), len(tokens))
    for label, name in enumerate(labels["labels"]):
        for word in (2, 3, len(tokens) - 1):
            holds = [tokens[word] in row["text"].lower().replace(".", " .").split() for row in texts]
            same = [row["label"] == name for row in texts]
            assert counts[label, word] == sum(map(all, zip(holds, same, strict=True))), (name, tokens[word])


def test_embeddings_and_heads_each_get_one_pass_over_the_training_split(tiny_recipe, tmp_path, monkeypatch):
    passes = []

    def begin_from(self, batches):
        passes.append((type(self), [(batch.rows.tolist(), batch.targets.shape) for batch in batches]))

    monkeypatch.setattr(LearnedEmbedding, "begin_from", begin_from)
    monkeypatch.setattr(ClassificationHead, "begin_from", begin_from)
    found = run(tiny_recipe, {"training.epochs": 1, "baselines.enabled": False}, out=tmp_path / "run")
    assert [part for part, _ in passes] == [LearnedEmbedding, ClassificationHead]
    for _, batches in passes:
        assert sorted(row for rows, _ in batches for row in rows) == list(range(96))
        assert all(shape == (len(rows), 1) for rows, shape in batches)
    passes.clear()
    rnntext.load(found.path)
    assert passes == [], "a loaded model has its weights already"


def test_a_run_whose_parts_start_from_nothing_reads_no_batch_for_them(tiny_run, tiny_recipe, tmp_path, monkeypatch):
    def unread(*_):
        pytest.fail("words were counted")

    monkeypatch.setattr("rnntext.embeddings.learned.count_words", unread)
    monkeypatch.setattr("rnntext.heads.ngrams.NgramScores.begin_from", unread)
    assert weights_of(run(tiny_recipe, {"baselines.enabled": False}, out=tmp_path / "run")) == weights_of(tiny_run)


def test_a_start_from_labels_takes_texts_with_several_labels_and_none(tmp_path):
    rows = [{"text": row["text"], "label": [row["label"], "any"]} for row in tiny_rows(40)]
    rows += [{"text": "soup", "label": []} for _ in range(20)]  # the shortest, so whole batches of them
    write_jsonl(tmp_path / "train.jsonl", rows)
    dataset = {"train": "train.jsonl", "multi_label": True, "test_fraction": 0.2}
    recipe = write_recipe(tmp_path, dataset=dataset, embedding={"label_start": 0.5}, training={"epochs": 1})
    _, model = finished(recipe, tmp_path / "run")
    assert set(model("lovely soup").probabilities) == {"any", "bad", "good"}
