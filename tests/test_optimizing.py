"""Steps that follow the batch: RowAdam beside dense Adam, clipping over touched rows, and which tables it is for.

And stages of a network that learn at rates of their own, and later than others.
"""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupting import StopsIn
from tiny import make_tiny
from torch import Tensor, nn

from rnntext import optimizing
from rnntext.contracts import Batch
from rnntext.describing import describe
from rnntext.model import build_model
from rnntext.optimizing import ModelOptimizer, clip_gradients, make_optimizer, row_tables
from rnntext.preparing import prepare
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe
from rnntext.row_adam import TAIL_STEPS, RowAdam
from rnntext.stages import stages_of
from rnntext.tables import BatchingOptions, TrainingOptions
from rnntext.training import RateSchedule, train

KINDS = {"plain": {}, "coupled": {"weight_decay": 0.1}, "decoupled": {"weight_decay": 0.1, "decoupled": True}}
every_kind = pytest.mark.parametrize("kind", KINDS)


def table(rows: int, width: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, width, dtype=dtype, generator=torch.Generator().manual_seed(seed)))


def numbers(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1000 + seed))


def give(parameter: nn.Parameter, rows: list[int], gradients: Tensor, *, sparse: bool = True) -> None:
    """Set the gradient that reading some rows would bring; one without rows, where nothing but padding is read."""
    parameter.grad = None
    read = nn.functional.embedding(torch.tensor(rows or [0]), parameter, None if rows else 0, sparse=sparse)
    (read * gradients).sum().backward()


def dense_adam(parameter: nn.Parameter, kind: str, rate: float) -> torch.optim.Optimizer:
    family = torch.optim.AdamW if kind == "decoupled" else torch.optim.Adam
    return family([parameter], lr=rate, weight_decay=float(KINDS[kind].get("weight_decay", 0)))


class SlowRow:
    """One row of one number, moved in every step: dense Adam, but that coupled decay waits for a gradient."""

    def __init__(self, weight: float, weight_decay: float = 0.0, decoupled: bool = False) -> None:
        self.weight, self.decay, self.decoupled = weight, weight_decay, decoupled
        self.mean = self.square = 0.0

    def step(self, number: int, rate: float, gradient: float | None) -> None:
        if self.decoupled:
            self.weight *= 1 - rate * self.decay
        elif gradient is not None:
            gradient += self.decay * self.weight
        self.mean = 0.9 * self.mean + 0.1 * (gradient or 0.0)
        self.square = 0.999 * self.square + 0.001 * (gradient or 0.0) ** 2
        root = math.sqrt(self.square / (1 - 0.999**number)) + 1e-8
        self.weight -= rate * self.mean / (1 - 0.9**number) / root


# --- RowAdam beside dense Adam ---------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_where_every_row_is_touched_it_is_torchs_adam(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    one, other = table(5, dtype=dtype), table(5, dtype=dtype)
    by_rows, dense = RowAdam([one], lr=0.03, **KINDS[kind]), dense_adam(other, kind, 0.03)
    for step in range(40):
        gradients = numbers(7, 3, seed=step, dtype=dtype)
        give(one, [0, 1, 2, 3, 4, 2, 2], gradients)
        give(other, [0, 1, 2, 3, 4, 2, 2], gradients, sparse=False)
        by_rows.step()
        dense.step()
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_a_rows_first_step_is_as_long_as_adams() -> None:
    one = table(6)
    before = one.detach().clone()
    optimizer = RowAdam([one], lr=0.01)
    gradients = numbers(2, 3, seed=1)
    give(one, [4, 1], gradients)
    optimizer.step()
    torch.testing.assert_close(one[[4, 1]] - before[[4, 1]], -0.01 * gradients.sign(), rtol=1e-5, atol=0)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    steps=st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=30),
    rates=st.lists(st.floats(1e-4, 0.1), min_size=30, max_size=30),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
)
def test_every_row_is_where_a_slow_adam_has_it_whenever_it_is_read(
    kind: str, steps: list[list[int]], rates: list[float], scale: float
) -> None:
    one = table(6, width=1)
    slow = [SlowRow(weight, **KINDS[kind]) for weight in one[:, 0].tolist()]
    optimizer = RowAdam([one], lr=1.0, **KINDS[kind])
    for number, (rows, rate) in enumerate(zip(steps, rates, strict=False), start=1):
        optimizer.catch_up(one, torch.tensor(rows, dtype=torch.int64))
        # Gradients of 1e-4 are within sight of Adam's epsilon, whose share is not followed from step to step.
        assert one.detach()[rows, 0].tolist() == pytest.approx([slow[row].weight for row in rows], abs=2e-5)
        gradients = scale * numbers(max(1, len(rows)), 1, seed=number)
        give(one, rows, gradients)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        for row, each in enumerate(slow):
            read = [float(value) for place, value in zip(rows, gradients, strict=False) if place == row]
            each.step(number, rate, sum(read) if read else None)
    optimizer.settle()
    assert one[:, 0].tolist() == pytest.approx([each.weight for each in slow], abs=2e-5)


@every_kind
def test_a_row_that_was_idle_for_long_is_where_it_would_have_come_to_rest(kind: str) -> None:
    """Beyond the steps that its tail is followed for, and beyond the room that was made for them at first."""
    one = table(3, width=1)
    slow = [SlowRow(weight, **KINDS[kind]) for weight in one[:, 0].tolist()]
    optimizer = RowAdam([one], lr=1.0, **KINDS[kind])
    last = 3 * TAIL_STEPS
    for number in range(1, last + 1):
        rows = {1: [0, 1], 5: [1], last: [0, 2]}.get(number, [2])
        gradients = numbers(len(rows), 1, seed=number)
        optimizer.param_groups[0]["lr"] = rate = 0.001 * (1 + number % 7)
        give(one, rows, gradients)
        optimizer.step()
        for row, each in enumerate(slow):
            each.step(number, rate, float(gradients[rows.index(row)]) if row in rows else None)
    optimizer.settle()
    assert one[:, 0].tolist() == pytest.approx([each.weight for each in slow], abs=1e-6)


def test_a_row_goes_on_by_its_momentum() -> None:
    one = table(4)
    before = one.detach().clone()
    optimizer = RowAdam([one], lr=0.01)
    for step in range(120):
        give(one, [1] if step == 60 else [2], numbers(1, 3, seed=step))
        optimizer.step()
        if step == 60:
            at_once = (one[1] - before[1]).abs()
    assert torch.equal((one[1] - before[1]).abs(), at_once), "not before somebody asks"
    optimizer.catch_up(one, torch.tensor([1]))
    torch.testing.assert_close(
        (one[1] - before[1]).abs() / at_once, torch.full((3,), 10.8).double(), rtol=0.1, atol=0
    )
    assert torch.equal(one[3], before[3]), "a row that never had a gradient stays"


def test_catching_up_twice_is_catching_up_once() -> None:
    one = table(4)
    optimizer = RowAdam([one], lr=0.01, weight_decay=0.1, decoupled=True)
    for step in range(3):
        give(one, [step], numbers(1, 3, seed=step))
        optimizer.step()
    optimizer.settle()
    settled = one.detach().clone()
    optimizer.catch_up(one, torch.tensor([[0, 1], [1, 2]]))
    optimizer.settle()
    assert torch.equal(one, settled)


def test_decay_that_would_turn_a_weight_over_leaves_finite_numbers() -> None:
    one = table(2)
    optimizer = RowAdam([one], lr=1.0, weight_decay=3.0, decoupled=True)
    for step in range(3):
        give(one, [0], numbers(1, 3, seed=step))
        optimizer.step()
    optimizer.settle()
    assert bool(one.isfinite().all())


def test_a_step_touches_the_rows_that_were_read_and_no_others() -> None:
    one = nn.Parameter(torch.zeros(200_000, 4))
    optimizer = RowAdam([one], lr=0.1)
    give(one, [7, 199_999, 7], torch.ones(3, 4))
    assert one.grad is not None
    assert one.grad.is_sparse
    assert len(one.grad._values()) == 3
    optimizer.step()
    for changed in (one, *(optimizer.state[one][name] for name in ("exp_avg", "exp_avg_sq"))):
        assert changed.reshape(len(one), -1).any(dim=1).nonzero().flatten().tolist() == [7, 199_999]
    kept = {name: value.clone() for name, value in optimizer.state[one].items()}
    give(one, [3], torch.ones(1, 4))
    optimizer.step()
    others = torch.arange(len(one)) != 3
    for name in ("exp_avg", "exp_avg_sq", "last_step"):
        assert torch.equal(optimizer.state[one][name][others], kept[name][others]), "idle rows were worked on"


def test_a_table_without_a_gradient_is_left_alone() -> None:
    one, other = table(3), table(3)
    optimizer = RowAdam([one, other], lr=0.1)
    give(one, [1], numbers(1, 3, seed=0))
    optimizer.step()
    assert torch.equal(other, table(3))


def test_a_dense_gradient_is_refused_with_the_reason() -> None:
    one = table(3)
    give(one, [1], numbers(1, 3, seed=0), sparse=False)
    with pytest.raises(TypeError, match=r"a table of 3 rows.*got a dense gradient"):
        RowAdam([one], lr=0.1).step()


@every_kind
def test_training_goes_on_from_a_saved_state_bit_for_bit(kind: str) -> None:
    def steps(optimizer: RowAdam, parameter: nn.Parameter, first: int, last: int) -> None:
        for step in range(first, last):
            rows = [step % 3, 5 + step % 2]
            optimizer.catch_up(parameter, torch.tensor(rows))
            give(parameter, rows, numbers(2, 3, seed=step, dtype=torch.float32))
            optimizer.step()

    through = table(8, dtype=torch.float32)
    whole = RowAdam([through], lr=0.1, **KINDS[kind])
    steps(whole, through, 0, 300)
    saved = copy.deepcopy(whole.state_dict())  # which holds the tensors themselves, as torch has it
    assert json.loads(json.dumps(saved["param_groups"])) == saved["param_groups"]
    assert all(isinstance(value, Tensor) for value in saved["state"][0].values()), "can be kept in safetensors"
    resumed = nn.Parameter(through.detach().clone())
    again = RowAdam([resumed], lr=0.5)
    again.load_state_dict(saved)
    assert again.state[resumed]["last_step"].dtype == torch.int64
    steps(whole, through, 300, 330)
    steps(again, resumed, 300, 330)
    whole.settle()
    again.settle()
    assert torch.equal(through, resumed)


# --- clipping --------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    largest=st.sampled_from([0.0, 0.1, 1.0, 5.0, 100.0]),
    scale=st.sampled_from([1e-4, 1.0, 50.0]),
)
def test_clipping_is_torchs_over_the_gradients_written_out(rows: list[int], largest: float, scale: float) -> None:
    def parameters(sparse: bool) -> list[nn.Parameter]:
        some, other, none = table(5), table(2, seed=1), table(2, seed=2)
        give(some, rows, scale * numbers(len(rows), 3, seed=0), sparse=sparse)
        other.grad = scale * numbers(2, 3, seed=1)
        return [some, none, other]

    ours, torchs = parameters(sparse=True), parameters(sparse=False)
    norm = clip_gradients(ours, largest)
    expected = nn.utils.clip_grad_norm_(torchs, largest or math.inf)
    torch.testing.assert_close(norm, expected)
    for one, other in zip(ours, torchs, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad.to_dense() if one.grad.is_sparse else one.grad, other.grad)


def test_two_gradients_of_a_row_are_one() -> None:
    one = table(3)
    give(one, [1, 1, 2], torch.tensor([[5.0, 0, 0], [-5.0, 0, 0], [0, 3.0, 4.0]], dtype=torch.float64))
    assert float(clip_gradients([one], 1.0)) == pytest.approx(5)
    assert one.grad is not None
    torch.testing.assert_close(one.grad.to_dense()[2], torch.tensor([0, 0.6, 0.8], dtype=torch.float64))


def test_without_gradients_the_norm_is_zero() -> None:
    assert float(clip_gradients([table(2)], 1.0)) == 0


# --- which tables, with which optimizer ------------------------------------------------------------------------


class Words(nn.Module):
    """A table that may be read by rows, and something dense."""

    def __init__(self, rows: int = 6) -> None:
        super().__init__()
        self.before_reading = None
        self.weight = table(rows)
        self.dense = nn.Linear(3, 2).double()

    def forward(self, ids: Tensor) -> Tensor:
        if self.before_reading is not None:
            self.before_reading(ids)
        read = nn.functional.embedding(ids, self.weight, padding_idx=0, sparse=self.before_reading is not None)
        answers: Tensor = self.dense(read)
        return answers


@pytest.fixture
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes tables of tests large enough."""
    monkeypatch.setattr(optimizing, "SMALLEST_TABLE", 0)


def stepped(model: nn.Module, steps: int = 12, **options: Any) -> ModelOptimizer:
    optimizer = make_optimizer(model, TrainingOptions(learning_rate=0.05, **options))
    for step in range(steps):
        optimizer.zero_grad()
        ids = torch.tensor([[0, 1, 2 + step % 3], [0, 0, 1 + step % 4]])
        (model(ids) * numbers(2, 3, 2, seed=step)).sum().backward()
        clip_gradients(optimizer.parameters, 1.0)
        optimizer.step()
    return optimizer


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.3},
        {"optimizer": "sgd", "momentum": 0.0},
    ],
    ids=lambda options: options["optimizer"],
)
def test_a_model_learns_the_same_weights_by_rows(options: dict[str, Any]) -> None:
    by_rows, dense = Words(), Words()
    dense.load_state_dict(by_rows.state_dict())
    padding = by_rows.weight[0].detach().clone()
    assert len(stepped(dense, row_updates=False, **options).optimizers) == 1
    optimizer = stepped(by_rows, **options)
    assert len(optimizer.optimizers) == 2
    assert by_rows.weight.grad is not None
    assert by_rows.weight.grad.is_sparse
    optimizer.finish()
    assert by_rows.before_reading is None
    for name, value in dense.state_dict().items():
        torch.testing.assert_close(by_rows.state_dict()[name], value, rtol=0, atol=1e-6)
    if "weight_decay" not in options:
        assert torch.equal(by_rows.weight[0], padding), "padding is never touched"


@pytest.mark.usefixtures("of_any_size")
def test_a_models_optimizers_go_on_from_a_saved_state() -> None:
    one, other = Words(), Words()
    whole = stepped(one, 5)
    other.load_state_dict(one.state_dict())
    resumed = make_optimizer(other, TrainingOptions(learning_rate=0.05))
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for model, optimizer in ((one, whole), (other, resumed)):
        optimizer.zero_grad()
        model(torch.tensor([3, 5])).sum().backward()
        optimizer.step()
        optimizer.finish()
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.dense.weight, other.dense.weight)


def test_the_rate_is_that_of_all_optimizers(of_any_size: None) -> None:
    optimizer = make_optimizer(Words(), TrainingOptions())
    optimizer.set_rate(0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_only_a_large_table_is_updated_by_rows() -> None:
    rows = math.ceil(optimizing.SMALLEST_TABLE / 3)
    assert list(row_tables(large := Words(rows), TrainingOptions())) == [large.weight]
    assert not row_tables(Words(rows - 1), TrainingOptions())


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize(
    "options",
    [{"row_updates": False}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0, "weight_decay": 0.1}],
)
def test_where_rows_alone_would_not_do_the_table_stays_dense(options: dict[str, Any]) -> None:
    model = Words()
    assert not row_tables(model, TrainingOptions(**options))
    make_optimizer(model, TrainingOptions(**options))
    assert model.before_reading is None


@pytest.mark.usefixtures("of_any_size")
def test_tied_and_frozen_tables_stay_dense() -> None:
    tied = Words()
    tied.dense.weight = tied.weight
    assert not row_tables(tied, TrainingOptions())
    frozen = Words()
    frozen.weight.requires_grad_(False)
    assert not row_tables(frozen, TrainingOptions())
    optimizer = stepped(frozen)
    assert torch.equal(frozen.weight, table(6))
    assert len(optimizer.parameters) == 2


# --- in training -----------------------------------------------------------------------------------------------


def trained(
    recipe_path: Any, reporter: LineReporter | None = None, **options: Any
) -> tuple[Any, list[dict[str, Any]]]:
    recipe = read_recipe(recipe_path, {"embedding.word_dropout": 0.1, "embedding.dropout": 0.1})
    prepared = prepare(recipe, lambda text: None)
    torch.manual_seed(5)
    model = build_model(recipe, prepared.vocabulary, prepared.labels)
    history: list[dict[str, Any]] = []
    train(
        model,
        prepared.collator("train"),
        prepared.collator("validation"),
        TrainingOptions(epochs=4, learning_rate=0.02, schedule="linear", **options),
        BatchingOptions(batch_size=4),
        "accuracy",
        7,
        keep=lambda trained: None,
        record=history.append,
        reporter=reporter or LineReporter(lambda text: None),
    )
    return model, history


@pytest.mark.parametrize("options", [{}, {"optimizer": "adamw", "weight_decay": 0.1}], ids=["adam", "adamw"])
def test_a_training_by_rows_learns_what_a_dense_one_learns(
    tiny_recipe: Any, of_any_size: None, options: dict[str, Any]
) -> None:
    by_rows, history = trained(tiny_recipe, **options)
    dense, expected = trained(tiny_recipe, row_updates=False, **options)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    for line, other in zip(history, expected, strict=True):
        assert line["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
        assert line["validation"]["loss"] == pytest.approx(other["validation"]["loss"], rel=1e-3)
        assert line["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)
    for name, value in dense.state_dict().items():
        torch.testing.assert_close(by_rows.state_dict()[name], value, rtol=0, atol=2e-3)


def test_a_training_by_rows_is_the_same_twice(tiny_recipe: Any, of_any_size: None) -> None:
    one, first = trained(tiny_recipe)
    two, second = trained(tiny_recipe)
    assert [line["train_loss"] for line in first] == [line["train_loss"] for line in second]
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value)


def test_an_embedding_reads_as_before_when_training_is_over_or_stopped(tiny_recipe: Any, of_any_size: None) -> None:
    class Stops(LineReporter):
        def step(self, loss: float, tokens: int) -> None:
            raise KeyboardInterrupt

    for reporter in (None, Stops(lambda text: None)):
        model, _ = trained(tiny_recipe, reporter)
        (embedding,) = model.embeddings
        assert embedding.before_reading is None
        batch = Batch(torch.tensor([[2, 3, 0]]), torch.tensor([2]))
        embedding(batch).sum().backward()
        assert not embedding.weight.grad.is_sparse


def test_a_gradient_by_rows_takes_memory_by_tokens(tmp_path: Any, of_any_size: None) -> None:
    path = make_tiny(tmp_path / "data")
    found = {
        by_rows: describe(read_recipe(path, {"training.row_updates": by_rows}), lambda text: None)
        for by_rows in (True, False)
    }
    texts, steps = found[True].batch
    words = 26
    less = (found[False].megabytes["gradients"] - found[True].megabytes["gradients"]) * 1e6
    assert less == pytest.approx(4 * 8 * (words - texts * steps))
    assert found[False].megabytes["adam"] == found[True].megabytes["adam"]


def test_decay_that_turns_weights_round_is_left_to_dense_adam() -> None:
    module = nn.Module()
    module.weight = table(optimizing.SMALLEST_TABLE // 2, 2, torch.float32)
    module.before_reading = None
    options = {"optimizer": "adamw", "learning_rate": 1.5}
    assert row_tables(module, TrainingOptions(**options, weight_decay=0.5))
    assert not row_tables(module, TrainingOptions(**options, weight_decay=0.7))


def test_a_table_that_a_prediction_reads_first_can_be_trained() -> None:
    weights = table(4)
    optimizer = RowAdam([weights], lr=0.1)
    with torch.inference_mode():
        optimizer.catch_up(weights, torch.tensor([1]))
    give(weights, [1], numbers(1, 3, seed=1))
    optimizer.step()


# --- in stages -------------------------------------------------------------------------------------------------


class Staged:
    """A model of the tiny data, its batches, and what a training left of it after each epoch."""

    def __init__(self, recipe_path: Any, overrides: dict[str, Any] | None = None) -> None:
        recipe = read_recipe(recipe_path, overrides)
        self.prepared = prepare(recipe, lambda text: None)
        torch.manual_seed(5)
        self.model = build_model(recipe, self.prepared.vocabulary, self.prepared.labels)
        self.training = self.prepared.collator("train")
        self.batching = BatchingOptions(batch_size=8)
        self.epochs = [self.weights()]
        self.told: list[str] = []
        self.history: list[dict[str, Any]] = []

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.model.state_dict().items()}

    def record(self, line: dict[str, Any]) -> None:
        self.history.append(line)
        self.epochs.append(self.weights())

    def train(self, options: TrainingOptions, reporter: LineReporter | None = None) -> None:
        validation = self.prepared.collator("validation")
        reporter = reporter or LineReporter(self.told.append)
        arguments = (self.model, self.training, validation, options, self.batching, "accuracy", 7)
        train(*arguments, keep=lambda trained: None, record=self.record, reporter=reporter)

    def moved(self, epoch: int) -> set[str]:
        """Return the stages of which a weight moved in an epoch, by the first parts of its name."""
        before, after = self.epochs[epoch - 1 : epoch + 1]
        names = {name for name in after if not torch.equal(after[name], before[name])}
        return {".".join(name.split(".")[:3]) if name.startswith("encoder") else name.split(".")[0] for name in names}


def names_of(model: nn.Module) -> list[tuple[str, set[str]]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [(stage.name, {names[id(each)] for each in stage.parameters}) for stage in stages_of(model)]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_stages_are_the_head_the_layers_from_the_top_and_the_embeddings(
    tiny_recipe: Any, bidirectional: bool
) -> None:
    encoder = {"encoder.num_layers": 3, "encoder.layer_norm": True, "encoder.bidirectional": bidirectional}
    model = Staged(tiny_recipe, encoder).model
    count = 2 if bidirectional else 1
    found = names_of(model)
    assert [name for name, _ in found] == [
        "the head learns",
        *(f"the encoder's layer {layer} learns" for layer in (3, 2, 1)),
        "the embeddings learn",
    ]
    for (_, names), depth in zip(found[1:4], (2, 1, 0), strict=True):
        layers = {f"encoder.layers.{count * depth + place}" for place in range(count)}
        # What a layer reads is normed; the lowest one reads the embeddings as they are.
        norms = {f"encoder.norms.{count * (depth - 1) + place}" for place in range(count)} if depth else set()
        assert {".".join(name.split(".")[:3]) for name in names} == layers | norms
    assert found[0][1] == {name for name, _ in model.named_parameters() if name.startswith("head.")}
    assert found[-1][1] == {"embeddings.0.weight"}
    assert sum(len(names) for _, names in found) == len(list(model.parameters()))


def test_any_other_encoder_is_one_stage_and_what_is_not_trained_is_none(tiny_recipe: Any) -> None:
    dense = Staged(tiny_recipe, {"encoder.type": "dense", "encoder.num_layers": 2, "embedding.trainable": False})
    assert [name for name, _ in names_of(dense.model)] == ["the head learns", "the encoder learns"]


def test_a_weight_that_head_and_embedding_share_is_the_embeddings(tiny_recipe: Any) -> None:
    recipe = read_recipe(tiny_recipe, {"head.type": "next_token", "encoder.bidirectional": False})
    vocabulary = recipe.vocabulary.build()
    vocabulary.fit({"soup": 2, "lamp": 1})
    model = build_model(recipe, vocabulary, {})
    (head, inside), *_, (_, lowest) = names_of(model)
    assert head == "the head learns"
    assert model.head.words.weight is model.embeddings[0].weight
    assert lowest == {"embeddings.0.weight"}
    assert "head.words.bias" in inside


SGD = {"optimizer": "sgd", "momentum": 0.0, "gradient_clip": 0.0}


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("row_updates", [True, False])
def test_discriminative_rates_scale_the_first_step_of_each_stage(tiny_recipe: Any, row_updates: bool) -> None:
    staged = Staged(tiny_recipe, {"encoder.num_layers": 2})
    staged.batching = BatchingOptions(batch_size=1000)
    staged.train(TrainingOptions(epochs=1, learning_rate=0.5, layer_decay=0.3, row_updates=row_updates, **SGD))
    (line,) = staged.history
    assert line["learning_rate"] == 0.5, "the head's"

    plain = Staged(tiny_recipe, {"encoder.num_layers": 2}).model.train()
    (rows,) = staged.training.training_rows(staged.batching, (7, 1))
    plain(staged.training.batch(rows)).loss.backward()
    for number, stage in enumerate(stages_of(plain)):
        torch.optim.SGD(stage.parameters, lr=0.5 * 0.3**number, fused=True).step()
    for name, weight in plain.state_dict().items():
        if row_updates and name.startswith("embeddings"):  # the sparse kernel adds up otherwise
            torch.testing.assert_close(staged.epochs[1][name], weight, rtol=0, atol=1e-7)
        else:
            assert torch.equal(staged.epochs[1][name], weight), name
        assert not torch.equal(staged.epochs[0][name], weight)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("row_updates", [True, False])
def test_adam_moves_stages_at_their_rates_too(tiny_recipe: Any, row_updates: bool) -> None:
    """Adam's first step is as long as its rate wherever there is a gradient."""
    staged = Staged(tiny_recipe)
    staged.batching = BatchingOptions(batch_size=1000)
    staged.train(TrainingOptions(epochs=1, learning_rate=1e-3, layer_decay=0.5, row_updates=row_updates))
    for name, scale in (("head.", 1.0), ("encoder.", 0.5), ("embeddings.", 0.25)):
        steps = [
            (staged.epochs[1][each] - before).abs().max()
            for each, before in staged.epochs[0].items()
            if each.startswith(name)
        ]
        assert float(max(steps)) == pytest.approx(1e-3 * scale, rel=1e-2)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("options", [{"optimizer": "adam"}, {"optimizer": "adamw"}, {"optimizer": "sgd"}])
@pytest.mark.parametrize("row_updates", [True, False])
def test_a_stage_does_not_move_before_it_joins_in(
    tiny_recipe: Any, options: dict[str, Any], row_updates: bool
) -> None:
    """Weight decay would move it, and idle rows would catch up, if it were merely slow."""
    staged = Staged(tiny_recipe, {"encoder.num_layers": 2})
    decay = {"weight_decay": 0.1, "patience": 0, "learning_rate": 0.01}
    unfrozen = TrainingOptions(epochs=9, unfreeze_epochs=2, row_updates=row_updates, **decay, **options)
    staged.train(unfrozen)
    upper, lower = ({f"encoder.layers.{2 * layer + direction}" for direction in (0, 1)} for layer in (1, 0))
    expected = [{"head"}, {"head"} | upper, {"head"} | upper | lower, {"head", "embeddings"} | upper | lower]
    assert [staged.moved(epoch) for epoch in range(1, 9)] == [stage for stage in expected for _ in range(2)]
    assert [text for text in staged.told if "learn" in text] == [
        "epoch 1: the head learns alone (training.unfreeze_epochs = 2)",
        "epoch 3: the encoder's layer 2 learns from now on",
        "epoch 5: the encoder's layer 1 learns from now on",
        "epoch 7: the embeddings learn from now on",
    ]
    assert all(parameter.requires_grad for parameter in staged.model.parameters())


def test_a_training_that_ends_before_all_have_joined_in_says_so_and_leaves_nothing_frozen(tiny_recipe: Any) -> None:
    staged = Staged(tiny_recipe)
    staged.train(TrainingOptions(epochs=2, unfreeze_epochs=2))
    assert "training.epochs = 2 ends before the embeddings learn, which would be from epoch 5 on" in staged.told
    assert staged.moved(2) == {"head"}
    assert all(parameter.requires_grad for parameter in staged.model.parameters())
    staged.train(TrainingOptions(epochs=2, unfreeze_epochs=2), StopsIn(1))
    assert all(parameter.requires_grad for parameter in staged.model.parameters())


def test_what_is_never_trained_is_not_unfrozen(tiny_recipe: Any) -> None:
    staged = Staged(tiny_recipe, {"embedding.trainable": False})
    staged.train(TrainingOptions(epochs=4, unfreeze_epochs=1, patience=0))
    assert [text for text in staged.told if "from now on" in text] == [
        "epoch 2: the encoder's layer 1 learns from now on"
    ]
    assert "embeddings" not in staged.moved(4)
    assert not staged.model.embeddings[0].weight.requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
        {"optimizer": "sgd", "learning_rate": 0.3},
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_without_stages_a_training_is_what_torchs_optimizer_does_bit_for_bit(
    tiny_recipe: Any, options: dict[str, Any]
) -> None:
    settings_of = TrainingOptions(epochs=2, **{"learning_rate": 0.02, **options})
    staged, plain = Staged(tiny_recipe), Staged(tiny_recipe)
    staged.train(settings_of)
    assert not [text for text in staged.told if "learn" in text]
    torch.manual_seed(0)
    family = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[settings_of.optimizer]
    more = {"momentum": settings_of.momentum} if settings_of.optimizer == "sgd" else {}
    parameters = list(plain.model.parameters())
    optimizer: torch.optim.Optimizer = family(
        parameters, lr=1.0, weight_decay=settings_of.weight_decay, fused=True, **more
    )
    rate = RateSchedule(settings_of, len(plain.training.training_rows(plain.batching, (7, 0))))
    plain.model.train()
    for epoch in (1, 2):
        for batch in plain.training.batches(plain.training.training_rows(plain.batching, (7, epoch))):
            optimizer.param_groups[0]["lr"] = rate.next()
            optimizer.zero_grad()
            plain.model(batch).loss.backward()
            clip_gradients(parameters, settings_of.gradient_clip)
            optimizer.step()
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(staged.epochs[2][name], weight), name
