"""What checks build around a part: texts as batches, whole recipes, a head in a model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tomlkit
import torch
from torch import Tensor

from rnntext import registry
from rnntext.batching import Collator
from rnntext.contracts import Batch, Example, Tokenizer, Vocabulary
from rnntext.encoding import TypeTable, encode_examples
from rnntext.model import TextModel, build_model
from rnntext.prediction import TrainedModel
from rnntext.preparing import Prepared, prepare
from rnntext.recipe import Recipe, read_recipe
from rnntext.streaming import AnyCollator
from rnntext.testing.subject import SEED, DoesNotApplyError, Subject, refuse
from rnntext.testing.tiny import INVENTED, LABELLED, ODD_TEXTS, TEXTS, annotations_of, dataset_of

DATASET = "examples_of_a_check"
"""The name under which examples are registered as a dataset."""
WIDTH = 6
"""E of the vectors that encoders are given."""
LENGTHS = (3, 7, 1, 5)
"""Tokens of the texts that encoders are given: not sorted, and one of a single token."""
Tables = Mapping[str, Mapping[str, Any]]


# ---------------------------------------------------------------- texts as batches


def texts_of(subject: Subject) -> dict[str, str]:
    """Return what a text is -> the text: ordinary and odd ones, and those of the examples."""
    ordinary = {f"the text {text!r}": text for text in TEXTS}
    given = {f"example {number}": example.text for number, example in enumerate(subject.examples, 1)}
    return {**ordinary, **ODD_TEXTS, **given}


def tiny_tokenizer(subject: Subject, seed: int = SEED) -> Any:
    """Return the tokenizer; one that learns where to cut has learnt from the tiny texts, and been kept as JSON."""
    tokenizer = subject.build(seed)
    if not hasattr(tokenizer, "fit"):
        return tokenizer
    tokenizer.fit(iter(TEXTS))
    loaded = subject.build(seed)
    loaded.from_json(json.loads(json.dumps(tokenizer.to_json())))
    return loaded


def word_counts(texts: Sequence[str] = TEXTS) -> dict[str, int]:
    """Return each word of the tiny texts with its number of occurrences."""
    return dict(Counter(word for text in texts for word in text.split()))


def tiny_vocabulary() -> Vocabulary:
    """Return a vocabulary of some of the tiny texts' words."""
    vocabulary: Vocabulary = registry.get("vocabularies", "frequency")(lowercase=False)
    vocabulary.fit(word_counts(TEXTS[:5]))
    return vocabulary


def batch_of(texts: Sequence[str], vocabulary: Vocabulary, extra: int = 0) -> Batch:
    """Return texts as embeddings read them, cut at white space; ``extra`` more columns of padding."""
    tokenizer: Tokenizer = registry.get("tokenizers", "whitespace")()
    table = TypeTable()
    split = encode_examples([Example(text) for text in texts], tokenizer, table, None, None, (), "train", None)
    batch = Collator(split, table.types, table.token_ids(vocabulary)).batch(np.arange(len(texts)))
    return widened(batch, extra)


def widened(batch: Batch, extra: int) -> Batch:
    """Return a batch with so many more columns of padding."""
    if not extra:
        return batch
    pad, targets = torch.nn.functional.pad, batch.targets
    if targets is not None and targets.shape[1]:  # of texts without any, there is nothing to stand behind
        targets = pad(targets, (0, extra), value=-1)
    return Batch(
        token_ids=pad(batch.token_ids, (0, extra)),
        lengths=batch.lengths,
        targets=targets,
        type_ids=None if batch.type_ids is None else pad(batch.type_ids, (0, extra), value=-1),
        types=batch.types,
        rows=batch.rows,
        goes_on=batch.goes_on,
    )


def vectors(lengths: Sequence[int] = LENGTHS, extra: int = 0, seed: int = 3) -> Tensor:
    """Return float32 [B, T, E], drawn by a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), max(lengths) + extra, WIDTH, generator=generator)


def inside(lengths: Sequence[int], steps: int) -> Tensor:
    """Return bool [B, T], True at real tokens."""
    return torch.arange(steps)[None] < torch.tensor(lengths)[:, None]


# ---------------------------------------------------------------- embeddings


def tiny_embedding(subject: Subject, seed: int = SEED) -> Any:
    """Return an embedding as training begins with it, in evaluation mode."""
    embedding = subject.build(seed, vocabulary=tiny_vocabulary())
    begin(embedding)
    return embedding.eval()


def begin(part: Any) -> None:
    """Let an embedding fill its weights, as a run does before training."""
    if hasattr(part, "begin"):
        part.begin()
    if hasattr(part, "begin_from"):
        labels = sorted({str(example.label) for example in LABELLED})
        batch = batch_of([example.text for example in LABELLED], tiny_vocabulary())
        batch.targets = torch.tensor([[labels.index(str(example.label))] for example in LABELLED])
        part.begin_from(iter([batch]))


# ---------------------------------------------------------------- whole recipes


def needs_of(subject: Subject) -> frozenset[str]:
    """Return what a head needs with its options."""
    needs = getattr(subject.part, "needs", None)
    return frozenset({"labels"}) if needs is None else frozenset(needs(subject.all_options))


def examples_of(subject: Subject) -> tuple[Sequence[Example], frozenset[str]]:
    """Return examples for a part, given or invented, and what they are annotated with."""
    if subject.kind != "heads":
        examples = subject.examples or LABELLED
        return examples, annotations_of(examples)
    needs = needs_of(subject)
    if subject.examples:
        return subject.examples, needs | annotations_of(subject.examples)
    if needs not in INVENTED:
        refuse(
            f"the head needs {', '.join(sorted(needs))}, which the checks cannot invent; give them examples "
            "(conformance(..., examples=[Example(...), ...]), or check-plugin --recipe RECIPE)"
        )
    return INVENTED[needs], needs


def tables_of(subject: Subject, annotations: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return the tables of a small recipe in which the part stands in its place."""
    table = registry.singular(subject.kind)
    head_name, hides = "classification", frozenset[str]()
    without_labels = "windows" in annotations or not annotations
    if subject.kind == "heads":
        hides = frozenset(subject.part.hides)
    elif without_labels:
        head_name, hides = "next_token", frozenset({"future"})
    elif "tags" in annotations:
        head_name = "tagging"
    elif "labels" not in annotations:
        raise DoesNotApplyError(f"no head of rnntext reads {', '.join(sorted(annotations))}")
    tables: dict[str, dict[str, Any]] = {
        "dataset": {"type": DATASET},
        "tokenizer": {"type": "whitespace"},
        "vocabulary": {"type": "frequency"},
        "batching": {"batch_size": 4},
        "embedding": {"type": "learned", "output_dim": 12},
        "encoder": {"type": "lstm", "hidden_dim": 12, "bidirectional": "future" not in hides},
        "head": {"type": head_name, "dropout": 0.0},
        "training": {"epochs": 1, "learning_rate": 0.05, "device": "cpu", "threads": 1},
        "baselines": {"enabled": subject.kind == "heads"},
    }
    options = {key: value for key, value in subject.all_options.items() if value is not None}
    tables[table] = {"type": subject.name, **options}
    if subject.kind == "datasets":
        tables["dataset"]["limit"] = 40
        if "validation" not in subject.build().splits():
            tables["dataset"]["validation_fraction"] = 0.5
    if subject.kind == "encoders" and without_labels:
        tables["head"]["allow_leak"] = True
    return tables


@contextmanager
def recipe_file(subject: Subject, changed: Tables | None = None) -> Iterator[Path]:
    """Give a small recipe with the part in its place, in a temporary folder."""
    if subject.kind == "datasets":
        gives = getattr(subject.part, "gives", None)
        annotations = frozenset({"labels"}) if gives is None else frozenset(gives(subject.all_options))
    else:
        examples, annotations = examples_of(subject)
        registry.register("datasets", DATASET)(dataset_of(examples, annotations))
    tables = tables_of(subject, annotations)
    for table, values in (changed or {}).items():
        tables[table].update(values)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "check.toml"
        path.write_text(tomlkit.dumps({"name": "check", "seed": 7, **tables}), encoding="utf-8")
        yield path


@dataclass(slots=True)
class Task:
    """A head in a whole model, with its data."""

    recipe: Recipe
    prepared: Prepared
    model: TextModel

    def collator(self, split: Any = "validation") -> AnyCollator:
        """Return what makes batches of a split; of one to be scored unless asked otherwise."""
        return self.prepared.collator(split)

    def batches(self, split: Any = "validation") -> list[Batch]:
        """Return all batches of a split."""
        collator = self.collator(split)
        return list(collator.batches(collator.evaluation_rows(self.recipe.batching)))

    def trained(self) -> TrainedModel:
        """Return the model as it answers users."""
        self.model.eval()
        return TrainedModel(
            self.recipe,
            self.prepared.tokenizer,
            self.prepared.vocabulary,
            self.prepared.labels,
            self.model,
            torch.device("cpu"),
        )

    def texts(self) -> list[Any]:
        """Return texts as a user would give them: those of the split to be scored, blanks and all."""
        return self.prepared.texts("validation", 16)


@contextmanager
def task_of(subject: Subject, seed: int = SEED, changed: Tables | None = None) -> Iterator[Task]:
    """Give a head in a small model that is about to be trained."""
    with recipe_file(subject, changed) as path:
        recipe = read_recipe(path)
        prepared = prepare(recipe, lambda text: None)
        subject.seed(seed)
        labels = json.loads(json.dumps(prepared.labels))
        task = Task(recipe, prepared, build_model(recipe, prepared.vocabulary, labels))
        if hasattr(task.model.head, "begin_from"):
            task.model.head.begin_from(iter(task.batches("train")))
        yield task
