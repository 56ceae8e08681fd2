"""Recipe text to values that know where they came from: TOML, ``extends``, ``--set``.

Nothing here knows which keys are valid; ``recipe`` checks that.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rnntext import registry
from rnntext.errors import Problem, RecipeError, UnknownNameError, suggest
from rnntext.tables import DEFAULT_TYPES, PART_TABLES, TABLES

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given."""

    how: Literal["default", "parent", "file", "--set", "overrides"]
    file: str = ""
    line: int = 0
    text: str = ""
    """The ``--set`` pair or override as it was written."""

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return Path(self.file).parent if self.file else Path.cwd()

    def problem(self, message: str, table: str = "", key: str = "") -> Problem:
        """Return a problem that stands at this place."""
        file = f"{self.how} {self.text}" if self.text else self.file
        return Problem(message, table, key, file, self.line)

    def __str__(self) -> str:
        if self.how == "default":
            return "default"
        if self.text:
            return f"{self.how} {self.text}"
        return f"{self.how} {self.file}:{self.line}"


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it was given."""

    value: Any
    origin: Origin
    inside: Mapping[str, Origin] = field(default_factory=dict)
    """Of a table of which settings changed some keys: where each of its keys was given."""


@dataclass(slots=True)
class Table:
    """One table of a recipe, as given."""

    origin: Origin
    values: dict[str, Given] = field(default_factory=dict)

    def type_name(self, table: str) -> Any:
        """Return the part that the table names, or its default."""
        return self.values["type"].value if "type" in self.values else DEFAULT_TYPES.get(table)


@dataclass(slots=True)
class Source:
    """Everything that was given for one recipe, merged, before any check of keys and values."""

    file: str
    top: dict[str, Given] = field(default_factory=dict)
    tables: dict[str, list[Table]] = field(default_factory=dict)
    left_behind: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Faults of form, kept rather than raised: a recipe's problems are told all at once."""


def read_source(path: Path, settings: Mapping[str, Any], how: Literal["--set", "overrides"]) -> Source:
    """Read a recipe with its parents and apply settings.

    Args:
        path: the recipe.
        settings: dotted key -> value; ``embedding.0.dropout`` addresses one ``[[embedding]]``.
        how: what to call the settings in messages.

    Raises:
        RecipeError: a file is missing or no TOML, parents form a ring, or a setting cannot be placed.
    """
    source = _read_file(path, "file", ())
    _apply(source, settings, how)
    return source


def read_lineage(path: Path) -> list[Path]:
    """Return a recipe's file, then its parents' files, nearest first."""
    files = [path]
    while extends := tomllib.loads(files[-1].read_text(encoding="utf-8-sig")).get("extends"):
        files.append(files[-1].parent / extends)
    return files


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Return dotted key -> value for ``table.key=VALUE`` pairs; VALUE is TOML, else a string.

    Raises:
        RecipeError: a pair has no ``=``, or a key is given twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            problem = Problem(f"--set {pair}: expected table.key=VALUE, such as --set encoder.hidden_dim=64")
            raise RecipeError([problem])
        if key in settings:
            raise RecipeError([Problem(f"--set {pair}: {key} is set twice")])
        try:
            parsed = tomllib.loads(f"value = {text}")
        except (ValueError, RecursionError):
            parsed = {"value": text}
        # More than one key: the text had lines of its own that are no part of a value.
        settings[key] = parsed["value"] if len(parsed) == 1 else text
    return settings


def _read_file(path: Path, how: Literal["file", "parent"], children: tuple[Path, ...]) -> Source:
    # Shown as the user wrote it; absolute only where it is compared.
    try:
        content = path.read_bytes()
    except OSError as error:
        near = suggest(path.name, (other.name for other in path.parent.glob("*.toml")))
        reason = "is a folder" if path.is_dir() else (error.strerror or str(error)).lower()
        raise RecipeError([Problem(f"cannot read the recipe: {reason}.{near}", file=str(path))]) from None
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"byte {error.start} is not UTF-8; save the recipe as UTF-8"
        raise RecipeError([Problem(message, file=str(path), line=line)]) from None
    except (ValueError, RecursionError) as error:  # no TOML; numbers too long or tables too deep for Python
        raise RecipeError([_syntax_problem(error, str(path), text)]) from None
    source = _as_source(values, _key_lines(text), str(path), how)
    extends = source.top.get("extends")
    if extends is None:
        return source
    if not isinstance(extends.value, str):
        problem = extends.origin.problem("must be the path of one recipe, in quotation marks", key="extends")
        raise RecipeError([problem])
    parent_path = path.parent / extends.value
    lineage = (*children, path.resolve())
    # os.path answers False for what can be no path, where pathlib raises.
    if os.path.isfile(parent_path) and parent_path.resolve() in lineage:
        ring = " -> ".join(member.name for member in [*lineage, parent_path])
        raise RecipeError([extends.origin.problem(f"the recipes extend each other in a ring: {ring}", key="extends")])
    if not os.path.isfile(parent_path):
        near = suggest(parent_path.name, (other.name for other in parent_path.parent.glob("*.toml")))
        problem = extends.origin.problem(f"there is no recipe {extends.value!r} here.{near}", key="extends")
        raise RecipeError([problem])
    return _merge(_read_file(parent_path, "parent", lineage), source)


def _syntax_problem(error: Exception, file: str, text: str) -> Problem:
    # tomllib tells the place in its message: "... (at line 3, column 5)" or "(at end of document)".
    message, _, place = str(error).rpartition(" (at ")
    numbers = [int(word.strip(",)")) for word in place.split() if word.strip(",)").isdigit()]
    line = numbers[0] if numbers else text.count("\n") + 1
    return Problem(f"this is not TOML: {message or error}", file=file, line=line)


def _as_source(
    values: dict[str, Any], lines: Mapping[KeyPath, int], file: str, how: Literal["file", "parent"]
) -> Source:
    source = Source(file)

    def origin(*path: str | int) -> Origin:
        # Of a key whose place is not known, such as one of [embedding.x] under [[embedding]], its table's.
        found = (lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines)
        return Origin(how, file, next(found, 1))

    problems = source.problems
    for name, value in values.items():
        if name in TABLES and isinstance(value, dict):
            source.tables[name] = [_as_table(value, origin(name), lambda key, n=name: origin(n, key))]
        elif name in TABLES and isinstance(value, list) and all(isinstance(item, dict) for item in value) and value:
            if name != "embedding":
                problems.append(origin(name, 0).problem(f"only [[embedding]] may be repeated; write [{name}]", name))
            source.tables[name] = [
                _as_table(item, origin(name, index), lambda key, n=name, i=index: origin(n, i, key))
                for index, item in enumerate(value)
            ]
        elif name in TABLES:
            problems.append(origin(name).problem(f"must be a table; write [{name}] on a line of its own", key=name))
        elif isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            hint = suggest(name, TABLES) or f" Tables: {', '.join(TABLES)}."
            line = lines.get((name,), lines.get((name, 0), 1))
            problems.append(Origin(how, file, line).problem(f"there is no such table.{hint}", table=name))
        else:
            source.top[name] = Given(value, origin(name))
    return source


def _as_table(values: dict[str, Any], origin: Origin, origin_of: Any) -> Table:
    return Table(origin, {key: Given(value, origin_of(key)) for key, value in values.items()})


def _merge(parent: Source, child: Source) -> Source:
    merged = Source(
        child.file,
        {**parent.top, **child.top},
        dict(parent.tables),
        list(parent.left_behind),
        parent.problems + child.problems,
    )
    for name, tables in child.tables.items():
        inherited = parent.tables.get(name, [])
        if len(inherited) == 1 and len(tables) == 1:
            table, left = _merge_table(name, inherited[0], tables[0])
            merged.tables[name] = [table]
            merged.left_behind += left
        else:
            merged.tables[name] = tables
    return merged


def _merge_table(name: str, under: Table, over: Table) -> tuple[Table, list[str]]:
    """Lay one table over another; a changed ``type`` starts afresh, since options belong to a type."""
    old, new = under.type_name(name), over.type_name(name)
    changed = (
        name in PART_TABLES and "type" in over.values and old is not None and _part(name, new) != _part(name, old)
    )
    if not changed:
        return Table(over.origin, {**under.values, **over.values}), []
    left = sorted(set(under.values) - set(over.values) - {"type"})
    if not left:
        return over, []
    where = over.values["type"].origin
    return over, [f"[{name}] type {old!r} became {new!r} ({where}): left behind {', '.join(left)}"]


def _part(table: str, name: Any) -> Any:
    """Return a part's one name, so that an alias or a full name changes nothing; unknown names as they are."""
    try:
        return registry.canonical_name(PART_TABLES[table], name)
    except (UnknownNameError, AttributeError):
        return name


def _apply(source: Source, settings: Mapping[str, Any], how: Literal["--set", "overrides"]) -> None:
    problems = source.problems
    # Every change of a type comes first, since it starts its table afresh.
    for key, value in sorted(settings.items(), key=lambda item: not item[0].endswith(".type")):
        text = f"{key}={value if isinstance(value, str) else _as_toml(value)}"
        origin = Origin(how, text=text)
        name, *rest = key.split(".")
        if not rest:
            if name in TABLES:
                problems.append(origin.problem(f"{name} is a table; set one of its keys, such as {name}.type"))
            elif name == "extends":
                problems.append(origin.problem("a parent is named in the recipe itself", key=name))
            else:
                source.top[name] = Given(value, origin)
            continue
        if name not in TABLES:
            hint = suggest(name, TABLES) or f" Tables: {', '.join(TABLES)}."
            problems.append(origin.problem(f"there is no such table.{hint}", table=name))
            continue
        tables = source.tables.setdefault(name, [Table(origin)])
        index = 0
        if rest[0].isascii() and rest[0].isdigit():
            index = int(rest.pop(0))
        elif len(tables) > 1:
            message = f"there are {len(tables)} [[{name}]] tables; say which: {name}.0.{'.'.join(rest)}"
            problems.append(origin.problem(message))
            continue
        if index >= len(tables) or not rest:
            problems.append(origin.problem(f"expected {name}.N.key=VALUE with N from 0 to {len(tables) - 1}"))
            continue
        inside: Mapping[str, Origin] = {}
        if len(rest) > 1:
            inner = tables[index].values.get(rest[0], Given({}, origin))
            if not isinstance(inner.value, dict):
                problems.append(origin.problem(f"{name}.{rest[0]} is a plain value, not a table"))
                continue
            value = _nested(dict(inner.value), rest[1:], value)
            inside = {**dict.fromkeys(inner.value, inner.origin), **inner.inside, rest[1]: origin}
        over = Table(tables[index].origin, {rest[0]: Given(value, origin, inside)})
        tables[index], left = _merge_table(name, tables[index], over)
        source.left_behind += left


def _nested(values: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    inner = values.get(path[0], {})
    values[path[0]] = _nested(dict(inner), path[1:], value) if len(path) > 1 else value
    return values


def _as_toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, int, float, list, str)) else str(value)


def _key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every table and key: ("encoder", "type") -> 12, ("embedding", 0, "type") -> 20.

    tomllib gives values without positions, so the places come from tree-sitter's TOML grammar.
    """
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    lines: dict[KeyPath, int] = {}
    seen: dict[str, int] = {}

    def key_path(node: Any) -> tuple[str, ...]:
        parts: list[str] = []
        level: Any = tomllib.loads(f"{node.text.decode()} = 1")
        while isinstance(level, dict):
            (part, level), *_ = level.items()
            parts.append(part)
        return tuple(parts)

    def note(path: KeyPath, node: Any) -> None:
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], node.start_point[0] + 1)

    for node in parser.parse(text.encode()).root_node.children:
        prefix: KeyPath = ()
        if node.type in ("table", "table_array_element"):
            prefix = key_path(node.named_children[0])
            if node.type == "table_array_element":
                name = ".".join(map(str, prefix))
                seen[name] = seen.get(name, -1) + 1
                prefix = (*prefix, seen[name])
            note(prefix, node)
        for pair in node.children if prefix else [node]:
            if pair.type == "pair":
                note((*prefix, *key_path(pair.named_children[0])), pair)
    return lines
