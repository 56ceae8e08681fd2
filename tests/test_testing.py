"""The checks see what is broken: for each there is a part with that one fault, which must not pass."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_parts import BROKEN
from packages import install, on_the_path, words
from tiny import make_tiny

import rnntext
from rnntext import registry
from rnntext.cli import main
from rnntext.contracts import KINDS, Example
from rnntext.discovery import refresh
from rnntext.encoders.dense import DenseEncoder
from rnntext.errors import DataError, UnknownNameError, UsageError
from rnntext.heads.classification import ClassificationHead
from rnntext.testing import DoesNotApplyError, Nonconforming, Subject, checks_of, conformance, table
from rnntext.testing.material import recipe_file
from rnntext.testing.tiny import LABELLED
from rnntext.tokenizers.whitespace import WhitespaceTokenizer


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with registry.registrations_undone():
        yield


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    lines = [json.dumps({"text": one.text, "label": one.label}) for one in LABELLED]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "test.jsonl").write_text(lines[0] + "\n", encoding="utf-8")
    return folder


def check_called(kind: str, name: str) -> Any:
    (found,) = [check for check in checks_of(kind) if check.name == name]
    return found


@pytest.mark.parametrize(
    ("kind", "check", "part", "options", "says"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}-{row[2].__name__}") for row in BROKEN],
)
def test_a_fault_is_seen_by_the_check_that_is_for_it(kind, check, part, options, says, rows) -> None:
    registry.register(kind, "broken")(part)
    if kind == "datasets":
        options = {"train": str(rows / "train.jsonl")} | {key: str(rows / name) for key, name in options.items()}
    with pytest.raises(Nonconforming, match=says):
        check_called(kind, check)(Subject(kind, "broken", options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_part_that_it_must_catch(kind: str) -> None:
    of_every_kind = {check.name for check in checks_of("tokenizers")} & {
        check.name for check in checks_of("datasets")
    }
    caught = {check for other, check, *_ in BROKEN if other == kind}
    anywhere = {check for _, check, *_ in BROKEN}
    modules = {"saves_and_loads", "weights_move"}
    shared = of_every_kind | (modules if kind in ("embeddings", "encoders", "heads") else set())
    for check in checks_of(kind):
        assert check.name in (anywhere if check.name in shared else caught), check.name


def test_every_check_says_what_it_is_for() -> None:
    for kind in KINDS:
        names = [check.name for check in checks_of(kind)]
        assert len(set(names)) == len(names)
        assert all(check.purpose and not check.purpose.endswith(".") for check in checks_of(kind))
    text = table()
    assert text.startswith("| check | what is asked | kinds |\n| --- |")
    assert "| `nothing_dropped` | Every character but white space is in a token | tokenizers |" in text
    assert text.count("| all |") == 6


# ---------------------------------------------------------------- the decorator


def cases_of(mark: Any) -> dict[str, Any]:
    def test(check: Any) -> None: ...

    (found,) = mark(test).pytestmark
    return {case.id: case for case in found.args[1]}


def test_nothing_is_looked_up_before_a_check_runs() -> None:
    cases = cases_of(conformance("encoders", "qrnn"))
    assert list(cases) == [check.name for check in checks_of("encoders")]
    with pytest.raises(Nonconforming, match=r"no encoder is called 'qrnn'\. .*rnntext list encoders"):
        cases["registered"].values[0]()


def test_expected_failures_are_strict_and_must_name_a_check() -> None:
    case = cases_of(conformance("encoders", "lstm", expected_failures={"shapes": "not yet"}))["shapes"]
    (mark,) = case.marks
    assert mark.name == "xfail"
    assert mark.kwargs == {"strict": True, "reason": "not yet", "raises": Nonconforming}
    with pytest.raises(UsageError, match=r"no check of encoders is called 'shape'\. Did you mean 'shapes'\?"):
        conformance("encoders", "lstm", expected_failures={"shape": "not yet"})
    with pytest.raises(UnknownNameError, match="Did you mean 'encoders'"):
        conformance("encoder", "lstm")


def test_what_does_not_apply_is_skipped() -> None:
    cases = cases_of(conformance("encoders", "dense"))
    with pytest.raises(pytest.skip.Exception, match="carries none on"):
        cases["state_carries_on"].values[0]()
    with pytest.raises(DoesNotApplyError):
        check_called("encoders", "state_carries_on")(Subject("encoders", "dense"))


def test_options_that_do_not_fit_are_told() -> None:
    for options, says in (
        ({"hidden_dim": 0}, "hidden_dim that the check was given: 0 does not fit"),
        ({"hiden_dim": 3}, "Did you mean 'hidden_dim'"),
        ({"dropout": 0.5}, "check_options refuses"),
    ):
        with pytest.raises(Nonconforming, match=says):
            check_called("encoders", "options")(Subject("encoders", "lstm", options))
    with pytest.raises(Nonconforming, match="the option train must be given"):
        check_called("datasets", "options")(Subject("datasets", "jsonl"))


def test_a_head_with_needs_of_its_own_must_be_given_examples() -> None:
    class Parallel(ClassificationHead):
        @classmethod
        def needs(cls, options):
            return frozenset({"translations"})

    registry.register("heads", "parallel")(Parallel)
    check = check_called("heads", "labels_are_kept")
    with pytest.raises(Nonconforming, match="needs translations, which the checks cannot invent; give them examples"):
        check(Subject("heads", "parallel"))
    examples = tuple(
        Example(text, label=label) for text, label in (("one", "eins"), ("two", "zwei"), ("six", "sechs"))
    )
    for name in ("labels_are_kept", "loss", "runs"):
        check_called("heads", name)(Subject("heads", "parallel", {}, examples))


def test_a_check_leaves_nothing_behind() -> None:
    class Careless(DenseEncoder):
        def __init__(self, *, input_dim: int) -> None:
            super().__init__(input_dim=input_dim, hidden_dim=3)
            torch.set_num_threads(2)
            torch.manual_seed(0)

    registry.register("encoders", "careless")(Careless)
    torch.manual_seed(77)
    with pytest.raises(Nonconforming, match="torch's number of threads, the seed of torch's generator"):
        check_called("encoders", "no_side_effects")(Subject("encoders", "careless"))
    assert torch.get_num_threads() == 1
    assert torch.initial_seed() == 77
    assert "examples_of_a_check" not in registry.names("datasets")


def test_the_checks_themselves_need_no_pytest() -> None:
    code = "import sys, rnntext.testing, rnntext.checking; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- rnntext check-plugin


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["check-plugin", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_check_plugin_prints_a_table_and_how_many_passed(capsys) -> None:
    status, out, _ = printed(capsys, "whitespace")
    assert status == 0
    assert "tokenizer whitespace   nothing_dropped" in out
    assert "it has no method first" in out
    assert out.splitlines()[-1] == "12 of 12 checks passed; 2 do not apply"


def test_check_plugin_fails_where_a_check_does(capsys) -> None:
    status, out, _ = printed(capsys, "regex", "--set", r"tokenizer.pattern=\w+")
    assert status == 1
    line = next(line for line in out.splitlines() if "nothing_dropped" in line)
    assert "FAILED" in line
    assert "','" in line
    assert out.splitlines()[-1].startswith("12 of 13 checks passed")


def test_check_plugin_takes_options_and_texts_from_a_recipe(tmp_path, capsys, monkeypatch) -> None:
    recipe = make_tiny(tmp_path, encoder={"type": "dense", "hidden_dim": 4})
    seen: list[Subject] = []
    monkeypatch.setattr("rnntext.checking.checked", lambda subject: seen.append(subject) or iter(()))
    assert printed(capsys, "dense", "--recipe", str(recipe), "--set", "encoder.num_layers=2")[0] == 0
    assert printed(capsys, "jsonl", "--recipe", str(recipe))[0] == 0
    encoder, dataset = seen
    assert (encoder.options["hidden_dim"], encoder.options["num_layers"]) == (4, 2)
    assert sorted({str(one.label) for one in encoder.examples}) == ["bad", "good"]
    assert len(encoder.examples) == 8
    assert dataset.options["train"] == str(tmp_path / "train.jsonl")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["whitespce"], r"no part .*is called 'whitespce'\. Did you mean 'whitespace'"),
        (["whitespace", "--kind", "heads"], "among the heads"),
        (["whitespace", "--set", "encoder.hidden_dim=3"], r"what is checked is set by tokenizer\.OPTION"),
        (["jsonl"], r"'jsonl' needs train: the training file\. Give --set dataset\.train=VALUE"),
        (["lstm", "--recipe", "nowhere.toml"], "cannot read the recipe"),
    ],
)
def test_check_plugin_refuses_what_it_cannot_do(arguments, says, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = printed(capsys, *arguments)
    assert (status, out) == (2, "")
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(err)


def test_a_part_that_cannot_be_imported_is_one_row(capsys, monkeypatch) -> None:
    monkeypatch.setitem(registry.BUILT_INS["tokenizers"], "gone", "rnntext_gone:Gone")
    status, out, _ = printed(capsys, "gone")
    assert status == 1
    assert "cannot be imported" in out
    assert out.splitlines()[-1] == "0 of 1 check passed"


def test_a_packages_name_means_all_its_parts(monkeypatch) -> None:
    from rnntext.checking import parts_called

    registry.register("tokenizers", "mine")(WhitespaceTokenizer)
    registry.register("encoders", "mine")(DenseEncoder)
    assert sorted(parts_called("session", None)) == [("encoders", "session/mine"), ("tokenizers", "session/mine")]
    assert sorted(parts_called("mine", None)) == [("encoders", "mine"), ("tokenizers", "mine")]
    assert parts_called("session", "encoders") == [("encoders", "session/mine")]


def test_a_name_that_two_packages_offer_is_refused(tmp_path, monkeypatch, capsys) -> None:
    for package in ("kit-one", "kit-two"):
        install(tmp_path, package, "1", {"tokenizers": {"cut": "kit_words:Words"}}, {"kit_words": words()})
    on_the_path(monkeypatch, tmp_path)
    try:
        status, _, err = printed(capsys, "cut")
        assert status == 2
        assert "kit-one/cut and kit-two/cut" in err
        status, out, _ = printed(capsys, "kit_two")
        assert status == 0
        assert "tokenizer kit-two/cut" in out
    finally:
        monkeypatch.undo()
        refresh()


def test_a_dataset_with_rare_tags_is_run_on_all_its_rows(tmp_path) -> None:
    pairs = [f"word T{number % 60}\nword T{(number * 7 + number // 60 + 1) % 60}\n" for number in range(300)]
    sentences = [f"rain N\nfell V\n{pair}" for pair in pairs]
    (tmp_path / "train.conll").write_text("\n".join(sentences), encoding="utf-8")
    options = {"train": str(tmp_path / "train.conll"), "scheme": "none"}
    (runs,) = [check for check in checks_of("datasets") if check.name == "runs"]
    few = Subject("datasets", "conll", options)
    with recipe_file(few) as path, pytest.raises(DataError, match="does not occur in the training split"):
        rnntext.run(path, out=tmp_path / "few")
    runs(few)


def test_examples_come_from_a_file_in_which_one_label_stands_before_the_other(tmp_path, capsys) -> None:
    rows = [{"text": f"it was {word}", "label": label} for label, word in (("good", "warm"), ("bad", "cold"))]
    train = tmp_path / "sorted.jsonl"
    train.write_text("".join((json.dumps(row) + "\n") * 5_500 for row in rows), encoding="utf-8")
    recipe = make_tiny(
        tmp_path, dataset={"train": "sorted.jsonl", "group_fields": []}, tokenizer={"type": "whitespace"}
    )
    assert main(["check-plugin", "whitespace", "--recipe", str(recipe)]) == 0
    assert "FAILED" not in capsys.readouterr().out
