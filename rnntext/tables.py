"""The tables of a recipe that are not parts: what they hold, in which range, and why.

Like a part's constructor, each signature here is the only declaration of its options.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

PART_TABLES = {
    "dataset": "datasets",
    "tokenizer": "tokenizers",
    "vocabulary": "vocabularies",
    "embedding": "embeddings",
    "encoder": "encoders",
    "head": "heads",
}
"""Recipe table -> kind of the part that it names."""

DEFAULT_TYPES = {
    "tokenizer": "regex",
    "vocabulary": "frequency",
    "embedding": "learned",
    "encoder": "lstm",
    "head": "classification",
}
"""The part that a table means when it names no ``type``; a dataset must be named."""


class _RunsMarker: ...


Runs = Annotated[dict[Literal["encoder", "embedding"], str | Annotated[list[str], Field(min_length=1)]], _RunsMarker]
"""Which run folders give what: paths like ``contracts.FilePath``, each of a finished run."""


@dataclass(frozen=True, kw_only=True)
class TopLevel:
    """The keys above the first table.

    Args:
        recipe_version: version of the recipe format; 1.
        name: what runs of this recipe are called; the default run folder is ``runs/<name>-<number>``.
        seed: start of all random numbers: splits, weights, order, dropout.
        extends: a recipe to start from, relative to this file; this one's values win.
    """

    recipe_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] = "recipe"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    extends: str | None = None


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How splits that are not given as files are drawn; keys of ``[dataset]`` for every type of data.

    Args:
        validation_fraction: share of the training split held out to choose the epoch; 0.1 unless a
            validation split is given. Drawn by seed, each label in proportion.
        test_fraction: share of the training split held out for the closing score, drawn likewise.
        limit: at most so many examples of each split, drawn by seed, each label in proportion.
    """

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """How texts are put together; texts of like length meet in a batch.

    Args:
        batch_size: examples in a batch.
        batch_tokens: budget of one batch instead: examples times the longest text's tokens.
        max_tokens: a longer text is cut to its first so many tokens, and counted; 0 never cuts.
    """

    batch_size: Annotated[int, Field(ge=1)] = 64
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=0)] = 1000


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How the weights are learnt.

    Args:
        epochs: passes over the training split, in all.
        init_from: finished runs whose weights to start from: encoder = "runs/a", or ["runs/a", "runs/b"] for the
            forward direction of one and the backward of another; embedding = "runs/a", its rows matched by token
            (of several runs, the first that has the token).
        optimizer: rule that turns gradients into steps.
        learning_rate: size of a step, at its largest.
        layer_decay: the rate of each stage is this times that of the stage above: the head, the layers of the
            encoder from the top down, the embeddings; below 1, what was learnt before changes less.
        unfreeze_epochs: where above 0, training begins with the head alone, and every so many epochs the next stage
            below joins in.
        weight_decay: pull of the weights towards zero (adamw: decoupled; else added to the gradient, under
            ``row_updates`` to those of the rows that a batch reads).
        momentum: of sgd.
        schedule: how the learning rate moves: constant; warmup (rises, then stays); linear or cosine
            (rises, then falls to zero); plateau (halved when ``select_by`` stalls).
        warmup_fraction: share of all steps in which the rate rises from zero (warmup, linear, cosine).
        plateau_patience: epochs without improvement before ``plateau`` halves the rate.
        row_updates: work only on the rows that a batch reads, in tables so large that it pays (adam, adamw, and sgd
            without momentum and weight_decay): much sooner with many words, and the same weights but for
            rounding, save that adam's ``weight_decay`` then leaves the rows of absent words alone.
        gradient_clip: largest L2 norm of all gradients together; 0 never clips.
        select_by: validation metric that chooses the epoch to keep; the head's first unless given.
        patience: stop after so many epochs without improvement; 0 never stops early.
        device: auto takes an accelerator if there is one.
        precision: in which the network computes; weights are float32 in both. bfloat16 pays on an accelerator and
            on processors that have units for it.
        threads: CPU threads; OMP_NUM_THREADS, else torch's default, unless given.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    init_from: Runs | None = None
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    unfreeze_epochs: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "warmup", "cosine", "linear", "plateau"] = "constant"
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    plateau_patience: Annotated[int, Field(ge=0)] = 1
    row_updates: bool = True
    gradient_clip: Annotated[float, Field(ge=0)] = 5.0
    select_by: str | None = None
    patience: Annotated[int, Field(ge=0)] = 5
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, kw_only=True)
class BaselineOptions:
    """The simple methods that every run is measured against.

    Args:
        enabled: train and score them.
        max_rows: train them on at most so many examples, drawn by seed; all unless given.
    """

    enabled: bool = True
    max_rows: Annotated[int, Field(ge=1)] | None = None


CORE_TABLES = {"batching": BatchingOptions, "training": TrainingOptions, "baselines": BaselineOptions}
TABLES = ("dataset", "tokenizer", "vocabulary", "batching", "embedding", "encoder", "head", "training", "baselines")
"""All tables, in the order of the flow: the order in which recipes are written and printed."""
