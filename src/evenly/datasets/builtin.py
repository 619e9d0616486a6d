"""The data sets that need no download: those of scikit-learn, and those of `evenly.datasets.shortcuts`."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evenly.datasets.shortcuts import coloured_digit_columns, shortcut_columns
from evenly.params.datasets import BuiltinName, DatasetEntry

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


#: Rows of each set, for lists that should not load them.
BUILTIN_ROWS: dict[BuiltinName, int] = {
    "digits": 1797,
    "breast_cancer": 569,
    "wine": 178,
    "shortcut": 6000,
    "coloured_digits": 1797,
}


def builtin_columns(name: BuiltinName, entry: DatasetEntry) -> dict[str, pa.Array]:
    """Columns of a built-in set, under the names that the entry gives to label and attribute."""
    match name:
        case "digits":
            return _digits(entry)
        case "coloured_digits":
            return coloured_digit_columns(*_digit_arrays(), entry)
        case "shortcut":
            return shortcut_columns(entry)
    return _table(name, entry)


def _digits(entry: DatasetEntry) -> dict[str, pa.Array]:
    """The 1,797 handwritten digits (Alpaydin & Kaynak 1998) as 8×8 greyscale PNG, 0..16 made 0..255."""
    import cv2
    import numpy as np
    import pyarrow as pa

    pixels, labels = _digit_arrays()
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return {
        entry.columns.label: pa.array([str(label) for label in labels], pa.string()),
        "image": pa.array([cv2.imencode(".png", image)[1].tobytes() for image in images], pa.binary()),
        "id": pa.array([f"digit-{k:04d}" for k in range(len(labels))], pa.string()),
    }


def _digit_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64) and labels (1797,)."""
    import numpy as np

    # scikit-learn's own file, read directly: importing scikit-learn would cost more than the whole split.

    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None  # a dependency of evenly
    with gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as stream:
        values = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    return values[:, :-1], values[:, -1]


def _table(name: Literal["breast_cancer", "wine"], entry: DatasetEntry) -> dict[str, pa.Array]:
    import pyarrow as pa
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch = {"breast_cancer": load_breast_cancer, "wine": load_wine}[name]()
    columns = {
        str(feature).replace(" ", "_"): pa.array(bunch.data[:, k], pa.float64())
        for k, feature in enumerate(bunch.feature_names)
    }
    labels = [str(bunch.target_names[code]) for code in bunch.target]
    columns[entry.columns.label] = pa.array(labels, pa.string())
    return columns
