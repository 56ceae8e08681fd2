"""Vocabulary ``subword``: the pieces that the training split was cut into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from rnntext import registry
from rnntext.contracts import UNKNOWN_ID, Vocabulary


class SubwordVocabulary:
    """The pieces that occur in the training split, the most frequent first; a blank before a piece belongs to it.

    Choose it for tokens of the tokenizer ``subword``. Any white space before a piece counts as one blank. A piece
    that is known the other way alone, with a blank or without, has that one's id: at the start of a text, where no
    blank can be, the word is known all the same.

    Args:
        min_count: a piece that occurs less often in the training split is unknown.
        lowercase: whether pieces are looked up in lower case.
    """

    contract = 1

    def __init__(self, *, min_count: Annotated[int, Field(ge=1)] = 1, lowercase: bool = True) -> None:
        # By its published name: parts of rnntext are no modules to import from, and its options are a contract.
        frequency = registry.get("vocabularies", "rnntext/frequency")
        self._pieces: Vocabulary = frequency(min_count=min_count, lowercase=lowercase)

    def fit(self, counts: Mapping[str, int]) -> None:
        """Take the pieces that occur often enough.

        Raises:
            DataError: there are pieces, but none occurs ``min_count`` times.
        """
        sums: Counter[str] = Counter()
        for piece, count in counts.items():
            sums[_with_one_blank(piece)] += count
        self._pieces.fit(sums)

    def normalize(self, token: str) -> str:
        """Return a piece in Unicode's form NFC, with one blank before it or none, and in lower case if asked for."""
        return self._pieces.normalize(_with_one_blank(token))

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each piece, else that of its twin with or without a blank, else 1."""
        pieces = [_with_one_blank(token) for token in tokens]
        ids = self._pieces.encode(pieces)
        missing = [place for place, found in enumerate(ids) if found == UNKNOWN_ID]
        twins = self._pieces.encode([_twin(pieces[place]) for place in missing])
        for place, found in zip(missing, twins, strict=True):
            ids[place] = found
        return ids

    def __len__(self) -> int:
        return len(self._pieces)

    def token(self, token_id: int) -> str:
        """Return the piece of an id."""
        return self._pieces.token(token_id)

    def to_json(self) -> dict[str, Any]:
        """Return the pieces in the order of their ids."""
        return self._pieces.to_json()

    def from_json(self, values: dict[str, Any]) -> None:
        """Take back what ``to_json`` gave.

        Raises:
            DataError: the values are not such a list of pieces.
        """
        self._pieces.from_json(values)


def _with_one_blank(piece: str) -> str:
    letters = piece.lstrip()
    return f" {letters}" if letters and len(letters) < len(piece) else piece


def _twin(piece: str) -> str:
    return piece[1:] if piece.startswith(" ") else f" {piece}"
