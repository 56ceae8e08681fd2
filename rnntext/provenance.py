"""Which package, in which version, gave each part of a run: written into its folder, compared when it is loaded."""

from __future__ import annotations

from typing import Any

from rnntext import registry
from rnntext.discovery import OWN_DISTRIBUTION, installed_version
from rnntext.recipe import Recipe


def sources(recipe: Recipe) -> list[dict[str, str]]:
    """Return kind, full name and version of each part of a recipe, in the order of the flow."""
    choices = [recipe.dataset, recipe.tokenizer, recipe.vocabulary, *recipe.embeddings, recipe.encoder, recipe.head]
    entries = [registry.find(choice.kind, choice.name) for choice in choices]
    return [{"kind": entry.kind, "name": entry.full_name, "version": entry.version} for entry in entries]


def missing_packages(environment: Any) -> str:
    """Return how to install what gave parts of a run and is not there, or "".

    Args:
        environment: what the run's environment.json holds; whatever does not fit is passed over.
    """
    wanted = [f"{name}=={version}" for name, version in _packages(environment).items() if not installed_version(name)]
    return f"The run was made with {' and '.join(wanted)}: pip install {' '.join(wanted)}" if wanted else ""


def changed_packages(environment: Any) -> str:
    """Return which packages that gave parts of a run have another version now, or ""."""
    changes = [
        f"{name} was {version}, is {now}"
        for name, version in _packages(environment).items()
        if (now := installed_version(name)) not in (None, version)
    ]
    return "; ".join(changes)


def _packages(environment: Any) -> dict[str, str]:
    """Return the packages that gave parts, with their versions; neither rnntext itself nor this process's classes."""
    parts = environment.get("parts") if isinstance(environment, dict) else None
    named = [each for each in parts if isinstance(each, dict)] if isinstance(parts, list) else []
    packages = {str(each.get("name", "")).rpartition("/")[0]: str(each.get("version", "")) for each in named}
    return {
        name: version for name, version in packages.items() if name not in ("", OWN_DISTRIBUTION, registry.SESSION)
    }
