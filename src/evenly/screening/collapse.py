"""The check whether a producer repeats itself: classes whose candidates hardly vary. It rejects nothing."""

from __future__ import annotations

import numpy as np

from evenly.screening.context import Context, Outcome
from evenly.screening.diversity import variance_ratios


def collapsed(context: Context, rows: np.ndarray) -> Outcome:
    """Warn of classes whose candidates have a small share of the real rows' variance.

    Copies among candidates are rejected one by one elsewhere; this tells that the generator is at fault.
    """
    rules = context.settings.collapse
    train = context.train
    ratios = variance_ratios(
        context.shown(rows).vectors, context.codes(rows), train.vectors, train.samples.codes, rules.min_rows
    )
    flat = {context.classes[code]: ratio for code, ratio in ratios.items() if ratio < rules.variance}
    warnings = tuple(
        f"Class {name}: its candidates vary {ratio:.0%} as much as its real rows; their producer may have "
        "collapsed."
        for name, ratio in flat.items()
    )
    return Outcome(measured={"classes": len(ratios), "collapsed": sorted(flat)}, warnings=warnings)
