"""A linear-chain conditional random field: scores of neighbouring tags beside those of each tag."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.heads.crf_sums import log_partition, marginals

RENEWED = 16
"""Steps after which Viterbi's sums begin anew at zero: of thousands of scores, float32 would round the last away."""


class Crf(nn.Module):
    """The probability of a whole sequence of tags, of which each one depends on its neighbours.

    A sequence's score is the sum of what the network gives each tag, of a weight for each pair of neighbours, and of
    weights for the first and the last tag; its probability is e to that score, over the sum for all sequences (Z).
    Moves that are not allowed have no probability at all.

    Args:
        allowed: bool [L + 1, L + 1], which tag may follow which; number L stands for the edge of the text.

    Source:
        Lafferty et al. (2001), Conditional random fields, section 3; as the top of a network, Lample et al. (2016),
        Neural architectures for named entity recognition, section 2.2.
    """

    allowed: Tensor

    def __init__(self, allowed: np.ndarray) -> None:
        super().__init__()
        self.num_tags = len(allowed) - 1
        size = self.num_tags
        self.transitions = nn.Parameter(torch.zeros(size, size))
        self.start = nn.Parameter(torch.zeros(size))
        self.end = nn.Parameter(torch.zeros(size))
        self.register_buffer("allowed", torch.from_numpy(allowed), persistent=False)

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return float64 [B]: minus the log probability of each text's tags.

        Args:
            emissions: float [B, T, L], the network's scores.
            tags: int64 [B, T]; anything after a text's last.
            lengths: int64 [B], at least 1.
        """
        log_z = log_partition(emissions.double(), *self._scores(), lengths)
        return log_z - self.path_score(emissions, tags, lengths)

    def path_score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return float64 [B]: the score of each text's tags; -inf where a move is not allowed."""
        transitions, start, end = self._scores()
        real = torch.arange(tags.shape[1], device=tags.device) < lengths[:, None]
        tags = tags.masked_fill(~real, 0)
        of_tags = (emissions.double().gather(2, tags[:, :, None])[:, :, 0] * real).sum(1)
        of_pairs = transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~real[:, 1:], 0.0).sum(1)
        last = tags.gather(1, lengths[:, None] - 1)[:, 0]
        return of_tags + of_pairs + start[tags[:, 0]] + end[last]

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return transitions [L, L], start [L] and end [L] in float64, -inf where a move is not allowed."""
        allowed, size = self.allowed, self.num_tags
        return (
            self.transitions.double().masked_fill(~allowed[:size, :size], -torch.inf),
            self.start.double().masked_fill(~allowed[size, :size], -torch.inf),
            self.end.double().masked_fill(~allowed[:size, size], -torch.inf),
        )

    @torch.no_grad()
    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return float64 [B, T, L]: the probability of each tag at each token, all sequences together.

        By the forward and the backward recursion; zero after a text's last token.
        """
        return marginals(emissions.double(), *self._scores(), lengths)

    @torch.no_grad()
    def best_path(self, emissions: Tensor, lengths: Tensor) -> np.ndarray:
        """Return int64 [B, T]: each text's most probable sequence of tags; -1 after its last token.

        On the CPU in any case: a step is too little work for an accelerator.

        Source:
            Viterbi (1967), Error bounds for convolutional codes. The best tag of the step before is found again on
            the way back, for one tag a text, so that the way forward takes maxima alone.
        """
        scores = np.ascontiguousarray(emissions.float().cpu().numpy().transpose(1, 2, 0))  # texts last: long rows
        transitions, start, end = (each.float().cpu().numpy() for each in self._scores())
        to_tag = np.ascontiguousarray(transitions.T)  # [next, previous]
        lasts = lengths.cpu().numpy() - 1
        steps, size, num_texts = scores.shape
        best = np.empty_like(scores)  # [T, L, B], of the best sequence that ends there with that tag
        ways = np.empty((size, size, num_texts), dtype=np.float32)
        current = best[0] = scores[0] + start[:, None]
        for step in range(1, steps):
            if step % RENEWED == 0:
                current = current - current.max(axis=0)
            np.add(current, to_tag[:, :, None], out=ways)
            current = np.max(ways, axis=1, out=best[step])
            current += scores[step]
        paths = np.full((num_texts, steps), -1, dtype=np.int64)
        tags = (best[lasts, :, np.arange(num_texts)] + end).argmax(axis=1)
        for step in range(steps - 1, -1, -1):
            if step < steps - 1:
                earlier = (best[step].T + to_tag[tags]).argmax(axis=1)
                tags = np.where(step < lasts, earlier, tags)
            paths[:, step] = np.where(step <= lasts, tags, -1)
        return paths

    @torch.no_grad()
    def best_paths(self, emissions: Tensor, lengths: Tensor, count: int) -> list[list[tuple[list[int], float]]]:
        """Return each text's ``count`` most probable sequences, the best first, each with its probability.

        Fewer where there are not so many sequences that are allowed.

        Source:
            Seshadri and Sundberg (1994), List Viterbi decoding algorithms with applications: the parallel one.
        """
        transitions, start, end = (each.cpu().numpy() for each in self._scores())
        log_zs = log_partition(emissions.double(), *self._scores(), lengths)
        answers = []
        for scores, length, log_z in zip(
            emissions.double().cpu().numpy(), lengths.tolist(), log_zs.tolist(), strict=True
        ):
            found = _list_viterbi(scores[:length], transitions, start, end, count)
            answers.append([(tags, float(np.exp(score - log_z))) for tags, score in found])
        return answers


def _list_viterbi(
    scores: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray, count: int
) -> list[tuple[list[int], float]]:
    """Return the best sequences of one text, with their scores: ``scores`` is float [T, L]."""
    num_tags = scores.shape[1]
    current = np.full((num_tags, count), -np.inf)  # of the best few that end with each tag
    current[:, 0] = scores[0] + start
    origins = []
    for row in scores[1:]:
        ways = current.reshape(-1, 1) + transitions.repeat(count, axis=0)  # [previous tag x rank, tag]
        order = np.argsort(-ways, axis=0, kind="stable")[:count]  # [rank, tag]
        origins.append(order.T)
        current = np.take_along_axis(ways, order, axis=0).T + row[:, None]
    final = (current + end[:, None]).ravel()
    found = []
    for place in np.argsort(-final, kind="stable")[:count].tolist():
        if final[place] == -np.inf:
            break
        score, tags = float(final[place]), [place // count]
        for origin in reversed(origins):
            place = int(origin[place // count, place % count])
            tags.append(place // count)
        found.append((tags[::-1], score))
    return found
