"""Recipes that travel with the package, and copying one with its data to start one's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rnntext.errors import RecipeError, UsageError, suggest
from rnntext.options import options_of
from rnntext.recipe import Recipe, read_recipe
from rnntext.recipe_source import read_lineage

SCHEMA_FILE = "recipe.schema.json"


@dataclass(frozen=True, slots=True)
class ShippedRecipe:
    """One shipped recipe."""

    name: str
    path: Path
    purpose: str
    """The first line of its heading."""


def recipes_folder() -> Path:
    """Return where the shipped recipes are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped_recipes() -> list[ShippedRecipe]:
    """Return the shipped recipes by name; one in a folder of its own is called ``folder/name``."""
    folder = recipes_folder()
    named = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.toml")}
    return [ShippedRecipe(name, named[name], _purpose(named[name])) for name in sorted(named)]


def copy_recipe(name: str, folder: Path) -> list[Path]:
    """Copy a shipped recipe, its parents and its data; return the files made, the recipe first.

    Args:
        name: as listed, with or without its folder and ``.toml``.
        folder: where to; files keep their places relative to each other.

    Raises:
        UsageError: there is no such recipe, or a file is there already. Nothing is copied then.
    """
    known = {recipe.name: recipe for recipe in shipped_recipes()}
    bare = name.removesuffix(".toml")
    chosen = known.get(bare) or next((recipe for recipe in known.values() if recipe.path.stem == bare), None)
    if chosen is None:
        hint = suggest(name, known)
        raise UsageError(f"no shipped recipe is called {name!r}.{hint} Recipes: {', '.join(known)}")
    source = recipes_folder()
    files = list(dict.fromkeys(file.relative_to(source) for file in _files_of(chosen.path) if file.is_file()))
    there = [str(folder / file) for file in files if (folder / file).exists()]
    if there:
        raise UsageError(f"already there: {', '.join(there)}. Nothing was copied; use an empty folder or remove them")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, folder / file)
    return [folder / file for file in files]


def _files_of(path: Path) -> Iterator[Path]:
    """Yield a recipe, its parents, the schema, the files of its dataset, and all of a folder of its own."""
    yield from read_lineage(path)
    yield recipes_folder() / SCHEMA_FILE
    dataset = _read_all_the_same(path).dataset
    for name, option in options_of(dataset.part, "datasets").items():
        value = dataset.options.get(name)
        if option.is_path and value:
            yield Path(value)
            yield Path(value).parent / "README.md"
    if path.parent != recipes_folder():
        yield from sorted(file for file in path.parent.rglob("*") if "__pycache__" not in file.parts)


def _read_all_the_same(path: Path) -> Recipe:
    """Return a recipe, even one that shows a misuse and is shipped to be refused."""
    try:
        return read_recipe(path)
    except RecipeError:
        return read_recipe(path, {"head.allow_leak": True})


def _purpose(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line.removeprefix("# ")
    return ""
