"""Embedding ``learned``: a vector for each word of the vocabulary, learnt with the task."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary
from rnntext.embeddings.row_reading import read_rows
from rnntext.embeddings.word_dropout import RareWords, drop_words
from rnntext.errors import DataError


class LearnedEmbedding(nn.Module):
    """One trained row a word, started small and uniform.

    Choose it when there are no vectors for the language or the labels have their own vocabulary.

    Args:
        vocabulary: decides the number of rows.
        output_dim: width E of a vector.
        trainable: False keeps the random start: a control that shows what learning the rows buys.
        initial_range: rows start uniform in -initial_range to initial_range; a small start
            lets words that training hardly shows count for little.
        label_start: where above 0, the first dimensions (one a label, one in all for two) start as so many times the
            log ratio of how often the word occurs with the label and without: naive Bayes as a start.
        dropout: share of each vector's numbers dropped in training.
        word_dropout: chance that a token is read as ``<unk>`` in training.
        rare_word_dropout: where above 0, a word that occurs n times in the training split is also read as ``<unk>``
            with a chance of this / (this + n): rare words teach ``<unk>`` what unknown words are like; 0.25 is usual.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        output_dim: Annotated[int, Field(ge=1)] = 100,
        trainable: bool = True,
        initial_range: Annotated[float, Field(gt=0)] = 0.1,
        label_start: Annotated[float, Field(ge=0)] = 0.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        rare_word_dropout: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__()
        self.output_dim = output_dim
        self.word_dropout = word_dropout
        self.rare_words = RareWords(len(vocabulary), rare_word_dropout)
        self.label_start = label_start
        self.before_reading: Callable[[Tensor], None] | None = None
        self.weight = nn.Parameter(torch.empty(len(vocabulary), output_dim), requires_grad=trainable)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.weight, -initial_range, initial_range)
        with torch.no_grad():
            self.weight[0].zero_()

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Count how rare words are, and start the first dimensions of each row, in one pass, where asked for.

        Raises:
            DataError: there are more labels than dimensions, there is only one label, or the labels are tags of
                tokens.

        Source:
            Log-count ratio of Wang and Manning (2012), Baselines and bigrams, section 2.1, each count one up.
        """
        if self.rare_words.strength:
            batches = self.rare_words.counted(batches)
        if not self.label_start:
            if self.rare_words.strength:
                deque(batches, maxlen=0)
            return
        smoothed = count_words(batches, len(self.weight)) + 1.0
        if len(smoothed) < 2:
            raise DataError("embedding.label_start compares labels, and the training split has only one; set it to 0")
        shares = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
        others = smoothed.sum(axis=0, keepdims=True) - smoothed
        ratios = shares - np.log(others / others.sum(axis=1, keepdims=True))  # [L, V]
        ratios = ratios[1:] if len(ratios) == 2 else ratios  # of two, one is the other's opposite
        if len(ratios) > self.output_dim:
            raise DataError(f"embedding.label_start needs output_dim of at least {len(ratios)}, one a label")
        with torch.no_grad():
            self.weight[1:, : len(ratios)] = self.label_start * torch.from_numpy(ratios.T[1:]).to(self.weight.dtype)

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]: the row of each token, zero at padding."""
        token_ids = drop_words(
            batch.token_ids, self.word_dropout, self.training, self.rare_words.chances(batch.token_ids)
        )
        embedded = read_rows(self.weight, token_ids, self.before_reading)  # [B, T, E]
        dropped: Tensor = self.dropout(embedded)
        return dropped


def count_words(batches: Iterable[Batch], num_words: int) -> np.ndarray:
    """Return int64 [L, V]: in how many texts with each target each word of the vocabulary occurs.

    Raises:
        DataError: there are no targets, or a text has one twice, as tags of tokens do.
    """
    counts = np.zeros((0, num_words), dtype=np.int64)
    for batch in batches:
        if batch.targets is None:
            raise DataError("the training split has no labels to start an embedding from")
        targets = batch.targets.cpu().numpy()
        ordered = np.sort(targets, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
            raise DataError(
                "embedding.label_start is for labels of whole texts, and these are tags of tokens: every word would "
                "count for every tag of its text; set it to 0"
            )
        more = int(targets.max(initial=0)) + 1 - len(counts)
        counts = np.pad(counts, ((0, max(0, more)), (0, 0)))
        texts = np.nonzero(batch.mask.cpu().numpy())[0]
        pairs = np.unique(texts * num_words + batch.token_ids.cpu().numpy()[batch.mask.cpu().numpy()])
        for column in targets.T:  # more than one where a text may have several labels
            labels = column[pairs // num_words]
            np.add.at(counts, (labels[labels >= 0], pairs[labels >= 0] % num_words), 1)
    return counts
