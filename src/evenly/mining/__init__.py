"""Hard examples: training rows that a model gets wrong or nearly so, but whose label is probably right.

`mine` finds them, by `scores` of models that have not seen a row or its relatives, and with the `guard`
against wrong labels; `outputs` tells people. Here stands what is left behind where there was nothing to do,
and nothing heavy is imported.
"""

from __future__ import annotations

from pathlib import Path

from evenly.files import atomic_folder, write_csv

SUSPECT_COLUMNS = (
    *("id", "label", "suggested", "self_confidence", "suggested_confidence"),
    *("origin", "parent", "misclassified", "text"),
)
HARD_COLUMNS = ("class", "origin", "rows", "hard", "misclassified", "suspects", "mean_loss")
#: In the folder of plots.
HARD_TABLE, HARD_PICTURE = "hard_by_class.csv", "hard_by_class.png"


def write_nothing_mined(suspects: str | Path, plots: str | Path) -> None:
    """Write tables of a header alone, and no picture."""
    write_csv(suspects, SUSPECT_COLUMNS, ())
    with atomic_folder(plots) as folder:
        write_csv(folder / HARD_TABLE, HARD_COLUMNS, ())
