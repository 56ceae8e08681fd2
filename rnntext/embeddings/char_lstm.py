"""Embedding ``char_lstm``: what a token looks like, by an LSTM over its bytes from either end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary
from rnntext.embeddings.spelling import NUM_BYTES, PADDING, SpellingTable

BYTES_A_CALL_COSTS = 500
"""Padded bytes worth one more call of the fused kernel: forward and backward it took 1 ms at least, in which 550
bytes of a larger call are read (25 numbers a byte, 25 a state, AVX2). From 200 to 800 a batch took the same time."""


class CharLstmEmbedding(nn.Module):
    """What an LSTM knows of a token when it has read all its bytes: one from the left, one from the right.

    Reads the raw token (case, digits, endings), whatever the vocabulary makes of it, as UTF-8: no alphabet has to be
    learnt, and any script can be read. Each distinct token of a batch is computed once.

    Choose ``char_cnn`` first, which takes about a fifth of the time; this one where it scores better on your data.

    Args:
        vocabulary: not used; tokens are read as they stand in the text.
        output_dim: width E, an even number: half of it from each direction.
        byte_dim: width of a byte's own vector.
        max_bytes: a longer token is read by its first and last bytes, half of them each.
        byte_dropout: share of the bytes' vectors' numbers dropped in training.
        dropout: share of the token's numbers dropped in training.

    Source:
        Lample et al. (2016), Neural architectures for named entity recognition, section 4.1; bytes instead of
        characters, marks at both ends, and dropout of a byte's numbers (one draw a step) are ours. Kernel:
        torch.nn.LSTM.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        output_dim: Annotated[int, Field(ge=2)] = 50,
        byte_dim: Annotated[int, Field(ge=1)] = 25,
        max_bytes: Annotated[int, Field(ge=2)] = 40,
        byte_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.output_dim = output_dim
        self.byte_weight = nn.Parameter(torch.empty(NUM_BYTES, byte_dim))
        self.forwards = nn.LSTM(byte_dim, output_dim // 2, batch_first=True)
        self.backwards = nn.LSTM(byte_dim, output_dim // 2, batch_first=True)
        self.byte_dropout = nn.Dropout(byte_dropout)
        self.dropout = nn.Dropout(dropout)
        self._spellings = SpellingTable(max_bytes)
        bound = (3 / byte_dim) ** 0.5  # variance 1 / byte_dim, as char_cnn starts them
        nn.init.uniform_(self.byte_weight, -bound, bound)
        with torch.no_grad():
            self.byte_weight[PADDING].zero_()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        if options["output_dim"] % 2:
            near = options["output_dim"] + 1
            yield "output_dim", f"each direction gives half of it, so it must be even; set it to {near}"

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]."""
        found = self._spellings.distinct(batch)
        device = found.numbers.device
        lengths = found.lengths.cpu().numpy()
        order = np.argsort(-lengths, kind="stable")
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        read = self.byte_dropout(self.byte_weight)  # [bytes, e]: in a step, a byte loses the same numbers everywhere
        numbers, start, ends = found.numbers[torch.from_numpy(order).to(device)], 0, []
        # Autocast stays out: oneDNN refuses bfloat16 on processors that lack it, and the work is small.
        with torch.autocast(device.type, enabled=False):
            for size in _group_sizes(lengths[order]):
                rows = slice(start, start + size)
                ends.append(self._ends(read, numbers[rows], lengths[order[rows]]))
                start += size
        places = torch.from_numpy(ranks).to(device)[found.places]  # [B, T]
        dropped: Tensor = self.dropout(nn.functional.embedding(places, torch.cat(ends)))
        return dropped

    def _ends(self, read: Tensor, numbers: Tensor, lengths: np.ndarray) -> Tensor:
        """Return float [U, E]: the last state of each direction, of tokens with the longest first.

        Both directions read padding after the token alone, so that no state that is kept has seen it, and torch's
        kernel for a CPU, which knows no lengths, can be used.

        Args:
            read: float [bytes, e], a byte's vector.
            numbers: int64 [U, C], padding after the end.
            lengths: int64 [U].
        """
        steps = np.arange(lengths[0])
        rows = np.arange(len(lengths)) * len(steps)
        turned = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # [U, C]
        last = torch.from_numpy(rows + lengths - 1).to(numbers.device)
        numbers = numbers[:, : len(steps)]
        ends = []
        for cell, spelt in (
            (self.forwards, numbers),
            (self.backwards, numbers.gather(1, torch.from_numpy(turned).to(numbers.device))),
        ):
            states, _ = cell(nn.functional.embedding(spelt, read))  # [U, C, E / 2]
            ends.append(states.flatten(0, 1)[last])
        return torch.cat(ends, dim=-1)


def _group_sizes(lengths: np.ndarray) -> list[int]:
    """Return how many tokens to read together, from the longest on, so that one long token does not pad all others.

    Args:
        lengths: int64 [U], the longest first.
    """
    saved = (lengths[0] - lengths) * np.arange(len(lengths), 0, -1)  # bytes of padding, by the token where one cuts
    cut = int(saved.argmax())
    if saved[cut] <= BYTES_A_CALL_COSTS:
        return [len(lengths)]
    return [*_group_sizes(lengths[:cut]), *_group_sizes(lengths[cut:])]
