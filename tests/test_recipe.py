"""Recipes: every problem at once and in its place, parents and settings in their order, frozen without loss."""

import builtins
import io
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_jsonl

import rnntext
from rnntext import registry
from rnntext.cli import main
from rnntext.errors import RecipeError
from rnntext.recipe import Recipe, read_recipe
from rnntext.recipe_source import parse_settings
from rnntext.shipping import recipes_folder

DATA = '[dataset]\ntype = "jsonl"\n'
DATASETS = ", ".join(registry.names("datasets"))
ENCODERS = ", ".join(registry.names("encoders"))
FIVE_MISTAKES = """name = "five"

[dataset]
type = "jsonl"
train = "trian.jsonl"        # missing file

[batching]
batch_size = -3              # negative size

[embedding]
output_dim = "64"            # string for number

[encoder]
type = "lstmm"               # misspelt encoder

[training]
epoch = 3                    # unknown key
"""
SHIPPED = sorted(recipes_folder().glob("*.toml"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registry.registrations_undone():
        yield


def write(text: str | bytes, name: str = "r.toml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def read(text: str | bytes, *pairs: str) -> Recipe:
    return read_recipe(write(text), list(pairs))


def problems(text: str | bytes, *pairs: str) -> list[str]:
    """Return the problems of a recipe, each as it is printed."""
    with pytest.raises(RecipeError) as raised:
        read(text, *pairs)
    told = str(raised.value).splitlines()
    count = len(raised.value.problems)
    assert told[-1] == ("1 problem" if count == 1 else f"{count} problems") + ". Nothing was run."
    return [str(problem) for problem in raised.value.problems]


def problem(text: str | bytes, *pairs: str) -> str:
    (only,) = problems(text, *pairs)
    return only


def plain(recipe: Recipe) -> list[tuple[str, dict[str, Any]]]:
    """Return all values, tuples as lists, which TOML does not tell apart."""
    return [
        (table, {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()})
        for table, values in recipe.values()
    ]


# ---- shipped recipes


def test_recipes_are_shipped():
    assert {"sentiment", "sentiment_rnn", "sentiment_gru", "sst2"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid_and_named_after_its_file(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert all(re.fullmatch(r"dataset\.\w+", key) for key in recipe.needs)


# ---- all problems at once


def test_five_mistakes_are_five_problems_with_their_lines_and_nearest_names():
    write_jsonl(Path("train.jsonl"), [])
    assert problems(FIVE_MISTAKES) == [
        f"r.toml:5: [dataset] train: there is no file {str(Path('trian.jsonl').resolve())!r}. "
        "Did you mean 'train.jsonl'?",
        "r.toml:8: [batching] batch_size: -3 does not fit; expected integer, at least 1.",
        "r.toml:11: [embedding] output_dim: '64' does not fit; expected integer, at least 1. "
        "Write it without quotation marks.",
        "r.toml:14: [encoder] type: no encoder is called 'lstmm'. Did you mean 'lstm'? "
        f"Encoders: {ENCODERS}. More: rnntext list encoders",
        "r.toml:17: [training] epoch: not an option here. Did you mean 'epochs'?",
    ]


@pytest.mark.parametrize("command", ["check", "run", "show", "describe"])
def test_five_mistakes_end_a_command_with_status_2_before_any_data_are_opened(command, monkeypatch, capsys):
    data = write_jsonl(Path("reviews.jsonl"), [{"text": "a fine tent", "label": "good"}])
    write(FIVE_MISTAKES.replace('type = "jsonl"', f'type = "jsonl"\nvalidation = "{data}"'))
    opened: list[str] = []

    def watch(module: Any) -> None:
        genuine = module.open

        def watched(file: Any, *arguments: Any, **more: Any) -> Any:
            opened.append(str(file))
            return genuine(file, *arguments, **more)

        monkeypatch.setattr(module, "open", watched)

    watch(builtins)
    watch(io)
    assert main([command, "r.toml"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "5 problems. Nothing was run." in printed.err
    assert "Traceback" not in printed.err
    assert "r.toml" in opened  # the watch works
    assert not [file for file in opened if file.endswith(".jsonl")]
    assert not Path("runs").exists()


def test_wrong_combinations_are_told_together_with_all_other_problems():
    text = DATA + "[encoder]\nhiden_dim = 3\ndropout = 0.5\n[head]\ncrf = true\n[training]\nselect_by = 'f1'\nx = 1\n"
    assert [line.split(": ")[0] for line in problems(text)] == [f"r.toml:{line}" for line in (4, 5, 7, 9, 10)]


def test_problems_are_told_in_reading_order_and_those_of_settings_last():
    found = problems(DATA + "[training]\nepochs = 0\n[encoder]\nhidden_dim = 0\n", "head.dropout=2")
    assert [text.split(" ")[0] for text in found] == ["r.toml:4:", "r.toml:6:", "--set"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_mistake_is_found_on_its_line_wherever_it_stands(tmp_path_factory, data):
    blocks = {
        "dataset": ['type = "jsonl"', 'text_field = "t"', "multi_label = false"],
        "encoder": ['type = "gru"', "hidden_dim = 4", "bidirectional = true"],
        "training": ["epochs = 2", 'optimizer = "sgd"', "learning_rate = 0.5"],
        "head": ['pooling = [\n  "max",\n  "mean", # two\n]', "class_weights = {a = 1, b = 2}"],
        "tokenizer": ["pattern = '''\n\\w+\n'''", 'type = "regex"'],
    }
    wrong_table = data.draw(st.sampled_from(list(blocks)))
    lines: list[str] = []
    for table in data.draw(st.permutations(list(blocks))):
        lines += data.draw(st.lists(st.sampled_from(["", "# [encoder]", "  # x = 1"]), max_size=2))
        lines.append(data.draw(st.sampled_from([f"[{table}]", f'  [ "{table}" ] # the table'])))
        keys = data.draw(st.permutations(blocks[table]))
        if table == wrong_table:
            keys.insert(data.draw(st.integers(0, len(keys))), data.draw(st.sampled_from(["zz = 1", "'z z' = [\n1]"])))
        lines += keys
    text = "\n".join(lines) + "\n"
    wrong_line = next(number for number, line in enumerate(text.split("\n"), 1) if line.startswith(("zz", "'z z'")))
    path = tmp_path_factory.mktemp("lines") / "r.toml"
    path.write_bytes(text.replace("\n", data.draw(st.sampled_from(["\n", "\r\n"]))).encode())
    with pytest.raises(RecipeError) as raised:
        read_recipe(path)
    (found,) = raised.value.problems
    assert (found.line, found.table) == (wrong_line, wrong_table)


# ---- form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[encodr]\ntype = "lstm"\n' + DATA, "r.toml:1: [encodr] there is no such table. Did you mean 'encoder'?"),
        (DATA + "[lamp.shade]\na = 1\n", "r.toml:3: [lamp] there is no such table. Tables: dataset, tokenizer, "),
        (DATA + "[[lamp]]\na = 1\n[[lamp]]\n", "r.toml:3: [lamp] there is no such table. Tables: dataset, "),
        ("\nsed = 1\n" + DATA, "r.toml:2: sed: not an option here. Did you mean 'seed'?"),
        ('encoder = "lstm"\n' + DATA, "r.toml:1: encoder: must be a table; write [encoder] on a line of its own"),
        ("embedding = []\n" + DATA, "r.toml:1: embedding: must be a table; write [embedding] on a line of its own"),
        (DATA + "[[encoder]]\n[[encoder]]\n", "r.toml:3: [encoder] only [[embedding]] may be repeated; write [encod"),
        ('[[dataset]]\ntype = "jsonl"\n', "r.toml:1: [dataset] only [[embedding]] may be repeated; write [dataset]"),
        (DATA + "[[training]]\n", "r.toml:3: [training] only [[embedding]] may be repeated; write [training]"),
        ("recipe_version = 2\n" + DATA, "r.toml:1: recipe_version: 2 does not fit; expected 1."),
        ('name = "x"\n', f"r.toml: [dataset] type: missing; name one of: {DATASETS}"),
        ("", f"r.toml: [dataset] type: missing; name one of: {DATASETS}"),
        ("\n[dataset]\nlimit = 3\n", f"r.toml:2: [dataset] type: missing; name one of: {DATASETS}"),
        (DATA + "[encoder]\ntype = 3\n", f"r.toml:4: [encoder] type: 3 is no name; name one of: {ENCODERS}"),
        (DATA + "[encoder]\ntype = ['lstm']\n", "r.toml:4: [encoder] type: ['lstm'] is no name; name one of: "),
        (
            DATA + "[encoder]\ntype = 'regex'\n",
            "r.toml:4: [encoder] type: no encoder is called 'regex'. ('regex' is ",
        ),
        (DATA + "[vocabulary]\ntype = 'word_list'\n", "r.toml:3: [vocabulary] path: missing. "),
        (DATA + "[[embedding]]\n[embedding.x]\na = 1\n", "r.toml:3: [embedding] x: not an option here. Options: "),
        ("encoder = {hidden_dim = 0}\n" + DATA, "r.toml:1: [encoder] hidden_dim: 0 does not fit; expected integer, "),
        ("\nencoder.hidden_dim = 0\n" + DATA, "r.toml:2: [encoder] hidden_dim: 0 does not fit; expected integer, "),
    ],
)
def test_a_fault_of_form_is_one_problem_in_its_place(text, expected):
    assert problem(text).startswith(expected)


def test_each_embedding_is_checked_on_its_own_lines():
    text = DATA + "[[embedding]]\ndropout = 1.5\n[[embedding]]\ntype = 'one_hot'\noutput_dim = 3\n"
    first, second = problems(text)
    assert first.startswith("r.toml:4: [embedding.0] dropout: 1.5 does not fit")
    assert second == "r.toml:7: [embedding.1] output_dim: not an option here. Options: dropout, type, word_dropout."


def test_a_core_table_does_not_offer_the_key_type():
    assert "type" not in re.split(r"\W+", problem(DATA + "[training]\nzzz = 1\n"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[dataset]\ntype = "jsonl\n', 2),
        ("[dataset]\ntype = jsonl\n", 2),
        ('[dataset]\ntype = "jsonl"\ntype = "csv"\n', 3),
        (DATA + "[encoder]\n[dataset]\n", 4),
        (DATA + 'x = """\n\n', 5),
        (DATA.replace("\n", "\r"), 1),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(text, line):
    assert problem(text).startswith(f"r.toml:{line}: this is not TOML: ")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000 + "]" * 3000], ids=["long number", "deep list"])
def test_what_python_cannot_hold_is_a_problem_not_a_crash(value):
    assert "this is not TOML: " in problem(f"seed = {value}\n{DATA}")


def test_a_file_that_is_not_utf_8_is_told_with_line_and_byte():
    content = DATA.encode() + b'[encoder]\ntype = "\xff"\n'
    assert problem(content) == "r.toml:4: byte 43 is not UTF-8; save the recipe as UTF-8"
    assert content[43] == 0xFF
    assert "is not UTF-8" in problem(DATA.encode("utf-16"))


def test_a_byte_order_mark_and_windows_line_ends_change_nothing():
    recipe = read(b"\xef\xbb\xbf" + ('name = "x"\n' + DATA).replace("\n", "\r\n").encode())
    assert recipe.name == "x"
    assert problem(b"\xef\xbb\xbf" + b"x = 1\r\n" + DATA.encode()).startswith("r.toml:1: x: not an option here.")
    assert problem((DATA + "[encoder]\nhiden_dim = 3\n").replace("\n", "\r\n")).startswith("r.toml:4: [encoder] hid")


def test_a_recipe_that_is_not_there_is_answered_with_the_nearest_file():
    write(DATA, "sentiment.toml")
    with pytest.raises(RecipeError, match=r"sentimnt\.toml: cannot read the recipe.*Did you mean 'sentiment\.toml'"):
        read_recipe("sentimnt.toml")
    with pytest.raises(RecipeError, match="is a folder"):
        read_recipe(".")


# ---- values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[encoder]\nhidden_dim = true", "true does not fit; expected integer, at least 1."),
        ("[encoder]\nhidden_dim = 3.0", "3.0 does not fit; expected integer, at least 1."),
        ("[encoder]\nhidden_dim = 1979-05-27", "1979-05-27 does not fit; expected integer, at least 1."),
        ("[encoder]\nbidirectional = 1", "1 does not fit; expected true or false."),
        ("[head]\ndropout = false", "false does not fit; expected number, at least 0, below 1."),
        ("[head]\ndropout = nan", "nan does not fit; expected number, at least 0, below 1."),
        ("[training]\nlearning_rate = inf", "inf does not fit; expected number, above 0."),
        ("[training]\ndevice = 'gpu'", "'gpu' does not fit; expected string, matching ^(auto|cpu|mps|cuda(:"),
        (
            "[encoder]\nhidden_dim = 99999999999999999999",
            "the number does not fit; integers of a recipe have at most",
        ),
        ("[head]\npooling = ['max', 'mena']", "['max', 'mena'] does not fit; expected "),
        (
            "[head]\nclass_weights = {good = -1}",
            "{'good': -1} does not fit; expected 'none' | 'balanced' or table of ",
        ),
        ("[batching]\nbatch_size = 0", "0 does not fit; expected integer, at least 1."),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_told_with_what_was_expected(line, expected):
    assert expected in problem(DATA + line + "\n")


def test_a_seed_out_of_range_is_told_with_the_exact_range():
    assert "integer, at least 0, below 4294967296." in problem(f"seed = 4294967296\n{DATA}")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "", "a\n", "ä", "-x", "\x00", "😀"])
def test_a_name_that_makes_no_plain_folder_is_refused(name):
    with pytest.raises(RecipeError, match=r"name: .* does not fit"):
        read_recipe(write(DATA), {"name": name})


@pytest.mark.parametrize("name", ["a", "A-1", "x.y_z", "_", "007"])
def test_a_plain_name_is_taken(name):
    assert read_recipe(write(DATA), {"name": name}).name == name


def test_an_integer_passes_for_a_float():
    recipe = read(DATA + "[training]\nlearning_rate = 1\ngradient_clip = 0\n")
    assert isinstance(recipe.training.learning_rate, float)
    assert (recipe.training.learning_rate, recipe.training.gradient_clip) == (1.0, 0.0)


def test_a_table_left_out_has_all_its_defaults():
    recipe = read(DATA)
    assert (recipe.tokenizer.name, recipe.vocabulary.name, recipe.encoder.name) == ("regex", "frequency", "lstm")
    assert [choice.name for choice in recipe.embeddings] == ["learned"]
    assert recipe.head.name == "classification"
    assert recipe.training.select_by is None
    assert recipe.max_tokens == recipe.batching.max_tokens == 1000
    assert {origin.how for key, origin in recipe.origins.items() if key != ("dataset", "type")} == {"default"}


def test_max_tokens_of_0_never_cuts():
    assert read(DATA + "[batching]\nmax_tokens = 0\n").max_tokens is None


# ---- data that are not there


def test_data_left_out_are_needed_and_check_says_so_with_status_0(capsys):
    path = write(DATA)
    assert read_recipe(path).needs == ["dataset.train"]
    assert main(["check", "r.toml"]) == 0
    assert capsys.readouterr().out == "r.toml: valid\nneeds: dataset.train\n"


def test_a_run_without_its_data_ends_with_status_2_and_the_line_to_add(capsys):
    write(DATA)
    assert main(["run", "r.toml"]) == 2
    told = capsys.readouterr().err
    assert 'add the line train = "FILE" under [dataset]' in told
    assert "--set dataset.train=FILE" in told
    assert "1 problem. Nothing was run." in told
    assert not Path("runs").exists()
    with pytest.raises(RecipeError, match="this recipe brings no data"):
        rnntext.run("r.toml")


def test_needed_data_hide_no_other_problem():
    assert problem(DATA + "label_feild = 'x'\n").endswith("Did you mean 'label_field'?")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nowhere.jsonl", "there is no file "),
        ("", "is a folder; a file is needed"),
        ("nowhere/reviews.jsonl", "there is no file "),
        (r"a\u0000b", "no file can be called so"),
        ("a" * 5000, "no file can be called so"),
    ],
    ids=["missing", "folder", "in a missing folder", "null byte", "too long"],
)
def test_a_given_path_that_is_no_file_is_a_problem(value, reason):
    told = problem(DATA + f'train = "{value}"\n')
    assert told.startswith("r.toml:3: [dataset] train: ")
    assert reason in told


def test_a_model_loads_without_its_data():
    path = write(DATA + 'train = "gone.jsonl"\n')
    assert read_recipe(path, files_needed=False).dataset.options["train"] == str(Path("gone.jsonl").resolve())


def test_paths_are_relative_to_their_file_and_in_settings_to_the_current_folder(monkeypatch):
    for folder in ("sub", "sub/deep", "here"):
        Path(folder).mkdir()
        for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
            Path(folder, name).touch()
    write(DATA + 'train = "a.jsonl"\nvalidation = "b.jsonl"\n', "sub/parent.toml")
    write('extends = "../parent.toml"\n[dataset]\nvalidation = "b.jsonl"\n', "sub/deep/child.toml")
    monkeypatch.chdir("here")
    for overrides in (["dataset.test=c.jsonl"], {"dataset.test": "c.jsonl"}, {"dataset.test": Path("c.jsonl")}):
        options = read_recipe("../sub/deep/child.toml", overrides).dataset.options
        folder = Path.cwd().parent
        assert options["train"] == str(folder / "sub/a.jsonl")
        assert options["validation"] == str(folder / "sub/deep/b.jsonl")
        assert options["test"] == str(folder / "here/c.jsonl")


# ---- wrong combinations


def test_a_crf_under_classification_is_refused_with_its_reason():
    told = problem(DATA + "[head]\ncrf = true\n")
    assert told.startswith("r.toml:4: [head] crf: a CRF scores which tag follows which")
    assert "Did you mean" not in told


@pytest.mark.parametrize("encoder", ["lstm", "gru", "rnn"])
def test_dropout_between_the_layers_of_one_layer_is_refused(encoder):
    told = problem(DATA + f"[encoder]\ntype = '{encoder}'\ndropout = 0.2\n")
    assert told.startswith("r.toml:5: [encoder] dropout: drops between layers, and there is one layer")
    assert read(DATA + f"[encoder]\ntype = '{encoder}'\ndropout = 0.2\nnum_layers = 2\n")


def test_a_projection_must_be_narrower_than_the_state():
    assert "proj_dim: must be smaller than hidden_dim (8)" in problem(
        DATA + "[encoder]\nhidden_dim = 8\nproj_dim = 8\n"
    )
    assert read(DATA + "[encoder]\nhidden_dim = 8\nproj_dim = 7\n").encoder.options["proj_dim"] == 7


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_is_either_given_or_drawn(split):
    Path("v.jsonl").touch()
    told = problem(DATA + f"{split} = 'v.jsonl'\n{split}_fraction = 0.1\n")
    assert told.startswith(f"r.toml:4: [dataset] {split}_fraction: the {split} split is given already")


def test_an_unknown_metric_is_answered_with_the_nearest_one_of_the_head():
    told = problem(DATA + "[training]\nselect_by = 'acuracy'\n")
    assert told.endswith("select_by: head 'classification' has no metric 'acuracy'. Did you mean 'accuracy'?")
    assert "Metrics: accuracy, macro_f1" in problem(DATA + "[training]\nselect_by = 'zzz'\n")
    assert read(DATA + "[training]\nselect_by = 'macro_f1'\n").training.select_by == "macro_f1"
    assert read(DATA + "[training]\nselect_by = 'loss'\n").training.select_by == "loss"


def test_one_pool_twice_is_refused():
    assert "names a pool twice" in problem(DATA + "[head]\npooling = ['max', 'max']\n")


def a_head(hidden: set[str]) -> type:
    class FakeHead:
        contract = 1
        metrics: ClassVar[dict[str, str]] = {"perplexity": "smaller"}
        hides = frozenset(hidden)
        why_hidden = "it would have seen the answer"
        cuts_long_texts = False

        def __init__(self, *, input_dim: int, labels: dict[str, Any]) -> None:
            pass

    return FakeHead


def test_a_head_that_hides_the_future_refuses_an_encoder_that_reads_it():
    rnntext.register("heads", "guess_next")(a_head({"future"}))
    text = DATA + "[head]\ntype = 'guess_next'\n[encoder]\ntype = 'gru'\n"
    told = problem(text)
    assert told.startswith("r.toml:6: [encoder] type: a state of 'gru' with these options reads the future; ")
    assert told.endswith("it would have seen the answer")
    assert read(text + "bidirectional = false\n").encoder.name == "gru"


def test_a_head_that_hides_a_tokens_own_state_refuses_deep_interleaved_directions_alone():
    rnntext.register("heads", "guess_blank")(a_head({"own_token"}))
    text = DATA + "[head]\ntype = 'guess_blank'\n[encoder]\n"
    assert "reads the own token; it would have seen the answer" in problem(text + "num_layers = 2\n")
    assert read(text + "num_layers = 1\n")
    assert read(text + "num_layers = 2\ninterleaved = false\n")
    assert read(text + "num_layers = 2\nbidirectional = false\n")


def test_a_head_says_which_metrics_there_are_and_whether_texts_are_cut():
    rnntext.register("heads", "guess_blank")(a_head(set()))
    recipe = read(DATA + "[head]\ntype = 'guess_blank'\n")
    assert recipe.max_tokens is None
    assert "has no metric 'accuracy'" in problem(
        DATA + "[head]\ntype = 'guess_blank'\n[training]\nselect_by = 'accuracy'\n"
    )


def test_a_misused_encoder_is_told_beside_other_problems_even_when_given_twice():
    rnntext.register("heads", "guess_next")(a_head({"future"}))
    found = problems(DATA + "x = 1\n[head]\ntype = 'guess_next'\n[[encoder]]\n[[encoder]]\n")
    assert any("not an option here" in text for text in found)
    assert any("may be repeated" in text for text in found)
    assert any("seen the answer" in text for text in found)


def test_a_part_that_cannot_be_imported_is_a_problem(monkeypatch):
    monkeypatch.setitem(registry.BUILT_INS["encoders"], "broken", "rnntext.encoders.nowhere:Broken")
    assert "No module named 'rnntext.encoders.nowhere'" in problem(DATA + "[encoder]\ntype = 'broken'\n")


# ---- parents


def test_tables_are_merged_key_by_key_over_three_generations_with_origins():
    write(
        DATA + "[encoder]\nhidden_dim = 7\nnum_layers = 2\ndropout = 0.1\n[training]\nepochs = 3\npatience = 9\n",
        "old/grandparent.toml",
    )
    write("extends = 'old/grandparent.toml'\nseed = 5\n[encoder]\nhidden_dim = 8\n", "parent.toml")
    recipe = read("extends = 'parent.toml'\nname = 'child'\n[encoder]\ndropout = 0.2\n[training]\nepochs = 4\n")
    assert recipe.encoder.options["hidden_dim"] == 8
    assert recipe.encoder.options["num_layers"] == 2
    assert recipe.encoder.options["dropout"] == 0.2
    assert (recipe.training.epochs, recipe.training.patience) == (4, 9)
    assert (recipe.name, recipe.seed) == ("child", 5)
    assert recipe.left_behind == []
    told = {f"{table}.{key}": str(origin) for (table, key), origin in recipe.origins.items()}
    assert told["encoder.hidden_dim"] == "parent parent.toml:4"
    assert told["encoder.num_layers"] == "parent old/grandparent.toml:5"
    assert told["encoder.dropout"] == "file r.toml:4"
    assert told["encoder.type"] == "default"
    assert told["training.patience"] == "parent old/grandparent.toml:9"


def test_a_problem_of_a_parent_is_told_in_the_parents_file():
    write(DATA + "[encoder]\nhidden_dim = 0\n", "parent.toml")
    assert problem("extends = 'parent.toml'\n").startswith("parent.toml:4: [encoder] hidden_dim: 0 does not fit")


def test_a_childs_value_mends_a_parents_problem():
    write(DATA + "[encoder]\nhidden_dim = 0\n", "parent.toml")
    assert read("extends = 'parent.toml'\n[encoder]\nhidden_dim = 4\n").encoder.options["hidden_dim"] == 4


def test_a_changed_type_starts_its_table_afresh_and_says_what_it_left_behind():
    write(DATA + "[encoder]\ntype = 'lstm'\nhidden_dim = 7\nproj_dim = 3\n[head]\ndropout = 0.1\n", "parent.toml")
    recipe = read("extends = 'parent.toml'\n[encoder]\ntype = 'gru'\nhidden_dim = 9\n")
    assert recipe.encoder.name == "gru"
    assert recipe.encoder.options["hidden_dim"] == 9
    assert "proj_dim" not in recipe.encoder.options
    assert recipe.head.options["dropout"] == 0.1
    assert recipe.left_behind == [
        "[encoder] type 'lstm' became 'gru' (file r.toml:3): left behind proj_dim",
    ]


def test_a_type_that_was_only_implied_can_be_changed_too():
    write(DATA + "[encoder]\nproj_dim = 3\n", "parent.toml")
    recipe = read("extends = 'parent.toml'\n[encoder]\ntype = 'gru'\n")
    assert recipe.left_behind == ["[encoder] type 'lstm' became 'gru' (file r.toml:3): left behind proj_dim"]


@pytest.mark.parametrize("name", ["classification", "sentiment", "rnntext/classification"])
def test_the_same_part_under_another_name_is_no_change_of_type(name):
    write(DATA + "[head]\ndropout = 0.1\n", "parent.toml")
    recipe = read(f"extends = 'parent.toml'\n[head]\ntype = '{name}'\n")
    assert recipe.head.options["dropout"] == 0.1
    assert recipe.left_behind == []


def test_embeddings_replace_those_of_the_parent_where_there_are_several():
    write(DATA + "[embedding]\noutput_dim = 5\n", "parent.toml")
    recipe = read("extends = 'parent.toml'\n[[embedding]]\noutput_dim = 6\n[[embedding]]\ntype = 'one_hot'\n")
    assert [choice.name for choice in recipe.embeddings] == ["learned", "one_hot"]
    assert recipe.embeddings[0].options["output_dim"] == 6


def test_recipes_that_extend_each_other_in_a_ring_are_refused():
    write("extends = 'b.toml'\n", "a.toml")
    write("extends = 'sub/../c.toml'\n", "b.toml")
    Path("sub").mkdir()
    write("name = 'c'\nextends = 'a.toml'\n", "c.toml")
    with pytest.raises(RecipeError) as raised:
        read_recipe("a.toml")
    told = str(raised.value.problems[0]).replace("sub/../", "")
    assert told == "c.toml:2: extends: the recipes extend each other in a ring: a.toml -> b.toml -> c.toml -> a.toml"


def test_a_recipe_that_extends_itself_is_refused():
    assert "ring: r.toml -> r.toml" in problem("extends = './r.toml'\n")


@pytest.mark.parametrize("value", ["'sentimnt.toml'", "'.'", "''", r'"a\u0000b"', f"'{'a' * 5000}'"])
def test_a_parent_that_is_not_there_is_told_with_the_line(value):
    write(DATA, "sentiment.toml")
    told = problem(f"name = 'x'\nextends = {value}\n")
    assert told.startswith("r.toml:2: extends: there is no recipe ")
    assert told.endswith("Did you mean 'sentiment.toml'?") == (value == "'sentimnt.toml'")


def test_extends_takes_one_path():
    assert "must be the path of one recipe" in problem("extends = ['a.toml']\n")


# ---- settings


def test_settings_are_toml_and_else_strings():
    pairs = ["a.a=1", "a.b=1.5", "a.c=true", "a.d=['x', 'y']", "a.e='q'", "a.f=plain words", "a.g={k = 2}", "a.h="]
    found = parse_settings(pairs)
    assert list(found) == ["a.a", "a.b", "a.c", "a.d", "a.e", "a.f", "a.g", "a.h"]
    assert list(found.values()) == [1, 1.5, True, ["x", "y"], "q", "plain words", {"k": 2}, ""]
    assert found["a.c"] is True
    assert parse_settings([" a.a = x=y "]) == {"a.a": " x=y "}


@pytest.mark.parametrize("text", ["5\nb = 3", "5\n[b]", "9" * 5000], ids=["another key", "a table", "a long number"])
def test_a_setting_of_more_than_one_value_is_a_string(text):
    assert parse_settings([f"a={text}"]) == {"a": text}


@pytest.mark.parametrize("pair", ["encoder.hidden_dim", "=3", " =3", ""])
def test_a_setting_without_key_or_equals_sign_is_told_how_to_write_it(pair):
    assert "expected table.key=VALUE, such as --set encoder.hidden_dim=64" in problem(DATA, pair)


def test_a_key_set_twice_is_refused():
    assert problem(DATA, "seed=1", "seed =2") == "--set seed =2: seed is set twice"


def test_settings_win_over_the_file():
    recipe = read("seed = 1\n" + DATA + "[encoder]\nhidden_dim = 3\n", "seed=2", "encoder.hidden_dim=5")
    assert recipe.seed == 2
    assert recipe.encoder.options["hidden_dim"] == 5
    assert str(recipe.origins["encoder", "hidden_dim"]) == "--set encoder.hidden_dim=5"


@pytest.mark.parametrize("order", [1, -1])
def test_a_type_is_set_before_the_keys_of_its_table_whatever_the_order(order):
    text = DATA + "[encoder]\ntype = 'lstm'\nhidden_dim = 7\nproj_dim = 3\n"
    pairs = ["encoder.hidden_dim=5", "encoder.nonlinearity=relu", "encoder.type=rnn"][::order]
    recipe = read(text, *pairs)
    assert recipe.encoder.name == "rnn"
    assert recipe.encoder.options["hidden_dim"] == 5
    assert recipe.encoder.options["nonlinearity"] == "relu"
    assert len(recipe.left_behind) == 1
    assert "(--set encoder.type=rnn)" in recipe.left_behind[0]
    assert "proj_dim" in recipe.left_behind[0]


def test_an_embedding_is_addressed_by_its_number():
    text = DATA + "[[embedding]]\n[[embedding]]\ntype = 'one_hot'\n"
    recipe = read(text, "embedding.0.output_dim=5", "embedding.1.dropout=0.5")
    assert recipe.embeddings[0].options["output_dim"] == 5
    assert recipe.embeddings[0].options["dropout"] == 0.0
    assert recipe.embeddings[1].options["dropout"] == 0.5
    assert read(text, "embedding.1.type=learned", "embedding.1.output_dim=2").embeddings[1].name == "learned"
    assert read(DATA, "embedding.0.output_dim=5").embeddings[0].options["output_dim"] == 5
    assert read(DATA, "embedding.output_dim=5").embeddings[0].options["output_dim"] == 5


def test_a_key_within_a_table_valued_option_is_set():
    text = DATA + "[head.class_weights]\ngood = 1\n"
    assert read(text, "head.class_weights.bad=3").head.options["class_weights"] == {"good": 1.0, "bad": 3.0}
    assert read(DATA, "head.class_weights.bad=3").head.options["class_weights"] == {"bad": 3.0}


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ("encodr.x=1", "[encodr] there is no such table. Did you mean 'encoder'?"),
        ("encoder=lstm", "encoder is a table; set one of its keys, such as encoder.type"),
        ("sed=1", "sed: not an option here. Did you mean 'seed'?"),
        ("embedding.dropout=0.1", "there are 2 [[embedding]] tables; say which: embedding.0.dropout"),
        ("embedding.2.dropout=0.1", "expected embedding.N.key=VALUE with N from 0 to 1"),
        ("embedding.0=0.1", "expected embedding.N.key=VALUE with N from 0 to 1"),
        ("encoder.1.hidden_dim=3", "expected encoder.N.key=VALUE with N from 0 to 0"),
        ("encoder.hidden_dim.x=1", "encoder.hidden_dim is a plain value, not a table"),
        ("encoder.hidden_dim=many", "[encoder] hidden_dim: 'many' does not fit; expected integer, at least 1."),
        ("encoder.type=grru", "[encoder] type: no encoder is called 'grru'. Did you mean 'gru'?"),
        ("encoder.²=1", "[encoder] ²: not an option here."),
        ("training.=1", "[training] not an option here."),
        (".=1", "there is no such table."),
        ("dataset.train=gone.jsonl", "[dataset] train: there is no file "),
        ("extends=other.toml", "extends: a parent is named in the recipe itself"),
    ],
)
def test_a_setting_that_cannot_be_placed_or_does_not_fit_is_told_as_it_was_written(pair, reason):
    text = DATA + "[encoder]\nhidden_dim = 3\n[[embedding]]\n[[embedding]]\n"
    told = problem(text, pair)
    assert told.startswith(f"--set {pair}: ")
    assert reason in told


def test_overrides_are_values_and_called_so():
    path = write(DATA)
    overrides = {"encoder.hidden_dim": 5, "head.pooling": ("max", "mean"), "head.class_weights": {"a": 2}, "seed": 9}
    recipe = read_recipe(path, overrides)
    assert recipe.encoder.options["hidden_dim"] == 5
    assert recipe.head.options["pooling"] == ["max", "mean"]
    assert recipe.head.options["class_weights"] == {"a": 2.0}
    assert recipe.seed == 9
    assert str(recipe.origins["encoder", "hidden_dim"]) == "overrides encoder.hidden_dim=5"
    with pytest.raises(RecipeError) as raised:
        read_recipe(path, {"encoder.hidden_dim": "5", "training.epochs": None})
    first, second = map(str, raised.value.problems)
    assert first.startswith("overrides encoder.hidden_dim=5: [encoder] hidden_dim: '5' does not fit")
    assert second.startswith("overrides training.epochs=None: [training] epochs: None does not fit")


@settings(max_examples=60, deadline=None)
@given(
    layers=st.fixed_dictionaries(
        {}, optional={name: st.integers(1, 500) for name in ("setting", "file", "parent", "grandparent")}
    ),
    key=st.sampled_from(["training.epochs", "encoder.hidden_dim", "batching.batch_size", "seed", "dataset.limit"]),
)
def test_settings_win_over_the_file_over_its_parents_over_the_default(tmp_path_factory, layers, key):
    folder = tmp_path_factory.mktemp("layers")
    above = None
    for name in ("grandparent", "parent", "file"):
        table, _, option = key.rpartition(".")
        text = f"extends = '{above}.toml'\n" if above else ""
        line = f"{option} = {layers[name]}\n" if name in layers else ""
        tables = {"": "", "dataset": "" if above else "type = 'jsonl'\n"}
        tables[table] = tables.get(table, "") + line
        text += tables.pop("") + "".join(f"[{table}]\n{lines}" for table, lines in tables.items())
        (folder / f"{name}.toml").write_text(text)
        above = name
    pairs = [f"{key}={layers['setting']}"] if "setting" in layers else []
    recipe = read_recipe(folder / "file.toml", pairs)
    table, _, option = key.rpartition(".")
    winner = next((name for name in ("setting", "file", "parent", "grandparent") if name in layers), "default")
    defaults = {"epochs": 20, "hidden_dim": 128, "batch_size": 64, "seed": 1, "limit": None}
    assert dict(recipe.values())[table][option] == layers.get(winner, defaults[option])
    how = {"setting": "--set", "grandparent": "parent"}.get(winner, winner)
    origin = recipe.origins[table, option]
    assert origin.how == how
    assert Path(origin.file).stem == (winner if how in ("file", "parent") else "")


# ---- frozen


def options_to_set() -> st.SearchStrategy[dict[str, Any]]:
    share = st.floats(0, 0.99, allow_subnormal=False)
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    weights = st.dictionaries(text, st.floats(0.01, 1e6), min_size=1, max_size=3)
    pools = st.lists(st.sampled_from(["final", "max", "mean", "attention"]), min_size=1, max_size=4, unique=True)
    return st.fixed_dictionaries(
        {},
        optional={
            "name": st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}\Z"),
            "seed": st.integers(0, 2**32 - 1),
            "dataset.text_field": text.map(lambda name: f"t{name}"),
            "dataset.group_fields": st.lists(text.map(lambda name: f"g{name}"), max_size=3, unique=True),
            "dataset.validation_fraction": st.floats(0.01, 0.99) | st.none(),
            "dataset.limit": st.integers(1, 2**62) | st.none(),
            "tokenizer.pattern": text.map(lambda part: re.escape(part) + r"|\S"),
            "vocabulary.lowercase": st.booleans(),
            "vocabulary.max_size": st.integers(3, 10**9) | st.none(),
            "batching.batch_tokens": st.integers(1, 10**6) | st.none(),
            "encoder.type": st.sampled_from(["lstm", "gru", "rnn", "rnntext/gru"]),
            "encoder.hidden_dim": st.integers(1, 10**6),
            "encoder.bidirectional": st.booleans(),
            "head.type": st.sampled_from(["classification", "sentiment"]),
            "head.dropout": share | st.just(0),
            "head.pooling": pools | st.just("mean"),
            "head.class_weights": weights | st.just("balanced"),
            "training.learning_rate": st.floats(1e-300, 1e300),
            "training.threads": st.integers(1, 64) | st.none(),
            "training.device": st.sampled_from(["auto", "cpu", "cuda:1"]),
            "baselines.enabled": st.booleans(),
        },
    )


@settings(max_examples=60, deadline=None)
@given(overrides=options_to_set(), embeddings=st.integers(1, 3))
def test_a_frozen_recipe_reads_back_the_same_with_every_value_written(tmp_path_factory, overrides, embeddings):
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "train.jsonl").touch()
    source = folder / "source.toml"
    tables = "".join(f"[[embedding]]\noutput_dim = {number + 1}\n" for number in range(embeddings))
    source.write_text(DATA + 'train = "train.jsonl"\n' + tables)
    recipe = read_recipe(source, overrides)
    (folder / "elsewhere").mkdir()
    frozen = folder / "elsewhere" / "frozen.toml"
    text = recipe.to_toml("One line.\nAnother.")
    frozen.write_text(text, encoding="utf-8", newline="\n")
    again = read_recipe(frozen)
    assert plain(again) == plain(recipe)
    assert text.startswith("# One line.\n# Another.\n")
    assert again.to_toml("One line.\nAnother.") == text
    values = tomllib.loads(text)
    given = [values["embedding"]] if embeddings == 1 else values["embedding"]
    assert [table["output_dim"] for table in given] == [number + 1 for number in range(embeddings)]
    written = {(table, key) for table, content in values.items() if isinstance(content, dict) for key in content}
    meant = {
        (table, key) for table, content in recipe.values() for key, value in content.items() if value is not None
    }
    assert {(table, key) for table, key in meant if table and "." not in table} <= written


def test_a_frozen_recipe_has_no_parent_and_absolute_paths():
    Path("data").mkdir()
    Path("data/t.jsonl").touch()
    write(DATA + 'train = "data/t.jsonl"\n', "parent.toml")
    values = tomllib.loads(read("extends = 'parent.toml'\n").to_toml())
    assert "extends" not in values
    assert values["dataset"]["train"] == str(Path("data/t.jsonl").resolve())
    assert None not in [value for table in values.values() if isinstance(table, dict) for value in table.values()]


def test_what_a_run_decided_is_frozen_in_place_of_the_recipes_value():
    recipe = read(DATA + "[training]\nthreads = 3\n[[embedding]]\n[[embedding]]\n")
    values = tomllib.loads(recipe.to_toml(overrides={("training", "threads"): 2, ("embedding.1", "dropout"): 0.5}))
    assert values["training"]["threads"] == 2
    assert [table["dropout"] for table in values["embedding"]] == [0.0, 0.5]


def test_an_alias_is_frozen_as_the_name_of_its_part():
    recipe = read(DATA + "[head]\ntype = 'sentiment'\n[encoder]\ntype = 'rnntext/gru'\n")
    values = tomllib.loads(recipe.to_toml())
    assert values["head"]["type"] == "classification"
    assert values["encoder"]["type"] == "gru"


def test_a_choice_builds_its_part_with_options_and_wired_arguments():
    recipe = read(DATA + "[encoder]\ntype = 'gru'\nhidden_dim = 3\nbidirectional = true\n")
    assert recipe.encoder.build(input_dim=5).output_dim == 6


@pytest.mark.parametrize(
    ("dataset", "head", "lacking"),
    [
        ("type = 'conll'", "", "needs labels of whole texts"),
        ("type = 'jsonl'\nspans_field = 'spans'", "type = 'classification'", "needs labels of whole texts"),
        ("type = 'jsonl'", "type = 'tagging'", "needs a tag for each token"),
        ("type = 'conllu'", "type = 'tagging'\nscheme = 'bioes'", "needs tags that are parts of spans"),
        ("type = 'jsonl'\nspans_field = 'spans'", "type = 'tagging'\nscheme = 'bioes'", ""),
        ("type = 'conll'", "type = 'tagging'\nscheme = 'bioes'", ""),
        ("type = 'conllu'", "type = 'tagging'", ""),
    ],
)
def test_a_head_that_needs_what_the_data_do_not_give_is_refused(dataset: str, head: str, lacking: str) -> None:
    text = f"[dataset]\n{dataset}\n[head]\n{head}\n"
    if lacking:
        assert lacking in problem(text)
    else:
        assert read(text).needs == ["dataset.train"]
