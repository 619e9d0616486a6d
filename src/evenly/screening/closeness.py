"""The check that no candidate is, or nearly is, a validation or test row."""

from __future__ import annotations

import numpy as np

from evenly.screening.context import Context, Outcome, Side, Verdict
from evenly.screening.duplicates import near_radius, near_verdicts, same_verdict, unmeasured

_REAL_ROWS = 10_000  # real training rows on which false alarms are counted at most


def close_to_held_out(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same as a validation or test row, or closer to one than `closeness` allows.

    Beside that, the same rule is tried on real training rows, which have leaked from nowhere: the share of
    them that it strikes, `real_rows_struck`, is the share of false alarms to expect.
    """
    shown = context.shown(rows)
    real = context.train
    if len(real) > _REAL_ROWS:
        chosen = np.random.default_rng([context.seed, 1]).choice(len(real), _REAL_ROWS, replace=False)
        real = real.take(np.sort(chosen))
    verdicts: list[Verdict] = []
    measured: dict[str, float] = {}
    alarms = np.zeros(len(real), dtype=bool)
    skipped: tuple[str, ...] = ()
    for name, held_out in (("validation", context.validation), ("test", context.test)):
        radius = near_radius(context, context.settings.closeness, _distances(context, real, held_out))
        found = _found(name, context, shown, held_out, radius)
        verdicts += found
        measured[name] = int(np.logical_or.reduce([v.failed for v in found]).sum())
        alarms |= np.logical_or.reduce([v.failed for v in _found(name, context, real, held_out, radius)])
        skipped = unmeasured(context, radius)
    if len(real):
        measured["real_rows_struck"] = float(alarms.mean())
    return Outcome(tuple(verdicts), skipped=skipped, measured=measured)


def _found(name: str, context: Context, side: Side, held_out: Side, radius: float | None) -> list[Verdict]:
    rules = context.settings.closeness
    same = same_verdict("closeness", f"{name}, same", side, held_out)
    return [same, *near_verdicts("closeness", name, context.modality, side, held_out, rules, radius)]


def _distances(context: Context, real: Side, held_out: Side) -> np.ndarray | None:
    """Distance of each real row to the nearest held-out one, float32 (n,); None where texts are compared."""
    from evenly.features.neighbours import nearest_neighbours

    if context.modality == "text" or not len(held_out):
        return None
    return nearest_neighbours(real.vectors, held_out.vectors, 1)[0][:, 0]
