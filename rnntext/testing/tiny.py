"""Tiny texts for the checks: odd ones, and one set for each way in which texts can be annotated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rnntext.contracts import Annotations, Example, Split

WORDS = ("soup", "lamp", "tent", "chair", "warm", "bright", "dull", "soggy")
TEXTS = (
    "The soup was warm and bright today",
    "My old tent was soggy",
    "A lamp",
    "The chair was dull , and the lamp was dull",
    "We had warm soup in the bright tent",
    "dull",
    "The soggy chair was old",
    "My lamp was bright , my soup was warm",
)
"""Eight texts of 1 to 9 words, all different."""

ODD_TEXTS: Mapping[str, str] = {
    "an empty text": "",
    "white space alone": " \t\r\n\u00a0\u3000",
    "words between white space of many kinds": "one\r\ntwo\u00a0three\u3000four\tfive",
    "an emoji of several code points": "a 👩‍👩‍👧 and 👍🏽🇳🇴!",
    "combining marks": "cafe\u0301 e\u0301\u0323 x\u0336",
    "text from right to left": "שלום עולם, مرحبا",
    "text without blanks": "我今天很高兴。你呢？",
    "a lone surrogate": "half \ud83d a pair \udc00",
    "NUL and control characters": "a\x00b \x07 c",
    "invisible characters": "x\u200by \ufeffz\u2060",
    "a very long word": "a" * 3000 + " b",
    "marks in a row": "Wait... what?! (no--) \"so\" 'it' ____ #1 @me 3,000.50 don't",
    "characters that lower-casing makes longer": "İstanbul ﬁne ẞ Ǆ",
}
"""What it is -> the text."""

_BRIGHT = ("The soup was warm and bright today", "A lamp", "We had warm soup in the bright tent", "warm , bright")
_DULL = ("My old tent was soggy", "The chair was dull , and the lamp was dull", "dull", "The soggy chair was old")


def _labelled() -> list[Example]:
    pairs = [pair for both in zip(_BRIGHT, _DULL, strict=True) for pair in zip(both, ("good", "bad"), strict=True)]
    return [Example(text, label=label, line=line) for line, (text, label) in enumerate(pairs, 1)]


def _several_labels() -> list[Example]:
    return [
        Example(text, label=tuple(word for word in ("bright", "dull", "warm") if word in text), line=line)
        for line, text in enumerate(TEXTS, 1)
    ]


def _tagged() -> list[Example]:
    kinds = {"the": "DET", "my": "DET", "a": "DET", ",": "PUNCT", "was": "VERB", "had": "VERB"}
    examples = []
    for line, text in enumerate(TEXTS, 1):
        tokens = tuple(text.split())
        tags = tuple(kinds.get(token.lower(), "ADJ" if token in WORDS[4:] else "NOUN") for token in tokens)
        examples.append(Example(text, tokens=tokens, label=tags, scheme="none", line=line))
    return examples


def _spans() -> list[Example]:
    examples = []
    for line, text in enumerate(TEXTS, 1):
        tokens = tuple(text.split())
        tags = ["O"] * len(tokens)
        for place, token in enumerate(tokens):
            if token in WORDS[:4]:
                tags[place] = "B-THING"
                if place and tokens[place - 1] in WORDS[4:]:
                    tags[place - 1 : place + 1] = ["B-THING", "I-THING"]
        examples.append(Example(text, tokens=tokens, label=tuple(tags), scheme="bio", line=line))
    return examples


def _plain() -> list[Example]:
    return [Example(text, line=line) for line, text in enumerate(TEXTS, 1)]


def _stream() -> list[Example]:
    return [Example(f"{text} .\n", line=line) for line, text in enumerate(TEXTS, 1)]


LABELLED = tuple(_labelled())
"""One label a text."""
SEVERAL_LABELS = tuple(_several_labels())
"""Any number of labels a text."""
TAGGED = tuple(_tagged())
"""One tag a token; the tags are no spans."""
SPANS = tuple(_spans())
"""One tag a token, parts of spans in the scheme bio."""
PLAIN = tuple(_plain())
"""Texts without labels: to fill in blanks, or to tell next words."""
STREAM = tuple(_stream())
"""Texts that follow on from one another."""

INVENTED: Mapping[frozenset[str], Sequence[Example]] = {
    frozenset(): PLAIN,
    frozenset({"labels"}): LABELLED,
    frozenset({"tags"}): TAGGED,
    frozenset({"tags", "spans"}): SPANS,
    frozenset({"windows"}): STREAM,
    frozenset({"sequence"}): STREAM,
    frozenset({"windows", "sequence"}): STREAM,
}
"""What a head needs -> examples that have it."""


def annotations_of(examples: Sequence[Example]) -> frozenset[Any]:
    """Return what a dataset that reads these examples gives."""
    first = examples[0]
    if first.spans is not None or first.scheme not in (None, "none"):
        return frozenset({"tags", "spans"})
    if first.scheme == "none":
        return frozenset({"tags"})
    return frozenset() if all(example.label is None for example in examples) else frozenset({"labels"})


def dataset_of(examples: Sequence[Example], annotations: frozenset[Any]) -> type:
    """Return a dataset whose splits are all these examples."""
    in_windows = bool(annotations & {"windows", "sequence"})

    class TinyDataset:
        """Examples that a check was given, the same in each split."""

        contract: ClassVar[int] = 1

        def __init__(self) -> None:
            self.windows = (6, "sequential" if "sequence" in annotations else "random") if in_windows else None

        @classmethod
        def gives(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
            """Return what these examples are annotated with."""
            return annotations | {"windows"} if in_windows else annotations

        def splits(self) -> tuple[Split, ...]:
            """Return all three."""
            return ("train", "validation", "test")

        def files(self, split: Split) -> tuple[str, ...]:
            """Return none: the examples are in memory."""
            return ()

        def read(self, split: Split) -> Iterator[Example]:
            """Yield the examples."""
            yield from examples

    return TinyDataset
