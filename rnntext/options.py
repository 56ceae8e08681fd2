"""From a constructor's signature to the options of a recipe table: names, types, ranges, defaults, help.

A signature is the only declaration. What an option means is read from the ``Args:`` of the class's docstring.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from rnntext.contracts import WIRED, FileOrName, FilePath
from rnntext.errors import suggest

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a recipe table."""

    name: str
    annotation: Any
    default: Any
    help: str

    @property
    def required(self) -> bool:
        """Whether the recipe must give it."""
        return self.default is REQUIRED

    @property
    def is_path(self) -> bool:
        """Whether its value names a file that must exist."""
        return self._is_marked(FilePath)

    @property
    def may_be_path(self) -> bool:
        """Whether its value is a path only if there is such a file or folder."""
        return self._is_marked(FileOrName)

    def _is_marked(self, kind: Any) -> bool:
        candidates = [self.annotation, *get_args(self.annotation)]
        return any(
            get_origin(candidate) is Annotated and get_args(kind)[1] in get_args(candidate) for candidate in candidates
        )


@dataclass(frozen=True, slots=True)
class Invalid:
    """A value that does not fit its option."""

    key: str
    message: str


@functools.lru_cache(maxsize=256)
def options_of(part: type, kind: str | None = None) -> Mapping[str, Option]:
    """Return the options of a part (``kind`` given: wired arguments left out) or of a core table."""
    wired = WIRED[kind] if kind else frozenset()
    constructor: Any = inspect.getattr_static(part, "__init__")
    if constructor is object.__init__:
        return {}
    hints = get_type_hints(constructor, include_extras=True)
    texts = _argument_texts(part)
    return {
        parameter.name: Option(
            parameter.name, hints[parameter.name], parameter.default, texts.get(parameter.name, "")
        )
        for parameter in list(inspect.signature(constructor).parameters.values())[1:]
        if parameter.name not in wired
    }


def validate(
    options: Mapping[str, Option],
    given: Mapping[str, Any],
    refused: Mapping[str, str],
    others: Collection[str] = (),
) -> tuple[dict[str, Any], list[Invalid]]:
    """Check values against options; return all values with defaults filled in, and every fault.

    Args:
        options: what may be given.
        given: what was given.
        refused: names that people try, with the reason against each.
        others: keys that are valid in the same table but belong to somebody else, for suggestions.
    """
    faults = []
    for key in given:
        if key in refused:
            faults.append(Invalid(key, refused[key]))
        elif key not in options:
            known = [*options, *others]
            hint = suggest(key, known) or f" Options: {', '.join(sorted(known))}."
            faults.append(Invalid(key, f"not an option here.{hint}"))
    known_values = {key: value for key, value in given.items() if key in options}
    model = _model(tuple(options.values()))
    try:
        checked = model.model_validate(known_values)
    except ValidationError as error:
        for fault in error.errors():
            if fault["type"] != "missing":  # the caller says what is missing: it may be no fault at all
                faults.append(_in_plain_words(fault, options))
        bad = {fault.key for fault in faults}
        values = {key: known_values.get(key, option.default) for key, option in options.items() if key not in bad}
        return {key: value for key, value in values.items() if value is not REQUIRED}, faults
    return {key: getattr(checked, key) for key in options}, faults


def json_schema(options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the JSON Schema of a table's options, as pydantic writes it (Draft 2020-12)."""
    return _model(tuple(options.values())).model_json_schema()


def type_text(option: Option) -> str:
    """Return an option's type and range in words, such as ``float, at least 0, below 1``."""
    schema = json_schema({option.name: option})["properties"][option.name]
    return _schema_text(schema)


def _schema_text(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_schema_text(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_schema_text(schema.get('items', {}))}"
    words = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "string"}
    text = words.get(schema.get("type", ""), "any value")
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{phrase} {schema[bound]:g}" for bound, phrase in bounds.items() if bound in schema]
    return ", ".join([text, *limits])


@functools.lru_cache(maxsize=256)
def _model(options: tuple[Option, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        option.name: (option.annotation, ... if option.required else option.default) for option in options
    }
    # Strict: TOML has types, so "64" for 64 and true for 1 are mistakes; an integer passes for a float.
    config = ConfigDict(strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    return create_model("Options", __config__=config, **fields)


def _in_plain_words(fault: Any, options: Mapping[str, Option]) -> Invalid:
    key = str(fault["loc"][0])
    expected = type_text(options[key])
    value = fault["input"]
    hint = ""
    if isinstance(value, str):
        choices = re.findall(r"'(\w+)'", expected)
        hint = suggest(value, choices) if choices else ""
        if not choices and re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
            hint = " Numbers stand without quotation marks."
    return Invalid(key, f"{value!r} does not fit; expected {expected}.{hint}")


@functools.lru_cache(maxsize=256)
def _argument_texts(part: type) -> dict[str, str]:
    """Read ``name: meaning`` from the Args section of a Google-style docstring."""
    lines = inspect.cleandoc(part.__doc__ or "").splitlines()
    texts: dict[str, str] = {}
    inside, current = False, ""
    for line in lines:
        if line.startswith(("Args:", "Attributes:")):
            inside = True
        elif inside and line and not line.startswith(" "):
            inside = False
        elif inside and (found := re.match(r"    (\w+): (.*)", line)):
            current = found[1]
            texts[current] = found[2]
        elif inside and line.strip() and current:
            texts[current] += " " + line.strip()
    return texts
