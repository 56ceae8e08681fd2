"""Checks that any part can be put through, in a test of its package or from the shell.

A package tests what it offers so; the part is looked up in the registry when a check runs, so a missing entry
point fails as a test::

    from rnntext.testing import conformance

    @conformance("encoders", "qrnn", options={"hidden_dim": 8})
    def test_contract(check):
        check()

``rnntext check-plugin NAME`` does the same and prints a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rnntext.contracts import KINDS, Example
from rnntext.errors import UnknownNameError, UsageError, suggest
from rnntext.testing.checks_answers import of_answers
from rnntext.testing.checks_datasets import of_datasets
from rnntext.testing.checks_embeddings import of_embeddings
from rnntext.testing.checks_encoders import of_encoders
from rnntext.testing.checks_every_kind import every_kind, of_modules
from rnntext.testing.checks_heads import of_heads
from rnntext.testing.checks_tokenizers import of_tokenizers
from rnntext.testing.checks_vocabularies import of_vocabularies
from rnntext.testing.subject import Check, DoesNotApplyError, Nonconforming, Subject

__all__ = ["Check", "DoesNotApplyError", "Nonconforming", "Subject", "checks_of", "conformance", "table"]

Test = TypeVar("Test", bound=Callable[..., Any])
_OF_KIND: Mapping[str, Sequence[Sequence[Check]]] = {
    "datasets": [of_datasets],
    "tokenizers": [of_tokenizers],
    "vocabularies": [of_vocabularies],
    "embeddings": [of_modules, of_embeddings],
    "encoders": [of_modules, of_encoders],
    "heads": [of_modules, of_heads, of_answers],
}


def checks_of(kind: str) -> list[Check]:
    """Return the checks of a kind, in the order in which they are made.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in KINDS:
        raise UnknownNameError(f"no kind is called {kind!r}.{suggest(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    *first, last = every_kind  # a whole run is the slowest and says least of where a fault is
    return [*first, *(check for checks in _OF_KIND[kind] for check in checks), last]


def conformance(
    kind: str,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    examples: Sequence[Example] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Test], Test]:
    """Return a decorator that runs a test once for each check of a part: ``def test_contract(check): check()``.

    Nothing of the part is imported before a check runs.

    Args:
        kind: one of ``rnntext.contracts.KINDS``.
        name: of the part, as in a recipe.
        options: of the part, as in a recipe; relative paths start from the current folder.
        examples: texts as the part is made for; needed for a head whose labels the checks cannot invent.
        expected_failures: name of a check -> why the part does not pass it; one that passes after all is a failure.

    Raises:
        UnknownNameError: there is no such kind.
        UsageError: ``expected_failures`` names no check of the kind.
    """
    import pytest

    checks = checks_of(kind)
    expected = dict(expected_failures or {})
    for wrong in set(expected) - {check.name for check in checks}:
        names = [check.name for check in checks]
        hint = suggest(wrong, names)
        raise UsageError(f"no check of {kind} is called {wrong!r}.{hint} Checks: {', '.join(names)}")
    subject = Subject(kind, name, dict(options or {}), tuple(examples or ()))

    def case(check: Check) -> Any:
        def run() -> None:
            try:
                check(subject)
            except DoesNotApplyError as reason:
                pytest.skip(str(reason))

        why = expected.get(check.name)
        marks = [] if why is None else [pytest.mark.xfail(strict=True, reason=why, raises=Nonconforming)]
        return pytest.param(run, id=check.name, marks=marks)

    decorator: Callable[[Test], Test] = pytest.mark.parametrize("check", [case(check) for check in checks])
    return decorator


def table() -> str:
    """Return all checks as a Markdown table: name, what is asked, of which kinds."""
    kinds: dict[str, list[str]] = {}
    purposes: dict[str, str] = {}
    for kind in KINDS:
        for check in checks_of(kind):
            kinds.setdefault(check.name, []).append(kind)
            purposes.setdefault(check.name, check.purpose)
    rows = []
    for name, found in kinds.items():
        purpose = purposes[name].replace("``", "`")
        rows.append(f"| `{name}` | {purpose} | {'all' if len(found) == len(KINDS) else ', '.join(found)} |")
    return "\n".join(["| check | what is asked | kinds |", "| --- | --- | --- |", *rows]) + "\n"
