"""The registry: names to classes, and what a class must keep to before it may have a name."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rnntext
from rnntext import registry
from rnntext.contracts import CONTRACT, KINDS, WIRED, WIRED_ON_REQUEST
from rnntext.errors import PartError, UnknownNameError
from rnntext.options import options_of
from rnntext.testing.subject import PROTOCOLS

# Recipes name these, so none may vanish.
BUILT_INS = {
    "datasets": {"conll", "conllu", "csv", "huggingface", "jsonl", "text"},
    "tokenizers": {"character", "nltk", "regex", "spacy", "whitespace"},
    "vocabularies": {"frequency", "word_list"},
    "embeddings": {"char_cnn", "char_lstm", "learned", "one_hot", "pretrained", "word_shape"},
    "encoders": {"dense", "gru", "lstm", "rnn"},
    "heads": {"classification", "fill_blank", "next_token", "tagging"},
}
EVERY = [(kind, name) for kind, names in registry.BUILT_INS.items() for name in names]
every_built_in = pytest.mark.parametrize(("kind", "name"), EVERY)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with registry.registrations_undone():
        yield


def a_part(**members: Any) -> type:
    """Return a class that keeps the contract, with other members laid over it."""

    def __init__(self: Any, *, size: int = 1) -> None:  # noqa: N807
        self.size = size

    return type("Mine", (), {"contract": CONTRACT, "__init__": __init__, **members})


def built(kind: str, name: str, tmp_path: Path) -> Any:
    """Construct a built-in with the least that it needs."""
    file = tmp_path / "file.txt"
    file.write_text("lamp 0.5 -0.5\n", encoding="utf-8")
    needed = {
        "conll": {"train": str(file)},
        "conllu": {"train": str(file)},
        "csv": {"train": str(file)},
        "jsonl": {"train": str(file)},
        "text": {"train": str(file)},
        "huggingface": {"train": str(file)},
        "word_list": {"path": str(file)},
        "pretrained": {"path": str(file)},
    }
    vocabulary: Any = registry.get("vocabularies", "frequency")()
    vocabulary.fit({"lamp": 2, "tent": 1})
    labels = {"labels": ["a", "b"], "counts": {"a": 1, "b": 1}, "texts": 2, "multi_label": False}
    if name == "tagging":
        labels = {"tags": ["a", "b"], "counts": {"a": 1, "b": 1}, "scheme": "none"}
    table = nn.Module()
    table.weight = nn.Parameter(torch.zeros(len(vocabulary), 4))
    wired = {"vocabulary": vocabulary, "input_dim": 3, "labels": labels, "embeddings": [table]}
    part = registry.get(kind, name)
    asked = WIRED_ON_REQUEST.get(kind, frozenset()) & set(inspect.signature(part).parameters)
    return part(**needed.get(name, {}), **{key: wired[key] for key in WIRED[kind] | asked})


def test_every_kind_of_the_contract_has_the_built_ins_that_recipes_name():
    assert tuple(registry.BUILT_INS) == KINDS
    for kind, names in BUILT_INS.items():
        assert names <= set(registry.names(kind))
        assert registry.names(kind) == sorted(registry.BUILT_INS[kind])


@every_built_in
def test_a_built_in_lives_in_the_file_of_its_name(kind, name):
    part = registry.get(kind, name)
    assert part.__module__ == f"rnntext.{kind}.{name}"
    assert part.contract == CONTRACT


@every_built_in
def test_the_options_of_a_built_in_resolve_and_each_says_what_it_means(kind, name):
    part = registry.get(kind, name)
    options = options_of(part, kind)
    assert not set(options) & WIRED[kind]
    assert [key for key, option in options.items() if not option.help] == []
    assert [key for key, option in options.items() if isinstance(option.annotation, str)] == []


@every_built_in
def test_a_built_in_takes_every_argument_that_its_kind_wires(kind, name):
    part = registry.get(kind, name)
    constructor = inspect.getattr_static(part, "__init__")
    parameters = set() if constructor is object.__init__ else set(inspect.signature(constructor).parameters)
    assert parameters >= WIRED[kind]


@every_built_in
def test_a_built_in_has_the_members_of_its_protocol(kind, name, tmp_path):
    part = built(kind, name, tmp_path)
    assert isinstance(part, PROTOCOLS[kind])


@every_built_in
def test_a_built_in_names_the_arguments_of_its_methods_as_the_contract_does(kind, name):
    part = registry.get(kind, name)
    for method, declared in vars(PROTOCOLS[kind]).items():
        if method == "__call__":
            method = "forward"  # an nn.Module is called through it
        elif method.startswith("_") and method != "__len__":
            continue
        if isinstance(declared, classmethod):
            declared = declared.__func__
            assert isinstance(inspect.getattr_static(part, method), classmethod), method
        elif not inspect.isfunction(declared):
            continue
        given = inspect.getattr_static(part, method)
        given = given.__func__ if isinstance(given, classmethod) else given
        assert [*inspect.signature(given).parameters] == [*inspect.signature(declared).parameters], method


def test_names_and_entries_import_no_part(monkeypatch):
    def fail(module):
        raise AssertionError(f"{module} was imported")

    monkeypatch.setattr(registry.importlib, "import_module", fail)
    for kind in KINDS:
        entries = registry.entries(kind)
        assert [entry.name for entry in entries] == registry.names(kind)
        assert all(entry.distribution == "rnntext" and entry.version == rnntext.__version__ for entry in entries)
        assert all(entry.full_name == f"rnntext/{entry.name}" and entry.kind == kind for entry in entries)


def test_getting_one_part_imports_only_that_part(monkeypatch):
    asked = []
    imported = registry.importlib.import_module
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: asked.append(name) or imported(name))
    registry.get("encoders", "gru")
    assert asked == ["rnntext.encoders.gru"]


def test_an_alias_and_a_full_name_mean_the_same_class():
    classification = registry.get("heads", "classification")
    assert registry.get("heads", "sentiment") is classification
    assert registry.get("heads", "rnntext/classification") is classification
    assert registry.get("heads", "rnntext/sentiment") is classification
    assert registry.canonical_name("heads", "sentiment") == "classification"
    assert registry.canonical_name("encoders", "rnntext/lstm") == "lstm"


def test_an_alias_belongs_to_its_kind_alone_and_is_not_listed_as_a_part():
    assert "sentiment" not in registry.names("heads")
    with pytest.raises(UnknownNameError, match="no encoder is called 'sentiment'"):
        registry.get("encoders", "sentiment")


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        ("encoders", "lstmm", "lstm"),
        ("encoders", "LSTM", "lstm"),
        ("heads", "sentimant", "sentiment"),
        ("vocabularies", "word-list", "word_list"),
        ("tokenizers", "rnntext/regexp", "regex"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_one(kind, wrong, meant):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'") as raised:
        registry.get(kind, wrong)
    assert all(name in str(raised.value) for name in registry.names(kind))
    assert f"rnntext list {kind}" in str(raised.value)


def test_a_name_that_resembles_nothing_gets_no_suggestion_but_all_names():
    with pytest.raises(UnknownNameError) as raised:
        registry.get("encoders", "zebra")
    assert "Did you mean" not in str(raised.value)
    assert f"no encoder is called 'zebra'. Encoders: {', '.join(registry.names('encoders'))}." in str(raised.value)


def test_the_name_of_another_kind_is_answered_with_that_kind():
    with pytest.raises(UnknownNameError, match=r"no encoder is called 'regex'.*'regex' is one of the tokenizers"):
        registry.get("encoders", "regex")
    with pytest.raises(UnknownNameError, match=r"no vocabulary is called 'lstm'.*one of the encoders"):
        registry.get("vocabularies", "lstm")


@pytest.mark.parametrize("function", [registry.names, registry.entries, lambda kind: registry.get(kind, "lstm")])
def test_an_unknown_kind_is_answered_with_the_kinds(function):
    with pytest.raises(UnknownNameError, match=r"no kind is called 'encoder'.*Did you mean 'encoders'.*tokenizers"):
        function("encoder")


def test_an_unknown_kind_cannot_be_registered_under():
    with pytest.raises(UnknownNameError, match="no kind is called 'models'"):
        rnntext.register("models", "mine")


def test_a_registered_class_is_returned_unchanged_and_found_by_both_names():
    part = a_part()
    assert rnntext.register("encoders", "mine")(part) is part
    assert registry.get("encoders", "mine") is part
    assert registry.get("encoders", "session/mine") is part
    assert registry.canonical_name("encoders", "session/mine") == "mine"
    assert "mine" in registry.names("encoders")
    assert [entry.full_name for entry in registry.entries("encoders") if entry.name == "mine"] == ["session/mine"]
    with pytest.raises(UnknownNameError):
        registry.get("heads", "mine")


def test_a_registered_name_is_suggested_too():
    rnntext.register("encoders", "quaternion")(a_part())
    with pytest.raises(UnknownNameError, match="Did you mean 'quaternion'"):
        registry.get("encoders", "quaternoin")


@pytest.mark.parametrize("name", ["classification", "sentiment"])
def test_the_name_of_a_built_in_or_its_alias_cannot_be_taken(name):
    before = registry.get("heads", name)
    with pytest.raises(PartError, match=f"'{name}' is a built-in"):
        rnntext.register("heads", name)(a_part())
    assert registry.get("heads", name) is before


def test_a_built_in_name_is_free_under_another_kind():
    part = a_part()
    rnntext.register("tokenizers", "lstm")(part)
    assert registry.get("tokenizers", "lstm") is part
    assert registry.get("encoders", "lstm") is not part


def test_the_same_class_may_be_registered_twice_and_a_redefined_one_replaces_it():
    first, again = a_part(), a_part(contract=CONTRACT, note="a notebook cell that was run again")
    rnntext.register("encoders", "mine")(first)
    rnntext.register("encoders", "mine")(first)
    rnntext.register("encoders", "mine")(again)
    assert registry.get("encoders", "mine") is again


def test_the_name_of_another_class_cannot_be_taken():
    first = a_part()
    rnntext.register("encoders", "mine")(first)
    with pytest.raises(PartError, match=r"'mine' is already .*Mine; choose another name"):
        rnntext.register("encoders", "mine")(type("Other", (), {"contract": CONTRACT}))
    assert registry.get("encoders", "mine") is first


def test_a_class_without_a_contract_is_refused():
    with pytest.raises(PartError, match=f"states no contract; add the class attribute: contract = {CONTRACT}"):
        rnntext.register("encoders", "mine")(type("Mine", (), {}))
    assert "mine" not in registry.names("encoders")


@pytest.mark.parametrize(
    ("contract", "advice"), [(CONTRACT - 1, "upgrade its package"), (CONTRACT + 1, "upgrade rnntext")]
)
def test_another_contract_version_is_refused_saying_what_to_upgrade(contract, advice):
    with pytest.raises(PartError, match=f"has contract {contract}, this rnntext {CONTRACT}; {advice}"):
        rnntext.register("encoders", "mine")(a_part(contract=contract))


def positional(self, size: int = 1):
    pass


def variable(self, *sizes: int):
    pass


def variable_by_name(self, *, size: int = 1, **more: int):
    pass


def without_annotation(self, *, size=1):
    pass


@pytest.mark.parametrize(
    ("constructor", "reason"),
    [
        (positional, "'?size: int = 1'? must be keyword-only"),
        (variable, r"\*sizes: int must be keyword-only"),
        (variable_by_name, r"\*\*more: int must be keyword-only"),
        (without_annotation, "'size' has no annotation"),
    ],
)
def test_a_constructor_that_is_no_option_schema_is_refused(constructor, reason):
    with pytest.raises(PartError, match=reason):
        rnntext.register("encoders", "mine")(a_part(__init__=constructor))
    assert "mine" not in registry.names("encoders")


def test_a_class_without_a_constructor_has_no_options_and_is_fine():
    part = type("Mine", (), {"contract": CONTRACT})
    rnntext.register("tokenizers", "mine")(part)
    assert options_of(registry.get("tokenizers", "mine"), "tokenizers") == {}


def test_registrations_are_undone_at_the_end_of_a_block_even_after_an_error():
    rnntext.register("encoders", "kept")(a_part())

    def register_and_fail():
        with registry.registrations_undone():
            rnntext.register("encoders", "mine")(a_part())
            rnntext.register("heads", "mine")(a_part())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        register_and_fail()
    assert "mine" not in registry.names("encoders") + registry.names("heads")
    assert "kept" in registry.names("encoders")


def test_the_singular_of_a_kind_is_the_name_of_its_table():
    from rnntext.tables import PART_TABLES

    assert {kind: registry.singular(kind) for kind in KINDS} == {kind: name for name, kind in PART_TABLES.items()}
