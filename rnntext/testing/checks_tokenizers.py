"""What is asked of tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

from rnntext.testing.material import texts_of, tiny_tokenizer
from rnntext.testing.subject import Checks, DoesNotApplyError, Subject, refuse, require, shown
from rnntext.testing.tiny import TEXTS

of_tokenizers = Checks()


def _cut(subject: Subject) -> Iterator[tuple[str, str, list[str], list[tuple[int, int]]]]:
    """Yield what each text is, the text, its tokens and its spans."""
    tokenizer = tiny_tokenizer(subject)
    for what, text in texts_of(subject).items():
        yield what, text, tokenizer.tokens(text), tokenizer.spans(text)


@of_tokenizers
def tokens_are_slices(subject: Subject) -> None:
    """Each token is the text from its start to its end: text[start:end]."""
    for what, text, tokens, spans in _cut(subject):
        slices = [text[start:end] for start, end in spans]
        require(
            list(tokens) == slices,
            f"of {what}, tokens are {shown(tokens)} and the slices of spans {shown(slices)}; tokens are slices of "
            "the text as it stands, never changed",
        )
        require(
            all(0 <= start < end <= len(text) for start, end in spans),
            f"of {what}, spans are {shown(spans)}; each starts before its end, within the {len(text)} characters",
        )


@of_tokenizers
def in_order(subject: Subject) -> None:
    """Tokens stand in the order of the text and do not overlap."""
    for what, _, _, spans in _cut(subject):
        edges = [edge for span in spans for edge in span]
        require(edges == sorted(edges), f"of {what}, spans are out of order or overlap: {shown(spans)}")


@of_tokenizers
def no_empty_token(subject: Subject) -> None:
    """No token is empty or only white space; a blank text has none, any other has one."""
    for what, text, tokens, _ in _cut(subject):
        require(all(token.strip() for token in tokens), f"of {what}, a token is blank: {shown(tokens)}")
        require(
            bool(tokens) == bool(text.strip()),
            f"of {what}, tokens are {shown(tokens)}; [] is for a blank text and no other",
        )


@of_tokenizers
def nothing_dropped(subject: Subject) -> None:
    """Every character but white space is in a token."""
    for what, text, _, spans in _cut(subject):
        covered = {place for start, end in spans for place in range(start, end)}
        lost = [text[place] for place in range(len(text)) if place not in covered and not text[place].isspace()]
        require(not lost, f"of {what}, {shown(''.join(lost))} is in no token; only white space may be dropped")


@of_tokenizers
def no_state(subject: Subject) -> None:
    """What was cut before changes nothing: calls do not influence each other."""
    texts = texts_of(subject)
    tokenizer = tiny_tokenizer(subject)
    first = {what: (list(tokenizer.tokens(text)), list(tokenizer.spans(text))) for what, text in texts.items()}
    for what, text in reversed(texts.items()):
        again = (list(tokenizer.tokens(text)), list(tokenizer.spans(text)))
        require(
            again == first[what],
            f"of {what}, tokens are {shown(again[0])}, and were {shown(first[what][0])} before other texts were cut",
        )


@of_tokenizers
def first_tokens(subject: Subject) -> None:
    """``first(text, count)``, where it is there, gives the first of the same tokens."""
    tokenizer = tiny_tokenizer(subject)
    first: Any = getattr(tokenizer, "first", None)
    if first is None:
        raise DoesNotApplyError("it has no method first")
    for what, text in {**texts_of(subject), "a long text": "one two, three " * 50}.items():
        tokens = list(tokenizer.tokens(text))
        for count in (1, 2, 7, 1000):
            found = list(first(text, count))
            require(
                found == tokens[:count],
                f"of {what}, first(text, {count}) gives {shown(found)}, and tokens begin {shown(tokens[:count])}",
            )


@of_tokenizers
def learns_where_to_cut(subject: Subject) -> None:
    """What ``fit`` learns is JSON, is the same when learnt again, and cuts alike once taken back."""
    tokenizer = subject.build()
    if not hasattr(tokenizer, "fit"):
        raise DoesNotApplyError("it has no method fit")
    require(
        hasattr(tokenizer, "to_json") and hasattr(tokenizer, "from_json"),
        "it has fit, and no to_json and from_json to keep what was learnt in the run folder",
    )
    learnt = []
    for _ in range(2):
        tokenizer = subject.build()
        tokenizer.fit(iter(TEXTS))
        try:
            learnt.append(json.dumps(tokenizer.to_json(), allow_nan=False))
        except (TypeError, ValueError) as error:
            refuse(f"to_json gives what is no JSON: {error}")
    require(learnt[0] == learnt[1], "from the same texts it learns something else each time")
    loaded = tiny_tokenizer(subject)
    require(json.dumps(loaded.to_json()) == learnt[0], "to_json gives other values than from_json took")
    for what, text in texts_of(subject).items():
        found, expected = loaded.tokens(text), tokenizer.tokens(text)
        require(
            list(found) == list(expected),
            f"of {what}, tokens are {shown(found)} by the one that took back what was learnt, and {shown(expected)} "
            "by the one that learnt it",
        )


@of_tokenizers
def goes_to_other_processes(subject: Subject) -> None:
    """It can be handed to another process (pickled), and cuts alike there."""
    tokenizer = tiny_tokenizer(subject)
    try:
        other = ForkingPickler.loads(bytes(ForkingPickler.dumps(tokenizer)))
    except Exception as error:  # whatever its attributes raise
        require(False, f"it cannot be pickled: {error}; keep no lambda, lock or open file as an attribute")
    for what, text in texts_of(subject).items():
        require(other.tokens(text) == tokenizer.tokens(text), f"of {what}, a pickled copy gives other tokens")
