"""Characters as tokens: no word is ever unknown, and texts become long."""

from __future__ import annotations


class CharacterTokenizer:
    """Every character is a token; for small data, odd spelling, or writing without blanks.

    A character is a Unicode code point: an emoji made of several, or a letter with a separate accent, is
    several tokens.

    Args:
        keep_whitespace: whether blanks and line ends are tokens too.
    """

    contract = 1

    def __init__(self, *, keep_whitespace: bool = False) -> None:
        self._keep_whitespace = keep_whitespace

    def tokens(self, text: str) -> list[str]:
        """Return the characters."""
        return list(text if self._keep_whitespace else "".join(text.split()))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same characters."""
        keep = self._keep_whitespace
        return [(i, i + 1) for i, character in enumerate(text) if keep or not character.isspace()]
