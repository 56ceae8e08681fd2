"""Sentences with a tag a token: what the column formats share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rnntext.contracts import Annotations
from rnntext.datasets.rows import text_lines
from rnntext.errors import DataError
from rnntext.schemes import NEVER_BROKEN, OUTSIDE, PREFIXES, Scheme, first_fault, repaired, split_tag

BARE_RETURN = "a carriage return stands within this line; save the file with line ends LF or CR LF"
REPAIRED = "sentences with broken tags repaired"
LIKE_SPANS = 'sentences with tags like those of spans, read as scheme "none" (set dataset.scheme if they are)'
_is_like_span = re.compile(f"[{''.join(PREFIXES.values())}]-.").match
_OUTSIDES = (OUTSIDE, "_")  # CoNLL-U writes nothing as an underscore
_EDGE = ""  # stands for the edges of a sentence; no tag is empty


def blocks(path: str) -> Iterator[list[tuple[int, str]]]:
    """Yield the (line number, line) of each run of lines between lines of only white space.

    Raises:
        DataError: the file cannot be read, or ends its lines as no other system does.
    """
    block: list[tuple[int, str]] = []
    for number, line in text_lines(path):
        if line and not line.isspace():
            if "\r" in line:
                raise DataError(BARE_RETURN, path, number)
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def annotations_of(options: Mapping[str, Any]) -> frozenset[Annotations]:
    """Return what sentences with tags of ``options["scheme"]`` give to a head."""
    return frozenset({"tags"}) if options.get("scheme") == "none" else frozenset({"tags", "spans"})


def repair_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) for a repair that has nothing to do, as ``check_options`` does."""
    scheme = options.get("scheme")
    if options.get("repair") and scheme in NEVER_BROKEN:
        yield "repair", f'with scheme = "{scheme}" any tag may follow any other: there is nothing to repair'


def keep_notes(notes: dict[str, int], name: str, counts: Mapping[str, int]) -> None:
    """Replace what a dataset's notes say of the file of that name; what was not found once is no note."""
    for note in [note for note in notes if note.endswith(f" in {name}")]:
        del notes[note]
    notes.update({f"{what} in {name}": count for what, count in counts.items() if count})


class TagCheck:
    """Refuses the tags of a sentence that their scheme does not allow, or repairs them.

    Args:
        path: the file that is read, for errors.
        scheme: of its tags.
        repair: whether a broken sentence is read as the spans that conlleval sees in it.

    Attributes:
        num_repaired: sentences that were broken.
        num_like_spans: sentences whose tags look like those of spans, although their scheme says that they are none.
    """

    def __init__(self, path: str, scheme: Scheme, repair: bool) -> None:
        self._path = path
        self._scheme: Scheme = scheme
        self._repair = repair
        # Whether tags can stand as they do is a matter of neighbours alone, and there are few pairs of tags.
        self._known: set[tuple[str, str]] = set()
        self.num_repaired = 0
        self.num_like_spans = 0

    def __call__(self, tags: Sequence[str], lines: Sequence[int]) -> tuple[str, ...]:
        """Return the tags of one sentence; ``lines`` are those of its tokens.

        Raises:
            DataError: a tag is none of the scheme's, or cannot stand where it stands; names its line.
        """
        if self._scheme == "none":
            like = all(tag in _OUTSIDES or _is_like_span(tag) for tag in tags)
            self.num_like_spans += like and not all(tag in _OUTSIDES for tag in tags)
            return tuple(tags)
        pairs = set(pairwise([_EDGE, *tags, _EDGE]))
        if pairs <= self._known:
            return tuple(tags)
        self._refuse_foreign(tags, lines)
        fault = first_fault(tags, self._scheme)
        if fault is None:
            self._known |= pairs
            return tuple(tags)
        if self._repair:
            self.num_repaired += 1
            return tuple(repaired(tags, self._scheme))
        position, what = fault
        message = (
            f"{what}; correct the tags, or set dataset.repair = true to read such a sentence as conlleval would"
            f"{self._hint(tags, pairs, tags[position])}"
        )
        raise DataError(message, self._path, lines[position])

    def _refuse_foreign(self, tags: Sequence[str], lines: Sequence[int]) -> None:
        for tag, line in zip(tags, lines, strict=True):
            try:
                split_tag(tag, self._scheme)
            except DataError as error:
                raise DataError(error.message, self._path, line) from None

    def _hint(self, tags: Sequence[str], pairs: set[tuple[str, str]], faulty: str) -> str:
        """Return what else the tags may be: another scheme, which many files use without a word of it."""
        if self._scheme != "bio":
            like_bio = all(tag == OUTSIDE or tag[:2] in ("B-", "I-") for tag in tags)
            if like_bio and first_fault(tags, "bio") is None:
                return '. The tags of this sentence would be right in "bio": if all are, set dataset.scheme'
            return ""
        begun = [(before[2:], tag[2:]) for before, tag in self._known | pairs if tag.startswith("B-")]
        if faulty.startswith("I-") and all(before == here for before, here in begun):
            return ". These look like IOB1 tags (B- only between neighbours of one type); repair reads those too"
        return ""
