"""What is asked of vocabularies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rnntext.contracts import PAD_ID, UNKNOWN_ID
from rnntext.testing.material import texts_of, word_counts
from rnntext.testing.subject import Checks, Subject, refuse, require, shown
from rnntext.testing.tiny import TEXTS

of_vocabularies = Checks()
STRANGER = "qzxjkvw"
"""A token that no training split has."""


def _fitted(subject: Subject, counts: dict[str, int] | None = None) -> Any:
    vocabulary = subject.build()
    vocabulary.fit(word_counts() if counts is None else counts)
    return vocabulary


def _words(subject: Subject) -> list[str]:
    return [word for text in texts_of(subject).values() for word in text.split()]


def _tokens(vocabulary: Any) -> list[str]:
    return [vocabulary.token(number) for number in range(len(vocabulary))]


@of_vocabularies
def reserved_ids(subject: Subject) -> None:
    """Ids 0 and 1 are <pad> and <unk>, before fitting and after; ``len`` counts them."""
    for vocabulary, when in ((subject.build(), "before fit"), (_fitted(subject), "after fit")):
        require(len(vocabulary) >= 2, f"{when}, len is {len(vocabulary)}; <pad> and <unk> are always there")
        first = [vocabulary.token(PAD_ID), vocabulary.token(UNKNOWN_ID)]
        require(first == ["<pad>", "<unk>"], f"{when}, the tokens of ids 0 and 1 are {shown(first)}")
    require(len(vocabulary) > 2, f"after fit with {len(word_counts())} words, it knows none of them")


@of_vocabularies
def ids_in_range(subject: Subject) -> None:
    """``encode`` gives one id a token, each from 1 to len - 1, and never that of <pad>."""
    vocabulary = _fitted(subject)
    words = [*_words(subject), "<pad>", "<unk>", ""]
    ids = vocabulary.encode(words)
    require(isinstance(ids, list) and len(ids) == len(words), f"of {len(words)} tokens, encode gives {shown(ids)}")
    wrong = [(word, number) for word, number in zip(words, ids, strict=True) if not 0 < number < len(vocabulary)]
    require(
        not wrong,
        f"of {shown(wrong[0][0]) if wrong else ''}, the id is {wrong[0][1] if wrong else ''}; ids of tokens "
        f"are from 1 to {len(vocabulary) - 1}",
    )


@of_vocabularies
def round_trip(subject: Subject) -> None:
    """The token of each id has that id, under the form in which it is looked up."""
    vocabulary = _fitted(subject)
    for number, token in list(enumerate(_tokens(vocabulary)))[2:]:
        found = vocabulary.encode([token])
        require(found == [number], f"token({number}) is {shown(token)}, and its id by encode is {found}")


@of_vocabularies
def unknown_tokens(subject: Subject) -> None:
    """A token that was not learnt has the id 1; one that was has another."""
    vocabulary = _fitted(subject)
    found = vocabulary.encode([STRANGER])
    require(found == [UNKNOWN_ID], f"of the unknown token {STRANGER!r}, the id is {found}, not 1")
    require(
        any(number != UNKNOWN_ID for number in vocabulary.encode(word_counts())),
        "all words that it learnt are unknown",
    )


@of_vocabularies
def order_of_counts(subject: Subject) -> None:
    """``fit`` does not depend on the order in which the counts come, ties included."""
    counts = {f"{letter}{number}": 3 - number for number in range(3) for letter in "cabed"} | word_counts()
    turned = dict(reversed(counts.items()))
    first, second = _tokens(_fitted(subject, counts)), _tokens(_fitted(subject, turned))
    require(
        first == second,
        f"the same counts in another order give {shown(second)}, not {shown(first)}; order ties by the token",
    )


@of_vocabularies
def fit_forgets(subject: Subject) -> None:
    """``fit`` begins anew: what an earlier fit learnt is gone."""
    fresh = _fitted(subject)
    again = subject.build()
    again.fit(word_counts(["other words", STRANGER, *TEXTS[:2]]))
    again.fit(word_counts())
    require(
        _tokens(again) == _tokens(fresh),
        f"fitted twice, its tokens are {shown(_tokens(again))}, not those of the last",
    )


@of_vocabularies
def normal_form(subject: Subject) -> None:
    """``normalize`` of a normal form changes nothing more, and ``encode`` looks tokens up under it."""
    vocabulary = _fitted(subject)
    words: Sequence[str] = _words(subject)
    for word in [*words, *(word.upper() for word in words), *(word.title() for word in words)]:
        form = vocabulary.normalize(word)
        require(isinstance(form, str), f"normalize({shown(word)}) is {shown(form)}, no string")
        twice = vocabulary.normalize(form)
        require(twice == form, f"normalize({shown(word)}) is {shown(form)}, and normalised again {shown(twice)}")
        require(
            vocabulary.encode([word]) == vocabulary.encode([form]),
            f"{shown(word)} and its normal form {shown(form)} have different ids; encode takes raw tokens, and "
            "normalises them itself",
        )


@of_vocabularies
def any_iterable(subject: Subject) -> None:
    """``encode`` takes any iterable of tokens, and calls do not influence each other."""
    vocabulary = _fitted(subject)
    words = [*word_counts(), STRANGER]
    ids = vocabulary.encode(words)
    for what, given in (("a tuple", tuple(words)), ("a generator", (word for word in words)), ("a list", words)):
        found = vocabulary.encode(given)
        require(found == ids, f"of the same tokens as {what}, ids are {shown(found)}, not {shown(ids)}")
    require(vocabulary.encode([]) == [], "of no tokens, there is an id")
    singles = [number for word in reversed(words) for number in vocabulary.encode([word])]
    require(singles == ids[::-1], "tokens have other ids one by one than together")


@of_vocabularies
def saves_and_loads(subject: Subject) -> None:
    """``to_json`` goes through JSON text, and ``from_json`` makes a new vocabulary equal to it, without fit."""
    vocabulary = _fitted(subject)
    values = vocabulary.to_json()
    try:
        text = json.dumps(values)
    except (TypeError, ValueError) as error:
        refuse(f"to_json gives what is no JSON: {error}")
    other = subject.build()
    other.from_json(json.loads(text))
    words = [*_words(subject), STRANGER]
    require(
        _tokens(other) == _tokens(vocabulary),
        f"after JSON, its tokens are {shown(_tokens(other))}, and were {shown(_tokens(vocabulary))}",
    )
    require(other.encode(words) == vocabulary.encode(words), "after JSON, tokens have other ids")
    forms = [(vocabulary.normalize(word), other.normalize(word)) for word in words]
    require(all(one == two for one, two in forms), "after JSON, tokens have other normal forms")
