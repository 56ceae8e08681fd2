"""Embedding ``char_cnn``: what a token looks like, by filters over its bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary
from rnntext.embeddings.spelling import NUM_BYTES, PADDING, SpellingTable

DEFAULT_WIDTHS = (3,)
NEVER = -1e9
"""The sum of a filter whose middle stands on padding."""


class CharCnnEmbedding(nn.Module):
    """The strongest answer of each filter anywhere in the token; filters read a few neighbouring bytes.

    Reads the raw token (case, digits, endings), whatever the vocabulary makes of it, as UTF-8: no alphabet has to be
    learnt, and any script can be read. Each distinct token of a batch is computed once.

    Choose it beside a table of words wherever names, endings or unknown words matter: tagging above all.

    Args:
        vocabulary: not used; tokens are read as they stand in the text.
        output_dim: width E: the number of filters, in equal shares for each of widths.
        byte_dim: width of a byte's own vector.
        widths: how many neighbouring bytes a filter reads, 3 unless set; several kinds of filter where several are
            given.
        max_bytes: a longer token is read by its first and last bytes, half of them each.
        byte_dropout: share of the bytes' vectors' numbers dropped in training.
        dropout: share of the token's numbers dropped in training.

    Source:
        Ma and Hovy (2016), End-to-end sequence labeling via bi-directional LSTM-CNNs-CRF, section 2.1; bytes
        instead of characters, marks at both ends, a rectifier, and one draw of dropout a step and byte are ours.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        output_dim: Annotated[int, Field(ge=1)] = 60,
        byte_dim: Annotated[int, Field(ge=1)] = 30,
        widths: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None,
        max_bytes: Annotated[int, Field(ge=2)] = 40,
        byte_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.output_dim = output_dim
        self.widths = list(DEFAULT_WIDTHS if widths is None else widths)
        self.byte_weight = nn.Parameter(torch.empty(NUM_BYTES, byte_dim))
        shares = [
            output_dim // len(self.widths) + (place < output_dim % len(self.widths))
            for place in range(len(self.widths))
        ]
        self.filters = nn.ParameterList(
            nn.Parameter(torch.empty(byte_dim, width, share).uniform_(-1, 1) / math.sqrt(width * byte_dim))
            for width, share in zip(self.widths, shares, strict=True)
        )
        self.bias = nn.Parameter(torch.zeros(output_dim))
        self.byte_dropout = nn.Dropout(byte_dropout)
        self.dropout = nn.Dropout(dropout)
        self._spellings = SpellingTable(max_bytes)
        bound = (3 / byte_dim) ** 0.5  # variance 1 / byte_dim, as Ma and Hovy start them
        nn.init.uniform_(self.byte_weight, -bound, bound)
        with torch.no_grad():
            self.byte_weight[PADDING].zero_()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        kinds = len(options["widths"] or DEFAULT_WIDTHS)
        if options["output_dim"] < kinds:
            yield "output_dim", f"is shared by {kinds} kinds of filter (widths); set {kinds} or more"

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]."""
        found = self._spellings.distinct(batch)
        read = self.byte_dropout(self.byte_weight)  # [bytes, e]: in a step, a byte loses the same numbers everywhere
        strongest = [_strongest(torch.tensordot(read, each, 1), found.numbers) for each in self.filters]
        features = (torch.cat(strongest, dim=-1) + self.bias).relu()  # [U, E]
        dropped: Tensor = self.dropout(nn.functional.embedding(found.places, features))
        return dropped


def _strongest(table: Tensor, numbers: Tensor) -> Tensor:
    """Return float [U, F]: each filter's largest sum, of all places where its middle stands on a token.

    A filter is linear in its bytes, so what each byte adds at each of its places is looked up, not multiplied; and a
    gradient reaches the place of the largest sum alone, so only those sums are ever differentiated.

    Args:
        table: float [bytes, w, F], what a byte adds at each place of a filter.
        numbers: int64 [U, C], padding 0 after the end.
    """
    num_bytes, width, num_filters = table.shape
    left = (width - 1) // 2
    windows = nn.functional.pad(numbers, (left, width - 1 - left))  # [U, C + w - 1]
    with torch.no_grad():
        answers = table.detach().transpose(0, 1).clone()
        answers[left, PADDING] = NEVER
        rows = windows.unfold(1, width, 1) + num_bytes * torch.arange(width, device=numbers.device)  # [U, C, w]
        sums = nn.functional.embedding_bag(rows.flatten(0, 1), answers.flatten(0, 1), mode="sum")
        best = sums.view(*numbers.shape, num_filters).max(dim=1)
        if not table.requires_grad:
            return best.values
    places = best.indices  # [U, F]
    return sum(table[:, step].gather(0, windows.gather(1, places + step)) for step in range(width))  # type: ignore[return-value]  # a filter has a width of at least 1
