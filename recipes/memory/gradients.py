"""How far a gradient reaches back through an encoder, and what happens where it grows instead of fading."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from recall import NOISE, SYMBOLS, draw
from torch import Tensor, nn

from rnntext import registry

DISTANCES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 140, 200)

Score = Callable[[Tensor], Tensor]


def state_gradients(encoder: nn.Module, embedded: Tensor) -> Tensor:
    """Return float [B, T]: the norm of the derivative of each text's final state by each of its embedded tokens.

    The derivative is a matrix, D numbers of the state by E of the token; its norm is the root of the sum of squares.

    Args:
        encoder: any encoder of rnntext that reads one way.
        embedded: float [B, T, E], without padding.
    """
    texts, steps, _ = embedded.shape
    width: Any = encoder.output_dim
    # Each text stands D times in the batch and its d-th copy answers for the d-th number of the state: texts never
    # mix, so that one backward pass gives every row of every matrix.
    copies = embedded.detach().repeat_interleave(width, dim=0).requires_grad_()
    final = encoder(copies, torch.full((texts * width,), steps)).final  # [B * D, D]
    own = final.reshape(texts, width, width).diagonal(dim1=1, dim2=2)
    (rows,) = torch.autograd.grad(own.sum(), copies)
    return rows.reshape(texts, width, steps, -1).square().sum(dim=(1, 3)).sqrt()


def reach(
    encoder: nn.Module, embedding: nn.Module, distances: Iterable[int] = DISTANCES, texts: int = 8
) -> list[tuple[int, float]]:
    """Return (k, norm): how strongly the final state hangs on a first token that is k noise tokens away.

    In double precision: the smallest of these norms are below what single precision can hold.
    """
    encoder, embedding = copy.deepcopy(encoder).double().eval(), copy.deepcopy(embedding).double()
    generator = torch.Generator().manual_seed(0)
    norms = []
    for distance in distances:
        token_ids, _ = draw(distance, texts, generator)
        norms.append((distance, float(state_gradients(encoder, embedding(token_ids))[:, 0].mean())))
    return norms


def explode(
    clip: float | None, *, scale: float, gap: int = 20, steps: int = 300, learning_rate: float = 0.2, seed: int = 1
) -> dict[str, list[float]]:
    """Train a plain recurrent network of too large weights; return its loss and gradient norm at each step.

    Args:
        clip: largest norm that a step may use, as in ``training.gradient_clip``; None uses whatever comes.
        scale: its recurrent weights start so many times as large as usual.
        gap: noise tokens between the symbol and the answer.
        steps: training steps, by plain gradient descent, which hides nothing.
        learning_rate: of that.
        seed: of weights and texts.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    embedding = nn.Embedding(len(SYMBOLS) + len(NOISE), 16)
    encoder: Any = registry.get("encoders", "rnn")(input_dim=16, hidden_dim=32, bidirectional=False)
    head = nn.Linear(32, len(SYMBOLS))
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "weight_hh" in name:
                weight *= scale
    parameters = [*embedding.parameters(), *encoder.parameters(), *head.parameters()]
    losses, norms = [], []
    for _ in range(steps):
        token_ids, first = draw(gap, 32, generator)
        final = encoder(embedding(token_ids), torch.full((len(first),), gap + 1)).final
        loss = nn.functional.cross_entropy(head(final), first)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]))
        factor = 1.0 if clip is None else min(1.0, clip / float(norm))
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter -= learning_rate * factor * parameter.grad
        losses.append(float(loss.detach()))
        norms.append(float(norm))
    return {"loss": losses, "norm": norms}
