"""What installed packages offer: entry points, read from their metadata without importing any of their code.

A package offers a part by an entry point in the group of its kind, ``rnntext.encoders`` for encoders, whose value is
``module:Class``; and recipes by one in the group ``rnntext.recipes``, whose value is its import package. The
environment variable ``RNNTEXT_PLUGINS`` allows only some packages (names, separated by commas), or none where it is
empty; unset, it allows all.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions

from rnntext.contracts import KINDS

ALLOWED = "RNNTEXT_PLUGINS"
OWN_DISTRIBUTION = "rnntext"
RECIPES = "recipes"
"""Stands where the kind of a part would, of what is offered in the group ``rnntext.recipes``."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One part, or folder of recipes, that a package says it has."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    """``module:Class``; of recipes the import package."""


def offers(kind: str) -> list[Offer]:
    """Return what allowed packages offer of a kind, sorted by name, then by package."""
    allowed = allowed_plugins()
    return [
        offer
        for offer in _metadata().offers
        if offer.kind == kind and (allowed is None or normalized(offer.distribution) in allowed)
    ]


def allowed_plugins() -> frozenset[str] | None:
    """Return the packages that ``RNNTEXT_PLUGINS`` allows, in normal form; None if it allows all."""
    value = os.environ.get(ALLOWED)
    return None if value is None else frozenset(normalized(name) for name in value.split(",") if name.strip())


def left_out() -> list[str]:
    """Return the installed packages with parts that ``RNNTEXT_PLUGINS`` does not allow."""
    allowed = allowed_plugins()
    if allowed is None:
        return []
    return sorted(
        {offer.distribution for offer in _metadata().offers if normalized(offer.distribution) not in allowed}
    )


def normalized(name: str) -> str:
    """Return a distribution's name in the one form in which names are compared.

    Source: Python Packaging User Guide, "Names and normalization".
    """
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    try:
        return distribution(name).version
    except (PackageNotFoundError, ValueError):  # an empty name is no distribution's
        return None


def unreadable() -> list[str]:
    """Return the installed packages whose metadata cannot be read, each with the reason: their parts are unknown."""
    return list(_metadata().unreadable)


def refresh() -> None:
    """Read the metadata anew: finds what was installed or removed while this process runs."""
    _metadata.cache_clear()


@dataclass(frozen=True, slots=True)
class _Metadata:
    offers: tuple[Offer, ...]
    unreadable: tuple[str, ...]


@functools.cache
def _metadata() -> _Metadata:
    """Read the metadata, once in a process."""
    kinds = {f"{OWN_DISTRIBUTION}.{kind}": kind for kind in (*KINDS, RECIPES)}
    offered: list[Offer] = []
    faults = []
    seen = {OWN_DISTRIBUTION}
    for found in distributions():
        try:
            name, version, points = found.name, found.version, found.entry_points
        except Exception as error:  # the readers of metadata name no errors, and nobody's fault may stop the others
            faults.append(f"{getattr(found, '_path', 'a package')}: {type(error).__name__}: {error}")
            continue
        # Of two copies on the path the first is the one that is imported.
        if not name or normalized(name) in seen:
            continue
        seen.add(normalized(name))
        offered += [
            Offer(kinds[point.group], point.name, name, version, point.value)
            for point in points
            if point.group in kinds
        ]
    return _Metadata(tuple(sorted(offered, key=lambda offer: (offer.name, offer.distribution))), tuple(faults))
