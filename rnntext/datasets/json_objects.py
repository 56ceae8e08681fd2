"""A line of JSON lines: read strictly, so that nothing is taken for something else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from rnntext.datasets.rows import repeated
from rnntext.errors import DataError


def json_object(line: str, expected: str) -> dict[str, Any]:
    """Return the object that a line holds.

    Args:
        line: the line.
        expected: how such a line is written, for messages.

    Raises:
        DataError: the line holds something else, or an object with a key twice; without file and line.
    """
    if line.lstrip().startswith("["):  # before parsing: a file that is one array may be one very long line
        raise DataError(f"this is a JSON array; {expected}. A file that is one array is converted by: jq -c '.[]'")
    try:
        value = _decoder.decode(line)
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON at column {error.pos + 1}: {error.msg}; {expected}") from None
    except RecursionError:
        raise DataError("this JSON is nested too deeply; keep all values at the top") from None
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"a number cannot be read: {error}; write it as a string") from None
    if not isinstance(value, dict):
        raise DataError(f"this is JSON, but not an object; {expected}")
    return value


def refuse_half_characters(strings: Iterable[str]) -> None:
    r"""Refuse strings that no file can hold; only an escape such as ``\ud83d`` can have put them into a line.

    Raises:
        DataError: one has half of a surrogate pair; without file and line.
    """
    for string in strings:
        try:
            string.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(string[error.start]):04x}"
            message = f"{half} is one half of a character without its other half; write the whole character"
            raise DataError(message) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        doubled = repeated(key for key, _ in pairs)[0]
        raise DataError(f"the key {doubled!r} is there twice in one object; keep one")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise DataError(f"{name} is not JSON; write null or a string")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
