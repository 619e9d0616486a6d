"""What mining leaves behind for people: numbers, suspects, and the table and picture of what is hard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evenly.figures import (
    INK,
    MUTED,
    PALETTE,
    house_style,
    legend_columns,
    name_rows,
    new_figure,
    save_figure,
)
from evenly.files import atomic_folder, write_csv
from evenly.mining import HARD_COLUMNS, HARD_PICTURE, HARD_TABLE, SUSPECT_COLUMNS
from evenly.mining.mine import Mined
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY_CLASSES = 40  # more than these are not drawn one by one


class Cell(NamedTuple):
    """How many rows of one class and origin there are, are hard, misclassified, suspect; loss in nats."""

    label: str
    origin: str
    rows: int
    hard: int
    misclassified: int
    suspects: int
    mean_loss: float | None


def hard_cells(mined: Mined) -> list[Cell]:
    """What is hard by class, in class order, and origin, real rows first."""
    pool, scores = mined.pool, mined.scores
    wrong = scores.misclassified(pool.codes)
    cells = []
    for code, label in enumerate(pool.classes):
        for origin in _origins(pool.origins):
            mask = (pool.codes == code) & (pool.origins == origin)
            losses = scores.loss[mask & scores.known]
            n, hard, misses, suspects = (
                int(rows[mask].sum()) for rows in (mask, mined.is_hard, wrong, mined.suspicion.suspect)
            )
            if n:
                loss = float(losses.mean()) if len(losses) else None
                cells.append(Cell(label, origin, n, hard, misses, suspects, loss))
    return cells


def mining_metrics(mined: Mined) -> dict[str, Any]:
    """The numbers of mining, ready for JSON."""
    pool, found, settings = mined.pool, mined.suspicion, mined.settings
    kept_out = int(found.suspect.sum()) if settings.suspects == "drop" else 0
    return {
        "rows": len(pool),
        "left_out": mined.left_out | {"not_scored": int((~mined.scores.known).sum())},
        "by": settings.by,
        "scores": settings.scores,
        "misclassified": int(mined.scores.misclassified(pool.codes).sum()),
        "hard": _counts(mined.hard),
        "suspects": _counts(pool.take(found.suspect)) | {"kept_out": kept_out},
        "guard": {
            "thresholds": _by_class(pool.classes, found.thresholds),
            "estimated_wrong": _by_class(pool.classes, found.wrong),
            "found_out_of_fold": _by_class(pool.classes, found.found),
            "not_judged": {pool.classes[code]: rows for code, rows in found.unjudged.items()},
        },
    }


def _counts(samples: SampleTable) -> dict[str, Any]:
    origins = samples.origins
    by_origin = {origin: int((origins == origin).sum()) for origin in _origins(origins)}
    return {"rows": len(samples), "by_class": samples.counts, "by_origin": by_origin}


def _by_class(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    rounded = zip(classes, values.round(6).tolist(), strict=True)
    return {name: value for name, value in rounded if not np.isnan(value)}


def _origins(origins: Iterable[str]) -> list[str]:
    """Different origins, `real` first."""
    return sorted(set(origins), key=lambda origin: (origin != "real", origin))


def write_suspects(mined: Mined, path: str | Path) -> None:
    """Write the rows whose label is probably wrong, the most suspicious first."""
    pool, found = mined.pool, mined.suspicion
    parents, texts = pool.column("parent"), pool.column("text")
    misclassified = mined.scores.misclassified(pool.codes)
    rows = np.flatnonzero(found.suspect)
    write_csv(
        path,
        SUSPECT_COLUMNS,
        (
            [
                pool.ids[row],
                pool.labels[row],
                pool.classes[found.suggested[row]],
                f"{found.self_confidence[row]:.4f}",
                f"{found.support[row]:.4f}",
                pool.origins[row],
                parents[row] or "",
                "yes" if misclassified[row] else "no",
                texts[row] or "",
            ]
            for row in rows[np.argsort(found.self_confidence[rows], kind="stable")].tolist()
        ),
    )


def write_plots(mined: Mined, folder: str | Path) -> None:
    """Write the table of what is hard by class and origin, and its picture."""
    cells = hard_cells(mined)
    with atomic_folder(folder) as temporary:
        write_csv(temporary / HARD_TABLE, HARD_COLUMNS, cells)
        if cells:
            unjudged = {mined.pool.classes[code] for code in mined.suspicion.unjudged}
            _draw_hard_by_class(cells, unjudged, temporary / HARD_PICTURE)


def summary(mined: Mined) -> str:
    """Say in one line what was found."""
    suspects = int(mined.suspicion.suspect.sum())
    out = " kept out" if mined.settings.suspects == "drop" else ""
    unjudged = len(mined.suspicion.unjudged)
    few = f"; labels of {unjudged} classes could not be judged" if unjudged else ""
    return (
        f"{len(mined.hard)} of {len(mined.pool)} rows are hard ({mined.settings.by}), "
        f"{suspects} with a probably wrong label{out}{few}"
    )


def _draw_hard_by_class(cells: Sequence[Cell], unjudged: Collection[str], path: Path) -> None:
    """Draw hard rows and suspects of every class as bars, one colour an origin; of many classes the hardest.

    In the place of a bar stands which classes' labels could not be judged.
    """
    classes = list(dict.fromkeys(cell.label for cell in cells))
    origins = _origins(cell.origin for cell in cells)
    rows, weight = Counter[str](), Counter[str]()
    for cell in cells:
        rows[cell.label] += cell.rows
        weight[cell.label] += cell.hard + cell.suspects
    drawn, title = classes, "Hard rows"
    if len(classes) > _MANY_CLASSES:
        chosen = sorted(classes, key=lambda name: (-weight[name], name))[:_MANY_CLASSES]
        drawn = [name for name in classes if name in chosen]
        title = f"Hard rows ({_MANY_CLASSES} of {len(classes)} classes)"
    colours = {origin: PALETTE[k % len(PALETTE)] for k, origin in enumerate(origins)}
    height = max(2.0, 1.2 + 0.24 * len(drawn)) + (0.3 if len(origins) > 1 else 0)
    with house_style():
        figure, (left, right) = new_figure(8.0, height, columns=2, sharey=True)
        _bars(left, drawn, {(c.label, c.origin): c.hard for c in cells}, colours)
        _bars(right, drawn, {(c.label, c.origin): c.suspects for c in cells}, colours)
        name_rows(left, [(name, rows[name]) for name in drawn])
        left.set_title(title)
        right.set_title("Probably wrong labels")
        left.set_xlabel("rows; in brackets all that were scored")
        right.set_xlabel("rows")
        for place, name in enumerate(drawn):
            if name in unjudged:
                right.text(0, place, " too few rows to judge", va="center", fontsize=7.5, color=MUTED)
        if len(origins) > 1:
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(figure, labels))
        save_figure(figure, path)


def _bars(
    axes: Axes, classes: Sequence[str], counts: Mapping[tuple[str, str], int], colours: Mapping[str, str]
) -> None:
    places, start = np.arange(len(classes)), np.zeros(len(classes))
    for origin, colour in colours.items():
        values = np.array([counts.get((name, origin), 0) for name in classes], dtype=np.float64)
        axes.barh(places, values, left=start, height=0.66, color=colour, label=origin)
        start += values
    for place, total in enumerate(start.tolist()):
        if total:
            axes.text(total, place, f" {total:.0f}", va="center", fontsize=7.5, color=INK)
    axes.set_xlim(0, max(1.0, float(start.max(initial=0))) * 1.12)
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.tick_params(axis="y", length=0)
