"""A trained model: give it texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from rnntext.aligning import Offsets
from rnntext.batching import evaluation_batches
from rnntext.blanks import as_questions, cut_one, without_labels
from rnntext.contracts import BLANK, Dataset, Example, Tokenizer, Vocabulary
from rnntext.encoding import KnownTokens, TypeTable, encode_examples
from rnntext.errors import DataError, UsageError
from rnntext.evaluation import GroupedScores, evaluate, fresh_scores
from rnntext.generating import continued
from rnntext.inputs import Text, as_example, windows
from rnntext.model import TextModel
from rnntext.options import options_of
from rnntext.preparing import QUESTIONS, collator_of, reading_of
from rnntext.recipe import Recipe
from rnntext.sentences import SentenceSplitter
from rnntext.streaming import AnyCollator
from rnntext.tables import BatchingOptions

BATCHES_A_WINDOW = 16
"""Texts are sorted by length within windows of so many times ``batch_size``, so that a stream of any length fits."""
TOKENS_A_TEXT = 64
"""Tokens that ``batch_size`` allows for a text: on a CPU, batches of 3,000 to 6,000 tokens are read fastest."""


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
    without_blanks: int = 0
    """Texts without a ``____``, given to a model that fills blanks."""
    spans_misaligned: int = 0
    without_question: int = 0
    """Texts that were to be scored and ask nothing: too short, no word to cut out, or a blank without an answer."""
    unknown_in_prompts: list[str] = field(default_factory=list)
    """Tokens of prompts that the vocabulary does not know, each once."""
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

    @property
    def fills_blanks(self) -> bool:
        """Whether it says what stands at the ``____`` of a text."""
        return getattr(self.recipe.head.part, "fills_blanks", False)

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
            top_k: give only so many labels with their probabilities; of blanks and next tokens, so many candidates
                (5 without); of tags, add as many of the most probable sequences.
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

    def generate(
        self, prompt: str, length: int, *, temperature: float = 1.0, top_k: int | None = None, seed: int = 1
    ) -> str:
        """Return a text with so many tokens more, each drawn by the probabilities of a language model.

        Args:
            prompt: the text to begin with, one token at least; one that is unknown is read as ``<unk>`` and counted.
            length: tokens that are added.
            temperature: below 1 the probable becomes more probable, above 1 less; 0 takes the most probable.
            top_k: draw from the K most probable tokens alone.
            seed: the same gives the same text.

        Raises:
            UsageError: the head tells no next token, a number is out of range, or the prompt has no tokens.
        """
        text, unknown = continued(
            self.model,
            self.tokenizer,
            self.vocabulary,
            prompt,
            length,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
        )
        known = self.counts.unknown_in_prompts
        known += [token for token in dict.fromkeys(unknown) if token not in known]
        return text

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
        if self.fills_blanks:
            self.counts.without_blanks += sum(answer.get("blanks") == [] for answer in answers)
        if self.model.leaks:
            answers = [{**answer, "leaked": True} for answer in answers]
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
                    batch.choices = [examples[row].choices for row in rows.tolist()]
                predictions = head.predictions(self.model(batch), batch, top_k)
                for row, prediction in zip(rows.tolist(), predictions, strict=True):
                    answers[row] = prediction
        return answers

    def _collator(
        self,
        examples: Iterable[Example],
        labelled: bool,
        offsets: list[Offsets] | None = None,
        reader: Dataset | None = None,
        random: np.random.Generator | None = None,
    ) -> AnyCollator:
        """Return the batches of examples; those of a reader are as its dataset says: questions, or windows."""
        table, windows = TypeTable(), getattr(reader, "windows", None)
        if labelled and self.fills_blanks and self.recipe.dataset.brings_labels:
            examples = without_labels(examples)
        split = encode_examples(
            examples,
            self.tokenizer,
            table,
            None if windows else self.recipe.max_tokens,
            (self.recipe.head.part, self.labels) if labelled and not windows else None,
            self.recipe.dataset.options.get("group_fields") or () if labelled else (),
            offsets=offsets,
            read=reading_of(self.recipe),
            keep_empty=windows is None,
        )
        self.counts.cut += split.texts_cut
        self.counts.without_tokens += split.texts_without_tokens
        self.counts.spans_misaligned += split.misaligned.count
        token_ids = table.token_ids(self._known)
        if split.targets_are_types and random is not None:
            (blank,) = table.encode([BLANK])
            token_ids = table.token_ids(self._known)
            counts = np.asarray(self.labels["occurrences"], dtype=np.int64)[token_ids]
            counts[blank] = 0
            texts = len(split)
            split = as_questions(split, counts, blank, getattr(reader, "cut_blanks", cut_one), random)
            self.counts.without_question += texts - len(split)
        return collator_of(split, table.types, token_ids, windows, self.device)

    def evaluate(self, file: str | Path, batch_size: int = 64) -> GroupedScores:
        """Score the model on a labelled file of the recipe's dataset type, in flat memory.

        Raises:
            DataError: the file cannot be read, or has a label that the model does not know.
            UsageError: ``batch_size`` is below 1, or data of that type are not read from a file of the user's.
        """
        data = self.recipe.dataset
        offered = options_of(data.part, "datasets")
        if "test" not in offered:
            raise UsageError(
                f"data of the type {data.name!r} have no option test, so no file of theirs can be scored; give the "
                "texts to predict and compare its answers. The scores on the run's own split are in its metrics.json"
            )
        own = {key: str(file) for key in ("train", "test") if key in offered}
        reader: Dataset = data.part(**{**data.options, **own})
        counts = fresh_scores(self.model)
        batching = _batching(batch_size)
        random = np.random.default_rng((self.recipe.seed, QUESTIONS))
        examples: Iterable[list[Example]] = windows(reader.read("test"), batch_size * BATCHES_A_WINDOW, _size)
        in_stream = bool(getattr(reader, "windows", None))
        if in_stream:
            examples = [list(reader.read("test"))]
        try:
            for window in examples:
                collator = self._collator(window, labelled=True, reader=reader, random=random)
                if len(collator.split):
                    evaluate(self.model, collator, batching, counts)
                if in_stream:  # what was counted are windows
                    counts.texts = len(collator.split)
        except DataError as error:
            raise error.located(str(file)) from None
        if not counts.texts:
            raise DataError("there is nothing in it to score", str(file))
        self.counts.texts += counts.texts
        self.counts.notes = [f"{what}: {count:,}" for what, count in getattr(reader, "notes", {}).items() if count]
        return counts


def _size(example: Example) -> int:
    return len(example.text) + len(example.tokens or ())


def _batching(batch_size: int) -> BatchingOptions:
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    return BatchingOptions(batch_tokens=batch_size * TOKENS_A_TEXT)
