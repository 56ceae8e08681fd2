"""A stream of tokens in windows: the other way, beside whole texts, to make batches.

The texts of a split follow on from one another, and the targets of a window are the tokens that come next in the
stream. There are two ways to sample windows in training (Zhang et al., Dive into Deep Learning, chapter on language
models). At *random*: they begin at a random offset and come shuffled, each read from a zero state. In *sequence*: the
stream is cut into as many rows as a batch has, and each row goes on where it ended in the batch before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from rnntext.batching import Collator
from rnntext.contracts import PAD_ID, Batch
from rnntext.encoding import EncodedSplit
from rnntext.errors import DataError
from rnntext.tables import BatchingOptions

TOKENS_A_ROW = 2_000
"""An evaluation cuts the stream into rows of so many tokens at least, each read from a zero state, ..."""
MOST_ROWS = 32
"""... and into so many rows at most, whatever the size of a batch: scores do not depend on it."""

Windows = tuple[int, Literal["random", "sequential"]]


class StreamCollator:
    """Windows of a split to batches: rows of [B, num_steps] tokens, and what follows each.

    It has the methods of ``batching.Collator``; its rows are windows, int64 [B, 3]: the places in the stream at which
    each begins and ends, and 1 if it goes on where the same row of the batch before ended.

    Args:
        split: its texts are one stream.
        types: raw token of each type id.
        token_ids: int64 [types], vocabulary id of each type.
        windows: their length, and how they are sampled in training.
        device: where the batch goes.
    """

    def __init__(
        self,
        split: EncodedSplit,
        types: Sequence[str],
        token_ids: np.ndarray,
        windows: Windows,
        device: torch.device | None = None,
    ) -> None:
        self.split = split
        self.types = types
        self.token_ids = token_ids
        self.num_steps, self.sampling = windows
        self.device = device or torch.device("cpu")
        self._stream = split.types.values
        check_stream(split)

    def training_rows(self, options: BatchingOptions, seed: Sequence[int]) -> list[np.ndarray]:
        """Return int64 [B, 3], the windows of each batch of one epoch; all are ``num_steps`` long.

        What is left at the end of the stream or of a row is not read in this epoch; each draws its own offset.
        """
        random = np.random.default_rng(seed)
        steps = min(self.num_steps, self._last)
        size = max(1, options.batch_tokens // steps) if options.batch_tokens else options.batch_size
        offset = int(random.integers(min(steps, self._last - steps + 1)))
        if self.sampling == "sequential":
            count = min(size, (self._last - offset) // steps)
            length = (self._last - offset) // count  # of a row
            firsts = offset + length * np.arange(count)
            return [_windows(firsts + step, steps, step > 0) for step in range(0, length - steps + 1, steps)]
        starts = random.permutation(np.arange(offset, self._last - steps + 1, steps))
        # By chance one window may stand right after another: it does not go on from it all the same.
        return [_windows(starts[first : first + size], steps, False) for first in range(0, len(starts), size)]

    def evaluation_rows(self, options: BatchingOptions) -> list[np.ndarray]:
        """Return windows that read every token but the last once, in sequence."""
        count = min(MOST_ROWS, max(1, self._last // TOKENS_A_ROW))
        firsts = self._last // count * np.arange(count)
        ends = np.append(firsts[1:], self._last)
        # The last row is the longest: it comes first, so that those that go on are always the first ones.
        firsts, ends = firsts[::-1], ends[::-1]
        batches = []
        for step in range(0, int((ends - firsts).max()), self.num_steps):
            still = firsts + step < ends
            lengths = np.minimum(ends[still] - firsts[still] - step, self.num_steps)
            batches.append(_windows(firsts[still] + step, lengths, step > 0))
        return batches

    def longest_rows(self, options: BatchingOptions) -> np.ndarray:
        """Return the windows of the largest batch of a training."""
        return self.training_rows(options, (0,))[0]

    @property
    def _last(self) -> int:
        """How many tokens have a next one."""
        return len(self._stream) - 1

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the batch of windows int64 [B, 3], each from its start to before its end."""
        starts, lengths = rows[:, 0], rows[:, 1] - rows[:, 0]
        steps = np.arange(int(lengths.max()))
        inside = steps < lengths[:, None]
        type_ids = np.where(inside, self._stream.take(starts[:, None] + steps, mode="clip"), -1).astype(np.int64)
        following = self._stream.take(starts[:, None] + steps + 1, mode="clip")
        return Batch(
            token_ids=self._tensor(np.where(inside, self.token_ids[type_ids], PAD_ID)),
            lengths=self._tensor(lengths),
            targets=self._tensor(np.where(inside, self.token_ids[following], -1)),
            type_ids=self._tensor(type_ids),
            types=self.types,
            goes_on=bool(rows[:, 2].all()),
        )

    def batches(self, all_rows: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield the batch of each group of windows; it says whether these follow on from the ones before."""
        return map(self.batch, all_rows)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def check_stream(split: EncodedSplit) -> None:
    """Refuse a stream in which no token comes next.

    Raises:
        DataError: it has fewer than two.
    """
    if (tokens := len(split.types.values)) < 2:
        raise DataError(f"the {split.name} split has {tokens} token(s); a next one needs two")


def _windows(starts: np.ndarray, lengths: np.ndarray | int, goes_on: bool) -> np.ndarray:
    """Return int64 [B, 3]: where windows begin and end, and whether they go on from the batch before."""
    return np.stack([starts, starts + lengths, np.full_like(starts, goes_on)], axis=1)


AnyCollator = Collator | StreamCollator
"""What makes batches of a split: of whole texts, or of the windows of a stream."""
