"""From a run folder to a trained model, checked against its stored self-test."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rnntext import provenance, run_folder
from rnntext.contracts import MARK, Vocabulary
from rnntext.devices import choose_device
from rnntext.errors import DataError, RecipeError, RunFolderError, UsageError
from rnntext.model import build_model, load_weights
from rnntext.prediction import Counts, TrainedModel
from rnntext.preparing import learns_cuts, tokenizer_of
from rnntext.recipe import read_recipe
from rnntext.run_folder import RunFolder

SELFTEST_LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)
SELFTEST_LONGEST_WORD = 30  # characters; a token as long as a text might be one, and nobody's text belongs there
SELFTEST_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}  # of a probability, by precision


def load(
    path: str | Path, device: str = "cpu", precision: Literal["float32", "bfloat16"] | None = None
) -> TrainedModel:
    """Return the model of a run folder, checked against its stored self-test. Runs no code from the folder.

    Args:
        path: the run folder.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        precision: in which it computes; that in which it was trained if None.

    Raises:
        RunFolderError: files are missing or broken, do not fit each other, or the self-test fails.
        UsageError: the device is not there, or there is no such precision.
    """
    if precision not in (None, "float32", "bfloat16"):
        raise UsageError(f'precision must be "float32" or "bfloat16", not {precision!r}')
    folder = RunFolder(path)
    model = assemble(folder, choose_device(device))
    stored = folder.read_json(run_folder.SELFTEST)
    texts = stored.get("texts") if isinstance(stored, dict) else None
    if not texts or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RunFolderError(f"{folder.file(run_folder.SELFTEST)} holds no texts; copy the run again or train it")
    tolerance = SELFTEST_TOLERANCE[model.model.precision]
    drift = _difference(stored.get("outputs"), selftest(model, texts)["outputs"], tolerance)
    if drift:
        changed = provenance.changed_packages(_environment(folder))
        raise RunFolderError(
            f"{folder.path} does not give the answers it gave when it was trained: {drift}. Its files or the "
            f"versions of the packages have changed{f' ({changed})' if changed else ''}; compare "
            f"{run_folder.ENVIRONMENT}, or train the run anew"
        )
    model.counts = Counts()
    # Only now: the self-test compares answers in the precision that they were stored in.
    model.model.precision = precision or model.model.precision
    return model


def assemble(folder: RunFolder, device: torch.device) -> TrainedModel:
    """Build a run's model from its files, without the self-test."""
    if not folder.file(run_folder.RECIPE).is_file():
        folder.read_json(run_folder.RECIPE)  # raises what is missing
    try:
        recipe = read_recipe(folder.file(run_folder.RECIPE), files_needed=False)
    except RecipeError as error:
        missing = provenance.missing_packages(_environment(folder))
        reason = f"{error}\n{missing}" if missing else str(error)
        raise RunFolderError(f"the recipe of {folder.path} does not fit this rnntext:\n{reason}") from None
    labels, words = folder.read_json(run_folder.LABELS), folder.read_json(run_folder.VOCABULARY)
    learnt_cuts = folder.read_json(run_folder.TOKENIZER) if learns_cuts(recipe) else None
    try:
        tokenizer = tokenizer_of(recipe, learnt_cuts)
        vocabulary: Vocabulary = recipe.vocabulary.build()
        vocabulary.from_json(words)
        model = build_model(recipe, vocabulary, labels)
    except DataError as error:
        raise RunFolderError(f"{folder.path}: {error}") from None
    except (LookupError, TypeError, ValueError) as error:
        files = [run_folder.VOCABULARY, run_folder.LABELS]
        files = [run_folder.TOKENIZER, *files] if learnt_cuts is not None else files
        raise RunFolderError(
            f"{', '.join(files[:-1])} or {files[-1]} of {folder.path} holds something else than it did "
            f"({error!r}); copy the run again or train it"
        ) from None
    weights = folder.read_weights()
    try:
        load_weights(model, weights)
    except RuntimeError as error:
        raise RunFolderError(f"the weights of {folder.path} do not fit its recipe and vocabulary: {error}") from None
    model.to(device).eval()
    return TrainedModel(recipe, tokenizer, vocabulary, labels, model, device)


def _environment(folder: RunFolder) -> Any:
    """Return what the run says of the packages that made it; nothing where it says nothing."""
    try:
        return folder.read_json(run_folder.ENVIRONMENT)
    except RunFolderError:  # only for a hint in another error
        return {}


def selftest(model: TrainedModel, texts: list[str] | None = None) -> dict[str, Any]:
    """Return texts and what the model answers; the texts are made of single words of its vocabulary.

    Never of training texts: a model may be private.
    """
    if texts is None:
        random = np.random.default_rng(0)
        vocabulary = model.vocabulary
        words = [
            word for word in map(vocabulary.token, range(2, len(vocabulary))) if len(word) <= SELFTEST_LONGEST_WORD
        ]
        texts = [" ".join(random.choice(words, length).tolist()) if words else "" for length in SELFTEST_LENGTHS]
        if model.fills_blanks:
            texts = [f"{text} {MARK} {text}" for text in texts]
    return {"texts": texts, "outputs": [model(text).to_dict() for text in texts]}


def _difference(stored: Any, now: Any, tolerance: float, place: str = "outputs") -> str:
    """Return where two answers differ by more than the tolerance, or ""."""
    if isinstance(stored, float | int) and isinstance(now, float | int):
        return "" if abs(stored - now) <= tolerance else f"{place} was {stored}, is {now}"
    if isinstance(stored, dict) and isinstance(now, dict) and stored.keys() == now.keys():
        pairs = [(stored[key], now[key], f"{place}.{key}") for key in stored]
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        pairs = [(old, new, f"{place}[{index}]") for index, (old, new) in enumerate(zip(stored, now, strict=True))]
    else:
        return "" if stored == now else f"{place} was {stored!r}, is {now!r}"
    return next((found for old, new, where in pairs if (found := _difference(old, new, tolerance, where))), "")
