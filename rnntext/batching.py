"""Which texts share a batch, and their padding: the only place that pads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from rnntext.contracts import PAD_ID, Batch
from rnntext.encoding import EncodedSplit
from rnntext.tables import BatchingOptions

BATCHES_A_POOL = 64
"""In training, texts are sorted by length within pools of this many batches, so that each epoch still mixes."""


def training_batches(lengths: np.ndarray, options: BatchingOptions, seed: Sequence[int]) -> list[np.ndarray]:
    """Return the rows of each batch of one epoch, shuffled, texts of like length together.

    Args:
        lengths: int64 [N], tokens in each text.
        options: size or token budget of a batch.
        seed: decides the order; give each epoch its own.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))
    if options.batch_tokens:
        pool = max(1, BATCHES_A_POOL * options.batch_tokens // max(1, int(lengths.mean())))
    else:
        pool = BATCHES_A_POOL * options.batch_size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += _cut(rows, lengths[rows], options)
    return [batches[number] for number in random.permutation(len(batches))]


def evaluation_batches(lengths: np.ndarray, options: BatchingOptions) -> list[np.ndarray]:
    """Return the rows of each batch, shortest texts first: the least padding there can be."""
    rows = np.argsort(lengths, kind="stable")
    return _cut(rows, lengths[rows], options)


def _cut(rows: np.ndarray, lengths: np.ndarray, options: BatchingOptions) -> list[np.ndarray]:
    """Cut rows, sorted by length, into batches."""
    if not options.batch_tokens:
        return [rows[start : start + options.batch_size] for start in range(0, len(rows), options.batch_size)]
    batches, start = [], 0
    while start < len(rows):
        # Sorted, so the longest text of a batch is its last; the first always fits, however long.
        ahead = lengths[start : start + options.batch_tokens]
        sizes = np.arange(1, len(ahead) + 1)
        size = max(1, int(np.searchsorted(ahead * sizes, options.batch_tokens, side="right")))
        batches.append(rows[start : start + size])
        start += size
    return batches


class Collator:
    """Rows of a split to padded batches, in arrays: no Python a token.

    Args:
        split: the texts.
        types: raw token of each type id.
        token_ids: int64 [types], vocabulary id of each type.
        device: where the batch goes.
    """

    def __init__(
        self, split: EncodedSplit, types: Sequence[str], token_ids: np.ndarray, device: torch.device | None = None
    ) -> None:
        self.split = split
        self.types = types
        self.token_ids = token_ids
        self.device = device or torch.device("cpu")

    def training_rows(self, options: BatchingOptions, seed: Sequence[int]) -> list[np.ndarray]:
        """Return the rows of each batch of one epoch; see ``training_batches``."""
        return training_batches(self.split.types.lengths, options, seed)

    def evaluation_rows(self, options: BatchingOptions) -> list[np.ndarray]:
        """Return the rows of each batch of an evaluation; see ``evaluation_batches``."""
        return evaluation_batches(self.split.types.lengths, options)

    def longest_rows(self, options: BatchingOptions) -> np.ndarray:
        """Return the rows of the largest batch that there can be, padding included."""
        lengths = self.split.types.lengths
        return max(self.evaluation_rows(options), key=lambda rows: len(rows) * int(lengths[rows].max()))

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the batch of these rows."""
        type_ids = self.split.types.padded(rows, -1)
        token_ids = self.token_ids[type_ids]
        if len(rows) > 1:  # one text alone has no padding
            np.putmask(token_ids, type_ids < 0, PAD_ID)
        targets = None if self.split.targets is None else self._tensor(self.targets(rows))
        return Batch(
            token_ids=self._tensor(token_ids),
            lengths=self._tensor(self.split.types.ends[rows + 1] - self.split.types.ends[rows]),
            targets=targets,
            type_ids=self._tensor(type_ids),
            types=self.types,
            rows=rows,
        )

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Return int64 [len(rows), S], -1 after the last of each; targets that are tokens as vocabulary ids."""
        assert self.split.targets is not None
        targets = self.split.targets.padded(rows, -1)
        return np.where(targets < 0, targets, self.token_ids[targets]) if self.split.targets_are_types else targets

    def batches(self, all_rows: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield the batch of each group of rows."""
        return map(self.batch, all_rows)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        return tensor if self.device.type == "cpu" else tensor.to(self.device)
