"""spaCy's ``textcat`` with its default model, in a blank English pipeline."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.peers.serving import answers, serve

BATCH = 64


class SpacyClassifier:
    """Hashed word vectors through a small CNN, beside a linear bag of words: the default of ``textcat``."""

    def __init__(self) -> None:
        import spacy

        self.name = f"spaCy {spacy.__version__}"
        self.pipeline: Any = None

    def train(self, rows: list[tuple[str, str]], epochs: int) -> None:
        """Train a new pipeline by ``update``, in shuffled batches."""
        import spacy
        from spacy.training import Example
        from spacy.util import fix_random_seed, minibatch

        fix_random_seed(0)
        self.pipeline = spacy.blank("en")
        self.pipeline.add_pipe("textcat")
        labels = sorted({label for _, label in rows})
        examples = [
            Example.from_dict(self.pipeline.make_doc(text), {"cats": {each: float(each == label) for each in labels}})
            for text, label in rows
        ]
        optimizer = self.pipeline.initialize(lambda: examples)
        order = random.Random(0)
        for _ in range(epochs):
            order.shuffle(examples)
            for batch in minibatch(examples, BATCH):
                self.pipeline.update(batch, sgd=optimizer, drop=0.2)

    def label(self, texts: list[str]) -> list[str]:
        """Return the label of each text."""
        return [max(doc.cats, key=doc.cats.get) for doc in self.pipeline.pipe(texts)]


if __name__ == "__main__":
    serve(SpacyClassifier(), answers)
