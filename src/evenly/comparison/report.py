"""Writes a comparison down: one self-contained page, Markdown for pull requests, tables, pictures."""

from __future__ import annotations

from pathlib import Path

from evenly.comparison.findings import Comparison
from evenly.comparison.plots import write_plots
from evenly.comparison.story import comparison_context
from evenly.comparison.tables import comparison_json, comparison_markdown, csv_columns, csv_rows
from evenly.evaluation.report import report_html
from evenly.files import atomic_folder, write_csv, write_json, write_text


def write_comparison(comparison: Comparison, folder: str | Path) -> None:
    """Write comparison.html, .md, .csv and .json, and the pictures into the folder `comparison`."""
    folder = Path(folder)
    with atomic_folder(folder / "comparison") as pictures:
        names = write_plots(comparison, pictures)
        page = report_html(comparison_context(comparison, pictures, names))
    addresses = {title: [f"comparison/{name}" for name in files] for title, files in names.items()}
    write_text(page, folder / "comparison.html")
    write_text(comparison_markdown(comparison, addresses), folder / "comparison.md")
    write_csv(folder / "comparison.csv", csv_columns(), csv_rows(comparison))
    write_json(comparison_json(comparison), folder / "comparison.json")
