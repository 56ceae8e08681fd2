"""What ``rnntext list`` shows: every part with its package, and of one kind what its options are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnntext import registry
from rnntext.contracts import KINDS
from rnntext.discovery import OWN_DISTRIBUTION


def lines_of_all() -> Iterator[str]:
    """Yield a line for each part of each kind, from metadata alone: no part is imported."""
    of_packages = False
    for kind in KINDS:
        yield kind
        found = registry.entries(kind)
        width = max(len(registry.recipe_name(entry)) for entry in found)
        for entry in found:
            of_packages |= entry.distribution != OWN_DISTRIBUTION
            name = registry.recipe_name(entry)
            yield f"  {name:<{width}}  {entry.distribution} {entry.version}".rstrip() + _remark(entry)
    if of_packages:
        yield "Names of other packages are taken from metadata; rnntext list KIND imports them, and says what fails."


def _remark(entry: registry.Entry) -> str:
    """Say by which other names a part goes, or why its bare name is not enough."""
    others = [alias for alias, name in registry.ALIASES.get(entry.kind, {}).items() if name == entry.name]
    if entry.distribution == OWN_DISTRIBUTION:
        return f" (also: {', '.join(others)})" if others else ""
    if registry.recipe_name(entry) == entry.name:
        return ""
    rivals = [each.distribution for each in registry.entries(entry.kind) if each.name == entry.name and each != entry]
    return f" ({', '.join(rivals) or OWN_DISTRIBUTION} has a part called {entry.name}, too)"


def lines_of_kind(kind: str) -> Iterator[str]:
    """Yield what the parts of a kind are and which options each takes; parts that cannot be had, with the reason."""
    from rnntext.options import options_of, type_text

    loaded, failed = registry.load_all(kind)
    for entry, part in loaded:
        yield f"{registry.recipe_name(entry)}  ({entry.distribution} {entry.version})"
        if part.__doc__:
            yield f"  {part.__doc__.strip().splitlines()[0]}"
        for option in options_of(part, kind).values():
            default = "required" if option.required else f"default {as_toml(option.default)}"
            yield f"    {option.name}: {type_text(option)}; {default}"
            if option.help:
                yield f"        {option.help}"
        yield ""
    for entry, error in failed:
        yield f"{registry.recipe_name(entry)}  ({entry.distribution} {entry.version})"
        yield f"  FAILED: {error}"
        yield ""


def as_toml(value: Any) -> str:
    """Return a value as a recipe would hold it, on one line."""
    import tomlkit

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return table.as_string()
    return "(none)" if value is None else tomlkit.item(value).as_string()
