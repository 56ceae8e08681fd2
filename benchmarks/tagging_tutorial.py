"""A tagger as tutorials show it, without rnntext: the other side of ``tagging``.

The same network as the recipe's: word and character vectors, bidirectional LSTMs over packed sequences, a CRF; the
same widths, tags, dropout, optimizer, clipping and batch size. The CRF does what the CRF packages that tutorials use
do: a step of its loops adds scores of [B, L, L] and takes their log-sum-exp, and paths are traced back text by text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from benchmarks.sentences import Sentence, TaggedSize

PADDING, UNKNOWN = 0, 1
Encoded = tuple[Tensor, list[Tensor]]
"""Word ids of a sentence, int64 [T], and the character ids of each word."""


class TutorialCrf(nn.Module):
    """Scores of neighbouring tags; no move is ruled out."""

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags).uniform_(-0.1, 0.1))

    def loss(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return minus the log probability of tags int64 [B, T], averaged over texts; mask is bool [B, T]."""
        emissions, tags, mask = emissions.transpose(0, 1), tags.transpose(0, 1), mask.transpose(0, 1)
        return (self._normalizer(emissions, mask) - self._score(emissions, tags, mask)).mean()

    def _score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        rows = torch.arange(tags.shape[1])
        real = mask.to(emissions.dtype)
        score = self.start[tags[0]] + emissions[0, rows, tags[0]]
        for step in range(1, len(tags)):
            score = score + self.transitions[tags[step - 1], tags[step]] * real[step]
            score = score + emissions[step, rows, tags[step]] * real[step]
        return score + self.end[tags[mask.sum(dim=0) - 1, rows]]

    def _normalizer(self, emissions: Tensor, mask: Tensor) -> Tensor:
        score = self.start + emissions[0]
        for step in range(1, len(emissions)):
            following = score[:, :, None] + self.transitions + emissions[step][:, None, :]
            score = torch.where(mask[step][:, None], torch.logsumexp(following, dim=1), score)
        return torch.logsumexp(score + self.end, dim=1)

    def decode(self, emissions: Tensor, mask: Tensor) -> list[list[int]]:
        """Return the best tags of each text."""
        emissions, mask = emissions.transpose(0, 1), mask.transpose(0, 1)
        score = self.start + emissions[0]
        history = []
        for step in range(1, len(emissions)):
            following, origin = (score[:, :, None] + self.transitions + emissions[step][:, None, :]).max(dim=1)
            score = torch.where(mask[step][:, None], following, score)
            history.append(origin)
        score = score + self.end
        paths = []
        for row, length in enumerate(mask.sum(dim=0).tolist()):
            path = [int(score[row].argmax())]
            for origin in reversed(history[: length - 1]):
                path.append(int(origin[row][path[-1]]))
            paths.append(path[::-1])
        return paths


class TutorialTagger(nn.Module):
    """Word and character ids to emissions.

    Args:
        words: rows of the words' embedding.
        characters: rows of the characters'.
        tags: L.
        size: widths.
    """

    def __init__(self, words: int, characters: int, tags: int, size: TaggedSize) -> None:
        super().__init__()
        half = size.char_dim // 2
        self.words = nn.Embedding(words, size.input_dim, padding_idx=PADDING)
        self.characters = nn.Embedding(characters, half, padding_idx=PADDING)
        self.char_lstm = nn.LSTM(half, half, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(size.input_dim + 2 * half, size.hidden_dim, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * size.hidden_dim, tags)
        self.crf = TutorialCrf(tags)

    def forward(self, words: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        """Return float [B, T, L] of int64 ids [B, T] and [B, T, C]."""
        flat = characters.flatten(0, 1)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.characters(flat), (flat != PADDING).sum(dim=1).clamp(min=1), batch_first=True, enforce_sorted=False
        )
        _, (ends, _) = self.char_lstm(packed)
        spelt = torch.cat([ends[0], ends[1]], dim=1).view(*words.shape, -1)
        embedded = self.dropout(torch.cat([self.words(words), spelt], dim=2))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        emissions: Tensor = self.output(self.dropout(states))
        return emissions


class TaggingTutorial:
    """Encoded sentences, how to train on them and how to tag others.

    Args:
        sentences: to train on, their tags those of the network.
        size: of network and batch.
    """

    def __init__(self, sentences: Sequence[Sentence], size: TaggedSize) -> None:
        self.size = size
        counts = Counter(word for words, _ in sentences for word in words)
        # Numbered in order of appearance, behind padding and what is unknown; words that occur once are unknown.
        self.words = {word: number for number, word in enumerate((word for word in counts if counts[word] > 1), 2)}
        self.characters = {
            letter: number for number, letter in enumerate(dict.fromkeys(chain.from_iterable(counts)), 2)
        }
        self.tags = {tag: number for number, tag in enumerate(sorted({tag for _, tags in sentences for tag in tags}))}
        self.encoded = [
            (*self.encode(words), torch.tensor([self.tags[tag] for tag in tags])) for words, tags in sentences
        ]
        self.model = self._new()

    def _new(self) -> TutorialTagger:
        torch.manual_seed(1)
        return TutorialTagger(len(self.words) + 2, len(self.characters) + 2, len(self.tags), self.size)

    def encode(self, words: Sequence[str]) -> Encoded:
        """Return a sentence's numbers."""
        ids = torch.tensor([self.words.get(word, UNKNOWN) for word in words])
        return ids, [torch.tensor([self.characters.get(letter, UNKNOWN) for letter in word]) for word in words]

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield word ids, character ids, lengths and tags of an epoch, in batches as shuffled."""
        order = torch.randperm(len(self.encoded)).tolist()
        for start in range(0, len(order), self.size.batch):
            chosen = [self.encoded[row] for row in order[start : start + self.size.batch]]
            tags = nn.utils.rnn.pad_sequence([tags for _, _, tags in chosen], batch_first=True)
            yield *padded([(words, characters) for words, characters, _ in chosen]), tags

    def epoch(self) -> float:
        """Train a new model for one epoch; return tokens a second."""
        self.model = model = self._new().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        tokens, started = 0, time.perf_counter()
        for words, characters, lengths, tags in self.batches():
            optimizer.zero_grad()
            model.crf.loss(model(words, characters, lengths), tags, words != PADDING).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            tokens += int(lengths.sum())
        return tokens / (time.perf_counter() - started)

    @torch.no_grad()
    def tag(self, encoded: Sequence[Encoded], batch: int, by_length: bool) -> list[list[str]]:
        """Return the tags of each sentence, read in batches in their order or by length."""
        self.model.eval()
        names = list(self.tags)
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row][0]) if by_length else row)
        answers: list[list[str]] = [[] for _ in encoded]
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            words, characters, lengths = padded([encoded[row] for row in rows])
            paths = self.model.crf.decode(self.model(words, characters, lengths), words != PADDING)
            for row, path in zip(rows, paths, strict=True):
                answers[row] = [names[number] for number in path]
        return answers


def padded(encoded: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Return word ids [B, T], character ids [B, T, C] and lengths [B] of some sentences."""
    lengths = [len(words) for words, _ in encoded]
    words = nn.utils.rnn.pad_sequence([words for words, _ in encoded], batch_first=True)
    nothing = torch.zeros(1, dtype=torch.long)
    spelt = [word for _, characters in encoded for word in characters + [nothing] * (max(lengths) - len(characters))]
    characters = nn.utils.rnn.pad_sequence(spelt, batch_first=True).view(*words.shape, -1)
    return words, characters, torch.tensor(lengths)
