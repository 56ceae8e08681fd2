"""Data that a recipe does not bring, made up, so that its network can be built and described without them."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from rnntext.contracts import BLANK, Example, Vocabulary
from rnntext.encoding import TypeTable, encode_examples
from rnntext.preparing import collator_of, fitted_vocabulary, learns_cuts
from rnntext.recipe import Recipe
from rnntext.schemes import Scheme, tags_of
from rnntext.streaming import AnyCollator, Windows

ASSUMED_WORDS = 20_000
ASSUMED_CHARACTERS = 100
ASSUMED_TOKENS = 50


def assume(recipe: Recipe, note: Callable[[str], None]) -> tuple[Vocabulary, dict[str, Any], AnyCollator]:
    """Return a vocabulary, labels and texts such as a recipe may have once its data are there.

    Raises:
        DataError: the head fills in blanks, and the vocabulary goes by a list without ``<blank>``.
    """
    head, tokenizer = recipe.head.part, recipe.tokenizer.build()
    # One that learns where to cut has learnt nothing here.
    characters = not learns_cuts(recipe) and len(tokenizer.tokens("word")) == len("word")
    size, what = (ASSUMED_CHARACTERS, "characters") if characters else (ASSUMED_WORDS, "words")
    note(f"needs {', '.join(recipe.needs)}: {size:,} {what} and {ASSUMED_TOKENS} tokens a text are assumed")
    fills_blanks = getattr(head, "fills_blanks", False)
    room = min(size, recipe.vocabulary.options.get("max_size") or size) - (3 if fills_blanks else 2)
    # Letters without case and accents, so that each is itself in any vocabulary.
    words = [chr(0x4E00 + number) if characters else f"w{number}" for number in range(max(1, room))]
    counts = dict.fromkeys(words, recipe.vocabulary.options.get("min_count", 1))
    vocabulary = fitted_vocabulary(recipe, counts)
    known = [vocabulary.token(number) for number in range(2, min(len(vocabulary), ASSUMED_TOKENS + 3))]
    known = [word for word in known if word != BLANK] or words
    tokens = tuple(known[number % len(known)] for number in range(ASSUMED_TOKENS))
    windows, rows = _windows(recipe), recipe.batching.batch_size
    # A batch of windows begins anywhere in the first of them, and is followed by one token.
    streamed = (rows + 1) * windows[0] + 1 if windows else 0
    texts = _examples(recipe, tokens, max(2 * rows, ceil(streamed / ASSUMED_TOKENS)))
    labels = head.learn_labels(texts)
    table = TypeTable()
    split = encode_examples(texts, tokenizer, table, recipe.max_tokens, None if windows else (head, labels))
    return vocabulary, labels, collator_of(split, table.types, table.token_ids(vocabulary), windows)


def _examples(recipe: Recipe, tokens: tuple[str, ...], count: int) -> list[Example]:
    """Return texts with what the head needs to learn from."""
    assumed = getattr(recipe.head.part, "assumed", None)
    if assumed is not None:
        return [assumed(tokens, number) for number in range(count)]
    needs = getattr(recipe.head.part, "needs", None)
    needed = {"labels"} if needs is None else needs(recipe.head.options)
    if "tags" in needed:
        scheme: Scheme = recipe.dataset.options.get("scheme") or "bio"
        half = len(tokens) // 2
        tags = ["a"] * half + ["b"] * (len(tokens) - half)
        if scheme != "none":
            tags = tags_of([(0, half, "a"), (half, len(tokens), "b")], len(tokens), scheme)
        return [Example("", tokens, tuple(tags), scheme)] * count
    return [Example("", tokens, "ab"[number % 2] if "labels" in needed else None) for number in range(count)]


def _windows(recipe: Recipe) -> Windows | None:
    """Return how a dataset that is not there would be read, if as a stream."""
    gives = getattr(recipe.dataset.part, "gives", None)
    given = gives(recipe.dataset.options) if gives else ()
    if "windows" not in given:
        return None
    steps = recipe.dataset.options.get("num_steps") or ASSUMED_TOKENS
    return steps, "sequential" if "sequence" in given else "random"
