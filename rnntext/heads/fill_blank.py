"""Head ``fill_blank``: which word stands in the gap, from what is left and what is right of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.baselines import Baseline
from rnntext.contracts import (
    BLANK,
    MARK,
    PAD_ID,
    UNKNOWN_ID,
    Annotations,
    Batch,
    Encoded,
    Example,
    HeadOutput,
    Reads,
    Vocabulary,
)
from rnntext.errors import ShapeError
from rnntext.heads.dropout import Dropout
from rnntext.heads.softmax import Softmax, WordSoftmax, candidates_of, count_tokens, word_weight
from rnntext.metrics import BlankScores
from rnntext.ngram_baselines import TwoSidedNgramBaseline, UnigramBlankBaseline


@dataclass(slots=True)
class BlankOutput(HeadOutput):
    """Log probabilities float [n, V] of what stands in each of the n blanks of a batch; in training their vectors."""

    rows: Tensor = field(kw_only=True)
    """int64 [n], which text each blank is in, in order."""
    places: Tensor = field(kw_only=True)
    """int64 [n], its token."""
    texts: int = field(kw_only=True)
    """B."""


class FillBlankHead(nn.Module):
    """Says which word of the vocabulary fits a gap, from the states of both directions that end beside it.

    The forward state of the token before the gap and the backward state of that after it are joined: neither has read
    the gap. In training each word of a text is such a gap, with two sides of its own.

    Choose it to fill in words, or to train an encoder and its embeddings without labels (training.init_from).

    Args:
        input_dim: width D of the encoder's states.
        labels: not used; what is to be told are words.
        vocabulary: the words.
        embeddings: whose table of words is used for the output, too.
        tied: whether the words' vectors are the embedding's: fewer weights, and better. Untied, they are half as
            wide as the states.
        softmax: over the whole vocabulary, or in two steps (adaptive): the more words, the quicker; auto decides.
        predicted_share: share of a text's words that a step of training predicts, drawn anew; the less, the quicker.
        blank_share: share of a text's tokens that training hides from their neighbours, so that texts with several
            blanks can be read.
        dropout: share of numbers dropped in training, of states and of the layer between.
        allow_leak: for teaching: let the encoder read the hidden word itself. Every figure is then marked.

    Source:
        Melamud et al. (2016), context2vec: Learning generic context embedding with bidirectional LSTM, section 3;
        with an adaptive softmax and tied weights in the place of negative sampling.
    """

    contract = 1
    metrics: Mapping[str, Literal["larger", "smaller"]] = {
        "top1": "larger",
        "top5": "larger",
        "mrr": "larger",
        "perplexity": "smaller",
        "choice_accuracy": "larger",
        "unknown_answers": "smaller",
    }
    units: ClassVar[Mapping[str, str]] = {"perplexity": "per blank whose answer the vocabulary knows"}
    hides: ClassVar[frozenset[Reads]] = frozenset({"own_token"})
    why_hidden = (
        "from its second layer on it reads both directions of the layer below, and so has seen the word that is "
        "asked for. Set encoder.interleaved = false, which keeps the directions apart to the top, or num_layers = 1; "
        "to see what goes wrong, head.allow_leak = true"
    )
    cuts_long_texts = False
    points_at_tokens = True
    fills_blanks = True
    refused_options: ClassVar[Mapping[str, str]] = {
        "pooling": "fill_blank reads the two states beside a gap, so there is nothing to pool",
        "carry_state": "a text is read from both ends, so there is no state to carry on",
    }

    def __init__(
        self,
        *,
        input_dim: int,
        labels: Mapping[str, Any],
        vocabulary: Vocabulary,
        embeddings: Sequence[nn.Module],
        tied: bool = True,
        softmax: Softmax = "auto",
        predicted_share: Annotated[float, Field(gt=0, le=1)] = 1.0,
        blank_share: Annotated[float, Field(ge=0, lt=1)] = 0.03,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
        allow_leak: bool = False,
    ) -> None:
        super().__init__()
        (self.blank_id,) = vocabulary.encode([BLANK])
        self.vocabulary = vocabulary
        self.predicted_share = predicted_share
        self.blank_share = blank_share
        self.allow_leak = allow_leak
        self.dropout = Dropout(dropout)
        self.words = WordSoftmax(word_weight(embeddings, len(vocabulary), max(1, input_dim // 2), tied), softmax)
        self.gives = f"log probabilities float [blanks, V {len(vocabulary):,}], {self.words.steps}"
        width = self.words.weight.shape[1]
        self.inner = nn.Linear(input_dim, width)
        self.outer = nn.Linear(width, width)

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that texts need no labels."""
        return frozenset()

    @classmethod
    def learn_labels(cls, examples: Iterable[Example]) -> dict[str, Any]:
        """Return nothing: the vocabulary holds what can be told."""
        return {}

    @classmethod
    def encode_targets(cls, example: Example, labels: Mapping[str, Any], num_tokens: int) -> Sequence[str | None]:
        """Return the answers of a text with blanks, if it has any; then the choices of each blank after a None."""
        if not example.label or example.scheme is not None:  # tags are no answers
            return []
        if MARK not in example.text and BLANK not in (example.tokens or ()):
            return []
        answers = list(example.label) if isinstance(example.label, tuple) else [example.label]
        groups = [[None, *choices] for choices in example.choices or ()]
        return [*answers, *(word for group in groups for word in group)]

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Start each word at its share of the training split."""
        counts = count_tokens(batches, len(self.vocabulary))
        counts[[PAD_ID, UNKNOWN_ID, self.blank_id]] = 0
        self.words.start_from(counts)

    def conceal(self, batch: Batch) -> Batch:
        """Return the batch as it is read: in training with tokens hidden, and as targets the words to be told."""
        token_ids, type_ids, targets = batch.token_ids, batch.type_ids, batch.targets
        hidden = token_ids == self.blank_id
        if self.training:
            known = batch.mask & ~hidden & (token_ids != UNKNOWN_ID)
            if self.predicted_share < 1:
                known &= torch.rand(token_ids.shape, device=token_ids.device) < self.predicted_share
            targets = torch.where(known, token_ids, -1)
            if self.blank_share:
                hidden |= batch.mask & (torch.rand(token_ids.shape, device=token_ids.device) < self.blank_share)
                token_ids = torch.where(hidden, self.blank_id, token_ids)
        if type_ids is not None:  # a hidden token has no spelling: that of the type "", as in every text
            type_ids = torch.where(hidden, 0, type_ids)
        return replace(batch, token_ids=token_ids, type_ids=type_ids, targets=targets)

    def forward(self, encoded: Encoded, batch: Batch) -> BlankOutput:
        """Return the log probabilities of each word in each blank, and the mean loss where the answer is known.

        Raises:
            ShapeError: the encoder does not say which numbers of a state come from which end.
        """
        wanted = batch.targets if self.training and batch.targets is not None else None
        is_gap = batch.token_ids == self.blank_id if wanted is None else wanted >= 0
        rows, places = torch.nonzero(is_gap, as_tuple=True)
        vectors = self._vectors(encoded, rows, places)
        if wanted is not None:
            loss = self.words.losses(vectors, wanted[rows, places])
            return BlankOutput(
                vectors, loss.sum() / max(1, len(loss)), len(loss), rows=rows, places=places, texts=len(is_gap)
            )
        logits = self.words.log_probabilities(vectors)
        logits[:, [PAD_ID, UNKNOWN_ID, self.blank_id]] = -torch.inf
        logits = logits.log_softmax(dim=1)
        known_loss: Tensor | None = None
        count = None
        if batch.targets is not None and batch.targets.shape[1]:
            answers = batch.targets[rows, _order(rows)]
            told = logits[torch.arange(len(rows), device=rows.device), answers.clamp(min=0)]
            told = told[torch.isfinite(told) & (answers >= 0)]
            known_loss, count = -told.sum() / max(1, len(told)), len(told)
        return BlankOutput(logits, known_loss, count, rows=rows, places=places, texts=len(is_gap))

    def _vectors(self, encoded: Encoded, rows: Tensor, places: Tensor) -> Tensor:
        """Return float [n, E], what the two sides of each gap say of it."""
        from_end = encoded.from_end
        if from_end is None and self.allow_leak:
            half = encoded.states.shape[2] // 2
            from_end = slice(half, 2 * half)
        if from_end is None:
            raise ShapeError(
                "fill_blank joins what is left of a gap with what is right of it, and this encoder does not say "
                "which numbers of its states are which (Encoded.from_end); set encoder.interleaved = false"
            )
        # One token more at each end, so that there is a state, of zeros, beside the first and the last.
        padded = nn.functional.pad(encoded.states, (0, 0, 1, 1))
        steps, width = padded.shape[1:]
        flat, places = padded.flatten(0, 1), rows * steps + places + 1
        start, stop = from_end.start, from_end.stop
        before, after = flat[:, :start], flat[:, start:stop]
        sides = [before.index_select(0, places - 1), after.index_select(0, places + 1)]
        if stop < width:
            sides.append(flat[:, stop:].index_select(0, places - 1))
        inner = nn.functional.gelu(self.inner(self.dropout(torch.cat(sides, dim=1))))
        vectors: Tensor = self.outer(self.dropout(inner))
        return vectors

    def answers(self, output: BlankOutput) -> np.ndarray:
        """Return float32 [B, S, V] log probabilities, S being the most blanks in a text; NaN where it has fewer."""
        order = _order(output.rows).cpu().numpy()
        shape = (output.texts, int(order.max(initial=-1)) + 1, output.logits.shape[1])
        answers = np.full(shape, np.nan, dtype=np.float32)
        answers[output.rows.cpu().numpy(), order] = output.logits.float().cpu().numpy()
        return answers

    def predictions(self, output: BlankOutput, batch: Batch, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return the blanks of each text, with their places and the most probable words, ``top_k`` of them, else 5.

        Where a text brings choices, the candidates are these, and probabilities are shares among them.
        """
        answers: list[dict[str, Any]] = [{"blanks": []} for _ in batch.texts]
        best = candidates_of(output.logits, self.vocabulary, top_k)
        for number, (row, place) in enumerate(zip(output.rows.tolist(), output.places.tolist(), strict=True)):
            blanks = answers[row]["blanks"]
            start, end = batch.offsets[row][place]
            choices = (batch.choices[row] or ()) if batch.choices else ()
            if len(blanks) < len(choices):
                candidates = self._among(choices[len(blanks)], output.logits[number])[:top_k]
            else:
                candidates = best[number]
            blanks.append({"start": start, "end": end, "candidates": candidates})
        return answers

    def _among(self, choices: Sequence[str], logits: Tensor) -> list[dict[str, Any]]:
        """Return choices with their shares, the most probable first; one that the vocabulary lacks has none."""
        shares = logits[self.vocabulary.encode(choices)].double().softmax(dim=0).nan_to_num().tolist()
        pairs = sorted(zip(choices, shares, strict=True), key=lambda pair: -pair[1])
        return [{"token": token, "probability": share} for token, share in pairs]

    def scores(self) -> BlankScores:
        """Return a fresh counter of right answers."""
        return BlankScores()

    def baselines(self) -> Mapping[str, Baseline]:
        """Return the most frequent words, and a trigram on either side with back-off."""
        return {
            "unigram": UnigramBlankBaseline(vocabulary=self.vocabulary),
            "two_sided_trigram": TwoSidedNgramBaseline(order=3, vocabulary=self.vocabulary),
        }


def _order(rows: Tensor) -> Tensor:
    """Return int64 [n]: of each blank, how many there are before it in its text; ``rows`` ascend."""
    numbers = torch.arange(len(rows), device=rows.device)
    return numbers - torch.searchsorted(rows, rows)
