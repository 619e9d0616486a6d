"""What every augmented row promises, whatever the modality."""

import json
from collections import Counter

import numpy as np
import pytest

from evenly.augmentation import augment
from evenly.errors import DataError, RecipeError
from evenly.features.images import decode_images
from evenly.params.augmentation import Policy
from evenly.plans import AugmentPlan
from evenly.samples import SampleTable, Schema, concatenate, samples_from_columns
from evenly.transforms.pixels import apply

TABLES = ("image_table", "text_table", "mixed_table")
POLICY = {"image": "image_strong", "text": "text_light", "table": "table_light"}


@pytest.fixture(params=TABLES)
def train(request) -> SampleTable:
    return request.getfixturevalue(request.param)


@pytest.fixture
def plan_for(policies):
    def plan(train: SampleTable, counts: dict[str, int], seed: int = 5) -> AugmentPlan:
        return AugmentPlan(policy=policies[POLICY[train.modality]], counts=counts, seed=seed)

    return plan


def rows_by_id(samples: SampleTable) -> dict[str, dict]:
    return {row["id"]: row for row in samples.table.to_pylist()}


def counts_for(train: SampleTable, each: int) -> dict[str, int]:
    return dict.fromkeys(train.classes, each)


def test_each_class_gets_the_rows_that_were_asked_for(train, plan_for):
    first, second = train.classes
    made = augment(train, plan_for(train, {first: 13, second: 4}))
    assert made.counts == {first: 13, second: 4}
    assert made.schema == train.schema
    assert set(made.origins) == {"augmented"}


def test_a_row_names_a_real_parent_of_its_class_and_inherits_its_group(train, plan_for):
    parents = rows_by_id(train)
    for row in augment(train, plan_for(train, counts_for(train, 11))).table.to_pylist():
        parent = parents[row["parent"]]
        assert row["label"] == parent["label"]
        assert row.get("group") == parent.get("group")
        assert row["id"].startswith(row["parent"] + "~aug")
        assert isinstance(json.loads(row["details"]), dict)


def test_attributes_are_inherited(text_table, plan_for):
    marked = text_table.with_column("attribute", [f"a{k}" for k in range(len(text_table))])
    parents = rows_by_id(marked)
    for row in augment(marked, plan_for(marked, {"en": 6})).table.to_pylist():
        assert row["attribute"] == parents[row["parent"]]["attribute"]


def test_augmented_rows_join_the_table_they_came_from(train, plan_for):
    made = augment(train, plan_for(train, counts_for(train, 7)))
    assert len(concatenate([train, made])) == len(train) + 14


def test_all_parents_are_used_evenly(train, plan_for):
    made = augment(train, plan_for(train, counts_for(train, 13)))
    real = train.counts
    for label in train.classes:
        used = Counter(made.column("parent")[made.labels == label])
        assert len(used) == min(13, real[label])
        assert max(used.values()) - min(used.values()) <= 1 or len(used) < real[label]


def test_the_order_of_the_training_rows_does_not_matter(train, plan_for):
    plan = plan_for(train, counts_for(train, 9))
    shuffled = train.take(np.random.default_rng(3).permutation(len(train)))
    assert augment(shuffled, plan).table.equals(augment(train, plan).table)


def test_a_higher_count_only_adds_rows(train, plan_for):
    label = train.classes[0]
    few = augment(train, plan_for(train, {label: 5})).table.to_pylist()
    many = augment(train, plan_for(train, {label: 12})).table.to_pylist()
    assert many[:5] == few


def test_another_class_changes_nothing(train, plan_for):
    first, second = train.classes
    alone = augment(train, plan_for(train, {first: 6})).table.to_pylist()
    beside = augment(train, plan_for(train, {second: 8, first: 6}))
    assert beside.take(beside.labels == first).table.to_pylist() == alone


def test_another_seed_makes_other_rows(train, plan_for):
    payload = {"image": "image", "text": "text", "table": "height"}[train.modality]
    one = augment(train, plan_for(train, counts_for(train, 8), seed=1))
    two = augment(train, plan_for(train, counts_for(train, 8), seed=2))
    assert one.table.column(payload) != two.table.column(payload)


def test_an_empty_count_makes_an_empty_table(train, plan_for):
    made = augment(train, plan_for(train, {train.classes[0]: 0}))
    assert len(made) == 0
    assert made.schema == train.schema


def test_synthetic_rows_are_no_parents(train, plan_for):
    label = train.classes[0]
    plan = plan_for(train, {label: 6})
    grown = concatenate([train, augment(train, plan_for(train, {label: 4}, seed=9))])
    assert augment(grown, plan).table.column("parent") == augment(train, plan).table.column("parent")


def test_a_class_without_a_real_row_is_refused_by_name(train, plan_for):
    only_second = train.take(train.labels == train.classes[1])
    with pytest.raises(RecipeError, match=repr(train.classes[0])):
        augment(only_second, plan_for(train, {train.classes[0]: 3}))
    with pytest.raises(RecipeError, match="'nobody'"):
        augment(train, plan_for(train, {"nobody": 3}))


def test_a_policy_for_another_modality_is_refused(text_table, policies):
    plan = AugmentPlan(policy=policies["digits"], counts={"en": 2}, seed=0)
    with pytest.raises(RecipeError, match=r"image and the data set is of modality text"):
        augment(text_table, plan)


def test_images_keep_their_own_size_and_their_record_reproduces_them(image_table, plan_for):
    parents = {
        name: decode_images([data])[0] for name, data in zip(image_table.ids, image_table.images, strict=True)
    }
    made = augment(image_table, plan_for(image_table, {"few": 9, "many": 10}))
    for row in made.table.to_pylist():
        source = parents[row["parent"]]
        stored = decode_images([row["image"]], channels=source.shape[2])[0]
        assert np.array_equal(apply(source, json.loads(row["details"])), stored)


def test_several_processes_make_the_same_images(image_table, plan_for):
    plan = plan_for(image_table, {"few": 40, "many": 30})
    assert augment(image_table, plan, workers=2).table.equals(augment(image_table, plan, workers=1).table)


def test_an_image_that_cannot_be_decoded_is_named(policies):
    broken = samples_from_columns(
        {"id": ["p7"], "label": ["a"], "image": [b"no image"]}, Schema("image", ("a",))
    )
    with pytest.raises(DataError, match="'p7'"):
        augment(broken, AugmentPlan(policy=policies["digits"], counts={"a": 1}, seed=0))


def test_a_policy_that_changes_nothing_copies_images():
    image = samples_from_columns(
        {"id": ["a"], "label": ["a"], "image": [encoded_square()]}, Schema("image", ("a",))
    )
    made = augment(image, AugmentPlan(policy=Policy(modality="image"), counts={"a": 2}, seed=0))
    assert np.array_equal(decode_images(made.images)[0], decode_images(image.images)[0])


def encoded_square() -> bytes:
    from evenly.features.images import encode_images

    return encode_images(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1))[0]
