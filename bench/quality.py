"""How long it takes to screen generated images and table rows, and to measure their quality.

Images are mixtures of handwritten digits with noise, so that there are as many as are asked for. Rival of the
measures: the formulas of the papers with scipy's matrix root and whole distance matrices.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from evenly.features.featurizer import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.screening import FilterSettings
from evenly.quality.compare import quality_of
from evenly.quality.measures import frechet_distance, kernel_distance, manifold_measures
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns
from evenly.screening.screen import screen

DIGITS = Schema("image", tuple(str(k) for k in range(10)))
NUMBERS = Schema("table", ("low", "high"), tuple(Feature(f"x{k}", "number") for k in range(12)))


def images(n: int, seed: int, prefix: str, origin: str = "real") -> SampleTable:
    """Digits between two digits of a class, with noise."""
    from sklearn.datasets import load_digits

    from evenly.features.images import encode_images

    digits = load_digits()
    rng = np.random.default_rng(seed)
    first = rng.integers(len(digits.data), size=n)
    order = np.argsort(digits.target, kind="stable")
    place, sizes = np.argsort(order), np.bincount(digits.target)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    target = digits.target[first]
    second = order[starts[target] + (place[first] + rng.integers(1, sizes[target])) % sizes[target]]
    share = rng.uniform(0, 0.5, (n, 1, 1))
    mixed = (1 - share) * digits.images[first] + share * digits.images[second]
    pixels = np.clip(15.9 * (mixed + rng.normal(0, 0.8, mixed.shape)), 0, 255).astype(np.uint8)
    columns = {
        "id": [f"{prefix}{k:06d}" for k in range(n)],
        "label": [str(k) for k in target],
        "origin": [origin] * n,
        "image": encode_images(pixels[:, :, :, None]),
    }
    return samples_from_columns(columns, DIGITS)


def rows(n: int, seed: int, prefix: str, origin: str = "real") -> SampleTable:
    """Numbers of two overlapping classes."""
    rng = np.random.default_rng(seed)
    high = rng.random(n) < 0.2
    x = rng.standard_normal((n, 12)) @ np.random.default_rng(0).standard_normal((12, 12)) + high[:, None]
    columns = {
        "id": [f"{prefix}{k:06d}" for k in range(n)],
        "label": np.where(high, "high", "low").tolist(),
        "origin": [origin] * n,
        **{f"x{k}": x[:, k].tolist() for k in range(12)},
    }
    return samples_from_columns(columns, NUMBERS)


class Watch:
    """Prints CPU and wall time since it was made, and the peak of memory so far."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def tell(self, what: str, note: str = "") -> float:
        """Print a line; give the CPU seconds."""
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{what:<56} {cpu:7.2f} CPU s {wall:7.2f} s  peak {peak:.2f} GiB  {note}", flush=True)
        return cpu


def rival(real: np.ndarray, made: np.ndarray, k: int = 5) -> None:
    """The formulas as they stand in the papers."""
    from scipy.linalg import sqrtm
    from sklearn.metrics import pairwise_distances

    covariances = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    kernels = [(a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((real, real), (made, made), (real, made))]
    np.mean([kernel.mean() for kernel in kernels])
    radii = [np.partition(pairwise_distances(part), k, axis=1)[:, k] for part in (real, made)]
    between = pairwise_distances(real, made)
    (between < radii[0][:, None]).any(axis=0).mean()
    (between < radii[1]).any(axis=1).mean()


def filtered(n: int, kind: str) -> None:
    """Screen n generated rows against n real ones."""
    make = images if kind == "images" else rows
    train, held_out, made = make(n, 1, "train"), make(n // 5, 2, "held"), make(n, 3, "new", "gan")
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    watch = Watch()
    report = screen(
        made, train=train, validation=held_out, test=held_out.take([]), settings=FilterSettings(),
        featurizer=featurizer, seed=0,
    ).report  # fmt: skip
    reasons = ", ".join(f"{rule} {numbers['primary']:,}" for rule, numbers in report["rules"].items())
    watch.tell(f"the filter on {n:,} {kind} against {n:,}", f"{report['kept']:,} kept; {reasons}")


def compared(n: int, kind: str) -> None:
    """Measure the quality of two producers of n rows."""
    make = images if kind == "images" else rows
    train, held_out = make(n, 1, "train"), make(max(200, n // 5), 2, "held")
    producers = {name: make(n, seed, name, name) for seed, name in ((3, "gan"), (4, "vae"))}
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    watch = Watch()
    quality_of(producers, train=train, held_out=held_out, featurizer=featurizer, seed=0)
    watch.tell(f"quality of 2 × {n:,} {kind} against {n:,}")


def main() -> None:
    """Print every measurement; numbers of rows may be given instead of 1,000, 10,000 and 100,000."""
    sizes = [int(word) for word in sys.argv[1:]] or [1_000, 10_000, 100_000]
    rng = np.random.default_rng(0)
    real, made = rng.standard_normal((2, 2000, 64))
    watch = Watch()
    rival(real, made)
    plain = watch.tell("the papers' formulas on 2,000 × 64 features")
    watch = Watch()
    frechet_distance(real, made)
    kernel_distance(real, made)
    manifold_measures(real, made, 5)
    ours = watch.tell("FID, KID, precision, recall, density, coverage of them")
    print(f"{'':<56} {plain / ours:.1f}× the formulas' speed")
    for kind in ("images", "table rows"):
        for n in sizes:
            filtered(n, kind)
            compared(n, kind)


if __name__ == "__main__":
    main()
