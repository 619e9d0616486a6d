"""Every method on data of every awkward kind ends in a valid table, and says what it did instead."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resampling_tables import BUILDERS, clouds, number_samples, plan, resampled

from evenly.params.resampling import RESAMPLERS, ResampleMethod
from evenly.resampling.report import SENTENCES, ResampleReport
from evenly.samples import SampleTable

METHODS: tuple[ResampleMethod, ...] = tuple(RESAMPLERS)
GROWING = ("random_over", "smote", "borderline_smote", "svm_smote", "kmeans_smote", "adasyn", "smotenc")
KINDS = ("mingled", "separable", "identical", "near_balanced")


def awkward(kind: str, small: int, modality: str) -> SampleTable:
    sizes = [14, small, 13] if kind != "near_balanced" else [14, 13, 13]
    vectors, labels = clouds(sizes, apart=50 if kind == "separable" else 0.5)
    if kind == "identical":
        for k in range(3):
            vectors[labels == k] = vectors[labels == k][0]
    return BUILDERS[modality](vectors, labels)


def run(samples: SampleTable, method: str, k_neighbors: int = 5) -> tuple[SampleTable, ResampleReport]:
    """Resample with every warning an error, and check what must hold of any result."""
    to = 5 if method == "random_under" else 14
    asked = plan(method, dict.fromkeys(samples.classes, to), k_neighbors=k_neighbors, clean="all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, report = resampled(samples, asked)
    for name, outcome in report.classes.items():
        assert outcome.before == samples.counts[name]
        assert outcome.after == table.counts[name] == outcome.before + outcome.made - outcome.removed
        assert outcome.after > 0
        assert outcome.made == outcome.asked
        assert outcome.method == ("none" if not outcome.made else outcome.method)
        if method in GROWING:
            assert outcome.after == max(outcome.before, to)
        fewer = outcome.made and outcome.k_neighbors and outcome.k_neighbors < asked.k_neighbors
        assert not fewer or "fewer_neighbours" in outcome.reasons
        changed = outcome.made and outcome.method not in (method, "smote", "smotenc", "duplicate")
        assert not changed
        replaced = outcome.made and method in GROWING[2:6] and outcome.method != method
        duplicated = outcome.method == "duplicate" and method != "random_over"
        assert not (replaced or duplicated) or outcome.reasons
    return table, report


@pytest.mark.parametrize("modality", list(BUILDERS))
@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_in_a_valid_table(method: str, modality: str) -> None:
    for kind in KINDS:
        for small in (1, 2, 3, 5, 6) if kind != "near_balanced" else (13,):
            run(awkward(kind, small, modality), method)


@pytest.mark.parametrize("method", METHODS)
def test_one_class_or_one_row_is_no_crash(method: str) -> None:
    for sizes in ([1], [2], [6], [1, 1], [2, 2]):
        run(number_samples(*clouds(sizes)), method)


@settings(max_examples=60)
@given(
    st.sampled_from(METHODS),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5, 50.0]),
    st.sampled_from([None, 1, 10]),
    st.integers(1, 9),
    st.sampled_from(list(BUILDERS)),
    st.integers(0, 999),
)
def test_any_sizes_overlap_rounding_and_neighbours(
    method: str, sizes: list[int], apart: float, steps: int | None, k: int, modality: str, seed: int
) -> None:
    vectors, labels = clouds(sizes, apart=apart, seed=seed)
    if steps is not None:  # many equal rows
        vectors = np.round(vectors / steps) * np.float32(steps)
    run(BUILDERS[modality](vectors, labels), method, k)


def reasons(method: str, kind: str, small: int, modality: str = "number") -> list[str]:
    return run(awkward(kind, small, modality), method)[1].classes["c1"].reasons


@pytest.mark.parametrize(
    "method", ["smote", "adasyn", "borderline_smote", "svm_smote", "kmeans_smote", "smotenc"]
)
def test_one_row_and_identical_rows_are_duplicated_and_said_so(method: str) -> None:
    assert reasons(method, "mingled", 1) == ["one_row"]
    assert reasons(method, "identical", 6) == ["identical_rows"]


def test_a_small_class_uses_all_its_rows_as_neighbours() -> None:
    _, report = run(awkward("mingled", 4, "number"), "smote")
    assert report.classes["c1"].reasons == ["fewer_neighbours"]
    assert report.classes["c1"].k_neighbors == 3
    assert report.classes["c1"].made == 10


@pytest.mark.parametrize(
    ("method", "reason"),
    [("adasyn", "no_foreign_neighbours"), ("borderline_smote", "no_borderline_rows")],
)
def test_a_separable_class_falls_back_to_smote(method: str, reason: str) -> None:
    vectors, labels = clouds([30, 12], apart=500)
    _, report = resampled(number_samples(vectors, labels), plan(method, {"c1": 30}))
    assert report.classes["c1"].reasons == [reason]
    assert report.classes["c1"].method == "smote"
    assert report.classes["c1"].made == 18


def test_support_vectors_that_are_all_noise_fall_back_to_smote() -> None:
    vectors, labels = clouds([60, 2], apart=0)
    _, report = resampled(number_samples(vectors, labels), plan("svm_smote", {"c1": 30}))
    assert "no_support_vectors" in report.classes["c1"].reasons
    assert report.classes["c1"].made == 28


def test_a_class_scattered_over_clusters_falls_back_to_smote() -> None:
    vectors, labels = clouds([200, 8], apart=0)
    vectors[labels == 1] *= 10
    both = {
        "c1": 20,
        "c0": 600,
    }  # a small share of all that is made needs but few rows in a cluster; this needs more
    _, report = resampled(number_samples(vectors, labels), plan("kmeans_smote", both))
    assert report.classes["c1"].made == 12
    assert report.classes["c1"].method in ("kmeans_smote", "smote")
    lone = np.vstack([vectors[labels == 0], np.eye(4, dtype=np.float32)[:2] * 900, -900 * np.eye(4)[:2]])
    codes = np.repeat([0, 1], [200, 4])
    _, report = resampled(number_samples(lone.astype(np.float32), codes), plan("kmeans_smote", {"c1": 20}))
    assert report.classes["c1"].reasons == ["fewer_neighbours", "no_clusters"]
    assert report.classes["c1"].method == "smote"


def test_a_mixed_table_gets_smotenc_by_itself() -> None:
    _, report = run(awkward("mingled", 6, "mixed"), "smote")
    assert report.classes["c1"].method == "smotenc"
    assert report.classes["c1"].reasons == []
    assert reasons("smotenc", "mingled", 6, "number") == ["no_categories"]
    assert reasons("adasyn", "mingled", 6, "mixed") == ["mixed_table"]


def test_a_class_without_rows_is_reported_and_left_empty() -> None:
    samples = awkward("mingled", 3, "number")
    rest = samples.take(samples.labels != "c1")
    table, report = resampled(rest, plan("smote", {"c1": 10}))
    assert report.classes["c1"].reasons == ["no_rows"]
    assert (report.classes["c1"].asked, report.classes["c1"].made) == (10, 0)
    assert len(table) == len(rest)


def test_cleaning_never_takes_the_last_rows_of_a_class() -> None:
    vectors, labels = clouds([30, 3], apart=0)
    table, report = resampled(number_samples(vectors, labels), plan("enn", {}, clean="all"))
    assert report.classes["c1"].reasons == ["would_empty_class"]
    assert table.counts["c1"] == 3


def test_every_reason_is_told_in_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())
    _, report = run(awkward("mingled", 1, "number"), "smote")
    assert report.messages() == ["Class 'c1' has a single row: it was duplicated."]
    assert report.to_json()["classes_with_fallback"] == 1


def test_kmeans_smote_says_when_few_rows_are_parents_of_all_new_ones() -> None:
    rng = np.random.default_rng(3)
    centres = 20 * np.eye(8)
    crowd = np.concatenate([centre + rng.normal(size=(40, 8)) for centre in centres[:7]])
    among = np.concatenate([centre + rng.normal(size=(1, 8)) for centre in centres[:7]])
    alone = centres[7] + rng.normal(size=(3, 8))
    vectors = np.concatenate([crowd, among, alone])
    labels = np.repeat([0, 1], [len(crowd), 10])
    both = {"c0": len(crowd), "c1": 60}
    _, report = resampled(number_samples(vectors, labels), plan("kmeans_smote", both))
    assert report.classes["c1"].parents == 3
    assert any("3 of its 10 rows" in message for message in report.messages())
    _, report = resampled(number_samples(vectors, labels), plan("smote", both))
    assert report.classes["c1"].parents == 10
    assert "few_parents" not in report.classes["c1"].reasons
