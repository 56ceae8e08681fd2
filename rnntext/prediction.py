"""A trained model: load a run folder, give it texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from rnntext import run_folder
from rnntext.aligning import Offsets
from rnntext.batching import Collator, evaluation_batches
from rnntext.contracts import Dataset, Example, Tokenizer, Vocabulary
from rnntext.devices import choose_device
from rnntext.encoding import KnownTokens, TypeTable, encode_examples
from rnntext.errors import DataError, RecipeError, RunFolderError, UsageError
from rnntext.evaluation import GroupedScores, evaluate
from rnntext.inputs import SentenceSplitter, Text, as_example, windows
from rnntext.model import TextModel, build_model
from rnntext.recipe import Recipe, read_recipe
from rnntext.run_folder import RunFolder
from rnntext.tables import BatchingOptions

BATCHES_A_WINDOW = 16
"""Texts are sorted by length within windows of so many times ``batch_size``, so that a stream of any length fits."""
TOKENS_A_TEXT = 64
"""Tokens that ``batch_size`` allows for a text: on a CPU, batches of 3,000 to 6,000 tokens are read fastest."""
SELFTEST_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)
SELFTEST_LONGEST_WORD = 30  # characters; a token as long as a text might be one, and nobody's text belongs there
SELFTEST_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}  # of a probability, by precision


class Prediction:
    """One answer: the keys of ``rnntext predict`` as attributes, and ``to_dict()``."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            known = ", ".join(self.__dict__.get("_values", ()))
            raise AttributeError(f"this prediction has no {name!r}; it has: {known}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON-able values, in the order of ``rnntext predict``."""
        return dict(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prediction) and self._values == other._values

    def __hash__(self) -> int:
        return hash(repr(self._values))

    def __repr__(self) -> str:
        return f"Prediction({', '.join(f'{key}={value!r}' for key, value in self._values.items())})"


@dataclass(slots=True)
class Counts:
    """What happened to the texts that a model has read so far; nothing happens silently."""

    texts: int = 0
    cut: int = 0
    without_tokens: int = 0
    spans_misaligned: int = 0
    notes: list[str] = field(default_factory=list)
    """What the dataset passed over or mended in the file that was evaluated last."""


@dataclass(slots=True)
class TrainedModel:
    """Texts in, predictions out: the same answer alone, in any batch and order (in bfloat16 to two digits)."""

    recipe: Recipe
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    labels: Mapping[str, Any]
    model: TextModel
    device: torch.device
    counts: Counts = field(default_factory=Counts)
    _known: KnownTokens = field(init=False, repr=False, compare=False)
    _splitter: SentenceSplitter | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        self._known = KnownTokens(self.vocabulary)

    @overload
    def __call__(self, texts: Text, *, top_k: int | None = None, sentences: bool = False) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is iterable, too
    @overload
    def __call__(
        self, texts: Iterable[Text], *, top_k: int | None = None, sentences: bool = False
    ) -> list[Prediction]: ...

    def __call__(
        self, texts: Text | Iterable[Text], *, top_k: int | None = None, sentences: bool = False
    ) -> Prediction | list[Prediction]:
        """Return the prediction of a text, or a list of them in the order of the texts.

        Args:
            texts: one text or several; a text may be a mapping with ``text`` or ``tokens``, and ``id``.
            top_k: give only so many labels with their probabilities; of tags, add as many of the most probable
                sequences.
            sentences: read each sentence of a text on its own, and join the answers; for heads that can.

        Raises:
            UsageError: something is no text, or the head cannot join sentences.
        """
        if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
            self._check(top_k, sentences)
            return self._answers([(texts, as_example(texts))], None, top_k, sentences)[0]
        return list(self.pipe(texts, top_k=top_k, sentences=sentences))

    def pipe(
        self, texts: Iterable[Text], batch_size: int = 64, *, top_k: int | None = None, sentences: bool = False
    ) -> Iterator[Prediction]:
        """Yield the prediction of each text, in order, in flat memory.

        Args:
            texts: any iterable, read in windows of 16 x ``batch_size`` texts (fewer if they are very long), within
                which texts of like length share a batch.
            batch_size: texts of 64 tokens in a batch: it holds more texts if they are short, fewer if they are long,
                and one at least. Decides speed and memory, never a result.
            top_k: as when the model is called.
            sentences: likewise.

        Raises:
            UsageError: something is no text, or the head cannot join sentences.
        """
        batching = _batching(batch_size)
        self._check(top_k, sentences)
        if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
            raise UsageError("pipe takes many texts; for one, call the model itself")
        pairs = ((text, as_example(text)) for text in texts)
        for window in windows(pairs, batch_size * BATCHES_A_WINDOW, lambda pair: _size(pair[1])):
            yield from self._answers(window, batching, top_k, sentences)

    def _check(self, top_k: int | None, sentences: bool) -> None:
        if top_k is not None and top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {top_k}")
        if sentences and not hasattr(self.model.head, "join"):
            raise UsageError(
                f"the head {self.recipe.head.name!r} gives one answer a text and cannot join those of its sentences; "
                "leave sentences out, or give one sentence a line"
            )
        if sentences and top_k is not None:
            raise UsageError("sequences of tags are those of a sentence; give top_k or sentences, not both")

    def _answers(
        self,
        texts: Sequence[tuple[Text, Example]],
        batching: BatchingOptions | None,
        top_k: int | None,
        sentences: bool,
    ) -> list[Prediction]:
        """Return the prediction of each text, in order; without ``batching``, all are one batch."""
        self.counts.texts += len(texts)
        if not sentences:
            answers = self._answers_of([example for _, example in texts], batching, top_k)
        else:
            language = self.recipe.tokenizer.options.get("language", "en")
            self._splitter = self._splitter or SentenceSplitter(language)
            pieces = [self._splitter.split(example) for _, example in texts]
            found = iter(self._answers_of([piece for split in pieces for _, piece in split], batching, top_k))
            join = self.model.head.join
            answers = [join([next(found) for _ in split], [start for start, _ in split]) for split in pieces]
        return [
            Prediction(
                {"id": text["id"], "text": example.text, **answer}
                if not isinstance(text, str) and "id" in text
                else {"text": example.text, **answer}
            )
            for (text, example), answer in zip(texts, answers, strict=True)
        ]

    def _answers_of(
        self, examples: Sequence[Example], batching: BatchingOptions | None, top_k: int | None
    ) -> list[dict[str, Any]]:
        """Return what the head answers to each example, in order."""
        head = self.model.head
        offsets: list[Offsets] | None = [] if getattr(head, "points_at_tokens", False) else None
        collator = self._collator(examples, labelled=False, offsets=offsets)
        batches = [np.arange(len(examples))]
        if batching is not None:
            batches = evaluation_batches(collator.split.types.lengths, batching)
        answers: list[dict[str, Any]] = [{}] * len(examples)
        with torch.inference_mode():
            for rows in batches:
                batch = collator.batch(rows)
                if offsets is not None:
                    batch.texts = [examples[row].text for row in rows.tolist()]
                    batch.offsets = [offsets[row] for row in rows.tolist()]
                predictions = head.predictions(self.model(batch), batch, top_k)
                for row, prediction in zip(rows.tolist(), predictions, strict=True):
                    answers[row] = prediction
        return answers

    def _collator(
        self, examples: Iterable[Example], labelled: bool, offsets: list[Offsets] | None = None
    ) -> Collator:
        table = TypeTable()
        split = encode_examples(
            examples,
            self.tokenizer,
            table,
            self.recipe.max_tokens,
            (self.recipe.head.part, self.labels) if labelled else None,
            self.recipe.dataset.options.get("group_fields") or () if labelled else (),
            offsets=offsets,
        )
        self.counts.cut += split.texts_cut
        self.counts.without_tokens += split.texts_without_tokens
        self.counts.spans_misaligned += split.misaligned.count
        return Collator(split, table.types, table.token_ids(self._known), self.device)

    def evaluate(self, file: str | Path, batch_size: int = 64) -> GroupedScores:
        """Score the model on a labelled file of the recipe's dataset type, in flat memory.

        Raises:
            DataError: the file cannot be read, or has a label that the model does not know.
            UsageError: ``batch_size`` is below 1.
        """
        options = {**self.recipe.dataset.options, "train": str(file), "test": str(file)}
        reader: Dataset = self.recipe.dataset.part(**options)
        counts = GroupedScores(self.model.head.scores)
        batching = _batching(batch_size)
        try:
            for window in windows(reader.read("test"), batch_size * BATCHES_A_WINDOW, _size):
                evaluate(self.model, self._collator(window, labelled=True), batching, counts)
        except DataError as error:
            raise error.located(str(file)) from None
        if not counts.texts:
            raise DataError("there are no examples in it", str(file))
        self.counts.texts += counts.texts
        self.counts.notes = [f"{what}: {count:,}" for what, count in getattr(reader, "notes", {}).items() if count]
        return counts


def load(
    path: str | Path, device: str = "cpu", precision: Literal["float32", "bfloat16"] | None = None
) -> TrainedModel:
    """Return the model of a run folder, checked against its stored self-test. Runs no code from the folder.

    Args:
        path: the run folder.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        precision: in which it computes; that in which it was trained if None.

    Raises:
        RunFolderError: files are missing or broken, do not fit each other, or the self-test fails.
        UsageError: the device is not there, or there is no such precision.
    """
    if precision not in (None, "float32", "bfloat16"):
        raise UsageError(f'precision must be "float32" or "bfloat16", not {precision!r}')
    folder = RunFolder(path)
    model = assemble(folder, choose_device(device))
    stored = folder.read_json(run_folder.SELFTEST)
    texts = stored.get("texts") if isinstance(stored, dict) else None
    if not texts or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RunFolderError(f"{folder.file(run_folder.SELFTEST)} holds no texts; copy the run again or train it")
    tolerance = SELFTEST_TOLERANCE[model.model.precision]
    drift = _difference(stored.get("outputs"), selftest(model, texts)["outputs"], tolerance)
    if drift:
        raise RunFolderError(
            f"{folder.path} does not give the answers it gave when it was trained: {drift}. Its files or the "
            f"versions of the packages have changed; compare {run_folder.ENVIRONMENT}, or train the run anew"
        )
    model.counts = Counts()
    # Only now: the self-test compares answers in the precision that they were stored in.
    model.model.precision = precision or model.model.precision
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


def _size(example: Example) -> int:
    return len(example.text) + len(example.tokens or ())


def _batching(batch_size: int) -> BatchingOptions:
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    return BatchingOptions(batch_tokens=batch_size * TOKENS_A_TEXT)


def _difference(stored: Any, now: Any, tolerance: float, place: str = "outputs") -> str:
    """Return where two answers differ by more than the tolerance, or ""."""
    if isinstance(stored, float | int) and isinstance(now, float | int):
        return "" if abs(stored - now) <= tolerance else f"{place} was {stored}, is {now}"
    if isinstance(stored, dict) and isinstance(now, dict) and stored.keys() == now.keys():
        pairs = [(stored[key], now[key], f"{place}.{key}") for key in stored]
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        pairs = [(old, new, f"{place}[{index}]") for index, (old, new) in enumerate(zip(stored, now, strict=True))]
    else:
        return "" if stored == now else f"{place} was {stored!r}, is {now!r}"
    return next((found for old, new, where in pairs if (found := _difference(old, new, tolerance, where))), "")
