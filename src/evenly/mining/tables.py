"""The CSV files of mining: their columns, and how they are written, importing nothing heavy.

What stands in them is told in `evenly.mining.outputs`.
"""

from __future__ import annotations

from pathlib import Path

from evenly.files import atomic_folder, write_csv

SUSPECT_COLUMNS = (
    "id",
    "label",
    "suggested",
    "self_confidence",
    "suggested_confidence",
    "origin",
    "parent",
    "misclassified",
    "text",
)
HARD_COLUMNS = ("class", "origin", "rows", "hard", "misclassified", "suspects", "mean_loss")
#: In the folder of plots.
HARD_TABLE = "hard_by_class.csv"
HARD_PICTURE = "hard_by_class.png"


def write_nothing_mined(suspects: str | Path, plots: str | Path) -> None:
    """Write what mining leaves behind where there was nothing to do: tables of a header alone, no picture."""
    write_csv(suspects, SUSPECT_COLUMNS, ())
    with atomic_folder(plots) as folder:
        write_csv(folder / HARD_TABLE, HARD_COLUMNS, ())
