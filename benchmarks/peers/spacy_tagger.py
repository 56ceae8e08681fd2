"""spaCy's ``ner`` with its default model, in a blank English pipeline."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.serving import serve
from benchmarks.peers.serving_tags import answers

BATCH = 32


class SpacyTagger:
    """Hashed words, prefixes, suffixes and shapes through a small CNN, and transitions: the default of ``ner``."""

    def __init__(self) -> None:
        import spacy

        self.name = f"spaCy {spacy.__version__}"
        self.pipeline: Any = spacy.blank("en")
        self.examples: list[Any] = []

    def learn(self, rows: Sequence[tuple[list[str], list[str]]], most: int) -> None:
        """Build the sentences to train on."""
        from spacy.tokens import Doc
        from spacy.training import Example

        self.examples = [
            Example.from_dict(Doc(self.pipeline.vocab, words=words), {"entities": _biluo(tags)})
            for words, tags in rows[:most]
        ]

    def epoch(self) -> None:
        """Train a new model by ``update``, in shuffled batches."""
        from spacy.util import fix_random_seed, minibatch

        fix_random_seed(0)
        if "ner" in self.pipeline.pipe_names:
            self.pipeline.remove_pipe("ner")
        self.pipeline.add_pipe("ner")
        optimizer = self.pipeline.initialize(lambda: self.examples)
        order = list(self.examples)
        random.Random(0).shuffle(order)
        for batch in minibatch(order, BATCH):
            self.pipeline.update(batch, sgd=optimizer, drop=0.2)

    def take(self, sentences: Sequence[list[str]]) -> list[list[str]]:
        """Return the sentences as they are: a document that has names keeps them, so each pass needs new ones."""
        return list(sentences)

    def tag(self, taken: list[list[str]], batch: int) -> int:
        """Tag the sentences; return how many names were found."""
        from spacy.tokens import Doc

        documents = (Doc(self.pipeline.vocab, words=words) for words in taken)
        return sum(len(document.ents) for document in self.pipeline.pipe(documents, batch_size=batch))


def _biluo(tags: list[str]) -> list[str]:
    from spacy.training import iob_to_biluo

    return list(iob_to_biluo(tags))


if __name__ == "__main__":
    serve(SpacyTagger(), answers)
