"""The options that all recurrent encoders share, each declared once: its range, its meaning, and its misuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field

from rnntext.contracts import Reads

HiddenDim = Annotated[int, Field(ge=1, description="width H of the state in each direction.")]
NumLayers = Annotated[int, Field(ge=1, description="layers on top of each other.")]
Bidirectional = Annotated[bool, Field(description="also read each text from its end; the output is twice as wide.")]
Interleaved = Annotated[
    bool, Field(description="each layer reads both directions of the one below; false keeps them apart to the top.")
]
Dropout = Annotated[
    float, Field(ge=0, lt=1, description="share dropped from what one layer hands to the next, in training.")
]
VariationalDropout = Annotated[
    float,
    Field(
        ge=0, lt=1, description="share dropped from what every layer reads, the same numbers at each token of a text."
    ),
]
WeightDrop = Annotated[
    float, Field(ge=0, lt=1, description="share of the hidden-to-hidden weights dropped in training, by batch.")
]
Zoneout = Annotated[
    float,
    Field(ge=0, lt=1, description="chance that a number of the state stays as it was; step by step, so much slower."),
]
LayerNorm = Annotated[bool, Field(description="normalise what one layer hands to the next.")]
Residual = Annotated[bool, Field(description="add to each layer's states, from the second on, the layer below's.")]
Orthogonal = Annotated[bool, Field(description="start the hidden-to-hidden weights as rotations, gate by gate.")]
ForgetBias = Annotated[
    float | None,
    Field(
        description="bias at which the forget gate starts; above 0 it starts open and remembers; random unless set."
    ),
]
Shortcut = Annotated[
    bool, Field(description="hand each token's own vector on beside its state; the output is wider by E.")
]
ChunkTokens = Annotated[
    int,
    Field(
        ge=0,
        description="read a longer text in pieces of so many tokens, in flat memory at prediction; "
        "in training gradients end at their borders; 0 reads every text whole.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What a stack of layers does with its cells; the meaning of each is above."""

    num_layers: int = 1
    bidirectional: bool = True
    interleaved: bool = True
    dropout: float = 0.0
    variational_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: float = 0.0
    layer_norm: bool = False
    residual: bool = False
    orthogonal: bool = False
    forget_bias: float | None = None
    shortcut: bool = False
    chunk_tokens: int = 0

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> StackOptions:
        """Return the options that stand among a constructor's arguments; an encoder without one keeps its default."""
        return cls(**{each.name: arguments[each.name] for each in fields(cls) if each.name in arguments})


def stack_reads(options: Mapping[str, Any]) -> frozenset[Reads]:
    """Return what may reach a state of a stack with these options; see ``contracts.Encoder.reads``."""
    if not options["bidirectional"]:
        return frozenset()
    if options["interleaved"] and options["num_layers"] > 1:
        return frozenset({"future", "own_token"})
    return frozenset({"future"})


def stack_problems(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) for what no stack can do with these options."""
    if options["num_layers"] == 1:
        if options["dropout"]:
            yield (
                "dropout",
                (
                    "drops between layers, and there is one layer, so it would do nothing; set num_layers to 2 or "
                    "more, or use variational_dropout, or the dropout of [embedding] or [head]"
                ),
            )
        for key in ("layer_norm", "residual"):
            if options[key]:
                yield key, "acts between layers, and there is one layer; set num_layers to 2 or more, or leave it out"
    elif options["chunk_tokens"] and options["bidirectional"] and options["interleaved"]:
        yield (
            "chunk_tokens",
            (
                "the second layer reads both directions of the first, and the backward one begins at a text's end, "
                "so no piece is done before all are; set num_layers = 1, bidirectional = false or interleaved = false"
            ),
        )
