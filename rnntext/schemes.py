"""Tag schemes: how a sequence of tags, one a token, says where spans begin and end.

In ``bio`` a span of two tokens is ``B-PER I-PER``; ``io`` writes ``I-PER I-PER``, and cannot part neighbours of one
type; ``bioes`` (also called iobes) marks the last token, ``B-PER E-PER``, and a span of one, ``S-PER``; ``biluo`` is
the same with the letters L and U. ``none`` says that tags are no spans: parts of speech.

Broken sequences have a meaning too, that of the evaluation script of CoNLL-2000 and 2003 (conlleval): a span begins
wherever the type changes, so that I-PER after O begins one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from rnntext.errors import DataError, UsageError

Scheme = Literal["none", "io", "bio", "bioes", "biluo"]
Span = tuple[int, int, str]
"""(first token, token after the last, label)."""

OUTSIDE = "O"
PREFIXES: dict[str, str] = {"io": "I", "bio": "BI", "bioes": "BIES", "biluo": "BILU"}
"""What stands before the hyphen: first of several, inside, last of several, alone."""
_SAME = {"L": "E", "U": "S"}  # biluo's letters for bioes'

NEVER_BROKEN = ("none", "io")
"""Schemes in which any tag may follow any other."""

# Which letter may follow which within a text, the same type on both sides; O and the edges are written O.
_GOES_ON = {"B": "IE", "I": "IE", "E": "", "S": "", "O": ""}


def split_tag(tag: str, scheme: str) -> tuple[str, str]:
    """Return (prefix, type) of a tag, as in bioes: ("O", "") outside; ("", tag) where tags are no spans.

    Raises:
        DataError: the tag is none of the scheme's.
    """
    if scheme == "none":
        return "", tag
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, hyphen, label = tag.partition("-")
    if not hyphen or not label or prefix not in list(PREFIXES[scheme]):
        forms = ", ".join(f"{letter}-TYPE" for letter in PREFIXES[scheme])
        raise DataError(f'the tag {tag!r} is none of scheme = "{scheme}" ({forms} or O){_better(tag)}')
    return _SAME.get(prefix, prefix), label


def _better(tag: str) -> str:
    prefix, hyphen, label = tag.partition("-")
    fitting = [name for name, letters in PREFIXES.items() if hyphen and label and prefix in list(letters)]
    if fitting:
        return f'; it would be one of "{fitting[0]}". Set dataset.scheme'
    return '; tags that are no spans, such as parts of speech, have scheme = "none"'


def first_fault(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    """Return (position, what is wrong) of the first tag that cannot stand where it stands; None if all can.

    Raises:
        DataError: a tag is none of the scheme's.
    """
    parsed = [split_tag(tag, scheme) for tag in tags]
    edge = (OUTSIDE, "")
    for position, (before, here) in enumerate(pairwise([edge, *parsed, edge])):
        if may_follow(before, here, scheme):
            continue
        if here[0] in "IE":
            previous = f"after {tags[position - 1]}" if position else "at the start of a sentence"
            return position, f"{tags[position]} stands {previous}, where its span should have begun with B-{here[1]}"
        following = f"before {tags[position]}" if position < len(tags) else "at the end of a sentence"
        last = "E" if scheme == "bioes" else "L"
        return position - 1, f"{tags[position - 1]} stands {following}, and no {last}-{before[1]} ends its span"
    return None


def may_follow(before: tuple[str, str], here: tuple[str, str], scheme: str) -> bool:
    """Return whether a scheme lets the second tag follow the first, both as ``split_tag`` gives them; edges are O."""
    if scheme in NEVER_BROKEN:
        return True
    if here[0] in "IE":
        return before[1] == here[1] and here[0] in _GOES_ON[before[0]]
    return scheme == "bio" or before[0] not in "BI"


def repaired(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Return the tags rewritten, in their scheme, as the spans that conlleval sees in them."""
    if scheme == "none":
        return list(tags)
    tag_set = TagSet(sorted(set(tags)), scheme)
    return tags_of(tag_set.spans([tag_set.ids[tag] for tag in tags]), len(tags), scheme)


def tags_of(spans: Iterable[Span], num_tokens: int, scheme: Scheme) -> list[str]:
    """Return the tags of spans that do not overlap, one a token."""
    tags = [OUTSIDE] * num_tokens
    first, inside, last, alone = _letters(scheme)
    for start, end, label in spans:
        tags[start:end] = [f"{inside}-{label}"] * (end - start)
        tags[start] = f"{first if end - start > 1 else alone}-{label}"
        if end - start > 1:
            tags[end - 1] = f"{last}-{label}"
    return tags


def _letters(scheme: str) -> tuple[str, str, str, str]:
    """Return the prefixes of a first, inner, last and only token."""
    letters = {"io": "IIII", "bio": "BIIB", "bioes": "BIES", "biluo": "BILU"}[scheme]
    return letters[0], letters[1], letters[2], letters[3]


def all_tags(types: Iterable[str], scheme: Scheme) -> list[str]:
    """Return every tag that spans of these types can have, O first."""
    return [OUTSIDE, *(f"{letter}-{label}" for label in types for letter in PREFIXES[scheme])]


class TagSet:
    """The tags of a task, numbered, with what their scheme says of each pair of neighbours.

    Args:
        tags: distinct.
        scheme: of these tags.

    Attributes:
        ids: tag -> its number.
        types: the spans' labels, sorted; none where tags are no spans.
        type_ids: int64 [L], place of each tag's type in ``types``; -1 outside.
        begins: bool [L + 1, L + 1], whether a span begins at the second of two neighbours, by conlleval; number L
            stands for the edge of the text.
        ends: bool [L + 1, L + 1], whether a span ends with the first of two neighbours.
        allowed: bool [L + 1, L + 1], whether the scheme lets the second follow the first.
    """

    def __init__(self, tags: Sequence[str], scheme: Scheme) -> None:
        self.tags = list(tags)
        self.scheme = scheme
        self.ids = {tag: number for number, tag in enumerate(self.tags)}
        parsed = [*(split_tag(tag, scheme) for tag in self.tags), (OUTSIDE, "")]
        self.types: list[str] = [] if scheme == "none" else sorted({label for _, label in parsed if label})
        places = {label: place for place, label in enumerate(self.types)}
        self.type_ids = np.array([places.get(label, -1) for _, label in parsed[:-1]], dtype=np.int64)
        size = len(parsed)
        self.begins = np.zeros((size, size), dtype=bool)
        self.ends = np.zeros((size, size), dtype=bool)
        self.allowed = np.ones((size, size), dtype=bool)
        if scheme == "none":
            return
        for row, before in enumerate(parsed):
            for column, here in enumerate(parsed):
                boundary = before[1] != here[1] or before[0] in "ES" or here[0] in "BS"
                self.begins[row, column] = here[0] != OUTSIDE and boundary
                self.ends[row, column] = before[0] != OUTSIDE and boundary
                self.allowed[row, column] = may_follow(before, here, scheme)

    def __len__(self) -> int:
        return len(self.tags)

    def places_of(self, tag_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return start, end and type of every span, by conlleval, for int [B, T] tags, -1 after the last.

        Starts and ends, int64 [N] in order, count through all texts as if each had T + 1 tokens.
        """
        edge = len(self.tags)
        padded = np.pad(np.where(tag_ids < 0, edge, tag_ids), ((0, 0), (1, 1)), constant_values=edge)
        before, here = padded[:, :-1], padded[:, 1:]
        starts = np.flatnonzero(self.begins[before, here])
        # No span outlives its text, so that the first end belongs to the first start, and so on.
        ends = np.flatnonzero(self.ends[before, here])
        return starts, ends, self.type_ids[here.ravel()[starts]]

    def spans_of(self, tag_ids: np.ndarray) -> list[list[Span]]:
        """Return the spans of each text, by conlleval, for int [B, T] tags, -1 after the last; [] without types."""
        found: list[list[Span]] = [[] for _ in tag_ids]
        if not self.types:
            return found
        starts, ends, types = self.places_of(tag_ids)
        rows, firsts = np.divmod(starts, tag_ids.shape[1] + 1)
        lasts = firsts + ends - starts
        for row, start, end, label in zip(
            rows.tolist(), firsts.tolist(), lasts.tolist(), types.tolist(), strict=True
        ):
            found[row].append((start, end, self.types[label]))
        return found

    def spans(self, tag_ids: Sequence[int] | np.ndarray) -> list[Span]:
        """Return the spans of one text's tags, by conlleval: [] where tags are no spans."""
        return self.spans_of(np.asarray(tag_ids, dtype=np.int64)[None])[0]


class Conversion:
    """Tags of one scheme written in another: the same spans.

    Args:
        source: the tags that are given.
        target: the tags that are wanted; they know every type of the source.

    Attributes:
        changes: whether there is anything to convert.
    """

    def __init__(self, source: TagSet, target: TagSet) -> None:
        if (source.scheme == "none") != (target.scheme == "none"):
            raise UsageError(f'tags of scheme "{source.scheme}" cannot be written in "{target.scheme}"')
        self.source, self.target = source, target
        self.changes = source.tags != target.tags
        # By the tag, whether a span begins at it and whether one ends with it.
        self.numbers = np.zeros((len(source), 2, 2), dtype=np.int64)
        for number, tag in enumerate(source.tags):
            if source.scheme == "none":
                self.numbers[number] = target.ids[tag]
                continue
            place = source.type_ids[number]
            if place < 0:
                self.numbers[number] = target.ids[OUTSIDE]
                continue
            first, inside, last, alone = _letters(target.scheme)
            for begins, ends, letter in ((1, 0, first), (0, 0, inside), (0, 1, last), (1, 1, alone)):
                self.numbers[number, begins, ends] = target.ids[f"{letter}-{source.types[place]}"]

    def __call__(self, tag_ids: np.ndarray) -> np.ndarray:
        """Return int64 [B, T] target ids for int64 [B, T] source ids; -1, at padding, stays."""
        edge = len(self.source)
        padded = np.pad(tag_ids, ((0, 0), (1, 1)), constant_values=-1)
        padded[padded < 0] = edge
        begins = self.source.begins[padded[:, :-2], padded[:, 1:-1]]
        ends = self.source.ends[padded[:, 1:-1], padded[:, 2:]]
        converted: np.ndarray = self.numbers[tag_ids, begins.astype(np.int64), ends.astype(np.int64)]
        converted[tag_ids < 0] = -1
        return converted
