"""The commands that train nothing: what they print, where, and with which exit status."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnntext
from rnntext import registry
from rnntext.cli import main
from rnntext.contracts import KINDS
from rnntext.errors import RecipeError, UnknownNameError, UsageError
from rnntext.recipe_schema import recipe_schema
from rnntext.shipping import recipes_folder, shipped_recipes
from rnntext.terminal import console

RECIPE = '#:schema ./recipe.schema.json\nname = "lamps"\n[dataset]\ntype = "jsonl"\n[encoder]\nhidden_dim = 12\n'
COMMANDS = ["run", "check", "show", "describe", "schema", "recipes", "copy", "list"]
COMMANDS += ["predict", "evaluate", "generate"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    with registry.registrations_undone():
        yield


def write(text: str, name: str = "r.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def ended(*arguments: str) -> int | str | None:
    """Return the status with which argparse ends the process."""
    with pytest.raises(SystemExit) as raised:
        main(list(arguments))
    return raised.value.code


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must go well and say nothing on standard error; return what it printed."""
    assert main(list(arguments)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must end with status 2; return what it told."""
    assert main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


# ---- usage


def test_help_names_every_command_and_shows_examples(capsys):
    assert ended("--help") == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^    {command} +\w", told, re.MULTILINE) for command in COMMANDS)
    assert "rnntext run sentiment.toml" in told


def test_no_command_prints_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: rnntext")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help(command, capsys):
    assert ended(command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: rnntext {command}")


def test_version_is_the_packages(capsys):
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"rnntext {rnntext.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["run"], ["check", "a.toml", "b.toml"], ["list", "--all"], ["predict", "r", "--top-k", "0"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_status_2_and_the_usage(arguments, capsys):
    assert ended(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: rnntext")


# ---- list


def test_list_names_every_part_with_package_version_and_alias(capsys):
    told = out(capsys, "list")
    kind = ""
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        if line.startswith("  "):
            found[kind].append(line.split()[0])
            assert line.split()[1:3] == ["rnntext", rnntext.__version__]
        else:
            kind = line
            found[kind] = []
    assert found == {kind: registry.names(kind) for kind in KINDS}
    assert re.search(r"^  classification +rnntext \S+ \(also: sentiment\)$", told, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_a_kind_tells_each_part_with_all_its_options(kind, capsys):
    from rnntext.options import options_of

    told = out(capsys, "list", kind)
    for name in registry.names(kind):
        assert f"{name}  (rnntext {rnntext.__version__})\n  " in told
        for option in options_of(registry.get(kind, name), kind):
            assert re.search(rf"^    {option}: \S", told, re.MULTILINE)
    assert "any value" not in told


def test_list_of_a_kind_tells_range_default_and_meaning(capsys):
    told = out(capsys, "list", "encoders")
    assert (
        "    hidden_dim: integer, at least 1; default 128\n        width H of the state in each direction.\n" in told
    )
    assert "    nonlinearity: 'tanh' | 'relu'; default \"tanh\"\n" in told
    assert "    proj_dim: integer, at least 1; default (none)\n" in told
    assert "input_dim" not in told
    assert "path: string; required\n" in out(capsys, "list", "vocabularies")


def test_list_of_an_unknown_kind_suggests_the_nearest(capsys):
    assert refused(capsys, "list", "encoder").startswith("no kind is called 'encoder'. Did you mean 'encoders'?")


def test_list_shows_a_part_that_was_registered_here(capsys):
    class Mine:
        """A made-up tokenizer."""

        contract = 1

    rnntext.register("tokenizers", "mine")(Mine)
    assert re.search(r"^  mine +session", out(capsys, "list"), re.MULTILINE)
    assert "A made-up tokenizer." in out(capsys, "list", "tokenizers")


def test_list_of_a_kind_shows_a_part_without_a_docstring(capsys):
    rnntext.register("tokenizers", "mine")(type("Mine", (), {"contract": 1}))
    assert "mine  (session" in out(capsys, "list", "tokenizers")


# ---- check and show


def test_check_of_a_valid_recipe_says_so(capsys):
    Path("t.jsonl").touch()
    path = write(RECIPE.replace('"jsonl"', '"jsonl"\ntrain = "t.jsonl"'))
    assert out(capsys, "check", path) == "r.toml: valid\n"


def test_check_tells_what_a_changed_type_left_behind_on_standard_error(capsys):
    path = write(RECIPE)
    assert main(["check", path, "--set", "encoder.type=gru"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "r.toml: valid\nneeds: dataset.train\n"
    assert printed.err == "[encoder] type 'lstm' became 'gru' (--set encoder.type=gru): left behind hidden_dim\n"


def test_check_of_a_recipe_with_faults_tells_them_on_standard_error(capsys):
    told = refused(capsys, "check", write(RECIPE + "x = 1\n[head]\ndropout = 2\n"))
    assert [line.split(" ")[0] for line in told.splitlines()] == ["r.toml:7:", "r.toml:9:", "2"]


def test_set_may_be_repeated(capsys):
    told = out(capsys, "show", write(RECIPE), "--set", "encoder.hidden_dim=5", "--set", "head.dropout=0.25")
    assert "hidden_dim = 5 " in told
    assert "dropout = 0.25 " in told


def test_show_prints_every_value_with_its_origin(capsys):
    write(RECIPE, "parent.toml")
    path = write('extends = "parent.toml"\n[training]\nepochs = 3\n')
    told = out(capsys, "show", path, "--set", "head.dropout=0.25")
    lines = [re.split(r" +# ", line) for line in told.splitlines()]
    assert ['name = "lamps"', "parent parent.toml:2"] in lines
    assert ["hidden_dim = 12", "parent parent.toml:6"] in lines
    assert ["epochs = 3", "file r.toml:3"] in lines
    assert ["dropout = 0.25", "--set head.dropout=0.25"] in lines
    assert ["batch_size = 64", "default"] in lines
    assert ["proj_dim = (none)", "default"] in lines
    assert told.endswith("# needs: dataset.train\n")


def test_what_show_prints_is_toml_but_for_values_that_are_not_given(capsys):
    path = write(RECIPE + "[[embedding]]\n[[embedding]]\ntype = 'one_hot'\n")
    told = out(capsys, "show", path)
    values = tomllib.loads("\n".join(line for line in told.splitlines() if "(none)" not in line))
    assert [table["type"] for table in values["embedding"]] == ["learned", "one_hot"]
    write("\n".join(line for line in told.splitlines() if "(none)" not in line), "again.toml")
    assert main(["check", "again.toml"]) == 0


# ---- schema, recipes, copy


def test_schema_prints_the_schema_as_json(capsys):
    assert json.loads(out(capsys, "schema")) == recipe_schema()


def test_recipes_lists_each_with_what_it_is_for(capsys):
    told = out(capsys, "recipes").splitlines()
    files = [path.relative_to(recipes_folder()) for path in recipes_folder().rglob("*.toml")]
    assert [line.split()[0] for line in told] == sorted(path.with_suffix("").as_posix() for path in files)
    assert all(len(line.split()) > 4 for line in told)


def test_copy_brings_a_recipe_with_its_schema_and_data_and_it_is_valid_there(capsys):
    files = out(capsys, "copy", "sentiment").splitlines()
    assert files[0] == "sentiment.toml"
    assert {"recipe.schema.json", "data/reviews/train.jsonl", "data/reviews/test.jsonl"} <= set(files)
    assert sorted(files) == sorted(str(path) for path in Path().rglob("*") if path.is_file())
    for file in files:
        assert Path(file).read_bytes() == (recipes_folder() / file).read_bytes()
    assert out(capsys, "check", "sentiment.toml") == "sentiment.toml: valid\n"


@pytest.mark.parametrize("recipe", shipped_recipes(), ids=lambda recipe: recipe.name)
def test_every_shipped_recipe_can_be_copied_with_its_parents_and_checked(recipe, capsys):
    assert main(["copy", f"{recipe.name}.toml"]) == 0
    refused = recipe.path.stem == "bidirectional_lm"  # shipped to show why
    assert main(["check", f"{recipe.name}.toml"]) == (2 if refused else 0)
    parent = tomllib.loads(recipe.path.read_text(encoding="utf-8")).get("extends")
    assert parent is None or Path(parent).is_file()


def test_copy_overwrites_nothing_and_then_copies_nothing(capsys):
    Path("data/reviews").mkdir(parents=True)
    mine = Path("data/reviews/test.jsonl")
    mine.write_text("mine", encoding="utf-8")
    told = refused(capsys, "copy", "sentiment")
    assert "already there: data/reviews/test.jsonl. Nothing was copied" in told
    assert mine.read_text(encoding="utf-8") == "mine"
    assert [path for path in Path().rglob("*") if path.is_file()] == [mine]


def test_copy_of_an_unknown_name_suggests_the_nearest(capsys):
    told = refused(capsys, "copy", "sentimnt")
    assert "no shipped recipe is called 'sentimnt'. Did you mean 'sentiment'?" in told
    assert "sst2" in told
    assert not list(Path().iterdir())


# ---- describe


def test_describe_shows_each_stage_without_data(capsys):
    assert main(["describe", write(RECIPE)]) == 0
    printed = capsys.readouterr()
    assert "needs dataset.train: 20,000 words and 50 tokens a text are assumed" in printed.err
    assert "lamps: the longest batch, B 64, T 50" in printed.out
    assert "states float [B 64, T 50, D 24]" in printed.out
    # 20,000 words by 100; an LSTM of 12 in two directions with two biases; 24 to two labels.
    lstm = 2 * 4 * (12 * 100 + 12 * 12 + 2 * 12)
    assert f"parameters: {20_000 * 100 + lstm + 24 * 2 + 2:,}" in printed.out
    assert "memory of a training step" in printed.out


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["check", "gone.toml"], RecipeError),
        (["list", "encoder"], UnknownNameError),
        (["copy", "gone"], UsageError),
    ],
)
def test_an_error_is_told_without_traceback_and_raised_with_debug(arguments, error, capsys):
    refused(capsys, *arguments)
    with pytest.raises(error):
        main([*arguments, "--debug"])


def test_a_folder_that_is_no_run_is_told_with_what_makes_one(capsys):
    status = main(["predict", "nowhere", "--text", "a warm lamp"])
    told = capsys.readouterr().err
    assert status in (1, 2)
    assert "there is no run folder nowhere" in told
    assert "Traceback" not in told


def test_an_interrupt_ends_with_status_130(monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnntext.recipe.read_recipe", interrupt)
    assert main(["check", write(RECIPE)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_file_that_may_not_be_written_is_told_without_traceback(monkeypatch, capsys):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", "sentiment.toml")

    monkeypatch.setattr("shutil.copyfile", refuse)
    assert main(["copy", "sentiment"]) == 1
    assert capsys.readouterr().err == "rnntext: [Errno 13] Permission denied: 'sentiment.toml'\n"
    with pytest.raises(PermissionError):
        main(["copy", "sentiment", "--debug"])


# ---- as a process


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnntext", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(rnntext.__file__).parents[1]), **environment},
    )


def test_the_module_runs_as_the_command_and_passes_its_status_on():
    listed = process("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("datasets\n")
    failed = process("check", "gone.toml")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("gone.toml: cannot read the recipe")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"'{sys.executable}' -m rnntext schema | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(rnntext.__file__).parents[1])},
    )
    assert done.stdout == "{\n0\n"
    assert done.stderr == ""


def test_a_reader_that_is_gone_before_the_first_line_is_no_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "rnntext", "list"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(rnntext.__file__).parents[1])},
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_told_without_traceback():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rnntext", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(rnntext.__file__).parents[1])},
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


# ---- colour


COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;)[0-9;]*m")


@pytest.fixture
def _like_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("_like_a_terminal")
def test_no_color_is_obeyed(monkeypatch, capsys):
    console().print("[red]lamp[/red]")
    assert COLOUR.search(capsys.readouterr().out)
    monkeypatch.setenv("NO_COLOR", "1")
    console().print("[red]lamp[/red]")
    assert not COLOUR.search(capsys.readouterr().out)


def test_a_table_in_a_pipe_has_no_escapes_and_does_not_fold(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS")
    assert main(["describe", write(RECIPE)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    (line,) = [line for line in told.splitlines() if "states float" in line]
    assert "a state reads the future" in line
    assert re.search(r"[\d,]+\s*$", line)
