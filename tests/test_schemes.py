"""Tag schemes: what spans a sequence of tags has, valid or broken, and how one scheme is written in another."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.errors import DataError, UsageError
from rnntext.schemes import PREFIXES, Conversion, TagSet, all_tags, first_fault, repaired, split_tag, tags_of

SCHEMES = list(PREFIXES)
TYPES = ["LOC", "PER", "B-x"]  # a type may hold a hyphen and look like a prefix
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


@st.composite
def span_lists(draw, part_neighbours=True):
    """Spans in order that do not overlap, and the number of tokens; ``part_neighbours`` allows touching twins."""
    spans, end = [], draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 4))):
        start = end + draw(st.integers(0, 2))
        label = draw(st.sampled_from(TYPES))
        if not part_neighbours and spans and spans[-1][1:] == (start, label):
            start += 1
        end = start + draw(st.integers(1, 4))
        spans.append((start, end, label))
    return spans, end + draw(st.integers(0, 2))


def any_tags(scheme, min_size=0):
    return st.lists(st.sampled_from(all_tags(TYPES, scheme)), min_size=min_size, max_size=12)


@cache
def full_set(scheme):
    return TagSet(all_tags(TYPES, scheme), scheme)


def spans_in(tags, scheme):
    tag_set = full_set(scheme)
    return tag_set.spans([tag_set.ids[tag] for tag in tags])


def conlleval(tags):
    """The spans as the CoNLL script walks along: it looks at the tag and type before, and at those that are here."""
    spans, start = [], 0
    last_tag, last_type = "O", ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, label = tag.partition("-")
        prefix = {"L": "E", "U": "S"}.get(prefix, prefix)
        ends = (
            (last_tag, prefix) in {("B", "B"), ("B", "S"), ("B", "O"), ("I", "B"), ("I", "S"), ("I", "O")}
            or last_tag in ("E", "S")
            or (last_tag != "O" and last_type != label)
        )
        begins = (
            prefix in ("B", "S")
            or (last_tag, prefix) in {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I"), ("O", "E"), ("O", "I")}
            or (prefix != "O" and last_type != label)
        )
        if ends:
            spans.append((start, position, last_type))
        if begins:
            start = position
        last_tag, last_type = prefix, label
    return spans


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("io", "I-PER I-PER O I-LOC O"),
        ("bio", "B-PER I-PER O B-LOC O"),
        ("bioes", "B-PER E-PER O S-LOC O"),
        ("biluo", "B-PER L-PER O U-LOC O"),
    ],
)
def test_tags_of_two_spans(scheme, tags):
    assert tags_of([(0, 2, "PER"), (3, 4, "LOC")], 5, scheme) == tags.split()


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_spans_come_back_from_their_tags(scheme, data):
    spans, num_tokens = data.draw(span_lists(part_neighbours=scheme != "io"))
    tags = tags_of(spans, num_tokens, scheme)
    assert len(tags) == num_tokens
    assert spans_in(tags, scheme) == spans
    assert first_fault(tags, scheme) is None


def test_io_cannot_part_neighbours():
    assert spans_in(tags_of([(0, 2, "PER"), (2, 3, "PER")], 3, "io"), "io") == [(0, 3, "PER")]


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_spans_of_any_tags_are_those_of_the_conll_script(scheme, data):
    tags = data.draw(any_tags(scheme))
    assert spans_in(tags, scheme) == conlleval(tags)


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_begins_and_ends_are_those_of_the_conll_script(scheme, data):
    tags = data.draw(any_tags(scheme))
    tag_set = full_set(scheme)
    padded = [len(tag_set), *(tag_set.ids[tag] for tag in tags), len(tag_set)]
    spans = conlleval(tags)
    begins = [bool(tag_set.begins[pair]) for pair in pairwise(padded)]
    ends = [bool(tag_set.ends[pair]) for pair in pairwise(padded)]
    assert [place for place, begun in enumerate(begins) if begun] == [start for start, _, _ in spans]
    assert [place for place, ended in enumerate(ends) if ended] == [end for _, end, _ in spans]


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_places_of_spans_count_through_all_texts(scheme, data):
    texts = data.draw(st.lists(any_tags(scheme), max_size=4))
    tag_set, width = full_set(scheme), max(map(len, texts), default=0)
    tag_ids = np.full((len(texts), width), -1, dtype=np.int64)
    for row, tags in zip(tag_ids, texts, strict=True):
        row[: len(tags)] = [tag_set.ids[tag] for tag in tags]
    starts, ends, types = tag_set.places_of(tag_ids)
    found = [
        (start, end, tag_set.types[place])
        for start, end, place in zip(starts.tolist(), ends.tolist(), types.tolist(), strict=True)
    ]
    expected = [conlleval(tags) for tags in texts]
    assert tag_set.spans_of(tag_ids) == expected
    step = width + 1
    assert found == [
        (row * step + start, row * step + end, label)
        for row, spans in enumerate(expected)
        for start, end, label in spans
    ]


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_allowed_moves_are_those_without_a_fault(scheme, data):
    tags = data.draw(any_tags(scheme))
    tag_set = full_set(scheme)
    padded = [len(tag_set), *(tag_set.ids[tag] for tag in tags), len(tag_set)]
    refused = [place for place, pair in enumerate(pairwise(padded)) if not tag_set.allowed[pair]]
    fault = first_fault(tags, scheme)
    assert (fault is None) == (not refused)
    if fault:
        position, message = fault
        assert position in (refused[0] - 1, refused[0])  # either of the two may be the wrong one
        assert tags[position] in message


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_move_is_allowed_if_some_spans_are_written_so(scheme, data):
    """The other way round: only tags of spans are without a fault (of io, whose every sequence is, too)."""
    tags = data.draw(any_tags(scheme))
    if first_fault(tags, scheme) is None:
        assert tags_of(conlleval(tags), len(tags), scheme) == tags


@pytest.mark.parametrize(
    ("scheme", "tags", "position", "words"),
    [
        ("bio", "O I-PER", 1, "I-PER stands after O"),
        ("bio", "I-PER", 0, "at the start of a sentence"),
        ("bio", "B-PER I-LOC", 1, "begun with B-LOC"),
        ("bioes", "B-PER O", 0, "before O, and no E-PER"),
        ("biluo", "O B-PER I-PER", 2, "end of a sentence, and no L-PER"),
        ("bioes", "S-PER E-PER", 1, "after S-PER"),
        ("biluo", "B-PER U-PER", 0, "before U-PER"),
    ],
)
def test_first_fault_says_which_tag_and_why(scheme, tags, position, words):
    found = first_fault(tags.split(), scheme)
    assert found is not None
    assert found[0] == position
    assert words in found[1]


@pytest.mark.parametrize("tags", [["X", "Y"], []])
def test_tags_that_are_no_spans_have_no_faults_and_no_spans(tags):
    assert first_fault(tags, "none") is None
    tag_set = TagSet(["X", "Y", "B-PER"], "none")
    assert tag_set.spans([0, 1, 2]) == []
    assert tag_set.types == []
    assert tag_set.allowed.all()
    assert not tag_set.begins.any()
    assert not tag_set.ends.any()


@every_scheme
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_repaired_tags_have_no_fault_and_the_same_spans(scheme, data):
    tags = data.draw(any_tags(scheme, min_size=1))
    mended = repaired(tags, scheme)
    assert first_fault(mended, scheme) is None
    assert conlleval(mended) == conlleval(tags)
    if first_fault(tags, scheme) is None:
        assert mended == tags


@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SCHEMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_conversion_keeps_the_spans(source, target, data):
    texts = data.draw(st.lists(any_tags(source, min_size=1), min_size=1, max_size=4))
    if target == "io":  # cannot part neighbours of one type
        spans = [conlleval(tags) for tags in texts]
        kept = [all(a[1:] != (b[0], b[2]) for a, b in pairwise(each)) for each in spans]
        texts = [tags for tags, keep in zip(texts, kept, strict=True) if keep] or [["O"]]
    one, other = full_set(source), full_set(target)
    width = max(map(len, texts)) + 1  # at least one column of padding
    given_ids = np.full((len(texts), width), -1, dtype=np.int64)
    for row, tags in zip(given_ids, texts, strict=True):
        row[: len(tags)] = [one.ids[tag] for tag in tags]
    before = given_ids.copy()
    converted = Conversion(one, other)(given_ids)
    assert (given_ids == before).all()
    assert converted.dtype == np.int64
    assert ((converted == -1) == (given_ids == -1)).all()
    for row, tags in zip(converted, texts, strict=True):
        written = [other.tags[number] for number in row[: len(tags)]]
        assert written == tags_of(conlleval(tags), len(tags), target)


def test_conversion_of_tags_that_are_no_spans_renumbers_them():
    one, other = TagSet(["X", "Y"], "none"), TagSet(["Z", "Y", "X"], "none")
    assert Conversion(one, other)(np.array([[0, 1, -1]])).tolist() == [[2, 1, -1]]


@pytest.mark.parametrize(("source", "target"), [("none", "bio"), ("bioes", "none")])
def test_conversion_between_spans_and_none_is_refused(source, target):
    with pytest.raises(UsageError, match="cannot be written"):
        Conversion(TagSet(["O"], source), TagSet(["O"], target))


@pytest.mark.parametrize(
    ("tag", "scheme", "words"),
    [
        ("S-PER", "bio", 'one of "bioes"'),
        ("U-PER", "bioes", 'one of "biluo"'),
        ("B-PER", "io", 'one of "bio"'),
        ("NOUN", "bio", 'scheme = "none"'),
        ("B-", "bio", "B-TYPE, I-TYPE or O"),
        ("B", "bio", "none of scheme"),
        ("-PER", "bio", "none of scheme"),
        ("BI-PER", "bio", "none of scheme"),
        ("o", "bio", "none of scheme"),
    ],
)
def test_tag_of_another_scheme(tag, scheme, words):
    for call in (split_tag, lambda tag, scheme: first_fault([tag], scheme)):
        with pytest.raises(DataError) as caught:
            call(tag, scheme)
        assert words in caught.value.message


def test_letters_are_read_as_those_of_bioes():
    assert [split_tag(tag, "biluo") for tag in ("U-A-b", "L-A", "O")] == [("S", "A-b"), ("E", "A"), ("O", "")]
    assert split_tag("B-PER", "none") == ("", "B-PER")


def test_a_tag_set_of_some_tags_knows_their_types():
    tag_set = TagSet(["I-PER", "O", "B-LOC"], "bio")
    assert len(tag_set) == 3
    assert tag_set.types == ["LOC", "PER"]
    assert tag_set.type_ids.tolist() == [1, -1, 0]
    assert tag_set.spans(np.array([0, 0, 2, 1, 0])) == [(0, 2, "PER"), (2, 3, "LOC"), (4, 5, "PER")]
