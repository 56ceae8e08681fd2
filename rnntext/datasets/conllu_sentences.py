"""The sentences of a CoNLL-U file, as the format defines them: https://universaldependencies.org/format.html."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rnntext.datasets.tagged import blocks
from rnntext.errors import DataError

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FORM, LEMMA, MISC = COLUMNS.index("form"), COLUMNS.index("lemma"), COLUMNS.index("misc")
NO_BLANK = "SpaceAfter=No"
_is_range = re.compile(r"[0-9]+-([0-9]+)").fullmatch
_is_empty_node = re.compile(r"[0-9]+\.[0-9]+").fullmatch


@dataclass(slots=True)
class Sentence:
    """The words of a sentence and what its comments say."""

    words: list[list[str]] = field(default_factory=list)
    """The ten cells of each word."""
    lines: list[int] = field(default_factory=list)
    """The line of each word."""
    comments: dict[str, str] = field(default_factory=dict)
    """``# key = value``; a comment without = has the value ""."""
    glued: set[int] = field(default_factory=set)
    """Places of the words that end a multiword range with no blank after it."""

    def text(self, tokens: Sequence[str]) -> str:
        """Return the comment ``# text`` if the tokens stand in it in order; otherwise the tokens, joined."""
        text, end = self.comments.get("text", ""), 0
        for token in tokens:
            start = text.find(token, end)
            if start < 0:
                return self._joined(tokens)
            end = start + len(token)
        return text

    def _joined(self, tokens: Sequence[str]) -> str:
        pieces = []
        for place, (token, cells) in enumerate(zip(tokens, self.words, strict=True)):
            blank = place not in self.glued and not _says_no_blank(cells[MISC])
            pieces.append(f"{token} " if blank else token)
        return "".join(pieces).removesuffix(" ")


def sentences(path: str, counts: Counter[str]) -> Iterator[Sentence]:
    """Yield the sentences of a file; count what is no word of them.

    Raises:
        DataError: a line is none of CoNLL-U, or a sentence has no words.
    """
    for block in blocks(path):
        sentence = Sentence()
        words = sentence.words
        for number, line in block:
            if line.startswith("#"):
                key, _, value = line[1:].partition("=")
                sentence.comments[key.strip()] = value.strip()
                continue
            cells = line.split("\t")
            if len(cells) != len(COLUMNS):
                raise DataError(_ragged(line, len(cells)), path, number)
            if cells[0] == str(len(words) + 1):
                words.append(cells)
                sentence.lines.append(number)
            elif within := _is_range(cells[0]):
                counts["multiword ranges skipped"] += 1
                if _says_no_blank(cells[MISC]):
                    sentence.glued.add(int(within[1]) - 1)
            elif _is_empty_node(cells[0]):
                counts["empty nodes skipped"] += 1
            else:
                raise DataError(_miscounted(cells[0], len(words) + 1), path, number)
        if not words:
            raise DataError("a sentence without words; add them, or take these lines out", path, block[0][0])
        yield sentence


def _says_no_blank(misc: str) -> bool:
    return NO_BLANK in misc and NO_BLANK in misc.split("|")


def _ragged(line: str, width: int) -> str:
    if width == 1 and " " in line.strip():
        return "spaces for tabs: CoNLL-U has one tab between columns, and this line has blanks; write tabs"
    other = 'columns of another number are read by dataset.type = "conll"'
    return f"{width} column{'s' if width > 1 else ''}, but CoNLL-U has 10, with one tab between them; {other}"


def _miscounted(word_id: str, due: int) -> str:
    if word_id == "1":
        return f"word 1 of a sentence where word {due} was due; end each sentence with a blank line"
    return f"the id {word_id[:60]!r} where {due} was due; number the words of a sentence 1, 2, 3 without gaps"
