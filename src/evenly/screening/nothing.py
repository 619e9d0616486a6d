"""What the screening leaves behind, by file and column, and the same files where nothing was generated.

Nothing heavy is imported here: a stage with nothing to do ends at once.
"""

from __future__ import annotations

from pathlib import Path

from evenly.files import atomic_folder, write_text

#: Real rows shown beside a sample in the review file.
SOURCES = 3
REVIEW_COLUMNS = (
    "id",
    "class",
    "origin",
    "sample",
    *(f"source_{k + 1}" for k in range(SOURCES)),
    "verdict",
    "label",
)
PAGE, REVIEW_SAMPLE = "augmentation.md", "review_sample.csv"
#: Columns of the tables behind the pictures.
PLOT_COLUMNS = {
    "class_distribution.csv": ("class", "step", "rows"),
    "rejections.csv": ("class", "rule", "rejected"),
    "similarity.csv": ("nearest", "real", "kept"),
    "lengths.csv": ("characters", "real", "kept", "rejected"),
}


def write_nothing_generated(reports: str | Path, plots: str | Path) -> None:
    """Write the page, the review file and the plots' tables without a row."""
    write_text("# Generated samples\n\nNothing was generated.\n", Path(reports) / PAGE)
    write_text("\ufeff" + ",".join(REVIEW_COLUMNS) + "\n", Path(reports) / REVIEW_SAMPLE)
    with atomic_folder(plots) as made:
        for name, columns in PLOT_COLUMNS.items():
            write_text(",".join(columns) + "\n", made / name)
