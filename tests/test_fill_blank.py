"""Filling in blanks: what tells a word has not read it, and whole runs from texts to answers about questions."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tiny import make_tiny, sha256, write_jsonl, write_recipe
from torch import Tensor

import rnntext
from rnntext import options, registry
from rnntext.batching import Collator
from rnntext.blanks import BlankTokenizer, with_blanks
from rnntext.cli import main
from rnntext.contracts import BLANK, Batch, Encoded, Example, Head
from rnntext.encoding import TypeTable, encode_examples
from rnntext.errors import DataError, RecipeError, ShapeError
from rnntext.heads import softmax
from rnntext.model import TextModel
from rnntext.preparing import prepare
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

HEAD: Any = registry.get("heads", "fill_blank")
CELLS = ("lstm", "gru", "rnn", "min_gru")
WORDS = ("soup", "lamp", "tent", "chair", "rain", "boat")
SPECIALS = [0, 1, 2]
TEXT = ["soup", "lamp", "tent", "chair", "rain"]
OTHER = ["rain", "soup", "lamp"]
"""A second text of a batch, shorter, so that there is padding."""


# ---------------------------------------------------------------- a model by hand


def known_words() -> FrequencyVocabulary:
    """Ids 0 to 2 are special, then come the words, in their order."""
    vocabulary = FrequencyVocabulary()
    vocabulary.fit({BLANK: 100, **{word: 50 - place for place, word in enumerate(WORDS)}})
    return vocabulary


def batch_of(*texts: Sequence[str], labels: Sequence[Any] = ()) -> Batch:
    """The batch of some texts as a model that fills blanks reads them; with labels, their answers as targets."""
    table = TypeTable()
    examples = [
        Example(" ".join(tokens), label=label)
        for tokens, label in zip(texts, labels or [None] * len(texts), strict=True)
    ]
    task = (HEAD, {}) if labels else None
    split = encode_examples(examples, BlankTokenizer(WhitespaceTokenizer()), table, None, task, read=with_blanks)
    token_ids = table.token_ids(known_words())
    return Collator(split, table.types, token_ids).batch(np.arange(len(texts)))


def model_of(cell: str = "lstm", head: dict[str, Any] | None = None, **chosen: Any) -> TextModel:
    """Words and their spelling, an encoder, and the head; nothing is dropped or hidden unless asked for."""
    torch.manual_seed(1)
    vocabulary = known_words()
    embeddings = [
        registry.get("embeddings", "learned")(vocabulary=vocabulary, output_dim=6, initial_range=1.0),
        registry.get("embeddings", "char_cnn")(vocabulary=vocabulary, output_dim=8),
    ]
    encoder = registry.get("encoders", cell)(input_dim=14, hidden_dim=7, **chosen)
    made = HEAD(
        input_dim=encoder.output_dim,
        labels={},
        vocabulary=vocabulary,
        embeddings=embeddings,
        **{"dropout": 0.0, "blank_share": 0.0, **(head or {})},
    )
    return TextModel(embeddings, encoder, made)


def told_in_training(model: TextModel, *texts: Sequence[str]) -> dict[tuple[int, int], Tensor]:
    """What is told of each token of each text from its two sides."""
    with torch.no_grad():
        output = model.train()(batch_of(*texts, labels=[None] * len(texts)))
    places = zip(output.rows.tolist(), output.places.tolist(), strict=True)
    return dict(zip(places, output.logits, strict=True))


def told_of_blanks(model: TextModel, *texts: Sequence[str]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.eval()(batch_of(*texts)).logits
    return logits


def changed(tokens: Sequence[str], place: int, token: str) -> list[str]:
    return [*tokens[:place], token, *tokens[place + 1 :]]


def reached_by(model: TextModel, place: int, token: str) -> set[int]:
    """Return what is told of which tokens of the text once that at a place is another one."""
    before = told_in_training(model, TEXT, OTHER)
    after = told_in_training(model, changed(TEXT, place, token), OTHER)
    assert set(before) == set(after) == {(0, step) for step in range(5)} | {(1, step) for step in range(3)}
    assert all(torch.equal(before[1, step], after[1, step]) for step in range(3)), "another text is no business of it"
    return {step for step in range(5) if not torch.equal(before[0, step], after[0, step])}


# ---------------------------------------------------------------- no leaks


APART: list[tuple[str, dict[str, Any]]] = [
    *((cell, {"num_layers": 3, "interleaved": False}) for cell in CELLS),
    *((cell, {"num_layers": 1}) for cell in CELLS),
    ("lstm", {"num_layers": 3, "interleaved": False, "shortcut": True, "residual": True, "layer_norm": True}),
    ("gru", {"num_layers": 1, "shortcut": True}),
]
apart = pytest.mark.parametrize(("cell", "chosen"), APART, ids=[f"{cell} {chosen}" for cell, chosen in APART])


@apart
def test_in_training_a_token_is_told_by_all_others_and_never_by_itself(cell: str, chosen: dict[str, Any]) -> None:
    model = model_of(cell, **chosen)
    for place in range(5):
        others = set(range(5)) - {place}
        assert reached_by(model, place, "boat") == others, "another word"
        assert reached_by(model, place, TEXT[place].upper()) == others, "the same word, spelled otherwise"


@apart
def test_what_is_asked_is_told_as_it_was_trained_and_whatever_stood_there(cell: str, chosen: dict[str, Any]) -> None:
    model = model_of(cell, **chosen)
    trained = told_in_training(model, TEXT, OTHER)
    for place in range(5):
        asked = told_of_blanks(model, changed(TEXT, place, "____"), OTHER)
        expected = model.head.words.log_probabilities(trained[0, place][None]).detach()
        expected[:, SPECIALS] = -torch.inf
        torch.testing.assert_close(asked, expected.log_softmax(dim=1), rtol=1e-4, atol=1e-5)
        for step in set(range(5)) - {place}:
            other = told_of_blanks(model, changed(changed(TEXT, place, "____"), step, "boat"), OTHER)
            assert not torch.equal(asked, other), f"it has not read the token at {step}"


def test_the_tests_above_see_a_leak_where_there_is_one() -> None:
    model = model_of(num_layers=3, interleaved=True, head={"allow_leak": True})
    for place in range(5):
        assert reached_by(model, place, "boat") == set(range(5))
        assert reached_by(model, place, TEXT[place].upper()) == set(range(5))


def test_an_encoder_of_one_direction_tells_a_token_by_what_is_before_it() -> None:
    for cell, more in (("lstm", {}), ("min_gru", {"shortcut": True})):
        model = model_of(cell, num_layers=2, bidirectional=False, **more)
        assert [reached_by(model, place, "boat") for place in range(5)] == [
            {1, 2, 3, 4},
            {2, 3, 4},
            {3, 4},
            {4},
            set(),
        ]


@pytest.mark.parametrize("shortcut", [False, True])
def test_dense_layers_tell_a_token_by_the_one_before_it(shortcut: bool) -> None:
    model = model_of("dense", num_layers=2, shortcut=shortcut)
    assert [reached_by(model, place, "boat") for place in range(5)] == [{1}, {2}, {3}, {4}, set()]


def test_an_encoder_that_tells_no_directions_apart_is_refused() -> None:
    model = model_of()
    states = torch.zeros(1, 5, 14)
    with pytest.raises(ShapeError, match=r"Encoded\.from_end.*encoder\.interleaved = false"):
        model.head.eval()(Encoded(states, states[:, 0]), batch_of(changed(TEXT, 1, "____")))


# ---------------------------------------------------------------- what training hides


def hidden_in_training(tokens: Sequence[str], **chosen: Any) -> tuple[Batch, Batch]:
    """A batch of one text, and what of it is read."""
    torch.manual_seed(5)
    batch = batch_of(tokens, ["soup"])
    return batch, model_of(head=chosen).train().head.conceal(batch)


def test_all_known_words_are_told_and_all_is_read_where_nothing_is_drawn() -> None:
    batch, read = hidden_in_training(["soup", "____", "zebra", "lamp", "tent"])
    assert read.targets.tolist() == [[3, -1, -1, 4, 5], [3, -1, -1, -1, -1]], "no blank, nothing unknown, no padding"
    assert torch.equal(read.token_ids, batch.token_ids)


def test_a_share_of_tokens_is_hidden_from_the_others_and_told_all_the_same() -> None:
    batch, read = hidden_in_training(["soup", "lamp", "zebra"] * 400, blank_share=0.2)
    hidden = read.token_ids == 2
    assert hidden[0].float().mean() == pytest.approx(0.2, abs=0.04)
    assert not hidden[1, 1:].any(), "padding is not hidden"
    assert (read.type_ids[hidden] == 0).all(), "nor can its spelling be read"
    assert torch.equal(read.type_ids[~hidden], batch.type_ids[~hidden])
    assert torch.equal(read.token_ids[~hidden], batch.token_ids[~hidden])
    expected = torch.where((batch.token_ids > 1) & batch.mask, batch.token_ids, -1)
    assert torch.equal(read.targets, expected)


def test_a_share_of_words_is_told() -> None:
    batch, read = hidden_in_training(["soup", "lamp"] * 500, predicted_share=0.3)
    told = read.targets[0] >= 0
    assert told.float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(read.targets[0][told], batch.token_ids[0][told])


def test_a_blank_reads_alike_in_training_and_later() -> None:
    torch.manual_seed(2)
    model = model_of(head={"blank_share": 0.5})
    batch = batch_of(TEXT)
    read = model.train().head.conceal(batch)
    hidden = [place for place in range(5) if read.token_ids[0, place] == 2]
    assert 0 < len(hidden) < 5
    asked = model.eval().head.conceal(batch_of(["____" if place in hidden else TEXT[place] for place in range(5)]))
    assert torch.equal(asked.token_ids, read.token_ids)
    spelled = [["" if place in hidden else TEXT[place] for place in range(5)]]
    for each in (asked, read):
        assert [[each.types[number] for number in row] for row in each.type_ids.tolist()] == spelled


def test_the_loss_of_training_is_the_mean_over_words_that_are_told() -> None:
    model = model_of().train()
    output = model(batch_of(TEXT, [*OTHER, "zebra"], labels=[None, None]))
    assert output.count == 8
    targets = batch_of(TEXT, OTHER).token_ids
    wanted = [int(targets[row, place]) for row, place in zip(output.rows, output.places, strict=True)]
    logs = model.head.words.log_probabilities(output.logits)
    expected = -sum(logs[number, word].item() for number, word in enumerate(wanted)) / 8
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_with_nothing_to_tell_costs_nothing() -> None:
    model = model_of().train()
    output = model(batch_of(["zebra", "zebra"], ["____"], labels=[None, None]))
    assert (output.count, output.loss.item()) == (0, 0.0)
    output.loss.backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


# ---------------------------------------------------------------- answers and losses of questions


def test_the_head_keeps_its_contract() -> None:
    model = model_of()
    assert isinstance(model.head, Head)
    assert set(options.options_of(HEAD, "heads")) == {
        *("tied", "softmax", "predicted_share", "blank_share", "dropout", "allow_leak"),
    }
    assert HEAD.needs({}) == frozenset()
    assert HEAD.learn_labels([Example("soup", label="any")]) == {}
    assert set(model.head.scores().compute()) == set()
    assert not HEAD.cuts_long_texts


@pytest.mark.parametrize(
    ("example", "targets"),
    [
        (Example("no blank", label="good"), []),
        (Example("no ____"), []),
        (Example("a ____ soup", label="hot"), ["hot"]),
        (Example("____ ____", label=("hot", "soup")), ["hot", "soup"]),
        (Example("a ____", label="soup", choices=(("tea", "soup"),)), ["soup", None, "tea", "soup"]),
        (
            Example("____ ____", label=("hot", "soup"), choices=(("hot",), ("tea", "soup"))),
            ["hot", "soup", None, "hot", None, "tea", "soup"],
        ),
        (Example("a ____", ("a", "____"), label=("DET", "NOUN"), scheme="none"), []),
    ],
)
def test_targets_are_answers_and_then_choices(example: Example, targets: list[str | None]) -> None:
    assert list(HEAD.encode_targets(example, {}, 2)) == targets


def test_answers_are_log_probabilities_by_text_and_blank() -> None:
    model = model_of()
    texts = [["____"], TEXT, ["soup", "____", "____", "rain"], ["____", "lamp", "____"]]
    with torch.no_grad():
        output = model.eval()(batch_of(*texts))
        no_blanks = model(batch_of(TEXT))
    assert output.loss is None
    answers = model.head.answers(output)
    assert answers.shape == (4, 2, 9)
    assert np.isnan(answers[..., 0]).tolist() == [[False, True], [True, True], [False, False], [False, False]]
    rows = np.concatenate([answers[0, :1], answers[2], answers[3]])
    assert np.array_equal(rows, output.logits.numpy())
    assert (rows[:, SPECIALS] == -np.inf).all()
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, rtol=1e-5)
    assert model.head.answers(no_blanks).shape == (1, 0, 9)


def test_the_loss_of_questions_is_the_mean_over_answers_that_are_known() -> None:
    model = model_of().eval()
    texts = [["soup", "____", "____"], ["____", "rain"], ["____"]]
    batch = batch_of(*texts, labels=[("lamp", "zebra"), "tent", BLANK])
    with torch.no_grad():
        output = model(batch)
    expected = -(output.logits[0, 4] + output.logits[2, 5]).item() / 2
    assert (output.count, output.loss.item()) == (2, pytest.approx(expected, rel=1e-5))


def test_words_start_at_their_shares_of_the_training_split() -> None:
    model = model_of()
    model.head.begin_from([batch_of(TEXT, ["soup", "soup", "____", "zebra"])])
    logs = model.head.words.log_probabilities(torch.zeros(1, 6))[0].exp()
    expected = torch.tensor([1, 1, 1, 4, 2, 2, 2, 2, 1]) / 16  # each count one up, and none of what is never told
    torch.testing.assert_close(logs, expected)


# ---------------------------------------------------------------- whole runs


SOUNDS = {"dogs": "bark", "cows": "moo", "cats": "purr", "ducks": "quack"}
PLACES = ("barn", "pond", "road")


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of which each animal tells its sound and each sound its animal."""
    chooser = random.Random(seed)
    made = []
    for _ in range(count):
        animal, place = chooser.choice(list(SOUNDS)), chooser.choice(PLACES)
        opening = chooser.choice(["today the old", "often the", "now and then the red"])
        made.append(f"{opening} {animal} {SOUNDS[animal]} near the {place} .")
    return made


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def make_recipe(folder: Path, **tables: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", 150, 1), ("validation", 20, 2), ("test", 30, 3)):
        write_lines(folder / f"{split}.txt", sentences(count, seed))
    files = {split: f"{split}.txt" for split in ("train", "validation", "test")}
    tables["dataset"] = {"type": "text", **files, **tables.get("dataset", {})}
    tables["encoder"] = {"interleaved": False, **tables.get("encoder", {})}
    tables["head"] = {"type": "fill_blank", **tables.get("head", {})}
    return write_recipe(folder, **tables)


def run(recipe: Path, out: Path, **overrides: Any) -> rnntext.Run:
    chosen = {name.replace("__", "."): value for name, value in overrides.items()}
    return rnntext.run(recipe, chosen, out=out, progress=LineReporter(lambda text: None))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences and a recipe to be trained on them. Not to be changed."""
    return make_recipe(tmp_path_factory.mktemp("blanks"))


@pytest.fixture(scope="module")
def filled(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> rnntext.Run:
    """A run of it, with the simple methods beside it. Not to be changed."""
    more = {"baselines__enabled": True, "training__epochs": 8, "training__select_by": "perplexity"}
    return run(recipe, tmp_path_factory.mktemp("runs") / "filled", **more)


@pytest.fixture(scope="module")
def model(filled: rnntext.Run) -> rnntext.TrainedModel:
    return rnntext.load(filled.path)


def test_predict_prints_candidates_and_tells_of_texts_without_a_blank(
    filled: rnntext.Run, model: rnntext.TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the dogs ____ .", '{"text": "the ____ bark", "choices": ["cows", "dogs"], "id": 7}', "the dogs bark ."]
    file = write_lines(tmp_path / "texts.txt", lines)
    assert main(["predict", str(filled.path), str(file), "--top-k", "2"]) == 0
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    assert [list(answer) for answer in answers] == [["text", "blanks"], ["id", "text", "blanks"], ["text", "blanks"]]
    assert [[tokens_of(blank) for blank in answer["blanks"]] for answer in answers] == [
        [tokens_of(blank) for blank in model(text, top_k=2).blanks]
        for text in (lines[0], json.loads(lines[1]), lines[2])
    ]
    assert "1 of 3 texts have no blank; write it ____" in printed.err


def tokens_of(blank: dict[str, Any]) -> list[str]:
    return [candidate["token"] for candidate in blank["candidates"]]


def test_it_learns_what_both_sides_tell(filled: rnntext.Run, model: rnntext.TrainedModel) -> None:
    scores, baselines = filled.metrics["test"], filled.metrics["baselines"]
    assert list(scores) == ["top1", "top5", "mrr", "perplexity", "unknown_answers", "loss"]
    assert set(baselines) == {"unigram", "two_sided_trigram"}
    assert scores["top1"] > baselines["unigram"]["top1"] + 0.2
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-5)
    assert filled.metrics["units"] == {"perplexity": "per blank whose answer the vocabulary knows"}
    right = 0
    for animal, sound in SOUNDS.items():
        right += tokens_of(model(f"often the {animal} ____ near the pond .").blanks[0])[0] == sound
        right += tokens_of(model(f"often the ____ {sound} near the pond .").blanks[0])[0] == animal
    assert right >= 4, "of 8, where chance alone has one"


def test_places_are_those_of_the_marks_whatever_their_length(model: rnntext.TrainedModel) -> None:
    for text in (
        "____",
        "____ dogs",
        "the ____",
        "so____ the ________, ____ ____dogs (_____)",
        "the dogs ___ __ bark",
    ):
        answer = model(text)
        assert answer.text == text
        marks = [match.span() for match in re.finditer("_{4,}", text)]
        assert [(blank["start"], blank["end"]) for blank in answer.blanks] == marks
        for blank in answer.blanks:
            shares = [candidate["probability"] for candidate in blank["candidates"]]
            assert len(shares) == 5
            assert shares == sorted(shares, reverse=True)
            assert 0 < shares[-1] <= sum(shares) <= 1 + 1e-6


def test_a_text_without_a_blank_has_none_and_is_counted(filled: rnntext.Run) -> None:
    loaded = rnntext.load(filled.path)
    answers = loaded(["the dogs bark", "", "the dogs ____"])
    assert [len(answer.blanks) for answer in answers] == [0, 0, 1]
    assert loaded.counts.without_blanks == 2
    assert loaded("___").blanks == []


def test_tokens_may_be_given_in_the_place_of_text(model: rnntext.TrainedModel) -> None:
    given_tokens = model({"tokens": ["the", "dogs", "____", "near"], "id": "a"})
    from_text = model("the dogs ____ near")
    assert given_tokens.blanks == from_text.blanks
    assert (given_tokens.id, given_tokens.text) == ("a", "the dogs ____ near")


def test_as_many_candidates_as_asked_for_and_all_of_them_words(model: rnntext.TrainedModel) -> None:
    words = [model.vocabulary.token(word) for word in range(3, len(model.vocabulary))]
    (blank,) = model("the dogs ____", top_k=1000).blanks
    assert sorted(tokens_of(blank)) == sorted(words), "no <pad>, <unk> or <blank>"
    assert sum(candidate["probability"] for candidate in blank["candidates"]) == pytest.approx(1)
    for top_k in (1, 3):
        (fewer,) = model("the dogs ____", top_k=top_k).blanks
        assert fewer["candidates"] == blank["candidates"][:top_k]


def test_choices_share_the_probability_and_unknown_ones_have_none(model: rnntext.TrainedModel) -> None:
    (blank,) = model("the dogs ____ near", top_k=1000).blanks
    whole = {candidate["token"]: candidate["probability"] for candidate in blank["candidates"]}
    given_choices = ["xylophone", "moo", "Bark", "<unk>", "pond"]
    (chosen,) = model({"text": "the dogs ____ near", "choices": given_choices}).blanks
    total = whole["moo"] + whole["bark"] + whole["pond"]
    expected = {word: whole.get(word.lower(), 0.0) / total for word in given_choices}
    assert {each["token"]: each["probability"] for each in chosen["candidates"]} == pytest.approx(expected, rel=1e-4)
    assert tokens_of(chosen) == sorted(expected, key=lambda word: -expected[word])
    (first,) = model({"text": "the dogs ____ near", "choices": given_choices}, top_k=1).blanks
    assert first["candidates"] == chosen["candidates"][:1]
    (none,) = model({"text": "the dogs ____ near", "choices": ["xylophone", "zebra"]}).blanks
    assert [candidate["probability"] for candidate in none["candidates"]] == [0, 0]


def test_each_blank_has_its_own_choices(model: rnntext.TrainedModel) -> None:
    text = "the ____ ____ near the ____"
    answers = model([{"text": text, "choices": [["cows", "dogs"], ["purr", "moo", "bark"]]}, text])
    first, second, third = answers[0].blanks
    assert sorted(tokens_of(first)) == ["cows", "dogs"]
    assert sorted(tokens_of(second)) == ["bark", "moo", "purr"]
    assert third["candidates"] == [
        {"token": each["token"], "probability": pytest.approx(each["probability"], abs=1e-6)}
        for each in answers[1].blanks[2]["candidates"]
    ], "a blank without choices is open"


some_texts = st.lists(
    st.lists(st.sampled_from(["____", "_____", "dogs", "Bark", "near", "the", "zebra", "."]), max_size=9).map(
        " ".join
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None)
@given(texts=some_texts)
def test_a_text_is_answered_alike_alone_and_in_any_batch(texts: list[str], model: rnntext.TrainedModel) -> None:
    given_texts = [{"text": text, "choices": [["dogs", "near"]]} if len(text) % 2 else text for text in texts]
    together = model(given_texts)
    for text, answer in zip(given_texts, together, strict=True):
        alone = model(text).to_dict()
        assert [tokens_of(blank) for blank in alone["blanks"]] == [tokens_of(blank) for blank in answer.blanks]
        for one, other in zip(alone["blanks"], answer.blanks, strict=True):
            assert (one["start"], one["end"]) == (other["start"], other["end"])
            pairs = zip(one["candidates"], other["candidates"], strict=True)
            assert all(a["probability"] == pytest.approx(b["probability"], abs=1e-5) for a, b in pairs)


@pytest.mark.parametrize("tokenizer", ["spacy", "nltk", "character"])
def test_blanks_within_words_under_tokenizers_that_would_cut_them(
    recipe: Path, tokenizer: str, tmp_path: Path
) -> None:
    trained = run(recipe, tmp_path / "run", tokenizer__type=tokenizer, training__epochs=1, dataset__limit=12)
    text = "the do____s _____ near,____."
    blanks = rnntext.load(trained.path)(text).blanks
    assert [text[blank["start"] : blank["end"]] for blank in blanks] == ["____", "_____", "____"]


# ---------------------------------------------------------------- scoring questions


def test_a_file_is_scored_as_in_the_run(recipe: Path, filled: rnntext.Run, model: rnntext.TrainedModel) -> None:
    """The same words are cut out of it, however many texts are read at a time."""
    for split in ("validation", "test"):
        file = recipe.parent / f"{split}.txt"
        for batch_size in (64, 1):
            assert model.evaluate(file, batch_size).scores() == pytest.approx(filled.metrics[split], rel=1e-5)


def ranked(model: rnntext.TrainedModel, question: dict[str, Any]) -> list[list[str]]:
    """Return all words for each blank of a question, the most probable first."""
    return [tokens_of(blank) for blank in model(question["text"], top_k=1000).blanks]


def expected_scores(model: rnntext.TrainedModel, questions: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return what the definitions of the metrics give, from the answers of ``predict``."""
    ranks, chosen, logs = [], [], []
    for question in questions:
        answers = question["answer"] if isinstance(question["answer"], list) else [question["answer"]]
        choices = question.get("choices")
        for number, (words, answer) in enumerate(zip(ranked(model, question), answers, strict=True)):
            ranks.append(words.index(answer) + 1 if answer in words else math.inf)
            if answer in words:
                candidates = model(question["text"], top_k=1000).blanks[number]["candidates"]
                logs.append(math.log(candidates[words.index(answer)]["probability"]))
            if choices:
                among = choices[number] if isinstance(choices[0], list) else choices
                best = min((word for word in among if word in words), key=words.index, default=None)
                chosen.append(best == answer)
    return {
        "top1": sum(rank == 1 for rank in ranks) / len(ranks),
        "top5": sum(rank <= 5 for rank in ranks) / len(ranks),
        "mrr": sum(1 / rank for rank in ranks) / len(ranks),
        "perplexity": math.exp(-sum(logs) / len(logs)),
        **({"choice_accuracy": sum(chosen) / len(chosen)} if chosen else {}),
        "unknown_answers": sum(rank == math.inf for rank in ranks) / len(ranks),
        "loss": -sum(logs) / len(logs),
    }


QUESTIONS: list[dict[str, Any]] = [
    {"text": "often the dogs ____ near the pond .", "answer": "bark", "choices": ["moo", "bark", "zebra"]},
    {"text": "often the dogs ____ near the pond .", "answer": "moo", "choices": ["moo", "bark"]},
    {"text": "often the ____ ____ near the pond .", "answer": ["cows", "moo"]},
    {
        "text": "often the ____ moo near the ____ .",
        "answer": ["cows", "zebra"],
        "choices": [["cats", "cows"], ["zebra", "barn"]],
    },
    {"text": "____ the cats purr", "answer": "now"},
]


def test_questions_of_ones_own_are_scored_by_the_definitions(model: rnntext.TrainedModel, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)
    counts = model.evaluate(file)
    assert counts.scores() == pytest.approx(expected_scores(model, QUESTIONS), rel=1e-4)
    assert counts.scores()["unknown_answers"] == 1 / 7
    assert counts.scores()["choice_accuracy"] == 0.5
    assert counts.texts == 5


def test_questions_without_choices_have_no_accuracy_among_them(model: rnntext.TrainedModel, tmp_path: Path) -> None:
    questions = [{key: value for key, value in each.items() if key != "choices"} for each in QUESTIONS]
    scores = model.evaluate(write_jsonl(tmp_path / "questions.jsonl", questions)).scores()
    assert scores == pytest.approx(expected_scores(model, questions), rel=1e-4)
    assert "choice_accuracy" not in scores


def test_evaluate_prints_the_scores_of_questions(
    filled: rnntext.Run, model: rnntext.TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)
    assert main(["evaluate", str(filled.path), str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = expected_scores(model, QUESTIONS)
    assert {name: printed[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "the ____ ____", "answer": "dogs"}, "1 answer for 2 blanks"),
        ({"text": "the dogs", "answer": "dogs"}, "no blank in the text"),
    ],
)
def test_a_question_that_does_not_fit_is_told_with_its_line(
    model: rnntext.TrainedModel, tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    file = write_jsonl(tmp_path / "questions.jsonl", [*QUESTIONS[:2], row])
    with pytest.raises(DataError, match=told) as caught:
        model.evaluate(file)
    assert (caught.value.file, caught.value.line) == (str(file), 3)


def test_questions_without_answers_are_not_scored(model: rnntext.TrainedModel, tmp_path: Path) -> None:
    """Nothing can be said of them, and nothing else of such a text is asked in their place."""
    unanswered = {"text": "today the old dogs ____ near the pond ."}
    file = write_jsonl(tmp_path / "some.jsonl", [QUESTIONS[0], unanswered])
    counts = model.evaluate(file)
    assert counts.texts == counts.total.blanks == 1
    with pytest.raises(DataError, match="nothing in it to score"):
        model.evaluate(write_jsonl(tmp_path / "none.jsonl", [unanswered]))


def as_questions(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Sentences as questions of one or two blanks, with choices for some."""
    rows = []
    for number, line in enumerate(lines):
        words = line.split()
        places = [number % len(words), (number + 2) % len(words)][: 1 + number % 2]
        answers = [words[place] for place in sorted(places)]
        text = " ".join("____" if place in places else word for place, word in enumerate(words))
        row: dict[str, Any] = {"text": text, "answer": answers if len(answers) > 1 else answers[0]}
        if number % 3 == 0:
            row["choices"] = [[answer, "zebra"] for answer in answers]
        rows.append(row)
    return rows


def test_training_on_questions_is_training_on_the_texts_that_they_were(recipe: Path, tmp_path: Path) -> None:
    rows = as_questions((recipe.parent / "train.txt").read_text(encoding="utf-8").splitlines())
    file = write_jsonl(tmp_path / "train.jsonl", rows)
    of_texts = run(recipe, tmp_path / "texts", training__epochs=1)
    of_questions = run(recipe, tmp_path / "questions", training__epochs=1, dataset__train=str(file))
    assert sha256(of_texts.path / "model.safetensors") == sha256(of_questions.path / "model.safetensors")
    assert of_texts.metrics["test"] == of_questions.metrics["test"]
    assert "zebra" not in (of_questions.path / "vocabulary.json").read_text(), "choices are no words of the training"


# ---------------------------------------------------------------- how texts are cut


def test_options_of_the_cuts_hold_through_a_whole_run(recipe: Path, tmp_path: Path) -> None:
    """Of sentences of 8, 9 and 11 tokens the shortest are left out; only frequent words are asked for."""
    chosen = {"dataset.min_tokens": 9, "dataset.blank_min_count": 60, "dataset.num_blanks": 2}
    notes: list[str] = []
    prepared = prepare(read_recipe(recipe, chosen), notes.append)
    lines = (recipe.parent / "validation.txt").read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line.split()) >= 9]
    assert 0 < len(long) < len(lines)
    train = (recipe.parent / "train.txt").read_text(encoding="utf-8").split()
    questions = prepared.splits["validation"]
    assert questions.targets is not None
    for row, line in enumerate(long):
        tokens = [prepared.table.types[number] for number in questions.types.row(row)]
        answers = iter([prepared.table.types[number] for number in questions.targets.row(row)])
        assert tokens.count(BLANK) == 2
        assert all(train.count(word) >= 60 for word, read in zip(line.split(), tokens, strict=True) if read == BLANK)
        assert " ".join(next(answers) if token == BLANK else token for token in tokens) == line
    left_out = f"validation: {len(lines) - len(long)} texts ask nothing"
    assert any(note.startswith(left_out) for note in notes)

    trained = rnntext.run(recipe, {**chosen, "training.epochs": 1}, out=tmp_path / "run")
    assert trained.metrics["data"]["texts"]["validation"] == len(long)
    assert any(note.startswith(left_out) for note in trained.metrics["data"]["notes"])
    counts = rnntext.load(trained.path).evaluate(recipe.parent / "validation.txt")
    assert counts.scores() == pytest.approx(trained.metrics["validation"], rel=1e-5)
    assert counts.total.blanks == 2 * len(long)


def test_a_split_from_which_nothing_can_be_cut_is_refused(recipe: Path, tmp_path: Path) -> None:
    for key, value in (("dataset__min_tokens", 99), ("dataset__blank_min_count", 9999)):
        with pytest.raises(DataError, match=r"none of the 20 texts of the validation split.*blank_min_count"):
            run(recipe, tmp_path / "run", **{key: value})
    assert not (tmp_path / "run").exists()


def test_data_with_labels_are_cut_once_a_text_and_the_labels_left_alone(tmp_path: Path) -> None:
    recipe = make_tiny(tmp_path, head={"type": "fill_blank", "dropout": 0.0}, encoder={"interleaved": False})
    trained = run(recipe, tmp_path / "run", training__epochs=1, baselines__enabled=True)
    assert trained.metrics["data"]["texts"] == {"train": 96, "validation": 16, "test": 24}
    counts = rnntext.load(trained.path).evaluate(tmp_path / "test.jsonl")
    assert counts.total.blanks == counts.texts == 24
    assert counts.scores() == pytest.approx(trained.metrics["test"], rel=1e-5)
    groups = trained.metrics["groups"]["length"]
    assert groups["short"]["texts"] + groups["long"]["texts"] == 24
    assert set(trained.metrics["baselines"]) == {"unigram", "two_sided_trigram"}
    words = json.loads((trained.path / "vocabulary.json").read_text())["tokens"]
    assert words[:3] == ["<pad>", "<unk>", BLANK]
    assert not {"good", "bad"} & set(words)


def test_tokens_with_tags_are_read_and_the_tags_left_alone(tmp_path: Path) -> None:
    lines = "\n\n".join(
        "\n".join(f"{word} X{place % 2}" for place, word in enumerate(line.split())) for line in sentences(40, 1)
    )
    (tmp_path / "train.conll").write_text(f"{lines}\n\nthe X1\n____ X0\nbark X1\n", encoding="utf-8")
    recipe = make_recipe(
        tmp_path / "made",
        dataset={"type": "conll", "train": "../train.conll", "validation": None, "test": None, "scheme": "none"},
    )
    trained = run(recipe, tmp_path / "run", training__epochs=1, dataset__validation_fraction=0.25)
    assert trained.metrics["validation"]["unknown_answers"] == 0
    tokens = {"tokens": ["the", "dogs", "____", "near", "the", "pond"]}
    assert len(rnntext.load(trained.path)(tokens).blanks) == 1


# ---------------------------------------------------------------- words, weights and precision


def words_file(folder: Path, *words: str) -> Path:
    return write_lines(folder / "words.txt", [*words, *SOUNDS, *SOUNDS.values(), "the", "near"])


def test_a_list_of_words_needs_the_blank(recipe: Path, tmp_path: Path) -> None:
    words = {"vocabulary__type": "word_list", "vocabulary__path": str(words_file(tmp_path))}
    with pytest.raises(DataError, match=f"no {BLANK}, which stands for hidden tokens; add it to its list of words"):
        run(recipe, tmp_path / "run", **words)
    words_file(tmp_path, BLANK)
    trained = run(recipe, tmp_path / "run", **words, training__epochs=1)
    assert trained.metrics["validation"]["unknown_answers"] == 0, "only words of the list are asked for"
    (blank,) = rnntext.load(trained.path)("the ____ bark near the pond", top_k=99).blanks
    assert sorted(tokens_of(blank)) == sorted([*SOUNDS, *SOUNDS.values(), "the", "near"])


def stored(run_path: Path) -> dict[str, list[int]]:
    with safe_open(run_path / "model.safetensors", "pt") as file:
        return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, no mapping


def test_tied_weights_are_stored_once_and_are_one_again_when_loaded(
    filled: rnntext.Run, model: rnntext.TrainedModel
) -> None:
    shapes = stored(filled.path)
    assert [name for name, shape in shapes.items() if shape == [len(model.vocabulary), 8]] == ["embeddings.0.weight"]
    assert model.model.head.words.weight is model.model.embeddings[0].weight
    count = sum(math.prod(shape) for shape in shapes.values())
    assert filled.metrics["training"]["parameters"] == count


def test_untied_weights_are_half_as_wide_as_the_states(recipe: Path, tmp_path: Path) -> None:
    trained = run(recipe, tmp_path / "run", head__tied=False, encoder__hidden_dim=6, training__epochs=1)
    loaded = rnntext.load(trained.path)
    words = len(loaded.vocabulary)
    shapes = stored(trained.path)
    assert (shapes["embeddings.0.weight"], shapes["head.words.weight"]) == ([words, 8], [words, 6])
    scores = loaded.evaluate(recipe.parent / "test.txt").scores()
    assert scores == pytest.approx(trained.metrics["test"], rel=1e-5), "what was stored is what was measured"


def test_a_table_that_is_not_trained_cannot_be_tied(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set head\.tied = false"):
        run(recipe, tmp_path / "run", embedding__trainable=False)
    trained = run(recipe, tmp_path / "run", embedding__trainable=False, head__tied=False, training__epochs=1)
    assert "head.words.weight" in stored(trained.path)


def test_a_softmax_in_two_steps_through_a_whole_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "CUTS", (4, 8))
    trained = run(recipe, tmp_path / "run", head__softmax="adaptive", training__epochs=3)
    loaded = rnntext.load(trained.path)
    assert loaded.model.head.words.cuts == [4, 8, len(loaded.vocabulary)]
    (blank,) = loaded("often the dogs ____ near the pond .", top_k=99).blanks
    assert len(tokens_of(blank)) == len(loaded.vocabulary) - 3
    assert sum(candidate["probability"] for candidate in blank["candidates"]) == pytest.approx(1)
    assert loaded.evaluate(recipe.parent / "test.txt").scores() == pytest.approx(trained.metrics["test"], rel=1e-5)
    assert trained.metrics["test"]["perplexity"] < 6, "it learns: by their frequency alone words have 12"


def test_a_run_in_bfloat16_loads_and_answers(recipe: Path, tmp_path: Path) -> None:
    trained = run(recipe, tmp_path / "run", training__precision="bfloat16", training__epochs=1)
    (blank,) = rnntext.load(trained.path)("often the dogs ____ near the pond .", top_k=99).blanks
    assert sum(candidate["probability"] for candidate in blank["candidates"]) == pytest.approx(1, abs=1e-4)
    assert all(math.isfinite(value) for value in trained.metrics["test"].values())


def test_one_seed_gives_the_same_weights_and_another_does_not(recipe: Path, tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((5, 5, 6)):
        drawn = {"head__predicted_share": 0.5, "head__blank_share": 0.2, "head__dropout": 0.3}
        made = run(recipe, tmp_path / str(number), seed=seed, training__epochs=1, **drawn)
        digests.append(sha256(made.path / "model.safetensors"))
    assert digests[0] == digests[1] != digests[2]


# ---------------------------------------------------------------- misuse


def test_layers_that_read_both_directions_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky = make_recipe(tmp_path, encoder={"interleaved": True, "num_layers": 2})
    line = leaky.read_text(encoding="utf-8").splitlines().index("[encoder]") + 2
    for command in (["check", str(leaky)], ["run", str(leaky), "--out", str(tmp_path / "run")]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert f"{leaky}:{line}: [encoder] type: a state of 'lstm' with these options reads the own token" in told
        assert "encoder.interleaved = false" in told
        assert "1 problem" in told
    assert not (tmp_path / "run").exists()
    assert main(["check", str(leaky), "--set", "encoder.num_layers=1"]) == 0
    assert main(["check", str(leaky), "--set", "head.allow_leak=true"]) == 0


def test_a_leak_that_was_asked_for_marks_every_figure(recipe: Path, tmp_path: Path) -> None:
    leak = {"encoder__interleaved": True, "encoder__num_layers": 2, "head__allow_leak": True}
    trained = run(recipe, tmp_path / "run", training__epochs=1, **leak)
    assert trained.metrics["leaked"] == ["own_token"]
    for split in ("validation", "test"):
        assert set(trained.metrics[split]) == {
            f"leaked_{name}" for name in ("top1", "top5", "mrr", "perplexity", "unknown_answers", "loss")
        }
    loaded = rnntext.load(trained.path)
    assert loaded("often the dogs ____ near").leaked
    assert set(loaded.evaluate(recipe.parent / "test.txt").scores()) == set(trained.metrics["test"])


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("head.pooling", "mean", "nothing to pool"),
        ("head.carry_state", True, "no state to carry on"),
        ("encoder.chunk_tokens", 4, "reads no text in pieces"),
        ("dataset.num_steps", 8, "reads whole texts"),
    ],
)
def test_options_of_other_heads_are_refused_with_the_reason(recipe: Path, key: str, value: Any, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        read_recipe(recipe, {key: value})


def test_under_another_head_a_mark_is_a_token_like_any_other(tiny_model: rnntext.TrainedModel) -> None:
    answer = tiny_model("the soup was ____ and lovely")
    assert answer.probabilities == tiny_model("the soup was zebra and lovely").probabilities
    assert not hasattr(answer, "blanks")
    assert tiny_model.counts.without_blanks == 0


def test_labels_of_texts_are_no_answers_to_their_blanks(tmp_path: Path) -> None:
    rows = [{"text": f"a ____ thing, the {word} ____", "label": word} for word in ("good", "bad")] * 3
    rows += [{"text": f"the {word} cat sat down here", "label": word} for word in ("good", "bad")] * 9
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        'recipe_version = 1\n[dataset]\ntype = "jsonl"\ntrain = "rows.jsonl"\nvalidation = "rows.jsonl"\n'
        '[encoder]\nhidden_dim = 4\n[head]\ntype = "fill_blank"\n[training]\nepochs = 1\n',
        encoding="utf-8",
    )
    run = rnntext.run(tmp_path / "r.toml", out=tmp_path / "run")
    assert run.metrics["data"]["texts"]["validation"] == 18
    assert rnntext.load(run.path).evaluate(tmp_path / "rows.jsonl").texts == 18


def test_questions_with_an_answer_each_can_be_split(tmp_path: Path) -> None:
    words = [f"word{chr(97 + n)}" for n in range(20)]
    rows = [{"text": f"we saw the ____ of {word} there", "answer": word} for word in words]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        'recipe_version = 1\n[dataset]\ntype = "text"\ntrain = "rows.jsonl"\nvalidation_fraction = 0.2\n'
        '[encoder]\nhidden_dim = 4\n[head]\ntype = "fill_blank"\n[training]\nepochs = 1\nselect_by = "top1"\n',
        encoding="utf-8",
    )
    assert rnntext.run(tmp_path / "r.toml", out=tmp_path / "run").metrics["data"]["texts"]["validation"] == 4
