from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from evenly.features import neighbours
from evenly.features.neighbours import nearest_neighbours


def brute_force(queries: np.ndarray, points: np.ndarray, k: int, own: np.ndarray | None) -> np.ndarray:
    """Ascending distances to the k nearest points in float64."""
    differences = queries.astype(np.float64)[:, None] - points.astype(np.float64)[None]
    distances = np.sqrt((differences**2).sum(axis=2))
    if own is not None:
        distances[np.arange(len(queries)), own] = np.inf
    return np.asarray(np.sort(distances, axis=1)[:, :k])


def check(queries: np.ndarray, points: np.ndarray, k: int, exclude_self: bool | np.ndarray = False) -> None:
    """Distances are those of brute force, and those between the rows named; no row is its own neighbour."""
    own = np.arange(len(queries)) if exclude_self is True else None if exclude_self is False else exclude_self
    distances, indices = nearest_neighbours(queries, points, k, exclude_self)
    assert distances.dtype == np.float32
    assert indices.dtype == np.int64
    np.testing.assert_allclose(distances, brute_force(queries, points, k, own), rtol=1e-6, atol=1e-30)
    between = np.linalg.norm(queries.astype(np.float64)[:, None] - points.astype(np.float64)[indices], axis=2)
    np.testing.assert_allclose(distances, between, rtol=1e-6, atol=1e-30)
    assert all(len(set(row)) == k for row in indices)
    if own is not None:
        assert not (indices == own[:, None]).any()


@pytest.fixture(params=[63, 2000], ids=["small tiles", "one tile"])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_TILE", request.param)


@pytest.mark.parametrize("dimension", [1, 2, 8, 9, 30])
@pytest.mark.parametrize("k", [1, 5, 19])
@pytest.mark.usefixtures("tile")
def test_neighbours_are_those_of_brute_force(dimension: int, k: int) -> None:
    points = np.random.default_rng(0).standard_normal((200, dimension), dtype=np.float32)
    queries = np.random.default_rng(1).standard_normal((30, dimension), dtype=np.float32)
    check(points, points, k, True)
    check(queries, points, k)
    check(points[20:60], points, k, np.arange(20, 60))


@pytest.mark.parametrize("dimension", [3, 12])
@pytest.mark.usefixtures("tile")
def test_of_many_copies_the_first_are_taken(dimension: int) -> None:
    rng = np.random.default_rng(0)
    place = rng.permutation(np.repeat(np.arange(20), 30))
    points = rng.standard_normal((20, dimension)).astype(np.float32)[place]
    copies = [np.flatnonzero(place == one) for one in place]
    _, indices = nearest_neighbours(points, points, 4)
    np.testing.assert_array_equal(indices, [those[:4] for those in copies])
    _, indices = nearest_neighbours(points, points, 4, exclude_self=True)
    np.testing.assert_array_equal(indices, [those[those != row][:4] for row, those in enumerate(copies)])


@pytest.mark.parametrize("dimension", [2, 12])
@pytest.mark.usefixtures("tile")
def test_ties_copies_and_far_away_data_are_exact_too(dimension: int) -> None:
    rng = np.random.default_rng(0)
    grid = rng.integers(0, 2, (150, dimension)).astype(np.float32)
    check(grid, grid, 7, True)
    check(np.ones((60, dimension), np.float32), np.ones((60, dimension), np.float32), 5, True)
    far = (rng.standard_normal((100, dimension)) * 1e-3 + 1e4).astype(np.float32)
    check(far, far, 5, True)
    tails = rng.standard_t(1.2, (200, dimension)).astype(np.float32)
    check(tails, tails, 5, True)
    clusters = np.sort(rng.integers(0, 5, 200))[:, None] * 1e3 + rng.standard_normal((200, dimension)) * 1e-3
    check(clusters.astype(np.float32), clusters.astype(np.float32), 5, True)


@pytest.mark.parametrize("unit", ["bf16", "cpu"])
def test_matrix_units_and_devices_of_torch_find_the_same(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU, here on the CPU; coarse products are those of whatever the processor has."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((900, 70)).astype(np.float32)
    grid = rng.integers(0, 2, (300, 12)).astype(np.float32)
    tails = rng.standard_t(1.2, (300, 70)).astype(np.float32)
    copies = np.repeat(noise[:40], 10, axis=0)
    cases = [(noise, noise, True), (noise[100:300], noise, np.arange(100, 300)), (grid[:50], grid, False)]
    cases += [(rows, rows, True) for rows in (grid, tails, copies)]
    expected = [nearest_neighbours(queries, points, 5, own)[0] for queries, points, own in cases]
    asked = []
    monkeypatch.setattr(neighbours, "_unit", lambda *sizes: asked.append(sizes) or unit)
    for (queries, points, own), distances in zip(cases, expected, strict=True):
        check(queries, points, 5, own)
        np.testing.assert_array_equal(nearest_neighbours(queries, points, 5, own)[0], distances)
    assert len(asked) == 2 * len(cases)


def test_a_coarse_product_that_loses_digits_changes_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor has no such units: products of rows that are cut to 8 bits."""
    rows = np.random.default_rng(0).standard_normal((900, 70)).astype(np.float32)
    expected = nearest_neighbours(rows, rows, 5, True)

    @contextmanager
    def coarse(_: str) -> Iterator[Callable[[np.ndarray, np.ndarray, np.ndarray], object]]:
        def cut(values: np.ndarray) -> np.ndarray:
            return (values.view(np.uint32) + np.uint32(0x8000) & np.uint32(0xFFFF0000)).view(np.float32)

        yield lambda left, right, out: np.matmul(cut(left), cut(right).T, out=out)

    monkeypatch.setattr(neighbours, "_products", coarse)
    monkeypatch.setattr(neighbours, "_unit", lambda *_: "bf16")
    for found, wanted in zip(nearest_neighbours(rows, rows, 5, True), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    monkeypatch.setattr(neighbours, "_COARSE_ERROR", 0.0)
    monkeypatch.setattr(neighbours, "_COARSE_SPARE", 0)
    assert (nearest_neighbours(rows, rows, 5, True)[1] != expected[1]).any()


@given(
    st.integers(2, 40),
    st.sampled_from([1, 3, 9, 17]),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 1.0, 100.0]),
)
def test_any_number_of_points_and_neighbours(n: int, dimension: int, seed: int, coarse: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, dimension)).astype(np.float32)
    if coarse:
        points = np.round(points * coarse) / np.float32(coarse)
    check(points, points, int(rng.integers(1, n)), True)


def test_the_same_neighbours_as_scikit_learn_at_many_dimensions() -> None:
    points = np.random.default_rng(0).standard_normal((3000, 64), dtype=np.float32)
    theirs = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    np.testing.assert_array_equal(nearest_neighbours(points, points, 5, True)[1], theirs)


def test_memory_stays_far_below_the_matrix_of_distances() -> None:
    points = np.random.default_rng(0).standard_normal((12_000, 16), dtype=np.float32)
    tracemalloc.start()
    nearest_neighbours(points, points, 3, True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000 * 12_000 * 4 / 5


@pytest.mark.parametrize("k", [0, 5])
def test_more_neighbours_than_points_are_a_bug_of_the_caller(k: int) -> None:
    points = np.zeros((5, 3), np.float32)
    with pytest.raises(ValueError, match="between 1 and 4"):
        nearest_neighbours(points, points, k, True)


def test_no_queries_give_no_neighbours() -> None:
    points = np.zeros((5, 3), np.float32)
    assert nearest_neighbours(points[:0], points, 2)[1].shape == (0, 2)
