"""The gate, the cap, and what a recipe's `generate` block may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import settings_from
from evenly.params.generative import (
    GenerativeSettings,
    generator_settings,
    left_to_augmentation,
    share_capped,
)
from evenly.plans import GeneratePlan, read_plan, write_plan

REAL = {"many": 80, "some": 30, "few": 5}
ASKED = {"many": 0, "some": 40, "few": 60}


@pytest.mark.parametrize(("kind", "left"), [("gan", {"some", "few"}), ("vae", {"few"})])
def test_classes_too_small_for_a_generator_fall_back_with_a_sentence(kind, left):
    reasons = left_to_augmentation(ASKED, REAL, GenerativeSettings(kind=kind))
    assert set(reasons) == left
    assert "min_per_class" in reasons["few"]
    assert "5 training rows" in reasons["few"]


def test_the_gate_can_be_opened():
    assert not left_to_augmentation(ASKED, REAL, GenerativeSettings(kind="gan", min_per_class=2))


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0.01, 0.99))
def test_capped_rows_are_at_most_their_share(asked, others, share):
    made = share_capped({"a": asked}, {"a": others}, share)["a"]
    assert 0 <= made <= asked
    assert made <= share * (made + others) + 1e-6
    if made < asked:  # and one more would be too many
        assert made + 1 > share * (made + 1 + others) - 1e-6


def test_the_default_share_is_reached_exactly():
    assert share_capped({"a": 100}, {"a": 70}, 0.3) == {"a": 30}
    assert share_capped({"a": 100}, {"a": 0}, 1.0) == {"a": 100}


def test_a_gan_cannot_be_sampled_near_a_row():
    with pytest.raises(ParameterError, match="only kind vae has"):
        settings_from(GenerativeSettings, {"kind": "gan", "sampling": {"mode": "near"}}, "params.yaml")


def test_the_generator_follows_kind_and_modality():
    settings = GenerativeSettings(kind="vae")
    assert generator_settings(settings, "image", "x").name == "image_vae"
    assert generator_settings(settings, "table", "x").name == "table_vae"
    with pytest.raises(RecipeError, match="text data takes language_model"):
        generator_settings(settings, "text", "recipes.vae.generate")
    with pytest.raises(RecipeError, match="image data takes gan or vae"):
        generator_settings(GenerativeSettings(kind="language_model"), "image", "recipes.lm.generate")


def test_a_plan_survives_its_file(tmp_path):
    settings = GenerativeSettings(kind="vae")
    plan = GeneratePlan(
        kind="vae",
        counts={"a": 3},
        generator=settings.table_vae,
        sampling=settings.sampling,
        fallbacks={"b": "Too few."},
        seed=1,
        threads=2,
    )
    write_plan(plan, tmp_path / "generate.json")
    assert read_plan(GeneratePlan, tmp_path / "generate.json") == plan
