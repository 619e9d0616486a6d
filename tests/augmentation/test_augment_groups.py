"""By group, transforms are made of rows of the group, whose class and attribute they keep."""

from __future__ import annotations

import numpy as np
import pytest

from evenly.augmentation import augment
from evenly.errors import RecipeError
from evenly.groups import by_group, group_counts
from evenly.params.augmentation import Policy
from evenly.plans import AugmentPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns


@pytest.fixture(scope="module")
def rows() -> SampleTable:
    rng = np.random.default_rng(0)
    pairs = [("cow", "grass")] * 9 + [("cow", "sand")] * 3 + [("camel", "sand")] * 6
    columns = {
        "id": [f"r{k:02d}" for k in range(len(pairs))],
        "label": [label for label, _ in pairs],
        "attribute": [value for _, value in pairs],
        "size": rng.normal(size=len(pairs)).tolist(),
        "weight": rng.normal(size=len(pairs)).tolist(),
    }
    features = (Feature("size", "number"), Feature("weight", "number"))
    return samples_from_columns(columns, Schema("table", ("cow", "camel"), features))


def test_each_group_gets_its_rows_from_its_own(rows: SampleTable, policies: dict[str, Policy]) -> None:
    counts = {"cow/grass": 0, "cow/sand": 6, "camel/sand": 3}
    plan = AugmentPlan(policy=policies["table_light"], counts=counts, seed=1, balance_on="group")
    made = augment(rows, plan)
    assert group_counts(made) == {"cow/sand": 6, "camel/sand": 3}
    assert made.schema == rows.schema
    group = dict(zip(rows.ids, by_group(rows).labels, strict=True))
    assert [group[parent] for parent in made.column("parent")] == by_group(made).labels.tolist()


def test_a_group_without_rows_has_nothing_to_vary(rows: SampleTable, policies: dict[str, Policy]) -> None:
    plan = AugmentPlan(policy=policies["table_light"], counts={"camel/grass": 1}, seed=1, balance_on="group")
    with pytest.raises(RecipeError, match="'camel/grass' is to get 1 augmented rows but has no real"):
        augment(rows, plan)
