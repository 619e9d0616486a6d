"""Compares runs: leaderboards and paired tests within each data set, ranks over data sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from evenly.comparison.findings import (
    Across,
    ClassGains,
    Comparison,
    Failure,
    Gain,
    Leaderboard,
    OverDataSets,
    Reading,
    Standing,
    class_gains,
)
from evenly.comparison.statistics import (
    PairedDifference,
    estimate,
    friedman,
    holm,
    wilcoxon_signed_rank,
)
from evenly.comparison.techniques import BASELINE, MEASURES, Field, Technique, direction, fields
from evenly.experiments.runs import Run

#: The smallest difference that is of interest, unless one is asked for.
WORTH = 0.01


def compare(
    runs: Iterable[Run],
    metric: str = "macro_f1",
    failures: Sequence[Failure] = (),
    worth: float = WORTH,
) -> Comparison:
    """Compare runs of any recipes, models, data sets and seeds.

    Parameters
    ----------
    runs
        Those that have finished.
    metric
        One of `evenly.comparison.techniques.MEASURES`.
    failures
        Runs that should have been among them.
    worth
        The smallest difference that is of interest, above 0: 'nothing helps' is said only where a gain as
        large as this is excluded.
    """
    boards = tuple(leaderboard(field, metric, worth) for field in fields(runs))
    return Comparison(metric, boards, over_data_sets(boards, metric), tuple(failures))


def leaderboard(field: Field, metric: str, worth: float = WORTH) -> Leaderboard:
    """Rank and test the techniques of one data set and model."""
    sign = direction(metric)
    baseline = field.baseline
    rival = field.best_rival(metric)
    techniques = field.read_out(metric)
    planned = {rival.title} if rival else set()
    from_baseline = _gains(field, [(t, baseline) for t in techniques], metric, planned)
    from_rival = _gains(
        field, [(t, rival) for t in techniques], metric, _scoring_as(baseline, techniques, metric)
    )
    in_log_loss = _gains(field, [(t, baseline) for t in techniques], "nll")
    readings = _readings(field, metric)
    ranks = _mean_ranks(techniques, metric, sign)
    standings = []
    for technique in techniques:
        scores = technique.values(metric)
        if not scores:
            continue
        spread = _mean_with_spread(field, technique, metric, scores)
        low, high = _within(spread.low, spread.high, metric)
        runs = list(technique.runs.values())
        read = () if technique.is_rule else readings[technique.name]
        same_rule = next((one.gain for one in read if one.rule == technique.rule), None)
        standings.append(
            Standing(
                name=technique.title if technique.is_rule else technique.name,
                title=technique.title,
                rule=technique.rule,
                cheap=technique.cheap,
                is_rule=technique.is_rule,
                seeds=tuple(technique.seeds),
                scores=scores,
                mean=spread.mean,
                low=low,
                high=high,
                rank=ranks.get(technique.title),
                validation=technique.validation(metric),
                metrics={
                    name: _mean(list(values.values()))
                    for name in MEASURES
                    if (values := technique.values(name))
                },
                against_baseline=from_baseline.get(technique.title),
                against_rival=from_rival.get(technique.title),
                against_same_rule=same_rule,
                log_loss=in_log_loss.get(technique.title),
                readings=read,
                gap=None if technique.is_rule else _gap(runs),
                added_rows=_mean([run.added_rows for run in runs]),
                tokens=_mean([run.tokens for run in runs]),
                money=_known_mean([run.money for run in runs]),
                making_seconds=_known_mean([run.making_seconds for run in runs]),
                fit_seconds=_known_mean([run.fit_seconds for run in runs]),
                classes=_classes(technique, baseline),
            )
        )
    standings.sort(key=lambda standing: (-sign * standing.mean, standing.name))
    design = field.design(baseline.seeds if baseline else techniques[0].seeds)
    return Leaderboard(field, metric, design, worth, rival.title if rival else None, tuple(standings))


def _gains(
    field: Field,
    pairs: Sequence[tuple[Technique, Technique | None]],
    metric: str,
    planned: Collection[str] = (),
) -> dict[str, Gain]:
    """Compare techniques with their references, by title; Holm's adjustment is over these comparisons.

    Two kinds do not count. The `planned` ones are not adjusted: the best cheap rival is chosen on validation
    rows, so that its comparison with no balancing is a single one, settled before the test rows are opened.
    And what ties in every seed, as a temperature does in what is decided, could not have found anything.
    """
    sign = direction(metric)
    gains: dict[str, Gain] = {}
    for technique, reference in pairs:
        if reference is None or technique.title == reference.title:
            continue
        scores, base = technique.values(metric), reference.values(metric)
        seeds = [seed for seed in scores if seed in base]
        if len(seeds) < 2:
            continue
        difference = sign * np.array([scores[seed] - base[seed] for seed in seeds])
        found = _estimated(field, technique, reference, metric, seeds, difference)
        ties = np.isclose(difference, 0, atol=1e-9)
        gains[technique.title] = Gain(
            reference=reference.title,
            mean=found.mean,
            low=found.low,
            high=found.high,
            p_value=found.p_value,
            holm_p=found.p_value,
            wins=int(((difference > 0) & ~ties).sum()),
            ties=int(ties.sum()),
            losses=int(((difference < 0) & ~ties).sum()),
        )
    tested = {
        name: gain.p_value
        for name, gain in gains.items()
        if name not in planned and (gain.wins or gain.losses)
    }
    adjusted = dict(zip(tested, holm(list(tested.values())).tolist(), strict=True))
    return {name: replace(gain, holm_p=adjusted.get(name, gain.p_value)) for name, gain in gains.items()}


def _mean_with_spread(
    field: Field, technique: Technique, metric: str, scores: Mapping[int, float]
) -> PairedDifference:
    """The mean of scores by seed with its interval, or the score on all rows where seeds are folds."""
    design, seeds = field.design(scores), list(scores)
    whole = technique.pooled(metric, seeds) if design.kind == "folds" else None
    drawn = whole.drawn if whole else technique.drawn("test", metric, seeds)
    return estimate(list(scores.values()), design, drawn, whole.value if whole else None)


def _estimated(
    field: Field,
    technique: Technique,
    reference: Technique,
    metric: str,
    seeds: Sequence[int],
    difference: np.ndarray,
) -> PairedDifference:
    """The mean difference (n,) of two techniques over seeds, or that on all rows where seeds are folds."""
    sign, design = direction(metric), field.design(seeds)
    if design.kind == "folds":
        ours, theirs = (one.pooled(metric, seeds) for one in (technique, reference))
        if ours is not None and theirs is not None:
            drawn = sign * (ours.drawn - theirs.drawn)
            return estimate(difference, design, drawn, sign * (ours.value - theirs.value))
    rows, others = (one.drawn("test", metric, seeds) for one in (technique, reference))
    return estimate(difference, design, None if rows is None or others is None else rows - others)


def _readings(field: Field, metric: str) -> dict[str, tuple[Reading, ...]]:
    """Every technique under every rule against no balancing under the same; Holm is over all of them."""
    techniques = [t.with_rule(rule) for t in field.techniques.values() for rule in t.rules]
    baseline = field.baseline
    pairs = [(t, baseline.with_rule(t.rule) if baseline else None) for t in techniques]
    gains = _gains(field, pairs, metric)
    found: dict[str, list[Reading]] = {}
    for technique in techniques:
        if scores := technique.values(metric):
            found.setdefault(technique.name, []).append(
                Reading(
                    technique.rule,
                    _mean_with_spread(field, technique, metric, scores).mean,
                    technique.validation(metric),
                    gains.get(technique.title),
                )
            )
    return {name: tuple(found.get(name, ())) for name in field.techniques}


def _scoring_as(baseline: Technique | None, techniques: Sequence[Technique], metric: str) -> set[str]:
    """Name the baseline and what scores the same in every seed: against the rival they are one comparison."""
    if baseline is None:
        return set()
    scores = baseline.values(metric)
    return {technique.title for technique in techniques if technique.values(metric) == scores}


def _mean_ranks(techniques: Sequence[Technique], metric: str, sign: float) -> dict[str, float]:
    tables = {technique.title: technique.values(metric) for technique in techniques}
    tables = {name: scores for name, scores in tables.items() if scores}
    seeds = sorted(set.intersection(*(set(scores) for scores in tables.values()))) if tables else []
    if not seeds:
        return {}
    values = np.array([[sign * scores[seed] for seed in seeds] for scores in tables.values()])
    ranks = stats.rankdata(-np.round(values, 9), axis=0).mean(axis=1)
    return dict(zip(tables, ranks.tolist(), strict=True))


def _gap(runs: Sequence[Run]) -> float | None:
    gaps = [run.scores.get("gap", {}).get("train_minus_test", {}).get("macro_f1") for run in runs]
    return _known_mean(gaps)


def _classes(technique: Technique, baseline: Technique | None) -> ClassGains | None:
    if baseline is None or technique.is_rule or technique.name == BASELINE:
        return None
    seeds = [seed for seed in technique.seeds if seed in baseline.runs]
    pairs = [(technique.runs[seed].classes, baseline.runs[seed].classes) for seed in seeds]
    return class_gains(pairs) if pairs and all(a and b for a, b in pairs) else None


def _within(low: float, high: float, metric: str) -> tuple[float, float]:
    """Cut an interval to what the metric can be: shares lie between 0 and 1, losses above 0."""
    return max(low, 0.0), high if metric in ("nll", "brier") else min(high, 1.0)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _known_mean(values: Sequence[float | None]) -> float | None:
    """Mean where all are known."""
    known = [value for value in values if value is not None]
    return _mean(known) if known and len(known) == len(values) else None


def over_data_sets(boards: Sequence[Leaderboard], metric: str) -> Across | None:
    """Compare the techniques that all leaderboards have; None with one board, or without a baseline.

    What scores as no balancing everywhere, as a temperature does in what is decided, would only share its
    ranks, and is left out.
    """
    shared = [name for name in _names(boards) if all(name in _names([board]) for board in boards)]
    if len(boards) < 2 or BASELINE not in shared:
        return None
    sign = direction(metric)
    means = {name: [board.of(name).mean for board in boards] for name in shared}
    shared = [name for name in shared if name == BASELINE or means[name] != means[BASELINE]]
    if len(shared) < 2:
        return None
    means = {name: means[name] for name in shared}
    signed = {name: [sign * value for value in values] for name, values in means.items()}
    table = np.round(np.array(list(signed.values())), 9)
    ranks = dict(zip(signed, stats.rankdata(-table, axis=0).mean(axis=1).tolist(), strict=True))
    others = [name for name in shared if name != BASELINE]
    p_values = {name: wilcoxon_signed_rank(signed[name], signed[BASELINE]) for name in others}
    adjusted = dict(zip(others, holm(list(p_values.values())).tolist(), strict=True))
    rows = []
    for name in shared:
        difference = np.round(np.subtract(signed[name], signed[BASELINE]), 9)
        wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
        rows.append(
            OverDataSets(
                name=name,
                means=tuple(means[name]),
                rank=ranks[name],
                wins=wins,
                ties=len(boards) - wins - losses,
                losses=losses,
                wilcoxon_p=p_values.get(name),
                holm_p=adjusted.get(name),
            )
        )
    rows.sort(key=lambda row: (row.rank, row.name))
    titles = tuple(board.field.title for board in boards)
    return Across(titles, tuple(rows), friedman(signed) if len(shared) > 2 else None)


def _names(boards: Sequence[Leaderboard]) -> list[str]:
    return list(dict.fromkeys(standing.name for board in boards for standing in board.standings))
