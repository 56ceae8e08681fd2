"""Sentences of a text, with their places in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnntext.sentences as sentences_module
from rnntext.contracts import Example
from rnntext.errors import UsageError
from rnntext.sentences import SentenceSplitter, sentences_of


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
        patch.setattr(sentences_module, "CHARACTERS_A_PARAGRAPH", 100)
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


# --- wrapped lines ---------------------------------------------------------------------------------------------


def test_lines_are_joined_by_a_blank_and_blank_lines_part_them(splitter: SentenceSplitter) -> None:
    lines = ["", "One.", "  Two and  ", "three. Fo", "ur", " \t", "five", "", ""]
    assert list(sentences_of(enumerate(lines, 1), splitter)) == [
        Example("One.", line=2),
        Example("Two and three.", line=2),
        Example("Fo ur", line=2),
        Example("five", line=7),
    ]
    assert list(sentences_of([], splitter)) == []


def test_a_paragraph_without_end_is_cut_while_it_is_read(splitter: SentenceSplitter) -> None:
    number_read = 0

    def lines() -> Iterator[tuple[int, str]]:
        nonlocal number_read
        for number_read in itertools.count(1):
            yield number_read, f"stew {number_read}. And then"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences_module, "CHARACTERS_OF_LINES", 100)
        found = list(itertools.islice(sentences_of(lines(), splitter), 50))
    assert [sentence.text for sentence in found[1:]] == [f"And then stew {number}." for number in range(2, 51)]
    assert {sentence.line for sentence in found} == {1}
    assert 50 <= number_read < 60
