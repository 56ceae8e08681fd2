"""Several seeds of one recipe: what is summed up, where it is kept, and that nothing else is ever deleted."""

from __future__ import annotations

import io
import json
import logging
import shutil
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupting import StopsIn
from rich.console import Console
from tiny import make_tiny, sha256, write_recipe

import rnntext
from rnntext import commands
from rnntext.cli import main
from rnntext.errors import DataError, RecipeError, RunFolderError, UsageError
from rnntext.seeds import SeedRuns, _spread, run_seeds
from rnntext.summary import seeds_table


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def quick_recipe(tmp_path_factory) -> Path:
    """A recipe of one epoch without baselines, named tiny, of seed 3."""
    return make_tiny(tmp_path_factory.mktemp("quick"), texts=24, training={"epochs": 1})


@pytest.fixture(scope="module")
def series(tiny_recipe, tmp_path_factory) -> SeedRuns:
    """Three finished runs with baselines. Not to be changed: see ``series_copy``."""
    return run_seeds(tiny_recipe, 3, ["training.epochs=1"], out=tmp_path_factory.mktemp("series") / "all")


@pytest.fixture
def series_copy(series, tmp_path) -> Path:
    """A copy of ``series`` to replace or damage."""
    return Path(shutil.copytree(series.path, tmp_path / "copy"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


def stops_in_run(number: int, epoch: int):
    """Return what gives a reporter for each run; the one of this run presses Ctrl-C in that epoch."""
    given = iter(range(1, 100))
    return lambda *_: StopsIn(epoch if next(given) == number else 0)


# --- what is summed up -----------------------------------------------------------------------------------------


def test_each_number_is_the_mean_deviation_least_and_largest_of_the_runs_own_metrics(series):
    found = read(series.path / "seeds.json")
    assert found == series.summary
    metrics = [read(series.path / f"seed-{seed}" / "metrics.json") for seed in (3, 4, 5)]
    assert [run.metrics for run in series.runs] == metrics

    def check(summed, values):
        if isinstance(values[0], dict):
            assert set(summed) == set(values[0])
            return sum(check(summed[key], [value[key] for value in values]) for key in summed)
        if isinstance(values[0], bool):
            assert summed is None
            return 0
        assert summed["mean"] == pytest.approx(statistics.mean(values))
        assert summed["deviation"] == pytest.approx(statistics.stdev(values), abs=1e-12)
        assert (summed["least"], summed["largest"]) == (min(values), max(values))
        return 1

    assert found.pop("seeds") == [3, 4, 5]
    assert set(found) == {"validation", "test", "baselines", "training", "prediction"}
    assert set(found["baselines"]) == {"majority", "tfidf"}
    assert check(found, [{key: each[key] for key in found} for each in metrics]) > 20


def test_the_runs_differ_in_their_seed_and_in_nothing_else_of_the_recipe(series):
    weights = {sha256(run.path / "model.safetensors") for run in series.runs}
    assert len(weights) == 3
    recipes = [(run.path / "recipe.toml").read_text(encoding="utf-8") for run in series.runs]
    assert [
        recipe.replace(f"seed = {seed}", "seed = 3") for seed, recipe in zip((3, 4, 5), recipes, strict=True)
    ] == [recipes[0]] * 3


def test_a_run_of_a_series_is_the_run_that_the_seed_gives_alone(series, tiny_recipe):
    alone = rnntext.run(tiny_recipe, {"seed": 4, "training.epochs": 1}, out="alone")
    assert sha256(alone.path / "model.safetensors") == sha256(series.path / "seed-4" / "model.safetensors")


def test_each_run_is_in_a_folder_of_its_own_that_can_be_loaded(series):
    assert names(series.path) == {"seed-3", "seed-4", "seed-5", "seeds.json"}
    assert [run.path for run in series.runs] == [series.path / f"seed-{seed}" for seed in (3, 4, 5)]
    assert (series.seeds, series.interrupted) == ([3, 4, 5], False)
    for run in series.runs:
        assert rnntext.load(run.path)("lovely soup").label in ("good", "bad")


def test_one_seed_has_no_deviation(quick_recipe):
    finished = run_seeds(quick_recipe, 1, out="one")
    accuracy = finished.runs[0].metrics["test"]["accuracy"]
    assert finished.summary["test"]["accuracy"] == {
        "mean": accuracy,
        "deviation": 0.0,
        "least": accuracy,
        "largest": accuracy,
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_a_mean_lies_between_the_least_and_the_largest(values):
    found = _spread([{"a": {"b": value}, "none": None} for value in values])
    assert found["none"] is None
    spread = found["a"]["b"]
    assert (spread["least"], spread["largest"]) == (min(values), max(values))
    assert min(values) <= spread["mean"] * (1 + 1e-12)
    assert spread["mean"] * (1 - 1e-12) <= max(values)
    assert 0 <= spread["deviation"] <= max(values) - min(values) + 1e-9


def test_a_series_without_a_finished_run_sums_nothing_up():
    assert SeedRuns(Path("nowhere")).summary == {"seeds": []}


# --- which seeds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [{"seed": 7}, ["seed=7"]], ids=["dict", "list"])
def test_seeds_are_counted_from_the_overrides_seed(quick_recipe, overrides):
    finished = run_seeds(quick_recipe, 2, overrides, out="here")
    assert finished.seeds == [7, 8]
    assert names(Path("here")) == {"seed-7", "seed-8", "seeds.json"}
    assert overrides in ({"seed": 7}, ["seed=7"]), "left as it was given"


@pytest.mark.parametrize(
    "overrides",
    [{"encoder.hidden_dim": 5, "name": "five"}, ["encoder.hidden_dim=5", "name=five"]],
    ids=["dict", "list"],
)
def test_overrides_reach_every_run(quick_recipe, overrides):
    finished = run_seeds(quick_recipe, (9, 1), overrides)
    assert finished.path == Path("runs/five-1")
    assert finished.seeds == [9, 1], "in the order given"
    for run in finished.runs:
        text = (run.path / "recipe.toml").read_text(encoding="utf-8")
        assert "hidden_dim = 5\n" in text
        assert f"seed = {run.path.name.removeprefix('seed-')}\n" in text


@pytest.mark.parametrize("seeds", [[], 0, -2, [3, 3], (1, 2, 1)], ids=str)
def test_no_seeds_and_repeated_seeds_are_refused(quick_recipe, seeds):
    with pytest.raises(UsageError, match="give one or more seeds, each once") as raised:
        run_seeds(quick_recipe, seeds, out="here")
    assert str(seeds) in str(raised.value)
    assert not Path("here").exists()


@pytest.mark.parametrize("seeds", [[1, -5], ["one"]], ids=str)
def test_a_seed_that_is_none_is_refused_before_the_first_run(quick_recipe, seeds):
    with pytest.raises(RecipeError, match="seed"):
        run_seeds(quick_recipe, seeds)
    assert names(Path()) == set()


def test_progress_goes_to_the_log_unless_told_otherwise(quick_recipe, caplog, capsys):
    with caplog.at_level(logging.INFO, logger="rnntext"):
        run_seeds(quick_recipe, 2, out="here")
    told = [record.getMessage() for record in caplog.records if record.name == "rnntext"]
    assert [line for line in told if line.startswith("seed")] == ["seed 3 (1 of 2)", "seed 4 (2 of 2)"]
    assert len([line for line in told if line.startswith("epoch 1/1")]) == 2
    assert capsys.readouterr() == ("", "")


# --- where it is kept ------------------------------------------------------------------------------------------


def test_series_are_numbered_among_the_runs(quick_recipe):
    Path("runs/tiny-1").mkdir(parents=True)
    assert run_seeds(quick_recipe, 1).path == Path("runs/tiny-2")
    assert names(Path("runs/tiny-2")) == {"seed-3", "seeds.json"}
    assert names(Path("runs/tiny-1")) == set()


def test_a_runs_folder_that_cannot_be_made_is_told(quick_recipe):
    Path("runs").write_text("a file in the way")
    with pytest.raises(UsageError, match="cannot make the run folder runs: File exists"):
        run_seeds(quick_recipe, 1)


def test_an_occupied_folder_is_refused_without_force(series_copy, quick_recipe):
    before = files(series_copy)
    with pytest.raises(UsageError, match="holds runs already; give --out another folder, or --force to replace"):
        run_seeds(quick_recipe, 2, out=series_copy)
    assert files(series_copy) == before


def test_a_shorter_series_by_force_removes_the_runs_of_the_longer(series_copy, quick_recipe):
    before = files(series_copy)
    finished = run_seeds(quick_recipe, 2, {"seed": 4}, out=series_copy, force=True)
    assert finished.seeds == read(series_copy / "seeds.json")["seeds"] == [4, 5]
    assert names(series_copy) == {"seed-4", "seed-5", "seeds.json"}
    for name, digest in files(series_copy).items():
        assert before[name] != digest or name.endswith(("vocabulary.json", "labels.json", "environment.json")), name


def test_a_series_that_was_cut_off_by_force_can_be_replaced(series_copy, quick_recipe):
    (series_copy / "seeds.json").unlink()
    (series_copy / "seed-5" / "model.safetensors").unlink()
    shutil.copytree(series_copy / "seed-4", series_copy / ".seed-4.77.partial")
    finished = run_seeds(quick_recipe, 1, out=series_copy, force=True)
    assert finished.seeds == [3]
    assert not (series_copy / "seed-5").exists()


def _own_file(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def _own_file_in_a_run(folder: Path) -> None:
    (folder / "seed-5" / "notes.txt").write_text("mine")


def _own_folder_with_a_runs_name(folder: Path) -> None:
    (folder / "seed-12").mkdir()
    (folder / "seed-12" / "poppy.csv").write_text("mine")


def _file_with_a_runs_name(folder: Path) -> None:
    (folder / "seed-12").write_text("mine")


def _only_a_seeds_json(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "seeds.json").write_text("mine")


@pytest.mark.parametrize(
    "occupy",
    [_own_file, _own_file_in_a_run, _own_folder_with_a_runs_name, _file_with_a_runs_name, _only_a_seeds_json],
    ids=lambda occupy: occupy.__name__,
)
def test_force_deletes_nothing_that_is_not_of_a_series(series_copy, quick_recipe, occupy):
    occupy(series_copy)
    before = files(series_copy)
    with pytest.raises(UsageError, match="holds other files than a"):
        run_seeds(quick_recipe, 1, out=series_copy, force=True)
    assert files(series_copy) == before


def test_a_run_is_not_replaced_by_a_series_nor_a_series_by_a_run(series_copy, quick_recipe):
    before = files(series_copy)
    with pytest.raises(UsageError, match="holds other files than a series of runs"):
        run_seeds(quick_recipe, 1, out=series_copy / "seed-3", force=True)
    with pytest.raises(UsageError, match="holds other files than a run's"):
        rnntext.run(quick_recipe, out=series_copy, force=True)
    assert files(series_copy) == before


def test_a_file_is_no_folder(quick_recipe):
    Path("here").write_text("mine")
    with pytest.raises(UsageError, match="here is a file; give --out a folder"):
        run_seeds(quick_recipe, 1, out="here", force=True)
    assert Path("here").read_text() == "mine"


def test_data_that_cannot_be_used_leave_nothing_and_keep_an_empty_folder_that_was_there(tmp_path):
    recipe = make_tiny(tmp_path / "data")
    (recipe.parent / "train.jsonl").write_text('{"text": "soup"}\n')
    (tmp_path / "work").mkdir()
    with pytest.raises(DataError):
        run_seeds(recipe, 2)
    assert names(Path("runs")) == set()
    with pytest.raises(DataError):
        run_seeds(recipe, 2, out="new")
    with pytest.raises(DataError):
        run_seeds(recipe, 2, out="work")
    assert names(tmp_path) == {"data", "runs", "work"}


def test_the_current_folder_is_kept_when_data_cannot_be_used(tmp_path, monkeypatch):
    recipe = make_tiny(tmp_path / "data")
    (recipe.parent / "train.jsonl").write_text('{"text": "soup"}\n')
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(DataError):
        run_seeds(recipe, 2, out=".")
    assert (tmp_path / "work").is_dir()


def test_a_recipe_without_data_is_refused_before_there_is_a_folder(tmp_path):
    (tmp_path / "data").mkdir()
    recipe = write_recipe(tmp_path / "data", dataset={})
    with pytest.raises(RecipeError, match="this recipe brings no data"):
        run_seeds(recipe, 2)
    assert names(tmp_path) == {"data"}


# --- Ctrl-C ----------------------------------------------------------------------------------------------------


def test_ctrl_c_in_the_second_seed_keeps_the_first_summed_up(tiny_recipe):
    off = {"baselines.enabled": False}
    finished = run_seeds(tiny_recipe, 3, off, out="here", progress=stops_in_run(2, epoch=2))
    assert (finished.interrupted, finished.seeds) == (True, [3])
    assert finished.summary == read(Path("here/seeds.json"))
    assert read(Path("here/seeds.json"))["seeds"] == [3]
    assert names(Path("here")) == {"seed-3", "seed-4", "seeds.json"}, "the best epoch of the second is kept as well"
    assert rnntext.load("here/seed-4")("soup").label in ("good", "bad")


def test_ctrl_c_before_the_second_seeds_first_epoch_leaves_no_folder_of_it(quick_recipe):
    finished = run_seeds(quick_recipe, 3, out="here", progress=stops_in_run(2, epoch=1))
    assert (finished.interrupted, finished.seeds) == (True, [3])
    assert names(Path("here")) == {"seed-3", "seeds.json"}


def test_ctrl_c_in_the_second_seed_removes_no_run_of_the_series_that_it_replaces(series_copy, quick_recipe):
    finished = run_seeds(quick_recipe, 2, out=series_copy, force=True, progress=stops_in_run(2, epoch=1))
    assert finished.interrupted
    assert names(series_copy) == {"seed-3", "seed-4", "seed-5", "seeds.json"}
    assert read(series_copy / "seeds.json")["seeds"] == [3]


def test_ctrl_c_before_the_first_epoch_leaves_nothing(quick_recipe):
    with pytest.raises(KeyboardInterrupt):
        run_seeds(quick_recipe, 2, progress=stops_in_run(1, epoch=1))
    assert names(Path("runs")) == set()


def test_ctrl_c_in_the_first_seed_says_which_folder_holds_its_best_epoch(tiny_recipe):
    off = {"baselines.enabled": False}
    with pytest.raises(KeyboardInterrupt, match="in the first of 2 seeds; here/seed-3 holds its best epoch"):
        run_seeds(tiny_recipe, 2, off, out="here", progress=stops_in_run(1, epoch=2))
    assert names(Path("here")) == {"seed-3"}
    assert rnntext.load("here/seed-3")("soup").label in ("good", "bad")


def test_ctrl_c_before_the_first_epoch_keeps_the_series_that_was_to_be_replaced(series_copy, quick_recipe):
    before = files(series_copy)
    with pytest.raises(KeyboardInterrupt):
        run_seeds(quick_recipe, 2, out=series_copy, force=True, progress=stops_in_run(1, epoch=1))
    assert files(series_copy) == before


def test_a_summary_never_outlives_the_runs_that_it_sums_up(series_copy, tiny_recipe):
    """The first run of the old series is replaced by an interrupted one: the old means hold no longer."""
    off = {"baselines.enabled": False}
    with pytest.raises(KeyboardInterrupt):
        run_seeds(tiny_recipe, 2, off, out=series_copy, force=True, progress=stops_in_run(1, epoch=2))
    assert names(series_copy) == {"seed-3", "seed-4", "seed-5"}


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_of_means_and_the_folder_last(tiny_recipe, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["run", str(tiny_recipe), "--seeds", "2", "--set", "seed=7", "--set", "training.epochs=1"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "runs/tiny-1"
    assert "test, seeds 7, 8: mean ± standard deviation (least to largest)" in told.out
    summary = read(Path("runs/tiny-1/seeds.json"))
    assert summary["seeds"] == [7, 8]
    for method, scores in {"lstm (these runs)": summary["test"], **summary["baselines"]}.items():
        (line,) = [line for line in told.out.splitlines() if line.strip().startswith(method)]
        for name in ("accuracy", "macro_f1", "ece"):
            assert f"{scores[name]['mean']:.4f} ± {scores[name]['deviation']:.4f}" in line
            assert f"({scores[name]['least']:.4f} to {scores[name]['largest']:.4f})" in told.out
    assert "seconds a seed" in told.out
    assert [line for line in told.err.splitlines() if line.startswith("seed")] == [
        "seed 7 (1 of 2)",
        "seed 8 (2 of 2)",
    ]


def test_the_table_shows_validation_where_there_is_no_test_split(series):
    summary = {**series.summary, "test": None}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(seeds_table(summary, "lstm"))
    shown = console.export_text()
    assert shown.startswith("validation, seeds 3, 4, 5")
    assert f"{summary['validation']['accuracy']['mean']:.4f} ±" in shown
    assert "loss" not in shown
    assert "…" not in shown, "it fits a small terminal"


def test_a_quiet_series_prints_its_folder_alone(quick_recipe, capsys):
    assert main(["run", str(quick_recipe), "--seeds", "1", "-q", "--out", "quiet"]) == 0
    assert capsys.readouterr() == ("quiet\n", "")


def test_the_command_refuses_an_occupied_folder_and_replaces_it_by_force(series_copy, quick_recipe, capsys):
    command = ["run", str(quick_recipe), "--seeds", "1", "-q", "--out", str(series_copy)]
    assert main(command) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "--force to replace them" in told.err
    assert main([*command, "--force"]) == 0
    assert names(series_copy) == {"seed-3", "seeds.json"}


@pytest.mark.parametrize("seeds", ["0", "-1", "many", "1.5"])
def test_a_number_of_seeds_that_is_none_is_wrong_usage(quick_recipe, seeds, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", str(quick_recipe), f"--seeds={seeds}"])
    assert ended.value.code == 2
    assert "no whole number above 0" in capsys.readouterr().err


def test_the_command_without_data_ends_with_status_2_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    recipe = write_recipe(tmp_path / "data", dataset={})
    for more in ([], ["--out", "here"]):
        assert main(["run", str(recipe), "--seeds", "2", *more]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "--set dataset.train=FILE" in told.err
        assert "Nothing was run" in told.err
    assert names(tmp_path) == {"data"}


def test_the_command_interrupted_in_the_second_seed_ends_with_status_130_and_a_table(
    quick_recipe, capsys, monkeypatch
):
    monkeypatch.setattr(commands, "_reporter", stops_in_run(2, epoch=1))
    assert main(["run", str(quick_recipe), "--seeds", "3"]) == 130
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "runs/tiny-1"
    assert "test, seeds 3:" in told.out
    assert "interrupted; 1 of 3 seeds were finished" in told.err


def test_the_command_interrupted_in_the_first_seed_ends_with_status_130(tiny_recipe, capsys, monkeypatch):
    command = ["run", str(tiny_recipe), "--seeds", "2", "--set", "baselines.enabled=false"]
    monkeypatch.setattr(commands, "_reporter", stops_in_run(1, epoch=1))
    assert main(command) == 130
    assert capsys.readouterr() == ("", "interrupted; nothing was kept\n")
    assert names(Path("runs")) == set()
    monkeypatch.setattr(commands, "_reporter", stops_in_run(1, epoch=2))
    assert main(command) == 130
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        "interrupted in the first of 2 seeds; runs/tiny-1/seed-3 holds its best epoch\n",
    )


@pytest.mark.parametrize("summary", [True, False], ids=["finished", "cut off"])
def test_a_series_is_no_run_and_one_of_its_runs_is_named(series_copy, summary, capsys):
    if not summary:
        (series_copy / "seeds.json").unlink()
    assert main(["predict", str(series_copy), "--text", "soup"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{series_copy} holds runs with several seeds; give one of them: {series_copy / 'seed-3'}" in told.err
    with pytest.raises(RunFolderError, match="give one of them"):
        rnntext.load(series_copy)
    assert main(["predict", str(series_copy / "seed-3"), "--text", "soup"]) == 0
