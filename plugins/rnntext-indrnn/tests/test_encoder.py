"""The independently recurrent network: the equation of its paper, its bound, and a whole run."""

from pathlib import Path

import pytest
import torch

import rnntext
from rnntext import registry
from rnntext.errors import RecipeError
from rnntext.recipe import read_recipe
from rnntext.shipping import copy_recipe
from rnntext_indrnn import encoder as module
from rnntext_indrnn.encoder import IndRnnEncoder

PACKAGE = Path(__file__).parent.parent
RECIPE = PACKAGE / "recipes" / "sentiment_indrnn.toml"
E, H = 4, 3
LENGTHS = torch.tensor([5, 2])


def inputs() -> torch.Tensor:
    return torch.randn(2, 5, E, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backwards", [False, True])
def test_states_follow_the_equation(backwards):
    torch.manual_seed(1)
    encoder = IndRnnEncoder(input_dim=E, hidden_dim=H)
    layer = encoder.layers[int(backwards)]
    embedded = inputs()
    states = encoder(embedded, LENGTHS).states[..., H * backwards : H * (1 + backwards)]
    for row, length in enumerate(LENGTHS.tolist()):
        places = range(length)
        state = torch.zeros(H)
        for place in reversed(places) if backwards else places:
            state = torch.relu(layer.input.weight @ embedded[row, place] + layer.input.bias + layer.memory * state)
            torch.testing.assert_close(states[row, place], state)
        assert not states[row, length:].any()


def test_a_number_of_the_state_never_reads_another():
    encoder = IndRnnEncoder(input_dim=E, hidden_dim=H, bidirectional=False)
    start = torch.rand(2, 1, H, requires_grad=True)
    encoder(inputs(), LENGTHS, (start,)).states[..., 0].sum().backward()
    assert start.grad is not None
    assert not start.grad[..., 1:].any()


def test_the_memory_is_bounded_in_use_and_still_learns():
    encoder = IndRnnEncoder(input_dim=E, hidden_dim=H, bidirectional=False)
    layer = encoder.layers[0]
    long = torch.ones(1, 3000, E)
    with torch.no_grad():
        layer.memory.fill_(1.5)
        layer.input.weight.fill_(0.01)
        layer.input.bias.zero_()
    states = encoder(long, torch.tensor([3000])).states
    torch.testing.assert_close(states[0, -1], torch.full((H,), 3000 * 0.01 * E), rtol=1e-4, atol=0)
    states.mean().backward()
    assert (layer.memory.grad > 0).all()


def test_options_without_a_matrix_or_a_gate_are_refused(tmp_path):
    recipe_file, *_ = copy_recipe("sentiment_indrnn", tmp_path)
    wrong = {"encoder.weight_drop": 0.1, "encoder.orthogonal": True, "encoder.forget_bias": 1.0}
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe_file, wrong)
    text = str(caught.value)
    assert text.count("no matrix of this cell acts on the state") == 2
    assert "no gate that forgets" in text


def test_the_recipe_is_copied_with_the_sample_and_runs(tmp_path):
    recipe_file, *_ = copy_recipe("sentiment_indrnn", tmp_path)
    recipe = read_recipe(recipe_file, {"dataset.limit": 100, "training.epochs": 1})
    run = rnntext.run(recipe, out=tmp_path / "run")
    assert rnntext.load(run.path)("I liked it").label in ("positive", "negative")


def test_the_readme_shows_the_cell_and_the_recipe_as_they_are():
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert source[source.index("class IndRnnLayer") :] in readme
    assert RECIPE.read_text(encoding="utf-8") in readme


def test_it_is_listed():
    assert registry.get("encoders", "rnntext-indrnn/indrnn") is IndRnnEncoder
