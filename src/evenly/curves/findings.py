"""What curves came to, and what that says: means and spreads by step, and how much of the gain of a run's
rows plain copies bring as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evenly.curves.sources import MetricName, SourceName, Variant
from evenly.wording import decimal, sentence_list, signed_decimal

METRIC_LABELS: dict[MetricName, str] = {
    "error": "Error",
    "balanced_error": "Balanced error",
    "macro_f1": "Macro F1",
    "worst_class_error": "Worst-class error",
    "worst_group_error": "Worst-group error",
}
SOURCE_LABELS: dict[SourceName, str] = {
    "run": "rows of the run",
    "duplication": "duplication",
    "smote": "SMOTE",
    "fair_duplication": "fair duplication",
}
#: Gains below this are too small to ask what share of them others bring.
SMALL_GAIN = 0.01
#: Sources that cost nothing.
_CHEAP: tuple[SourceName, ...] = ("fair_duplication", "duplication", "smote")


@dataclass(frozen=True)
class Curve:
    """Scores of one classifier with rows of one source."""

    variant: Variant
    source: SourceName
    seeds: tuple[int, ...]
    #: Synthetic rows of each column; the first is 0.
    steps: tuple[int, ...]
    #: Float64 (seeds, steps).
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Over seeds, float64 (steps,)."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over seeds (n − 1), float64 (steps,); 0 with one seed."""
        if len(self.seeds) < 2:
            return np.zeros(len(self.steps))
        return np.asarray(self.values.std(axis=0, ddof=1))


@dataclass(frozen=True)
class Curves:
    """All curves of one metric, classifier by classifier."""

    metric: MetricName
    curves: tuple[Curve, ...]

    @property
    def variants(self) -> list[Variant]:
        """Classifiers in order."""
        return list(dict.fromkeys(curve.variant for curve in self.curves))

    @property
    def higher_is_better(self) -> bool:
        """Of the metric."""
        return self.metric == "macro_f1"

    def of(self, variant: Variant) -> list[Curve]:
        """The curves of a classifier, by source."""
        return [curve for curve in self.curves if curve.variant == variant]

    def curve(self, variant: Variant, source: SourceName) -> Curve:
        """One curve."""
        return next(curve for curve in self.of(variant) if curve.source == source)


def sentences(curves: Curves) -> Iterator[str]:
    """Say what the curves show at their last step, model by model."""
    for plain in curves.variants:
        if plain.regularised:
            continue
        strong = plain.model_copy(update={"regularised": True})
        sources = [curve.source for curve in curves.of(plain)]
        raw = float(curves.of(plain)[0].mean[0])
        ends = [
            f"{SOURCE_LABELS[source]} {spread_text(curves.curve(plain, source), -1)}, regularised "
            f"{spread_text(curves.curve(strong, source), -1)}"
            for source in sources
        ]
        raw_strong = float(curves.of(strong)[0].mean[0])
        yield (
            f"{plain.model}: {METRIC_LABELS[curves.metric].lower().replace('f1', 'F1')} {decimal(raw)} on "
            f"the training rows alone (regularised {decimal(raw_strong)}); with synthetic rows: "
            f"{'; '.join(ends)}."
        )
        if "run" in sources:
            yield from _share(curves, plain, strong, raw)


def _share(curves: Curves, plain: Variant, strong: Variant, raw: float) -> Iterator[str]:
    """Say how much of what the run's rows bring comes from copies, and from the penalty, as well."""
    sign = 1.0 if curves.higher_is_better else -1.0
    sources = [curve.source for curve in curves.of(plain)]
    ours = curves.curve(plain, "run")
    gain = sign * (float(ours.mean[-1]) - raw)
    spread = float(max(ours.deviation[-1], ours.deviation[0]))
    if gain <= max(spread, SMALL_GAIN):
        over = f"the spread over seeds ({decimal(spread)}) or " if len(ours.seeds) > 1 else ""
        yield (
            f"{plain.model}: the {ours.steps[-1]} rows of the run bring {signed_decimal(gain)}, no more than "
            f"{over}{decimal(SMALL_GAIN, 2)}: there is no gain that copies could match."
        )
        return
    shares: dict[str, float] = {}
    for source in (source for source in _CHEAP if source in sources):
        for variant in (plain, strong):
            curve = curves.curve(variant, source)
            # Where there are as many rows: other sources may reach further than the run's rows do.
            mean = float(curve.mean[curve.steps.index(ours.steps[-1])])
            suffix = " with the regularised classifier" if variant.regularised else ""
            shares[f"{SOURCE_LABELS[source]}{suffix}"] = sign * (mean - raw) / gain
    alone = float(curves.of(strong)[0].mean[0])
    shares["the regularised classifier without any row"] = sign * (alone - raw) / gain
    some = [f"{name} {share:.0%}" for name, share in shares.items() if share > 0]
    none = [name for name, share in shares.items() if share <= 0]
    yield (
        f"{plain.model}: {ours.steps[-1]} rows of the run bring {decimal(gain)}. Of that, at no cost, "
        + (sentence_list(some) if some else "nothing")
        + (f"; none of it: {sentence_list(none)}." if some and none else ".")
    )


def spread_text(curve: Curve, place: int) -> str:
    """Mean and standard deviation of a step; the mean alone for a single seed, which has no spread."""
    mean = decimal(float(curve.mean[place]))
    return mean if len(curve.seeds) < 2 else f"{mean} ± {decimal(float(curve.deviation[place]))}"
