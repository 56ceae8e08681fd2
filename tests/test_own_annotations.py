"""What a plugin's dataset gives and its head needs, by a word that rnntext does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tiny import write_recipe

from rnntext import register, registry
from rnntext.cli import main
from rnntext.contracts import Example, FilePath
from rnntext.heads.classification import ClassificationHead


class AnsweredTexts:
    contract = 1

    def __init__(self, *, train: FilePath) -> None:
        self.path = train

    @classmethod
    def gives(cls, options):
        return frozenset({"summaries"})

    def splits(self):
        return ("train",)

    def files(self, split):
        return (self.path,)

    def read(self, split):
        yield Example("a", label="b")


class Summarizing(ClassificationHead):
    @classmethod
    def needs(cls, options):
        return frozenset({"summaries"})


class SummarizingMadeUp(Summarizing):
    @classmethod
    def assumed(cls, tokens: Sequence[str], number: int) -> Example:
        return Example("", tuple(tokens), f"summary {number % 7}")


@pytest.fixture(autouse=True)
def _parts():
    with registry.registrations_undone():
        register("datasets", "answered")(AnsweredTexts)
        register("heads", "summarizing")(Summarizing)
        register("heads", "summarizing_made_up")(SummarizingMadeUp)
        yield


def checked(tmp_path, capsys, dataset: dict[str, Any], head: str, command: str = "check") -> tuple[int, str]:
    status = main([command, str(write_recipe(tmp_path, dataset=dataset, head={"type": head, "dropout": None}))])
    captured = capsys.readouterr()
    return status, " ".join((captured.out + captured.err).split())


def test_a_dataset_and_a_head_may_agree_on_a_word_of_their_own(tmp_path, capsys):
    assert checked(tmp_path, capsys, {"type": "answered"}, "summarizing")[0] == 0


def test_a_head_that_needs_a_word_of_its_own_is_refused_on_other_data(tmp_path, capsys):
    status, said = checked(tmp_path, capsys, {"type": "jsonl"}, "summarizing")
    assert status == 2
    assert (
        "head 'summarizing' with these options needs 'summaries', which these data do not give; choose a dataset "
        "of the package that the head is from"
    ) in said


def test_a_head_of_labels_is_refused_on_data_with_an_annotation_of_their_own(tmp_path, capsys):
    status, said = checked(tmp_path, capsys, {"type": "answered"}, "classification")
    assert status == 2
    assert "needs labels of whole texts, and these data have none" in said


def test_a_head_makes_up_what_it_is_described_by(tmp_path, capsys):
    status, said = checked(tmp_path, capsys, {"type": "answered"}, "summarizing_made_up", "describe")
    assert status == 0
    assert "logits float [8, 7]" in said
