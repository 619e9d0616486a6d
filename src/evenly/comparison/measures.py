"""What runs can be compared by: metrics of test rows, and the error of the worst group of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenly.evaluation.evaluate import RULE_METRICS
from evenly.evaluation.headline import HEADLINE, Metric

#: Of pairs of class and spurious attribute: runs on data with an attribute tell it, decision rules do not.
WORST_GROUP = "worst_group_error"
MEASURES: dict[str, Metric] = {name: HEADLINE[name] for name in RULE_METRICS} | {
    WORST_GROUP: Metric(
        "Worst-group error", False, "error of the pair of class and attribute that is predicted worst"
    )
}


def score_on_test(scores: Mapping[str, Any], measure: str) -> float | None:
    """A measure in the content of metrics/evaluate.json; None where the run does not tell it."""
    part = scores.get("groups", {}) if measure == WORST_GROUP else scores
    told = part.get("test", {}).get(measure)
    return None if told is None else float(told)
