"""Plain text: lines or sentences, questions with blanks, or one stream of tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from rnntext.contracts import Annotations, Example, FilePath, Split
from rnntext.datasets.questions import ANSWER, CHOICES, blanks_of, drawn_apart, letters, questions
from rnntext.datasets.rows import given_splits, lines_with_ends, short_name, source_of, text_lines
from rnntext.datasets.tagged import keep_notes
from rnntext.errors import DataError, UsageError
from rnntext.sentences import SentenceSplitter, sentences_of

if TYPE_CHECKING:
    import numpy as np

STOPPED = "characters read (max_characters; there are more)"
BLANK_TEXTS = "rows with a blank text skipped"
_other_than_letters = re.compile("[^a-z]+")


class TextDataset:
    """Texts without labels from plain text files (UTF-8; ``.gz`` is unpacked), for models that learn from text alone.

    Choose it to fill in blanks or to train a language model. A text is a line or a sentence; with ``num_steps`` a
    file is one stream of tokens instead. For models that fill in blanks, words of the validation and test texts are
    cut out as questions. Your own questions are read too, from files that end in ``.jsonl`` or ``.ndjson`` (or that
    and ``.gz``), such as ``{"text": "We ____ at noon.", "answer": "ate", "choices": ["ate", "left"]}``; with
    several blanks the answer is a list, and choices are a list of lists. Both may be left out. Such a file holds
    plain texts as well: those without ``____``. A file is read line by line, never held.

    Args:
        train: the training file.
        validation: the file that picks the best epoch.
        test: the file for the final scores.
        unit: what a text is: a line, or a sentence of a paragraph of one or more lines (a blank line ends it).
        language: with unit = "sentence", spaCy's code of the language whose abbreviations end no sentence.
        text_field: the key of the text in JSON lines.
        num_blanks: how many words are cut out of a text of validation and test, at most a third of its tokens.
        blank_min_count: only words that occur so often in the training split are cut out.
        min_tokens: no word is cut out of a text with fewer tokens; it is left out of validation and test.
        num_steps: where given, each split is one stream of tokens, read in windows of so many.
        sampling: how the stream is read: random cuts it at a random offset and shuffles the windows; sequential lets
            each row of a batch go on where it ended in the batch before, so that the state can be carried.
        letters_only: whether texts become lower case, and any run of characters other than a to z one blank.
        max_characters: read only so many characters of each split, from its start, counted after letters_only; of
            lines and sentences only whole ones.

    Attributes:
        windows: (num_steps, sampling), or None where texts do not follow on from one another.
        notes: what ``read`` passed over without an error, complete once a split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        train: FilePath,
        validation: FilePath | None = None,
        test: FilePath | None = None,
        unit: Literal["line", "sentence"] = "line",
        language: str = "en",
        text_field: str = "text",
        num_blanks: Annotated[int, Field(ge=1)] = 1,
        blank_min_count: Annotated[int, Field(ge=1)] = 1,
        min_tokens: Annotated[int, Field(ge=1)] = 5,
        num_steps: Annotated[int, Field(ge=1)] | None = None,
        sampling: Literal["random", "sequential"] = "random",
        letters_only: bool = False,
        max_characters: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        self._paths = given_splits(train, validation, test)
        self._by_sentence = unit == "sentence"
        self._language = language
        self._text_field = text_field
        self._num_blanks = num_blanks
        self._blank_min_count = blank_min_count
        self._min_tokens = min_tokens
        self._letters_only = letters_only
        self._max_characters = max_characters
        self.windows: tuple[int, Literal["random", "sequential"]] | None = (
            None if num_steps is None else (num_steps, sampling)
        )
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for options of a stream and of single texts that cannot go together."""
        if options.get("num_steps") is None and options.get("sampling") == "sequential":
            yield "sampling", "needs num_steps; without it texts are read each on its own, not as one stream"
        if options.get("num_steps") is not None and options.get("unit") == "sentence":
            yield "unit", "num_steps makes one stream of all lines, with no sentences in it; leave one of the two out"
        if options.get("language") != "en" and options.get("unit") != "sentence":
            yield "language", 'needs unit = "sentence"; lines are not cut into sentences'
        if (field := options.get("text_field")) in (ANSWER, CHOICES):
            yield "text_field", f"{field!r} is a key of questions; a text cannot be its own {field}"

    @classmethod
    def gives(cls, options: Mapping[str, Any]) -> frozenset[Annotations]:
        """Return that texts have no labels, and whether they are one stream, read in windows or even in sequence."""
        if options.get("num_steps") is None:
            return frozenset()
        return frozenset({"windows", "sequence"} if options.get("sampling") == "sequential" else {"windows"})

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that have a file."""
        return tuple(self._paths)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the one file of a split."""
        return (source_of(self._paths, split),)

    def read(self, split: Split) -> Iterator[Example]:
        r"""Return an iterator over the split's texts, in file order; ``line`` is the first of its paragraph.

        Joined, the texts of a stream are the file: each ends with its ``\n``.

        Raises:
            UsageError: the options name no such split; while iterating: no sentences of that language can be cut.
            DataError: while iterating: the file or a line of it cannot be used.
        """
        return self._examples(source_of(self._paths, split))

    def cut_blanks(self, counts: np.ndarray, random: np.random.Generator) -> Sequence[int]:
        """Return which tokens of a text to hide, drawn by chance, in order; [] makes no question of it.

        Args:
            counts: int64 [tokens], how often each token's word occurs in training; 0: the vocabulary lacks it.
            random: what draws.
        """
        if len(counts) < self._min_tokens:
            return []
        places = [int(place) for place in (counts >= self._blank_min_count).nonzero()[0]]
        return sorted(drawn_apart(places, min(self._num_blanks, max(1, len(counts) // 3), len(places)), random))

    def _examples(self, path: str) -> Iterator[Example]:
        name = short_name(path, self._paths.values())
        counts: Counter[str] = Counter()
        keep_notes(self.notes, name, counts)  # a second reading counts afresh
        example: Example | None = None
        for example in self._first_characters(self._texts(path, counts), counts):
            yield example
        if example is None:
            letter = " and has a letter from a to z (letters_only)" if self._letters_only else ""
            most = self._max_characters
            short = f", of {most} characters or less (max_characters)" if most and not self.windows else ""
            raise DataError(f"no texts: the file has no line that is not blank{letter}{short}; add some", path)
        keep_notes(self.notes, name, counts)

    def _first_characters(self, texts: Iterable[Example], counts: Counter[str]) -> Iterator[Example]:
        """Yield the texts up to ``max_characters``; only one that goes on in the next may be cut."""
        if self._max_characters is None:
            yield from texts
            return
        left = self._max_characters
        for example in texts:
            if len(example.text) > left:
                if self.windows is not None and left:
                    yield replace(example, text=example.text[:left])
                    left = 0
                counts[STOPPED] = self._max_characters - left
                return
            yield example
            left -= len(example.text)

    def _texts(self, path: str, counts: Counter[str]) -> Iterator[Example]:
        is_json = path.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))
        for example in self._rows(path) if is_json else self._lines(path):
            text = example.text
            if self._letters_only:
                stream = self.windows is not None
                # The line before ended with a blank, or this is the first.
                text = _other_than_letters.sub(" ", text.lower()).lstrip(" ") if stream else letters(text)
            if text and (self.windows or not text.isspace()):
                yield example if text == example.text else replace(example, text=text)
            elif is_json and not self.windows:
                counts[BLANK_TEXTS] += 1

    def _lines(self, path: str) -> Iterator[Example]:
        if self.windows is not None:
            for number, line in lines_with_ends(path):
                yield Example(f"{line[:-2]}\n" if line.endswith("\r\n") else line, line=number)
        elif self._by_sentence:
            yield from sentences_of(text_lines(path), self._splitter())
        else:
            for number, line in text_lines(path):
                yield Example(line, line=number)

    def _rows(self, path: str) -> Iterator[Example]:
        splitter = self._splitter() if self._by_sentence else None
        for example in questions(path, self._text_field, self._letters_only):
            if self.windows is not None:
                if example.label or example.choices:
                    message = "a stream of tokens (num_steps) has no questions; take the answer and the choices out"
                    raise DataError(message, path, example.line)
                yield replace(example, text=f"{example.text}\n")
            elif splitter is None or not example.text.strip() or blanks_of(example.text):
                yield example  # a question is one text, however many sentences it has
            else:
                lines = ((example.line, line) for line in example.text.split("\n"))
                yield from sentences_of(lines, splitter)

    def _splitter(self) -> SentenceSplitter:
        try:
            return SentenceSplitter(self._language)
        except UsageError as error:
            reason = f"spaCy cannot cut sentences of the language {self._language!r}"
            raise UsageError(f'{reason}; correct dataset.language, or set dataset.unit = "line"') from error
