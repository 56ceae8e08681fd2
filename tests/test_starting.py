"""Weights of finished runs in the place of drawn ones: what is taken, from where to where, and what is refused."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_tiny, sha256, tiny_rows, write_jsonl, write_recipe

import rnntext
from rnntext import running
from rnntext.cli import main
from rnntext.contracts import BLANK, Batch, Example
from rnntext.errors import RecipeError, RunFolderError
from rnntext.model import TextModel, build_model, stored_weights
from rnntext.progress import LineReporter
from rnntext.recipe import Recipe, read_recipe
from rnntext.recipe_schema import recipe_schema
from rnntext.run_folder import RECIPE, VOCABULARY, RunFolder
from rnntext.starting import Start
from rnntext.starting_embedding import matching_rows
from rnntext.vocabularies.frequency import FrequencyVocabulary

WORDS = ("soup", "lamp", "tent", "warm", "dull", "chair")


class World:
    """Made-up finished runs, which nobody trained, and models that start from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_jsonl(folder / "rows.jsonl", tiny_rows(4))
        self._seed = 0

    def recipe(self, name: str, embeddings: tuple[str, ...] = (), **tables: Any) -> Path:
        """Write a recipe; ``embeddings``, in TOML, stand in the place of its one."""
        path = write_recipe(self.folder, name=name, dataset={"train": "rows.jsonl"}, **tables)
        if embeddings:
            head, table, rest = path.read_text().partition("[embedding]\noutput_dim = 8\n")
            assert table
            path.write_text(head + "".join(f"[[embedding]]\n{each}\n" for each in embeddings) + rest)
        return path

    def model(self, recipe: Recipe, words: Any = WORDS) -> tuple[TextModel, Any]:
        """Return a model with weights that no other has, and its vocabulary."""
        self._seed += 1
        torch.manual_seed(self._seed)
        vocabulary = recipe.vocabulary.build()
        counts = {word: 100 - number for number, word in enumerate(words)}
        fills = getattr(recipe.head.part, "fills_blanks", False)
        vocabulary.fit({**counts, BLANK: 1000} if fills else counts)
        labels = recipe.head.part.learn_labels([Example("a", label="x"), Example("b", label="y")])
        model = build_model(recipe, vocabulary, labels)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms too, which start alike
                parameter.uniform_(-1, 1)
        return model, vocabulary

    def run(self, name: str, words: Any = WORDS, **tables: Any) -> TextModel:
        """Leave the folder of a run as if it had been trained; return its model."""
        tables.setdefault("head", {"type": "fill_blank", "dropout": None})
        recipe = read_recipe(self.recipe(f"of_{name}", **tables))
        model, vocabulary = self.model(recipe, words)
        path = self.folder / name
        path.mkdir()
        folder = RunFolder(path)
        folder.write_text(RECIPE, recipe.to_toml())
        folder.write_json(VOCABULARY, vocabulary.to_json())
        folder.save_weights(stored_weights(model))
        return model

    def start(self, init_from: dict[str, Any], words: Any = WORDS, **tables: Any) -> Any:
        """Return a model that was filled, its weights before, and what was told."""
        path = self.recipe("new", **tables)
        inside = {
            part: [self.folder / each for each in runs] if isinstance(runs, list) else self.folder / runs
            for part, runs in init_from.items()
        }
        recipe = read_recipe(path, {"training.init_from": inside})
        start = Start(recipe)
        model, vocabulary = self.model(recipe, words)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        notes: list[str] = []
        counts = np.arange(len(vocabulary), dtype=np.int64)
        start.fill(model, vocabulary, lambda: counts, notes.append)
        return SimpleNamespace(model=model, before=before, notes=notes, vocabulary=vocabulary, start=start)

    def refusal(self, init_from: dict[str, Any], **tables: Any) -> str:
        with pytest.raises(RecipeError) as caught:
            self.start(init_from, **tables)
        return str(caught.value)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


LSTM: dict[str, Any] = {"type": "lstm", "hidden_dim": 3, "interleaved": False}
FORWARDS = {"head": {"type": "next_token"}, "encoder": {**LSTM, "bidirectional": False}}
BACKWARDS = {"head": {"type": "next_token", "backwards": True}, "encoder": {**LSTM, "bidirectional": False}}


def changed(found: Any) -> set[str]:
    """Return the names of the weights that are not what they were before."""
    return {name for name, weight in found.model.state_dict().items() if not torch.equal(weight, found.before[name])}


# --- encoders --------------------------------------------------------------------------------------------------


def test_one_run_that_reads_both_ways_gives_both_and_nothing_else(world: World):
    source = world.run("a", encoder=LSTM)
    found = world.start({"encoder": "a"}, encoder=LSTM)
    for name, weight in source.encoder.state_dict().items():
        assert torch.equal(found.model.encoder.state_dict()[name], weight)
    assert changed(found) == {f"encoder.{name}" for name in source.encoder.state_dict()}
    assert found.notes[0] == "encoder: both directions from a (fill_blank)"
    assert "it was trained to read other vectors" in found.notes[1]


def test_embeddings_named_too_there_is_nothing_to_warn_of(world: World):
    world.run("a", encoder=LSTM)
    found = world.start({"encoder": "a", "embedding": "a"}, encoder=LSTM)
    assert [note.split(",")[0] for note in found.notes] == [
        "encoder: both directions from a (fill_blank)",
        "embedding: 8 of 8 rows from a",
    ]


def states(encoder: Any, embedded: torch.Tensor) -> torch.Tensor:
    lengths = torch.full((len(embedded),), embedded.shape[1])
    found: torch.Tensor = encoder.eval()(embedded, lengths).states.detach()
    return found


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "peephole_lstm", "coupled_lstm", "min_gru"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "layer_norm": True}], ids=["1 layer", "2 layers"])
def test_two_language_models_read_on_side_by_side(world: World, cell: str, options: dict[str, Any]):
    """Not by the names of weights: each half of a state is what the model that it came from gives."""
    stack = {**LSTM, "type": cell, **options}
    one = {"encoder": {**stack, "bidirectional": False}}
    first = world.run("a", **{**FORWARDS, **one})
    second = world.run("b", **{**BACKWARDS, **one})
    found = world.start({"encoder": ["a", "b"]}, encoder=stack)
    embedded = torch.randn(2, 5, 8)
    forwards, backwards = states(found.model.encoder, embedded).chunk(2, dim=-1)
    torch.testing.assert_close(forwards, states(first.encoder, embedded))
    torch.testing.assert_close(backwards, states(second.encoder, embedded.flip(1)).flip(1))
    assert found.notes[:2] == [
        "encoder: the forward direction from a (next_token)",
        "encoder: the backward direction from b (next_token)",
    ]


def test_a_second_run_that_was_trained_forwards_is_noted(world: World):
    for name in "ab":
        world.run(name, **FORWARDS)
    notes = world.start({"encoder": ["a", "b"]}, encoder=LSTM).notes
    assert "encoder: b was trained forwards, and is to read backwards; train it with head.backwards = true" in notes


@pytest.mark.parametrize(
    ("source", "direction", "note"),
    [
        (FORWARDS, 0, "the forward direction from a (next_token); the backward direction keeps its own start"),
        (BACKWARDS, 1, "the backward direction from a (next_token); the forward direction keeps its own start"),
    ],
)
def test_one_run_of_one_direction_gives_that_one(world: World, source: Any, direction: int, note: str):
    given_by = world.run("a", **source)
    found = world.start({"encoder": "a"}, encoder=LSTM)
    layers = found.model.encoder.layers
    assert torch.equal(layers[direction].cell.weight_ih_l0, given_by.encoder.layers[0].cell.weight_ih_l0)
    assert changed(found) == {name for name in found.before if name.startswith(f"encoder.layers.{direction}.")}
    assert found.notes[0] == f"encoder: {note}"


@pytest.mark.parametrize(("backwards", "direction"), [(False, 0), (True, 1)])
def test_a_model_of_one_direction_takes_its_own_out_of_both(world: World, backwards: bool, direction: int):
    both = {**LSTM, "num_layers": 2}
    source = world.run("a", encoder=both)
    head = {"type": "next_token", "backwards": backwards}
    found = world.start({"encoder": "a"}, encoder={**both, "bidirectional": False}, head=head)
    for layer in (0, 1):
        expected = source.encoder.layers[2 * layer + direction].cell.weight_hh_l0
        assert torch.equal(found.model.encoder.layers[layer].cell.weight_hh_l0, expected)
    other = "forward" if backwards else "backward"
    assert found.notes[0].endswith(f"(fill_blank); its {other} direction is left out")


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_run_with_fewer_layers_gives_the_lower_ones(world: World, interleaved: bool):
    """However the upper ones read: of one layer, it makes no difference."""
    source = world.run("a", encoder=LSTM)
    deep = {**LSTM, "num_layers": 2, "interleaved": interleaved, "layer_norm": True}
    found = world.start({"encoder": "a"}, encoder=deep)
    for index in (0, 1):
        expected = source.encoder.layers[index].cell.weight_hh_l0
        assert torch.equal(found.model.encoder.layers[index].cell.weight_hh_l0, expected)
    assert {name.split(".")[2] for name in changed(found)} == {"0", "1"}
    assert not [name for name in changed(found) if "norms" in name]
    assert found.notes[0] == "encoder: both directions from a (fill_blank); the lowest layer of 2"
    assert not [note for note in found.notes if "layer_norm" in note]


def test_a_run_of_two_layers_gives_the_lower_two_of_three_norms_included(world: World):
    two = {**LSTM, "num_layers": 2, "layer_norm": True}
    source = world.run("a", encoder=two)
    found = world.start({"encoder": "a"}, encoder={**two, "num_layers": 3})
    kept = {"layers.4", "layers.5", "norms.2", "norms.3"}
    assert {".".join(name.split(".")[1:3]) for name in found.before if name.startswith("encoder.")} >= kept
    for name, weight in found.model.encoder.state_dict().items():
        expected = source.encoder.state_dict().get(name)
        if ".".join(name.split(".")[:2]) in kept:
            assert torch.equal(weight, found.before[f"encoder.{name}"])
        else:
            assert torch.equal(weight, expected)
    assert "the lower 2 layers of 3" in found.notes[0]


def test_an_encoder_that_is_no_stack_gives_all_it_has(world: World):
    dense = {"type": "dense", "hidden_dim": 3, "num_layers": 2}
    classifier = {"head": {"type": "classification"}, "encoder": dense}
    source = world.run("a", **classifier)
    found = world.start({"encoder": "a"}, **classifier)
    for name, weight in source.encoder.state_dict().items():
        assert torch.equal(found.model.encoder.state_dict()[name], weight)
    assert found.notes[0] == "encoder: all weights from a (classification)"
    refusal = world.refusal({"encoder": "a"}, encoder={**dense, "num_layers": 3})
    assert "set encoder.num_layers = 2 (now 3)" in refusal
    world.run("b", **classifier)
    assert "'dense' has no directions to take from several runs" in world.refusal(
        {"encoder": ["a", "b"]}, encoder=dense
    )


def test_an_option_that_changes_what_fitting_weights_mean_is_told(world: World):
    rnn = {"type": "rnn", "hidden_dim": 3}
    world.run("a", encoder={**rnn, "nonlinearity": "relu"})
    notes = world.start({"encoder": "a"}, encoder={**rnn, "dropout": 0.0}).notes
    assert 'encoder: encoder.nonlinearity is "tanh" here and was "relu" in a' in notes


DEEP = {**LSTM, "num_layers": 2}
CLASSIFIER = {"type": "classification"}
CHARACTERS = 'type = "char_cnn"\noutput_dim = 4\nbyte_dim = 3'


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (
            {"encoder": {"type": "gru"}},
            LSTM,
            "has the encoder 'gru', and this recipe 'lstm'; set encoder.type = \"gru\"",
        ),
        ({"encoder": {**LSTM, "hidden_dim": 5}}, LSTM, "set encoder.hidden_dim = 5 (now 3), or name another run"),
        ({"encoder": {**LSTM, "proj_dim": 2}}, LSTM, "set encoder.proj_dim = 2 (now unset)"),
        ({"encoder": LSTM}, {**LSTM, "proj_dim": 2}, "leave out encoder.proj_dim (now 2)"),
        ({"encoder": LSTM, "embedding": {"output_dim": 6}}, LSTM, "set embedding.output_dim = 6 (now 8)"),
        (
            {"encoder": {**DEEP, "layer_norm": True}},
            DEEP,
            "set encoder.layer_norm = true (now false), or name another run (norms.0.bias is missing here)",
        ),
        ({"encoder": DEEP}, {**DEEP, "layer_norm": True}, "set encoder.layer_norm = false (now true)"),
        ({"encoder": DEEP}, LSTM, "the encoder of a has 2 layers, and this one 1; set encoder.num_layers = 2"),
        (
            {"encoder": DEEP},
            {**DEEP, "interleaved": True},
            "each layer of a reads one direction of the one below, and here both directions; set encoder.interleaved "
            "= false",
        ),
        (
            {"encoder": {**DEEP, "bidirectional": False}, "head": {"type": "next_token"}},
            {**DEEP, "interleaved": True},
            "set encoder.interleaved = false",
        ),
        (
            {"encoder": {**DEEP, "interleaved": True}, "head": CLASSIFIER},
            DEEP,
            "reads both directions of the one below, and here one direction; set encoder.interleaved = true",
        ),
        (
            {"encoder": {**DEEP, "interleaved": True}, "head": CLASSIFIER},
            {**DEEP, "bidirectional": False},
            "set encoder.bidirectional = true and encoder.interleaved = true",
        ),
        (
            BACKWARDS,
            {**LSTM, "bidirectional": False},
            "a was trained backwards (head.backwards), and this encoder reads forwards",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_option_to_change(
    world: World, source: Any, target: Any, expected: str
):
    world.run("a", **source)
    refusal = world.refusal({"encoder": "a"}, encoder=target)
    assert expected in refusal
    assert "--set" not in refusal
    assert "overrides training.init_from" in refusal
    assert "[training] init_from.encoder: " in refusal
    assert refusal.endswith("1 problem. Nothing was run.")


def test_directions_are_refused_where_two_runs_cannot_give_them(world: World):
    world.run("forwards", **FORWARDS)
    world.run("backwards", **BACKWARDS)
    world.run("both", encoder=LSTM)
    for runs, options, expected in (
        (["backwards", "forwards"], {}, "backwards was trained backwards (head.backwards = true); name it second"),
        (["forwards", "both"], {}, "each gives one direction, and both has both"),
        (["forwards", "backwards"], {"bidirectional": False}, "for two, set encoder.bidirectional = true"),
        (["forwards", "backwards", "both"], {}, "3 runs are named, and this encoder starts from at most two"),
    ):
        assert expected in world.refusal({"encoder": runs}, encoder={**LSTM, **options})


def test_several_embeddings_and_their_widths_are_told_of_the_source(world: World):
    tables = {"encoder": LSTM, "head": CLASSIFIER}
    world.run("a", **tables)
    refusal = world.refusal({"encoder": "a"}, embeddings=("output_dim = 8", CHARACTERS), **tables)
    assert "let the embeddings give 8 numbers a token, by learned there (now 12)" in refusal


def test_an_encoder_that_reads_numbers_of_words_needs_the_same_numbers(world: World):
    tables = {"encoder": LSTM, "head": CLASSIFIER, "embedding": {"type": "one_hot", "output_dim": None}}
    source = world.run("a", **tables)
    found = world.start({"encoder": "a"}, **tables)
    assert torch.equal(found.model.encoder.layers[0].cell.weight_ih_l0, source.encoder.layers[0].cell.weight_ih_l0)
    with pytest.raises(
        RecipeError, match="'one_hot' reads the numbers of words, and the vocabulary of a numbers them"
    ):
        world.start({"encoder": "a"}, words=WORDS[::-1], **tables)
    with pytest.raises(RecipeError, match="one_hot has no weights to take; leave embedding out of init_from"):
        world.start({"embedding": "a"}, **tables)


# --- embeddings: rows by token ---------------------------------------------------------------------------------

letters = st.text(alphabet="aAbBÉé", min_size=1, max_size=2)
vocabularies = st.tuples(st.lists(letters, min_size=1, max_size=8, unique=True), st.booleans(), st.booleans())


def fitted(words: list[str], lowercase: bool, with_blank: bool) -> FrequencyVocabulary:
    vocabulary = FrequencyVocabulary(lowercase=lowercase)
    vocabulary.fit({word: 1 + number for number, word in enumerate([*words, *[BLANK] * with_blank])})
    return vocabulary


@given(vocabularies, vocabularies)
@settings(max_examples=200, deadline=None)
def test_rows_are_matched_by_token_in_either_normal_form(ours_from: Any, theirs_from: Any):
    ours, theirs = fitted(*ours_from), fitted(*theirs_from)
    rows = matching_rows(ours, theirs).tolist()
    assert rows[:2] == [0, 1]
    assert len(rows) == len(ours)
    known = [theirs.token(number) for number in range(2, len(theirs))]
    for number, row in enumerate(rows[2:], 2):
        token = ours.token(number)
        if row == -1:
            assert token not in known
            assert theirs.normalize(token) not in known
            assert token not in map(ours.normalize, known)
            continue
        found = theirs.token(row)
        assert row > 1
        if token in known:
            assert found == token
        elif theirs.normalize(token) in known:
            assert found == theirs.normalize(token)
        else:
            assert found == next(each for each in known if ours.normalize(each) == token), "the most frequent"


def test_padding_and_unknown_words_are_matched_by_their_ids_whatever_they_are_called():
    class Renamed(FrequencyVocabulary):
        def token(self, token_id: int) -> str:
            return f"[{token_id}]" if token_id < 2 else super().token(token_id)

    theirs = Renamed()
    theirs.fit({"soup": 1})
    assert matching_rows(fitted(["soup", "[0]"], False, False), theirs).tolist() == [0, 1, -1, 2]


def test_rows_of_words_that_a_run_knows_are_its_own_and_others_keep_their_start(world: World):
    source = world.run("a", words=("tent", "soup", "Oslo"), vocabulary={"lowercase": False}, encoder=LSTM)
    found = world.start({"embedding": "a"}, words=("soup", "oslo", "lamp"))
    theirs, ours = source.embeddings[0].weight, found.model.embeddings[0].weight
    # Theirs: <pad> <unk> <blank> tent soup Oslo; here: <pad> <unk> soup oslo lamp.
    assert torch.equal(ours[:4], theirs[[0, 1, 4, 5]])
    assert torch.equal(ours[4], found.before["embeddings.0.weight"][4])
    assert found.notes == ["embedding: 4 of 5 rows from a, for 60.0% of the tokens that the vocabulary knows"], (
        "the counts are 0 to 4"
    )


def test_blank_is_matched_by_name_and_tied_weights_are_one(world: World):
    source = world.run("a", words=WORDS, encoder=LSTM)
    tables = {"encoder": LSTM, "head": {"type": "fill_blank", "dropout": None}, "embedding": {"output_dim": 8}}
    found = world.start({"embedding": "a"}, words=WORDS[::-1], **tables)
    assert found.vocabulary.token(2) == BLANK
    assert torch.equal(found.model.embeddings[0].weight[2], source.embeddings[0].weight[2])
    assert found.model.head.words.weight is found.model.embeddings[0].weight


def test_of_several_runs_the_first_that_knows_a_word_gives_its_row(world: World):
    one = world.run("a", words=("soup", "lamp"), head=CLASSIFIER)
    two = world.run("b", words=("lamp", "tent"), head=CLASSIFIER)
    found = world.start({"embedding": ["a", "b"]}, words=("soup", "lamp", "tent", "new"))
    ours = found.model.embeddings[0].weight
    assert torch.equal(ours[:4], one.embeddings[0].weight)
    assert torch.equal(ours[4], two.embeddings[0].weight[3])
    assert torch.equal(ours[5], found.before["embeddings.0.weight"][5])
    assert [note.split(",")[0] for note in found.notes] == [
        "embedding: 4 of 6 rows from a",
        "embedding: 1 of 6 rows from b",
    ]


BOTH = ("output_dim = 5", CHARACTERS)


def test_embeddings_of_the_same_type_at_the_same_place_are_taken(world: World):
    source = world.run("a", embeddings=BOTH, head=CLASSIFIER)
    found = world.start({"embedding": "a"}, embeddings=BOTH)
    for name, weight in source.embeddings[1].state_dict().items():
        assert torch.equal(found.model.embeddings[1].state_dict()[name], weight)
    assert found.notes[1] == "embedding.1: all weights from a"


def test_an_embedding_without_a_counterpart_keeps_its_own_start(world: World):
    world.run("a", embeddings=BOTH[:1], head=CLASSIFIER)
    found = world.start({"embedding": "a"}, embeddings=BOTH)
    assert found.notes[1] == "embedding.1: char_cnn keeps its own start"
    assert changed(found) == {"embeddings.0.weight"}


def test_misfits_of_one_of_several_embeddings_name_its_table(world: World):
    world.run("a", embeddings=BOTH, head=CLASSIFIER)
    for embeddings, expected in (
        ((BOTH[0], CHARACTERS.replace("3", "2")), "set embedding.1.byte_dim = 3 (now 2), or leave embedding out"),
        (("output_dim = 6", CHARACTERS), "are 5 wide, and these 6; set embedding.0.output_dim = 5"),
    ):
        assert expected in world.refusal({"embedding": "a"}, embeddings=embeddings)


def test_embeddings_that_cannot_be_taken_are_refused(world: World):
    world.run("a", words=("nothing", "alike"), encoder=LSTM, tokenizer={"type": "whitespace"})
    (world.folder / "vectors.txt").write_text("soup 1 2 3 4 5 6 7 8\n")
    pretrained = {"type": "pretrained", "path": "vectors.txt"}
    world.run("b", embedding=pretrained, head=CLASSIFIER)
    for source, tables, expected in (
        (
            "a",
            {},
            "a knows none of the 8 words of this vocabulary: its texts were cut by tokenizer 'whitespace', and",
        ),
        ("a", {"embedding": {"output_dim": 4}}, "the vectors of a are 8 wide, and these 4; set embedding.output_dim"),
        (
            "a",
            {"embedding": {"type": "char_cnn"}},
            "there is none: learned in a, char_cnn here. Change embedding.type",
        ),
        ("b", {}, "the embedding of b is of type 'pretrained': most of its vectors are those of its own source"),
        ("b", {"embedding": pretrained}, "Give [embedding] that type and source, and leave embedding out"),
    ):
        assert expected in world.refusal({"embedding": source}, **tables)


def test_a_problem_of_each_part_is_told_at_once(world: World):
    world.run("a", encoder=LSTM)
    refusal = world.refusal(
        {"encoder": "a", "embedding": "a"}, encoder={**LSTM, "hidden_dim": 4}, embedding={"output_dim": 4}
    )
    assert "set encoder.hidden_dim = 3 (now 4), set embedding.output_dim = 8 (now 4)" in refusal
    assert refusal.endswith("2 problems. Nothing was run.")


def test_a_broken_run_is_told(world: World):
    world.run("a", encoder=LSTM)
    (world.folder / "a" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match=r"model\.safetensors is broken"):
        world.start({"encoder": "a"}, encoder=LSTM)
    recipe = world.folder / "a" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("hidden_dim", "hidden"))
    assert "a does not fit this rnntext (" in world.refusal({"encoder": "a"}, encoder=LSTM)


# --- in recipes ------------------------------------------------------------------------------------------------


def written(world: World, value: str) -> Path:
    path = world.recipe("new")
    path.write_text(path.read_text().replace("[training]", f"[training]\ninit_from = {value}"))
    return path


def problems(path: Path, overrides: Any = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_a_run_that_is_not_there_is_told_with_file_line_and_the_nearest_name(world: World):
    world.run("pretrained_a")
    path = written(world, '{encoder = ["pretrained_a", "pretrained_b"], embedding = "elsewhere/a"}')
    line = path.read_text().splitlines().index("[training]") + 2
    first, second = problems(path)
    assert first.startswith(f"{path}:{line}: [training] init_from.encoder: there is no run folder ")
    assert first.endswith("Did you mean 'pretrained_a'?")
    assert second.startswith(f"{path}:{line}: [training] init_from.embedding: there is no run folder ")


@pytest.mark.parametrize("lacking", ["recipe.toml", "vocabulary.json", "model.safetensors"])
def test_a_folder_that_holds_no_finished_run_is_told(world: World, lacking: str):
    world.run("a")
    (world.folder / "a" / lacking).unlink()
    (problem,) = problems(written(world, '{encoder = "a"}'))
    assert lacking in problem


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{encodr = "a"}', "table with 'encoder' | 'embedding': string or list of string. Did you mean 'encoder'?"),
        ("{encoder = 3}", "{'encoder': 3} does not fit"),
        ("{encoder = []}", "does not fit"),
        ('"a"', "'a' does not fit; expected table with"),
        ('{encoder = "a\\u0000"}', "no folder can be called so"),
    ],
)
def test_what_names_no_runs_is_refused(world: World, value: str, expected: str):
    (problem,) = problems(written(world, value))
    assert expected in problem


def test_a_path_in_a_file_is_relative_to_it_and_one_that_is_set_to_the_current_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.run("a")
    path = written(world, '{encoder = "a", embedding = "a"}')
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(world.folder / "a", elsewhere / "b")
    monkeypatch.chdir(elsewhere)
    here, there = str(elsewhere / "b"), str(world.folder / "a")
    assert read_recipe(path).training.init_from == {"encoder": there, "embedding": there}
    # One key of the table is set, and the other is still the file's.
    for setting in (["training.init_from.encoder=b"], {"training.init_from.encoder": Path("b")}):
        assert read_recipe(path, setting).training.init_from == {"encoder": here, "embedding": there}
    assert read_recipe(path, ['training.init_from={encoder = ["b", "b"]}']).training.init_from == {
        "encoder": [here, here]
    }
    whole = {"training.init_from": {"encoder": (Path("b"), "b")}}
    assert read_recipe(path, whole).training.init_from == {"encoder": [here, here]}
    both = ["training.init_from.encoder=b", "training.init_from.embedding=b"]
    assert read_recipe(path, both).training.init_from == {"encoder": here, "embedding": here}


def test_show_prints_the_runs_on_one_line(world: World, capsys: pytest.CaptureFixture[str]):
    world.run("a")
    path = written(world, '{encoder = ["a"], embedding = "a"}')
    assert main(["show", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("init_from")]
    shown, _, origin = line.partition("  # ")
    there = str(world.folder / "a")
    assert tomllib.loads(shown) == {"init_from": {"encoder": [there], "embedding": there}}
    assert origin.startswith("file ")


def test_an_editor_takes_what_a_recipe_takes():
    validator = jsonschema.Draft4Validator(recipe_schema())
    for value, good in (
        ({"encoder": "a"}, True),
        ({"encoder": ["a", "b"], "embedding": "a"}, True),
        ({"encodr": "a"}, False),
        ({"encoder": []}, False),
        ("a", False),
    ):
        assert validator.is_valid({"training": {"init_from": value}}) == good
    assert "propertyNames" not in json.dumps(recipe_schema())


# --- whole runs ------------------------------------------------------------------------------------------------


def test_a_classifier_starts_with_exactly_the_weights_of_a_run_that_filled_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder = {**LSTM, "hidden_dim": 8}
    filling = make_tiny(
        tmp_path,
        name="filling",
        encoder=encoder,
        head={"type": "fill_blank"},
        dataset={"group_fields": None},
        training={"epochs": 1},
    )
    source = rnntext.run(filling, out=tmp_path / "filling", progress=LineReporter(lambda text: None))
    seen: list[dict[str, torch.Tensor]] = []

    def watching(model: TextModel, *arguments: Any, **more: Any) -> Any:
        seen.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return train(model, *arguments, **more)

    train = running.train
    monkeypatch.setattr(running, "train", watching)
    told: list[str] = []
    recipe = make_tiny(tmp_path, encoder=encoder, training={"epochs": 2, "layer_decay": 0.5, "unfreeze_epochs": 1})
    init_from = {"encoder": source.path, "embedding": source.path}
    started = rnntext.run(
        recipe, {"training.init_from": init_from}, out=tmp_path / "new", progress=LineReporter(told.append)
    )
    given = rnntext.load(source.path)
    theirs, ours = given.model.state_dict(), seen[0]
    for name in (name for name in ours if name.startswith("encoder.")):
        assert torch.equal(ours[name], theirs[name])
    vocabulary = rnntext.load(started.path).vocabulary
    words = [vocabulary.token(number) for number in range(2, len(vocabulary))]
    rows = torch.tensor([0, 1, *given.vocabulary.encode(words)])
    assert torch.equal(ours["embeddings.0.weight"], theirs["embeddings.0.weight"][rows])
    assert [note for note in told if note.startswith(("encoder", "embedding"))] == [
        "encoder: both directions from " + str(source.path) + " (fill_blank)",
        f"embedding: 26 of 26 rows from {source.path}, for 100.0% of the tokens that the vocabulary knows",
    ]
    assert [note for note in told if "learn" in note] == [
        "epoch 1: the head learns alone (training.unfreeze_epochs = 1)",
        "training.epochs = 2 ends before the embeddings learn, which would be from epoch 3 on",
        "epoch 2: the encoder's layer 1 learns from now on",
    ]

    digest = {"run": str(source.path), "sha256": sha256(source.path / "model.safetensors")}
    environment = json.loads((started.path / "environment.json").read_text())
    assert environment["init_from"] == {"encoder": [digest], "embedding": [digest]}
    frozen = tomllib.loads((started.path / "recipe.toml").read_text())
    assert frozen["training"]["init_from"] == {"encoder": str(source.path), "embedding": str(source.path)}
    again = rnntext.run(
        started.path / "recipe.toml", out=tmp_path / "again", progress=LineReporter(lambda text: None)
    )
    assert sha256(again.path / "model.safetensors") == sha256(started.path / "model.safetensors")

    shutil.rmtree(source.path)
    assert rnntext.load(started.path)("a warm soup").label in ("good", "bad")
    with pytest.raises(RecipeError, match="there is no run folder"):
        read_recipe(started.path / "recipe.toml")


def test_what_does_not_fit_is_told_before_data_are_read(world: World, monkeypatch: pytest.MonkeyPatch):
    world.run("a", encoder=LSTM)
    monkeypatch.setattr(running, "prepare", lambda *_: pytest.fail("data were read"))
    recipe = world.recipe("new", encoder={**LSTM, "hidden_dim": 4})
    with pytest.raises(RecipeError, match=r"encoder\.hidden_dim = 3"):
        rnntext.run(recipe, {"training.init_from.encoder": "a"}, out=world.folder / "new")
    assert not (world.folder / "new").exists()


def test_a_run_without_init_from_records_none(tiny_run: rnntext.Run):
    assert "init_from" not in json.loads((tiny_run.path / "environment.json").read_text())
    assert "init_from" not in (tiny_run.path / "recipe.toml").read_text()
    assert Start(read_recipe(tiny_run.path / "recipe.toml")).digests == {}


def test_a_batch_reads_the_rows_that_were_taken(world: World):
    """Through the model's own forward pass, not by its parameters."""
    source = world.run("a", words=WORDS, encoder=LSTM)
    found = world.start({"embedding": "a"}, words=("dull", "soup"))
    ours = Batch(torch.tensor([found.vocabulary.encode(["soup", "dull"])]), torch.tensor([2]))
    theirs = Batch(torch.tensor([[3, 7]]), torch.tensor([2]))  # after <blank>
    assert torch.equal(found.model.eval().embeddings[0](ours), source.eval().embeddings[0](theirs))
