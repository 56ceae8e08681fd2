"""Training tokens a second: a recipe's loop beside the loop that tutorials show.

The tutorial's loop takes random batches, packs them (``pack_padded_sequence``) and runs torch's bidirectional LSTM
with the same widths, pools, dropout, optimizer and batch size, over the same texts encoded by the same vocabulary.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.pairs import Ratio, compare
from rnntext.model import build_model
from rnntext.preparing import Prepared, prepare
from rnntext.progress import LineReporter
from rnntext.recipe import Recipe, read_recipe
from rnntext.training import train

RECIPES = Path(__file__).parent.parent / "recipes"
DATA = "RNNTEXT_BENCH_TRAIN"
"""Environment variable: a JSON Lines file to train on. Without it, texts of made-up words are used."""


class TutorialModel(nn.Module):
    """Embedding, packed LSTM, max and mean over the tokens, linear: what a tutorial would write."""

    def __init__(self, words: int, labels: int, recipe: Recipe) -> None:
        super().__init__()
        width, hidden = recipe.embeddings[0].options["output_dim"], recipe.encoder.options["hidden_dim"]
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.embedding_dropout = nn.Dropout(recipe.embeddings[0].options["dropout"])
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(recipe.head.options["dropout"])
        self.output = nn.Linear(4 * hidden, labels)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return float [B, L] logits of int64 [B, T] ids."""
        embedded = self.embedding_dropout(self.embedding(token_ids))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = (torch.arange(states.shape[1])[None, :] < lengths[:, None])[..., None]
        largest = states.masked_fill(~mask, -torch.inf).amax(dim=1)
        mean = states.masked_fill(~mask, 0).sum(dim=1) / lengths[:, None]
        logits: Tensor = self.output(self.dropout(torch.cat([largest, mean], dim=1)))
        return logits


def tutorial_batches(prepared: Prepared, size: int, random: np.random.Generator) -> Iterator[tuple[Tensor, ...]]:
    """Yield padded random batches, as a DataLoader with shuffle and a collate function would."""
    split = prepared.splits["train"]
    assert split.targets is not None
    order = random.permutation(len(split))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        texts = [torch.from_numpy(prepared.token_ids[split.types.row(int(row))]) for row in rows]
        lengths = torch.tensor([len(text) for text in texts])
        labels = torch.from_numpy(split.targets.padded(rows, -1)[:, 0])
        yield nn.utils.rnn.pad_sequence(texts, batch_first=True), lengths, labels


def benchmarks() -> Iterator[Ratio]:
    """Yield the ratio of training speeds."""
    with tempfile.TemporaryDirectory() as folder:
        given = os.environ.get(DATA)
        file = given or made_up_texts(Path(folder) / "texts.jsonl")
        settings = {"dataset.train": str(file), "training.epochs": 1, "training.threads": 1}
        recipe = read_recipe(RECIPES / "sst2.toml", settings)
        prepared = prepare(recipe, lambda _: None)
        yield compare(
            f"training, {len(prepared.vocabulary):,} words, {'given' if given else 'made-up'} texts",
            ("rnntext", lambda: own_epoch(recipe, prepared)),
            ("packed tutorial loop", lambda: tutorial_epoch(recipe, prepared)),
            "tokens/s",
        )


def own_epoch(recipe: Recipe, prepared: Prepared) -> float:
    """Train one epoch by the recipe; return tokens a second."""
    torch.manual_seed(1)
    model = build_model(recipe, prepared.vocabulary, prepared.labels)
    result = train(
        model,
        prepared.collator("train"),
        prepared.collator("validation"),
        recipe.training,
        recipe.batching,
        recipe.select_by,
        1,
        keep=lambda _: None,
        record=lambda _: None,
        reporter=LineReporter(lambda _: None),
    )
    return result.tokens_per_second


def tutorial_epoch(recipe: Recipe, prepared: Prepared) -> float:
    """Train one epoch as a tutorial would; return tokens a second."""
    torch.manual_seed(1)
    model = TutorialModel(len(prepared.vocabulary), len(prepared.labels["labels"]), recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.training.learning_rate)
    model.train()
    tokens, started = 0, time.perf_counter()
    for token_ids, lengths, labels in tutorial_batches(
        prepared, recipe.batching.batch_size, np.random.default_rng(1)
    ):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(token_ids, lengths), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.training.gradient_clip)
        optimizer.step()
        tokens += int(lengths.sum())
    return tokens / (time.perf_counter() - started)


def made_up_texts(path: Path, texts: int = 4000, words: int = 15_000) -> Path:
    """Write texts of made-up words: frequency falls with rank (Zipf), 5 to 40 tokens a text."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, words + 1)
    shares /= shares.sum()
    with open(path, "w", encoding="utf-8") as stream:
        for number in range(texts):
            length = int(random.integers(5, 41))
            text = " ".join(f"w{word}" for word in random.choice(words, length, p=shares))
            stream.write(json.dumps({"text": text, "label": "ab"[number % 2]}) + "\n")
    return path
