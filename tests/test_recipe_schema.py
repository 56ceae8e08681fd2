"""The JSON Schema of recipes: what an editor accepts is what rnntext accepts, as far as a schema can tell."""

import copy
import json
import tomllib
from typing import Any

import jsonschema
import pytest

import rnntext
from rnntext import registry
from rnntext.options import options_of
from rnntext.recipe import read_recipe
from rnntext.recipe_schema import recipe_schema
from rnntext.shipping import SCHEMA_FILE, recipes_folder
from rnntext.tables import CORE_TABLES, PART_TABLES, TABLES, SplitOptions, TopLevel

SCHEMA = recipe_schema()
SHIPPED = sorted(recipes_folder().glob("*.toml"))
GOOD: dict[str, Any] = {
    "name": "x",
    "dataset": {"type": "jsonl", "train": "train.jsonl"},
    "batching": {"batch_size": 3},
    "embedding": {"output_dim": 64},
    "encoder": {"type": "lstm"},
    "training": {"epochs": 3, "learning_rate": 1},
}

every_shipped = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def accepts(recipe: Any) -> bool:
    return jsonschema.Draft4Validator(SCHEMA).is_valid(recipe)


def changed(table: str, **values: Any) -> dict[str, Any]:
    recipe = copy.deepcopy(GOOD)
    recipe.setdefault(table, {}).update(values)
    return recipe


def test_the_schema_is_valid_draft_4():
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-04/schema#"


def test_nothing_of_later_drafts_is_left():
    def walk(schema: Any) -> None:
        if isinstance(schema, list):
            for item in schema:
                walk(item)
        elif isinstance(schema, dict):
            assert "const" not in schema
            assert schema.get("type") != "null"
            for bound in ("exclusiveMinimum", "exclusiveMaximum"):
                assert schema.get(bound, True) is True
            for item in schema.values():
                walk(item)

    walk(SCHEMA)


def test_the_shipped_schema_is_up_to_date():
    shipped = recipes_folder() / SCHEMA_FILE
    expected = json.dumps(SCHEMA, indent=1, ensure_ascii=False) + "\n"
    assert shipped.read_text(encoding="utf-8") == expected, (
        f"options have changed; refresh the schema: rnntext schema > recipes/{SCHEMA_FILE}"
    )


@every_shipped
def test_a_shipped_recipe_names_the_schema_in_its_first_line(path):
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"#:schema ./{SCHEMA_FILE}"


@every_shipped
def test_a_shipped_recipe_fits_the_schema_as_written_and_frozen(path):
    jsonschema.Draft4Validator(SCHEMA).validate(tomllib.loads(path.read_text(encoding="utf-8")))
    jsonschema.Draft4Validator(SCHEMA).validate(tomllib.loads(read_recipe(path).to_toml()))


def test_a_small_recipe_fits():
    assert accepts(GOOD)
    assert accepts({"extends": "parent.toml"})


@pytest.mark.parametrize(
    "recipe",
    [
        changed("training", epoch=3),
        changed("encoder", type="lstmm"),
        changed("batching", batch_size=-3),
        changed("embedding", output_dim="64"),
    ],
    ids=["unknown key", "misspelt encoder", "negative size", "string for number"],
)
def test_four_of_the_five_mistakes_are_refused_and_a_missing_file_is_no_matter_of_a_schema(recipe):
    assert not accepts(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        {**GOOD, "encodr": {}},
        {**GOOD, "sed": 1},
        {**GOOD, "encoder": "lstm"},
        {**GOOD, "encoder": [{}]},
        {**GOOD, "embedding": []},
        {**GOOD, "recipe_version": 2},
        changed("encoder", hidden_dim=True),
        changed("encoder", bidirectional=1),
        changed("encoder", type="gru", proj_dim=3),
        changed("head", dropout=1.0),
        changed("head", type="classification", crf=True),
        changed("head", pooling=["mxa"]),
        changed("head", class_weights={"a": 0}),
        changed("training", learning_rate=0),
        changed("training", device="gpu"),
        {**GOOD, "seed": 2**32},
    ],
)
def test_what_rnntext_refuses_in_one_table_the_schema_refuses_too(recipe):
    assert not accepts(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        {**GOOD, "embedding": [{"output_dim": 3}, {"type": "one_hot"}]},
        changed("encoder", type="rnntext/gru", hidden_dim=3),
        changed("head", type="sentiment", pooling=["max", "mean"], class_weights={"a": 2, "b": 0.5}),
        changed("head", class_weights="balanced", dropout=0),
        changed("dataset", validation_fraction=0.1, limit=3),
    ],
)
def test_what_rnntext_takes_the_schema_takes_too(recipe):
    assert accepts(recipe)


def test_a_recipe_that_extends_another_need_not_repeat_the_type():
    assert accepts({"extends": "parent.toml", "encoder": {"nonlinearity": "relu"}, "dataset": {"delimiter": ";"}})


def test_every_table_and_every_option_is_there_with_its_meaning():
    properties = SCHEMA["properties"]
    assert set(properties) == {*options_of(TopLevel), *TABLES}
    for table, owner in CORE_TABLES.items():
        assert set(properties[table]["properties"]) == set(options_of(owner))
    for table, kind in PART_TABLES.items():
        single = [choice for choice in properties[table]["anyOf"] if choice["type"] == "object"]
        assert len(single) == len(registry.names(kind))
        for choice, name in zip(single, registry.names(kind), strict=True):
            own = options_of(registry.get(kind, name), kind)
            shared = options_of(SplitOptions) if table == "dataset" else {}
            assert set(choice["properties"]) == {"type", *own, *shared}
            assert choice["properties"]["type"]["enum"][:2] == [name, f"rnntext/{name}"]
            assert all(inner["description"] for inner in choice["properties"].values())
            for option in own.values():
                default = list(option.default) if isinstance(option.default, tuple) else option.default
                assert choice["properties"][option.name].get("default", ...) == (
                    ... if option.required or default is None else default
                )


def test_an_alias_is_offered_beside_the_name():
    names = [choice["properties"]["type"]["enum"] for choice in SCHEMA["properties"]["head"]["anyOf"]]
    assert ["classification", "rnntext/classification", "sentiment"] in names


def test_a_registered_part_joins_the_schema():
    class Mine:
        """A made-up encoder."""

        contract = 1

        def __init__(self, *, input_dim: int, wings: int = 2) -> None:
            pass

    with registry.registrations_undone():
        rnntext.register("encoders", "mine")(Mine)
        validator = jsonschema.Draft4Validator(recipe_schema())
        assert validator.is_valid(changed("encoder", type="mine", wings=4))
        assert not validator.is_valid(changed("encoder", type="mine", hidden_dim=4))
    assert not accepts(changed("encoder", type="mine"))
