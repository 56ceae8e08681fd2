"""Parts of other packages: found by their metadata, told apart by full names, and harmless where they are broken."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages import install, on_the_path, words
from tiny import make_tiny

import rnntext
from rnntext import discovery, registry
from rnntext.cli import main
from rnntext.errors import PartError, RecipeError, RunFolderError, UnknownNameError
from rnntext.recipe_schema import recipe_schema

PACKAGES = {
    "rnntext-good": ("1.0", {"good": "fake_good:Words", "shared": "fake_good:Words", "regex": "fake_good:Words"}),
    "rnntext-rival": ("2.0", {"shared": "fake_rival:Words"}),
    "rnntext-newer": ("3.0", {"newer": "fake_newer:Words"}),
    "rnntext-broken": (
        "0.1",
        {
            "broken": "fake_broken:Words",
            "gone": "fake_gone:Words",
            "nameless": "fake_good:Missing",
            "ends": "fake_ends:Words",
            "number": "fake_number:Words",
            "unknown_type": "fake_unknown_type:Words",
        },
    ),
}
MODULES = {
    "rnntext-good": {"fake_good": words()},
    "rnntext-rival": {"fake_rival": words()},
    "rnntext-newer": {"fake_newer": words(contract=2)},
    "rnntext-broken": {
        "fake_broken": "import no_such_thing\n",
        "fake_ends": "raise SystemExit(3)\n",
        "fake_number": "Words = 7\n",
        "fake_unknown_type": "class Words:\n    contract = 1\n    def __init__(self, *, size: 'No') -> None: ...\n",
    },
}
FAULTS = {
    "broken": "tokenizer 'broken' of rnntext-broken 0.1 cannot be imported: ModuleNotFoundError",
    "gone": "No module named 'fake_gone'",
    "nameless": "has no attribute 'Missing'",
    "ends": "cannot be imported: SystemExit: 3",
    "number": "is no class but 7; name the class in the entry point: module:Class",
    "unknown_type": "annotations make no options: NameError",
    "newer": "has contract 2, this rnntext 1; upgrade rnntext",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install all the packages above; return their folder."""
    folder = tmp_path / "site"
    on_the_path(monkeypatch, folder)
    for name, (version, parts) in PACKAGES.items():
        install(folder, name, version, {"tokenizers": parts}, MODULES[name])
    with registry.registrations_undone():
        yield folder
    for module in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[module]
    monkeypatch.undo()
    discovery.refresh()


# ---- names


@pytest.mark.usefixtures("site")
def test_names_come_from_metadata_and_no_package_is_imported():
    found = {entry.full_name: entry.version for entry in registry.entries("tokenizers")}
    assert found["rnntext-good/good"] == "1.0"
    assert found["rnntext-broken/gone"] == "0.1"
    assert not [name for name in sys.modules if name.startswith("fake_")]


@pytest.mark.usefixtures("site")
def test_getting_a_part_imports_its_module_alone():
    part = registry.get("tokenizers", "good")
    assert part().tokens("a b") == ["a", "b"]
    assert [name for name in sys.modules if name.startswith("fake_")] == ["fake_good"]


@pytest.mark.usefixtures("site")
def test_a_built_in_keeps_its_name_and_the_other_has_its_full_one():
    assert registry.get("tokenizers", "regex").__module__ == "rnntext.tokenizers.regex"
    assert registry.get("tokenizers", "rnntext-good/regex").__module__ == "fake_good"
    assert {"regex", "rnntext-good/regex"} <= set(registry.names("tokenizers"))


def test_so_does_an_alias(site):
    install(site, "rnntext-feelings", "1.0", {"heads": {"sentiment": "fake_feelings:Head"}}, {})
    assert registry.canonical_name("heads", "sentiment") == "classification"
    assert "rnntext-feelings/sentiment" in registry.names("heads")
    assert "sentiment" not in registry.names("heads")


@pytest.mark.usefixtures("site")
def test_a_name_of_two_packages_is_refused_with_both_full_names():
    with pytest.raises(UnknownNameError, match="rnntext-good/shared and rnntext-rival/shared; write the one"):
        registry.get("tokenizers", "shared")
    assert registry.get("tokenizers", "rnntext-rival/shared").__module__ == "fake_rival"


@pytest.mark.usefixtures("site")
def test_a_class_of_this_process_clashes_likewise():
    class Mine:
        contract = 1

    rnntext.register("tokenizers", "good")(Mine)
    with pytest.raises(UnknownNameError, match="rnntext-good/good and session/good"):
        registry.get("tokenizers", "good")
    assert registry.get("tokenizers", "session/good") is Mine
    assert registry.canonical_name("tokenizers", "session/good") == "session/good"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("name", ["good", "rnntext-good/good", "rnntext_good/good", "RNNtext.Good/good"])
def test_a_recipe_is_frozen_with_the_full_name(name):
    assert registry.canonical_name("tokenizers", name) == "rnntext-good/good"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rnntext-absent/x", "the package rnntext-absent is not installed; pip install rnntext-absent"),
        ("rnntext-good/bad", "rnntext-good 1.0 has rnntext-good/good, rnntext-good/regex, rnntext-good/shared"),
        ("session/mine", "register the class in this process first"),
        ("goood", "Did you mean 'good'"),
        ("shred", "Did you mean 'shared'"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_to_do(name, told):
    with pytest.raises(UnknownNameError, match=told):
        registry.get("tokenizers", name)
    with pytest.raises(UnknownNameError, match=r"rnntext-good 1\.0 has no encoders"):
        registry.get("encoders", "rnntext-good/good")


# ---- RNNTEXT_PLUGINS


@pytest.mark.parametrize(("value", "expected"), [("", set()), (" , ", set()), ("RNNtext_good", {"rnntext-good"})])
@pytest.mark.usefixtures("site")
def test_only_the_packages_that_are_allowed_are_seen(monkeypatch, value, expected):
    monkeypatch.setenv("RNNTEXT_PLUGINS", value)
    assert {entry.distribution for entry in registry.entries("tokenizers")} == {"rnntext", *expected}
    with pytest.raises(UnknownNameError, match="RNNTEXT_PLUGINS leaves rnntext-rival out; add it there"):
        registry.get("tokenizers", "rnntext-rival/shared")
    with pytest.raises(UnknownNameError, match=r"RNNTEXT_PLUGINS leaves out rnntext-broken, .*rnntext-newer"):
        registry.get("tokenizers", "newer")


@pytest.mark.usefixtures("site")
def test_leaving_one_out_ends_a_clash(monkeypatch):
    monkeypatch.setenv("RNNTEXT_PLUGINS", "rnntext-good,rnntext-newer")
    assert registry.get("tokenizers", "shared").__module__ == "fake_good"


# ---- broken ones


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_part_is_refused_with_package_version_and_reason(name):
    with pytest.raises(PartError) as raised:
        registry.get("tokenizers", name)
    assert FAULTS[name] in str(raised.value)
    assert registry.get("tokenizers", "good")


@pytest.mark.usefixtures("site")
def test_metadata_that_cannot_be_read_hide_no_other_package(site):
    broken = site / "rnntext_garbled-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: rnntext-garbled\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[rnntext.tokenizers]\ngarbled\n")
    discovery.refresh()
    assert "good" in registry.names("tokenizers")
    assert len(discovery.unreadable()) == 1
    assert "rnntext_garbled" in discovery.unreadable()[0]


def test_of_two_copies_on_the_path_the_first_counts(site, tmp_path, monkeypatch):
    on_the_path(monkeypatch, tmp_path / "earlier")
    install(tmp_path / "earlier", "rnntext-good", "1.5", {"tokenizers": {"good": "fake_good:Words"}}, {})
    versions = {entry.version for entry in registry.entries("tokenizers") if entry.distribution == "rnntext-good"}
    assert versions == {"1.5"}


# ---- commands


@pytest.mark.usefixtures("site")
def test_list_shows_package_and_version_of_all_and_what_clashes(capsys):
    assert main(["list"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "good rnntext-good 1.0" in lines
    assert "broken rnntext-broken 0.1" in lines
    assert "rnntext-good/shared rnntext-good 1.0 (rnntext-rival has a part called shared, too)" in lines
    assert "rnntext-good/regex rnntext-good 1.0 (rnntext has a part called regex, too)" in lines
    assert lines[-1].endswith("rnntext list KIND imports them, and says what fails.")


@pytest.mark.usefixtures("site")
def test_list_of_a_kind_says_what_fails_and_shows_the_rest(capsys, monkeypatch):
    assert main(["list", "tokenizers"]) == 0
    shown = capsys.readouterr().out
    assert "good  (rnntext-good 1.0)\n  Words, cut at white space.\n" in shown
    assert shown.count("FAILED: ") == len(FAULTS)
    assert all(reason in shown for reason in FAULTS.values())
    monkeypatch.setenv("RNNTEXT_PLUGINS", "rnntext-good")
    assert main(["list", "tokenizers"]) == 0
    printed = capsys.readouterr()
    assert "FAILED" not in printed.out
    assert printed.err == "RNNTEXT_PLUGINS leaves out: rnntext-broken, rnntext-newer, rnntext-rival\n"


@pytest.mark.usefixtures("site")
def test_the_schema_holds_what_works_and_says_what_is_left_out(capsys):
    assert main(["schema"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == recipe_schema()
    types = [each["properties"]["type"]["enum"] for each in recipe_schema()["properties"]["tokenizer"]["anyOf"]]
    assert ["good", "rnntext-good/good"] in types
    assert ["rnntext-rival/shared"] in types
    assert printed.err.count("left out: ") == len(FAULTS)


@pytest.mark.usefixtures("site")
def test_a_recipe_that_names_a_broken_part_is_refused_at_its_line(tmp_path):
    recipe = make_tiny(tmp_path, tokenizer={"type": "broken"})
    with pytest.raises(RecipeError, match=r"tiny.toml:\d+: \[tokenizer\] type: tokenizer 'broken' of rnntext-broken"):
        rnntext.run(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---- runs


@pytest.fixture
def run(site: Path, tmp_path: Path) -> rnntext.Run:
    recipe = make_tiny(tmp_path, tokenizer={"type": "good"}, training={"epochs": 1})
    return rnntext.run(recipe, out=tmp_path / "run")


def test_a_run_says_which_package_gave_each_part(run):
    parts = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))["parts"]
    assert {"kind": "tokenizers", "name": "rnntext-good/good", "version": "1.0"} in parts
    assert {"kind": "encoders", "name": "rnntext/lstm", "version": rnntext.__version__} in parts
    assert 'type = "rnntext-good/good"' in (run.path / "recipe.toml").read_text(encoding="utf-8")
    assert rnntext.load(run.path)("a lovely soup").label in ("good", "bad")


def test_a_run_without_its_package_says_what_to_install(run, site):
    shutil.rmtree(site / "rnntext_good-1.0.dist-info")
    discovery.refresh()
    with pytest.raises(RunFolderError) as raised:
        rnntext.load(run.path)
    assert "the package rnntext-good is not installed" in str(raised.value)
    assert str(raised.value).endswith("The run was made with rnntext-good==1.0: pip install rnntext-good==1.0")


def test_a_run_that_a_newer_package_answers_otherwise_says_which_changed(run, site):
    shutil.rmtree(site / "rnntext_good-1.0.dist-info")
    reversing = words().replace("return text.split()", "return [word[::-1] for word in text.split()]")
    install(site, "rnntext-good", "1.1", {"tokenizers": {"good": "fake_later:Words"}}, {"fake_later": reversing})
    with pytest.raises(RunFolderError, match=r"\(rnntext-good was 1\.0, is 1\.1\)"):
        rnntext.load(run.path)


def test_loading_needs_no_word_of_packages_in_the_environment(run, site):
    shutil.rmtree(site / "rnntext_good-1.0.dist-info")
    discovery.refresh()
    for content in ("", "[]", '{"parts": 1}', '{"parts": [1, {}]}'):
        (run.path / "environment.json").write_text(content)
        with pytest.raises(RunFolderError, match="the package rnntext-good is not installed"):
            rnntext.load(run.path)


READER = '''
import rnntext.contracts


class Lines:
    """Lines, each with its label before a comma."""

    contract = 1

    def __init__(self, *, train: rnntext.contracts.FilePath) -> None:
        self.train = train

    def splits(self):
        return ("train",)

    def files(self, split):
        return (self.train,)

    def read(self, split):
        with open(self.train) as lines:
            for number, line in enumerate(lines, 1):
                label, text = line.strip().split(",")
                yield rnntext.contracts.Example(text + " WORD", label=label, line=number)
'''


def test_rows_of_a_package_are_read_anew_when_its_code_changes(site, tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("good,a lovely soup\nbad,a dull lamp\n" * 20)
    seen = []
    for word in ("first", "second"):
        code = READER.replace("WORD", word)
        shutil.rmtree(site / "rnntext_lines-1.0.dist-info", ignore_errors=True)
        install(site, "rnntext-lines", "1.0", {"datasets": {"lines": "fake_lines:Lines"}}, {"fake_lines": code})
        sys.modules.pop("fake_lines", None)
        shutil.rmtree(site / "__pycache__", ignore_errors=True)
        recipe = make_tiny(tmp_path, training={"epochs": 1})
        data = {"dataset.type": "lines", "dataset.train": tmp_path / "rows.csv"}
        run = rnntext.run(recipe, data, out=tmp_path / word)
        seen.append(json.loads((run.path / "vocabulary.json").read_text(encoding="utf-8")))
    assert "first" in json.dumps(seen[0])
    assert "second" in json.dumps(seen[1])


# ---- recipes


@pytest.fixture
def recipes_of_a_package(site: Path) -> Path:
    """Install a package with recipes, data and a folder of its own; return its import package."""
    install(site, "rnntext-feelings", "1.0", {"recipes": {"feelings": "feelings"}}, {})
    package = site / "feelings"
    (package / "recipes" / "notes").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('nobody may import this to list recipes')\n")
    make_tiny(package / "recipes")
    recipe = package / "recipes" / "tiny.toml"
    recipe.write_text("# moods: what is felt\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    shutil.copy(recipe, package / "recipes" / "sentiment.toml")
    return package


@pytest.mark.usefixtures("recipes_of_a_package")
def test_recipes_of_packages_are_listed_after_our_own(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["rnntext-feelings/sentiment", "rnntext-feelings/tiny"]
    assert lines[-1].endswith("  moods: what is felt")


@pytest.mark.usefixtures("recipes_of_a_package")
@pytest.mark.parametrize("name", ["tiny", "tiny.toml", "rnntext-feelings/tiny"])
def test_a_recipe_of_a_package_is_copied_with_its_data_and_runs(name, tmp_path, monkeypatch, capsys):
    target = tmp_path / "mine"
    target.mkdir()
    monkeypatch.chdir(target)
    assert main(["copy", name]) == 0
    files = capsys.readouterr().out.split()
    assert files[0] == "tiny.toml"
    assert "recipe.schema.json" in files
    assert all((target / file).is_file() for file in files)
    assert rnntext.run("tiny.toml", {"training.epochs": 1}, out="run").metrics["validation"]


@pytest.mark.usefixtures("recipes_of_a_package")
def test_our_own_recipe_keeps_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["copy", "sentiment"]) == 0
    assert "moods" not in Path("sentiment.toml").read_text(encoding="utf-8")


def test_a_recipe_of_two_packages_is_refused_with_both_names(
    recipes_of_a_package, site, tmp_path, monkeypatch, capsys
):
    install(site, "rnntext-moods", "1.0", {"recipes": {"moods": "moods"}}, {})
    shutil.copytree(recipes_of_a_package, site / "moods")
    monkeypatch.chdir(tmp_path)
    assert main(["copy", "tiny"]) == 2
    assert "rnntext-feelings/tiny, rnntext-moods/tiny; write one" in capsys.readouterr().err
    assert main(["copy", "rnntext-moods/tiny"]) == 0


def test_recipes_beside_a_package_in_a_checkout_and_none_at_all(recipes_of_a_package, site, capsys):
    (recipes_of_a_package / "recipes").rename(site / "recipes")
    assert main(["recipes"]) == 0
    assert "rnntext-feelings/tiny" in capsys.readouterr().out
    shutil.rmtree(recipes_of_a_package)
    assert main(["recipes"]) == 0
    assert "rnntext-feelings" not in capsys.readouterr().out


def test_a_recipe_that_extends_one_of_ours_is_copied_with_it(recipes_of_a_package, tmp_path, monkeypatch, capsys):
    text = '# shorter: in two epochs\nextends = "sentiment.toml"\nname = "shorter"\n\n[training]\nepochs = 2\n'
    (recipes_of_a_package / "recipes" / "sentiment.toml").unlink()
    (recipes_of_a_package / "recipes" / "shorter.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["copy", "shorter"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["shorter.toml", "sentiment.toml"]
    assert main(["check", "shorter.toml"]) == 0


def test_a_recipe_with_data_elsewhere_is_not_copied(recipes_of_a_package, tmp_path, monkeypatch, capsys):
    recipes = recipes_of_a_package / "recipes"
    (recipes / "train.jsonl").rename(recipes_of_a_package / "train.jsonl")
    recipe = recipes / "tiny.toml"
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace('"train.jsonl"', '"../train.jsonl"'), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["copy", "tiny"]) == 2
    assert "rnntext-feelings/tiny names what is not in" in capsys.readouterr().err
    assert not (tmp_path / "tiny.toml").exists()


@pytest.mark.parametrize("target", ["", ".", "a b", "no_such_package", ":recipes"])
def test_a_folder_of_recipes_that_cannot_be_found_stops_no_listing(recipes_of_a_package, site, target, capsys):
    install(site, "rnntext-lost", "1.0", {"recipes": {"lost": target}}, {})
    assert main(["recipes"]) == 0
    assert "rnntext-feelings/tiny" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"\xff\xfe", b"= no TOML"])
def test_a_recipe_that_cannot_be_read_is_listed_and_not_copied(recipes_of_a_package, content, capsys):
    (recipes_of_a_package / "recipes" / "garbled.toml").write_bytes(content)
    assert main(["recipes"]) == 0
    assert "rnntext-feelings/garbled" in capsys.readouterr().out
    assert main(["copy", "garbled"]) == 2
    assert "upgrade the package that it is from" in capsys.readouterr().err
