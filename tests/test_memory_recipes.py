"""The memory recipes: recall data, the probe and its gradients, and "hello" -> "ohlol"."""

from __future__ import annotations

import json
import random
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes" / "memory"))

import gradients
import hello
import probe
import recall
import results

import rnntext
from rnntext import registry
from rnntext.cli import main
from rnntext.recipe import read_recipe

FOLDER = Path(recall.__file__).parent
RECIPE = FOLDER / "recall.toml"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SPLITS = ("train", "validation", "test")


def rows_of(split: str) -> list[dict[str, str]]:
    with open(FOLDER / "data" / f"{split}.jsonl", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


# ---- the recall data and the recipe


@pytest.mark.parametrize("split", SPLITS)
def test_the_label_of_each_text_is_its_first_word_and_all_others_are_noise(split):
    for row in rows_of(split):
        first, *others = row["text"].split()
        assert first == row["label"] in recall.SYMBOLS
        assert len(others) == int(row["gap"]) >= 1
        assert set(others) <= set(recall.NOISE)


def test_no_text_is_in_two_splits_or_twice_in_one_and_labels_are_even():
    texts = [row["text"] for split in SPLITS for row in rows_of(split)]
    assert len(texts) == len(set(texts)) > 1500
    for split in SPLITS:
        labels = [row["label"] for row in rows_of(split)]
        assert len({labels.count(symbol) for symbol in recall.SYMBOLS}) == 1


def test_the_data_are_what_the_script_writes_and_small(tmp_path):
    recall.write_data(tmp_path)
    for split in SPLITS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (FOLDER / "data" / f"{split}.jsonl").read_bytes()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000


def test_the_recipe_is_valid_and_lets_only_the_last_state_of_a_one_way_encoder_answer(capsys):
    assert main(["check", str(RECIPE)]) == 0
    recipe = read_recipe(RECIPE)
    assert recipe.encoder.options["bidirectional"] is False
    assert recipe.head.options["pooling"] == ["final"]


def test_the_change_of_encoder_that_the_heading_names_trains_one_way(tmp_path):
    (pairs,) = re.findall(r"# Forgets:.*?(--set .*)", RECIPE.read_text(encoding="utf-8"))
    quick = ["--set", "training.epochs=1", "--set", "dataset.limit=40", "--set", "baselines.enabled=false"]
    assert main(["run", str(RECIPE), *shlex.split(pairs), *quick, "--out", str(tmp_path / "run"), "-q"]) == 0
    frozen = read_recipe(tmp_path / "run" / "recipe.toml").encoder
    assert (frozen.name, frozen.options["bidirectional"], frozen.options["hidden_dim"]) == ("rnn", False, 32)


@pytest.mark.slow
def test_the_recipe_separates_an_lstm_from_a_plain_network(tmp_path):
    lstm = rnntext.run(RECIPE, out=tmp_path / "lstm").metrics["test"]["accuracy"]
    plain = {"encoder.type": "rnn", "encoder.bidirectional": False, "encoder.hidden_dim": 32}
    assert lstm > 0.95
    assert rnntext.run(RECIPE, plain, out=tmp_path / "rnn").metrics["test"]["accuracy"] < 0.8


@pytest.mark.parametrize("name", ["recall", "memory/recall", "memory/recall.toml"])
def test_the_recipe_is_listed_and_copied_with_its_data_and_scripts(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["recipes"]) == 0
    assert "memory/recall " in capsys.readouterr().out
    assert main(["copy", name]) == 0
    copied = capsys.readouterr().out.splitlines()
    assert copied[0] == "memory/recall.toml"
    assert {"recipe.schema.json", "memory/probe.py", "memory/README.md", "memory/data/train.jsonl"} <= set(copied)
    assert not [file for file in copied if "__pycache__" in file]
    assert main(["check", "memory/recall.toml"]) == 0


@given(gap=st.integers(0, 60), count=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_drawn_texts_begin_with_their_symbol_and_go_on_in_noise(gap, count, seed):
    token_ids, first = recall.draw(gap, count, torch.Generator().manual_seed(seed))
    assert token_ids.shape == (count, gap + 1)
    assert torch.equal(token_ids[:, 0], first)
    assert first.max() < len(recall.SYMBOLS)
    if gap:
        assert len(recall.SYMBOLS) <= token_ids[:, 1:].min()
        assert token_ids[:, 1:].max() < len(recall.SYMBOLS) + len(recall.NOISE)


@given(gap=st.integers(2, 40), count=st.integers(1, 24), seed=st.integers(0, 2**32))
def test_written_rows_are_labelled_by_their_first_word_and_never_repeat_what_was_seen(gap, count, seed):
    seen: set[str] = set()
    earlier = {row["text"] for row in recall.rows(gap, count, random.Random(seed), seen)}
    later = list(recall.rows(gap, count, random.Random(seed), seen))
    assert len(earlier) == len(later) == count
    assert not earlier & {row["text"] for row in later}
    assert all(row["text"].split()[0] == row["label"] for row in later)


# ---- the probe


def test_a_short_training_carries_a_word_over_five_tokens_where_dense_cannot():
    torch.manual_seed(1)
    lstm = probe.Recall("lstm", {})
    assert probe.train(lstm, gap=5, seed=1, steps=150) < 150, "it stops once it is learnt"
    assert probe.accuracy(lstm, 5, 500, torch.Generator().manual_seed(7)) > 0.9
    dense = probe.Recall("dense", {})
    assert probe.train(dense, gap=5, seed=1, steps=50) == 50
    assert probe.accuracy(dense, 5, 500, torch.Generator().manual_seed(7)) < 0.4


def test_every_encoder_of_the_probe_reads_one_way():
    for name, options in probe.ENCODERS.values():
        model = probe.Recall(name, options)
        assert model.encoder.output_dim == probe.HIDDEN_DIM
        token_ids, _ = recall.draw(4, 3, torch.Generator().manual_seed(1))
        assert model(token_ids).shape == (3, len(recall.SYMBOLS))


def test_the_weights_of_the_best_check_are_kept(monkeypatch):
    found = iter([0.3, 0.8, 0.5])
    seen = []

    def check(model, gap, count, generator):
        seen.append(model.head.bias.detach().clone())
        return next(found)

    monkeypatch.setattr(probe, "accuracy", check)
    model = probe.Recall("dense", {})
    probe.train(model, gap=2, seed=1, steps=3 * probe.CHECK_EVERY)
    assert torch.equal(model.head.bias, seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.fixture
def quick_probe(monkeypatch, tmp_path):
    """A probe that makes up its accuracies: runs of ``main`` and which networks each has trained."""
    trained: list[tuple[str, int, int]] = []

    def run_one(label, gap, seed):
        trained.append((label, gap, seed))
        right = 0.3 if label == "rnn" and gap > 10 else 1.0
        return {"encoder": label, "gap": gap, "seed": seed, "accuracy": right, "steps": 25, "seconds": 0.1}, None

    monkeypatch.setattr(probe, "run_one", run_one)
    monkeypatch.setattr(probe, "exploding", lambda: {"scale": 4.0})
    monkeypatch.setitem(sys.modules, "plots", type("Plots", (), {"draw_all": staticmethod(lambda *given: None)}))

    def run(*arguments):
        trained.clear()
        probe.main([*arguments, "--results", str(tmp_path / "results.json")])
        return list(trained)

    return run


def test_a_finished_network_is_not_trained_again_unless_forced(quick_probe):
    wanted = ["--encoders", "lstm", "gru", "--gaps", "5", "10"]
    assert len(quick_probe(*wanted)) == 4 * len(probe.SEEDS)
    assert quick_probe(*wanted) == []
    assert quick_probe("--encoders", "lstm", "--gaps", "5", "20") == [("lstm", 20, seed) for seed in probe.SEEDS]
    assert len(quick_probe("--encoders", "gru", "--gaps", "5", "--force")) == len(probe.SEEDS)


def test_an_interrupted_probe_goes_on_where_it_stopped(quick_probe, monkeypatch):
    run_one = probe.run_one

    def stops_at_gap_ten(label, gap, seed):
        if gap == 10:
            raise KeyboardInterrupt
        return run_one(label, gap, seed)

    monkeypatch.setattr(probe, "run_one", stops_at_gap_ten)
    with pytest.raises(KeyboardInterrupt):
        quick_probe("--encoders", "lstm", "--gaps", "5", "10")
    monkeypatch.setattr(probe, "run_one", run_one)
    assert quick_probe("--encoders", "lstm", "--gaps", "5", "10") == [("lstm", 10, seed) for seed in probe.SEEDS]


def test_after_two_gaps_out_of_reach_longer_ones_are_not_run(quick_probe, tmp_path):
    done = quick_probe("--encoders", "rnn", "lstm")
    assert [gap for label, gap, seed in done if label == "rnn" and seed == 1] == [5, 10, 20, 50]
    assert [gap for label, gap, seed in done if label == "lstm" and seed == 1] == list(probe.GAPS)
    found = results.load(tmp_path / "results.json")["runs"]
    assert {run["gap"] for run in found if run["accuracy"] is None} == {100, 200, 500}
    assert quick_probe("--encoders", "rnn") == []


@given(st.recursive(st.floats(1e-300, 1e300) | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_rounding_keeps_four_digits_and_everything_else(value):
    if isinstance(value, float):
        assert results.rounded(value) == pytest.approx(value, rel=1e-3)
    elif isinstance(value, list):
        assert results.rounded(value) == [results.rounded(inner) for inner in value]
    else:
        assert results.rounded(value) == value


def test_results_are_read_back_as_they_were_written(tmp_path):
    found = results.load(FOLDER / "results.json")
    results.save(found, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (FOLDER / "results.json").read_bytes()


def test_the_table_of_the_readme_is_that_of_the_results():
    found = results.load(FOLDER / "results.json")["runs"]
    assert {run["encoder"] for run in found} == set(probe.ENCODERS)
    assert results.table(found) in README


def test_the_plots_can_be_drawn_again_and_are_small(tmp_path):
    plots = pytest.importorskip("plots", reason="the extra plots is not installed")
    plots.draw_all(results.load(FOLDER / "results.json"), tmp_path)
    for name in ("memory.svg", "gradients.svg", "exploding.svg"):
        assert f"]({name})" in README
        for folder in (tmp_path, FOLDER):
            assert 10_000 < (folder / name).stat().st_size < 150_000


@given(heights=st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_labels_are_spread_apart_in_their_order_above_the_floor(heights):
    plots = pytest.importorskip("plots", reason="the extra plots is not installed")
    placed = plots.spread(heights, least=0.05, floor=0.02)
    assert list(placed) == sorted(heights, key=lambda name: heights[name])
    values = list(placed.values())
    assert values[0] >= 0.02
    assert all(above - below > 0.04 for below, above in pairwise(values))


# ---- gradients


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "dense"])
def test_state_gradients_are_the_norms_of_the_jacobian(name):
    torch.manual_seed(1)
    options = {} if name == "dense" else {"bidirectional": False}
    encoder = registry.get("encoders", name)(input_dim=3, hidden_dim=5, **options).double()
    embedded = torch.randn(2, 6, 3, dtype=torch.float64)
    norms = gradients.state_gradients(encoder, embedded)
    assert norms.shape == (2, 6)
    for text in range(2):
        jacobian = torch.autograd.functional.jacobian(
            lambda one: encoder(one[None], torch.tensor([6])).final[0], embedded[text]
        )  # [5, 6, 3]
        torch.testing.assert_close(norms[text], jacobian.square().sum(dim=(0, 2)).sqrt())


def test_state_gradients_agree_with_finite_differences():
    torch.manual_seed(2)
    encoder = registry.get("encoders", "rnn")(input_dim=2, hidden_dim=4, bidirectional=False).double()
    embedded, lengths, small = torch.randn(1, 7, 2, dtype=torch.float64), torch.tensor([7]), 1e-6
    columns = []
    for number in range(2):
        nudge = torch.zeros_like(embedded)
        nudge[0, 0, number] = small
        with torch.no_grad():
            change = encoder(embedded + nudge, lengths).final - encoder(embedded - nudge, lengths).final
        columns.append(change / (2 * small))
    expected = torch.cat(columns).norm()
    assert gradients.state_gradients(encoder, embedded)[0, 0].item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_plain_network_fades_with_distance_at_its_start_and_grows_with_large_weights():
    torch.manual_seed(1)
    model = probe.Recall("rnn", {})
    faded = dict(gradients.reach(model.encoder, model.embedding, distances=(1, 20, 60), texts=2))
    assert faded[1] > 1e3 * faded[20] > 1e6 * faded[60] > 0
    with torch.no_grad():
        model.encoder.get_parameter(next(n for n, _ in model.encoder.named_parameters() if "weight_hh" in n)).mul_(4)
    grown = dict(gradients.reach(model.encoder, model.embedding, distances=(1, 20, 60), texts=2))
    assert 1 < grown[1] < grown[20] < grown[60]
    assert next(model.encoder.parameters()).dtype == torch.float32, "measured on a copy"


def test_no_gradient_reaches_a_dense_encoder_from_another_token():
    model = probe.Recall("dense", {})
    assert gradients.reach(model.encoder, model.embedding, distances=(1, 5), texts=2) == [(1, 0.0), (5, 0.0)]


def test_clipping_learns_where_an_explosion_ends_learning():
    wild, tame = (gradients.explode(clip, scale=4.0, steps=150, seed=2) for clip in (None, 1.0))
    assert wild["norm"][0] == tame["norm"][0] > 10
    assert min(wild["loss"]) > 1.2
    assert max(tame["loss"][-10:]) < 0.3


def test_clipping_changes_nothing_below_its_bound():
    assert gradients.explode(1e9, scale=1.0, steps=5) == gradients.explode(None, scale=1.0, steps=5)


# ---- hello


@pytest.mark.parametrize("embedded", [False, True], ids=["one-hot", "embedded"])
def test_hello_becomes_ohlol_and_the_loop_is_the_module_all_the_way(embedded):
    moments = list(hello.learn(embedded))
    assert moments[0].said != "ohlol"
    assert moments[-1].said == "ohlol"
    assert moments[-1].loss < 0.05 < 1 < moments[0].loss
    assert max(moment.difference for moment in moments) < 1e-6


@settings(max_examples=25, deadline=None)
@given(
    texts=st.integers(1, 4),
    steps=st.integers(1, 7),
    width=st.integers(1, 5),
    hidden=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_the_loop_is_the_encoder(texts, steps, width, hidden, seed):
    torch.manual_seed(seed)
    encoder = registry.get("encoders", "rnn")(input_dim=width, hidden_dim=hidden, bidirectional=False)
    inputs = torch.randn(texts, steps, width)
    states = encoder(inputs, torch.full((texts,), steps)).states
    torch.testing.assert_close(hello.loop(inputs, *hello.weights_of(encoder)), states, atol=1e-6, rtol=0)


def test_an_embedding_row_is_a_one_hot_vector_times_the_matrix():
    model, ids = hello.Hello(embedded=True), hello.ids_of("hello")
    one_hot = nn.functional.one_hot(ids, 4).float()
    torch.testing.assert_close(model.inputs(ids), one_hot @ model.embedding.weight)


def test_hello_prints_little(capsys):
    hello.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 30
    assert sum("ohlol" in line for line in lines) >= 4
