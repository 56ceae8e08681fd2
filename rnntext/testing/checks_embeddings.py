"""What is asked of embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnntext.contracts import Batch
from rnntext.testing.material import batch_of, tiny_embedding, tiny_vocabulary, widened
from rnntext.testing.subject import Checks, DoesNotApplyError, Subject, difference, require, require_gradients
from rnntext.testing.tiny import ODD_TEXTS, TEXTS

of_embeddings = Checks()
TOLERANCE = 1e-5


def _texts() -> list[str]:
    return [*TEXTS, *(text for what, text in ODD_TEXTS.items() if what != "a lone surrogate")]


def _batch(texts: list[str] | None = None, extra: int = 0) -> Batch:
    return batch_of(_texts() if texts is None else texts, tiny_vocabulary(), extra)


def _embed(embedding: Any, batch: Batch) -> Tensor:
    vectors: Tensor = embedding(batch)
    return vectors


@of_embeddings
def shapes(subject: Subject) -> None:
    """It gives float32 [B, T, output_dim], all of it finite at real tokens."""
    embedding, batch = tiny_embedding(subject), _batch()
    found = _embed(embedding, batch)
    wanted = (*batch.token_ids.shape, embedding.output_dim)
    require(
        tuple(found.shape) == wanted,
        f"of int64 {list(batch.token_ids.shape)}, it gives {list(found.shape)}; with output_dim = "
        f"{embedding.output_dim} it must be {list(wanted)}",
    )
    require(found.dtype == torch.float32, f"it gives {found.dtype}, not float32")
    require(bool(found[batch.mask].isfinite().all()), "a real token has a vector that is not finite")


@of_embeddings
def odd_tokens(subject: Subject) -> None:
    """Unknown, odd and empty tokens, and a text without tokens, have vectors."""
    embedding = tiny_embedding(subject)
    for what, text in {**ODD_TEXTS, "an unknown word": "qzxjkvw", "<unk> itself": "<unk>"}.items():
        batch = _batch([text])
        found = _embed(embedding, batch)
        require(
            tuple(found.shape) == (*batch.token_ids.shape, embedding.output_dim) and bool(found.isfinite().all()),
            f"of {what}, vectors are {list(found.shape)} or not finite",
        )


@of_embeddings
def padding_is_ignored(subject: Subject) -> None:
    """More columns of padding change no vector of a real token."""
    embedding, batch = tiny_embedding(subject), _batch()
    found = _embed(embedding, batch)
    wide = _embed(embedding, widened(batch, 3))[:, : found.shape[1]]
    away = difference(wide[batch.mask], found[batch.mask], TOLERANCE, "the vectors of real tokens ")
    require(not away, f"with three columns of padding more, {away.replace('tokens differs', 'tokens differ')}")


@of_embeddings
def alone_as_among_others(subject: Subject) -> None:
    """A text's vectors are the same alone, in any batch and in any order."""
    embedding, texts = tiny_embedding(subject), _texts()
    batch = _batch()
    together = _embed(embedding, batch)
    for row, text in enumerate(texts):
        length = int(batch.lengths[row])
        away = difference(_embed(embedding, _batch([text]))[0, :length], together[row, :length], TOLERANCE)
        require(not away, f"of the text {text[:60]!a}, alone and among {len(texts)} others, its vectors differ")
    turned = _embed(embedding, _batch(texts[::-1])).flip(0)
    away = difference(turned[batch.mask], together[batch.mask], TOLERANCE)
    require(not away, "of the same texts in another order, vectors differ")


@of_embeddings
def repeatable(subject: Subject) -> None:
    """In evaluation, the same texts give the same vectors: nothing is drawn, nothing kept between calls."""
    embedding, batch = tiny_embedding(subject), _batch()
    first = _embed(embedding, batch).detach().clone()
    _embed(embedding, _batch(["other words", "lamp"]))
    away = difference(_embed(embedding, batch), first, 0.0, "it ")
    require(not away, f"of the same texts read twice, with others between, {away}")


@of_embeddings
def batch_untouched(subject: Subject) -> None:
    """The batch that it reads is not changed in place, in training neither."""
    embedding = tiny_embedding(subject)
    for training in (False, True):
        embedding.train(training)
        batch, same = _batch(), _batch()
        _embed(embedding, batch)
        for name in ("token_ids", "lengths", "type_ids"):
            require(
                torch.equal(getattr(batch, name), getattr(same, name)), f"batch.{name} is changed; work on a copy"
            )


@of_embeddings
def everything_learns(subject: Subject) -> None:
    """Every trainable parameter gets a finite gradient."""
    embedding, batch = tiny_embedding(subject), _batch()
    if not any(each.requires_grad for each in embedding.parameters()):
        raise DoesNotApplyError("it has no trainable parameters with these options")
    found = _embed(embedding, batch)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    torch.autograd.backward((found * weights)[batch.mask].sum())
    require_gradients(embedding)


@of_embeddings
def in_part_as_whole(subject: Subject) -> None:
    """Some tokens of a text, as texts read in pieces are embedded, have the vectors that they have in the whole."""
    embedding, batch = tiny_embedding(subject), _batch()
    rows = (batch.lengths >= 3).nonzero()[:, 0]
    positions = torch.arange(1, 3).expand(len(rows), 2)
    whole = _embed(embedding, batch)[rows[:, None], positions]
    away = difference(_embed(embedding, batch.tokens_at(rows, positions)), whole, TOLERANCE)
    require(not away, "tokens read on their own (Batch.tokens_at) have other vectors than in their texts")
