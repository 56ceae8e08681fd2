"""Beam search: the most probable sequences that a step-by-step model tells, of many texts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rnntext_translate.target_words import END_ID


class Step(Protocol):
    """A model that tells one word after the other."""

    def __call__(self, words: Tensor, hidden: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log probabilities of the next word, and the state that goes on.

        Args:
            words: int64 [n], the last word of each sequence.
            hidden: float [n, H], its state.
            rows: int64 [n], which text it is a translation of.

        Returns:
            float [n, V], -inf for what must not be told, and float [n, H].
        """


@dataclass(frozen=True, slots=True)
class Found:
    """The best sequences of B texts, the best first."""

    ids: Tensor
    """int64 [B, K, S], the end after the last word of each, and nothing but ends after it."""
    log_probabilities: Tensor
    """float [B, K], of whole sequences; -inf where there are not so many."""


def search(step: Step, begin: Tensor, limits: Tensor, width: int, length_penalty: float) -> Found:
    """Return the ``width`` best sequences that were met, keeping so many of each text at every word.

    Sequences are compared by log probability / length ^ ``length_penalty``, the end being counted. One that is at its
    end keeps its place until better ones take it; a text is done when all that it keeps are at their end. At a text's
    limit only the end may be told, so that every sequence is whole.

    Args:
        step: tells the next word.
        begin: float [B, H], the state before the first word.
        limits: int64 [B], at least 1: the longest sequence of each text, its end included.
        width: K; with 1 the search is greedy.
        length_penalty: 0 prefers the probable, which is often the short; 1 compares means.

    Source:
        Length normalisation: Wu et al. (2016), Google's neural machine translation system, section 7, in its simplest
        form.
    """
    texts, device = len(begin), begin.device
    ids = torch.full((texts, width, int(limits.max())), END_ID, device=device)
    probable = torch.full((texts, width), -torch.inf, device=device)
    rows = torch.arange(texts, device=device)
    hidden = begin[:, None].expand(-1, width, -1)  # [b, K, H]
    words = torch.full((texts, width, 1), END_ID, device=device)  # what stands before the first word
    # All sequences of a text begin alike: only the first counts, until there are different ones.
    totals = torch.zeros(texts, width, device=device).index_fill(1, torch.arange(1, width, device=device), -torch.inf)
    ended = torch.zeros(texts, width, dtype=torch.bool, device=device)
    lengths = torch.zeros(texts, width, device=device)
    for place in range(int(limits.max())):
        log_probabilities, hidden = _told(step, words[:, :, -1], hidden, rows)
        vocabulary_size = log_probabilities.shape[2]
        is_end = torch.arange(vocabulary_size, device=device) == END_ID
        only_end = (limits[rows] == place + 1)[:, None] | ended
        log_probabilities = log_probabilities.masked_fill(only_end[:, :, None] & ~is_end, -torch.inf)
        log_probabilities = log_probabilities.masked_fill(ended[:, :, None] & is_end, 0.0)
        sums = totals[:, :, None] + log_probabilities  # [b, K, V]
        lengths = lengths + ~ended
        ranks = sums / lengths[:, :, None] ** length_penalty
        best = ranks.flatten(1).topk(width).indices  # [b, K]
        kept, word = best // vocabulary_size, best % vocabulary_size
        totals = sums.flatten(1).gather(1, best)
        lengths, ended = lengths.gather(1, kept), ended.gather(1, kept)
        hidden = hidden.gather(1, kept[:, :, None].expand(-1, -1, hidden.shape[2]))
        words = torch.cat([words.gather(1, kept[:, :, None].expand(-1, -1, place + 1)), word[:, :, None]], dim=2)
        ended = ended | (word == END_ID) | torch.isneginf(totals)
        done = ended.all(dim=1)
        if done.any():
            ids[rows[done], :, : place + 1] = words[done, :, 1:]
            probable[rows[done]] = totals[done]
            goes_on = ~done
            rows, hidden, words, totals = rows[goes_on], hidden[goes_on], words[goes_on], totals[goes_on]
            lengths, ended = lengths[goes_on], ended[goes_on]
        if not len(rows):
            break
    return Found(ids, probable)


def _told(step: Step, last: Tensor, hidden: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return float [b, K, V] log probabilities, and float [b, K, H] states."""
    texts, width = last.shape
    told, hidden = step(last.flatten(), hidden.flatten(0, 1), rows.repeat_interleave(width))
    return told.view(texts, width, -1), hidden.view(texts, width, -1)
