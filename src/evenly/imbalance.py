"""How imbalanced a set of class counts is, and which classes are scarce. Counts in, numbers out; nothing is
planned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from evenly.params.recipes import TierSettings
    from evenly.params.resampling import Tier

Counts = Mapping[str, int]


def imbalance_ratio(counts: Counts) -> float:
    """Largest class size over smallest, in 1..∞. Classes without a row are left out.

    Examples
    --------
    >>> imbalance_ratio({"a": 100, "b": 4})
    25.0
    """
    sizes = _sizes(counts)
    return float(sizes.max() / sizes.min()) if sizes.size else 1.0


def gini(counts: Counts) -> float:
    """Gini coefficient of the class sizes: 0 when all are equal, towards 1 − 1/k when one of k holds
    everything.

    G = Σ_i (2i − k − 1) n_(i) / (k Σ n), with n_(1) ≤ … ≤ n_(k) (Gini 1912; Dixon et al. 1987). Empty
    classes count.
    """
    sizes = np.sort(np.fromiter(counts.values(), dtype=np.float64))
    k, total = sizes.size, sizes.sum()
    if k == 0 or total == 0:
        return 0.0
    return float(((2 * np.arange(1, k + 1) - k - 1) * sizes).sum() / (k * total))


def normalised_entropy(counts: Counts) -> float:
    """Shannon entropy of the class shares over its maximum log k, in 0..1; 1 when all classes are equal
    (Pielou 1966).
    """
    sizes = _sizes(counts)
    k = len(counts)
    if k < 2 or not sizes.size:
        return 1.0
    shares = sizes / sizes.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(k))


def effective_number(count: float, beta: float = 0.999) -> float:
    """Effective number of samples of a class, E_n = (1 − βⁿ) / (1 − β) (Cui et al. 2019, eq. 2), in 0..1/(1
    − β).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be in [0, 1), not {beta}")
    return float((1 - beta**count) / (1 - beta))


def tiers(counts: Counts, settings: TierSettings) -> dict[str, Tier]:
    """The tier of each class: `ultra_minority`, `minority` or `other`.

    A class with fewer than `ultra_minority_below` rows is an ultra-minority; else one with fewer than
    `minority_below` × the mean class size is a minority.
    """
    mean = sum(counts.values()) / max(len(counts), 1)

    def tier(count: int) -> Tier:
        if count < settings.ultra_minority_below:
            return "ultra_minority"
        return "minority" if count < settings.minority_below * mean else "other"

    return {name: tier(count) for name, count in counts.items()}


def imbalance_measures(counts: Counts) -> dict[str, float | int | str]:
    """All measures of one set of counts, for `metrics/imbalance.json`."""
    sizes = list(counts.values())
    smallest = min(counts, key=lambda name: (counts[name], name))
    largest = max(counts, key=lambda name: (counts[name], name))
    return {
        "rows": sum(sizes),
        "classes": len(sizes),
        "imbalance_ratio": round(imbalance_ratio(counts), 4),
        "gini": round(gini(counts), 6),
        "normalised_entropy": round(normalised_entropy(counts), 6),
        "effective_number": round(sum(effective_number(n) for n in sizes), 3),
        "smallest_class": smallest,
        "smallest_count": counts[smallest],
        "largest_class": largest,
        "largest_count": counts[largest],
    }


def group_measures(steps: Mapping[str, Counts]) -> dict[str, dict[str, Any]]:
    """Sizes of the groups and how uneven they are at each step, for `metrics/imbalance.json` and its like."""
    found: dict[str, dict[str, Any]] = {}
    for step, counts in steps.items():
        measures = {
            name.replace("classes", "groups").replace("class", "group"): value
            for name, value in imbalance_measures(counts).items()
        }
        found[step] = {**measures, "sizes": dict(counts)}
    return found


def _sizes(counts: Counts) -> np.ndarray:
    sizes = np.fromiter(counts.values(), dtype=np.float64)
    return sizes[sizes > 0]
