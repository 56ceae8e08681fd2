"""The language model head: what it tells, from what, in which unit, and beside which n-grams."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_jsonl, write_recipe
from torch import Tensor

import rnntext
from rnntext import preparing, registry, streaming
from rnntext.batching import Collator
from rnntext.cli import main
from rnntext.contracts import PAD_ID, UNKNOWN_ID, Batch, Example
from rnntext.encoding import TypeTable, encode_examples
from rnntext.errors import DataError
from rnntext.evaluation import GroupedScores, evaluate
from rnntext.heads import softmax
from rnntext.heads.next_token import NextTokenHead
from rnntext.metrics import LanguageScores
from rnntext.model import Follower, TextModel, build_model, stored_weights
from rnntext.preparing import Prepared, prepare
from rnntext.recipe import read_recipe
from rnntext.streaming import StreamCollator
from rnntext.tables import BatchingOptions

WORDS = ("the", "cook", "stirs", "a", "soup", "sailor", "mends", "net", "it", "rains", "again", "and", "lamplighter")
EVERYTHING = BatchingOptions(batch_size=10_000)
TABLES: dict[str, dict[str, Any]] = {
    "dataset": {"type": "text", "train": "train.txt", "validation": "validation.txt"},
    "tokenizer": {"type": "whitespace"},
    # Larger starts than usual, so that an untrained model already minds what it has read.
    "embedding": {"output_dim": 6, "initial_range": 1.0},
    "encoder": {"type": "lstm", "hidden_dim": 6, "bidirectional": False},
    "head": {"type": "next_token"},
    "training": {"epochs": 2},
}


def sentences(count: int, seed: int, words: Sequence[str] = WORDS) -> list[str]:
    """Return texts of 1 to 9 words, the first of one."""
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(words, k=chooser.randint(1, 9) if number else 1)) for number in range(count)]


def write(folder: Path, train: Sequence[str], validation: Sequence[str], **tables: Mapping[str, Any]) -> Path:
    """Write two files and the recipe of a language model of them; return the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (("train", train), ("validation", validation)):
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    merged = {table: {**TABLES.get(table, {}), **tables.get(table, {})} for table in {**TABLES, **tables}}
    return write_recipe(folder, **merged)


class Made:
    """A recipe, its data, and untrained models of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prepared: Prepared = prepare(read_recipe(path), lambda text: None)
        self.vocabulary = self.prepared.vocabulary
        self.tokenizer = self.prepared.tokenizer

    def model(self, overrides: Mapping[str, Any] | None = None, seed: int = 5) -> TextModel:
        torch.manual_seed(seed)
        return build_model(read_recipe(self.path, overrides), self.vocabulary, {}).eval()

    def batch(self, texts: Sequence[str]) -> Batch:
        """Return texts as they are read at evaluation."""
        table = TypeTable()
        task = (NextTokenHead, {})
        split = encode_examples([Example(text) for text in texts], self.tokenizer, table, None, task)
        return Collator(split, table.types, table.token_ids(self.vocabulary)).batch(np.arange(len(texts)))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Lines of words, each a text of its own; some words of the validation split are unknown."""
    more = [*WORDS, "owl", "umbrella"]
    return Made(write(tmp_path_factory.mktemp("words"), sentences(30, 1), sentences(17, 2, more)))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One stream of words, in windows of 7, with blank lines: 64 tokens of it have a next one."""
    lines = "\n\n".join(sentences(40, 3)).split("\n")
    held_out = " ".join(sentences(40, 4)).split()[:65]
    cut = [" ".join(held_out[:20]), "", "", " ".join(held_out[20:50]), " ".join(held_out[50:]), ""]
    return Made(write(tmp_path_factory.mktemp("stream"), lines, cut, dataset={"num_steps": 7}))


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One stream of characters, each row of a batch going on where it ended."""
    tables: dict[str, Mapping[str, Any]] = {
        "dataset": {"num_steps": 12, "sampling": "sequential"},
        "tokenizer": {"type": "character", "keep_whitespace": True},
        "batching": {"batch_size": 4},
        "baselines": {"enabled": True},
    }
    return Made(write(tmp_path_factory.mktemp("characters"), sentences(40, 5), sentences(9, 6), **tables))


def told(output: Any) -> Tensor:
    """Return the losses of the tokens that an output tells, 0 where none is."""
    losses: Tensor = output.losses.nan_to_num(0)
    return losses


def scores(model: TextModel, collator: Any, **options: Any) -> dict[str, float]:
    return evaluate(model, collator, BatchingOptions(**options) if options else EVERYTHING).scores()


def log_probabilities(model: TextModel, token_ids: Sequence[int]) -> Tensor:
    """Return float [T, V], what follows each token of one text, worked out by hand from the states."""
    batch = Batch(token_ids=torch.tensor([token_ids]), lengths=torch.tensor([len(token_ids)]))
    with torch.no_grad():
        vectors = model.head.project(model.read(batch).states[0])
        return torch.log_softmax(vectors @ model.head.words.weight.T + model.head.words.bias, dim=1)


def by_hand(made: Made, model: TextModel, texts: Sequence[str]) -> dict[str, float]:
    """Return the scores of texts, each read alone and in one go."""
    losses, length, unknown = [], 0, 0
    for text in texts:
        tokens = made.tokenizer.tokens(text)
        token_ids = made.vocabulary.encode(tokens)
        after = log_probabilities(model, token_ids)
        losses += [-float(after[place, token_id]) for place, token_id in enumerate(token_ids[1:])]
        length += sum(len(token) + 1 for token in tokens[1:])
        unknown += sum(token_id == UNKNOWN_ID for token_id in token_ids[1:])
    return {
        "perplexity": math.exp(sum(losses) / len(losses)),
        "bits_per_character": sum(losses) / math.log(2) / length,
        "unknown_rate": unknown / len(losses),
        "loss": sum(losses) / len(losses),
    }


# --- perplexity, and its unit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 3}, {"batch_size": 50}, {"batch_tokens": 20}])
def test_the_scores_of_texts_are_those_of_each_alone_by_hand(words, options):
    model = words.model()
    texts = sentences(17, 2, [*WORDS, "owl", "umbrella"])
    expected = by_hand(words, model, texts)
    assert expected["unknown_rate"] > 0.05
    assert scores(model, words.prepared.collator("validation"), **options) == pytest.approx(expected, rel=1e-5)


def test_labelled_texts_in_json_lines_are_told_like_any(words, tmp_path):
    texts = sentences(17, 2, [*WORDS, "owl", "umbrella"])
    for name, lines in (("train", sentences(30, 1)), ("validation", texts)):
        rows = [{"text": line, "label": str(number % 2)} for number, line in enumerate(lines)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    dataset = {"type": "jsonl", "train": "train.jsonl", "validation": "validation.jsonl"}
    labelled = Made(write(tmp_path, [], [], dataset=dataset))
    expected = scores(words.model(), words.prepared.collator("validation"))
    assert scores(labelled.model(), labelled.prepared.collator("validation")) == expected


def test_the_scores_of_a_stream_are_those_of_all_of_it_in_one_go(stream):
    model = stream.model()
    whole = (stream.path.parent / "validation.txt").read_text()
    expected = by_hand(stream, model, [whole])
    assert expected["unknown_rate"] == 0, "so that how long each token is can be known"
    for options in ({"batch_size": 1}, {"batch_size": 5}):
        found = scores(model, stream.prepared.collator("validation"), **options)
        assert found == pytest.approx(expected, rel=1e-5)


def test_an_unknown_token_after_a_window_counts_as_long_as_the_one_before(stream):
    model = stream.model()
    window = stream.batch(["the sailor rains"])
    for following, length in ((UNKNOWN_ID, 6), (stream.vocabulary.encode(["lamplighter"])[0], 12)):
        window.targets = torch.cat([window.token_ids[:, 1:], torch.tensor([[following]])], dim=1)
        with torch.no_grad():
            answers = model.head.answers(model(window))
        assert answers[0, :, 1].tolist() == [7, 6, length]
        assert answers[0, :, 2].tolist() == [0, 0, following == UNKNOWN_ID]


def test_of_characters_the_unit_is_a_character(characters):
    model = characters.model()
    found = scores(model, characters.prepared.collator("validation"))
    expected = by_hand(characters, model, [(characters.path.parent / "validation.txt").read_text()])
    assert found["perplexity"] == pytest.approx(expected["perplexity"], rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(math.log2(found["perplexity"]))
    assert model.head.units["perplexity"] == "per character"


def test_of_words_the_unit_is_a_token(words):
    units = words.model().head.units
    assert units == {"perplexity": "per token", "bits_per_character": "blanks between words included"}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_loss_is_the_mean_over_tokens_however_ragged_the_batches(words, batch_size):
    found = scores(words.model(), words.prepared.collator("train"), batch_size=batch_size)
    assert found["loss"] == pytest.approx(math.log(found["perplexity"]), rel=1e-6)


def test_the_first_token_of_a_text_is_not_told(words):
    model = words.model()
    with torch.no_grad():
        one, other = (model(words.batch([text])) for text in ("cook the soup", "net the soup"))
    assert one.count == other.count == 2
    assert one.losses.isnan().tolist() == [[False, False, True]]
    assert not torch.equal(one.losses[:, :2], other.losses[:, :2]), "it is read all the same"


def test_a_text_of_one_token_tells_nothing(words):
    model = words.model()
    alone = model(words.batch(["soup", "", "net"]))
    assert (alone.count, float(alone.loss.detach())) == (0, 0)
    alone.loss.backward()  # a batch of nothing else may come in training
    mixed = words.batch(["soup", "a sailor mends", ""])
    with torch.no_grad():
        found, expected = model(mixed), model(words.batch(["a sailor mends"]))
        answers = model.head.predictions(found, mixed)
    assert found.count == 2
    assert float(found.loss) == pytest.approx(float(expected.loss))
    assert [answer["perplexity"] is None for answer in answers] == [True, False, True]


# --- what it tells from ----------------------------------------------------------------------------------------


def first_changes(model: TextModel, made: Made) -> list[int]:
    """Return the place of the first loss that changes with each token of a text from the second on."""
    batch = made.batch(["the cook stirs a soup and the sailor mends a net"])
    length = int(batch.lengths[0])
    variants = batch.token_ids.repeat(length, 1)
    for place in range(1, length):
        variants[place, place] = made.vocabulary.encode(["lamplighter"])[0]
    with torch.no_grad():
        losses = told(model(Batch(token_ids=variants, lengths=torch.full((length,), length))))
    changed = (losses - losses[:1]).abs() > 1e-6
    return [int(row.nonzero()[0, 0]) for row in changed[1:]]


@pytest.mark.parametrize("encoder", sorted(set(registry.names("encoders")) - {"dense"}))
def test_a_token_changes_no_loss_before_its_own(words, encoder):
    layers = {"encoder.type": encoder, "encoder.num_layers": 2, "encoder.hidden_dim": 6}
    model = words.model({**layers, "encoder.bidirectional": False})
    # The loss at a place is that of the token after it.
    assert first_changes(model, words) == list(range(10))


def test_the_encoder_that_is_refused_would_change_losses_before(words):
    model = words.model({"encoder.bidirectional": True, "head.allow_leak": True})
    assert min(first_changes(model, words)[1:]) == 0


def test_backwards_is_the_mirror_image_of_forwards(words):
    texts = ["the cook stirs a soup", "a lamplighter", "owl", "it rains again and again and again"]
    mirrored = [" ".join(reversed(text.split())) for text in texts]
    forwards, backwards = words.model(), words.model({"head.backwards": True})
    with torch.no_grad():
        one, other = backwards(words.batch(texts)), forwards(words.batch(mirrored))
    assert torch.equal(told(one), told(other))
    assert one.count == 4 + 1 + 0 + 6
    pairs = [backwards.head.answers(one), forwards.head.answers(other)]
    np.testing.assert_array_equal(*pairs)
    answers = [
        model.head.predictions(output, words.batch(texts)) for model, output in ((backwards, one), (forwards, other))
    ]
    assert answers[0] == answers[1]
    with torch.no_grad():
        assert not torch.equal(told(forwards(words.batch(texts))), told(one))


def test_backwards_in_a_stream_reads_each_window_from_its_end(stream):
    model = stream.model({"head.backwards": True})
    held_out = (stream.path.parent / "validation.txt").read_text().split()
    windows = [held_out[start : start + 7] for start in range(0, 64, 7)]
    mirrored = [" ".join(reversed(window[: 64 - 7 * number])) for number, window in enumerate(windows)]
    expected = by_hand(stream, stream.model(), mirrored)
    found = scores(model, stream.prepared.collator("validation"))
    assert found["perplexity"] == pytest.approx(expected["perplexity"], rel=1e-5)


# --- the state that is carried on ------------------------------------------------------------------------------


@pytest.fixture
def _short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation of 64 tokens is three rows of 21, 21 and 22: the longest has one window more, of one token."""
    monkeypatch.setattr(streaming, "TOKENS_A_ROW", 20)


def followed(model: TextModel, collator: StreamCollator) -> dict[int, float]:
    """Return the loss at each place of a stream, read window by window."""
    follow, losses = Follower(model), {}
    all_rows = collator.evaluation_rows(BatchingOptions())
    with torch.no_grad():
        for rows, batch in zip(all_rows, collator.batches(all_rows), strict=True):
            output = follow(batch)
            for (start, end, _), row in zip(rows.tolist(), output.losses.tolist(), strict=True):
                losses.update(zip(range(start, end), row, strict=False))
    return losses


def each_row_at_once(model: TextModel, collator: StreamCollator) -> dict[int, float]:
    """Return the loss at each place of a stream, each row of it read alone and in one go."""
    losses = {}
    windows = (10_000, collator.sampling)
    whole = StreamCollator(collator.split, collator.types, collator.token_ids, windows)
    (rows,) = whole.evaluation_rows(BatchingOptions())
    with torch.no_grad():
        for row in rows:
            batch = whole.batch(row[None])
            losses.update(zip(range(row[0], row[1]), model(batch).losses[0].tolist(), strict=True))
    return losses


CARRYING = [("lstm", 2), ("gru", 1), ("peephole_lstm", 2), ("min_gru", 2), ("coupled_lstm", 1), ("rnn", 1)]


@pytest.mark.usefixtures("_short_rows")
@pytest.mark.parametrize(("encoder", "layers"), [*CARRYING, ("dense", 1)])
def test_windows_read_with_the_state_carried_on_equal_rows_read_at_once(stream, encoder, layers):
    kind = {"encoder.type": encoder, "encoder.num_layers": layers, "encoder.hidden_dim": 6}
    direction = {} if encoder == "dense" else {"encoder.bidirectional": False}
    model = stream.model({**kind, **direction})
    collator = stream.prepared.collator("validation")
    expected = each_row_at_once(model, collator)
    assert sorted(expected) == list(range(64))
    found = followed(model, collator)
    assert found == pytest.approx(expected, abs=1e-5)
    assert scores(model, collator)["loss"] == pytest.approx(sum(expected.values()) / 64, rel=1e-5)


@pytest.mark.usefixtures("_short_rows")
@pytest.mark.parametrize("encoder", ["lstm", "min_gru"])
def test_without_carrying_each_window_begins_from_zero(stream, encoder):
    kind = {"encoder.type": encoder, "encoder.hidden_dim": 6, "encoder.bidirectional": False}
    model = stream.model({**kind, "head.carry_state": False})
    collator = stream.prepared.collator("validation")
    expected, found = each_row_at_once(model, collator), followed(model, collator)
    first_windows = [first + step for first in (0, 21, 42) for step in range(7)]
    assert {place: found[place] for place in first_windows} == pytest.approx(
        {place: expected[place] for place in first_windows}, abs=1e-5
    )
    later = [abs(found[place] - expected[place]) for place in found if place not in first_windows]
    assert len(later) == 43
    assert max(later) > 1e-3


def test_no_gradient_reaches_the_batch_before(words):
    model = words.model({"head.tied": False}).train()
    before, after = words.batch(["the cook stirs"]), words.batch(["a sailor mends"])
    before.goes_on, after.goes_on = False, True
    follow = Follower(model)
    follow(before)
    output = follow(after)
    alone = model(after)
    assert abs(output.loss.item() - alone.loss.item()) > 1e-4, "the state was carried on"
    output.loss.backward()
    moved = model.embeddings[0].weight.grad.abs().sum(dim=1) > 0
    assert moved.nonzero()[:, 0].tolist() == sorted(after.token_ids[0, :2].tolist()), "nothing follows the last"


# --- the words' vectors and the softmax ------------------------------------------------------------------------


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps from 11 words on: 4 frequent ones, then two groups."""
    monkeypatch.setattr(softmax, "LARGE", 10)
    monkeypatch.setattr(softmax, "CUTS", (4, 7))


def test_tied_vectors_are_the_embeddings_and_stored_once(words):
    tied, own = words.model(), words.model({"head.tied": False})
    assert tied.head.words.weight is tied.embeddings[0].weight
    assert "head.words.weight" not in stored_weights(tied)
    assert "head.words.weight" in stored_weights(own)
    assert own.head.words.weight.shape == (len(words.vocabulary), 6)


def test_a_state_of_another_width_than_the_vectors_is_projected(words):
    model = words.model({"encoder.hidden_dim": 9})
    found = scores(model, words.prepared.collator("train"))
    assert found == pytest.approx(by_hand(words, model, sentences(30, 1)), rel=1e-5)


def test_without_a_trained_table_nothing_can_be_tied(words):
    with pytest.raises(DataError, match=r"head\.tied = false"):
        words.model({"embedding.trainable": False})
    words.model({"embedding.trainable": False, "head.tied": False})


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("tied", [True, False])
def test_two_steps_give_each_word_a_probability_and_that_is_what_is_lost(words, tied):
    model = words.model({"head.tied": tied})
    assert model.head.words.cuts == [4, 7, len(words.vocabulary)]
    assert "adaptive softmax: 4 words + 2 groups" in model.head.gives
    batch = words.batch(sentences(6, 7))
    with torch.no_grad():
        for parameter in (model.head.words.group_weight, model.head.words.group_bias, model.head.words.bias):
            parameter.normal_()
        output = model(batch)
        after = model.head.words.log_probabilities(output.logits.flatten(0, 1)).unflatten(0, output.losses.shape)
    assert torch.allclose(after.exp().sum(dim=2), torch.ones(output.losses.shape))
    following = batch.token_ids[:, 1:]
    expected = -after[:, :-1].gather(2, following[:, :, None])[:, :, 0]
    assert torch.allclose(told(output)[:, :-1], torch.where(following == PAD_ID, 0, expected), atol=1e-6)


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("kind", ["full", "adaptive"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["words", "stream"])
def test_it_begins_at_the_shares_of_the_tokens(name, kind, tied, request):
    made: Made = request.getfixturevalue(name)
    model = made.model({"head.softmax": kind, "head.tied": tied})
    training = made.prepared.collator("train")
    model.head.begin_from(training.batches(training.evaluation_rows(BatchingOptions(batch_size=4))))
    with torch.no_grad():
        model.head.words.weight.zero_()
    tokens = (made.path.parent / "train.txt").read_text().split()
    counts = Counter(made.vocabulary.encode(tokens[:-1] if name == "stream" else tokens))
    texts = (made.path.parent / "validation.txt").read_text().split("\n")
    texts = [" ".join(texts)] if name == "stream" else texts
    wanted = [token_id for text in texts for token_id in made.vocabulary.encode(text.split())[1:]]
    whole = counts.total() + len(made.vocabulary)
    expected = math.exp(-sum(math.log((counts[token_id] + 1) / whole) for token_id in wanted) / len(wanted))
    assert scores(model, made.prepared.collator("validation"))["perplexity"] == pytest.approx(expected, rel=1e-5)


# --- what a recipe may say -------------------------------------------------------------------------------------


def line_of(recipe: Path, table: str, key: str) -> int:
    """Return the line of a recipe on which a key of a table stands."""
    lines = recipe.read_text().splitlines()
    start = lines.index(f"[{table}]")
    return start + 1 + next(number for number, line in enumerate(lines[start:]) if line.startswith(f"{key} ="))


IN_SEQUENCE = {"num_steps": 7, "sampling": "sequential"}
BOTH_WAYS = {"bidirectional": True}


@pytest.mark.parametrize(
    ("tables", "place", "reason"),
    [
        ({"encoder": BOTH_WAYS}, "encoder.type", "reads the future; the token that is to be told stands there"),
        ({"encoder": {**BOTH_WAYS, "num_layers": 2}}, "encoder.type", "Set encoder.bidirectional = false"),
        ({"encoder": {"chunk_tokens": 50}}, "encoder.chunk_tokens", "reads no text in pieces"),
        (
            {"dataset": {"num_steps": 7}, "head": {"carry_state": True}},
            "head.type",
            'needs windows that follow on from one another (dataset.num_steps, and dataset.sampling = "sequential")',
        ),
        ({"head": {"carry_state": True}}, "head.type", "needs windows that follow on from one another"),
        (
            {"dataset": IN_SEQUENCE, "head": {"backwards": True, "carry_state": True}},
            "head.carry_state",
            "this head reads backwards",
        ),
        (
            {"dataset": {"num_steps": 7}, "head": {"type": "classification"}},
            "dataset.num_steps",
            "head 'classification' reads whole texts; leave it out",
        ),
        ({"dataset": IN_SEQUENCE, "head": {"type": "tagging"}}, "dataset.num_steps", "'tagging' reads whole texts"),
        (
            {"dataset": {"num_steps": 7}, "head": {"type": "fill_blank"}, "encoder": BOTH_WAYS},
            "dataset.num_steps",
            "'fill_blank' reads whole texts",
        ),
        ({"head": {"pooling": "mean"}}, "head.pooling", "there is nothing to pool"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason_and_its_place(tmp_path, capsys, tables, place, reason):
    recipe = write(tmp_path, ["a b"], ["a b"], **tables)
    assert main(["check", str(recipe)]) == 2
    told_line = capsys.readouterr().err
    table, key = place.split(".")
    assert f"{recipe}:{line_of(recipe, table, key)}: [{table}] {key}: " in told_line
    assert reason in told_line
    assert "1 problem. Nothing was run." in told_line


@pytest.mark.parametrize(
    "tables",
    [
        {"dataset": IN_SEQUENCE, "head": {"carry_state": True}},
        {"dataset": {"num_steps": 7}, "head": {"carry_state": False}},
        {"dataset": IN_SEQUENCE, "head": {"backwards": True}},
        {"encoder": {"num_layers": 3}},
    ],
)
def test_what_can_work_is_not_refused(tmp_path, tables, capsys):
    assert main(["check", str(write(tmp_path, ["a b"], ["a b"], **tables))]) == 0
    capsys.readouterr()


def test_a_stream_of_one_token_is_said_plainly_and_leaves_nothing(tmp_path, capsys):
    recipe = write(tmp_path, sentences(5, 1), ["alone", ""], dataset={"num_steps": 7})
    assert main(["run", str(recipe), "--out", str(tmp_path / "out"), "-q"]) == 1
    assert "the validation split has 1 token(s); a next one needs two" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- whole runs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def words_run(words: Made, tmp_path_factory: pytest.TempPathFactory) -> rnntext.Run:
    """A run on single texts, hardly trained: it still tells each token by its share."""
    still = {"training.epochs": 1, "training.learning_rate": 1e-9, "embedding.initial_range": 1e-6}
    out = tmp_path_factory.mktemp("runs") / "words"
    return rnntext.run(words.path, {**still, "baselines.enabled": True}, out)


@pytest.fixture(scope="module")
def characters_run(characters: Made, tmp_path_factory: pytest.TempPathFactory) -> rnntext.Run:
    return rnntext.run(characters.path, out=tmp_path_factory.mktemp("runs") / "characters")


@pytest.fixture(scope="module")
def trained(characters_run: rnntext.Run) -> rnntext.TrainedModel:
    return rnntext.load(characters_run.path)


def test_before_any_step_a_run_is_at_the_perplexity_of_single_words(words, words_run):
    counts = Counter(words.vocabulary.encode(" ".join(sentences(30, 1)).split()))
    whole = counts.total() + len(words.vocabulary)
    texts = sentences(17, 2, [*WORDS, "owl", "umbrella"])
    wanted = [token_id for text in texts for token_id in words.vocabulary.encode(text.split())[1:]]
    expected = math.exp(-sum(math.log((counts[token_id] + 1) / whole) for token_id in wanted) / len(wanted))
    assert words_run.metrics["validation"]["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert words_run.metrics["units"]["perplexity"] == "per token"


@pytest.mark.parametrize(
    ("name", "orders"),
    [("words_run", ["1-gram", "2-gram", "3-gram"]), ("characters_run", ["1-gram", "3-gram", "6-gram"])],
)
def test_n_grams_stand_beside_the_network_their_order_said(name, orders, request):
    metrics = request.getfixturevalue(name).metrics
    assert list(metrics["baselines"]) == orders
    for baseline in metrics["baselines"].values():
        assert 1 < baseline["perplexity"] < 100
        assert baseline["unknown_rate"] == pytest.approx(metrics["validation"]["unknown_rate"], abs=0.01)
    stored = json.loads((request.getfixturevalue(name).path / "metrics.json").read_text())
    assert stored["baselines"] == metrics["baselines"]


def test_of_characters_both_give_the_logarithm_of_the_perplexity_as_bits(characters_run):
    metrics = characters_run.metrics
    for each in (metrics["validation"], *metrics["baselines"].values()):
        assert each["bits_per_character"] == pytest.approx(math.log2(each["perplexity"]))


def by_baseline(made: Made, model: TextModel) -> Iterator[dict[str, float]]:
    """Yield the number of tokens, of characters and of unknown ones on which each n-gram is scored."""
    for baseline in model.head.baselines().values():
        baseline.fit(made.prepared.labelled_tokens("train"), made.prepared.labelled_tokens("validation"))
        counts = GroupedScores(LanguageScores)
        for tokens, targets in made.prepared.labelled_tokens("validation").chunks():
            counts.update(baseline.answers(tokens), targets, {})
        total: Any = counts.total
        yield {"tokens": total.tokens, "characters": total.sums[1], "unknown": total.sums[2]}


def by_network(made: Made, model: TextModel) -> dict[str, float]:
    total: Any = evaluate(model, made.prepared.collator("validation"), EVERYTHING).total
    return {"tokens": total.tokens, "characters": total.sums[1], "unknown": total.sums[2]}


def test_texts_are_scored_on_the_same_tokens_by_all_methods(words):
    model = words.model()
    expected = by_network(words, model)
    assert expected["unknown"] > 0
    assert list(by_baseline(words, model)) == [expected] * 3


def test_a_stream_is_scored_on_the_same_tokens_but_for_the_pieces_first(stream, monkeypatch):
    model = stream.model()
    found = by_network(stream, model)
    assert (found["tokens"], found["unknown"]) == (64, 0), "blank lines are no tokens"
    assert list(by_baseline(stream, model)) == [found] * 3
    monkeypatch.setattr(preparing, "TOKENS_A_PIECE", 10)
    pieces = math.ceil(len(stream.prepared.splits["validation"].types.values) / 10)
    assert [each["tokens"] for each in by_baseline(stream, model)] == [65 - pieces] * 3


def test_a_file_scores_as_the_split_that_it_was(characters, characters_run, trained):
    found = trained.evaluate(characters.path.parent / "validation.txt").scores()
    assert found == pytest.approx(characters_run.metrics["validation"], rel=1e-5)


# --- predictions -----------------------------------------------------------------------------------------------


def test_a_prediction_holds_the_perplexity_and_what_may_follow(trained):
    text = "the cook stirs"
    answer = trained(text).to_dict()
    assert list(answer) == ["text", "perplexity", "next"]
    token_ids = trained.vocabulary.encode(trained.tokenizer.tokens(text))
    after = log_probabilities(trained.model, token_ids)
    losses = [-float(after[place, token_id]) for place, token_id in enumerate(token_ids[1:])]
    assert answer["perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-4)
    shares = after[-1].exp().tolist()
    shares[PAD_ID] = 0
    best = sorted(range(len(shares)), key=lambda token_id: -shares[token_id])[:5]
    assert [pair["token"] for pair in answer["next"]] == [trained.vocabulary.token(token_id) for token_id in best]
    assert [pair["probability"] for pair in answer["next"]] == pytest.approx([shares[b] for b in best], rel=1e-4)


def test_top_k_decides_how_many_candidates_there_are_sorted(trained):
    for top_k, count in ((1, 1), (3, 3), (None, 5), (10_000, len(trained.vocabulary) - 2)):
        shares = [pair["probability"] for pair in trained("a net", top_k=top_k).next]
        assert len(shares) == count
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 1e-6


def test_padding_never_follows_however_probable(words):
    model, batch = words.model(), words.batch(["the cook"])
    with torch.no_grad():
        model.head.words.bias[PAD_ID] = 9
        (answer,) = model.head.predictions(model(batch), batch, 10_000)
        assert model.head.next_token(model.read(batch).states[:, -1])[0, PAD_ID] == -torch.inf
    assert "<pad>" not in [pair["token"] for pair in answer["next"]]


def test_a_text_alone_is_answered_as_in_a_batch(trained):
    texts = ["the cook stirs a soup", "a", "", "it rains again and again", "näht the net"]
    alone = [trained(text).to_dict() for text in texts]
    for together in (trained(texts), list(trained.pipe(texts, batch_size=1))):
        for one, other in zip(alone, together, strict=True):
            assert other.perplexity is one["perplexity"] is None or other.perplexity == pytest.approx(
                one["perplexity"], rel=1e-5
            )
            assert [pair["token"] for pair in one["next"]] == [pair["token"] for pair in other.next]
            assert [pair["probability"] for pair in one["next"]] == pytest.approx(
                [pair["probability"] for pair in other.next], abs=1e-6
            )
    assert [answer["perplexity"] is None for answer in alone] == [False, True, True, False, False]


def test_a_text_that_the_model_was_trained_on_is_told_better_than_one_turned_round(characters_run, trained):
    assert characters_run.metrics["validation"]["perplexity"] < len(trained.vocabulary)
    text = "the cook stirs a soup and a sailor mends the net"
    assert trained(text).perplexity < trained(text[::-1]).perplexity
