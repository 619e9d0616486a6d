"""What a search shows, in words: the gain that may be claimed, and the remark when there is none."""

from __future__ import annotations

from dataclasses import dataclass

from evenly.comparison.findings import ALPHA
from evenly.evaluation.intervals import Interval
from evenly.evaluation.metrics import HEADLINE
from evenly.tuning.search import Confirmed, Searched
from evenly.wording import decimal, signed_decimal


@dataclass(frozen=True)
class Result:
    """A search with everything that is known of its best recipe.

    Attributes
    ----------
    metric, seeds
        What was searched for, and with which seeds.
    searched
        The trials.
    apparent, corrected
        Gain of the best over the recipe as it is on the rows that chose it, and of the choice on rows that it
        did not see; None where the recipe as it is is the best.
    confirmed
        The two on new seeds; None where that was not asked for.
    """

    metric: str
    seeds: tuple[int, ...]
    searched: Searched
    apparent: Interval | None = None
    corrected: Interval | None = None
    confirmed: Confirmed | None = None

    @property
    def holds(self) -> bool:
        """Whether the best is better than the recipe as it is by more than chance, choice included."""
        if self.confirmed is not None and self.confirmed.gain is not None:
            gain = self.confirmed.gain
            return gain.low > 0 and gain.p_value < ALPHA
        return self.corrected is not None and self.corrected.low > 0


def verdicts(result: Result) -> list[str]:
    """Say what a search shows, the most important first."""
    searched, best = result.searched, result.searched.best
    label = HEADLINE[result.metric].label
    start = decimal(searched.start.value or 0.0)
    none = "" if searched.none is None else f"; no balancing has {decimal(searched.none)}"
    number = len(searched.with_value) - 1
    above = searched.none is not None and searched.none > (best.value or 0.0)
    if above:
        none += ", more than any of them: balancing may not be what this data needs"
    if best.number == 0:
        return [
            f"Nothing is better than the recipe as it is: {label} on validation rows {start}, the best of "
            f"the {number} others {_best_other(searched)}{none}."
        ]
    told = [
        f"Best of {number}: trial {best.number}, {label} on validation rows {decimal(best.value or 0.0)}; "
        f"the recipe as it is has {start}{none}."
    ]
    told.append(_remark(result))
    if result.apparent is not None:
        told.append(
            f"On the rows that chose it, the gain is {_gain(result.apparent)}: too good, because the best of "
            f"{number} is also the luckiest."
        )
    if result.corrected is not None:
        told.append(
            f"With the choice repeated in every resample of these rows and judged on those left out, it is "
            f"{_gain(result.corrected)}."
        )
    return told


def _remark(result: Result) -> str:
    """The one sentence that says what may be claimed."""
    confirmed = result.confirmed
    if confirmed is not None and confirmed.gain is None:
        return (
            f"It could not be confirmed: fewer than two new seeds have finished. {confirmed.reason}".strip()
            + (" " + _by_correction(result))
        )
    if confirmed is None or confirmed.gain is None:
        return _by_correction(result)
    gain = confirmed.gain
    where = f"on {gain.pairs} new seeds it gains {signed_decimal(gain.mean)}"
    if gain.low == gain.high:
        same = "nothing" if gain.mean == 0 else f"{signed_decimal(gain.mean)} in each"
        return (
            f"Inside the noise: on {gain.pairs} new seeds it gains {same}, so that nothing says that it is "
            "better than the recipe as it is."
        )
    ends = f"(95% {decimal(gain.low)} to {decimal(gain.high)})"
    if result.holds:
        return f"It holds up: {where} {ends}."
    if gain.high < 0:
        return f"It does not hold up: {where} {ends}; keep the recipe as it is."
    return (
        f"Inside the noise: {where} {ends}, which may as well be nothing; keep the recipe as it is, or "
        "confirm on more seeds."
    )


def _by_correction(result: Result) -> str:
    if result.corrected is None:
        return "Nothing is known of its noise."
    if result.holds:
        return (
            f"Beyond the noise of these validation rows: {_gain(result.corrected)} after correction for the "
            "choice; --confirm 3 tells whether new seeds agree."
        )
    return (
        f"Inside the noise: after correction for the choice the gain is {_gain(result.corrected)}, which may "
        "as well be nothing."
    )


def _best_other(searched: Searched) -> str:
    values = [trial.value for trial in searched.trials if trial.value is not None]
    return decimal(max(values)) if values else "unknown"


def _gain(interval: Interval) -> str:
    return f"{signed_decimal(interval.value)} (95% {decimal(interval.low)} to {decimal(interval.high)})"
