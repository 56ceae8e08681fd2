"""Where tokens stand in a text, and what spans in characters mean to its tokens."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.aligning import LISTED, Misaligned, joined, locate, with_tags
from rnntext.contracts import Example, Tokenizer
from rnntext.errors import DataError, UsageError
from rnntext.schemes import TagSet, first_fault
from rnntext.tokenizers.character import CharacterTokenizer
from rnntext.tokenizers.regex import RegexTokenizer
from rnntext.tokenizers.whitespace import WhitespaceTokenizer

TOKENIZERS: dict[str, Tokenizer] = {
    "regex": RegexTokenizer(),
    "whitespace": WhitespaceTokenizer(),
    "character": CharacterTokenizer(),
}
LETTERS = st.sampled_from("aB.é 👩‍🚀\t\ń'-")


def tagged(text: str, *spans: tuple[int, int, str], tokenizer: str = "regex") -> tuple[Example, Misaligned]:
    misaligned = Misaligned()
    found = with_tags(Example(text, spans=spans, line=7), TOKENIZERS[tokenizer], misaligned)
    return found, misaligned


# --- spans to tags ---------------------------------------------------------------------------------------------


def test_spans_become_tags_of_tokens() -> None:
    found, misaligned = tagged("Ada Lovelace met Bo in Rome.", (0, 12, "PER"), (17, 19, "PER"), (23, 27, "LOC"))
    assert found.tokens == ("Ada", "Lovelace", "met", "Bo", "in", "Rome", ".")
    assert found.label == ("B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "O")
    assert (found.scheme, found.spans, found.line) == ("bio", None, 7)
    assert misaligned.count == 0
    assert misaligned.note() == ""


def test_neighbours_of_one_type_stay_two_spans() -> None:
    found, _ = tagged("Ada Bo", (0, 3, "PER"), (4, 6, "PER"))
    assert found.label == ("B-PER", "B-PER")


def test_no_spans_are_tags_that_say_so_and_a_text_without_tokens_has_none() -> None:
    assert tagged("nobody here")[0].label == ("O", "O")
    empty, _ = tagged("  ")
    assert (empty.tokens, empty.label, empty.scheme) == ((), (), "bio")


def test_an_example_without_spans_is_left_as_it_is() -> None:
    example = Example("Ada left", tokens=("Ada", "left"), label=("B-PER", "O"), scheme="bio")
    assert with_tags(example, TOKENIZERS["regex"]) is example
    assert with_tags(Example("fine", label="good"), TOKENIZERS["regex"]).label == "good"


@pytest.mark.parametrize(
    ("span", "whole"),
    [((5, 8, "LOC"), "Northham"), ((0, 5, "LOC"), "Northham"), ((2, 3, "LOC"), "Northham"), ((0, 10, "LOC"), None)],
)
def test_a_span_that_ends_within_a_token_is_widened_and_listed(span: tuple[int, int, str], whole: str | None) -> None:
    text = "Northham by the sea"
    found, misaligned = tagged(text, span)
    assert found.label == (("B-LOC", "O", "O", "O") if whole else ("B-LOC", "I-LOC", "O", "O"))
    whole = whole or "Northham by"
    assert misaligned.shown == [f"line 7: {text[span[0] : span[1]]!r} read as {whole!r}"]
    assert misaligned.note().startswith("1 span does not")


def test_a_span_with_blanks_around_it_is_read_as_its_tokens() -> None:
    found, misaligned = tagged("by Rome , then", (2, 8, "LOC"))
    assert found.label == ("O", "B-LOC", "O", "O")
    assert misaligned.shown == ["line 7: ' Rome ' read as 'Rome'"]


def test_a_span_that_shares_a_token_with_the_one_before_is_left_out_and_listed() -> None:
    found, misaligned = tagged("Anglo-Roman", (0, 5, "MISC"), (6, 11, "LOC"), tokenizer="whitespace")
    assert found.label == ("B-MISC",)
    assert misaligned.count == 2
    assert misaligned.shown[1] == "line 7: 'Roman' left out: it shares a token with the span before"


def test_after_a_span_left_out_the_next_is_read() -> None:
    found, _ = tagged("a-b-c d", (0, 1, "X"), (2, 3, "X"), (6, 7, "Y"), tokenizer="whitespace")
    assert found.label == ("B-X", "B-Y")


@pytest.mark.parametrize("span", [(3, 3, "X"), (-1, 2, "X"), (2, 99, "X"), (5, 4, "X")])
def test_a_span_outside_the_text_is_refused_with_its_line(span: tuple[int, int, str]) -> None:
    with pytest.raises(DataError, match="not within the text of 7 characters; count its characters from 0") as caught:
        tagged("a b c d", span)
    assert caught.value.line == 7


def test_a_span_of_white_space_alone_is_refused_with_its_line() -> None:
    with pytest.raises(DataError, match=r"3 to 5, '  ', holds no token; move it .* or take it out") as caught:
        tagged("Ada  left", (3, 5, "PER"))
    assert caught.value.line == 7


def test_only_the_first_misaligned_spans_are_listed_and_all_are_counted() -> None:
    misaligned = Misaligned()
    for number in range(LISTED + 1005):
        misaligned.add(number, "ham", "read as 'Northham'")
    note = misaligned.note()
    assert note.startswith("1,015 spans do not")
    assert misaligned.summary() == "1,015 spans do not begin and end with a token"
    assert note.endswith("; and 1,005 more")
    assert note.count("read as") == LISTED
    assert "line 0" not in note, "a text that stands in no file has no line"


@settings(max_examples=80, deadline=None)
@given(text=st.text(LETTERS, max_size=24), tokenizer=st.sampled_from(sorted(TOKENIZERS)), data=st.data())
def test_any_spans_give_valid_tags_that_cover_them(text: str, tokenizer: str, data: st.DataObject) -> None:
    """Whatever is cut where: each span that is not left out becomes one span of tokens around it."""
    offsets = TOKENIZERS[tokenizer].spans(text)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    spans = [(start, end, "X") for start, end in zip(places[::2], places[1::2], strict=False)]
    holding = [
        (start, end, label)
        for start, end, label in spans
        if any(one < end and other > start for one, other in offsets)
    ]
    if len(holding) < len(spans):
        with pytest.raises(DataError, match="no token"):
            tagged(text, *spans, tokenizer=tokenizer)
    found, misaligned = tagged(text, *holding, tokenizer=tokenizer)
    assert isinstance(found.label, tuple)
    assert found.tokens == tuple(text[start:end] for start, end in offsets)
    assert len(found.label) == len(offsets)
    assert first_fault(found.label, "bio") is None
    tag_set = TagSet(["O", "B-X", "I-X"], "bio")
    given = [
        (offsets[first][0], offsets[last - 1][1])
        for first, last, _ in tag_set.spans([tag_set.ids[tag] for tag in found.label])
    ]
    exact = {(start, end) for start, end, _ in holding}
    assert misaligned.count == len([each for each in holding if each[:2] not in given])
    left_out = len(holding) - len(given)
    assert left_out == sum("left out" in shown for shown in misaligned.shown)
    for start, end in given:
        inside = [each for each in exact if each[0] < end and each[1] > start]
        assert inside, "no span from nowhere"


# --- locate ----------------------------------------------------------------------------------------------------


def test_tokens_are_found_in_order_whatever_is_between_them() -> None:
    assert locate("the  the,\tcat", ["the", "the", "cat"]) == [(0, 3), (5, 8), (10, 13)]
    assert locate("", []) == []
    assert locate("anything", []) == []


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        (["the", "dog"], "'dog' is not in the text after its first 3 characters; give .* as they stand .* no text"),
        (["cat", "the"], "'the' is not in the text after its first 7 characters"),
        (["he", "the", "dog"], "'the' is not in the text after its first 3 characters"),
        (["the", ""], "'' is empty; take it out"),
        (["dog", ""], "'dog' is not in the text after its first 0 characters"),
    ],
)
def test_a_token_that_is_not_there_is_named(tokens: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        locate("the cat", tokens)


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("I am a man", ["a", "man"], [(5, 6), (7, 10)]),
        ("I am a man", ["I", "a", "man"], [(0, 1), (5, 6), (7, 10)]),
        ("she and he", ["he"], [(8, 10)]),
        ("a2 2", ["2"], [(3, 4)]),
        ("कि क", ["क"], [(3, 4)]),  # a vowel sign is part of its letter
        # At the cursor, and the next token goes on there: how tokenizers cut words.
        ("don't do it", ["do", "n't", "do", "it"], [(0, 2), (2, 5), (6, 8), (9, 11)]),
        ("今日は今日", ["今日", "は", "今日"], [(0, 2), (2, 3), (3, 5)]),
        # No such whole word.
        ("unable", ["un"], [(0, 2)]),
        ("an unable", ["able"], [(5, 9)]),
        # A mark is no part of the word beside it.
        ("Yes, or , no", [",", "no"], [(3, 4), (10, 12)]),
        ("Yes (or no", ["(", "no"], [(4, 5), (8, 10)]),
        # The whole word comes too late for the tokens behind it.
        ("man a, a ma", ["a", "a", "a"], [(4, 5), (7, 8), (10, 11)]),
        ("am is a", ["a", "is"], [(0, 1), (3, 5)]),
        ("xfoo baz foo", ["foo", "baz"], [(1, 4), (5, 8)]),
        ("he, a, the he", ["a", "he", "he"], [(4, 5), (8, 10), (11, 13)]),
    ],
)
def test_a_token_is_a_whole_word_where_it_can_be_one(
    text: str, tokens: list[str], expected: list[tuple[int, int]]
) -> None:
    assert locate(text, tokens) == expected


def first_places(text: str, tokens: list[str]) -> bool:
    """Whether the tokens stand in the text in order: each at its first place is the best that can be done."""
    cursor = 0
    for token in tokens:
        cursor = text.find(token, cursor) + len(token)
        if cursor < len(token):
            return False
    return True


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab ,", max_size=14), tokens=st.lists(st.text("ab ,", min_size=1, max_size=2), max_size=5))
def test_tokens_are_found_whenever_they_are_there(text: str, tokens: list[str]) -> None:
    if not first_places(text, tokens):
        with pytest.raises(UsageError, match="is not in the text"):
            locate(text, tokens)
        return
    offsets = locate(text, tokens)
    assert [text[start:end] for start, end in offsets] == tokens
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(offsets))


def test_tokens_that_are_no_words_take_no_square_of_their_number() -> None:
    text = "abab " * 20_000
    offsets = locate(text + "z", ["b", "a"] * 20_000 + ["z"])  # none is a whole word: each looks for one
    assert offsets[:3] == [(1, 2), (2, 3), (3, 4)]
    assert len(offsets) == 40_001


@settings(max_examples=60, deadline=None)
@given(tokens=st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=8))
def test_joined_tokens_are_found_where_they_were_put(tokens: list[str]) -> None:
    text = joined(tokens)
    offsets = locate(text, tokens)
    assert [text[start:end] for start, end in offsets] == tokens
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(offsets))


@settings(max_examples=60, deadline=None)
@given(text=st.text(LETTERS, max_size=24), tokenizer=st.sampled_from(sorted(TOKENIZERS)))
def test_a_tokenizers_own_tokens_are_always_found(text: str, tokenizer: str) -> None:
    tokens = TOKENIZERS[tokenizer].tokens(text)
    offsets = locate(text, tokens)
    assert [text[start:end] for start, end in offsets] == tokens
