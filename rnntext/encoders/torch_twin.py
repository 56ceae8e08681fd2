"""torch's own recurrent modules: their kernels, and their weights taken over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.contracts import State
from rnntext.encoders.reading import Reading
from rnntext.encoders.stack import RecurrentStack
from rnntext.errors import ShapeError

TEXTS_THAT_TORCH_READS = 32
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
    if inputs.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _has_bfloat16():
        # oneDNN refuses what this processor cannot do; the recurrence is then computed in float32.
        with torch.autocast("cpu", enabled=False):
            begun = None if state is None else tuple(tensor.float() for tensor in state)
            return run_torch(cell, inputs.float(), begun, replaced)
    if state is None:
        widths = (cell.proj_size or cell.hidden_size, cell.hidden_size)[: 2 if cell.mode == "LSTM" else 1]
        starts = [inputs.new_zeros(1, len(inputs), width) for width in widths]
    else:
        starts = [tensor[None].contiguous() for tensor in state]
    # What the module's own forward calls, without its checks: they would take half the time of one short text.
    weights = [replaced.get(name, parameter) for name, parameter in cell.named_parameters(recurse=False)]
    given = starts if cell.mode == "LSTM" else starts[0]
    with _without_projection_warning() if cell.proj_size else nullcontext():
        states, *ends = _KERNELS[cell.mode](inputs, given, weights, True, 1, 0.0, cell.training, False, True)
    return states, tuple(end[0] for end in ends)


def prefers_torch(inputs: Tensor, reading: Reading) -> bool:
    """Return whether torch's GRU and RNN kernels are the better choice for [B, T, E]: by measurement.

    An accelerator has its own. On a CPU they are loops with an autograd node an operation, and padding costs; they
    win where there is neither gradient nor padding and few texts: by 0 to 30% up to 32 texts (torch 2.13, AVX2).
    """
    if inputs.device.type != "cpu":
        return True
    return not torch.is_grad_enabled() and not reading.is_ragged and len(inputs) <= TEXTS_THAT_TORCH_READS


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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
