"""Long texts in pieces: the same states in flat memory, gradients that end at borders, and who cannot read so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_encoders import CELLS, H, build, close, every_cell, fixed_loss, start_state, texts
from tiny import make_tiny, write_recipe
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import rnntext
from rnntext import optimizing, options, registry
from rnntext.batching import Collator
from rnntext.contracts import Batch, Encoded, Example, Pieces
from rnntext.embeddings.learned import LearnedEmbedding
from rnntext.embeddings.one_hot import OneHotEmbedding
from rnntext.embeddings.pretrained import PretrainedEmbedding
from rnntext.encoding import TypeTable, encode_examples
from rnntext.errors import RecipeError, ShapeError
from rnntext.heads.classification import ClassificationHead
from rnntext.heads.pooling import Pool, Pooling
from rnntext.model import TextModel
from rnntext.optimizing import row_tables
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe
from rnntext.tokenizers.whitespace import WhitespaceTokenizer
from rnntext.vocabularies.frequency import FrequencyVocabulary

SHAPES: dict[str, dict[str, Any]] = {
    "one_way": {"num_layers": 1, "bidirectional": False},
    "deep_one_way": {"num_layers": 3, "bidirectional": False},
    "both_ways": {"num_layers": 1, "bidirectional": True},
    "apart": {"num_layers": 2, "bidirectional": True, "interleaved": False},
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
ragged = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def slots(shape: dict[str, Any]) -> int:
    return shape["num_layers"] * (2 if shape["bidirectional"] else 1)


def pair(cell: str, chunk_tokens: int, **chosen: Any) -> tuple[Any, Any]:
    """Return two encoders of the same weights: one reads in pieces, the other at once."""
    return build(cell, chunk_tokens=chunk_tokens, **chosen), build(cell, **chosen)


def everything(encoded: Encoded) -> list[Tensor]:
    assert encoded.state is not None
    return [encoded.states, encoded.final, *encoded.state]


def pieces_of(encoder: Any, embedded: Tensor, lengths: Tensor, state: Any = None) -> Pieces:
    read: Pieces = encoder.in_pieces(lambda rows, places: embedded[rows[:, None], places], lengths, state)
    return read


# ---------------------------------------------------------------- the same numbers


@settings(max_examples=60, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    shape=st.sampled_from(list(SHAPES.values())),
    lengths=ragged,
    extra_steps=st.integers(0, 2),
    chunk_tokens=st.integers(1, 10),
    carried=st.booleans(),
    more=st.sampled_from(
        [{}, {"shortcut": True}, {"zoneout": 0.2}, {"residual": True, "layer_norm": True, "shortcut": True}]
    ),
)
def test_values_and_gradients_in_pieces_equal_those_at_once(
    cell: str,
    shape: dict[str, Any],
    lengths: list[int],
    extra_steps: int,
    chunk_tokens: int,
    carried: bool,
    more: dict[str, Any],
) -> None:
    sizes = torch.tensor(lengths)
    results = []
    for encoder in pair(cell, chunk_tokens, **shape, **more):
        embedded = texts(sizes, extra_steps=extra_steps).requires_grad_()
        start = None
        if carried:
            start = tuple(
                tensor.requires_grad_() for tensor in start_state(cell, len(sizes), slots(shape), torch.float64)
            )
        outputs = everything(encoder.eval()(embedded, sizes, start))
        fixed_loss(*outputs).backward()
        results.append([*outputs, embedded.grad, *(tensor.grad for tensor in start or ())])
    for number, (ours, theirs) in enumerate(zip(*results, strict=True)):
        close(ours, theirs, 1e-12 if number < len(outputs) else 1e-10)


@every_cell
@every_shape
def test_a_text_is_read_in_pieces_of_so_many_tokens_each_once(cell: str, shape: dict[str, Any]) -> None:
    encoder = build(cell, chunk_tokens=4, shortcut=True, **shape)
    lengths = torch.tensor([3, 10, 1, 8])
    seen = torch.zeros(4, 10, encoder.output_dim, dtype=torch.int64)
    asked: list[tuple[int, ...]] = []
    embedded = texts(lengths)

    def embed(rows: Tensor, places: Tensor) -> Tensor:
        asked.append(tuple(places.shape))
        return embedded[rows[:, None], places]

    pieces = encoder.in_pieces(embed, lengths)
    assert not asked, "nothing is read before it is asked for"
    width, places_before = encoder.state_dims[0], -1
    for piece in pieces:
        assert piece.mask.shape == piece.positions.shape == piece.states.shape[:2]
        for row, positions, mask in zip(piece.rows.tolist(), piece.positions, piece.mask, strict=True):
            seen[row, positions[mask], piece.columns] += 1
        if piece.columns.start == 0:
            assert int(piece.positions.max()) > places_before, "from the start of the texts"
            places_before = int(piece.positions.max())
        elif piece.columns.start == width and shape["bidirectional"] and 1 in piece.rows:
            row = piece.rows.tolist().index(1)
            assert int(piece.positions[row][piece.mask[row]].max()) in (9, 5, 1), "and from their ends"
    real = torch.arange(10)[None] < lengths[:, None]
    assert torch.equal(seen, real[..., None].expand_as(seen).long())
    directions = 2 if shape["bidirectional"] else 1
    assert asked == [(4, 4), (2, 4), (1, 2)] * directions, "texts that have ended are left out"
    for ours, theirs in zip((pieces.final, *pieces.state), everything(encoder(embedded, lengths))[1:], strict=True):
        close(ours, theirs, 1e-12)


def test_a_state_that_does_not_fit_is_refused_before_anything_is_read() -> None:
    encoder = build("gru", chunk_tokens=2)
    with pytest.raises(ShapeError, match="state tensors of shape"):
        pieces_of(encoder, texts(), torch.tensor([3, 7, 1, 5]), (torch.zeros(4, 1, H),))


# ---------------------------------------------------------------- training


@every_cell
@every_shape
def test_in_training_gradients_end_at_the_border_of_a_piece(cell: str, shape: dict[str, Any]) -> None:
    encoder, whole = pair(cell, 4, **shape)
    encoder.train()
    lengths = torch.tensor([10, 7])
    embedded = texts(lengths).requires_grad_()
    encoded = encoder(embedded, lengths)
    width = encoder.state_dims[0]
    # Row, the token whose state is looked at, and the tokens before it in its piece: forwards 4, 4, 2 tokens.
    cases = [(0, 9, range(8, 10), False), (0, 6, range(4, 7), False), (1, 6, range(4, 7), False)]
    if shape["bidirectional"]:  # from the end of each text: tokens 9..6, 5..2, 1 and 0; and 6..3, 2..0
        cases += [(0, 0, range(2), True), (0, 4, range(4, 6), True), (1, 1, range(1, 3), True)]
    for row, token, reached, backwards in cases:
        columns = slice(width, 2 * width) if backwards else slice(width)
        loss = fixed_loss(encoded.states[row, token, columns])
        (gradient,) = torch.autograd.grad(loss, embedded, retain_graph=True)
        inside = torch.zeros(embedded.shape[:2], dtype=torch.bool)
        inside[row, list(reached)] = True
        assert not bool(gradient[~inside].any()), "exactly zero outside the piece"
        reaching = gradient[inside].any(dim=-1)
        assert bool(reaching.any() if cell == "rnn_relu" else reaching.all()), "and there all tokens"

        # The same piece read alone, from the state that the rest of the text leaves.
        begin, end = reached.start, reached.stop
        text = embedded[row : row + 1].detach()
        rest = text[:, end : int(lengths[row])] if backwards else text[:, :begin]
        state = None
        if rest.shape[1]:
            state = whole(rest, torch.tensor([rest.shape[1]])).state
            state = tuple(tensor.detach() for tensor in state)
        piece = text[:, begin:end].clone().requires_grad_()
        alone = whole(piece, torch.tensor([end - begin]), state)
        close(encoded.states[row, token, columns], alone.states[0, token - begin, columns], 1e-10)
        (expected,) = torch.autograd.grad(fixed_loss(alone.states[0, token - begin, columns]), piece)
        close(gradient[row, begin:end], expected[0], 1e-10)


@every_cell
@every_shape
def test_what_is_drawn_for_a_text_holds_for_all_its_pieces(cell: str, shape: dict[str, Any]) -> None:
    names = set(options.options_of(registry.get("encoders", CELLS[cell][0]), "encoders"))
    drawn = {name: 0.4 for name in ("variational_dropout", "weight_drop") if name in names}
    results, used = [], []
    for encoder in pair(cell, 3, **shape, **drawn):
        seen: list[list[Tensor | None]] = [[] for _ in encoder.layers]
        for index, layer in enumerate(encoder.layers):
            layer.register_forward_pre_hook(lambda _, given, kept=seen[index]: kept.append(given[3]))
        lengths = torch.tensor([8, 2, 9, 3])
        torch.manual_seed(6)
        results.append(everything(encoder.train()(texts(lengths), lengths)))
        used.append(seen)
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, 1e-12)  # with the same random numbers as the whole, each drawn once
    for many, (once,) in zip(*used, strict=True):
        assert len(many) == 3
        assert ("weight_drop" in drawn) == (once is not None)
        assert all(weight is None or torch.equal(weight, once) for weight in many)


# ---------------------------------------------------------------- heads


JOINS: list[tuple[Pooling, ...]] = [
    names for count in (1, 2, 3) for names in combinations(("max", "mean", "final"), count)
] + [("final", "mean", "max")]


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(["lstm", "lstm_proj", "gru", "min_gru"]),
    shape=st.sampled_from(list(SHAPES.values())),
    lengths=ragged,
    chunk_tokens=st.integers(1, 10),
    names=st.sampled_from(JOINS),
    shortcut=st.booleans(),
)
def test_pooling_pieces_equals_pooling_the_whole(
    cell: str,
    shape: dict[str, Any],
    lengths: list[int],
    chunk_tokens: int,
    names: tuple[Pooling, ...],
    shortcut: bool,
) -> None:
    encoder, whole = pair(cell, chunk_tokens, shortcut=shortcut, **shape)
    sizes = torch.tensor(lengths)
    mask = torch.arange(max(lengths))[None] < sizes[:, None]
    pool = Pool(names, encoder.output_dim)
    results = []
    for in_pieces in (True, False):
        embedded = texts(sizes).requires_grad_()
        read = pieces_of(encoder.eval(), embedded, sizes) if in_pieces else whole(embedded, sizes)
        pooled = pool(read, mask)
        assert pooled.shape == (len(sizes), pool.output_dim)
        fixed_loss(pooled).backward()
        results.append((pooled, embedded.grad))
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, 1e-12)


def test_states_below_zero_are_not_hidden_by_padding() -> None:
    encoder = build("lstm", chunk_tokens=3)
    embedded, lengths = texts(), torch.tensor([3, 7, 1, 5])
    mask = torch.arange(7)[None] < lengths[:, None]
    pooled = Pool(["max"], encoder.output_dim)(pieces_of(encoder, embedded, lengths), mask)
    assert bool((pooled < 0).any())
    for row, length in enumerate(lengths.tolist()):
        close(pooled[row], encoder(embedded, lengths).states[row, :length].amax(dim=0), 1e-12)


# ---------------------------------------------------------------- who cannot read in pieces


@every_cell
def test_deep_interleaved_layers_read_no_text_in_pieces(cell: str) -> None:
    encoder = build(cell, num_layers=2, chunk_tokens=4)
    with pytest.raises(ShapeError, match="interleaved=False"):
        encoder(texts(), torch.tensor([3, 7, 1, 5]))
    with pytest.raises(ShapeError, match="interleaved=False"):
        pieces_of(encoder, texts(), torch.tensor([3, 7, 1, 5]))
    short = torch.tensor([3, 4, 1])
    assert torch.equal(encoder(texts(short), short).states, build(cell, num_layers=2)(texts(short), short).states)


def recipe_problems(folder: Path, **tables: dict[str, Any]) -> list[str]:
    path = write_recipe(folder, dataset={}, **tables)
    try:
        read_recipe(path)
    except RecipeError as error:
        lines = path.read_text(encoding="utf-8").splitlines()
        for problem in error.problems:
            assert lines[problem.line - 1].startswith("chunk_tokens = "), "the place of the option"
        return [str(problem) for problem in error.problems]
    return []


@every_cell
def test_deep_interleaved_layers_in_pieces_are_a_problem_of_a_recipe(cell: str, tmp_path: Path) -> None:
    name, extra = CELLS[cell]
    encoder = {"type": name, **extra, "hidden_dim": 9, "chunk_tokens": 100}
    (told,) = recipe_problems(tmp_path, encoder={**encoder, "num_layers": 2})
    assert "[encoder] chunk_tokens: the second layer reads both directions of the first" in told
    for cure in ({"num_layers": 1}, {"bidirectional": False}, {"interleaved": False}, {"chunk_tokens": 0}):
        assert not recipe_problems(tmp_path, encoder={**encoder, "num_layers": 2, **cure})


@pytest.mark.parametrize("pooling", ["attention", ["max", "attention"]])
def test_attention_reads_no_text_in_pieces(tmp_path: Path, pooling: Any) -> None:
    (told,) = recipe_problems(tmp_path, encoder={"chunk_tokens": 100}, head={"pooling": pooling})
    assert "head 'classification' reads no text in pieces: attention weighs all states of a text" in told
    assert told.endswith("Leave chunk_tokens out")
    assert not recipe_problems(tmp_path, encoder={"chunk_tokens": 0}, head={"pooling": pooling})
    assert not recipe_problems(tmp_path, encoder={"chunk_tokens": 100}, head={"pooling": ["max", "mean", "final"]})


class HeadOfAll:
    contract = 1
    metrics: ClassVar[dict[str, str]] = {"accuracy": "larger"}
    hides: ClassVar[frozenset[str]] = frozenset()
    why_hidden = ""
    cuts_long_texts = False

    def __init__(self, *, input_dim: int, labels: dict[str, Any]) -> None:
        pass


def test_a_head_that_says_nothing_of_pieces_gets_none(tmp_path: Path) -> None:
    with registry.registrations_undone():
        rnntext.register("heads", "all_states")(HeadOfAll)
        head = {"type": "all_states", "dropout": None}
        (told,) = recipe_problems(tmp_path, encoder={"chunk_tokens": 100}, head=head)
        assert "head 'all_states' reads no text in pieces: it reads every state of a text" in told
        assert not recipe_problems(tmp_path, encoder={}, head=head)


# ---------------------------------------------------------------- the whole network


WORDS = ("kettle", "window", "pear", "gravel", "tune")
LABELS = {"labels": ["no", "yes"], "counts": {"no": 1, "yes": 1}, "texts": 2, "multi_label": False}


def vocabulary() -> FrequencyVocabulary:
    words = FrequencyVocabulary()
    words.fit(dict.fromkeys(WORDS, 1))
    return words


class Counting(nn.Module):
    """A learned embedding that keeps the shape of everything it was asked for."""

    contract = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = LearnedEmbedding(vocabulary=vocabulary(), output_dim=width, initial_range=1.0)
        self.output_dim = width
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, batch: Batch) -> Tensor:
        self.shapes.append(tuple(batch.token_ids.shape))
        embedded: Tensor = self.inner(batch)
        return embedded


def network(chunk_tokens: int, cell: str = "lstm", widths: tuple[int, ...] = (3,), **encoder: Any) -> TextModel:
    torch.manual_seed(0)
    embeddings: list[nn.Module] = [Counting(width) for width in widths]
    reader = registry.get("encoders", cell)(input_dim=sum(widths), hidden_dim=4, chunk_tokens=chunk_tokens, **encoder)
    head = ClassificationHead(
        input_dim=reader.output_dim, labels=LABELS, pooling=["max", "mean", "final"], dropout=0.0
    )
    return TextModel(embeddings, reader, head)


def batch_of(lengths: list[int], seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, len(WORDS) + 2, (len(lengths), max(lengths)), generator=random)
    sizes = torch.tensor(lengths)
    ids = ids.masked_fill(torch.arange(max(lengths))[None] >= sizes[:, None], 0)
    return Batch(ids, sizes, targets=torch.arange(len(lengths))[:, None] % 2)


@pytest.mark.parametrize("widths", [(3,), (3, 2)], ids=["one_embedding", "two_embeddings"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "peephole_lstm", "coupled_lstm", "min_gru"])
def test_a_network_in_pieces_gives_the_same_logits_and_never_embeds_more_than_a_piece(
    cell: str, widths: tuple[int, ...]
) -> None:
    shape = {"num_layers": 2, "interleaved": False, "shortcut": True}
    chunked, whole = (network(size, cell, widths, **shape).eval() for size in (5, 0))
    lengths = [17, 4, 6, 11]
    batch = batch_of(lengths)
    found, expected = chunked(batch), whole(batch)
    close(found.logits, expected.logits, 1e-6)
    close(found.loss, expected.loss, 1e-6)
    for embedding, other in zip(chunked.embeddings, whole.embeddings, strict=True):
        assert embedding.shapes == [(4, 5), (3, 5), (2, 5), (1, 2)] * 2
        assert other.shapes == [(4, 17)]
        embedding.shapes.clear()
    chunked(batch_of([5, 2]))
    assert chunked.embeddings[0].shapes == [(2, 5)], "a batch that fits is read at once"


def test_training_in_pieces_reaches_every_weight_and_every_word() -> None:
    model = network(4, "gru", num_layers=2, bidirectional=False, residual=True, layer_norm=True).train()
    batch = batch_of([15, 9])
    loss = model(batch).loss
    assert loss is not None
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
    touched = model.embeddings[0].inner.weight.grad.any(dim=1).nonzero()[:, 0].tolist()
    assert touched == batch.token_ids.unique()[1:].tolist(), "all words, not padding"


class Largest(TorchDispatchMode):
    """Keeps how many numbers the largest float tensor has that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        results = function(*arguments, **(named or {}))
        for result in results if isinstance(results, tuple | list) else [results]:
            if isinstance(result, Tensor) and result.is_floating_point():
                self.size = max(self.size, result.numel())
        return results


@pytest.mark.parametrize("cell", ["lstm", "min_gru"])
def test_a_very_long_text_is_read_in_small_tensors(cell: str) -> None:
    tokens, size = 20_000, 250
    batch = batch_of([tokens])
    logits, largest = [], []
    for model in (network(size, cell).eval(), network(0, cell).eval()):
        with torch.no_grad(), Largest() as seen:
            logits.append(model(batch).logits)
        largest.append(seen.size)
    close(logits[0], logits[1], 1e-5)
    assert largest[1] >= tokens * 8, "at once, all states are held"
    assert largest[0] <= size * 8, "in pieces, those of a piece"


def run(recipe: Path, overrides: dict[str, Any], out: Path) -> rnntext.Run:
    return rnntext.run(recipe, overrides, out=out, progress=LineReporter(lambda text: None))


def test_a_run_in_pieces_is_kept_loaded_and_answers_as_at_once(tmp_path: Path) -> None:
    recipe = make_tiny(tmp_path, encoder={"chunk_tokens": 4}, head={"word_ngrams": 1})
    found = run(recipe, {}, tmp_path / "run")
    assert found.metrics["test"]["accuracy"] > 0.8
    model = rnntext.load(found.path)
    assert model.model.encoder.chunk_tokens == 4
    text = "the old lamp was very bright and the soup quite warm today my chair and tent"
    in_pieces = model(text)
    model.model.encoder.chunk_tokens = 0
    at_once = model(text)
    assert in_pieces.label == at_once.label == "good"
    assert in_pieces.probability == pytest.approx(at_once.probability, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_updates_of_rows_see_all_pieces_of_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr(optimizing, "SMALLEST_TABLE", 0)
    training = {"optimizer": optimizer, "learning_rate": 0.02, "momentum": 0.0, "epochs": 2}
    recipe = make_tiny(tmp_path, texts=48, encoder={"chunk_tokens": 3}, training=training)
    weights = []
    for by_rows in (True, False):
        found = run(recipe, {"training.row_updates": by_rows}, tmp_path / f"rows_{by_rows}")
        trained = rnntext.load(found.path)
        assert bool(row_tables(trained.model, trained.recipe.training)) == by_rows
        weights.append(trained.model.state_dict())
    for name, tensor in weights[0].items():
        close(tensor, weights[1][name], 1e-5)


# ---------------------------------------------------------------- embeddings of some tokens


@pytest.fixture
def text_batch() -> Batch:
    lines = ("kettle pear violin tune", "canoe window", "zebra gravel violin pear canoe kettle tune")
    table = TypeTable()
    split = encode_examples([Example(line) for line in lines], WhitespaceTokenizer(), table, None)
    return Collator(split, table.types, table.token_ids(vocabulary())).batch(np.asarray([2, 0, 1]))


def some_tokens(batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    yield torch.tensor([0, 1, 2]), torch.tensor([[0, 1], [1, 0], [0, 1]])
    yield torch.tensor([1]), torch.tensor([[3, 0, 0, 2]])
    yield torch.tensor([0, 2]), torch.tensor([[6, 5, 4], [1, 0, 0]])
    yield torch.arange(3), torch.arange(batch.token_ids.shape[1]).expand(3, -1)


def test_tokens_at_are_a_batch_of_their_own(text_batch: Batch) -> None:
    text_batch.targets = torch.zeros(3, 1)
    part = text_batch.tokens_at(torch.tensor([2, 0]), torch.tensor([[1, 0, 0], [6, 2, 4]]))
    words = [[text_batch.types[type_id] for type_id in row] for row in part.type_ids.tolist()]
    assert words == [["window", "canoe", "canoe"], ["tune", "violin", "canoe"]]
    known = vocabulary()
    assert part.token_ids.tolist() == [known.encode(row) for row in words]
    assert part.lengths.tolist() == [3, 3]
    assert part.targets is None
    assert part.types is text_batch.types
    assert part.rows.tolist() == [1, 2]
    plain = Batch(text_batch.token_ids, text_batch.lengths).tokens_at(torch.tensor([0]), torch.tensor([[1]]))
    assert (plain.type_ids, plain.rows) == (None, None)


@pytest.mark.parametrize("name", ["learned", "one_hot", "pretrained", "pretrained_kept_apart"])
def test_an_embedding_reads_some_tokens_as_it_reads_them_all(name: str, text_batch: Batch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    embedding: Any
    if name == "learned":
        embedding = LearnedEmbedding(vocabulary=vocabulary(), output_dim=3)
    elif name == "one_hot":
        embedding = OneHotEmbedding(vocabulary=vocabulary())
    else:
        rows = {"kettle": [0.5, 1.0], "violin": [2.0, -1.5], "canoe": [0.25, 4.0]}
        path = tmp_path / "vectors.txt"
        path.write_text("".join(f"{word} {one} {two}\n" for word, (one, two) in rows.items()), encoding="utf-8")
        embedding = PretrainedEmbedding(vocabulary=vocabulary(), path=str(path), trainable=name == "pretrained")
        embedding.begin()
    whole = embedding.eval()(text_batch)
    for rows_read, positions in some_tokens(text_batch):
        part = embedding(text_batch.tokens_at(rows_read, positions))
        real = positions < text_batch.lengths[rows_read][:, None]
        assert torch.equal(part[real], whole[rows_read[:, None], positions][real])
    if name.startswith("pretrained"):
        violin = embedding(text_batch.tokens_at(torch.tensor([0]), torch.tensor([[2]])))
        assert violin.tolist() == [[[2.0, -1.5]]], "a row that no training word has"
