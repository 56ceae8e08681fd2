"""The training loop: optimizers, schedules, clipping, which epoch is kept, and how it ends."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_recipe

from rnntext import training
from rnntext.batching import Collator
from rnntext.errors import TrainingError
from rnntext.evaluation import evaluate
from rnntext.model import Follower, build_model
from rnntext.preparing import prepare
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe
from rnntext.tables import BatchingOptions, TrainingOptions
from rnntext.training import RateSchedule, make_optimizer, train

OPTIMIZERS = {"adam": 0.05, "adamw": 0.05, "sgd": 1.0}
SCHEDULES = ("constant", "warmup", "cosine", "linear", "plateau")


class Watching(Collator):
    """Keeps the rows of every batch, an epoch a list."""

    def __init__(self, collator: Collator) -> None:
        super().__init__(collator.split, collator.types, collator.token_ids)
        self.epochs: list[list[int]] = []

    def batches(self, all_rows):
        self.epochs.append([row for rows in all_rows for row in rows.tolist()])
        return super().batches(all_rows)


class Toy:
    """The tiny data, and trainings on them."""

    def __init__(self, recipe_path) -> None:
        # A larger start than usual, so that plain gradient descent has something to go by in a few steps.
        self.recipe = read_recipe(recipe_path, {"embedding.initial_range": 1.0})
        self.prepared = prepare(self.recipe, lambda text: None)
        self.training = Watching(self.prepared.collator("train"))

    def model(self):
        torch.manual_seed(5)
        return build_model(self.recipe, self.prepared.vocabulary, self.prepared.labels)

    def train(self, model=None, select_by="accuracy", reporter=None, **options: Any):
        found = SimpleNamespace(history=[], kept=[], told=[], model=model or self.model())
        self.training.epochs.clear()
        found.result = train(
            found.model,
            self.training,
            self.prepared.collator("validation"),
            TrainingOptions(**{"epochs": 3, "learning_rate": 0.02, **options}),
            BatchingOptions(batch_size=16),
            select_by,
            7,
            keep=lambda trained: found.kept.append({k: v.clone() for k, v in trained.state_dict().items()}),
            record=found.history.append,
            reporter=reporter or LineReporter(found.told.append),
        )
        return found


@pytest.fixture(scope="module")
def toy(tiny_recipe):
    return Toy(tiny_recipe)


@pytest.fixture
def scripted(monkeypatch):
    """Makes validation give these scores, an epoch each."""

    def script(*scores: dict[str, float]) -> None:
        rest = iter(scores)
        counts = SimpleNamespace(scores=lambda: {"loss": 1.0, **next(rest)})
        monkeypatch.setattr(training, "evaluate", lambda *arguments: counts)

    return script


# --- learning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_and_schedule_lowers_the_loss(toy, optimizer, schedule):
    found = toy.train(optimizer=optimizer, schedule=schedule, learning_rate=OPTIMIZERS[optimizer], epochs=6)
    assert found.history[-1]["train_loss"] < 0.9 * found.history[0]["train_loss"]
    assert found.history[-1]["validation"]["loss"] < found.history[0]["validation"]["loss"]


def test_what_is_told_of_an_epoch(toy):
    found = toy.train()
    assert [line["epoch"] for line in found.history] == [1, 2, 3]
    line = found.history[0]
    assert line["tokens"] == int(toy.training.split.types.lengths.sum())
    assert line["tokens_per_second"] == pytest.approx(line["tokens"] / line["seconds"])
    assert line["learning_rate"] == 0.02
    assert set(line["validation"]) == {"accuracy", "macro_f1", "ece", "loss"}
    assert found.result.epochs == 3
    assert found.result.tokens == 3 * line["tokens"]
    assert found.result.seconds == pytest.approx(sum(line["seconds"] for line in found.history))
    assert not found.result.interrupted


def test_training_is_the_same_twice(toy):
    one, two = toy.train(), toy.train()
    assert [line["train_loss"] for line in one.history] == [line["train_loss"] for line in two.history]
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name])


def test_every_epoch_reads_every_text_once_in_another_order(toy):
    toy.train()
    count = len(toy.training.split)
    assert [sorted(epoch) for epoch in toy.training.epochs] == [list(range(count))] * 3
    assert len({tuple(epoch) for epoch in toy.training.epochs}) == 3


def test_frozen_parameters_stay_as_they_are(toy):
    model = toy.model()
    weight = model.embeddings[0].weight
    weight.requires_grad_(False)
    before = weight.clone()
    toy.train(model)
    assert torch.equal(weight, before)


def test_dropout_is_off_in_validation_and_on_again_in_training(toy):
    modes = []

    class Looking(LineReporter):
        def step(self, loss, tokens):
            modes.append(model.training)

        def end_epoch(self, record, is_best):
            modes.append(model.training)

    model = toy.model()
    toy.train(model, epochs=2, reporter=Looking(lambda text: None))
    steps = math.ceil(len(toy.training.split) / 16)
    assert modes == ([True] * steps + [False]) * 2


# --- optimizers and clipping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_the_optimizer_has_the_options_of_the_recipe(name, kind):
    options = TrainingOptions(optimizer=name, learning_rate=0.3, weight_decay=0.1, momentum=0.7)
    (optimizer,) = make_optimizer(torch.nn.Linear(2, 2), options).optimizers
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.1)
    assert group.get("momentum", 0.7) == 0.7


def moved(toy, **options: Any) -> float:
    """How far, in L2 norm, one step of plain gradient descent with rate 1 moves all weights."""
    model = toy.model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    everything = BatchingOptions(batch_size=1000)
    plain = TrainingOptions(epochs=1, optimizer="sgd", momentum=0, learning_rate=1.0, **options)
    collators = toy.training, toy.prepared.collator("validation")
    history: list[dict[str, Any]] = []
    reporter = LineReporter(lambda text: None)
    train(model, *collators, plain, everything, "accuracy", 1, lambda trained: None, history.append, reporter)
    squares = [
        float(((after.detach() - start) ** 2).sum()) for after, start in zip(model.parameters(), before, strict=True)
    ]
    assert history[0]["gradient_norm"] > 0.02, "there must be something to clip"
    return math.sqrt(sum(squares))


def test_gradients_are_clipped_to_the_norm_of_the_recipe(toy):
    assert moved(toy, gradient_clip=0.01) == pytest.approx(0.01, rel=1e-3)


def test_a_clip_of_zero_never_clips(toy):
    whole = moved(toy, gradient_clip=1e9)
    assert whole > 0.02
    assert moved(toy, gradient_clip=0.0) == pytest.approx(whole, rel=1e-6)


# --- the learning rate -----------------------------------------------------------------------------------------


def rates(steps, **options: Any) -> list[float]:
    schedule = RateSchedule(TrainingOptions(epochs=2, learning_rate=0.1, **options), steps // 2)
    return [schedule.next() for _ in range(steps)]


def test_a_constant_rate_stays():
    assert rates(20, schedule="constant", warmup_fraction=0.5) == [0.1] * 20


def test_a_warm_up_rises_evenly_and_stays():
    expected = [0.1 * min(1, (step - 0.5) / 5) for step in range(1, 21)]
    assert rates(20, schedule="warmup", warmup_fraction=0.25) == pytest.approx(expected)


def test_a_linear_schedule_rises_and_falls_to_zero():
    expected = [0.1 * min((step - 0.5) / 5, (20.5 - step) / 15) for step in range(1, 21)]
    assert rates(20, schedule="linear", warmup_fraction=0.25) == pytest.approx(expected)


def test_a_cosine_schedule_rises_and_falls_to_zero():
    expected = [
        0.1 * (middle / 5 if middle < 5 else (1 + math.cos(math.pi * (middle - 5) / 15)) / 2)
        for middle in (step - 0.5 for step in range(1, 21))
    ]
    assert rates(20, schedule="cosine", warmup_fraction=0.25) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_without_warm_up_the_rate_starts_at_its_largest(schedule):
    found = rates(1000, schedule=schedule, warmup_fraction=0.0)
    assert found[0] == pytest.approx(0.1, rel=2e-3)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "warmup"])
def test_a_training_of_one_step_learns(schedule):
    (rate,) = [RateSchedule(TrainingOptions(epochs=1, learning_rate=0.1, schedule=schedule), 1).next()]
    assert rate > 0.04


def test_more_steps_than_planned_never_give_a_negative_rate():
    schedule = RateSchedule(TrainingOptions(epochs=1, schedule="linear"), 4)
    assert min(schedule.next() for _ in range(10)) == 0


@pytest.mark.parametrize(
    ("patience", "expected"), [(1, [1, 1, 1, 0.5, 0.5, 0.25]), (0, [1, 1, 0.5, 0.25, 0.125, 1 / 16])]
)
def test_plateau_halves_the_rate_each_time_the_metric_has_stalled(toy, scripted, patience, expected):
    scripted(*[{"accuracy": 0.5}] * 6)
    found = toy.train(epochs=6, patience=0, schedule="plateau", plateau_patience=patience, learning_rate=0.02)
    assert [line["learning_rate"] / 0.02 for line in found.history] == pytest.approx(expected)


def test_plateau_keeps_the_rate_while_the_metric_gets_better(toy, scripted):
    scripted(*({"accuracy": 0.5 + epoch / 10} for epoch in range(4)))
    found = toy.train(epochs=4, schedule="plateau", plateau_patience=0)
    assert {line["learning_rate"] for line in found.history} == {0.02}


def test_the_rate_reaches_the_optimizer(toy):
    found = toy.train(epochs=2, schedule="linear", warmup_fraction=0.0)
    steps = 12  # of both epochs
    expected = [0.02 * (steps - done + 0.5) / steps for done in (6, 12)]
    assert [line["learning_rate"] for line in found.history] == pytest.approx(expected)


# --- which epoch is kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("select_by", "values", "best", "kept"),
    [
        ("accuracy", [0.5, 0.7, 0.6, 0.7], 2, 2),
        ("macro_f1", [0.9, 0.7, 0.6, 0.8], 1, 1),
        ("ece", [0.5, 0.2, 0.1, 0.4], 3, 3),
        ("loss", [0.9, 0.5, 0.7, 0.3], 4, 3),
    ],
)
def test_the_best_epoch_is_kept_in_the_direction_of_its_metric(toy, scripted, select_by, values, best, kept):
    scripted(*({select_by: value} for value in values))
    found = toy.train(epochs=4, select_by=select_by, patience=0)
    assert found.result.best_epoch == best
    assert len(found.kept) == kept


def test_what_is_kept_are_the_weights_of_that_epoch(toy, scripted):
    scripted({"accuracy": 0.5}, {"accuracy": 0.9}, {"accuracy": 0.4}, {"accuracy": 0.5}, {"accuracy": 0.5})
    found = toy.train(epochs=3)
    two = toy.train(epochs=2)  # goes the same way, and ends where the best epoch was
    for name, tensor in two.model.state_dict().items():
        assert torch.equal(found.kept[-1][name], tensor)


def test_training_stops_after_so_many_epochs_without_improvement(toy, scripted):
    scripted(*({"accuracy": value} for value in (0.5, 0.6, 0.6, 0.55, 0.9)))
    found = toy.train(epochs=5, patience=2)
    assert found.result.epochs == 4
    assert found.result.best_epoch == 2
    assert any("stopped early: no better accuracy in 2 epochs" in text for text in found.told)


def test_a_patience_of_zero_never_stops_early(toy, scripted):
    scripted(*[{"accuracy": 0.5}] * 7)
    assert toy.train(epochs=7, patience=0).result.epochs == 7


# --- how it can end --------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_training_with_advice(toy):
    model = toy.model()
    with torch.no_grad():
        model.head.output.weight[0, 0] = math.nan
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1, step 1") as caught:
        toy.train(model, gradient_clip=3.0)
    assert "Lower training.learning_rate (now 0.02)" in str(caught.value)
    assert "training.gradient_clip (now 3.0) to 1" in str(caught.value)


@pytest.mark.parametrize("scores", [{"loss": math.inf, "accuracy": 0.5}, {"ece": math.nan, "accuracy": 0.5}])
def test_a_validation_score_that_is_no_number_stops_training_with_advice(toy, scripted, scores):
    scripted(scores)
    with pytest.raises(TrainingError, match=r"no number after epoch 1\. Lower training\.learning_rate"):
        toy.train(select_by="ece" if "ece" in scores else "accuracy")


def test_weights_that_break_in_the_last_step_are_not_kept(toy):
    class Breaks(LineReporter):
        def step(self, loss, tokens):
            with torch.no_grad():
                model.head.output.weight[0, 0] = math.nan

    model = toy.model()
    kept: list[Any] = []
    with pytest.raises(TrainingError):
        train(
            model,
            toy.training,
            toy.prepared.collator("validation"),
            TrainingOptions(epochs=1),
            BatchingOptions(batch_size=1000),
            "accuracy",
            1,
            keep=kept.append,
            record=lambda line: None,
            reporter=Breaks(lambda text: None),
        )
    assert kept == []


class StopsIn(LineReporter):
    """Presses Ctrl-C in the second step of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__(lambda text: None)
        self.stop_epoch, self.seen = epoch, 0

    def start_epoch(self, epoch, epochs, steps):
        super().start_epoch(epoch, epochs, steps)
        self.now, self.seen = epoch, 0

    def step(self, loss, tokens):
        self.seen += 1
        if self.now == self.stop_epoch and self.seen == 2:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_epochs_until_then(toy):
    found = toy.train(reporter=StopsIn(2))
    assert found.result.interrupted
    assert (found.result.epochs, found.result.best_epoch, len(found.kept), len(found.history)) == (1, 1, 1, 1)


def test_ctrl_c_in_the_first_epoch_keeps_nothing(toy):
    found = toy.train(reporter=StopsIn(1))
    assert found.result.interrupted
    assert (found.result.epochs, found.result.best_epoch, found.kept) == (0, 0, [])


def test_a_head_without_a_loss_is_told_so(toy, monkeypatch):
    model = toy.model()
    monkeypatch.setattr(type(model.head), "_loss", lambda self, logits, targets: None)
    with pytest.raises(TrainingError, match="gave no loss"):
        toy.train(model)


def test_one_text_longer_than_the_budget_is_trained_on(toy):
    found = SimpleNamespace(history=[])
    train(
        toy.model(),
        toy.training,
        toy.prepared.collator("validation"),
        TrainingOptions(epochs=1),
        BatchingOptions(batch_tokens=6),
        "accuracy",
        1,
        keep=lambda trained: None,
        record=found.history.append,
        reporter=LineReporter(lambda text: None),
    )
    assert toy.training.split.types.lengths.max() > 6
    assert found.history[0]["tokens"] == int(np.sum(toy.training.split.types.lengths))


# --- windows that follow on, and losses of tokens ----------------------------------------------------------------


class Remembering:
    """A model whose state says which windows its rows have read, oldest first; it hears with what it is called."""

    def __init__(self, carry_state: bool | None = None, leaks: frozenset[str] = frozenset(), stateless: bool = False):
        self.head = SimpleNamespace() if carry_state is None else SimpleNamespace(carry_state=carry_state)
        self.leaks = leaks
        self.stateless = stateless
        self.begun_with: list[list[list[float]] | None] = []

    def __call__(self, batch):
        return self.go_on(batch, None)[0]

    def go_on(self, batch, state):
        self.begun_with.append(None if state is None else state[0][:, 0].tolist())
        read = batch.token_ids[:, None, :1].float().requires_grad_()
        state = (read if state is None else torch.cat([state[0], read], dim=2),)
        return SimpleNamespace(loss=read.sum()), SimpleNamespace(state=None if self.stateless else state)


def window(goes_on: bool | None, *rows: int) -> Any:
    ids = torch.tensor(rows)[:, None]
    return SimpleNamespace(token_ids=ids, lengths=torch.ones(len(rows), dtype=torch.int64), goes_on=goes_on)


def begun_with(model: Remembering, *batches: Any) -> list[Any]:
    follow = Follower(model)  # type: ignore[arg-type]
    for batch in batches:
        follow(batch)
    return model.begun_with


def test_a_batch_begins_with_the_state_of_the_one_that_it_follows():
    found = begun_with(
        Remembering(),
        window(False, 1, 2),
        window(True, 3, 4),
        window(True, 5, 6),
        window(False, 7, 8),
        window(True, 9),
    )
    assert found == [None, [[1], [2]], [[1, 3], [2, 4]], None, [[7]]]


def test_rows_that_end_drop_out_of_the_state_and_the_others_keep_theirs():
    found = begun_with(Remembering(), window(False, 1, 2, 3), window(True, 4, 5), window(True, 6, 7), window(True, 8))
    assert found == [None, [[1], [2]], [[1, 4], [2, 5]], [[1, 4, 6]]]


def test_whole_texts_have_no_state_to_begin_with_and_leave_none():
    found = begun_with(Remembering(), window(False, 1), window(None, 2), window(None, 3), window(True, 4))
    assert found == [None, None, None, [[1]]]


@pytest.mark.parametrize(
    "model",
    [Remembering(carry_state=False), Remembering(leaks=frozenset({"future"})), Remembering(stateless=True)],
    ids=["told not to", "leaks", "without a state"],
)
def test_some_models_begin_every_window_from_zero(model):
    assert begun_with(model, window(False, 1, 2), window(True, 3, 4), window(True, 5, 6)) == [None] * 3


def test_the_state_is_carried_where_the_head_says_so_or_nothing():
    for carry_state in (True, None):
        assert begun_with(Remembering(carry_state), window(False, 1), window(True, 2)) == [None, [[1]]]


def test_the_state_is_carried_on_without_its_gradient():
    states = []

    class Looking(Remembering):
        def go_on(self, batch, state):
            states.append(state)
            return super().go_on(batch, state)

    begun_with(Looking(), window(False, 1), window(True, 2), window(True, 3))
    assert [state and state[0].requires_grad for state in states] == [None, False, False]


class Language:
    """Lines of words and a language model of them, whose training hardly moves it."""

    def __init__(self, folder, lines, **dataset: Any) -> None:
        for name in ("train", "validation"):
            (folder / f"{name}.txt").write_text("\n".join(lines))
        tables: dict[str, dict[str, Any]] = {
            "dataset": {"type": "text", "train": "train.txt", "validation": "validation.txt", **dataset},
            "tokenizer": {"type": "whitespace"},
            "embedding": {"initial_range": 1.0},
            "encoder": {"bidirectional": False},
            "head": {"type": "next_token"},
        }
        self.recipe = read_recipe(write_recipe(folder, **tables))
        self.prepared = prepare(self.recipe, lambda text: None)
        self.collator = self.prepared.collator("train")

    def model(self, **changes: Any):
        torch.manual_seed(5)
        model = build_model(self.recipe, self.prepared.vocabulary, {})
        vars(model.head).update(changes)
        return model


def history(model, prepared, batch_size: int, epochs: int = 1) -> list[dict[str, Any]]:
    """Return what is told of a training that moves the weights by next to nothing."""
    found: list[dict[str, Any]] = []
    still = TrainingOptions(epochs=epochs, patience=0, learning_rate=1e-12, optimizer="sgd")
    batching = BatchingOptions(batch_size=batch_size)
    reporter = LineReporter(lambda text: None)
    collators = prepared.collator("train"), prepared.collator("validation")
    train(model, *collators, still, batching, None, 7, lambda trained: None, found.append, reporter)
    return found


RAGGED = ["a soup", "the cook stirs a soup and a stew", "lamp", "a cook and a lamp", "stew", "the soup the stew"]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6])
def test_the_training_loss_of_a_language_model_is_the_mean_over_tokens(tmp_path, batch_size):
    language = Language(tmp_path, RAGGED)
    model = language.model()
    (line,) = history(model, language.prepared, batch_size)
    scores = evaluate(model, language.collator, BatchingOptions(batch_size=100)).scores()
    assert line["train_loss"] == pytest.approx(scores["loss"], rel=1e-5)
    assert math.exp(line["train_loss"]) == pytest.approx(scores["perplexity"], rel=1e-5)
    assert line["validation"]["loss"] == pytest.approx(scores["loss"], rel=1e-5)


def test_the_loss_of_labelled_texts_is_the_mean_over_texts(toy):
    model, texts = toy.model(), toy.prepared.collator("train")
    assert len(texts.split) % 20, "the last batch is smaller"
    by_size = [evaluate(model, texts, BatchingOptions(batch_size=size)).scores()["loss"] for size in (20, 1000)]
    (line,) = history(model, toy.prepared, 20)
    assert [line["train_loss"], by_size[0]] == pytest.approx([by_size[1]] * 2, rel=1e-5)


@pytest.mark.parametrize("carry_state", [None, False])
def test_training_in_sequence_carries_the_state_on_unless_told_not_to(tmp_path, carry_state):
    language = Language(tmp_path, RAGGED * 6, num_steps=3, sampling="sequential")
    collator, options = language.collator, BatchingOptions(batch_size=2)
    model = language.model(carry_state=carry_state)
    rows = collator.training_rows(options, (7, 1))
    begin, end = rows[0][:, 0], rows[-1][:, 1]
    whole = collator.batch(np.stack([begin, end, [0, 0]], axis=1))
    with torch.no_grad():
        at_once = float(model(whole).loss)
        apart = float(np.mean([float(model(collator.batch(windows)).loss) for windows in rows]))
    assert abs(at_once - apart) > 1e-3
    (line,) = history(model, language.prepared, 2)
    assert line["train_loss"] == pytest.approx(apart if carry_state is False else at_once, rel=1e-5)
    assert line["tokens"] == sum(int((windows[:, 1] - windows[:, 0]).sum()) for windows in rows)


def test_training_at_random_begins_every_window_from_zero_even_one_by_one(tmp_path):
    language = Language(tmp_path, RAGGED, num_steps=7)
    collator, options = language.collator, BatchingOptions(batch_size=1)
    model = language.model()
    epochs = [collator.training_rows(options, (7, number)) for number in range(1, 9)]
    pairs = [pair for rows in epochs for pair in pairwise(rows)]
    assert any(before[0, 1] == after[0, 0] for before, after in pairs), "by chance one comes right after another"
    with torch.no_grad():
        expected = [
            np.mean([float(model(collator.batch(rows)).loss) for rows in windows]).item() for windows in epochs
        ]
    found = [line["train_loss"] for line in history(model, language.prepared, 1, epochs=8)]
    assert found == pytest.approx(expected, rel=1e-5)
