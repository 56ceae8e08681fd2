"""The subword tokenizer and its vocabulary: slices, learning, the same model everywhere, and whole runs."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnntext
from rnntext import registry
from rnntext.errors import DataError, RecipeError
from rnntext.recipe import read_recipe
from rnntext.shipping import copy_recipe
from rnntext_subword.model import learn
from rnntext_subword.tokenizer import SubwordTokenizer
from rnntext_subword.vocabulary import SubwordVocabulary

STEMS = ("watch", "read", "play", "sing", "walk", "count", "paint", "cook")
ENDS = ("", "s", "ed", "ing", "able", "er")
RECIPE = Path(__file__).parent.parent / "recipes" / "sentiment_subword.toml"


def some_texts(count: int = 400, seed: int = 0) -> list[str]:
    chooser = random.Random(seed)

    def word() -> str:
        return chooser.choice(("un", "re", "")) + chooser.choice(STEMS) + chooser.choice(ENDS)

    return [" ".join(word() for _ in range(chooser.randint(3, 9))).capitalize() + "." for _ in range(count)]


MODELS = pytest.mark.parametrize("model", ["bpe", "unigram"])
LEARNT = {}


def fitted(model: str, vocab_size: int = 120, **options) -> SubwordTokenizer:
    key = (model, vocab_size, *options.items())
    if key not in LEARNT:
        LEARNT[key] = SubwordTokenizer(model=model, vocab_size=vocab_size, **options)
        LEARNT[key].fit(some_texts())
    return LEARNT[key]


@MODELS
def test_words_that_never_occurred_are_cut_into_pieces_that_did(model):
    tokenizer = fitted(model)
    pieces = tokenizer.tokens("she unsings")
    assert "".join(pieces) == "she unsings"
    assert 2 <= len(tokenizer.tokens(" unsings")) <= 4
    assert any(piece.startswith(" watch") for piece in tokenizer.tokens("x watched"))


@MODELS
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n",
        "a",
        "  two  blanks\tand\n\nlines  ",
        "İstanbul ǅ ß ﬁ",
        "e\u0301te\u0301",
        "你好，世界",
        "👩‍👩‍👧 ★ ☆☆☆",
        "\ud800 broken \udfff",
        "<unk> <pad> <blank> ____",
        "x" * 700,
        "!" * 700,
        "don't stop'",
    ],
)
def test_tokens_are_slices_that_leave_out_white_space_alone(model, text):
    check_slices(fitted(model), text)


@given(st.text(max_size=40))
def test_tokens_of_any_text_are_slices(text):
    check_slices(fitted("bpe"), text)


@given(st.text(alphabet="aUunwatchred sing.\n ’ÀßİΣ", max_size=40))
def test_tokens_of_the_unigram_model_are_slices(text):
    check_slices(fitted("unigram"), text)


def check_slices(tokenizer, text):
    spans, tokens = tokenizer.spans(text), tokenizer.tokens(text)
    assert [text[start:end] for start, end in spans] == tokens
    assert all(token.strip() and token[1:].strip() == token[1:] for token in tokens)
    covered = {place for start, end in spans for place in range(start, end)}
    assert sum(end - start for start, end in spans) == len(covered)
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)
    assert tokenizer.first(text, 3) == tokens[:3]


@MODELS
def test_case_changes_the_tokens_but_not_where_they_are_cut(model):
    text = "a reading of uncountable songs"
    assert fitted(model).spans(text.upper()) == fitted(model).spans(text)
    assert fitted(model).tokens("a WATCH")[-1] == " WATCH"
    cased = fitted(model, ignore_case=False)
    assert len(cased.tokens("a WATCH")) > len(cased.tokens("a watch"))


@MODELS
def test_a_tokenizer_that_took_back_what_was_learnt_cuts_alike(model):
    tokenizer = fitted(model, ignore_case=False)
    again = SubwordTokenizer()
    again.from_json(json.loads(json.dumps(tokenizer.to_json())))
    for text in some_texts(50, seed=1):
        assert again.tokens(text) == tokenizer.tokens(text)
        assert again.tokens(text.upper()) == tokenizer.tokens(text.upper())
    assert again.to_json() == tokenizer.to_json()


@MODELS
def test_the_model_has_the_pieces_that_were_asked_for(model):
    for size in (100, 140):
        vocabulary = fitted(model, size).to_json()["tokenizer"]["model"]["vocab"]
        assert len(vocabulary) <= size
    small, large = (fitted(model, size) for size in (100, 140))
    text = " ".join(some_texts(40, seed=3))
    assert len(large.tokens(text)) <= len(small.tokens(text))


LEARN = """
import hashlib, json, sys
from rnntext_subword.tokenizer import SubwordTokenizer
texts = json.loads(sys.stdin.read())
for model in ("bpe", "unigram"):
    tokenizer = SubwordTokenizer(model=model, vocab_size=150)
    tokenizer.fit(texts)
    print(hashlib.sha256(json.dumps(tokenizer.to_json()).encode()).hexdigest())
"""


def test_every_process_learns_the_same_model_however_many_threads_it_is_offered():
    # With rare characters: those that no piece needs are what the trainer orders by chance.
    texts = [*some_texts(), "ï ö ü ñ * # + =", "á é í ó ú ø å æ œ"]
    found = set()
    for parallel in ("true", "false", "false"):
        done = subprocess.run(
            [sys.executable, "-c", LEARN],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TOKENIZERS_PARALLELISM": parallel},
        )
        found.add(done.stdout)
    assert len(found) == 1
    bpe, unigram = found.pop().split()
    assert bpe != unigram


def test_learning_leaves_the_environment_as_it_was(monkeypatch):
    for value in (None, "true"):
        if value is None:
            monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
        else:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", value)
        SubwordTokenizer(vocab_size=100).fit(["a b"])
        assert os.environ.get("TOKENIZERS_PARALLELISM") == value


def test_nothing_to_learn_and_no_room_for_it_are_told():
    with pytest.raises(DataError, match="white space"):
        SubwordTokenizer().fit(["", " \n"])
    many = "".join(chr(0x4E00 + number) for number in range(200))
    for model in ("bpe", "unigram"):
        with pytest.raises(DataError, match=r"vocab_size = 150 .* raise it"):
            SubwordTokenizer(model=model, vocab_size=150).fit([many])
    with pytest.raises(DataError, match="learnt nothing yet"):
        SubwordTokenizer().tokens("a")


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        {"ignore_case": True},
        {"ignore_case": "yes", "tokenizer": {}},
        {"ignore_case": True, "tokenizer": {"model": {"type": "WordPiece"}}},
        {"ignore_case": True, "tokenizer": {"model": {"type": "BPE"}, "normalizer": {"type": "Lowercase"}}},
        {"ignore_case": True, "tokenizer": {"model": {"type": "BPE", "vocab": 3}}},
    ],
)
def test_values_that_no_tokenizer_gave_are_refused(values):
    with pytest.raises(DataError, match=r"train again|name the tokenizer"):
        SubwordTokenizer().from_json(values)


def test_a_model_is_read_from_the_file_of_an_earlier_run(tmp_path):
    tokenizer = fitted("unigram")
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer.to_json()))
    again = SubwordTokenizer(path=str(file))
    again.fit(iter(["quite other texts"]))
    assert again.to_json() == tokenizer.to_json()
    file.write_text("nothing")
    with pytest.raises(DataError, match=r"tokenizer\.json.*tokenizer\.path"):
        SubwordTokenizer(path=str(file)).fit(["a"])


def test_scores_that_differ_by_the_order_of_sums_are_settled():
    model = learn([["ab", "cd"]] * 20 + [["ï", "ö", "ü"]], "unigram", 20)
    scores = dict(model.values["model"]["vocab"])
    assert scores["ï"] == scores["ö"] == scores["ü"]
    assert all(score == round(score, 4) for score in scores.values())


# ---------------------------------------------------------------- vocabulary


def test_a_blank_tells_pieces_apart_and_any_white_space_is_one():
    vocabulary = SubwordVocabulary()
    vocabulary.fit({" in": 4, "in": 3, "\nin": 1, " form": 2, "ation": 2})
    first, within, newline = vocabulary.encode([" in", "in", "\nin"])
    assert first == newline != within
    assert vocabulary.token(first) == " in"
    assert vocabulary.normalize("\u3000In") == " in"
    assert len(vocabulary) == 6


def test_a_piece_known_the_other_way_alone_has_that_ones_id():
    vocabulary = SubwordVocabulary()
    vocabulary.fit({" great": 3, "ly": 2})
    assert vocabulary.encode(["Great", " ly", "new"]) == [*vocabulary.encode([" great", "ly"]), 1]
    assert vocabulary.encode([]) == []


def test_a_vocabulary_is_kept_and_taken_back():
    vocabulary = SubwordVocabulary(min_count=2, lowercase=False)
    vocabulary.fit({" A": 3, "b": 2, "c": 1})
    again = SubwordVocabulary(lowercase=False)
    again.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert [again.token(number) for number in range(len(again))] == ["<pad>", "<unk>", " A", "b"]
    assert again.encode([" A", "A", " a", "c"]) == [2, 2, 1, 1]
    with pytest.raises(DataError, match="min_count"):
        SubwordVocabulary(min_count=9).fit({"a": 1})


# ---------------------------------------------------------------- whole runs


def write_data(folder: Path, count: int = 80) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"text": text, "label": "un" if " un" in text or text.startswith("Un") else "other"}
        for text in some_texts(count, seed=5)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def recipe_of(folder: Path, **overrides):
    write_data(folder)
    (folder / "tiny.toml").write_text(
        """
        name = "tiny"
        [dataset]
        type = "jsonl"
        train = "train.jsonl"
        validation_fraction = 0.25
        [tokenizer]
        type = "subword"
        vocab_size = 100
        [vocabulary]
        type = "subword"
        [embedding]
        output_dim = 8
        [encoder]
        type = "gru"
        hidden_dim = 8
        [head]
        type = "classification"
        [training]
        epochs = 6
        learning_rate = 0.03
        threads = 1
        """
    )
    return read_recipe(folder / "tiny.toml", overrides)


def test_a_run_keeps_its_model_and_answers_wherever_its_folder_is(tmp_path):
    run = rnntext.run(recipe_of(tmp_path / "data"), out=tmp_path / "run")
    assert run.metrics["validation"]["accuracy"] >= 0.8
    assert run.metrics["data"]["unknown_rate"]["validation"] == 0
    texts = ["Unsing it.", "sing it", "never seen: zzz ★"]
    before = [answer.to_dict() for answer in rnntext.load(run.path)(texts)]
    shutil.move(run.path, tmp_path / "moved")
    shutil.rmtree(tmp_path / "data")
    assert [answer.to_dict() for answer in rnntext.load(tmp_path / "moved")(texts)] == before


def test_a_new_run_takes_weights_and_pieces_of_an_earlier_one(tmp_path):
    first = rnntext.run(recipe_of(tmp_path / "data"), out=tmp_path / "first")
    overrides = {
        "tokenizer.path": str(first.path / "tokenizer.json"),
        "dataset.limit": 40,
        "training.init_from.embedding": str(first.path),
        "training.epochs": 1,
    }
    second = rnntext.run(recipe_of(tmp_path / "data", **overrides), out=tmp_path / "second")
    digests = {hashlib.sha256((run.path / "tokenizer.json").read_bytes()).hexdigest() for run in (first, second)}
    assert len(digests) == 1


def test_the_recipe_is_copied_with_the_sample_and_runs(tmp_path):
    recipe_file, *_ = copy_recipe("sentiment_subword", tmp_path)
    recipe = read_recipe(recipe_file, {"tokenizer.vocab_size": 300, "dataset.limit": 100, "training.epochs": 1})
    run = rnntext.run(recipe, out=tmp_path / "run")
    assert rnntext.load(run.path)("I liked it").label in ("positive", "negative")


def test_the_readme_shows_the_recipe():
    readme = (RECIPE.parent.parent / "README.md").read_text(encoding="utf-8")
    assert RECIPE.read_text(encoding="utf-8") in readme


def test_options_out_of_range_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="vocab_size"):
        recipe_of(tmp_path, **{"tokenizer.vocab_size": 5})
    with pytest.raises(RecipeError, match="bpe"):
        recipe_of(tmp_path, **{"tokenizer.model": "wordpiece"})


def test_both_parts_are_listed():
    assert registry.get("tokenizers", "rnntext-subword/subword") is SubwordTokenizer
    assert registry.get("vocabularies", "rnntext-subword/subword") is SubwordVocabulary
