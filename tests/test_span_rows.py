"""Spans in JSON lines: what a row may say, and what each kind of bad row is told."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import options
from rnntext.datasets.jsonl import JsonLinesDataset
from rnntext.errors import DataError

TEXT = "Ada Lee left 汤 in Oslo"
ADA = {"start": 0, "end": 7, "label": "PER"}
OSLO = {"start": 18, "end": 22, "label": "LOC"}


@pytest.fixture
def write(tmp_path):
    def write_rows(*rows):
        path = tmp_path / "a.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return str(path)

    return write_rows


def read(path, **more):
    return list(JsonLinesDataset(train=path, **{"spans_field": "spans", **more}).read("train"))


def told(path, line, *words, **more):
    with pytest.raises(DataError) as caught:
        read(path, **more)
    assert (caught.value.file, caught.value.line) == (path, line), str(caught.value)
    for word in words:
        assert word in caught.value.message, f"{word!r} is not in: {caught.value.message}"


def test_spans_take_the_place_of_the_label(write):
    path = write({"text": TEXT, "spans": [OSLO, {**ADA, "id": 7}], "label": "not read"}, {"text": "", "spans": []})
    first, second = read(path)
    assert first.spans == ((0, 7, "PER"), (18, 22, "LOC"))
    assert [first.text[start:end] for start, end, _ in first.spans] == ["Ada Lee", "Oslo"]
    assert (first.text, first.label, first.tokens, first.scheme, first.line) == (TEXT, None, None, None, 1)
    assert (second.text, second.spans, second.line) == ("", (), 2)


def test_rows_without_the_option_have_labels_and_no_spans(write):
    [example] = read(write({"text": TEXT, "label": "x", "spans": 3}), spans_field=None)
    assert (example.label, example.spans) == ("x", None)


def test_other_names_and_group_fields(write):
    path = write({"t": TEXT, "ents": [ADA], "genre": 4})
    [example] = read(path, text_field="t", spans_field="ents", group_fields=["genre"])
    assert example.spans == ((0, 7, "PER"),)
    assert dict(example.fields) == {"genre": "4"}


def test_text_field_may_have_the_default_name_of_the_label(write):
    [example] = read(write({"label": TEXT, "spans": [ADA]}), text_field="label")
    assert example.text == TEXT


@pytest.mark.parametrize(
    ("given_options", "key", "reason"),
    [
        ({"multi_label": True}, "spans_field", "multi_label"),
        ({"text_field": "spans"}, "spans_field", "its own spans"),
        ({"group_fields": ["spans"]}, "group_fields", "holds the spans"),
        ({"group_fields": ["a", "a"]}, "group_fields", "twice"),
        ({"text_field": "label"}, None, ""),
        ({"label_field": "text"}, None, ""),
        ({"group_fields": ["label"]}, None, ""),
    ],
)
def test_options_that_cannot_work_together(given_options, key, reason):
    known = options.options_of(JsonLinesDataset)
    values, faults = options.validate(known, {"train": "a", "spans_field": "spans", **given_options}, {})
    assert not faults
    found = list(JsonLinesDataset.check_options(values))
    assert [fault_key for fault_key, _ in found] == ([key] if key else [])
    assert all(reason in text for _, text in found)


def test_empty_name_is_refused():
    _, faults = options.validate(options.options_of(JsonLinesDataset), {"train": "a", "spans_field": ""}, {})
    assert [fault.key for fault in faults] == ["spans_field"]


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        (None, ["the spans are None", "[] for none"]),
        ({"start": 0}, ["write a list of objects"]),
        ([[0, 3, "PER"]], ["[0, 3, 'PER'] among the spans", "write a list of objects"]),
        ([{"start": 0, "end": 3}], ["has no 'label'"]),
        ([{"end": 3, "label": "A"}], ["has no 'start'"]),
        ([{**ADA, "start": "0"}], ["'start' is '0'", "write an integer"]),
        ([{**ADA, "end": 7.0}], ["'end' is 7.0", "write an integer"]),
        ([{**ADA, "start": False}], ["'start' is False", "write an integer"]),
        ([{**ADA, "start": -1}], ["-1 to 7 is no span", "has 22 characters"]),
        ([{**ADA, "end": 23}], ["0 to 23 is no span", "has 22 characters"]),
        ([{**ADA, "end": 0}], ["0 to 0 is no span"]),
        ([{**ADA, "start": 8}], ["8 to 7 is no span"]),
        ([{**ADA, "label": None}], ["the label is None"]),
        ([{**ADA, "label": " "}], ["the label is ' '"]),
        ([ADA, {**OSLO, "start": 6}], ["PER 0 to 7 ('Ada Lee')", "LOC 6 to 22", "share characters"]),
        ([ADA, ADA], ["share characters"]),
        ([OSLO, ADA, {"start": 2, "end": 3, "label": "X"}], ["X 2 to 3", "share characters"]),
    ],
)
def test_spans_that_cannot_be_used(write, spans, words):
    told(write({"text": TEXT, "spans": [OSLO]}, "", {"text": TEXT, "spans": spans}), 3, *words)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": TEXT, "span": []}, ["no key 'spans'", "text, span", "Did you mean 'span'?", "dataset.spans_field"]),
        ({"spans": []}, ["no column 'text'", "dataset.text_field"]),
        ({"text": None, "spans": []}, ["is null"]),
        ('{"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "\\ud83d"}]}', ["one half of a character"]),
        ('{"text": "Ada", "spans": [{"start": 0, "start": 1, "end": 3, "label": "A"}]}', ["'start' is there twice"]),
    ],
)
def test_rows_that_cannot_be_used(write, row, words):
    told(write(row), 1, *words)


def test_touching_spans_are_fine(write):
    spans = [{"start": 0, "end": 3, "label": "A"}, {"start": 3, "end": 4, "label": "A"}]
    assert read(write({"text": TEXT, "spans": spans}))[0].spans == ((0, 3, "A"), (3, 4, "A"))


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    labels=st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=6, max_size=6),
    plain=st.booleans(),
    data=st.data(),
)
def test_spans_come_back_in_order(tmp_path_factory, text, labels, plain, data):
    """Offsets are those of characters, whether JSON writes a character itself or as two escapes."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    spans = [(start, end, label) for start, end, label in zip(cuts, cuts[1:], labels, strict=False)]
    objects = [
        {"start": start, "end": end, "label": label} for start, end, label in data.draw(st.permutations(spans))
    ]
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_bytes(json.dumps({"text": text, "spans": objects}, ensure_ascii=plain).encode())
    [example] = read(str(path))
    assert example.spans == tuple(spans)
    assert example.text == text
