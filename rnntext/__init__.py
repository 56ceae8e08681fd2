"""rnntext: small, fast, private text models from a recipe.

>>> import rnntext
>>> run = rnntext.run("recipes/sentiment.toml")          # doctest: +SKIP
>>> model = rnntext.load(run.path)                       # doctest: +SKIP
>>> model("I hate this boring movie").label              # doctest: +SKIP
'negative'

Importing this package imports no torch: the names below fetch their module when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rnntext import registry
    from rnntext.loading import load
    from rnntext.prediction import TrainedModel
    from rnntext.recipe import Recipe, read_recipe
    from rnntext.registry import register
    from rnntext.running import Run, run
    from rnntext.seeds import SeedRuns, run_seeds

__all__ = [
    "Recipe",
    "Run",
    "SeedRuns",
    "TrainedModel",
    "__version__",
    "load",
    "read_recipe",
    "register",
    "registry",
    "run",
    "run_seeds",
]

_HOMES = {
    "Recipe": "rnntext.recipe",
    "Run": "rnntext.running",
    "SeedRuns": "rnntext.seeds",
    "TrainedModel": "rnntext.prediction",
    "load": "rnntext.loading",
    "read_recipe": "rnntext.recipe",
    "register": "rnntext.registry",
    "run": "rnntext.running",
    "run_seeds": "rnntext.seeds",
}


def __getattr__(name: str) -> Any:
    if name == "registry":
        return importlib.import_module("rnntext.registry")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rnntext' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
