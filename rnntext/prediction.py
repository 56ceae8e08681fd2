"""A trained model: load a run folder, give it texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from rnntext import run_folder
from rnntext.batching import Collator, evaluation_batches
from rnntext.contracts import Dataset, Example, Prediction, Tokenizer, Vocabulary
from rnntext.devices import choose_device
from rnntext.encoding import TypeTable, encode_examples
from rnntext.errors import DataError, RecipeError, RunFolderError, UsageError
from rnntext.evaluation import GroupedScores, evaluate
from rnntext.model import TextModel, build_model
from rnntext.recipe import Recipe, read_recipe
from rnntext.run_folder import RunFolder
from rnntext.tables import BatchingOptions

BATCHES_A_WINDOW = 16
"""Texts are sorted by length within windows of this many batches, so that a stream of any length fits."""
SELFTEST_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)
SELFTEST_LONGEST_WORD = 30  # characters; a token as long as a text might be one, and nobody's text belongs there
SELFTEST_TOLERANCE = 1e-4

Text = str | Mapping[str, Any]
"""A text; or a mapping with ``text`` or ``tokens``, and perhaps ``id``, as a line of ``rnntext predict``."""


@dataclass(slots=True)
class Counts:
    """What happened to the texts that a model has read so far; nothing happens silently."""

    texts: int = 0
    cut: int = 0
    without_tokens: int = 0


@dataclass(slots=True)
class TrainedModel:
    """Texts in, predictions out: the same answer for a text alone, in any batch, in any order."""

    recipe: Recipe
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    labels: Mapping[str, Any]
    model: TextModel
    device: torch.device
    counts: Counts = field(default_factory=Counts)

    @overload
    def __call__(self, texts: Text, *, top_k: int | None = None) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is iterable, too
    @overload
    def __call__(self, texts: Iterable[Text], *, top_k: int | None = None) -> list[Prediction]: ...

    def __call__(self, texts: Text | Iterable[Text], *, top_k: int | None = None) -> Prediction | list[Prediction]:
        """Return the prediction of a text, or a list of them in the order of the texts.

        Args:
            texts: one text or several; a text may be a mapping with ``text`` or ``tokens``, and ``id``.
            top_k: give only so many labels with their probabilities.

        Raises:
            UsageError: something is no text.
        """
        if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
            return next(self.pipe([texts], top_k=top_k))
        return list(self.pipe(texts, top_k=top_k))

    def pipe(self, texts: Iterable[Text], batch_size: int = 64, *, top_k: int | None = None) -> Iterator[Prediction]:
        """Yield the prediction of each text, in order, in flat memory.

        Args:
            texts: any iterable, read in windows of 16 batches, within which texts of like length share a batch.
            batch_size: texts in a batch; decides speed and memory, never a result.
            top_k: give only so many labels with their probabilities.

        Raises:
            UsageError: something is no text.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        if top_k is not None and top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {top_k}")
        if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
            raise UsageError("pipe takes many texts; for one, call the model itself")
        for window in _windows(texts, batch_size * BATCHES_A_WINDOW):
            yield from self._window(window, batch_size, top_k)

    def _window(self, texts: list[Text], batch_size: int, top_k: int | None) -> Iterator[Prediction]:
        examples = [as_example(text) for text in texts]
        collator = self._collator(examples, labelled=False)
        answers: list[dict[str, Any]] = [{}] * len(texts)
        head = self.model.head
        with torch.inference_mode():
            for rows in evaluation_batches(collator.split.types.lengths, BatchingOptions(batch_size=batch_size)):
                batch = collator.batch(rows)
                predictions = head.predictions(self.model(batch), batch, top_k)
                for row, prediction in zip(rows.tolist(), predictions, strict=True):
                    answers[row] = prediction
        for text, example, answer in zip(texts, examples, answers, strict=True):
            identity = {"id": text["id"]} if isinstance(text, Mapping) and "id" in text else {}
            yield Prediction({**identity, "text": example.text, **answer})

    def _collator(self, examples: list[Example], labelled: bool) -> Collator:
        table = TypeTable()
        split = encode_examples(
            examples,
            self.tokenizer,
            table,
            self.recipe.max_tokens,
            (self.recipe.head.part, self.labels) if labelled else None,
            self.recipe.dataset.options.get("group_fields") or () if labelled else (),
        )
        self.counts.texts += len(split)
        self.counts.cut += split.texts_cut
        self.counts.without_tokens += split.texts_without_tokens
        return Collator(split, table.types, table.token_ids(self.vocabulary), self.device)

    def evaluate(self, file: str | Path, batch_size: int = 64) -> GroupedScores:
        """Score the model on a labelled file of the recipe's dataset type, in flat memory.

        Raises:
            DataError: the file cannot be read, or has a label that the model does not know.
        """
        options = {**self.recipe.dataset.options, "train": str(file), "test": str(file)}
        reader: Dataset = self.recipe.dataset.part(**options)
        counts = GroupedScores(self.model.head.scores)
        batching = BatchingOptions(batch_size=batch_size)
        try:
            for window in _windows(reader.read("test"), batch_size * BATCHES_A_WINDOW):
                evaluate(self.model, self._collator(window, labelled=True), batching, counts)
        except DataError as error:
            raise error.located(str(file)) from None
        if not counts.texts:
            raise DataError("there are no examples in it", str(file))
        return counts


def load(path: str | Path, device: str = "cpu") -> TrainedModel:
    """Return the model of a run folder, checked against its stored self-test. Runs no code from the folder.

    Args:
        path: the run folder.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.

    Raises:
        RunFolderError: files are missing or broken, do not fit each other, or the self-test fails.
        UsageError: the device is not there.
    """
    folder = RunFolder(path)
    model = assemble(folder, choose_device(device))
    stored = folder.read_json(run_folder.SELFTEST)
    texts = stored.get("texts") if isinstance(stored, dict) else None
    if not texts or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RunFolderError(f"{folder.file(run_folder.SELFTEST)} holds no texts; copy the run again or train it")
    drift = _difference(stored.get("outputs"), selftest(model, texts)["outputs"])
    if drift:
        raise RunFolderError(
            f"{folder.path} does not give the answers it gave when it was trained: {drift}. Its files or the "
            f"versions of the packages have changed; compare {run_folder.ENVIRONMENT}, or train the run anew"
        )
    model.counts = Counts()
    return model


def assemble(folder: RunFolder, device: torch.device) -> TrainedModel:
    """Build a run's model from its files, without the self-test."""
    if not folder.file(run_folder.RECIPE).is_file():
        folder.read_json(run_folder.RECIPE)  # raises what is missing
    try:
        recipe = read_recipe(folder.file(run_folder.RECIPE), files_needed=False)
    except RecipeError as error:
        raise RunFolderError(f"the recipe of {folder.path} does not fit this rnntext:\n{error}") from None
    labels, words = folder.read_json(run_folder.LABELS), folder.read_json(run_folder.VOCABULARY)
    try:
        vocabulary: Vocabulary = recipe.vocabulary.build()
        vocabulary.from_json(words)
        model = build_model(recipe, vocabulary, labels)
    except DataError as error:
        raise RunFolderError(f"{folder.path}: {error}") from None
    except (LookupError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{run_folder.VOCABULARY} or {run_folder.LABELS} of {folder.path} holds something else than it did "
            f"({error!r}); copy the run again or train it"
        ) from None
    weights = folder.read_weights()
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise RunFolderError(f"the weights of {folder.path} do not fit its recipe and vocabulary: {error}") from None
    model.to(device).eval()
    return TrainedModel(recipe, recipe.tokenizer.build(), vocabulary, labels, model, device)


def selftest(model: TrainedModel, texts: list[str] | None = None) -> dict[str, Any]:
    """Return texts and what the model answers; the texts are made of single words of its vocabulary.

    Never of training texts: a model may be private.
    """
    if texts is None:
        random = np.random.default_rng(0)
        vocabulary = model.vocabulary
        words = [
            word for word in map(vocabulary.token, range(2, len(vocabulary))) if len(word) <= SELFTEST_LONGEST_WORD
        ]
        texts = [" ".join(random.choice(words, length).tolist()) if words else "" for length in SELFTEST_LENGTHS]
    return {"texts": texts, "outputs": [model(text).to_dict() for text in texts]}


def as_example(text: Text) -> Example:
    """Return the example of a text, or of a mapping with ``text`` or ``tokens``.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(text, str):
        return Example(text)
    if isinstance(text, Mapping):
        tokens = text.get("tokens")
        if isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens):
            whole = text.get("text")
            return Example(whole if isinstance(whole, str) else " ".join(tokens), tuple(tokens))
        if isinstance(text.get("text"), str):
            return Example(text["text"])
        raise UsageError('expected "text" (a string) or "tokens" (a list of strings)')
    raise UsageError(f"expected a text, got {type(text).__name__}: {str(text)[:60]}")


def _windows(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while window := list(itertools.islice(iterator, size)):
        yield window


def _difference(stored: Any, now: Any, place: str = "outputs") -> str:
    """Return where two answers differ by more than the tolerance, or ""."""
    if isinstance(stored, float | int) and isinstance(now, float | int):
        return "" if abs(stored - now) <= SELFTEST_TOLERANCE else f"{place} was {stored}, is {now}"
    if isinstance(stored, dict) and isinstance(now, dict) and stored.keys() == now.keys():
        pairs = [(stored[key], now[key], f"{place}.{key}") for key in stored]
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        pairs = [(old, new, f"{place}[{index}]") for index, (old, new) in enumerate(zip(stored, now, strict=True))]
    else:
        return "" if stored == now else f"{place} was {stored!r}, is {now!r}"
    return next((found for old, new, where in pairs if (found := _difference(old, new, where))), "")
