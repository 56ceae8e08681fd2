"""Chinese words by jieba's dictionary, as slices of the untouched text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rnntext.contracts import FilePath
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rjieba import Jieba

HALF_PAIRS = re.compile("[\ud800-\udfff]")  # the library encodes to UTF-8, which has no form for them
STAND_IN = "\ufffd"  # one character, too, so that offsets stay; no word holds it


class JiebaTokenizer:
    """Chinese words as jieba cuts them: those of its dictionary, and by a hidden Markov model new ones.

    Choose it for Chinese in simplified characters; Latin words and numbers, ``3.5`` among them, stay whole. The work
    is done by rjieba, jieba's rules and dictionary in Rust: 15 times as quick, and nothing is written anywhere.

    Args:
        hmm: whether runs of characters that make no word of the dictionary may become new words, such as names.
        user_dictionary: a file of further words (UTF-8), one a line, in jieba's form: the word, then where you
            like how often it occurs, then a tag, with blanks between; a word without a number is always cut out.

    Raises:
        UsageError: the dictionary cannot be read, or a line of it is no word.
    """

    contract = 1

    def __init__(self, *, hmm: bool = True, user_dictionary: FilePath | None = None) -> None:
        self._hmm = hmm
        self._user_dictionary = user_dictionary
        self._words = [] if user_dictionary is None else list(_dictionary_words(user_dictionary))
        self._jieba: Jieba | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(JiebaTokenizer, hmm=self._hmm, user_dictionary=self._user_dictionary), ()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse a dictionary that cannot be read; that a file is missing, every recipe's check tells."""
        path = options["user_dictionary"]
        if path is not None and os.path.isfile(path):
            try:
                list(_dictionary_words(path))
            except UsageError as error:
                yield "user_dictionary", str(error)

    def tokens(self, text: str) -> list[str]:
        """Return the words, without white space."""
        if HALF_PAIRS.search(text):
            return [text[start:end] for start, end in self.spans(text)]
        words: list[str] = self._loaded().cut(text, self._hmm)
        return [word for word in words if not word.isspace()]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same words."""
        found = self._loaded().tokenize(HALF_PAIRS.sub(STAND_IN, text), "default", self._hmm)
        return [(start, end) for word, start, end in found if not word.isspace()]

    def _loaded(self) -> Jieba:
        """Return the library's segmenter; its dictionary is read when the first text comes."""
        if self._jieba is None:
            from rjieba import Jieba

            # Not the library's own instance, to which anybody may have added words.
            jieba = Jieba()
            for word, count, tag in self._words:
                jieba.add_word(word, count, tag)
            self._jieba = jieba
        return self._jieba


def _dictionary_words(path: str) -> Iterator[tuple[str, int | None, str | None]]:
    """Yield word, count and tag of each line that is not blank.

    Raises:
        UsageError: the file cannot be read, or a line is no word with a count and a tag.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8; save it as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells:
            continue
        word, *others = cells
        count = int(others.pop(0)) if others and others[0].isdecimal() else None
        if len(others) > 1:
            raise UsageError(
                f"{path}:{number}: {line.strip()!r} is not a word, its count and its tag; write one word a line, "
                "such as: 云计算 5 n"
            )
        yield word, count, others[0] if others else None
