"""JSON Schema of recipes, for editors: made from the same signatures that check them.

Draft 4, since the TOML engines of common editors read no later one.
"""

from __future__ import annotations

from typing import Any

from rnntext import registry
from rnntext.options import REQUIRED, Option, json_schema, options_of
from rnntext.tables import CORE_TABLES, PART_TABLES, TABLES, SplitOptions, TopLevel

DRAFT = "http://json-schema.org/draft-04/schema#"


def recipe_schema() -> dict[str, Any]:
    """Return the schema of a recipe with all parts that are known here."""
    properties = _properties(options_of(TopLevel))
    for table in TABLES:
        if table in CORE_TABLES:
            properties[table] = _table(_properties(options_of(CORE_TABLES[table])))
        else:
            properties[table] = _part_table(table)
    return {
        "$schema": DRAFT,
        "title": "rnntext recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _part_table(table: str) -> dict[str, Any]:
    """Return one alternative for each part of a kind; what a table may hold depends on its type.

    None requires ``type``: it may stand in the parent that a recipe extends.
    """
    kind = PART_TABLES[table]
    alternatives = []
    for entry, part in registry.load_all(kind)[0]:
        names = list(dict.fromkeys([registry.recipe_name(entry), entry.full_name]))
        names += [alias for alias, name in registry.ALIASES.get(kind, {}).items() if name == entry.name]
        properties = {"type": {"enum": names, "description": _first_line(part)}}
        if table == "dataset":
            properties.update(_properties(options_of(SplitOptions)))
        properties.update(_properties(options_of(part, kind)))
        alternatives.append(_table(properties))
    schema: dict[str, Any] = {"anyOf": alternatives}
    if table == "embedding":
        schema["anyOf"] = [*alternatives, {"type": "array", "minItems": 1, "items": {"anyOf": alternatives}}]
    return schema


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _properties(options: Any) -> dict[str, Any]:
    return {name: _property(option) for name, option in options.items()}


def _property(option: Option) -> dict[str, Any]:
    schema = _draft_4(json_schema({option.name: option})["properties"][option.name])
    schema.pop("title", None)
    if option.help:
        schema["description"] = option.help
    if option.default is not REQUIRED and option.default is not None:
        schema["default"] = list(option.default) if isinstance(option.default, tuple) else option.default
    else:
        schema.pop("default", None)
    return dict(schema)


def _draft_4(schema: Any) -> Any:
    """Rewrite what later drafts say otherwise: exclusive bounds, constants, keys, null (which TOML has not)."""
    if isinstance(schema, list):
        return [_draft_4(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rewritten = {key: _draft_4(value) for key, value in schema.items()}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in rewritten:
            rewritten[bound] = rewritten[exclusive]
            rewritten[exclusive] = True
    if names := rewritten.pop("propertyNames", {}).get("enum"):
        rewritten["properties"] = dict.fromkeys(names, rewritten["additionalProperties"])
        rewritten["additionalProperties"] = False
    if "const" in rewritten:
        rewritten["enum"] = [rewritten.pop("const")]
    if "anyOf" in rewritten:
        choices = [choice for choice in rewritten["anyOf"] if choice.get("type") != "null"]
        if len(choices) == 1:
            rewritten.pop("anyOf")
            rewritten.update(choices[0])
        else:
            rewritten["anyOf"] = choices
    return rewritten


def _first_line(part: type) -> str:
    return (part.__doc__ or "").strip().splitlines()[0] if part.__doc__ else ""
