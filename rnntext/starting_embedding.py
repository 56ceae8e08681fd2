"""An embedding's weights out of finished runs: rows of words matched by token, all else as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.contracts import BLANK, PAD_ID, UNKNOWN_ID, Vocabulary
from rnntext.recipe import Recipe
from rnntext.source_run import MisfitError, SourceRun, in_toml

Counts = Callable[[], np.ndarray]
Pairs = Sequence[tuple[int, SourceRun]]
"""Place of an embedding, and a run that gives to it."""


def plan_embeddings(recipe: Recipe, sources: Sequence[SourceRun]) -> list[tuple[int, SourceRun]]:
    """Return what gives to which embedding: each run to those that it has of the same type at the same place.

    Raises:
        MisfitError: there is none, or a run's takes its vectors from elsewhere.
    """
    pairs = []
    for source in sources:
        for place, (ours, theirs) in enumerate(zip(recipe.embeddings, source.recipe.embeddings, strict=False)):
            if hasattr(theirs.part, "begin"):
                raise MisfitError(
                    f"the embedding of {source} is of type {theirs.name!r}: most of its vectors are those of its own "
                    "source, and not of the words of a vocabulary. Give [embedding] that type and source, and leave "
                    "embedding out of init_from"
                )
            if ours.name == theirs.name:
                _check_width(recipe, place, source, ours.options.get("output_dim"), theirs.options.get("output_dim"))
                pairs.append((place, source))
    if not pairs:
        here = ", ".join(choice.name for choice in recipe.embeddings)
        there = ", ".join(choice.name for choice in sources[0].recipe.embeddings)
        raise MisfitError(
            f"an embedding starts from one of the same type at the same place, and there is none: {there} in "
            f"{sources[0]}, {here} here. Change embedding.type, or leave embedding out of init_from"
        )
    return pairs


def fill_embeddings(
    recipe: Recipe, embeddings: Iterable[nn.Module], pairs: Pairs, vocabulary: Vocabulary, counts: Counts
) -> Iterator[str]:
    """Copy what runs have of each embedding; yield what is to be told.

    Args:
        recipe: the new run's.
        embeddings: the model's.
        pairs: what ``plan_embeddings`` gave; nothing is copied or told without any.
        vocabulary: the model's.
        counts: returns int64 [V], how often each word occurs in the training split.

    Raises:
        MisfitError: widths differ, or there is nothing to take.
    """
    nothing = bool(pairs)
    for place, (label, embedding) in enumerate(zip(recipe.embedding_labels(), embeddings, strict=True)):
        sources = [source for there, source in pairs if there == place]
        weights = embedding.state_dict()
        if not sources or not weights:
            if pairs:
                yield f"{label}: {recipe.embeddings[place].name} keeps its own start"
            continue
        nothing = False
        table = weights.get("weight")
        if table is None or table.dim() != 2 or len(table) != len(vocabulary):
            _copy_whole(recipe, place, weights, sources[0])
            yield f"{label}: all weights from {sources[0]}"
            continue
        # Buffers beside a table of words belong to its own words.
        others = {name for name, _ in embedding.named_parameters()} - {"weight"}
        _copy_whole(recipe, place, {name: weights[name] for name in others}, sources[0])
        yield from _copy_rows(recipe, place, table, sources, vocabulary, counts())
    if nothing:
        names = ", ".join(choice.name for choice in recipe.embeddings)
        raise MisfitError(f"{names} has no weights to take; leave embedding out of init_from")


def _copy_rows(
    recipe: Recipe,
    place: int,
    table: Tensor,
    sources: Sequence[SourceRun],
    vocabulary: Vocabulary,
    counts: np.ndarray,
) -> Iterator[str]:
    """Copy the rows of words into float [V, E], each from the first run that knows the word."""
    label = recipe.embedding_labels()[place]
    copied = np.zeros(len(vocabulary), dtype=bool)
    for source in sources:
        theirs = source.weights[f"embeddings.{place}.weight"]
        _check_width(recipe, place, source, table.shape[1], theirs.shape[1])
        rows = matching_rows(vocabulary, source.vocabulary)
        words = [row for row in np.flatnonzero(rows >= 0).tolist() if row > UNKNOWN_ID]
        if not any(vocabulary.token(row) != BLANK for row in words):
            raise MisfitError(
                f"{source} knows none of the {len(vocabulary):,} words of this vocabulary: its texts were cut by "
                f"tokenizer {source.recipe.tokenizer.name!r}, and these by {recipe.tokenizer.name!r}. Cut both alike"
            )
        new = np.flatnonzero((rows >= 0) & ~copied)
        with torch.no_grad():
            table[torch.from_numpy(new)] = theirs[torch.from_numpy(rows[new])].to(table.dtype)
        copied[new] = True
        share = counts[new].sum() / max(1, counts.sum())
        yield (
            f"{label}: {len(new):,} of {len(vocabulary):,} rows from {source}, for {share:.1%} of the tokens that "
            "the vocabulary knows"
        )


def _check_width(recipe: Recipe, place: int, source: SourceRun, ours: int | None, theirs: int | None) -> None:
    if ours is not None and theirs is not None and ours != theirs:
        raise MisfitError(
            f"the vectors of {source} are {theirs} wide, and these {ours}; set "
            f"{recipe.embedding_labels()[place]}.output_dim = {theirs}"
        )


def matching_rows(vocabulary: Vocabulary, theirs: Vocabulary) -> np.ndarray:
    """Return int64 [V]: the id in another vocabulary of each word of one; -1 where it has none.

    A word is looked up as it stands, else in the other's normal form (Paris as paris where it has lower case alone),
    else among the other's words in its own normal form (paris as Paris), the most frequent if the ids go by that.
    """
    tokens = [vocabulary.token(number) for number in range(len(vocabulary))]
    as_they_stand = {theirs.token(number): number for number in range(UNKNOWN_ID + 1, len(theirs))}
    normal: dict[str, int] = {}
    for token, number in as_they_stand.items():
        normal.setdefault(vocabulary.normalize(token), number)
    rows = [
        as_they_stand.get(token, found if found > UNKNOWN_ID else normal.get(token, -1))
        for token, found in zip(tokens, theirs.encode(tokens), strict=True)
    ]
    rows[: UNKNOWN_ID + 1] = [PAD_ID, UNKNOWN_ID]
    return np.asarray(rows, dtype=np.int64)


def _copy_whole(recipe: Recipe, place: int, weights: Mapping[str, Tensor], source: SourceRun) -> None:
    """Copy weights of an embedding that do not depend on the vocabulary."""
    prefix = f"embeddings.{place}."
    theirs = {name.removeprefix(prefix): each for name, each in source.weights.items() if name.startswith(prefix)}
    for name, weight in weights.items():
        if name not in theirs or theirs[name].shape != weight.shape:
            raise _misfit(recipe, place, name, source)
    for name, weight in weights.items():
        with torch.no_grad():
            weight.copy_(theirs[name])


def _misfit(recipe: Recipe, place: int, name: str, source: SourceRun) -> MisfitError:
    label = recipe.embedding_labels()[place]
    ours, theirs = recipe.embeddings[place].options, source.recipe.embeddings[place].options
    changes = [
        f"set {label}.{key} = {in_toml(theirs[key])} (now {in_toml(here)})"
        for key, here in ours.items()
        if key in theirs and theirs[key] != here and "dropout" not in key
    ]
    advice = f": {', '.join(changes)}, or leave" if changes else "; leave"
    return MisfitError(
        f"the weights of {recipe.embeddings[place].name} in {source} do not fit ({name}){advice} embedding out of "
        "init_from"
    )
