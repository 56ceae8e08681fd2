"""Data to numbers: everything that happens before there is a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from rnntext.aligning import with_tags
from rnntext.baselines import LabelledTokens
from rnntext.batching import Collator
from rnntext.blanks import (
    BlankTokenizer,
    CutBlanks,
    around_blanks,
    as_questions,
    cut_one,
    filled_in,
    with_blanks,
    without_labels,
)
from rnntext.caching import cache_error, cache_folder
from rnntext.contracts import BLANK, MARK, PAD_ID, UNKNOWN_ID, Example, Head, Split, Tokenizer, Vocabulary
from rnntext.corpus import Corpus, read_corpus
from rnntext.encoding import (
    EncodedSplit,
    Ragged,
    TypeTable,
    encode_examples,
    occurrences,
    share_of_tokens,
    type_counts,
)
from rnntext.errors import DataError
from rnntext.recipe import Recipe
from rnntext.streaming import AnyCollator, StreamCollator, Windows, check_stream

QUESTIONS = 30
"""With the recipe's seed, the start of the numbers by which texts are made questions, in every split alike."""
TOKENS_A_PIECE = 50_000
"""Of a stream, for methods that read texts: each piece costs them one token, the first, which nothing predicts."""


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

    windows: Windows | None = None
    """How a split is cut, where it is one stream of tokens."""
    learnt_cuts: dict[str, Any] | None = None
    """What the tokenizer learnt, as JSON-able values; None where it learns nothing."""

    def collator(self, split: Split, device: Any = None) -> AnyCollator:
        """Return what makes batches of a split."""
        return collator_of(self.splits[split], self.table.types, self.token_ids, self.windows, device)

    def word_counts(self) -> np.ndarray:
        """Return int64 [V]: how often each word of the vocabulary occurs in the training split, 0 of ``<unk>``."""
        counts = np.bincount(
            self.token_ids, weights=occurrences(self.splits["train"], self.table), minlength=len(self.vocabulary)
        )
        counts[[PAD_ID, UNKNOWN_ID]] = 0
        by_word: np.ndarray = counts.astype(np.int64)
        return by_word

    def unknown_rates(self) -> dict[str, float]:
        """Return the share of each split's tokens that the vocabulary does not know."""
        return self.shares_of(self.token_ids == UNKNOWN_ID)

    def shares_of(self, types: np.ndarray) -> dict[str, float]:
        """Return the share of each split's tokens whose type is marked in bool [types]."""
        return {name: share_of_tokens(split, types) for name, split in self.splits.items()}

    def labelled_tokens(self, split: Split, rows: np.ndarray | None = None, raw: bool = False) -> LabelledTokens:
        """Return a split, or some rows of it, as a baseline sees it: tokens, normalised unless raw, and targets."""
        encoded = self.splits[split]
        if self.windows is not None:
            encoded = stream_in_pieces(encoded)
            rows = None
        chosen = np.arange(len(encoded)) if rows is None else rows
        collator = Collator(encoded, self.table.types, self.token_ids)
        if encoded.targets is None:
            raise DataError(f"the {split} split has no labels")
        types = self.table.types
        forms = types if raw else [self.vocabulary.normalize(token) for token in types]

        def tokens() -> Iterator[list[str]]:
            for row in chosen.tolist():
                yield [forms[number] for number in encoded.types.row(row).tolist() if number]

        def unknown(texts: Sequence[str]) -> list[bool]:
            return [number == UNKNOWN_ID for number in self.vocabulary.encode(texts)]

        return LabelledTokens(tokens, lambda part: collator.targets(chosen[part]), unknown)

    def texts(self, split: Split, count: int) -> list[Any]:
        """Return the first texts of a split as a user would give them."""
        encoded, types = self.splits[split], self.table.types
        if encoded.targets_are_types:
            rows = (encoded.types.row(row).tolist() for row in range(min(count, len(encoded))))
            return [{"tokens": [MARK if types[number] == BLANK else types[number] for number in row]} for row in rows]
        examples = islice(self.corpus.splits[split].examples(), count)
        return [example.text if example.tokens is None else {"tokens": list(example.tokens)} for example in examples]


def collator_of(
    split: EncodedSplit, types: Sequence[str], token_ids: np.ndarray, windows: Windows | None, device: Any = None
) -> AnyCollator:
    """Return what makes batches of a split: of whole texts, or of the windows of a stream."""
    if windows is None:
        return Collator(split, types, token_ids, device)
    return StreamCollator(split, types, token_ids, windows, device)


def learns_cuts(recipe: Recipe) -> bool:
    """Return whether a recipe's tokenizer learns from the training split where to cut."""
    return hasattr(recipe.tokenizer.part, "fit")


def learn_cuts(recipe: Recipe, examples: Iterable[Example]) -> dict[str, Any] | None:
    """Return what a recipe's tokenizer learns from examples, as JSON-able values; None: it learns nothing.

    Raises:
        DataError: there is no text to learn from, or the tokenizer cannot.
    """
    if not learns_cuts(recipe):
        return None
    tokenizer = recipe.tokenizer.build()
    texts = (example.text for example in examples if example.tokens is None)
    if reading_of(recipe):
        texts = (piece for text in texts for piece in around_blanks(text))
    first = next(texts, None)
    if first is None:
        raise DataError(
            f"every text of the training split brings its own tokens, so the tokenizer {recipe.tokenizer.name!r} has "
            "nothing to learn from, and would cut other texts otherwise; leave [tokenizer] out, or give texts "
            "without tokens"
        )
    tokenizer.fit(chain([first], texts))
    learnt: dict[str, Any] = tokenizer.to_json()
    return learnt


def tokenizer_of(recipe: Recipe, learnt_cuts: dict[str, Any] | None = None) -> Tokenizer:
    """Return a recipe's tokenizer with what it learnt; where blanks are filled, each ``____`` is one token to it.

    Raises:
        DataError: what it learnt is damaged.
    """
    tokenizer: Any = recipe.tokenizer.build()
    if learnt_cuts is not None:
        tokenizer.from_json(learnt_cuts)
    return BlankTokenizer(tokenizer) if reading_of(recipe) else tokenizer


def reading_of(recipe: Recipe) -> Callable[[Example, Sequence[str]], Sequence[str]] | None:
    """Return what turns an example's tokens, as they stand in the text, into those that are read; None: nothing."""
    return with_blanks if getattr(recipe.head.part, "fills_blanks", False) else None


def fitted_vocabulary(recipe: Recipe, counts: Mapping[str, int]) -> Vocabulary:
    """Return a recipe's vocabulary, fitted to how often each raw token occurs; where blanks are filled, with them.

    Raises:
        DataError: it does not take ``<blank>`` in, or no token.
    """
    vocabulary: Vocabulary = recipe.vocabulary.build()
    if not getattr(recipe.head.part, "fills_blanks", False):
        vocabulary.fit(counts)
        return vocabulary
    # More than all others together, so that it is in any vocabulary that goes by frequency.
    vocabulary.fit({**counts, BLANK: 1 + sum(counts.values())})
    if vocabulary.encode([BLANK]) == [UNKNOWN_ID]:
        raise DataError(f"the vocabulary has no {BLANK}, which stands for hidden tokens; add it to its list of words")
    return vocabulary


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
    read, windows = reading_of(recipe), corpus.windows
    fills_blanks = read is not None
    train = corpus.splits["train"]
    try:
        learnt_cuts = learn_cuts(recipe, train.examples())
        tokenizer = tokenizer_of(recipe, learnt_cuts)
        labels = head.learn_labels(with_tags(example, tokenizer) for example in train.examples())
    except DataError as error:
        raise error.located(train.file) from None
    folder = cache_folder()
    table = TypeTable()
    splits: dict[Split, EncodedSplit] = {}
    for name, split in corpus.splits.items():
        try:
            examples = split.examples()
            splits[name] = encode_examples(
                without_labels(examples) if fills_blanks and recipe.dataset.brings_labels else examples,
                tokenizer,
                table,
                None if windows else recipe.max_tokens,
                None if windows else (head, labels),
                recipe.dataset.options.get("group_fields") or (),
                name,
                folder,
                read=read,
                keep_empty=windows is None,
            )
        except DataError as error:
            raise error.located(split.file) from None
        except OSError as error:
            raise cache_error(error) from None
        if windows:
            try:
                check_stream(splits[name])
            except DataError as error:
                raise error.located(split.file) from None
    if fills_blanks:
        (blank,) = table.encode([BLANK])
        splits["train"] = filled_in(splits["train"], blank)
    vocabulary = fitted_vocabulary(recipe, type_counts(splits["train"], table))
    token_ids = table.token_ids(vocabulary)
    prepared = Prepared(corpus, tokenizer, vocabulary, labels, table, token_ids, splits, windows, learnt_cuts)
    if fills_blanks:
        _make_questions(prepared, blank, corpus.cut_blanks or cut_one, recipe.seed, note)
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


def _make_questions(prepared: Prepared, blank: int, cut: CutBlanks, seed: int, note: Callable[[str], None]) -> None:
    """Make the texts that are not trained on into questions.

    Raises:
        DataError: no text can be cut.
    """
    token_ids, splits = prepared.token_ids, prepared.splits
    by_word = prepared.word_counts()
    # Kept with the model: a file that it is scored on later is cut alike.
    prepared.labels["occurrences"] = by_word.tolist()
    counts = by_word[token_ids]
    counts[blank] = 0
    for name in [name for name in splits if name != "train"]:
        random = np.random.default_rng((seed, QUESTIONS))
        found = as_questions(splits[name], counts, blank, cut, random)
        left_out = len(splits[name]) - len(found)
        if not len(found):
            raise DataError(
                f"none of the {left_out:,} texts of the {name} split can be made a question: no word in them is "
                "known and frequent enough, or they are too short (dataset.blank_min_count, dataset.min_tokens)"
            )
        splits[name] = found
        if left_out:
            why = "too short, no word to cut out, or a blank without an answer"
            text = f"{name}: {left_out:,} texts ask nothing ({why})"
            note(text)
            prepared.corpus.notes.append(text)


def stream_in_pieces(split: EncodedSplit) -> EncodedSplit:
    """Return a stream as a few long texts without targets, for methods that read texts."""
    total = len(split.types.values)
    ends = np.unique(np.append(np.arange(0, total, TOKENS_A_PIECE), total))
    nothing = Ragged(np.zeros(0, dtype=np.int32), np.zeros(len(ends), dtype=np.int64))
    return replace(split, types=Ragged(split.types.values, ends), targets=nothing, groups={})
