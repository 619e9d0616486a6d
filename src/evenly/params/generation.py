"""What a recipe asks of a language model. How the model is reached and paid lives in `evenly.params.llm`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from evenly.errors import RecipeError
from evenly.params.base import Settings, read_yaml, settings_from
from evenly.params.llm import EngineSettings, is_loopback
from evenly.wording import first_names

Mode = Literal["generate", "paraphrase", "boundary", "table"]
Similarity = Annotated[float, Field(gt=0, le=1)]

#: Which modes there are for a modality, the first of them being the default.
MODES: Mapping[str, tuple[Mode, ...]] = {"text": ("generate", "paraphrase", "boundary"), "table": ("table",)}


class AskingSettings(Settings):
    """How samples are asked for and which of them are taken at once.

    Attributes
    ----------
    samples_per_call
        Samples that one call asks for.
    examples
        Real training rows of the class shown in a call, drawn for diversity and another handful in every
        call.
    confusable
        So many of the nearest other classes are shown as 'not these'; in mode `boundary` they are the
        partners.
    keywords
        Distinctive terms of the class that are shown where datasets.yaml gives it no keywords of its own.
    attributes
        What varies from call to call, for diversity: for instance `{tone: [calm, angry], channel: [email,
        chat]}`.
    language
        What to write in; left out, the language of the examples.
    instructions
        Added to every prompt as it stands.
    prompt
        A file in `prompts/` to use in the place of the mode's own.
    min_characters, max_characters
        Limits on the length of a text; null is twice the longest training row, and at least 200.
    near_duplicate, ngram
        A text whose character n-grams have this Jaccard index or more with those of a training row, or of a
        sample that its class already has, is turned away; null compares normalised texts for equality only.
    attempts
        A class is given up after so many times the calls that it would take if every sample were accepted.
    patience, least_yield
        A class is given up as well when, of the last `patience` samples asked for (whole calls), a share
        below `least_yield` was taken: a sample then costs more than 1 / `least_yield` times what it would
        if all were taken. 0 never gives up so.
    per_source
        Mode `paraphrase`: paraphrases of each source row in a call.
    mix
        Mode `boundary`: the share of the class itself in a sample, the rest is its partner's.
    tolerance
        Mode `table`: how far a number may lie outside the range of the training rows, as a share of its
        width.
    rows_as
        Mode `table`: how example rows are shown.
    """

    samples_per_call: PositiveInt = 10
    examples: NonNegativeInt = 5
    confusable: NonNegativeInt = 2
    keywords: NonNegativeInt = 8
    attributes: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    language: str | None = None
    instructions: str = ""
    prompt: str | None = None
    min_characters: PositiveInt = 1
    max_characters: PositiveInt | None = None
    near_duplicate: Similarity | None = 0.8
    ngram: Annotated[int, Field(ge=1, le=8)] = 3
    attempts: Annotated[float, Field(ge=1)] = 3.0
    patience: PositiveInt = 30
    least_yield: Annotated[float, Field(ge=0, lt=1)] = 0.1
    per_source: PositiveInt = 3
    mix: Annotated[float, Field(gt=0.5, lt=1)] = 0.75
    tolerance: NonNegativeFloat = 0.1
    rows_as: Literal["json", "sentences"] = "json"

    @field_validator("prompt")
    @classmethod
    def _a_file_name(cls, value: str | None) -> str | None:
        if value is not None and ("/" in value or "\\" in value or not value.endswith(".jinja")):
            raise ValueError("give the name of a file in prompts/ that ends in .jinja")
        return value

    @field_validator("attributes", mode="before")
    @classmethod
    def _values_as_text(cls, value: object) -> object:
        # YAML reads `[1, yes]` as a number and a word or a truth value; in a prompt they are text.
        if not isinstance(value, dict):
            return value
        return {
            str(name): [str(one) for one in values] if isinstance(values, list | tuple) else values
            for name, values in value.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> AskingSettings:
        if self.examples == 0 and self.language is None:
            raise ValueError("without examples the model cannot tell the language of the data: set language")
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError("max_characters must not be below min_characters")
        return self


def _none_where_unset(value: Any) -> Any:
    """None for a section whose `base_url` or `model` is null; its other keys are checked all the same."""
    if not isinstance(value, dict) or (value.get("base_url") is not None and value.get("model") is not None):
        return value
    given = {name: one for name, one in value.items() if name not in ("base_url", "model")}
    EngineSettings.model_validate({"base_url": "http://unset", "model": "unset", **given})
    return None


#: The section `llm` of params.yaml: None while no endpoint is set (`base_url: null`).
OptionalEngine = Annotated[EngineSettings | None, BeforeValidator(_none_where_unset)]


class _Section(Settings):
    llm: OptionalEngine = None


def read_engine_settings(path: str | Path) -> EngineSettings | None:
    """The section `llm` of a params.yaml alone; None where no endpoint is set."""
    return settings_from(_Section, {"llm": read_yaml(path).get("llm")}, str(path)).llm


def resolved_mode(mode: Mode | Literal["auto"], modality: str, where: str) -> Mode:
    """The mode itself, `auto` resolved by modality, which must have it."""
    modes = MODES.get(modality)
    if modes is None:
        raise RecipeError(
            f"params.yaml: {where} asks a language model for {modality} data, which it cannot write; "
            "use the producers generate or augment."
        )
    if mode == "auto":
        return modes[0]
    if mode not in modes:
        raise RecipeError(
            f"params.yaml: {where}.mode is {mode!r}, but {modality} data takes {' or '.join(modes)}."
        )
    return mode


def require_endpoint(
    engine: EngineSettings | None,
    keys: Mapping[str, str],
    recipe: str,
    others: Iterable[str],
    model: str | None = None,
) -> EngineSettings:
    """The endpoint's settings, or one sentence that says how to get there.

    `keys` are environment variables and those of `.env`, `recipe` needs the endpoint, or where it is not the
    recipe `model`; `others` do without.
    """
    rest = list(others)
    without = f" Recipes that work without an endpoint: {first_names(rest, 12)}." if rest else ""
    asker = f"The recipe {recipe!r}"
    if model is not None:
        asker, without = f"The model {model!r}", " Other models work without an endpoint: `-S model=auto`."
    if engine is None:
        raise RecipeError(
            f"{asker} asks a language model, and no endpoint is set: set llm.base_url and "
            "llm.model in params.yaml (and put the key into .env as OPENAI_API_KEY), or start a local "
            "server with `transformers serve MODEL --port 8001` (or Ollama, vLLM, LM Studio) and set "
            f"llm.base_url to http://localhost:8001/v1; docs/llm.md has the recipes.{without}"
        )
    for one in engine.endpoints:
        if one.key_variable and not keys.get(one.key_variable) and not is_loopback(one.base_url):
            raise RecipeError(
                f"{asker} asks {one.model} at {one.base_url}, whose key is not set: put it "
                f"into the environment or .env as {one.key_variable}, set key_variable to null where the "
                "server needs none, or point llm.base_url at a local server (`transformers serve MODEL "
                f"--port 8001`, then http://localhost:8001/v1; see docs/llm.md).{without}"
            )
    return engine
