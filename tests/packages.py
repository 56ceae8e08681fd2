"""Packages as an installer leaves them: metadata with entry points, and modules, in a folder on the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rnntext import discovery

WORDS = '''
import re


class Words:
    """Words, cut at white space."""

    contract = {contract}

    def tokens(self, text: str) -> list[str]:
        return text.split()

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in re.finditer(r"\\S+", text)]
'''


def words(contract: int = 1) -> str:
    """Return the code of a module with a tokenizer ``Words``."""
    return WORDS.replace("{contract}", str(contract))


def install(
    folder: Path, name: str, version: str, points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]
) -> None:
    """Write a package into a folder.

    Args:
        folder: stands for site-packages; put on the path by ``site``.
        name: of the distribution.
        version: of the distribution.
        points: kind -> name of a part -> ``module:Class``.
        modules: module name -> code.
    """
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for kind, parts in points.items():
        lines += [f"[rnntext.{kind}]", *(f"{part} = {target}" for part, target in parts.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code)
    discovery.refresh()


def on_the_path(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let packages of a folder be found until ``patch`` is undone; refresh ``discovery`` then."""
    patch.syspath_prepend(str(folder))
    patch.delenv(discovery.ALLOWED, raising=False)
    discovery.refresh()
