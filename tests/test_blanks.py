"""Blanks in texts: marks as tokens, texts made questions, and questions made whole again."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext import registry
from rnntext.blanks import BlankTokenizer, as_questions, cut_one, filled_in, with_blanks
from rnntext.contracts import BLANK, Example, Tokenizer
from rnntext.datasets.text import TextDataset
from rnntext.encoding import EncodedSplit, TypeTable, encode_examples
from rnntext.errors import DataError
from rnntext.heads.fill_blank import FillBlankHead
from rnntext.tokenizers.whitespace import WhitespaceTokenizer

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("regex", {}),
    ("whitespace", {}),
    ("spacy", {}),
    ("character", {}),
    ("character", {"keep_whitespace": True}),
    *(("nltk", {"variant": variant}) for variant in ("treebank", "wordpunct", "tweet", "toktok")),
]
FRAGMENTS = [
    *("____", "_____", "________", "___", "_", "soup", "Lamp", "don't", "U.S.", "end.", "...", ",", "(", "é", "5"),
    *(" ", " ", " ", "\t"),
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


@functools.cache
def built(kind: int) -> Tokenizer:
    name, options = KINDS[kind]
    tokenizer: Tokenizer = registry.get("tokenizers", name)(**options)
    return tokenizer


# ---------------------------------------------------------------- marks as tokens


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[f"{name} {options}" for name, options in KINDS])
@settings(max_examples=40, deadline=None)
@given(text=texts)
def test_each_mark_is_one_token_and_all_else_is_cut_as_ever(kind: int, text: str) -> None:
    plain, blanks = built(kind), BlankTokenizer(built(kind))
    spans = blanks.spans(text)
    marks = [match.span() for match in re.finditer("_{4,}", text)]
    assert [span for span in spans if re.fullmatch("_{4,}", text[slice(*span)])] == marks
    assert blanks.tokens(text) == [text[start:end] for start, end in spans]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), "in order, apart"
    if set(marks) <= set(plain.spans(text)):
        assert spans == plain.spans(text), "what the tokenizer knows of a whole text is kept"
        return
    borders = [0, *(place for mark in marks for place in mark), len(text)]
    between = []
    for start, end in zip(borders[::2], borders[1::2], strict=True):
        between += [(start + first, start + last) for first, last in plain.spans(text[start:end])]
    assert [span for span in spans if span not in marks] == between


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[f"{name} {options}" for name, options in KINDS])
def test_marks_within_words_and_beside_each_other(kind: int) -> None:
    def marks(text: str) -> list[str]:
        return [token for token in BlankTokenizer(built(kind)).tokens(text) if set(token) == {"_"} and token != "_"]

    assert marks("so____p and(_____)____. ____ ____") == ["____", "_____", "____", "____", "____"]
    assert marks("so___p __") in ([], ["___", "__"], ["__"]), "three are no blank: as the tokenizer has it"
    assert BlankTokenizer(built(kind)).tokens("____") == ["____"]
    assert BlankTokenizer(built(kind)).tokens("") == []


def test_marks_are_read_as_blanks_and_other_tokens_as_they_are() -> None:
    tokens = ["____", "________", "___", "a____", "soup"]
    assert with_blanks(Example("any"), tokens) == [BLANK, BLANK, "___", "a____", "soup"]


@pytest.mark.parametrize("label", ["soup", ("soup",), ("soup", "lamp", "tent")])
def test_blanks_and_answers_that_do_not_match_are_refused_with_their_line(label: Any) -> None:
    with pytest.raises(DataError, match=r"answers? for 2 blanks \(____\); write one for each") as caught:
        with_blanks(Example("any", label=label, line=7), ["____", "and", "____"])
    assert caught.value.line == 7


def test_labels_and_tags_of_texts_without_blanks_are_no_answers() -> None:
    assert with_blanks(Example("a soup", label="good"), ["a", "soup"]) == ["a", "soup"]
    assert with_blanks(Example("a soup", label=("DET", "NOUN", "X"), scheme="none"), ["a", "soup"]) == ["a", "soup"]


def test_tags_are_no_answers_even_where_there_is_a_blank() -> None:
    example = Example("a ____ soup", ("a", "____", "soup"), label=("DET", "ADJ", "NOUN"), scheme="none", line=4)
    assert with_blanks(example, ["a", "____", "soup"]) == ["a", BLANK, "soup"]
    assert list(FillBlankHead.encode_targets(example, {}, 3)) == []


# ---------------------------------------------------------------- texts made questions


def split_of(*examples: Example | str, **more: Any) -> tuple[EncodedSplit, TypeTable, int]:
    """Return a split, encoded as for a model that fills blanks, its types, and the one of ``<blank>``."""
    table = TypeTable()
    made = [Example(each) if isinstance(each, str) else each for each in examples]
    tokenizer = BlankTokenizer(WhitespaceTokenizer())
    split = encode_examples(made, tokenizer, table, None, (FillBlankHead, {}), read=with_blanks, **more)
    return split, table, table.encode([BLANK])[0]


def rows_of(split: EncodedSplit, table: TypeTable) -> list[tuple[str, list[str | None]]]:
    assert split.targets is not None
    return [
        (
            " ".join(table.types[number] for number in split.types.row(row)),
            [None if number < 0 else table.types[number] for number in split.targets.row(row).tolist()],
        )
        for row in range(len(split))
    ]


def counted(table: TypeTable, **counts: int) -> np.ndarray:
    return np.array([counts.get(token, 0) for token in table.types])


def test_questions_are_kept_and_other_texts_are_cut_where_the_dataset_says() -> None:
    asked = Example("we ____ at ____", label=("ate", "noon"), choices=(("ate", "left"), ("noon", "one", "two")))
    split, table, blank = split_of("no soup today", asked, "a lamp", "my old tent")
    seen: list[list[int]] = []

    def cut(counts: np.ndarray, random: np.random.Generator) -> Sequence[int]:
        seen.append(counts.tolist())
        return [0, 2] if len(counts) == 3 else []

    counts = counted(table, no=4, soup=5, today=6, my=1, tent=3)
    found = as_questions(split, counts, blank, cut, np.random.default_rng(1))
    assert rows_of(found, table) == [
        ("<blank> soup <blank>", ["no", "today"]),
        ("we <blank> at <blank>", ["ate", "noon", None, "ate", "left", None, "noon", "one", "two"]),
        ("<blank> old <blank>", ["my", "tent"]),
    ]
    assert seen == [[4, 5, 6], [0, 0], [1, 0, 3]], "of each token, and not asked for questions"
    assert rows_of(split, table)[0] == ("no soup today", []), "what was given is untouched"


def test_groups_are_those_of_the_texts_that_are_kept() -> None:
    examples = [Example(text, fields={"kind": kind}) for text, kind in (("a b", "x"), ("c", "y"), ("d e", "z"))]
    split, table, blank = split_of(*examples, group_fields=["kind"])

    def cut(counts: np.ndarray, random: np.random.Generator) -> Sequence[int]:
        return [1] if len(counts) == 2 else []

    found = as_questions(split, counted(table), blank, cut, np.random.default_rng(1))
    values, codes = found.groups["kind"]
    assert [values[code] for code in codes] == ["x", "z"]


def test_a_blank_without_an_answer_asks_nothing_and_nothing_is_cut_beside_it() -> None:
    split, table, blank = split_of("the ____ burns", "the <blank> burns", "the lamp burns")
    counts = counted(table, the=1, burns=1)
    found = as_questions(split, counts, blank, lambda counts, random: [0], np.random.default_rng(1))
    assert rows_of(found, table) == [("<blank> lamp burns", ["the"])]


@settings(max_examples=60)
@given(counts=st.lists(st.integers(0, 3), max_size=8), seed=st.integers(0, 99))
def test_one_known_word_is_cut_where_the_dataset_says_nothing(counts: list[int], seed: int) -> None:
    places = cut_one(np.array(counts, dtype=np.int64), np.random.default_rng(seed))
    if len(counts) < 2 or not any(counts):
        assert places == []
    else:
        assert len(places) == 1
        assert counts[places[0]] > 0


def test_every_known_word_may_be_cut() -> None:
    random = np.random.default_rng(0)
    assert {cut_one(np.array([2, 0, 1, 9]), random)[0] for _ in range(100)} == {0, 2, 3}


@settings(max_examples=40, deadline=None)
@given(
    sentences=st.lists(st.lists(st.sampled_from(["soup", "lamp", "tent", "?"]), min_size=1, max_size=9), max_size=6),
    seed=st.integers(0, 99),
    num_blanks=st.integers(1, 3),
)
def test_answers_put_back_into_questions_give_the_texts(
    sentences: list[list[str]], seed: int, num_blanks: int
) -> None:
    split, table, blank = split_of(*(" ".join(words) for words in sentences))
    cut = TextDataset(train="any", num_blanks=num_blanks, min_tokens=2).cut_blanks
    counts = counted(table, soup=3, lamp=2, tent=1)
    found = as_questions(split, counts, blank, cut, np.random.default_rng(seed))
    kept = [" ".join(words) for words in sentences if len(words) >= 2 and set(words) != {"?"}]
    assert [text for text, _ in rows_of(filled_in(found, blank), table)] == kept
    for text, answers in rows_of(found, table):
        assert 1 <= text.split().count(BLANK) == len(answers) <= num_blanks
        assert "?" not in answers, "what the vocabulary does not know is not asked for"


# ---------------------------------------------------------------- training on questions


def test_training_reads_questions_with_their_answers_in_place() -> None:
    asked = Example("we ____ at ____", label=("ate", "noon"), choices=(("ate", "left"), ("noon", "one")))
    split, table, blank = split_of("no soup", asked, Example("a ____", label="lamp"))
    found = filled_in(split, blank)
    assert [text for text, _ in rows_of(found, table)] == ["no soup", "we ate at noon", "a lamp"]
    assert rows_of(split, table)[1][0] == "we <blank> at <blank>", "what was given is untouched"


def test_blanks_without_answers_stay_blanks_in_training() -> None:
    split, table, blank = split_of("the ____ burns", "a <blank> too", Example("a ____", label="lamp"))
    filled = [text for text, _ in rows_of(filled_in(split, blank), table)]
    assert filled == ["the <blank> burns", "a <blank> too", "a lamp"]


def test_a_split_without_questions_is_not_copied() -> None:
    split, _, blank = split_of("no soup", "a lamp")
    assert filled_in(split, blank) is split
