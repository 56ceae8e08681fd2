"""Tokens by a regular expression: fast, and plain to see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

SHORT = 10
"""Characters a token up to which finding all tokens at once is quicker than one after the other."""


class RegexTokenizer:
    r"""Whatever a regular expression matches, left to right; the default keeps every mark and don't as one word.

    Choose it first: nothing is faster, and what is a token stands in the recipe. What the pattern does not
    match is dropped, so end it with ``|\S`` to keep all but white space. Empty matches are ignored.

    Args:
        pattern: regular expression (Python's re) that matches one token; groups in it change nothing.
    """

    contract = 1

    def __init__(self, *, pattern: str = r"\w+(?:['’]\w+)*|[^\w\s]") -> None:
        self._pattern = re.compile(pattern)
        self._may_be_empty = _match_lengths(pattern)[0] == 0

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse a pattern that is no regular expression, or that can never match a character."""
        pattern = options["pattern"]
        try:
            re.compile(pattern)
        except re.error as error:
            place = "" if error.pos is None else f" at character {error.pos + 1}"
            yield "pattern", f"{pattern!r} is not a regular expression: {error.msg}{place}"
        except (OverflowError, RecursionError) as error:
            yield "pattern", f"the regular expression is too large: {error}"
        else:
            if _match_lengths(pattern)[1] == 0:
                yield "pattern", rf"{pattern!r} can match only the empty string; expected one token, such as \w+"

    def tokens(self, text: str) -> list[str]:
        """Return the matches, in order."""
        if self._pattern.groups:  # findall would return the groups
            return [match[0] for match in self._pattern.finditer(text) if match[0]]
        found = self._pattern.findall(text)
        return list(filter(None, found)) if self._may_be_empty else found

    def first(self, text: str, count: int) -> list[str]:
        """Return the first matches alone: of a long text, the rest is not searched."""
        if len(text) < SHORT * count:
            return self.tokens(text)[:count]
        return [match[0] for match in islice(filter(_match_text, self._pattern.finditer(text)), count)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the same matches."""
        return [match.span() for match in self._pattern.finditer(text) if match[0]]


def _match_text(match: re.Match[str]) -> str:
    return match[0]


def _match_lengths(pattern: str) -> tuple[int, int | None]:
    """Return the least and the largest length of a match; 0 and None where this Python does not tell."""
    parser = getattr(re, "_parser", None)  # not public, but the only place where the answer is
    if parser is None:
        return 0, None
    shortest, longest = parser.parse(pattern).getwidth()
    return int(shortest), int(longest)
