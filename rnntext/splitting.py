"""Splits that are not given: drawn by seed, each label in proportion; of a stream, its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rnntext.contracts import Example, Split
from rnntext.errors import DataError
from rnntext.tables import SplitOptions

if TYPE_CHECKING:
    from rnntext.corpus import Corpus, SplitTable

DEFAULT_VALIDATION_FRACTION = 0.1


def draw_missing(corpus: Corpus, drawing: SplitOptions, seed: int) -> None:
    """Hold out of the training split what the recipe asks for; validation always."""
    train = corpus.splits["train"]
    whole = len(train)
    if corpus.windows is not None:
        _cut_off(corpus, drawing)
        return
    wanted: dict[Split, float] = {}
    if drawing.test_fraction is not None and "test" not in corpus.splits:
        wanted["test"] = drawing.test_fraction
    if "validation" not in corpus.splits:
        wanted["validation"] = drawing.validation_fraction or DEFAULT_VALIDATION_FRACTION
    for number, (split, fraction) in enumerate(wanted.items()):
        size = round(fraction * whole)
        _check_size(train, split, fraction, size, f"{whole} examples")
        families = _families(train)
        if families is None:
            rows = np.sort(_leave_each_label(train, draw(train, size, (seed, number))))
        else:
            rows = _draw_families(train, families, size, (seed, number))
        size = len(rows)
        if not size and families is not None:
            raise DataError(
                f"no {split} split can be drawn: what the {whole} examples were made from (their origin) would be in "
                f"training, too; give more data, another {split}_fraction or a {split} file",
                train.file,
            )
        if not size:
            raise DataError(
                f"no {split} split can be drawn: each of the {whole} examples has a label of its own; check "
                f"dataset.label_field, or give a {split} file",
                train.file,
            )
        corpus.splits[split] = replace(train, name=split, rows=rows)
        train.rows = np.setdiff1d(train.rows, rows, assume_unique=True)
        labelled = len(np.unique(_column(train, "stratum")[train.rows])) > 1
        how = ", labels in proportion" if labelled else ""
        how += ", those of one origin together" if families is not None else ""
        corpus.notes.append(f"{split}: {size:,} of the {whole:,} training examples, drawn by seed{how}")


def _cut_off(corpus: Corpus, drawing: SplitOptions) -> None:
    """Hold out the end of a stream: what it says must not stand among what is learnt."""
    train = corpus.splits["train"]
    whole = len(train)
    fractions: dict[Split, float | None] = {
        "test": drawing.test_fraction,
        "validation": drawing.validation_fraction or DEFAULT_VALIDATION_FRACTION,
    }
    for split, fraction in fractions.items():
        if split in corpus.splits or fraction is None:
            continue
        size = round(fraction * whole)
        _check_size(train, split, fraction, size, f"{whole} lines")
        corpus.splits[split] = replace(train, name=split, rows=train.rows[-size:])
        train.rows = train.rows[:-size]
        corpus.notes.append(f"{split}: the last {size:,} of the {whole:,} lines of the training stream")


def _check_size(train: SplitTable, split: Split, fraction: float, size: int, whole: str) -> None:
    """Raise DataError if a drawn split, or what it leaves to train on, would be empty."""
    if not 0 < size < len(train):
        raise DataError(
            f"{split}_fraction = {fraction} of {whole} leaves {size} for {split} and {len(train) - size} to train "
            f"on; give more data, another fraction or a {split} file",
            train.file,
        )


def draw(split: SplitTable, size: int, seed: Sequence[int]) -> np.ndarray:
    """Return ``size`` rows of a split, each label in proportion: evenly spaced after ordering by label."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(split.rows)
    ordered = shuffled[np.argsort(_column(split, "stratum")[shuffled], kind="stable")]
    places = (np.arange(size) + random.random()) * len(ordered) / size
    drawn: np.ndarray = ordered[places.astype(np.int64)]
    return drawn


def shared_origins(corpus: Corpus) -> list[str]:
    """Return a note for each given split with examples that have an origin of the training split: they flatter."""
    families = {name: _column(split, "family")[split.rows] for name, split in corpus.splits.items()}
    notes = []
    for name, numbers in families.items():
        shared = int(np.isin(numbers[numbers != 0], families["train"]).sum()) if name != "train" else 0
        if shared:
            notes.append(
                f"{name}: {shared:,} of the {len(numbers):,} examples have an origin that is in the training file, "
                "too; its scores flatter"
            )
    return notes


def _families(split: SplitTable) -> np.ndarray | None:
    """Return int64 [rows of the split], equal where the origin is; None where no example states any."""
    numbers = _column(split, "family")[split.rows]
    alone = numbers == 0
    if alone.all():
        return None
    _, families = np.unique(numbers, return_inverse=True)
    families[alone] = len(numbers) + np.arange(alone.sum())
    return families


def _draw_families(split: SplitTable, families: np.ndarray, size: int, seed: Sequence[int]) -> np.ndarray:
    """Return ``size`` rows or nearly, sorted: whole families, each label and each size of family in proportion."""
    random = np.random.default_rng(seed)
    names, firsts, sizes = np.unique(families, return_index=True, return_counts=True)
    count = max(1, round(size * len(names) / len(families)))
    shuffled = random.permutation(len(names))
    strata = _column(split, "stratum")[split.rows[firsts]]
    ordered = shuffled[np.lexsort((sizes[shuffled], strata[shuffled]))]  # stable
    places = (np.arange(count) + random.random()) * len(ordered) / count
    chosen = np.zeros(len(names), dtype=bool)
    chosen[ordered[places.astype(np.int64)]] = True
    missing = size - int(sizes[chosen].sum())
    for family in shuffled.tolist():
        if not missing:
            break
        if sizes[family] <= missing and not chosen[family]:
            chosen[family], missing = True, missing - int(sizes[family])
        elif sizes[family] <= -missing and chosen[family]:
            chosen[family], missing = False, missing + int(sizes[family])
    drawn = split.rows[np.isin(families, names[chosen])]
    left = np.setdiff1d(drawn, _leave_each_label(split, drawn))
    # What goes back for the sake of its label takes its family along.
    back = np.isin(families, families[np.isin(split.rows, left)])
    rows: np.ndarray = drawn[~back[np.isin(split.rows, drawn)]]  # both sorted
    return rows if len(rows) < len(families) else rows[:0]


def _leave_each_label(split: SplitTable, drawn: np.ndarray) -> np.ndarray:
    """Return the drawn rows less one of each label that would be drawn whole: what is tested must be taught.

    Not where texts have several labels: few texts then share all of theirs. Of tags, one of each kind is left.
    """
    if not _column(split, "one_label").all():
        return drawn if is_whole(next(split.examples())) else _leave_each_tag(split, drawn)
    strata = _column(split, "stratum")
    left = set(strata[np.setdiff1d(split.rows, drawn)].tolist())
    kept = []
    for row in drawn.tolist():
        if strata[row] in left:
            kept.append(row)
        left.add(strata[row])
    return np.asarray(kept, dtype=np.int64)


def _leave_each_tag(split: SplitTable, drawn: np.ndarray) -> np.ndarray:
    """Return the drawn rows less those with a tag that would then be nowhere else."""
    left: set[str] = set()
    for example in replace(split, rows=np.setdiff1d(split.rows, drawn)).examples():
        left |= kinds_of(example)
    kept = []
    for row, example in zip(drawn.tolist(), replace(split, rows=drawn).examples(), strict=True):
        if kinds_of(example) <= left:
            kept.append(row)
        left |= kinds_of(example)
    return np.asarray(kept, dtype=np.int64)


def _column(split: SplitTable, name: str) -> np.ndarray:
    return np.asarray(split.table.with_format("numpy", columns=[name])[name][:])


def is_whole(example: Example) -> bool:
    """Return whether the labels of a text are those of the whole text, not of its tokens."""
    return example.scheme is None and example.spans is None


def kinds_of(example: Example) -> set[str]:
    """Return the kinds of tags or spans that a text has."""
    return {label for _, _, label in example.spans or ()} | set(example.label or ())
