"""Everything that a run leaves on disk: written whole or not at all, never as a pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rnntext.errors import RunFolderError, UsageError

RECIPE = "recipe.toml"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
VOCABULARY = "vocabulary.json"
LABELS = "labels.json"
METRICS = "metrics.json"
HISTORY = "history.jsonl"
ENVIRONMENT = "environment.json"
SELFTEST = "selftest.json"
CHECKPOINTS = "checkpoints"
FILES = (
    RECIPE,
    WEIGHTS,
    TOKENIZER,
    VOCABULARY,
    LABELS,
    METRICS,
    HISTORY,
    ENVIRONMENT,
    SELFTEST,
    CHECKPOINTS,
    "report.html",
)
PARTIAL = ".partial"


class RunFolder:
    """One run's folder.

    Args:
        path: where it is.
        replaces: the run that it takes the place of once there is something to keep.
    """

    def __init__(self, path: str | Path, replaces: Path | None = None) -> None:
        self.path = Path(path)
        self._replaces = replaces

    @staticmethod
    def claim(path: str | Path | None, name: str, force: bool) -> RunFolder:
        """Make the folder of a new run, empty.

        Args:
            path: where; ``runs/<name>-<number>``, the next free number, if None.
            name: the recipe's name.
            force: replace a run that is there already, once ``settle`` finds weights in the new one; nothing but a
                run is ever replaced.

        Raises:
            UsageError: the folder exists and may not be replaced, or cannot be made.
        """
        try:
            if path is None:
                return RunFolder(next_free_folder(name))
            RunFolder.check_free(path, force)
            target = Path(path)
            if not (target.is_dir() and any(target.iterdir())):
                target.mkdir(parents=True, exist_ok=True)
                return RunFolder(target)
            beside = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL}")
            beside.mkdir()
            return RunFolder(beside, target)
        except OSError as error:
            raise UsageError(f"cannot make the run folder {error.filename}: {error.strerror}") from None

    @staticmethod
    def check_free(path: str | Path, force: bool) -> None:
        """Raise UsageError if a new run may not be written there."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; give --out a folder")
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        found = sorted(path.name for path in folder.iterdir())
        # A folder with somebody's own recipe.toml and data is no run: it is never to be deleted.
        others = [name for name in found if name not in FILES and not name.endswith(PARTIAL)]
        if others or not {RECIPE, VOCABULARY} <= set(found):
            shown = ", ".join((others or found)[:3])
            raise UsageError(f"{folder} holds other files than a run's ({shown}); give --out another folder")
        if not force:
            raise UsageError(f"{folder} holds a run already; give --out another folder, or --force to replace it")

    def settle(self) -> bool:
        """End the training: put a run with weights in its place, delete one without; return whether there are any."""
        kept = self.file(WEIGHTS).is_file()
        if not kept:
            shutil.rmtree(self.path, ignore_errors=True)
        elif self._replaces is not None:
            shutil.rmtree(self._replaces)
            self.path = self.path.rename(self._replaces)
            self._replaces = None
        return kept

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.path / name

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        write_whole(self.file(name), text.encode("utf-8"))

    def write_json(self, name: str, values: Any) -> None:
        """Write JSON, readable by people, whole or not at all."""
        self.write_text(name, json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n")

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add an epoch's line."""
        with open(self.file(HISTORY), "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def save_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Write the weights; equal weights give equal bytes."""
        from safetensors.torch import save

        ordered = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
        write_whole(self.file(WEIGHTS), save(ordered))

    def read_json(self, name: str) -> Any:
        """Return what a JSON file holds.

        Raises:
            RunFolderError: it is missing or broken.
        """
        try:
            return json.loads(self.file(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise RunFolderError(self._missing(name)) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.file(name)} cannot be read ({error}); train the run anew") from None

    def read_weights(self) -> dict[str, Tensor]:
        """Return the weights, on the CPU.

        Raises:
            RunFolderError: they are missing or broken.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            weights: dict[str, Tensor] = load(self.file(WEIGHTS).read_bytes())
        except FileNotFoundError:
            raise RunFolderError(self._missing(WEIGHTS)) from None
        except (OSError, SafetensorError) as error:
            raise RunFolderError(
                f"{self.file(WEIGHTS)} is broken ({error}); copy the run again or train it"
            ) from None
        return weights

    def megabytes(self) -> float:
        """Return the size of what prediction needs, in 10^6 bytes."""
        names = (WEIGHTS, TOKENIZER, VOCABULARY, LABELS)
        return sum(self.file(name).stat().st_size for name in names if self.file(name).is_file()) / 1e6

    def _missing(self, name: str) -> str:
        if not self.path.is_dir():
            return f"there is no run folder {self.path}; `rnntext run RECIPE` makes one and prints its path last"
        if not self.file(RECIPE).is_file():
            series = sorted(self.path.glob(f"seed-*/{RECIPE}"))
            if series:
                return f"{self.path} holds runs with several seeds; give one of them: {series[0].parent}"
            return f"{self.path} is no run folder: it has no {RECIPE}"
        return f"{self.path} has no {name}: the run was not finished, or was copied in part"


def next_free_folder(name: str) -> Path:
    """Make and return ``runs/<name>-<number>``, of the next free number.

    Raises:
        UsageError: it cannot be made.
    """
    parent = Path("runs")
    number = 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                (parent / f"{name}-{number}").mkdir()
            except FileExistsError:
                number += 1
            else:
                return parent / f"{name}-{number}"
    except OSError as error:
        raise UsageError(f"cannot make the run folder {error.filename}: {error.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        RunFolderError: the disk is full, or the folder may not be written to.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from None
