"""The stack around a cell: each regularisation by its definition, first weights, and any set of options together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_encoders import CELLS, LENGTHS, E, H, build, close, every_cell, fixed_loss, mask_of, start_state, texts
from tiny import write_recipe
from torch import Tensor, nn

from rnntext import options, registry
from rnntext.describing import describe
from rnntext.encoders.stack_options import StackOptions
from rnntext.errors import RecipeError
from rnntext.recipe import read_recipe


def has(cell: str, option: str) -> bool:
    return option in options.options_of(registry.get("encoders", CELLS[cell][0]), "encoders")


def cells_with(option: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cell", [cell for cell in CELLS if has(cell, option)])


interleaving = pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "apart"])


class Watch:
    """Keeps, by layer, what the last call of an encoder gave each layer and took from it."""

    def __init__(self, encoder: Any) -> None:
        self.inputs: list[Tensor] = [torch.empty(0)] * len(encoder.layers)
        self.weights: list[Tensor | None] = [None] * len(encoder.layers)
        self.outputs: list[Tensor] = [torch.empty(0)] * len(encoder.layers)
        for index, layer in enumerate(encoder.layers):
            layer.register_forward_hook(lambda _, given, result, index=index: self._keep(index, given, result))

    def _keep(self, index: int, given: Sequence[Any], result: Any) -> None:
        self.inputs[index], _, _, self.weights[index] = given
        self.outputs[index] = result[0]


# ---------------------------------------------------------------- variational dropout


@cells_with("variational_dropout")
@interleaving
def test_variational_dropout_drops_the_same_numbers_at_each_token_of_what_every_layer_reads(
    cell: str, interleaved: bool
) -> None:
    share = 0.25
    encoder = build(cell, num_layers=3, interleaved=interleaved, variational_dropout=share).train()
    watch = Watch(encoder)
    embedded = texts()
    encoder(embedded, LENGTHS)
    masks = []
    for index in range(6):
        depth, direction = divmod(index, 2)
        if depth == 0:
            given = embedded
        elif interleaved:
            given = torch.cat(watch.outputs[2 * depth - 2 : 2 * depth], dim=-1)
        else:
            given = watch.outputs[index - 2]
        real = mask_of(LENGTHS, given.shape[1])[..., None] & (given != 0)  # a relu gives zeros of its own
        factors = torch.where(real, watch.inputs[index] / given, torch.nan)
        by_text = factors.nanmedian(dim=1).values  # [B, width], nan where all is zero
        same = factors.isnan() | ((factors - by_text[:, None]).abs() < 1e-9)
        assert bool(same.all()), f"layer {depth}, direction {direction}"
        known = by_text[~by_text.isnan()]
        assert bool(((known == 0) | ((known - 1 / (1 - share)).abs() < 1e-9)).all()), "scaled by 1 / (1 - p)"
        assert bool((known == 0).any())
        assert bool((known != 0).any())
        masks.append(by_text.nan_to_num(-1) != 0)
        assert not bool((masks[-1] == masks[-1][:1]).all()), "texts differ"
    assert not torch.equal(masks[0], masks[1]), "so do directions"
    encoder(embedded, LENGTHS)
    assert not torch.equal(watch.inputs[0] != 0, masks[0][:, None].expand_as(embedded)), "and calls"


@cells_with("variational_dropout")
def test_variational_dropout_drops_its_share_and_only_in_training(cell: str) -> None:
    shape = {"num_layers": 2, "input_dim": 300}
    encoder, plain = build(cell, variational_dropout=0.3, **shape), build(cell, **shape)
    plain.load_state_dict(encoder.state_dict())
    embedded = torch.ones(20, 2, 300, dtype=torch.float64)
    lengths = torch.full((20,), 2)
    watch = Watch(encoder.train())
    encoder(embedded, lengths)
    for inputs in watch.inputs[:2]:
        assert float((inputs == 0).double().mean()) == pytest.approx(0.3, abs=0.03)
        assert float(inputs.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(encoder.eval()(embedded, lengths).states, plain(embedded, lengths).states)


# ---------------------------------------------------------------- weight drop


@cells_with("weight_drop")
@interleaving
def test_weight_drop_reads_with_a_thinned_recurrent_weight(cell: str, interleaved: bool) -> None:
    shape = {"num_layers": 2, "interleaved": interleaved}
    encoder, plain = build(cell, weight_drop=0.5, **shape), build(cell, **shape)
    plain.load_state_dict(encoder.state_dict())
    stored = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    assert torch.equal(encoder.eval()(texts(), LENGTHS).states, plain(texts(), LENGTHS).states)

    watch = Watch(encoder.train())
    found = encoder(texts(), LENGTHS)
    fixed_loss(found.states, *found.state).backward()
    for layer, other, used in zip(encoder.layers, plain.layers, watch.weights, strict=True):
        weight, gradient = layer.recurrent_weight(), layer.recurrent_weight().grad
        kept = used != 0
        assert 0 < int(kept.sum()) < kept.numel()
        close(used[kept], weight[kept] * 2, 1e-12)
        assert not bool(gradient[~kept].any()), "no gradient at what is dropped"
        if cell != "rnn_relu":  # where a state is zero, nothing reaches its weights
            assert bool((gradient[kept] != 0).all())
        other.recurrent_weight().data.copy_(used)
    expected = plain(texts(), LENGTHS)
    assert torch.equal(found.states, expected.states)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        close(ours, theirs, 1e-12)
    fixed_loss(expected.states, *expected.state).backward()
    for layer, other, used in zip(encoder.layers, plain.layers, watch.weights, strict=True):
        factors = (used != 0) * 2.0
        close(layer.recurrent_weight().grad, other.recurrent_weight().grad * factors, 1e-10)
    assert not torch.equal(encoder(texts(), LENGTHS).states, found.states), "drawn anew for each batch"
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, stored[name])


@cells_with("weight_drop")
def test_weight_drop_drops_its_share(cell: str) -> None:
    encoder = build(cell, hidden_dim=80, weight_drop=0.2).train()
    watch = Watch(encoder)
    encoder(texts(), LENGTHS)
    for used in watch.weights:
        assert used is not None
        assert float((used == 0).double().mean()) == pytest.approx(0.2, abs=0.05)


# ---------------------------------------------------------------- zoneout


@cells_with("zoneout")
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
def test_zoneout_outside_training_is_its_expectation(cell: str, carried: bool) -> None:
    share = 0.3
    encoder = build(cell, zoneout=share).eval()
    embedded = texts(extra_steps=1)
    start = start_state(cell, len(LENGTHS), 2, torch.float64) if carried else None
    found = encoder(embedded, LENGTHS, start)
    width = encoder.output_dim // 2
    for row, length in enumerate(LENGTHS.tolist()):
        for direction, layer in enumerate(encoder.layers):
            state = tuple(torch.zeros(1, size, dtype=torch.float64) for size in layer.state_dims)
            if start is not None:
                state = tuple(tensor[row : row + 1, direction] for tensor in start)
            positions = range(length) if direction == 0 else reversed(range(length))
            for position in positions:
                new = layer.step(embedded[row : row + 1, position], state, None)
                state = tuple(share * old + (1 - share) * now for old, now in zip(state, new, strict=True))
                columns = slice(direction * width, (direction + 1) * width)
                close(found.states[row, position, columns], state[0][0], 1e-12)
            close(found.final[row, columns], state[0][0], 1e-12)
            for ours, theirs in zip(found.state, state, strict=True):
                close(ours[row, direction], theirs[0], 1e-12)
    assert not bool(found.states[~mask_of(LENGTHS, embedded.shape[1])].any())


@cells_with("zoneout")
def test_each_number_of_a_new_state_is_the_old_or_the_new_in_training(cell: str) -> None:
    share, texts_read = 0.3, 60
    encoder = build(cell, bidirectional=False, zoneout=share).train()
    layer = encoder.layers[0]
    lengths = torch.ones(texts_read, dtype=torch.int64)
    state = start_state(cell, texts_read, 1, torch.float64)
    stayed: list[list[Tensor]] = []
    for position in range(4):
        embedded = texts(lengths, seed=position)
        new = layer.step(embedded[:, 0], tuple(tensor[:, 0] for tensor in state), None)
        read = encoder(embedded, lengths, state)
        stayed.append([])
        for before, now, after in zip(state, new, read.state, strict=True):
            is_old, is_new = after == before, (after[:, 0] - now).abs() < 1e-12
            assert bool((is_old[:, 0] | is_new).all())
            stayed[-1].append(is_old[:, 0] & ~is_new)
        assert torch.equal(read.states[:, 0], read.state[0][:, 0])
        state = read.state
    shares = torch.cat([draw.double().flatten() for draws in stayed for draw in draws])
    if cell == "rnn_relu":  # what is zero before and after, nobody can tell
        assert 0.1 < float(shares.mean()) < share
    else:
        assert float(shares.mean()) == pytest.approx(share, abs=0.06)
    first = stayed[0][0]
    assert not bool((first == first[:1]).all()), "drawn for each text"
    assert not torch.equal(first, stayed[1][0]), "and token"
    if "lstm" in cell and first.shape == stayed[0][1].shape:
        assert not torch.equal(first, stayed[0][1]), "and h and c apart"


@cells_with("zoneout")
def test_a_state_hardly_moves_where_zoneout_is_nearly_certain(cell: str) -> None:
    encoder = build(cell, zoneout=0.995).train()
    start = start_state(cell, len(LENGTHS), 2, torch.float64)
    read = encoder(texts(), LENGTHS, start)
    for before, after in zip(start, read.state, strict=True):
        assert float((before == after).double().mean()) > 0.8


@cells_with("zoneout")
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one_way", "both_ways"])
def test_what_zoneout_draws_at_padding_changes_no_text(cell: str, bidirectional: bool) -> None:
    encoder = build(cell, bidirectional=bidirectional, zoneout=0.5).train()
    clean = texts()
    garbage = clean.masked_fill(~mask_of(LENGTHS, clean.shape[1])[..., None], torch.nan)
    results = []
    for embedded in (clean, garbage):
        torch.manual_seed(11)
        encoder.zero_grad()
        read = encoder(embedded, LENGTHS)
        fixed_loss(read.states, *read.state).backward()
        results.append([read.states, read.final, *read.state, *(each.grad.clone() for each in encoder.parameters())])
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)
    # A text that has ended keeps its last state, however many steps others still take.
    states = results[0][0]
    rows, width = torch.arange(len(LENGTHS)), states.shape[-1] // encoder.directions
    assert torch.equal(results[0][2][:, 0], states[rows, LENGTHS - 1, :width])
    if bidirectional:
        assert torch.equal(results[0][2][:, 1], states[:, 0, width:])
    else:
        torch.manual_seed(11)
        longer = encoder(torch.cat([clean, garbage[:, :3]], dim=1), LENGTHS)
        close(longer.states[:, : clean.shape[1]], states, 1e-12)


# ---------------------------------------------------------------- layer norm and residual


def one_layer(cell: str, layer: nn.Module, width: int) -> Any:
    single = build(cell, input_dim=width, bidirectional=False, seed=99)
    single.layers[0].load_state_dict(layer.state_dict())
    return single


@every_cell
@interleaving
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one_way", "both_ways"])
@pytest.mark.parametrize(
    ("layer_norm", "residual"), [(True, False), (False, True), (True, True)], ids=["norm", "residual", "both"]
)
def test_layer_norm_and_residual_equal_layers_put_together_by_hand(
    cell: str, interleaved: bool, bidirectional: bool, layer_norm: bool, residual: bool
) -> None:
    shape = {"num_layers": 3, "interleaved": interleaved, "bidirectional": bidirectional}
    encoder = build(cell, layer_norm=layer_norm, residual=residual, **shape)
    directions = 2 if bidirectional else 1
    assert len(encoder.norms) == (2 * directions if layer_norm else 0)
    with torch.no_grad():
        for norm in encoder.norms:  # away from their start, where they could be mistaken for each other
            norm.weight.normal_()
            norm.bias.normal_()
    lengths = torch.tensor([2, 4])
    embedded = texts(lengths)
    found = encoder(embedded, lengths)
    for row, length in enumerate(lengths.tolist()):
        size = torch.tensor([length])
        below: list[Tensor] = [embedded[row : row + 1, :length]] * directions
        for depth in range(3):
            above = []
            for direction in range(directions):
                index = depth * directions + direction
                given = below[direction]
                if depth and interleaved and bidirectional:
                    given = torch.cat(below, dim=-1)
                if depth and layer_norm:
                    norm = encoder.norms[index - directions]
                    centred = given - given.mean(dim=-1, keepdim=True)
                    spread = (centred.square().mean(dim=-1, keepdim=True) + norm.eps).sqrt()
                    given = centred / spread * norm.weight + norm.bias
                single = one_layer(cell, encoder.layers[index], given.shape[-1])
                read = single(given.flip(1) if direction else given, size)
                states = read.states.flip(1) if direction else read.states
                above.append(states + below[direction] if depth and residual else states)
                for whole, alone in zip(found.state, read.state, strict=True):
                    close(whole[row, index], alone[0, 0], 1e-10)
            below = above
        close(found.states[row, :length], torch.cat(below, dim=-1)[0], 1e-10)
        ends = [states[0, 0 if direction else -1] for direction, states in enumerate(below)]
        close(found.final[row], torch.cat(ends), 1e-10)
        assert not bool(found.states[row, length:].any())


@every_cell
def test_a_shortcut_beside_a_residual_is_still_the_tokens_own_vector(cell: str) -> None:
    shape = {"num_layers": 2, "residual": True, "layer_norm": True}
    plain, short = build(cell, **shape), build(cell, shortcut=True, **shape)
    short.load_state_dict(plain.state_dict())
    expected, found = plain(texts(), LENGTHS), short(texts(), LENGTHS)
    own = texts().masked_fill(~mask_of(LENGTHS, int(LENGTHS.max()))[..., None], 0)
    assert torch.equal(found.states, torch.cat([expected.states, own], dim=-1))
    last = texts()[torch.arange(len(LENGTHS)), LENGTHS - 1]
    assert torch.equal(found.final, torch.cat([expected.final, last], dim=-1))


# ---------------------------------------------------------------- first weights


@cells_with("orthogonal")
def test_each_gate_starts_as_a_rotation(cell: str) -> None:
    encoder, plain = build(cell, num_layers=2, orthogonal=True), build(cell, num_layers=2)
    blocks = []
    for layer, other in zip(encoder.layers, plain.layers, strict=True):
        weight = layer.recurrent_weight()
        gates = {"lstm": 4, "lstm_proj": 4, "peephole_lstm": 4, "gru": 3, "coupled_lstm": 3}.get(cell, 1)
        assert weight.shape[0] == gates * H
        for gate in weight.split(H):
            if gate.shape[0] == gate.shape[1]:
                close(gate @ gate.T, torch.eye(H, dtype=torch.float64), 1e-6)
            close(gate.T @ gate, torch.eye(gate.shape[1], dtype=torch.float64), 1e-6)
            blocks.append(gate)
        assert not torch.allclose(
            other.recurrent_weight()[:H].T @ other.recurrent_weight()[:H], gate.T @ gate, atol=0.1
        )
        for name, parameter in layer.named_parameters():
            if parameter is not weight:
                assert bool(parameter.any()), f"{name} starts as ever"
    assert not any(torch.allclose(one, other) for one in blocks for other in blocks if one is not other)


def keeping_bias(cell: str, layer: Any) -> Tensor:
    """Return the bias of the gate that keeps the state: large keeps all."""
    if cell == "peephole_lstm":
        return layer.bias[H : 2 * H]
    if cell == "coupled_lstm":
        return layer.bias[:H]
    if cell == "min_gru":
        return -layer.bias[:H]
    return layer.cell.bias_ih_l0[H : 2 * H] + layer.cell.bias_hh_l0[H : 2 * H]


@cells_with("forget_bias")
@pytest.mark.parametrize("value", [2.5, 0.0, -1.0])
def test_the_gate_that_keeps_the_state_starts_at_forget_bias(cell: str, value: float) -> None:
    encoder, plain = (build(cell, num_layers=2, forget_bias=bias) for bias in (value, None))
    changed = 0
    for layer, other in zip(encoder.layers, plain.layers, strict=True):
        close(keeping_bias(cell, layer), torch.full((H,), value, dtype=torch.float64), 1e-12)
        assert len(keeping_bias(cell, other).unique()) == H, "random unless set"
        for (name, ours), theirs in zip(layer.named_parameters(), other.parameters(), strict=True):
            moved = int((ours != theirs).sum())
            assert not moved or "bias" in name
            changed += moved
    assert changed == 4 * H * (2 if hasattr(encoder.layers[0], "cell") else 1), "no other gate is touched"


@cells_with("forget_bias")
def test_a_gate_that_starts_open_remembers_the_first_token_longer(cell: str) -> None:
    lengths = torch.tensor([25])
    reached = []
    for bias in (-3.0, None, 3.0):
        encoder = build(cell, bidirectional=False, forget_bias=bias)
        embedded = texts(lengths).requires_grad_()
        encoder(embedded, lengths).final.sum().backward()
        reached.append(float(embedded.grad[0, 0].norm()))
    closed, random, opened = reached
    assert closed < random < opened
    assert opened > 100 * random


def test_a_cell_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    refused = [
        ("rnn", "forget_bias", 1.0, "no gate that forgets"),
        ("min_gru", "weight_drop", 0.2, "no weight of min_gru acts on the state"),
        ("min_gru", "orthogonal", True, "no weight of min_gru acts on the state"),
    ]
    for name, option, value, reason in refused:
        with pytest.raises(TypeError, match=option):
            registry.get("encoders", name)(input_dim=E, **{option: value})
        recipe = write_recipe(tmp_path, dataset={}, encoder={"type": name, option: value})
        with pytest.raises(RecipeError, match=rf"\[encoder\] {option}: .*{reason}"):
            read_recipe(recipe)


@every_cell
def test_what_acts_between_layers_is_a_problem_of_one_layer(cell: str) -> None:
    part = registry.get("encoders", CELLS[cell][0])
    defaults = {key: option.default for key, option in options.options_of(part, "encoders").items()}
    for key in ("layer_norm", "residual"):
        assert [found for found, _ in part.check_options({**defaults, key: True})] == [key]
        assert not list(part.check_options({**defaults, key: True, "num_layers": 2}))


# ---------------------------------------------------------------- all together


@st.composite
def any_options(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    cell = draw(st.sampled_from(list(CELLS)))
    share = st.sampled_from([0.0, 0.3])
    chosen = {
        "num_layers": draw(st.integers(1, 3)),
        **{name: draw(share) for name in ("dropout", "variational_dropout", "weight_drop", "zoneout")},
        **{
            name: draw(st.booleans())
            for name in ("bidirectional", "interleaved", "layer_norm", "residual", "orthogonal", "shortcut")
        },
        "forget_bias": draw(st.sampled_from([None, 1.0])),
    }
    return cell, {name: value for name, value in chosen.items() if has(cell, name)}


@settings(max_examples=40, deadline=None)
@given(chosen=any_options(), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_any_set_of_options_reads_texts_alone_as_in_a_batch(
    chosen: tuple[str, dict[str, Any]], lengths: list[int]
) -> None:
    cell, given_options = chosen
    encoder = build(cell, **given_options)
    sizes = torch.tensor(lengths)
    embedded = texts(sizes, extra_steps=1)
    outside = ~mask_of(sizes, embedded.shape[1])
    widths = [4 if cell == "lstm_proj" else H, *([H] if "lstm" in cell else [])]
    slots = given_options["num_layers"] * (2 if given_options["bidirectional"] else 1)
    for training in (True, False):
        read = encoder.train(training)(embedded, sizes)
        assert read.states.shape == (*embedded.shape[:2], encoder.output_dim)
        assert read.final.shape == (len(sizes), encoder.output_dim)
        assert [tuple(tensor.shape) for tensor in read.state] == [(len(sizes), slots, width) for width in widths]
        assert not bool(read.states[outside].any())
        assert bool(read.states.isfinite().all())
    own = E if given_options["shortcut"] else 0
    assert encoder.output_dim == widths[0] * (2 if given_options["bidirectional"] else 1) + own
    for row, length in enumerate(lengths):
        alone = encoder(embedded[row : row + 1, :length], sizes[row : row + 1])
        close(read.states[row, :length], alone.states[0], 1e-10)
        close(read.final[row], alone.final[0], 1e-10)
        for whole, single in zip(read.state, alone.state, strict=True):
            close(whole[row], single[0], 1e-10)


@settings(max_examples=30, deadline=None)
@given(chosen=any_options())
def test_any_set_of_options_trains_every_weight_and_is_stored_whole(chosen: tuple[str, dict[str, Any]]) -> None:
    cell, given_options = chosen
    encoder, other = (build(cell, seed=seed, **given_options) for seed in (0, 1))
    fixed_loss(encoder.train()(texts(), LENGTHS).states).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    encoder.zero_grad()
    # Without chance, which may drop all that would reach a weight; and with a reason to use each of them.
    fixed_loss(encoder.eval()(texts(), LENGTHS).states).backward()
    for name, parameter in encoder.named_parameters():
        assert bool(parameter.grad.any()), name
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.eval()(texts(), LENGTHS).states, encoder(texts(), LENGTHS).states)


# ---------------------------------------------------------------- describe


def encoder_stage(folder: Path, encoder: dict[str, Any]) -> str:
    recipe = write_recipe(folder, dataset={}, vocabulary={"max_size": 20}, encoder=encoder)
    (stage,) = [stage for stage in describe(read_recipe(recipe), lambda text: None).stages if stage.name == "encoder"]
    return stage.gives


@pytest.mark.parametrize(
    ("encoder", "kernel"),
    [
        ({"type": "lstm"}, "torch's fused kernel (oneDNN)"),
        ({"type": "lstm", "proj_dim": 4}, "torch's kernel, not fused, since proj_dim is set"),
        ({"type": "lstm", "zoneout": 0.1}, "the cell itself, step by step, since zoneout acts inside the recurrence"),
        ({"type": "lstm", "weight_drop": 0.1}, "torch's fused kernel (oneDNN)"),
        ({"type": "gru"}, "a loop over steps that skips padding"),
        ({"type": "rnn"}, "a loop over steps that skips padding"),
        ({"type": "peephole_lstm"}, "a loop over steps that skips padding"),
        ({"type": "coupled_lstm"}, "a loop over steps that skips padding"),
        ({"type": "min_gru"}, "a parallel scan"),
        ({"type": "min_gru", "zoneout": 0.1}, "the cell itself, step by step"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_describe_names_what_computes_the_encoder(tmp_path: Path, encoder: dict[str, Any], kernel: str) -> None:
    assert f"; trained on a CPU by {kernel}" in encoder_stage(tmp_path, encoder)


def test_describe_says_nothing_of_a_kernel_where_an_encoder_names_none(tmp_path: Path) -> None:
    assert "computed on a CPU" not in encoder_stage(tmp_path, {"type": "dense"})


@every_cell
def test_every_shared_option_reaches_the_stack(cell: str) -> None:
    name, _ = CELLS[cell]
    given = {
        "num_layers": 2,
        "bidirectional": True,
        "interleaved": False,
        "dropout": 0.1,
        "variational_dropout": 0.2,
        "weight_drop": 0.3,
        "zoneout": 0.4,
        "layer_norm": True,
        "residual": True,
        "orthogonal": True,
        "forget_bias": 1.5,
        "shortcut": True,
        "chunk_tokens": 7,
    }
    accepted = options.options_of(registry.get("encoders", name), "encoders")
    chosen = {key: value for key, value in given.items() if key in accepted}
    assert set(given) == {each.name for each in fields(StackOptions)}
    assert build(cell, **chosen).options == StackOptions(**chosen)
