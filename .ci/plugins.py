#!/usr/bin/env python3
"""Packages that add parts to rnntext, from nothing to a prediction, in a new virtual environment.

usage: python .ci/plugins.py [VENV]      VENV is made unless it is there, and kept; without it, a temporary one

1. What docs/plugins.md says, block by block.
2. A package of each kind, as ``rnntext new-plugin`` makes it.
3. Every package in plugins/.
   Each of 2 and 3 is installed, listed, tested, type-checked, trained with and asked, while rnntext sees no other.
4. A broken package, two with one name and one for a newer contract, installed together: every command goes on, and
   says so.

One line a step; what a step printed is shown only if it fails. Needs nothing but Python and what pip can install.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("datasets", "tokenizers", "vocabularies", "embeddings", "encoders", "heads")
TEXT = "openFile crashes with error 404"
STEP_SECONDS = 900
FAILED: list[str] = []
_printing = threading.Lock()


class StepError(Exception):
    """A step did not do what it should; what follows from it is left out."""


class Place:
    """The virtual environment, and a folder for all that is made."""

    def __init__(self, venv: Path, work: Path) -> None:
        self.venv = venv
        self.work = work
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RNNTEXT_", "PYTHON"))},
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(venv),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "MYPY_CACHE_DIR": str(work / "mypy"),
            "RNNTEXT_CACHE": str(work / "cache"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
        }

    def step(
        self,
        what: str,
        command: Sequence[str | Path],
        folder: Path | None = None,
        *,
        status: int = 0,
        says: Sequence[str] = (),
        alone: str | None = None,
    ) -> str:
        """Run a command and print a line; return what it printed.

        Args:
            what: begins the line.
            command: the program is looked for in the virtual environment first.
            folder: to run it in.
            status: the exit status that it should have.
            says: what it should print, to standard output or error.
            alone: the one package with parts that rnntext may see; all if None.

        Raises:
            StepError: it did not.
        """
        environment = self.environment if alone is None else {**self.environment, "RNNTEXT_PLUGINS": alone}
        started = time.monotonic()
        try:
            done = subprocess.run(
                [str(self.venv / "bin" / command[0]) if (self.venv / "bin" / command[0]).exists() else command[0]]
                + [str(word) for word in command[1:]],
                cwd=folder or self.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=STEP_SECONDS,
                check=False,
            )
            output, found = done.stdout, done.returncode
        except subprocess.TimeoutExpired as error:
            output, found = f"{error.output or ''}\nstopped after {STEP_SECONDS} s", -1
        flat = " ".join(output.split())
        missing = [words for words in says if words not in flat]
        fine = found == status and not missing and "Traceback (most recent call last)" not in output
        with _printing:
            print(f"{'ok    ' if fine else 'FAILED'} {time.monotonic() - started:6.1f} s  {what}", flush=True)
            if not fine:
                FAILED.append(what)
                print(f"    | {' '.join(map(str, command))}")
                print(f"    | exit status {found}, expected {status}")
                for words in missing:
                    print(f"    | it should say: {words}")
                for line in output.splitlines()[-60:]:
                    print(f"    | {line}")
        if not fine:
            raise StepError(what)
        return output

    def install(self, *folders: Path) -> None:
        """Install packages from their folders, as they are now, with what their tests need."""
        names = ", ".join(folder.name for folder in folders)
        wanted = [f"{folder}[dev]" for folder in folders]
        self.step(f"{names}: pip install", ["pip", "install", "--quiet", "--no-build-isolation", *wanted])


def main(arguments: Sequence[str]) -> int:
    """Do all of it; return the exit status."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rnntext-plugins-") as temporary:
        work = Path(temporary)
        place = Place(Path(arguments[0]).resolve() if arguments else work / "venv", work)
        try:
            make_environment(place)
            follow_the_docs(place)
            packages = [make_package(place, kind) for kind in KINDS] + copies_of_examples(place)
            for folder in packages:
                place.install(folder)
            check_first(place, packages[0])
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                runs = list(pool.map(lambda folder: check_package(place, folder), packages))
            check_bad_packages(place, [run for run in runs if run is not None])
        except StepError:
            pass
    print(f"plugins: {len(FAILED)} steps failed, {time.monotonic() - started:.0f} s in all")
    return 1 if FAILED else 0


def make_environment(place: Place) -> None:
    """Make the virtual environment, with rnntext and the tools that a package is tested with."""
    if (place.venv / "bin" / "python").exists():
        listing = place.step("packages that are there", ["pip", "list", "--format=freeze"])
        if left := re.findall(r"^(rnntext[-_][\w.-]+?)(?:==| @)", listing, flags=re.MULTILINE):
            place.step(f"{', '.join(left)}: pip uninstall", ["pip", "uninstall", "--quiet", "--yes", *left])
    else:
        place.step("new virtual environment", [sys.executable, "-m", "venv", place.venv])
    tools = ["pytest", "mypy", "ruff", "hatchling", "editables"]
    place.step("rnntext and tools: pip install", ["pip", "install", "--quiet", *tools, ROOT])


# ---- docs/plugins.md


def follow_the_docs(place: Place) -> None:
    """Write the files of docs/plugins.md and run its commands, in the order in which they stand."""
    folder = place.work / "docs" / "rnntext-charsplit"
    folder.mkdir(parents=True)
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    # ```toml pyproject.toml is a file; ```sh holds commands; all else is for reading.
    for language, file, block in re.findall(
        r"^```(\w+)(?: (\S+))?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL
    ):
        if file:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(block, encoding="utf-8")
        elif language == "sh":
            shown = "; ".join(line.split("#")[0].strip() for line in block.splitlines())
            place.step(f"docs/plugins.md: {shown}", ["bash", "-euc", block], folder)
    place.step("docs/plugins.md: pip uninstall", ["pip", "uninstall", "--quiet", "--yes", *docs_packages(folder)])


def docs_packages(folder: Path) -> list[str]:
    """Return the distributions that were made by following the docs."""
    files = [folder / "pyproject.toml", *folder.glob("*/pyproject.toml")]
    return [tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] for file in files]


# ---- packages that work


def make_package(place: Place, kind: str) -> Path:
    """Return the folder of a new package with a part of a kind."""
    name = f"rnntext-new-{kind}"
    place.step(f"{name}: rnntext new-plugin", ["rnntext", "new-plugin", name, "--kind", kind])
    return place.work / name


def copies_of_examples(place: Place) -> list[Path]:
    """Return copies of the packages in plugins/, so that nothing is left in the checkout."""
    folders = [path.parent for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
    ignored = shutil.ignore_patterns("runs", "__pycache__", "*.egg-info", "dist")
    return [Path(shutil.copytree(folder, place.work / folder.name, ignore=ignored)) for folder in folders]


def check_first(place: Place, folder: Path) -> None:
    """Check the types of one package alone: it fills the cache that the others, side by side, then read."""
    place.step(f"{folder.name}: mypy, the first", ["mypy"], folder)


def check_package(place: Place, folder: Path) -> Path | None:
    """Put an installed package through all that its author would; return a run's folder, None if a step fails."""
    name = folder.name
    entry_points = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    parts = [(group.removeprefix("rnntext."), part) for group, points in entry_points.items() for part in points]
    try:
        for kind in dict.fromkeys(kind for kind, _ in parts if kind in KINDS):
            says = [f"{part} ({name} " for of, part in parts if of == kind]
            place.step(f"{name}: rnntext list {kind}", ["rnntext", "list", kind], alone=name, says=says)
        listed = [f"{name}/{recipe.stem} " for recipe in sorted(folder.glob("recipes/*.toml"))]
        place.step(f"{name}: rnntext recipes", ["rnntext", "recipes"], alone=name, says=listed)
        place.step(f"{name}: its tests", ["pytest", "-q", "-p", "no:cacheprovider"], folder, alone=name)
        place.step(f"{name}: mypy", ["mypy"], folder)
        if folder.name in map("rnntext-new-{}".format, KINDS):  # `make lint` looks at those in plugins/
            place.step(f"{name}: ruff", ["ruff", "check", "."], folder)
            place.step(f"{name}: ruff format", ["ruff", "format", "--check", "."], folder)
        recipes = recipes_with_data(place, folder)
        given = [word for recipe in recipes for word in ("--recipe", recipe)]
        place.step(f"{name}: rnntext check-plugin", ["rnntext", "check-plugin", name, *given], folder, alone=name)
        return train_and_ask(place, folder, recipes[0]) if recipes else None
    except StepError:
        return None


def recipes_with_data(place: Place, folder: Path) -> list[Path]:
    """Check the recipes of a package; return those that run without data of somebody else's."""
    found = []
    for recipe in sorted(folder.glob("recipes/*.toml")):
        parent = re.search(r'^extends = "(\w+)\.toml"', recipe.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if parent and not (recipe.parent / f"{parent[1]}.toml").exists():  # one that comes with rnntext
            place.step(f"{folder.name}: rnntext copy {parent[1]}", ["rnntext", "copy", parent[1]], recipe.parent)
        what, command = f"{folder.name}: rnntext check {recipe.name}", ["rnntext", "check", recipe]
        if "needs:" not in place.step(what, command, alone=folder.name):
            found.append(recipe)
    return found


def train_and_ask(place: Place, folder: Path, recipe: Path) -> Path:
    """Train a recipe, briefly, and predict; return the run."""
    name, run = folder.name, place.work / "runs" / folder.name
    quick = [("training.epochs", "1"), ("baselines.enabled", "false"), ("dataset.limit", "400")]
    settings = [word for key, value in quick for word in ("--set", f"{key}={value}")]
    command = ["rnntext", "run", recipe, "--out", run, *settings]
    place.step(f"{name}: rnntext run {recipe.name}", command, alone=name)
    command = ["rnntext", "predict", run, "--text", TEXT]
    place.step(f"{name}: rnntext predict", command, alone=name, says=['"text": '])
    place.step(f"{name}: named in its run", ["grep", f'"{name}/', run / "environment.json"])
    return run


# ---- packages that do not work

TOKENIZER = '''
import re


class Words:
    """Words, cut at white space."""

    contract = {contract}

    def tokens(self, text: str) -> list[str]:
        return text.split()

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in re.finditer(r"\\S+", text)]
'''
BAD = {
    "rnntext-bad-broken": ("broken", "import no_such_thing\n"),
    "rnntext-bad-one": ("twin", TOKENIZER.replace("{contract}", "1")),
    "rnntext-bad-two": ("twin", TOKENIZER.replace("{contract}", "1")),
    "rnntext-bad-newer": ("newer", TOKENIZER.replace("{contract}", "2")),
}
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"

[project.entry-points."rnntext.tokenizers"]
{part} = "{module}:Words"
"""
BROKEN = "tokenizer 'broken' of rnntext-bad-broken 1.0 cannot be imported: ModuleNotFoundError"
NEWER = "has contract 2, this rnntext 1; upgrade rnntext"
TWINS = "rnntext-bad-one/twin and rnntext-bad-two/twin; write the one that is meant"
RECIPE = """
recipe_version = 1
name = "small"

[dataset]
type = "jsonl"
train = "sample.jsonl"
validation_fraction = 0.25

[encoder]
type = "gru"
hidden_dim = 8

[training]
epochs = 1

[baselines]
enabled = false
"""


def check_bad_packages(place: Place, old_runs: Sequence[Path]) -> None:
    """Install packages that cannot be used beside all others; see that every command goes on and says why."""
    folder = place.work / "bad"
    for name, (part, code) in BAD.items():
        module = name.replace("-", "_")
        (folder / name).mkdir(parents=True)
        (folder / name / f"{module}.py").write_text(code, encoding="utf-8")
        project = PROJECT.format(name=name, part=part, module=module)
        (folder / name / "pyproject.toml").write_text(project, encoding="utf-8")
    place.install(*(folder / name for name in BAD))
    shutil.copy(place.work / "rnntext-new-encoders" / "recipes" / "sample.jsonl", folder)
    (folder / "small.toml").write_text(RECIPE, encoding="utf-8")

    def rnntext(*words: str | Path, status: int = 0, says: Sequence[str] = ()) -> None:
        shown = " ".join(str(word).replace(f"{place.work}/", "") for word in words)
        place.step(f"bad packages: rnntext {shown}", ["rnntext", *words], folder, status=status, says=says)

    def new_run() -> None:
        rnntext("run", "small.toml", "--set", "tokenizer.type=rnntext-bad-two/twin", "--out", "run")
        rnntext("predict", "run", "--text", TEXT, says=['"label": '])
        rnntext("evaluate", "run", "sample.jsonl", says=["accuracy"])

    twins = ["rnntext-bad-one/twin", "rnntext-bad-two/twin"]
    commands = [
        new_run,
        partial(rnntext, "list", says=[*twins, "broken rnntext-bad-broken 1.0"]),
        partial(rnntext, "list", "tokenizers", says=[f"FAILED: {BROKEN}", NEWER, "regex (rnntext ", *twins]),
        partial(rnntext, "list", "heads", says=["classification (rnntext "]),
        partial(rnntext, "check", "small.toml", says=["small.toml: valid"]),
        partial(rnntext, "show", "small.toml", says=['type = "gru"']),
        partial(rnntext, "describe", "small.toml", says=["parameters"]),
        partial(rnntext, "schema", says=[f"left out: {BROKEN}", NEWER, '"rnntext-bad-two/twin"']),
        partial(rnntext, "recipes", says=["sentiment"]),
        partial(rnntext, "run", "small.toml", "--set", "tokenizer.type=broken", status=2, says=[BROKEN]),
    ]
    for part, reason in {"broken": BROKEN, "newer": NEWER, "twin": TWINS}.items():
        setting, says = f"tokenizer.type={part}", [reason, "Nothing was run."]
        commands.append(partial(rnntext, "check", "small.toml", "--set", setting, status=2, says=says))
    for run in old_runs:
        commands.append(partial(rnntext, "predict", run, "--text", TEXT, says=['"text": ']))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(command) for command in commands]:
            with contextlib.suppress(StepError):  # counted already; the others go on
                done.result()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
