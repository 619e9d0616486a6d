"""Small data for tests: entries, csv lines, texts and pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from evenly.params.datasets import DatasetEntry


def make_entry(**values: Any) -> DatasetEntry:
    """An entry with the two keys that every entry needs filled in."""
    return DatasetEntry.model_validate({"modality": "text", "licence": "none", **values})


def csv_lines(
    rows: Iterable[Iterable[Any]], header: Iterable[str] = ("text", "label"), delimiter: str = ","
) -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in (header, *rows))


def texts(**counts: int) -> list[tuple[str, str]]:
    """`texts(a=2)`: two different texts of class a."""
    return [(f"text {k} about {label}", label) for label, n in counts.items() for k in range(n)]


def png(value: int, size: int = 8) -> bytes:
    image = np.full((size, size, 3), value, np.uint8)
    image[0, 0] = 255 - value
    return cv2.imencode(".png", image)[1].tobytes()


def jpeg(value: int) -> bytes:
    return cv2.imencode(".jpg", np.full((16, 16, 3), value, np.uint8))[1].tobytes()
