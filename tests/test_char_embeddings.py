"""The embeddings that read how a token is written: bytes, shapes, first and last characters."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnntext import registry
from rnntext.contracts import Batch, Embedding
from rnntext.devices import computing_in
from rnntext.embeddings import char_cnn, char_lstm, word_shape
from rnntext.embeddings.spelling import END, FIRST_BYTE, PADDING, START, SpellingTable
from rnntext.embeddings.word_shape import FeatureTable, shape_of

BUILDS: dict[str, dict[str, Any]] = {
    "char_cnn": {"output_dim": 7, "byte_dim": 5, "widths": [2, 3]},
    "char_lstm": {"output_dim": 6, "byte_dim": 5},
    "word_shape": {"output_dim": 12, "affixes": [2, 3], "buckets": 4000},
}
CHARACTERS = ["char_cnn", "char_lstm"]
LINES = [["Nora", "met", "the", "otter", "met"], ["in"], ["Zürich", ",", "Nora"]]
TOKENS = st.lists(st.text(max_size=14), min_size=1, max_size=7)
every_embedding = pytest.mark.parametrize("name", BUILDS)


def build(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    kind: Any = registry.get("embeddings", name)
    return kind(vocabulary=None, **{**BUILDS[name], **options}).eval()


def batch_of(lines: Sequence[Sequence[str]], types: Sequence[str] | None = None) -> Batch:
    """Return a batch as rnntext makes one: "" is the first type, and -1 stands at padding."""
    if types is None:
        types = list(dict.fromkeys(["", *(token for line in lines for token in line)]))
    ids = {token: number for number, token in enumerate(types)}
    longest = max(map(len, lines))
    type_ids = torch.tensor([[*(ids[token] for token in line), *[-1] * (longest - len(line))] for line in lines])
    lengths = torch.tensor([len(line) for line in lines])
    return Batch(token_ids=type_ids.clamp(min=0), lengths=lengths, type_ids=type_ids, types=types)


def vectors(embedding: Any, tokens: Sequence[str], types: Sequence[str] | None = None) -> Tensor:
    """Return float [tokens, E]: what each token is on its own."""
    with torch.no_grad():
        return torch.stack([embedding(batch_of([[token]], types))[0, 0] for token in tokens])


# ---------------------------------------------------------------- all of them


@every_embedding
def test_each_token_gets_a_vector_of_the_stated_width(name: str) -> None:
    embedding = build(name)
    assert isinstance(embedding, Embedding)
    embedded = embedding(batch_of(LINES))
    assert embedded.shape == (3, 5, embedding.output_dim)
    assert embedded.dtype == torch.float32
    assert torch.equal(embedded[0, 1], embedded[0, 4]), "the same token is the same vector"
    assert torch.equal(embedded[0, 0], embedded[2, 2])
    assert bool((embedded[0, 0] != embedded[0, 3]).any())


@every_embedding
@settings(max_examples=25, deadline=None)
@given(lines=st.lists(TOKENS, min_size=1, max_size=4), extra=TOKENS)
def test_a_vector_depends_on_the_token_alone(name: str, lines: list[list[str]], extra: list[str]) -> None:
    embedding = build(name)
    with torch.no_grad():
        embedded = embedding(batch_of(lines))
        among = embedding(batch_of([extra * 3, *reversed(lines)]))
    for row, line in enumerate(lines):
        alone = vectors(embedding, line)
        torch.testing.assert_close(embedded[row, : len(line)], alone, atol=1e-6, rtol=0)
        torch.testing.assert_close(among[len(lines) - row, : len(line)], alone, atol=1e-6, rtol=0)


@every_embedding
def test_case_is_read_and_the_vocabulary_is_not(name: str) -> None:
    embedding = build(name)
    lower, upper, again = vectors(embedding, ["march", "March", "march"])
    assert bool((lower != upper).any())
    assert torch.equal(lower, again)
    batch = batch_of(LINES)
    read = embedding(batch)
    batch.token_ids = torch.full_like(batch.token_ids, 7)
    assert torch.equal(embedding(batch), read)


ODD = [
    "",
    "東京都",
    "😀",
    "👩‍💻",
    "\ud800",
    "x\udfff",
    "e\u0301",
    "é",
    "\u0301",
    "a\nb",
    "\0",
    "Q" * 100_000,
    "ﬁ",
    "İ",
]


@every_embedding
def test_any_text_can_be_a_token(name: str) -> None:
    embedding = build(name).train()
    embedded = embedding(batch_of([ODD, ["", "x"]]))
    embedded.sum().backward()
    assert bool(embedded.isfinite().all())
    torch.testing.assert_close(embedded[0], vectors(embedding, ODD), atol=1e-6, rtol=0)
    assert all(bool(parameter.grad.isfinite().all()) for parameter in embedding.parameters())


@every_embedding
def test_a_text_without_tokens_alone_is_read_as_the_empty_token(name: str) -> None:
    embedding = build(name)
    embedded = embedding(batch_of([[""]]))
    assert embedded.shape == (1, 1, embedding.output_dim)
    assert torch.equal(embedded, embedding(batch_of([[""]], types=("",))))


@every_embedding
def test_a_type_table_may_grow_in_place_and_be_replaced(name: str) -> None:
    embedding, types = build(name), ["", "heron", "Reed"]
    heron, reed, eel, ox = vectors(build(name), ["heron", "Reed", "eel", "ox"])
    torch.testing.assert_close(vectors(embedding, ["heron", "Reed"], types), torch.stack([heron, reed]))
    types += ["eel", "ox"]
    torch.testing.assert_close(vectors(embedding, ["ox", "heron", "eel"], types), torch.stack([ox, heron, eel]))
    other = ["", "eel", "ox", "Reed", "heron"]
    torch.testing.assert_close(vectors(embedding, ["heron", "eel"], other), torch.stack([heron, eel]))
    torch.testing.assert_close(vectors(embedding, ["heron", "eel"], types), torch.stack([heron, eel]))


class Interrupted(list[str]):
    """A type table during whose reading another thread asks the same embedding about another table."""

    def __init__(self, types: Sequence[str], embedding: Any) -> None:
        super().__init__(types)
        self._embedding = embedding

    def __getitem__(self, key: Any) -> Any:
        embedding, self._embedding = self._embedding, None
        if embedding is not None:
            vectors(embedding, ["gull"], ["", "gull", "tern", "a very different table"])
        return super().__getitem__(key)


@every_embedding
def test_threads_with_tables_of_their_own_do_not_disturb_each_other(name: str) -> None:
    embedding = build(name)
    expected = vectors(build(name), ["moth", "Elm"])
    found = vectors(embedding, ["moth", "Elm"], Interrupted(["", "moth", "Elm"], embedding))
    torch.testing.assert_close(found, expected)


@every_embedding
def test_a_batch_without_raw_tokens_is_refused(name: str) -> None:
    batch = batch_of(LINES)
    batch.type_ids = None
    with pytest.raises(ValueError, match="no raw tokens"):
        build(name)(batch)


@every_embedding
def test_some_tokens_of_a_batch_are_read_alike(name: str) -> None:
    embedding, batch = build(name), batch_of([["one", "two", "three", "four"], ["five", "six", "two", "ten"]])
    rows, positions = torch.tensor([1, 0]), torch.tensor([[2, 3], [0, 1]])
    part = embedding(batch.tokens_at(rows, positions))
    torch.testing.assert_close(part, embedding(batch)[rows[:, None], positions], atol=1e-6, rtol=0)


@every_embedding
def test_the_same_seed_gives_the_same_vectors_and_another_one_others(name: str) -> None:
    batch = batch_of(LINES)
    assert torch.equal(build(name)(batch), build(name)(batch))
    torch.manual_seed(1)
    kind: Any = registry.get("embeddings", name)
    assert not torch.equal(kind(vocabulary=None, **BUILDS[name])(batch), build(name)(batch))


@every_embedding
def test_stored_weights_are_all_that_a_copy_needs(name: str) -> None:
    first, batch = build(name), batch_of(LINES)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
    second = build(name)
    assert not torch.equal(second(batch), first(batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(batch), first(batch))
    assert torch.equal(copy.deepcopy(first)(batch), first(batch))


@every_embedding
def test_dropout_drops_single_numbers_in_training_and_scales_the_rest(name: str) -> None:
    embedding, batch = build(name, dropout=0.5), batch_of([["Nora", "met", "otters", "in", "May"] * 40])
    whole = embedding(batch)
    assert torch.equal(whole, build(name)(batch)), "nothing is dropped outside training"
    some = embedding.train()(batch)
    lost = (some == 0) & (whole != 0)
    assert float(lost.sum() / (whole != 0).sum()) == pytest.approx(0.5, abs=0.07)
    torch.testing.assert_close(some[~lost], 2 * whole[~lost])


@every_embedding
def test_it_works_in_bfloat16_with_float32_gradients(name: str) -> None:
    embedding, batch = build(name), batch_of(LINES)
    exact = embedding(batch)
    with computing_in("bfloat16", torch.device("cpu")):
        rounded = embedding(batch)
    rounded.float().sum().backward()
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)
    assert all(parameter.grad.dtype == torch.float32 for parameter in embedding.parameters())


@every_embedding
def test_every_weight_that_was_read_and_no_other_is_learnt(name: str) -> None:
    embedding = build(name).train()
    embedded = embedding(batch_of([["ab"]]))
    (embedded * torch.randn_like(embedded)).sum().backward()
    if name == "word_shape":
        for weight in embedding.weights:
            assert int(weight.grad.any(dim=1).sum()) == 1
        return
    read = {START, END, FIRST_BYTE + ord("a"), FIRST_BYTE + ord("b")}
    touched = set(embedding.byte_weight.grad.any(dim=1).nonzero()[:, 0].tolist())
    assert touched <= {*read, PADDING}
    assert {FIRST_BYTE + ord("a"), FIRST_BYTE + ord("b")} <= touched
    for other in embedding.parameters():
        assert bool(other.grad.any())


def faults(name: str, **options: Any) -> list[str]:
    kind: Any = registry.get("embeddings", name)
    return [key for key, _ in kind.check_options({**BUILDS[name], **options})]


def test_widths_that_cannot_be_shared_out_are_refused() -> None:
    assert faults("char_lstm", output_dim=50) == []
    assert faults("char_lstm", output_dim=51) == ["output_dim"]
    assert faults("char_cnn", output_dim=3, widths=[2, 3, 4]) == []
    assert faults("char_cnn", output_dim=2, widths=[2, 3, 4]) == ["output_dim"]
    assert faults("char_cnn", output_dim=1, widths=None) == []
    assert faults("word_shape", output_dim=5, affixes=[2, 3]) == []
    assert faults("word_shape", output_dim=4, affixes=[2, 3]) == ["output_dim"]
    assert faults("word_shape", output_dim=1, affixes=None) == []
    assert faults("word_shape", output_dim=30, affixes=[2, 2]) == ["affixes"]


# ---------------------------------------------------------------- spellings


def spelt(token: str) -> list[int]:
    return [START, *(FIRST_BYTE + byte for byte in token.encode("utf-8", "surrogatepass")), END]


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(TOKENS, min_size=1, max_size=4))
def test_each_distinct_token_is_spelt_once_between_marks(lines: list[list[str]]) -> None:
    batch = batch_of(lines)
    found = SpellingTable(1000).distinct(batch)
    used = {token for line in lines for token in line}
    padded = len({len(line) for line in lines}) > 1
    assert len(found.numbers) == len(found.lengths) == len(used | {""} if padded else used)
    for row, line in enumerate(lines):
        for position, token in enumerate(line):
            place = found.places[row, position]
            length = int(found.lengths[place])
            assert found.numbers[place, :length].tolist() == spelt(token)
            assert not bool(found.numbers[place, length:].any()), "padding after the end"


@pytest.mark.parametrize(
    ("max_bytes", "token", "read"),
    [
        (8, "abcdefgh", "abcdefgh"),
        (8, "abcdefghi", "abcdfghi"),
        (7, "abcdefghi", "abcdghi"),
        (2, "abc", "ac"),
        (4, "東京", "\u6771".encode()[:2] + "\u4eac".encode()[1:]),
    ],
)
def test_a_long_token_keeps_its_ends(max_bytes: int, token: str, read: str | bytes) -> None:
    found = SpellingTable(max_bytes).distinct(batch_of([[token]]))
    bytes_read = read.encode() if isinstance(read, str) else read
    assert found.numbers.tolist() == [[START, *(FIRST_BYTE + byte for byte in bytes_read), END]]
    assert found.lengths.tolist() == [len(bytes_read) + 2]


@pytest.mark.parametrize("name", CHARACTERS)
def test_what_is_cut_from_a_long_tokens_middle_is_not_read(name: str) -> None:
    embedding = build(name, max_bytes=10)
    one, same, other = vectors(embedding, ["inter" + "na" * 9 + "tions", "inter" + "zz" * 4 + "tions", "intertionz"])
    torch.testing.assert_close(one, same, atol=1e-6, rtol=0)
    assert bool((one - other).abs().max() > 1e-4)


@pytest.mark.parametrize("name", CHARACTERS)
def test_each_distinct_token_of_a_batch_is_computed_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = build(name)
    rows: list[int] = []
    if name == "char_cnn":
        inner = char_cnn._strongest

        def counting(table: Tensor, numbers: Tensor) -> Tensor:
            rows.append(len(numbers))
            return inner(table, numbers)

        monkeypatch.setattr(char_cnn, "_strongest", counting)
        calls = len(embedding.filters)
    else:

        def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows.append(len(inputs[0]))

        for cell in (embedding.forwards, embedding.backwards):
            cell.register_forward_pre_hook(count)
        calls = 2
    embedding(batch_of([["Nora", "met", "met", "Nora"] * 50]))
    assert sum(rows) == 2 * calls
    rows.clear()
    embedding(batch_of([["met"] * 30, ["met"]]))  # and "", for padding
    assert sum(rows) == 2 * calls


@pytest.mark.parametrize("name", CHARACTERS)
def test_byte_dropout_drops_the_same_numbers_of_a_byte_everywhere(name: str) -> None:
    embedding, batch = build(name, byte_dropout=0.5), batch_of([["anna", "nan", "anna"], ["nan"]])
    assert torch.equal(embedding(batch), build(name)(batch)), "nothing is dropped outside training"
    torch.manual_seed(3)
    dropped = embedding.train()(batch)
    torch.manual_seed(3)
    twin = build(name)
    torch.manual_seed(3)
    with torch.no_grad():
        twin.byte_weight.copy_(nn.functional.dropout(twin.byte_weight, 0.5))
    torch.testing.assert_close(dropped, twin(batch))


# ---------------------------------------------------------------- char_cnn


def plain_char_cnn(embedding: Any, batch: Batch) -> Tensor:
    """Return what char_cnn is by its docstring: every window times every filter, the largest, a rectifier."""
    found = SpellingTable(40).distinct(batch)
    strongest = []
    for weight in embedding.filters:
        width = weight.shape[1]
        left = (width - 1) // 2
        padded = nn.functional.pad(found.numbers, (left, width - 1 - left))
        windows = embedding.byte_weight[padded].unfold(1, width, 1)  # [U, C, e, w]
        answers = nn.functional.linear(windows.flatten(2), weight.flatten(0, 1).T)  # [U, C, F]
        inside = torch.arange(found.numbers.shape[1]) < found.lengths[:, None]
        strongest.append(answers.masked_fill(~inside[..., None], -torch.inf).amax(dim=1))
    features: Tensor = (torch.cat(strongest, dim=-1) + embedding.bias).relu()
    return features[found.places]


@settings(max_examples=30, deadline=None)
@given(
    lines=st.lists(TOKENS, min_size=1, max_size=3),
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_char_cnn_is_windows_times_filters_and_so_are_its_gradients(
    lines: list[list[str]], widths: list[int], seed: int
) -> None:
    batch = batch_of(lines)
    embedding = build("char_cnn", widths=widths, output_dim=8).double().train()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in embedding.parameters():  # padding's row and the bias as well
            parameter.copy_(torch.randn_like(parameter))
    ours, plain = embedding(batch), plain_char_cnn(embedding, batch)
    torch.testing.assert_close(ours, plain)
    sought = torch.randn_like(plain)
    names, parameters = zip(*embedding.named_parameters(), strict=True)
    expected = torch.autograd.grad((plain * sought).sum(), parameters)
    for name, one, other in zip(names, torch.autograd.grad((ours * sought).sum(), parameters), expected, strict=True):
        torch.testing.assert_close(one, other, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(embedding(batch), plain)  # without gradients another way is taken


def test_char_cnn_shares_its_width_out_among_kinds_of_filter() -> None:
    assert [weight.shape[1:] for weight in build("char_cnn", output_dim=8, widths=[1, 3, 4]).filters] == [
        (1, 3),
        (3, 3),
        (4, 2),
    ]


# ---------------------------------------------------------------- char_lstm


def torch_char_lstm(embedding: Any, batch: Batch) -> Tensor:
    """Return the last states of torch's two-way LSTM over packed bytes, by the same weights."""
    found = SpellingTable(40).distinct(batch)
    half = embedding.output_dim // 2
    twin = nn.LSTM(embedding.byte_weight.shape[1], half, batch_first=True, bidirectional=True)
    twin = twin.to(embedding.byte_weight.dtype)
    weights = dict(embedding.forwards.named_parameters())
    weights |= {f"{name}_reverse": weight for name, weight in embedding.backwards.named_parameters()}
    packed = pack_padded_sequence(
        embedding.byte_weight[found.numbers], found.lengths, batch_first=True, enforce_sorted=False
    )
    _, (last, _) = torch.func.functional_call(twin, weights, (packed,))
    return torch.cat([last[0], last[1]], dim=-1)[found.places]


def lengthy_lines(count: int) -> list[list[str]]:
    """Return lines of tokens of many lengths, so that they are read in several groups."""
    random = np.random.default_rng(count)
    return [["".join(map(chr, random.integers(33, 300, size=length % 37))) for length in range(count)], ["", "b"]]


@pytest.mark.parametrize("lines", [LINES, [ODD], lengthy_lines(60), lengthy_lines(300)])
def test_char_lstm_is_torchs_two_way_lstm_and_so_are_its_gradients(lines: list[list[str]]) -> None:
    batch = batch_of(lines)
    embedding = build("char_lstm").double().train()
    ours, theirs = embedding(batch), torch_char_lstm(embedding, batch)
    torch.testing.assert_close(ours, theirs)
    sought = torch.randn_like(theirs)
    parameters = list(embedding.parameters())
    for one, other in zip(
        torch.autograd.grad((ours * sought).sum(), parameters),
        torch.autograd.grad((theirs * sought).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def nodes(tensor: Tensor) -> Iterator[str]:
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node.name()
            waiting += [before for before, _ in node.next_functions]


HAS_FUSED = torch.backends.mkldnn.is_available()


@pytest.mark.skipif(not HAS_FUSED, reason="this torch has no fused kernel")
def test_char_lstm_takes_the_fused_kernel_in_training() -> None:
    batch = batch_of(lengthy_lines(60))
    embedding = build("char_lstm").train()
    read = embedding(batch)
    assert any("MkldnnRnnLayer" in name for name in nodes(read))
    torch.testing.assert_close(read, torch_char_lstm(embedding, batch), atol=1e-6, rtol=1e-5)


def test_the_halves_of_char_lstm_read_from_either_end() -> None:
    embedding = build("char_lstm")
    with torch.no_grad():
        for one, other in zip(embedding.forwards.parameters(), embedding.backwards.parameters(), strict=True):
            other.copy_(one)
        embedding.byte_weight[END] = embedding.byte_weight[START]
    there, back = vectors(embedding, ["stream", "maerts"])
    torch.testing.assert_close(there[:3], back[3:])
    torch.testing.assert_close(there[3:], back[:3])
    assert bool((there[:3] - back[:3]).abs().max() > 1e-4)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(2, 42), min_size=1, max_size=400))
def test_tokens_are_read_in_groups_that_waste_little(lengths: list[int]) -> None:
    ordered = np.asarray(sorted(lengths, reverse=True))
    sizes = char_lstm._group_sizes(ordered)
    assert sum(sizes) == len(lengths)
    assert min(sizes) >= 1
    ends = np.cumsum(sizes)
    read = sum(int(ordered[end - size]) * size for size, end in zip(sizes, ends, strict=True))
    spared = int(ordered[0]) * len(ordered) - read
    assert spared >= char_lstm.BYTES_A_CALL_COSTS * (len(sizes) - 1), "each group pays for its call"


def test_one_long_token_does_not_pad_the_others() -> None:
    assert char_lstm._group_sizes(np.asarray([42, *[9] * 100])) == [1, 100]
    assert char_lstm._group_sizes(np.asarray([42, *[9] * 5])) == [6]


# ---------------------------------------------------------------- word_shape


@pytest.mark.parametrize(
    ("token", "shape"),
    [
        ("", ""),
        ("the", "xxx"),
        ("river", "xxxx"),
        ("Nora", "Xxxx"),
        ("Magdalena", "Xxxxx"),
        ("USA", "XXX"),
        ("McArthur-2", "XxXxxxx-d"),
        ("U.S.", "X.X."),
        ("12.50", "dd.dd"),
        ("1984", "dddd"),
        ("19840", "dddd"),
        ("984", "ddd"),
        ("$5", "$d"),
        ("€5", "€d"),
        ("a+b", "x+x"),
        ("-----", "----"),
        ("“No", "“Xx"),
        ("Élan", "Xxxx"),
        ("E\u0301lan", "Xxxx"),
        ("東京", "oo"),
        ("東京都庁舎", "oooo"),
        ("कमल", "ooo"),
        ("٣٤", "dd"),
        ("😀", "s"),
        ("👍🏽", "ss"),
        ("👩\u200d💻", "ss"),
        ("ǅ", "X"),
        ("a b\n", "xcxc"),
        ("\ud800", "c"),
        ("\u0301", ""),
        ("xXd", "xXx"),
    ],
)
def test_a_shape_tells_kinds_of_character(token: str, shape: str) -> None:
    assert shape_of(token) == shape


@settings(max_examples=200, deadline=None)
@given(token=st.text())
def test_a_shape_is_made_of_kinds_and_signs_with_no_long_runs(token: str) -> None:
    shape = shape_of(token)
    assert len(shape) <= len(token)
    assert not any(shape[place : place + 5] == 5 * shape[place] for place in range(len(shape) - 4))
    assert all(character in "Xxodsc" for character in shape if character.isalnum())


def test_tokens_share_what_they_have_in_common_and_nothing_else() -> None:
    features = FeatureTable([2, 3], 100_003).rows(["Walking", "Talking", "walking", "WALKED", "Be", "beta"])
    alike = {
        (one, other): [feature for feature in range(5) if features[one, feature] == features[other, feature]]
        for one, other in [(0, 1), (0, 2), (2, 3), (4, 5)]
    }
    assert alike[0, 1] == [0, 2, 4], "shape and both suffixes"
    assert alike[0, 2] == [1, 2, 3, 4], "all but the shape: affixes are in lower case"
    assert alike[2, 3] == [1, 3], "both prefixes"
    assert alike[4, 5] == [1], "a token shorter than an affix is one"


def test_each_feature_has_a_table_of_its_own_and_the_shape_what_is_left_over() -> None:
    embedding = build("word_shape", output_dim=13, affixes=[1, 3], buckets=50)
    assert [tuple(weight.shape) for weight in embedding.weights] == [(50, 5), *[(50, 2)] * 4]
    assert all(0.09 < float(weight.detach().abs().max()) <= 0.1 for weight in embedding.weights)
    rows = FeatureTable([1, 3], 50).rows(["", "Otter"])[1]
    expected = torch.cat([weight[row] for weight, row in zip(embedding.weights, rows, strict=True)])
    assert torch.equal(vectors(embedding, ["Otter"])[0], expected.detach())
    assert [tuple(weight.shape) for weight in build("word_shape", affixes=None, output_dim=3).weights] == [(4000, 3)]


def test_rows_are_the_same_in_every_process_and_fill_their_table() -> None:
    assert FeatureTable([2], 1000).rows(["", "Otter", "\ud800"]).tolist() == [
        [0, 0, 0],
        [196, 762, 269],
        [655, 600, 600],
    ]
    rows = FeatureTable([3], 100).rows([f"{number:03d}" for number in range(1000)])[:, 1]
    counts = np.bincount(rows, minlength=100)
    assert len(counts) == 100
    assert counts.max() < 30, "spread evenly: 10 a row"


def test_features_of_a_type_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding, types = build("word_shape"), ["", "otter", "Nora"]
    seen: list[str] = []

    def counting(token: str) -> str:
        seen.append(token)
        return shape_of(token)

    monkeypatch.setattr(word_shape, "shape_of", counting)
    for _ in range(3):
        embedding(batch_of([["otter", "Nora", "otter"]], types))
    types.append("heron")
    embedding(batch_of([["heron", "otter"]], types))
    assert seen == ["", "otter", "Nora", "heron"]
