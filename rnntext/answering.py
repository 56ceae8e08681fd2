"""Lines in, answers out: the protocol of ``rnntext predict``.

A line that starts with ``{`` is JSON with ``text`` or ``tokens`` (an ``id`` is echoed); any other line is the text
itself. A line that cannot be read gives ``{"line": n, "error": "..."}`` in its place.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnntext.errors import UsageError
from rnntext.prediction import Text, TrainedModel, as_example, windows

LINES_A_WINDOW = 1024


def answer_lines(
    model: TrainedModel, lines: Iterable[bytes], top_k: int | None = None, *, at_once: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield one object for each line, in order, in flat memory.

    Args:
        model: answers the texts.
        lines: UTF-8, with or without line ends.
        top_k: give only so many labels with their probabilities.
        at_once: answer each line before the next is read, for a person at a terminal.
    """
    most = 1 if at_once else LINES_A_WINDOW
    for window in windows(enumerate(lines, 1), most, lambda numbered: len(numbered[1])):
        read = [_read(number, line) for number, line in window]
        answers = model.pipe([text for text, error in read if error is None and text is not None], top_k=top_k)
        for _, error in read:
            yield next(answers).to_dict() if error is None else error


def _read(number: int, line: bytes) -> tuple[Text | None, dict[str, Any] | None]:
    try:
        text = line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
        if not text.startswith("{"):
            return text, None
        values = json.loads(text, parse_constant=_refuse_constant)
        as_example(values)
    except UnicodeDecodeError as error:
        return None, {"line": number, "error": f"byte {error.start + 1} of the line is not UTF-8"}
    except (ValueError, RecursionError) as error:
        return None, {"line": number, "error": f"starts with {{ but is not JSON: {error}"}
    except UsageError as error:
        return None, {"line": number, "error": str(error)}
    return values, None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


@contextmanager
def text_lines_of(file: str, texts: list[str] | None) -> Iterator[Iterable[bytes]]:
    """Give the lines of a file, of standard input (``-``), or the texts themselves.

    Raises:
        UsageError: the file cannot be read.
    """
    if texts is not None:
        yield [json.dumps({"text": text}).encode() for text in texts]
    elif file == "-":
        yield sys.stdin.buffer
    else:
        path = Path(file)
        if not path.is_file():
            reason = "is a folder" if path.is_dir() else "there is no such file"
            raise UsageError(f"cannot read {file}: {reason}. For a text on the command line: --text")
        with open(path, "rb") as stream:
            yield stream
