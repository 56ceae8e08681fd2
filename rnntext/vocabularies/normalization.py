"""What every vocabulary does in the same way: the normal form of a token, and the list kept as JSON."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from rnntext.errors import DataError

UnicodeForm = Literal["none", "NFC", "NFKC"]

SPECIAL_TOKENS = ("<pad>", "<unk>")
"""The tokens of ids 0 and 1. The names are reserved: the same word in a text is an unknown token."""


def normalizer(lowercase: bool, unicode_form: UnicodeForm) -> Callable[[str], str]:
    """Return the function from a raw token to the form under which it is looked up; twice is as once."""
    if unicode_form == "none":
        return str.lower if lowercase else str
    return partial(_normalize, lowercase=lowercase, form=unicode_form)


def _normalize(token: str, lowercase: bool, form: Literal["NFC", "NFKC"]) -> str:
    if token.isascii():  # already normal, and by far the most frequent case
        return token.lower() if lowercase else token
    token = unicodedata.normalize(form, token)
    # Lower-casing can take a token out of its normal form: where only the small letter has an accented one.
    return unicodedata.normalize(form, token.lower()) if lowercase else token


def ids_by_token(tokens: list[str]) -> dict[str, int]:
    """Return the id of each token but the special ones, which no text may name."""
    first = len(SPECIAL_TOKENS)
    return {token: token_id for token_id, token in enumerate(tokens[first:], first)}


def tokens_from_json(values: Mapping[str, Any]) -> list[str]:
    """Return the tokens, by id, that a vocabulary's ``to_json`` gave.

    Raises:
        DataError: the values are not such a list.
    """
    tokens = values.get("tokens") if isinstance(values, Mapping) else None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise _damaged("it has no list of strings called 'tokens'")
    if tuple(tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
        raise _damaged(f"its tokens do not begin with {' and '.join(SPECIAL_TOKENS)}")
    if len(set(tokens)) < len(tokens):
        repeated, _ = Counter(tokens).most_common(1)[0]
        raise _damaged(f"the token {repeated!r} has two ids")
    return list(tokens)


def _damaged(reason: str) -> DataError:
    return DataError(f"the stored vocabulary is damaged: {reason}. Copy it from the original run, or train again")
