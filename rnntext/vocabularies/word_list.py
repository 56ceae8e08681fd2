"""A vocabulary from a file: the same ids whatever the training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnntext.contracts import UNKNOWN_ID, FilePath
from rnntext.errors import DataError
from rnntext.vocabularies.normalization import (
    SPECIAL_TOKENS,
    UnicodeForm,
    ids_by_token,
    normalizer,
    tokens_from_json,
)


class WordListVocabulary:
    """The tokens of a file, in its order, whether or not they occur in the training split.

    Choose it to give several models the same ids, or to keep words of the training texts out of the model.
    The file is read while training only; a trained model keeps the tokens itself. ``<pad>`` and ``<unk>`` need not
    be listed, and may not: they are always ids 0 and 1.

    Args:
        path: text file in UTF-8, one token a line.
        lowercase: whether tokens, those of the file too, are looked up in lower case.
        unicode_form: NFC (an accented letter is one however typed), NFKC (also ﬁ as fi, full width as half), none.
    """

    contract = 1

    def __init__(self, *, path: FilePath, lowercase: bool = True, unicode_form: UnicodeForm = "NFC") -> None:
        self._path = path
        self._normalize = normalizer(lowercase, unicode_form)
        self._set(list(SPECIAL_TOKENS))

    def fit(self, counts: Mapping[str, int]) -> None:
        """Read the file; what the training split holds plays no part.

        Raises:
            DataError: the file cannot be read, or a line of it is not one new token.
        """
        self._set([*SPECIAL_TOKENS, *_read_tokens(self._path, self._normalize)])

    def normalize(self, token: str) -> str:
        """Return the token in the recipe's Unicode form and, if asked for, in lower case."""
        return self._normalize(token)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each raw token, 1 where it is not in the list."""
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
        """Take back what ``to_json`` gave, without the file.

        Raises:
            DataError: the values are not such a list of tokens.
        """
        self._set(tokens_from_json(values))

    def _set(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._ids = ids_by_token(tokens)


def _read_tokens(path: str, normalize: Callable[[str], str]) -> Iterator[str]:
    lines_by_token: dict[str, int] = {}
    lines = [line.removesuffix("\r") for line in _read_text(path).split("\n")]
    while not lines[-1].strip():
        lines.pop()
    for line, raw in enumerate(lines, 1):
        if not raw.strip():
            raise DataError("a blank line; expected one token a line. Remove the line", path, line)
        if raw != raw.strip() or "\t" in raw or "\r" in raw:
            hint = "Remove the white space around the token, and further columns"
            raise DataError(f"{raw!r} is not one token; expected one token a line. {hint}", path, line)
        token = normalize(raw)
        if token in SPECIAL_TOKENS:
            raise DataError(f"{raw!r} has its id without being listed. Remove the line", path, line)
        if token in lines_by_token:
            same = f"the same token as line {lines_by_token[token]}"
            hint = "Remove one of them, or set vocabulary.lowercase and vocabulary.unicode_form to tell them apart"
            raise DataError(f"{raw!r} is {same}. {hint}", path, line)
        lines_by_token[token] = line
        yield token


def _read_text(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}. Give another vocabulary.path", path) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f"byte offset {error.start} of the file"
        raise DataError(
            f"not UTF-8: {data[error.start]:#04x} at {place}. Save the file as UTF-8", path, line
        ) from error
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise DataError("holds no token; expected one token a line", path)
    return text
