"""The same rows chosen and the same segments as imbalanced-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC, SVMSMOTE, BorderlineSMOTE, KMeansSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from resampling_tables import clouds, number_samples, plan
from sklearn.cluster import MiniBatchKMeans
from sklearn.neighbors import NearestNeighbors

from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.resampling.resample import edited_rows, resample, tomek_links
from evenly.resampling.segments import Segments, Source, draw_segments, interpolated, mixed_space, votes
from evenly.resampling.selection import (
    Members,
    Space,
    adasyn,
    borderline_smote,
    cluster_labels,
    density_ratios,
    in_danger,
    kmeans_smote,
    smote,
    svm_smote,
)

K = 4
VECTORS, LABELS = clouds([120, 35, 30], dimension=5, apart=0.8, seed=3)
SPACE = Space(VECTORS, LABELS)
ROWS = np.flatnonzero(LABELS == 1)
MEMBERS = Members(ROWS, VECTORS[ROWS], K)
ASKED = 85


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def distances_to_segments(points: np.ndarray, sources: Sequence[Source], vectors: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest segment that the sources may draw from, float64 (points,)."""
    nearest = np.full(len(points), np.inf)
    for source in sources:
        start = vectors[np.repeat(source.parents, source.neighbours.shape[1])].astype(np.float64)
        way = vectors[source.neighbours.ravel()] - start
        low, high = sorted((0.0, source.furthest))
        for k, point in enumerate(points.astype(np.float64)):
            along = np.clip(((point - start) * way).sum(axis=1) / (way**2).sum(axis=1), low, high)
            gaps = np.linalg.norm(start + along[:, None] * way - point, axis=1)
            nearest[k] = min(nearest[k], gaps.min())
    return nearest


def lies_on(points: np.ndarray, sources: Sequence[Source]) -> bool:
    return bool(distances_to_segments(points, sources, VECTORS).max() < 1e-5)


def is_most_frequent(values: np.ndarray, around: np.ndarray) -> bool:
    """Whether each value is among the most frequent ones of its column of `around` (k, columns)."""
    counts = [np.bincount(column, minlength=4) for column in around.T]
    return all(count[value] == count.max() for value, count in zip(values, counts, strict=True))


def test_smote_draws_from_the_same_segments() -> None:
    sources = smote(MEMBERS, ASKED, generator())
    theirs, _ = SMOTE(sampling_strategy={1: 35 + ASKED}, k_neighbors=K, random_state=0).fit_resample(
        VECTORS, LABELS
    )
    assert lies_on(theirs[len(VECTORS) :], sources)
    near = (
        NearestNeighbors(n_neighbors=K + 1)
        .fit(VECTORS[ROWS])
        .kneighbors(return_distance=False, n_neighbors=K)
    )
    np.testing.assert_array_equal(np.sort(sources[0].neighbours), np.sort(ROWS[near]))
    ours = interpolated(VECTORS, draw_segments(sources, generator()))
    assert ours.dtype == np.float32
    assert lies_on(ours, sources)
    assert len(ours) == ASKED


def test_a_point_off_the_segments_is_told_apart() -> None:
    sources = smote(MEMBERS, ASKED, generator())
    assert not lies_on(VECTORS[LABELS == 0], sources)


def test_borderline_smote_starts_from_the_same_rows_in_danger() -> None:
    sampler = BorderlineSMOTE(sampling_strategy={1: 35 + ASKED}, k_neighbors=K, random_state=0)
    theirs, _ = sampler.fit_resample(VECTORS, LABELS)
    sources = borderline_smote(SPACE, MEMBERS, ASKED, generator())
    np.testing.assert_array_equal(sources[0].parents, sampler.in_danger_indices[1])
    assert 0 < len(sources[0].parents) < len(ROWS)
    assert lies_on(theirs[len(VECTORS) :], sources)


def test_svm_smote_reaches_between_and_beyond_the_same_support_vectors() -> None:
    sampler = SVMSMOTE(sampling_strategy={1: 35 + ASKED}, k_neighbors=K, random_state=0)
    theirs = sampler.fit_resample(VECTORS, LABELS)[0][len(VECTORS) :]
    sources = svm_smote(SPACE, MEMBERS, ASKED, generator())
    assert [source.furthest for source in sources] == [1.0, -0.5]
    assert all(len(source.parents) for source in sources)
    assert lies_on(theirs, sources)
    assert not lies_on(theirs, sources[:1])
    assert not lies_on(theirs, sources[1:])
    assert sum(source.counts.sum() for source in sources) == ASKED


def test_adasyn_has_the_same_density_ratios() -> None:
    ratios = density_ratios(SPACE, MEMBERS, K)
    near = (
        NearestNeighbors(n_neighbors=K + 1)
        .fit(VECTORS)
        .kneighbors(VECTORS[ROWS], return_distance=False)[:, 1:]
    )
    np.testing.assert_allclose(ratios, (LABELS[near] != 1).mean(axis=1))
    # imbalanced-learn makes round(share · n) samples of each row, one row after the other.
    asked = np.rint(ratios / ratios.sum() * ASKED).astype(int)
    sampler = ADASYN(sampling_strategy={1: 35 + ASKED}, n_neighbors=K, random_state=0)
    theirs = sampler.fit_resample(VECTORS, LABELS)[0][len(VECTORS) :]
    assert len(theirs) == asked.sum()
    everyone = smote(MEMBERS, ASKED, generator())[0]
    for row in np.flatnonzero(asked):
        part = slice(asked[:row].sum(), asked[: row + 1].sum())
        own = Source(everyone.parents[[row]], everyone.neighbours[[row]], np.array([1]))
        assert lies_on(theirs[part], [own])
    sources = adasyn(SPACE, MEMBERS, ASKED, K)
    ours = np.zeros(len(ROWS), dtype=int)
    ours[np.searchsorted(ROWS, sources[0].parents)] = sources[0].counts
    assert ours.sum() == ASKED
    assert abs(ours - ratios / ratios.sum() * ASKED).max() < 1


def test_kmeans_smote_works_in_the_same_clusters() -> None:
    model = MiniBatchKMeans(n_clusters=8, random_state=11, n_init=3)
    labels = cluster_labels(VECTORS, 11)
    np.testing.assert_array_equal(labels, model.fit_predict(VECTORS))
    sampler = KMeansSMOTE(
        sampling_strategy={1: 35 + ASKED},
        k_neighbors=2,
        random_state=0,
        kmeans_estimator=model,
        cluster_balance_threshold=0.125,  # what both take for a class that makes a quarter of all samples
    )
    theirs = sampler.fit_resample(VECTORS, LABELS)[0][len(VECTORS) :]
    members = Members(ROWS, VECTORS[ROWS], 2)
    space = Space(VECTORS, LABELS)
    vars(space)["clusters"] = labels
    sources = kmeans_smote(space, members, ASKED, 0.25, generator())
    assert all(source.neighbours.shape[1] == 2 for source in sources)
    assert 1 < len(sources) < 8
    assert lies_on(theirs, sources)
    assert len(theirs) - ASKED < len(sources)  # theirs rounds up in each cluster
    start = 0
    for source in sources:
        n = int(source.counts.sum())
        assert lies_on(theirs[start : start + n], [source])
        rounded_up = n + 1 if start + n < len(theirs) and lies_on(theirs[[start + n]], [source]) else n
        start += rounded_up
    assert start == len(theirs)


def test_tomek_links_are_the_same() -> None:
    links = tomek_links(VECTORS, LABELS)
    cleaner = TomekLinks(sampling_strategy="all").fit(VECTORS, LABELS)
    cleaner.fit_resample(VECTORS, LABELS)
    np.testing.assert_array_equal(np.flatnonzero(~links), cleaner.sample_indices_)
    assert links.any()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_edited_nearest_neighbours_are_the_same(k: int) -> None:
    for classes in ([0, 1, 2], [0, 1], [0]):
        cleaner = EditedNearestNeighbours(sampling_strategy=classes, n_neighbors=k)
        cleaner.fit_resample(VECTORS, LABELS)
        marked = edited_rows(VECTORS, LABELS, np.isin(LABELS, classes), k)
        np.testing.assert_array_equal(np.flatnonzero(~marked), np.sort(cleaner.sample_indices_))


@pytest.mark.parametrize("clean", ["majority", "not_minority", "all"])
@pytest.mark.parametrize("method", ["tomek", "enn"])
def test_cleaning_a_table_keeps_the_same_rows(method: str, clean: str) -> None:
    samples = number_samples(*clouds([120, 35, 30], dimension=5, apart=1.4))  # no class is lost
    featurizer = fit_featurizer(samples, FeatureSettings(), 0)
    table, report = resample(samples, plan(method, {}, clean=clean), featurizer)
    assert not report.messages()
    strategy = clean.replace("_", " ")
    cleaner = {"tomek": TomekLinks, "enn": EditedNearestNeighbours}[method](sampling_strategy=strategy)
    cleaner.fit_resample(featurizer.transform(samples), samples.codes)
    assert len(table) < len(samples)
    assert table.ids.tolist() == samples.ids[np.sort(cleaner.sample_indices_)].tolist()


def test_smotenc_has_the_same_neighbours_and_votes() -> None:
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, 3, len(LABELS)), rng.integers(0, 2, len(LABELS))], axis=1)
    both = np.hstack([VECTORS.astype(np.float64), codes])
    sampler = SMOTENC([5, 6], sampling_strategy={1: 35 + ASKED}, k_neighbors=K, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sampler.fit_resample(both, LABELS)[0][len(VECTORS) :]
    space = mixed_space(VECTORS[ROWS], codes[ROWS], (3, 2))
    assert space.dtype == np.float32
    sources = smote(Members(ROWS, space, K), ASKED, generator())
    assert lies_on(theirs[:, :5], sources)
    # Theirs takes one of the most frequent values around the parent, which the segment names.
    of_one = [
        Source(sources[0].parents[[k]], sources[0].neighbours[[k]], np.array([1])) for k in range(len(ROWS))
    ]
    gaps = np.stack([distances_to_segments(theirs[:, :5], [source], VECTORS) for source in of_one])
    for row, gap in zip(theirs, gaps.T, strict=True):
        near = [codes[of_one[k].neighbours[0]] for k in np.flatnonzero(gap < 1e-5)]
        assert any(is_most_frequent(row[5:].astype(int), around) for around in near)
    segments = draw_segments(sources, generator())
    for vote, around in zip(votes(codes, segments), segments.around, strict=True):
        assert is_most_frequent(vote, codes[around])


def test_votes_prefer_the_parent_then_the_nearest() -> None:
    codes = np.array([[0], [1], [1], [0], [2]])
    around = np.array([[1, 2, 3, 4], [1, 3, 2, 0], [4, 3, 1, 2]])
    segments = Segments(np.array([0, 4, 3]), np.array([1, 1, 4]), np.zeros(3, np.float32), around)
    assert votes(codes, segments).ravel().tolist() == [1, 1, 1]
    tie = Segments(np.array([3]), np.array([1]), np.zeros(1, np.float32), np.array([[1, 0, 2, 3]]))
    assert votes(codes, tie).ravel().tolist() == [0]


def test_danger_is_half_or_more_but_not_all() -> None:
    assert in_danger(np.arange(11), 10).tolist() == [False] * 5 + [True] * 5 + [False]
