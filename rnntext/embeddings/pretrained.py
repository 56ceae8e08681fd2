"""Embedding ``pretrained``: word vectors learnt from large corpora, for every word that their source has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import Batch, FilePath, Vocabulary
from rnntext.embeddings.vectors import Vectors, read_file, read_source, source_problem
from rnntext.embeddings.word_dropout import UNKNOWN_ID, drop_words
from rnntext.errors import DataError


class PretrainedEmbedding(nn.Module):
    """Word vectors from a package, a file or a spaCy pipeline.

    Words of the training split get a row of their own, started at their vector and trained. Any other word that
    the source has is read with its vector as it is, frozen, at prediction too: those rows travel with the model,
    as float16. Only words without a vector are ``<unk>``.

    Choose it for short texts and small training sets: it knows words that the training split never showed.

    Args:
        vocabulary: decides which words have rows of their own.
        source: vectors by name (glove-6b-50d), or spacy:PIPELINE for those of a spaCy pipeline.
        path: a file of vectors instead: GloVe or fastText text (.txt, .vec, .gz), word2vec .bin, or .npy.
        words: the words of an .npy file: one a line, or a Parquet file whose first column holds them.
        output_dim: width E; that of the source, and to be left out.
        trainable: whether the rows of the training split's words are trained.
        keep: how many of the source's first words travel with the model, frozen; all unless given.
        initial_range: rows of training words without a vector start uniform in -initial_range to initial_range.
        dropout: share of each vector's numbers dropped in training.
        word_dropout: chance that a token is read as ``<unk>`` in training.
    """

    contract = 1

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        source: str | None = None,
        path: FilePath | None = None,
        words: FilePath | None = None,
        output_dim: Annotated[int, Field(ge=1)] | None = None,
        trainable: bool = True,
        keep: Annotated[int, Field(ge=0)] | None = None,
        initial_range: Annotated[float, Field(gt=0)] = 0.25,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)
        self._initial_range = initial_range
        self._keep = keep
        # A model that is loaded brings its rows along; only training reads the source.
        self._source = (source, path, words)
        self.output_dim = output_dim or self._read().matrix.shape[1]
        self.weight = nn.Parameter(torch.zeros(len(vocabulary), self.output_dim), requires_grad=trainable)
        self.register_buffer("frozen", torch.zeros(0, self.output_dim, dtype=torch.float16))
        self.register_buffer("frozen_words", torch.zeros(0, dtype=torch.uint8))
        self._rows: dict[str, int] | None = None
        self._known_types: tuple[Sequence[str], np.ndarray] = ((), np.zeros(0, dtype=np.int64))

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        source, path, words = options.get("source"), options.get("path"), options.get("words")
        if (source is None) == (path is None):
            both = (
                "give one of the two" if source is not None else 'or path = "FILE"; such as source = "glove-6b-50d"'
            )
            yield "source", f"vectors come from source or path: {both}"
        elif source is not None and (problem := source_problem(source)):
            yield "source", problem
        if path is not None and path.endswith(".npy") and words is None:
            yield "words", "an .npy matrix does not name its words; give a word list or a Parquet index"
        if words is not None and (path is None or not path.endswith(".npy")):
            yield "words", "belongs to an .npy file in path; other sources bring their words"

    def begin(self) -> None:
        """Fill the rows from the source; called once before training, never when a model is loaded.

        Raises:
            DataError: the source's width is not ``output_dim``, or it cannot be read.
        """
        vectors = self._read()
        if vectors.matrix.shape[1] != self.output_dim:
            width = vectors.matrix.shape[1]
            raise DataError(
                f"the vectors are {width} wide, and embedding.output_dim is {self.output_dim}; leave it out"
            )
        kept = vectors.words[: self._keep]
        words = "\n".join(kept).encode("utf-8", "replace")
        self.frozen = torch.from_numpy(np.array(vectors.matrix[: len(kept)], dtype=np.float16))
        self.frozen_words = torch.frombuffer(bytearray(words or b"\n"), dtype=torch.uint8)
        self._rows = None
        # The trained rows start from the source in full, whatever `keep` leaves out of the model.
        rows: dict[str, int] = {}
        for number, word in enumerate(vectors.words):
            rows.setdefault(word, number)
        found = [(token_id, rows.get(self.vocabulary.token(token_id))) for token_id in range(len(self.vocabulary))]
        with torch.no_grad():
            self.weight.uniform_(-self._initial_range, self._initial_range)
            self.weight[0].zero_()
            known = [(token_id, row) for token_id, row in found if row is not None and token_id > UNKNOWN_ID]
            if known:
                token_ids, source_rows = map(np.asarray, zip(*known, strict=True))
                matrix = np.asarray(vectors.matrix[source_rows], dtype=np.float32)
                self.weight[torch.from_numpy(token_ids)] = torch.from_numpy(matrix)

    def covers(self, types: Sequence[str]) -> np.ndarray:
        """Return bool [types]: which raw tokens have a vector in the source."""
        rows = self._frozen_rows()
        return np.fromiter((self._row(rows, token) >= 0 for token in types), dtype=bool, count=len(types))

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]: trained rows of training words, frozen rows of other known words."""
        token_ids = drop_words(batch.token_ids, self.word_dropout, self.training)
        embedded = nn.functional.embedding(token_ids, self.weight, padding_idx=0)  # [B, T, E]
        if len(self.frozen) and batch.type_ids is not None:
            embedded = self._with_frozen(embedded, batch)
        dropped: Tensor = self.dropout(embedded)
        return dropped

    def _with_frozen(self, embedded: Tensor, batch: Batch) -> Tensor:
        """Put the source's rows where a token is unknown to the vocabulary but known to the source."""
        assert batch.type_ids is not None
        unknown = (batch.token_ids == UNKNOWN_ID).nonzero(as_tuple=True)  # real unknown words, not dropped ones
        if not len(unknown[0]):
            return embedded
        rows = self._rows_of_types(batch.types)[batch.type_ids[unknown].cpu().numpy()]
        has_row = torch.from_numpy(rows >= 0).to(embedded.device)
        places = tuple(index[has_row] for index in unknown)
        frozen = self.get_buffer("frozen")[torch.from_numpy(rows[rows >= 0]).to(embedded.device)]
        return embedded.index_put(places, frozen.to(embedded.dtype))

    def _rows_of_types(self, types: Sequence[str]) -> np.ndarray:
        """Return int64 [types]: the frozen row of each raw token, -1 without one; worked out once a type table."""
        known, rows = self._known_types
        if known is not types or len(rows) != len(types):
            words = self._frozen_rows()
            rows = np.fromiter((self._row(words, token) for token in types), dtype=np.int64, count=len(types))
            self._known_types = (types, rows)
        return rows

    def _row(self, rows: Mapping[str, int], token: str) -> int:
        return rows.get(self.vocabulary.normalize(token), rows.get(token, -1))

    def _frozen_rows(self) -> dict[str, int]:
        if self._rows is None:
            words = bytes(self.get_buffer("frozen_words").cpu().numpy()).decode("utf-8").split("\n")
            self._rows = {}
            for number, word in enumerate(words[: len(self.get_buffer("frozen"))]):
                self._rows.setdefault(word, number)
        return self._rows

    def _read(self) -> Vectors:
        source, path, words = self._source
        return read_source(source) if source is not None else read_file(str(path), words)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # How many rows travel with a model is known to its file alone.
        for name in ("frozen", "frozen_words"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.weight.device))
        self._rows = None
        super()._load_from_state_dict(state_dict, prefix, *arguments)
