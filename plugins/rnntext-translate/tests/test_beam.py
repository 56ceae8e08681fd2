"""Beam search against enumeration of everything, and against taking the best word at each step."""

from __future__ import annotations

import itertools

import pytest
import torch

from rnntext_translate.beam import search
from rnntext_translate.target_words import END_ID

WORDS, STATE, LIMIT = 4, 6, 4  # sequences of up to three words out of 1, 2, 3
EVERY = [(*words, END_ID) for length in range(LIMIT) for words in itertools.product(range(1, WORDS), repeat=length)]


class Net:
    """A random recurrent network: what comes next depends on all that came before, and on the text."""

    def __init__(self, seed: int, texts: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> torch.Tensor:
            return 1.5 * torch.randn(*shape, generator=generator)

        self.embedding, self.recurrent, self.output = (
            weights(WORDS, STATE),
            weights(STATE, STATE),
            weights(STATE, WORDS),
        )
        self.texts, self.begin = weights(texts, STATE), weights(texts, STATE)
        self.largest = 0

    def __call__(self, words, hidden, rows):
        self.largest = max(self.largest, len(words))
        hidden = torch.tanh(self.embedding[words] + hidden @ self.recurrent + self.texts[rows])
        return (hidden @ self.output).log_softmax(1), hidden

    def log_probability(self, text: int, sequence: tuple[int, ...]) -> float:
        hidden, last, total = self.begin[text : text + 1], torch.tensor([END_ID]), 0.0
        for word in sequence:
            told, hidden = self(last, hidden, torch.tensor([text]))
            total += told[0, word].item()
            last = torch.tensor([word])
        return total

    def ranked(self, text: int, length_penalty: float, limit: int = LIMIT) -> list[tuple[int, ...]]:
        def rank(sequence: tuple[int, ...]) -> float:
            return self.log_probability(text, sequence) / len(sequence) ** length_penalty

        return sorted((each for each in EVERY if len(each) <= limit), key=rank, reverse=True)


def sequences(found, text: int) -> list[tuple[int, ...]]:
    rows = []
    for row, log_probability in zip(found.ids[text].tolist(), found.log_probabilities[text].tolist(), strict=True):
        if log_probability > float("-inf"):
            rows.append((*row[: row.index(END_ID)], END_ID))
            assert set(row[row.index(END_ID) :]) == {END_ID}
    return rows


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
def test_a_beam_as_large_as_everything_finds_all_in_their_order(seed, length_penalty):
    net = Net(seed)
    found = search(net, net.begin, torch.full((3,), LIMIT + 1), 200, length_penalty)
    for text in range(3):  # one word more is allowed than EVERY has: compare those that it has
        kept = [sequence for sequence in sequences(found, text) if len(sequence) <= LIMIT]
        assert kept == net.ranked(text, length_penalty)
        for place, sequence in enumerate(sequences(found, text)):
            expected = net.log_probability(text, sequence)
            assert found.log_probabilities[text, place].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_each_text_has_a_limit_of_its_own_at_which_only_the_end_is_told(seed):
    net = Net(seed)
    found = search(net, net.begin, torch.tensor([1, 4, 2]), 50, 1.0)
    for text, limit in enumerate([1, 4, 2]):
        assert sequences(found, text) == net.ranked(text, 1.0, limit)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_one_takes_the_most_probable_word_each_time(seed):
    net = Net(seed)
    found = search(net, net.begin, torch.full((3,), 7), 1, 1.0)
    for text in range(3):
        hidden, words = net.begin[text : text + 1], [END_ID]
        while len(words) < 7 and (len(words) == 1 or words[-1] != END_ID):
            told, hidden = net(torch.tensor(words[-1:]), hidden, torch.tensor([text]))
            words.append(int(told.argmax()))
        words += [] if words[-1] == END_ID and len(words) > 1 else [END_ID]
        assert sequences(found, text) == [tuple(words[1:])]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_wider_beam_finds_no_less_probable_sequences_here_and_neighbours_change_nothing(width):
    for seed in range(5):
        net = Net(seed)
        together = search(net, net.begin, torch.tensor([5, 3, 6]), width, 0.0)
        best = net.ranked(1, 0.0, 3)[0]
        assert together.log_probabilities[1, 0].item() <= net.log_probability(1, best) + 1e-4
        for text, limit in enumerate([5, 3, 6]):

            def alone(words, hidden, rows, text=text, net=net):
                return net(words, hidden, torch.full_like(rows, text))

            single = search(alone, net.begin[text : text + 1], torch.tensor([limit]), width, 0.0)
            assert sequences(single, 0) == sequences(together, text)
            torch.testing.assert_close(single.log_probabilities[0], together.log_probabilities[text])


def test_texts_that_are_done_are_not_read_on():
    net = Net(0)
    search(net, net.begin, torch.tensor([1, 1, 9]), 2, 1.0)
    assert net.largest == 6
    seen: list[int] = []

    def watched(words, hidden, rows):
        seen.append(len(set(rows.tolist())))
        return net(words, hidden, rows)

    search(watched, net.begin, torch.tensor([1, 1, 9]), 2, 1.0)
    assert seen[:2] == [3, 1]


def test_what_must_not_be_told_never_is():
    net = Net(1)

    def forbidding(words, hidden, rows):
        told, hidden = net(words, hidden, rows)
        told[:, 2] = -torch.inf
        return told, hidden

    found = search(forbidding, net.begin, torch.full((3,), 4), 60, 1.0)
    for text in range(3):
        assert sequences(found, text) == [sequence for sequence in sequences(found, text) if 2 not in sequence]
        assert len(sequences(found, text)) == 1 + 2 + 4 + 8
