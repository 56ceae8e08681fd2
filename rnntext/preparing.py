"""Data to numbers: everything that happens before there is a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnntext.aligning import with_tags
from rnntext.baselines import LabelledTokens
from rnntext.batching import Collator
from rnntext.caching import cache_error, cache_folder
from rnntext.contracts import UNKNOWN_ID, Head, Split, Tokenizer, Vocabulary
from rnntext.corpus import Corpus, read_corpus
from rnntext.encoding import EncodedSplit, TypeTable, encode_examples, share_of_tokens, type_counts
from rnntext.errors import DataError
from rnntext.recipe import Recipe


@dataclass(slots=True)
class Prepared:
    """A recipe's data, ready to be batched."""

    corpus: Corpus
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    labels: dict[str, Any]
    table: TypeTable
    token_ids: np.ndarray
    """int64 [types]: vocabulary id of each distinct raw token."""
    splits: dict[Split, EncodedSplit]

    def collator(self, split: Split, device: Any = None) -> Collator:
        """Return what makes batches of a split."""
        return Collator(self.splits[split], self.table.types, self.token_ids, device)

    def unknown_rates(self) -> dict[str, float]:
        """Return the share of each split's tokens that the vocabulary does not know."""
        return self.shares_of(self.token_ids == UNKNOWN_ID)

    def shares_of(self, types: np.ndarray) -> dict[str, float]:
        """Return the share of each split's tokens whose type is marked in bool [types]."""
        return {name: share_of_tokens(split, types) for name, split in self.splits.items()}

    def labelled_tokens(self, split: Split, rows: np.ndarray | None = None, raw: bool = False) -> LabelledTokens:
        """Return a split, or some rows of it, as a baseline sees it: tokens, normalised unless raw, and targets."""
        encoded = self.splits[split]
        chosen = np.arange(len(encoded)) if rows is None else rows
        targets = encoded.targets
        if targets is None:
            raise DataError(f"the {split} split has no labels")
        types = self.table.types
        forms = types if raw else [self.vocabulary.normalize(token) for token in types]

        def tokens() -> Iterator[list[str]]:
            for row in chosen.tolist():
                yield [forms[number] for number in encoded.types.row(row).tolist() if number]

        def unknown(texts: Sequence[str]) -> list[bool]:
            return [number == UNKNOWN_ID for number in self.vocabulary.encode(texts)]

        return LabelledTokens(tokens, lambda part: targets.padded(chosen[part], -1), unknown)


def prepare(recipe: Recipe, note: Callable[[str], None]) -> Prepared:
    """Read a recipe's data, learn labels and vocabulary from the training split, and encode every split.

    Args:
        recipe: a recipe that needs nothing more.
        note: takes a line for everything that was drawn, skipped, cut or is unknown.

    Raises:
        DataError: the data cannot be used; file and line say where.
    """
    corpus = read_corpus(recipe.dataset, recipe.splits, recipe.seed)
    for text in corpus.notes:
        note(text)
    head: type[Head] = recipe.head.part
    tokenizer: Tokenizer = recipe.tokenizer.build()
    train = corpus.splits["train"]
    try:
        labels = head.learn_labels(with_tags(example, tokenizer) for example in train.examples())
    except DataError as error:
        raise error.located(train.file) from None
    folder = cache_folder()
    table = TypeTable()
    splits: dict[Split, EncodedSplit] = {}
    for name, split in corpus.splits.items():
        try:
            splits[name] = encode_examples(
                split.examples(),
                tokenizer,
                table,
                recipe.max_tokens,
                (head, labels),
                recipe.dataset.options.get("group_fields") or (),
                name,
                folder,
            )
        except DataError as error:
            raise error.located(split.file) from None
        except OSError as error:
            raise cache_error(error) from None
    vocabulary: Vocabulary = recipe.vocabulary.build()
    vocabulary.fit(type_counts(splits["train"], table))
    prepared = Prepared(corpus, tokenizer, vocabulary, labels, table, table.token_ids(vocabulary), splits)
    for name, encoded in splits.items():
        if text := encoded.misaligned.note():
            note(f"{name}: {text}")
            # What stays with the model names no text.
            corpus.notes.append(f"{name}: {encoded.misaligned.summary()}")
    rates = prepared.unknown_rates()
    for name, encoded in splits.items():
        lengths = encoded.types.lengths
        extras = [
            f"{encoded.texts_cut:,} cut at {recipe.max_tokens:,} tokens" if encoded.texts_cut else "",
            f"{encoded.texts_without_tokens:,} without tokens, read as one <unk>"
            if encoded.texts_without_tokens
            else "",
        ]
        note(
            f"{name}: {len(encoded):,} texts, {lengths.sum():,} tokens ({lengths.mean():.1f} a text, longest "
            f"{lengths.max():,}), {rates[name]:.1%} unknown{''.join(f', {extra}' for extra in extras if extra)}"
        )
    note(f"vocabulary: {len(vocabulary):,} words")
    return prepared
