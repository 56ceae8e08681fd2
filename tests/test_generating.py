"""Texts that go on: what follows is what the model tells, however the text was read and wherever it is drawn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_recipe

import rnntext
from rnntext import generating
from rnntext.cli import main
from rnntext.contracts import BLANK, UNKNOWN_ID
from rnntext.errors import UsageError
from rnntext.generating import LAST_TOKENS, Reader, drawn, follows_at_once, written
from rnntext.model import build_model
from rnntext.prediction import TrainedModel
from rnntext.recipe import read_recipe
from rnntext.tokenizers.character import CharacterTokenizer
from rnntext.tokenizers.regex import RegexTokenizer
from rnntext.tokenizers.whitespace import WhitespaceTokenizer

TEXT = "the ferry left at noon , and the man with the ladder was too late for it . "
LETTERS = {"type": "character", "keep_whitespace": True}
CARRYING = ["lstm", "gru", "rnn", "peephole_lstm", "coupled_lstm", "min_gru"]


def untrained(folder: Path, text: str = TEXT, extra: int = 0, **tables: Mapping[str, Any]) -> TrainedModel:
    """Return a model with weights so large that tokens are far from alike; ``extra``: how often <blank> occurs."""
    tables = {
        "dataset": {"type": "text"},
        "tokenizer": LETTERS,
        "head": {"type": "next_token"},
        "encoder": {"bidirectional": False},
        **tables,
    }
    recipe = read_recipe(write_recipe(folder, **tables))
    tokenizer, vocabulary = recipe.tokenizer.build(), recipe.vocabulary.build()
    vocabulary.fit({**Counter(tokenizer.tokens(text)), **({BLANK: extra} if extra else {})})
    torch.manual_seed(5)
    model = build_model(recipe, vocabulary, {}).eval()
    for weight in model.parameters():
        weight.data.normal_(std=0.8)
    return TrainedModel(recipe, tokenizer, vocabulary, {}, model, torch.device("cpu"))


def read(model: TrainedModel, *pieces: str) -> np.ndarray:
    """Return the log probabilities after a text that comes in pieces."""
    reader = Reader(model.model)
    for piece in pieces:
        tokens = model.tokenizer.tokens(piece)
        after = reader.read(tokens, model.vocabulary.encode(tokens))
    return after


def lengths_read(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that takes how many tokens the model reads each time."""
    lengths, inner = [], model.model.read
    monkeypatch.setattr(
        model.model, "read", lambda batch, state: (lengths.append(int(batch.lengths)), inner(batch, state))[1]
    )
    return lengths


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return untrained(tmp_path_factory.mktemp("letters"))


@pytest.fixture(scope="module", params=[*CARRYING, "dense"])
def any_encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    one_way = {} if request.param == "dense" else {"bidirectional": False}
    encoder = {"type": request.param, "num_layers": 2, **one_way}
    return untrained(tmp_path_factory.mktemp("any"), encoder=encoder)


# ---- reading


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, len(TEXT) - 1), unique=True, max_size=6).map(sorted))
def test_a_text_is_read_alike_in_whatever_pieces_it_comes(any_encoder, cuts):
    places = [0, *cuts, len(TEXT)]
    pieces = [TEXT[start:end] for start, end in pairwise(places)]
    told = {each["token"]: each["probability"] for each in any_encoder(TEXT, top_k=3).next}
    after = np.exp(read(any_encoder, *pieces))
    after[UNKNOWN_ID] = 0.0  # no candidate
    found = {any_encoder.vocabulary.token(number): after[number] for number in np.argsort(-after)[:3].tolist()}
    assert found == pytest.approx(told, rel=1e-3)


def test_a_state_is_carried_where_there_is_one(any_encoder):
    reader = Reader(any_encoder.model)
    reader.read(["t"], any_encoder.vocabulary.encode(["t"]))
    assert (reader._state is not None) == (any_encoder.recipe.encoder.name != "dense")


def test_a_long_prompt_is_read_in_pieces(letters, monkeypatch):
    whole = read(letters, TEXT * 5)
    monkeypatch.setattr(generating, "TOKENS_A_PIECE", 50)
    read_at_once = lengths_read(letters, monkeypatch)
    np.testing.assert_allclose(read(letters, TEXT * 5), whole, rtol=1e-4)
    assert max(read_at_once) == 50
    assert sum(read_at_once) == 5 * len(TEXT)


def test_embeddings_read_the_spelling_of_tokens(tmp_path):
    model = untrained(
        tmp_path,
        tokenizer={"type": "whitespace"},
        embedding={"type": "char_cnn", "output_dim": None, "byte_dim": 8},
        head={"type": "next_token", "tied": False},
    )
    # Neither word is in the vocabulary: only their spelling tells them apart.
    ladders, ferries = (model(text, top_k=1).next[0] for text in ("the ladders", "the ferries"))
    assert ladders != ferries
    for text, told in (("the ladders", ladders), ("the ferries", ferries)):
        assert np.exp(read(model, text)).max() == pytest.approx(told["probability"], rel=1e-3)


def test_what_leaks_is_read_anew_as_far_as_the_last_tokens(tmp_path, monkeypatch):
    model = untrained(tmp_path, encoder={"bidirectional": True}, head={"type": "next_token", "allow_leak": True})
    assert model.model.leaks
    text = TEXT * 4
    last = read(model, text[-LAST_TOKENS:])
    lengths = lengths_read(model, monkeypatch)
    np.testing.assert_array_equal(read(model, text[:190], *text[190:]), last)
    assert lengths == [*range(190, LAST_TOKENS), *[LAST_TOKENS] * (len(text) - LAST_TOKENS + 1)]


# ---- drawing


class Evenly:
    """Gives numbers at even distances from 0 to 1, so that shares of draws are probabilities."""

    def __init__(self, count: int) -> None:
        self._numbers: Iterator[float] = iter(((np.arange(count) + 0.5) / count).tolist())

    def random(self) -> float:
        return next(self._numbers)


probabilities = st.lists(st.floats(0.01, 1), min_size=2, max_size=6).map(lambda row: np.array(row) / sum(row))


@settings(max_examples=30, deadline=None)
@given(shares=probabilities, temperature=st.floats(0.3, 3), top_k=st.none() | st.integers(1, 7))
def test_tokens_are_drawn_as_often_as_they_are_probable(shares, temperature, top_k):
    logs = np.append(np.log(shares), -np.inf)
    draws: Any = Evenly(500)
    counts = np.bincount([drawn(logs, temperature, top_k, draws) for _ in range(500)], minlength=len(logs))
    wanted = shares ** (1 / temperature)
    wanted[np.argsort(-shares, kind="stable")[top_k or len(shares) :]] = 0
    np.testing.assert_allclose(counts[:-1], 500 * wanted / wanted.sum(), atol=1.01)
    assert counts[-1] == 0


@settings(max_examples=30, deadline=None)
@given(
    logs=st.lists(st.sampled_from([-np.inf, -3.0, -1.0, -0.5]), min_size=1, max_size=8).map(np.array),
    seed=st.integers(0, 1000),
)
def test_the_most_probable_is_taken_by_temperature_0_and_by_top_1(logs, seed):
    if not np.isfinite(logs).any():
        logs[0] = -1.0
    random = np.random.default_rng(seed)
    assert drawn(logs, 0, None, random) == logs.argmax() == drawn(logs, 1.7, 1, random)
    best = set(np.flatnonzero(logs == logs.max()).tolist())
    assert drawn(logs, 1e-310, None, random) in best


# ---- generating


def test_a_seed_gives_one_text_and_others_another(letters):
    texts = [letters.generate("the ", 40, seed=seed) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    assert letters.generate("the ", 40) == texts[0], "the default is seed 1"


def test_threads_change_nothing(letters):
    text = letters.generate("the ", 40)
    torch.set_num_threads(2)
    try:
        assert letters.generate("the ", 40) == text
    finally:
        torch.set_num_threads(1)


def test_a_longer_text_goes_on_from_a_shorter_one(any_encoder):
    short, long = (any_encoder.generate("the ladder ", length, seed=4) for length in (7, 30))
    assert len(short) == len("the ladder ") + 7
    assert long.startswith(short)


def test_each_token_is_one_that_the_model_tells(letters):
    text = letters.generate("noon", 12, temperature=0)
    for place in range(4, 16):
        assert text[place] == letters(text[:place], top_k=1).next[0]["token"]
    few = letters.generate("noon", 60, top_k=2, temperature=5.0)
    assert all(few[place] in [each["token"] for each in letters(few[:place], top_k=2).next] for place in range(4, 64))


def test_the_lower_the_temperature_the_more_probable_the_text(letters):
    colder, hotter = (letters.generate("noon", 200, temperature=temperature) for temperature in (0.5, 2))
    assert letters(colder).perplexity < 0.8 * letters(hotter).perplexity


def test_nothing_but_words_is_generated(tmp_path):
    model = untrained(tmp_path, extra=9, tokenizer={"type": "whitespace"})
    (blank,) = model.vocabulary.encode([BLANK])
    assert blank > 1
    model.model.head.words.bias.data[[0, 1, blank]] = 50.0
    for temperature in (0, 1, 5):
        text = model.generate("the", 30, temperature=temperature)
        assert not {"<pad>", "<unk>", BLANK} & set(text.split())
    assert model.counts.unknown_in_prompts == []


def test_a_vocabulary_of_one_word_repeats_it(tmp_path):
    model = untrained(tmp_path, text="echo echo", tokenizer={"type": "whitespace"})
    assert model.generate("echo", 3, temperature=2, seed=9) == "echo echo echo echo"


def test_unknown_tokens_of_a_prompt_are_remembered(letters):
    text = letters.generate("Ünder the Ü ", 5)
    assert text.startswith("Ünder the Ü ")
    assert letters.counts.unknown_in_prompts == ["Ü"], "each once; capital letters are known in lower case"
    letters.generate("ÜÄ", 1)
    assert letters.counts.unknown_in_prompts == ["Ü", "Ä"]


@pytest.mark.parametrize(
    ("given_to", "told"),
    [
        ({"prompt": ""}, "give at least one"),
        ({"prompt": 7}, "a prompt is a text, not int"),
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"temperature": -0.1}, "temperature must be a number from 0 up"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 up"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(letters, given_to, told):
    with pytest.raises(UsageError, match=told):
        letters.generate(**{"prompt": "the", "length": 3, **given_to})


def test_a_prompt_of_white_space_has_no_words(tmp_path):
    model = untrained(tmp_path, tokenizer={"type": "whitespace"})
    with pytest.raises(UsageError, match="no tokens; give at least one"):
        model.generate(" \n", 3)


def test_broken_weights_are_told(tmp_path):
    model = untrained(tmp_path)
    model.model.head.words.bias.data[:] = float("nan")
    with pytest.raises(UsageError, match="gives no token a probability"):
        model.generate("the", 3)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ({"type": "next_token", "backwards": True}, "from their ends .head.backwards = true"),
        ({"type": "fill_blank"}, r"fills in blanks: rnntext predict RUN --text \"I ____ this\""),
    ],
)
def test_models_for_something_else_say_what_they_are_for(tmp_path, head, told):
    model = untrained(tmp_path, extra=99, head=head, tokenizer={"type": "whitespace"})
    with pytest.raises(UsageError, match=told):
        model.generate("the", 3)


def test_a_classifier_refuses(tiny_model):
    with pytest.raises(UsageError, match=r'ask it by rnntext predict\. To generate, train .* "next_token"'):
        tiny_model.generate("the", 3)


# ---- writing


@pytest.mark.parametrize(
    ("prompt", "tokens", "text"),
    [
        ("He left", ["at", "noon", "."], "He left at noon."),
        ("He left ", ["at"], "He left at"),
        ("No", [",", "not", "(", "yet", ")", ";", "why", "?", "!"], "No, not (yet); why?!"),
        ("It (", ["is", "..."], "It (is..."),
        ("He", ["ca", "n't", "be", "Ada", "'s", "’s", "'", "x"], "He can't be Ada's’s ' x"),
        ("He said", ["``", "no", "''", ":"], "He said ``no'':"),
        ("A line\n", ["-", '"', "b", '"'], 'A line\n- " b "'),
    ],
)
def test_words_are_joined_by_blanks_where_one_is_written(prompt, tokens, text):
    assert written(prompt, tokens, at_once=False) == text


def test_characters_are_simply_joined():
    assert written("he (", [" ", ")", "x", "."], at_once=True) == "he ( )x."


@pytest.mark.parametrize(
    ("tokenizer", "at_once"),
    [
        (CharacterTokenizer(keep_whitespace=True), True),
        (CharacterTokenizer(), True),
        (RegexTokenizer(pattern=r"\w+|\W"), True),
        (RegexTokenizer(), False),
        (WhitespaceTokenizer(), False),
    ],
)
def test_whether_tokens_follow_at_once_is_seen_by_what_the_tokenizer_keeps(tokenizer, at_once):
    assert follows_at_once(tokenizer) == at_once


# ---- the command


@pytest.fixture(scope="module")
def run_of_letters(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text((TEXT + "\n") * 12, encoding="utf-8")
    recipe = write_recipe(
        folder,
        dataset={"type": "text", "train": "text.txt", "num_steps": 12, "sampling": "sequential"},
        tokenizer=LETTERS,
        encoder={"bidirectional": False},
        head={"type": "next_token"},
        training={"epochs": 1},
    )
    return str(rnntext.run(recipe, out=folder / "run").path)


def test_generate_prints_the_text(run_of_letters, capsys):
    assert main(["generate", run_of_letters, "--prompt", "the f", "--length", "9"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out == rnntext.load(run_of_letters).generate("the f", 9) + "\n"
    assert len(printed.out) == 15


def test_generate_takes_every_option(run_of_letters, capsys):
    options = ["--temperature", "0.5", "--top-k", "4", "--seed", "0", "--samples", "2"]
    command = ["generate", run_of_letters, "--prompt", "the ÜÜ", "--length", "9", *options]
    model = rnntext.load(run_of_letters)
    wanted = [model.generate("the ÜÜ", 9, temperature=0.5, top_k=4, seed=seed) for seed in (0, 1)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{wanted[0]}\n\n{wanted[1]}\n"
    assert printed.err == "the vocabulary does not know these of the prompt, read as <unk>: ['Ü']\n"
    assert main([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"prompt": "the ÜÜ", "text": text, "seed": seed} for seed, text in enumerate(wanted)]


@pytest.mark.parametrize(
    "wrong",
    [
        *(["--temperature", number] for number in ("-1", "hot", "inf")),
        *([option, "0"] for option in ("--length", "--top-k", "--samples")),
        ["--seed", "-3"],
    ],
    ids=" ".join,
)
def test_generate_refuses_numbers_out_of_range(wrong, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["generate", "nowhere", "--prompt", "the", "--length", "3", *wrong])
    assert raised.value.code == 2
    assert f"argument {wrong[0]}: '{wrong[1]}' is no" in capsys.readouterr().err


def test_generate_says_what_another_model_is_for(tiny_run, run_of_letters, capsys):
    assert main(["generate", str(tiny_run.path), "--prompt", "the", "--length", "3"]) == 2
    assert "tells no next token; ask it by rnntext predict" in capsys.readouterr().err
    assert main(["generate", run_of_letters, "--prompt", "", "--length", "3"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (
        "",
        "the prompt has no tokens; give at least one for the text to begin with\n",
    )
