"""The data sets that need no download: those of scikit-learn, and two with a known spurious attribute.

In these, what a model ought to ignore predicts the class for most rows; which rows are the exceptions is the
same everywhere and always.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from evenly.params.datasets import BuiltinName, DatasetEntry

#: Rows of each set, for lists that should not load them.
BUILTIN_ROWS: dict[BuiltinName, int] = {
    "digits": 1797,
    "breast_cancer": 569,
    "wine": 178,
    "shortcut": 6000,
    "coloured_digits": 1797,
}

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


def builtin_columns(name: BuiltinName, entry: DatasetEntry) -> dict[str, pa.Array]:
    """Columns of a built-in set, under the names that the entry gives to label and attribute."""
    match name:
        case "digits":
            return _digits(entry)
        case "coloured_digits":
            return _coloured_digits(entry)
        case "shortcut":
            return _shortcut(entry)
    return _table(name, entry)


def _digits(entry: DatasetEntry) -> dict[str, pa.Array]:
    """The 1,797 handwritten digits (Alpaydin & Kaynak 1998) as 8×8 greyscale PNG, 0..16 made 0..255."""
    import cv2

    images, labels = _digit_arrays()
    return {
        entry.columns.label: pa.array([str(label) for label in labels], pa.string()),
        "image": pa.array([cv2.imencode(".png", image)[1].tobytes() for image in images], pa.binary()),
        "id": pa.array([f"digit-{k:04d}" for k in range(len(labels))], pa.string()),
    }


def _digit_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Give pixels, uint8 (1797, 8, 8), 0..16 made 0..255, and labels (1797,)."""
    # scikit-learn's own file, read directly: importing scikit-learn would cost more than the whole split.
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None  # a dependency of evenly
    with gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as stream:
        values = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    return np.rint(values[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8), values[:, -1]


def _table(name: Literal["breast_cancer", "wine"], entry: DatasetEntry) -> dict[str, pa.Array]:
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch = {"breast_cancer": load_breast_cancer, "wine": load_wine}[name]()
    columns = {
        str(feature).replace(" ", "_"): pa.array(bunch.data[:, k], pa.float64())
        for k, feature in enumerate(bunch.feature_names)
    }
    labels = [str(bunch.target_names[code]) for code in bunch.target]
    columns[entry.columns.label] = pa.array(labels, pa.string())
    return columns


def _shortcut(entry: DatasetEntry) -> dict[str, pa.Array]:
    """Cows and camels by numbers: where they stand is easier to see than what they are.

    After the synthetic data of Sagawa, Raghunathan, Koh & Liang 2020 (arXiv 2005.04345, section 5): core
    features N(y, σ²) with y = ±1 for the class and a large σ, a spurious one N(a, σ²) with a = ±1 for the
    attribute and a small σ, and noise. The best classifier that ignores the place errs on 13% of all rows,
    whatever their group.
    """
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


def _coloured_digits(entry: DatasetEntry) -> dict[str, pa.Array]:
    """Digits up to four or above, of which 90% have the colour of their class.

    In the manner of Coloured MNIST (Arjovsky, Bottou, Gulrajani & Lopez-Paz 2019, arXiv 1907.02893), without
    its wrong labels.
    """
    import cv2

    pixels, digits = _digit_arrays()
    high = digits > 4
    exception = np.zeros(len(digits), dtype=bool)
    rng = np.random.default_rng(_SEED)
    for of_class in (high, ~high):
        rows = np.flatnonzero(of_class)
        exception[rng.choice(rows, round(len(rows) / _EXCEPTION_EVERY), replace=False)] = True
    green = high != exception
    images = np.zeros((len(digits), 8, 8, 3), dtype=np.uint8)  # blue, green, red
    images[np.arange(len(digits)), :, :, np.where(green, 1, 2)] = pixels
    return {
        entry.columns.label: pa.array(np.where(high, "high", "low").tolist(), pa.string()),
        entry.columns.attribute or "colour": pa.array(np.where(green, "green", "red").tolist(), pa.string()),
        "image": pa.array([cv2.imencode(".png", image)[1].tobytes() for image in images], pa.binary()),
        "id": pa.array([f"digit-{k:04d}" for k in range(len(digits))], pa.string()),
    }
