"""TextModel: embed, encode, head. The whole network in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import Batch, Encoded, HeadOutput, Pieces, Reads, State, Vocabulary
from rnntext.devices import computing_in
from rnntext.recipe import Recipe


class TextModel(nn.Module):
    """What a recipe describes, as one module.

    Args:
        embeddings: one or several; their vectors are joined.
        encoder: reads the joined vectors.
        head: makes logits, loss and answers of what the encoder read.
        precision: in which it computes, ``float32`` or ``bfloat16``.
        leaks: what the encoder reads although the head hides it; every figure of such a model is marked.
    """

    # Parts keep their contracts' types, which nn.Module's own attribute lookup would lose.
    encoder: Any
    head: Any

    def __init__(
        self,
        embeddings: list[nn.Module],
        encoder: nn.Module,
        head: nn.Module,
        precision: str = "float32",
        leaks: frozenset[Reads] = frozenset(),
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(embeddings)
        self.encoder = encoder
        self.head = head
        self.precision = precision
        self.leaks = leaks

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the head's logits, and the loss where the batch has targets."""
        return self.go_on(batch, None)[0]

    def go_on(self, batch: Batch, state: State | None) -> tuple[HeadOutput, Encoded | Pieces]:
        """Return what ``forward`` does and what the encoder read, having begun with a state (zero if None)."""
        conceal = getattr(self.head, "conceal", None)
        if conceal is not None:
            batch = conceal(batch)
        with computing_in(self.precision, batch.token_ids.device):
            encoded = self._in_pieces(batch, state) or self.read(batch, state)  # states [B, T, D]
            output: HeadOutput = self.head(encoded, batch)
        return output, encoded

    def read(self, batch: Batch, state: State | None = None) -> Encoded:
        """Return what the encoder makes of texts, having begun with a state (zero if None)."""
        embedded = self._embed(batch)
        encoded: Encoded = (
            self.encoder(embedded, batch.lengths) if state is None else self.encoder(embedded, batch.lengths, state)
        )
        return encoded

    def _embed(self, batch: Batch) -> Tensor:
        return torch.cat([embedding(batch) for embedding in self.embeddings], dim=-1)  # [B, T, E]

    def _in_pieces(self, batch: Batch, state: State | None) -> Pieces | None:
        """Return what the encoder reads piece by piece, of texts longer than its ``chunk_tokens``; else None."""
        if not 0 < getattr(self.encoder, "chunk_tokens", 0) < batch.token_ids.shape[1]:
            return None
        pieces: Pieces = self.encoder.in_pieces(
            lambda rows, positions: self._embed(batch.tokens_at(rows, positions)), batch.lengths, state
        )
        return pieces


class Follower:
    """Calls a model on batches, carrying the state on where a batch follows on from the one before.

    A head whose attribute ``carry_state`` is False reads each window from a zero state, and so does an encoder that
    leaks: what one has read from its end belongs to no place before the next.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._carries = getattr(model.head, "carry_state", None) is not False and not model.leaks
        self._state: State | None = None

    def __call__(self, batch: Batch) -> HeadOutput:
        """Return the model's output; no gradient reaches back to the batch before."""
        if batch.goes_on is None or not self._carries:
            output: HeadOutput = self._model(batch)
            return output
        state = self._state if batch.goes_on else None
        if state is not None:  # some rows may have ended: the last ones
            state = tuple(tensor[: len(batch.lengths)] for tensor in state)
        output, encoded = self._model.go_on(batch, state)
        self._state = None if encoded.state is None else tuple(tensor.detach() for tensor in encoded.state)
        return output


def build_model(recipe: Recipe, vocabulary: Vocabulary, labels: Mapping[str, Any]) -> TextModel:
    """Return the untrained network of a recipe; each part's widths come from the part before it."""
    embeddings = [choice.build(vocabulary=vocabulary) for choice in recipe.embeddings]
    encoder = recipe.encoder.build(input_dim=sum(embedding.output_dim for embedding in embeddings))
    head = recipe.head.build(
        input_dim=encoder.output_dim, labels=labels, vocabulary=vocabulary, embeddings=embeddings
    )
    return TextModel(embeddings, encoder, head, recipe.training.precision, recipe.leaks)


def stored_weights(model: TextModel) -> dict[str, Tensor]:
    """Return the weights by name; one that several modules share (tied) once, by the first of its names."""
    names: dict[int, str] = {}
    weights = model.state_dict(keep_vars=True)
    return {name: weight for name, weight in weights.items() if names.setdefault(id(weight), name) == name}


def load_weights(model: TextModel, weights: Mapping[str, Tensor]) -> None:
    """Take back what ``stored_weights`` of such a model gave.

    Raises:
        RuntimeError: names or shapes differ.
    """
    names = {id(weight): name for name, weight in stored_weights(model).items()}
    shared = {name: names[id(weight)] for name, weight in model.state_dict(keep_vars=True).items()}
    tied = {name: weights[first] for name, first in shared.items() if name != first and first in weights}
    model.load_state_dict({**weights, **tied}, strict=True)
