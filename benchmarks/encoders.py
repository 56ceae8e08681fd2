"""Encoders beside torch's own modules, in real tokens a second: bidirectional, E 100, H 128, batches of 64.

Against torch's module over packed texts, which is exact, too; and against torch's plain module over padded texts,
which is not: its backward direction reads the padding first. Forward alone in inference mode; forward and backward
with gradients for weights and inputs. Encoders with a torch twin get its weights and must give the same states.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pairs import Ratio, compare, rate
from rnntext import registry

TWINS: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
UNFUSED = ("peephole_lstm", "coupled_lstm")
"""Cells that torch has no module for: beside its LSTM without the fused kernel, which cannot run them."""
LENGTHS = ((18, 22), (5, 40))
WAYS = {
    "packed": "rnntext's encoder and torch's module over pack_padded_sequence(enforce_sorted=False) and back by "
    "pad_packed_sequence: the exact way that torch offers.",
    "padded": "rnntext's encoder and torch's module over the padded texts as they are, which lets padding leak into "
    "the backward direction: the fastest way, and a wrong one.",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of what is read."""

    batch: int = 64
    input_dim: int = 100
    hidden_dim: int = 128
    long: int = 400
    """Tokens of each text where min_gru is compared."""


@dataclass(frozen=True)
class Texts:
    """Random embedded texts, and gradients for their states that are zero at padding."""

    embedded: Tensor
    lengths: Tensor
    gradient: Tensor

    @classmethod
    def drawn(cls, shape: Shape, shortest: int, longest: int) -> Texts:
        """Return a batch with lengths drawn evenly from shortest to longest, one of them longest."""
        random = torch.Generator().manual_seed(1)
        lengths = torch.randint(shortest, longest + 1, (shape.batch,), generator=random)
        lengths[0] = longest
        embedded = torch.randn(shape.batch, longest, shape.input_dim, generator=random)
        gradient = torch.randn(shape.batch, longest, 2 * shape.hidden_dim, generator=random)
        real = torch.arange(longest) < lengths[:, None]
        return cls(embedded, lengths, gradient * real[..., None])


Reads = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(module, embedded, lengths) -> states, float [B, T, 2H]."""


def ours(encoder: Any, embedded: Tensor, lengths: Tensor) -> Tensor:
    """Read padded texts by an encoder of rnntext."""
    states: Tensor = encoder(embedded, lengths).states
    return states


def packed(module: nn.Module, embedded: Tensor, lengths: Tensor) -> Tensor:
    """Read packed texts by torch's module."""
    texts = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(module(texts)[0], batch_first=True)[0]


def padded(module: nn.Module, embedded: Tensor, lengths: Tensor) -> Tensor:
    """Read padded texts by torch's module, padding and all."""
    states: Tensor = module(embedded)[0]
    return states


@contextmanager
def unfused() -> Iterator[None]:
    """Keep torch from its fused LSTM."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration")  # said on entry, of another kind of processor
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def speed(
    reads: Reads,
    module: nn.Module,
    texts: Texts,
    backward: bool,
    seconds: float,
    surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> float:
    """Return real tokens a second."""
    embedded = texts.embedded.clone().requires_grad_(backward)

    def once() -> None:
        embedded.grad = None
        module.zero_grad()
        states = reads(module, embedded, texts.lengths)
        if backward:
            states.backward(texts.gradient)

    with surroundings(), nullcontext() if backward else torch.inference_mode():
        return rate(once, int(texts.lengths.sum()), seconds)


def benchmarks(shape: Shape | None = None, pairs: int = 7, seconds: float = 0.1) -> Iterator[Ratio]:
    """Yield a ratio for each cell, range of lengths, pass and rival."""
    shape = shape or Shape()
    there = registry.names("encoders")
    for name, depth in (("lstm", 1), ("gru", 1), ("rnn", 1), ("lstm", 2), *((each, 1) for each in UNFUSED)):
        if name in there:
            yield from _cell(name, depth, shape, pairs, seconds)
        else:
            print(f"encoders: there is no {name} to measure")
    if "min_gru" in there:
        yield _min_gru(shape, pairs, seconds)
    else:
        print("encoders: there is no min_gru to measure")


def _cell(name: str, depth: int, shape: Shape, pairs: int, seconds: float) -> Iterator[Ratio]:
    torch.manual_seed(1)
    encoder, module, surroundings = build(name, shape, depth), twin(name, shape, depth), nullcontext
    rival = type(module).__name__
    if name in TWINS:
        encoder.load_torch(module)
    else:
        surroundings, rival = unfused, "unfused LSTM"
    for shortest, longest in LENGTHS:
        texts = Texts.drawn(shape, shortest, longest)
        if name in TWINS:
            check(encoder, module, texts)
        for backward in (False, True):
            for way, reads in (("packed", packed), ("padded", padded)):
                layers, passes = (
                    f" {depth} layers," if depth > 1 else "",
                    "forward + backward" if backward else "forward",
                )
                yield compare(
                    f"{name},{layers} {shortest} to {longest} tokens, {passes}, against {way} {rival}",
                    ("rnntext", partial(speed, ours, encoder, texts, backward, seconds)),
                    (f"{way} {rival}", partial(speed, reads, module, texts, backward, seconds, surroundings)),
                    "tokens/s",
                    pairs,
                    compares=WAYS[way],
                )


def _min_gru(shape: Shape, pairs: int, seconds: float) -> Ratio:
    torch.manual_seed(1)
    encoder, module, texts = build("min_gru", shape), twin("lstm", shape), Texts.drawn(shape, shape.long, shape.long)
    return compare(
        f"min_gru, {shape.long} tokens, forward + backward, against fused LSTM",
        ("rnntext", partial(speed, ours, encoder, texts, True, seconds)),
        ("fused LSTM", partial(speed, padded, module, texts, True, seconds)),
        "tokens/s",
        pairs,
        compares="rnntext's min_gru and torch.nn.LSTM with its fused kernel, all texts of one length, none padded.",
    )


def build(name: str, shape: Shape, depth: int = 1) -> Any:
    """Return an encoder of rnntext."""
    encoder = registry.get("encoders", name)
    return encoder(input_dim=shape.input_dim, hidden_dim=shape.hidden_dim, num_layers=depth, bidirectional=True)


def twin(name: str, shape: Shape, depth: int = 1) -> nn.RNNBase:
    """Return torch's module for an encoder; its LSTM for one that it lacks."""
    module: Any = TWINS.get(name, nn.LSTM)
    made: nn.RNNBase = module(shape.input_dim, shape.hidden_dim, depth, batch_first=True, bidirectional=True)
    return made


def check(encoder: Any, module: nn.Module, texts: Texts) -> None:
    """Refuse to compare what does not give the same states.

    Raises:
        AssertionError: they differ.
    """
    with torch.inference_mode():
        states = ours(encoder, texts.embedded, texts.lengths), packed(module, texts.embedded, texts.lengths)
    torch.testing.assert_close(*states, rtol=0, atol=1e-5)
