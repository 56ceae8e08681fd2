"""fastText's supervised classifier."""

from __future__ import annotations

import random
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.serving import answers, serve

PREFIX = "__label__"


class FasttextClassifier:
    """Averaged vectors of words and pairs of words, and a linear layer."""

    def __init__(self) -> None:
        self.name = f"fastText {version('fasttext')}"
        self.model: Any = None

    def train(self, rows: list[tuple[str, str]], epochs: int) -> None:
        """Train a new model; fastText does not shuffle, so the rows are."""
        import fasttext

        rows = list(rows)
        random.Random(0).shuffle(rows)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "train.txt"
            file.write_text("".join(f"{PREFIX}{label} {_line(text)}\n" for text, label in rows), encoding="utf-8")
            self.model = fasttext.train_supervised(
                str(file), epoch=epochs, lr=0.5, dim=100, wordNgrams=2, thread=1, verbose=0
            )

    def label(self, texts: list[str]) -> list[str]:
        """Return the label of each text."""
        found, _ = self.model.predict([_line(text) for text in texts])
        return [labels[0].removeprefix(PREFIX) for labels in found]


def _line(text: str) -> str:
    return " ".join(text.lower().split())


if __name__ == "__main__":
    serve(FasttextClassifier(), answers)
