"""Tokenizers that learn from the training split where to cut, and tokens with white space at their edges."""

import json
import re
import shutil
from collections import Counter
from typing import Annotated

import pytest
from pydantic import Field
from tiny import make_tiny, sha256, tiny_rows, write_jsonl, write_recipe

import rnntext
from rnntext import registry
from rnntext.aligning import without_edges
from rnntext.describing import describe
from rnntext.errors import DataError, RunFolderError
from rnntext.preparing import prepare
from rnntext.recipe import read_recipe
from rnntext.seeds import run_seeds

WORDS = re.compile(r"\s?\S+")


class CommonWords:
    """Words that the training texts have often enough, with the blank before them; others by character.

    Args:
        min_count: occurrences from which on a word is kept whole.
    """

    contract = 1
    fitted: list[list[str]] = []

    def __init__(self, *, min_count: Annotated[int, Field(ge=1)] = 3) -> None:
        self._min_count = min_count
        self._whole = None

    def fit(self, texts):
        read = list(texts)
        self.fitted.append(read)
        counts = Counter(word.strip() for text in read for word in WORDS.findall(text))
        if not counts:
            raise DataError("no word to learn; give texts")
        self._whole = {word for word, count in counts.items() if count >= self._min_count}

    def to_json(self):
        return {"whole": sorted(self._whole)}

    def from_json(self, values):
        self._whole = set(values["whole"])

    def tokens(self, text):
        return [text[start:end] for start, end in self.spans(text)]

    def spans(self, text):
        found = []
        for word in WORDS.finditer(text):
            start, end = word.span()
            letters = start + (len(word[0]) - len(word[0].lstrip()))
            if word[0].strip() in self._whole:
                found.append((start, end))
            else:
                found += [(start, letters + 1), *((place, place + 1) for place in range(letters + 1, end))]
        return found


@pytest.fixture(autouse=True)
def _common_words():
    CommonWords.fitted = []
    with registry.registrations_undone():
        rnntext.register("tokenizers", "common_words")(CommonWords)
        yield


COMMON = {"type": "common_words"}


def test_it_learns_once_from_the_texts_of_the_training_split_alone(tmp_path):
    recipe = read_recipe(make_tiny(tmp_path, tokenizer=COMMON))
    prepared = prepare(recipe, lambda text: None)
    assert CommonWords.fitted == [[row["text"] for row in tiny_rows(96, 1)]]
    assert prepared.learnt_cuts is not None
    assert " soup" in prepared.table.types


def test_a_run_folder_needs_nothing_else_and_answers_alike_wherever_it_is(tmp_path):
    finished = rnntext.run(make_tiny(tmp_path / "data", tokenizer=COMMON), out=tmp_path / "run")
    learnt = json.loads((finished.path / "tokenizer.json").read_text())
    assert "soup" in learnt["whole"]
    size = (finished.path / "tokenizer.json").stat().st_size
    assert (
        finished.metrics["prediction"]["megabytes"] * 1e6 > size + (finished.path / "vocabulary.json").stat().st_size
    )
    texts = ["the soup was lovely", "soggyish tent", "", " "]
    before = [each.to_dict() for each in rnntext.load(finished.path)(texts)]
    scores = rnntext.load(finished.path).evaluate(tmp_path / "data" / "test.jsonl").scores()
    assert scores == pytest.approx(finished.metrics["test"])
    moved = tmp_path / "elsewhere"
    shutil.move(finished.path, moved)
    shutil.rmtree(tmp_path / "data")
    assert [each.to_dict() for each in rnntext.load(moved)(texts)] == before
    assert len(CommonWords.fitted) == 1


def test_the_same_recipe_gives_the_same_weights_and_may_be_replaced(tmp_path):
    recipe = make_tiny(tmp_path, tokenizer=COMMON)
    first = rnntext.run(recipe, out=tmp_path / "run")
    digest = sha256(first.path / "model.safetensors")
    second = rnntext.run(recipe, out=tmp_path / "run", force=True)
    assert sha256(second.path / "model.safetensors") == digest


def test_each_seed_of_a_series_keeps_what_its_tokenizer_learnt(tmp_path):
    recipe = make_tiny(tmp_path, tokenizer=COMMON, training={"epochs": 1})
    series = run_seeds(recipe, [1, 2], out=tmp_path / "series")
    for seed in (1, 2):
        folder = series.path / f"seed-{seed}"
        assert rnntext.load(folder)("the soup").label in ("good", "bad")


@pytest.mark.parametrize("content", [None, "{}", '{"whole": 3}', "not JSON"])
def test_a_folder_without_what_was_learnt_is_refused(tmp_path, content):
    finished = rnntext.run(make_tiny(tmp_path, tokenizer=COMMON, training={"epochs": 1}), out=tmp_path / "run")
    file = finished.path / "tokenizer.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(RunFolderError, match=r"tokenizer\.json"):
        rnntext.load(finished.path)


def test_data_with_tokens_of_their_own_leave_nothing_to_learn(tmp_path):
    (tmp_path / "train.conll").write_text("Anna B-PER\nsings O\n\nBen B-PER\nsleeps O\n\nCleo B-PER\nreads O\n")
    dataset = {"type": "conll", "train": "train.conll", "validation": "train.conll", "scheme": "bio"}
    recipe = read_recipe(write_recipe(tmp_path, dataset=dataset, tokenizer=COMMON, head={"type": "tagging"}))
    with pytest.raises(DataError, match="brings its own tokens") as caught:
        prepare(recipe, lambda text: None)
    assert "leave [tokenizer] out" in str(caught.value)
    assert "train.conll" in str(caught.value)


def test_what_a_tokenizer_cannot_learn_is_told_with_the_file(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [{"text": " ", "label": "a"}, {"text": "  ", "label": "b"}])
    dataset = {"train": "train.jsonl", "validation": "train.jsonl"}
    recipe = read_recipe(write_recipe(tmp_path, dataset=dataset, tokenizer=COMMON))
    with pytest.raises(DataError, match=r"train\.jsonl.*no word to learn"):
        prepare(recipe, lambda text: None)


def test_spans_become_tags_without_the_blanks_of_tokens_and_answers_name_none(tmp_path):
    rows = []
    for name in ("Anna", "Ben", "Cleo") * 8:
        text = f"then {name} met Bo"
        spans = [
            {"start": text.index(each), "end": text.index(each) + len(each), "label": "PER"} for each in (name, "Bo")
        ]
        rows.append({"text": text, "spans": spans})
    write_jsonl(tmp_path / "train.jsonl", rows)
    dataset = {"train": "train.jsonl", "validation": "train.jsonl", "spans_field": "spans"}
    recipe = write_recipe(
        tmp_path, dataset=dataset, tokenizer=COMMON, head={"type": "tagging"}, training={"epochs": 15}
    )
    finished = rnntext.run(recipe, out=tmp_path / "run")
    assert not any("do not begin" in note for note in finished.metrics["data"]["notes"])
    answer = rnntext.load(finished.path)("then Anna met Bo")
    assert [token["text"] for token in answer.tokens] == ["then", "Anna", "met", "Bo"]
    assert [(span["start"], span["end"], span["text"]) for span in answer.spans] == [(5, 9, "Anna"), (14, 16, "Bo")]


def test_blanks_are_no_text_to_learn_from_and_stay_one_token(tmp_path):
    lines = ["the soup was warm today", "the lamp was old and bright", "my tent was quite dull", "the ____ was bland"]
    (tmp_path / "train.txt").write_text("\n".join(lines * 6) + "\n")
    dataset = {"type": "text", "train": "train.txt", "validation": "train.txt"}
    head = {"type": "fill_blank", "dropout": None}
    recipe = write_recipe(tmp_path, dataset=dataset, tokenizer=COMMON, head=head, training={"epochs": 1})
    finished = rnntext.run(recipe, out=tmp_path / "run")
    (read,) = CommonWords.fitted
    assert not any("_" in text for text in read)
    assert "the " in read
    assert " was bland" in read
    answer = rnntext.load(finished.path)("the ____ was warm")
    assert [(blank["start"], blank["end"]) for blank in answer.blanks] == [(4, 8)]


def test_a_language_model_goes_on_without_blanks_of_its_own(tmp_path):
    (tmp_path / "train.txt").write_text("the soup was warm and the lamp was old\n" * 60)
    dataset = {"type": "text", "train": "train.txt", "num_steps": 5}
    head = {"type": "next_token", "dropout": None}
    encoder = {"bidirectional": False}
    recipe = write_recipe(
        tmp_path, dataset=dataset, tokenizer=COMMON, head=head, encoder=encoder, training={"epochs": 3}
    )
    finished = rnntext.run(recipe, out=tmp_path / "run")
    text = rnntext.load(finished.path).generate("the soup", 6, temperature=0)
    assert text.startswith("the soup ")
    assert "  " not in text
    assert set(text.split()) <= {"the", "soup", "was", "warm", "and", "lamp", "old"}


def test_a_network_is_described_without_data(tmp_path):
    recipe = read_recipe(write_recipe(tmp_path, tokenizer=COMMON))
    assert recipe.needs
    assert "20,000 words" in " ".join(_notes(recipe))
    assert CommonWords.fitted == []


def _notes(recipe):
    notes: list[str] = []
    describe(recipe, notes.append)
    return notes


def test_edges_of_tokens_are_white_space_alone():
    text = " a\t b\n \u3000c "
    offsets = [(0, 2), (2, 5), (5, 7), (7, 10), (9, 9)]
    assert without_edges(text, offsets) == [(1, 2), (4, 5), (5, 7), (8, 9), (9, 9)]
