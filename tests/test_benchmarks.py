"""The benchmarks' own arithmetic, files and conversations; and that each runs, at a tiny size. Nothing is timed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import encoders, sentences, tagging, text, training, words, workload
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.peers import comparing, comparing_taggers, serving_tags
from benchmarks.peers.asking import PeerError, conversation
from benchmarks.peers.serving import answers
from benchmarks.results import Results, line, markdown, merged, number
from benchmarks.tagging_tutorial import TaggingTutorial, TutorialCrf, padded
from benchmarks.tutorial import Tutorial, TutorialModel
from benchmarks.words_tutorial import NEVER, LanguageTutorial, check_losses
from rnntext import registry
from rnntext.heads.crf import Crf
from rnntext.preparing import prepare
from rnntext.recipe import read_recipe
from rnntext.schemes import TagSet, first_fault

TINY = workload.Size(texts=30, held_out=6, words=20, batch=4, input_dim=3, hidden_dim=4)
TINY_TAGGED = sentences.TaggedSize(
    sentences=30, held_out=6, words=150, batch=4, input_dim=3, char_dim=4, hidden_dim=4, of_peers=5
)
TINY_WORDS = words.WordsSize(words=1000, sentences=16, batch=8, asked=6, width=4, rows=8, num_steps=5, added=10)
MEASURED = {"date": "2001-02-03", "machine": "abacus, 1 thread", "versions": {"python": "3.99", "torch": "9.9"}}


def ratio(name: str, value: float = 2.0, **others: Any) -> Ratio:
    return Ratio(name, "hare", "tortoise", "laps/s", value, 1.5, 2.5, 2 * value, 2.0, 3, **others)


def test_compare_takes_turns_and_gives_medians_of_pairs() -> None:
    turns: list[str] = []

    def playing(name: str, figures: list[float]) -> Callable[[], float]:
        left = iter(figures)

        def play() -> float:
            turns.append(name)
            return next(left)

        return play

    # The first of each is the warm-up: absurd, and not to be seen in what comes out.
    found = compare("race", ("a", playing("a", [1e9, 2, 9, 4])), ("b", playing("b", [1e-9, 1, 3, 4])), "laps/s", 3)
    assert turns == ["a", "b"] * 4
    assert (found.ratio, found.lowest, found.highest) == (2.0, 1.0, 3.0)  # of 2/1, 9/3, 4/4: not 4/3, of the medians
    assert (found.of_median, found.to_median, found.pairs) == (4, 3, 3)
    assert (found.name, found.of, found.to, found.unit) == ("race", "a", "b", "laps/s")


def test_rate_works_at_least_once_and_counts_all_of_it() -> None:
    worked: list[int] = []
    assert rate(lambda: worked.append(1), 10, seconds=0) > 0
    assert worked == [1]


def test_a_new_row_takes_its_namesakes_place_and_others_stay() -> None:
    rows = [{"name": name, "benchmark": name[0], "ratio": 1} for name in ("a1", "a2", "b1")]
    assert merged(rows, {"name": "a1", "benchmark": "a", "ratio": 7}) == [{**rows[0], "ratio": 7}, *rows[1:]]
    assert [row["name"] for row in merged(rows, {"name": "a3", "benchmark": "a"})] == ["a1", "a2", "a3", "b1"]
    assert [row["name"] for row in merged(rows, {"name": "c1", "benchmark": "c"})] == ["a1", "a2", "b1", "c1"]


def test_rows_of_earlier_runs_are_kept_with_their_own_conditions(tmp_path: Path) -> None:
    files = tmp_path / "results.json", tmp_path / "RESULTS.md"
    files[0].write_text(json.dumps({"ratios": [{"name": "of an older form"}]}))
    earlier = Results(*files, MEASURED)
    earlier.add("races", ratio("old"))
    earlier.add("races", ratio("measured again", 1.0))
    Results(*files, {**MEASURED, "date": "2002-02-02"}).add("races", ratio("measured again", 3.0))

    rows = json.loads(files[0].read_text())["ratios"]
    assert [(row["name"], row["ratio"], row["measured"]["date"]) for row in rows] == [
        ("old", 2.0, "2001-02-03"),
        ("measured again", 3.0, "2002-02-02"),
    ]
    assert files[1].read_text() == markdown(rows)


def test_results_to_read_have_a_row_a_figure_and_say_what_it_compares() -> None:
    sentence = "two animals over the same course."
    figures = [ratio("dry", compares=sentence), ratio("wet", 0.5, compares=sentence, beside={"rain, mm": 12.34})]
    rows = [{"benchmark": "races", **each.to_dict(), "measured": MEASURED} for each in figures]
    shown = markdown(rows)
    assert "| dry | 2.00 | 1.50..2.50 | hare: 4 | tortoise: 2 | laps/s | 3 |" in shown
    assert "- Measured on 2001-02-03: abacus, 1 thread; python 3.99, torch 9.9." in shown
    assert f"- dry; wet: {sentence}" in shown
    assert "- wet: rain, mm 12.3." in shown
    assert "dry: rain" not in shown

    later = markdown([rows[0], {**rows[1], "measured": {**MEASURED, "date": "2002-02-02"}}])
    assert "- (2) Measured on 2002-02-02" in later
    assert "| wet | 0.50 | 1.50..2.50 | hare: 1 | tortoise: 2 | laps/s | 3 | (2) |" in later


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,300"), (100.4, "100"), (99.94, "99.9"), (0.04567, "0.0457"), (3, "3")]
)
def test_numbers_are_shown_with_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown
    assert f"{shown}  " in line(ratio("x", value / 2))


def test_encoders_are_compared_in_every_shape_there_is() -> None:
    shape = encoders.Shape(batch=3, input_dim=3, hidden_dim=4, long=7)
    names = [found.name for found in encoders.benchmarks(shape, pairs=1, seconds=0)]
    assert len(set(names)) == len(names)
    assert sum(name.startswith("lstm, 2 layers,") for name in names) == 8
    for cell in ("lstm", "gru", "rnn", *encoders.UNFUSED):
        expected = 8 if cell in registry.names("encoders") else 0
        assert sum(name.startswith((f"{cell}, 18", f"{cell}, 5")) for name in names) == expected


def test_encoders_with_other_states_than_torch_are_not_compared() -> None:
    shape = encoders.Shape(batch=3, input_dim=3, hidden_dim=4)
    texts = encoders.Texts.drawn(shape, 2, 5)
    with pytest.raises(AssertionError):
        encoders.check(encoders.build("lstm", shape), encoders.twin("lstm", shape), texts)


def test_training_and_texts_are_compared_at_any_size() -> None:
    figures = [*training.benchmarks(TINY, pairs=1), *text.benchmarks(TINY, pairs=1, seconds=0)]
    assert len({figure.name for figure in figures}) == 7
    assert all(figure.of_median > 0 and figure.to_median > 0 and figure.compares for figure in figures)


def test_made_up_texts_are_the_same_each_time_and_have_every_word() -> None:
    rows = workload.made_up(200, 300, seed=0)
    assert rows == workload.made_up(200, 300, seed=0)
    assert len({word for text, _ in rows for word in text.split()}) == 300
    assert {label for _, label in rows} == {"even", "odd"}
    assert all(2 <= len(text.split()) <= 52 for text, _ in rows)


def test_given_files_are_trained_on_and_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = workload.made_up(40, 10, seed=0)
    workload.write(tmp_path / "train.jsonl", rows)
    workload.write(tmp_path / "test.jsonl", rows[:3])
    monkeypatch.setenv(workload.TRAIN, str(tmp_path / "train.jsonl"))
    with workload.workload(TINY) as work:
        assert not work.scored
        assert sorted([*work.train, *work.validation, *work.held_out]) == sorted(rows)
    monkeypatch.setenv(workload.TEST, str(tmp_path / "test.jsonl"))
    with workload.workload(TINY) as work:
        assert work.scored
        assert work.held_out == rows[:3]
        assert sorted([*work.train, *work.validation]) == sorted(rows)


def test_the_tutorials_batches_hold_each_text_once_and_buckets_pad_less() -> None:
    rows = workload.made_up(60, 30, seed=0)
    padding = {}
    for bucketed in (False, True):
        torch.manual_seed(0)
        batches = list(Tutorial(rows, TINY, bucketed).batches())
        seen = sorted(int(length) for _, lengths, _ in batches for length in lengths)
        assert seen == sorted(len(text.split()) for text, _ in rows)
        padding[bucketed] = sum(int((ids == 0).sum()) for ids, _, _ in batches)
    assert padding[True] < padding[False]


def test_the_tutorials_padding_leaks_unless_it_packs() -> None:
    token_ids = torch.tensor([[2, 3, 0, 0], [2, 3, 4, 5]])
    for pack in (True, False):
        torch.manual_seed(0)
        model = TutorialModel(6, 2, TINY, pack).eval()
        alone, padded = model(token_ids[:1, :2], torch.tensor([2])), model(token_ids, torch.tensor([2, 4]))[:1]
        assert torch.allclose(alone, padded, atol=1e-6) == pack


class Parrot:
    """A peer that learns one label."""

    name = "Parrot 1"

    def train(self, rows: list[tuple[str, str]], epochs: int) -> None:
        self.answer = rows[0][1]

    def label(self, texts: list[str]) -> list[str]:
        return [self.answer for _ in texts]


def test_a_peer_answers_each_line() -> None:
    requests = [
        {"do": "train", "rows": [["hello", "polite"]], "epochs": 2},
        {"do": "label", "texts": ["hm", "oh"]},
        {"do": "time", "seconds": 0},
    ]
    hello, trained, labelled, timed = answers(Parrot(), map(json.dumps, requests))
    assert hello == {"name": "Parrot 1"}
    assert trained["seconds"] >= 0
    assert labelled == {"labels": ["polite", "polite"]}
    assert timed["rate"] > 0


PEER = """
import sys
sys.path[:0] = {path!r}
from benchmarks.peers.serving import answers, serve
from test_benchmarks_peer import Chatty
serve(Chatty(), answers)
"""
CHATTY = """
class Chatty:
    name = "Chatty 1"
    def train(self, rows, epochs):
        if not rows:
            raise ValueError("nothing to learn")
    def label(self, texts):
        print("I print whatever I like")
        return ["odd" for _ in texts]
"""


@pytest.fixture
def chatty(tmp_path: Path) -> list[str]:
    """The command of a peer in a process of its own, which prints and fails."""
    (tmp_path / "test_benchmarks_peer.py").write_text(CHATTY)
    (tmp_path / "peer.py").write_text(PEER.format(path=[str(tmp_path), str(Path(__file__).parent.parent)]))
    return [sys.executable, str(tmp_path / "peer.py")]


def test_what_a_peer_prints_does_not_get_between_its_answers(chatty: list[str]) -> None:
    with conversation(chatty) as peer:
        assert peer.hear() == {"name": "Chatty 1"}
        assert peer.ask(do="label", texts=["hm"]) == {"labels": ["odd"]}
        assert peer.ask(do="time", seconds=0)["rate"] > 0


def test_a_peer_that_fails_says_why(chatty: list[str]) -> None:
    with conversation(chatty) as peer:
        peer.hear()
        with pytest.raises(PeerError, match="ValueError: nothing to learn"):
            peer.ask(do="train", rows=[], epochs=1)
        with pytest.raises(PeerError):
            peer.ask(do="label", texts=["hm"])


def test_peers_that_are_absent_or_broken_are_skipped_with_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = comparing.Peer("no_such_package", "nothing", "RNNTEXT_BENCH_NOBODY", "")
    assert list(comparing.benchmarks(TINY, peers=[absent])) == []
    assert "peers: no no_such_package; install it" in capsys.readouterr().out

    monkeypatch.setenv("RNNTEXT_BENCH_NOBODY", sys.executable)
    assert list(comparing.benchmarks(TINY, peers=[absent])) == []
    assert "peers: no_such_package failed:" in capsys.readouterr().out


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files to train on and to score."""
    workload.write(tmp_path / "rows.jsonl", workload.made_up(60, 20, seed=0))
    for variable in (workload.TRAIN, workload.TEST):
        monkeypatch.setenv(variable, str(tmp_path / "rows.jsonl"))


@pytest.mark.usefixtures("scored")
def test_a_peer_is_compared_on_the_same_texts(chatty: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "conversation", lambda _: conversation(chatty))
    (found,) = comparing.benchmarks(TINY, pairs=1, seconds=0, peers=[comparing.Peer("json", "", "NO_VARIABLE", "")])
    odd = sum(label == "odd" for _, label in workload.made_up(60, 20, seed=0))
    assert (found.name, found.to) == ("raw text to label, against json", "Chatty 1")
    assert found.beside["Chatty 1: accuracy"] == odd / 60
    assert {"rnntext: accuracy", "rnntext: seconds an epoch", "Chatty 1: seconds an epoch"} < set(found.beside)


@pytest.mark.slow
@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("peer", comparing.PEERS, ids=lambda peer: peer.package)
def test_each_peer_that_is_here_learns_and_answers(peer: comparing.Peer) -> None:
    if peer.python() is None:
        pytest.skip(f"no {peer.package}; set {peer.variable}")
    (found,) = comparing.benchmarks(TINY, pairs=1, seconds=0, peers=[peer])
    assert found.beside[f"{found.to}: accuracy"] > 0.5


def test_taggers_are_compared_at_any_size() -> None:
    figures = list(tagging.benchmarks(TINY_TAGGED, pairs=1, seconds=0))
    assert len({figure.name for figure in figures}) == 7
    assert all(figure.of_median > 0 and figure.to_median > 0 and figure.compares for figure in figures)
    assert any("17 tags" in figure.compares for figure in figures)


def test_made_up_sentences_are_the_same_each_time_and_their_tags_are_valid() -> None:
    made = sentences.made_up(200, 300, seed=0)
    assert made == sentences.made_up(200, 300, seed=0)
    assert all(1 <= len(words) == len(tags) <= 80 for words, tags in made)
    assert all(first_fault(tags, "bio") is None for _, tags in made)
    assert {tag for _, tags in made for tag in tags} == {
        "O",
        *(f"{b}-{name}" for b in "BI" for name in sentences.TYPES),
    }


def test_given_sentences_are_trained_on_and_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sentences.made_up(40, 150, seed=0)
    sentences.write(tmp_path / "given.conll", made)
    monkeypatch.setenv(sentences.CONLL, str(tmp_path / "given.conll"))
    with sentences.tagged_work(TINY_TAGGED) as work:
        assert work.given
        assert len(work.held_out) == 4
        assert sorted([*work.train, *work.held_out]) == sorted(made)
        assert sentences.read(work.file) == work.train
        for (words, tags), (same, own) in zip(work.train, work.bioes(), strict=True):
            assert words == same
            assert TagSet(sorted(set(own)), "bioes").spans([sorted(set(own)).index(tag) for tag in own]) == [
                *serving_tags.names_in(tags)
            ]


def test_the_tutorials_crf_is_the_same_model_as_ours() -> None:
    torch.manual_seed(0)
    theirs, ours = TutorialCrf(4), Crf(torch.ones(5, 5, dtype=torch.bool).numpy())
    ours.load_state_dict(theirs.state_dict())
    emissions, tags, lengths = torch.randn(3, 6, 4), torch.randint(4, (3, 6)), torch.tensor([6, 1, 4])
    mask = torch.arange(6) < lengths[:, None]
    with torch.no_grad():
        losses = theirs.loss(emissions, tags, mask), ours.loss(emissions, tags, lengths).mean()
    assert float(losses[0]) == pytest.approx(float(losses[1]))
    paths = ours.best_path(emissions, lengths)
    assert theirs.decode(emissions, mask) == [row[row >= 0].tolist() for row in paths]


def test_the_tutorials_tags_do_not_depend_on_the_batch() -> None:
    made = sentences.made_up(20, 150, seed=0)
    tutorial = TaggingTutorial(made, TINY_TAGGED)
    assert tutorial.epoch() > 0
    encoded = [tutorial.encode(words) for words, _ in made]
    words, characters, lengths = padded(encoded)
    assert [int((row > 0).sum()) for row in words] == lengths.tolist() == [len(words) for words, _ in made]
    assert [int((word > 0).sum()) for word in characters[0][: lengths[0]]] == [len(word) for word in made[0][0]]
    alone = tutorial.tag(encoded, 1, by_length=False)
    assert alone == tutorial.tag(encoded, 7, by_length=True)
    assert [len(tags) for tags in alone] == lengths.tolist()


def test_words_are_told_at_any_size() -> None:
    figures = list(words.benchmarks(TINY_WORDS, pairs=1, seconds=0))
    assert len({figure.name for figure in figures}) == 4
    assert all(figure.of_median > 0 and figure.to_median > 0 and figure.compares for figure in figures)


def test_made_up_texts_of_words_are_the_same_each_time_and_follow_zipf() -> None:
    known = [f"w{rank}" for rank in range(50)]
    made = words.made_up(400, known, seed=0)
    assert made == words.made_up(400, known, seed=0)
    lengths = [len(sentence.split()) for sentence in made]
    assert (min(lengths), max(lengths) <= 60) == (5, True)
    assert 19 < sum(lengths) / len(made) < 23
    counts = Counter(" ".join(made).split())
    assert counts["w0"] / counts["w4"] == pytest.approx(5, rel=0.2)


def test_softmaxes_over_few_words_are_not_compared() -> None:
    with pytest.raises(AssertionError):
        next(words.benchmarks(replace(TINY_WORDS, words=900), pairs=1, seconds=0))


class Tilted(torch.nn.Module):
    """A network that says of each word, on top of a constant, what it is given."""

    def __init__(self, cuts: list[int], logits: torch.Tensor) -> None:
        super().__init__()
        self.head = SimpleNamespace(words=SimpleNamespace(cuts=cuts), blank_id=2)
        self.logits = logits

    def forward(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits)


def test_softmaxes_that_tell_words_of_a_group_differently_are_not_compared() -> None:
    full = Tilted([9], torch.randn(2, 9))
    by_group = torch.tensor([0.0] * 6 + [0.5] * 3)
    words.check_softmaxes(Tilted([6, 9], full.logits + by_group), full, None)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        words.check_softmaxes(Tilted([5, 9], full.logits + by_group), full, None)  # type: ignore[arg-type]


STREAM = "a cat and a dog ran " * 12


def language_tutorial() -> LanguageTutorial:
    return LanguageTutorial(STREAM, ["<pad>", "<unk>", *sorted(set(STREAM))], width=4, rows=3, num_steps=7)


def test_the_tutorials_windows_are_rows_that_go_on_and_its_state_goes_with_them() -> None:
    tutorial, windows = language_tutorial(), []
    losses: list[float] = []
    step = tutorial.step

    def watched(ids: torch.Tensor, targets: torch.Tensor) -> float:
        windows.append((ids, targets))
        losses.append(step(ids, targets))
        return losses[-1]

    tutorial.step = watched  # type: ignore[method-assign]
    assert tutorial.epoch() > 0
    read = torch.cat([ids for ids, _ in windows]).T.tolist()
    for place, row in enumerate(read):
        start = place * (len(STREAM) // 3)
        assert "".join(tutorial.characters[each] for each in row) == STREAM[start : start + 77]
    assert torch.equal(windows[0][1][:-1], windows[0][0][1:])
    assert torch.equal(windows[0][1][-1], windows[1][0][0])
    assert losses[-1] < losses[0]

    # Two windows one after the other are one long one.
    model, (ids, _) = tutorial.model, windows[0]
    first, state = model(ids[:3], None)
    assert torch.allclose(torch.cat([first, model(ids[3:], state)[0]]), model(ids, None)[0], atol=1e-6)


def test_the_tutorials_text_goes_on_without_tokens_that_stand_for_none() -> None:
    tutorial = language_tutorial()
    with torch.no_grad():
        tutorial.model.output.bias[:NEVER] = 50.0
    for draw in (True, False):
        text = tutorial.generate("a cat", 20, draw)
        assert text.startswith("a cat")
        assert len(text) == 25
    assert tutorial.generate("a cat", 20, draw=False) == text


@pytest.mark.parametrize(("option", "value"), [("training.learning_rate", 0.5), ("head.carry_state", False)])
def test_loops_that_learn_otherwise_are_not_compared(tmp_path: Path, option: str, value: object) -> None:
    (tmp_path / "train.txt").write_text("a cat and a dog ran\n" * 12)
    options = {
        "dataset.train": str(tmp_path / "train.txt"),
        "dataset.num_steps": 5,
        "batching.batch_size": 3,
        "embedding.output_dim": 16,
        "encoder.hidden_dim": 16,
        **{f"{table}.dropout": 0.0 for table in ("embedding", "encoder", "head")},
    }
    recipe = words.RECIPES / "time_machine.toml"
    prepared = prepare(read_recipe(recipe, options), lambda _: None)
    characters = [prepared.vocabulary.token(number) for number in range(len(prepared.vocabulary))]
    tutorial = LanguageTutorial(STREAM, characters, 16, 3, 5)
    check_losses(read_recipe(recipe, options), tutorial)
    with pytest.raises(AssertionError):
        check_losses(read_recipe(recipe, {**options, option: value}), tutorial)


class Guess:
    """A peer that takes every token for a name."""

    name = "Guess 1"

    def learn(self, rows: list[tuple[list[str], list[str]]], most: int) -> None:
        self.rows = rows[:most]

    def epoch(self) -> None:
        assert self.rows

    def take(self, texts: list[list[str]]) -> list[int]:
        return list(map(len, texts))

    def tag(self, taken: list[int], batch: int) -> int:
        return sum(taken)


def test_a_peer_that_tags_answers_each_line() -> None:
    requests = [
        {"do": "learn", "rows": [[["Ada", "said"], ["B-PER", "O"]], [["so"], ["O"]]], "most": 1},
        {"do": "epoch"},
        {"do": "tag", "sentences": [["Ada"], ["said", "so"]], "batch": 2},
        {"do": "time", "seconds": 0},
    ]
    hello, learnt, trained, tagged, timed = serving_tags.answers(Guess(), map(json.dumps, requests))
    assert (hello, learnt, tagged) == ({"name": "Guess 1"}, {}, {"names": 3})
    assert trained["rate"] > 0
    assert timed["rate"] > 0


class Talk:
    """A conversation with a peer in this process."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.answers = serving_tags.answers(Guess(), iter(lambda: self.lines.pop(), None))

    def hear(self) -> dict[str, Any]:
        return next(self.answers)

    def ask(self, **request: Any) -> dict[str, Any]:
        self.lines.append(json.dumps(request))
        return next(self.answers)


def test_a_peer_that_tags_is_compared_on_the_same_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing_taggers, "conversation", lambda _: nullcontext(Talk()))
    peer = comparing_taggers.PeerTagger("json", "", "NO_VARIABLE", "guesses", (2, 3))
    figures = list(comparing_taggers.benchmarks(TINY_TAGGED, pairs=1, seconds=0, peers=[peer]))
    assert figures[0].name == "tagger, epoch, against json"
    assert len({figure.name for figure in figures}) == 5
    held_out = sentences.made_up(36, 150, seed=0)[:6]
    assert figures[-1].beside["Guess 1: names found"] == sum(len(words) for words, _ in held_out)
    absent = comparing_taggers.PeerTagger("no_such_package", "nothing", "RNNTEXT_BENCH_NOBODY", "")
    assert list(comparing_taggers.benchmarks(TINY_TAGGED, peers=[absent])) == []


@pytest.mark.slow
@pytest.mark.parametrize("peer", comparing_taggers.PEERS, ids=lambda peer: peer.package)
def test_each_peer_that_tags_and_is_here_trains_and_answers(peer: comparing_taggers.PeerTagger) -> None:
    if peer.python() is None:
        pytest.skip(f"no {peer.package}; set {peer.variable}")
    figures = list(comparing_taggers.benchmarks(TINY_TAGGED, pairs=1, seconds=0, peers=[peer]))
    assert len(figures) == 1 + 2 * len(peer.batches)
    assert all(figure.to_median > 0 for figure in figures)
