"""Pictures of a screening, each with the table it is drawn from, for people and for `dvc plots`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
from evenly.samples import SampleTable
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
        if _reasons(screening, temporary):
            pictures.append(("Why candidates were rejected, by class", "rejections.png"))
        if _similarity(screening, temporary):
            pictures.append(("How close the kept samples are to real ones", "similarity.png"))
        if _lengths(screening, temporary):
            pictures.append(("Length of texts", "lengths.png"))
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
    path = folder / "similarity.csv"
    if len(real) < 2 or not len(kept):
        _write_table(path, [])
        return False
    among = nearest_neighbours(real, real, 1, exclude_self=True)[0][:, 0].astype(np.float64)
    to_real = nearest_neighbours(kept, real, 1)[0][:, 0].astype(np.float64)
    label = "distance to the nearest real row"
    if screening.kept.modality == "text":
        among, to_real = 1 - among**2 / 2, 1 - to_real**2 / 2
        label = "cosine with the nearest real row"
    edges = np.histogram_bin_edges(np.concatenate([among, to_real]), _BINS)
    sides = {"real rows": (among, BLUE), "kept samples": (to_real, ORANGE)}
    shares = {name: _shares(values, edges) for name, (values, _) in sides.items()}
    _write_table(path, _bins(edges, shares.values()))
    figure, (axes,) = new_figure(6.4, 3.2)
    for name, (values, colour) in sides.items():
        text = f"{name} ({len(values):,})"
        axes.stairs(shares[name], edges, fill=True, color=colour, alpha=0.55, label=text)
    axes.set_xlabel(label)
    axes.set_ylabel("share")
    with house_style():
        figure.legend(loc="outside upper left", ncols=2)
    save_figure(figure, folder / "similarity.png")
    return True


def _lengths(screening: Screening, folder: Path) -> bool:
    """Characters of kept and rejected texts, and of the real ones of the classes that kept some."""
    path = folder / "lengths.csv"
    if screening.kept.modality != "text" or not len(screening.kept):
        _write_table(path, [])
        return False
    present = np.isin(screening.real.labels, list(set(screening.kept.labels)))
    tables = {"real": screening.real.take(present), "kept": screening.kept, "rejected": screening.rejected}
    lengths = {name: _characters(samples) for name, samples in tables.items()}
    top = max(1.0, float(np.quantile([*lengths["real"], *lengths["kept"]], 0.995)) * 1.2)
    edges = np.linspace(0, top, _BINS + 1)
    shares = {name: _shares(np.minimum(values, top), edges) for name, values in lengths.items()}
    _write_table(path, _bins(edges, shares.values()))
    figure, (axes,) = new_figure(6.4, 3.2)
    for (name, values), colour in zip(lengths.items(), (BLUE, ORANGE, VERMILION), strict=True):
        if len(values):
            axes.stairs(shares[name], edges, color=colour, label=f"{name} ({len(values):,})", linewidth=1.6)
    axes.set_xlabel("characters (the last bin holds all longer texts)")
    axes.set_ylabel("share of texts")
    with house_style():
        figure.legend(loc="outside upper left", ncols=3)
    save_figure(figure, folder / "lengths.png")
    return True


def _characters(samples: SampleTable) -> np.ndarray:
    return np.array([len(text or "") for text in samples.texts], dtype=np.float64)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of the values in each bin; 0 throughout where there is none."""
    return np.histogram(values, edges)[0] / max(len(values), 1)


def _bins(edges: np.ndarray, shares: Iterable[np.ndarray]) -> list[list[str]]:
    """Rows of a table: the middle of each bin, then the shares."""
    middles = (edges[1:] + edges[:-1]) / 2
    return [[f"{value:.6g}" for value in row] for row in zip(middles, *shares, strict=True)]


def _write_table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    write_csv(path, PLOT_COLUMNS[path.name], rows)
