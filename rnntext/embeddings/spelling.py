"""The distinct tokens of a batch as bytes, shared by the embeddings that read how a token is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnntext.contracts import Batch

FIRST_BYTE = 3
"""Number of the byte 0: before it stand padding, and the marks of a token's start and end."""
PADDING, START, END = 0, 1, 2
NUM_BYTES = FIRST_BYTE + 256
_NOTHING_READ = np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Spellings:
    """The distinct raw tokens of a batch.

    Attributes:
        numbers: int64 [U, C], a token's bytes (each plus ``FIRST_BYTE``) between ``START`` and ``END``, then padding.
        lengths: int64 [U], at least 2: the marks count.
        places: int64 [B, T], which of the U each token is; that of a text's padding is any.
    """

    numbers: Tensor
    lengths: Tensor
    places: Tensor


class SpellingTable:
    """UTF-8 bytes of every type of a type table, worked out when types appear.

    Args:
        max_bytes: a longer token is read by its first and last bytes, half of them each.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # A type table, its bytes end to end, and int64 [types + 1] where each type ends.
        self._known: tuple[Sequence[str], np.ndarray, np.ndarray] = ((), *_NOTHING_READ)

    def distinct(self, batch: Batch) -> Spellings:
        """Return the spellings of a batch's distinct tokens, on its device.

        A batch without ``types`` cannot be read; a text without tokens has the token "".
        """
        if batch.type_ids is None:
            raise ValueError("this batch has no raw tokens (types, type_ids), which character features read")
        device = batch.type_ids.device
        type_ids = np.maximum(batch.type_ids.cpu().numpy(), 0)
        types, places = np.unique(type_ids, return_inverse=True)
        values, borders = self._read(batch.types)
        starts, ends = borders[types], borders[types + 1]
        steps = np.arange(int((ends - starts).max()))
        real = steps < (ends - starts)[:, None]
        numbers = np.zeros((len(types), len(steps) + 2), dtype=np.int64)
        numbers[:, 0] = START
        numbers[:, 1:-1][real] = values[(starts[:, None] + steps)[real]].astype(np.int64) + FIRST_BYTE
        numbers[np.arange(len(types)), ends - starts + 1] = END
        return Spellings(
            torch.from_numpy(numbers).to(device),
            torch.from_numpy(ends - starts + 2).to(device),
            torch.from_numpy(places.reshape(type_ids.shape)).to(device),
        )

    def _read(self, types: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return bytes and borders of a type table; one that has grown since is read on from where it was."""
        before, values, borders = self._known
        if before is not types:
            values, borders = _NOTHING_READ
        new = [self._cut(token.encode("utf-8", "surrogatepass")) for token in types[len(borders) - 1 :]]
        if new:
            lengths = np.fromiter(map(len, new), dtype=np.int64, count=len(new))
            values = np.concatenate([values, np.frombuffer(b"".join(new), dtype=np.uint8)])
            borders = np.concatenate([borders, borders[-1] + np.cumsum(lengths)])
            self._known = types, values, borders  # at once: another thread may have another table
        return values, borders

    def _cut(self, spelling: bytes) -> bytes:
        if len(spelling) <= self._max_bytes:
            return spelling
        half = self._max_bytes // 2
        return spelling[: self._max_bytes - half] + spelling[len(spelling) - half :]
