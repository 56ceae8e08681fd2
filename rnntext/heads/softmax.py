"""The softmax over a vocabulary: whole, or in two steps, so that rare words cost next to nothing in training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary
from rnntext.errors import DataError

CANDIDATES = 5
"""How many words are given as probable unless asked otherwise."""
Softmax = Literal["auto", "full", "adaptive"]
LARGE = 4_000
"""Words from which ``auto`` takes two steps."""
CUTS = (500, 2_500, 8_000)
"""Words in the first step, and where the second and third of its groups of rarer words begin.

By the counts of Brown's 18,000 words a token is compared with 1,900 rows on average; with cuts at 2,000 and 8,000
it would be 3,300."""


class WordSoftmax(nn.Module):
    """Probabilities of all words of a vocabulary, from one vector.

    In two steps: the first decides between the frequent words and groups of rarer ones, the second within a group.
    Each word still has a vector of full width, so the two differ in time, and little in what they reach. The words
    must be sorted by frequency for it to pay.

    Args:
        weight: float [V, E], a vector a word: a table's own, tied, or a fresh one.
        kind: ``full`` or ``adaptive``; auto decides by V.

    Source:
        Grave et al. (2017), Efficient softmax approximation for GPUs; without its narrower vectors for rare words, so
        that weights can be tied (Press and Wolf 2017, Using the output embedding to improve language models).
    """

    def __init__(self, weight: nn.Parameter, kind: Softmax = "auto") -> None:
        super().__init__()
        words, width = weight.shape
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(words))
        self.cuts = [words]
        if kind == "adaptive" or (kind == "auto" and words > LARGE):
            self.cuts = [*(cut for cut in CUTS if 2 * cut <= words), words]
        groups = len(self.cuts) - 1
        self.group_weight = nn.Parameter(torch.zeros(groups, width))
        self.group_bias = nn.Parameter(torch.zeros(groups))

    @property
    def steps(self) -> str:
        """In words, whether it is done at once or in two steps."""
        groups = len(self.cuts) - 1
        if not groups:
            return "full softmax"
        return f"adaptive softmax: {self.cuts[0]:,} words + {groups} group{'s' if groups > 1 else ''}"

    def start_from(self, counts: np.ndarray) -> None:
        """Start at the words' shares in the training split, int64 [V] counts, each one up."""
        shares = torch.from_numpy(counts + 1.0)
        with torch.no_grad():
            self.bias.copy_((shares / shares.sum()).log())
            for group, (start, stop) in enumerate(pairwise(self.cuts)):
                self.group_bias[group] = (shares[start:stop].sum() / shares.sum()).log()

    def losses(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Return float [n], minus the log probability of int64 [n] targets given float [n, E] vectors."""
        frequent, *rarer = self._parts()
        first = _logits(vectors, *frequent)
        chosen, order, later = targets, [], []
        for group, ((start, stop), part) in enumerate(zip(pairwise(self.cuts), rarer, strict=True)):
            (rows,) = torch.nonzero((targets >= start) & (targets < stop), as_tuple=True)
            chosen = chosen.index_fill(0, rows, self.cuts[0] + group)
            order.append(rows)
            within = _logits(vectors[rows], *part)
            later.append(nn.functional.cross_entropy(within, targets[rows] - start, reduction="none"))
        losses = nn.functional.cross_entropy(first, chosen, reduction="none")
        return losses.index_add(0, torch.cat(order), torch.cat(later)) if order else losses

    def log_probabilities(self, vectors: Tensor) -> Tensor:
        """Return float [n, V] given float [n, E]: those of every word."""
        frequent, *rarer = self._parts()
        first = _logits(vectors, *frequent).log_softmax(dim=1)
        parts = [first[:, : self.cuts[0]]]
        for group, part in enumerate(rarer):
            parts.append(_logits(vectors, *part).log_softmax(dim=1) + first[:, self.cuts[0] + group, None])
        return torch.cat(parts, dim=1)

    def _parts(self) -> list[tuple[Tensor, Tensor]]:
        """Return weights and biases of the first step, its words and then the groups, and those of each group."""
        # Split at once: the gradients of slices would each be as large as the whole table.
        sizes = [self.cuts[0], *(stop - start for start, stop in pairwise(self.cuts))]
        words, *rarer = self.weight.split_with_sizes(sizes)
        bias, *biases = self.bias.split_with_sizes(sizes)
        if not rarer:
            return [(words, bias)]
        first = torch.cat([words, self.group_weight]), torch.cat([bias, self.group_bias])
        return [first, *zip(rarer, biases, strict=True)]


def _logits(vectors: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return float32 [n, words], whatever the precision: what follows sums over many words."""
    return nn.functional.linear(vectors, weight, bias).float()


def word_weight(embeddings: Sequence[nn.Module], words: int, width: int, tied: bool) -> nn.Parameter:
    """Return float [V, E]: the table of the first embedding that learns a row a word, or a fresh one.

    Raises:
        DataError: no embedding has such a table.
    """
    if not tied:
        return nn.Parameter(torch.empty(words, width).uniform_(-0.1, 0.1))
    for embedding in embeddings:
        weight = getattr(embedding, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() == 2 and len(weight) == words and weight.requires_grad:
            return weight
    raise DataError(
        "head.tied shares a table of one trained row a word, and no embedding has one (type learned does); set "
        "head.tied = false"
    )


def candidates_of(logits: Tensor, vocabulary: Vocabulary, top_k: int | None) -> list[list[dict[str, Any]]]:
    """Return for each of float [n, V] log probabilities the most probable words, ``top_k`` of them, else 5.

    What has no probability at all is no candidate.
    """
    best = logits.topk(min(top_k or CANDIDATES, logits.shape[1]), dim=1)
    return [
        [
            {"token": vocabulary.token(word), "probability": math.exp(share)}
            for word, share in zip(words, shares, strict=True)
            if share > -math.inf
        ]
        for words, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def count_tokens(batches: Iterable[Batch], words: int) -> np.ndarray:
    """Return int64 [V]: how often each word occurs."""
    counts = np.zeros(words, dtype=np.int64)
    for batch in batches:
        counts += np.bincount(batch.token_ids[batch.mask].cpu().numpy(), minlength=words)
    return counts
