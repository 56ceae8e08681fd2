"""What a model may be given: readings of a text, windows of a stream, and sentences with their places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import inputs
from rnntext.contracts import Example
from rnntext.errors import UsageError
from rnntext.inputs import SentenceSplitter, as_example, windows

# --- one text --------------------------------------------------------------------------------------------------


def test_a_string_and_a_mapping_with_text_are_a_text() -> None:
    assert as_example(" two  blanks ") == Example(" two  blanks ")
    assert as_example({"text": "a", "id": 5}) == Example("a")
    assert as_example("") == Example("")


def test_tokens_without_a_text_are_joined_by_blanks() -> None:
    assert as_example({"tokens": ["Ada", "left", "."]}) == Example("Ada left .", ("Ada", "left", "."))
    assert as_example({"tokens": ()}) == Example("", ())
    assert as_example({"tokens": ["New York", "sleeps"]}) == Example("New York sleeps", ("New York", "sleeps"))


def test_tokens_with_their_text_keep_it() -> None:
    assert as_example({"text": "Ada left.", "tokens": ["Ada", "left", "."]}) == Example(
        "Ada left.", ("Ada", "left", ".")
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, 'expected "text"'),
        ({"text": None}, 'expected "text"'),
        ({"text": 5}, 'expected "text"'),
        ({"tokens": "Ada left"}, 'expected "text"'),
        ({"tokens": ["Ada", 5]}, 'expected "text"'),
        ({"text": None, "tokens": None}, 'expected "text"'),
        ({"text": "Ada left", "tokens": [1]}, 'expected "text"'),
        ({"text": "Ada left", "tokens": "Ada"}, 'expected "text"'),
        ({"text": 5, "tokens": ["Ada"]}, 'expected "text"'),
        (5, "expected a text, got int"),
        (None, "expected a text, got NoneType"),
        (b"bytes", "expected a text, got bytes"),
        (["Ada", "left"], "expected a text, got list"),
    ],
)
def test_anything_else_is_refused_with_the_reason(given: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        as_example(given)


def test_null_is_as_good_as_nothing() -> None:
    assert as_example({"text": "Ada left", "tokens": None}) == Example("Ada left")
    assert as_example({"text": None, "tokens": ["Ada", "left"]}) == Example("Ada left", ("Ada", "left"))


# --- windows ---------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), max_size=40), most=st.integers(1, 7))
def test_windows_hold_every_item_in_order_and_end_as_soon_as_they_are_full(sizes: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "CHARACTERS_A_WINDOW", 50)
        found = list(windows(sizes, most, lambda size: size))
    assert list(itertools.chain.from_iterable(found)) == sizes
    for window in found:
        assert 1 <= len(window) <= most
        assert sum(window[:-1]) < 50
    for window in found[:-1]:
        assert len(window) == most or sum(window) >= 50


def test_windows_read_no_further_than_what_they_yield() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    stream = windows(items(), 3, lambda _: 1)
    assert next(stream) == [0, 1, 2]
    assert read == [0, 1, 2]


# --- sentences -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def splitter() -> SentenceSplitter:
    return SentenceSplitter()


def sentences(splitter: SentenceSplitter, text: str) -> list[str]:
    found = splitter.split(Example(text))
    for start, sentence in found:
        assert text[start : start + len(sentence.text)] == sentence.text
        assert sentence.tokens is None
    return [sentence.text.strip() for _, sentence in found]


def test_sentences_end_with_their_marks(splitter: SentenceSplitter) -> None:
    assert sentences(splitter, "Ada left.  Who stayed?\tBo did!") == ["Ada left.", "Who stayed?", "Bo did!"]
    assert sentences(splitter, "no mark at all") == ["no mark at all"]
    assert sentences(splitter, "好 。 很好 。") == ["好 。", "很好 。"]


def test_abbreviations_of_the_language_end_no_sentence(splitter: SentenceSplitter) -> None:
    text = "Dr. Smith met Mr. J. Brown of the U.S. Navy at 5 p.m. today. They left."
    assert sentences(splitter, text) == [text.removesuffix(" They left."), "They left."]
    german = "Er kam bzw. ging um ca. 5 Uhr. Dann nichts."
    assert sentences(SentenceSplitter("de"), german) == ["Er kam bzw. ging um ca. 5 Uhr.", "Dann nichts."]
    assert len(sentences(splitter, german)) == 4, "English has other abbreviations"


def test_a_language_that_spacy_does_not_have_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"sentences of the language 'klingon'.*leave sentences out"):
        SentenceSplitter("klingon")


@pytest.mark.parametrize("language", ["en", "xx", "zh"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("好。很好！真的？是", ["好。", "很好！", "真的？", "是"]),
        ("什么？！真的！!!是的。。。", ["什么？！", "真的！!!", "是的。。。"]),
        ("他说「走吗？」。她不走。……是", ["他说「走吗？」。", "她不走。……", "是"]),
        ("他说：“走吧。”她不走。", ["他说：“走吧。”", "她不走。"]),
        ("（真的。）『好！』）是", ["（真的。）", "『好！』）", "是"]),
        ('他说"走吧。" 她说"好。"', ['他说"走吧。"', '她说"好。"']),
        ('好。"走吧"他说', ["好。", '"走吧"他说']),
        ("今日は。\n\n  明日は。明後日", ["今日は。", "明日は。", "明後日"]),
        ("\ud83d好。\udc00很好。", ["\ud83d好。", "\udc00很好。"]),
    ],
)
def test_text_without_blanks_is_cut_after_its_own_marks(language: str, text: str, expected: list[str]) -> None:
    assert sentences(SentenceSplitter(language), text) == expected


def test_a_language_with_a_tokenizer_of_its_own_is_cut_like_english() -> None:
    assert sentences(SentenceSplitter("zh"), "Dr. Wu 走了。Ada left.  Bo stayed.") == [
        "Dr. Wu 走了。",
        "Ada left.",
        "Bo stayed.",
    ]


def test_a_blank_line_ends_a_sentence_and_a_line_break_does_not(splitter: SentenceSplitter) -> None:
    assert sentences(splitter, "A Heading\n\nAda left\nearly") == ["A Heading", "Ada left\nearly"]
    assert sentences(splitter, "A Heading\n \t \n\n\n  Ada left") == ["A Heading", "Ada left"]
    assert sentences(splitter, "A Heading\r\n\r\nAda left") == ["A Heading", "Ada left"]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t\n \n"])
def test_a_text_without_sentences_is_one(splitter: SentenceSplitter, text: str) -> None:
    assert splitter.split(Example(text)) == [(0, Example(text))]


def test_a_text_that_brings_its_tokens_is_one_sentence(splitter: SentenceSplitter) -> None:
    example = Example("Ada left. Bo stayed.", ("Ada left.", "Bo stayed."))
    assert splitter.split(example) == [(0, example)]


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.one_of(st.sampled_from("aB.!?。！？」…\n\n  \t'\"é👩‍🚀\ud800"), st.characters()), max_size=60))
def test_sentences_hold_all_but_white_space_in_order(splitter: SentenceSplitter, text: str) -> None:
    found = splitter.split(Example(text))
    assert found
    end = 0
    for start, sentence in found:
        assert start >= end
        assert not text[end:start].strip()
        end = start + len(sentence.text)
        assert text[start:end] == sentence.text
    assert not text[end:].strip()


def test_half_a_surrogate_pair_is_split_like_any_other_character(splitter: SentenceSplitter) -> None:
    assert sentences(splitter, "Broken \ud83d here. Fine.") == ["Broken \ud83d here.", "Fine."]


def test_very_long_paragraphs_are_split_in_pieces(splitter: SentenceSplitter) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "CHARACTERS_A_PARAGRAPH", 100)
        text = "Ada left early. " * 50
        found = sentences(splitter, text)
        assert "".join(found).replace(" ", "") == text.replace(" ", "")
        assert max(map(len, found)) <= 100
        assert found.count("Ada left early.") >= 35, "pieces end between words, and most sentences are whole"
        # Nothing to cut at: cut all the same, and lose nothing.
        assert sentences(splitter, "x" * 250) == ["x" * 100, "x" * 100, "x" * 50]


def test_a_long_run_without_a_blank_takes_no_square_of_its_length(splitter: SentenceSplitter) -> None:
    run = "!" * 90_000  # would take half an hour
    assert sentences(splitter, f"Ada {run} Bo left. Yes") == [f"Ada {run}", "Bo left.", "Yes"]


def test_a_million_characters_are_no_error(splitter: SentenceSplitter) -> None:
    text = "word " * 210_000
    found = splitter.split(Example(text))
    assert sum(len(sentence.text.split()) for _, sentence in found) == 210_000
