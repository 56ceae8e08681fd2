"""Tagging: the head on its own, and whole runs from column files to tags on raw text."""

from __future__ import annotations

import io
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import sha256, write_jsonl
from torch import nn

import rnntext
from rnntext import options, registry
from rnntext.cli import main
from rnntext.contracts import UNKNOWN_ID, Batch, Encoded, Example, Head
from rnntext.devices import computing_in
from rnntext.errors import DataError, RecipeError, RnntextError, TrainingError, UsageError
from rnntext.progress import LineReporter
from rnntext.schemes import PREFIXES, all_tags, first_fault, tags_of
from rnntext.tokenizers.regex import RegexTokenizer

D = 6
HEAD: Any = registry.get("heads", "tagging")
LENGTHS = [4, 2, 1]
PLAIN_TAGS = ["DET", "NOUN", "VERB"]
with_and_without_crf = pytest.mark.parametrize("crf", [False, True], ids=["softmax", "crf"])


def labels_of(scheme: str, *types: str) -> dict[str, Any]:
    tags = PLAIN_TAGS if scheme == "none" else all_tags(types or ("LOC", "PER"), scheme)
    return {"tags": tags, "counts": dict.fromkeys(tags, 1), "scheme": scheme}


def head_of(labels: dict[str, Any], **chosen: Any) -> Any:
    """A head with large random weights, those of the CRF too."""
    torch.manual_seed(0)
    head = HEAD(input_dim=D, labels=labels, **{"dropout": 0.0, **chosen}).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return head


def encoded_of(lengths: Sequence[int] = LENGTHS, seed: int = 1, extra_steps: int = 0) -> tuple[Encoded, Batch]:
    states = torch.randn(len(lengths), max(lengths), D, generator=torch.Generator().manual_seed(seed))
    states = nn.functional.pad(states, (0, 0, 0, extra_steps))
    ids = (torch.arange(states.shape[0])[:, None] + torch.arange(states.shape[1])) % 3 + 1  # 1 is unknown
    batch = Batch(token_ids=ids, lengths=torch.tensor(lengths))
    batch.token_ids = ids.masked_fill(~batch.mask, 0)
    return Encoded(states.masked_fill(~batch.mask[..., None], 0), torch.zeros(len(lengths), D)), batch


def with_tags(batch: Batch, rows: Sequence[Sequence[int]]) -> Batch:
    width = batch.token_ids.shape[1]
    batch.targets = torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])
    return batch


def numbered(labels: dict[str, Any], *rows: Sequence[str]) -> list[list[int]]:
    return [[labels["tags"].index(tag) for tag in row] for row in rows]


def pointing(batch: Batch) -> Batch:
    """The batch with texts of single letters, which are its tokens."""
    batch.texts = [" ".join("abcdefghijkl"[:length]) for length in batch.lengths.tolist()]
    batch.offsets = [[(2 * place, 2 * place + 1) for place in range(length)] for length in batch.lengths.tolist()]
    return batch


# ---------------------------------------------------------------- labels


def tagged(*tags: str, scheme: str | None = "bio", line: int = 3) -> Example:
    return Example(" ".join("x" for _ in tags), tokens=("x",) * len(tags), label=tags, scheme=scheme, line=line)


def test_the_head_keeps_its_contract() -> None:
    assert isinstance(head_of(labels_of("bio")), Head)
    assert HEAD.hides == frozenset()
    assert not HEAD.cuts_long_texts
    why = HEAD.why_whole({})
    assert why.startswith("tagging reads")
    assert "chunk_tokens" not in why, "the recipe's error says what to do"


def test_options_are_the_documented_ones() -> None:
    assert set(options.options_of(HEAD, "heads")) == {"crf", "scheme", "dropout"}


def test_tags_that_are_no_spans_are_learnt_as_they_come() -> None:
    learnt = HEAD.learn_labels([tagged("VERB", "DET", scheme="none"), tagged("DET", scheme="none")])
    assert learnt == {"tags": ["DET", "VERB"], "counts": {"DET": 2, "VERB": 1}, "scheme": "none"}


@pytest.mark.parametrize(
    ("scheme", "seen"), [("io", "I-PER"), ("bio", "B-PER"), ("bioes", "S-PER"), ("biluo", "U-PER")]
)
def test_one_tag_of_a_type_brings_all_that_spans_of_it_can_have(scheme: str, seen: str) -> None:
    learnt = HEAD.learn_labels([tagged(seen, "O", seen, scheme=scheme), tagged(scheme=scheme)])
    assert learnt["tags"] == ["O", *(f"{letter}-PER" for letter in PREFIXES[scheme])]
    assert learnt["counts"] == {**dict.fromkeys(learnt["tags"], 0), "O": 1, seen: 2}
    assert learnt["scheme"] == scheme
    assert json.loads(json.dumps(learnt)) == learnt


def test_labels_do_not_depend_on_the_order_of_texts() -> None:
    rows = [tagged("B-PER", "O"), tagged("O", "B-LOC", "I-LOC"), tagged("O")]
    learnt = HEAD.learn_labels(rows)
    assert learnt["tags"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert all(HEAD.learn_labels(order) == learnt for order in itertools.permutations(rows))


@pytest.mark.parametrize("label", [None, "good", ("good", "bad")])
def test_a_text_without_tags_is_refused_with_its_line(label: Any) -> None:
    with pytest.raises(DataError, match=r"no tags.*conll, conllu.*spans_field") as caught:
        HEAD.learn_labels([tagged("B-PER", "O"), Example("plain", label=label, line=12)])
    assert caught.value.line == 12


def test_tags_of_several_schemes_are_refused() -> None:
    with pytest.raises(DataError, match="several schemes: bio, bioes; state one"):
        HEAD.learn_labels([tagged("B-PER", "O"), tagged("S-PER", "O", scheme="bioes")])


@pytest.mark.parametrize(("tags", "scheme"), [(["NOUN"] * 3, "none"), (["O"] * 3, "bio")])
def test_one_tag_only_is_refused_and_named(tags: list[str], scheme: str) -> None:
    with pytest.raises(DataError, match=rf"all 3 tokens of the training split have the tag '{tags[0]}'"):
        HEAD.learn_labels([tagged(*tags, scheme=scheme)])


def test_texts_without_any_token_are_refused() -> None:
    with pytest.raises(DataError, match="no text of the training split has a token"):
        HEAD.learn_labels([tagged(scheme="none"), tagged(scheme="none")])
    with pytest.raises(DataError, match="no text of the training split has a token"):
        HEAD.learn_labels([])


def test_targets_are_the_places_of_the_tags() -> None:
    labels = labels_of("bio")
    assert list(HEAD.encode_targets(tagged("O", "B-PER", "I-PER"), labels, 3)) == [0, 3, 4]
    assert list(HEAD.encode_targets(tagged(), labels, 1)) == [-1], "a text without tokens teaches nothing"


def test_a_count_that_does_not_fit_is_refused_with_its_line() -> None:
    with pytest.raises(DataError, match="3 tokens have 2 tags") as caught:
        HEAD.encode_targets(tagged("O", "O", line=8), labels_of("bio"), 3)
    assert caught.value.line == 8


def test_an_unknown_tag_is_named_with_its_line_and_the_nearest_of_those_that_occur() -> None:
    labels = labels_of("bio")
    labels["counts"]["I-LOC"] = 0
    with pytest.raises(DataError) as caught:
        HEAD.encode_targets(tagged("O", "B-PRE", line=9), labels, 2)
    assert caught.value.line == 9
    parts = ("'B-PRE' of token 2 of the text, 'x', does not occur", "Did you mean 'B-PER'?", "O, B-LOC, B-PER, I-PER")
    for part in parts:
        assert part in caught.value.message


def test_a_label_that_is_no_tuple_is_refused() -> None:
    with pytest.raises(DataError, match="no tags") as caught:
        HEAD.encode_targets(Example("x", label="good", line=4), labels_of("bio"), 1)
    assert caught.value.line == 4


def test_a_scheme_for_tags_that_are_no_spans_is_refused() -> None:
    with pytest.raises(DataError, match=r'head.scheme = "bioes" is for spans.*dataset.scheme = "none"'):
        head_of(labels_of("none"), scheme="bioes")


# ---------------------------------------------------------------- loss


def test_softmax_loss_is_torchs_cross_entropy_summed_over_tokens_averaged_over_texts() -> None:
    labels = labels_of("none")
    head = head_of(labels)
    encoded, batch = encoded_of()
    rows = [[0, 2, 1, 1], [2, 0], [1]]
    output = head(encoded, with_tags(batch, rows))
    assert output.logits.shape == (3, 4, 3)
    wanted = sum(
        nn.functional.cross_entropy(head.output(states[: len(row)]), torch.tensor(row), reduction="sum").item()
        for states, row in zip(encoded.states, rows, strict=True)
    )
    assert output.loss.item() == pytest.approx(wanted / 3, rel=1e-5)
    assert head(encoded, encoded_of()[1]).loss is None


def test_crf_loss_is_that_of_whole_sequences_averaged_over_texts() -> None:
    labels = labels_of("bio")
    head = head_of(labels, crf=True)
    encoded, batch = encoded_of()
    rows = numbered(labels, ["O", "B-LOC", "I-LOC", "B-PER"], ["B-PER", "I-PER"], ["O"])
    output = head(encoded, with_tags(batch, rows))
    assert output.loss.dtype == torch.float32
    alone = [
        head.crf.loss(head.output(states[None, : len(row)]), torch.tensor([row]), torch.tensor([len(row)])).item()
        for states, row in zip(encoded.states, rows, strict=True)
    ]
    assert output.loss.item() == pytest.approx(sum(alone) / 3, rel=1e-5)


@with_and_without_crf
def test_padding_changes_neither_loss_nor_gradients(crf: bool) -> None:
    labels = labels_of("bioes")
    rows = numbered(labels, ["B-LOC", "E-LOC", "O", "S-PER"], ["O", "O"], ["S-LOC"])
    found = []
    for extra_steps in (0, 5):
        head = head_of(labels, crf=crf)
        encoded, batch = encoded_of(extra_steps=extra_steps)
        output = head(encoded, with_tags(batch, rows))
        output.loss.backward()
        found.append((output, [parameter.grad for parameter in head.parameters()], head))
    (one, gradients, head), (other, other_gradients, _) = found
    assert one.loss.item() == pytest.approx(other.loss.item(), rel=1e-5)
    for gradient, other_gradient in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(gradient, other_gradient)
    answers, padded = head.answers(one), head.answers(other)
    assert (answers == padded[:, :4]).all()
    assert (padded[:, 4:] == -1).all()


@with_and_without_crf
def test_a_text_without_tokens_adds_nothing_to_the_loss(crf: bool) -> None:
    labels = labels_of("bio")
    head = head_of(labels, crf=crf)
    encoded, batch = encoded_of([3, 1])
    both = head(encoded, with_tags(batch, [*numbered(labels, ["O", "B-PER", "I-PER"]), [-1]]))
    first = Batch(token_ids=batch.token_ids[:1], lengths=batch.lengths[:1])
    alone = head(
        Encoded(encoded.states[:1], encoded.final[:1]), with_tags(first, numbered(labels, ["O", "B-PER", "I-PER"]))
    )
    assert both.loss.item() == pytest.approx(alone.loss.item() / 2, rel=1e-5)
    head.zero_grad()
    encoded, batch = encoded_of([1, 1])
    nothing = head(encoded, with_tags(batch, [[-1], [-1]]))
    assert nothing.loss.item() == 0
    nothing.loss.backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in head.parameters())


def test_dropout_works_in_training_alone() -> None:
    head = head_of(labels_of("bio"), dropout=0.5)
    encoded, batch = encoded_of()
    assert torch.equal(head(encoded, batch).logits, head(encoded, batch).logits)
    head.train()
    assert not torch.equal(head(encoded, batch).logits, head(encoded, batch).logits)


@with_and_without_crf
def test_logits_of_bfloat16_give_loss_and_answers_in_float32(crf: bool) -> None:
    labels = labels_of("bio")
    rows = numbered(labels, ["O", "B-LOC", "I-LOC", "B-PER"], ["B-PER", "I-PER"], ["O"])
    outputs = []
    head = head_of(labels, crf=crf)
    for precision in ("float32", "bfloat16"):
        encoded, batch = encoded_of()
        with computing_in(precision, torch.device("cpu")):
            outputs.append(head(encoded, pointing(with_tags(batch, rows))))
    exact, rounded = outputs
    assert rounded.logits.dtype == rounded.loss.dtype == torch.float32
    assert not torch.equal(rounded.logits, exact.logits), "it is rounded"
    assert rounded.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    rounded.loss.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in head.parameters())
    assert json.dumps(head.predictions(rounded, batch))


# ---------------------------------------------------------------- schemes


def twin_heads(crf: bool) -> tuple[Any, Any]:
    """A head that is given bioes tags, and one that makes them of bio tags, with the same weights."""
    given = head_of(labels_of("bioes"), crf=crf)
    converting = head_of(labels_of("bio"), crf=crf, scheme="bioes")
    converting.load_state_dict(given.state_dict())
    return given, converting


span_rows = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["LOC", "PER"])), max_size=3),
    min_size=1,
    max_size=4,
)


def spans_of(steps: Sequence[tuple[int, int, str]]) -> tuple[list[tuple[int, int, str]], int]:
    """Spans from gaps and lengths, and the number of tokens."""
    spans, end = [], 0
    for gap, length, label in steps:
        spans.append((end + gap, end + gap + length, label))
        end = spans[-1][1]
    return spans, end + 1


@settings(max_examples=30, deadline=None)
@given(rows=span_rows, crf=st.booleans(), seed=st.integers(0, 1000))
def test_a_bioes_head_on_bio_data_has_the_loss_of_bioes_data_and_answers_in_bio(
    rows: list[list[tuple[int, int, str]]], crf: bool, seed: int
) -> None:
    given, converting = twin_heads(crf)
    texts = [spans_of(steps) for steps in rows]
    lengths = [count for _, count in texts]
    outputs = []
    for head, scheme in ((given, "bioes"), (converting, "bio")):
        encoded, batch = encoded_of(lengths, seed)
        targets = numbered(labels_of(scheme), *(tags_of(spans, count, scheme) for spans, count in texts))
        outputs.append(head(encoded, pointing(with_tags(batch, targets))))
    assert outputs[0].loss.item() == outputs[1].loss.item()
    ours, theirs = converting.predictions(outputs[1], batch), given.predictions(outputs[0], batch)
    for one, other in zip(ours, theirs, strict=True):
        assert one["spans"] == other["spans"]
        tags = [token["tag"] for token in one["tokens"]]
        assert set(tags) <= set(labels_of("bio")["tags"])
        assert first_fault(tags, "bio") is None, "even where softmax broke the sequence"


def test_answers_of_a_converting_head_are_numbered_as_the_data_are() -> None:
    _, converting = twin_heads(crf=True)
    encoded, batch = encoded_of([5, 3])
    output = converting(encoded, pointing(batch))
    names = labels_of("bio")["tags"]
    for row, answer in zip(converting.answers(output), converting.predictions(output, batch), strict=True):
        assert [names[number] for number in row[:, 0] if number >= 0] == [token["tag"] for token in answer["tokens"]]


def test_io_data_are_answered_in_io() -> None:
    head = head_of(labels_of("io"), crf=True, scheme="bio")
    encoded, batch = encoded_of([8, 3])
    for answer in head.predictions(head(encoded, pointing(batch)), batch):
        assert {token["tag"] for token in answer["tokens"]} <= {"O", "I-LOC", "I-PER"}


@pytest.mark.parametrize(
    ("scheme", "named"),
    [
        ("none", ["token_accuracy", "unknown_accuracy", "macro_f1"]),
        (
            "bio",
            ["span_f1", "span_precision", "span_recall", "span_macro_f1", "token_accuracy", "unknown_accuracy"],
        ),
    ],
)
def test_metrics_are_those_that_the_scheme_gives(scheme: str, named: list[str]) -> None:
    labels = labels_of(scheme)
    head = head_of(labels)
    assert list(head.metrics) == named
    assert set(head.metrics.values()) == {"larger"}
    encoded, batch = encoded_of()
    scores = head.scores()
    scores.update(head.answers(head(encoded, batch)), np.array([[0, 1, 2, 1], [1, 2, -1, -1], [0, -1, -1, -1]]))
    assert set(named) <= set(scores.compute())
    assert set(HEAD.metrics) >= set(named)


# ---------------------------------------------------------------- answers


@with_and_without_crf
def test_answers_are_tags_and_a_mark_of_unknown_tokens(crf: bool) -> None:
    head = head_of(labels_of("bio"), crf=crf)
    encoded, batch = encoded_of()
    answers = head.answers(head(encoded, batch))
    assert answers.dtype == np.int32
    assert answers.shape == (3, 4, 2)
    mask = batch.mask.numpy()
    assert (answers[~mask] == -1).all()
    assert ((answers[mask][:, 0] >= 0) & (answers[mask][:, 0] < 5)).all()
    assert answers[mask][:, 1].tolist() == (batch.token_ids == UNKNOWN_ID).numpy()[mask].astype(int).tolist()
    assert 0 < answers[mask][:, 1].sum() < mask.sum(), "both kinds must be there"


def test_softmax_answers_are_each_tokens_best_tag() -> None:
    head = head_of(labels_of("bio"))
    encoded, batch = encoded_of()
    output = head(encoded, batch)
    assert (head.answers(output)[..., 0] == output.logits.argmax(dim=2).masked_fill(~batch.mask, -1).numpy()).all()


TEXT = "Zoë  met 👩‍🚀 Bo\tin Cafe\u0301 Rouge ."


@with_and_without_crf
def test_predictions_point_into_the_untouched_text(crf: bool) -> None:
    head = head_of(labels_of("bio"), crf=crf)
    offsets = RegexTokenizer(pattern=r"\S+").spans(TEXT)
    encoded, batch = encoded_of([len(offsets), 1])
    batch.texts, batch.offsets = [TEXT, ""], [offsets, []]
    answer, empty = head.predictions(head(encoded, batch), batch)
    assert empty == {"tokens": [], "spans": []}
    assert [token["text"] for token in answer["tokens"]] == TEXT.split()
    for piece in (*answer["tokens"], *answer["spans"]):
        assert TEXT[piece["start"] : piece["end"]] == piece["text"]
    assert list(answer["tokens"][0]) == ["text", "start", "end", "tag", "probability"]
    assert all(list(span) == ["label", "start", "end", "text"] for span in answer["spans"])


@with_and_without_crf
def test_a_probability_is_that_of_the_tag_at_its_token(crf: bool) -> None:
    labels = labels_of("bio")
    head = head_of(labels, crf=crf)
    encoded, batch = encoded_of()
    output = head(encoded, pointing(batch))
    shares = output.logits.detach().double().softmax(dim=2)
    if crf:
        shares = head.crf.marginals(output.logits, batch.lengths)
    for row, answer in enumerate(head.predictions(output, batch)):
        for place, token in enumerate(answer["tokens"]):
            wanted = shares[row, place, labels["tags"].index(token["tag"])].item()
            assert token["probability"] == pytest.approx(wanted, abs=1e-9)
            assert 0 < token["probability"] <= 1


@pytest.mark.parametrize(("data", "own"), [("bio", "bioes"), ("io", "bioes"), ("io", "bio")])
def test_a_probability_of_a_converting_crf_is_that_of_the_tag_it_names(data: str, own: str) -> None:
    head = head_of(labels_of(data, "PER"), crf=True, scheme=own)
    for seed in range(4):
        encoded, batch = encoded_of([4, 1], seed)
        for answer in head.predictions(head(encoded, pointing(batch)), batch, top_k=1000):
            for place, token in enumerate(answer["tokens"]):
                of_tag = sum(path["probability"] for path in answer["paths"] if path["tags"][place] == token["tag"])
                assert token["probability"] == pytest.approx(of_tag, abs=1e-9)


def test_a_crf_never_answers_a_broken_sequence_and_softmax_spans_are_conllevals() -> None:
    broken = 0
    for seed in range(12):
        encoded, batch = encoded_of([9, 6], seed)
        pointing(batch)
        for crf in (True, False):
            head = head_of(labels_of("bioes"), crf=crf)
            for answer in head.predictions(head(encoded, batch), batch):
                tags = [token["tag"] for token in answer["tokens"]]
                fault = first_fault(tags, "bioes")
                assert not (crf and fault)
                broken += fault is not None
                inside = sum(len(span["text"].split()) for span in answer["spans"])
                assert inside == sum(tag != "O" for tag in tags), "no tag but O is outside all spans"
    assert broken, "softmax must have broken some"


def test_spans_of_tags_say_label_and_place() -> None:
    labels = labels_of("bio")
    head = head_of(labels)
    with torch.no_grad():
        head.output.weight.copy_(torch.eye(5, D))
        head.output.bias.zero_()
    (ids,) = numbered(labels, ["B-PER", "I-PER", "O", "B-LOC"])
    states = torch.zeros(1, 4, D)
    states[0, range(4), ids] = 5.0
    batch = Batch(token_ids=torch.ones(1, 4, dtype=torch.int64), lengths=torch.tensor([4]))
    batch.texts, batch.offsets = ["Ada  Bell\tin Rome"], [[(0, 3), (5, 9), (10, 12), (13, 17)]]
    (answer,) = head.predictions(head(Encoded(states, states[:, 0]), batch), batch)
    assert answer["spans"] == [
        {"label": "PER", "start": 0, "end": 9, "text": "Ada  Bell"},
        {"label": "LOC", "start": 13, "end": 17, "text": "Rome"},
    ]
    assert answer["tokens"][3] == {
        "text": "Rome",
        "start": 13,
        "end": 17,
        "tag": "B-LOC",
        "probability": pytest.approx(np.exp(5) / (np.exp(5) + 4)),
    }


def test_tags_that_are_no_spans_give_none() -> None:
    head = head_of(labels_of("none"), crf=True)
    encoded, batch = encoded_of()
    for answer in head.predictions(head(encoded, pointing(batch)), batch):
        assert answer["spans"] == []
        assert {token["tag"] for token in answer["tokens"]} <= set(PLAIN_TAGS)


# ---------------------------------------------------------------- several paths


@with_and_without_crf
@pytest.mark.parametrize("scheme", ["none", "bio"])
def test_all_paths_of_a_text_have_probability_one_together(crf: bool, scheme: str) -> None:
    labels = labels_of(scheme, "PER")
    head = head_of(labels, crf=crf)
    encoded, batch = encoded_of([3, 1])
    answers = head.predictions(head(encoded, pointing(batch)), batch, top_k=1000)
    for answer, length in zip(answers, (3, 1), strict=True):
        paths = answer["paths"]
        shares = [path["probability"] for path in paths]
        assert sum(shares) == pytest.approx(1, abs=1e-9)
        assert shares == sorted(shares, reverse=True)
        assert len({tuple(path["tags"]) for path in paths}) == len(paths)
        assert all(len(path["tags"]) == length for path in paths)
        if not crf or scheme == "none":
            assert len(paths) == len(labels["tags"]) ** length
        # The tokens' probabilities are sums of those of the paths.
        for place, token in enumerate(answer["tokens"]):
            of_tag = sum(path["probability"] for path in paths if path["tags"][place] == token["tag"])
            assert token["probability"] == pytest.approx(of_tag, abs=1e-9)


@with_and_without_crf
def test_the_first_path_is_the_answer_and_top_k_says_how_many(crf: bool) -> None:
    head = head_of(labels_of("bio"), crf=crf)
    encoded, batch = encoded_of([7, 4, 1])
    output = head(encoded, pointing(batch))
    for answer, plain in zip(head.predictions(output, batch, top_k=3), head.predictions(output, batch), strict=True):
        assert "paths" not in plain
        assert len(answer["paths"]) == 3
        assert answer["paths"][0]["tags"] == [token["tag"] for token in plain["tokens"]]


@with_and_without_crf
@pytest.mark.parametrize(("data", "own"), [("bio", "bioes"), ("io", "bio"), ("bioes", "io")])
def test_paths_of_a_converting_head_are_distinct_and_as_many_as_asked_for(crf: bool, data: str, own: str) -> None:
    head = head_of(labels_of(data, "PER"), crf=crf, scheme=own)
    encoded, batch = encoded_of([5, 2], seed=4)
    for answer in head.predictions(head(encoded, pointing(batch)), batch, top_k=3):
        shares = [path["probability"] for path in answer["paths"]]
        assert len({tuple(path["tags"]) for path in answer["paths"]}) == len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 1e-9


def test_a_text_without_tokens_has_no_paths() -> None:
    head = head_of(labels_of("bio"), crf=True)
    encoded, batch = encoded_of([2, 1])
    batch.texts, batch.offsets = ["a b", " "], [[(0, 1), (2, 3)], []]
    answers = head.predictions(head(encoded, batch), batch, top_k=2)
    assert answers[1] == {"tokens": [], "spans": [], "paths": []}
    assert len(answers[0]["paths"]) == 2


# ---------------------------------------------------------------- sentences


def test_join_moves_places_and_counts_tokens() -> None:
    token = {"text": "Bo", "start": 0, "end": 2, "tag": "B-PER", "probability": 0.5}
    span = {"label": "PER", "start": 0, "end": 2, "text": "Bo"}
    sentence = {"tokens": [token, {**token, "start": 3, "end": 5}], "spans": [span]}
    found = HEAD.join([sentence, {"tokens": [], "spans": []}, sentence], [1, 8, 10])
    assert [(each["start"], each["end"]) for each in found["tokens"]] == [(1, 3), (4, 6), (10, 12), (13, 15)]
    assert [(each["start"], each["end"]) for each in found["spans"]] == [(1, 3), (10, 12)]
    assert found["sentences"] == [0, 2, 2]
    assert sentence["tokens"][0]["start"] == 0, "what is joined stays as it was"


# ---------------------------------------------------------------- whole runs

RECIPE = """
name = "tagger"
seed = 3
[dataset]
type = "conll"
train = "train.conll"
validation = "validation.conll"
test = "test.conll"
[batching]
batch_size = 8
[[embedding]]
type = "learned"
output_dim = 8
[[embedding]]
type = "char_cnn"
output_dim = 6
byte_dim = 4
[encoder]
type = "lstm"
hidden_dim = 8
[head]
type = "tagging"
crf = true
scheme = "bioes"
dropout = 0.2
[training]
epochs = 3
learning_rate = 0.05
device = "cpu"
threads = 1
[baselines]
enabled = false
"""
FIRST, LAST, PLACES = ["Ada", "Bruno", "Cleo", "Dora"], ["Marsh", "Quill", "Reed"], ["Northham", "Port Elm", "Wick"]
FRAMES = ["{} lives in {} .", "In {1} , {0} sings .", "{} walked from {} home .", "nobody knows why .", "{0} , {0} !"]

Sentence = list[tuple[str, str]]


def made_up(count: int, seed: int) -> list[Sentence]:
    """Sentences with people of one or two words and places, as (token, bio tag)."""
    chooser = random.Random(seed)
    sentences: list[Sentence] = []
    for number in range(count):
        person = chooser.choice(FIRST) + (" " + chooser.choice(LAST) if chooser.random() < 0.5 else "")
        kinds = {"{0}": (person, "PER"), "{1}": (chooser.choice(PLACES), "LOC")}
        frame = FRAMES[number % len(FRAMES)].replace("{}", "{0}", 1).replace("{}", "{1}")
        sentence: Sentence = []
        for word in frame.split():
            if word in kinds:
                name, kind = kinds[word]
                sentence += zip(name.split(), [f"B-{kind}", *[f"I-{kind}"] * name.count(" ")], strict=True)
            else:
                sentence.append((word, "O"))
        sentences.append(sentence)
    return sentences


def write_conll(path: Path, sentences: Sequence[Sentence]) -> Path:
    blocks = ("".join(f"{token} {tag}\n" for token, tag in sentence) for sentence in sentences)
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def tokens_of(sentence: Sentence) -> list[str]:
    return [token for token, _ in sentence]


def make_tagger(folder: Path) -> Path:
    """Write the three files and the recipe; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", 60, 1), ("validation", 15, 2), ("test", 20, 3)):
        write_conll(folder / f"{split}.conll", made_up(count, seed))
    recipe = folder / "tagger.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tagger(tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def tagger(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> rnntext.Run:
    return rnntext.run(recipe, out=tmp_path_factory.mktemp("runs") / "tagger")


@pytest.fixture(scope="module")
def model(tagger: rnntext.Run) -> rnntext.TrainedModel:
    return rnntext.load(tagger.path)


def tags_of_answer(answer: Any) -> list[str]:
    return [token["tag"] for token in answer.tokens]


def test_a_loaded_tagger_scores_exactly_as_before_it_was_saved(
    tagger: rnntext.Run, model: rnntext.TrainedModel, recipe: Path
) -> None:
    history = [json.loads(line) for line in (tagger.path / "history.jsonl").read_text().splitlines()]
    in_training = history[tagger.metrics["training"]["best_epoch"] - 1]["validation"]
    assert tagger.metrics["validation"] == in_training
    for split in ("validation", "test"):
        found = model.evaluate(recipe.parent / f"{split}.conll").scores()
        measured = dict(tagger.metrics[split])
        # A mean of other batches, so of other roundings.
        assert found.pop("loss") == pytest.approx(measured.pop("loss"), rel=1e-5)
        assert found == measured
    assert tagger.metrics["test"]["span_f1"] > 0.5, "there must be something to lose"


def test_scores_are_those_of_its_own_answers(tagger: rnntext.Run, model: rnntext.TrainedModel) -> None:
    sentences = made_up(20, 3)
    answers = model([{"tokens": tokens_of(sentence)} for sentence in sentences])
    pairs = [
        (tag, wanted)
        for answer, sentence in zip(answers, sentences, strict=True)
        for tag, (_, wanted) in zip(tags_of_answer(answer), sentence, strict=True)
    ]
    right = sum(tag == wanted for tag, wanted in pairs)
    assert tagger.metrics["test"]["token_accuracy"] == pytest.approx(right / len(pairs))
    given = [{(span["start"], span["end"], span["label"]) for span in answer.spans} for answer in answers]
    true = []
    for sentence in sentences:
        words, start, found = tokens_of(sentence), 0, set()
        for place, (word, tag) in enumerate(sentence):
            if tag.startswith("B-"):
                last = place
                while last + 1 < len(sentence) and sentence[last + 1][1].startswith("I-"):
                    last += 1
                found.add((start, start + len(" ".join(words[place : last + 1])), tag[2:]))
            start += len(word) + 1
        true.append(found)
    hits = sum(len(one & other) for one, other in zip(given, true, strict=True))
    assert tagger.metrics["test"]["span_precision"] == pytest.approx(hits / sum(map(len, given)))
    assert tagger.metrics["test"]["span_recall"] == pytest.approx(hits / sum(map(len, true)))


def test_two_runs_have_identical_weights(tagger: rnntext.Run, recipe: Path, tmp_path: Path) -> None:
    again = rnntext.run(recipe, out=tmp_path / "again")
    for name in ("model.safetensors", "labels.json", "vocabulary.json", "selftest.json"):
        assert sha256(again.path / name) == sha256(tagger.path / name)
    assert again.metrics["test"] == tagger.metrics["test"]


def test_metrics_name_spans_by_type(tagger: rnntext.Run) -> None:
    for name in ("span_f1", "span_precision", "span_recall", "span_macro_f1", "token_accuracy", "unknown_accuracy"):
        assert 0 <= tagger.metrics["validation"].get(name, 0) <= 1
    assert {"span_f1_PER", "span_f1_LOC"} <= set(tagger.metrics["test"])
    assert "macro_f1" not in tagger.metrics["test"]


@pytest.mark.parametrize("crf", [True, False])
def test_a_text_has_one_answer_alone_and_in_any_batch(
    model: rnntext.TrainedModel, recipe: Path, tmp_path: Path, crf: bool
) -> None:
    if not crf:
        overrides = {"head.crf": False, "head.scheme": "data", "training.epochs": 1}
        model = rnntext.load(rnntext.run(recipe, overrides, out=tmp_path / "softmax").path)
    texts: list[Any] = [" ".join(tokens_of(sentence)) for sentence in made_up(25, 7)]
    texts += ["", "Ada", "Ada " * 90, {"tokens": ["Port", "Elm"], "id": 5}]
    together = list(model.pipe(texts, batch_size=64))
    for batch_size in (1, 7):
        for one, other in zip(together, model.pipe(texts, batch_size=batch_size), strict=True):
            assert_same(one.to_dict(), other.to_dict())
    for text, answer in zip(texts, together, strict=True):
        assert_same(model(text).to_dict(), answer.to_dict())
    several = model(texts, top_k=2)
    for text, answer in zip(texts, several, strict=True):
        assert_same(model(text, top_k=2).to_dict(), answer.to_dict())


def assert_same(one: Any, other: Any) -> None:
    """Answers are equal, and their probabilities but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-5)
    else:
        assert one == other


UNTOUCHED = "Ada  Marsh,\tof Wick — «Northham» 👩‍🚀 cafe\u0301!\u00a0 Bo\r"


def test_predictions_on_raw_text_point_into_it(model: rnntext.TrainedModel) -> None:
    answer = model(UNTOUCHED)
    assert answer.text == UNTOUCHED
    assert [token["text"] for token in answer.tokens] == RegexTokenizer().tokens(UNTOUCHED)
    for piece in (*answer.tokens, *answer.spans):
        assert UNTOUCHED[piece["start"] : piece["end"]] == piece["text"]
    assert first_fault(tags_of_answer(answer), "bio") is None
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_given_tokens_are_kept_with_or_without_their_text(model: rnntext.TrainedModel) -> None:
    bare = model({"tokens": ["Ada", "Port Elm", "."]})
    assert bare.text == "Ada Port Elm ."
    assert [token["text"] for token in bare.tokens] == ["Ada", "Port Elm", "."]
    within = model({"text": "Ada,\tPort Elm.", "tokens": ["Ada", "Port Elm", "."]})
    assert [(token["start"], token["end"]) for token in within.tokens] == [(0, 3), (5, 13), (13, 14)]
    assert tags_of_answer(within) == tags_of_answer(bare)
    with pytest.raises(UsageError, match="the token 'Bo' is not in the text"):
        model({"text": "Ada", "tokens": ["Bo"]})


@pytest.mark.parametrize("text", ["", "  \n", {"tokens": []}])
def test_a_text_without_tokens_is_answered_and_counted(tagger: rnntext.Run, text: Any) -> None:
    model = rnntext.load(tagger.path)
    answer = model(text)
    assert (answer.tokens, answer.spans) == ([], [])
    assert model(text, top_k=3).paths == []
    assert model.counts.without_tokens == 2


def test_sentences_are_read_one_by_one_and_joined(model: rnntext.TrainedModel) -> None:
    text = "Ada Marsh sings .  In Wick ,\tnobody knows why !\n\nBruno"
    answer = model(text, sentences=True)
    parts = [model(part) for part in ("Ada Marsh sings .", "In Wick ,\tnobody knows why !", "Bruno")]
    assert answer.sentences == [0, 4, 11]
    assert tags_of_answer(answer) == [tag for part in parts for tag in tags_of_answer(part)]
    for piece in (*answer.tokens, *answer.spans):
        assert text[piece["start"] : piece["end"]] == piece["text"]
    assert [span["text"] for span in answer.spans] == [span["text"] for part in parts for span in part.spans]
    several = model([text, "", text, {"tokens": ["Ada", ".", "Bo"]}], sentences=True)
    assert_same(several[0].to_dict(), several[2].to_dict())
    assert several[0].to_dict().keys() == answer.to_dict().keys()
    assert (several[1].tokens, several[1].sentences) == ([], [0])
    assert several[3].sentences == [0], "tokens that are given are one sentence"
    with pytest.raises(UsageError, match="top_k or sentences, not both"):
        model(text, sentences=True, top_k=2)


def test_sentences_are_cut_by_the_rules_of_the_tokenizers_language(model: rnntext.TrainedModel) -> None:
    text = "Ada kam bzw. ging um 5 p.m. ab . Bruno"
    assert model(text, sentences=True).sentences == [0, 4, 13], "English where the tokenizer has no language"
    tokenizer = replace(model.recipe.tokenizer, options={"language": "de"})
    german = replace(model, recipe=replace(model.recipe, tokenizer=tokenizer))
    assert german(text, sentences=True).sentences == [0, 11, 13]


def test_paths_are_whole_sequences_of_the_data_scheme(model: rnntext.TrainedModel) -> None:
    answer = model("Ada Marsh lives in Wick .", top_k=4)
    assert len(answer.paths) == 4
    assert answer.paths[0]["tags"] == tags_of_answer(answer)
    assert all(first_fault(path["tags"], "bio") is None for path in answer.paths)


# ---------------------------------------------------------------- commands


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in an empty folder; give its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = main(list(arguments))
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


LINES = b"""Ada Marsh sings .
{"tokens": ["In", "Wick"], "id": "second"}

{"text": "Ada", "tokens": ["Bo"]}
{"tokens": ["Ada", 5]}
{broken
\xff\xfe
{"text": "Bruno left."}
"""


def test_predict_answers_each_line_in_its_place(tagger: rnntext.Run, command: Any) -> None:
    status, out, err = command("predict", str(tagger.path), stdin=LINES)
    answers = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert len(answers) == 8
    assert [answer.get("line") for answer in answers] == [None, None, None, 4, 5, 6, 7, None]
    assert list(answers[0]) == ["text", "tokens", "spans"]
    assert answers[1]["id"] == "second"
    assert [token["text"] for token in answers[1]["tokens"]] == ["In", "Wick"]
    assert answers[2] == {"text": "", "tokens": [], "spans": []}
    assert "'Bo' is not in the text" in answers[3]["error"]
    assert "tokens" in answers[4]["error"]
    assert "1 of 4 texts had no tokens" in err
    assert "4 lines could not be read" in err


def test_predict_writes_columns_that_can_be_read_again(tagger: rnntext.Run, command: Any, tmp_path: Path) -> None:
    status, out, err = command("predict", str(tagger.path), "--format", "conll", stdin=LINES)
    assert status == 1
    assert "line 4: the token 'Bo' is not in the text" in err
    (tmp_path / "out.conll").write_text(out.replace("# id = second\n", ""), encoding="utf-8")
    reader = registry.get("datasets", "conll")(train=str(tmp_path / "out.conll"), separator="tab")
    found = [example.tokens for example in reader.read("train")]
    assert found == [("Ada", "Marsh", "sings", "."), ("In", "Wick"), ("Bruno", "left", ".")]
    assert "# id = second\nIn\t" in out


def test_columns_have_a_blank_line_between_sentences(tagger: rnntext.Run, command: Any) -> None:
    text = "Ada sings . In Wick , nobody ."
    status, out, _ = command("predict", str(tagger.path), "--format", "conll", "--sentences", "--text", text)
    assert status == 0
    blocks = [[line.split("\t")[0] for line in block.splitlines()] for block in out.strip().split("\n\n")]
    assert blocks == [["Ada", "sings", "."], ["In", "Wick", ",", "nobody", "."]]


@pytest.mark.parametrize("token", ["a\tb", "a\nb", "a\rb", " "])
def test_columns_stay_columns_whatever_a_token_holds(tagger: rnntext.Run, command: Any, token: str) -> None:
    line = json.dumps({"tokens": ["Ada", token, "."], "id": "x\ny"}).encode()
    status, out, err = command("predict", str(tagger.path), "--format", "conll", stdin=line + b"\nBo .\n")
    rows = [each.split("\t") for each in out.split("\n")]
    shown = "_" if token == " " else "a b"
    assert [row[0] for row in rows] == ["# id = x y", "Ada", shown, ".", "", "Bo", ".", "", ""]
    assert [len(row) for row in rows] == [1, 2, 2, 2, 1, 2, 2, 1, 1]
    assert (status, err) == (0, "")


def test_sentences_of_the_command_are_those_of_the_model(
    tagger: rnntext.Run, model: rnntext.TrainedModel, command: Any
) -> None:
    text = "Ada sings. Broken \ud83d half. Bo."
    line = json.dumps({"text": text}).encode() + b"\n"
    status, out, _ = command("predict", str(tagger.path), "--sentences", stdin=line)
    assert status == 0
    (answer,) = map(json.loads, out.splitlines())
    assert answer == json.loads(json.dumps(model(text, sentences=True).to_dict()))
    assert len(answer["sentences"]) == 3


def test_options_for_tags_are_refused_where_there_are_none(tiny_run: rnntext.Run, command: Any) -> None:
    for option in (["--sentences"], ["--format", "conll"]):
        status, out, err = command("predict", str(tiny_run.path), *option, "--text", "a lovely lamp")
        assert (status, out) == (2, "")
        assert "Traceback" not in err
    assert "leave --format out" in err
    status, _, err = command("predict", str(tiny_run.path), "--sentences", "--text", "a lovely lamp")
    assert "head 'classification' gives one answer a text" in err


def test_a_classifier_takes_tokens_that_do_not_stand_in_the_text(tiny_run: rnntext.Run, command: Any) -> None:
    """Tokens may be lower-cased or mended: a head that points at none has no use for their places."""
    line = b'{"text": "LOVELY lamp", "tokens": ["lovely", "lamp"]}\n'
    status, out, _ = command("predict", str(tiny_run.path), stdin=line)
    assert status == 0
    assert "label" in json.loads(out)


def test_evaluate_prints_the_scores_of_the_run(tagger: rnntext.Run, recipe: Path, command: Any) -> None:
    test = str(recipe.parent / "test.conll")
    status, out, _ = command("evaluate", str(tagger.path), test, "--json")
    scores = json.loads(out)
    assert status == 0
    assert scores["span_f1"] == tagger.metrics["test"]["span_f1"]
    assert scores["token_accuracy"] == tagger.metrics["test"]["token_accuracy"]
    status, out, _ = command("evaluate", str(tagger.path), test)
    assert status == 0
    assert f"{scores['span_f1']:.4f}" in out


def test_evaluate_names_file_and_line_of_a_tag_that_the_model_does_not_know(
    tagger: rnntext.Run, command: Any, tmp_path: Path
) -> None:
    file = write_conll(tmp_path / "other.conll", [[("Ada", "B-PER")], [("rain", "O"), ("Ltd", "B-ORG")]])
    status, _, err = command("evaluate", str(tagger.path), str(file))
    assert status == 1
    assert f"{file}:3: the tag 'B-ORG' of token 2 of the text, 'Ltd', does not occur in the training split" in err


# ---------------------------------------------------------------- data of other shapes


def small(epochs: int = 1, **overrides: Any) -> dict[str, Any]:
    return {"training.epochs": epochs, **{key.replace("__", "."): value for key, value in overrides.items()}}


def test_a_tag_of_validation_that_training_has_not_is_named_with_file_and_line(tmp_path: Path) -> None:
    recipe = make_tagger(tmp_path)
    sentences = [*made_up(3, 2), [("rain", "O"), ("Acme", "B-ORG")]]
    write_conll(tmp_path / "validation.conll", sentences)
    line = sum(len(sentence) + 1 for sentence in sentences[:3]) + 1
    with pytest.raises(
        DataError, match=r"the tag 'B-ORG' of token 2 of the text, 'Acme', does.*Tags there: O, B-LOC"
    ) as caught:
        rnntext.run(recipe, out=tmp_path / "run")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "validation.conll"), line)
    assert not (tmp_path / "run").exists()


def test_head_scheme_on_tags_that_are_no_spans_is_an_error_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"needs tags that are parts of spans; state their dataset.scheme"):
        rnntext.run(make_tagger(tmp_path), {"dataset.scheme": "none"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=r'head.scheme = "bioes" is for spans'):
        head_of({"tags": ["DET", "NOUN"], "counts": {"DET": 1, "NOUN": 1}, "scheme": "none"}, scheme="bioes")


def test_a_metric_that_spans_do_not_give_is_refused_in_words(tmp_path: Path) -> None:
    overrides = {"training.select_by": "macro_f1", "training.epochs": 1}
    with pytest.raises(RnntextError, match=r"no macro_f1; set training.select_by to one of: span_f1"):
        rnntext.run(make_tagger(tmp_path), overrides, out=tmp_path / "run")


@pytest.mark.parametrize("scheme", ["io", "bio", "bioes", "biluo"])
@pytest.mark.parametrize("crf", [True, False])
def test_data_of_every_scheme_are_learnt_and_answered_in_it(tmp_path: Path, scheme: str, crf: bool) -> None:
    recipe = make_tagger(tmp_path)
    for split in ("train", "validation", "test"):
        path = tmp_path / f"{split}.conll"
        rewritten = []
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            rows = [line.split() for line in block.splitlines()]
            labels = labels_of("bio")
            spans = head_of(labels).data_tags.spans(numbered(labels, [tag for _, tag in rows])[0])
            tags = tags_of(spans, len(rows), scheme)  # type: ignore[arg-type]
            rewritten.append([(token, tag) for (token, _), tag in zip(rows, tags, strict=True)])
        write_conll(path, rewritten)
    overrides = small(dataset__scheme=scheme, head__crf=crf)
    run = rnntext.run(recipe, overrides, out=tmp_path / "run")
    model = rnntext.load(run.path)
    answers = model([" ".join(tokens_of(sentence)) for sentence in made_up(8, 5)])
    assert {tag for answer in answers for tag in tags_of_answer(answer)} <= set(all_tags(["LOC", "PER"], scheme))
    assert model.evaluate(tmp_path / "test.conll").scores()["span_f1"] == run.metrics["test"]["span_f1"]


def test_parts_of_speech_from_conllu(tmp_path: Path) -> None:
    kinds = {"Ada": "PROPN", "Bo": "PROPN", "sings": "VERB", "left": "VERB", ".": "PUNCT", "loudly": "ADV"}
    chooser = random.Random(4)
    blocks = []
    for _ in range(30):
        words = [
            chooser.choice(["Ada", "Bo"]),
            chooser.choice(["sings", "left"]),
            *chooser.choice([["loudly"], []]),
            ".",
        ]
        rows = [f"{place}\t{word}\t_\t{kinds[word]}" + "\t_" * 6 for place, word in enumerate(words, 1)]
        blocks.append("\n".join([f"# text = {' '.join(words[:-1])}.", *rows, "", ""]))
    for split, part in (("train", blocks[:20]), ("validation", blocks[20:])):
        (tmp_path / f"{split}.conllu").write_text("".join(part), encoding="utf-8")
    text = RECIPE.replace('"conll"', '"conllu"').replace(".conll", ".conllu").replace('scheme = "bioes"\n', "")
    recipe = tmp_path / "pos.toml"
    recipe.write_text(text.replace('test = "test.conllu"\n', ""), encoding="utf-8")
    run = rnntext.run(recipe, {"baselines.enabled": True, "dataset.group_fields": []}, out=tmp_path / "run")
    assert run.metrics["validation"]["token_accuracy"] > 0.9
    assert "macro_f1" in run.metrics["validation"]
    assert not any(name.startswith("span") for name in run.metrics["validation"])
    assert run.metrics["baselines"]["most_frequent"]["token_accuracy"] == 1
    model = rnntext.load(run.path)
    assert (
        model.evaluate(tmp_path / "validation.conllu").scores()["token_accuracy"]
        == (run.metrics["validation"]["token_accuracy"])
    )
    answer = model("Ada sings loudly.")
    assert [token["text"] for token in answer.tokens] == ["Ada", "sings", "loudly", "."]
    assert answer.spans == []


def spans_rows(count: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for sentence in made_up(count, seed):
        labels = labels_of("bio")
        words, text, starts = tokens_of(sentence), "", []
        for word in words:
            text += " " * bool(text and word not in ".,!")
            starts.append(len(text))
            text += word
        ids = numbered(labels, [tag for _, tag in sentence])[0]
        spans = [
            {"start": starts[first], "end": starts[last - 1] + len(words[last - 1]), "label": label}
            for first, last, label in head_of(labels).data_tags.spans(ids)
        ]
        rows.append({"text": text, "spans": spans})
    return rows


def spans_recipe(folder: Path) -> Path:
    text = RECIPE.replace('type = "conll"', 'type = "jsonl"\nspans_field = "spans"').replace(".conll", ".jsonl")
    recipe = folder / "spans.toml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


def test_spans_in_characters_misaligned_ones_counted_listed_and_widened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = spans_rows(60, 1)
    train[2] = {"text": "Near Northham, Bo left.", "spans": [{"start": 5, "end": 10, "label": "LOC"}]}
    train[4] = {"text": "Oldwick rests", "spans": [{"start": 3, "end": 7, "label": "LOC"}]}
    write_jsonl(tmp_path / "train.jsonl", [*train, {"text": "  ", "spans": []}])
    write_jsonl(tmp_path / "validation.jsonl", spans_rows(15, 2))
    test = [*spans_rows(20, 3), {"text": "Eastwick.", "spans": [{"start": 4, "end": 8, "label": "LOC"}]}]
    write_jsonl(tmp_path / "test.jsonl", test)
    with caplog.at_level("INFO", logger="rnntext"):
        run = rnntext.run(spans_recipe(tmp_path), out=tmp_path / "run")
    assert "train: 2 spans do not begin and end with a token" in caplog.text
    assert "line 3: 'North' read as 'Northham'; line 5: 'wick' read as 'Oldwick'" in caplog.text
    assert "test: 1 span does not begin and end with a token" in caplog.text
    notes = run.metrics["data"]["notes"]
    assert "train: 2 spans do not begin and end with a token" in notes
    assert not any("Northham" in note for note in notes), "a model may be private"
    assert not any(note.startswith("validation") for note in notes)
    assert json.loads((run.path / "labels.json").read_text())["tags"] == all_tags(["LOC", "PER"], "bio")
    assert run.metrics["data"]["texts_without_tokens"]["train"] == 1
    model = rnntext.load(run.path)
    scores = model.evaluate(tmp_path / "test.jsonl").scores()
    assert model.counts.spans_misaligned == 1
    for name in ("span_f1", "span_precision", "span_recall", "token_accuracy"):
        assert scores[name] == run.metrics["test"][name]
    assert scores["span_f1"] > 0.3


def test_a_span_of_white_space_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    rows = spans_rows(12, 1)
    rows[6] = {"text": "Ada  left.", "spans": [{"start": 3, "end": 5, "label": "PER"}]}
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", rows if split == "validation" else spans_rows(12, 1))
    with pytest.raises(DataError, match="holds no token") as caught:
        rnntext.run(spans_recipe(tmp_path), out=tmp_path / "run")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "validation.jsonl"), 7)


def test_a_sentence_of_five_thousand_tokens_is_trained_on_and_answered_whole(tmp_path: Path) -> None:
    recipe = make_tagger(tmp_path)
    long = list(itertools.islice(itertools.cycle(itertools.chain(*made_up(40, 9))), 5000))
    write_conll(tmp_path / "train.conll", [*made_up(20, 1), long])
    run = rnntext.run(recipe, {"training.epochs": 1, "batching.max_tokens": 100}, out=tmp_path / "run")
    assert run.metrics["data"]["texts_cut"]["train"] == 0, "tagging never cuts"
    model = rnntext.load(run.path)
    answer = model({"tokens": tokens_of(long)})
    assert len(answer.tokens) == 5000
    assert model.counts.cut == 0
    assert first_fault(tags_of_answer(answer), "bio") is None
    text = " ".join(tokens_of(long))
    assert len(model(text, sentences=True).sentences) > 100


def drawn(folder: Path, sentences: Sequence[Sentence], scheme: str) -> Iterator[rnntext.Run]:
    """Runs with several seeds whose validation split is drawn from the training file."""
    folder.mkdir()
    write_conll(folder / "train.conll", sentences)
    text = RECIPE.replace('validation = "validation.conll"\ntest = "test.conll"\n', f'scheme = "{scheme}"\n')
    recipe = folder / "drawn.toml"
    recipe.write_text(text.replace('scheme = "bioes"\n', ""), encoding="utf-8")
    for seed in range(3):
        overrides = {"seed": seed, "dataset.validation_fraction": 0.4, "training.epochs": 1}
        yield rnntext.run(recipe, overrides, out=folder / f"run{seed}")


@pytest.mark.parametrize("scheme", ["none", "bio"])
def test_a_drawn_validation_split_has_no_tag_that_training_has_not(tmp_path: Path, scheme: str) -> None:
    """Rare tags stand in one sentence alone: whichever is drawn, what is tested must be taught."""
    sentences = made_up(10, 1)
    sentences += [[("rain", "O"), (f"word{number}", f"B-RARE{number}")] for number in range(12)]
    for run in drawn(tmp_path / scheme, sentences, scheme):
        assert run.metrics["data"]["texts"]["validation"] > 0


def test_a_tagger_trains_in_bfloat16(recipe: Path, tmp_path: Path) -> None:
    run = rnntext.run(recipe, small(training__precision="bfloat16"), out=tmp_path / "run")
    model = rnntext.load(run.path)
    assert len(model("Ada lives in Wick .", top_k=2).paths) == 2


# ---------------------------------------------------------------- what is told beside the answers


def test_columns_with_several_sequences_are_refused(tagger: rnntext.Run, command: Any) -> None:
    status, _, err = command("predict", str(tagger.path), "--text", "Ada sang", "--top-k", "2", "--format", "conll")
    assert status == 2
    assert "leave out --top-k" in err


def test_texts_are_counted_as_texts_where_sentences_are_read(tagger: rnntext.Run) -> None:
    loaded = rnntext.load(tagger.path)
    loaded(["Ada sang. Then she left.", ""], sentences=True)
    assert (loaded.counts.texts, loaded.counts.without_tokens) == (2, 1)


def test_evaluate_tells_what_was_repaired(tmp_path: Path, command: Any) -> None:
    recipe = make_tagger(tmp_path / "data")
    run = rnntext.run(recipe, small(dataset__repair=True), out=tmp_path / "run")
    file = write_conll(tmp_path / "broken.conll", [[("Ada", "I-PER"), ("sang", "O")]])
    status, out, err = command("evaluate", str(run.path), str(file), "--json")
    assert status == 0
    assert "repaired in broken.conll: 1" in err
    assert "span_f1" in json.loads(out)


def test_evaluate_tells_of_spans_that_were_widened(tmp_path: Path, command: Any) -> None:
    rows = [{"text": f"Ada-Mae saw Town{n}.", "spans": [{"start": 0, "end": 7, "label": "PER"}]} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "half.jsonl").write_text(
        json.dumps({"text": "Ada-Mae left.", "spans": [{"start": 0, "end": 2, "label": "PER"}]}) + "\n"
    )
    (tmp_path / "r.toml").write_text(
        '[dataset]\ntype = "jsonl"\ntrain = "rows.jsonl"\nspans_field = "spans"\n[head]\ntype = "tagging"\n'
        "[encoder]\nhidden_dim = 8\n[training]\nepochs = 1\n[baselines]\nenabled = false\n"
    )
    run = rnntext.run(tmp_path / "r.toml", out=tmp_path / "run")
    status, _, err = command("evaluate", str(run.path), str(tmp_path / "half.jsonl"))
    assert status == 0
    assert "spans that do not begin and end with a token: 1" in err


def test_a_metric_that_the_labels_do_not_give_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    recipe = make_tagger(tmp_path)
    told: list[str] = []

    class Heard(LineReporter):
        def start_epoch(self, epoch: int, epochs: int, steps: int) -> None:
            told.append("an epoch")

    settings = {"dataset.scheme": "none", "head.scheme": "data", "training.select_by": "span_f1"}
    with pytest.raises(
        TrainingError, match=r"these data give no span_f1; set training.select_by to one of: token_acc"
    ):
        rnntext.run(recipe, settings, out=tmp_path / "run", progress=Heard())
    assert not told
