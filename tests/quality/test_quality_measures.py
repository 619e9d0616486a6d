"""Each measure against its formula written down plainly, and against published code where it is installed."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from evenly.quality.measures import (
    frechet_distance,
    inception_score,
    kernel_distance,
    manifold_measures,
)

CASES = [(40, 30, 5, 0), (200, 150, 12, 1), (25, 25, 40, 2)]


def two_samples(n: int, m: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((d, d))
    return rng.standard_normal((n, d)) @ mixing, 1.3 * rng.standard_normal((m, d)) @ mixing + 0.4


@pytest.mark.parametrize("case", CASES)
def test_the_frechet_distance_is_that_of_the_paper(case: tuple[int, int, int, int]) -> None:
    real, made = two_samples(*case)
    left, right = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    # A little on the diagonal: scipy's root of a singular product is not to be trusted.
    root = sqrtm((left + 1e-9 * np.eye(len(left))) @ (right + 1e-9 * np.eye(len(left)))).real
    difference = real.mean(axis=0) - made.mean(axis=0)
    expected = difference @ difference + np.trace(left + right - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(
        expected, rel=1e-6, abs=1e-4 if case[2] > case[0] else 1e-6
    )


def test_the_frechet_distance_of_few_rows_is_exact_where_the_root_is_known() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((8, 30))
    assert frechet_distance(rows, 3 * rows + 2) == pytest.approx(
        ((2 * rows.mean(axis=0) + 2) ** 2).sum() + 4 * rows.var(axis=0, ddof=1).sum(), rel=1e-9
    )


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_distance_is_that_of_the_paper(case: tuple[int, int, int, int]) -> None:
    real, made = two_samples(*case)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    expected = sum(
        sum(k(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j)
        / (len(rows) * (len(rows) - 1))
        for rows in (real, made)
    ) - 2 * np.mean([k(x, y) for x in real for y in made])
    assert kernel_distance(real, made) == pytest.approx(expected, rel=1e-6)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(*rng.standard_normal((2, 12, 3))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert min(values) < 0


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("case", CASES)
def test_manifold_measures_are_those_of_the_papers(case: tuple[int, int, int, int], k: int) -> None:
    real, made = two_samples(*case)
    real_radii = [sorted(np.linalg.norm(x - y) for y in real)[k] for x in real]
    made_radii = [sorted(np.linalg.norm(x - y) for y in made)[k] for x in made]
    between = np.array([[np.linalg.norm(x - y) for y in made] for x in real])
    found = manifold_measures(real, made, k)
    inside = between < np.array(real_radii)[:, None]
    assert found.precision == pytest.approx(np.mean([inside[:, j].any() for j in range(len(made))]), abs=1e-6)
    assert found.recall == pytest.approx(np.mean([(row < made_radii).any() for row in between]), abs=1e-6)
    assert found.density == pytest.approx(inside.sum() / (k * len(made)), abs=1e-6)
    assert found.coverage == pytest.approx(np.mean([row.any() for row in inside]), abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_manifold_measures_agree_with_prdc(case: tuple[int, int, int, int]) -> None:
    import prdc

    real, made = two_samples(*case)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(real_features=real, fake_features=made, nearest_k=5)
    found = manifold_measures(real, made, 5)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-6), name


def test_distances_agree_with_torchmetrics() -> None:
    import torch
    from torchmetrics.image import fid, kid

    real, made = (torch.from_numpy(rows) for rows in two_samples(200, 150, 12, 1))
    moments = [value for rows in (real, made) for value in (rows.mean(dim=0), torch.cov(rows.T))]
    assert frechet_distance(real.numpy(), made.numpy()) == pytest.approx(
        float(fid._compute_fid(*moments)), rel=1e-6
    )
    equal = made[:150], real[:150]
    assert kernel_distance(*(rows.numpy() for rows in equal)) == pytest.approx(
        float(kid.poly_mmd(*equal)), rel=1e-6
    )


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = two_samples(97, 61, 7, 3)
    whole = manifold_measures(real, made, 4), kernel_distance(real, made)
    monkeypatch.setattr("evenly.quality.measures._BLOCK", 500)
    assert manifold_measures(real, made, 4) == whole[0]
    assert kernel_distance(real, made) == pytest.approx(whole[1], rel=1e-12)


def test_the_inception_score_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(6, 0.3), 50)
    marginal = p.mean(axis=0)
    expected = np.exp(
        np.mean([sum(a * np.log(a / b) for a, b in zip(row, marginal, strict=True)) for row in p])
    )
    assert inception_score(p) == pytest.approx(expected, abs=1e-6)
    assert inception_score(np.eye(7)) == pytest.approx(7)
    assert inception_score(np.tile(p[:1], (5, 1))) == pytest.approx(1)


@given(st.integers(0, 1000), st.floats(0.1, 3.0))
def test_a_set_is_at_no_distance_to_itself_and_shifts_are_seen(seed: int, shift: float) -> None:
    rows = np.random.default_rng(seed).standard_normal((30, 4))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(rows, rows + shift) == pytest.approx(4 * shift**2, rel=1e-6)
    moved = manifold_measures(rows, rows + 100, 3)
    assert (moved.precision, moved.recall, moved.density, moved.coverage) == (0, 0, 0, 0)


def test_dropped_modes_lower_recall_and_coverage_and_strays_precision_and_density() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]], 50, axis=0)
    real, fresh = centres + rng.standard_normal((2, 200, 2))
    good = manifold_measures(real, fresh, 5)
    dropped = manifold_measures(real, fresh[:50], 5)
    strays = manifold_measures(real, np.concatenate([fresh[:150], rng.uniform(-60, 60, (50, 2))]), 5)
    assert min(good.precision, good.recall, good.coverage) > 0.9
    assert dropped.precision > 0.9
    assert max(dropped.recall, dropped.coverage) < 0.3
    assert strays.precision < 0.85
    assert strays.density < 0.9 * good.density


def test_a_radius_needs_more_rows_than_neighbours() -> None:
    rows = np.zeros((5, 2))
    with pytest.raises(ValueError, match="between 1 and 4"):
        manifold_measures(rows, rows, 5)
