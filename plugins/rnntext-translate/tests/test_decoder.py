"""The decoder: what it attends to, and that padding and neighbours change nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rnntext import registry
from rnntext.contracts import Batch
from rnntext_translate.decoder import AttentionDecoder, Cell, Memory
from rnntext_translate.target_words import END_ID

V, E, H, A, D = 11, 5, 7, 6, 8


@pytest.fixture
def decoder() -> AttentionDecoder:
    torch.manual_seed(0)
    return AttentionDecoder(torch.full((V,), 1 / V), D, E, H, A, dropout=0.0).eval()


def memory_of(decoder: AttentionDecoder, lengths: list[int], garbage: float = 0.0) -> Memory:
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(len(lengths), max(lengths), D, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    begin = torch.randn(len(lengths), H, generator=generator)
    states = states.masked_fill(~mask[:, :, None], garbage)
    return Memory(states, decoder.attention.key(states), mask, begin)


def test_weights_are_shares_of_real_tokens_alone(decoder):
    memory = memory_of(decoder, [4, 1, 6], garbage=50.0)
    context, weights = decoder.attention(memory.begin, memory)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights[~memory.mask] == 0).all()
    assert (weights[memory.mask] > 0).all()
    torch.testing.assert_close(context[1], memory.states[1, 0])
    torch.testing.assert_close(context[0], (weights[0, :4, None] * memory.states[0, :4]).sum(0))


def test_attention_is_the_formula_of_the_paper(decoder):
    memory = memory_of(decoder, [3])
    attention = decoder.attention
    energy = [
        attention.score.weight[0] @ torch.tanh(attention.query.weight @ memory.begin[0] + attention.key(state))
        for state in memory.states[0]
    ]
    torch.testing.assert_close(attention(memory.begin, memory)[1][0], torch.stack(energy).softmax(0))


def test_the_cell_is_a_gru_of_word_and_context_joined():
    torch.manual_seed(1)
    ours, theirs = Cell(E, D, H), nn.GRUCell(E + D, H)
    with torch.no_grad():
        theirs.weight_ih.copy_(torch.cat([ours.words.weight, ours.context.weight], dim=1))
        theirs.bias_ih.copy_(ours.words.bias)
        theirs.weight_hh.copy_(ours.state.weight)
        theirs.bias_hh.copy_(ours.state.bias)
    words, context, hidden = torch.randn(4, E), torch.randn(4, D), torch.randn(4, H)
    torch.testing.assert_close(
        ours(ours.words(words), context, hidden), theirs(torch.cat([words, context], dim=1), hidden)
    )


def test_known_translations_are_scored_as_step_by_step(decoder):
    memory = memory_of(decoder, [4, 2, 6])
    ids = torch.tensor([[3, 4, END_ID, -1], [5, END_ID, -1, -1], [6, 7, 8, END_ID]])
    scores, told, rows = decoder(memory, ids, torch.tensor([3, 2, 4]))
    assert len(scores) == len(told) == len(rows) == 9
    assert sorted(rows.tolist()) == [0] * 3 + [1] * 2 + [2] * 4
    for text in range(3):
        hidden, last = memory.begin[text : text + 1], torch.tensor([END_ID])
        for expected, word in zip(scores[rows == text], told[rows == text], strict=True):
            stepped, hidden = decoder.step(last, hidden, memory.of(torch.tensor([text])))
            torch.testing.assert_close(stepped[0], expected)
            last = word[None]
        assert told[rows == text].tolist() == [word for word in ids[text].tolist() if word >= 0]


def test_a_word_is_told_from_those_before_it_alone(decoder):
    memory = memory_of(decoder, [4])
    one, _, _ = decoder(memory, torch.tensor([[3, 4, 5, END_ID]]), torch.tensor([4]))
    other, _, _ = decoder(memory, torch.tensor([[3, 4, 9, END_ID]]), torch.tensor([4]))
    torch.testing.assert_close(one[:3], other[:3])
    assert not torch.allclose(one[3], other[3])


@pytest.mark.parametrize("encoder_name", ["gru", "lstm"])
def test_padding_and_neighbours_change_nothing_from_the_encoder_on(decoder, encoder_name):
    torch.manual_seed(2)
    encoder = registry.get("encoders", encoder_name)(input_dim=3, hidden_dim=D // 2, bidirectional=True).eval()
    lengths, embedded = torch.tensor([5, 1, 3]), torch.randn(3, 5, 3)
    ids, of_ids = torch.tensor([[3, 4, 5, END_ID], [5, END_ID, -1, -1], [6, 7, END_ID, -1]]), torch.tensor([4, 2, 3])

    def scores(rows: list[int], fill: float) -> list[torch.Tensor]:
        steps = int(lengths[rows].max())
        batch = Batch(torch.zeros(len(rows), steps, dtype=torch.int64), lengths[rows])
        texts = embedded[rows, :steps].masked_fill(~batch.mask[:, :, None], fill)
        memory = decoder.remember(encoder(texts, lengths[rows]), batch.mask)
        found, _, of = decoder(memory, ids[rows], of_ids[rows])
        return [found[of == place] for place in range(len(rows))]

    together = scores([0, 1, 2], fill=99.0)
    for row in range(3):
        torch.testing.assert_close(scores([row], fill=0.0)[0], together[row], atol=1e-5, rtol=1e-5)
    swapped = scores([2, 0], fill=-7.0)
    torch.testing.assert_close(swapped[0], together[2], atol=1e-5, rtol=1e-5)


def test_every_weight_is_trained(decoder):
    decoder.train()
    scores, told, _ = decoder(memory_of(decoder, [4, 2]), torch.tensor([[3, 4, 0], [5, 0, -1]]), torch.tensor([3, 2]))
    nn.functional.cross_entropy(scores, told).backward()
    without = {name for name, weight in decoder.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert without == {"begin.weight", "begin.bias"}  # remember was not called


def test_probabilities_begin_at_the_shares():
    shares = torch.tensor([0.5, 0.25, 0.125, 0.125])
    decoder = AttentionDecoder(shares, D, E, H, A, dropout=0.0).eval()
    with torch.no_grad():
        decoder.readout.weight.zero_()
        decoder.readout.bias.zero_()
    memory = memory_of(decoder, [2])
    scores, _ = decoder.step(torch.tensor([END_ID]), memory.begin, memory)
    torch.testing.assert_close(scores[0].softmax(0), shares)
