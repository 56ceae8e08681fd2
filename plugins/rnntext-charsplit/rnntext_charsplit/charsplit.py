"""Tokenizer ``charsplit``: a token ends where the script changes."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Literal

Script = Literal["CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI"]


class CharsplitTokenizer:
    """Runs of one script: ``iPhone15的价格`` becomes ``iPhone 15 的 价 格``; marks are tokens of their own.

    Choose it for texts that mix scripts, or write words and numbers without blanks between them.

    Args:
        one_by_one: scripts of which each character is a token; CJK is Chinese, and Japanese kanji.
    """

    contract = 1

    def __init__(self, *, one_by_one: list[Script] | None = None) -> None:
        self._one_by_one = {"CJK"} if one_by_one is None else set(one_by_one)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens: slices of the text, in order."""
        return [text[start:end] for start, end in self.spans(text)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same tokens, in characters."""
        script, starts = "", [0]
        for place, character in enumerate(text):
            if script and unicodedata.category(character).startswith("M"):
                continue  # an accent goes with its letter
            found = _script(character)
            if place and (found != script or found in self._one_by_one or not found):
                starts.append(place)
            script = found
        return [(start, end) for start, end in itertools.pairwise([*starts, len(text)]) if text[start:end].strip()]


def _script(character: str) -> str:
    """Return a letter's script, DIGIT for a digit of any script, "" for marks and white space."""
    if character.isdecimal():
        return "DIGIT"
    # A letter's name begins with its script: LATIN SMALL LETTER A, CJK UNIFIED IDEOGRAPH-4EF7.
    return unicodedata.name(character, "").replace("-", " ").partition(" ")[0] if character.isalpha() else ""
