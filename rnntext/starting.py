"""Where a training starts from: weights of finished runs (``training.init_from``), in the place of drawn ones."""

from __future__ import annotations

from collections.abc import Callable

from rnntext.contracts import Vocabulary
from rnntext.errors import Problem, RecipeError
from rnntext.model import TextModel
from rnntext.recipe import Recipe
from rnntext.source_run import MisfitError, SourceRun
from rnntext.starting_embedding import Counts, fill_embeddings, plan_embeddings
from rnntext.starting_encoder import Giver, fill_encoder, plan_encoder

ENCODER, EMBEDDING = "encoder", "embedding"


class Start:
    """What a recipe's ``training.init_from`` names, checked as far as recipes tell, before any data are read.

    Args:
        recipe: the new run's.

    Raises:
        RecipeError: what the runs have does not fit; with every problem.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._problems: list[Problem] = []
        self._givers: list[Giver] = []
        self._tables: list[tuple[int, SourceRun]] = []
        self._runs: dict[str, list[SourceRun]] = {}
        opened: dict[str, SourceRun] = {}
        for part, paths in (recipe.training.init_from or {}).items():
            try:
                for path in [paths] if isinstance(paths, str) else paths:
                    source = opened[path] = opened.get(path) or SourceRun(path)
                    self._runs.setdefault(part, []).append(source)
                if part == ENCODER:
                    self._givers = plan_encoder(recipe, self._runs[part])
                else:
                    self._tables = plan_embeddings(recipe, self._runs[part])
            except MisfitError as misfit:
                self._add(part, misfit)
        self._raise()

    @property
    def digests(self) -> dict[str, list[dict[str, str]]]:
        """Part -> the runs that give to it, each with the sha256 of its weights; empty where there are none."""
        return {
            part: [{"run": str(source.path), "sha256": source.digest} for source in sources]
            for part, sources in self._runs.items()
        }

    def fill(self, model: TextModel, vocabulary: Vocabulary, counts: Counts, note: Callable[[str], None]) -> None:
        """Copy weights of the runs into a model that is not trained yet.

        Args:
            model: its parts have begun; it is on the CPU.
            vocabulary: the model's.
            counts: returns int64 [V], how often each word occurs in the training split.
            note: takes a line for everything that was taken.

        Raises:
            RecipeError: what the runs have does not fit; with every problem.
            RunFolderError: a run is broken.
        """
        notes: list[str] = []
        for giver in self._givers:
            try:
                self._check_numbering(model, vocabulary, giver.source)
                notes += [*giver.notes, *fill_encoder(self._recipe, model.encoder, giver)]
            except MisfitError as misfit:
                self._add(ENCODER, misfit)
        if self._givers and EMBEDDING not in self._runs and _draws(self._recipe):
            notes.append(
                "encoder: it was trained to read other vectors than those that the embedding starts with; "
                "training.init_from.embedding takes these, too"
            )
        try:
            notes += fill_embeddings(self._recipe, model.embeddings, self._tables, vocabulary, counts)
        except MisfitError as misfit:
            self._add(EMBEDDING, misfit)
        self._raise()
        for text in notes:
            note(text)

    def _check_numbering(self, model: TextModel, vocabulary: Vocabulary, source: SourceRun) -> None:
        """Refuse an encoder that reads the number of a word, where words have other numbers."""
        if all(embedding.state_dict() for embedding in model.embeddings):
            return
        if _tokens(vocabulary) != _tokens(source.vocabulary):
            name = next(
                choice.name
                for choice, embedding in zip(self._recipe.embeddings, model.embeddings, strict=True)
                if not embedding.state_dict()
            )
            raise MisfitError(
                f"an encoder below which stands {name!r} reads the numbers of words, and the vocabulary of {source} "
                'numbers them otherwise; train both with one vocabulary (vocabulary.type = "word_list"), or set '
                'embedding.type = "learned" in both'
            )

    def _add(self, part: str, misfit: MisfitError) -> None:
        origin = self._recipe.origins["training", "init_from"]
        self._problems.append(origin.problem(str(misfit), "training", f"init_from.{part}"))

    def _raise(self) -> None:
        if self._problems:
            raise RecipeError(self._problems)


def _tokens(vocabulary: Vocabulary) -> list[str]:
    return [vocabulary.token(number) for number in range(len(vocabulary))]


def _draws(recipe: Recipe) -> bool:
    """Return whether an embedding has vectors that are drawn, and not filled from elsewhere."""
    return any("output_dim" in each.options and not hasattr(each.part, "begin") for each in recipe.embeddings)
