"""What a model may be given: readings of a text, and windows of a stream."""

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
from rnntext.inputs import as_example, windows

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
