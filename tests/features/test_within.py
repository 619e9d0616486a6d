from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.features.neighbours import nearest_within


def brute_force(queries: np.ndarray, points: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    difference = queries[:, None].astype(np.float64) - points[None]
    all_distances = np.sqrt(np.einsum("qnd,qnd->qn", difference, difference)).astype(np.float32)
    nearest = all_distances.argmin(axis=1)
    distances = all_distances[np.arange(len(queries)), nearest]
    near = distances <= radii
    return np.where(near, distances, np.inf), np.where(near, nearest, -1)


@pytest.fixture(autouse=True)
def always_by_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenly.features.neighbours._FEW_PAIRS", 0)
    monkeypatch.setattr("evenly.features.neighbours._QUERIES", 37)
    monkeypatch.setattr("evenly.features.neighbours._PAIRS", 50)
    monkeypatch.setattr("evenly.features.neighbours._EXACT", 200)


@given(st.integers(0, 10**6), st.sampled_from([9, 20, 60]), st.floats(0.01, 30))
def test_it_finds_what_comparing_all_pairs_finds(seed: int, d: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    points = (rng.standard_normal((150, d)) * rng.exponential(1, d) + 3).astype(np.float32)
    queries = np.concatenate([points[:40] + rng.normal(0, 0.05, (40, d)), rng.standard_normal((60, d))])
    queries = queries.astype(np.float32)
    radii = (radius * rng.random(100)).astype(np.float32)
    distances, indices = nearest_within(queries, points, radii)
    expected = brute_force(queries, points, radii)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


def test_copies_are_at_the_first_of_their_places_however_many_there_are() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(rng.standard_normal((20, 12)), 30, axis=0).astype(np.float32)
    distances, indices = nearest_within(points, points, 0.0)
    assert not distances.any()
    np.testing.assert_array_equal(indices, np.arange(600) // 30 * 30)


def test_nothing_is_near_nothing() -> None:
    none, some = np.zeros((0, 12), np.float32), np.ones((3, 12), np.float32)
    assert [len(part) for part in nearest_within(none, some, 1.0)] == [0, 0]
    distances, indices = nearest_within(some, none, 1.0)
    assert np.isinf(distances).all()
    assert (indices == -1).all()
