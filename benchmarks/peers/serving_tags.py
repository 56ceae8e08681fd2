"""The peer's side, for taggers: as ``serving``, but training is timed by the epoch.

    {"do": "learn", "rows": [[tokens, tags], ...], "most": n}  ->  {}
    {"do": "epoch"}                                            ->  {"rate": tokens a second of training a new model}
    {"do": "tag", "sentences": [tokens, ...], "batch": n}      ->  {"names": how many were found}
    {"do": "time", "seconds": s}                               ->  {"rate": tokens tagged a second}

Words and tags (in BIO) are learnt of all rows, and the first ``most`` are what an epoch trains on. The clock stands
still while lines travel, and while sentences are made into objects: ``time`` tags the objects of the last ``tag``
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from benchmarks.pairs import rate


class Tagger(Protocol):
    """What a peer has to offer."""

    name: str
    """Its package and version."""

    def learn(self, rows: Sequence[tuple[list[str], list[str]]], most: int) -> None:
        """Take words and tags of all rows, tokens and BIO tags, and the first of them to train on."""

    def epoch(self) -> None:
        """Train a new model on them once."""

    def take(self, sentences: Sequence[list[str]]) -> Any:
        """Return sentences in the package's own form."""

    def tag(self, taken: Any, batch: int) -> int:
        """Tag them in batches of so many; return how many names were found."""


def answers(tagger: Tagger, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield who answers, then an answer to each line."""
    yield {"name": tagger.name}
    trained, tokens, batch, taken = 0, 0, 0, None
    for line in lines:
        request = json.loads(line)
        if request["do"] == "learn":
            rows = [(words, tags) for words, tags in request["rows"]]
            trained = sum(len(words) for words, _ in rows[: request["most"]])
            tagger.learn(rows, request["most"])
            yield {}
        elif request["do"] == "epoch":
            started = time.perf_counter()
            tagger.epoch()
            yield {"rate": trained / (time.perf_counter() - started)}
        elif request["do"] == "tag":
            tokens, batch, taken = (
                sum(map(len, request["sentences"])),
                request["batch"],
                tagger.take(request["sentences"]),
            )
            yield {"names": tagger.tag(taken, batch)}
        else:
            yield {"rate": rate(lambda given=taken, size=batch: tagger.tag(given, size), tokens, request["seconds"])}


def names_in(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield first token, token after the last, and type of each name; the tags are valid BIO."""
    start = 0
    for place, tag in enumerate([*tags, "O"]):
        if place and not tag.startswith("I-") and tags[place - 1] != "O":
            yield start, place, tags[start][2:]
        if tag.startswith("B-"):
            start = place
