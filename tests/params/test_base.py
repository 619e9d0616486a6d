"""A wrong setting is one sentence that names file, key, and what is allowed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenly.errors import ParameterError
from evenly.params.base import read_yaml, settings_from
from evenly.params.datasets import DatasetEntry, read_entries
from evenly.params.project import Params
from evenly.params.recipes import Recipe, TierSettings


def test_a_misspelt_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        ParameterError,
        match=r"params\.yaml: tiers\.minority_bellow is not a known key; did you mean 'minority_below'",
    ):
        settings_from(TierSettings, {"minority_bellow": 1}, "params.yaml: tiers")


def test_a_misspelt_key_deep_in_a_recipe_is_named() -> None:
    with pytest.raises(
        ParameterError, match=r"resample\.k_neighbour is not a known key; did you mean 'k_neighbors'"
    ):
        settings_from(
            Recipe, {"resample": {"method": "smote", "k_neighbour": 3}}, "params.yaml: recipes.smote"
        )


def test_a_wrong_value_is_shown_with_what_is_allowed() -> None:
    with pytest.raises(ParameterError, match=r"resample\.method is 'smot': it should be 'random_over'"):
        settings_from(Recipe, {"resample": {"method": "smot"}}, "params.yaml: recipes.smote")


def test_a_recipe_that_asks_two_rules_at_once_is_refused() -> None:
    with pytest.raises(ParameterError, match="give one of to, fixed and per_tier, not to and fixed"):
        settings_from(
            Recipe, {"augment": {"targets": {"to": "match_majority", "fixed": 3}}}, "params.yaml: r"
        )


def test_numbers_written_by_dvc_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("lr: 1e-05\nword: off\n")
    assert read_yaml(tmp_path / "p.yaml") == {"lr": 1e-5, "word": "off"}


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("a: 1\nb: [1\n")
    with pytest.raises(ParameterError, match=r"p\.yaml is not valid YAML near line"):
        read_yaml(tmp_path / "p.yaml")


PROJECT = Path(__file__).parents[2]
SHIPPED = read_yaml(PROJECT / "params.yaml")
#: A recipe and an entry in which most keys that there are have a value.
FULL_ENTRY = {
    "modality": "table",
    "licence": "mine",
    "path": "data/raw/t.csv",
    "format": "csv",
    "delimiter": ";",
    "decimal": ",",
    "quoting": True,
    "columns": {"label": "y", "group": "g", "categorical": ["a"], "drop": ["b"]},
    "split": {"validation": 0.2, "test": 0.2},
    "imbalance": {"ratio": 10, "profile": "step"},
    "duplicates": "keep",
    "limit": 100,
    "classes": {"a": {"description": "x", "keywords": ["k"]}},
}
WRONG = [
    1.5,
    -1,
    10**30,
    True,
    None,
    "",
    "x",
    [],
    [1],
    ["x", None],
    {},
    {"a": 1},
    {3: {"b": [1]}},
    [[1]],
    [{"a": {}}],
]
#: What only the validator calls so.
INTERNALS = (
    "[key]",
    "literal[",
    "constrained",
    "function-",
    "dict[",
    "list[",
    "instance of",
    "tag",
    "Settings",
)
INTERNALS += ("validation error", "dictionary", "tuple", "pydantic", "Error", "\n", "..")


def refusal(kind: Any, values: Any, where: str = "params.yaml") -> str:
    with pytest.raises(ParameterError) as caught:
        settings_from(kind, values, where)
    return str(caught.value)


def places(values: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in nested mappings and lists."""
    inner = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in inner:
        yield (*keys, key)
        yield from places(value, (*keys, key))


def settings_of(values: Any, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """What two places have in common that the same settings describe, as in another recipe."""
    beside = values
    for key in keys[:-1]:
        beside = beside[key]
    named = [key for place, key in enumerate(keys) if isinstance(key, str) and (place != 1 or len(keys) == 2)]
    return (*named, len(keys), *(sorted(map(str, beside)) if isinstance(beside, dict) else ()))


def few_recipes(values: Any, keys: tuple[Any, ...]) -> Any:
    """The values without the recipes that a place has nothing to do with."""
    if "recipes" not in values or keys == ("recipes",):
        return values
    kept = {"none", *keys[1:2]} & set(values["recipes"])
    return values | {"recipes": {name: values["recipes"][name] for name in kept}}


def changed(values: Any, keys: tuple[Any, ...], value: Any) -> Any:
    """The values with another at one place; what is elsewhere is not copied."""
    if not keys:
        return value
    found = copy.copy(values)
    found[keys[0]] = changed(values[keys[0]], keys[1:], value)
    return found


@pytest.mark.parametrize(
    ("kind", "values", "where"),
    [(Params, SHIPPED, "params.yaml"), (DatasetEntry, FULL_ENTRY, "datasets.yaml: mine")],
)
def test_no_wrong_value_anywhere_is_told_in_words_of_the_validator(kind, values, where):
    refused, seen = 0, set()
    for keys in places(values):
        if (kind_of_place := settings_of(values, keys)) in seen:
            continue
        seen.add(kind_of_place)
        counts = few_recipes(values, keys)
        for wrong in WRONG:
            try:
                settings_from(kind, changed(counts, keys, wrong), where)
            except ParameterError as error:
                refused += 1
                message = str(error)
                assert message.startswith(where)
                assert not [word for word in INTERNALS if word in message.replace("...", "")], (keys, message)
    assert refused > 100


def test_every_key_that_is_misspelt_is_named_with_the_right_one():
    for keys in places({key: value for key, value in SHIPPED.items() if key not in ("recipes", "policies")}):
        values = copy.deepcopy(SHIPPED)
        inner = values
        for key in keys[:-1]:
            inner = inner[key]
        if not isinstance(inner, dict) or len(str(keys[-1])) < 5:
            continue
        wrong = f"{keys[-1][:2]}{keys[-1][3:]}"
        inner[wrong] = inner.pop(keys[-1])
        message = refusal(Params, values)
        assert f"{'.'.join([*map(str, keys[:-1]), wrong])} is not a known key; did you mean" in message


def test_a_misspelt_key_is_named_rather_than_the_one_that_is_missing():
    values = {("balancng" if key == "balancing" else key): value for key, value in SHIPPED.items()}
    assert refusal(Params, values) == "params.yaml: balancng is not a known key; did you mean 'balancing'?"


def test_a_key_that_is_like_no_other_is_named_with_those_there_are():
    message = refusal(DatasetEntry, FULL_ENTRY | {"columns": {"qqq": 1}}, "datasets.yaml: mine")
    assert (
        "datasets.yaml: mine.columns.qqq is not a known key; allowed are attribute, attribute_is_feature, "
        in message
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": "x"}, "params.yaml: seed is 'x': it should be a whole number."),
        ({"loss": 5}, "params.yaml: loss is 5: it should be 'cross_entropy'"),
        (
            {"recipes": {1: {}}},
            "params.yaml: recipes.1 is a key that YAML does not read as text; put it in quotes",
        ),
        ({"recipes": 3}, "params.yaml: recipes is 3: it should be a mapping of keys to values."),
        ({"dataset": 3}, "params.yaml: dataset is 3: it should be text; put it in quotes if it is one."),
        ({"train": None}, "params.yaml: train is null: it should be a mapping of keys to values."),
        (
            {"losses": {"focal": {"alpha": {"a": -1}}}},
            "losses.focal.alpha.a is -1: it should be greater than 0",
        ),
        (
            {"losses": {"focal": {"alpha": 3}}},
            "'none' or 'inverse_frequency' or a mapping of keys to values.",
        ),
        ({"llm": {"base_url": None, "timeot": 3}}, "params.yaml: llm.timeot is not a known key"),
    ],
)
def test_a_wrong_value_is_told_by_its_key_and_what_is_allowed(values, words):
    assert words in refusal(Params, SHIPPED | values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "ftp://x"}, "m.url is 'ftp://x': it should begin with http:// or https://."),
        (
            {"sha256": "x"},
            "m.sha256 is 'x': it should be 64 hexadecimal digits or a mapping of keys to values.",
        ),
        (
            {"urls": {"trai": "http://x"}},
            "m.urls.trai is no key that can stand there: it should be 'train'",
        ),
        ({"classes": {"a": "words"}}, "m.classes.a is 'words': it should be a mapping of keys to values."),
        ({"files": {"train": "a"}}, "m.files.test is missing."),
    ],
)
def test_a_wrong_value_of_an_entry_is_told_by_its_key_and_what_is_allowed(values, words):
    assert words in refusal(DatasetEntry, {"modality": "text", "licence": "x"} | values, "datasets.yaml: m")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: " + "[" * 3000 + "]" * 3000, "nests deeper than 40 levels"),
        ("a: " + "{b: " * 60 + "1" + "}" * 60, "nests deeper than 40 levels"),
        ("a: &a [*a]\n", "nests deeper than 40 levels"),
        (
            "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)),
            "unfolds to more than 100,000 values",
        ),
        ("a: !!int x\n", "cannot be read as YAML"),
        ("a: " + "9" * 5000, "cannot be read as YAML"),
        ("a: !thing {}\n", "is not valid YAML near line 1"),
        ("a: 1\na: 2\n", "is not valid YAML near line 2"),
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
        (b"a: \xff\xfe", "YAML"),
        (b"a: \x00", "YAML"),
    ],
)
def test_yaml_that_is_no_settings_is_one_sentence(content, words, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ParameterError) as caught:
        read_yaml(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_are_a_folder_are_one_sentence(tmp_path):
    with pytest.raises(ParameterError, match="cannot be read"):
        read_yaml(tmp_path)


def test_what_ships_is_small_enough_to_be_read():
    assert read_entries(PROJECT / "datasets.yaml")
    assert settings_from(Params, SHIPPED, "params.yaml")
