"""From a recipe to a finished run, top to bottom."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnntext import __version__, registry, run_folder
from rnntext.contracts import KINDS, Split
from rnntext.devices import choose_device, choose_threads
from rnntext.errors import Problem, RecipeError, UsageError
from rnntext.evaluation import GroupedScores, evaluate, groups_of
from rnntext.model import TextModel, build_model
from rnntext.prediction import assemble, selftest
from rnntext.preparing import Prepared, prepare
from rnntext.progress import LineReporter, Reporter
from rnntext.recipe import Recipe, read_recipe
from rnntext.run_folder import RunFolder
from rnntext.training import TrainingResult, train

TEXTS_TO_TIME = 1000
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
        RecipeError: the recipe is not valid, or data must be given. Nothing was run.
        DataError: the data cannot be used.
        UsageError: ``out`` may not be written to, the device is not there, or overrides come with a ``Recipe``.
        TrainingError: the loss stopped being a number.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished (nothing is left on disk), or while the
            trained model was measured (the folder predicts, without metrics).
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

        prepared = prepare(recipe, reporter.note)
        torch.manual_seed(recipe.seed)
        model = build_model(recipe, prepared.vocabulary, prepared.labels)
        coverage = _begin_embeddings(model, recipe, prepared, reporter)
        model.to(device)
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        reporter.note(f"model: {parameters:,} parameters, on {device.type} with {threads} thread(s)")

        folder = RunFolder.claim(out, recipe.name, force)
        _write_before_training(folder, recipe, prepared, model, device, threads)
        result = train(
            model,
            prepared.collator("train", device),
            prepared.collator("validation", device),
            recipe.training,
            recipe.batching,
            recipe.select_by,
            recipe.seed,
            keep=lambda trained: folder.save_weights(trained.state_dict()),
            record=folder.append_history,
            reporter=reporter,
        )
        if not result.best_epoch:  # interrupted before there was anything to keep
            folder.discard()
            raise KeyboardInterrupt

        model.load_state_dict(folder.read_weights())
        # Made by the model as it will be loaded, so that what is measured is what is served.
        folder.write_json(run_folder.SELFTEST, selftest(assemble(folder, device)))
        try:
            metrics = _measure(model, recipe, prepared, result, folder, device, reporter)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted while measuring; {folder.path} predicts, without metrics") from None
        metrics["training"]["parameters"] = parameters
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


def _begin_embeddings(
    model: TextModel, recipe: Recipe, prepared: Prepared, reporter: Reporter
) -> dict[str, dict[str, float]]:
    """Let embeddings fill their weights; return, by table and split, the share of tokens that have a vector."""
    coverage: dict[str, dict[str, float]] = {}
    # By table, not by type: a recipe may join vectors of several sources.
    for label, embedding in zip(recipe.embedding_labels(), model.embeddings, strict=True):
        begin, covers = getattr(embedding, "begin", None), getattr(embedding, "covers", None)
        if begin is not None:
            begin()
        if covers is not None:
            shares = prepared.shares_of(covers(prepared.table.types))
            coverage[label] = shares
            shown = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
            reporter.note(f"{label}: vectors for {shown} (share of tokens)")
    return coverage


def _write_before_training(
    folder: RunFolder, recipe: Recipe, prepared: Prepared, model: TextModel, device: torch.device, threads: int
) -> None:
    """Write what is known before the first step, so that a run that dies can be understood."""
    header = f"Frozen by rnntext {__version__} from {Path(recipe.file).name}: every value that the run used."
    # What was decided by the surroundings: a width that a source of vectors has, the number of threads.
    decided: dict[tuple[str, str], Any] = {("training", "threads"): threads}
    for label, embedding in zip(recipe.embedding_labels(), model.embeddings, strict=True):
        decided[label, "output_dim"] = embedding.output_dim
    folder.write_text(run_folder.RECIPE, recipe.to_toml(header, decided))
    folder.write_json(run_folder.VOCABULARY, prepared.vocabulary.to_json())
    folder.write_json(run_folder.LABELS, prepared.labels)
    choices = [recipe.dataset, recipe.tokenizer, recipe.vocabulary, *recipe.embeddings, recipe.encoder, recipe.head]
    sources = {(entry.kind, entry.name): entry for kind in KINDS for entry in registry.entries(kind)}
    parts = [sources[choice.kind, choice.name] for choice in choices]
    folder.write_json(
        run_folder.ENVIRONMENT,
        {
            "rnntext": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "packages": {name: found for name in PACKAGES if (found := _version(name))},
            "parts": [{"kind": part.kind, "name": part.full_name, "version": part.version} for part in parts],
            "device": str(device),
            "threads": threads,
            "data": prepared.corpus.digests,
        },
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _measure(
    model: TextModel,
    recipe: Recipe,
    prepared: Prepared,
    result: TrainingResult,
    folder: RunFolder,
    device: torch.device,
    reporter: Reporter,
) -> dict[str, Any]:
    """Score the kept epoch, and simple methods beside it, on splits that training has not touched."""
    validation = evaluate(model, prepared.collator("validation", device), recipe.batching).scores()
    closing: Split = "test" if "test" in prepared.splits else "validation"
    counts = GroupedScores(model.head.scores)
    evaluate(model, prepared.collator(closing, device), recipe.batching, counts)
    texts = _texts(prepared, closing)
    trained = assemble(folder, device)
    baselines: dict[str, dict[str, float]] = {}
    baseline_groups: dict[str, Any] = {}
    if recipe.baselines.enabled and not result.interrupted:
        baselines, baseline_groups = _baselines(model, recipe, prepared, closing, texts, reporter)
    return {
        "validation": validation,
        "test": counts.scores() if closing == "test" else None,
        "baselines": baselines,
        "training": {
            "seconds": result.seconds,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "tokens_per_second": result.tokens_per_second,
            "interrupted": result.interrupted,
        },
        "prediction": {
            "milliseconds_per_text": _milliseconds(lambda: trained(texts), len(texts)),
            "megabytes": folder.megabytes(),
        },
        "groups": counts.groups(),
        "baseline_groups": baseline_groups,
        "data": {
            "texts": {name: len(split) for name, split in prepared.splits.items()},
            "texts_cut": {name: split.texts_cut for name, split in prepared.splits.items()},
            "texts_without_tokens": {name: split.texts_without_tokens for name, split in prepared.splits.items()},
            "unknown_rate": prepared.unknown_rates(),
            "vocabulary_size": len(prepared.vocabulary),
            "notes": prepared.corpus.notes,
        },
    }


def _baselines(
    model: TextModel, recipe: Recipe, prepared: Prepared, closing: Split, texts: list[Any], reporter: Reporter
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Train and score each simple method that the head offers."""
    head = model.head
    rows, limit = None, recipe.baselines.max_rows
    if limit is not None and limit < len(prepared.splits["train"]):
        random = np.random.default_rng((recipe.seed, 20))
        rows = np.sort(random.choice(len(prepared.splits["train"]), limit, replace=False))
        reporter.note(f"baselines: trained on {limit:,} of {len(prepared.splits['train']):,} texts (max_rows)")
    train_data, validation_data = prepared.labelled_tokens("train", rows), prepared.labelled_tokens("validation")
    closing_data = prepared.labelled_tokens(closing)
    groups = groups_of(prepared.splits[closing], np.arange(len(prepared.splits[closing])))
    scores, grouped = {}, {}
    for name, baseline in head.baselines().items():
        started = time.perf_counter()
        baseline.fit(train_data, validation_data)
        seconds = time.perf_counter() - started
        counts = GroupedScores(head.scores)
        counts.update(baseline.answers(closing_data.tokens()), closing_data.targets, groups)
        scores[name] = {
            **counts.scores(),
            "milliseconds_per_text": _milliseconds(
                lambda method=baseline: method.answers(_from_raw(texts, prepared)), len(texts)
            ),
            "megabytes": baseline.megabytes(),
            "train_seconds": seconds,
        }
        scores[name].pop("loss", None)
        grouped[name] = counts.groups()
    return scores, grouped


def _texts(prepared: Prepared, split: Split) -> list[Any]:
    """Return some raw texts of a split, as a user would give them."""
    examples = islice(prepared.corpus.splits[split].examples(), TEXTS_TO_TIME)
    return [
        example.text if example.tokens is None else {"text": example.text, "tokens": list(example.tokens)}
        for example in examples
    ]


def _from_raw(texts: Iterable[Any], prepared: Prepared) -> Iterator[list[str]]:
    """Yield normalised tokens from raw texts: the work that a baseline has with them, too."""
    for text in texts:
        tokens = prepared.tokenizer.tokens(text) if isinstance(text, str) else text["tokens"]
        yield [prepared.vocabulary.normalize(token) for token in tokens]


def _milliseconds(work: Any, count: int) -> float:
    """Return milliseconds a text, tokenizing included, after one warm-up."""
    work()
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000 / count
