"""From the states of all tokens to one vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rnntext.contracts import Encoded, Pieces

Pooling = Literal["final", "max", "mean", "attention"]


class Pool(nn.Module):
    """One or several ways to sum a text up, joined end to end.

    Args:
        names: ``final`` (the encoder's last states), ``max`` and ``mean`` (over the text's tokens), ``attention``
            (a mean whose weights are learnt).
        input_dim: width D of a state.

    Source:
        Attention: Yang et al. (2016), Hierarchical attention networks, section 2.2, with the context vector
        and its layer.
    """

    def __init__(self, names: Sequence[Pooling], input_dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.output_dim = input_dim * len(self.names)
        if "attention" in self.names:
            self.attention = nn.Sequential(nn.Linear(input_dim, input_dim), nn.Tanh(), nn.Linear(input_dim, 1))

    def forward(self, encoded: Encoded | Pieces, mask: Tensor) -> Tensor:
        """Return float [B, D x number of pools]; padding (False in bool [B, T]) counts for nothing."""
        if isinstance(encoded, Pieces):
            return self._of_pieces(encoded, mask.sum(dim=1, keepdim=True))
        # One text alone has no padding, and what masking costs shows in the time of a short one.
        outside = None if mask.device.type == "cpu" and bool(mask.all()) else ~mask[..., None]
        return torch.cat([self._one(name, encoded, outside, mask) for name in self.names], dim=-1)

    def _one(self, name: Pooling, encoded: Encoded, outside: Tensor | None, mask: Tensor) -> Tensor:
        if name == "final":
            return encoded.final
        states = encoded.states
        if name == "max":
            return (states if outside is None else states.masked_fill(outside, -torch.inf)).amax(dim=1)
        if name == "mean":
            inside = states if outside is None else states.masked_fill(outside, 0)
            return inside.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        scores: Tensor = self.attention(states)  # [B, T, 1]
        weights = (scores if outside is None else scores.masked_fill(outside, -torch.inf)).softmax(dim=1)
        return (weights * states).sum(dim=1)

    def _of_pieces(self, pieces: Pieces, lengths: Tensor) -> Tensor:
        """Pool states that come piece by piece, each text's maximum and sum so far being all that is held."""
        found: dict[tuple[str, int], Tensor] = {}
        for piece in pieces:
            outside = ~piece.mask[..., None]
            whole = len(piece.rows) == len(lengths)
            for name in set(self.names) - {"final"}:
                if name == "max":
                    part = piece.states.masked_fill(outside, -torch.inf).amax(dim=1)
                else:  # a sum over all pieces needs more than bfloat16 holds
                    part = piece.states.float() if piece.states.dtype == torch.bfloat16 else piece.states
                    part = part.masked_fill(outside, 0).sum(dim=1)
                key = (name, piece.columns.start)
                before = found.get(key)
                if before is None:  # every text has a token, so the first piece holds them all
                    found[key] = part
                elif name == "max":
                    kept = torch.maximum(before if whole else before[piece.rows], part)
                    found[key] = kept if whole else before.index_copy(0, piece.rows, kept)
                else:
                    found[key] = before.index_add(0, piece.rows, part)
        pooled: dict[str, Tensor] = {"final": pieces.final}
        for pool in {pool for pool, _ in found}:
            pooled[pool] = torch.cat([found[key] for key in sorted(found) if key[0] == pool], dim=-1)
        if "mean" in pooled:
            pooled["mean"] = pooled["mean"] / lengths
        return torch.cat([pooled[name] for name in self.names], dim=-1)
