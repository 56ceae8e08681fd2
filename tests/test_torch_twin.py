"""Weights taken over from torch's own modules: all of them, or none with the reason."""

from __future__ import annotations

import copy

import pytest
import torch
from test_encoders import LENGTHS, E, H, build, every_twin, texts, torch_twin
from torch import nn

from rnntext.errors import ShapeError


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_load_torch_refuses_other_kinds_of_module(cell: str) -> None:
    encoder = build(cell, num_layers=1, bidirectional=False)
    others = [torch_twin(other, 1, False) for other in ("lstm", "gru", "rnn_tanh") if other != cell]
    for module in [*others, nn.Linear(E, H)]:
        with pytest.raises(ShapeError, match=rf"expected a torch\.nn\.\w+, got {type(module).__name__}"):
            encoder.load_torch(module)


@every_twin
def test_load_torch_refuses_other_shapes_and_then_copies_nothing(cell: str) -> None:
    encoder = build(cell, num_layers=2, bidirectional=True)
    before = copy.deepcopy(encoder.state_dict())
    twins = [
        torch_twin(cell, 1, True),
        torch_twin(cell, 2, False),
        torch_twin(cell, 2, True, bias=False),
        build(cell, hidden_dim=H + 1, num_layers=1, bidirectional=False).layers[0].cell,
        build(cell, input_dim=E + 1, num_layers=1, bidirectional=False).layers[0].cell,
    ]
    late = torch_twin(cell, 2, True)
    del late.bias_hh_l1_reverse  # found only after every other tensor has fitted
    for module in [*twins, late]:
        with pytest.raises(ShapeError):
            encoder.load_torch(module)
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_load_torch_refuses_another_hidden_width_at_the_same_depth(cell: str) -> None:
    narrow = build(cell, hidden_dim=H - 1, num_layers=1, bidirectional=False)
    with pytest.raises(ShapeError, match=r"weight_ih_l0 of the torch module"):
        narrow.load_torch(torch_twin(cell, 1, False))


def test_load_torch_refuses_another_projection() -> None:
    shape = {"num_layers": 1, "bidirectional": False}
    with pytest.raises(ShapeError):
        build("lstm", **shape).load_torch(torch_twin("lstm_proj", 1, False))
    with pytest.raises(ShapeError):
        build("lstm_proj", **shape).load_torch(torch_twin("lstm", 1, False))


def test_load_torch_refuses_another_nonlinearity() -> None:
    with pytest.raises(ShapeError, match=r"nonlinearity is relu, the torch module's tanh"):
        build("rnn_relu", num_layers=1, bidirectional=True).load_torch(torch_twin("rnn_tanh", 1, True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_load_torch_refuses_a_stack_kept_apart_unless_one_layer_deep(cell: str) -> None:
    shape = {"bidirectional": True, "interleaved": False}
    with pytest.raises(ShapeError, match="interleaved=True"):
        build(cell, num_layers=2, **shape).load_torch(torch_twin(cell, 2, True))
    build(cell, num_layers=1, **shape).load_torch(torch_twin(cell, 1, True))


def test_load_torch_takes_a_module_that_is_not_batch_first() -> None:
    twin = torch_twin("gru", 1, False)
    time_first = nn.GRU(E, H).double()
    time_first.load_state_dict(twin.state_dict())
    one, other = (build("gru", num_layers=1, bidirectional=False, seed=seed) for seed in (1, 2))
    one.load_torch(twin)
    other.load_torch(time_first)
    assert torch.equal(one(texts(), LENGTHS).states, other(texts(), LENGTHS).states)
