from __future__ import annotations

import pytest

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import settings_from
from evenly.params.generation import read_engine_settings, require_endpoint, resolved_mode
from evenly.params.llm import EndpointSettings, EngineSettings
from evenly.params.recipes import LlmRecipe
from evenly.plans import AskedModel


def recipe(**values: object) -> LlmRecipe:
    return settings_from(LlmRecipe, values, "params.yaml: recipes.x.llm")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"examples": 0}, "set language"),
        ({"mode": "boundary", "confusable": 0}, "confusable"),
        ({"min_characters": 9, "max_characters": 8}, "max_characters"),
        ({"prompt": "../../etc/passwd"}, "prompts/"),
        ({"attributes": {"tone": []}}, "attributes.tone"),
        ({"sample_per_call": 3}, "did you mean 'samples_per_call'"),
    ],
)
def test_a_recipe_that_cannot_be_asked_for_is_refused_by_name(values, told):
    with pytest.raises(ParameterError, match=told):
        recipe(**values)


def test_attribute_values_are_text_whatever_yaml_makes_of_them():
    assert recipe(attributes={"stars": [1, 2]}).attributes == {"stars": ("1", "2")}


def test_modes_follow_the_modality():
    assert resolved_mode("auto", "text", "w") == "generate"
    assert resolved_mode("auto", "table", "w") == "table"
    with pytest.raises(RecipeError, match="'paraphrase', but table data takes table"):
        resolved_mode("paraphrase", "table", "w")
    with pytest.raises(RecipeError, match="image data"):
        resolved_mode("auto", "image", "w")


def test_without_an_endpoint_one_sentence_says_what_to_do():
    with pytest.raises(RecipeError) as caught:
        require_endpoint(None, {}, "llm_smote", ["none", "smote"])
    told = str(caught.value)
    for part in (
        "'llm_smote'",
        "llm.base_url",
        ".env",
        "transformers serve",
        "http://localhost:8001/v1",
        "none, smote",
    ):
        assert part in told
    assert "\n" not in told


def test_a_missing_key_is_told_by_its_variable_and_a_local_server_needs_none():
    far = EngineSettings(base_url="https://api.example.org/v1", model="m", key_variable="MY_KEY")
    with pytest.raises(RecipeError, match="MY_KEY"):
        require_endpoint(far, {}, "llm", [])
    assert require_endpoint(far, {"MY_KEY": "k"}, "llm", []) is far
    second = far.model_copy(
        update={"fallbacks": [EndpointSettings(base_url="https://b.example.org", model="n")]}
    )
    with pytest.raises(RecipeError, match="OPENAI_API_KEY"):
        require_endpoint(second, {"MY_KEY": "k"}, "llm", [])
    near = EngineSettings(base_url="http://localhost:8001/v1", model="m")
    assert require_endpoint(near, {}, "llm", []) is near


def test_an_unset_endpoint_is_none_but_its_other_keys_are_checked(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("seed: 1\nllm: {base_url: null, model: null, temperature: 0.5}\n")
    assert read_engine_settings(file) is None
    file.write_text("llm: {base_url: 'http://h/v1', model: m, temperature: 0.5}\n")
    settings = read_engine_settings(file)
    assert settings is not None
    assert settings.temperature == 0.5
    file.write_text("llm: {base_url: null, model: null, temperatur: 0.5}\n")
    with pytest.raises(ParameterError, match="temperatur"):
        read_engine_settings(file)


def test_a_plan_keeps_what_changes_answers_and_leaves_the_rest_to_the_run():
    slow = EngineSettings(base_url="http://h/v1", model="m", temperature=0.7, max_calls=9, concurrency=2)
    fast = slow.model_copy(update={"concurrency": 64, "stream": True, "attempts": 2})
    assert AskedModel.of(slow) == AskedModel.of(fast)
    assert AskedModel.of(slow).applied_to(fast) == fast
    assert AskedModel.of(slow.model_copy(update={"temperature": 0.8})) != AskedModel.of(slow)
    assert AskedModel.of(slow).applied_to(None).temperature == 0.7
