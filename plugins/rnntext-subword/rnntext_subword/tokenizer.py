"""Tokenizer ``subword``: pieces of words, as a model cuts them that the training split has taught."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rnntext.contracts import FilePath
from rnntext.errors import DataError
from rnntext_subword.model import ModelName, PieceModel, learn

# A word, or a run of marks, and the one blank before it. What is longer is cut: some scripts write without blanks.
_WORDS = re.compile(r"\s?(?:\w(?:\w|['’](?=\w)){0,255}|[^\w\s]{1,256})")
_SURROGATES = re.compile("[\ud800-\udfff]")  # the library cannot encode them
_KNOWN_WORDS = 100_000  # about 20 MB
_LONGEST_KNOWN_WORD = 40


class SubwordTokenizer:
    """Frequent words whole and all others in pieces, so that no word is unknown; learnt from the training split.

    Choose it where words have many forms, or are misspelt, and a table of whole words is too large or knows too few.
    A token holds the blank before it, so a word's first piece is another token than the same letters within a
    word; the first word of a text has no blank. Other white space belongs to no token.

    Args:
        model: bpe joins the most frequent neighbours again and again; unigram keeps the pieces by which the texts
            are most probable, and cuts each word into its most probable ones.
        vocab_size: pieces that the model may have; fewer if the training split does not have so many.
        ignore_case: whether words are cut alike however they are written; the tokens keep their case.
        path: tokenizer.json of an earlier run: its model, and nothing of the other options.
    """

    contract = 1

    def __init__(
        self,
        *,
        model: ModelName = "bpe",
        vocab_size: Annotated[int, Field(ge=100)] = 8000,
        ignore_case: bool = True,
        path: FilePath | None = None,
    ) -> None:
        self._name: ModelName = model
        self._vocab_size = vocab_size
        self._ignore_case = ignore_case
        self._path = path
        self._model: PieceModel | None = None
        self._known: dict[str, list[str]] = {}

    def fit(self, texts: Iterable[str]) -> None:
        """Learn the model from texts, or read the file.

        Raises:
            DataError: the texts hold nothing but white space, or too many characters; the file cannot be read.
        """
        if self._path is not None:
            self.from_json(_read(self._path))
            return
        words = filter(None, ([self._form(word) for word in _WORDS.findall(_encodable(text))] for text in texts))
        first = next(words, None)
        if first is None:
            raise DataError("the texts of the training split hold nothing but white space; give others")
        self._model = learn(chain([first], words), self._name, self._vocab_size)
        self._known = {}

    def to_json(self) -> dict[str, Any]:
        """Return the model, as ``tokenizers`` writes it, and how words are given to it."""
        return {"ignore_case": self._ignore_case, "tokenizer": self._fitted().values}

    def from_json(self, values: Mapping[str, Any]) -> None:
        """Take back what ``to_json`` gave.

        Raises:
            DataError: the values are something else.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("ignore_case"), bool):
            raise DataError(
                "this is no model of the tokenizer subword; name the tokenizer.json of a run that had this tokenizer"
            )
        self._model = PieceModel(values.get("tokenizer") or {})
        self._ignore_case = values["ignore_case"]
        self._known = {}

    def tokens(self, text: str) -> list[str]:
        """Return the pieces, each with the blank before it, if there is one."""
        found: list[str] = []
        known = self._known.get
        for word in _WORDS.findall(text):
            found += known(word) or self._cut(word)
        return found

    def first(self, text: str, count: int) -> list[str]:
        """Return the first pieces alone: of a long text, the rest is not read."""
        found: list[str] = []
        for match in _WORDS.finditer(text):
            found += self._known.get(match[0]) or self._cut(match[0])
            if len(found) >= count:
                break
        return found[:count]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same pieces."""
        return list(self._spans(text))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for match in _WORDS.finditer(text):
            end = match.start()
            for piece in self._known.get(match[0]) or self._cut(match[0]):
                start, end = end, end + len(piece)
                yield start, end

    def _cut(self, word: str) -> list[str]:
        """Return the pieces of a word, which they make up; the blank stays with the first of them."""
        ends = self._fitted().ends(self._form(_encodable(word)))
        if len(ends) > 1 and word[: ends[0]].isspace():
            del ends[0]
        pieces = [word[start:end] for start, end in pairwise([0, *ends])]
        if len(word) <= _LONGEST_KNOWN_WORD:
            if len(self._known) >= _KNOWN_WORDS:
                self._known.clear()
            self._known[word] = pieces
        return pieces

    def _form(self, word: str) -> str:
        """Return a word, character by character, as the model reads it."""
        if word[0].isspace():
            word = " " + word[1:]
        if not self._ignore_case:
            return word
        lower = word.lower()
        if len(lower) == len(word):
            return lower
        return "".join(small if len(small := character.lower()) == 1 else character for character in word)

    def _fitted(self) -> PieceModel:
        if self._model is None:
            raise DataError(
                "the tokenizer subword has learnt nothing yet; call fit(texts) or from_json(values) first"
            )
        return self._model


def _encodable(text: str) -> str:
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error}); name another file in tokenizer.path", path) from None
