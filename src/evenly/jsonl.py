"""Sample tables as JSON Lines, for tools that train elsewhere: plain records, or chats as fine-tuning takes
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evenly.errors import DataError
from evenly.files import atomic_write
from evenly.payloads import feature_rows
from evenly.samples import SampleTable

Form = Literal["plain", "chat"]


@dataclass(frozen=True)
class Written:
    """Rows written, and rows left out because they exist as vectors only, by origin."""

    rows: int
    left_out: dict[str, int]


def write_jsonl(samples: SampleTable, path: str | Path, form: Form = "plain", system: str = "") -> Written:
    """Write one JSON object a row, in the order of the table.

    Parameters
    ----------
    samples
        Texts or table rows. A text that exists as a vector only (SMOTE makes such) is left out.
    path
        UTF-8, one object a line.
    form
        `plain`: text or columns, then label, origin and id. `chat`: messages in which the user says the
        text (or the row as JSON) and the assistant the label.
    system
        For `chat`, what the system says first; empty for nothing.

    Raises
    ------
    DataError
        For images.
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
    left_out: dict[str, int] = {}
    for row, origin in enumerate(samples.origins):
        if row not in present:
            left_out[origin] = left_out.get(origin, 0) + 1
    return Written(len(here), left_out)


def _plain(samples: SampleTable) -> Iterator[dict[str, Any]]:
    describing = zip(samples.labels, samples.origins, samples.ids, strict=True)
    for row, (label, origin, name) in zip(_payloads(samples), describing, strict=True):
        yield {**row, "label": label, "origin": origin, "id": name}


def _chats(samples: SampleTable, system: str) -> Iterator[dict[str, Any]]:
    first = [{"role": "system", "content": system}] if system else []
    for row, label in zip(_payloads(samples), samples.labels, strict=True):
        content = row["text"] if samples.modality == "text" else json.dumps(row, ensure_ascii=False)
        user = {"role": "user", "content": content}
        yield {"messages": [*first, user, {"role": "assistant", "content": label}]}


def _payloads(samples: SampleTable) -> list[dict[str, Any]]:
    """The text or the columns of each row."""
    return feature_rows(samples) if samples.modality == "table" else [{"text": t} for t in samples.texts]
