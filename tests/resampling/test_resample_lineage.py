"""New rows: where they come from, what they are, and that nothing else has an influence on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from resampling_tables import BUILDERS, clouds, mixed_samples, number_samples, plan, resampled

from evenly.errors import DataError
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.resampling.resample import resample
from evenly.samples import SampleTable, write_samples

SMOTE_FAMILY = ("smote", "borderline_smote", "svm_smote", "kmeans_smote", "adasyn")
EVERY = (*SMOTE_FAMILY, "random_over", "smote_tomek", "smote_enn", "tomek", "enn", "random_under")
TARGETS = {"c0": 40, "c1": 40, "c2": 40}


def table_of(modality: str, apart: float = 0.6) -> SampleTable:
    return BUILDERS[modality](*clouds([40, 12, 9], dimension=6, apart=apart))


def synthetic(table: SampleTable) -> SampleTable:
    return table.take(~table.is_real)


def lineage(samples: SampleTable, made: SampleTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of parents and neighbours in `samples`, and the weights."""
    position = {name: k for k, name in enumerate(samples.ids)}
    parents = np.array([position[name] for name in made.column("parent")])
    neighbours = np.array([position[name] for name in made.column("neighbour")])
    return parents, neighbours, made.column("neighbour_weight").astype(float)


@pytest.mark.parametrize("method", SMOTE_FAMILY)
@pytest.mark.parametrize("modality", ["number", "image", "text"])
def test_a_row_is_its_parent_and_a_part_of_the_way_to_its_neighbour(modality: str, method: str) -> None:
    samples = table_of(modality)
    featurizer = fit_featurizer(samples, FeatureSettings(), 0)
    made = synthetic(resample(samples, plan(method, TARGETS), featurizer)[0])
    assert len(made) == 28 + 31
    parents, neighbours, weights = lineage(samples, made)
    low = -0.5 if method == "svm_smote" else 0
    assert ((weights >= low) & (weights <= 1)).all()
    vectors = featurizer.transform(samples).astype(np.float64)
    expected = vectors[parents] + weights[:, None] * (vectors[neighbours] - vectors[parents])
    # Pixels are rounded to 8 bits (and clipped where SVM-SMOTE reaches beyond them).
    tolerance = 0.5 / 255 + 1e-5 if modality == "image" else 1e-5
    expected = np.clip(expected, 0, 1) if modality == "image" else expected
    np.testing.assert_allclose(featurizer.transform(made), expected, atol=tolerance)


@pytest.mark.parametrize("method", [*SMOTE_FAMILY, "random_over"])
def test_parents_and_neighbours_are_different_given_rows_of_the_same_class(method: str) -> None:
    samples = table_of("number")
    made = synthetic(resampled(samples, plan(method, TARGETS))[0])
    label = dict(zip(samples.ids, samples.labels, strict=True))
    for own, parent, neighbour in zip(
        made.labels, made.column("parent"), made.column("neighbour"), strict=True
    ):
        assert label[parent] == own
        assert neighbour is None if method == "random_over" else label[neighbour] == own
        assert neighbour != parent


@pytest.mark.parametrize("method", ["smote", "random_over", "random_under"])
def test_a_new_row_weighs_what_its_parent_does_and_a_real_one_keeps_its_weight(method: str) -> None:
    samples = table_of("number")
    samples = samples.with_column("sample_weight", np.arange(1.0, len(samples) + 1))
    found = resampled(samples, plan(method, TARGETS))[0]
    known = dict(zip(samples.ids, samples.weights, strict=True))
    pairs = zip(found.ids, found.column("parent"), strict=True)
    origins = [name if parent is None else parent for name, parent in pairs]
    assert found.weights.tolist() == [known[name] for name in origins]


def test_mixed_rows_interpolate_numbers_and_vote_on_categories() -> None:
    samples = mixed_samples(*clouds([40, 12, 9]))
    made = synthetic(resampled(samples, plan("smote", TARGETS))[0])
    assert set(made.origins) == {"smotenc"}
    parents, neighbours, weights = lineage(samples, made)
    for name, rounding in (("size", 1e-9), ("count", 0.5 + 1e-9)):
        values = samples.column(name).astype(float)
        expected = values[parents] + weights * (values[neighbours] - values[parents])
        np.testing.assert_allclose(made.column(name).astype(float), expected, atol=rounding)
    assert all(isinstance(value, int) for value in made.column("count"))
    assert set(made.column("open")) == {True, False}
    assert set(made.column("colour")) <= {"red", "green", "blue"}
    assert made.table.schema.field("count").type == samples.table.schema.field("count").type


def test_integers_are_rounded_not_cut_off() -> None:
    vectors, labels = clouds([400, 60])
    samples = mixed_samples(vectors + 1, labels)
    made = synthetic(resampled(samples, plan("smote", {"c1": 400}))[0])
    parents, neighbours, weights = lineage(samples, made)
    values = samples.column("count").astype(float)
    exact = values[parents] + weights * (values[neighbours] - values[parents])
    assert abs((made.column("count").astype(float) - exact).mean()) < 0.05  # cutting off would be -0.5


def test_images_come_back_as_images_and_texts_as_vectors() -> None:
    images, _ = resampled(table_of("image"), plan("smote", TARGETS))
    assert all(image[:4] == b"\x89PNG" for image in images.images)
    texts, _ = resampled(table_of("text"), plan("smote", TARGETS))
    real, made = texts.take(texts.is_real), synthetic(texts)
    assert None not in real.texts
    assert set(real.column("vector")) == {None}
    assert set(made.texts) == {None}
    assert texts.table.schema.field("vector").type.value_type == "float"


@pytest.mark.parametrize("modality", list(BUILDERS))
def test_duplicates_copy_the_payload(modality: str) -> None:
    samples = table_of(modality)
    made = synthetic(resampled(samples, plan("random_over", TARGETS))[0])
    assert set(made.origins) == {"duplicate"}
    payload = {"text": ["text"], "image": ["image"]}.get(
        samples.modality, [f.name for f in samples.schema.features]
    )
    parents = {name: k for k, name in enumerate(samples.ids)}
    rows = [parents[name] for name in made.column("parent")]
    for column in payload:
        assert made.column(column).tolist() == samples.column(column)[rows].tolist()


def test_group_and_attribute_come_from_the_parent_and_details_do_not() -> None:
    samples = table_of("number")
    samples = samples.with_column("group", [f"g{k % 5}" for k in range(len(samples))])
    samples = samples.with_column("attribute", [f"a{k % 3}" for k in range(len(samples))])
    samples = samples.with_column("details", ["{}"] * len(samples))
    for method in ("smote", "random_over"):
        made = synthetic(resampled(samples, plan(method, TARGETS))[0])
        parents = {name: k for k, name in enumerate(samples.ids)}
        rows = [parents[name] for name in made.column("parent")]
        for column in ("group", "attribute"):
            assert made.column(column).tolist() == samples.column(column)[rows].tolist()
        assert set(made.column("details")) == {None}


def test_ids_name_parent_method_and_ordinal_and_leap_over_taken_ones() -> None:
    samples = table_of("number").take(np.arange(61))
    first, _ = resampled(samples, plan("smote", {"c1": 20}))
    made = synthetic(first)
    assert set(made.ids) >= {f"{made.column('parent')[0]}+smote1"}
    again, report = resampled(first, plan("smote", {"c1": 60}))
    assert len(set(again.ids)) == len(again)
    assert report.classes["c1"].made == 40


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("modality", ["number", "mixed", "image", "text"])
def test_the_order_of_rows_changes_nothing(modality: str, method: str, tmp_path: Path) -> None:
    samples = table_of(modality)
    featurizer = fit_featurizer(samples, FeatureSettings(), 0)
    targets = TARGETS if method != "random_under" else {"c0": 10, "c1": 9}
    shuffled = samples.take(np.random.default_rng(5).permutation(len(samples)))
    for name, rows in (("one", samples), ("two", samples), ("shuffled", shuffled)):
        write_samples(resample(rows, plan(method, targets), featurizer)[0], tmp_path / name)
    one, two, other = ((tmp_path / name).read_bytes() for name in ("one", "two", "shuffled"))
    assert one == two == other


def test_rows_are_ordered_by_id_and_new_ones_stand_behind_by_class() -> None:
    samples = table_of("number")
    table, _ = resampled(samples.take(np.arange(len(samples))[::-1]), plan("smote", TARGETS))
    assert table.ids[: len(samples)].tolist() == sorted(samples.ids)
    assert table.labels[len(samples) :].tolist() == ["c1"] * 28 + ["c2"] * 31


@pytest.mark.parametrize("method", ["smote", "random_over", "adasyn"])
def test_what_is_asked_for_one_class_does_not_change_another(method: str) -> None:
    samples = table_of("number")
    both, _ = resampled(samples, plan(method, TARGETS))
    one, _ = resampled(samples, plan(method, {"c2": 40}))
    assert synthetic(both).take(synthetic(both).labels == "c2").table.equals(synthetic(one).table)


def test_another_seed_gives_other_rows() -> None:
    samples = table_of("number")
    one, _ = resampled(samples, plan("smote", TARGETS, seed=1))
    two, _ = resampled(samples, plan("smote", TARGETS, seed=2))
    assert not one.table.equals(two.table)


def test_every_row_is_a_parent_equally_often_in_smote() -> None:
    samples = table_of("number")
    made = synthetic(resampled(samples, plan("smote", {"c1": 12 * 5 + 3}))[0])
    _, counts = np.unique(made.column("parent").astype(str), return_counts=True)
    assert sorted(counts.tolist()) == [4] * 9 + [5] * 3


def test_smote_draws_each_of_the_nearest_neighbours_about_equally_often() -> None:
    samples = table_of("number")
    made = synthetic(resampled(samples, plan("smote", {"c1": 12 + 12 * 200}, k_neighbors=4))[0])
    parents, neighbours, weights = lineage(samples, made)
    vectors = fit_featurizer(samples, FeatureSettings(), 0).transform(samples)
    own = np.flatnonzero(samples.labels == "c1")
    for parent in own:
        distances = np.linalg.norm(vectors[own] - vectors[parent], axis=1)
        nearest = own[np.argsort(distances)[1:5]]
        drawn = neighbours[parents == parent]
        shares = [(drawn == neighbour).mean() for neighbour in nearest]
        assert sum(shares) == pytest.approx(1)
        assert min(shares) > 0.1
    assert abs(weights.mean() - 0.5) < 0.05


def test_under_sampling_keeps_given_rows_untouched() -> None:
    samples = table_of("mixed")
    table, report = resampled(samples, plan("random_under", {"c0": 15, "c1": 20}))
    assert table.counts == {"c0": 15, "c1": 12, "c2": 9}
    assert report.classes["c0"].removed == 25
    kept = samples.take(np.isin(samples.ids, table.ids))
    assert table.table.equals(kept.table)


def test_the_number_of_copies_is_reported() -> None:
    vectors, labels = clouds([30, 8], dimension=4)
    vectors[labels == 1] = np.repeat(vectors[labels == 1][:2], 4, axis=0)
    _, report = resampled(number_samples(vectors, labels), plan("smote", {"c1": 30}, k_neighbors=3))
    assert report.classes["c1"].made == report.classes["c1"].copies == 22  # all near neighbours are equal


def test_a_plan_for_an_unknown_class_is_refused() -> None:
    with pytest.raises(DataError, match="'nobody'"):
        resampled(table_of("number"), plan("smote", {"nobody": 3}))
