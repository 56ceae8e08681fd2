"""torch's own recurrent modules: their kernels, and their weights taken over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack
from rnntext.errors import ShapeError

TEXTS_THAT_TORCH_READS = 32
_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0")  # in the kernels' order
_KERNELS: Mapping[str, Any] = {
    "LSTM": torch._VF.lstm,
    "GRU": torch._VF.gru,
    "RNN_TANH": torch._VF.rnn_tanh,
    "RNN_RELU": torch._VF.rnn_relu,
}


def run_torch(
    cell: nn.RNNBase, inputs: Tensor, state: State | None, replaced: Mapping[str, Tensor]
) -> tuple[Tensor, State]:
    """Read [B, T, E] by the kernel of a torch module of one layer in one direction.

    Args:
        cell: the module, ``batch_first``.
        inputs: float [B, T, E], padding included.
        state: [B, H] tensors to begin from; zero if None.
        replaced: parameters by name, in the place of the module's own.

    Returns:
        float [B, T, H], and the state after step T, [B, H] tensors.
    """
    states, (end,) = _run([cell], inputs, [state], [replaced])
    return states, end


def run_torch_both_ways(
    cells: Sequence[nn.RNNBase],
    inputs: Tensor,
    states: Sequence[State | None],
    replaced: Sequence[Mapping[str, Tensor]],
) -> tuple[Tensor, list[State]]:
    """Read [B, T, E] without padding by one call of the kernel for both directions; forwards first.

    Args:
        cells: the two modules, of one shape.
        inputs: float [B, T, E].
        states: [B, H] tensors to begin from, for each; zero if both are None.
        replaced: parameters by name for each, in the place of its own.

    Returns:
        float [B, T, 2H], and the two states after all tokens.
    """
    return _run(cells, inputs, states, replaced)


def _run(
    cells: Sequence[nn.RNNBase],
    inputs: Tensor,
    states: Sequence[State | None],
    replaced: Sequence[Mapping[str, Tensor]],
) -> tuple[Tensor, list[State]]:
    if inputs.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _has_bfloat16():
        # oneDNN refuses what this processor cannot do; the recurrence is then computed in float32.
        with torch.autocast("cpu", enabled=False):
            begun = [state and tuple(tensor.float() for tensor in state) for state in states]
            return _run(cells, inputs.float(), begun, replaced)
    cell = cells[0]
    widths = (cell.proj_size or cell.hidden_size, cell.hidden_size)[: 2 if cell.mode == "LSTM" else 1]
    if states[0] is None:
        starts = [inputs.new_zeros(len(cells), len(inputs), width) for width in widths]
    else:
        starts = [torch.stack(tensors) for tensors in zip(*(state or () for state in states), strict=True)]
    # What the module's own forward calls, without its checks: they show in the time of one short text.
    names = _WEIGHTS if cell.proj_size else _WEIGHTS[:-1]
    weights = [
        stand_in[name] if name in stand_in else getattr(each, name)
        for each, stand_in in zip(cells, replaced, strict=True)
        for name in names
    ]
    given = starts if cell.mode == "LSTM" else starts[0]
    with _without_projection_warning() if cell.proj_size else nullcontext():
        output, *ends = _KERNELS[cell.mode](
            inputs, given, weights, True, 1, 0.0, cell.training, len(cells) == 2, True
        )
    return output, [tuple(end[number] for end in ends) for number in range(len(cells))]


def prefers_torch(inputs: Tensor, reading: Reading) -> bool:
    """Return whether torch's GRU and RNN kernels are the better choice for [B, T, E]: by measurement.

    An accelerator has its own. On a CPU they are loops with an autograd node an operation, and padding costs; they
    win where there is neither gradient nor padding and few texts: by 0 to 30% up to 32 texts (torch 2.13, AVX2).
    """
    if inputs.device.type != "cpu":
        return True
    return not torch.is_grad_enabled() and not reading.is_ragged and len(inputs) <= TEXTS_THAT_TORCH_READS


def _has_bfloat16() -> bool:
    # torch gives this function no types.
    is_there: bool = torch.backends.mkldnn.is_available()
    return is_there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def _without_projection_warning() -> Iterator[None]:
    """Silence torch: that a projection leaves the fused kernel, the help of ``proj_dim`` says in plainer words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        yield


def torch_weights(stack: RecurrentStack, module: nn.RNNBase) -> Iterator[tuple[nn.RNNBase, dict[str, Tensor]]]:
    """Yield each layer's torch module of one direction with the weights of its twin in a whole torch module.

    Raises:
        ShapeError: depth, directions or widths differ, or the stack keeps its directions apart (torch has no twin).
    """
    if stack.directions == 2 and stack.options.num_layers > 1 and not stack.interleaved:
        raise ShapeError("torch has no stack whose directions stay apart; build the encoder with interleaved=True")
    theirs = (module.input_size, module.num_layers, module.bidirectional)
    ours = (stack.input_dim, stack.options.num_layers, stack.directions == 2)
    if theirs != ours:
        names = "(input_dim, num_layers, bidirectional)"
        raise ShapeError(f"{names} of the encoder are {ours}, of the torch module {theirs}; they must be equal")
    for index, layer in enumerate(stack.layers):
        depth, direction = divmod(index, stack.directions)
        inner: Any = layer
        suffix = f"_l{depth}" + ("_reverse" if direction else "")
        weights = {}
        for name, ours_tensor in inner.cell.named_parameters():
            twin = name.removesuffix("_l0") + suffix
            if not hasattr(module, twin) or getattr(module, twin).shape != ours_tensor.shape:
                shape = list(getattr(module, twin).shape) if hasattr(module, twin) else "missing"
                raise ShapeError(f"{twin} of the torch module is {shape}; the encoder's is {list(ours_tensor.shape)}")
            weights[name] = getattr(module, twin).detach()
        yield inner.cell, weights


def copy_from_torch(stack: RecurrentStack, module: nn.RNNBase) -> None:
    """Copy all weights of a torch module; nothing is copied unless everything fits."""
    pairs = list(torch_weights(stack, module))
    with torch.no_grad():
        for cell, weights in pairs:
            for name, tensor in weights.items():
                cell.get_parameter(name).copy_(tensor)
