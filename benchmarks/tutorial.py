"""A training loop as tutorials show it, without rnntext: the other side of ``training``.

The same network as the recipe's: embedding, bidirectional LSTM, max and mean over the tokens, linear; the same
widths, dropout, optimizer, clipping and batch size. The pools leave padding out in either way of batching.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.workload import Rows, Size

POOL = 64
"""Bucketed texts are sorted by length within so many batches."""


class TutorialModel(nn.Module):
    """Token ids to logits.

    Args:
        words: rows of the embedding.
        labels: L.
        size: widths.
        pack: run the LSTM over packed texts; otherwise over padded ones, so that it reads padding.
    """

    def __init__(self, words: int, labels: int, size: Size, pack: bool) -> None:
        super().__init__()
        self.pack = pack
        self.embedding = nn.Embedding(words, size.input_dim, padding_idx=0)
        self.embedding_dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(size.input_dim, size.hidden_dim, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(4 * size.hidden_dim, labels)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return float [B, L] logits of int64 [B, T] ids."""
        embedded = self.embedding_dropout(self.embedding(token_ids))
        if self.pack:
            packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        else:
            states = self.lstm(embedded)[0]
        padding = (torch.arange(states.shape[1]) >= lengths[:, None])[..., None]
        largest = states.masked_fill(padding, -torch.inf).amax(dim=1)
        mean = states.masked_fill(padding, 0).sum(dim=1) / lengths[:, None]
        logits: Tensor = self.output(self.dropout(torch.cat([largest, mean], dim=1)))
        return logits


class Tutorial:
    """Encoded texts and how to train on them.

    Args:
        rows: texts, split at white space and lower-cased, and their labels.
        size: of network and batch.
        bucketed: put texts of like length together and do not pack; otherwise take them as shuffled and pack them.
    """

    def __init__(self, rows: Rows, size: Size, bucketed: bool) -> None:
        self.size, self.bucketed = size, bucketed
        words: dict[str, int] = {"<pad>": 0, "<unk>": 1}
        labels: dict[str, int] = {}
        self.texts = [
            torch.tensor([words.setdefault(word, len(words)) for word in text.lower().split()]) for text, _ in rows
        ]
        self.targets = torch.tensor([labels.setdefault(label, len(labels)) for _, label in rows])
        self.words, self.labels = len(words), len(labels)

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield padded ids, lengths and labels of an epoch."""
        size, order = self.size.batch, torch.randperm(len(self.texts)).tolist()
        if self.bucketed:
            pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
            order = [row for pool in pools for row in sorted(pool, key=lambda row: len(self.texts[row]))]
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        for place in torch.randperm(len(groups)).tolist():
            texts = [self.texts[row] for row in groups[place]]
            lengths = torch.tensor([len(text) for text in texts])
            yield nn.utils.rnn.pad_sequence(texts, batch_first=True), lengths, self.targets[groups[place]]

    def epoch(self) -> float:
        """Train a new model for one epoch; return tokens a second."""
        torch.manual_seed(1)
        model = TutorialModel(self.words, self.labels, self.size, pack=not self.bucketed)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        model.train()
        tokens, started = 0, time.perf_counter()
        for token_ids, lengths, targets in self.batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(token_ids, lengths), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            tokens += int(lengths.sum())
        return tokens / (time.perf_counter() - started)
