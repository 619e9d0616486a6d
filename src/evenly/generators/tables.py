"""Matrices of generated table rows as the vectors that they are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenly.features import Featurizer
from evenly.generators.table_transform import TableTransform
from evenly.samples import SampleTable, Schema


@dataclass(frozen=True)
class TableVectors:
    """Restores the rows of a matrix and measures them as any other row of the table.

    Attributes
    ----------
    transform
        What the matrix means.
    featurizer
        Turns rows into vectors.
    schema
        Of the table.
    """

    transform: TableTransform
    featurizer: Featurizer
    schema: Schema

    def __call__(self, matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Vectors float32 (n, dimension) of matrix rows (n, d) of these classes."""
        columns = dict(self.transform.payload(matrix, np.random.default_rng(0)))
        return self.featurizer.transform(table_rows(columns, codes, self.schema))


def table_rows(columns: dict[str, object], codes: np.ndarray, schema: Schema) -> SampleTable:
    """Put feature columns (Arrow arrays) into a sample table whose ids are only counted."""
    import pyarrow as pa

    listed = {
        "id": [str(k) for k in range(len(codes))],
        "label": [schema.classes[code] for code in codes],
        "origin": ["generated"] * len(codes),
    }
    strings = {name: pa.array(values, pa.string()) for name, values in listed.items()}
    return SampleTable(pa.table(strings | columns), schema)
