"""The linear model of n-grams beside a network: which n-grams a text has, where weights start, how answers mix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import make_tiny, tiny_rows, write_jsonl, write_recipe
from torch import Tensor, nn

import rnntext
from rnntext import options, registry
from rnntext.contracts import Batch, Encoded, Example
from rnntext.errors import RecipeError, ShapeError
from rnntext.heads.ngrams import START_SCALE, NgramScores, log_ratios
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe

HEAD: Any = registry.get("heads", "classification")
D = 4
UNMET = 1 << 40
"""So many rows that no two n-grams of these tests share one."""
KINDS = [(1, 0), (2, 0), (3, 4), (0, 3), (2, 5), (1, 10), (5, 0)]  # words, characters
TEXTS = [["a", "mild", "cheese"], ["Mild", "soup"], ["soup", "soup", "soup"], ["a", "soggy", "cheese", "a", "soggy"]]


def batch_of(texts: Sequence[Sequence[str]], targets: Sequence[Sequence[int]] | None = None) -> Batch:
    """Return a batch as collated: a text without tokens is one token "", distinct words are numbered."""
    numbers = {"": 0}
    rows = [[numbers.setdefault(word, len(numbers)) for word in text] or [0] for text in texts]
    longest = max(map(len, rows))
    type_ids = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows])
    wanted = None
    if targets is not None:
        most = max(map(len, targets))
        wanted = torch.tensor([[*row, *[-1] * (most - len(row))] for row in targets], dtype=torch.int64)
    return Batch(
        token_ids=type_ids + 1,
        lengths=torch.tensor([len(row) for row in rows]),
        type_ids=type_ids,
        types=list(numbers),
        targets=wanted,
    )


def counter_of(words: int, characters: int) -> NgramScores:
    """Return a model with ``UNMET`` rows and no memory behind them: enough to ask for rows."""
    with torch.device("meta"):
        return NgramScores(num_labels=2, words=words, characters=characters, buckets=UNMET)


def small(words: int = 2, characters: int = 0, labels: int = 2, buckets: int = 1 << 16) -> NgramScores:
    return NgramScores(num_labels=labels, words=words, characters=characters, buckets=buckets)


def ngrams_of(text: Sequence[str], words: int, characters: int) -> set[Any]:
    """Return a text's n-grams, one by one: a word is the piece between its marks, so it stands for that piece too."""
    lowered = [word.lower() for word in text] or [""]
    found: set[Any] = set()
    for length in range(1, words + 1):
        for start in range(len(lowered) - length + 1):
            run = lowered[start : start + length]
            found.add(f"<{run[0]}>" if length == 1 else tuple(run))
    for word in lowered:
        marked = f"<{word}>"
        for length in range(3, characters + 1):
            found |= {marked[start : start + length] for start in range(len(marked) - length + 1)}
    return found


def split_rows(model: NgramScores, batch: Batch) -> list[list[int]]:
    rows, sizes = model.rows(batch)
    assert (rows.dtype, len(sizes), sizes.sum()) == (np.int64, len(batch.lengths), len(rows))
    return [part.tolist() for part in np.split(rows, np.cumsum(sizes)[:-1])]


def assert_rows_are_ngrams(texts: Sequence[Sequence[str]], words: int, characters: int) -> None:
    """Hold that rows and n-grams are one and the same, up to names, over all texts together."""
    wanted = [ngrams_of(text, words, characters) for text in texts]
    found = split_rows(counter_of(words, characters), batch_of(texts))
    everywhere = sorted(set().union(*wanted), key=repr)
    # In which texts each n-gram stands, against the same of each row: equal as collections if the two correspond.
    places = sorted([number for number, one in enumerate(wanted) if ngram in one] for ngram in everywhere)
    held = sorted(
        [number for number, one in enumerate(found) if row in one] for row in {row for one in found for row in one}
    )
    assert held == places
    assert all(len(set(rows)) == len(rows) for rows in found), "each counts once a text"


# ---------------------------------------------------------------- which n-grams a text has

letters = st.text(alphabet="abAé", min_size=1, max_size=4)
some_texts = st.lists(st.lists(letters, max_size=6), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(texts=some_texts, kind=st.sampled_from(KINDS))
def test_rows_stand_for_the_distinct_runs_and_pieces_of_each_text(
    texts: list[list[str]], kind: tuple[int, int]
) -> None:
    assert_rows_are_ngrams(texts, *kind)


def test_a_null_character_is_a_letter_like_any_other() -> None:
    assert_rows_are_ngrams([["00\x00"], ["\x00\x00"], ["00"]], 3, 4)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.text(st.characters(), min_size=1, max_size=5), max_size=4), min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
)
def test_rows_stand_for_ngrams_in_any_script_half_characters_included(
    texts: list[list[str]], kind: tuple[int, int]
) -> None:
    assert_rows_are_ngrams(texts, *kind)


@settings(max_examples=40, deadline=None)
@given(texts=some_texts, kind=st.sampled_from(KINDS), data=st.data())
def test_a_text_has_the_same_rows_alone_as_in_any_batch(
    texts: list[list[str]], kind: tuple[int, int], data: st.DataObject
) -> None:
    for model in (counter_of(*kind), small(*kind, buckets=7)):
        alone = [split_rows(model, batch_of([text]))[0] for text in texts]
        order = data.draw(st.permutations(range(len(texts))))
        together = split_rows(model, batch_of([texts[number] for number in order]))
        assert together == [alone[number] for number in order]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_unused_types_change_no_row(kind: tuple[int, int]) -> None:
    model, batch = counter_of(*kind), batch_of(TEXTS)
    expected = split_rows(model, batch)
    assert batch.type_ids is not None
    wider = Batch(
        token_ids=batch.token_ids,
        lengths=batch.lengths,
        type_ids=nn.functional.pad(batch.type_ids + 2 * (batch.type_ids >= 0), (0, 3), value=-1),
        types=["unseen", "too", *batch.types, "more"],
    )
    assert split_rows(model, wider) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "texts",
    [
        [[]],
        [[], [], ["a"]],
        [["x"], ["y"], ["x", "y"], ["y", "x"]],
        [["läuft", "LÄUFT"], ["ΣΑΣ"], ["İ"], ["中文", "😀"], ["e\u0301"]],
        [["\ud800"], ["\udfff", "a\ud800b"]],
        [["<"], [">"], ["<>"], ["a>", "<b"]],
        [["x" * 500, "y"]],
    ],
    ids=["empty", "some_empty", "one_letter", "unicode", "surrogates", "marks", "long_word"],
)
def test_odd_texts_have_their_ngrams_too(kind: tuple[int, int], texts: list[list[str]]) -> None:
    assert_rows_are_ngrams(texts, *kind)


def test_case_is_ignored_and_order_counts_from_two_words_on() -> None:
    upper, lower, turned = split_rows(counter_of(2, 4), batch_of([["Not", "BAD"], ["not", "bad"], ["bad", "not"]]))
    assert upper == lower
    assert len(set(lower) ^ set(turned)) == 2, "only the run of two differs"
    one, other = split_rows(counter_of(1, 4), batch_of([["not", "bad"], ["bad", "not"]]))
    assert one == other


def test_neighbours_that_swap_letters_are_another_run() -> None:
    pairs = [(["i", "am"], ["m", "ai"]), (["log", "bid"], ["iog", "bld"]), (["it", "on"], ["nt", "oi"])]
    for one, other in pairs:
        first, second = split_rows(counter_of(2, 0), batch_of([one, other]))
        assert not set(first) & set(second)


def test_few_buckets_are_shared_and_bound_the_rows() -> None:
    rows, sizes = small(3, 6, buckets=5).rows(batch_of(TEXTS))
    assert set(rows.tolist()) == set(range(5))
    assert sizes.max() <= 5


def test_rows_spread_evenly_over_buckets() -> None:
    words = [f"word{number}" for number in range(4000)]
    rows, _ = small(1, buckets=40).rows(batch_of([[word] for word in words]))
    counts = np.bincount(rows, minlength=40)
    assert abs(counts - 100).max() < 50  # five standard deviations


def test_a_batch_without_raw_tokens_is_refused() -> None:
    bare = Batch(token_ids=torch.ones(1, 1, dtype=torch.int64), lengths=torch.ones(1, dtype=torch.int64))
    with pytest.raises(ShapeError, match="type_ids"):
        small()(bare)


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("kind", [(2, 0), (1, 4), (0, 3)])
def test_a_score_is_the_sum_of_its_ngrams_weights_over_the_root_of_their_number(kind: tuple[int, int]) -> None:
    model = small(*kind, labels=3)
    torch.manual_seed(1)
    nn.init.normal_(model.weight)
    nn.init.normal_(model.bias)
    texts = [*TEXTS, [], ["x"]]
    batch = batch_of(texts)
    scores = model(batch)
    assert scores.shape == (len(texts), 3)
    for score, rows in zip(scores, split_rows(model, batch), strict=True):
        expected = model.bias + sum((model.weight[row] for row in rows), torch.zeros(3)) / math.sqrt(len(rows) or 1)
        torch.testing.assert_close(score, expected)


def test_gradients_reach_the_rows_of_the_texts_and_no_others() -> None:
    model, batch = small(2, 3), batch_of(TEXTS)
    model(batch)[:, 1].sum().backward()
    assert model.weight.grad is not None
    assert set(model.weight.grad[:, 1].nonzero()[:, 0].tolist()) == set(model.rows(batch)[0].tolist())
    assert not bool(model.weight.grad[:, 0].any())
    assert model.bias.grad is not None
    assert model.bias.grad.tolist() == [0, 4]


# ---------------------------------------------------------------- the start


def start_by_hand(texts: Sequence[Sequence[str]], labels: Sequence[Sequence[int]], label: int, ngram: Any) -> float:
    """Return what naive Bayes says of an n-gram, each of 65,536 rows counted one up."""
    holding = [ngrams_of(text, 2, 0) for text in texts]
    inside = [found for found, own in zip(holding, labels, strict=True) if label in own]
    outside = [found for found, own in zip(holding, labels, strict=True) if label not in own]
    shares = [
        (sum(ngram in found for found in part) + 1) / (sum(map(len, part)) + 65_536) for part in (inside, outside)
    ]
    return START_SCALE * math.log(shares[0] / shares[1])


@pytest.mark.parametrize(
    "labels",
    [[[0], [1], [1], [0]], [[2], [1], [0], [2]], [[0, 1], [], [2, 0], [1]], [[], [0], [], []], [[0, 2], [], [], [1]]],
    ids=["two", "three", "several", "only_one", "some_none"],
)
@pytest.mark.parametrize("size", [1, 3, 4])
def test_weights_start_as_naive_bayes_says_of_texts_with_and_without_each_label(
    labels: list[list[int]], size: int
) -> None:
    count = max(max(own, default=0) for own in labels) + 1
    model = small(2, labels=count)
    model.begin_from(
        batch_of(TEXTS[start : start + size], labels[start : start + size]) for start in range(0, len(TEXTS), size)
    )
    untouched = np.ones(len(model.weight), dtype=bool)
    for ngram in set().union(*(ngrams_of(text, 2, 0) for text in TEXTS)):
        words = [ngram[1:-1]] if isinstance(ngram, str) else list(ngram)
        (row,) = set(split_rows(model, batch_of([words]))[0]) - {
            row for word in words if len(words) > 1 for row in split_rows(model, batch_of([[word]]))[0]
        }
        untouched[row] = False
        for label in range(count):
            assert float(model.weight[row, label].detach()) == pytest.approx(
                start_by_hand(TEXTS, labels, label, ngram), rel=1e-4
            ), (ngram, label)
    assert not bool(model.weight[torch.from_numpy(untouched)].any()), "of what no text has, nothing is known"
    assert not bool(model.bias.any())


def test_log_ratios_compare_shares_counted_one_up() -> None:
    found = log_ratios(np.array([3, 0, 1]), np.array([0, 2, 1]))
    expected = np.log([4 / 7 / (1 / 6), 1 / 7 / (3 / 6), 2 / 7 / (2 / 6)])
    np.testing.assert_allclose(found, expected)


def test_a_start_needs_labelled_texts() -> None:
    with pytest.raises(ShapeError, match="no targets"):
        small().begin_from([batch_of(TEXTS)])


def unread() -> Iterator[Batch]:
    pytest.fail("a batch was asked for")
    yield


def test_a_head_without_ngrams_asks_for_no_batch_and_has_no_more_weights() -> None:
    head = head_of(ONE)
    head.begin_from(unread())
    assert head.ngrams is None
    assert not any("ngrams" in name for name in head.state_dict())


def test_a_head_hands_the_pass_on_to_its_ngrams() -> None:
    head, alone = head_of(ONE, word_ngrams=2), small()
    targets = [[0], [1], [1], [0]]
    head.begin_from([batch_of(TEXTS, targets)])
    alone.begin_from([batch_of(TEXTS, targets)])
    assert torch.equal(head.ngrams.weight, alone.weight)
    assert bool(alone.weight.any())


# ---------------------------------------------------------------- two models, one answer


def learnt(*labels: Any) -> dict[str, Any]:
    found: dict[str, Any] = HEAD.learn_labels(Example(text="soup", label=label) for label in labels)
    return found


ONE = learnt("a", "b", "b")
SEVERAL = learnt(("a", "b"), ("b",), (), ("b", "c"))
TARGETS = {False: [[0], [1], [1], [0]], True: [[0, 2], [1], [], [2]]}


def head_of(labels: dict[str, Any], **chosen: Any) -> Any:
    torch.manual_seed(0)
    return HEAD(input_dim=D, labels=labels, **{"dropout": 0.0, "ngram_buckets": 1 << 16, **chosen})


def both_of(labels: dict[str, Any], **chosen: Any) -> tuple[Any, Encoded, Batch]:
    """Return a head of two models that disagree, encoded texts, and their batch with targets."""
    head = head_of(labels, word_ngrams=2, char_ngrams=4, **chosen)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        head.ngrams.weight.normal_(generator=random)
        head.ngrams.bias.normal_(generator=random)
    batch = batch_of(TEXTS, TARGETS[labels["multi_label"]])
    states = torch.randn(*batch.token_ids.shape, D, generator=random).masked_fill(~batch.mask[..., None], 0)
    return head, Encoded(2 * states, states[:, 0]), batch


def each_logits(head: Any, encoded: Encoded, batch: Batch) -> tuple[Tensor, Tensor]:
    return head.output(head.pool(encoded, batch.mask)), head.ngrams(batch)


def chances(logits: Tensor, multi_label: bool) -> np.ndarray:
    values = logits.detach().double()
    array: np.ndarray = (values.sigmoid() if multi_label else values.softmax(dim=-1)).numpy()
    return array


def without_targets(batch: Batch) -> Batch:
    return Batch(batch.token_ids, batch.lengths, type_ids=batch.type_ids, types=batch.types)


@pytest.mark.parametrize("labels", [ONE, learnt("a", "b", "c"), SEVERAL], ids=["two", "three", "several"])
@pytest.mark.parametrize("training", [False, True])
def test_probabilities_are_the_mean_of_both_models(labels: dict[str, Any], training: bool) -> None:
    head, encoded, batch = both_of(labels)
    head.train(training)
    network, linear = (chances(logits, head.multi_label) for logits in each_logits(head, encoded, batch))
    assert abs(network - linear).max() > 0.2, "the two disagree, or nothing is shown"
    for texts in (batch, without_targets(batch)):
        found = head.answers(head(encoded, texts))
        np.testing.assert_allclose(found, (network + linear) / 2, atol=1e-6)
    assert head(encoded, without_targets(batch)).loss is None


@pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])
def test_two_models_that_are_sure_of_opposites_meet_halfway_without_losing_numbers(labels: dict[str, Any]) -> None:
    head = head_of(labels, word_ngrams=1)
    one = torch.tensor([[90.0, *[-90.0] * (len(head.names) - 1)]])
    halfway = chances(head._averaged(one, -one), head.multi_label)
    expected = (chances(one, head.multi_label) + chances(-one, head.multi_label)) / 2
    np.testing.assert_allclose(halfway, expected, atol=1e-6)
    same = head._averaged(one, one)
    assert bool(same.isfinite().all())
    np.testing.assert_allclose(chances(same, head.multi_label), chances(one, head.multi_label), atol=1e-6)


@pytest.mark.parametrize(
    "chosen", [{}, {"label_smoothing": 0.1, "class_weights": "balanced"}], ids=["plain", "smoothed_and_weighted"]
)
@pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])
def test_training_loss_is_the_mean_of_both_and_evaluation_loss_that_of_the_answer(
    labels: dict[str, Any], chosen: dict[str, Any]
) -> None:
    head, encoded, batch = both_of(labels, **chosen)
    smoothing, weights = chosen.get("label_smoothing", 0.0), head.weights

    def loss_of(logits: Tensor) -> Tensor:
        wanted = TARGETS[head.multi_label]
        if not head.multi_label:
            whole = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing, reduction="sum")
            loss: Tensor = whole(logits, torch.tensor(wanted)[:, 0]) / len(wanted)
            return loss
        yes = torch.tensor([[float(label in own) for label in range(3)] for own in wanted])
        yes = yes * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits, yes, pos_weight=weights)

    network, linear = each_logits(head, encoded, batch)
    trained = head.train()(encoded, batch)
    torch.testing.assert_close(trained.loss, (loss_of(network) + loss_of(linear)) / 2)
    evaluated = head.eval()(encoded, batch)
    torch.testing.assert_close(evaluated.loss, loss_of(evaluated.logits))
    assert float(trained.loss.detach()) > float(evaluated.loss.detach()), "a mean of answers loses less"
    torch.testing.assert_close(trained.logits, evaluated.logits)


@pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])
def test_neither_models_gradients_depend_on_the_other(labels: dict[str, Any]) -> None:
    def gradients(change: str) -> dict[str, Tensor]:
        head, encoded, batch = both_of(labels)
        with torch.no_grad():
            if change == "network":
                head.output.weight.mul_(-3)
            if change == "ngrams":
                head.ngrams.weight.mul_(-3)
        states = encoded.states.requires_grad_()
        head.train()(encoded, batch).loss.backward()
        return {"states": states.grad, **{name: parameter.grad for name, parameter in head.named_parameters()}}

    plain = gradients("nothing")
    own = {
        "ngrams": {"ngrams.weight", "ngrams.bias"},
        "network": {"states", "output.weight", "output.bias"},
    }
    assert set(plain) == own["ngrams"] | own["network"]
    for changed, names in own.items():
        found = gradients(changed)
        assert {name for name in found if not torch.equal(found[name], plain[name])} == names


def test_dropout_of_the_head_is_the_networks_alone() -> None:
    head, encoded, batch = both_of(ONE, dropout=0.5)
    head.train()
    assert torch.equal(head.ngrams(batch), head.ngrams(batch))
    assert not torch.equal(head(encoded, batch).logits, head(encoded, batch).logits)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("characters", [1, 2])
def test_pieces_shorter_than_three_characters_are_refused(tmp_path: Path, characters: int) -> None:
    defaults = {key: option.default for key, option in options.options_of(HEAD, "heads").items()}
    assert [key for key, _ in HEAD.check_options({**defaults, "char_ngrams": characters})] == ["char_ngrams"]
    assert "char_ngrams: pieces of words have 3 characters and more" in problem(
        tmp_path, f"char_ngrams = {characters}"
    )


@pytest.mark.parametrize("line", ["word_ngrams = 6", "word_ngrams = -1", "char_ngrams = 11", "ngram_buckets = 0"])
def test_sizes_out_of_range_are_refused(tmp_path: Path, line: str) -> None:
    assert f"[head] {line.split(' ')[0]}: " in problem(tmp_path, line)


def problem(folder: Path, line: str) -> str:
    path = folder / "r.toml"
    path.write_text(f'[dataset]\ntype = "jsonl"\n[head]\n{line}\n', encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        read_recipe(path)
    (only,) = raised.value.problems
    return str(only)


@pytest.mark.parametrize(("words", "characters"), [(0, 0), (1, 0), (0, 3), (5, 10)])
def test_either_option_brings_the_second_model_with_its_buckets(words: int, characters: int) -> None:
    head = head_of(ONE, word_ngrams=words, char_ngrams=characters, ngram_buckets=11)
    assert (head.ngrams is not None) == bool(words or characters)
    if head.ngrams is not None:
        assert head.ngrams.weight.shape == (11, 2)


# ---------------------------------------------------------------- in a recipe

NGRAMS = {"word_ngrams": 2, "char_ngrams": 4, "ngram_buckets": 4096}


def run(recipe: Path, out: Path) -> rnntext.Run:
    return rnntext.run(recipe, out=out, progress=LineReporter(lambda text: None))


def test_a_recipe_with_ngrams_trains_saves_and_answers_the_same_again(tmp_path: Path) -> None:
    recipe = make_tiny(tmp_path, head=NGRAMS)
    found = run(recipe, tmp_path / "run")
    model = rnntext.load(found.path)
    assert found.metrics["test"]["accuracy"] > 0.9
    assert model.evaluate(tmp_path / "test.jsonl").scores() == pytest.approx(found.metrics["test"], abs=1e-6)
    saved = load_file(found.path / "model.safetensors")
    assert torch.equal(saved["head.ngrams.weight"], model.model.head.ngrams.weight)
    texts = [row["text"] for row in tiny_rows(6)] + ["", "Unheard-of läuft", "LOVELY"]
    together = model(texts)
    for text, answer in zip(texts, together, strict=True):
        assert model(text).probability == pytest.approx(answer.probability, abs=1e-6)
    again = run(found.path / "recipe.toml", tmp_path / "again")
    assert (again.path / "model.safetensors").read_bytes() == (found.path / "model.safetensors").read_bytes()


def test_ngrams_read_words_that_the_vocabulary_does_not_have(tmp_path: Path) -> None:
    recipe = make_tiny(tmp_path, head=NGRAMS, vocabulary={"max_size": 3}, training={"epochs": 1})
    model = rnntext.load(run(recipe, tmp_path / "run").path)
    one, other = model("splendid"), model("dreary")
    assert (one.label, other.label) == ("good", "bad"), "the start alone tells them apart"


def test_several_labels_and_ngrams_end_to_end(tmp_path: Path) -> None:
    rows = [
        {"text": row["text"], "label": [row["label"], *(["tent"] if "tent" in row["text"] else [])]}
        for row in tiny_rows(96)
    ]
    rows += [{"text": "soup", "label": []} for _ in range(24)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    dataset = {"train": "train.jsonl", "multi_label": True, "test_fraction": 0.2}
    recipe = write_recipe(tmp_path, dataset=dataset, head=NGRAMS, training={"epochs": 6})
    found = run(recipe, tmp_path / "run")
    model = rnntext.load(found.path)
    assert found.metrics["test"]["micro_f1"] > 0.8
    assert set(model("dull old tent").labels) == {"bad", "tent"}
    assert model("soup").labels == []
