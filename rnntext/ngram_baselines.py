"""What counts of word sequences reach at next words and at blanks: the yardstick beside language models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rnntext.baselines import LabelledTokens
from rnntext.contracts import BLANK, PAD_ID, UNKNOWN_ID, Vocabulary

WEIGHTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""How much the two sides of a blank count, from their geometric mean to their product over the word's frequency."""
BLANKS_TO_TUNE = 1000
"""So many blanks of the validation split choose the weight."""
NO_KEY = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Level:
    """What followed contexts of one length: what is left of its counts after discounting, as shares of a context.

    Each array has one entry more at its end, so that the rank -1, of what was not seen, needs no special case.
    """

    keys: np.ndarray
    """int64 [grams + 1], sorted: the rank of the context times ``num_words``, plus the word after it; ``NO_KEY``."""
    shares: np.ndarray
    """float64 [grams + 1], of all that followed the same context; 0 at the end."""
    rests: np.ndarray
    """float64 [contexts + 1], 1 less a context's shares: the weight of the next shorter context; 1 at the end."""
    num_words: int

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.keys, self.shares, self.rests

    def find(self, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the rank of each context, of which the rank is given, with a word: int64, -1 where not seen."""
        wanted = contexts * self.num_words + words  # below 0 for -1: no key
        ranks = self.keys.searchsorted(wanted)
        return np.where(self.keys[ranks] == wanted, ranks, -1)

    def mixed(self, context: int, shorter: np.ndarray) -> np.ndarray:
        """Return float64 [num_words], probabilities after the context of a rank, given those after a shorter one."""
        start, stop = self.keys.searchsorted([context * self.num_words, (context + 1) * self.num_words])
        distribution = self.rests[context] * shorter
        distribution[self.keys[start:stop] - context * self.num_words] += self.shares[start:stop]
        return np.asarray(distribution)


def _level(keys: np.ndarray, counts: np.ndarray, num_contexts: int, num_words: int) -> _Level:
    """Return a level for keys, as it holds them, and how often each was counted."""
    contexts = keys[:-1] // num_words
    taken = discounts(counts)[np.minimum(counts, 3)]
    totals = np.bincount(contexts, weights=counts, minlength=num_contexts)
    rests = np.ones(num_contexts + 1)
    np.divide(np.bincount(contexts, weights=taken, minlength=num_contexts), totals, out=rests[:-1], where=totals > 0)
    shares = np.append((counts - taken) / totals[contexts], 0.0)
    return _Level(keys, shares, rests, num_words)


def discounts(counts: np.ndarray) -> np.ndarray:
    """Return float64 [4]: how much to take off a count of 0, 1, 2, and 3 or more; never so much that one overtakes.

    Source:
        Chen and Goodman (1998), An empirical study of smoothing techniques, equation 26. Where few counts make these
        improbable, one discount for all (equation 14), and half a count where no count is 1, or none 2.
    """
    ones, twos, threes, fours = (int(np.count_nonzero(counts == number)) for number in (1, 2, 3, 4))
    common = ones / (ones + 2 * twos) if ones and twos else 0.5
    if ones and twos and threes:
        lost = [0, 2 * twos / ones, 3 * threes / twos, 4 * fours / threes]
        found = np.arange(4) - common * np.array(lost)
        if (np.diff(found) > 0).all() and (np.diff(found) <= 1).all():
            return found
    return np.array([0.0, common, common, common])


class NgramModel:
    """How probable each word is after the ones before it: interpolated modified Kneser-Ney (see ``discounts``).

    No word has probability 0: after the shortest context, of none, some is left for all words alike. A context that
    is shorter than ``order - 1`` words, at a text's start, is read by a model of that lower order in its own right:
    by how often words followed it, where a longer context backs off to how many different words stood before.

    Args:
        order: the longest n-gram, from 1 up; a word is predicted from at most ``order - 1`` before it.
        num_words: ids run from 0 to one less.
    """

    def __init__(self, order: int, num_words: int) -> None:
        self.order = order
        self.num_words = num_words
        # Of contexts of 0, 1, ... words: to back off to, the longest apart; and where that is the whole context.
        self.levels: list[_Level] = []
        self.wholes: list[_Level] = []
        self.fit([], joined=False)

    def fit(self, sequences: Iterable[np.ndarray], joined: bool) -> None:
        """Count n-grams of int64 [n] token ids; ``joined``: each sequence goes on where the one before it ended."""
        parts = [np.zeros(0, dtype=np.int64), *sequences]
        tokens = np.concatenate(parts)
        sizes = np.array([len(tokens)] if joined else list(map(len, parts)))
        ends = np.cumsum(sizes)
        room = np.repeat(ends, sizes) - np.arange(len(tokens))  # tokens from here up to the sequence's end
        firsts = (ends - sizes)[sizes > 0]
        ranks, num_contexts = np.zeros(len(tokens), dtype=np.int64), 1
        self.levels, self.wholes = [], []
        for length in range(1, self.order + 1):
            starts = np.flatnonzero(room >= length)
            grams = ranks[starts] * self.num_words + tokens[starts + length - 1]
            keys, at, inverse, counts = np.unique(grams, True, True, True)  # first place, which key, and how often
            if length > 1:
                # Each n-gram is one word that stood before its own last words; a sequence's start is one more.
                before = np.bincount(ranks[starts[at] + 1], minlength=num_contexts)
                before[ranks[firsts[room[firsts] >= length - 1]]] += 1
                shorter = self.wholes[-1]
                self.levels.append(_level(shorter.keys, before, len(shorter.rests) - 1, self.num_words))
            self.wholes.append(_level(np.append(keys, NO_KEY), counts, num_contexts, self.num_words))
            ranks[starts], num_contexts = inverse, len(keys)
        self.levels.append(self.wholes[-1])

    def log_probabilities(self, sequence: np.ndarray) -> np.ndarray:
        """Return float64 [n], natural logs of the probability of each of int64 [n] ids after those before it."""
        tokens = np.asarray(sequence, dtype=np.int64)
        probabilities = np.full(len(tokens), 1 / self.num_words)
        backed_off = probabilities.copy()
        grams = np.zeros(len(tokens), dtype=np.int64)  # ranks, by where an n-gram starts
        for before, (level, whole) in enumerate(zip(self.levels, self.wholes, strict=True)):
            contexts = grams[: len(tokens) - before]
            grams = level.find(contexts, tokens[before:])
            shorter = backed_off[before:]
            probabilities[before:] = whole.shares[grams] + whole.rests[contexts] * shorter
            backed_off[before:] = level.shares[grams] + level.rests[contexts] * shorter
        return np.asarray(np.log(probabilities))

    def distribution(self, context: Sequence[int]) -> np.ndarray:
        """Return float64 [num_words], the probability of each word after a context, of which the end counts."""
        words = np.array(context, dtype=np.int64)[max(0, len(context) - self.order + 1) :]
        distribution = np.full(self.num_words, 1 / self.num_words)
        for length in range(len(words) + 1):
            rank = np.zeros(1, dtype=np.int64)
            for level, word in zip(self.wholes, words[len(words) - length :], strict=False):
                rank = level.find(rank, word)
            level = (self.wholes if length == len(words) else self.levels)[length]
            distribution = level.mixed(int(rank[0]), distribution)
        return distribution

    def megabytes(self) -> float:
        """Return the size of what was counted, in 10^6 bytes."""
        arrays = {id(each): each for level in (*self.levels, *self.wholes) for each in level.arrays()}
        return sum(each.nbytes for each in arrays.values()) / 1e6  # keys that two levels have in common count once


class NgramBaseline:
    """How surprising each token is to counts of what followed the tokens before it (``NgramModel``).

    Args:
        order: the longest n-gram: a token is predicted from at most ``order - 1`` before it.
        vocabulary: the network's, learnt: what it does not know is one word, ``<unk>``.
    """

    raw_tokens: ClassVar[bool] = False

    def __init__(self, order: int, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.model = NgramModel(order, len(vocabulary))
        words = set(range(len(vocabulary))).difference(_specials(vocabulary))
        # Characters between two tokens: none where tokens are characters.
        self.between = int(any(len(vocabulary.token(word)) != 1 for word in words))

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count the n-grams of each text of the training split."""
        self.model.fit((_ids(tokens, self.vocabulary) for tokens in train.tokens()), joined=False)

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return what each token costs, float64 [N, T, 3]; NaN at a text's first token and at padding.

        The three numbers: minus the log of its probability, in nats; how many characters it stands for, a blank
        after it included, except where tokens are characters; 1 if it is unknown, else 0.
        """
        texts = list(tokens)
        answers = np.full((len(texts), max(map(len, texts), default=0), 3), np.nan)
        for row, text in zip(answers, texts, strict=True):
            ids = _ids(text, self.vocabulary)
            row[1 : len(text), 0] = -self.model.log_probabilities(ids)[1:]
            row[1 : len(text), 1] = [len(token) + self.between for token in text[1:]]
            row[1 : len(text), 2] = ids[1:] == UNKNOWN_ID
        return answers

    def megabytes(self) -> float:
        """Return the size of the counts."""
        return self.model.megabytes()


class UnigramBlankBaseline:
    """Fills every blank by how often each word occurs in the training split.

    Args:
        vocabulary: the network's, learnt.
    """

    raw_tokens: ClassVar[bool] = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.shares = np.zeros(len(vocabulary))

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count the words of the training split."""
        model = NgramModel(1, len(self.vocabulary))
        model.fit((text for text, _ in _questions(train, self.vocabulary, fill=True)), joined=False)
        self.shares = _shares(model.distribution([]), _specials(self.vocabulary))

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return log probabilities, float32 [N, S, V]: the same at each blank, NaN after a text's last."""
        return _at_blanks(tokens, self.vocabulary, lambda text, place: self.shares)

    def megabytes(self) -> float:
        """Return the size of the shares."""
        return self.shares.nbytes / 1e6


class TwoSidedNgramBaseline:
    """Fills a blank by what stood between the same neighbours, or near the words on either side.

    Where both neighbours of a blank were seen around words in the training split, these count, less a discount. What
    is left goes to P_l(w) P_r(w) / P_1(w), normalised: how probable a word is after those on its left, times how
    probable before those on its right, over how probable by itself, which both contain. Since the two sides say the
    same thing in part, the validation split chooses a weight a in (P_l P_r)^a / P_1^(2a - 1): with 1 it is the above,
    with 1/2 the geometric mean of the sides. The ends of a text count as words; an unknown word or another blank
    hides itself and what is beyond it.

    Args:
        order: the longest n-gram, from 2 up: each side is at most ``order - 1`` words.
        vocabulary: the network's, learnt.
    """

    raw_tokens: ClassVar[bool] = False

    def __init__(self, order: int, vocabulary: Vocabulary) -> None:
        self.order = order
        self.vocabulary = vocabulary
        self.specials = _specials(vocabulary)
        self.end = len(vocabulary)  # the id of either end of a text
        self.weight = 1.0
        self._count([])

    def fit(self, train: LabelledTokens, validation: LabelledTokens) -> None:
        """Count n-grams both ways and what stands between neighbours; choose the weight by perplexity."""
        self._count(text for text, _ in _questions(train, self.vocabulary, fill=True))
        sums, tried = np.zeros(len(WEIGHTS)), 0
        for text, answers in _questions(validation, self.vocabulary, fill=False):
            places = np.flatnonzero(text == self.specials[-1])
            for place, answer in zip(places[: BLANKS_TO_TUNE - tried].tolist(), answers, strict=False):
                if answer >= 0 and answer not in self.specials:
                    sides = self._sides(text, place)
                    sums += [np.log(self._between(*sides, weight)[answer]) for weight in WEIGHTS]
                    tried += 1
        self.weight = WEIGHTS[int(np.flatnonzero(sums == sums.max())[-1])]

    def _count(self, texts: Iterable[np.ndarray]) -> None:
        width, end = self.end + 1, np.array([self.end])
        stream = np.concatenate([end, *(part for text in texts for part in (text, end))])
        self.left, self.right = NgramModel(self.order, width), NgramModel(self.order, width)
        self.left.fit(self._stretches(stream), joined=False)
        self.right.fit(self._stretches(stream[::-1]), joined=False)
        self.alone = np.log(self.left.distribution([]))
        known = ~np.isin(stream, self.specials)
        before = np.flatnonzero(known[:-2] & known[1:-1] & known[2:] & (stream[1:-1] != self.end))
        pairs, ranks = np.unique(stream[before] * width + stream[before + 2], return_inverse=True)
        self.pairs = np.append(pairs, NO_KEY)
        keys, counts = np.unique(ranks * width + stream[before + 1], return_counts=True)
        self.between = _level(np.append(keys, NO_KEY), counts, len(pairs), width)

    def _stretches(self, stream: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the stretches of known words, each from the end of a text on, or from beyond an unknown word."""
        cuts = np.flatnonzero((stream == self.end) | np.isin(stream, self.specials))
        for stretch in np.split(stream, cuts)[1:]:
            yield stretch if stretch[0] == self.end else stretch[1:]

    def _sides(self, text: np.ndarray, place: int) -> tuple[np.ndarray, int]:
        """Return float64 [V + 1], the log of P_l P_r at a blank, and the rank of its pair of neighbours or -1."""
        words = np.concatenate([[self.end], text, [self.end]])
        before, after = words[: place + 1][::-1], words[place + 2 :]  # the nearest first
        pair = int(before[0] * (self.end + 1) + after[0])
        rank = int(self.pairs.searchsorted(pair))
        both = np.ones(self.end + 1)
        for model, side in ((self.left, before[: self.order - 1]), (self.right, after[: self.order - 1])):
            hidden = np.append(np.isin(side, self.specials), True)
            both *= model.distribution(side[: hidden.argmax()][::-1].tolist())
        return np.log(both), rank if self.pairs[rank] == pair else -1

    def _between(self, both: np.ndarray, pair: int, weight: float) -> np.ndarray:
        """Return float64 [V + 1], the probability of each word at a blank between these sides."""
        logs = weight * both - (2 * weight - 1) * self.alone
        return self.between.mixed(pair, _shares(np.exp(logs - logs.max()), [*self.specials, self.end]))

    def answers(self, tokens: Iterable[list[str]]) -> np.ndarray:
        """Return log probabilities, float32 [N, S, V]; NaN after a text's last blank."""
        return _at_blanks(tokens, self.vocabulary, lambda *at: self._between(*self._sides(*at), self.weight)[:-1])

    def megabytes(self) -> float:
        """Return the size of the counts."""
        arrays = (self.pairs, self.alone, *self.between.arrays())
        return self.left.megabytes() + self.right.megabytes() + float(sum(each.nbytes for each in arrays) / 1e6)


def _specials(vocabulary: Vocabulary) -> list[int]:
    """Return the ids that fill no blank: of padding, of unknown words and, last, of the blank."""
    return [PAD_ID, UNKNOWN_ID, *vocabulary.encode([BLANK])]


def _ids(tokens: Iterable[str], vocabulary: Vocabulary) -> np.ndarray:
    return np.array(vocabulary.encode(tokens), dtype=np.int64)


def _questions(data: LabelledTokens, vocabulary: Vocabulary, fill: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the ids of each text and the answers to its blanks, int64 [S]; ``fill`` puts them into the text."""
    blank = _specials(vocabulary)[-1]
    for texts, targets in data.chunks():
        for tokens, answers in zip(texts, targets, strict=True):
            ids = _ids(tokens, vocabulary)
            places = np.flatnonzero(ids == blank)[: len(answers)]
            if fill:
                ids[places] = np.where(answers[: len(places)] < 0, blank, answers[: len(places)])
            yield ids, answers


def _at_blanks(tokens: Iterable[list[str]], vocabulary: Vocabulary, row: Callable[..., np.ndarray]) -> np.ndarray:
    """Return float32 [N, S, V], logs of what ``row`` gives for a text's ids and the place of each blank, else NaN."""
    texts = [_ids(text, vocabulary) for text in tokens]
    blanks = [np.flatnonzero(text == _specials(vocabulary)[-1]) for text in texts]
    shape = (len(texts), max(map(len, blanks), default=0), len(vocabulary))
    answers = np.full(shape, np.nan, dtype=np.float32)
    for answer, text, places in zip(answers, texts, blanks, strict=True):
        for column, place in enumerate(places.tolist()):
            shares = row(text, place)
            answer[column] = np.log(shares, out=np.full_like(shares, -np.inf), where=shares > 0)
    return answers


def _shares(weights: np.ndarray, excluded: Sequence[int]) -> np.ndarray:
    """Return what share of the weights each word has once some are left out."""
    shares = weights.copy()
    shares[excluded] = 0.0
    return np.asarray(shares / shares.sum())
