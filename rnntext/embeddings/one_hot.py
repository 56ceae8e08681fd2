"""Embedding ``one_hot``: the bare identity of a word, as wide as the vocabulary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary
from rnntext.embeddings.word_dropout import drop_words


class OneHotEmbedding(nn.Module):
    """A vector with a single one at the word's id; nothing is learnt and no two words are alike.

    Choose it for characters and other small vocabularies, or to see what an embedding is: a one-hot vector
    times a matrix. Memory is B x T x V numbers a batch.

    Args:
        vocabulary: decides the width V.
        dropout: chance that a token's one is dropped in training (the others are scaled up).
        word_dropout: chance that a token is read as ``<unk>`` in training.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.output_dim = len(vocabulary)
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, V], zero at padding."""
        token_ids = drop_words(batch.token_ids, self.word_dropout, self.training)
        one_hot = nn.functional.one_hot(token_ids, self.output_dim).float()  # [B, T, V]
        one_hot[..., 0] = 0  # padding
        dropped: Tensor = self.dropout(one_hot)
        return dropped
