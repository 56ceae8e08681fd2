"""A recipe: read, checked as a whole before any data are touched, and frozen into a run folder."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from rnntext import registry
from rnntext.contracts import WIRED_ON_REQUEST, Reads
from rnntext.errors import PartError, Problem, RecipeError, RunFolderError, UnknownNameError, suggest
from rnntext.options import Option, options_of, validate
from rnntext.recipe_source import DEFAULT, Given, Origin, Source, Table, parse_settings, read_source
from rnntext.recipe_together import faults_together
from rnntext.tables import (
    CORE_TABLES,
    DEFAULT_TYPES,
    PART_TABLES,
    TABLES,
    BaselineOptions,
    BatchingOptions,
    SplitOptions,
    TopLevel,
    TrainingOptions,
)


@dataclass(frozen=True, slots=True)
class PartChoice:
    """A part that a recipe names, with all its options."""

    kind: str
    name: str
    part: Any
    options: dict[str, Any]

    @property
    def brings_labels(self) -> bool:
        """Whether the texts of this dataset have labels or tags, and not at most answers to blanks."""
        gives = getattr(self.part, "gives", None)
        return gives is None or bool(gives(self.options) & {"labels", "tags", "spans"})

    def build(self, **wired: Any) -> Any:
        """Construct the part; ``wired`` are the arguments that its neighbours decide, some only if it names them."""
        optional = WIRED_ON_REQUEST.get(self.kind, frozenset())
        if optional & set(wired):
            named = inspect.signature(self.part).parameters
            wired = {key: value for key, value in wired.items() if key in named or key not in optional}
        return self.part(**wired, **self.options)


@dataclass(slots=True)
class Recipe:
    """A valid recipe: every value filled in, with its origin."""

    file: str
    top: TopLevel
    dataset: PartChoice
    splits: SplitOptions
    tokenizer: PartChoice
    vocabulary: PartChoice
    batching: BatchingOptions
    embeddings: list[PartChoice]
    encoder: PartChoice
    head: PartChoice
    training: TrainingOptions
    baselines: BaselineOptions
    origins: dict[tuple[str, str], Origin]
    """(table, key) -> where the value was given; tables of several are ``embedding.0`` and so on."""
    needs: list[str] = field(default_factory=list)
    """Keys of the dataset that must be given before the recipe can run: data that may not be shipped."""
    left_behind: list[str] = field(default_factory=list)
    """Which options a change of ``type`` left behind."""

    @property
    def name(self) -> str:
        """What runs of this recipe are called."""
        return self.top.name

    @property
    def seed(self) -> int:
        """Start of all random numbers."""
        return self.top.seed

    @property
    def leaks(self) -> frozenset[Reads]:
        """What the encoder reads although the head hides it: nothing, unless ``head.allow_leak`` lets it."""
        leaks: frozenset[Reads] = self.encoder.part.reads(self.encoder.options) & self.head.part.hides
        return leaks

    @property
    def max_tokens(self) -> int | None:
        """Where texts are cut; None where they never are."""
        return self.batching.max_tokens if self.batching.max_tokens and self.head.part.cuts_long_texts else None

    def values(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (table, its values) in the order of the flow, ``type`` first; "" for the top level."""
        yield "", {key: value for key, value in vars(self.top).items() if key != "extends"}
        for table in TABLES:
            if table in CORE_TABLES:
                yield table, dict(vars(getattr(self, table)))
            elif table == "embedding":
                for label, choice in zip(self.embedding_labels(), self.embeddings, strict=True):
                    yield label, {"type": choice.name, **choice.options}
            else:
                choice = getattr(self, table)
                drawn = vars(self.splits) if table == "dataset" else {}
                yield table, {"type": choice.name, **choice.options, **drawn}

    def embedding_labels(self) -> list[str]:
        """Return what each embedding's table is called: ``embedding``, or ``embedding.0`` and so on of several."""
        count = len(self.embeddings)
        return ["embedding"] if count == 1 else [f"embedding.{index}" for index in range(count)]

    def to_toml(self, header: str = "", overrides: Mapping[tuple[str, str], Any] | None = None) -> str:
        """Return the recipe frozen: every default filled in, no parent, runnable as it is.

        Args:
            header: comment lines to begin with.
            overrides: (table, key) -> value to write in place of the recipe's own.
        """
        document = tomlkit.document()
        for line in header.splitlines():
            document.add(tomlkit.comment(line))
        embeddings = tomlkit.aot()
        for table, values in self.values():
            chosen = {key: (overrides or {}).get((table, key), value) for key, value in values.items()}
            chosen = {key: value for key, value in chosen.items() if value is not None}  # TOML has no null
            if not table:
                document.update(chosen)
            elif table.startswith("embedding."):
                embeddings.append(tomlkit.item(chosen))
                if table.endswith(".0"):
                    document.add("embedding", embeddings)
            else:
                document.add(table, tomlkit.item(chosen))
        return tomlkit.dumps(document)


def read_recipe(
    path: str | Path, overrides: Mapping[str, Any] | list[str] | None = None, *, files_needed: bool = True
) -> Recipe:
    """Read a recipe and check all of it. No data are read.

    Args:
        path: the TOML file.
        overrides: dotted key -> value, as in ``rnntext.run``; or ``--set`` pairs as strings.
        files_needed: whether the files that it names must exist; a model loads without its data.

    Raises:
        RecipeError: with every problem that was found, each with its place.
    """
    if isinstance(overrides, list):
        source = read_source(Path(path), parse_settings(overrides), "--set")
    else:
        settings = {key: _as_toml_value(value) for key, value in (overrides or {}).items()}
        source = read_source(Path(path), settings, "overrides")
    return _Checker(source, files_needed).recipe()


def _as_toml_value(value: Any) -> Any:
    """Return a Python value as TOML would give it: a path as a string, a tuple as a list, inside others too."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {key: _as_toml_value(inner) for key, inner in value.items()}
    return [_as_toml_value(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Checker:
    """Goes through a source once, collecting problems and checked values."""

    def __init__(self, source: Source, files_needed: bool) -> None:
        self.source = source
        self.files_needed = files_needed
        self.problems: list[Problem] = list(source.problems)
        self.origins: dict[tuple[str, str], Origin] = {}
        self.needs: list[str] = []
        self.splits = SplitOptions()

    def recipe(self) -> Recipe:
        """Return the recipe, or raise with all its problems."""
        top = self._core(TopLevel, Table(Origin("file", self.source.file), self.source.top), "")
        parts = {table: self._parts(table) for table in PART_TABLES}
        core = {table: self._core(options, self._tables(table)[0], table) for table, options in CORE_TABLES.items()}
        for table, key, message in faults_together(parts, core["training"]):
            origin = self.origins.get((table, key)) or self.origins.get((table, "type"), DEFAULT)
            self._add(origin, message, table, key)
        if self.problems:
            # Reading order; problems of the command line come last.
            ordered = sorted(self.problems, key=lambda problem: (not problem.line, problem.file, problem.line))
            raise RecipeError(ordered)
        return Recipe(
            file=self.source.file,
            top=top,
            splits=self.splits,
            embeddings=parts["embedding"],
            origins=self.origins,
            needs=self.needs,
            left_behind=self.source.left_behind,
            dataset=parts["dataset"][0],
            tokenizer=parts["tokenizer"][0],
            vocabulary=parts["vocabulary"][0],
            encoder=parts["encoder"][0],
            head=parts["head"][0],
            batching=core["batching"],
            training=core["training"],
            baselines=core["baselines"],
        )

    def _tables(self, name: str) -> list[Table]:
        return self.source.tables.get(name) or [Table(Origin("file", self.source.file))]

    def _core(self, owner: type, table: Table, name: str) -> Any:
        values = self._validated(options_of(owner), table, name, {})
        return owner(**values) if values is not None else None

    def _parts(self, name: str) -> list[PartChoice]:
        tables = self._tables(name)
        labels = [f"{name}.{index}" if len(tables) > 1 else name for index in range(len(tables))]
        choices = [self._part(name, label, table) for label, table in zip(labels, tables, strict=True)]
        return [choice for choice in choices if choice is not None]

    def _part(self, name: str, label: str, table: Table) -> PartChoice | None:
        kind = PART_TABLES[name]
        given = table.values.get("type", Given(DEFAULT_TYPES.get(name), DEFAULT))
        if not isinstance(given.value, str):
            known = ", ".join(registry.names(kind))
            wrong = "missing" if given.value is None else f"{given.value!r} is no name"
            origin = table.origin if given.value is None else given.origin
            self._add(origin, f"{wrong}; name one of: {known}", label, "type")
            return None
        try:
            canonical = registry.canonical_name(kind, given.value)
            part = registry.get(kind, canonical)
        except (UnknownNameError, PartError) as error:
            self._add(given.origin, str(error), label, "type")
            return None
        self.origins[label, "type"] = given.origin
        rest = Table(table.origin, {key: value for key, value in table.values.items() if key != "type"})
        if name == "dataset":
            rest = self._split_options(rest, options_of(part, kind))
        options = self._validated(options_of(part, kind), rest, label, getattr(part, "refused_options", {}))
        if options is None:
            return None
        # A stored model was valid when it was trained; what it was trained from may be gone.
        checks = getattr(part, "check_options", None) if self.files_needed else None
        for key, reason in checks(options) if checks else ():
            self._add(self.origins.get((label, key), table.origin), reason, label, key)
        return PartChoice(kind, canonical, part, options)

    def _split_options(self, table: Table, own: Mapping[str, Option]) -> Table:
        """Take the keys out of ``[dataset]`` that every type of data has; return the rest."""
        shared = options_of(SplitOptions)
        drawn = Table(table.origin, {key: value for key, value in table.values.items() if key in shared})
        values = self._validated(shared, drawn, "dataset", {})
        self.splits = SplitOptions(**values) if values is not None else SplitOptions()
        for split in ("validation", "test"):
            key = f"{split}_fraction"
            if getattr(self.splits, key) is not None and split in table.values and split in own:
                message = f"the {split} split is given already (`{split}`); give one of the two"
                self._add(drawn.values[key].origin, message, "dataset", key)
        return Table(table.origin, {key: value for key, value in table.values.items() if key not in shared})

    def _validated(
        self, options: Mapping[str, Option], table: Table, label: str, refused: Mapping[str, str]
    ) -> dict[str, Any] | None:
        given = {key: item.value for key, item in table.values.items()}
        others = ["type"] if label.split(".")[0] in PART_TABLES else [] if label else list(TABLES)
        if label == "dataset":
            others += options_of(SplitOptions)
        values, faults = validate(options, given, refused, others)
        incomplete = any(fault.key in options for fault in faults)
        for fault in faults:
            self._add(table.values[fault.key].origin, fault.message, label, fault.key)
        for key, option in options.items():
            self.origins[label, key] = table.values[key].origin if key in table.values else DEFAULT
            if option.required and key not in given:
                if label == "dataset":
                    self.needs.append(f"{label}.{key}")
                else:
                    self._add(table.origin, f"missing. {option.help}", label, key)
                    incomplete = True
            elif option.is_path and isinstance(values.get(key), str):
                values[key] = self._existing_path(values[key], table.values[key].origin, label, key)
            elif option.names_runs and isinstance(values.get(key), dict):
                values[key] = self._existing_runs(values[key], table.values[key], label, key)
            elif option.may_be_path and isinstance(values.get(key), str) and key in table.values:
                path = table.values[key].origin.folder / values[key]
                # A bare word such as "train" is a name even where a folder happens to be called so.
                if (path.suffix or "/" in values[key]) and os.path.exists(path):
                    values[key] = str(path.resolve())
        return None if incomplete else values

    def _existing_path(self, value: str, origin: Origin, label: str, key: str) -> str:
        try:
            path = (origin.folder / value).resolve()
            path.exists()
        except (OSError, ValueError) as error:
            self._add(origin, f"no file can be called so: {getattr(error, 'strerror', None) or error}", label, key)
            return value
        if not self.files_needed:
            return str(path)
        if not path.exists():
            near = suggest(path.name, (other.name for other in path.parent.glob("*")) if path.parent.is_dir() else ())
            self._add(origin, f"there is no file {str(path)!r}.{near}", label, key)
        elif path.is_dir():
            self._add(origin, f"{str(path)!r} is a folder; a file is needed", label, key)
        return str(path)

    def _existing_runs(self, named: Mapping[str, Any], given: Given, label: str, key: str) -> dict[str, Any]:
        """Return the run folders that a table names, absolute, each a string or a list as it was given."""
        found: dict[str, Any] = {}
        for name, paths in named.items():
            origin = given.inside.get(name, given.origin)
            where = (origin, label, f"{key}.{name}")
            one = isinstance(paths, str)
            resolved = [self._existing_run(path, *where) for path in ([paths] if one else paths)]
            found[name] = resolved[0] if one else resolved
        return found

    def _existing_run(self, value: str, origin: Origin, label: str, key: str) -> str:
        from rnntext.run_folder import RECIPE, VOCABULARY, WEIGHTS, RunFolder

        try:
            path = (origin.folder / value).resolve()
            lacking = [name for name in (RECIPE, VOCABULARY, WEIGHTS) if not (path / name).is_file()]
        except (OSError, ValueError) as error:
            self._add(origin, f"no folder can be called so: {getattr(error, 'strerror', None) or error}", label, key)
            return value
        if self.files_needed and lacking:
            try:
                RunFolder(path).read_json(lacking[0])
            except RunFolderError as error:
                others = path.parent.glob("*") if path.parent.is_dir() and not path.exists() else ()
                near = suggest(path.name, (other.name for other in others))
                self._add(origin, f"{error}{near and '.'}{near}", label, key)
        return str(path)

    def _add(self, origin: Origin, message: str, table: str, key: str) -> None:
        if origin.how == "default" and not origin.file:
            origin = Origin("file", self.source.file)
        self.problems.append(origin.problem(message, table, key))
