"""One use of each kind of part, all that it gives returned: what two of them, or before and after, are told by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from rnntext.testing.material import (
    LENGTHS,
    WIDTH,
    batch_of,
    task_of,
    texts_of,
    tiny_embedding,
    tiny_tokenizer,
    tiny_vocabulary,
    vectors,
    word_counts,
)
from rnntext.testing.subject import SEED, Subject
from rnntext.testing.tiny import TEXTS


def use(subject: Subject, seed: int = SEED) -> Any:
    """Build a part, do with it what a run does, and return all that it gave, for comparison."""
    return _USES[subject.kind](subject, seed)


def _use_dataset(subject: Subject, seed: int) -> Any:
    dataset = subject.build(seed)
    splits = dataset.splits()
    read = {
        split: [
            (one.text, one.tokens, one.label, one.scheme, one.spans, one.choices, dict(one.fields), one.line)
            for one in islice(dataset.read(split), 200)
        ]
        for split in splits
    }
    return {"splits": splits, "files": [dataset.files(split) for split in splits], "examples": read}


def _use_tokenizer(subject: Subject, seed: int) -> Any:
    tokenizer = tiny_tokenizer(subject, seed)
    return {what: (tokenizer.tokens(text), tokenizer.spans(text)) for what, text in texts_of(subject).items()}


def _use_vocabulary(subject: Subject, seed: int) -> Any:
    vocabulary = subject.build(seed)
    vocabulary.fit(word_counts())
    words = [word for text in texts_of(subject).values() for word in text.split()]
    return {
        "tokens": [vocabulary.token(number) for number in range(len(vocabulary))],
        "ids": vocabulary.encode(words),
        "json": vocabulary.to_json(),
    }


def _use_embedding(subject: Subject, seed: int) -> Any:
    embedding = tiny_embedding(subject, seed)
    batch = batch_of(TEXTS, tiny_vocabulary())
    evaluated = embedding(batch).detach()
    embedding.train()
    subject.seed(seed)
    return {"weights": _weights(embedding), "vectors": evaluated, "vectors in training": embedding(batch).detach()}


def _use_encoder(subject: Subject, seed: int) -> Any:
    encoder = subject.build(seed, input_dim=WIDTH).eval()
    lengths = torch.tensor(LENGTHS)
    evaluated = encoder(vectors(), lengths)
    encoder.train()
    subject.seed(seed)
    trained = encoder(vectors(), lengths)
    return {
        "weights": _weights(encoder),
        "states": evaluated.states.detach(),
        "final": evaluated.final.detach(),
        "states in training": trained.states.detach(),
    }


def _use_head(subject: Subject, seed: int) -> Any:
    with task_of(subject, seed) as task:
        task.model.train()
        subject.seed(seed)
        losses = [float(task.model(batch).loss.detach()) for batch in task.batches("train")]
        answers = [answer.to_dict() for answer in task.trained()(task.texts())]
        return {
            "labels": task.prepared.labels,
            "weights": _weights(task.model.head),
            "losses in training": losses,
            "predictions": answers,
        }


def _weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


_USES: Mapping[str, Callable[[Subject, int], Any]] = {
    "datasets": _use_dataset,
    "tokenizers": _use_tokenizer,
    "vocabularies": _use_vocabulary,
    "embeddings": _use_embedding,
    "encoders": _use_encoder,
    "heads": _use_head,
}
