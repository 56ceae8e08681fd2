"""Sums over all sequences of tags of a text: the forward and the backward recursion of a CRF.

In all of them: emissions float64 [B, T, L]; transitions [L, L], start [L] and end [L] float64, -inf where a move is
not allowed; lengths int64 [B], at least 1.

Source:
    Scaled sums: Rabiner (1989), A tutorial on hidden Markov models, section V.A.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

WIDEST = 150.0
"""Scores of one step that lie further apart are summed as logarithms, exact at any size and slower: where a
forbidden move rules the best of them out, products of the rest would not fit into float64."""
LEAST = -200.0  # for what stands at padding, so that it gives numbers
TINY = 1e-300
NEVER = -1e30
"""Stands for minus infinity where gradients pass, which would be no numbers."""


def log_partition(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """Return [B]: the logarithm of Z, the sum of e to the scores of all sequences."""
    scores = (transitions, start, end)
    if _is_wide(emissions, scores, lengths):
        last = _log_sums(emissions, transitions, start).gather(1, _at_last(lengths, len(start)))[:, 0]
        return torch.logsumexp(last + _never(end), dim=1)
    log_z: Tensor = _LogPartition.apply(emissions, *scores, lengths)
    return log_z


def marginals(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """Return [B, T, L]: the probability of each tag at each token, zero after a text's last."""
    scores = (transitions, start, end)
    if _is_wide(emissions, scores, lengths):
        return _log_marginals(emissions, *scores, lengths)
    return _marginals(_recursions(emissions, *scores, lengths, both=True), lengths)


@torch.no_grad()
def _is_wide(emissions: Tensor, scores: tuple[Tensor, ...], lengths: Tensor) -> bool:
    """Return whether what is added at one step can differ by more than ``WIDEST`` from tag to tag."""
    if not len(emissions):
        return False
    of_moves = 2 * sum(float(each.masked_fill(each == -torch.inf, 0.0).abs().max()) for each in scores)
    lowest, highest = emissions.aminmax()
    if not float(highest - lowest) + of_moves > WIDEST:  # quick, and enough but for scores at padding
        return False
    real = torch.arange(emissions.shape[1], device=emissions.device) < lengths[:, None]
    widths = (emissions.amax(dim=2) - emissions.amin(dim=2)).masked_fill(~real, 0.0)
    return float(widths.max()) + of_moves > WIDEST


class _Recursions(NamedTuple):
    """What the two recursions give, each row scaled to a sum of one; anything at padding."""

    log_partition: Tensor  # [B], log Z
    moves: Tensor  # [L, L], e to the transitions, up to a factor
    until: Tensor  # [B, T, L], all sequences up to a token, by its tag
    arriving: Tensor  # [B, T, L], the same without the token's own score
    after: Tensor  # [B, T, L], all sequences from a token on, by its tag
    leaving: Tensor  # [B, T, L], the same without the token's own score


def _recursions(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, *, both: bool
) -> _Recursions:
    """Sum over all sequences forwards and, if asked for, backwards.

    Sums of products, scaled to one at each step, in float64: log-sum-exp over [B, L, L] costs two to four times as
    much (17 tags, 32 and 64 texts of 15 to 40 tokens, one thread).
    Backwards is forwards over each text reversed within its length, with every move turned round, so that both are
    one loop, and padding comes last in both.
    """
    num_texts, steps, size = emissions.shape
    positions = torch.arange(steps, device=emissions.device)
    real = positions < lengths[:, None]
    tops = emissions.amax(dim=2, keepdim=True)
    factors = (emissions - tops).clamp(min=LEAST).exp()
    moves, highest_move = _scaled(transitions)
    first, highest_first = _scaled(start)
    last, highest_last = _scaled(end)
    reversal = _reversal(lengths, steps, size)
    if both:
        sides = torch.stack([factors, factors.gather(1, reversal)])
        matrices, edges = torch.stack([moves, moves.T]), torch.stack([first, last])
    else:
        sides, matrices, edges = factors[None], moves[None], first[None]
    rows = sides.transpose(1, 2).transpose(0, 1).contiguous()  # [T, sides, B, L]
    before = edges[:, None, :].expand(-1, num_texts, -1)
    befores, afters, totals = [], [], []
    for step in range(steps):
        after = before * rows[step]
        total = after.sum(dim=2, keepdim=True)
        after = after / total
        befores.append(before)
        afters.append(after)
        totals.append(total)
        if step < steps - 1:
            before = torch.bmm(after, matrices)
    without, within = torch.stack(befores, dim=2), torch.stack(afters, dim=2)  # [sides, B, T, L]
    at_last = within[0].gather(1, _at_last(lengths, size))[:, 0]  # [B, L]
    scales = torch.stack(totals, dim=2)[0, :, :, 0].log() + tops[:, :, 0]
    log_partition = (
        scales.masked_fill(~real, 0.0).sum(1)
        + (at_last @ last).log()
        + highest_move * (lengths - 1)
        + highest_first
        + highest_last
    )
    if not both:
        nothing = emissions.new_zeros(0)
        return _Recursions(log_partition, moves, within[0], without[0], nothing, nothing)
    return _Recursions(
        log_partition,
        moves,
        within[0],
        without[0],
        within[1].gather(1, reversal),
        without[1].gather(1, reversal),
    )


def _at_last(lengths: Tensor, size: int) -> Tensor:
    """Return int64 [B, 1, L]: the place of each text's last token, to gather by."""
    return (lengths - 1)[:, None, None].expand(-1, 1, size)


def _reversal(lengths: Tensor, steps: int, size: int) -> Tensor:
    """Return int64 [B, T, L]: from which place each token comes when texts are reversed, to gather by."""
    positions = torch.arange(steps, device=lengths.device)
    last = lengths[:, None] - 1
    return torch.where(positions <= last, last - positions, positions)[:, :, None].expand(-1, -1, size)


def _never(scores: Tensor) -> Tensor:
    return scores.masked_fill(scores == -torch.inf, NEVER)


def _log_sums(emissions: Tensor, transitions: Tensor, start: Tensor) -> Tensor:
    """Return [B, T, L]: log of the sum over all sequences up to a token, by its tag; anything at padding."""
    transitions, current = _never(transitions), emissions[:, 0] + _never(start)
    sums = [current]
    for row in emissions.unbind(dim=1)[1:]:
        current = torch.logsumexp(current[:, :, None] + transitions, dim=1) + row
        sums.append(current)
    return torch.stack(sums, dim=1)


def _log_marginals(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """Return what ``_marginals`` does, from logarithms."""
    _, steps, size = emissions.shape
    reversal = _reversal(lengths, steps, size)
    until = _log_sums(emissions, transitions, start)
    after = _log_sums(emissions.gather(1, reversal), transitions.T, end).gather(1, reversal)
    real = torch.arange(steps, device=emissions.device) < lengths[:, None]
    return (until + after - emissions).softmax(dim=2) * real[:, :, None]


def _scaled(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return e to the scores, with the largest as 1, and the largest; zero for a move that is not allowed."""
    highest = scores.max()
    return (scores - highest).clamp(min=LEAST).exp().masked_fill(scores == -torch.inf, 0.0), highest


def _marginals(found: _Recursions, lengths: Tensor) -> Tensor:
    """Return [B, T, L]: the probability of each tag, zero at padding."""
    joint = found.arriving * found.after
    probabilities = joint / joint.sum(dim=2, keepdim=True).clamp(min=TINY)
    real = torch.arange(joint.shape[1], device=joint.device) < lengths[:, None]
    return probabilities * real[:, :, None]


class _LogPartition(torch.autograd.Function):
    """log Z of each text. Its gradient is known: expected counts, which the backward recursion gives at once."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor
    ) -> Tensor:
        needed = any(ctx.needs_input_grad)
        found = _recursions(emissions, transitions, start, end, lengths, both=needed)
        if needed:
            # Of a pair of neighbours: until the first, times the move, times what follows from the second.
            weights = (found.until[:, :-1] * found.leaving[:, :-1]).sum(dim=2).clamp(min=TINY).reciprocal()
            real = torch.arange(1, emissions.shape[1], device=emissions.device) < lengths[:, None]
            ctx.save_for_backward(
                _marginals(found, lengths),
                found.until[:, :-1] * (weights * real)[:, :, None],
                found.after[:, 1:],
                found.moves,
                lengths,
            )
        return found.log_partition

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        marginals, until, after, moves, lengths = ctx.saved_tensors
        of_emissions = marginals * gradient[:, None, None]
        size = moves.shape[0]
        of_moves = moves * ((until * gradient[:, None, None]).reshape(-1, size).T @ after.reshape(-1, size))
        of_last = of_emissions.gather(1, _at_last(lengths, size))[:, 0]
        return of_emissions, of_moves, of_emissions[:, 0].sum(0), of_last.sum(0), None
