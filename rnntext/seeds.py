"""One recipe under several seeds: what a score is worth shows in its spread."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnntext.errors import RecipeError, UsageError
from rnntext.progress import LineReporter, Reporter
from rnntext.recipe import read_recipe
from rnntext.run_folder import METRICS, PARTIAL, RunFolder, next_free_folder, write_whole
from rnntext.running import Run, needs_problem, run

SEEDS = "seeds.json"


@dataclass(slots=True)
class SeedRuns:
    """Finished runs of one recipe that differ in their seed."""

    path: Path
    """Their folder: a run folder ``seed-<number>`` each, and seeds.json."""
    runs: list[Run] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    """The seed of each run."""
    interrupted: bool = False
    """Whether Ctrl-C ended the series; the run that it hit is not counted."""

    @property
    def summary(self) -> dict[str, Any]:
        """What seeds.json holds: the shape of metrics.json, with mean, deviation, least and largest for a number."""
        kept = ("validation", "test", "baselines", "training", "prediction")
        metrics = [{name: run.metrics[name] for name in kept} for run in self.runs]
        said = {
            name: run.metrics[name] for run in self.runs[:1] for name in ("leaked", "units") if name in run.metrics
        }
        return {"seeds": self.seeds, **said, **(_spread(metrics) if metrics else {})}


def run_seeds(
    recipe: str | Path,
    seeds: int | Sequence[int],
    overrides: Mapping[str, Any] | list[str] | None = None,
    out: str | Path | None = None,
    *,
    force: bool = False,
    progress: Callable[[], Reporter] = LineReporter,
) -> SeedRuns:
    """Train a recipe once a seed, and sum the scores up.

    Splits that the recipe draws are drawn anew by each seed, as are weights, order and dropout.

    Args:
        recipe: the TOML file.
        seeds: how many, counted from the recipe's ``seed``; or the seeds themselves.
        overrides: as ``rnntext.run`` takes them.
        out: the folder of all the runs; ``runs/<name>-<number>`` if None.
        force: replace the runs that ``out`` holds already.
        progress: gives a reporter for each run.

    Raises:
        UsageError: there are no seeds, one occurs twice, or ``out`` may not be written to.
        RecipeError, DataError, TrainingError: as ``rnntext.run``; runs that were finished before stay, summed up.
        KeyboardInterrupt: Ctrl-C before the first run was finished.
    """
    first = read_recipe(recipe, overrides)
    numbers = list(range(first.seed, first.seed + seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise UsageError(f"give one or more seeds, each once; these are {seeds!r}")
    # Before there is a folder: data that are not named, a seed out of range.
    recipes = {number: read_recipe(recipe, _with_seed(overrides, number)) for number in numbers}
    if first.needs:
        raise RecipeError([needs_problem(first, key) for key in first.needs])
    made = out is None or not Path(out).is_dir()
    if out is None:
        folder = next_free_folder(first.name)
    else:
        folder = Path(out)
        _check_free(folder, force)
    finished = SeedRuns(folder)
    replaced = _content(folder / f"seed-{numbers[0]}" / METRICS)
    try:
        for number in numbers:
            reporter = progress()
            reporter.note(f"seed {number} ({len(finished.runs) + 1} of {len(numbers)})")
            trained = run(recipes[number], out=folder / f"seed-{number}", force=force, progress=reporter)
            if trained.interrupted:
                finished.interrupted = True
                break
            finished.runs.append(trained)
            finished.seeds.append(number)
            # After each, so that whatever stops the series leaves a summary of what there is.
            text = json.dumps(finished.summary, ensure_ascii=False, indent=1, allow_nan=False)
            write_whole(folder / SEEDS, f"{text}\n".encode())
    except KeyboardInterrupt:
        if not finished.runs:
            raise
        finished.interrupted = True
    finally:
        if replaced and not finished.runs and _content(folder / f"seed-{numbers[0]}" / METRICS) != replaced:
            (folder / SEEDS).unlink(missing_ok=True)  # it sums up a run that is gone
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if finished.interrupted and not finished.runs:
        best = folder / f"seed-{numbers[0]}"
        raise KeyboardInterrupt(f"interrupted in the first of {len(numbers)} seeds; {best} holds its best epoch")
    if not finished.interrupted:
        for old in set(_runs_of(folder)) - {f"seed-{number}" for number in numbers}:
            shutil.rmtree(folder / old)  # of the series that this one replaces
    return finished


def _with_seed(overrides: Mapping[str, Any] | list[str] | None, seed: int) -> Mapping[str, Any] | list[str]:
    if isinstance(overrides, list):  # of which none may occur twice
        return [*(pair for pair in overrides if pair.partition("=")[0].strip() != "seed"), f"seed={seed}"]
    return {**(overrides or {}), "seed": seed}


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _runs_of(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"seed-[0-9]+", path.name)]


def _check_free(folder: Path, force: bool) -> None:
    """Raise UsageError if a series may not be written there; only a series of runs is ever replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give --out a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    runs = _runs_of(folder)
    others = sorted(
        path.name for path in folder.iterdir() if path.name not in (SEEDS, *runs) and not path.name.endswith(PARTIAL)
    )
    if others or not runs:
        shown = ", ".join(others[:3]) or SEEDS
        raise UsageError(f"{folder} holds other files than a series of runs ({shown}); give --out another folder")
    if not force:
        raise UsageError(f"{folder} holds runs already; give --out another folder, or --force to replace them")
    for name in runs:  # all of them, before the first is replaced
        RunFolder.check_free(folder / name, force)


def _spread(values: Sequence[Any]) -> Any:
    """Return equal structures as one, each number as its mean, standard deviation, least and largest."""
    first = values[0]
    if isinstance(first, Mapping):
        # A score that not every seed has, such as of a rare type in a drawn split, has no mean over seeds.
        shared = [key for key in first if all(key in value for value in values)]
        return {key: _spread([value[key] for value in values]) for key in shared}
    if first is None or isinstance(first, bool):
        return None
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "least": min(values),
        "largest": max(values),
    }
