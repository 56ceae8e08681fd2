"""From a recipe to a finished run, top to bottom."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rnntext import __version__, provenance, run_folder
from rnntext.devices import choose_device, choose_threads
from rnntext.discovery import installed_version
from rnntext.errors import Problem, RecipeError, TrainingError, UsageError
from rnntext.loading import assemble, selftest
from rnntext.measuring import measure
from rnntext.model import TextModel, build_model, stored_weights
from rnntext.preparing import Prepared, prepare
from rnntext.progress import LineReporter, Reporter
from rnntext.recipe import Recipe, read_recipe
from rnntext.run_folder import RunFolder
from rnntext.starting import Start
from rnntext.training import train

PACKAGES = ("torch", "numpy", "spacy", "nltk", "datasets", "scikit-learn", "safetensors", "pydantic")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    path: Path
    """Its folder; give it to ``rnntext.load``."""
    metrics: dict[str, Any]
    """What metrics.json holds."""
    interrupted: bool = False
    """Whether Ctrl-C ended the training early; the best epoch until then was kept."""


def run(
    recipe: str | Path | Recipe,
    overrides: Mapping[str, Any] | list[str] | None = None,
    out: str | Path | None = None,
    *,
    force: bool = False,
    progress: Reporter | None = None,
) -> Run:
    """Train what a recipe describes, measure it beside simple methods, and leave a model folder.

    Args:
        recipe: the TOML file, or a recipe that was read already.
        overrides: dotted key -> value (``{"encoder.hidden_dim": 64}``), or ``--set`` pairs as strings.
        out: the run folder; ``runs/<name>-<number>`` if None.
        force: replace a run that ``out`` holds already.
        progress: hears how the run goes; log records of ``rnntext`` if None.

    Raises:
        RecipeError: the recipe is not valid, data must be given, or weights to start from do not fit. Nothing was
            run.
        DataError: the data cannot be used.
        UsageError: ``out`` may not be written to, the device is not there, or overrides come with a ``Recipe``.
        TrainingError: the loss stopped being a number.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished (nothing is left on disk, and a run that
            ``force`` was to replace is still there), or while the trained model was measured (the folder predicts,
            without metrics).
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, overrides)
    elif overrides:
        raise UsageError("this recipe was read already; give overrides to read_recipe, or give run the file")
    if recipe.needs:
        raise RecipeError([needs_problem(recipe, key) for key in recipe.needs])
    if out is not None:
        RunFolder.check_free(out, force)
    with progress or LineReporter() as reporter, _surroundings(recipe) as (device, threads):
        for text in recipe.left_behind:
            reporter.note(text)

        start = Start(recipe)
        prepared = prepare(recipe, reporter.note)
        torch.manual_seed(recipe.seed)
        model = build_model(recipe, prepared.vocabulary, prepared.labels)
        coverage = _begin_parts(model, recipe, prepared, reporter)
        start.fill(model, prepared.vocabulary, prepared.word_counts, reporter.note)
        model.to(device)
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        reporter.note(f"model: {parameters:,} parameters, on {device.type} with {threads} thread(s)")

        folder = RunFolder.claim(out, recipe.name, force)
        _write_before_training(folder, recipe, prepared, model, device, threads, start)
        try:
            result = train(
                model,
                prepared.collator("train", device),
                prepared.collator("validation", device),
                recipe.training,
                recipe.batching,
                recipe.training.select_by,
                recipe.seed,
                keep=lambda trained: folder.save_weights(stored_weights(trained)),
                record=folder.append_history,
                reporter=reporter,
            )
        except TrainingError as error:
            there = f" The best epoch until then is kept: {folder.path}" if folder.settle() else ""
            raise TrainingError(f"{error}{there}") from None
        finally:
            # However it ended, what was kept predicts.
            if kept := folder.settle():
                # The model as it will be loaded, so that what is measured is what is served.
                trained = assemble(folder, device)
                folder.write_json(run_folder.SELFTEST, selftest(trained))
        if not kept:
            raise KeyboardInterrupt
        try:
            metrics = measure(trained, prepared, result, folder.megabytes(), reporter)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted while measuring; {folder.path} predicts, without metrics") from None
        metrics["data"]["coverage"] = coverage
        folder.write_json(run_folder.METRICS, metrics)
        return Run(folder.path, metrics, result.interrupted)


def needs_problem(recipe: Recipe, key: str) -> Problem:
    """Return what to add to a recipe whose data may not be shipped with it."""
    table, _, option = key.partition(".")
    return Problem(
        f'this recipe brings no data; add the line {option} = "FILE" under [{table}], or give '
        f"--set {key}=FILE on the command line",
        table,
        option,
        recipe.file,
    )


@contextmanager
def _surroundings(recipe: Recipe) -> Iterator[tuple[torch.device, int]]:
    """Set threads and random numbers for a run, and put back what was there."""
    device, threads = choose_device(recipe.training.device), choose_threads(recipe.training)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], device_type="cuda"):
            yield device, threads
    finally:
        torch.set_num_threads(threads_before)


def _begin_parts(
    model: TextModel, recipe: Recipe, prepared: Prepared, reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Let parts fill their weights; return, by embedding and split, the share of tokens that have a vector."""
    coverage: dict[str, dict[str, float]] = {}
    # By table, not by type: a recipe may join vectors of several sources.
    embeddings: list[Any] = list(model.embeddings)
    for label, embedding in zip(recipe.embedding_labels(), embeddings, strict=True):
        begin, covers = getattr(embedding, "begin", None), getattr(embedding, "covers", None)
        if begin is not None:
            begin()
        if covers is not None:
            shares = prepared.shares_of(covers(prepared.table.types))
            coverage[label] = shares
            shown = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
            reporter.note(f"{label}: vectors for {shown} (share of tokens)")
    collator = prepared.collator("train")
    for part in (*embeddings, model.head):
        begin_from = getattr(part, "begin_from", None)
        if begin_from is not None:
            begin_from(collator.batches(collator.evaluation_rows(recipe.batching)))
    return coverage


def _write_before_training(
    folder: RunFolder,
    recipe: Recipe,
    prepared: Prepared,
    model: TextModel,
    device: torch.device,
    threads: int,
    start: Start,
) -> None:
    """Write what is known before the first step, so that a run that dies can be understood."""
    header = f"Frozen by rnntext {__version__} from {Path(recipe.file).name}: every value that the run used."
    # What was decided by the surroundings: a width that a source of vectors has, the number of threads.
    decided: dict[tuple[str, str], Any] = {("training", "threads"): threads}
    for label, embedding in zip(recipe.embedding_labels(), model.embeddings, strict=True):
        decided[label, "output_dim"] = embedding.output_dim
    folder.write_text(run_folder.RECIPE, recipe.to_toml(header, decided))
    if prepared.learnt_cuts is not None:
        folder.write_json(run_folder.TOKENIZER, prepared.learnt_cuts)
    folder.write_json(run_folder.VOCABULARY, prepared.vocabulary.to_json())
    folder.write_json(run_folder.LABELS, prepared.labels)
    folder.write_json(
        run_folder.ENVIRONMENT,
        {
            "rnntext": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "packages": {name: found for name in PACKAGES if (found := installed_version(name))},
            "parts": provenance.sources(recipe),
            "device": str(device),
            "threads": threads,
            "data": prepared.corpus.digests,
            **({"init_from": start.digests} if start.digests else {}),
        },
    )
