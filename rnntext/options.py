"""From a constructor's signature to the options of a recipe table: names, types, ranges, defaults, help.

A signature is the only declaration. What an option means is read from the ``Args:`` of the class's docstring, else
from the ``description`` of its annotation, where parts share an option.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from rnntext.contracts import WIRED, WIRED_ON_REQUEST, FileOrName, FilePath
from rnntext.errors import suggest
from rnntext.tables import Runs

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity: a default may be a list
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

    @property
    def names_runs(self) -> bool:
        """Whether its value says which runs give what."""
        return self._is_marked(Runs)

    def _is_marked(self, kind: Any) -> bool:
        candidates = [self.annotation, *get_args(self.annotation)]
        return any(
            get_origin(candidate) is Annotated and get_args(kind)[1] in get_args(candidate)
            for candidate in candidates
        )


@dataclass(frozen=True, slots=True)
class Invalid:
    """A value that does not fit its option."""

    key: str
    message: str


@functools.lru_cache(maxsize=256)
def options_of(part: type, kind: str | None = None) -> Mapping[str, Option]:
    """Return the options of a part (``kind`` given: wired arguments left out) or of a core table."""
    wired = WIRED[kind] | WIRED_ON_REQUEST.get(kind, frozenset()) if kind else frozenset()
    constructor: Any = inspect.getattr_static(part, "__init__")
    if constructor is object.__init__:
        return {}
    hints = get_type_hints(constructor, include_extras=True)
    texts = _argument_texts(part)
    return {
        parameter.name: Option(
            parameter.name,
            hints[parameter.name],
            parameter.default,
            texts.get(parameter.name) or _description(hints[parameter.name]),
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
    known_values = {}
    for key, value in given.items():
        if key in refused:
            faults.append(Invalid(key, refused[key]))
        elif key not in options:
            known = [*options, *others]
            hint = suggest(key, known) or f" Options: {', '.join(sorted(known))}."
            faults.append(Invalid(key, f"not an option here.{hint}"))
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            faults.append(Invalid(key, "the number does not fit; integers of a recipe have at most 64 bits"))
        else:
            known_values[key] = value
    model = _model(tuple(options.values()))
    try:
        checked = model.model_validate(known_values)
    except ValidationError as error:
        # A value of a union has a fault for each alternative: one message. The caller says what is missing.
        wrong: dict[str, list[Any]] = {}
        for fault in error.errors():
            if fault["type"] != "missing":
                wrong.setdefault(str(fault["loc"][0]), []).append(fault["input"])
        faults += [_in_plain_words(options[key], known_values[key], inputs) for key, inputs in wrong.items()]
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
    if schema.get("type") == "object":
        keys = schema.get("propertyNames", {}).get("enum", ())
        named = f" with {' | '.join(map(repr, keys))}:" if keys else " of"
        return f"table{named} {_schema_text(schema.get('additionalProperties', {}))}"
    words = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "string"}
    text = words.get(schema.get("type", ""), "any value")
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{phrase} {_number(schema[bound])}" for bound, phrase in bounds.items() if bound in schema]
    if "pattern" in schema:
        limits.append(f"matching {schema['pattern']}")
    return ", ".join([text, *limits])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


@functools.lru_cache(maxsize=256)
def _model(options: tuple[Option, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        option.name: (option.annotation, ... if option.required else option.default) for option in options
    }
    # Strict: TOML has types, so "64" for 64 and true for 1 are mistakes; an integer passes for a float.
    config = ConfigDict(strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    return create_model("Options", __config__=config, **fields)


def _in_plain_words(option: Option, value: Any, inputs: list[Any]) -> Invalid:
    """Say what is wrong with a value; ``inputs`` are the pieces of it that did not fit."""
    expected = type_text(option)
    hint = ""
    if text := next((piece for piece in inputs if isinstance(piece, str)), ""):
        choices = re.findall(r"'(\w+)'", expected)
        hint = suggest(text, choices) if choices else ""
        if not choices and _is_unquoted(text, expected):
            hint = " Write it without quotation marks."
    return Invalid(option.name, f"{_shown(value)} does not fit; expected {expected}.{hint}")


def _is_unquoted(text: str, expected: str) -> bool:
    """Whether a string looks like a value of the expected type that was put in quotation marks."""
    if expected.startswith(("integer", "number")):
        return re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", text) is not None
    return expected.startswith("true") and text in ("true", "false")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as TOML writes it
    try:
        text = str(value) if isinstance(value, (date, time)) else repr(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return "this value"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _description(annotation: Any) -> str:
    """Return what ``Annotated[..., Field(description=...)]`` says, or ""."""
    return next((text for each in get_args(annotation) if (text := getattr(each, "description", None))), "")


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
