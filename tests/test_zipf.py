"""How often words occur: counts by hand, the law that is fitted to them, and the plot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tiny import write_jsonl, write_recipe

from rnntext.cli import main
from rnntext.describing import data_tables, describe, shown
from rnntext.errors import DataError, UsageError
from rnntext.recipe import read_recipe
from rnntext.zipf import COVERED, DataCounts, Law, WordCounts, coverage, draw, fit_law

# Lower-cased: the 4, lamp 2, glows 2; rain, falls, rain?, on and soup 1 each.
TRAIN = ["The lamp glows", "the rain falls", "Rain? On the lamp", "THE soup glows"]
VALIDATION = ["the lamp rusts", "soup, soup"]
FALLING = st.lists(st.integers(1, 10**6), min_size=1, max_size=60).map(lambda found: np.array(sorted(found))[::-1])


def recipe_of(folder: Path, **tables: Any) -> str:
    """Write a recipe with labels on the texts above, cut at white space, and return its path."""
    for split, texts in (("train", TRAIN), ("validation", VALIDATION)):
        rows = [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(texts)]
        write_jsonl(folder / f"{split}.jsonl", rows)
    dataset = {"train": "train.jsonl", "validation": "validation.jsonl", **tables.pop("dataset", {})}
    settings = {"tokenizer": {"type": "whitespace"}, **tables}
    return str(write_recipe(folder, dataset=dataset, **settings))


def text_recipe(folder: Path, lines: list[str], **tables: Any) -> str:
    """Write a recipe of type text whose splits hold the same lines; return its path."""
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    dataset = {"type": "text", "train": "lines.txt", "validation": "lines.txt", **tables.pop("dataset", {})}
    settings = {"tokenizer": {"type": "whitespace"}, "head": {"type": "fill_blank", "dropout": None}, **tables}
    return str(write_recipe(folder, dataset=dataset, **settings))


def data_of(recipe: str) -> DataCounts:
    data = describe(read_recipe(recipe), lambda text: None).data
    assert data is not None
    return data


def printed(data: DataCounts) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        for table in data_tables(data):
            console.print(table, highlight=False)
    return captured.get()


# ---- counts


def test_splits_are_counted_as_the_vocabulary_looks_tokens_up(tmp_path):
    train, validation = data_of(recipe_of(tmp_path)).splits
    assert (train.name, train.texts, train.tokens, train.distinct, train.once) == ("train", 4, 13, 8, 5)
    assert (validation.texts, validation.tokens, validation.distinct, validation.once) == (2, 5, 5, 5)
    # "rusts" and "soup,": training has neither.
    assert (train.unknown, validation.unknown) == (0, pytest.approx(2 / 5))
    assert train.questions == validation.questions == 0


def test_words_are_ranked_by_count_and_those_that_are_known_come_first_among_equals(tmp_path):
    words = data_of(recipe_of(tmp_path, vocabulary={"max_size": 6})).train
    assert words.counts.tolist() == [4, 2, 2, 1, 1, 1, 1, 1]
    assert words.words[0] == "the"
    assert set(words.words[1:3]) == {"lamp", "glows"}
    # <pad>, <unk>, three words and the first of the others by code point.
    assert words.words[3] == "falls"
    assert words.kept == 4


def test_upper_case_is_another_word_where_the_vocabulary_says_so(tmp_path):
    words = data_of(recipe_of(tmp_path, vocabulary={"lowercase": False})).train
    assert dict(zip(words.words, words.counts.tolist(), strict=True))["the"] == 2


def test_a_blank_line_of_a_stream_is_no_token(tmp_path):
    """The tokenizer of characters leaves nothing of it, and a stream has no texts that must not be empty."""
    lines = ["ab ba", " ", "a"]
    recipe = text_recipe(
        tmp_path,
        lines,
        dataset={"num_steps": 2},
        tokenizer={"type": "character"},
        encoder={"bidirectional": False},
        head={"type": "next_token", "tied": False},
    )
    data = data_of(recipe)
    assert (data.splits[0].tokens, data.splits[0].distinct) == (5, 2)
    assert data.splits[0].unknown == 0
    assert dict(zip(data.train.words, data.train.counts.tolist(), strict=True)) == {"a": 3, "b": 2}


def test_answers_to_blanks_are_counted_where_they_were_cut_out(tmp_path):
    lines = ["we ate warm soup today", "we ate", "the old lamp is warm"]
    train, validation = data_of(text_recipe(tmp_path, lines, dataset={"num_blanks": 2})).splits
    # The text of two words is too short for a blank; num_blanks is at most a third of five.
    assert (train.texts, train.tokens, train.distinct, train.questions) == (3, 12, 9, 0)
    assert (validation.texts, validation.questions, validation.blanks) == (2, 2, 2)
    assert (validation.tokens, validation.distinct, validation.once, validation.unknown) == (10, 9, 8, 0)


def test_questions_and_blanks_are_told_apart(tmp_path):
    lines = ["we ate warm soup today in town", "the old lamp is warm"]
    data = data_of(text_recipe(tmp_path, lines, dataset={"num_blanks": 2}))
    assert (data.splits[1].questions, data.splits[1].blanks) == (2, 3)
    assert "2 (3 blanks)" in printed(data)


# ---- law and coverage


@given(st.floats(0, 2.5), st.floats(1, 10**7), st.integers(2, 300))
def test_a_power_law_gives_its_own_exponent(exponent, first, ranks):
    law = fit_law(first * np.arange(1, ranks + 1) ** -exponent)
    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert law.first == pytest.approx(first, rel=1e-5)
    assert law.count(ranks) == pytest.approx(first * ranks**-exponent, rel=1e-5)


def test_the_law_is_fitted_to_the_first_ten_thousand_ranks():
    counts = 1e8 / np.arange(1, 15_001)
    counts[10_000:] = 1
    assert fit_law(counts) == Law(pytest.approx(1), pytest.approx(1e8), 10_000)


def test_one_word_follows_no_law():
    assert fit_law(np.array([7])) is None


@given(FALLING)
def test_coverage_is_the_least_number_of_words_that_reaches_each_share(counts):
    found = coverage(counts)
    assert list(found) == list(COVERED)
    for percent, number in found.items():
        reached = [100 * int(counts[:words].sum()) >= percent * int(counts.sum()) for words in range(len(counts) + 1)]
        assert number == reached.index(True)


def test_coverage_by_hand():
    assert coverage(np.array([5, 3, 1, 1])) == {50: 1, 80: 2, 90: 3, 95: 4, 99: 4}


# ---- tables


def test_tables_tell_ranks_share_and_what_the_law_predicts():
    counts = np.array([100 // rank for rank in range(1, 13)])
    words = WordCounts([f"word{rank}" for rank in range(1, 13)], counts, 12)
    told = printed(DataCounts([], words))
    law = fit_law(counts)
    assert f"{100 / counts.sum():.4%}" in told
    row = next(line for line in told.splitlines() if "word10" in line)
    assert row.split() == ["10", "word10", "10", f"{10 / counts.sum():.4%}", f"{law.count(10):,.1f}"]
    assert f"rank^{law.exponent:.2f}" in told
    assert "ranks 1 to 12" in told


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("soup", "soup"),
        ("[red]", "[red]"),
        (":smile:", ":smile:"),
        ("\n", r"'\n'"),
        (" ", "' '"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\ud800", r"'\ud800'"),
        ("a" * 40, "a" * 27 + "..."),
    ],
)
def test_any_word_can_be_shown(word, expected):
    assert shown(word) == expected
    if word != "\ud800":
        assert expected in printed(DataCounts([], WordCounts([word], np.array([1]), 1)))


def test_a_word_that_standard_output_has_no_letters_for_is_spelt_out(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Ascii())
    assert shown("café") == r"'caf\xe9'"


# ---- plot


@pytest.mark.parametrize(
    ("ending", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")]
)
def test_describe_draws_and_prints_the_file_last(tmp_path, capsys, ending, start):
    file = tmp_path / f"plot{ending}"
    assert main(["describe", recipe_of(tmp_path, vocabulary={"min_count": 2}), "--zipf", str(file)]) == 0
    assert file.read_bytes().startswith(start)
    assert capsys.readouterr().out.splitlines()[-1] == str(file)


def drawn_texts(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> tuple[list[str], Any]:
    """Draw into nowhere; return all texts of the plot, and its axes."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figures: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    draw(*arguments)
    (figure,) = figures
    return [text.get_text() for text in figure.findobj(Text)], figure.axes[0]


WORDS = WordCounts([f"w{rank}" for rank in range(1, 101)], np.array([1000 // rank for rank in range(1, 101)]), 60)


def test_the_plot_is_logarithmic_and_says_what_it_shows(monkeypatch):
    texts, axes = drawn_texts(monkeypatch, WORDS, "lamps", "x.png", "min_count = 17")
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert "lamps" in texts
    assert {"rank of the token", "count in the training split"} <= set(texts)
    assert any(f"exponent {WORDS.law.exponent:.2f}" in text for text in texts)
    counted, law, cut = axes.lines
    assert counted.get_xdata().tolist() == list(range(1, 101))
    assert counted.get_ydata().tolist() == WORDS.counts.tolist()
    assert law.get_ydata() == pytest.approx(WORDS.law.count(np.arange(1, 101)))
    assert set(cut.get_xdata()) == {60}
    share = f"{WORDS.counts[:60].sum() / WORDS.counts.sum():.1%}"
    assert any(share in text and "first 60," in text and "min_count = 17" in text for text in texts)


@pytest.mark.parametrize(("kept", "cut"), [(100, "min_count = 2"), (0, "min_count = 2"), (60, None)])
def test_no_end_of_the_vocabulary_is_marked_where_there_is_none(monkeypatch, kept, cut):
    words = WordCounts(WORDS.words, WORDS.counts, kept)
    _, axes = drawn_texts(monkeypatch, words, "lamps", "x.png", cut)
    assert len(axes.lines) == 2


def test_many_words_make_a_small_plot_and_equal_ones_equal_files(tmp_path):
    counts = np.sort(np.random.default_rng(1).zipf(1.5, 200_000).clip(max=10**6))[::-1]
    for name in ("one.svg", "two.svg"):
        draw(WordCounts([""] * len(counts), counts, 5_000), "many", str(tmp_path / name), "max_size = 5,000")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.svg").stat().st_size < 300_000


def test_a_single_word_can_be_drawn(tmp_path):
    draw(WordCounts(["soup"], np.array([3]), 1), "one", str(tmp_path / "one.png"), "max_size = 3")
    assert (tmp_path / "one.png").is_file()


def test_without_words_there_is_nothing_to_draw(tmp_path):
    with pytest.raises(DataError, match="no token"):
        draw(WordCounts([], np.zeros(0, dtype=np.int64), 0), "none", str(tmp_path / "none.png"))
    assert "the most frequent" not in printed(DataCounts([], WordCounts([], np.zeros(0, dtype=np.int64), 0)))


@pytest.mark.parametrize(
    ("file", "told"), [("plot.gif", "end the file's name in one of: .svg"), ("gone/plot.svg", "no folder 'gone'")]
)
def test_a_file_that_cannot_be_drawn_is_refused_before_data_are_read(tmp_path, monkeypatch, capsys, file, told):
    recipe = recipe_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["describe", recipe, "--zipf", file]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert "train: 4 texts" not in printed.err
    assert printed.out == ""


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    recipe = recipe_of(tmp_path)
    assert main(["describe", recipe, "--zipf", str(tmp_path / "plot.svg")]) == 2
    assert "pip install 'rnntext[plots]'" in capsys.readouterr().err
    with pytest.raises(UsageError):
        main(["describe", recipe, "--zipf", str(tmp_path / "plot.svg"), "--debug"])


def test_a_recipe_without_data_has_nothing_to_draw(tmp_path, capsys):
    recipe = write_recipe(tmp_path, dataset={})
    assert main(["describe", str(recipe), "--zipf", str(tmp_path / "plot.svg")]) == 2
    assert "--set dataset.train=FILE" in capsys.readouterr().err


def test_matplotlib_is_imported_only_when_a_plot_is_asked_for(tmp_path):
    recipe = recipe_of(tmp_path)
    code = (
        "import sys\nfrom rnntext.cli import main\n"
        f"assert main(['describe', {recipe!r}]) == 0\nassert 'matplotlib' not in sys.modules\n"
        f"assert main(['describe', {recipe!r}, '--zipf', {str(tmp_path / 'plot.png')!r}]) == 0\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
