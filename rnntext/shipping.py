"""Recipes that travel with rnntext and with packages, and copying one with its data to start one's own."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rnntext.discovery import RECIPES, offers
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
    folder: Path
    """Of all recipes of its package."""
    purpose: str
    """The first line of its heading."""


def recipes_folder(package: Path = Path(__file__).parent) -> Path:
    """Return where a package's recipes are: in it where it was installed, or beside it in a checkout."""
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped_recipes() -> list[ShippedRecipe]:
    """Return rnntext's recipes by name, then those of packages as ``distribution/name``.

    One in a folder of its own is called ``folder/name``.
    """
    found = _recipes_in(recipes_folder(), "")
    for offer in offers(RECIPES):
        package = offer.target.partition(".")[0]
        spec = find_spec(package) if package.isidentifier() else None  # of a top-level package: imports nothing
        for place in (spec.submodule_search_locations or ())[:1] if spec else ():
            found += _recipes_in(recipes_folder(Path(place)), f"{offer.distribution}/")
    return found


def _recipes_in(folder: Path, prefix: str) -> list[ShippedRecipe]:
    folder = folder.resolve()
    paths = sorted(folder.rglob("*.toml"), key=lambda path: path.relative_to(folder).with_suffix("").as_posix())
    return [
        ShippedRecipe(prefix + path.relative_to(folder).with_suffix("").as_posix(), path, folder, _purpose(path))
        for path in paths
    ]


def copy_recipe(name: str, folder: Path) -> list[Path]:
    """Copy a shipped recipe, its parents and its data; return the files made, the recipe first.

    Args:
        name: as listed, with or without its package or folder and ``.toml``.
        folder: where to; files keep their places relative to each other.

    Raises:
        UsageError: there is no such recipe, or several, or a file is there already. Nothing is copied then.
    """
    known = {recipe.name: recipe for recipe in shipped_recipes()}
    bare = name.removesuffix(".toml")
    chosen = [known[bare]] if bare in known else [each for each in known.values() if each.path.stem == bare]
    chosen = [each for each in chosen if each.folder == recipes_folder().resolve()][:1] or chosen
    if len(chosen) > 1:
        raise UsageError(f"{name!r} may be one of several: {', '.join(recipe.name for recipe in chosen)}; write one")
    if not chosen:
        hint = suggest(name, known)
        raise UsageError(f"no shipped recipe is called {name!r}.{hint} Recipes: {', '.join(known)}")
    (recipe,) = chosen
    # The schema is rnntext's, wherever the recipe is from.
    sources = {**_files_of(recipe), recipes_folder() / SCHEMA_FILE: Path(SCHEMA_FILE)}
    there = [str(folder / file) for file in sources.values() if (folder / file).exists()]
    if there:
        raise UsageError(f"already there: {', '.join(there)}. Nothing was copied; use an empty folder or remove them")
    for source, file in sources.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / file)
    return [folder / file for file in sources.values()]


def _files_of(recipe: ShippedRecipe) -> dict[Path, Path]:
    """Return a recipe, its parents, the files of its dataset, and all of a folder of its own, with their places.

    Raises:
        RecipeError: the recipe is not valid, such as one of a package that lacks another.
        UsageError: a file lies outside the package's recipes.
    """
    path = recipe.path
    try:
        parent = tomllib.loads(path.read_text(encoding="utf-8")).get("extends")
    except ValueError as error:  # no TOML, or no UTF-8
        raise UsageError(f"{path} cannot be read ({error}); upgrade the package that it is from") from None
    ours = recipes_folder().resolve()
    # A package's recipe may extend one of rnntext's, which is then to lie beside it.
    if isinstance(parent, str) and not (path.parent / parent).exists() and (ours / parent).is_file():
        return {path: path.relative_to(recipe.folder), **_files_of(ShippedRecipe(parent, ours / parent, ours, ""))}
    files = list(read_lineage(path))
    dataset = _read_all_the_same(path).dataset
    for name, option in options_of(dataset.part, "datasets").items():
        value = dataset.options.get(name)
        if option.is_path and value:
            files += [Path(value), Path(value).parent / "README.md"]
    if path.parent != recipe.folder:
        files += sorted(file for file in path.parent.rglob("*") if "__pycache__" not in file.parts)
    found = [file for file in files if file.is_file()]
    outside = [str(file) for file in found if not file.is_relative_to(recipe.folder)]
    if outside:
        raise UsageError(f"{recipe.name} names what is not in {recipe.folder}, so it cannot be copied: {outside[0]}")
    return {file: file.relative_to(recipe.folder) for file in found}


def _read_all_the_same(path: Path) -> Recipe:
    """Return a recipe, even one that shows a misuse and is shipped to be refused."""
    try:
        return read_recipe(path)
    except RecipeError as error:
        try:
            return read_recipe(path, {"head.allow_leak": True})
        except RecipeError:
            raise error from None


def _purpose(path: Path) -> str:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():  # a listing stops at nobody's fault
        if line.startswith("# "):
            return line.removeprefix("# ")
    return ""
