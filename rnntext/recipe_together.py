"""What each table of a recipe allows but the whole does not: misuse, by what parts declare of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rnntext.contracts import Encoder, Head
from rnntext.errors import suggest
from rnntext.tables import TrainingOptions

if TYPE_CHECKING:
    from rnntext.recipe import PartChoice

WHAT_IS_NEEDED: Mapping[str, str] = {
    "labels": "labels of whole texts, and these data have none; choose another head (rnntext list heads)",
    "tags": "a tag for each token: data of type conll or conllu have them, and jsonl with spans_field",
    "spans": "tags that are parts of spans; state their dataset.scheme, or leave head.scheme to the data",
    "sequence": "windows that follow on from one another (dataset.num_steps, and dataset.sampling = "
    '"sequential"): in any other order, the state that is carried on belongs to another place of the text',
}


def faults_together(
    parts: Mapping[str, Sequence[PartChoice]], training: TrainingOptions | None
) -> Iterator[tuple[str, str, str]]:
    """Yield (table, key, what is wrong); tables with faults of their own are left out.

    Args:
        parts: table -> the valid ones of it.
        training: None where that table has faults.
    """
    for head in parts["head"]:
        for encoder in parts["encoder"]:
            yield from _encoder_and_head(encoder, head)
        for dataset in parts["dataset"]:
            yield from _dataset_and_head(dataset, head)
        metrics = [*head.part.metrics, "loss"]
        if training is not None and training.select_by is not None and training.select_by not in metrics:
            hint = suggest(training.select_by, metrics) or f" Metrics: {', '.join(metrics)}."
            yield "training", "select_by", f"head {head.name!r} has no metric {training.select_by!r}.{hint}"


def _encoder_and_head(encoder: PartChoice, head: PartChoice) -> Iterator[tuple[str, str, str]]:
    head_class: type[Head] = head.part
    encoder_class: type[Encoder] = encoder.part
    leaked = encoder_class.reads(encoder.options) & head_class.hides
    if leaked and not head.options.get("allow_leak"):
        what = " and ".join(sorted(leaked)).replace("_", " ")
        yield (
            "encoder",
            "type",
            f"a state of {encoder.name!r} with these options reads the {what}; {head_class.why_hidden}",
        )
    if encoder.options.get("chunk_tokens"):
        why_whole = getattr(head_class, "why_whole", None)
        reason = why_whole(head.options) if why_whole else "it reads every state of a text"
        if reason:
            message = f"head {head.name!r} reads no text in pieces: {reason}. Leave chunk_tokens out"
            yield "encoder", "chunk_tokens", message


def _dataset_and_head(dataset: PartChoice, head: PartChoice) -> Iterator[tuple[str, str, str]]:
    given = _annotations(dataset, "gives")
    if "windows" in given and not getattr(head.part, "reads_windows", False):
        reason = f"cuts a stream of text into windows, and head {head.name!r} reads whole texts; leave it out"
        yield "dataset", "num_steps", reason
    elif lacking := _annotations(head, "needs") - given:
        yield "head", "type", f"head {head.name!r} with these options needs {_what_is_needed(min(lacking))}"


def _what_is_needed(annotation: str) -> str:
    own = f"{annotation!r}, which these data do not give; choose a dataset of the package that the head is from"
    return WHAT_IS_NEEDED.get(annotation, own)


def _annotations(choice: PartChoice, method: str) -> frozenset[str]:
    """Return what a dataset gives or a head needs with its options."""
    declared = getattr(choice.part, method, None)
    return frozenset({"labels"}) if declared is None else frozenset(declared(choice.options))
