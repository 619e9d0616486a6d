"""What mining leaves behind for people: the numbers, the list of suspects, and the table of what is hard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evenly.files import atomic_folder, write_csv
from evenly.mining.mine import Mined
from evenly.mining.picture import Cell, draw_hard_by_class
from evenly.mining.tables import HARD_COLUMNS, HARD_PICTURE, HARD_TABLE, SUSPECT_COLUMNS


def hard_cells(mined: Mined) -> list[Cell]:
    """What is hard by class, in class order, and origin, real rows first."""
    pool, scores = mined.pool, mined.scores
    wrong = scores.misclassified(pool.codes)
    cells = []
    for code, label in enumerate(pool.classes):
        for origin in _origins(pool.origins):
            mask = (pool.codes == code) & (pool.origins == origin)
            scored = mask & scores.known
            if mask.any():
                cells.append(
                    Cell(
                        label,
                        origin,
                        int(mask.sum()),
                        int(mined.is_hard[mask].sum()),
                        int(wrong[mask].sum()),
                        int(mined.suspicion.suspect[mask].sum()),
                        float(scores.loss[scored].mean()) if scored.any() else None,
                    )
                )
    return cells


def mining_metrics(mined: Mined) -> dict[str, Any]:
    """The numbers of mining, ready for JSON."""
    pool, found, settings = mined.pool, mined.suspicion, mined.settings
    classes = pool.classes
    suspects = pool.take(found.suspect)
    kept_out = int(found.suspect.sum()) if settings.suspects == "drop" else 0
    return {
        "rows": len(pool),
        "left_out": mined.left_out | {"not_scored": int((~mined.scores.known).sum())},
        "by": settings.by,
        "scores": settings.scores,
        "misclassified": int(mined.scores.misclassified(pool.codes).sum()),
        "hard": {
            "rows": len(mined.hard),
            "by_class": mined.hard.counts if len(mined.hard) else dict.fromkeys(classes, 0),
            "by_origin": _by_origin(mined.hard.origins),
        },
        "suspects": {
            "rows": len(suspects),
            "kept_out": kept_out,
            "by_class": suspects.counts if len(suspects) else dict.fromkeys(classes, 0),
            "by_origin": _by_origin(suspects.origins),
        },
        "guard": {
            "thresholds": _by_class(classes, found.thresholds),
            "estimated_wrong": _by_class(classes, found.wrong),
            "found_out_of_fold": _by_class(classes, found.found),
            "not_judged": {classes[code]: rows for code, rows in found.unjudged.items()},
        },
    }


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
        write_csv(
            temporary / HARD_TABLE,
            HARD_COLUMNS,
            (
                [c.label, c.origin, c.rows, c.hard, c.misclassified, c.suspects, _number(c.mean_loss)]
                for c in cells
            ),
        )
        if cells:
            unjudged = {mined.pool.classes[code] for code in mined.suspicion.unjudged}
            draw_hard_by_class(cells, unjudged, temporary / HARD_PICTURE)


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


def _origins(origins: np.ndarray) -> list[str]:
    return sorted(set(origins), key=lambda origin: (origin != "real", origin))


def _by_origin(origins: np.ndarray) -> dict[str, int]:
    return {origin: int((origins == origin).sum()) for origin in _origins(origins)}


def _by_class(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {
        name: round(float(value), 6)
        for name, value in zip(classes, values, strict=True)
        if not np.isnan(value)
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
