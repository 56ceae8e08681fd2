"""rnntext beside other packages' taggers: training and tagging, the same sentences and names, one thread each.

A peer runs in this Python if its package is here, or in the one that an environment variable names; otherwise it is
skipped with a line that says how to have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import rnntext
from benchmarks.pairs import Ratio, compare
from benchmarks.peers.asking import Conversation, PeerError, conversation
from benchmarks.peers.comparing import Peer
from benchmarks.sentences import TaggedSize, TaggedWork, tagged_work
from benchmarks.tagging import RECIPE_SHAPE, epoch, shape, tagging_speed

RECIPE = "the network of recipes/conll2003.toml"


@dataclass(frozen=True)
class PeerTagger(Peer):
    """A package to compare with; ``compares`` says what it is."""

    batches: tuple[int, ...] = ()
    """Sentences that it tags at a time."""


PEERS = (
    PeerTagger(
        "flair",
        "benchmarks.peers.flair_tagger",
        "RNNTEXT_BENCH_FLAIR",
        "Flair's SequenceTagger: OneHotEmbeddings of 100, CharacterEmbeddings of 25 in each direction, a "
        "bidirectional LSTM of 256, a CRF over BIOES; trained by its own trainer with SGD, in batches of 32",
        (32, 256),
    ),
    PeerTagger(
        "spacy",
        "benchmarks.peers.spacy_tagger",
        "RNNTEXT_BENCH_SPACY",
        "spaCy's `ner` with its default model, a small CNN over hashed words, trained by `update` in batches of 32",
        (256,),
    ),
)


def benchmarks(
    size: TaggedSize | None = None, pairs: int = 5, seconds: float = 0.5, peers: Sequence[PeerTagger] = PEERS
) -> Iterator[Ratio]:
    """Yield the ratios of speeds for each peer that is there."""
    there = []
    for peer in peers:
        if (python := peer.python()) is not None:
            there.append((peer, python))
        else:
            print(f"tagging_peers: no {peer.package}; install it, in any environment, and set {peer.variable}")
    if not there:
        return
    with tagged_work(size) as work:
        models = {
            f"a network of like shape, {shape(work)}": rnntext.load(work.run().path),
            RECIPE: rnntext.load(work.run(RECIPE_SHAPE).path),
        }
        for peer, python in there:
            try:
                with conversation([python, "-m", peer.module]) as other:
                    yield from _against(peer, other, models, work, pairs, seconds)
            except PeerError as error:
                print(f"tagging_peers: {peer.package} failed: {error}")


def _against(
    peer: PeerTagger,
    other: Conversation,
    models: Mapping[str, rnntext.TrainedModel],
    work: TaggedWork,
    pairs: int,
    seconds: float,
) -> Iterator[Ratio]:
    name = other.hear()["name"]
    most = min(work.size.of_peers, len(work.train))
    other.ask(do="learn", rows=work.train, most=most)
    yield compare(
        f"tagger, epoch, against {peer.package}",
        ("rnntext", lambda: epoch(work)),
        (name, lambda: other.ask(do="epoch")["rate"]),
        "tokens/s",
        pairs,
        compares=f"an epoch of training by a recipe ({shape(work)}; {work.describe()}; batches of {work.size.batch}) "
        f"and by {peer.compares}, on the first {most:,} of the sentences with the words of all.",
    )
    for batch in peer.batches:
        found = other.ask(do="tag", sentences=work.texts, batch=batch)["names"]
        for network, model in models.items():
            names = sum(len(answer.spans) for answer in model.pipe([{"tokens": words} for words in work.texts]))
            by = f" by {network}" if network == RECIPE else ""
            yield compare(
                f"tagger, tokens to tags and spans{by}, against {peer.package} in batches of {batch}",
                ("rnntext", partial(tagging_speed, model, work.texts, seconds)),
                (name, lambda: other.ask(do="time", seconds=seconds)["rate"]),
                "tokens/s",
                pairs,
                compares=f"the pipe of a loaded model ({network}), from tokens to answers (tags and their "
                f"probabilities, places in the text, spans), and {peer.compares}: its own prediction, from sentences "
                "that are its objects already to names. Both after one epoch.",
                beside={"rnntext: names found": names, f"{name}: names found": found},
            )
