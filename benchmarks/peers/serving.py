"""The peer's side: a classifier that answers JSON lines, so that it can be timed in turn with another process.

    {"do": "train", "rows": [[text, label], ...], "epochs": n}     ->  {"seconds": of an epoch}
    {"do": "label", "texts": [...]}                                ->  {"labels": [...]}
    {"do": "time", "seconds": s}                                   ->  {"rate": texts labelled a second}

The clock stands still while lines travel: ``time`` labels the texts of the last ``label`` again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from benchmarks.pairs import rate


class Classifier(Protocol):
    """What a peer has to offer."""

    name: str
    """Its package and version."""

    def train(self, rows: list[tuple[str, str]], epochs: int) -> None:
        """Learn texts and labels."""

    def label(self, texts: list[str]) -> list[str]:
        """Return the label of each raw text."""


def answers(classifier: Classifier, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield who answers, then an answer to each line."""
    yield {"name": classifier.name}
    texts: list[str] = []
    for line in lines:
        request = json.loads(line)
        if request["do"] == "train":
            started = time.perf_counter()
            classifier.train([(text, label) for text, label in request["rows"]], request["epochs"])
            yield {"seconds": (time.perf_counter() - started) / request["epochs"]}
        elif request["do"] == "label":
            texts = request["texts"]
            yield {"labels": classifier.label(texts)}
        else:
            yield {"rate": rate(lambda given=texts: classifier.label(given), len(texts), request["seconds"])}


Peer = TypeVar("Peer")


def serve(peer: Peer, answers: Callable[[Peer, Iterable[str]], Iterator[dict[str, Any]]]) -> None:
    """Answer what comes in until it ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # whatever the package prints must not stand between the answers
        for answer in answers(peer, sys.stdin):
            out.write(json.dumps(answer) + "\n")
            out.flush()
