"""What a model may be given: texts, mappings with ``text`` or ``tokens``; in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from rnntext.aligning import joined
from rnntext.contracts import Example
from rnntext.errors import UsageError

CHARACTERS_A_WINDOW = 1 << 22
"""A window of long texts ends earlier: with the text that makes it so many characters."""

Item = TypeVar("Item")
Text = str | Mapping[str, Any]
"""A text; or a mapping with ``text`` or ``tokens``, and perhaps ``id``, as a line of ``rnntext predict``."""


def as_example(text: Text) -> Example:
    """Return the example of a text, or of a mapping with ``text`` or ``tokens``, and perhaps ``choices``.

    ``choices`` is a list of strings that a blank may be filled with, or a list of such lists, one a blank.

    Raises:
        UsageError: it is neither, or something is there and of another kind; null is as good as nothing.
    """
    if isinstance(text, str):
        return Example(text)
    if isinstance(text, Mapping):
        tokens, whole, choices = text.get("tokens"), text.get("text"), _choices(text.get("choices"))
        if whole is None or isinstance(whole, str):
            if isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens):
                return Example(joined(tokens) if whole is None else whole, tuple(tokens), choices=choices)
            if tokens is None and whole is not None:
                return Example(whole, choices=choices)
        raise UsageError('expected "text" (a string) or "tokens" (a list of strings)')
    raise UsageError(f"expected a text, got {type(text).__name__}: {str(text)[:60]}")


def _choices(given: Any) -> tuple[tuple[str, ...], ...] | None:
    if given is None:
        return None
    groups = given if isinstance(given, list | tuple) and given and isinstance(given[0], list | tuple) else [given]
    for group in groups:
        if not isinstance(group, list | tuple) or not group or not all(isinstance(word, str) for word in group):
            raise UsageError('expected "choices" to be a list of strings, or a list of such lists, one a blank')
    return tuple(map(tuple, groups))


def windows(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield the items in lists, each as soon as it is full: of so many items, or of ``CHARACTERS_A_WINDOW``.

    Args:
        items: read no further than the list that is yielded.
        most: items in a list.
        size: characters of an item.
    """
    window: list[Item] = []
    total = 0
    for item in items:
        window.append(item)
        total += size(item)
        if len(window) >= most or total >= CHARACTERS_A_WINDOW:
            yield window
            window, total = [], 0
    if window:
        yield window
