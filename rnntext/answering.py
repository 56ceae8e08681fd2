"""Lines in, answers out: the protocol of ``rnntext predict``.

A line that starts with ``{`` is JSON with ``text`` or ``tokens`` (an ``id`` is echoed); any other line is the text
itself. A line that cannot be read gives ``{"line": n, "error": "..."}`` in its place.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnntext.aligning import locate
from rnntext.errors import UsageError
from rnntext.inputs import Text, as_example, windows
from rnntext.prediction import TrainedModel

LINES_A_WINDOW = 1024
_no_cell = re.compile(r"[\t\r\n]")


def answer_lines(
    model: TrainedModel,
    lines: Iterable[bytes],
    top_k: int | None = None,
    *,
    at_once: bool = False,
    sentences: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield one object for each line, in order, in flat memory.

    Args:
        model: answers the texts.
        lines: UTF-8, with or without line ends.
        top_k: as of ``TrainedModel``.
        at_once: answer each line before the next is read, for a person at a terminal.
        sentences: read each sentence of a text on its own; for heads that can join the answers.
    """
    most = 1 if at_once else LINES_A_WINDOW
    points = getattr(model.model.head, "points_at_tokens", False)
    for window in windows(enumerate(lines, 1), most, lambda numbered: len(numbered[1])):
        read = [_read(number, line, points) for number, line in window]
        texts = [text for text, error in read if error is None and text is not None]
        answers = model.pipe(texts, top_k=top_k, sentences=sentences)
        for _, error in read:
            yield next(answers).to_dict() if error is None else error


def columns_of(answer: Mapping[str, Any]) -> str:
    """Return an answer in the columns of CoNLL: a line for each token, token and tag, and a blank line at each end.

    The columns are parted by a tab, since a token may hold blanks: read them with ``separator = "tab"``. Its tabs and
    line breaks are written as blanks, and a token of blanks alone as an underscore. An ``id`` stands before, as a
    comment, read with ``comment_prefix = "#"``.

    Raises:
        UsageError: the answer is not one of tags.
    """
    tokens = answer.get("tokens")
    if tokens is None:
        raise UsageError("columns are for models that tag tokens, and this one does not; leave --format out")
    lines = [f"# id = {_cell(str(answer['id']))}"] if "id" in answer else []
    begins = set(answer.get("sentences", [])[1:])
    for number, token in enumerate(tokens):
        lines += [""] if number in begins else []
        lines.append(f"{_cell(token['text'])}\t{token['tag']}")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    """Return a text that may stand between tabs."""
    cell = _no_cell.sub(" ", text)
    return cell if cell.strip(" ") else "_"


def _read(number: int, line: bytes, points: bool) -> tuple[Text | None, dict[str, Any] | None]:
    """Return the text of a line, or what is wrong with it; ``points``: whether its tokens must stand in its text."""
    try:
        text = line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
        if not text.startswith("{"):
            return text, None
        values = json.loads(text, parse_constant=_refuse_constant)
        example = as_example(values)
        if points and example.tokens is not None:
            locate(example.text, example.tokens)
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
