"""Built-in sets with a spurious attribute that is known: what a model ought to ignore predicts the class for
most rows. Which rows are the exceptions is the same everywhere and always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenly.params.datasets import DatasetEntry

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

#: Rows of `shortcut` by class and place.
SHORTCUT_GROUPS = {
    ("cow", "grass"): 3960,
    ("cow", "sand"): 240,
    ("camel", "sand"): 1620,
    ("camel", "grass"): 180,
}
_SHAPES, _NOISES = 5, 4
#: Standard deviations of the numbers around ±1: five weak ones tell the class, one strong one the place.
_SHAPE_SPREAD, _GROUND_SPREAD = 2.0, 0.5
#: Of so many digits of a class, one has the other class's colour.
_EXCEPTION_EVERY = 10
_SEED = 20


def shortcut_columns(entry: DatasetEntry) -> dict[str, pa.Array]:
    """Cows and camels by numbers: where they stand is easier to see than what they are.

    After the synthetic data of Sagawa, Raghunathan, Koh & Liang 2020 (arXiv 2005.04345, section 5): core
    features N(y, σ²) with y = ±1 for the class and a large σ, a spurious one N(a, σ²) with a = ±1 for the
    attribute and a small σ, and noise. The best classifier that ignores the place errs on 13% of all rows,
    whatever their group.
    """
    import numpy as np
    import pyarrow as pa

    pairs = list(SHORTCUT_GROUPS)
    rng = np.random.default_rng(_SEED)
    which = rng.permutation(np.repeat(np.arange(len(pairs)), list(SHORTCUT_GROUPS.values())))
    animal = np.array([1.0 if label == "cow" else -1.0 for label, _ in pairs])[which]
    place = np.array([1.0 if value == "grass" else -1.0 for _, value in pairs])[which]
    numbers = {f"shape_{k + 1}": animal + _SHAPE_SPREAD * rng.normal(size=len(which)) for k in range(_SHAPES)}
    numbers["ground"] = place + _GROUND_SPREAD * rng.normal(size=len(which))
    numbers |= {f"noise_{k + 1}": rng.normal(size=len(which)) for k in range(_NOISES)}
    return {
        entry.columns.label: pa.array([pairs[k][0] for k in which], pa.string()),
        entry.columns.attribute or "place": pa.array([pairs[k][1] for k in which], pa.string()),
        **{name: pa.array(values.round(4), pa.float64()) for name, values in numbers.items()},
        "id": pa.array([f"animal-{k:04d}" for k in range(len(which))], pa.string()),
    }


def coloured_digit_columns(
    pixels: np.ndarray, digits: np.ndarray, entry: DatasetEntry
) -> dict[str, pa.Array]:
    """Digits up to four or above, of which 90% have the colour of their class.

    In the manner of Coloured MNIST (Arjovsky, Bottou, Gulrajani & Lopez-Paz 2019, arXiv 1907.02893), without
    its wrong labels.

    Parameters
    ----------
    pixels, digits
        Int (n, 64) of 0..16, and int (n,) of 0..9.
    entry
        Names the columns.
    """
    import cv2
    import numpy as np
    import pyarrow as pa

    high = digits > 4
    exception = np.zeros(len(digits), dtype=bool)
    rng = np.random.default_rng(_SEED)
    for of_class in (high, ~high):
        rows = np.flatnonzero(of_class)
        exception[rng.choice(rows, round(len(rows) / _EXCEPTION_EVERY), replace=False)] = True
    green = high != exception
    images = np.zeros((len(digits), 8, 8, 3), dtype=np.uint8)  # blue, green, red
    grey = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    images[np.arange(len(digits)), :, :, np.where(green, 1, 2)] = grey
    return {
        entry.columns.label: pa.array(np.where(high, "high", "low").tolist(), pa.string()),
        entry.columns.attribute or "colour": pa.array(np.where(green, "green", "red").tolist(), pa.string()),
        "image": pa.array([cv2.imencode(".png", image)[1].tobytes() for image in images], pa.binary()),
        "id": pa.array([f"digit-{k:04d}" for k in range(len(digits))], pa.string()),
    }
