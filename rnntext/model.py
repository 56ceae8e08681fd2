"""TextModel: embed, encode, head. The whole network in four lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import Batch, HeadOutput, Vocabulary
from rnntext.recipe import Recipe


class TextModel(nn.Module):
    """What a recipe describes, as one module.

    Args:
        embeddings: one or several; their vectors are joined.
        encoder: reads the joined vectors.
        head: makes logits, loss and answers of what the encoder read.
    """

    # Parts keep their contracts' types, which nn.Module's own attribute lookup would lose.
    encoder: Any
    head: Any

    def __init__(self, embeddings: list[nn.Module], encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(embeddings)
        self.encoder = encoder
        self.head = head

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the head's logits, and the loss where the batch has targets."""
        embedded: Tensor = torch.cat([embedding(batch) for embedding in self.embeddings], dim=-1)  # [B, T, E]
        encoded = self.encoder(embedded, batch.lengths)  # states [B, T, D], final [B, D]
        output: HeadOutput = self.head(encoded, batch)
        return output


def build_model(recipe: Recipe, vocabulary: Vocabulary, labels: Mapping[str, Any]) -> TextModel:
    """Return the untrained network of a recipe; each part's widths come from the part before it."""
    embeddings = [choice.build(vocabulary=vocabulary) for choice in recipe.embeddings]
    encoder = recipe.encoder.build(input_dim=sum(embedding.output_dim for embedding in embeddings))
    head = recipe.head.build(input_dim=encoder.output_dim, labels=labels)
    return TextModel(embeddings, encoder, head)
