"""A recipe: read, checked as a whole before any data are touched, and frozen into a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from rnntext import registry
from rnntext.contracts import Annotations, Encoder, Head
from rnntext.errors import PartError, Problem, RecipeError, UnknownNameError, suggest
from rnntext.options import Option, options_of, validate
from rnntext.recipe_source import DEFAULT, Given, Origin, Source, Table, parse_settings, read_source
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

WHAT_IS_NEEDED: Mapping[Annotations, str] = {
    "labels": "labels of whole texts, and these data have none; choose another head (rnntext list heads)",
    "tags": "a tag for each token: data of type conll or conllu have them, and jsonl with spans_field",
    "spans": "tags that are parts of spans; state their dataset.scheme, or leave head.scheme to the data",
}


@dataclass(frozen=True, slots=True)
class PartChoice:
    """A part that a recipe names, with all its options."""

    kind: str
    name: str
    part: Any
    options: dict[str, Any]

    def build(self, **wired: Any) -> Any:
        """Construct the part; ``wired`` are the arguments that its neighbours decide."""
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
    """Return a Python value as TOML would give it: a path as a string, a tuple as a list."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return list(value) if isinstance(value, tuple) else value


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
        self._check_together(parts, core["training"])
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
        except (UnknownNameError, PartError, ImportError) as error:
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

    def _check_together(self, parts: Mapping[str, list[PartChoice]], training: TrainingOptions | None) -> None:
        """Refuse what each table allows but the whole does not; a table with faults of its own is left out."""
        if not parts["head"]:
            return
        head = parts["head"][0]
        head_class: type[Head] = head.part
        for encoder in parts["encoder"]:
            encoder_class: type[Encoder] = encoder.part
            leaked = encoder_class.reads(encoder.options) & head_class.hides
            if leaked:
                what = " and ".join(sorted(leaked)).replace("_", " ")
                message = f"a state of {encoder.name!r} with these options reads the {what}; {head_class.why_hidden}"
                origin = self.origins.get(("encoder", "type"), Origin("file", self.source.file))
                self._add(origin, message, "encoder", "type")
            if encoder.options.get("chunk_tokens"):
                why_whole = getattr(head_class, "why_whole", None)
                reason = why_whole(head.options) if why_whole else "it reads every state of a text"
                if reason:
                    origin = self.origins.get(("encoder", "chunk_tokens"), Origin("file", self.source.file))
                    message = f"head {head.name!r} reads no text in pieces: {reason}. Leave chunk_tokens out"
                    self._add(origin, message, "encoder", "chunk_tokens")
        needs = _annotations(head, "needs")
        for dataset in parts["dataset"]:
            if lacking := needs - _annotations(dataset, "gives"):
                message = f"head {head.name!r} with these options needs {WHAT_IS_NEEDED[min(lacking)]}"
                self._add(
                    self.origins.get(("head", "type"), Origin("file", self.source.file)), message, "head", "type"
                )
        metrics = [*head_class.metrics, "loss"]
        if training is not None and training.select_by is not None and training.select_by not in metrics:
            hint = suggest(training.select_by, metrics) or f" Metrics: {', '.join(metrics)}."
            message = f"head {head.name!r} has no metric {training.select_by!r}.{hint}"
            self._add(self.origins["training", "select_by"], message, "training", "select_by")

    def _add(self, origin: Origin, message: str, table: str, key: str) -> None:
        if origin.how == "default" and not origin.file:
            origin = Origin("file", self.source.file)
        self.problems.append(origin.problem(message, table, key))


def _annotations(choice: PartChoice, method: str) -> frozenset[Annotations]:
    """Return what a dataset gives or a head needs with its options."""
    declared = getattr(choice.part, method, None)
    return frozenset({"labels"}) if declared is None else frozenset(declared(choice.options))
