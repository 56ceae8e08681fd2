"""Questions: texts with blanks, what stood there, and what may be chosen from; read from rows of JSON, or cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rnntext.contracts import MARK, Example
from rnntext.datasets.json_objects import json_object, refuse_half_characters
from rnntext.datasets.rows import repeated, text_lines
from rnntext.errors import DataError, counted, suggest

if TYPE_CHECKING:
    import numpy as np

blanks_of = re.compile(f"{MARK}_*").findall
ANSWER, CHOICES = "answer", "choices"
OBJECT = 'one object a line is needed, such as {"text": "We ____ at noon.", "answer": "ate"}'
_words_and_blanks = re.compile(f"{MARK}_*|[a-z]+").findall
_words = re.compile("[a-z]+").findall


def questions(path: str, text_field: str, letters_only: bool) -> Iterator[Example]:
    """Yield an example for each object of a file of JSON lines, questions and plain texts alike.

    Args:
        path: the file.
        text_field: the key of the text.
        letters_only: whether answers and choices keep nothing but a to z; texts are not touched.

    Raises:
        DataError: the file or a line of it cannot be used.
    """
    for number, line in text_lines(path):
        if line.strip():
            try:
                example = _example(json_object(line, OBJECT), text_field, letters_only)
                if "\\ud" in line or "\\uD" in line:
                    label = example.label or ()
                    labels = (label,) if isinstance(label, str) else label
                    refuse_half_characters([example.text, *labels, *sum(example.choices or (), ())])
            except DataError as error:
                raise DataError(error.message, path, number) from None
            yield replace(example, line=number)


def letters(text: str) -> str:
    """Return the words of a text in lower case, of letters from a to z alone, and its blanks."""
    return " ".join(_words_and_blanks(text.lower()))


def drawn_apart(places: list[int], number: int, random: np.random.Generator) -> list[int]:
    """Return so many of the places, drawn one by one; no two are neighbours, unless that cannot be."""
    if _most_apart(places) < number:
        return [int(place) for place in random.choice(places, number, replace=False)]
    drawn: list[int] = []
    while len(drawn) < number:
        for place in random.permutation(places).tolist():
            left = [other for other in places if abs(other - place) > 1]
            if len(drawn) + 1 + _most_apart(left) >= number:  # else this place would leave too few
                drawn.append(place)
                places = left
                break
    return drawn


def _example(row: Mapping[str, Any], text_field: str, letters_only: bool) -> Example:
    if text_field not in row:
        shown = ", ".join(row) or "none"
        message = f"no key {text_field!r}; its keys: {shown}.{suggest(text_field, row)}"
        raise DataError(f"{message} Set dataset.text_field, or give the row a text")
    text = row[text_field]
    if not isinstance(text, str):
        fault = "is null" if text is None else f"is {_shown(text)}, not a string"
        raise DataError(f"the text in {text_field!r} {fault}; write a string")
    clean = _only_letters if letters_only else _not_blank
    num_blanks = len(blanks_of(text))
    given = {key: row[key] for key in (ANSWER, CHOICES) if row.get(key) is not None}
    if given and not num_blanks:
        key = next(iter(given))
        raise DataError(f"there is {key!r}, but no blank in the text; write {MARK} in it, or take {key!r} out")
    answers = _answers(given[ANSWER], num_blanks, clean) if ANSWER in given else None
    choices = _choices(given[CHOICES], num_blanks, clean) if CHOICES in given else None
    for answer, several in zip(answers or (), choices or (), strict=False):
        if answer not in several:
            raise DataError(f"the answer {answer!r} is not among its choices, {', '.join(several)}; add it")
    return Example(text, label=answers if answers is None or num_blanks > 1 else answers[0], choices=choices)


def _answers(value: Any, num_blanks: int, clean: Callable[[str, str], str]) -> tuple[str, ...]:
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f"{ANSWER!r} is {_shown(value)}; write a string, or for several blanks a list of strings")
    if len(answers) != num_blanks:
        message = f"{counted(len(answers), 'answer')} for {counted(num_blanks, 'blank')} ({MARK}) in the text"
        raise DataError(f"{message}; write one for each, in order")
    return tuple(clean(answer, "answer") for answer in answers)


def _choices(value: Any, num_blanks: int, clean: Callable[[str, str], str]) -> tuple[tuple[str, ...], ...]:
    lists = [value] if num_blanks == 1 and not _is_list_of(value, list) else value
    if not _is_list_of(lists, list) or not all(_is_list_of(several, str) for several in lists):
        wanted = "a list of strings" if num_blanks == 1 else "a list of lists of strings, one list for each blank"
        raise DataError(f"{CHOICES!r} is {_shown(value)}; write {wanted}")
    if len(lists) != num_blanks:
        message = f"{counted(len(lists), 'list')} of choices for {counted(num_blanks, 'blank')} ({MARK}) in the text"
        raise DataError(f"{message}; write one for each, in order")
    return tuple(_cleaned(several, clean) for several in lists)


def _cleaned(several: Sequence[str], clean: Callable[[str, str], str]) -> tuple[str, ...]:
    cleaned = tuple(clean(choice, "choice") for choice in several)
    if doubled := repeated(cleaned):
        raise DataError(f"{doubled[0]!r} is among the choices more than once; write each once")
    return cleaned


def _not_blank(word: str, what: str) -> str:
    if not word.strip():
        raise DataError(f"the {what} {word!r} is blank; write a word, or leave {what} out")
    return word.strip()


def _only_letters(word: str, what: str) -> str:
    if not (cleaned := " ".join(_words(word.lower()))):
        raise DataError(f"the {what} {word!r} has no letter from a to z, which dataset.letters_only asks for")
    return cleaned


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "..."


def _most_apart(places: Sequence[int]) -> int:
    """Return how many of these places, in order, can be taken with no two neighbours among them."""
    count, last = 0, -2
    for place in places:
        if place > last + 1:
            count, last = count + 1, place
    return count
