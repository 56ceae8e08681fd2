"""``rnntext check-plugin``: parts put through the checks of ``rnntext.testing``, and what came of it as a table."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext import registry
from rnntext.contracts import KINDS, Example
from rnntext.discovery import normalized
from rnntext.errors import RnntextError, UnknownNameError, UsageError, counted, suggest
from rnntext.terminal import console

if TYPE_CHECKING:
    from rnntext.recipe import PartChoice, Recipe
    from rnntext.testing import Subject

MOST_EXAMPLES = 12
"""Examples that are taken from a recipe's data, ..."""
MOST_ALIKE = 4
"""... of which so many may have the same label, ..."""
MOST_ROWS = 100_000
"""... from so many rows at most: a file may hold all texts of one label before those of the next."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check of one part."""

    kind: str
    name: str
    check: str
    result: str
    """passed, FAILED or n/a."""
    reason: str = ""


def check_plugin(given: Namespace) -> int:
    """Check what a name stands for, print a table, and return 1 if a check failed."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from rnntext.recipe_source import parse_settings

    outcomes = list(outcomes_of(given.name, given.kind, parse_settings(given.settings), given.recipes))
    table = Table(box=SIMPLE)
    for heading in ("part", "check", "result", "reason"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        part = f"{registry.singular(outcome.kind)} {outcome.name}"
        table.add_row(part, outcome.check, outcome.result, Text(outcome.reason))  # [B, T] is no markup
    results = Counter(outcome.result for outcome in outcomes)
    made = results["passed"] + results["FAILED"]
    printed = console()
    printed.print(table)
    left_out = f"; {results['n/a']} do not apply" if results["n/a"] else ""
    printed.print(f"{results['passed']} of {counted(made, 'check')} passed{left_out}")
    return 1 if results["FAILED"] else 0


def outcomes_of(
    name: str, kind: str | None, settings: Mapping[str, Any], recipes: Sequence[str | Path]
) -> Iterator[Outcome]:
    """Yield what comes of each check of each part that a name stands for.

    Args:
        name: of a part, bare or ``distribution/name``, or of a distribution, which means all its parts.
        kind: one of ``contracts.KINDS``; any if None.
        settings: ``table.key`` -> value, options of the parts.
        recipes: files; options of a part, and texts for it, come from the first that uses it.

    Raises:
        UsageError: nothing is called that, or a setting is for no part that is checked.
        RecipeError: a recipe is not valid.
    """
    from rnntext.testing import Subject

    found = parts_called(name, kind)
    own: dict[str, dict[str, Any]] = {part_kind: {} for part_kind, _ in found}
    tables = {registry.singular(part_kind): part_kind for part_kind in own}
    for key, value in settings.items():
        table, _, option = key.partition(".")
        if table not in tables or not option:
            raise UsageError(
                f"--set {key}: what is checked is set by {', '.join(f'{each}.OPTION' for each in tables)}"
            )
        own[tables[table]][option] = value
    subjects = []
    for part_kind, part_name in found:
        subject = Subject(part_kind, part_name, own[part_kind])
        try:
            part = subject.part
        except RnntextError as error:
            yield Outcome(part_kind, part_name, "registered", "FAILED", f"{error}")
            continue
        _take_from_recipes(subject, part, recipes)
        _refuse_missing(subject, part)
        subjects.append(subject)
    # Only now: what is missing for the last part is told before the checks of the first.
    for subject in subjects:
        yield from checked(subject)


def checked(subject: Subject) -> Iterator[Outcome]:
    """Yield what comes of each check of a part."""
    from rnntext.testing import DoesNotApplyError, Nonconforming, checks_of

    for check in checks_of(subject.kind):
        result, reason = "passed", ""
        try:
            check(subject)
        except DoesNotApplyError as error:
            result, reason = "n/a", str(error)
        except Nonconforming as error:
            result, reason = "FAILED", str(error)
        yield Outcome(subject.kind, subject.name, check.name, result, reason)


def parts_called(name: str, kind: str | None) -> list[tuple[str, str]]:
    """Return (kind, name) of each part that a name stands for.

    Raises:
        UnknownNameError: it stands for none.
    """
    kinds = KINDS if kind is None else (kind,)
    entries = [entry for each in kinds for entry in registry.entries(each)]
    of_package = [entry for entry in entries if normalized(entry.distribution) == normalized(name)]
    if of_package:
        return [(entry.kind, entry.full_name) for entry in of_package]
    found = []
    for each in kinds:
        try:
            registry.canonical_name(each, name)
        except UnknownNameError:
            if any(entry.kind == each and entry.name == name for entry in entries):  # several packages have it
                raise
            continue
        found.append((each, name))
    if found:
        return found
    known = dict.fromkeys([entry.name for entry in entries] + [entry.distribution for entry in entries])
    where = f" among the {kind}" if kind else ""
    raise UnknownNameError(
        f"no part and no installed package with parts is called {name!r}{where}.{suggest(name, known)} "
        "More: rnntext list"
    )


def _take_from_recipes(subject: Subject, part: type, recipes: Sequence[str | Path]) -> None:
    """Give a part the options, and texts as it is made for, of the first recipe that uses it."""
    from rnntext.recipe import read_recipe

    for path in recipes:
        recipe = read_recipe(path)
        choice = next((each for each in _choices(recipe) if each.kind == subject.kind and each.part is part), None)
        if choice is None:
            continue
        given = {key: value for key, value in choice.options.items() if value is not None}
        subject.options = {**given, **subject.options}
        if subject.kind != "datasets" and not recipe.needs:
            subject.examples = _some_examples(recipe)
        return


def _refuse_missing(subject: Subject, part: type) -> None:
    from rnntext.options import options_of

    try:
        required = [option for option in options_of(part, subject.kind).values() if option.required]
    except NameError:  # annotations that cannot be read, which a check will say
        return
    for option in required:
        if option.name not in subject.options:
            key = f"{registry.singular(subject.kind)}.{option.name}"
            raise UsageError(
                f"{subject.name!r} needs {option.name}: {option.help} Give --set {key}=VALUE, or with --recipe a "
                "recipe that uses it"
            )


def _choices(recipe: Recipe) -> list[PartChoice]:
    return [recipe.dataset, recipe.tokenizer, recipe.vocabulary, *recipe.embeddings, recipe.encoder, recipe.head]


def _some_examples(recipe: Recipe) -> tuple[Example, ...]:
    """Return some examples of the training split, not all with the same label."""
    taken: list[Example] = []
    alike: Counter[Any] = Counter()
    for example in islice(recipe.dataset.build().read("train"), MOST_ROWS):
        if example.label is not None and alike[example.label] >= MOST_ALIKE:
            continue
        alike[example.label] += 1
        taken.append(example)
        if len(taken) == MOST_EXAMPLES:
            break
    return tuple(taken)
