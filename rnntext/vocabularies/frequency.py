"""The vocabulary of the training split: its tokens by how often they occur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from rnntext.contracts import UNKNOWN_ID
from rnntext.errors import DataError
from rnntext.vocabularies.normalization import (
    SPECIAL_TOKENS,
    UnicodeForm,
    ids_by_token,
    normalizer,
    tokens_from_json,
)


class FrequencyVocabulary:
    """The most frequent tokens of the training split, the most frequent first, ties by code point.

    Choose it unless a list of words is given. ``<pad>`` and ``<unk>`` are reserved: the same word in a text is an
    unknown token, as is one that cannot be stored as UTF-8 (a lone surrogate).

    Args:
        min_count: a token that occurs less often in the training split is unknown.
        max_size: keep at most so many tokens, <pad> and <unk> included; none: all.
        lowercase: whether tokens are looked up in lower case.
        unicode_form: NFC (an accented letter is one however typed), NFKC (also ﬁ as fi, full width as half), none.
    """

    contract = 1

    def __init__(
        self,
        *,
        min_count: Annotated[int, Field(ge=1)] = 1,
        max_size: Annotated[int, Field(ge=3)] | None = None,
        lowercase: bool = True,
        unicode_form: UnicodeForm = "NFC",
    ) -> None:
        self._min_count = min_count
        self._max_size = max_size
        self._normalize = normalizer(lowercase, unicode_form)
        self._set(list(SPECIAL_TOKENS))

    def fit(self, counts: Mapping[str, int]) -> None:
        """Take the tokens that occur often enough, after summing the counts of those with one normal form.

        Raises:
            DataError: there are tokens, but none occurs ``min_count`` times.
        """
        sums: Counter[str] = Counter()
        for raw, count in counts.items():
            sums[self._normalize(raw)] += count
        for special in SPECIAL_TOKENS:
            del sums[special]
        kept = [(token, count) for token, count in sums.items() if count >= self._min_count and _is_storable(token)]
        if counts and not kept:
            raise DataError(
                f"no token of the training split occurs {self._min_count} times; "
                "lower vocabulary.min_count, or look at what the tokenizer makes of the texts"
            )
        kept.sort(key=lambda item: (-item[1], item[0]))
        self._set([*SPECIAL_TOKENS, *(token for token, _ in kept)][: self._max_size])

    def normalize(self, token: str) -> str:
        """Return the token in the recipe's Unicode form and, if asked for, in lower case."""
        return self._normalize(token)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each raw token, 1 where it is unknown."""
        find, normalize = self._ids.get, self._normalize
        return [find(normalize(token), UNKNOWN_ID) for token in tokens]

    def __len__(self) -> int:
        return len(self._tokens)

    def token(self, token_id: int) -> str:
        """Return the token of an id from 0 to ``len(self) - 1``."""
        if token_id < 0:
            raise IndexError(f"no token has the id {token_id}")
        return self._tokens[token_id]

    def to_json(self) -> dict[str, Any]:
        """Return the tokens in the order of their ids."""
        return {"tokens": list(self._tokens)}

    def from_json(self, values: dict[str, Any]) -> None:
        """Take back what ``to_json`` gave.

        Raises:
            DataError: the values are not such a list of tokens.
        """
        self._set(tokens_from_json(values))

    def _set(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._ids = ids_by_token(tokens)


def _is_storable(token: str) -> bool:
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True
