"""Reading rows of a table, shared by the embeddings."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def read_rows(weight: Tensor, token_ids: Tensor, before_reading: Callable[[Tensor], None] | None) -> Tensor:
    """Return float [B, T, E]: the row of each token, zero at padding where row 0 is.

    Args:
        weight: float [V, E].
        token_ids: int64 [B, T].
        before_reading: as ``rnntext.contracts`` has it; if there is one, the gradient of ``weight`` is sparse.
    """
    if before_reading is not None:
        before_reading(token_ids)
    return nn.functional.embedding(token_ids, weight, padding_idx=0, sparse=before_reading is not None)
