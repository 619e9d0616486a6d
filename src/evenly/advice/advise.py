"""From the shape of the data to three techniques to try first, and those to leave; and how it is printed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenly.advice.costs import Cost
from evenly.advice.rules import BALANCED_RATIO, LEAVE, TRY, Rule
from evenly.advice.shape import DataShape
from evenly.console import listing, output_console, points
from evenly.params.recipes import Recipe
from evenly.wording import duration

if TYPE_CHECKING:
    from rich.console import Console

#: Techniques that advice names first.
FIRST = 3


@dataclass(frozen=True)
class Suggestion:
    """A technique to try, the rule that says so, and the rule's words about these data."""

    technique: str
    rule: Rule
    because: str


@dataclass(frozen=True)
class Warned:
    """Techniques to leave, the rule that says so, and the rule's words about these data."""

    techniques: tuple[str, ...]
    rule: Rule
    because: str

    @property
    def names(self) -> str:
        """The techniques, or the first of a family of them."""
        if self.rule.family and len(self.techniques) > 2:
            return f"{self.techniques[0]} and its relatives"
        return ", ".join(self.techniques)


@dataclass(frozen=True)
class Advice:
    """At most three techniques in their order, those that cannot be run, and those to leave."""

    first: tuple[Suggestion, ...]
    blocked: tuple[tuple[Suggestion, str], ...]
    leave: tuple[Warned, ...]

    @property
    def command(self) -> str | None:
        """The sweep that tries them; None where there is nothing to try."""
        if not self.first:
            return None
        techniques = " ".join(suggestion.technique for suggestion in self.first)
        return f"evenly sweep {techniques} --seeds 1..5"


def advise(
    shape: DataShape,
    recipes: Mapping[str, Recipe],
    obstacle: Callable[[str], str | None],
    tried: Collection[str] = (),
) -> Advice:
    """Apply the rules to the recipes of params.yaml.

    `obstacle` says for a technique why it cannot be run here, None where it can; techniques that have been
    `tried` are not advised once more.
    """
    needed = shape.ratio > BALANCED_RATIO or shape.smallest_group is not None
    warnings = [
        Warned(rule.concerned(recipes), rule, rule.because(shape))
        for rule in LEAVE
        if needed and rule.holds(shape)
    ]
    out = {*tried, *(name for warned in warnings for name in warned.techniques)}
    first: dict[str, Suggestion] = {}
    blocked: dict[str, tuple[Suggestion, str]] = {}
    for rule in TRY:
        if len(first) == FIRST:
            break
        if not rule.holds(shape):
            continue
        for technique in rule.preferred(recipes):
            if technique in {*first, *blocked, *out}:
                continue
            suggestion = Suggestion(technique, rule, rule.because(shape))
            reason = obstacle(technique)
            if reason is None:
                first[technique] = suggestion
                break
            blocked[technique] = suggestion, reason
    leave = tuple(warned for warned in warnings if warned.techniques)
    return Advice(tuple(first.values()), tuple(blocked.values()), leave)


def print_advice(
    title: str,
    shape: DataShape,
    advice: Advice,
    costs: Mapping[str, Cost],
    seen: Sequence[str] = (),
    design: str | None = None,
    console: Console | None = None,
) -> None:
    """Print what the data are like, what runs have `seen`, what to try at which cost, and what to leave;
    `design` says how to split better.
    """
    from rich.markup import escape

    console = console or output_console()
    console.print(f"\n[bold]{escape(title)}[/bold] · {escape(_described(shape))}\n")
    if seen:
        console.print("[bold]What runs have shown[/bold]")
        console.print(points(seen))
        console.print()
    if design:
        console.print(f"{escape(design)}\n")
    if advice.first:
        console.print(f"[bold]Try {'next' if seen else 'first'}[/bold]")
        rows = []
        for place, one in enumerate(advice.first, start=1):
            cost = _cost(costs.get(one.technique))
            rows.append((f"{place}", f"[bold]{escape(one.technique)}[/bold] · {escape(cost)}"))
            rows.append(("", f"{escape(one.because)} [dim]{escape(one.rule.source)}[/dim]\n"))
        console.print(listing(rows, first_style="bold"))
    else:
        console.print(
            "What the rules would have you try has been run. `evenly sweep all --dry-run` lists the rest.\n"
        )
    for one, why in advice.blocked:
        console.print(f"[bold]{escape(one.technique)}[/bold] would be among them, but: {escape(why)}")
        console.print(f"{escape(one.because)} [dim]{escape(one.rule.source)}[/dim]\n")
    if advice.leave:
        console.print("[bold]Leave for now[/bold]")
        rows = []
        for warned in advice.leave:
            rows.append(("•", f"[bold]{escape(warned.names)}[/bold]"))
            rows.append(("", f"{escape(warned.because)} [dim]{escape(warned.rule.source)}[/dim]"))
        console.print(listing(rows))
        console.print()
    if advice.command:
        console.print(
            f"[bold]{escape(advice.command)}[/bold]{escape(_in_all(advice, costs))}\n", soft_wrap=True
        )


def _described(shape: DataShape) -> str:
    parts = [
        shape.modality,
        f"{shape.rows:,} training rows",
        f"{len(shape.counts)} classes of {shape.smallest:,} to {shape.largest:,}",
        f"ratio {shape.ratio:.3g}",
    ]
    if shape.dimensions is not None:
        parts.append(f"{shape.dimensions} columns")
    if shape.ultra_minorities:
        parts.append(f"ultra-minorities: {len(shape.ultra_minorities)}")
    if shape.smallest_group is not None:
        parts.append(f"smallest group {shape.smallest_group:,}")
    return " · ".join([*parts, shape.model])


def _cost(cost: Cost | None) -> str:
    """Say what a run costs."""
    if cost is None or cost.seconds is None:
        time = "time unknown before the first run"
    else:
        time = f"about {duration(cost.seconds)} a run ({cost.basis})"
    if cost is None or not cost.tokens:
        return time
    money = "at an unknown price" if cost.money is None else f"for {cost.money:.2f}"
    return f"{time}, {cost.tokens:,} tokens {money}"


def _in_all(advice: Advice, costs: Mapping[str, Cost]) -> str:
    """Say what the sweep takes, where all of it is known."""
    known = [costs[one.technique].seconds for one in advice.first if one.technique in costs]
    if len(known) < len(advice.first) or any(seconds is None for seconds in known):
        return ""
    total = 5 * sum(seconds for seconds in known if seconds is not None)
    return f"   about {duration(total)}, one run after the other"
