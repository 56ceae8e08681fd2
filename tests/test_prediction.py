"""A trained model: the same answer whatever the batch, nothing broken is loaded, any stream fits in memory."""

from __future__ import annotations

import json
import random
import shutil
import socket
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import make_tiny, tiny_rows, write_jsonl

import rnntext
from rnntext import encoding, inputs
from rnntext.contracts import Batch
from rnntext.errors import DataError, RunFolderError, UsageError
from rnntext.inputs import as_example, windows
from rnntext.model import build_model
from rnntext.prediction import TOKENS_A_TEXT, Prediction, TrainedModel
from rnntext.recipe import read_recipe

POOLINGS = ("final", "max", "mean", "attention", ["max", "mean"])
NEEDED = ("recipe.toml", "model.safetensors", "vocabulary.json", "labels.json", "selftest.json")


def probabilities(predictions):
    return [[prediction.probabilities[label] for label in ("bad", "good")] for prediction in predictions]


# --- batch neighbours never change an answer -------------------------------------------------------------------


def untrained(recipe_path, tokens, **overrides):
    """A model with large random weights, so that anything that leaks between texts shows in its answers."""
    recipe = read_recipe(recipe_path, {"encoder.hidden_dim": 6, "embedding.output_dim": 5, **overrides})
    vocabulary = recipe.vocabulary.build()
    vocabulary.fit(dict.fromkeys(tokens, 1))
    labels = {"labels": ["bad", "good"], "counts": {"bad": 1, "good": 1}, "texts": 2, "multi_label": False}
    torch.manual_seed(11)
    model = build_model(recipe, vocabulary, labels)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        model.embeddings[0].weight.mul_(10)
    return TrainedModel(recipe, recipe.tokenizer.build(), vocabulary, labels, model.eval(), torch.device("cpu"))


@pytest.mark.parametrize("encoder", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 1},
        {"num_layers": 1, "bidirectional": False},
        {"num_layers": 2, "interleaved": True},
        {"num_layers": 2, "interleaved": False},
    ],
    ids=["one", "forwards", "interleaved", "apart"],
)
def test_a_text_has_one_answer_alone_among_others_and_in_any_order(tiny_recipe, encoder, options):
    words = [f"w{number}" for number in range(40)]
    chooser = random.Random(3)
    texts = [" ".join(chooser.choices(words, k=chooser.choice([1, 2, 3, 7, 20, 45]))) for _ in range(63)] + [""]
    for pooling in POOLINGS:
        settings = {f"encoder.{key}": value for key, value in {"type": encoder, **options}.items()}
        model = untrained(tiny_recipe, words, **{"head.pooling": pooling, **settings})
        together = probabilities(model.pipe(texts, batch_size=64))
        backwards = probabilities(model.pipe(reversed(texts), batch_size=64))[::-1]
        small = probabilities(model.pipe(texts, batch_size=5))
        alone = probabilities(model(text) for text in [*texts[:8], ""])
        assert together == [pytest.approx(row, abs=1e-6) for row in backwards], pooling
        assert together == [pytest.approx(row, abs=1e-6) for row in small], pooling
        assert [*together[:8], together[-1]] == [pytest.approx(row, abs=1e-6) for row in alone], pooling
        assert max(row[0] for row in together) - min(row[0] for row in together) > 0.05, "texts must differ"


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(["soup", "tent", "lovely", "unheard"]), max_size=90), max_size=40),
    batch_size=st.integers(1, 70),
)
def test_a_text_has_one_answer_whatever_the_batch_size(tiny_model, texts, batch_size):
    whole = [" ".join(words) for words in texts]
    found = list(tiny_model.pipe(whole, batch_size=batch_size))
    assert [each.text for each in found] == whole
    alone = [tiny_model(text) for text in whole]
    assert probabilities(found) == [pytest.approx(row, abs=1e-6) for row in probabilities(alone)]


@pytest.fixture
def batches_read(tiny_model, monkeypatch):
    """Every batch that the network of ``tiny_model`` reads."""
    read: list[Batch] = []
    forward = tiny_model.model.forward
    monkeypatch.setattr(tiny_model.model, "forward", lambda batch: (read.append(batch), forward(batch))[1])
    return read


def test_texts_of_very_unequal_lengths_come_in_order_from_batches_within_the_budget(tiny_model, batches_read):
    chooser = random.Random(5)
    lengths = [chooser.choice([1, 2, 5, 30, 200, 900]) for _ in range(120)]
    texts = [" ".join(chooser.choices(["lovely", "soup", "dull", "tent"], k=length)) for length in lengths]
    found = list(tiny_model.pipe(texts, batch_size=8))
    assert [each.text for each in found] == texts
    budget = 8 * TOKENS_A_TEXT
    shapes = [tuple(batch.token_ids.shape) for batch in batches_read]
    assert sum(rows for rows, _ in shapes) == 120
    assert all(rows * steps <= budget or rows == 1 for rows, steps in shapes)
    assert max(rows for rows, _ in shapes) > 8, "short texts share a batch"
    assert (1, 900) in shapes, "a text above the budget is read alone"
    batches_read.clear()
    assert probabilities(found[:10]) == [
        pytest.approx(row, abs=1e-6) for row in probabilities(tiny_model(text) for text in texts[:10])
    ]


def test_evaluating_keeps_the_budget_too(tiny_recipe, tiny_model, batches_read):
    assert tiny_model.evaluate(tiny_recipe.parent / "test.jsonl", batch_size=1).texts == 24
    assert all(batch.token_ids.numel() <= TOKENS_A_TEXT or len(batch.lengths) == 1 for batch in batches_read)
    with pytest.raises(UsageError, match="batch_size must be at least 1, not 0"):
        tiny_model.evaluate(tiny_recipe.parent / "test.jsonl", batch_size=0)


# --- calling a model -------------------------------------------------------------------------------------------


def test_a_text_gives_a_prediction_with_the_keys_of_the_protocol(tiny_model):
    found = tiny_model("the lovely soup")
    assert found.label == "good"
    assert found.text == "the lovely soup"
    assert found.probability == found.probabilities["good"]
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.to_dict()) == ["text", "label", "probability", "probabilities"]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_a_prediction_says_what_it_has(tiny_model):
    with pytest.raises(AttributeError, match="no 'tag'; it has: text, label, probability, probabilities"):
        _ = tiny_model("soup").tag
    assert "label='good'" in repr(tiny_model("lovely lovely soup"))


def test_predictions_are_equal_by_value():
    assert Prediction({"a": 1}) == Prediction({"a": 1})
    assert Prediction({"a": 1}) != Prediction({"a": 2})
    assert len({Prediction({"a": [1]}), Prediction({"a": [1]})}) == 1


def test_a_list_gives_a_list_in_the_same_order(tiny_model):
    texts = [row["text"] for row in tiny_rows(150, 9)]
    found = tiny_model(texts)
    assert [prediction.text for prediction in found] == texts
    assert [prediction.label for prediction in found] == [tiny_model(text).label for text in texts]


@pytest.mark.parametrize("nothing", [[], (), iter([])])
def test_no_texts_give_no_predictions(tiny_model, nothing):
    assert tiny_model(nothing) == []


def test_any_iterable_of_texts_is_taken(tiny_model):
    expected = tiny_model(["soup", "tent"])
    assert tiny_model(("soup", "tent")) == expected
    assert tiny_model(text for text in ("soup", "tent")) == expected


def test_a_stream_is_read_window_by_window(tiny_model):
    taken = 0

    def many():
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield f"soup number {number}"

    answers = tiny_model.pipe(many(), batch_size=2)
    assert taken == 0
    assert next(answers).text == "soup number 0"
    assert taken == 32
    assert [next(answers).text for _ in range(31)][-1] == "soup number 31"
    assert taken == 32
    next(answers)
    assert taken == 64


def test_long_texts_end_a_window_early(tiny_model, monkeypatch):
    monkeypatch.setattr(inputs, "CHARACTERS_A_WINDOW", 1050)
    taken = 0

    def many():
        nonlocal taken
        for number in range(40):
            taken += 1
            yield {"tokens": ["soup"] * 60, "text": ""} if number % 2 else "soup " * 60

    answers = tiny_model.pipe(many())
    next(answers)
    assert taken == 6, "300 characters and 60 tokens, three times"
    assert len(list(answers)) == 39


@given(sizes=st.lists(st.integers(0, 30)), most=st.integers(1, 9), characters=st.integers(1, 50))
def test_windows_hold_everything_in_order_and_end_when_full(sizes, most, characters):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "CHARACTERS_A_WINDOW", characters)
        taken: list[int] = []
        found = []
        for window in windows((taken.append(size) or size for size in sizes), most, lambda size: size):
            found += window
            assert taken == found, "nothing is read ahead"
            assert 1 <= len(window) <= most
            assert sum(window[:-1]) < characters, "the last text alone may exceed it"
            assert len(window) == most or sum(window) >= characters or len(found) == len(sizes)
        assert found == sizes


def test_a_stream_of_ever_new_words_leaves_no_trace(tiny_run, monkeypatch):
    model = rnntext.load(tiny_run.path)
    monkeypatch.setattr(encoding, "TOKENS_KEPT", 100)
    expected = model("lovely soup").probabilities
    for found in model.pipe((f"lovely soup {number} {'x' * number}" for number in range(2000)), batch_size=4):
        assert found.label == "good"
    assert len(model._known._ids) <= 100
    assert model("lovely soup").probabilities == expected


def test_a_mapping_gives_its_id_back_and_may_bring_tokens(tiny_model):
    found = tiny_model([{"id": 7, "text": "lovely soup"}, {"tokens": ["dull", "tent"], "id": None}, {"text": "soup"}])
    assert list(found[0].to_dict())[:2] == ["id", "text"]
    assert (found[0].id, found[0].label) == (7, "good")
    assert (found[1].id, found[1].text, found[1].label) == (None, "dull tent", "bad")
    assert "id" not in found[2].to_dict()
    assert tiny_model({"text": "lovely soup", "id": 1}).id == 1


def test_tokens_are_not_cut_again(tiny_model):
    assert as_example({"tokens": ["lovely soup"]}).tokens == ("lovely soup",)
    assert as_example({"tokens": ("a", "b"), "text": "a b!"}).text == "a b!"
    assert tiny_model({"tokens": ["lovely soup"]}).probability != tiny_model("lovely soup").probability


@pytest.mark.parametrize("wrong", [3, None, b"bytes", 1.5, {"id": 1}, {"text": 3}, {"tokens": "ab"}, {"tokens": [1]}])
def test_what_is_no_text_is_refused_by_name(tiny_model, wrong):
    for texts in (wrong, ["a text", wrong]):
        with pytest.raises(UsageError, match=r'expected a text, got|expected "text"'):
            tiny_model(texts)


def test_pipe_wants_many_texts(tiny_model):
    for wrong in ("a text", {"text": "a"}, b"a", 3):
        with pytest.raises(UsageError, match="pipe takes many texts"):
            next(tiny_model.pipe(wrong))
    with pytest.raises(UsageError, match="batch_size must be at least 1, not 0"):
        next(tiny_model.pipe(["a"], batch_size=0))


def test_top_k_keeps_the_most_probable_labels(tiny_model):
    found = tiny_model("lovely soup", top_k=1)
    assert found.probabilities == {"good": found.probability}
    assert len(tiny_model("lovely soup", top_k=9).probabilities) == 2
    for wrong in (0, -1):
        with pytest.raises(UsageError, match="top_k must be at least 1"):
            tiny_model("soup", top_k=wrong)


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_text_without_tokens_is_answered_and_counted(tiny_run, blank):
    model = rnntext.load(tiny_run.path)
    assert model.counts.texts == 0, "the self-test is not counted"
    assert model(blank).probability == pytest.approx(model("unseen").probability, abs=1e-6)
    assert (model.counts.texts, model.counts.without_tokens) == (2, 1)


def test_long_texts_are_cut_as_in_training_and_counted(tmp_path):
    model = rnntext.load(rnntext.run(make_tiny(tmp_path, batching={"max_tokens": 4}), out=tmp_path / "run").path)
    short, long = model(["the soup was lovely", "the soup was lovely and dull and broken"])
    assert short.probabilities == pytest.approx(long.probabilities, abs=1e-6)
    assert model.counts.cut == 1


def test_strange_texts_are_answered(tiny_model):
    texts = ["\0", "😀👩\u200d🍳", "a\u2028b", "\ufeffsoup", "\ud800", "soup " * 5000, "x" * 1_000_000, "e\u0301"]
    assert [found.text for found in tiny_model(texts)] == texts


def test_answers_leave_random_numbers_and_gradients_alone(tiny_model):
    state = torch.get_rng_state()
    tiny_model(["soup", "tent"])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in tiny_model.model.parameters())


# --- loading ---------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(RunFolderError) as caught:
        rnntext.load(path)
    return str(caught.value)


def test_a_loaded_model_answers_as_it_did(tiny_run):
    stored = json.loads((tiny_run.path / "selftest.json").read_text(encoding="utf-8"))
    for found, output in zip(rnntext.load(tiny_run.path)(stored["texts"]), stored["outputs"], strict=True):
        assert found.label == output["label"]
        assert found.probabilities == pytest.approx(output["probabilities"], abs=1e-6)


def test_loading_needs_no_data_no_network_and_nothing_but_the_folder(tmp_path, monkeypatch):
    path = rnntext.run(make_tiny(tmp_path / "data"), out=tmp_path / "run").path
    expected = rnntext.load(path)("lovely soup")
    shutil.rmtree(tmp_path / "data")
    moved = path.rename(tmp_path / "moved")

    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("RNNTEXT_CACHE", str(tmp_path / "no_cache"))
    assert rnntext.load(moved)("lovely soup") == expected
    assert not (tmp_path / "no_cache").exists()


def test_loading_needs_no_scores_and_no_history(run_copy):
    for name in ("metrics.json", "history.jsonl", "environment.json"):
        (run_copy / name).unlink()
    assert rnntext.load(run_copy)("lovely soup").label == "good"


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(run_copy, name):
    (run_copy / name).unlink()
    told = refused(run_copy)
    assert name in told
    expected = "is no run folder" if name == "recipe.toml" else "the run was not finished, or was copied in part"
    assert expected in told


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b'{"labels": 3}', b"\xff\xfe\x00", b'{"tokens": ["a"']
)
def test_a_file_with_something_else_in_it_is_refused(run_copy, name, content):
    (run_copy / name).write_bytes(content)
    told = refused(run_copy)
    assert str(run_copy) in told
    assert any(advice in told for advice in ("train", "does not fit this rnntext")), told


@pytest.mark.parametrize("kept", [4, 100, -1])
def test_cut_weights_are_refused(run_copy, kept):
    weights = run_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    assert "model.safetensors is broken" in refused(run_copy)


def test_weights_of_another_shape_are_refused(run_copy):
    weights = load_file(run_copy / "model.safetensors")
    weights["head.output.bias"] = torch.zeros(3)
    save_file(weights, run_copy / "model.safetensors")
    assert "do not fit its recipe and vocabulary" in refused(run_copy)


def test_weights_of_another_name_are_refused(run_copy):
    weights = load_file(run_copy / "model.safetensors")
    weights["head.output.offset"] = weights.pop("head.output.bias")
    save_file(weights, run_copy / "model.safetensors")
    assert "head.output.offset" in refused(run_copy)


DRIFT = "does not give the answers it gave when it was trained"


def test_two_tensors_in_each_others_place_are_refused(run_copy):
    weights = load_file(run_copy / "model.safetensors")
    one, two = [name for name in weights if name.endswith("weight_ih_l0")]
    assert weights[one].shape == weights[two].shape
    weights[one], weights[two] = weights[two], weights[one]
    save_file(weights, run_copy / "model.safetensors")
    assert DRIFT in refused(run_copy)


def test_a_weight_that_moved_a_little_is_refused(run_copy):
    weights = load_file(run_copy / "model.safetensors")
    weights["head.output.bias"][0] += 0.01
    save_file(weights, run_copy / "model.safetensors")
    told = refused(run_copy)
    assert DRIFT in told
    assert "outputs[0].probabilit" in told
    assert "compare environment.json, or train the run anew" in told


@pytest.mark.parametrize(("name", "key", "first"), [("vocabulary.json", "tokens", 2), ("labels.json", "labels", 0)])
def test_another_order_of_words_or_labels_is_refused(run_copy, name, key, first):
    values = json.loads((run_copy / name).read_text(encoding="utf-8"))
    values[key][first:] = reversed(values[key][first:])
    (run_copy / name).write_text(json.dumps(values), encoding="utf-8")
    assert DRIFT in refused(run_copy)


def test_another_tokenizer_in_the_recipe_is_refused(run_copy):
    recipe = run_copy / "recipe.toml"
    text = recipe.read_text(encoding="utf-8")
    cut = text.index("[tokenizer]"), text.index("[vocabulary]")
    recipe.write_text(text[: cut[0]] + '[tokenizer]\ntype = "character"\n' + text[cut[1] :], encoding="utf-8")
    assert DRIFT in refused(run_copy)


@pytest.mark.parametrize("change", ["label", "text", "fewer", "no texts"])
def test_a_self_test_that_does_not_fit_is_refused(run_copy, change):
    path = run_copy / "selftest.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    if change == "label":
        stored["outputs"][2]["label"] = "splendid"
    elif change == "text":
        stored["texts"][0] = "another"
    elif change == "fewer":
        stored["outputs"].pop()
    else:
        stored = {"texts": [], "outputs": []}
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert ("holds no texts" if change == "no texts" else DRIFT) in refused(run_copy)


def test_a_probability_within_the_tolerance_is_accepted(run_copy):
    path = run_copy / "selftest.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["outputs"][0]["probability"] += 5e-5
    path.write_text(json.dumps(stored), encoding="utf-8")
    rnntext.load(run_copy)


def test_a_recipe_of_another_version_is_refused_with_its_place(run_copy):
    recipe = run_copy / "recipe.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("num_layers", "num_floors"), encoding="utf-8")
    told = refused(run_copy)
    assert "does not fit this rnntext" in told
    assert "num_floors: not an option here. Did you mean 'num_layers'?" in told


def test_what_is_no_run_folder_is_told_how_to_get_one(tmp_path):
    assert "`rnntext run RECIPE` makes one" in refused(tmp_path / "nowhere")
    assert f"{tmp_path} is no run folder: it has no recipe.toml" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "there is no run folder" in refused(tmp_path / "file")


def test_a_device_that_is_not_there_is_refused(tiny_run):
    with pytest.raises(UsageError, match="device 'gpu9' cannot be used here"):
        rnntext.load(tiny_run.path, device="gpu9")


# --- evaluating ------------------------------------------------------------------------------------------------


def test_evaluating_the_test_file_gives_the_scores_of_the_run(tiny_run, tiny_recipe, tiny_model):
    found = tiny_model.evaluate(tiny_recipe.parent / "test.jsonl")
    assert found.texts == 24
    assert found.scores() == pytest.approx(tiny_run.metrics["test"], abs=1e-6)
    groups = found.groups()["length"]
    assert groups.keys() == tiny_run.metrics["groups"]["length"].keys()
    for value, scores in groups.items():
        assert scores == pytest.approx(tiny_run.metrics["groups"]["length"][value], abs=1e-6)


def test_the_batch_size_changes_no_score(tiny_recipe, tiny_model):
    one, many = (tiny_model.evaluate(tiny_recipe.parent / "test.jsonl", batch_size=size) for size in (1, 64))
    assert one.scores() == pytest.approx(many.scores(), abs=1e-6)


def test_evaluating_an_unknown_label_names_file_and_line(tiny_model, tmp_path):
    path = write_jsonl(tmp_path / "new.jsonl", [*tiny_rows(4), {"text": "a", "label": "goood", "length": "short"}])
    with pytest.raises(DataError, match=r"new\.jsonl:5: the label 'goood' does not occur .*Did you mean 'good'\?"):
        tiny_model.evaluate(path)


def test_evaluating_needs_labels_and_rows(tiny_model, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl: no rows"):
        tiny_model.evaluate(tmp_path / "empty.jsonl")
    (tmp_path / "bare.jsonl").write_text('{"text": "a", "length": "short"}\n')
    with pytest.raises(DataError, match=r"bare\.jsonl:1: no column 'label'"):
        tiny_model.evaluate(tmp_path / "bare.jsonl")
    with pytest.raises(DataError, match=r"gone\.jsonl: there is no such file"):
        tiny_model.evaluate(tmp_path / "gone.jsonl")
