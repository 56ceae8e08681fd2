"""The encoders: torch's own numbers without packing, and no result that padding or a neighbour could change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rnntext import options, registry
from rnntext.contracts import Encoded, Encoder
from rnntext.encoders import reading as encoders_reading
from rnntext.encoders.layer import step_by_step
from rnntext.encoders.lstm import LstmLayer
from rnntext.encoders.reading import Reading
from rnntext.errors import ShapeError

E, H = 5, 6
LENGTHS = torch.tensor([3, 7, 1, 5])
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("lstm", {}),
    "lstm_proj": ("lstm", {"proj_dim": 4}),
    "gru": ("gru", {}),
    "rnn_tanh": ("rnn", {"nonlinearity": "tanh"}),
    "rnn_relu": ("rnn", {"nonlinearity": "relu"}),
    "peephole_lstm": ("peephole_lstm", {}),
    "coupled_lstm": ("coupled_lstm", {}),
    "min_gru": ("min_gru", {}),
}
WITH_TWIN = ("lstm", "lstm_proj", "gru", "rnn_tanh", "rnn_relu")  # torch has the same cell
DEFAULT_STATES = {cell: 2 if "lstm" in cell else 1 for cell in CELLS}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

every_cell = pytest.mark.parametrize("cell", CELLS)
every_twin = pytest.mark.parametrize("cell", WITH_TWIN)
every_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["one_way", "both_ways"])
depths = pytest.mark.parametrize("num_layers", [1, 2, 3])


def build(cell: str, dtype: torch.dtype = torch.float64, seed: int = 0, **given_options: Any) -> Any:
    """Return an encoder with weights far enough from zero that a mistake shows."""
    name, extra = CELLS[cell]
    torch.manual_seed(seed)
    chosen = {"input_dim": E, "hidden_dim": H, **extra, **given_options}
    return registry.get("encoders", name)(**chosen).to(dtype)


def torch_twin(
    cell: str, num_layers: int, bidirectional: bool, dtype: torch.dtype = torch.float64, **extra: Any
) -> Any:
    torch.manual_seed(1)
    shape = {"num_layers": num_layers, "bidirectional": bidirectional, "batch_first": True, **extra}
    if cell == "gru":
        return nn.GRU(E, H, **shape).to(dtype)
    if cell == "lstm":
        return nn.LSTM(E, H, **shape).to(dtype)
    if cell == "lstm_proj":
        return nn.LSTM(E, H, proj_size=4, **shape).to(dtype)
    return nn.RNN(E, H, nonlinearity=cell.removeprefix("rnn_"), **shape).to(dtype)


def texts(
    lengths: Tensor = LENGTHS, dtype: torch.dtype = torch.float64, seed: int = 2, extra_steps: int = 0
) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    shape = (len(lengths), int(lengths.max()) + extra_steps, E)
    return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)


def start_state(cell: str, batch: int, slots: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(3)
    widths = [4 if cell == "lstm_proj" else H, H][: DEFAULT_STATES[cell]]
    return tuple(torch.randn(batch, slots, width, generator=random, dtype=dtype) / 2 for width in widths)


def fixed_loss(*tensors: Tensor) -> Tensor:
    """Weigh every number differently, so that no two mistakes cancel."""
    total = tensors[0].new_zeros(())
    for tensor in tensors:
        weights = torch.linspace(-1, 1, tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape)
        total = total + (weights * tensor).sum() / 10
    return total


def mask_of(lengths: Tensor, steps: int) -> Tensor:
    return torch.arange(steps)[None] < lengths[:, None]


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


# ---------------------------------------------------------------- the same as torch's packed module


@every_twin
@every_direction
@depths
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
def test_values_and_gradients_equal_those_of_the_packed_torch_module(
    cell: str, bidirectional: bool, num_layers: int, dtype: torch.dtype, carried: bool
) -> None:
    twin = torch_twin(cell, num_layers, bidirectional, dtype)
    encoder = build(cell, dtype, num_layers=num_layers, bidirectional=bidirectional)
    encoder.load_torch(twin)
    directions = 2 if bidirectional else 1
    start = start_state(cell, len(LENGTHS), num_layers * directions, dtype) if carried else None

    ours_in = texts(dtype=dtype).requires_grad_()
    encoded = encoder(ours_in, LENGTHS, start)

    theirs_in = texts(dtype=dtype).requires_grad_()
    packed = nn.utils.rnn.pack_padded_sequence(theirs_in, LENGTHS, batch_first=True, enforce_sorted=False)
    given_start: Any = None if start is None else tuple(tensor.transpose(0, 1).contiguous() for tensor in start)
    if given_start is not None and len(given_start) == 1:
        given_start = given_start[0]
    out, ends = twin(packed, given_start)
    states, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
    whole = tuple(tensor.transpose(0, 1) for tensor in (ends if isinstance(ends, tuple) else (ends,)))
    final = whole[0][:, -directions:].flatten(1)

    tolerance = TOLERANCE[dtype]
    close(encoded.states, states, tolerance)
    close(encoded.final, final, tolerance)
    assert encoded.state is not None
    assert len(encoded.state) == len(whole)
    for mine, other in zip(encoded.state, whole, strict=True):
        close(mine, other, tolerance)

    fixed_loss(encoded.states, encoded.final, *encoded.state).backward()
    fixed_loss(states, final, *whole).backward()
    close(ours_in.grad, theirs_in.grad, tolerance)
    for index, layer in enumerate(encoder.layers):
        depth, direction = divmod(index, directions)
        for name, weight in layer.cell.named_parameters():
            twin_name = name.removesuffix("_l0") + f"_l{depth}" + ("_reverse" if direction else "")
            close(weight.grad, getattr(twin, twin_name).grad, tolerance)


@every_cell
@depths
def test_directions_kept_apart_equal_two_one_way_stacks(cell: str, num_layers: int) -> None:
    apart = build(cell, num_layers=num_layers, bidirectional=True, interleaved=False)
    forwards = build(cell, num_layers=num_layers, bidirectional=False, seed=8)
    backwards = build(cell, num_layers=num_layers, bidirectional=False, seed=9)
    for depth in range(num_layers):
        forwards.layers[depth].load_state_dict(apart.layers[2 * depth].state_dict())
        backwards.layers[depth].load_state_dict(apart.layers[2 * depth + 1].state_dict())
    embedded = texts()
    encoded = apart(embedded, LENGTHS)
    width = encoded.states.shape[-1] // 2
    for row, length in enumerate(LENGTHS.tolist()):
        text = embedded[row : row + 1, :length]
        one, other = forwards(text, LENGTHS[row : row + 1]), backwards(text.flip(1), LENGTHS[row : row + 1])
        close(encoded.states[row, :length, :width], one.states[0], 1e-10)
        close(encoded.states[row, :length, width:], other.states[0].flip(0), 1e-10)
        close(encoded.final[row], torch.cat([one.final[0], other.final[0]]), 1e-10)


def test_interleaved_and_apart_differ_from_the_second_layer_on() -> None:
    deep = {"num_layers": 2, "bidirectional": True}
    widths = {name: build("gru", interleaved=name, **deep).layers[2].cell.input_size for name in (True, False)}
    assert widths == {True: 2 * H, False: H}


# ---------------------------------------------------------------- the same as the cell, step by step


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        (cell, form)
        for cell in CELLS
        for form in ("ragged", "full", "blocks")
        if form != "blocks" or cell.startswith("lstm")
    ],
)
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
@pytest.mark.parametrize("replaced", [False, True], ids=["own_weight", "another_weight"])
def test_values_and_gradients_equal_those_of_the_cell_step_by_step(
    cell: str,
    form: str,
    backwards: bool,
    dtype: torch.dtype,
    carried: bool,
    replaced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if form == "blocks":  # as the fused kernel reads many texts that differ much
        monkeypatch.setattr(encoders_reading, "TOKENS_A_BLOCK_COSTS", 0)
    lengths = torch.tensor([4, 4]) if form == "full" else LENGTHS
    layer = build(cell, dtype, bidirectional=False).layers[0]
    own = layer.recurrent_weight()
    if replaced and own is None:
        return  # min_gru has no weight that could be replaced
    reading = Reading(lengths, int(lengths.max()), backwards=backwards)
    assert reading.is_blocked == (form == "blocks")
    results = []
    for way in (layer, lambda *given: step_by_step(layer, *given)):
        layer.zero_grad()
        inputs = texts(lengths, dtype).masked_fill(~reading.mask[..., None], 0).requires_grad_()
        start = weight = None
        if carried:
            start = tuple(tensor[:, 0].clone() for tensor in start_state(cell, len(lengths), 1, dtype))
            start = tuple(tensor.requires_grad_() for tensor in start)
        if replaced:
            weight = (own.detach().flip(0) / 2).requires_grad_()
        states, end = way(inputs, reading, start, weight)
        outputs = (reading.cleared(states), *end())
        fixed_loss(*outputs).backward()
        leaves = [inputs, *(start or ()), *([weight] if replaced else [])]
        gradients = [leaf.grad for leaf in leaves]
        for name, parameter in layer.named_parameters():
            given = not (replaced and parameter is own)
            assert (parameter.grad is not None) == given, name
            gradients += [parameter.grad] if given else []
        assert all(bool(gradient.any()) for gradient in gradients)
        results.append([*outputs, *gradients])
    for fast, slow in zip(*results, strict=True):
        close(fast, slow, TOLERANCE[dtype])


@every_direction
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
def test_peepholes_of_zero_make_a_plain_lstm(bidirectional: bool, carried: bool) -> None:
    shape = {"num_layers": 2, "bidirectional": bidirectional}
    peephole, plain = build("peephole_lstm", **shape), build("lstm", **shape)
    with torch.no_grad():
        for layer, other in zip(peephole.layers, plain.layers, strict=True):
            layer.weight_x.copy_(other.cell.weight_ih_l0)  # gate order of both: input, forget, candidate, output
            layer.weight_h.copy_(other.cell.weight_hh_l0)
            layer.bias.copy_(other.cell.bias_ih_l0 + other.cell.bias_hh_l0)
    start = start_state("lstm", len(LENGTHS), 2 * plain.directions, torch.float64) if carried else None
    expected = plain(texts(), LENGTHS, start)
    assert not torch.allclose(peephole(texts(), LENGTHS, start).states, expected.states), "the peepholes are seen"
    with torch.no_grad():
        for layer in peephole.layers:
            layer.peepholes.zero_()
    found = peephole(texts(), LENGTHS, start)
    for ours, theirs in zip((found.states, *found.state), (expected.states, *expected.state), strict=True):
        close(ours, theirs, 1e-10)


# ---------------------------------------------------------------- padding and neighbours


@every_cell
@every_direction
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
@pytest.mark.parametrize("garbage", [1e9, float("nan"), float("inf"), -float("inf")])
def test_garbage_at_padding_changes_no_value_and_no_gradient(
    cell: str, bidirectional: bool, interleaved: bool, garbage: float
) -> None:
    encoder = build(cell, num_layers=2, bidirectional=bidirectional, interleaved=interleaved)
    clean = texts(extra_steps=2)
    mask = mask_of(LENGTHS, clean.shape[1])
    results = []
    for filler in (0.0, garbage):
        embedded = clean.masked_fill(~mask[..., None], filler).requires_grad_()
        encoder.zero_grad()
        encoded = encoder(embedded, LENGTHS)
        assert encoded.state is not None
        outputs = (encoded.states, encoded.final, *encoded.state)
        fixed_loss(*outputs).backward()
        weights = [parameter.grad.clone() for parameter in encoder.parameters()]
        results.append([*outputs, embedded.grad, *weights])
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)
        assert bool(second.isfinite().all())
    assert not bool(results[1][0][~mask].any()), "states are zero at padding"


def test_relu_that_would_explode_over_padding_still_has_finite_gradients() -> None:
    encoder = build("rnn_relu", torch.float32, bidirectional=False)
    cell = encoder.layers[0].cell
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
        cell.weight_ih_l0.copy_(torch.eye(H, E))
        cell.weight_hh_l0.copy_(4 * torch.eye(H))
    embedded = torch.zeros(2, 80, E)
    embedded[0, 0] = 1
    encoded = encoder(embedded, torch.tensor([2, 80]))
    assert bool(encoded.final.isfinite().all())
    encoded.final.sum().backward()
    assert bool(cell.weight_hh_l0.grad.isfinite().all())


@every_cell
@pytest.mark.parametrize(
    "shape",
    [
        {"num_layers": 1, "bidirectional": False},
        {"num_layers": 1, "bidirectional": True},
        {"num_layers": 3, "bidirectional": False},
        {"num_layers": 3, "bidirectional": True},
        {"num_layers": 3, "bidirectional": True, "interleaved": False},
    ],
    ids=["one_way", "both_ways", "deep_one_way", "deep_both_ways", "deep_apart"],
)
def test_a_text_alone_equals_itself_among_64_in_any_order(cell: str, shape: dict[str, Any]) -> None:
    encoder = build(cell, torch.float32, **{"hidden_dim": 32, **shape}).eval()
    random = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 40, (64,), generator=random)
    lengths[0], lengths[63] = 40, 1
    embedded = texts(lengths, torch.float32)
    orders = [torch.arange(64), torch.arange(64).flip(0), torch.randperm(64, generator=random)]
    with torch.no_grad():
        together = [encoder(embedded[order], lengths[order]) for order in orders]
        for row in range(0, 64, 3):
            length = int(lengths[row])
            alone = encoder(embedded[row : row + 1, :length], lengths[row : row + 1])
            for order, encoded in zip(orders, together, strict=True):
                place = int((order == row).nonzero())
                torch.testing.assert_close(encoded.states[place, :length], alone.states[0], atol=1e-6, rtol=0)
                torch.testing.assert_close(encoded.final[place], alone.final[0], atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    extra_steps=st.integers(0, 3),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    interleaved=st.booleans(),
)
def test_any_ragged_lengths_give_what_each_text_gives_alone(
    cell: str, lengths: list[int], extra_steps: int, num_layers: int, bidirectional: bool, interleaved: bool
) -> None:
    encoder = build(cell, num_layers=num_layers, bidirectional=bidirectional, interleaved=interleaved)
    sizes = torch.tensor(lengths)
    embedded = texts(sizes, extra_steps=extra_steps)
    encoded = encoder(embedded, sizes)
    assert encoded.states.shape == (len(lengths), max(lengths) + extra_steps, encoder.output_dim)
    for row, length in enumerate(lengths):
        alone = encoder(embedded[row : row + 1, :length], sizes[row : row + 1])
        close(encoded.states[row, :length], alone.states[0], 1e-10)
        close(encoded.final[row], alone.final[0], 1e-10)
        for whole, single in zip(encoded.state, alone.state, strict=True):
            close(whole[row], single[0], 1e-10)
        assert not bool(encoded.states[row, length:].any())


# ---------------------------------------------------------------- final and state


@every_cell
@depths
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
def test_final_is_the_last_token_forwards_then_the_first_backwards(
    cell: str, num_layers: int, interleaved: bool
) -> None:
    encoder = build(cell, num_layers=num_layers, bidirectional=True, interleaved=interleaved)
    encoded = encoder(texts(), LENGTHS)
    width = encoder.output_dim // 2
    rows = torch.arange(len(LENGTHS))
    assert torch.equal(encoded.final[:, :width], encoded.states[rows, LENGTHS - 1, :width])
    assert torch.equal(encoded.final[:, width:], encoded.states[:, 0, width:])


@every_cell
@depths
def test_a_text_read_in_two_pieces_equals_the_text_read_at_once(cell: str, num_layers: int) -> None:
    encoder = build(cell, num_layers=num_layers, bidirectional=False)
    lengths, firsts = torch.tensor([6, 9, 2, 7]), torch.tensor([4, 1, 1, 6])
    seconds = lengths - firsts
    grads = []
    outputs: list[list[Tensor]] = []
    for in_pieces in (False, True):
        embedded = texts(lengths).requires_grad_()
        if in_pieces:
            head = embedded[:, : int(firsts.max())]
            places = (firsts[:, None] + torch.arange(int(seconds.max()))[None]).clamp(max=embedded.shape[1] - 1)
            tail = embedded.gather(1, places[..., None].expand(-1, -1, E))
            first = encoder(head, firsts)
            second = encoder(tail, seconds, first.state)
            rows = [
                torch.cat([first.states[row, : firsts[row]], second.states[row, : seconds[row]]]) for row in range(4)
            ]
            encoded: Encoded = second
        else:
            encoded = encoder(embedded, lengths)
            rows = [encoded.states[row, : lengths[row]] for row in range(4)]
        outputs.append([*rows, encoded.final, *(encoded.state or ())])
        fixed_loss(*outputs[-1]).backward()
        grads.append(embedded.grad)
    for at_once, pieces in zip(*outputs, strict=True):
        close(pieces, at_once, 1e-10)
    close(grads[1], grads[0], 1e-10)


@every_cell
def test_state_holds_every_layer_and_direction_batch_first(cell: str) -> None:
    encoder = build(cell, num_layers=3, bidirectional=True)
    state = encoder(texts(), LENGTHS).state
    widths = [4 if cell == "lstm_proj" else H, H][: DEFAULT_STATES[cell]]
    assert [tuple(tensor.shape) for tensor in state] == [(4, 6, width) for width in widths]


def test_state_is_worked_out_once_and_only_when_asked_for() -> None:
    calls = []
    encoded = Encoded(torch.zeros(1), torch.zeros(1), lambda: calls.append(1) or (torch.ones(1),))
    assert not calls
    assert encoded.state is encoded.state
    assert calls == [1]
    assert Encoded(torch.zeros(1), torch.zeros(1)).state is None


# ---------------------------------------------------------------- dropout, weights, speed


@every_cell
@every_direction
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
def test_dropout_acts_between_layers_and_only_in_training(cell: str, bidirectional: bool, interleaved: bool) -> None:
    shape = {"num_layers": 2, "bidirectional": bidirectional, "interleaved": interleaved}
    dropping, plain = build(cell, dropout=0.5, **shape), build(cell, dropout=0.0, **shape)
    plain.load_state_dict(dropping.state_dict())
    embedded = texts()
    expected = plain(embedded, LENGTHS).states
    assert torch.equal(dropping.eval()(embedded, LENGTHS).states, expected)
    dropping.train()
    first, second = dropping(embedded, LENGTHS).states, dropping(embedded, LENGTHS).states
    assert not torch.equal(first, expected)
    assert not torch.equal(first, second)


@every_cell
def test_dropout_touches_neither_what_comes_in_nor_what_goes_out(cell: str) -> None:
    encoder = build(cell, num_layers=1, dropout=0.9).train()
    embedded = texts()
    assert torch.equal(encoder(embedded, LENGTHS).states, encoder(embedded, LENGTHS).states)


@every_cell
@every_direction
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
def test_every_parameter_gets_a_gradient(cell: str, bidirectional: bool, interleaved: bool) -> None:
    encoder = build(cell, num_layers=3, bidirectional=bidirectional, interleaved=interleaved)
    encoder(texts(), LENGTHS).states.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


@every_cell
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(cell: str) -> None:
    first, again, other = (build(cell, num_layers=2, seed=seed) for seed in (4, 4, 5))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert not torch.equal(weight, other.state_dict()[name])


def graph_names(tensor: Tensor) -> set[str]:
    names, queue, seen = set(), [tensor.grad_fn], set()
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names.add(node.name())
        queue += [parent for parent, _ in node.next_functions]
    return names


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
def test_float32_lstm_keeps_the_fused_node_at_ragged_lengths(interleaved: bool) -> None:
    encoder = build("lstm", torch.float32, num_layers=2, bidirectional=True, interleaved=interleaved)
    encoded = encoder(texts(dtype=torch.float32), LENGTHS)
    names = graph_names(encoded.final)
    assert any("Mkldnn" in name for name in names), names
    assert not any("PackPadded" in name for name in names)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize(
    ("cell", "chosen", "fused"),
    [
        ("lstm", {"weight_drop": 0.5}, True),
        ("lstm", {"variational_dropout": 0.5, "layer_norm": True, "residual": True}, True),
        ("lstm", {"zoneout": 0.5}, False),
        ("lstm_proj", {}, False),
    ],
    ids=["weight_drop", "around_the_cell", "zoneout", "proj"],
)
def test_what_keeps_the_fused_node_in_training_and_what_leaves_it(
    cell: str, chosen: dict[str, Any], fused: bool
) -> None:
    encoder = build(cell, torch.float32, num_layers=2, **chosen).train()
    names = graph_names(encoder(texts(dtype=torch.float32), LENGTHS).final)
    assert any("Mkldnn" in name for name in names) == fused, names


# ---------------------------------------------------------------- faults


@every_cell
@pytest.mark.parametrize(
    ("shape", "lengths", "expected"),
    [
        ((2, 3, E + 1), [1, 3], r"\[B, T, 5\]"),
        ((2, E), [1, 1], r"\[B, T, 5\]"),
        ((2, 3, E), [0, 3], "from 1 to 3"),
        ((2, 3, E), [1, 4], "from 1 to 3"),
        ((2, 3, E), [-1, 3], "from 1 to 3"),
        ((2, 3, E), [3], "2 lengths"),
        ((2, 3, E), [1, 2, 3], "2 lengths"),
        ((0, 3, E), [], "at least one text"),
    ],
    ids=["width", "no_batch", "zero", "too_long", "negative", "too_few", "too_many", "empty"],
)
def test_wrong_shapes_and_lengths_are_refused(
    cell: str, shape: tuple[int, ...], lengths: list[int], expected: str
) -> None:
    with pytest.raises(ShapeError, match=expected):
        build(cell)(torch.zeros(*shape, dtype=torch.float64), torch.tensor(lengths, dtype=torch.int64))


@every_cell
def test_a_state_that_does_not_fit_is_refused(cell: str) -> None:
    encoder = build(cell, num_layers=3, bidirectional=True)
    good = encoder(texts(), LENGTHS).state
    bad = [
        (*good, good[0]),
        good[:-1],
        tuple(tensor[:2] for tensor in good),
        tuple(tensor[:, :1] for tensor in good),
        tuple(tensor[..., :1] for tensor in good),
        tuple(tensor.transpose(0, 1) for tensor in good),
    ]
    for state in bad:
        with pytest.raises(ShapeError, match="state tensors of shape"):
            encoder(texts(), LENGTHS, state)
    encoder(texts(), LENGTHS, good)


def test_dropout_in_one_layer_and_a_wide_projection_are_problems_of_a_recipe() -> None:
    def keys(name: str, **changed: Any) -> list[str]:
        part = registry.get("encoders", name)
        defaults = {key: option.default for key, option in options.options_of(part, "encoders").items()}
        return [key for key, _ in part.check_options({**defaults, **changed})]

    for name in ("rnn", "lstm", "gru", "peephole_lstm", "coupled_lstm", "min_gru"):
        assert keys(name) == []
        assert keys(name, dropout=0.2) == ["dropout"]
        assert keys(name, dropout=0.2, num_layers=2) == []
    assert keys("lstm", hidden_dim=8, proj_dim=8) == ["proj_dim"]
    assert keys("lstm", hidden_dim=8, proj_dim=7) == []


# ---------------------------------------------------------------- what a state has read


def seen_by(encoder: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (direction, token, position) wherever changing the token changes that direction's state there."""
    steps = 6
    lengths = torch.tensor([steps])
    embedded = texts(lengths)
    directions = ["forward", "backward"][: encoder.directions]
    width = encoder.output_dim // len(directions)
    before = encoder(embedded, lengths).states[0]
    for token in range(steps):
        changed = embedded.clone()
        changed[0, token] += 1
        moved = (encoder(changed, lengths).states[0] - before).abs() > 1e-9
        for number, direction in enumerate(directions):
            half = moved[:, number * width : (number + 1) * width].any(dim=-1)
            yield from ((direction, token, position) for position in half.nonzero()[:, 0].tolist())


@every_cell
@depths
@every_direction
@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])
def test_reads_states_exactly_what_changing_a_token_shows(
    cell: str, num_layers: int, bidirectional: bool, interleaved: bool
) -> None:
    shape = {"num_layers": num_layers, "bidirectional": bidirectional, "interleaved": interleaved}
    encoder = build(cell, hidden_dim=16, **shape)
    seen = set(seen_by(encoder))
    shown = set()
    # The future: a state moves when a token to its right does.
    if any(token > position for _, token, position in seen):
        shown.add("future")
    # A token's own identity: what is predicted at t from the neighbours, the state forwards at t - 1 and the
    # state backwards at t + 1, moves when token t itself does.
    if any(
        (direction == "forward" and position == token - 1) or (direction == "backward" and position == token + 1)
        for direction, token, position in seen
    ):
        shown.add("own_token")
    name, extra = CELLS[cell]
    part: type[Encoder] = registry.get("encoders", name)
    defaults = {key: option.default for key, option in options.options_of(part, "encoders").items()}
    assert part.reads({**defaults, **extra, **shape}) == shown
    # The test itself sees: every direction's state moves with the token at its own place.
    assert {(direction, 3, 3) for direction, _, _ in seen} <= seen


# --- the shortcut: each token's own vector beside its state -----------------------------------------------------


@every_cell
@every_direction
@pytest.mark.parametrize("interleaved", [False, True], ids=["apart", "interleaved"])
def test_a_shortcut_adds_each_tokens_own_vector_and_changes_nothing_else(
    cell: str, bidirectional: bool, interleaved: bool
) -> None:
    shape = {"num_layers": 2, "bidirectional": bidirectional, "interleaved": interleaved}
    plain, short = build(cell, **shape), build(cell, shortcut=True, **shape)
    short.load_state_dict(plain.state_dict())
    embedded, mask = texts(extra_steps=2), torch.arange(int(LENGTHS.max()) + 2)[None] < LENGTHS[:, None]
    expected, found = plain(embedded, LENGTHS), short(embedded, LENGTHS)
    assert short.output_dim == plain.output_dim + E
    own = embedded * mask[..., None]
    torch.testing.assert_close(found.states, torch.cat([expected.states, own], dim=-1))
    last = embedded[torch.arange(len(LENGTHS)), LENGTHS - 1]
    torch.testing.assert_close(found.final, torch.cat([expected.final, last], dim=-1))
    for ours, theirs in zip(found.state, expected.state, strict=True):
        torch.testing.assert_close(ours, theirs)
    garbage = embedded.masked_fill(~mask[..., None], torch.nan)
    assert torch.equal(short(garbage, LENGTHS).states, found.states)


def test_an_lstms_state_asked_for_later_has_the_gradients_of_its_reading() -> None:
    encoder = build("lstm", bidirectional=False)
    with torch.no_grad():
        without = encoder(texts(), LENGTHS)
    with_gradients = encoder(texts(), LENGTHS)
    assert [tensor.requires_grad for tensor in without.state] == [False, False]
    with torch.no_grad():
        assert [tensor.requires_grad for tensor in with_gradients.state] == [True, True]


@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
@pytest.mark.parametrize("extra", [{}, {"proj_dim": 4}, {"num_layers": 2}, {"num_layers": 2, "interleaved": False}])
def test_both_directions_by_one_call_of_the_kernel_are_what_two_calls_give(
    carried: bool, extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = build("lstm", bidirectional=True, **extra)
    layers = 2 * extra.get("num_layers", 1)
    lengths = torch.tensor([5, 5, 5])
    start = None
    if carried:
        width = extra.get("proj_dim", H)
        start = tuple(torch.randn(3, layers, size, dtype=torch.float64) for size in (width, H))
    calls, results = [], []
    whole = LstmLayer.both_ways

    def counted(*given: Any) -> Any:
        calls.append(1)
        return whole(*given)

    monkeypatch.setattr(LstmLayer, "both_ways", counted)
    for _ in range(2):
        embedded = texts(lengths).requires_grad_()
        encoder.zero_grad()
        encoded = encoder(embedded, lengths, start)
        fixed_loss(encoded.states, encoded.final, *encoded.state).backward()
        weights = [parameter.grad.clone() for parameter in encoder.parameters()]
        results.append([encoded.states, encoded.final, *encoded.state, embedded.grad, *weights])
        monkeypatch.setattr(LstmLayer, "both_ways", None)
    assert calls
    for at_once, apart in zip(*results, strict=True):
        close(at_once, apart, 1e-10)
