"""Relatives stay together, and no model judges a row that it has seen in disguise."""

from __future__ import annotations

import numpy as np

from evenly.mining.scores import (
    family_folds,
    family_names,
    independent_rows,
    is_spare_copy,
    out_of_fold,
)
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

SCHEMA = Schema("table", ("a", "b"), (Feature("x", "number"),))


def table(
    rows: list[tuple[str, str, str, str | None, str | None]], groups: list[str | None] | None = None
) -> SampleTable:
    """Rows of id, label, origin, parent, neighbour."""
    ids, labels, origins, parents, neighbours = zip(*rows, strict=True)
    return samples_from_columns(
        {
            "id": ids,
            "label": labels,
            "origin": origins,
            "group": groups or [None] * len(rows),
            "parent": parents,
            "neighbour": neighbours,
            "x": [float(k) for k in range(len(rows))],
        },
        SCHEMA,
    )


def grown(real: int = 40) -> SampleTable:
    """Real rows; each has an augmented child, which has a copy."""
    rows = []
    for k in range(real):
        label = "ab"[k % 2]
        rows += [
            (f"r{k}", label, "real", None, None),
            (f"r{k}~aug1", label, "augmented", f"r{k}", None),
            (f"r{k}~aug1+duplicate1", label, "duplicate", f"r{k}~aug1", None),
        ]
    return table(rows)


def test_a_family_reaches_over_several_generations() -> None:
    names = family_names(grown(3))
    assert names.tolist() == [name for k in range(3) for name in [f"row r{k}"] * 3]


def test_children_of_a_row_that_is_not_there_are_still_one_family() -> None:
    names = family_names(table([("s1", "a", "smote", "gone", None), ("s2", "a", "smote", "gone", None)]))
    assert names[0] == names[1] == "row gone"


def test_rows_of_one_group_are_one_family_with_their_children() -> None:
    names = family_names(
        table(
            [
                ("r1", "a", "real", None, None),
                ("r2", "a", "real", None, None),
                ("s1", "a", "smote", "r2", None),
            ],
            ["patient 7", "patient 7", None],
        )
    )
    assert set(names) == {"group patient 7"}


def test_a_copy_never_sits_in_another_fold_than_its_source() -> None:
    samples = grown()
    names = family_names(samples)
    fold = family_folds(samples, names, 5, seed=3)
    for name in set(names):
        assert len(set(fold[names == name])) == 1


def test_folds_hold_the_classes_evenly() -> None:
    samples = grown(40)
    fold = family_folds(samples, family_names(samples), 5, seed=1)
    for code in (0, 1):
        assert np.bincount(fold[samples.codes == code]).tolist() == [12] * 5


def test_folds_do_not_depend_on_the_order_of_the_rows() -> None:
    samples = grown(15)
    order = np.random.default_rng(0).permutation(len(samples))
    shuffled = samples.take(order)
    fold = family_folds(samples, family_names(samples), 4, seed=0)
    np.testing.assert_array_equal(family_folds(shuffled, family_names(shuffled), 4, seed=0), fold[order])


def test_an_interpolated_row_is_not_fitted_on_when_either_end_is_judged() -> None:
    rows = [(f"r{k}", "ab"[k % 2], "real", None, None) for k in range(20)]
    rows += [(f"s{k}", "ab"[k % 2], "smote", f"r{k}", f"r{(k + 2) % 20}") for k in range(20)]
    samples = table(rows)
    fold = family_folds(samples, family_names(samples), 5, seed=0)
    ids = samples.ids

    def judge(outside: np.ndarray, inside: np.ndarray) -> np.ndarray:
        judged = set(ids[inside])
        for row in outside:
            assert samples.column("parent")[row] not in judged
            assert samples.column("neighbour")[row] not in judged
        return np.full((len(inside), 2), 0.5)

    probabilities = out_of_fold(samples, fold, judge)
    assert not np.isnan(probabilities).any()


def test_a_class_that_is_only_in_the_judged_fold_gets_no_opinion() -> None:
    rows = [(f"r{k}", "a", "real", None, None) for k in range(6)] + [("only", "b", "real", None, None)]
    rows += [(f"c{k}", "a", "real", None, None) for k in range(6)]
    samples = table(rows)
    fold = np.array([k % 3 for k in range(len(samples))])
    probabilities = out_of_fold(samples, fold, lambda o, i: np.full((len(i), 2), 0.5))
    assert np.isnan(probabilities[samples.ids == "only"]).all()


def test_copies_are_spare_only_beside_their_source() -> None:
    samples = table(
        [
            ("r1", "a", "real", None, None),
            ("r1+duplicate1", "a", "duplicate", "r1", None),
            ("r2+duplicate1", "a", "duplicate", "r2", None),
        ]
    )
    assert is_spare_copy(samples).tolist() == [False, True, False]


def test_independent_rows_count_families_and_not_copies() -> None:
    samples = grown(7)
    assert independent_rows(samples, family_names(samples)).tolist() == [4, 3]
