"""``rnntext new-plugin``: a package with one small part of a kind, made from ``templates/plugin``.

The templates are real code about a part called ``my_part``. Where the path or text of a template names it, in one of
the spellings of ``_replacements``, the new name is put there; nothing else is done to it. Files under ``every_kind``
belong to each package; those of a kind's own folder come on top.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from rnntext import __version__, registry
from rnntext.discovery import installed_version, offers
from rnntext.errors import UsageError

PREFIX = "rnntext-"
LONGEST_NAME = 28
"""Characters of a part's name: import lines with it then stay within the line length of the templates."""
SUFFIX = ".template"
"""Of every template, so that no tool of this repository takes it for code that runs here."""

SUMMARIES: Mapping[str, str] = {
    "datasets": "Texts from files in the line format of fastText, a label before each.",
    "tokenizers": "Words cut where their case changes: names in source code, log files, messages about them.",
    "vocabularies": "A vocabulary that reads all numbers of one length as one token.",
    "embeddings": "Word vectors made of hashed character n-grams: a new word has one, too.",
    "encoders": "Each token in the light of a few beside it: a sliding window, without recurrence.",
    "heads": "One label a text, by the mean of its states.",
}
_DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def new_plugin(name: str, kind: str, folder: str | Path | None = None) -> list[Path]:
    """Write a package with a part of a kind; return its files, sorted.

    Args:
        name: of the distribution; that of the part is the same without ``rnntext-``, in lower case, with underscores.
        kind: in the plural, as in ``rnntext list``.
        folder: where to; unless given, one called ``name`` in the current folder.

    Raises:
        UnknownNameError: there is no such kind.
        UsageError: the name cannot be used, or the folder is not empty or cannot be made. Nothing is written then.
    """
    part = part_name(name, kind)
    target = Path(name if folder is None else folder)
    # The whole package or nothing: it is written beside its place, and moved there when it is complete.
    place = Path(os.path.abspath(target))
    beside = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        _check_free(target)
        _check_installed(name)
        try:
            _write(beside, _replacements(name, part, kind), kind)
            if target.is_dir():  # it may be the current folder, which is not to be replaced
                for path in sorted(beside.iterdir()):
                    path.rename(target / path.name)
            else:
                beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}. Give another folder with --out") from None
    return sorted(path for path in target.rglob("*") if path.is_file())


def part_name(name: str, kind: str) -> str:
    """Return what the part of a distribution will be called in recipes.

    Raises:
        UnknownNameError: there is no such kind.
        UsageError: no distribution or no part can be called that.
    """
    registry.entries(kind)  # refuses an unknown kind
    if not _DISTRIBUTION.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a package: use the letters a to z, digits and hyphens, "
            "a letter or digit first and last, such as rnntext-mine"
        )
    part = re.sub(r"[-_.]+", "_", name.lower()).removeprefix(PREFIX.replace("-", "_"))
    if not _PART.fullmatch(part) or keyword.iskeyword(part):
        raise UsageError(
            f"{name!r} would make {part!r} the name of the part, and of a Python module: such a name begins with a "
            "letter, and is no word of Python's own"
        )
    if len(part) > LONGEST_NAME:
        raise UsageError(
            f"{part!r} has {len(part)} characters; the name of a part that is typed in recipes has {LONGEST_NAME} "
            "at most"
        )
    if part in registry.BUILT_INS[kind] or part in registry.ALIASES.get(kind, {}):
        raise UsageError(
            f"{part!r} is one of the {kind} that come with rnntext, and in a recipe the bare name always means that "
            "one; choose another name"
        )
    for offer in offers(kind):
        if offer.name == part:
            raise UsageError(
                f"{part!r} is one of the {kind} of {offer.distribution}, which is installed; with two of that name a "
                "recipe could use neither by its bare name. Uninstall it, or choose another name"
            )
    return part


def package_name(name: str) -> str:
    """Return the importable name of a distribution."""
    return re.sub(r"[-_.]+", "_", name.lower())


def _check_free(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise UsageError(f"{target} exists and is not empty. Nothing was written; give another --out or name")
    elif os.path.lexists(target):
        raise UsageError(f"{target} exists and is no folder. Nothing was written; give another --out or name")


def _check_installed(name: str) -> None:
    """Refuse a name whose package would replace or hide another."""
    package = package_name(name)
    if package in sys.stdlib_module_names or package in ("tests", "recipes"):
        raise UsageError(f"the package would be called {package!r}, as something else is; try {PREFIX}{name}")
    found = importlib.util.find_spec(package)
    if found is not None and found.origin is not None:
        raise UsageError(f"a module {package!r} is installed already ({found.origin}); choose another name")
    version = installed_version(name)
    if version is not None:
        raise UsageError(f"a package {name!r} is installed already (version {version}); choose another name")


def _replacements(name: str, part: str, kind: str) -> dict[str, str]:
    """Return what stands in the templates -> what is to stand there."""
    return {
        "rnntext-my-part": name,
        "rnntext_my_part": package_name(name),
        "my_part": part,
        "MyPart": "".join(word.capitalize() for word in part.split("_")),
        "PART_SUFFIX": registry.singular(kind).capitalize(),
        "PART_KIND": kind,
        "PART_TABLE": registry.singular(kind),
        "PART_SUMMARY": SUMMARIES[kind],
        "RNNTEXT_VERSION": __version__,
    }


def _write(folder: Path, replacements: Mapping[str, str], kind: str) -> None:
    spelling = re.compile("|".join(replacements))  # those that begin alike: the longer first

    def named(text: str) -> str:
        return spelling.sub(lambda match: replacements[match[0]], text)

    templates = Path(__file__).parent / "templates" / "plugin"
    # A dataset brings a sample in its own format; every other kind reads the same one.
    for source in ("every_kind", *(["reads_jsonl"] if kind != "datasets" else []), kind):
        for template in sorted((templates / source).rglob(f"*{SUFFIX}")):
            file = folder / named(str(template.relative_to(templates / source)).removesuffix(SUFFIX))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(named(template.read_text(encoding="utf-8")), encoding="utf-8")
