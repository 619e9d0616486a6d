"""Screening: which generated samples are kept, and why the others are not.

`screen` decides, by the `checks` in their order and what `context` gives them; `report` counts, `pages` and
`pictures` show, and people answer through `review`. Here stands what is left behind where nothing was
generated, and nothing heavy is imported: a stage with nothing to do ends at once.
"""

from __future__ import annotations

from pathlib import Path

from evenly.files import atomic_folder, write_csv, write_text

PAGE, REVIEW_SAMPLE = "augmentation.md", "review_sample.csv"
#: Columns of the tables behind the pictures.
PLOT_COLUMNS = {
    "class_distribution.csv": ("class", "step", "rows"),
    "rejections.csv": ("class", "rule", "rejected"),
    "similarity.csv": ("nearest", "real", "kept"),
    "lengths.csv": ("characters", "real", "kept", "rejected"),
}
#: Real rows beside a sample in the file for reviewers.
SOURCES = 3
REVIEW_COLUMNS = (
    *("id", "class", "origin", "sample"),
    *(f"source_{k + 1}" for k in range(SOURCES)),
    *("verdict", "label"),
)


def write_nothing_generated(reports: str | Path, plots: str | Path) -> None:
    """Write the page, the review file and the plots' tables without a row."""
    write_text("# Generated samples\n\nNothing was generated.\n", Path(reports) / PAGE)
    write_csv(Path(reports) / REVIEW_SAMPLE, REVIEW_COLUMNS, (), encoding="utf-8-sig")
    with atomic_folder(plots) as folder:
        for name, columns in PLOT_COLUMNS.items():
            write_csv(folder / name, columns, ())
