"""A made-up data set and a recipe small enough to train in a blink, for tests of whole runs."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

GOOD = ("lovely", "bright", "warm", "crisp", "charming", "splendid")
BAD = ("dull", "soggy", "noisy", "bland", "broken", "dreary")
PLAIN = ("the", "soup", "lamp", "tent", "was", "and", "very", "my", "old", "quite", "chair", "today")

SETTINGS: dict[str, dict[str, Any]] = {
    "batching": {"batch_size": 8},
    "embedding": {"output_dim": 8},
    "encoder": {"type": "lstm", "hidden_dim": 8},
    "head": {"dropout": 0.0},
    "training": {"epochs": 3, "learning_rate": 0.05, "device": "cpu", "threads": 1},
    "baselines": {"enabled": False},
}


def tiny_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return texts of 3 to 12 words with a telling word each, labels in turn, and a group ``length``."""
    chooser = random.Random(seed)
    rows = []
    for number in range(count):
        words = chooser.choices(PLAIN, k=chooser.randint(2, 11))
        words.insert(chooser.randint(0, len(words)), chooser.choice(BAD if number % 2 else GOOD))
        length = "short" if len(words) < 7 else "long"
        rows.append({"text": " ".join(words), "label": "bad" if number % 2 else "good", "length": length})
    return rows


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_recipe(folder: Path, *, name: str = "tiny", **tables: Mapping[str, Any]) -> Path:
    """Write ``<name>.toml``: the settings above, with keys of the given tables laid over them.

    A key that is None is left out. ``dataset`` must be given; its ``type`` is jsonl unless it says so.
    """
    lines = [f'name = "{name}"', "seed = 3"]
    merged = {"dataset": {"type": "jsonl"}, **SETTINGS}
    for table in dict.fromkeys([*merged, *tables]):
        lines.append(f"[{table}]")
        values = {**merged.get(table, {}), **tables.get(table, {})}
        # JSON writes strings, numbers, truth values and lists as TOML does.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_tiny(folder: Path, *, texts: int = 96, **tables: Mapping[str, Any]) -> Path:
    """Write training, validation and test files and their recipe; return the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", texts, 1), ("validation", 16, 2), ("test", 24, 3)):
        write_jsonl(folder / f"{split}.jsonl", tiny_rows(count, seed))
    files = {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"}
    dataset = {**files, "group_fields": ["length"], **tables.pop("dataset", {})}
    return write_recipe(folder, dataset=dataset, **tables)


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
