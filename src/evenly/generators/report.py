"""What metrics/generate.json says about a generation, without timings, which differ from run to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evenly.generators.collapse import ClassOutcome, outcome_json, outcome_sentences
from evenly.generators.fitting import Fit
from evenly.generators.language_model import Written
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable

#: What the criterion of each generator is, in words.
CRITERIA = {
    "image_gan": "mmd",
    "image_vae": "negative_elbo",
    "table_gan": "mmd",
    "table_vae": "negative_elbo",
    "language_model": "nll",
}
_STOPS = {
    "no_progress": "Training stopped early: the criterion got no better.",
    "collapsed": "Training stopped early: the generated rows had collapsed at several checkpoints in a row.",
}


def generation_metrics(
    plan: GeneratePlan,
    real: SampleTable,
    made: Mapping[str, int],
    fit: Fit | None,
    held_out: int,
    outcomes: Mapping[str, ClassOutcome],
) -> dict[str, Any]:
    """Counts, training and outcome.

    Parameters
    ----------
    plan
        What was asked.
    real
        Real training rows.
    made
        Generated rows per class.
    fit
        Of the generator; None where nothing was trained.
    held_out
        Rows that only judged.
    outcomes
        By class.
    """
    asked = {name: count for name, count in plan.counts.items() if count}
    classes = {
        name: {"real": real.counts[name], "asked": count, "made": made.get(name, 0)}
        | (outcome_json(outcomes[name]) if name in outcomes else {})
        for name, count in asked.items()
    }
    remarks = outcome_sentences(dict(outcomes))
    if fit is not None and fit.stop in _STOPS:
        remarks.insert(0, _STOPS[fit.stop])
    flagged = sorted(name for name, found in outcomes.items() if found.outcome != "ok")
    return {
        "kind": plan.kind,
        "generator": plan.generator.name,
        "asked": sum(asked.values()),
        "made": sum(made.values()),
        "classes": classes,
        "fallbacks": dict(plan.fallbacks),
        "training": None if fit is None else _training(plan, fit, len(real) - held_out, held_out),
        "flagged": flagged,
        "remarks": remarks,
    }


def text_metrics(written: Mapping[str, Written]) -> dict[str, Any]:
    """How much of what a language model wrote is copied.

    `memorised_share`: of all texts written, those equal to a training text, which are turned away; `copies`:
    rows that were kept all the same, because nothing new came.
    """
    drawn = sum(made.drawn for made in written.values())
    memorised = sum(made.memorised for made in written.values())
    return {
        "written": drawn,
        "memorised_share": round(memorised / drawn, 4) if drawn else None,
        "copies": int(sum(np.sum(made.copies) for made in written.values())),
    }


def _training(plan: GeneratePlan, fit: Fit, rows: int, held_out: int) -> dict[str, Any]:
    at_best = min(fit.curve) if fit.curve else None
    return {
        "rows": rows,
        "held_out": held_out,
        "steps": fit.steps,
        "best_step": fit.best_step,
        "stop": fit.stop,
        "criterion": CRITERIA[plan.generator.name] if fit.curve else None,
        "first": round(fit.curve[0], 6) if fit.curve else None,
        "best": None if at_best is None else round(at_best, 6),
        "last": round(fit.curve[-1], 6) if fit.curve else None,
    }
