"""Data sets of the Hugging Face hub, and Parquet or Arrow files, through the ``datasets`` library."""

from __future__ import annotations

import glob
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from rnntext.contracts import Example, FileOrName, Split
from rnntext.datasets.rows import Columns, check_columns, column_faults, given_splits, source_of, to_example
from rnntext.errors import DataError

BUILDERS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".jsonl.gz": "json",
    ".json.gz": "json",
    ".csv.gz": "csv",
}
BATCH_ROWS = 100  # enough for speed, few enough for texts of a megabyte each


class HuggingFaceDataset:
    """Labelled texts from the Hugging Face hub, a local folder laid out like one, or Parquet and Arrow files.

    Choose it for public data sets and for Parquet. For CSV and JSON lines of your own, the types ``csv`` and
    ``jsonl`` name the line of a fault. Class numbers are read as class names. Rows come from the library's
    memory-mapped cache, never all in memory; code that a data set brings along is never run.

    Args:
        path: name on the hub, or a folder; without it, train names a file.
        name: configuration of the data set, where it has several.
        revision: branch, tag or commit on the hub; a commit makes a run repeatable.
        train: split of path, slices such as train[:10%] allowed; without path, a local data file.
        validation: split or file that picks the best epoch.
        test: split or file for the final scores.
        text_field: the column of the text.
        label_field: the column of the label.
        multi_label: whether a text has any number of labels, as a list.
        group_fields: further columns to report scores by; null is read as an empty string.

    Attributes:
        notes: always empty: nothing is passed over without an error.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self,
        *,
        path: FileOrName | None = None,
        name: str | None = None,
        revision: str | None = None,
        train: FileOrName = "train",
        validation: FileOrName | None = None,
        test: FileOrName | None = None,
        text_field: str = "text",
        label_field: str = "label",
        multi_label: bool = False,
        group_fields: Sequence[str] = (),
    ) -> None:
        self._path, self._name, self._revision = path, name, revision
        self._sources = given_splits(train, validation, test)
        self._columns = Columns(text_field, label_field, tuple(group_fields), multi_label)
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for columns and sources that cannot go together."""
        yield from column_faults(options)
        path = options.get("path")
        for key in ("name", "revision"):
            if path is None and options.get(key) is not None:
                yield key, "needs path, the data set that it belongs to"
        for key in ("train", "validation", "test"):
            source = options.get(key)
            if source is None:
                continue
            if path is None and _builder(source) is None:
                kinds = ", ".join(suffix for suffix in BUILDERS if not suffix.endswith(".gz"))
                yield key, f"{source!r} is no data file ({kinds}), and no path names the data set it is a split of"
            if path is not None and _builder(source) is not None:
                yield key, f"with path, this names a split such as 'train'; leave path out to read {source!r}"

    def splits(self) -> tuple[Split, ...]:
        """Return the splits that the options name."""
        return tuple(self._sources)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return a split's local file, all files of a local folder, or () for a data set of the hub."""
        source = source_of(self._sources, split)
        if self._is_file(source):
            return (source,)
        found = []
        for folder, folders, names in os.walk(str(self._path)):
            folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
            found += [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
        return tuple(found)

    def read(self, split: Split) -> Iterator[Example]:
        """Return an iterator over the split's examples, in order; ``line`` is the row, 1 for the first.

        Raises:
            UsageError: the options name no such split.
            DataError: while iterating: the data cannot be loaded, or a row cannot be used.
        """
        return self._examples(source_of(self._sources, split))

    def _examples(self, source: str) -> Iterator[Example]:
        shown = source if self._is_file(source) else f"{self._path} {source}"
        table = self._loaded(source, shown)
        if not table.num_rows:
            raise DataError("no rows; name a split or file that has some", shown)
        try:
            check_columns(table.column_names, self._columns)
        except DataError as error:
            raise DataError(error.message, shown) from None
        wanted = list(dict.fromkeys([self._columns.text, self._columns.label, *self._columns.groups]))
        class_names = {name: names for name in wanted if (names := _class_names(table.features[name]))}
        line = 0
        for batch in table.select_columns(wanted).iter(batch_size=BATCH_ROWS):  # others, such as images, stay packed
            for values in zip(*(batch[name] for name in wanted), strict=True):
                line += 1
                row = dict(zip(wanted, values, strict=True))
                for name, names in class_names.items():
                    row[name] = _named(row[name], names)
                    if row[name] is None and name == self._columns.label:
                        message = f"no class in {name!r} (null or -1): this row has no label; name a labelled split"
                        raise DataError(message, shown, line)
                yield to_example(row, self._columns, shown, line)

    def _loaded(self, source: str, shown: str) -> Any:
        if self._path is None and not os.path.isfile(source):
            kind = "this is a folder; name one file" if os.path.isdir(source) else "there is no such file"
            raise DataError(f"{kind} (or set dataset.path and name a split of it)", source)
        import datasets

        is_file = self._is_file(source)
        arguments = self._file_arguments(source) if is_file else self._hub_arguments(source)
        if "trust_remote_code" in inspect.signature(datasets.load_dataset).parameters:
            arguments["trust_remote_code"] = False  # older releases run a data set's own code unless told not to
        try:
            with _no_progress_bars():
                if source.endswith(".parquet") and is_file and _is_empty_parquet(source):
                    raise DataError("no rows; name a file that has some", shown)
                return datasets.load_dataset(**arguments)
        except DataError:
            raise
        except Exception as error:  # the library raises many kinds, and wraps the reason in some
            words = " ".join(f"{error} {error.__cause__ or ''}".split()) or type(error).__name__
            message = f"cannot be loaded ({words[:400]}). {self._advice(source)}"
            raise DataError(message, shown) from error

    def _hub_arguments(self, source: str) -> dict[str, Any]:
        return {"path": self._path, "name": self._name, "revision": self._revision, "split": source}

    def _file_arguments(self, source: str) -> dict[str, Any]:
        builder = _builder(source)
        arguments: dict[str, Any] = {"path": builder, "data_files": [glob.escape(source)], "split": "train"}
        if builder == "csv":  # cells as they are: by default NA is read as missing and 01 as 1
            columns = [self._columns.text, self._columns.label, *self._columns.groups]
            arguments |= {"keep_default_na": False, "converters": dict.fromkeys(columns, str)}
        return arguments

    def _is_file(self, source: str) -> bool:
        """Whether a source is a file: always without ``path``; with it where ``evaluate RUN FILE`` gives one."""
        return self._path is None or (_builder(source) is not None and os.path.isfile(source))

    def _advice(self, source: str) -> str:
        if self._path is None or self._is_file(source):
            return "Check that the file is whole and of the kind that its suffix says."
        if os.path.isdir(self._path):
            return f"Check the files in the folder, dataset.name and the split {source!r}."
        return (
            f"Check the spelling of dataset.path, name, revision and the split {source!r}, and the network. Without "
            "network, HF_HUB_OFFLINE=1 reads what was downloaded before. A folder is looked for in the current one."
        )


def _builder(source: str) -> str | None:
    return next((builder for suffix, builder in BUILDERS.items() if source.lower().endswith(suffix)), None)


def _class_names(feature: Any) -> Sequence[str] | None:
    """Return the names behind class numbers, single or in a list; None for any other column."""
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
    names: Sequence[str] | None = getattr(inner, "names", None)
    return names


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None  # -1: no label


def _is_empty_parquet(path: str) -> bool:
    import pyarrow.parquet

    return bool(pyarrow.parquet.read_metadata(path).num_rows == 0)  # the library's own error says nothing of it


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from datasets import config
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if config.HF_DATASETS_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield  # the user's environment variable has priority, or there are none
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
