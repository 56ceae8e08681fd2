"""TextModel: embed, encode, head. The whole network in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import Batch, HeadOutput, Pieces, Vocabulary
from rnntext.devices import computing_in
from rnntext.recipe import Recipe


class TextModel(nn.Module):
    """What a recipe describes, as one module.

    Args:
        embeddings: one or several; their vectors are joined.
        encoder: reads the joined vectors.
        head: makes logits, loss and answers of what the encoder read.
        precision: in which it computes, ``float32`` or ``bfloat16``.
    """

    # Parts keep their contracts' types, which nn.Module's own attribute lookup would lose.
    encoder: Any
    head: Any

    def __init__(
        self, embeddings: list[nn.Module], encoder: nn.Module, head: nn.Module, precision: str = "float32"
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(embeddings)
        self.encoder = encoder
        self.head = head
        self.precision = precision

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the head's logits, and the loss where the batch has targets."""
        with computing_in(self.precision, batch.token_ids.device):
            encoded = self._in_pieces(batch) or self.encoder(self._embed(batch), batch.lengths)  # states [B, T, D]
            output: HeadOutput = self.head(encoded, batch)
        return output

    def _embed(self, batch: Batch) -> Tensor:
        return torch.cat([embedding(batch) for embedding in self.embeddings], dim=-1)  # [B, T, E]

    def _in_pieces(self, batch: Batch) -> Pieces | None:
        """Return what the encoder reads piece by piece, of texts longer than its ``chunk_tokens``; else None."""
        if not 0 < getattr(self.encoder, "chunk_tokens", 0) < batch.token_ids.shape[1]:
            return None
        pieces: Pieces = self.encoder.in_pieces(
            lambda rows, positions: self._embed(batch.tokens_at(rows, positions)), batch.lengths
        )
        return pieces


def build_model(recipe: Recipe, vocabulary: Vocabulary, labels: Mapping[str, Any]) -> TextModel:
    """Return the untrained network of a recipe; each part's widths come from the part before it."""
    embeddings = [choice.build(vocabulary=vocabulary) for choice in recipe.embeddings]
    encoder = recipe.encoder.build(input_dim=sum(embedding.output_dim for embedding in embeddings))
    head = recipe.head.build(input_dim=encoder.output_dim, labels=labels)
    return TextModel(embeddings, encoder, head, recipe.training.precision)
