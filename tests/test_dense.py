"""The encoder ``dense``: the plain formula on each token alone, and padding that nothing can notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_tiny
from torch import Tensor

import rnntext
from rnntext import options, registry
from rnntext.contracts import Encoder
from rnntext.errors import RecipeError, ShapeError
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe

E, H = 5, 6
LENGTHS = torch.tensor([3, 7, 1, 5])
DENSE: Any = registry.get("encoders", "dense")
DEFAULTS = {key: option.default for key, option in options.options_of(DENSE, "encoders").items()}


def build(dtype: torch.dtype = torch.float64, seed: int = 0, **chosen: Any) -> Any:
    torch.manual_seed(seed)
    return DENSE(**{"input_dim": E, "hidden_dim": H, **chosen}).to(dtype)


def texts(lengths: Tensor = LENGTHS, extra_steps: int = 0, seed: int = 2) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), int(lengths.max()) + extra_steps, E, generator=random, dtype=torch.float64)


def mask_of(lengths: Tensor, steps: int) -> Tensor:
    return torch.arange(steps)[None] < lengths[:, None]


def fixed_loss(*tensors: Tensor) -> Tensor:
    """Weigh every number differently, so that no two mistakes cancel."""
    total = tensors[0].new_zeros(())
    for tensor in tensors:
        weights = torch.linspace(-1, 1, tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape)
        total = total + (weights * tensor).sum()
    return total


# ---------------------------------------------------------------- the formula


def test_dense_is_an_encoder_that_reads_nothing_but_the_token() -> None:
    encoder = build()
    assert isinstance(encoder, Encoder)
    assert DENSE.reads(DEFAULTS) == frozenset()
    before = encoder(texts(), LENGTHS).states[1]
    for token in range(7):
        changed = texts()
        changed[1, token] += 1
        moved = (encoder(changed, LENGTHS).states[1] != before).any(dim=-1)
        assert moved.nonzero()[:, 0].tolist() == [token]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("shortcut", [False, True], ids=["plain", "shortcut"])
def test_states_are_the_plain_formula_token_by_token(activation: str, num_layers: int, shortcut: bool) -> None:
    encoder = build(num_layers=num_layers, activation=activation, shortcut=shortcut)
    weights = [parameter.detach() for parameter in encoder.parameters()]
    assert [tuple(weight.shape) for weight in weights[::2]] == [(H, E), *[(H, H)] * (num_layers - 1)]
    assert encoder.output_dim == H + E * shortcut
    embedded = texts(extra_steps=2)
    encoded = encoder(embedded, LENGTHS)
    assert encoded.states.shape == (4, 9, encoder.output_dim)
    for row, length in enumerate(LENGTHS.tolist()):
        for step in range(9):
            state = vector = embedded[row, step]
            for weight, bias in zip(weights[::2], weights[1::2], strict=True):
                total = weight @ state + bias
                state = total.tanh() if activation == "tanh" else total.clamp(min=0)
            expected = torch.cat([state, vector]) if shortcut else state
            expected = expected if step < length else torch.zeros_like(expected)
            torch.testing.assert_close(encoded.states[row, step].detach(), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("shortcut", [False, True], ids=["plain", "shortcut"])
def test_final_is_the_last_real_tokens_and_there_is_no_state_to_carry(shortcut: bool) -> None:
    encoder = build(num_layers=2, shortcut=shortcut)
    encoded = encoder(texts(extra_steps=1), LENGTHS)
    assert torch.equal(encoded.final, encoded.states[torch.arange(4), LENGTHS - 1])
    assert bool(encoded.final.any(dim=-1).all())
    assert encoded.state is None


# ---------------------------------------------------------------- padding and neighbours


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("shortcut", [False, True], ids=["plain", "shortcut"])
@pytest.mark.parametrize("garbage", [1e9, float("nan"), float("inf"), -float("inf")])
def test_garbage_at_padding_changes_no_value_and_no_gradient(activation: str, shortcut: bool, garbage: float) -> None:
    encoder = build(num_layers=2, activation=activation, shortcut=shortcut)
    clean = texts(extra_steps=2)
    mask = mask_of(LENGTHS, clean.shape[1])
    results = []
    for filler in (0.0, garbage):
        embedded = clean.masked_fill(~mask[..., None], filler).requires_grad_()
        encoder.zero_grad()
        encoded = encoder(embedded, LENGTHS)
        fixed_loss(encoded.states, encoded.final).backward()
        weights = [parameter.grad.clone() for parameter in encoder.parameters()]
        results.append([encoded.states, encoded.final, embedded.grad, *weights])
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)
        assert bool(second.isfinite().all())
    states, _, reached = results[1][:3]
    assert not bool(states[~mask].any()), "states are zero at padding"
    assert not bool(reached[~mask].any())
    assert bool(reached[mask].any(dim=-1).all())


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    extra_steps=st.integers(0, 3),
    num_layers=st.integers(1, 3),
    shortcut=st.booleans(),
)
def test_any_ragged_lengths_give_what_each_text_gives_alone(
    lengths: list[int], extra_steps: int, num_layers: int, shortcut: bool
) -> None:
    encoder = build(num_layers=num_layers, shortcut=shortcut)
    sizes = torch.tensor(lengths)
    embedded = texts(sizes, extra_steps)
    encoded = encoder(embedded, sizes)
    for row, length in enumerate(lengths):
        alone = encoder(embedded[row : row + 1, :length], sizes[row : row + 1])
        torch.testing.assert_close(encoded.states[row, :length], alone.states[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(encoded.final[row], alone.final[0], atol=1e-10, rtol=0)
        assert not bool(encoded.states[row, length:].any())


# ---------------------------------------------------------------- dropout and weights


def test_dropout_acts_between_layers_and_only_in_training() -> None:
    dropping, plain = build(num_layers=2, dropout=0.5), build(num_layers=2)
    expected = plain(texts(), LENGTHS).states
    assert torch.equal(dropping.eval()(texts(), LENGTHS).states, expected)
    dropping.train()
    first, second = dropping(texts(), LENGTHS).states, dropping(texts(), LENGTHS).states
    assert not torch.equal(first, expected)
    assert not torch.equal(first, second)


def test_dropout_touches_neither_what_comes_in_nor_what_goes_out() -> None:
    encoder = build(num_layers=1, dropout=0.9, shortcut=True).train()
    assert torch.equal(encoder(texts(), LENGTHS).states, encoder(texts(), LENGTHS).states)


def test_every_parameter_gets_a_gradient_and_follows_the_seed() -> None:
    first, again, other = (build(num_layers=3, seed=seed) for seed in (4, 4, 5))
    first(texts(), LENGTHS).states.square().sum().backward()
    for name, parameter in first.named_parameters():
        assert bool(parameter.grad.any()), name
        assert torch.equal(parameter, again.get_parameter(name))
        assert not torch.equal(parameter, other.get_parameter(name))


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("shape", "lengths", "expected"),
    [
        ((2, 3, E + 1), [1, 3], r"\[B, T, 5\]"),
        ((2, E), [1, 1], r"\[B, T, 5\]"),
        ((2, 3, E), [0, 3], "from 1 to 3"),
        ((2, 3, E), [1, 4], "from 1 to 3"),
        ((2, 3, E), [3], "2 lengths"),
        ((0, 3, E), [], "at least one text"),
    ],
    ids=["width", "no_batch", "zero", "too_long", "too_few", "empty"],
)
def test_wrong_shapes_and_lengths_are_refused(shape: tuple[int, ...], lengths: list[int], expected: str) -> None:
    with pytest.raises(ShapeError, match=expected):
        build()(torch.zeros(*shape, dtype=torch.float64), torch.tensor(lengths, dtype=torch.int64))


def test_a_state_is_refused_for_there_is_none_to_carry() -> None:
    with pytest.raises(ShapeError, match="carries no state"):
        build()(texts(), LENGTHS, (torch.zeros(4, 1, H, dtype=torch.float64),))


def test_dropout_between_the_layers_of_one_layer_is_a_problem_of_a_recipe() -> None:
    def keys(**changed: Any) -> list[str]:
        return [key for key, _ in DENSE.check_options({**DEFAULTS, **changed})]

    assert keys() == keys(num_layers=2, dropout=0.2) == []
    assert keys(dropout=0.2) == ["dropout"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bidirectional = true", "bidirectional: dense reads each token on its own, in no direction"),
        ("interleaved = false", "interleaved: dense reads each token on its own, in no direction"),
        ("activation = 'sigmoid'", "activation"),
        ("hidden_dim = 0", "hidden_dim"),
        ("num_layers = 0", "num_layers"),
        ("dropout = 0.2", "dropout: "),
    ],
)
def test_options_that_dense_cannot_have_are_told_in_their_place(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'[dataset]\ntype = "jsonl"\n[encoder]\ntype = "dense"\n{line}\n', encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        read_recipe(path)
    (told,) = raised.value.problems
    assert f":5: [encoder] {expected}" in str(told)
    assert "Did you mean" not in str(told)


# ---------------------------------------------------------------- in a recipe


@pytest.mark.parametrize("chosen", [{"shortcut": True}, {"num_layers": 2, "dropout": 0.2, "activation": "relu"}])
def test_a_recipe_with_dense_trains_saves_and_scores_the_same_again(tmp_path: Path, chosen: dict[str, Any]) -> None:
    recipe = make_tiny(tmp_path, encoder={"type": "dense", **chosen}, training={"epochs": 8, "learning_rate": 0.02})
    found = rnntext.run(recipe, out=tmp_path / "run", progress=LineReporter(lambda text: None))
    model = rnntext.load(found.path)
    assert type(model.model.encoder) is DENSE
    assert found.metrics["test"]["accuracy"] > 0.9
    assert model.evaluate(tmp_path / "test.jsonl").scores() == pytest.approx(found.metrics["test"], abs=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    text = rows[0]["text"].split()
    one, turned = model(" ".join(text)), model(" ".join(reversed(text)))
    assert one.probability == pytest.approx(turned.probability, abs=1e-6), "under a maximum, order says nothing"
