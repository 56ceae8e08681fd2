"""What docs/plugins.md shows is what plugins/rnntext-charsplit holds, and what it says to type works.

``.ci/plugins.py`` follows the page once more, in a new virtual environment, pip, pytest and mypy included.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packages import install, on_the_path

from rnntext import discovery
from rnntext.cli import main
from rnntext.contracts import KINDS
from rnntext.testing import table

ROOT = Path(__file__).parent.parent
DOCS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
CHARSPLIT = ROOT / "plugins" / "rnntext-charsplit"
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", DOCS, flags=re.MULTILINE | re.DOTALL)
ELSEWHERE = {"pip", "pytest", "mypy"}
"""Programs of which only the script in .ci runs what the page says."""


def installed_as_pip_would(folder: Path, site: Path, patch: pytest.MonkeyPatch) -> None:
    """Do what `pip install -e .` does, as far as Python can tell."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = {group.removeprefix("rnntext."): parts for group, parts in project["entry-points"].items()}
    install(site, project["name"], project["version"], points, {})
    patch.syspath_prepend(str(folder))


def forget_modules() -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in ("rnntext_charsplit", "rnntext_window")]:
        del sys.modules[module]


def test_following_the_page_from_top_to_bottom_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, site = tmp_path / "rnntext-charsplit", tmp_path / "site"
    folder.mkdir()
    on_the_path(monkeypatch, site)
    shown: dict[str, str] = {}
    try:
        for language, file, block in BLOCKS:
            monkeypatch.chdir(folder)
            if file:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(block, encoding="utf-8")
                forget_modules()
                shutil.rmtree(folder / "rnntext_charsplit" / "__pycache__", ignore_errors=True)
            for line in block.splitlines() if language == "sh" else ():
                words = shlex.split(line, comments=True)
                with pytest.MonkeyPatch.context() as of_command:
                    while "=" in words[0]:
                        of_command.setenv(*words.pop(0).split("=", 1))
                    if words[0] == "cd":
                        monkeypatch.chdir(words[1])
                    elif words[:3] == ["pip", "install", "-e"]:
                        installed_as_pip_would(Path.cwd(), site, monkeypatch)
                    elif words[0] == "rnntext":
                        assert main(words[1:]) == 0, line
                        shown[line] = capsys.readouterr().out
                    else:
                        assert words[0] in ELSEWHERE, line
    finally:
        forget_modules()
        monkeypatch.undo()
        discovery.refresh()
    assert len(shown) == 9
    assert "charsplit  (rnntext-charsplit 0.1.0)" in shown["rnntext list tokenizers"]
    assert "one_by_one: list of 'CJK' | 'HIRAGANA'" in shown["rnntext list tokenizers"]
    assert '"label": ' in next(text for line, text in shown.items() if " predict " in line)
    assert "window  (rnntext-window 0.1.0)" in shown["rnntext list encoders"]
    assert "  charsplit " in shown["RNNTEXT_PLUGINS=rnntext-charsplit rnntext list"]
    assert "  window " not in shown["RNNTEXT_PLUGINS=rnntext-charsplit rnntext list"]


def test_the_files_of_the_page_end_as_those_of_the_example() -> None:
    last = {file: block for _, file, block in BLOCKS if file}
    example = {file: (CHARSPLIT / file).read_text(encoding="utf-8") for file in last}
    assert len(last) == 5
    project = last.pop("pyproject.toml")
    assert_holds(tomllib.loads(example["pyproject.toml"]), tomllib.loads(project))
    sample = last.pop("recipes/sample.jsonl")
    assert example["recipes/sample.jsonl"].startswith(sample)
    for file, block in last.items():
        assert block == example[file], file


def assert_holds(larger: Any, smaller: Any) -> None:
    for key, value in smaller.items():
        if isinstance(value, dict):
            assert_holds(larger[key], value)
        else:
            assert larger[key] == value, key


def test_the_table_of_checks_is_the_kit_s() -> None:
    (region,) = re.findall(
        r"<!-- checks: rnntext.testing.table\(\) -->\n(.*?)<!-- end of checks -->", DOCS, re.DOTALL
    )
    assert region == table()


def test_every_kind_has_its_row() -> None:
    section = DOCS.partition("## What each")[2].partition("## Names")[0]
    assert re.findall(r"^\| `(\w+)` \| .+ \| .+ \| .+ \|$", section, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("path", sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")]), ids=str)
def test_every_file_that_a_page_links_to_is_there(path: Path) -> None:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (path.parent / link).exists(), link


def test_every_example_is_listed_and_has_what_an_example_has() -> None:
    folders = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    assert CHARSPLIT in folders
    for folder in folders:
        assert f"(../plugins/{folder.name}/README.md)" in DOCS
        settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        assert settings["project"]["name"] == folder.name
        assert any(each.startswith("rnntext") for each in settings["project"]["dependencies"])
        assert settings["tool"]["mypy"]["strict"] is True
        package = folder.name.replace("-", "_")
        for file in ("README.md", f"{package}/py.typed", f"{package}/__init__.py"):
            assert (folder / file).is_file(), f"{folder.name}/{file}"
        assert list(folder.glob("recipes/*.toml"))


def test_the_example_splits_where_the_script_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's own tests run in .ci; what its README shows is looked at here, too."""
    monkeypatch.syspath_prepend(str(CHARSPLIT))
    try:
        from rnntext.tokenizers.regex import RegexTokenizer
        from rnntext_charsplit.charsplit import CharsplitTokenizer

        rows = re.findall(r"^\| ([^`|]+) \| (`.+`) \| (`.+`) \|$", (CHARSPLIT / "README.md").read_text("utf-8"), re.M)
        assert len(rows) == 2
        for text, regex, charsplit in rows:
            assert RegexTokenizer().tokens(text) == re.findall("`(.+?)`", regex)
            assert CharsplitTokenizer().tokens(text) == re.findall("`(.+?)`", charsplit)
    finally:
        forget_modules()
