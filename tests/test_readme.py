"""The commands and code that the README shows do what it says."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import rnntext
from rnntext.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["--set", "training.epochs=1", "--set", "encoder.hidden_dim=8"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the README's files in it."""
    path = tmp_path_factory.mktemp("user")
    for name in ("reviews.csv", "more.csv"):
        with open(path / name, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            writer.writerows([f"a {word}, {word} thing {n}", word] for n in range(40) for word in ("good", "bad"))
    (path / "texts.txt").write_text("a good thing\na bad thing\n", encoding="utf-8")
    (path / "mine.toml").write_text(blocks("toml")[0], encoding="utf-8")
    for name in ("train.conll", "dev.conll"):
        (path / name).write_text("Ada B-PER\nsang O\n\nGiles B-PER\nHill I-PER\nleft O\n" * 9, encoding="utf-8")
    (path / "book.txt").write_text("the time came and went, and came again.\n" * 60, encoding="utf-8")
    (path / "letter.txt").write_text("Ada sang. Giles Hill left.\n", encoding="utf-8")
    (path / "recipes").symlink_to(ROOT / "recipes")
    return path


def test_the_commands_for_a_recipe_of_ones_own_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    commands = [line.split("#")[0].split(">")[0].strip() for line in README.splitlines() if "    rnntext " in line]
    assert len(commands) == 11
    for command in commands:
        arguments = shlex.split(command)[1:]
        assert main(arguments + (QUICK if arguments[0] == "run" else [])) == 0, command
    for shown in re.findall(r"`rnntext ([^`]+)`", README):
        arguments = shlex.split(shown)
        assert main(arguments) == 0, shown
    assert "mine-2" in capsys.readouterr().out


def test_the_python_example_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run = rnntext.run
    monkeypatch.setattr(rnntext, "run", lambda *given, **named: run(*given, {"training.epochs": 1}), raising=False)
    names: dict[str, object] = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    assert names["run"].metrics["test"] is not None  # type: ignore[attr-defined]


def test_the_example_of_tags_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    settings = {"training.epochs": 1, "encoder.hidden_dim": 8, "baselines.enabled": False}
    assert rnntext.run("recipes/tagging.toml", settings).path.name == "tagging-1"
    names: dict[str, Any] = {"rnntext": rnntext}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    assert [token["text"] for token in names["answer"].tokens][:2] == ["Mara", "Lindqvist"]
    row = re.findall(r'\{"text": \.\.\., "spans": .*?\]\}', README)[0].replace("...", '"Mara Lindqvist flew."')
    (folder / "spans.jsonl").write_text(f"{row}\n" * 20, encoding="utf-8")
    overrides = {"dataset.type": "jsonl", "dataset.train": "spans.jsonl", "dataset.spans_field": "spans"}
    assert rnntext.run("recipes/tagging.toml", {**overrides, **settings}).metrics["validation"]


def test_the_example_of_blanks_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    settings = {"training.epochs": 1, "encoder.hidden_dim": 8, "dataset.limit": 50, "baselines.enabled": False}
    assert rnntext.run("recipes/fill_blank.toml", settings).path.name == "fill_blank-1"
    exec(compile(blocks("python")[2], "README.md", "exec"), {"rnntext": rnntext})
    question = re.findall(r'\{"text": "[^`]+"choices":[^`]+\}', README)[0].replace("\n", " ")
    (folder / "questions.jsonl").write_text(f"{question}\n", encoding="utf-8")
    assert rnntext.load("runs/fill_blank-1").evaluate("questions.jsonl").texts == 1


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link
