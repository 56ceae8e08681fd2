"""Embedding ``pretrained``: word vectors learnt from large corpora, for every word that their source has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from rnntext.contracts import UNKNOWN_ID, Batch, FilePath, Vocabulary
from rnntext.embeddings.row_reading import read_rows
from rnntext.embeddings.vectors import Vectors, read_file, read_source, source_problem
from rnntext.embeddings.word_dropout import RareWords, drop_words
from rnntext.errors import DataError

ROWS_AT_ONCE = 20_000


class PretrainedEmbedding(nn.Module):
    """Word vectors from a package, a file or a spaCy pipeline.

    Words of the training split get a row of their own, started at their vector and trained. Any other word that
    the source has is read with its vector as it is, frozen, at prediction too: those rows travel with the model,
    as float16. Only words without a vector are ``<unk>``. A word is looked up as the vocabulary writes it, else in
    lower case; where the source has it in other letters only (Paris for paris), that vector is taken.

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
        rare_word_dropout: where above 0, a word that occurs n times in the training split is also read as ``<unk>``
            with a chance of this / (this + n): rare words teach ``<unk>`` what unknown words are like; 0.25 is usual.
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
        rare_word_dropout: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.word_dropout = word_dropout
        self.rare_words = RareWords(len(vocabulary), rare_word_dropout)
        self.dropout = nn.Dropout(dropout)
        self._initial_range = initial_range
        self._keep = keep
        # A model that is loaded brings its rows along; only training reads the source, and only once.
        self._source = (source, path, words)
        self._vectors: Vectors | None = None
        if output_dim is None:
            self._vectors = self._read()
            output_dim = int(self._vectors.matrix.shape[1])
        self.output_dim = output_dim
        self.before_reading: Callable[[Tensor], None] | None = None
        self.weight = nn.Parameter(torch.zeros(len(vocabulary), self.output_dim), requires_grad=trainable)
        self.register_buffer("frozen", torch.zeros(0, self.output_dim, dtype=torch.float16))
        self.register_buffer("frozen_words", torch.zeros(0, dtype=torch.uint8))
        self._started = np.zeros(len(vocabulary), dtype=bool)
        self._words_index: dict[str, int] | None = None
        self._looked_up: tuple[Sequence[str], Tensor] = ((), torch.zeros(0, dtype=torch.int64))

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, reason) for each combination that cannot work."""
        source, path, words = options.get("source"), options.get("path"), options.get("words")
        if source is None and path is None:
            yield (
                "source",
                'which vectors? Give source = "glove-6b-50d", another name or spacy:PIPELINE, or path = "FILE"',
            )
        elif source is not None and path is not None:
            yield "source", "vectors come from one place: leave out source or path"
        elif source is not None and (problem := source_problem(source)):
            yield "source", problem
        if path is not None and path.endswith(".npy") and words is None:
            yield "words", "an .npy matrix does not name its words; give a word list or a Parquet index"
        if words is not None and (path is None or not path.endswith(".npy")):
            yield "words", "belongs to an .npy file in path; other sources bring their words"

    def begin(self) -> None:
        """Fill the rows from the source; called once before training, never when a model is loaded.

        Raises:
            DataError: the source's width is not ``output_dim``, it cannot be read, or it holds no finite numbers.
        """
        vectors, self._vectors = self._vectors or self._read(), None
        if vectors.matrix.shape[1] != self.output_dim:
            raise DataError(
                f"the vectors are {vectors.matrix.shape[1]} wide, and embedding.output_dim is {self.output_dim}; "
                "leave it out"
            )
        # The trained rows start from the source in full, whatever `keep` leaves out of the model.
        index = self._index(vectors.words)
        kept = index if self._keep is None else self._index(vectors.words[: self._keep])
        source_rows = np.asarray([self._look_up(index, token) for token in self._tokens()], dtype=np.int64)
        source_rows[: UNKNOWN_ID + 1] = -1  # <pad> and <unk> stand for no word of the source
        self._started = source_rows >= 0
        self.frozen = _half(vectors.matrix, np.fromiter(kept.values(), dtype=np.int64, count=len(kept)))
        self.frozen_words = _packed(kept)
        self._forget_look_ups()
        with torch.no_grad():
            self.weight.uniform_(-self._initial_range, self._initial_range)
            self.weight[0].zero_()
            started = np.asarray(vectors.matrix[source_rows[self._started]], dtype=np.float32)
            self.weight[torch.from_numpy(self._started)] = torch.from_numpy(started)

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Count how rare words are, where ``rare_word_dropout`` asks for it."""
        if self.rare_words.strength:
            deque(self.rare_words.counted(batches), maxlen=0)

    def covers(self, types: Sequence[str]) -> np.ndarray:
        """Return bool [types]: which raw tokens are read by a vector that comes from the source."""
        frozen = np.asarray([self._look_up(self._frozen_index(), token) >= 0 for token in types], dtype=bool)
        covered: np.ndarray = frozen | self._started[self.vocabulary.encode(types)]
        return covered

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, T, E]: trained rows of training words, frozen rows of other known words."""
        num_trained = len(self.weight)
        # Frozen rows are numbered after the trained ones, so that word dropout treats all words alike.
        row_ids = drop_words(
            self._row_ids(batch), self.word_dropout, self.training, self.rare_words.chances(batch.token_ids)
        )  # [B, T]
        is_frozen = row_ids >= num_trained
        trained_ids = row_ids.masked_fill(is_frozen, UNKNOWN_ID)
        embedded = read_rows(self.weight, trained_ids, self.before_reading)  # [B, T, E]
        if bool(is_frozen.any()):
            frozen = self.get_buffer("frozen")[row_ids[is_frozen] - num_trained]
            embedded = embedded.index_put((is_frozen,), frozen.to(embedded.dtype))
        dropped: Tensor = self.dropout(embedded)
        return dropped

    def _row_ids(self, batch: Batch) -> Tensor:
        """Return int64 [B, T]: the token ids, but V + n where only the source knows the word, as its row n."""
        unknown = batch.token_ids == UNKNOWN_ID
        if batch.type_ids is None or not len(self.get_buffer("frozen")) or not bool(unknown.any()):
            return batch.token_ids
        rows = self._frozen_rows(batch.types)[batch.type_ids[unknown].cpu()].to(unknown.device)
        row_ids = batch.token_ids.clone()
        row_ids[unknown] = torch.where(rows >= 0, rows + len(self.weight), UNKNOWN_ID)
        return row_ids

    def _frozen_rows(self, types: Sequence[str]) -> Tensor:
        """Return int64 [types]: the frozen row of each raw token, -1 without one; worked out once a type table."""
        known, rows = self._looked_up
        if known is not types or len(rows) != len(types):
            index = self._frozen_index()
            rows = torch.tensor([self._look_up(index, token) for token in types], dtype=torch.int64)
            self._looked_up = (types, rows)
        return rows

    def _frozen_index(self) -> dict[str, int]:
        if self._words_index is None:
            words = _unpacked(self.get_buffer("frozen_words"))
            self._words_index = dict(zip(words, range(len(self.get_buffer("frozen"))), strict=False))
        return self._words_index

    def _forget_look_ups(self) -> None:
        self._words_index = None
        self._looked_up = ((), torch.zeros(0, dtype=torch.int64))

    def _index(self, words: Sequence[str]) -> dict[str, int]:
        """Return normal form -> row of the first word that is written so, else of the first that becomes it."""
        index: dict[str, int] = {}
        others: list[tuple[str, int]] = []
        for row, word in enumerate(words):
            normal = self.vocabulary.normalize(word)
            if normal == word:
                index.setdefault(word, row)
            else:
                others.append((normal, row))
        for normal, row in others:
            index.setdefault(normal, row)
        # "" stands for a text without tokens; words of several lines, which spaCy has, could not be packed.
        return {word: row for word, row in index.items() if word and "\n" not in word}

    def _look_up(self, index: Mapping[str, int], token: str) -> int:
        """Return the row of a token as the vocabulary writes it, else in lower case, else -1."""
        normal = self.vocabulary.normalize(token)
        return index.get(normal, index.get(normal.lower(), -1))

    def _tokens(self) -> list[str]:
        return [self.vocabulary.token(token_id) for token_id in range(len(self.vocabulary))]

    def _read(self) -> Vectors:
        source, path, words = self._source
        return read_source(source) if source is not None else read_file(str(path), words)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # How many rows travel with a model is known to its file alone.
        for name in ("frozen", "frozen_words"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.weight.device))
        self._forget_look_ups()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _half(matrix: np.ndarray, rows: np.ndarray) -> Tensor:
    """Return rows as they travel with a model: float16 [rows, E]."""
    half = np.empty((len(rows), matrix.shape[1]), dtype=np.float16)
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), ROWS_AT_ONCE):  # the whole in float32 may not fit in memory
            half[start : start + ROWS_AT_ONCE] = matrix[rows[start : start + ROWS_AT_ONCE]]
    if not np.isfinite(half).all():
        raise DataError("the vectors hold numbers that are not finite, or too large for float16 (65,504)")
    return torch.from_numpy(half)


def _packed(words: Iterable[str]) -> Tensor:
    """Return the words as uint8, one a line: safetensors holds nothing but numbers."""
    lines = "".join(f"{word}\n" for word in words) or "\n"  # torch has no view of an empty buffer
    return torch.frombuffer(bytearray(lines.encode("utf-8", "surrogatepass")), dtype=torch.uint8)


def _unpacked(words: Tensor) -> list[str]:
    return bytes(words.cpu().numpy()).decode("utf-8", "surrogatepass").split("\n")
