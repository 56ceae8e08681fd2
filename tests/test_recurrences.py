"""The hand-written recurrences against readable loops, torch's own modules and finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnntext.encoders.recurrences import FEW_FOR_TANH, gru_states, rnn_states

RAGGED = [5, 5, 3, 2, 2, 1]
WIDTH = 4
MANY = 32  # times the texts of its test more than FEW_FOR_TANH
KINDS = ["tanh", "relu", "gru"]


def drawn(kind, sizes, *, width=WIDTH, dtype=torch.float64, scale=1.0, wanted=None):
    """Return projected, start, weight (and the bias of a GRU), requiring gradients where ``wanted`` says so."""
    generator = torch.Generator().manual_seed(7)
    rows = 3 * width if kind == "gru" else width
    shapes = [(sum(sizes), rows), (sizes[0], width), (rows, width), *([(width,)] if kind == "gru" else [])]
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) * scale for shape in shapes]
    wanted = [True] * len(tensors) if wanted is None else wanted
    return [tensor.to(dtype).requires_grad_(want) for tensor, want in zip(tensors, wanted, strict=True)]


def fast(kind, tensors, sizes):
    return gru_states(*tensors, sizes) if kind == "gru" else rnn_states(*tensors, sizes, kind)


def readable(kind, tensors, sizes):
    """The same states, one step after the other, in operations that torch differentiates."""
    projected, before, weight, *bias = tensors
    states = []
    for inputs in projected.split(sizes):
        before = before[: len(inputs)]
        recurrent = before @ weight.t()
        if kind == "gru":
            (input_r, input_z, input_n), (r, z, n) = inputs.chunk(3, 1), recurrent.chunk(3, 1)
            r, z = torch.sigmoid(input_r + r), torch.sigmoid(input_z + z)
            n = torch.tanh(input_n + r * (n + bias[0]))
            before = (1 - z) * n + z * before
        else:
            before = getattr(torch, kind)(inputs + recurrent)
        states.append(before)
    return torch.cat(states)


def gradients(states, tensors):
    """Return the gradients of a sum that weighs each number of the states differently."""
    weights = torch.linspace(-1, 2, states.numel(), dtype=torch.float64).view_as(states).to(states.dtype)
    return torch.autograd.grad((states * weights).sum(), [tensor for tensor in tensors if tensor.requires_grad])


def assert_same(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("sizes", "width"), [(RAGGED, 4), ([3, 3, 3], 4), ([1] * 6, 4), ([4], 4), ([90, 90, 71, 2, 1], MANY)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_those_of_a_readable_loop(kind, sizes, width, dtype, tolerance):
    tensors = drawn(kind, sizes, width=width, dtype=dtype, scale=2 / width)
    found, expected = fast(kind, tensors, sizes), readable(kind, tensors, sizes)
    assert found.dtype == dtype
    assert_same([found], [expected], tolerance)
    assert_same(gradients(found, tensors), gradients(expected, tensors), tolerance)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    width=st.integers(1, 6),
    wanted=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_lengths_and_any_choice_of_gradients(kind, lengths, width, wanted):
    sizes = [sum(length > step for length in lengths) for step in range(max(lengths))]
    tensors = drawn(kind, sizes, width=width, scale=0.7, wanted=wanted[: 4 if kind == "gru" else 3])
    found, expected = fast(kind, tensors, sizes), readable(kind, tensors, sizes)
    assert found.requires_grad == expected.requires_grad
    assert_same([found], [expected], 1e-10)
    if found.requires_grad:
        assert_same(gradients(found, tensors), gradients(expected, tensors), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_those_of_torch(kind):
    width, inputs_width = 6, 3
    module = nn.GRU(inputs_width, width) if kind == "gru" else nn.RNN(inputs_width, width, nonlinearity=kind)
    module.double()
    input_weight, weight, input_bias, bias = module.parameters()
    inputs = torch.randn(sum(RAGGED), inputs_width, dtype=torch.float64, requires_grad=True)
    start = torch.randn(RAGGED[0], width, dtype=torch.float64, requires_grad=True)
    expected = module(PackedSequence(inputs, torch.tensor(RAGGED)), start[None])[0].data

    projected = nn.functional.linear(inputs, input_weight, input_bias)
    if kind == "gru":
        into_gates, last_bias = bias[: 2 * width], bias[2 * width :]
        projected = projected + nn.functional.pad(into_gates, (0, width))
        found = gru_states(projected, start, weight, last_bias, RAGGED)
    else:
        found = rnn_states(projected + bias, start, weight, RAGGED, kind)
    assert_same([found], [expected], 1e-10)
    leaves = [inputs, start, *module.parameters()]
    assert_same(gradients(found, leaves), gradients(expected, leaves), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind):
    sizes = [3, 2, 2, 1]
    tensors = drawn(kind, sizes, width=2)
    assert torch.autograd.gradcheck(lambda *given: fast(kind, given, sizes), tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_gradient_is_refused_rather_than_wrong(kind):
    tensors = drawn(kind, RAGGED)
    (first,) = torch.autograd.grad(fast(kind, tensors, RAGGED).square().sum(), tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_states_are_the_same(kind, off):
    assert RAGGED[0] * 512 > FEW_FOR_TANH
    tensors = drawn(kind, RAGGED, width=512, dtype=torch.float32, scale=0.1)
    with_gradients = fast(kind, tensors, RAGGED)
    with off():
        without = fast(kind, tensors, RAGGED)
    frozen = fast(kind, [tensor.detach() for tensor in tensors], RAGGED)
    assert with_gradients.requires_grad
    assert not without.requires_grad
    assert not frozen.requires_grad
    assert_same([without, frozen], [with_gradients.detach()] * 2, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_stay_as_they_are_and_a_second_run_gives_the_same_bits(kind):
    tensors = drawn(kind, RAGGED, dtype=torch.float32)
    copies = [tensor.detach().clone() for tensor in tensors]
    states = fast(kind, tensors, RAGGED)
    incoming = torch.ones(()).expand_as(states)  # as ``sum`` hands it back: one number in all places
    first = torch.autograd.grad(states, tensors, incoming, retain_graph=True)
    second = torch.autograd.grad(states, tensors, incoming)  # what forward kept is still whole
    third = torch.autograd.grad(fast(kind, tensors, RAGGED), tensors, incoming)
    assert all(map(torch.equal, tensors, copies))
    assert all(map(torch.equal, first, second))
    assert all(map(torch.equal, first, third))


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_can_be_read_in_two_pieces(kind):
    sizes, cut = [3, 3, 2, 2, 1], 2
    tensors = drawn(kind, sizes)
    whole = fast(kind, tensors, sizes)
    projected, start, *weights = tensors
    rows = sum(sizes[:cut])
    first = fast(kind, [projected[:rows], start, *weights], sizes[:cut])
    carried = first[-sizes[cut - 1] :][: sizes[cut]]
    second = fast(kind, [projected[rows:], carried, *weights], sizes[cut:])
    pieces = torch.cat([first, second])
    assert_same([pieces], [whole], 1e-12)
    assert_same(gradients(pieces, tensors), gradients(whole, tensors), 1e-10)


@pytest.mark.parametrize("kind", ["tanh", "gru"])
def test_extreme_inputs_saturate(kind):
    projected, start, *weights = drawn(kind, RAGGED, dtype=torch.float32)
    projected = (projected.detach().sign() * 1e4).requires_grad_()
    states = fast(kind, [projected, start, *weights], RAGGED)
    # A GRU whose update gate is open hands ``start`` on, so its states may be as large as that.
    assert states.abs().max() <= max(1, start.abs().max())
    found = gradients(states, [projected, start, *weights])
    assert all(gradient.isfinite().all() for gradient in found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-7), (torch.float64, 1e-12)])
def test_tanh_is_exact_to_the_last_digits(dtype, tolerance):
    assert FEW_FOR_TANH < 4001
    values = torch.cat([torch.linspace(-12, 12, 4001, dtype=dtype), torch.tensor([0.0, 1e-30, 3e38], dtype=dtype)])
    found = rnn_states(values[:, None], values.new_zeros(len(values), 1), values.new_zeros(1, 1), [len(values)])
    assert (found[:, 0] - values.tanh()).abs().max() <= tolerance
    assert found[-3] == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_below_float32_only_inputs_and_results_are_rounded(kind, dtype):
    tensors = drawn(kind, RAGGED, width=16, dtype=dtype, scale=0.3)
    wider = [tensor.detach().float().requires_grad_() for tensor in tensors]
    found, expected = fast(kind, tensors, RAGGED), fast(kind, wider, RAGGED)
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))
    assert all(gradient.dtype == dtype for gradient in gradients(found, tensors))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_does_not_reach_inside(kind):
    tensors = drawn(kind, RAGGED, width=16, dtype=torch.float32, scale=0.3)
    expected = fast(kind, tensors, RAGGED)
    expected_gradients = torch.autograd.grad(expected.sum(), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        found = fast(kind, tensors, RAGGED)
        found_gradients = torch.autograd.grad(found.sum(), tensors)
        narrow = fast(kind, [tensors[0].bfloat16(), *tensors[1:]], RAGGED)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, found_gradients, expected_gradients))
    assert narrow.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_only_the_states_are_kept(kind):
    """A GRU's gates of all steps would be four times as much again."""
    sizes = [2] * 40
    tensors = [tensor.detach() for tensor in drawn(kind, sizes)]
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if function.overloadpacket in (torch.ops.aten.empty, torch.ops.aten.new_empty, torch.ops.aten.mul):
                largest = max(largest, result.numel())
            return result

    with Watch():
        fast(kind, tensors, sizes)
    assert largest == sum(sizes) * WIDTH
