"""The recall task: which word did the text begin with? All the words after it are noise.

    red q n t s m         is "red"

A one-way encoder that is asked after the last word can only answer from its state, so it has to carry the first
word over all the noise. ``probe.py`` draws fresh texts from here at every step; ``python recall.py`` writes the
fixed ones of ``recall.toml`` into ``data/``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

SYMBOLS = ("red", "green", "blue", "gold")
NOISE = tuple("mnopqrst")
CHANCE = 1 / len(SYMBOLS)
DATA = Path(__file__).parent / "data"

TRAIN_GAPS = range(1, 51)
TEXTS_PER_TRAIN_GAP = 28
TEST_GAPS = (10, 20, 30, 40, 50)
TEXTS_PER_TEST_GAP = 60
TEXTS_PER_VALIDATION_GAP = 24


def draw(gap: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return texts with this many noise words, int64 [count, gap + 1], and the id of each one's first word, [count].

    Ids 0 to 3 are the symbols, those from 4 on the noise.
    """
    first = torch.randint(0, len(SYMBOLS), (count, 1), generator=generator)
    noise = torch.randint(len(SYMBOLS), len(SYMBOLS) + len(NOISE), (count, gap), generator=generator)
    return torch.cat([first, noise], dim=1), first[:, 0]


def rows(gap: int, count: int, source: random.Random, seen: set[str]) -> Iterator[dict[str, str]]:
    """Yield so many labelled texts with this gap, each symbol equally often, none of them in ``seen`` or twice."""
    for number in range(count):
        label = SYMBOLS[number % len(SYMBOLS)]
        text = ""
        while not text or text in seen:
            text = " ".join([label, *source.choices(NOISE, k=gap)])
        seen.add(text)
        yield {"text": text, "label": label, "gap": str(gap)}


def write_data(folder: Path, seed: int = 1) -> None:
    """Write train, validation and test as JSON lines; no text is in two of them."""
    source, seen = random.Random(seed), set[str]()
    sizes = {
        "test": dict.fromkeys(TEST_GAPS, TEXTS_PER_TEST_GAP),
        "validation": dict.fromkeys(TEST_GAPS, TEXTS_PER_VALIDATION_GAP),
        "train": dict.fromkeys(TRAIN_GAPS, TEXTS_PER_TRAIN_GAP),
    }
    folder.mkdir(exist_ok=True)
    for split, counts in sizes.items():
        lines = [json.dumps(row) for gap, count in counts.items() for row in rows(gap, count, source, seen)]
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    write_data(DATA)
