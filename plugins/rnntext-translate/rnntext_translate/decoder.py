"""The decoder: word after word, each in the light of those before it and of what it attends to in the text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnntext.contracts import Encoded
from rnntext_translate.target_words import END_ID


@dataclass(frozen=True, slots=True)
class Memory:
    """What the decoder may attend to, of B texts."""

    states: Tensor
    """float [B, T, D], of the encoder."""
    keys: Tensor
    """float [B, T, A], what they are compared by."""
    mask: Tensor
    """Bool [B, T], True at real tokens."""
    begin: Tensor
    """float [B, H], the state that the decoder begins with."""

    def of(self, rows: Tensor) -> Memory:
        """Return the memory of texts int64 [n], which may be named several times."""
        return Memory(self.states[rows], self.keys[rows], self.mask[rows], self.begin[rows])

    def first(self, count: int) -> Memory:
        """Return the memory of the first texts."""
        return Memory(self.states[:count], self.keys[:count], self.mask[:count], self.begin[:count])

    def in_float32(self) -> Memory:
        """Return the memory in float32, whatever the encoder computed in."""
        return Memory(self.states.float(), self.keys.float(), self.mask, self.begin.float())


class Attention(nn.Module):
    """Additive attention: a small network says how well each token of the text fits the state of the decoder.

    Args:
        query_dim: width of the decoder's state.
        memory_dim: width D of the encoder's states.
        attention_dim: width A of the small network.

    Source:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate,
        section 3.1 and appendix A.1.2.
    """

    def __init__(self, query_dim: int, memory_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, attention_dim, bias=False)
        self.key = nn.Linear(memory_dim, attention_dim)
        self.score = nn.Linear(attention_dim, 1, bias=False)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return float [B, D], the states' mean by their weights, and float [B, T], these weights, 0 at padding."""
        scores = self.score(torch.tanh(self.query(query)[:, None] + memory.keys))[:, :, 0]  # [B, T]
        weights = scores.masked_fill(~memory.mask, -torch.inf).softmax(dim=1)
        return torch.einsum("bt,btd->bd", weights, memory.states), weights


class Cell(nn.Module):
    """A gated recurrent unit that reads a word and what was attended to.

    torch's own would read both joined; apart, the words of a known translation are read all at once.

    Args:
        embedding_dim: width of the words' vectors.
        memory_dim: width D of what is attended to.
        hidden_dim: width H of the state.

    Source:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; its form in torch.nn.GRUCell.
    """

    def __init__(self, embedding_dim: int, memory_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.words = nn.Linear(embedding_dim, 3 * hidden_dim)
        self.context = nn.Linear(memory_dim, 3 * hidden_dim, bias=False)
        self.state = nn.Linear(hidden_dim, 3 * hidden_dim)

    def forward(self, words: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
        """Return float [B, H], from float [B, 3H] of ``words``, float [B, D] and the state before."""
        read = words + self.context(context)
        reset, update, new = read.chunk(3, dim=1)
        of_reset, of_update, of_new = self.state(hidden).chunk(3, dim=1)
        new = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
        return torch.lerp(new, hidden, torch.sigmoid(update + of_update))


class AttentionDecoder(nn.Module):
    """Tells a translation from encoded texts, word by word.

    The state before a word decides what is attended to; a gated recurrent unit reads that and the word before, and
    the new state, what was attended to and the word before together give the probabilities of the word. The vectors
    of the words are used on both ends.

    Args:
        shares: float [V], the share of each word in training: what the probabilities begin at.
        memory_dim: width D of the encoder's states.
        embedding_dim: width of the words' vectors.
        hidden_dim: width H of the decoder's state.
        attention_dim: width A of the attention's network.
        dropout: share of numbers dropped in training, of the words' vectors and of the last layer.

    Source:
        Bahdanau, Cho and Bengio (2015), section 3 and appendix A.2.2; with tanh in the place of maxout in the last
        layer, which reads the new state, and tied vectors (Press and Wolf 2017, Using the output embedding to improve
        language models).
    """

    def __init__(
        self, shares: Tensor, memory_dim: int, embedding_dim: int, hidden_dim: int, attention_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.begin = nn.Linear(memory_dim, hidden_dim)
        self.attention = Attention(hidden_dim, memory_dim, attention_dim)
        self.embedding = nn.Embedding(len(shares), embedding_dim)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
        self.cell = Cell(embedding_dim, memory_dim, hidden_dim)
        self.readout = nn.Linear(hidden_dim + memory_dim + embedding_dim, embedding_dim)
        self.bias = nn.Parameter(shares.log())
        self.dropout = nn.Dropout(dropout)

    def remember(self, encoded: Encoded, mask: Tensor) -> Memory:
        """Return what is attended to; ``mask`` is bool [B, T], True at real tokens."""
        keys = self.attention.key(encoded.states)
        return Memory(encoded.states, keys, mask, torch.tanh(self.begin(encoded.final)))

    def forward(self, memory: Memory, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of each word of known translations, each told from those before it.

        Args:
            memory: of B texts.
            ids: int64 [B, S], anything after a translation's last.
            lengths: int64 [B], at least 1.

        Returns:
            float [N, V] scores, int64 [N] the right ids, and int64 [N], which text each is of: real words alone.
        """
        order = torch.argsort(lengths, descending=True, stable=True)
        memory, ids = memory.of(order), ids[order]
        before = self.dropout(self.embedding(nn.functional.pad(ids[:, :-1], (1, 0), value=END_ID).clamp(min=0)))
        read_words = self.cell.words(before)  # [B, S, 3H]
        # The longest stand first, so that each step reads only those that go on.
        counts = (lengths[:, None] > torch.arange(ids.shape[1], device=ids.device)).sum(0).tolist()
        hidden, read = memory.begin, []
        for place, count in enumerate(counts):
            hidden, context = self._step(read_words[:count, place], hidden[:count], memory.first(count))
            read.append(torch.cat([hidden, context, before[:count, place]], dim=1))
        told = torch.cat([ids[:count, place] for place, count in enumerate(counts)])
        rows = torch.cat([order[:count] for count in counts])
        return self._scores(torch.cat(read)), told, rows

    def step(self, words: Tensor, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return float [B, V] scores of the word after int64 [B], and float [B, H], the state that goes on."""
        before = self.embedding(words)
        hidden, context = self._step(self.cell.words(before), hidden, memory)
        return self._scores(torch.cat([hidden, context, before], dim=1)), hidden

    def _step(self, words: Tensor, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        context, _ = self.attention(hidden, memory)
        return self.cell(words, context, hidden), context

    def _scores(self, read: Tensor) -> Tensor:
        vectors = self.dropout(torch.tanh(self.readout(read)))
        return nn.functional.linear(vectors, self.embedding.weight, self.bias)
