"""Options: a constructor's signature is the schema, and each misfit is told once, in plain words."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from rnntext.contracts import FileOrName, FilePath
from rnntext.options import REQUIRED, json_schema, options_of, type_text, validate
from rnntext.tables import CORE_TABLES, SplitOptions, TopLevel


class Lamp:
    """A made-up part.

    Choose it in tests.

    Args:
        input_dim: wired.
        watts: power,
            in watts.
        colour: of the light.
        share: of the day.
        tags: words.
        weights: by name.
        bright: whether it shines.
        mixed: a word or words.
        source: file of the switch.
        spare: file or name.
        limit: none: none.

    Source:
        invented: not an option.
    """

    contract = 1

    def __init__(
        self,
        *,
        input_dim: int,
        watts: Annotated[int, Field(ge=1, lt=5_000_000_000)] = 60,
        colour: Literal["red", "green"] = "red",
        share: Annotated[float, Field(ge=0, le=0.25)] = 0.0,
        tags: list[str] = [],  # noqa: B006
        weights: dict[str, Annotated[float, Field(gt=0)]] | None = None,
        bright: bool = True,
        mixed: Literal["a", "b"] | list[Literal["a", "b"]] = "a",
        source: FilePath,
        spare: FileOrName | None = None,
        limit: Annotated[int, Field(ge=1)] | None = None,
        code: Annotated[str, Field(pattern="^[a-z]+$")] = "x",
    ) -> None:
        pass


OPTIONS = options_of(Lamp, "encoders")


def faults(**values: Any) -> list[str]:
    return [f"{fault.key}: {fault.message}" for fault in validate(OPTIONS, values, {})[1]]


def test_options_are_the_constructors_arguments_without_the_wired_ones():
    assert list(OPTIONS) == [
        *("watts", "colour", "share", "tags", "weights", "bright", "mixed", "source", "spare", "limit", "code")
    ]
    assert "input_dim" in options_of(Lamp)
    assert OPTIONS["watts"].default == 60
    assert OPTIONS["source"].default is REQUIRED
    assert [name for name, option in OPTIONS.items() if option.required] == ["source"]


def test_what_an_option_means_is_read_from_the_docstring():
    assert OPTIONS["watts"].help == "power, in watts."
    assert OPTIONS["limit"].help == "none: none."
    assert OPTIONS["code"].help == ""  # the section has ended


def test_paths_are_known_by_their_marks():
    assert [name for name, option in OPTIONS.items() if option.is_path] == ["source"]
    assert [name for name, option in OPTIONS.items() if option.may_be_path] == ["spare"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("watts", "integer, at least 1, below 5000000000"),
        ("colour", "'red' | 'green'"),
        ("share", "number, at least 0, at most 0.25"),
        ("tags", "list of string"),
        ("weights", "table of number, above 0"),
        ("bright", "true or false"),
        ("mixed", "'a' | 'b' or list of 'a' | 'b'"),
        ("source", "string"),
        ("limit", "integer, at least 1"),
        ("code", "string, matching ^[a-z]+$"),
    ],
)
def test_a_type_and_its_range_are_told_in_words(name, text):
    assert type_text(OPTIONS[name]) == text


def test_values_come_back_whole_with_defaults_filled_in():
    values, found = validate(OPTIONS, {"source": "s", "watts": 7}, {})
    assert found == []
    assert list(values) == list(OPTIONS)
    assert (values["watts"], values["colour"], values["limit"], values["bright"]) == (7, "red", None, True)


def test_an_integer_passes_for_a_float_and_becomes_one():
    values, found = validate(OPTIONS, {"source": "s", "share": 0, "weights": {"a": 2}}, {})
    assert found == []
    assert isinstance(values["share"], float)
    assert isinstance(values["weights"]["a"], float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"watts": True}, "watts: true does not fit; expected integer, at least 1, below 5000000000."),
        ({"watts": 2.0}, "watts: 2.0 does not fit; expected integer, at least 1, below 5000000000."),
        ({"watts": 0}, "watts: 0 does not fit; expected integer, at least 1, below 5000000000."),
        (
            {"limit": "64"},
            "limit: '64' does not fit; expected integer, at least 1. Write it without quotation marks.",
        ),
        ({"limit": "many"}, "limit: 'many' does not fit; expected integer, at least 1."),
        ({"share": float("nan")}, "share: nan does not fit; expected number, at least 0, at most 0.25."),
        ({"share": float("inf")}, "share: inf does not fit; expected number, at least 0, at most 0.25."),
        (
            {"share": "1e-3"},
            "share: '1e-3' does not fit; expected number, at least 0, at most 0.25. Write it without",
        ),
        ({"bright": 1}, "bright: 1 does not fit; expected true or false."),
        ({"bright": "false"}, "bright: 'false' does not fit; expected true or false. Write it without"),
        ({"colour": "gren"}, "colour: 'gren' does not fit; expected 'red' | 'green'. Did you mean 'green'?"),
        ({"code": "3"}, "code: '3' does not fit; expected string, matching ^[a-z]+$."),
        ({"tags": "a"}, "tags: 'a' does not fit; expected list of string."),
        ({"tags": ["a", 1]}, "tags: ['a', 1] does not fit; expected list of string."),
        ({"weights": {"a": float("nan")}}, "weights: {'a': nan} does not fit; expected table of number, above 0."),
        ({"weights": {"a": -1.0}}, "weights: {'a': -1.0} does not fit; expected table of number, above 0."),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_was_expected(values, message):
    (found,) = faults(source="s", **values)
    assert found.startswith(message)


@pytest.mark.parametrize("value", ["c", ["a", "c"], 3, [["a"]], {}])
def test_a_value_that_fits_no_alternative_is_one_fault_not_one_for_each(value):
    (found,) = faults(source="s", mixed=value)
    assert found.startswith("mixed: ")


def test_the_nearest_choice_is_found_within_a_list():
    values = {"source": "s", "pools": ["mean", "mxa"]}

    class Pools:
        def __init__(self, *, source: str, pools: Literal["max"] | list[Literal["max", "mean"]] = "max") -> None:
            pass

    _, (found,) = validate(options_of(Pools), values, {})
    assert found.message.endswith("Did you mean 'max'?")


@pytest.mark.parametrize(
    "number",
    [2**63, -(2**63) - 1, 10**400, int("f" * 5000, 16)],
    ids=["just above", "just below", "long", "too long for Python to print"],
)
@pytest.mark.parametrize("name", ["limit", "share", "colour"])
def test_an_integer_of_more_than_64_bits_is_refused_without_printing_it(name, number):
    (found,) = faults(source="s", **{name: number})
    assert found == f"{name}: the number does not fit; integers of a recipe have at most 64 bits"


def test_a_number_too_long_for_python_to_print_is_told_even_inside_a_list():
    (found,) = faults(source="s", tags=[int("f" * 5000, 16)])
    assert found == "tags: this value does not fit; expected list of string."


def test_a_long_value_is_shortened_in_the_message():
    (found,) = faults(source="s", tags="x" * 100_000)
    assert len(found) < 200


def test_an_unknown_key_is_answered_with_the_nearest_or_with_all():
    assert faults(source="s", wats=1) == ["wats: not an option here. Did you mean 'watts'?"]
    (found,) = faults(source="s", zzz=1)
    assert found.startswith("zzz: not an option here. Options: bright, code, colour, ")


def test_other_keys_of_the_table_are_suggested_too():
    _, (found,) = validate(OPTIONS, {"source": "s", "tipe": 1}, {}, ["type"])
    assert "Did you mean 'type'?" in found.message


def test_a_refused_key_is_answered_with_its_reason_alone():
    _, (found,) = validate(OPTIONS, {"source": "s", "fuse": 3}, {"fuse": "it has none"})
    assert (found.key, found.message) == ("fuse", "it has none")


def test_every_fault_of_a_table_is_found_at_once():
    found = faults(source=1, watts=0, colour="blue", zzz=1, limit=2**70)
    assert sorted(text.partition(":")[0] for text in found) == ["colour", "limit", "source", "watts", "zzz"]


def test_a_missing_option_is_left_to_the_caller_and_spoils_no_other():
    values, found = validate(OPTIONS, {"watts": 9}, {})
    assert found == []
    assert "source" not in values
    assert values["watts"] == 9
    assert values["colour"] == "red"


def test_a_value_at_fault_is_left_out_of_what_comes_back():
    values, _ = validate(OPTIONS, {"source": "s", "watts": 0}, {})
    assert "watts" not in values
    assert values["source"] == "s"


@pytest.mark.parametrize("table", [TopLevel, SplitOptions, *CORE_TABLES.values()])
def test_every_key_of_the_core_tables_says_what_it_means_and_takes_its_own_default(table):
    options = options_of(table)
    assert [name for name, option in options.items() if not option.help] == []
    defaults = {name: option.default for name, option in options.items()}
    values, found = validate(options, {key: value for key, value in defaults.items() if value is not None}, {})
    assert found == []
    assert table(**values) == table()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*OPTIONS, "unknown", "type"]), anything, max_size=4))
def test_whatever_is_given_is_taken_or_told_once_never_an_exception(values):
    checked, found = validate(OPTIONS, values, {})
    told = [fault.key for fault in found]
    assert len(told) == len(set(told))
    assert set(told) <= set(values)
    assert {"unknown", "type"} & set(values) <= set(told)
    for key in set(values) - set(told):
        assert checked[key] == values[key]
        bounds = {
            "watts": lambda v: 1 <= v < 5e9,
            "share": lambda v: 0 <= v <= 0.25,
            "limit": lambda v: not v or v > 0,
        }
        assert bounds.get(key, lambda v: True)(checked[key])


def test_the_json_schema_has_a_property_for_each_option():
    schema = json_schema(OPTIONS)
    assert list(schema["properties"]) == list(OPTIONS)
    assert schema["required"] == ["source"]
    assert schema["additionalProperties"] is False
