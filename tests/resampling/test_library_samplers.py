"""Samplers of imbalanced-learn by their name: what they keep and make are rows like any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import NearMiss

from evenly.errors import DataError, ParameterError, RecipeError
from evenly.features import fit_featurizer
from evenly.params.base import settings_from
from evenly.params.features import FeatureSettings
from evenly.params.resampling import ResampleSettings, made_sampler
from evenly.resampling.report import ResampleReport
from evenly.samples import SampleTable
from tests.resampling.resampling_tables import BUILDERS, clouds, number_samples, plan, resampled

VECTORS, LABELS = clouds([40, 12])
SAMPLES = number_samples(VECTORS, LABELS)


def by_library(
    name: str, targets: dict[str, int], samples: SampleTable = SAMPLES, **settings: Any
) -> tuple[SampleTable, ResampleReport]:
    return resampled(samples, plan("imblearn", targets, sampler=name, **settings))


class KeepsFirstRows:
    """A sampler of one's own: the first rows of each class, and no word of which they were."""

    def __init__(self, rows: int = 5) -> None:
        self.rows = rows

    def fit_resample(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = np.concatenate([np.flatnonzero(y == code)[: self.rows] for code in np.unique(y)])
        return x[kept], y[kept]


def test_near_miss_keeps_the_rows_that_the_library_keeps() -> None:
    table, report = by_library("NearMiss", {"c0": 12, "c1": 12}, thins=True, options={"version": 2})
    vectors = fit_featurizer(SAMPLES, FeatureSettings(), 0).transform(SAMPLES)
    sampler = NearMiss(version=2)
    sampler.fit_resample(vectors, SAMPLES.codes)
    assert set(table.ids) == set(SAMPLES.ids[sampler.sample_indices_])
    assert table.counts == {"c0": 12, "c1": 12}
    assert report.classes["c0"].removed == 28
    assert set(table.origins) == {"real"}


def test_rows_that_the_library_makes_are_new_rows_with_an_origin_and_without_a_parent() -> None:
    table, report = by_library("SMOTE", {"c1": 40}, options={"k_neighbors": 3})
    made = table.take(table.origins == "smote")
    assert table.counts == {"c0": 40, "c1": 40}
    assert set(SAMPLES.ids) <= set(table.ids)
    assert len(set(table.ids)) == len(table)
    assert set(made.labels) == {"c1"}
    assert set(made.column("parent")) == {None}
    assert (report.classes["c1"].made, report.classes["c1"].method) == (28, "smote")
    featurizer = fit_featurizer(SAMPLES, FeatureSettings(), 0)
    sampler = SMOTE(sampling_strategy={1: 40}, k_neighbors=3, random_state=7)
    theirs = sampler.fit_resample(featurizer.transform(SAMPLES), SAMPLES.codes)[0][len(SAMPLES) :]
    np.testing.assert_allclose(featurizer.transform(made), theirs, rtol=1e-4, atol=1e-5)


def test_copies_name_the_row_that_they_are_copies_of() -> None:
    table, report = by_library("RandomOverSampler", {"c1": 30})
    copies = table.take(table.origins == "duplicate")
    assert len(copies) == 18 == report.classes["c1"].copies
    assert set(copies.column("parent")) <= set(SAMPLES.ids[SAMPLES.labels == "c1"])


def test_a_sampler_that_adds_and_cleans_keeps_the_ids_of_what_stays() -> None:
    table, report = by_library("SMOTEENN", {"c0": 40, "c1": 40})
    real = table.take(table.origins == "real")
    assert set(real.ids) < set(SAMPLES.ids)
    outcome = report.classes["c0"]
    assert outcome.before - outcome.removed + outcome.made == outcome.after == table.counts["c0"]


@pytest.mark.parametrize("kind", ["mixed", "image", "text"])
def test_every_modality_can_be_resampled(kind: str) -> None:
    samples = BUILDERS[kind](*clouds([20, 8]))
    grown, _ = by_library("BorderlineSMOTE", {"c1": 20}, samples, options={"k_neighbors": 3})
    assert grown.counts["c1"] in (8, 20)  # nothing in danger makes nothing
    cleaned, _ = by_library("TomekLinks", {}, samples)
    assert set(cleaned.ids) <= set(samples.ids)


def test_a_class_with_the_same_interface_is_run_by_its_dotted_path() -> None:
    name = f"{__name__}.KeepsFirstRows"
    table, report = by_library(name, {}, options={"rows": 4})
    assert table.counts == {"c0": 4, "c1": 4}
    assert set(table.ids) <= set(SAMPLES.ids)
    assert report.classes["c0"].removed == 36


def test_the_same_seed_makes_the_same_rows_whatever_their_order() -> None:
    first, _ = by_library("ADASYN", {"c1": 40})
    again, _ = by_library("ADASYN", {"c1": 40}, SAMPLES.take(np.arange(len(SAMPLES))[::-1]))
    assert first.table.equals(again.table)


def test_rows_that_a_sampler_refuses_are_refused_in_a_sentence() -> None:
    few = number_samples(*clouds([20, 3]))
    with pytest.raises(DataError, match=r"SMOTE cannot resample these rows: .*n_neighbors"):
        by_library("SMOTE", {"c1": 20}, few)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("NearMis", {}, "'NearMis' is no sampler of imbalanced-learn; did you mean 'NearMiss'"),
        ("NearMiss", {"versions": 2}, "resample.options do not suit NearMiss: .*versions"),
        ("SMOTE", {"k_neighbors": -1}, "resample.options do not suit SMOTE: .*k_neighbors"),
        ("no.such.module.Sampler", {}, "cannot be imported"),
        ("math.sqrt", {}, "is no class with a fit_resample"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        made_sampler(name, options, 0)


@pytest.mark.parametrize(
    "values",
    [{"method": "imblearn"}, {"method": "smote", "class": "SMOTE"}, {"method": "smote", "options": {"a": 1}}],
)
def test_method_class_and_options_go_together(values: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="imblearn"):
        settings_from(ResampleSettings, values, "resample")


def test_settings_are_written_as_they_are_read() -> None:
    values = {"method": "imblearn", "class": "NearMiss", "options": {"version": 2}}
    assert settings_from(ResampleSettings, values, "x").model_dump(exclude_unset=True) == values
    assert "class" not in settings_from(ResampleSettings, {"method": "smote"}, "x").model_dump()
