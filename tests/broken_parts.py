"""Parts each broken on purpose in one place, by the check that must see it: built-ins with one thing changed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from rnntext.contracts import Encoded, Example, FilePath, HeadOutput
from rnntext.datasets.jsonl import JsonLinesDataset
from rnntext.embeddings.learned import LearnedEmbedding
from rnntext.encoders.dense import DenseEncoder
from rnntext.encoders.lstm import LstmEncoder
from rnntext.errors import DataError, ShapeError
from rnntext.heads.classification import ClassificationHead
from rnntext.metrics import ClassificationScores
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

BROKEN: list[tuple[str, str, type, dict[str, Any], str]] = []
"""(kind, check that must fail, class, its options, what the message must say)."""


def breaks(kind: str, check: str, says: str, **options: Any) -> Any:
    def add(part: type) -> type:
        BROKEN.append((kind, check, part, options, says))
        return part

    return add


# ---------------------------------------------------------------- every kind


@breaks("encoders", "registered", r"forward takes \(embedded, sizes, state\)")
class OtherNames(DenseEncoder):
    def forward(self, embedded, sizes, state=None):
        return super().forward(embedded, sizes, state)


@breaks("tokenizers", "registered", r"no method spans\(text\)")
class WithoutSpans:
    contract = 1

    def tokens(self, text):
        return text.split()


@breaks("tokenizers", "documented", "option size is not explained")
class Unexplained(WhitespaceTokenizer):
    """Whatever stands between white space."""

    def __init__(self, *, size: int = 1) -> None: ...


@breaks("tokenizers", "documented", "no docstring")
class Silent(WhitespaceTokenizer):
    __doc__ = None


@breaks("tokenizers", "options", "default of size: 0 does not fit; expected integer, at least 1")
class OutOfRange(WhitespaceTokenizer):
    """Whatever stands between white space.

    Args:
        size: of a token.
    """

    def __init__(self, *, size: Annotated[int, Field(ge=1)] = 0) -> None: ...


@breaks("embeddings", "same_seed", "of two parts built under torch.manual_seed")
class OwnSeeds(LearnedEmbedding):
    def __init__(self, *, vocabulary: Any) -> None:
        super().__init__(vocabulary=vocabulary, output_dim=3)
        with torch.no_grad():
            self.weight[1:] += torch.from_numpy(np.random.rand(len(self.weight) - 1, 3)).float()


@breaks("tokenizers", "same_seed", "keep nothing in the class")
class KeptInTheClass(WhitespaceTokenizer):
    built = 0

    def __init__(self) -> None:
        KeptInTheClass.built += 1

    def tokens(self, text):
        return [f"{token}{self.built}" for token in super().tokens(text)]


@breaks("encoders", "no_side_effects", "the seed of torch's generator")
class ResetsTheSeed(DenseEncoder):
    def __init__(self, *, input_dim: int) -> None:
        torch.manual_seed(0)
        super().__init__(input_dim=input_dim, hidden_dim=3)


@breaks("tokenizers", "no_side_effects", "the state of Python's random")
class DrawsByChance(WhitespaceTokenizer):
    def tokens(self, text):
        random.random()
        return super().tokens(text)


@breaks("vocabularies", "runs", "does not give the answers it gave when it was trained")
class OtherWordsWhenLoaded(FrequencyVocabulary):
    def from_json(self, values):
        first, second, *words = values["tokens"]
        random.shuffle(words)
        super().from_json({"tokens": [first, second, *words]})


@breaks("embeddings", "saves_and_loads", "after the weights of a part were loaded into a new one")
class NotStored(LearnedEmbedding):
    def __init__(self, *, vocabulary: Any) -> None:
        super().__init__(vocabulary=vocabulary, output_dim=3)
        self.scale = float(torch.rand(()))

    def forward(self, batch):
        return super().forward(batch) * self.scale


@breaks("encoders", "weights_move", "scale is a plain tensor")
class LeftBehind(DenseEncoder):
    def __init__(self, *, input_dim: int) -> None:
        super().__init__(input_dim=input_dim, hidden_dim=3)
        self.scale = torch.full((1,), 2.0)


# ---------------------------------------------------------------- tokenizers


@breaks("tokenizers", "tokens_are_slices", "tokens are slices of the text")
class LowerCases(WhitespaceTokenizer):
    def tokens(self, text):
        return text.lower().split()


@breaks("tokenizers", "tokens_are_slices", "the slices of spans")
class WrongOffsets(WhitespaceTokenizer):
    def spans(self, text):
        return [(start + 1, end + 1) for start, end in super().spans(text)]


@breaks("tokenizers", "in_order", "out of order or overlap")
class Backwards(WhitespaceTokenizer):
    def spans(self, text):
        return super().spans(text)[::-1]


@breaks("tokenizers", "no_empty_token", "a token is blank")
class KeepsWhiteSpace(WhitespaceTokenizer):
    def tokens(self, text):
        return re.findall(r"\s|\S+", text)


@breaks("tokenizers", "nothing_dropped", "',' is in no token")
class DropsMarks(WhitespaceTokenizer):
    def spans(self, text):
        return [found.span() for found in re.finditer(r"\w+", text)]


@breaks("tokenizers", "no_state", "before other texts were cut")
class GetsTired(WhitespaceTokenizer):
    def __init__(self) -> None:
        self.calls = 0

    def tokens(self, text):
        self.calls += 1
        return super().tokens(text) if self.calls < 9 else [text]


@breaks("tokenizers", "first_tokens", r"first\(text, 1\) gives")
class OneTooMany(WhitespaceTokenizer):
    def first(self, text, count):
        return self.tokens(text)[: count + 1]


@breaks("tokenizers", "goes_to_other_processes", "cannot be pickled")
class HoldsALambda(WhitespaceTokenizer):
    def __init__(self) -> None:
        self.cut = lambda text: text.split()


class Learns(WhitespaceTokenizer):
    def fit(self, texts):
        self.learnt = {"texts": len(list(texts))}

    def to_json(self):
        return self.learnt

    def from_json(self, values):
        self.learnt = values


@breaks("tokenizers", "learns_where_to_cut", "no to_json and from_json")
class ForgetsInTheFolder(WhitespaceTokenizer):
    def fit(self, texts):
        self.learnt = list(texts)


@breaks("tokenizers", "learns_where_to_cut", "no JSON")
class LearnsASet(Learns):
    def to_json(self):
        return {"words": set(self.learnt)}


@breaks("tokenizers", "learns_where_to_cut", "something else each time")
class LearnsAnything(Learns):
    def to_json(self):
        return {"chance": random.random()}


@breaks("tokenizers", "learns_where_to_cut", "other values than from_json took")
class AddsUp(Learns):
    def from_json(self, values):
        self.learnt = {"texts": values["texts"] + 1}


@breaks("tokenizers", "learns_where_to_cut", "by the one that took back")
class KeepsTooLittle(Learns):
    whole = False

    def fit(self, texts):
        super().fit(texts)
        self.whole = True

    def spans(self, text):
        return [(0, len(text))] if self.whole and text.strip() else super().spans(text)

    def tokens(self, text):
        return [text[start:end] for start, end in self.spans(text)]


# ---------------------------------------------------------------- vocabularies


@breaks("vocabularies", "reserved_ids", "the tokens of ids 0 and 1")
class OtherSpecials(FrequencyVocabulary):
    def token(self, token_id):
        return "[PAD]" if token_id == 0 else super().token(token_id)


@breaks("vocabularies", "ids_in_range", "of '', the id is 0")
class EmptyIsPadding(FrequencyVocabulary):
    def encode(self, tokens):
        return [super(EmptyIsPadding, self).encode([token])[0] if token else 0 for token in tokens]


@breaks("vocabularies", "round_trip", "its id by encode is")
class OffByOne(FrequencyVocabulary):
    def token(self, token_id):
        return super().token(token_id if token_id < 2 else 2 + (token_id - 1) % (len(self) - 2))


@breaks("vocabularies", "unknown_tokens", "not 1")
class UnknownIsAWord(FrequencyVocabulary):
    def encode(self, tokens):
        return [2 if number == 1 else number for number in super().encode(tokens)]


@breaks("vocabularies", "order_of_counts", "order ties by the token")
class TiesAsTheyCome(FrequencyVocabulary):
    def fit(self, counts):
        ordered = sorted(counts, key=lambda token: -counts[token])
        self._set(["<pad>", "<unk>", *dict.fromkeys(map(self.normalize, ordered))])


@breaks("vocabularies", "fit_forgets", "fitted twice")
class NeverForgets(FrequencyVocabulary):
    def fit(self, counts):
        before = dict.fromkeys(self._tokens[2:], 1)
        super().fit({**before, **counts})


@breaks("vocabularies", "normal_form", "and normalised again")
class CutsAndCuts(FrequencyVocabulary):
    def normalize(self, token):
        return token[:-1] or token


@breaks("vocabularies", "normal_form", "have different ids")
class LooksUpOtherwise(FrequencyVocabulary):
    def normalize(self, token):
        return token if token.startswith("x") else f"x{token}"


@breaks("vocabularies", "any_iterable", "has no len")
class WantsAList(FrequencyVocabulary):
    def encode(self, tokens):
        return super().encode(tokens) if len(tokens) else []


@breaks("vocabularies", "saves_and_loads", "what is no JSON")
class KeepsASet(FrequencyVocabulary):
    def to_json(self):
        return {**super().to_json(), "seen": {"a"}}


# ---------------------------------------------------------------- embeddings


class Learned(LearnedEmbedding):
    def __init__(self, *, vocabulary: Any) -> None:
        super().__init__(vocabulary=vocabulary, output_dim=3)


@breaks("embeddings", "shapes", "with output_dim = 4 it must be")
class WrongWidth(Learned):
    def __init__(self, *, vocabulary: Any) -> None:
        super().__init__(vocabulary=vocabulary)
        self.output_dim = 4


@breaks("embeddings", "odd_tokens", "not finite")
class NothingForUnknown(Learned):
    def forward(self, batch):
        return super().forward(batch).masked_fill((batch.token_ids == 1)[..., None], torch.nan)


@breaks("embeddings", "padding_is_ignored", "three columns of padding more")
class PaddingLeaks(Learned):
    def forward(self, batch):
        return super().forward(batch) / batch.token_ids.shape[1]


@breaks("embeddings", "alone_as_among_others", "alone and among")
class NeighboursLeak(Learned):
    def forward(self, batch):
        vectors = super().forward(batch)
        return vectors - vectors[:, :1].mean(dim=0, keepdim=True)


@breaks("embeddings", "repeatable", "read twice")
class DrawsInEvaluation(Learned):
    def forward(self, batch):
        vectors = super().forward(batch)
        return vectors + torch.rand_like(vectors)


@breaks("embeddings", "batch_untouched", "batch.token_ids is changed")
class ChangesTheBatch(Learned):
    def forward(self, batch):
        batch.token_ids[0, 0] = 1
        return super().forward(batch)


@breaks("embeddings", "everything_learns", "the parameter unused gets no gradient")
class DeadParameter(Learned):
    def __init__(self, *, vocabulary: Any) -> None:
        super().__init__(vocabulary=vocabulary)
        self.unused = nn.Parameter(torch.ones(2))


@breaks("embeddings", "in_part_as_whole", "Batch.tokens_at")
class CountsPositions(Learned):
    def forward(self, batch):
        return super().forward(batch) + torch.arange(batch.token_ids.shape[1])[:, None]


# ---------------------------------------------------------------- encoders


class Lstm(LstmEncoder):
    def __init__(self, *, input_dim: int, bidirectional: bool = True, chunk_tokens: int = 0) -> None:
        super().__init__(input_dim=input_dim, hidden_dim=4, bidirectional=bidirectional, chunk_tokens=chunk_tokens)

    @classmethod
    def reads(cls, options):
        return frozenset({"future"} if options["bidirectional"] else ())

    def changed(self, encoded, lengths):
        return encoded

    def forward(self, embedded, lengths, state=None):
        return self.changed(super().forward(embedded, lengths, state), lengths)


def other(encoded: Encoded, states: Any) -> Encoded:
    return Encoded(states, encoded.final, encoded.state, encoded.from_end)


@breaks("encoders", "shapes", "with output_dim = 9 it must be")
class SaysNine(Lstm):
    def __init__(self, *, input_dim: int) -> None:
        super().__init__(input_dim=input_dim)
        self.output_dim = 9


@breaks("encoders", "zero_at_padding", "states at padding hold up to 1")
class OnesAtPadding(Lstm):
    def changed(self, encoded, lengths):
        return other(encoded, encoded.states + 1)


@breaks("encoders", "padding_is_ignored", "in padding, ")
class ReadsPadding(Lstm):
    def forward(self, embedded, lengths, state=None):
        encoded = super().forward(embedded, lengths, state)
        return Encoded(encoded.states, encoded.final + embedded.mean(dim=(1, 2))[:, None], from_end=encoded.from_end)


@breaks("encoders", "alone_as_among_others", "alone and in a batch")
class ReadsNeighbours(Lstm):
    def changed(self, encoded, lengths):
        return other(encoded, encoded.states - encoded.states[:, :1].mean(dim=0))


@breaks("encoders", "alone_as_among_others", "in another order|alone and in a batch")
class SortsTheBatch(Lstm):
    def changed(self, encoded, lengths):
        order = lengths.argsort(descending=True)
        return Encoded(encoded.states[order], encoded.final[order], from_end=encoded.from_end)


@breaks("encoders", "everything_learns", "the parameter unused.weight gets no gradient")
class DeadWeight(Lstm):
    def __init__(self, *, input_dim: int) -> None:
        super().__init__(input_dim=input_dim)
        self.unused = nn.Linear(2, 2)


@breaks("encoders", "everything_learns", "would never learn")
class CutsTheGradient(Lstm):
    def forward(self, embedded, lengths, state=None):
        return super().forward(embedded.detach(), lengths, state)


@breaks("encoders", "repeatable", "read twice")
class KeepsState(Lstm):
    last: Any = 0.0

    def changed(self, encoded, lengths):
        before, self.last = self.last, encoded.final.detach().mean()
        return Encoded(encoded.states, encoded.final + before, from_end=encoded.from_end)


@breaks("encoders", "input_untouched", "changed in place")
class WorksInPlace(Lstm):
    def forward(self, embedded, lengths, state=None):
        return super().forward(embedded.mul_(0.5), lengths, state)


@breaks("encoders", "wrong_shapes_refused", "raise ShapeError")
class TakesAnything(Lstm):
    def forward(self, embedded, lengths, state=None):
        try:
            return super().forward(embedded, lengths, state)
        except ShapeError as error:
            raise ValueError(str(error)) from None


@breaks("encoders", "state_carries_on", "read as 4 and 2", bidirectional=False)
class ForgetsTheState(Lstm):
    def forward(self, embedded, lengths, state=None):
        return super().forward(embedded, lengths, None)


@breaks("encoders", "reads_is_true", 'reads names no "future"')
class DeniesTheFuture(Lstm):
    @classmethod
    def reads(cls, options):
        return frozenset()


@breaks("encoders", "reads_is_true", 'reads names no "own_token"')
class MixesBothHalves(Lstm):
    def changed(self, encoded, lengths):
        mixed = encoded.states + encoded.states.roll(4, dims=-1)
        return other(encoded, mixed)


@breaks("encoders", "from_end_is_true", "from_end is slice")
class WrongHalf(Lstm):
    def changed(self, encoded, lengths):
        return Encoded(encoded.states, encoded.final, encoded.state, slice(0, 4))


@breaks("encoders", "pieces_equal_the_whole", "in pieces of 3", bidirectional=False, chunk_tokens=3)
class OtherPieces(Lstm):
    def in_pieces(self, embed, lengths, state=None):
        return super().in_pieces(lambda rows, places: 2 * embed(rows, places), lengths, state)


@breaks("encoders", "float64_works", "of float64, states is torch.float32")
class AlwaysFloat32(Lstm):
    def changed(self, encoded, lengths):
        return other(encoded, encoded.states.float())


# ---------------------------------------------------------------- heads


class Classifier(ClassificationHead):
    def __init__(self, *, input_dim: int, labels: Mapping[str, Any]) -> None:
        super().__init__(input_dim=input_dim, labels=labels, dropout=0.0)

    @classmethod
    def check_options(cls, options):
        return ()

    @classmethod
    def why_whole(cls, options):
        return None

    def changed(self, output, batch):
        return output

    def forward(self, encoded, batch):
        return self.changed(super().forward(encoded, batch), batch)


@breaks("heads", "declared", "why_hidden gives no reason")
class HidesWithoutReason(Classifier):
    hides = frozenset({"future"})


@breaks("heads", "labels_are_kept", "of which JSON makes")
class KeepsTuples(Classifier):
    @classmethod
    def learn_labels(cls, examples):
        found = super().learn_labels(examples)
        return {**found, "labels": tuple(found["labels"])}


@breaks("heads", "missing_label", "of a text without a label")
class TakesNone(Classifier):
    @classmethod
    def learn_labels(cls, examples):
        return super().learn_labels(one for one in examples if one.label is not None)


@breaks("heads", "unknown_label", "raises KeyError")
class KeyErrorForUnknown(Classifier):
    @classmethod
    def encode_targets(cls, example, labels, num_tokens):
        return [{name: number for number, name in enumerate(labels["labels"])}[example.label]]


@breaks("heads", "loss", "parameter unused gets no gradient")
class DeadInHead(Classifier):
    def __init__(self, *, input_dim: int, labels: Mapping[str, Any]) -> None:
        super().__init__(input_dim=input_dim, labels=labels)
        self.unused = nn.Parameter(torch.ones(1))


@breaks("heads", "loss", r"shape \[4\]")
class LossOfEachText(Classifier):
    def changed(self, output, batch):
        return HeadOutput(output.logits, output.loss.expand(len(batch.lengths)))


@breaks("heads", "no_targets_no_loss", "without targets, the loss is 0.0")
class AlwaysALoss(Classifier):
    def changed(self, output, batch):
        return HeadOutput(output.logits, 0.0 if output.loss is None else output.loss)


@breaks("heads", "padding_not_counted", "counts for nothing")
class CountsPadding(Classifier):
    def changed(self, output, batch):
        return HeadOutput(output.logits, None if output.loss is None else output.loss * batch.token_ids.shape[1])


@breaks("heads", "loss_is_a_mean", "one by one")
class SumsTheLoss(Classifier):
    def changed(self, output, batch):
        return HeadOutput(output.logits, None if output.loss is None else output.loss * len(batch.lengths))


@breaks("heads", "predictions", "not from 0 to 1")
class SurerThanSure(Classifier):
    def predictions(self, output, batch, top_k=None):
        return [{**one, "probability": 1.5} for one in super().predictions(output, batch, top_k)]


@breaks("heads", "predictions", "which learn_labels did not learn")
class UnheardOf(Classifier):
    def predictions(self, output, batch, top_k=None):
        return [{**one, "label": "neither"} for one in super().predictions(output, batch, top_k)]


@breaks("heads", "alone_as_among_others", "alone and among")
class ComparesTexts(Classifier):
    def changed(self, output, batch):
        return HeadOutput(output.logits - output.logits.mean(dim=0), output.loss)


class OtherName(ClassificationScores):
    def compute(self):
        return {"f_score": 1.0, **super().compute()}


@breaks("heads", "scores", "'f_score', which metrics does not")
class UndeclaredMetric(Classifier):
    def scores(self):
        return OtherName(len(self.names), self.multi_label)


class LastBatchOnly(ClassificationScores):
    def update(self, answers, targets):
        self.__init__(answers.shape[1], self.multi_label)
        super().update(answers, targets)


@breaks("heads", "scores", "count so that batches add up")
class CountsTheLastBatch(Classifier):
    def scores(self):
        return LastBatchOnly(len(self.names), self.multi_label)


@breaks("heads", "baselines_work", "ValueError: non-broadcastable")
class BaselineOfFewerLabels(Classifier):
    def baselines(self):
        self.names = self.names[:1]
        return super().baselines()


@breaks("heads", "learns_by_heart", "does not learn what it is shown")
class LearnsByChance(Classifier):
    def _loss(self, logits, targets):
        if self.training:
            targets = torch.randint(len(self.names), targets.shape)
        return super()._loss(logits, targets)


# ---------------------------------------------------------------- datasets


class Rows(JsonLinesDataset):
    def __init__(self, *, train: FilePath, test: FilePath | None = None) -> None:
        super().__init__(train=train, test=test)

    @classmethod
    def gives(cls, options):
        return frozenset({"labels"})


@breaks("datasets", "splits_in_order", "in this order", test="test.jsonl")
class TestFirst(Rows):
    __test__ = False

    def splits(self):
        return super().splits()[::-1]


@breaks("datasets", "files_are_there", "which is no file")
class NamesNoFile(Rows):
    def files(self, split):
        return tuple(f"{file}.gone" for file in super().files(split))


@breaks("datasets", "examples_fit", "tokens and 1 tags")
class OneTagForAll(Rows):
    def read(self, split):
        for one in super().read(split):
            yield replace(one, tokens=("a", *one.text.split()), label=(str(one.label),), scheme="none")


@breaks("datasets", "lines_increase", "after line")
class CountsDown(Rows):
    def read(self, split):
        for one in super().read(split):
            yield replace(one, line=100 - one.line)


@breaks("datasets", "reads_twice_alike", "has other examples")
class Shuffles(Rows):
    def read(self, split):
        yield from sorted(super().read(split), key=lambda one: random.random())


@breaks("datasets", "reads_lazily", "before the end of the file was read")
class ReadsAllAtOnce(Rows):
    def read(self, split):
        return iter(list(super().read(split)))


@breaks("datasets", "gives_what_it_says", 'gives says "tags"')
class PromisesTags(Rows):
    @classmethod
    def gives(cls, options):
        return frozenset({"tags"})


@breaks("datasets", "bytes_that_are_no_text", "without a word")
class ReadsAnyBytes(Rows):
    def read(self, split):
        (path,) = self.files(split)
        for line, text in enumerate(Path(path).read_text("utf-8", "replace").splitlines(), 1):
            yield Example(text, label="good", line=line)


@breaks("datasets", "bytes_that_are_no_text", "names no line")
class NamesNoLine(Rows):
    def read(self, split):
        try:
            yield from super().read(split)
        except DataError as error:
            raise DataError(error.message, error.file) from None


@breaks("datasets", "missing_file_refused", "is no FilePath")
class PlainPath(Rows):
    def __init__(self, *, train: str) -> None:
        super().__init__(train=train)


@breaks("datasets", "splits_are_apart", "rows are in train and in test")
class SameTwice(Rows):
    def splits(self):
        return ("train", "test")

    def files(self, split):
        return super().files("train")

    def read(self, split) -> Iterator[Example]:
        rows: Iterable[Example] = list(super().read("train"))
        yield from (one for one in rows if split == "train" or one.line % 2)
