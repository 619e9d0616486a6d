"""What samples hold, as people and other programs read it: in a cell of a spreadsheet, or as JSON Lines."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evenly.errors import DataError
from evenly.files import atomic_write
from evenly.samples import SampleTable

Form = Literal["plain", "chat"]


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
    return [
        {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
        for row in rows
    ]


def first_of_each_rule(rejected: SampleTable, most: int) -> list[tuple[int, dict[str, Any]]]:
    """Row and first reason of up to `most` rejected candidates of each rule, by the rules' names."""
    chosen: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for row, details in enumerate(rejected.column("details")):
        reason = json.loads(details)["screening"]["rejected_for"][0]
        own = chosen.setdefault(reason["rule"], [])
        if len(own) < most:
            own.append((row, reason))
    return [one for rule in sorted(chosen) for one in chosen[rule]]


@dataclass(frozen=True)
class Written:
    """Rows written, and rows left out because they exist as vectors only, by origin."""

    rows: int
    left_out: dict[str, int]


def write_jsonl(samples: SampleTable, path: str | Path, form: Form = "plain", system: str = "") -> Written:
    """Write texts or table rows as one JSON object a line, in the order of the table.

    `plain` has text or columns, then label, origin and id; `chat` has messages: what `system` says first, if
    anything, then the user the text (or the row as JSON) and the assistant the label. A text that exists as a
    vector only (SMOTE makes such) is left out.
    """
    if samples.modality == "image":
        raise DataError("Images cannot be written as JSON Lines; data/balanced/train.parquet holds them.")
    here = [row for row, text in enumerate(samples.texts) if text is not None]
    if samples.modality == "table":
        here = list(range(len(samples)))
    rows = samples.take(here)
    records = _plain(rows) if form == "plain" else _chats(rows, system)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    present = set(here)
    left_out = Counter(origin for row, origin in enumerate(samples.origins) if row not in present)
    return Written(len(here), dict(left_out))


def _plain(samples: SampleTable) -> Iterator[dict[str, Any]]:
    describing = zip(samples.labels, samples.origins, samples.ids, strict=True)
    for row, (label, origin, name) in zip(_records(samples), describing, strict=True):
        yield {**row, "label": label, "origin": origin, "id": name}


def _chats(samples: SampleTable, system: str) -> Iterator[dict[str, Any]]:
    first = [{"role": "system", "content": system}] if system else []
    for row, label in zip(_records(samples), samples.labels, strict=True):
        content = row["text"] if samples.modality == "text" else json.dumps(row, ensure_ascii=False)
        user = {"role": "user", "content": content}
        yield {"messages": [*first, user, {"role": "assistant", "content": label}]}


def _records(samples: SampleTable) -> list[dict[str, Any]]:
    """The text or the columns of each row."""
    return feature_rows(samples) if samples.modality == "table" else [{"text": t} for t in samples.texts]
