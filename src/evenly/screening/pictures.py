"""Pictures of a screening, each with the table it is drawn from, for people and for `dvc plots`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenly.distribution import write_class_distribution
from evenly.figures import (
    BLUE,
    FAINT,
    MUTED,
    ORANGE,
    PALETTE,
    VERMILION,
    house_style,
    new_figure,
    save_figure,
    shortened,
)
from evenly.files import atomic_folder, write_csv
from evenly.screening import PLOT_COLUMNS
from evenly.screening.screen import Screening

_MOST_CLASSES = 30  # in the picture of reasons: those that lost most
_BINS = 40


def write_pictures(screening: Screening, folder: str | Path) -> list[tuple[str, str]]:
    """Write pictures and tables into a folder, which is replaced.

    Returns
    -------
    list of (title, file name)
        The pictures there are; the tables are always all there, empty where nothing can be shown.
    """
    pictures = [("Class sizes before and after", "class_distribution.png")]
    with atomic_folder(folder) as temporary:
        real, gained = screening.real.counts, screening.kept.counts
        after = {name: n + gained[name] for name, n in real.items()}
        write_class_distribution({"train": real, "kept": after}, temporary)
        for title, name, drawn in (
            ("Why candidates were rejected, by class", "rejections.png", _reasons),
            ("How close the kept samples are to real ones", "similarity.png", _similarity),
            ("Length of texts", "lengths.png", _lengths),
        ):
            if drawn(screening, temporary):
                pictures.append((title, name))
    return pictures


def _reasons(screening: Screening, folder: Path) -> bool:
    """Rejected candidates of each class by their primary reason."""
    classes = {
        name: numbers["rejected_for"]
        for name, numbers in screening.report["classes"].items()
        if numbers["rejected_for"]
    }
    names = sorted(classes, key=lambda name: (-sum(classes[name].values()), name))
    rows = [(name, rule, n) for name in names for rule, n in classes[name].items()]
    _write_table(folder / "rejections.csv", rows)
    if not names:
        return False
    from matplotlib.ticker import MaxNLocator

    left_out, names = len(names[_MOST_CLASSES:]), names[:_MOST_CLASSES]
    totals = Counter({rule: numbers["primary"] for rule, numbers in screening.report["rules"].items()})
    rules = [rule for rule, n in totals.most_common() if n]
    legend_lines = -(-len(rules) // 4)
    figure, (axes,) = new_figure(7.0, max(2.2, 0.7 + 0.17 * legend_lines + 0.26 * len(names)))
    left = np.zeros(len(names))
    for rule, colour in zip(rules, _colours(len(rules)), strict=True):
        widths = np.array([classes[name].get(rule, 0) for name in names], dtype=float)
        if widths.any():
            label = f"{rule.replace('_', ' ')} ({totals[rule]:,})"
            axes.barh(range(len(names)), widths, left=left, color=colour, label=label, height=0.7)
            left += widths
    axes.set_yticks(range(len(names)), shortened(names))
    axes.margins(y=0.01)
    axes.invert_yaxis()
    rest = f" ({left_out} classes that lost fewer are left out)" if left_out else ""
    axes.set_xlabel(f"rejected candidates, by their primary reason{rest}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", color=FAINT)
    with house_style():
        figure.legend(loc="outside upper left", ncols=4)
    save_figure(figure, folder / "rejections.png")
    return True


def _colours(n: int) -> list[str]:
    """One colour a rule, the commonest first; where there are many, the palette comes again, darker."""
    from matplotlib.colors import to_hex, to_rgb

    darker = [to_hex(tuple(0.55 * part for part in to_rgb(colour))) for colour in PALETTE]  # type: ignore[arg-type]
    return [*PALETTE, MUTED, *darker][:n]


def _similarity(screening: Screening, folder: Path) -> bool:
    """How far kept samples are from the nearest real row, beside how far real rows are from each other."""
    from evenly.features.neighbours import nearest_neighbours

    real, kept = screening.real_vectors, screening.kept_vectors
    if len(real) < 2 or not len(kept):
        _write_table(folder / "similarity.csv", [])
        return False
    among = nearest_neighbours(real, real, 1, exclude_self=True)[0][:, 0].astype(np.float64)
    to_real = nearest_neighbours(kept, real, 1)[0][:, 0].astype(np.float64)
    label = "distance to the nearest real row"
    if screening.kept.modality == "text":
        among, to_real = 1 - among**2 / 2, 1 - to_real**2 / 2
        label = "cosine with the nearest real row"
    edges = np.histogram_bin_edges(np.concatenate([among, to_real]), _BINS)
    sides = {"real rows": (among, BLUE), "kept samples": (to_real, ORANGE)}
    _histograms(folder / "similarity.csv", sides, edges, (label, "share"), fill=True, alpha=0.55)
    return True


def _lengths(screening: Screening, folder: Path) -> bool:
    """Characters of kept and rejected texts, and of the real ones of the classes that kept some."""
    if screening.kept.modality != "text" or not len(screening.kept):
        _write_table(folder / "lengths.csv", [])
        return False
    present = np.isin(screening.real.labels, list(set(screening.kept.labels)))
    real, kept, rejected = (
        np.array([len(text or "") for text in samples.texts], dtype=np.float64)
        for samples in (screening.real.take(present), screening.kept, screening.rejected)
    )
    top = max(1.0, float(np.quantile(np.concatenate([real, kept]), 0.995)) * 1.2)
    sides = {"real": (real, BLUE), "kept": (kept, ORANGE), "rejected": (rejected, VERMILION)}
    sides = {name: (np.minimum(lengths, top), colour) for name, (lengths, colour) in sides.items()}
    labels = ("characters (the last bin holds all longer texts)", "share of texts")
    _histograms(folder / "lengths.csv", sides, np.linspace(0, top, _BINS + 1), labels, linewidth=1.6)
    return True


def _histograms(
    path: Path,
    sides: Mapping[str, tuple[np.ndarray, str]],
    edges: np.ndarray,
    labels: tuple[str, str],
    **style: Any,
) -> None:
    """Write shares of values by bin, and draw them on one another, each side in its colour."""
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for values, _ in sides.values()]
    middles = (edges[1:] + edges[:-1]) / 2
    _write_table(path, [[f"{value:.6g}" for value in row] for row in zip(middles, *shares, strict=True)])
    figure, (axes,) = new_figure(6.4, 3.2)
    for (name, (values, colour)), heights in zip(sides.items(), shares, strict=True):
        if len(values):
            axes.stairs(heights, edges, color=colour, label=f"{name} ({len(values):,})", **style)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    with house_style():
        figure.legend(loc="outside upper left", ncols=len(sides))
    save_figure(figure, path.with_suffix(".png"))


def _write_table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    write_csv(path, PLOT_COLUMNS[path.name], rows)
