"""The benchmarks' own arithmetic, files and conversations; and that each runs, at a tiny size. Nothing is timed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import encoders, text, training, workload
from benchmarks.pairs import Ratio, compare, rate
from benchmarks.peers import comparing
from benchmarks.peers.asking import PeerError, conversation
from benchmarks.peers.serving import answers
from benchmarks.results import Results, line, markdown, merged, number
from benchmarks.tutorial import Tutorial, TutorialModel
from rnntext import registry

TINY = workload.Size(texts=30, held_out=6, words=20, batch=4, input_dim=3, hidden_dim=4)
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
from benchmarks.peers.serving import serve
from test_benchmarks_peer import Chatty
serve(Chatty())
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
