"""Cells of one's own on the stack: one step written out gives what a built-in cell with a kernel gives."""

from typing import Any

import pytest
import torch
from test_encoders import LENGTHS, E, H, close, fixed_loss, texts
from torch import Tensor, nn

from rnntext import options, registry
from rnntext.contracts import State
from rnntext.encoders.cell import CellEncoder, CellLayer


class MinGruCell(CellLayer):
    """Nothing but a step."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        self.weight_x = nn.Parameter(torch.empty(2 * hidden_dim, input_dim))
        self.bias = nn.Parameter(torch.empty(2 * hidden_dim))

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        gate, candidate = (inputs @ self.weight_x.T + self.bias).chunk(2, dim=-1)
        return (torch.lerp(state[0], candidate, torch.sigmoid(gate)),)


class PeepholeCell(CellLayer):
    """A state of two tensors, a recurrent weight, a gate that forgets, and inputs projected beforehand."""

    num_gates = 4

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        self.state_dims = (hidden_dim, hidden_dim)
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_dim, input_dim))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.empty(4 * hidden_dim))
        self.peepholes = nn.Parameter(torch.empty(3, hidden_dim))

    def recurrent_weight(self) -> Tensor:
        return self.weight_h

    def start_forget_gate(self, bias: float) -> None:
        with torch.no_grad():
            self.bias.chunk(4)[1].fill_(bias)

    def project(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight_x, self.bias)

    def step(self, inputs: Tensor, state: State, weight: Tensor | None) -> State:
        hidden, cell = state
        recurrent = self.weight_h if weight is None else weight
        enter, keep, new, leave = (inputs + hidden @ recurrent.T).chunk(4, dim=-1)
        of_enter, of_keep, of_leave = self.peepholes
        cell = torch.sigmoid(keep + of_keep * cell) * cell + torch.sigmoid(enter + of_enter * cell) * new.tanh()
        return (torch.sigmoid(leave + of_leave * cell) * cell.tanh(), cell)


class OwnMinGru(CellEncoder):
    """Its cell as one step."""

    contract = 1
    layer = MinGruCell


class OwnPeephole(CellEncoder):
    """Likewise."""

    contract = 1
    layer = PeepholeCell


PAIRS = {"min_gru": OwnMinGru, "peephole_lstm": OwnPeephole}

STACKS: dict[str, dict[str, Any]] = {
    "one_way": {"bidirectional": False},
    "both_ways": {},
    "deep": {"num_layers": 3},
    "apart": {"num_layers": 2, "interleaved": False},
    "residual": {"num_layers": 2, "residual": True, "layer_norm": True},
    "shortcut": {"shortcut": True},
    "in_pieces": {"chunk_tokens": 2},
    "zoneout": {"zoneout": 0.3},
}


def pair(name: str, **given: Any) -> tuple[Any, Any]:
    """Return a built-in encoder and the same of a cell of one's own, with the same weights."""
    torch.manual_seed(0)
    shape = {"input_dim": E, "hidden_dim": H, **given}
    built_in = registry.get("encoders", name)(**shape).double()
    own = PAIRS[name](**shape).double()
    own.load_state_dict(built_in.state_dict())
    return built_in, own


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("given", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
def test_a_step_gives_what_the_kernel_gives_under_every_option(
    name: str, given: dict[str, Any], carried: bool
) -> None:
    built_in, own = pair(name, **given)
    built_in.eval(), own.eval()
    start = None
    if carried:
        start = tuple(
            torch.rand(len(LENGTHS), len(own.layers), width, dtype=torch.float64) for width in own.state_dims
        )
    inputs = texts(extra_steps=2)
    inputs[0, 3:] = torch.nan  # padding
    outcomes = []
    for encoder in (built_in, own):
        given_inputs = inputs.clone().requires_grad_()
        encoded = encoder(given_inputs, LENGTHS, start)
        loss = fixed_loss(encoded.states, encoded.final, *encoded.state)
        gradients = torch.autograd.grad(loss, [given_inputs, *encoder.parameters()])
        outcomes.append([encoded.states, encoded.final, *encoded.state, *gradients])
    for ours, theirs in zip(*outcomes, strict=True):
        close(ours, theirs, 1e-10)


@pytest.mark.parametrize("given", [{"weight_drop": 0.5}, {"variational_dropout": 0.5}, {"zoneout": 0.5}], ids=str)
def test_what_is_drawn_in_training_is_drawn_alike(given: dict[str, Any]) -> None:
    outcomes = []
    for encoder in pair("peephole_lstm", **given):
        torch.manual_seed(1)
        outcomes.append(encoder(texts(), LENGTHS).states)
    close(*outcomes, 1e-10)


def test_first_weights_follow_the_options() -> None:
    own = OwnPeephole(input_dim=E, hidden_dim=H, forget_bias=2.5, orthogonal=True)
    for layer in own.layers:
        assert layer.bias.chunk(4)[1].tolist() == [2.5] * H
        for gate in layer.weight_h.chunk(4):
            close(gate @ gate.T, torch.eye(H), 1e-5)


def test_options_that_the_cell_has_no_part_for_are_refused() -> None:
    chosen = {name: option.default for name, option in options.options_of(OwnMinGru, "encoders").items()}
    assert dict(OwnMinGru.check_options(chosen)) == {}
    chosen |= {"weight_drop": 0.1, "orthogonal": True, "forget_bias": 1.0, "residual": True}
    assert set(dict(OwnMinGru.check_options(chosen))) == {"weight_drop", "orthogonal", "forget_bias", "residual"}
    assert set(dict(OwnPeephole.check_options(chosen))) == {"residual"}


def test_it_has_the_options_and_the_schema_of_a_built_in() -> None:
    own, built_in = (
        options.options_of(part, "encoders") for part in (OwnPeephole, registry.get("encoders", "peephole_lstm"))
    )
    assert {name: (option.annotation, option.default, option.help) for name, option in own.items()} == {
        name: (option.annotation, option.default, option.help) for name, option in built_in.items()
    }
    with registry.registrations_undone():
        registry.register("encoders", "own_peephole")(OwnPeephole)  # verifies it


def test_a_cell_without_a_step_says_so() -> None:
    class Nothing(CellEncoder):
        contract = 1
        layer = CellLayer

    with pytest.raises(NotImplementedError, match="CellLayer defines no step"):
        Nothing(input_dim=E)(texts().float(), LENGTHS)


def test_the_kernel_is_named() -> None:
    assert OwnMinGru(input_dim=E).kernel == "the cell itself, step by step"
