"""What ``rnntext new-plugin`` writes: packages that work as made, whole or not at all, never over anything."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packages import install, on_the_path

import rnntext
from rnntext import discovery, plugin_template, registry
from rnntext.cli import main
from rnntext.contracts import KINDS
from rnntext.errors import UnknownNameError, UsageError
from rnntext.plugin_template import LONGEST_NAME, new_plugin

every_kind = pytest.mark.parametrize("kind", KINDS)


def name_of(kind: str) -> str:
    return f"rnntext-new-{kind}"


def part_of(kind: str) -> str:
    return f"new_{kind}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a package of each kind, installed as far as Python can tell."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind in KINDS:
            assert main(["new-plugin", name_of(kind), "--kind", kind]) == 0
        on_the_path(patch, folder / "site")
        for kind in KINDS:
            patch.syspath_prepend(str(folder / name_of(kind)))
            project = tomllib.loads((folder / name_of(kind) / "pyproject.toml").read_text(encoding="utf-8"))[
                "project"
            ]
            points = {group.removeprefix("rnntext."): each for group, each in project["entry-points"].items()}
            assert set(points) == {kind, "recipes"}
            install(folder / "site", project["name"], project["version"], points, {})
        yield folder
    for module in [name for name in sys.modules if name.startswith("rnntext_new_")]:
        del sys.modules[module]
    discovery.refresh()


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"made_{path.parent.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- what is written


@every_kind
def test_the_part_is_found_under_its_name(made, kind):
    entry = registry.find(kind, part_of(kind))
    assert entry.full_name == f"{name_of(kind)}/{part_of(kind)}"
    part = registry.load(entry)
    assert Path(sys.modules[part.__module__].__file__ or "").is_relative_to(made / name_of(kind))


@every_kind
def test_the_part_passes_the_package_s_own_test_of_the_contract(made, kind, monkeypatch):
    monkeypatch.chdir(made / name_of(kind))
    tests = imported(made / name_of(kind) / "tests" / "test_contract.py")
    (mark,) = tests.test_contract.pytestmark
    names, cases = mark.args
    assert names == "check"
    passed = 0
    for case in cases:
        try:
            tests.test_contract(*case.values)
            passed += 1
        except pytest.skip.Exception:
            continue
    assert passed > len(cases) / 2


@every_kind
def test_the_part_passes_the_package_s_test_of_what_it_is_for(made, kind, tmp_path):
    tests = imported(made / name_of(kind) / "tests" / f"test_{part_of(kind)}.py")
    functions = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert functions
    for function in functions:
        given = {"tmp_path": tmp_path} if "tmp_path" in function.__code__.co_varnames else {}
        function(**given)


@every_kind
def test_its_recipe_runs_as_it_is(made, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(made / name_of(kind))
    overrides = {"training.epochs": 2, "baselines.enabled": False}
    run = rnntext.run(f"recipes/{part_of(kind)}.toml", overrides, out=tmp_path / "run")
    assert f'type = "{name_of(kind)}/{part_of(kind)}"' in (run.path / "recipe.toml").read_text(encoding="utf-8")
    assert rnntext.load(run.path)("openFile crashes with error 404").label in ("bug", "wish")


@every_kind
@pytest.mark.usefixtures("made")
def test_its_recipe_can_be_copied_with_its_data(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["copy", f"{name_of(kind)}/{part_of(kind)}"]) == 0
    recipe, sample, _ = capsys.readouterr().out.split()
    assert (recipe, sample.partition(".")[0]) == (f"{part_of(kind)}.toml", "sample")
    assert main(["check", recipe]) == 0


@every_kind
def test_every_option_that_the_recipe_gives_is_one_of_the_part(made, kind, capsys):
    assert main(["check", str(made / name_of(kind) / "recipes" / f"{part_of(kind)}.toml")]) == 0
    capsys.readouterr()
    assert main(["list", kind]) == 0
    shown = capsys.readouterr().out
    assert "FAILED" not in shown
    assert f"\n{part_of(kind)}  ({name_of(kind)} 0.1.0)\n" in f"\n{shown}"


def test_the_packages_are_as_ruff_would_have_them_whatever_their_names(made, tmp_path):
    for kind in KINDS:
        new_plugin("rnntext-q", kind, tmp_path / "short" / kind)
        new_plugin(f"rnntext-{'long-' * 5}ab"[: LONGEST_NAME + 8], kind, tmp_path / "long" / kind)
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", str(made), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_no_placeholder_is_left_and_no_template_is_left_out(made):
    templates = Path(plugin_template.__file__).parent / "templates" / "plugin"
    assert {path.name for path in templates.iterdir()} == {"every_kind", "reads_jsonl", *KINDS}
    assert all(path.suffix == ".template" for path in templates.rglob("*") if path.is_file())
    for kind in KINDS:
        files = [path for path in (made / name_of(kind)).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert len(files) == 10
        for path in files:
            text = path.read_text(encoding="utf-8")
            assert not re.search("PART_|my.part|MyPart|RNNTEXT_VERSION", f"{path}{text}"), path
            assert text.endswith("\n") or path.name == "py.typed"


def test_it_asks_for_this_version_at_least_and_is_typed(made):
    for kind in KINDS:
        settings = tomllib.loads((made / name_of(kind) / "pyproject.toml").read_text(encoding="utf-8"))
        assert settings["project"]["dependencies"] == [f"rnntext>={rnntext.__version__}"]
        assert settings["tool"]["mypy"]["strict"] is True
        assert (made / name_of(kind) / f"rnntext_new_{kind}" / "py.typed").is_file()


def test_the_readme_names_no_file_that_is_not_there(made):
    for kind in KINDS:
        folder = made / name_of(kind)
        text = (folder / "README.md").read_text(encoding="utf-8")
        named = re.findall(r"`((?:rnntext_new|tests|recipes)[\w/]*\.\w+)`", text)
        assert len(named) >= 4
        assert not [name for name in named if not (folder / name).is_file()]


# ---- names


@pytest.mark.parametrize(
    ("name", "package", "part"),
    [
        ("rnntext-qrnn", "rnntext_qrnn", "qrnn"),
        ("qrnn", "qrnn", "qrnn"),
        ("Acme.Fast-QRNN", "acme_fast_qrnn", "acme_fast_qrnn"),
        ("rnntext_qrnn2", "rnntext_qrnn2", "qrnn2"),
    ],
)
def test_the_name_gives_package_and_part(tmp_path, name, package, part):
    new_plugin(name, "encoders", tmp_path / "here")
    settings = tomllib.loads((tmp_path / "here" / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["name"] == name
    (target,) = settings["project"]["entry-points"]["rnntext.encoders"].items()
    assert target[0] == part
    assert target[1].startswith(f"{package}.{part}:")
    assert (tmp_path / "here" / package / f"{part}.py").is_file()


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("rnntext-x", "encoder", "Did you mean 'encoders'"),
        ("rnntext-x", "vocabulary", "Did you mean 'vocabularies'"),
        ("rnntext-x", "trainers", "no kind is called 'trainers'. Kinds: datasets"),
        ("rnntext-lstm", "encoders", "'lstm' is one of the encoders that come with rnntext"),
        ("sentiment", "heads", "the bare name always means that one"),
        ("rnntext x", "encoders", "use the letters a to z, digits and hyphens"),
        ("../x", "encoders", "use the letters a to z"),
        ("-x", "encoders", "a letter or digit first and last"),
        ("rnntext-", "encoders", "a letter or digit first and last"),
        ("", "encoders", "use the letters a to z"),
        ("größe", "encoders", "use the letters a to z"),
        ("rnntext-3gram", "encoders", "begins with a letter"),
        ("rnntext-lambda", "encoders", "no word of Python's own"),
        ("rnntext-" + "x" * 29, "encoders", "has 29 characters"),
        ("json", "datasets", "try rnntext-json"),
        ("tests", "datasets", "try rnntext-tests"),
        ("tomlkit", "datasets", "a module 'tomlkit' is installed already"),
        ("rnntext", "datasets", "a module 'rnntext' is installed already"),
    ],
)
def test_a_name_or_kind_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys, name, kind, told):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", f"--kind={kind}", "--", name]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_part_of_an_installed_package_is_refused(tmp_path, monkeypatch):
    on_the_path(monkeypatch, tmp_path / "site")
    install(tmp_path / "site", "other-words", "1.0", {"tokenizers": {"chunks": "chunks:Words"}}, {})
    try:
        with pytest.raises(UsageError, match="'chunks' is one of the tokenizers of other-words"):
            new_plugin("rnntext-chunks", "tokenizers", tmp_path / "new")
        with pytest.raises(UsageError, match=r"'other-words' is installed already \(version 1\.0\)"):
            new_plugin("other-words", "encoders", tmp_path / "new")
        assert new_plugin("rnntext-chunks", "encoders", tmp_path / "new")
    finally:
        monkeypatch.undo()
        discovery.refresh()


def test_an_unknown_kind_is_an_unknown_name(tmp_path):
    with pytest.raises(UnknownNameError):
        new_plugin("rnntext-x", "Encoders!", tmp_path / "new")


# ---- nothing is written over


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rnntext-x").mkdir()
    (tmp_path / "rnntext-x" / "notes.txt").write_text("mine")
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders"]) == 2
    assert "rnntext-x exists and is not empty. Nothing was written" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders", "--out", "file"]) == 2
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders", "--out", "file/below"]) == 2
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders", "--out", "dangling"]) == 2
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["dangling", "file", "rnntext-x", "rnntext-x/notes.txt"]


def test_an_empty_folder_is_filled_the_current_one_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders", "--out", "."]) == 0
    assert Path("pyproject.toml").is_file()
    assert main(["new-plugin", "rnntext-x", "--kind", "encoders", "--out", "deeper/down"]) == 0
    printed = capsys.readouterr().out
    assert "deeper/down/rnntext_x/x.py" in printed
    assert "  cd deeper/down\n  pip install -e '.[dev]'\n  rnntext list encoders\n" in printed


@pytest.mark.parametrize("when", [1, 4])
def test_an_interrupted_command_leaves_nothing(tmp_path, monkeypatch, when):
    written: list[Any] = []
    write = Path.write_text

    def interrupted(path: Path, *given: Any, **named: Any) -> int:
        written.append(path)
        if len(written) == when:
            raise KeyboardInterrupt
        return write(path, *given, **named)

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_plugin("rnntext-x", "encoders", tmp_path / "new")
    assert len(written) == when
    assert not list(tmp_path.iterdir())
