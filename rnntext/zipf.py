"""How often words occur: counts by rank, Zipf's law beside them, how few words cover most of a text, and a plot.

A word is a token as the vocabulary looks it up, such as in lower case: what its ``min_count`` and ``max_size`` count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnntext.blanks import filled_in
from rnntext.contracts import BLANK, UNKNOWN_ID, Vocabulary
from rnntext.encoding import EncodedSplit, TypeTable, occurrences
from rnntext.errors import DataError, UsageError
from rnntext.preparing import Prepared

MOST_FITTED = 10_000
"""Ranks that the law is fitted to: beyond them most words occur once or twice, whatever their rank."""
COVERED = (50, 80, 90, 95, 99)
"""Shares of all tokens, in percent."""
FORMATS = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
"""What can be drawn -> what keeps the date out, so that equal counts give equal files."""
MOST_POINTS = 800
COUNTED, FITTED, CUT = "#0072B2", "#D55E00", "#555555"
LOOK: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "svg.hashsalt": "rnntext",
    "svg.fonttype": "path",
}


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What a split holds, answers to blanks included."""

    name: str
    texts: int
    tokens: int
    distinct: int
    """Different words."""
    once: int
    """Words that occur once in this split."""
    unknown: float
    """Share of tokens that the vocabulary does not know."""
    questions: int
    """Texts with blanks."""
    blanks: int


@dataclass(frozen=True, slots=True)
class Law:
    """Zipf's law: a word's count falls as a power of its rank."""

    exponent: float
    first: float
    """What it says of rank 1."""
    ranks: int
    """It was fitted to so many, from 1."""

    def count(self, rank: Any) -> Any:
        """Return what it says of a rank, or of an array of them."""
        return self.first * rank**-self.exponent


@dataclass(frozen=True, slots=True)
class WordCounts:
    """The words of the training split, the most frequent first."""

    words: Sequence[str]
    counts: np.ndarray
    """int64 [words], none 0."""
    kept: int
    """Rank of the last word that the vocabulary knows; 0 if it knows none."""

    @property
    def law(self) -> Law | None:
        """Zipf's law of them; None of less than two words."""
        return fit_law(self.counts)


@dataclass(frozen=True, slots=True)
class DataCounts:
    """A recipe's data in numbers."""

    splits: list[SplitCounts]
    train: WordCounts


def count_words(prepared: Prepared) -> DataCounts:
    """Return how many texts and words each split has, and how often each word occurs in training."""
    table, token_ids = prepared.table, prepared.token_ids
    word_of, words, known = _words(table, prepared.vocabulary, token_ids)
    splits, train = [], np.zeros(0, dtype=np.int64)
    for name, split in prepared.splits.items():
        whole, blanks, questions = _whole(split, table)
        by_type = occurrences(whole, table)
        # Sums in float64 are exact up to 2^53.
        by_word = np.bincount(word_of, weights=by_type, minlength=len(words)).astype(np.int64)
        by_word[0] = 0  # texts without tokens
        splits.append(
            SplitCounts(
                name,
                texts=len(split),
                tokens=int(by_type.sum()),
                distinct=int(np.count_nonzero(by_word)),
                once=int(np.count_nonzero(by_word == 1)),
                unknown=float(by_type[token_ids == UNKNOWN_ID].sum() / by_type.sum()),
                questions=questions,
                blanks=blanks,
            )
        )
        if name == "train":
            train = by_word
    present = np.flatnonzero(train)
    # Of words that occur equally often, those that the vocabulary knows come first.
    ranked = present[np.lexsort((~known[present], -train[present]))]
    kept = int(np.flatnonzero(known[ranked]).max(initial=-1)) + 1
    return DataCounts(splits, WordCounts([words[number] for number in ranked.tolist()], train[ranked], kept))


def _words(
    table: TypeTable, vocabulary: Vocabulary, token_ids: np.ndarray
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return int64 [types], the word that each is; the words; and bool [words], which the vocabulary knows."""
    numbers: dict[str, int] = {}
    forms = (vocabulary.normalize(token) for token in table.types)
    word_of = np.fromiter((numbers.setdefault(form, len(numbers)) for form in forms), np.int64, len(table.types))
    known = np.zeros(len(numbers), dtype=bool)
    known[word_of[token_ids != UNKNOWN_ID]] = True
    return word_of, list(numbers), known


def _whole(split: EncodedSplit, table: TypeTable) -> tuple[EncodedSplit, int, int]:
    """Return a split with its blanks filled in, how many these were, and in how many texts."""
    if not split.targets_are_types:
        return split, 0, 0
    (blank,) = table.encode([BLANK])
    places = np.flatnonzero(split.types.values == blank)
    texts = np.unique(np.searchsorted(split.types.ends, places, side="right"))
    return filled_in(split, blank), len(places), len(texts)


def fit_law(counts: np.ndarray) -> Law | None:
    """Return the line through log count on log rank, by least squares; None of less than two counts.

    Args:
        counts: of words, falling, none 0; the first ``MOST_FITTED`` are looked at.
    """
    ranks = min(len(counts), MOST_FITTED)
    if ranks < 2:
        return None
    across, up = np.log(np.arange(1, ranks + 1)), np.log(counts[:ranks])
    centred = across - across.mean()
    slope = float(centred @ up / (centred @ centred))
    exponent = max(0.0, -slope)  # equal counts may come out a rounding error above
    return Law(exponent, float(np.exp(up.mean() + exponent * across.mean())), ranks)


def coverage(counts: np.ndarray) -> dict[int, int]:
    """Return how many of the most frequent words make up each of the ``COVERED`` shares of all tokens.

    Args:
        counts: of words, falling, at least one.
    """
    sums = np.cumsum(counts)
    return {percent: 1 + int(np.searchsorted(sums * 100, percent * sums[-1])) for percent in COVERED}


def check_plot(path: str) -> None:
    """Make sure that a plot can be drawn, before long work for it begins.

    Raises:
        UsageError: the ending is none of ``FORMATS``, the folder is not there, or matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw {path!r}; end the file's name in one of: {', '.join(FORMATS)}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"there is no folder {str(Path(path).parent)!r} to draw into; make it, or name another")
    try:
        import matplotlib  # noqa: F401, only to see whether it is there
    except ImportError as error:
        raise UsageError("plots need matplotlib; install it with: pip install 'rnntext[plots]'") from error


def draw(words: WordCounts, title: str, path: str, cut: str | None = None) -> None:
    """Draw count against rank, both logarithmic, with Zipf's law and where the vocabulary ends.

    Args:
        words: of the training split.
        title: of the plot.
        path: checked by ``check_plot``.
        cut: which option ends the vocabulary there; None marks nothing.

    Raises:
        DataError: there are no words.
    """
    if not len(words.counts):
        raise DataError("the training split has no token to draw; look at what the tokenizer makes of the texts")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    last = len(words.counts)
    ranks = np.unique(np.geomspace(1, last, MOST_POINTS).round().astype(np.int64))
    with mpl.rc_context(LOOK):
        # Without pyplot: no window is looked for, and each format is drawn by its own backend (png: Agg).
        figure = Figure(figsize=(7.5, 4.8), layout="constrained")
        axes = figure.subplots()
        axes.loglog(ranks, words.counts[ranks - 1], ".", color=COUNTED, markersize=5, label="counted")
        if (law := words.law) is not None:
            label = f"Zipf's law, exponent {law.exponent:.2f}\n(least squares, ranks 1 to {law.ranks:,})"
            axes.loglog(ranks, law.count(ranks), "--", color=FITTED, linewidth=1.6, label=label)
        axes.set(xlim=(0.8, last * 1.25), ylim=(words.counts[-1] * 0.7, words.counts[0] * 2.0))
        if cut is not None and 0 < words.kept < last:
            axes.axvline(words.kept, color=CUT, linewidth=1)
            share = words.counts[: words.kept].sum() / words.counts.sum()
            leftwards = words.kept > last**0.65  # no room to its right
            axes.annotate(
                f"vocabulary: the first {words.kept:,},\n{share:.1%} of tokens\n({cut})",
                (words.kept, 0.92),
                (-6 if leftwards else 6, 0),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="right" if leftwards else "left",
                va="center",
                color=CUT,
            )
        axes.legend(loc="lower left", framealpha=1, edgecolor="none")
        axes.set(xlabel="rank of the token", ylabel="count in the training split")
        axes.set_title(title, weight="bold")
        figure.savefig(path, dpi=150, metadata=FORMATS[Path(path).suffix.lower()])
