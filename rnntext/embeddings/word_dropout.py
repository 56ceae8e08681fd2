"""Word dropout, shared by the embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from rnntext.contracts import UNKNOWN_ID, Batch


def drop_words(token_ids: Tensor, probability: float, training: bool, besides: Tensor | None = None) -> Tensor:
    """Return the ids with some real tokens replaced by ``<unk>``, at random, in training only.

    The network learns to do without any one word, and ``<unk>`` gets a vector that stands for one.

    Args:
        token_ids: int64 [B, T], 0 at padding, which stays.
        probability: chance of each token.
        training: False returns the ids as they are.
        besides: float [B, T], a further chance of each token; see ``RareWords``.

    Source:
        Iyyer et al. (2015), Deep unordered composition rivals syntactic methods, section 3.1; dropping to
        ``<unk>`` rather than leaving out keeps the length.
    """
    if not training or (probability == 0 and besides is None):
        return token_ids
    chances: float | Tensor = probability
    if besides is not None:
        chances = 1 - (1 - probability) * (1 - besides)
    dropped = torch.rand(token_ids.shape, device=token_ids.device) < chances
    return token_ids.masked_fill(dropped & (token_ids > 0), UNKNOWN_ID)


class RareWords(nn.Module):
    """The chance with which each word is dropped for being rare: strength / (strength + its count in training).

    Words that are unknown later are rare ones, so that ``<unk>`` learns from those that occur once or twice.

    Args:
        num_words: V.
        strength: the count at which every second occurrence is dropped; 0 drops none.

    Source:
        Kiperwasser and Goldberg (2016), Simple and accurate dependency parsing using bidirectional LSTM feature
        representations, section 4, with a strength of 0.25.
    """

    def __init__(self, num_words: int, strength: float) -> None:
        super().__init__()
        self.strength = strength
        # Needed in training alone, so that it does not travel with the model.
        self.register_buffer("counts", torch.zeros(num_words), persistent=False)

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches of the training split, counting their words."""
        counts = self.get_buffer("counts").zero_()
        for batch in batches:
            counts += torch.bincount(batch.token_ids.flatten(), minlength=len(counts)).to(counts)
            yield batch

    def chances(self, token_ids: Tensor) -> Tensor | None:
        """Return float [B, T], the chance of each token, 0 if it was never counted; None where none is dropped."""
        if not self.strength or not self.training:
            return None
        counts = self.get_buffer("counts")[token_ids]
        return (counts > 0) * (self.strength / (self.strength + counts))
