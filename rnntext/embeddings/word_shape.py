"""Embedding ``word_shape``: what a token looks like at a glance, by its kinds of character and its first and last."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from zlib import crc32

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, Vocabulary

LONGEST_RUN = 4
"""Characters of one kind in a row that a shape tells apart: four, so that a year is no number of three digits."""
INITIAL_RANGE = 0.1  # small, so that a row which training hardly shows counts for little

# Unicode's categories, or their first letters, to what stands in a shape; the character itself where nothing is here.
_CLASSES = {"Lu": "X", "Lt": "X", "Ll": "x", "L": "o", "N": "d", "M": "", "Cf": "", "So": "s", "Sk": "s"}
_CLASSES |= dict.fromkeys(("C", "Z"), "c")
_LONG_RUN = re.compile(rf"(.)\1{{{LONGEST_RUN},}}")


class WordShapeEmbedding(nn.Module):
    """A trained row for a token's shape and, if asked for, for its first and its last characters; joined.

    In a shape stands X for an upper-case letter, x for a lower-case one, o for a letter without case (Chinese,
    Arabic), d for a digit, s for a symbol (emoji), c for white space and what cannot be shown; punctuation and signs
    of money and arithmetic stand for themselves, combining marks and invisible joiners are left out, and of a longer
    run of one kind four are kept: "McArthur-2" is XxXxxxx-d. Features share rows by hashing, so there is nothing to
    learn before training.

    Choose it beside a table of words, and beside ``char_cnn``: with ``affixes`` it is cheap, and helps with words
    that the training split does not have.

    Args:
        vocabulary: not used; tokens are read as they stand in the text.
        output_dim: width E of all features together: equal shares, what is left over to the shape.
        affixes: lengths of prefixes and suffixes, in characters, that have a row too, in lower case; none unless set.
        buckets: rows that a feature's values share.
        dropout: share of the token's numbers dropped in training.

    Source:
        Capitals as a looked-up feature: Collobert et al. (2011), Natural language processing (almost) from scratch;
        affixes: Ratnaparkhi (1996), A maximum entropy model for part-of-speech tagging; rows shared by hashing:
        Weinberger et al. (2009), Feature hashing for large scale multitask learning. The alphabet is ours.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        output_dim: Annotated[int, Field(ge=1)] = 30,
        affixes: list[Annotated[int, Field(ge=1)]] | None = None,
        buckets: Annotated[int, Field(ge=1)] = 5000,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.output_dim = output_dim
        self._features = FeatureTable(affixes or [], buckets)
        share, left_over = divmod(output_dim, self._features.count)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(buckets, share if number else share + left_over))
            for number in range(self._features.count)
        )
        self.dropout = nn.Dropout(dropout)
        for weight in self.weights:
            nn.init.uniform_(weight, -INITIAL_RANGE, INITIAL_RANGE)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        affixes = options["affixes"] or []
        if len(set(affixes)) < len(affixes):
            yield "affixes", "names a length twice, which would add nothing; name each once"
        elif options["output_dim"] <= 2 * len(affixes):
            count = 2 * len(affixes) + 1
            yield "output_dim", f"is shared by {count} features (the shape, prefixes, suffixes); set {count} or more"

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]."""
        if batch.type_ids is None:
            raise ValueError("this batch has no raw tokens (types, type_ids), which word shapes are made from")
        type_ids = np.maximum(batch.type_ids.cpu().numpy(), 0)
        types, places = np.unique(type_ids, return_inverse=True)
        rows = torch.from_numpy(self._features.rows(batch.types)[types]).to(batch.type_ids.device)  # [U, features]
        looked_up = [nn.functional.embedding(rows[:, number], weight) for number, weight in enumerate(self.weights)]
        chosen = torch.from_numpy(places.reshape(type_ids.shape)).to(rows.device)  # [B, T]
        dropped: Tensor = self.dropout(nn.functional.embedding(chosen, torch.cat(looked_up, dim=-1)))
        return dropped


class FeatureTable:
    """The hashed features of every type of a type table, worked out when types appear.

    Args:
        affixes: lengths of prefixes and suffixes, in characters.
        buckets: rows that a feature's values share.
    """

    def __init__(self, affixes: Sequence[int], buckets: int) -> None:
        self.count = 1 + 2 * len(affixes)
        self._affixes = tuple(affixes)
        self._buckets = buckets
        self._known: tuple[Sequence[str], np.ndarray] = ((), np.zeros((0, self.count), dtype=np.int64))

    def rows(self, types: Sequence[str]) -> np.ndarray:
        """Return int64 [types, features]: the row of each; a table that has grown is read on from where it was."""
        before, rows = self._known
        if before is not types:
            rows = rows[:0]
        new = [self._hashed(token) for token in types[len(rows) :]]
        if new:
            rows = np.concatenate([rows, np.asarray(new, dtype=np.int64) % self._buckets])
            self._known = types, rows  # at once: another thread may have another table
        return rows

    def _hashed(self, token: str) -> list[int]:
        lower = token.lower()
        texts = [shape_of(token)]
        for length in self._affixes:
            texts += [lower[:length], lower[-length:]]
        return [crc32(text.encode("utf-8", "surrogatepass")) for text in texts]


def shape_of(token: str) -> str:
    """Return a token's shape, as the docstring of ``WordShapeEmbedding`` describes it."""
    return _LONG_RUN.sub(lambda run: run[1] * LONGEST_RUN, token.translate(_SHAPES))


class _Shapes(dict[int, str]):
    """What stands in a shape for each code point, worked out when one is met."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = found = _CLASSES.get(category, _CLASSES.get(category[0], chr(code)))
        return found


_SHAPES = _Shapes()
