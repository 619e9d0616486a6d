"""What samples hold, as people and other programs read it: in a cell of a spreadsheet, or as JSON."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from evenly.samples import SampleTable

#: A spreadsheet would calculate a cell that begins so.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def payloads(samples: SampleTable) -> list[str]:
    """Texts as they are, table rows as JSON, images as addresses that a browser shows."""
    if samples.modality == "text":
        return [text or "" for text in samples.texts]
    if samples.modality == "image":
        return [
            "data:image/png;base64," + base64.b64encode(image or b"").decode() for image in samples.images
        ]
    return [json.dumps(row, ensure_ascii=False) for row in feature_rows(samples)]


def feature_rows(samples: SampleTable) -> list[dict[str, Any]]:
    """Feature values of each row of a table by column, None where there is no finite value."""
    rows: list[dict[str, Any]] = samples.table.select([f.name for f in samples.schema.features]).to_pylist()
    return [{name: None if _no_number(value) else value for name, value in row.items()} for row in rows]


def spreadsheet_cell(value: str) -> str:
    """A cell that is shown as it is, with an apostrophe before what would be calculated."""
    return f"'{value}" if value.startswith(FORMULA) else value


def _no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
