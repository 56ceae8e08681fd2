"""The classification head: labels in, loss, answers out; and the pools, which padding must not reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from rnntext import options, registry
from rnntext.contracts import Batch, Encoded, Example, Head, HeadOutput
from rnntext.errors import DataError
from rnntext.heads.pooling import Pool
from rnntext.model import TextModel

D = 6
HEAD: Any = registry.get("heads", "classification")
POOLINGS = ["final", "max", "mean", "attention"]
LENGTHS = torch.tensor([3, 5, 1])


def learnt(*labels: str | tuple[str, ...]) -> dict[str, Any]:
    learnt_labels: dict[str, Any] = HEAD.learn_labels(
        Example(text="a mild cheese", label=label, line=number) for number, label in enumerate(labels, 1)
    )
    return learnt_labels


def head_of(labels: dict[str, Any], **chosen: Any) -> Any:
    torch.manual_seed(0)
    return HEAD(input_dim=D, labels=labels, **{"dropout": 0.0, **chosen})


def encoded_of(lengths: Tensor = LENGTHS, seed: int = 1, extra_steps: int = 0) -> tuple[Encoded, Batch]:
    random = torch.Generator().manual_seed(seed)
    states = torch.randn(len(lengths), int(lengths.max()), D, generator=random)
    states = nn.functional.pad(states, (0, 0, 0, extra_steps))
    batch = Batch(token_ids=torch.ones(states.shape[:2], dtype=torch.int64), lengths=lengths)
    states = states.masked_fill(~batch.mask[..., None], 0)
    return Encoded(states, torch.randn(len(lengths), D, generator=random)), batch


def with_targets(batch: Batch, targets: Sequence[Sequence[int]]) -> Batch:
    return Batch(token_ids=batch.token_ids, lengths=batch.lengths, targets=torch.tensor(targets))


# ---------------------------------------------------------------- labels


def test_sentiment_is_another_name_of_classification() -> None:
    assert registry.get("heads", "sentiment") is HEAD
    assert isinstance(head_of(learnt("good", "bad")), Head)


def test_labels_come_in_natural_order_whatever_order_the_texts_have() -> None:
    assert learnt("b", "10", "a", "9", "2", "10")["labels"] == ["2", "9", "10", "a", "b"]
    assert learnt("01", "1", "²", "-1")["labels"] == ["01", "1", "-1", "²"]


@settings(max_examples=25, deadline=None)
@given(labels=st.lists(st.text(max_size=3), min_size=2, max_size=12), data=st.data())
def test_labels_do_not_depend_on_the_order_of_texts(labels: list[str], data: st.DataObject) -> None:
    if len(set(labels)) < 2:
        labels.append(labels[0] + "x")
    shuffled = data.draw(st.permutations(labels))
    assert learnt(*labels) == learnt(*shuffled)
    assert sum(learnt(*labels)["counts"].values()) == len(labels)


def test_learn_labels_counts_texts_and_labels() -> None:
    assert learnt("x", "y", "x") == {
        "labels": ["x", "y"],
        "counts": {"x": 2, "y": 1},
        "texts": 3,
        "multi_label": False,
    }
    assert learnt(("x", "y"), (), ("x",)) == {
        "labels": ["x", "y"],
        "counts": {"x": 2, "y": 1},
        "texts": 3,
        "multi_label": True,
    }


def test_a_text_without_a_label_is_named_by_its_line() -> None:
    with pytest.raises(DataError, match="no label") as caught:
        HEAD.learn_labels([Example(text="fine", label="a", line=4), Example(text="not", line=7)])
    assert caught.value.line == 7
    with pytest.raises(DataError, match="no label") as caught:
        HEAD.encode_targets(Example(text="not", line=9), learnt("a", "b"), 1)
    assert caught.value.line == 9


def test_one_label_only_is_refused_and_named() -> None:
    with pytest.raises(DataError, match=r"all 3 texts .* have the label 'good'"):
        learnt("good", "good", "good")
    with pytest.raises(DataError, match="no text of the training split has a label"):
        learnt((), ())


def test_targets_are_the_places_of_the_labels() -> None:
    one, several = learnt("b", "a", "c"), learnt(("b", "a"), ("c",))
    assert list(HEAD.encode_targets(Example(text="", label="c"), one, 4)) == [2]
    assert list(HEAD.encode_targets(Example(text="", label=("c", "a")), several, 4)) == [2, 0]
    assert list(HEAD.encode_targets(Example(text="", label=()), several, 4)) == []


def test_an_unknown_label_is_named_with_its_line_and_the_nearest_known_one() -> None:
    with pytest.raises(DataError) as caught:
        HEAD.encode_targets(Example(text="", label="postive", line=12), learnt("positive", "negative"), 1)
    assert caught.value.line == 12
    for part in ("'postive'", "Did you mean 'positive'?", "negative, positive"):
        assert part in caught.value.message


def test_a_list_among_single_labels_is_refused_with_its_line_and_so_is_the_reverse() -> None:
    for label, labels in ((("a",), learnt("a", "b")), ("a", learnt(("a",), ("b",)))):
        with pytest.raises(DataError, match="multi_label") as caught:
            HEAD.encode_targets(Example(text="", label=label, line=3), labels, 1)
        assert caught.value.line == 3


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("pooling", [*([name] for name in POOLINGS), ["max", "mean"], ["final", "attention", "max"]])
def test_pools_are_joined_to_the_stated_width(pooling: list[Any]) -> None:
    encoded, batch = encoded_of()
    pool = Pool(pooling, D)
    pooled = pool(encoded, batch.mask)
    assert pool.output_dim == D * len(pooling)
    assert pooled.shape == (3, D * len(pooling))
    assert head_of(learnt("a", "b"), pooling=pooling).output.in_features == D * len(pooling)


def test_joined_pools_stand_in_the_order_of_the_list() -> None:
    encoded, batch = encoded_of()
    joined = Pool(["max", "mean"], D)(encoded, batch.mask)
    single = [Pool([name], D)(encoded, batch.mask) for name in ("max", "mean")]
    assert torch.equal(joined, torch.cat(single, dim=-1))


def test_each_pool_is_what_its_name_says_of_the_real_tokens() -> None:
    encoded, batch = encoded_of()
    torch.manual_seed(3)
    pools: dict[str, Any] = {name: Pool([name], D) for name in POOLINGS}
    pooled = {name: pool(encoded, batch.mask) for name, pool in pools.items()}
    assert torch.equal(pooled["final"], encoded.final)
    for row, length in enumerate(LENGTHS.tolist()):
        real = encoded.states[row, :length]
        torch.testing.assert_close(pooled["max"][row], real.max(dim=0).values)
        torch.testing.assert_close(pooled["mean"][row], real.mean(dim=0))
        linear, _, context = pools["attention"].attention
        weights = torch.softmax(context(torch.tanh(linear(real)))[:, 0], dim=0)
        torch.testing.assert_close(pooled["attention"][row], weights @ real)


def test_a_maximum_below_zero_is_not_lifted_by_padding() -> None:
    encoded, batch = encoded_of()
    low = Encoded((encoded.states.abs() * -1 - 1).masked_fill(~batch.mask[..., None], 0), encoded.final)
    assert bool((Pool(["max"], D)(low, batch.mask) <= -1).all())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_pool_and_gets_no_gradient(pooling: Any) -> None:
    pool = Pool([pooling], D)
    short, short_batch = encoded_of()
    expected = pool(short, short_batch.mask)
    longer, batch = encoded_of(extra_steps=4)
    states = longer.states.masked_fill(~batch.mask[..., None], 1e3).requires_grad_()
    pooled = pool(Encoded(states, longer.final), batch.mask)
    torch.testing.assert_close(pooled, expected, atol=1e-6, rtol=0)
    if pooling != "final":
        pooled.sum().backward()
        assert states.grad is not None
        assert not bool(states.grad[~batch.mask].any())
        assert bool(states.grad[batch.mask].any())


def test_a_pool_named_twice_is_a_problem_of_the_recipe() -> None:
    defaults = {key: option.default for key, option in options.options_of(HEAD, "heads").items()}
    assert list(HEAD.check_options(defaults)) == []
    assert [key for key, _ in HEAD.check_options({**defaults, "pooling": ["max", "max"]})] == ["pooling"]


# ---------------------------------------------------------------- loss


@settings(max_examples=25, deadline=None)
@given(
    num_labels=st.integers(2, 5),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    weights=st.sampled_from(["none", "balanced"]),
    seed=st.integers(0, 1000),
)
def test_loss_of_one_label_a_text_is_torchs_cross_entropy(
    num_labels: int, smoothing: float, weights: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    column = [*range(num_labels), *random.integers(0, num_labels, 9).tolist()]
    head = head_of(learnt(*map(str, column)), class_weights=weights, label_smoothing=smoothing)
    encoded, batch = encoded_of(seed=seed)
    wanted = random.integers(0, num_labels, 3)
    output = head(encoded, with_targets(batch, wanted[:, None].tolist()))
    balanced = compute_class_weight("balanced", classes=np.arange(num_labels), y=np.array(column))
    weight = torch.tensor(balanced, dtype=torch.float32) if weights == "balanced" else None
    # A mean over texts: torch would divide by the sum of the texts' weights, which depends on the batch.
    whole = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing, reduction="sum")
    expected = whole(output.logits, torch.tensor(wanted)) / 3
    assert output.logits.shape == (3, num_labels)
    torch.testing.assert_close(output.loss, expected)
    assert head(encoded, batch).loss is None


SEVERAL = learnt(("a", "b"), ("b",), (), ("b", "c"))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "balanced", {"c": 5.0}])
def test_loss_of_several_labels_is_binary_cross_entropy_of_each_decision(smoothing: float, weights: Any) -> None:
    head = head_of(SEVERAL, label_smoothing=smoothing, class_weights=weights)
    encoded, batch = encoded_of()
    output = head(encoded, with_targets(batch, [[2, 0], [1, -1], [-1, -1]]))
    probabilities = output.logits.detach().double().sigmoid().tolist()
    # Of four texts, 1 has a, 3 have b, 1 has c: balanced weighs a yes by noes over yeses.
    positive = {"none": [1, 1, 1], "balanced": [3 / 1, 1 / 3, 3 / 1]}.get(str(weights), [1, 1, 5])
    wanted = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    total = 0.0
    for row in range(3):
        for label in range(3):
            yes = wanted[row][label] * (1 - smoothing) + smoothing / 2
            total -= positive[label] * yes * np.log(probabilities[row][label])
            total -= (1 - yes) * np.log(1 - probabilities[row][label])
    assert float(output.loss.detach()) == pytest.approx(total / 9, rel=1e-5)


def test_texts_without_any_label_in_a_batch_still_have_a_loss() -> None:
    encoded, batch = encoded_of()
    empty = Batch(token_ids=batch.token_ids, lengths=batch.lengths, targets=torch.empty(3, 0, dtype=torch.int64))
    output = head_of(SEVERAL)(encoded, empty)
    expected = nn.functional.binary_cross_entropy_with_logits(output.logits, torch.zeros(3, 3))
    torch.testing.assert_close(output.loss, expected)


def test_a_label_that_every_text_has_keeps_a_positive_balanced_weight() -> None:
    head = head_of(learnt(("a",), ("a", "b")), class_weights="balanced")
    assert bool((head.weights > 0).all())


def test_balanced_weights_are_texts_over_labels_times_the_labels_count() -> None:
    head = head_of(learnt("a", "b", "b", "c", "b", "c"), class_weights="balanced")
    assert head.weights.tolist() == pytest.approx([6 / (3 * 1), 6 / (3 * 3), 6 / (3 * 2)])


def test_a_table_of_weights_leaves_the_labels_it_does_not_name_at_one() -> None:
    labels = learnt("good", "bad", "mixed")
    assert head_of(labels, class_weights={"good": 3.0}).weights.tolist() == [1.0, 3.0, 1.0]
    assert head_of(labels).weights.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(DataError, match=r"'god', which does not occur\. Did you mean 'good'\?"):
        head_of(labels, class_weights={"god": 3.0})


def test_weights_are_not_saved_with_the_model() -> None:
    labels = learnt("a", "b", "b")
    plain, balanced = head_of(labels), head_of(labels, class_weights="balanced")
    assert list(plain.state_dict()) == list(balanced.state_dict())
    assert not any("weights" in name for name in plain.state_dict())


def test_dropout_acts_in_training_only() -> None:
    head = head_of(learnt("a", "b"), dropout=0.5)
    encoded, batch = encoded_of()
    assert torch.equal(head.eval()(encoded, batch).logits, head(encoded, batch).logits)
    assert not torch.equal(head.train()(encoded, batch).logits, head(encoded, batch).logits)


# ---------------------------------------------------------------- answers

logit_rows = st.lists(st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4), min_size=1, max_size=5)


def batch_for(logits: Tensor) -> Batch:
    return Batch(token_ids=torch.ones(len(logits), 1, dtype=torch.int64), lengths=torch.ones(len(logits)).long())


@settings(max_examples=40, deadline=None)
@given(rows=logit_rows, top_k=st.sampled_from([None, 1, 2, 9]))
def test_one_label_predictions_name_the_most_probable_first(rows: list[list[float]], top_k: int | None) -> None:
    head = head_of(learnt("a", "b", "c", "d"))
    output = HeadOutput(torch.tensor(rows))
    answers = head.answers(output)
    assert answers.dtype == np.float64
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-12)
    predictions = head.predictions(output, batch_for(output.logits), top_k)
    assert len(predictions) == len(rows)
    for row, prediction in zip(answers, predictions, strict=True):
        assert list(prediction) == ["label", "probability", "probabilities"]
        assert prediction["label"] == head.names[row.argmax()]
        assert prediction["probability"] == row.max()
        values = list(prediction["probabilities"].values())
        assert values == sorted(row, reverse=True)[:top_k]
        assert next(iter(prediction["probabilities"])) == prediction["label"]
        assert all(row[head.names.index(name)] == value for name, value in prediction["probabilities"].items())


@settings(max_examples=40, deadline=None)
@given(rows=logit_rows, top_k=st.sampled_from([None, 2]), threshold=st.sampled_from([0.2, 0.5, 0.9]))
def test_several_labels_are_given_from_the_threshold_on(
    rows: list[list[float]], top_k: int | None, threshold: float
) -> None:
    head = head_of(learnt(("a", "b"), ("c", "d")), threshold=threshold)
    output = HeadOutput(torch.tensor(rows))
    expected = 1 / (1 + np.exp(-np.array(rows)))
    np.testing.assert_allclose(head.answers(output), expected, rtol=1e-6)
    for row, prediction in zip(
        head.answers(output), head.predictions(output, batch_for(output.logits), top_k), strict=True
    ):
        assert list(prediction) == ["labels", "probabilities"]
        assert set(prediction["labels"]) == {
            name for name, value in zip("abcd", row, strict=True) if value >= threshold
        }
        given_values = [row["abcd".index(name)] for name in prediction["labels"]]
        assert given_values == sorted(given_values, reverse=True)
        assert list(prediction["probabilities"].values()) == sorted(row, reverse=True)[:top_k]


def test_a_probability_at_the_threshold_gives_the_label_in_answers_and_scores_alike() -> None:
    head = head_of(learnt(("a",), ("b",)))
    output = HeadOutput(torch.tensor([[0.0, -1.0]]))
    assert head.predictions(output, batch_for(output.logits))[0]["labels"] == ["a"]
    scores = head.scores()
    scores.update(head.answers(output), np.array([[0]]))
    assert scores.compute()["accuracy"] == 1


def test_scores_use_the_threshold_of_the_head() -> None:
    head = head_of(learnt(("a",), ("b",)), threshold=0.9)
    scores = head.scores()
    scores.update(np.array([[0.8, 0.1]]), np.array([[0]]))
    assert scores.compute()["accuracy"] == 0


def test_every_declared_metric_is_reported_and_the_first_is_accuracy() -> None:
    assert next(iter(HEAD.metrics)) == "accuracy"
    for labels, only_with_several in ((learnt("a", "b"), {"micro_f1"}), (SEVERAL, set())):
        head = head_of(labels)
        scores = head.scores()
        scores.update(np.full((2, len(head.names)), 0.5), np.array([[0], [1]]))
        assert set(HEAD.metrics) - only_with_several == set(scores.compute())
        assert next(iter(scores.compute())) == "accuracy"


def test_both_baselines_are_offered_with_the_heads_labels() -> None:
    assert list(head_of(learnt("a", "b")).baselines()) == ["majority", "tfidf"]


# ---------------------------------------------------------------- learning

EIGHT = [
    "the soup was warm and rich",
    "the soup was cold",
    "a lamp that hums all night",
    "sturdy chair",
    "the chair broke on the first day",
    "bright lamp and a kind seller",
    "never again",
    "again and again I come back",
]


@pytest.mark.parametrize(
    "labels",
    [
        ["good", "bad", "bad", "good", "bad", "good", "bad", "good"],
        ["soup", "soup", "lamp", "chair", "chair", "lamp", "none", "none"],
        [("soup", "good"), ("soup",), ("lamp",), ("good",), (), ("lamp", "good"), (), ("good",)],
    ],
    ids=["two", "many", "several"],
)
@pytest.mark.parametrize("pooling", ["final", "attention", ["max", "mean"]], ids=str)
def test_a_tiny_network_learns_eight_texts_by_heart(labels: list[Any], pooling: Any) -> None:
    words = sorted({word for text in EIGHT for word in text.split()})
    vocabulary: Any = registry.get("vocabularies", "frequency")()
    vocabulary.fit(dict.fromkeys(words, 1))
    learnt_labels = learnt(*labels)
    torch.manual_seed(0)
    embedding: Any = registry.get("embeddings", "learned")(vocabulary=vocabulary, output_dim=12)
    encoder: Any = registry.get("encoders", "lstm")(input_dim=12, hidden_dim=12)
    head = HEAD(input_dim=encoder.output_dim, labels=learnt_labels, pooling=pooling, dropout=0.0)
    model = TextModel([embedding], encoder, head)
    rows = [vocabulary.encode(text.split()) for text in EIGHT]
    targets = [HEAD.encode_targets(Example(text="", label=label), learnt_labels, 1) for label in labels]

    def padded(lists: Sequence[Sequence[int]], filler: int) -> Tensor:
        tensors = [torch.tensor(list(row), dtype=torch.int64) for row in lists]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=filler)

    batch = Batch(padded(rows, 0), torch.tensor([len(row) for row in rows]), padded(targets, -1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch).loss.backward()
        optimizer.step()
    with torch.no_grad():
        predictions = head.predictions(model(batch), batch)
    if learnt_labels["multi_label"]:
        assert [set(prediction["labels"]) for prediction in predictions] == [set(label) for label in labels]
    else:
        assert [prediction["label"] for prediction in predictions] == labels
