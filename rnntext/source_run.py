"""A finished run that gives weights to a new one."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from rnntext import run_folder
from rnntext.contracts import Vocabulary
from rnntext.errors import RecipeError
from rnntext.recipe import Recipe, read_recipe
from rnntext.run_folder import RunFolder


class MisfitError(Exception):
    """What a run has cannot be taken; the message says why, and which option to change."""


def in_toml(value: Any) -> str:
    """Return an option's value as a recipe writes it."""
    return "unset" if value is None else json.dumps(value)


class SourceRun:
    """A run folder, read as far as it is asked for; none of its code or data is needed.

    Args:
        path: the folder, absolute.

    Raises:
        MisfitError: its recipe cannot be read any more.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._folder = RunFolder(path)
        try:
            self.recipe: Recipe = read_recipe(self._folder.file(run_folder.RECIPE), files_needed=False)
        except RecipeError as error:
            reasons = "; ".join(map(str, error.problems))
            raise MisfitError(f"{self} does not fit this rnntext ({reasons}); name another run") from None

    def __str__(self) -> str:
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """All weights by name, one that is tied by the first of its names."""
        return self._folder.read_weights()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that it was trained with."""
        vocabulary: Vocabulary = self.recipe.vocabulary.build()
        vocabulary.from_json(self._folder.read_json(run_folder.VOCABULARY))
        return vocabulary

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights."""
        with open(self._folder.file(run_folder.WEIGHTS), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
