"""rnntext beside other packages' text classifiers: raw text to label, the same texts and labels, one thread each.

A peer runs in this Python if its package is here, or in the one that an environment variable names; otherwise it is
skipped with a line that says how to have it. All learn the same rows for as many epochs: enough for the timing, and,
where a test file is given, for accuracies that say that the work is real. They are not the best that any of them can.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import rnntext
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.peers.asking import PeerError, conversation
from benchmarks.text import labels
from benchmarks.workload import Size, Workload, workload


@dataclass(frozen=True)
class Peer:
    """A package to compare with."""

    package: str
    module: str
    """Run in its Python."""
    variable: str
    """Environment variable that names its Python."""
    compares: str

    def python(self) -> str | None:
        """Return the Python that has the package; None if there is none."""
        if os.environ.get(self.variable):
            return os.environ[self.variable]
        return sys.executable if importlib.util.find_spec(self.package) else None


PEERS = (
    Peer(
        "flair",
        "benchmarks.peers.flair_classifier",
        "RNNTEXT_BENCH_FLAIR",
        "rnntext's pipe and Flair's TextClassifier over DocumentRNNEmbeddings: the same widths (E 100, H 128, "
        "bidirectional LSTM), both split at white space; Flair labels batches of 64 texts, rnntext of 4,096 tokens.",
    ),
    Peer(
        "spacy",
        "benchmarks.peers.spacy_classifier",
        "RNNTEXT_BENCH_SPACY",
        "the same pipe and spaCy's `textcat` with its default model, in a blank English pipeline with its own "
        "tokenizer and batch size.",
    ),
    Peer(
        "fasttext",
        "benchmarks.peers.fasttext_classifier",
        "RNNTEXT_BENCH_FASTTEXT",
        "the same pipe and fastText's supervised classifier of words and pairs of words: a linear model over "
        "averaged vectors, which reads no order beyond the pairs.",
    ),
)


def benchmarks(
    size: Size | None = None, pairs: int = 7, seconds: float = 0.5, peers: Sequence[Peer] = PEERS
) -> Iterator[Ratio]:
    """Yield the ratio of speeds for each peer that is there."""
    there = []
    for peer in peers:
        if (python := peer.python()) is not None:
            there.append((peer, python))
        else:
            print(f"peers: no {peer.package}; install it, in any environment, and set {peer.variable} to its Python")
    if not there:
        return
    with workload(size) as work:
        epochs = 3 if work.scored else 1
        run = work.run(epochs)
        model = rnntext.load(run.path)
        training = run.metrics["training"]
        own = {"rnntext: seconds an epoch": training["seconds"] / epochs}
        if work.scored:
            own["rnntext: accuracy"] = accuracy(labels(model, [text for text, _ in work.held_out]), work)
        for peer, python in there:
            try:
                yield _against(peer, python, model, work, epochs, own, pairs, seconds)
            except PeerError as error:
                print(f"peers: {peer.package} failed: {error}")


def _against(
    peer: Peer,
    python: str,
    model: rnntext.TrainedModel,
    work: Workload,
    epochs: int,
    own: dict[str, float],
    pairs: int,
    seconds: float,
) -> Ratio:
    texts = [text for text, _ in work.held_out]
    with conversation([python, "-m", peer.module]) as other:
        name = other.hear()["name"]
        beside = {
            **own,
            f"{name}: seconds an epoch": other.ask(do="train", rows=work.train, epochs=epochs)["seconds"],
        }
        answers = other.ask(do="label", texts=texts)["labels"]
        if work.scored:
            beside[f"{name}: accuracy"] = accuracy(answers, work)
            beside["epochs"] = epochs
        return compare(
            f"raw text to label, against {peer.package}",
            ("rnntext", lambda: rate(lambda: labels(model, texts), len(texts), seconds)),
            (name, lambda: other.ask(do="time", seconds=seconds)["rate"]),
            "texts/s",
            pairs,
            compares=peer.compares,
            beside=beside,
        )


def accuracy(answers: Sequence[str], work: Workload) -> float:
    """Return the share of held-out texts that are labelled as their rows say."""
    return sum(answer == label for answer, (_, label) in zip(answers, work.held_out, strict=True)) / len(answers)
