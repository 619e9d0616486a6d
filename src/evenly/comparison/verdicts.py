"""What a comparison says in words: sentences that the numbers carry, and no others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from evenly.comparison.findings import (
    ALPHA,
    FEWEST_SEEDS,
    Across,
    Comparison,
    Gain,
    Leaderboard,
    Standing,
)
from evenly.comparison.techniques import ARGMAX, BASELINE, MEASURES, metric_phrase
from evenly.wording import counted, decimal, sentence_list, signed_decimal

#: With fewer seeds than this, a comparison is told to be weak.
FEW_SEEDS = 5
#: No more seeds than this are advised.
MANY_SEEDS = 100
#: With fewer data sets than this, Wilcoxon's test cannot reach 5%, whatever the scores.
FEW_DATA_SETS = 6


def named(name: str) -> str:
    """What a technique is called within a sentence."""
    return "no balancing" if name == BASELINE else name


def relation(gain: Gain) -> str:
    """Say how a technique stands to its reference: `beats no balancing by .053 (95% .031 to .075)`."""
    reference = named(gain.reference)
    if gain.differs:
        verb = "beats" if gain.mean > 0 else "falls behind"
        return f"{verb} {reference} by {decimal(abs(gain.mean))} {_magnitude(gain)}"
    if not gain.wins and not gain.losses:
        return f"is the same as {reference}"
    side = "above" if gain.mean > 0 else "below"
    if not gain.known:
        return f"is {decimal(abs(gain.mean))} {side} {reference} in every seed, with an unknown spread"
    if gain.seeds < FEWEST_SEEDS:
        return f"is {decimal(abs(gain.mean))} {side} {reference} over too few seeds ({gain.seeds})"
    if not gain.low <= 0 <= gain.high:
        return (
            f"is {decimal(abs(gain.mean))} {side} {reference} {_magnitude(gain)}, which does not stand "
            f"up to the number of comparisons (Holm p {p_phrase(gain.holm_p)})"
        )
    return (
        f"cannot be told from {reference} ({signed_decimal(gain.mean)}, 95% {signed_decimal(gain.low)} to "
        f"{signed_decimal(gain.high)})"
    )


def verdicts(board: Leaderboard) -> list[str]:
    """Say what a leaderboard shows, the most important first."""
    metric = MEASURES[board.metric].label
    if board.baseline is None:
        return [
            f"There is no run of `none` on {board.field.title}: without it nothing can be said about "
            "balancing. `evenly sweep baseline` makes it."
        ]
    if board.seeds < 2:
        return [
            "One seed says nothing: with another split and initialisation the order may be another. Run "
            "`evenly sweep` with --seeds 1..5 or more; the scores below are no more than examples."
        ]
    tested = [s for s in board.standings if s.against_baseline is not None]
    if not tested:
        return [f"{metric}: nothing but no balancing has been run over two or more of its seeds."]
    if board.seeds < FEWEST_SEEDS:
        return [
            "Two seeds give no verdict: they say next to nothing of the spread. Run `evenly sweep` with "
            "--seeds 1..5 or more.",
            *_remarks(board),
        ]
    return [_summary(board, tested), *_rival_sentence(board), *_each(board, tested), *_remarks(board)]


def _summary(board: Leaderboard, tested: Sequence[Standing]) -> str:
    best = _best(board)
    if best is None or best.against_baseline is None:
        return _nothing_found(board, tested)
    lead = f"By {metric_phrase(board.metric)}, {best.title} {relation(best.against_baseline)}."
    if board.rival is None:
        return lead
    above = [
        s.title
        for s in tested
        if not s.cheap and s.against_rival and s.against_rival.differs and s.against_rival.mean > 0
    ]
    if above:
        verb = "beats" if len(above) == 1 else "beat"
        return f"{lead} {sentence_list(above)} {verb} even the best cheap rival."
    rival = board.of(board.rival)
    return (
        f"{lead} No technique that makes rows or trains longer is shown to beat the best cheap rival, "
        f"{rival.title} ({decimal(rival.mean)})."
    )


def _nothing_found(board: Leaderboard, tested: Sequence[Standing]) -> str:
    """Say that nothing helps where a gain worth having is excluded, else what could not have been seen."""
    metric = metric_phrase(board.metric)
    gains = [s.against_baseline for s in tested if s.against_baseline and s.against_baseline.known]
    unknown = any(
        s.against_baseline and not s.against_baseline.known and s.against_baseline.mean > 0 for s in tested
    )
    where = f"{board.field.title}, whose mean is {decimal(board.of(BASELINE).mean)}"
    if unknown:
        return (
            f"Cannot tell: some runs do not say how far {metric} depends on the rows. Evaluate them again "
            "with this version."
        )
    if not gains:
        return f"Nothing helps: by {metric}, no alternative scores better than no balancing on {where}."
    if all(gain.high < board.worth for gain in gains):
        return (
            f"Nothing helps: by {metric}, none of the {counted(len(tested), 'alternative')} can gain "
            f"{decimal(board.worth, 3)} or more over no balancing on {where}."
        )
    most = max(gains, key=lambda gain: gain.high)
    half = float(np.median([(gain.high - gain.low) / 2 for gain in gains]))
    return (
        f"Cannot tell whether anything helps: by {metric}, no difference is shown on {where}, and one below "
        f"about {decimal(half)} could not have been seen (gains of up to {decimal(most.high)} are possible). "
        f"{_remedy(board, half, max(board.worth, max(gain.mean for gain in gains)))}"
    )


def _remedy(board: Leaderboard, half: float, wanted: float) -> str:
    """Say how many seeds, or else rows, would show a difference as large as `wanted`."""
    now, share = board.seeds, board.design.test_share
    if half <= wanted:
        return "The largest of them does not stand up to the number of comparisons: try fewer, on new seeds."
    need = (half / wanted) ** 2
    if board.design.kind == "redrawn":
        # Half-widths shrink with the seeds as t · √(1/n + share).
        def relative(n: int) -> float:
            return float(stats.t.ppf(0.975, n - 1)) * math.sqrt(1 / n + share)

        for seeds in range(now + 1, MANY_SEEDS + 1):
            if relative(seeds) / relative(now) <= wanted / half:
                return f"About {counted(seeds - now, 'more seed')} would show one of {decimal(wanted)}."
        few = "" if board.field.runs[0].folds else " Cross-validation (`split: {folds: 5}`) tests all rows."
        return (
            f"More seeds alone will not show one of {decimal(wanted)}: it takes about {math.ceil(need)} "
            f"times as many rows.{few}"
        )
    return f"To show one of {decimal(wanted)} takes about {math.ceil(need)} times as many test rows."


def _best(board: Leaderboard) -> Standing | None:
    """The first on the leaderboard of those that beat no balancing: the one that the summary names."""
    gains = ((standing, standing.against_baseline) for standing in board.standings)
    return next((standing for standing, gain in gains if gain and gain.differs and gain.mean > 0), None)


def _rival_sentence(board: Leaderboard) -> Iterator[str]:
    if board.rival is None:
        yield (
            "No cheap rival could be chosen: the runs tell no decision rules on validation rows. Evaluate "
            "them again with this version."
        )
        return
    rival = board.of(board.rival)
    gain = rival.against_baseline
    choice = f"The best cheap rival, chosen on validation rows, is {rival.title}"
    # The summary has told how the best of all stands to no balancing.
    yield f"{choice}." if gain is None or rival is _best(board) else f"{choice}; it {relation(gain)}."


def _each(board: Leaderboard, tested: Sequence[Standing]) -> Iterator[str]:
    """One sentence for each technique that is not a rule: against no balancing, what is its own in that, and
    against the rival.
    """
    for standing in tested:
        if standing.is_rule or standing.title == board.rival or standing.against_baseline is None:
            continue
        sentence = f"{standing.title} {relation(standing.against_baseline)}"
        same = standing.against_same_rule
        if standing.rule != ARGMAX and same is not None:
            sentence += f"; under the same rule, {standing.name} {relation(same)}"
        if standing.against_rival is not None:
            sentence += f"; it {relation(standing.against_rival)}"
        yield sentence + "." + _where(standing)


def _where(standing: Standing) -> str:
    """Say which classes gain, where the seeds agree on it; the runs hold scores by class without rules."""
    gains = standing.classes
    if gains is None:
        return ""
    agreed = [
        f"{signed_decimal(group.gain)} in the {group.name}"
        for group in gains.by_size
        if abs(group.gain) >= 0.005 and (group.won == 0 or group.lost == 0)
    ]
    decided = "" if standing.rule == ARGMAX else ", both without a rule"
    return f" F1 by class size{decided}: {sentence_list(agreed)}." if agreed else ""


def _remarks(board: Leaderboard) -> Iterator[str]:
    yield from _other_inputs(board)
    worse = [
        s for s in board.standings if s.log_loss is not None and s.log_loss.differs and s.log_loss.mean < 0
    ]
    if worse:
        names = [f"{s.title} (log loss +{decimal(-s.log_loss.mean)})" for s in worse if s.log_loss]
        yield f"Probabilities pay for it: calibration gets worse with {sentence_list(names)}."
    gains = [s.against_baseline for s in board.standings if s.against_baseline and s.against_baseline.known]
    if gains and _best(board) is not None:
        half = float(np.median([(gain.high - gain.low) / 2 for gain in gains]))
        yield (
            f"With {board.seeds} seeds, a difference below about {decimal(half)} could not have been seen: "
            "not to be told apart is not being equal."
        )
    if FEWEST_SEEDS <= board.seeds < FEW_SEEDS:
        yield f"{board.seeds} seeds are few; five or more are the custom, and cost little more."
    if (folds := board.field.runs[0].folds) and board.design.kind != "folds":
        yield (
            f"The seeds are no whole repetitions of {folds} folds: run 1..{folds}, 1..{2 * folds} and so on, "
            "which test every row as often and show smaller differences."
        )
    paid = [s for s in board.standings if s.gain_per_money is not None]
    for standing in paid:
        yield (
            f"{standing.title} costs {standing.money:.4g} and {standing.tokens:,.0f} tokens a run: "
            f"{signed_decimal(standing.gain_per_money or 0.0)} a unit of money."
        )
    if board.field.test_given and not all(run.resamples for run in board.field.runs):
        yield (
            "The test split is the data set's own, and some runs do not say how far their scores depend on "
            "its rows: without that there is no verdict. Evaluate them again with this version."
        )
    if board.field.replaced:
        yield (
            f"{counted(board.field.replaced, 'run')} with the same settings and seed as a later one "
            f"{'was' if board.field.replaced == 1 else 'were'} left out."
        )


def _other_inputs(board: Leaderboard) -> Iterator[str]:
    """Say of techniques whose texts are read otherwise than without balancing that not they alone differ."""
    assert board.field.baseline is not None
    forms = {name: {run.reads for run in t.runs.values()} for name, t in board.field.techniques.items()}
    plain = forms[board.field.baseline.name]
    names = [
        name
        for name, technique in board.field.techniques.items()
        if forms[name] == {"vectors"}
        and all(
            run.settings.get(f"models.{run.model}.reads", "auto") == "auto" for run in technique.runs.values()
        )
    ]
    if plain & {"terms", "both"} and names:
        verb = "reads" if len(names) == 1 else "read"
        yield (
            f"{sentence_list(names)} {verb} texts as vectors, no balancing as terms: the new rows have no "
            "text, and the difference is not the technique's alone. A run of no balancing with "
            "`-S models.logistic_regression.reads=vectors` tells the two apart."
        )


def verdicts_over_data_sets(across: Across) -> list[str]:
    """Say what holds over several data sets."""
    number = len(across.titles)
    sentences = []
    ranks = across.ranks
    if ranks is not None:
        finding = "differ" if ranks.p_value < ALPHA else "do not differ"
        sentences.append(
            f"Over {number} data sets the techniques {finding} in rank "
            f"(Friedman p {p_phrase(ranks.p_value)}); mean ranks that are less than "
            f"{ranks.critical_difference:.2f} apart do not differ at 5% (Nemenyi)."
        )
    if number < FEW_DATA_SETS:
        sentences.append(
            f"{number} data sets are too few for Wilcoxon's test to call any difference one: that takes "
            f"{FEW_DATA_SETS}."
        )
    for row in across.rows:
        if row.holm_p is None:
            continue
        record = f"{row.wins} won, {row.ties} tied, {row.losses} lost"
        if row.holm_p < ALPHA:
            finding = "beats" if row.wins > row.losses else "falls behind"
        else:
            finding = "cannot be told from"
        sentences.append(f"{row.name} {finding} no balancing ({record}; Holm p {p_phrase(row.holm_p)}).")
    return sentences


def headline(comparison: Comparison) -> str:
    """Tell a comparison in a few sentences."""
    boards = comparison.leaderboards
    if not boards:
        return "Nothing to compare: no run has finished."
    if len(boards) == 1:
        return verdicts(boards[0])[0]
    across = verdicts_over_data_sets(comparison.across)[:1] if comparison.across else []
    best = [f"{board.field.title}: {_best_of(board)}" for board in boards]
    return " ".join([*across, f"The best on each: {'; '.join(best)}."])


def _best_of(board: Leaderboard) -> str:
    best = _best(board)
    if best is None or best.against_baseline is None:
        return "nothing is shown to beat no balancing"
    return f"{best.title} ({signed_decimal(best.against_baseline.mean)})"


def _magnitude(gain: Gain) -> str:
    """The interval of the size of a gain in brackets: both ends lose their sign where it is a loss."""
    low, high = (gain.low, gain.high) if gain.mean > 0 else (-gain.high, -gain.low)
    return f"(95% {decimal(low)} to {decimal(high)})"


def p_phrase(value: float) -> str:
    """A p-value as papers print it."""
    return "< .001" if value < 0.001 else decimal(value)
