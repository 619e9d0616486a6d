"""By group, a generator is conditioned on groups: its rows carry class and attribute and look like them."""

from __future__ import annotations

import numpy as np
from generation_cases import plan_for

from evenly.generators.generate import generate
from evenly.groups import group_counts
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

#: Where the two features of each group lie.
CENTRES = {("a", "x"): (0, 0), ("a", "y"): (0, 8), ("b", "x"): (8, 0), ("b", "y"): (8, 8)}


def four_places() -> SampleTable:
    rng = np.random.default_rng(0)
    pairs = [pair for pair, n in zip(CENTRES, (90, 30, 30, 90), strict=True) for _ in range(n)]
    points = np.array([CENTRES[pair] for pair in pairs]) + 0.5 * rng.normal(size=(len(pairs), 2))
    columns = {
        "id": [f"r{k:03d}" for k in range(len(pairs))],
        "label": [label for label, _ in pairs],
        "attribute": [value for _, value in pairs],
        "u": points[:, 0].tolist(),
        "v": points[:, 1].tolist(),
    }
    return samples_from_columns(
        columns, Schema("table", ("a", "b"), (Feature("u", "number"), Feature("v", "number")))
    )


def test_rows_of_a_group_lie_where_the_group_lies() -> None:
    train = four_places()
    plan = plan_for("table_vae", {"a/x": 0, "a/y": 40, "b/x": 40, "b/y": 0})
    made = generate(train, plan.model_copy(update={"balance_on": "group"})).samples
    assert made is not None and made.schema == train.schema
    assert group_counts(made) == {"a/y": 40, "b/x": 40}
    points = made.features_frame().to_numpy()
    own = np.array(
        [CENTRES[pair] for pair in zip(made.labels, made.column("attribute"), strict=True)], dtype=float
    )
    # A generator conditioned on the class alone would give most rows of `a` the v of its larger group, 0.
    assert np.abs(points - own).mean() < 2


def test_nothing_asked_of_groups_gives_nothing() -> None:
    plan = plan_for("table_vae", {"a/x": 0, "b/y": 0}).model_copy(update={"balance_on": "group"})
    assert generate(four_places(), plan).samples is None
