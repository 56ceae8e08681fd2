"""A second opinion beside a network: a linear score of the words, word runs and word pieces of a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.contracts import Batch
from rnntext.errors import ShapeError

NO_CHARACTER = 0x110000  # the first number beyond Unicode
SHORTEST_PIECE = 3
START_SCALE = 0.5
"""How far the weights start towards naive Bayes; on SST-2, 0.3 and 0.6 do alike."""
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: its powers never vanish modulo 2**64


class NgramScores(nn.Module):
    """One weight a label and n-gram; a text's score is the sum of its n-grams' weights.

    N-grams are read in lower case and count once a text, by one over the square root of their number, so that long
    texts are scored on the scale of short ones. They are hashed into rows of weights; two may share a row.

    Args:
        num_labels: L.
        words: longest run of words; 0 for none.
        characters: longest piece of a word, its ends marked, from 3 up; 0 for none.
        buckets: rows of weights.

    Source:
        Presence and log-count ratios: Wang and Manning (2012), Baselines and bigrams, section 2. Pieces of words:
        Bojanowski et al. (2017), Enriching word vectors with subword information, section 3.2.
    """

    def __init__(self, *, num_labels: int, words: int, characters: int, buckets: int) -> None:
        super().__init__()
        self._words = words
        self._characters = characters
        self._buckets = buckets
        self.weight = nn.Parameter(torch.zeros(buckets, num_labels))
        self.bias = nn.Parameter(torch.zeros(num_labels))

    def begin_from(self, batches: Iterable[Batch]) -> None:
        """Start from naive Bayes: the log ratio of how often texts with and without a label have the n-gram.

        Args:
            batches: one pass over the training split, with targets.
        """
        every = np.zeros(self._buckets)
        counts = np.zeros((len(self.bias), self._buckets))
        for batch in batches:
            rows, sizes = self.rows(batch)
            every += np.bincount(rows, minlength=self._buckets)
            if batch.targets is None:
                raise ShapeError("n-grams start from labelled texts; this batch has no targets")
            for targets in batch.targets.cpu().numpy().T:  # more than one where a text may have several labels
                labels = np.repeat(targets, sizes)
                np.add.at(counts, (labels[labels >= 0], rows[labels >= 0]), 1)
        with torch.no_grad():
            for label, inside in enumerate(counts):
                ratios = log_ratios(inside, every - inside)
                ratios[every == 0] = 0  # of what no text has, nothing is known
                self.weight[:, label] = START_SCALE * torch.from_numpy(ratios)

    def forward(self, batch: Batch) -> Tensor:
        """Return float [B, L]."""
        rows, sizes = self.rows(batch)
        shares = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
        starts = np.cumsum(sizes) - sizes
        device = self.weight.device
        scores: Tensor = nn.functional.embedding_bag(
            torch.from_numpy(rows).to(device),
            self.weight,
            torch.from_numpy(starts).to(device),
            mode="sum",
            per_sample_weights=torch.from_numpy(shares).to(self.weight),
        )
        return scores + self.bias

    def rows(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return the n-grams of each text: int64 rows of weights, text after text, and int64 [B], how many each has.

        Raises:
            ShapeError: the batch does not bring its raw tokens.
        """
        if batch.type_ids is None:
            raise ShapeError("n-grams are made from raw tokens; the batch needs type_ids and types")
        type_ids = batch.type_ids.cpu().numpy()
        texts = np.nonzero(type_ids >= 0)[0]  # which text each token belongs to
        distinct, places = np.unique(type_ids[type_ids >= 0], return_inverse=True)
        words, pieces, ends = _hashes([batch.types[number].lower() for number in distinct], self._characters)
        hashes, owners = [np.zeros(0, dtype=np.uint64)], [texts[:0]]
        # Plain sums of letters would let neighbours swap theirs: "i am" and "m ai".
        runs = mixed = _mixed(words)[places]
        for length in range(1, self._words + 1):
            if length > 1:
                runs = runs[:-1] * _STEP + mixed[length - 1 :]
            whole = texts[: len(runs)] == texts[length - 1 :]  # not from one text into the next
            hashes.append((runs if length > 1 else words[places])[whole])
            owners.append(texts[: len(runs)][whole])
        if len(pieces):
            pairs = _sorted_set(texts * len(distinct) + places)
            kinds = pairs % len(distinct)
            sizes = np.diff(ends)[kinds]
            hashes.append(pieces[np.arange(sizes.sum()) + np.repeat(ends[kinds] - (np.cumsum(sizes) - sizes), sizes)])
            owners.append(np.repeat(pairs // len(distinct), sizes))
        rows = (_mixed(np.concatenate(hashes)) % np.uint64(self._buckets)).astype(np.int64)
        keys = _sorted_set(np.concatenate(owners) * self._buckets + rows)
        sizes = np.bincount(keys // self._buckets, minlength=len(type_ids))
        return keys % self._buckets, sizes


def log_ratios(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return log(share of each count among ``inside`` / share among ``outside``), each count one up."""
    inside, outside = inside + 1.0, outside + 1.0
    ratios: np.ndarray = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    return ratios


def _sorted_set(values: np.ndarray) -> np.ndarray:
    """Return distinct values in order; sorting is quicker here than numpy's own, which hashes."""
    values = np.sort(values)
    kept: np.ndarray = values[np.diff(values, prepend=-1) > 0]
    return kept


def _hashes(words: Sequence[str], longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return uint64 [words] a hash of each word, uint64 hashes of all their pieces, and int64 [words + 1] their ends.

    All words at once, in arrays: a piece is a polynomial of its letters, grown a letter at a time.
    """
    marked = [f"<{word}>" for word in words]
    letters = np.frombuffer("".join(marked).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    # Zero would stay zero however it is mixed, and a piece be what it is without that letter.
    letters = _mixed(np.where(letters == 0, NO_CHARACTER, letters).astype(np.uint64))
    lengths = np.asarray([len(word) for word in marked], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    powers = np.cumprod(np.full(int(lengths.max(initial=1)), _STEP))
    positions = np.arange(len(letters)) - np.repeat(starts, lengths)
    left = np.repeat(lengths, lengths) - positions  # letters from here to the word's end
    owner = np.repeat(np.arange(len(marked)), lengths)
    whole = np.add.reduceat(letters * powers[positions], starts)
    grown, pieces, owners = letters * powers[0], [], []
    for length in range(2, min(longest, len(powers)) + 1):
        grown = grown[:-1] + letters[length - 1 :] * powers[length - 1 : length]
        if length >= SHORTEST_PIECE:
            inside = left[: len(grown)] >= length
            pieces.append(grown[inside])
            owners.append(owner[: len(grown)][inside])
    if not pieces:
        return whole, np.zeros(0, dtype=np.uint64), np.zeros(len(marked) + 1, dtype=np.int64)
    order = np.argsort(np.concatenate(owners), kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(np.concatenate(owners), minlength=len(marked)))])
    return whole, np.concatenate(pieces)[order], ends


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return uint64 with every bit spread over all: the closing step of SplitMix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
