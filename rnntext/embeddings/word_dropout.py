"""Word dropout, shared by the embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from rnntext.contracts import UNKNOWN_ID


def drop_words(token_ids: Tensor, probability: float, training: bool) -> Tensor:
    """Return the ids with some real tokens replaced by ``<unk>``, at random, in training only.

    The network learns to do without any one word, and ``<unk>`` gets a vector that stands for one.

    Args:
        token_ids: int64 [B, T], 0 at padding, which stays.
        probability: chance of each token.
        training: False returns the ids as they are.

    Source:
        Iyyer et al. (2015), Deep unordered composition rivals syntactic methods, section 3.1; dropping to
        ``<unk>`` rather than leaving out keeps the length.
    """
    if not training or probability == 0:
        return token_ids
    dropped = torch.rand(token_ids.shape, device=token_ids.device) < probability
    return token_ids.masked_fill(dropped & (token_ids > 0), UNKNOWN_ID)
