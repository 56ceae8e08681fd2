"""A cell of one's own: write what one step does, and the stack does all else.

For packages: ``CellLayer`` and ``CellEncoder`` stay as they are described here, and so do ``stack.RecurrentStack``,
``stack_options``, and ``layer.Layer`` with ``reading.Reading`` for cells that bring a faster way than step by step.
All other modules of this folder may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders import stack_options as shared
from rnntext.encoders.layer import step_by_step
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack


class CellLayer(nn.Module):
    """One layer in one direction, of a cell that is written as one step. Derive from it, and define ``step``.

    It is read one token at a time, and every option of the stack works: directions, depth, dropouts, zoneout, texts
    in pieces, a state to begin from. ``forward`` may be replaced by a faster way to the same states: ``layer.Layer``.

    Args:
        input_dim: width of what a step reads.
        hidden_dim: width H of the state that it hands on.
    """

    num_gates: int = 1
    """Blocks of H rows in ``recurrent_weight``."""
    skips_padding: bool = False
    kernel: str = "the cell itself, step by step"

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.state_dims: tuple[int, ...] = (hidden_dim,)
        """Set it to more widths if the state has more tensors; the first is the one handed on."""

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        """Return the state after one token; to be defined.

        Args:
            inputs: float [B, width], what ``project`` made of one token of each text.
            state: float [B, H] each, as many as ``state_dims`` has.
            weight: None, or what to use in the place of ``recurrent_weight()``.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no step(inputs, state, weight)")

    def project(self, inputs: Tensor) -> Tensor:
        """Return float [B, T, width]: what no state plays a part in, done for all tokens [B, T, E] at once."""
        return inputs

    def recurrent_weight(self) -> Tensor | None:
        """Return the weight float [gates x H, H] that acts on the state; None if there is no such matrix.

        A cell that returns one, and uses ``weight`` in its place where that is given, has weight_drop and orthogonal.
        """
        return None

    def start_forget_gate(self, bias: float) -> None:
        """Start the bias of the gate that keeps the state; a cell that defines this has forget_bias."""
        raise AttributeError(f"{type(self).__name__} has no gate that forgets")

    def forward(
        self, inputs: Tensor, reading: Reading, state: State | None, weight: Tensor | None
    ) -> tuple[Tensor, Callable[[], State]]:
        """Return float [B, T, H], the state after each token, and the state at each text's end."""
        return step_by_step(self, inputs, reading, state, weight)


class CellEncoder(RecurrentStack):
    """A stack of one's own cells, with all options of a stack. Derive from it, and name the ``layer``.

    Args:
        input_dim: width E of the embedded tokens.
    """

    layer: ClassVar[type[CellLayer]]

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for what no stack can do, and for options that the cell has no part for."""
        yield from super().check_options(options)
        cell = cls.layer
        if cell.recurrent_weight is CellLayer.recurrent_weight:
            for key in ("weight_drop", "orthogonal"):
                if options[key]:
                    yield key, "no matrix of this cell acts on the state; leave it out"
        if options["forget_bias"] is not None and cell.start_forget_gate is CellLayer.start_forget_gate:
            yield "forget_bias", "this cell has no gate that forgets; leave it out"

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: shared.HiddenDim = 128,
        num_layers: shared.NumLayers = 1,
        bidirectional: shared.Bidirectional = True,
        interleaved: shared.Interleaved = True,
        dropout: shared.Dropout = 0.0,
        variational_dropout: shared.VariationalDropout = 0.0,
        weight_drop: shared.WeightDrop = 0.0,
        zoneout: shared.Zoneout = 0.0,
        layer_norm: shared.LayerNorm = False,
        residual: shared.Residual = False,
        orthogonal: shared.Orthogonal = False,
        forget_bias: shared.ForgetBias = None,
        shortcut: shared.Shortcut = False,
        chunk_tokens: shared.ChunkTokens = 0,
    ) -> None:
        super().__init__(
            lambda width: self.layer(width, hidden_dim),
            input_dim=input_dim,
            options=shared.StackOptions.among(locals()),
        )
