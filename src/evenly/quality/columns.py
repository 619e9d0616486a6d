"""Measures of made table rows column by column: how each is distributed, and how they go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenly.samples import SampleTable


def total_variation(real: Sequence[object], made: Sequence[object]) -> float:
    """Half the sum of absolute differences of the values' shares, in 0..1; a missing value is a value too."""
    values = sorted({*real, *made}, key=lambda value: (value is None, str(value)))
    place = {value: k for k, value in enumerate(values)}
    shares = [
        np.bincount([place[value] for value in column], minlength=len(values)) / len(column)
        for column in (real, made)
    ]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def number_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Wasserstein distance of two columns of numbers, in standard deviations of the real one.

    Missing values (NaN) are left out. A real column of one value counts in its own unit; where one column
    is all missing and the other is not, the distance is 1.
    """
    from scipy.stats import wasserstein_distance

    real, made = real[~np.isnan(real)], made[~np.isnan(made)]
    if not len(real) or not len(made):
        return float(bool(len(real)) != bool(len(made)))
    deviation = float(real.std())
    return float(wasserstein_distance(real, made)) / (deviation if deviation > 0 else 1.0)


def column_distances(real: SampleTable, made: SampleTable) -> dict[str, float]:
    """Distance of each feature column: `number_distance` for numbers, `total_variation` for all others."""
    left, right = real.features_frame(), made.features_frame()
    found = {}
    for feature in real.schema.features:
        if feature.kind in ("number", "integer"):
            pair = (
                frame[feature.name].to_numpy(dtype=np.float64, na_value=np.nan) for frame in (left, right)
            )
            found[feature.name] = number_distance(*pair)
        else:
            found[feature.name] = total_variation(
                list(real.column(feature.name)), list(made.column(feature.name))
            )
    return found


def correlation_difference(real: np.ndarray, made: np.ndarray) -> float | None:
    """Mean absolute difference of the correlations of all pairs of columns.

    Parameters
    ----------
    real, made
        float (n, d) and (m, d), at least two rows each.

    Returns
    -------
    float or None
        0 where columns go together as in the real rows, at most 2. Columns that are constant in the real
        rows are left out; one that is constant in the made rows only correlates with nothing. None where
        fewer than two columns are left.
    """
    varied = np.flatnonzero(real.max(axis=0) > real.min(axis=0))
    if len(varied) < 2:
        return None
    matrices = [_correlations(rows[:, varied].astype(np.float64)) for rows in (real, made)]
    pairs = np.triu_indices(len(varied), 1)
    return float(np.abs(matrices[0] - matrices[1])[pairs].mean())


def _correlations(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    # A constant column is told by its values: its centred ones may differ from zero by rounding.
    centred[:, rows.max(axis=0) == rows.min(axis=0)] = 0
    centred /= np.where(norms > 0, norms, 1.0)
    return np.asarray(centred.T @ centred)
