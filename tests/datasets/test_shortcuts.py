"""The built-in sets with a known shortcut: who is in which group, and that balancing groups undoes it."""

from __future__ import annotations

from math import erf
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenly.classifiers import build_classifier
from evenly.datasets.builtin import SHORTCUT_GROUPS
from evenly.datasets.load import Splits, load_splits
from evenly.errors import EvenlyError
from evenly.evaluation.groups import group_errors
from evenly.features import fit_featurizer
from evenly.groups import group_counts, group_name
from evenly.params.base import settings_from
from evenly.params.datasets import DatasetEntry, read_entry
from evenly.params.project import read_params
from evenly.planning import make_plans
from evenly.resampling.resample import resample
from evenly.samples import SampleTable, concatenate


def splits_of(name: str, seed: int = 1) -> Splits:
    return load_splits(read_entry(name), name, seed, [])


def test_shortcut_has_the_groups_it_says_and_the_place_is_no_feature() -> None:
    splits = splits_of("shortcut")
    counts = group_counts(concatenate([splits.train, splits.validation, splits.test]))
    assert counts == {group_name(*pair): n for pair, n in SHORTCUT_GROUPS.items()}
    names = [feature.name for feature in splits.train.schema.features]
    assert names == [f"shape_{k}" for k in range(1, 6)] + ["ground"] + [f"noise_{k}" for k in range(1, 5)]


def test_the_digits_have_the_colour_of_their_class_but_for_one_in_ten() -> None:
    splits = splits_of("coloured_digits")
    everything = concatenate([splits.train, splits.validation, splits.test])
    counts = group_counts(everything)
    for label, other in (("low", "green"), ("high", "red")):
        assert counts[f"{label}/{other}"] == pytest.approx(everything.counts[label] / 10, abs=1)
    channel = {"green": 1, "red": 2}
    for image, colour in zip(everything.images[:50], everything.column("attribute")[:50], strict=True):
        assert image is not None
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        assert [c for c in range(3) if pixels[:, :, c].any()] == [channel[colour]]


def rows_with(
    columns: dict[str, object], folder: Path, modality: str = "table", **row: object
) -> SampleTable:
    """40 rows of a csv with two classes, a measured `skin` and a `site`; `row` changes cells of line 4."""
    lines = [["kind", "note", "skin", "site", "size"]]
    for k in range(40):
        cells = {
            "kind": "ab"[k % 2],
            "note": f"text {k}",
            "skin": k % 5,
            "site": "xyz"[k % 3],
            "size": 0.5 * k,
        }
        lines.append([str(value) for value in {**cells, **(row if k == 2 else {})}.values()])
    (folder / "rows.csv").write_text("\n".join(",".join(line) for line in lines), encoding="utf-8")
    entry = {"modality": modality, "licence": "-", "path": str(folder / "rows.csv")}
    entry |= {"columns": {"label": "kind", **({"drop": ["note"]} if modality == "table" else {}), **columns}}
    splits = load_splits(settings_from(DatasetEntry, entry, "datasets.yaml: rows"), "rows", 1, [folder])
    return concatenate([splits.train, splits.validation, splits.test])


def test_an_attribute_is_a_comparison_of_a_column_that_stays_a_feature(tmp_path: Path) -> None:
    for expression, column, holds in (
        ("skin > 0", "skin", lambda value: value > 0),
        ("skin <= 2.5", "skin", lambda value: value <= 2.5),
        ("skin == 3", "skin", lambda value: value == 3),
        ("site != x", "site", lambda value: value != "x"),
    ):
        rows = rows_with({"attribute": expression}, tmp_path)
        kinds = {feature.name: feature.kind for feature in rows.schema.features}
        assert kinds == {"skin": "integer", "site": "category", "size": "number"}
        for value, attribute in zip(rows.column(column), rows.column("attribute"), strict=True):
            assert (attribute == expression) == holds(value)
        assert len(set(rows.column("attribute"))) == 2
    texts = rows_with({"attribute": "skin > 0", "text": "note"}, tmp_path, "text")
    assert set(texts.column("attribute")) == {"skin > 0", "skin <= 0"}


def test_a_column_is_attribute_and_feature_at_once_where_that_is_said(tmp_path: Path) -> None:
    both = rows_with({"attribute": "skin", "attribute_is_feature": True}, tmp_path)
    assert next((f.name, f.kind) for f in both.schema.features) == ("skin", "integer")
    assert [str(value) for value in both.column("skin")] == list(both.column("attribute"))
    assert "skin" not in [f.name for f in rows_with({"attribute": "skin"}, tmp_path).schema.features]


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (
            {"attribute": "skim > 0"},
            {},
            r"columns.attribute is 'skim > 0', but there is no column 'skim'; .*skin",
        ),
        ({"attribute": "skin > 9"}, {}, r"'skin > 9', which holds of no row; choose another value"),
        ({"attribute": "skin > many"}, {}, r"'many' is no number; compare it by =="),
        ({"attribute": "site > 1"}, {}, r"rows.csv.* holds 'x' in column 'site', which is no number"),
        ({"attribute": "skin > 0"}, {"skin": ""}, r"rows.csv.*4.* has no value for the attribute 'skin > 0'"),
        ({"attribute_is_feature": True}, {}, r"attribute_is_feature goes with a column as columns.attribute"),
        ({"attribute": "skin > 0", "attribute_is_feature": True}, {}, r"is a feature anyway"),
    ],
)
def test_an_attribute_that_cannot_be_is_one_sentence(
    tmp_path: Path, columns: dict[str, object], row: dict[str, object], message: str
) -> None:
    with pytest.raises(EvenlyError, match=message):
        rows_with(columns, tmp_path, **row)


def summary_of(recipe: str, seed: int) -> dict[str, float]:
    splits = splits_of("shortcut", seed)
    changes = {"dataset": "shortcut", "balancing": recipe, "model": "logistic_regression", "seed": seed}
    params = read_params("params.yaml").model_copy(update=changes)
    train, groups = splits.train, group_counts(splits.train)
    plans = make_plans(train.counts, train.schema, params, read_entry("shortcut"), {}, groups)
    features = fit_featurizer(train, params.features, seed)
    balanced = resample(train, plans.resample, features)[0] if plans.resample else train
    model = build_classifier(plans.train, train.schema, features)
    model.fit(balanced, splits.validation)
    predicted = model.predict_proba(splits.test).argmax(axis=1)
    found = group_errors(predicted, train=train, balanced=balanced, test=splits.test, resamples=20, seed=seed)
    assert found is not None
    return {name: interval.value for name, interval in found.summary.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_balancing_groups_undoes_the_shortcut_and_costs_accuracy(seed: int) -> None:
    none, classes, groups = (
        summary_of(name, seed) for name in ("none", "random_oversampling", "group_oversampling")
    )
    # Who leans on the place errs on every other row that is elsewhere; balancing classes does not help.
    assert none["minority_error"] > 0.35 and classes["minority_error"] > 0.35
    assert groups["worst_group_error"] < none["worst_group_error"] - 0.2
    assert groups["largest_difference"] < none["largest_difference"] / 2
    # The best classifier that ignores the place errs on Φ(−√5 / 2) = 13% of all rows.
    assert groups["error"] == pytest.approx((1 - erf((5**0.5 / 2) / 2**0.5)) / 2, abs=0.03)
    assert groups["error"] > none["error"] + 0.04
