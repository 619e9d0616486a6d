"""Policies: what is refused, what goes into a plan, and that those shipped are sound."""

import pytest

from evenly.errors import ParameterError
from evenly.params.augmentation import Flip, Policy
from evenly.params.base import read_yaml, settings_from

SHIPPED = {name: Policy.model_validate(value) for name, value in read_yaml("params.yaml")["policies"].items()}


@pytest.mark.parametrize(
    ("policy", "named", "told"),
    [
        ({"modality": "image", "rotat": {"degrees": 5}}, "rotat", "did you mean 'rotate'"),
        ({"modality": "image", "rotate": {"degrees": -5}}, "rotate.degrees", "-5"),
        ({"modality": "image", "blur": {"share": 0.1, "probability": 1.5}}, "blur.probability", "1.5"),
        ({"modality": "image", "flip": {"horizontal": -0.1}}, "flip.horizontal", "-0.1"),
        ({"modality": "image", "scale": {"low": 2, "high": 1}}, "scale", "above high"),
        ({"modality": "image", "border": "wrap"}, "border", "'reflect', 'replicate' or 'constant'"),
        ({"modality": "image", "border_value": 256}, "border_value", "256"),
        ({"modality": "text", "swap": {"share": 0}}, "swap.share", "0"),
        ({"modality": "table", "jitter": {"noise": -1}}, "jitter.noise", "-1"),
        ({"modality": "video"}, "modality", "'image', 'text' or 'table'"),
        ({"modality": "text", "rotate": {"degrees": 5}}, "", "rotate belongs to image policies"),
        ({"modality": "table", "border": "reflect"}, "", "border belongs to image policies"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_its_key(policy, named, told):
    with pytest.raises(ParameterError) as refused:
        settings_from(Policy, policy, "params.yaml: policies.mine")
    assert f"policies.mine{'.' if named else ''}{named}" in str(refused.value)
    assert told in str(refused.value)


def test_a_policy_survives_its_plan_file():
    for policy in SHIPPED.values():
        assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_a_plan_names_only_what_its_policy_can_draw():
    """Otherwise a transform added to the software would change, and re-run, every existing plan."""
    policy = Policy.model_validate({"modality": "text", "swap": {"share": 0.1}})
    assert policy.model_dump(mode="json") == {"modality": "text", "swap": {"share": 0.1, "probability": 1.0}}


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ("none", None),
        ("horizontal", Flip(horizontal=0.3)),
        ("vertical", Flip(vertical=0.4)),
        ("both", Flip(horizontal=0.3, vertical=0.4)),
    ],
)
def test_mirror_images_that_change_a_label_are_taken_out(allowed, left):
    policy = Policy.model_validate(
        {"modality": "image", "flip": {"horizontal": 0.3, "vertical": 0.4}, "rotate": {"degrees": 3}}
    )
    restricted = policy.restricted_to_flips(allowed)
    assert restricted.flip == left
    assert restricted.rotate == policy.rotate


def test_a_policy_without_flips_stays_as_it_is():
    policy = SHIPPED["digits"]
    assert policy.flip is None
    assert policy.restricted_to_flips("horizontal") == policy


def test_every_modality_has_its_default_policy():
    assert SHIPPED["image_standard"].modality == "image"
    assert SHIPPED["text_light"].modality == "text"
    assert SHIPPED["table_light"].modality == "table"
