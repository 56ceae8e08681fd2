"""Head ``classification`` (alias ``sentiment``): one label a text, or several."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.baselines import Baseline, MajorityBaseline, TfidfBaseline
from rnntext.contracts import Batch, Encoded, Example, HeadOutput, Pieces, Reads
from rnntext.errors import DataError, suggest
from rnntext.heads.ngrams import SHORTEST_PIECE, NgramScores
from rnntext.heads.pooling import Pool, Pooling
from rnntext.metrics import ClassificationScores


class ClassificationHead(nn.Module):
    """Pools a text's states into one vector and scores each label.

    Choose it for sentiment, topics, intents: whenever a label belongs to a whole text. With several labels a
    text (``dataset.multi_label``) each label is a yes-or-no question of its own.

    Args:
        input_dim: width D of the encoder's states.
        labels: what ``learn_labels`` returned.
        pooling: how states become one vector; a list joins several, such as ["max", "mean"].
        dropout: share of the pooled vector dropped in training.
        class_weights: balanced counts each label's examples in inverse proportion to their number; or a table of
            label = weight.
        label_smoothing: share of the target spread evenly over all labels, against overconfidence.
        word_ngrams: where above 0, a linear model of all runs of so many words and fewer learns beside the network,
            and the two probabilities are averaged; it knows at once what a word says, the network what order does.
        char_ngrams: where above 0, that model reads pieces of words too, from 3 to so many characters long.
        ngram_buckets: rows of weights that n-grams share; more where texts are many and long.
        threshold: with several labels a text, the probability from which a label is given.
    """

    contract = 1
    metrics: ClassVar[Mapping[str, Literal["larger", "smaller"]]] = {
        "accuracy": "larger",
        "macro_f1": "larger",
        "micro_f1": "larger",
        "ece": "smaller",
    }
    hides: ClassVar[frozenset[Reads]] = frozenset()
    why_hidden = ""
    cuts_long_texts = True
    refused_options: ClassVar[Mapping[str, str]] = {
        "crf": "a CRF scores which tag follows which, and a text's label has no neighbours; it belongs to tagging",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        labels: Mapping[str, Any],
        pooling: Pooling | Annotated[list[Pooling], Field(min_length=1)] = "max",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = "none",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_ngrams: Annotated[int, Field(ge=0, le=5)] = 0,
        char_ngrams: Annotated[int, Field(ge=0, le=10)] = 0,
        ngram_buckets: Annotated[int, Field(ge=1)] = 262_144,
        threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.names: list[str] = list(labels["labels"])
        self.multi_label: bool = labels["multi_label"]
        self.label_smoothing = label_smoothing
        self.threshold = threshold
        self.pool = Pool([pooling] if isinstance(pooling, str) else pooling, input_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.pool.output_dim, len(self.names))
        self.ngrams: NgramScores | None = None
        if word_ngrams or char_ngrams:
            self.ngrams = NgramScores(
                num_labels=len(self.names), words=word_ngrams, characters=char_ngrams, buckets=ngram_buckets
            )
        # Weights follow from the labels and the recipe, so they are not saved with the model.
        weights = label_weights(labels, class_weights)
        self.register_buffer("weights", weights, persistent=False)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        pooling = options["pooling"]
        if not isinstance(pooling, str) and len(set(pooling)) < len(pooling):
            yield "pooling", f"{pooling} names a pool twice"
        if 0 < options["char_ngrams"] < SHORTEST_PIECE:
            yield (
                "char_ngrams",
                f"pieces of words have {SHORTEST_PIECE} characters and more; give 0 for none",
            )

    @classmethod
    def why_whole(cls, options: Mapping[str, Any]) -> str | None:
        """Return why texts must be read whole for these options; see ``contracts``."""
        pooling = options["pooling"]
        if "attention" in ([pooling] if isinstance(pooling, str) else pooling):
            return "attention weighs all states of a text against each other; use max, mean or final pooling"
        return None

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Return the labels in order, how often each occurs, and whether a text may have several.

        Raises:
            DataError: a label is missing, or there are fewer than two to tell apart.
        """
        counts: Counter[str] = Counter()
        total, multi_label = 0, False
        for example in examples:
            total += 1
            if example.label is None:
                raise DataError(
                    "this text has no label; classification learns from labelled texts", line=example.line
                )
            multi_label = isinstance(example.label, tuple)
            counts.update(example.label if isinstance(example.label, tuple) else (example.label,))
        if multi_label and not counts:
            raise DataError("no text of the training split has a label; check dataset.label_field")
        if not multi_label and len(counts) < 2:
            only = next(iter(counts), "")
            raise DataError(
                f"all {total} texts of the training split have the label {only!r}; a classifier needs at least two "
                "labels. Check dataset.label_field, or whether the file was cut"
            )
        names = sorted(counts, key=_natural)
        return {
            "labels": names,
            "counts": {name: counts[name] for name in names},
            "texts": total,
            "multi_label": multi_label,
        }

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[int]:
        """Return the id of the example's label, or of each of its labels.

        Raises:
            DataError: a label is missing, unknown, or one where several are expected (or the reverse).
        """
        names: list[str] = labels["labels"]
        given = example.label
        if given is None:
            raise DataError("this text has no label", line=example.line)
        if isinstance(given, tuple) != labels["multi_label"]:
            raise DataError("some texts have one label and some a list; set dataset.multi_label", line=example.line)
        ids = []
        for label in given if isinstance(given, tuple) else (given,):
            if label not in labels["counts"]:
                raise DataError(
                    f"the label {label!r} does not occur in the training split.{suggest(label, names)} "
                    f"Labels there: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}",
                    line=example.line,
                )
            ids.append(names.index(label))
        return ids

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Let n-grams, if there are any, start from one pass over the training split."""
        if self.ngrams is not None:
            self.ngrams.begin_from(batches)

    def forward(self, encoded: Encoded | Pieces, batch: Batch) -> HeadOutput:
        """Return float [B, L] logits, and the loss where the batch has targets.

        With n-grams, network and linear model are trained each by its own loss: together, the quicker of the two
        would leave the other nothing to learn.
        """
        pooled = self.dropout(self.pool(encoded, batch.mask))
        logits: Tensor = self.output(pooled)
        if logits.dtype == torch.bfloat16:  # a loss sums many numbers
            logits = logits.float()
        if self.ngrams is None:
            return HeadOutput(logits, None if batch.targets is None else self._loss(logits, batch.targets))
        others = self.ngrams(batch)
        both = self._averaged(logits, others)
        if batch.targets is None:
            return HeadOutput(both)
        if not self.training:
            return HeadOutput(both, self._loss(both, batch.targets))
        return HeadOutput(both, (self._loss(logits, batch.targets) + self._loss(others, batch.targets)) / 2)

    def _averaged(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the logits, float [B, L], whose probabilities are the mean of those of two."""
        if not self.multi_label:
            return torch.logaddexp(one.log_softmax(dim=-1), other.log_softmax(dim=-1)) - math.log(2)
        log_sigmoid = nn.functional.logsigmoid
        return torch.logaddexp(log_sigmoid(one), log_sigmoid(other)) - torch.logaddexp(
            log_sigmoid(-one), log_sigmoid(-other)
        )

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = self.get_buffer("weights").to(logits.dtype)
        if not self.multi_label:
            # By the number of texts, not by their weights: a mean over texts does not depend on batches.
            total = nn.functional.cross_entropy(
                logits, targets[:, 0], weight=weights, label_smoothing=self.label_smoothing, reduction="sum"
            )
            return total / len(logits)
        wanted = torch.zeros(len(logits), len(self.names) + 1, dtype=logits.dtype, device=logits.device)
        wanted.scatter_(1, targets.masked_fill(targets < 0, len(self.names)), 1.0)  # the last column takes padding
        smoothed = wanted[:, :-1] * (1 - self.label_smoothing) + self.label_smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)

    def answers(self, output: HeadOutput) -> np.ndarray:
        """Return the probability of each label, float64 [B, L]; rows sum to 1 unless labels are several."""
        logits = output.logits.detach().double().cpu()
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)
        array: np.ndarray = probabilities.numpy()
        return array

    def predictions(self, output: HeadOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return label(s) and probabilities, the most probable first; ``top_k`` keeps so many of them."""
        rows = self.answers(output)
        order = (-rows).argsort(axis=1, kind="stable")
        answers: list[dict[str, Any]] = []
        for row, places in zip(rows.tolist(), order.tolist(), strict=True):
            probabilities = {self.names[place]: row[place] for place in places[:top_k]}
            if self.multi_label:
                given = [self.names[place] for place in places if row[place] >= self.threshold]
                answers.append({"labels": given, "probabilities": probabilities})
            else:
                best = places[0]
                answers.append({"label": self.names[best], "probability": row[best], "probabilities": probabilities})
        return answers

    def scores(self) -> ClassificationScores:
        """Return a fresh counter of accuracy, F1 and calibration."""
        return ClassificationScores(len(self.names), self.multi_label, self.threshold)

    def baselines(self) -> Mapping[str, Baseline]:
        """Return the majority class, and TF-IDF with logistic regression."""
        arguments = (len(self.names), self.multi_label, self.scores)
        return {"majority": MajorityBaseline(*arguments), "tfidf": TfidfBaseline(*arguments)}


def label_weights(labels: Mapping[str, Any], class_weights: str | Mapping[str, float]) -> Tensor:
    """Return float [L]: how much an example of each label counts (its positive side, where labels are several).

    Raises:
        DataError: a weight is given for a label that does not occur.
    """
    names, counts = labels["labels"], labels["counts"]
    if class_weights == "balanced":
        if labels["multi_label"]:
            return torch.tensor([(labels["texts"] - counts[name]) / counts[name] for name in names]).clamp(min=1e-3)
        return torch.tensor([labels["texts"] / (len(names) * counts[name]) for name in names])
    weights = {} if isinstance(class_weights, str) else class_weights
    for name in weights:
        if name not in counts:
            raise DataError(
                f"head.class_weights names the label {name!r}, which does not occur.{suggest(name, names)}"
            )
    return torch.tensor([float(weights.get(name, 1.0)) for name in names])


def _natural(label: str) -> tuple[int, int, str]:
    """Sort whole numbers as numbers, before words."""
    return (0, int(label), label) if label.isdecimal() and label.isascii() else (1, 0, label)
