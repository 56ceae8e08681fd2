"""bfloat16: the network computes in it, weights and losses stay float32, and answers stay close."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_encoders import CELLS, LENGTHS, E, build, fixed_loss, mask_of, texts
from tiny import make_tiny, tiny_rows
from torch import Tensor

import rnntext
from rnntext import registry
from rnntext.contracts import Piece, Pieces
from rnntext.devices import computing_in
from rnntext.errors import RecipeError
from rnntext.heads.pooling import Pool
from rnntext.model import build_model
from rnntext.preparing import prepare
from rnntext.progress import LineReporter
from rnntext.recipe import read_recipe

CPU = torch.device("cpu")
BFLOAT16 = {"training.precision": "bfloat16"}
TEXTS = [row["text"] for row in tiny_rows(20, seed=9)]


def run(recipe: Path, overrides: dict[str, Any], out: Path) -> rnntext.Run:
    return rnntext.run(recipe, overrides, out=out, progress=LineReporter(lambda text: None))


# ---------------------------------------------------------------- the context


def test_bfloat16_is_autocast_and_float32_is_none() -> None:
    weight = torch.ones(2, 2)
    with computing_in("float32", CPU):
        assert not torch.is_autocast_enabled("cpu")
        assert (weight @ weight).dtype == torch.float32
    with computing_in("bfloat16", CPU):
        assert torch.is_autocast_enabled("cpu")
        assert (weight @ weight).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


# ---------------------------------------------------------------- encoders


SHAPES: list[dict[str, Any]] = [
    {"num_layers": 1, "bidirectional": False},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "layer_norm": True, "residual": True, "shortcut": True},
    {"num_layers": 2, "bidirectional": True, "interleaved": False, "chunk_tokens": 3},
    {"num_layers": 1, "bidirectional": True, "zoneout": 0.2, "variational_dropout": 0.2},
]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", SHAPES, ids=["one_way", "deep", "residual", "pieces", "dropping"])
@pytest.mark.parametrize("carried", [False, True], ids=["from_zero", "from_state"])
def test_every_encoder_reads_in_bfloat16_and_its_weights_get_float32_gradients(
    cell: str, shape: dict[str, Any], carried: bool
) -> None:
    encoder = build(cell, torch.float32, **shape).eval()
    embedded = texts(dtype=torch.float32, extra_steps=1)
    start = encoder(embedded, LENGTHS).state if carried else None
    start = None if start is None else tuple(tensor.detach() for tensor in start)

    def gradients(loss: Tensor) -> list[Tensor]:
        found = list(torch.autograd.grad(loss, list(encoder.parameters()), retain_graph=True))
        assert all(gradient.dtype == torch.float32 for gradient in found)
        assert all(bool(gradient.isfinite().all()) for gradient in found)
        return found

    exact = encoder(embedded, LENGTHS, start)
    expected = gradients(fixed_loss(exact.states, exact.final))
    with computing_in("bfloat16", CPU):
        read = encoder(embedded, LENGTHS, start)
        outputs = (read.states, read.final, *read.state)
        loss = fixed_loss(read.states.float(), read.final.float())
        inside = gradients(loss)
    for ours, theirs in zip(outputs, (exact.states, exact.final, *exact.state), strict=True):
        torch.testing.assert_close(ours.float(), theirs, atol=0.05, rtol=0.05)
    assert not bool(read.states[~mask_of(LENGTHS, embedded.shape[1])].any())
    # A number that is rounded to the other side of zero changes all that a relu lets through.
    tolerance = 0.2 if cell == "rnn_relu" else 0.05
    for found in (inside, gradients(loss)):
        for ours, theirs in zip(found, expected, strict=True):
            assert float((ours - theirs).norm()) < tolerance * float(theirs.norm()) + 1e-3
    # On a processor without bfloat16 units, torch's LSTM stays in float32 altogether.
    assert not torch.equal(read.states.float(), exact.states) or cell in ("lstm", "lstm_proj"), "it is rounded"


@pytest.mark.parametrize("cell", CELLS)
def test_an_encoder_trains_in_bfloat16_with_all_that_is_dropped(cell: str) -> None:
    names = {"dropout", "variational_dropout", "weight_drop", "zoneout"}
    if cell == "min_gru":
        names -= {"weight_drop"}
    for name in sorted(names):
        encoder = build(cell, torch.float32, num_layers=2, **{name: 0.3}).train()
        with computing_in("bfloat16", CPU):
            read = encoder(texts(dtype=torch.float32), LENGTHS)
        read.states.float().square().sum().backward()
        for parameter in encoder.parameters():
            assert parameter.grad.dtype == torch.float32
            assert bool(parameter.grad.isfinite().all())
            assert bool(parameter.grad.any())


def test_the_dense_encoder_reads_in_bfloat16() -> None:
    torch.manual_seed(0)
    encoder = registry.get("encoders", "dense")(input_dim=E, hidden_dim=4, num_layers=2)
    with computing_in("bfloat16", CPU):
        read = encoder(texts(dtype=torch.float32), LENGTHS)
    read.final.float().sum().backward()
    assert read.final.dtype == torch.bfloat16
    assert all(bool(parameter.grad.isfinite().all()) for parameter in encoder.parameters())


# ---------------------------------------------------------------- networks


HEADS: dict[str, dict[str, Any]] = {
    "max": {"pooling": "max"},
    "joined": {"pooling": ["max", "mean", "final"]},
    "attention": {"pooling": "attention"},
    "ngrams": {"pooling": "mean", "word_ngrams": 2},
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("encoder", ["lstm", "gru", "min_gru", "dense", "pieces"])
def test_logits_and_loss_are_float32_and_near_those_of_float32(
    tiny_recipe: Path, head: dict[str, Any], encoder: str
) -> None:
    if encoder == "pieces":
        if head["pooling"] == "attention":
            return  # reads whole texts alone
        chosen: dict[str, Any] = {"encoder.chunk_tokens": 4}
    else:
        chosen = {"encoder.type": encoder}
    chosen |= {f"head.{key}": value for key, value in head.items()}
    outputs = []
    for overrides in (chosen, {**chosen, **BFLOAT16}):
        recipe = read_recipe(tiny_recipe, overrides)
        prepared = prepare(recipe, lambda text: None)
        torch.manual_seed(4)
        model = build_model(recipe, prepared.vocabulary, prepared.labels)
        assert model.precision == overrides.get("training.precision", "float32")
        with torch.no_grad():
            model.embeddings[0].weight.mul_(10)
        batch = next(prepared.collator("train").batches([torch.arange(8).numpy()]))
        seen: list[bool] = []
        handle = model.encoder.register_forward_hook(
            lambda *_, seen=seen: seen.append(torch.is_autocast_enabled("cpu"))
        )
        outputs.append(model(batch))
        handle.remove()
        assert seen in ([], [recipe.training.precision == "bfloat16"])
        outputs[-1].loss.backward()
        for parameter in model.parameters():
            assert parameter.dtype == torch.float32
            assert parameter.grad.dtype == torch.float32
            assert bool(parameter.grad.isfinite().all())
    exact, rounded = outputs
    assert exact.logits.dtype == rounded.logits.dtype == torch.float32
    assert exact.loss.dtype == rounded.loss.dtype == torch.float32
    torch.testing.assert_close(rounded.logits, exact.logits, atol=0.02, rtol=0.02)
    assert not torch.equal(rounded.logits, exact.logits)


@pytest.fixture(scope="module")
def bfloat16_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bfloat16")
    found = run(make_tiny(folder), BFLOAT16, folder / "run")
    assert found.metrics["test"]["accuracy"] > 0.8, "it has learnt"
    return Path(found.path)


def test_a_run_in_bfloat16_is_kept_in_float32_and_answers_as_at_its_end(bfloat16_run: Path) -> None:
    model = rnntext.load(bfloat16_run)  # the self-test compares answers with those of the run
    assert model.model.precision == "bfloat16"
    assert all(tensor.dtype == torch.float32 for tensor in model.model.state_dict().values())
    assert not torch.is_autocast_enabled("cpu")
    alone = [model(text).probability for text in TEXTS]
    together = [prediction.probability for prediction in model(TEXTS)]
    assert alone == pytest.approx(together, abs=2e-2)


def test_probabilities_agree_with_float32_of_the_same_weights(bfloat16_run: Path, tmp_path: Path) -> None:
    rounded, exact = rnntext.load(bfloat16_run), rnntext.load(bfloat16_run)
    exact.model.precision = "float32"
    differences = []
    for ours, theirs in zip(rounded(TEXTS), exact(TEXTS), strict=True):
        for label, probability in ours.probabilities.items():
            differences.append(abs(probability - theirs.probabilities[label]))
    assert 0 < max(differences) < 2e-2


def test_float32_is_the_default_and_nothing_else_is_taken(tiny_recipe: Path) -> None:
    assert read_recipe(tiny_recipe).training.precision == "float32"
    with pytest.raises(RecipeError, match=r"precision: .*float16"):
        read_recipe(tiny_recipe, {"training.precision": "float16"})


def test_the_mean_of_a_long_text_in_pieces_is_summed_in_float32() -> None:
    """In bfloat16 a sum of many pieces would stop growing."""
    torch.manual_seed(0)
    states = torch.rand(1, 40_000, 2).bfloat16()
    whole = torch.ones(1, 40_000, dtype=torch.bool)

    def read(pieces: Pieces) -> Iterator[Piece]:
        for start in range(0, 40_000, 250):
            places = torch.arange(start, start + 250)[None]
            part = slice(start, start + 250)
            yield Piece(torch.tensor([0]), places, slice(0, 2), states[:, part], whole[:, part])
        pieces.final = states[:, -1]

    pooled = Pool(["mean"], 2)(Pieces(read), whole)
    torch.testing.assert_close(pooled, states.float().mean(dim=1), atol=1e-4, rtol=0)
