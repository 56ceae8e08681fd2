"""The run folder: what is in it, where it may be made, and that nothing else is ever deleted."""

from __future__ import annotations

import json
import os
import pickletools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import sha256

from rnntext import run_folder
from rnntext.errors import RunFolderError, UsageError
from rnntext.run_folder import RunFolder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# --- what a run leaves -----------------------------------------------------------------------------------------


def test_a_run_leaves_these_files_and_no_others(tiny_run):
    assert names(tiny_run.path) == {
        "recipe.toml",
        "model.safetensors",
        "vocabulary.json",
        "labels.json",
        "metrics.json",
        "history.jsonl",
        "environment.json",
        "selftest.json",
    }


def test_no_file_of_a_run_is_a_pickle(tiny_run):
    for path in tiny_run.path.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"PK", b"\x80")), path.name
        with pytest.raises((ValueError, UnicodeDecodeError)):
            list(pickletools.genops(content))


def test_json_files_are_json_by_the_letter(tiny_run):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    for path in tiny_run.path.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    for line in (tiny_run.path / "history.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)


def test_metrics_hold_what_the_design_fixes(tiny_run):
    metrics = json.loads((tiny_run.path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == tiny_run.metrics
    for split in ("validation", "test"):
        assert {"accuracy", "macro_f1", "ece"} <= set(metrics[split])
    assert set(metrics["baselines"]) == {"majority", "tfidf"}
    for scores in metrics["baselines"].values():
        assert {"accuracy", "macro_f1", "ece", "milliseconds_per_text", "megabytes"} <= set(scores)
        assert scores["milliseconds_per_text"] > 0
        assert scores["megabytes"] > 0
    assert {"seconds", "epochs", "tokens_per_second", "parameters"} <= set(metrics["training"])
    assert metrics["training"]["epochs"] == 3
    assert metrics["training"]["interrupted"] is False


def test_history_has_a_line_an_epoch(tiny_run):
    lines = [json.loads(line) for line in (tiny_run.path / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    best = tiny_run.metrics["training"]["best_epoch"]
    assert lines[best - 1]["validation"]["accuracy"] == tiny_run.metrics["validation"]["accuracy"]
    assert max(line["validation"]["accuracy"] for line in lines) == tiny_run.metrics["validation"]["accuracy"]


def test_the_environment_names_versions_threads_parts_and_data(tiny_run, tiny_recipe):
    found = json.loads((tiny_run.path / "environment.json").read_text(encoding="utf-8"))
    assert found["packages"]["torch"] == torch.__version__
    assert found["threads"] == 1
    assert found["device"] == "cpu"
    data = {str(tiny_recipe.parent / f"{split}.jsonl") for split in ("train", "validation", "test")}
    assert found["data"] == {path: sha256(Path(path)) for path in data}
    assert {"encoders", "heads", "datasets"} <= {part["kind"] for part in found["parts"]}
    assert "rnntext/lstm" in {part["name"] for part in found["parts"]}


def test_the_self_test_is_made_of_the_vocabulary_and_not_of_training_texts(tiny_run, tiny_recipe):
    stored = json.loads((tiny_run.path / "selftest.json").read_text(encoding="utf-8"))
    words = json.loads((tiny_run.path / "vocabulary.json").read_text(encoding="utf-8"))["tokens"]
    assert {word for text in stored["texts"] for word in text.split()} <= set(words[2:])
    assert len({len(text.split()) for text in stored["texts"]}) > 4, "of several lengths"
    training = {json.loads(line)["text"] for line in (tiny_recipe.parent / "train.jsonl").read_text().splitlines()}
    assert not training & set(stored["texts"])
    assert [output["text"] for output in stored["outputs"]] == stored["texts"]


def test_safetensors_hold_at_most_one_key_of_metadata(tiny_run):
    content = (tiny_run.path / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert len(header.get("__metadata__", {})) <= 1


# --- where a run may be made -----------------------------------------------------------------------------------


def test_runs_are_numbered_by_the_next_free_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RunFolder.claim(None, "tiny", False).path == Path("runs/tiny-1")
    (tmp_path / "runs" / "tiny-2").write_text("a file in the way")
    assert RunFolder.claim(None, "tiny", False).path == Path("runs/tiny-3")
    assert RunFolder.claim(None, "other", True).path == Path("runs/other-1")


def test_a_new_or_empty_folder_is_taken(tmp_path):
    RunFolder.claim(tmp_path / "deep" / "new", "tiny", False)
    (tmp_path / "empty").mkdir()
    RunFolder.claim(tmp_path / "empty", "tiny", False)
    assert names(tmp_path) == {"deep", "deep/new", "empty"}


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file is a file; give --out a folder"):
        RunFolder.claim(tmp_path / "file", "tiny", True)
    with pytest.raises(UsageError, match="cannot make the run folder"):
        RunFolder.claim(tmp_path / "file" / "inside", "tiny", True)


def test_a_run_is_replaced_by_force_alone(run_copy):
    with pytest.raises(UsageError, match="holds a run already; give --out another folder, or --force"):
        RunFolder.claim(run_copy, "tiny", False)
    before = names(run_copy)
    assert len(before) == 8
    new = RunFolder.claim(run_copy, "tiny", True)
    assert names(run_copy) == before, "the old run stays until the new one has something to keep"
    new.save_weights({"weight": torch.zeros(1)})
    assert new.settle()
    assert new.path == run_copy
    assert names(run_copy) == {"model.safetensors"}
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def test_a_run_is_not_replaced_by_one_that_came_to_nothing(run_copy):
    before = names(run_copy)
    new = RunFolder.claim(run_copy, "tiny", True)
    new.write_text("recipe.toml", "")
    assert not new.settle()
    assert names(run_copy) == before
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


@pytest.mark.parametrize(
    "files",
    [
        ["notes.txt"],
        ["recipe.toml"],
        ["recipe.toml", "reviews.csv"],
        ["recipe.toml", "vocabulary.json", "labels.json", "thesis.tex"],
        [".git"],
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_other_files_is_never_touched(tmp_path, files, force):
    for name in files:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files than a run's \(.*give --out another folder"):
        RunFolder.claim(tmp_path, "tiny", force)
    assert names(tmp_path) == set(files)


def test_a_run_with_somebodys_notes_in_it_is_not_deleted(run_copy):
    (run_copy / "notes.md").write_text("what I saw")
    with pytest.raises(UsageError, match=r"\(notes\.md\)"):
        RunFolder.claim(run_copy, "tiny", True)
    assert len(names(run_copy)) == 9


def test_a_run_that_died_before_its_first_epoch_can_be_replaced(run_copy):
    for name in ("model.safetensors", "metrics.json", "history.jsonl", "selftest.json"):
        (run_copy / name).unlink()
    (run_copy / ".model.safetensors.partial").write_text("cut off")
    new = RunFolder.claim(run_copy, "tiny", True)
    new.save_weights({"weight": torch.zeros(1)})
    assert new.settle()
    assert names(run_copy) == {"model.safetensors"}


# --- writing and reading ---------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_text("a.txt", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match=r"cannot write .*a\.txt: No space left on device"):
        folder.write_text("a.txt", "new and longer")
    assert names(tmp_path) == {"a.txt"}
    assert (tmp_path / "a.txt").read_text() == "old"


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text("abc.", min_size=1, max_size=5), st.lists(st.floats(width=32), max_size=5), max_size=5)
)
def test_weights_come_back_bit_for_bit_and_equal_weights_give_equal_bytes(tmp_path_factory, values):
    folder = RunFolder(tmp_path_factory.mktemp("weights"))
    tensors = {name: torch.tensor(numbers, dtype=torch.float32) for name, numbers in values.items()}
    folder.save_weights(tensors)
    first = folder.file(run_folder.WEIGHTS).read_bytes()
    folder.save_weights(dict(reversed(tensors.items())))
    assert folder.file(run_folder.WEIGHTS).read_bytes() == first
    found = folder.read_weights()
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_a_number_that_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunFolder(tmp_path).write_json("a.json", {"loss": float("nan")})
    assert names(tmp_path) == set()
