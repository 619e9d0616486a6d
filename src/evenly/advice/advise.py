"""From the shape of the data to three techniques to try first, and those to leave."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from evenly.advice.rules import BALANCED_RATIO, LEAVE, TRY, Rule
from evenly.advice.shape import DataShape

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


@dataclass(frozen=True)
class Advice:
    """What to try and what to leave.

    Attributes
    ----------
    first
        At most three techniques, in the order in which to try them.
    blocked
        Techniques that would be among them, and why they cannot be run.
    leave
        Techniques to leave.
    """

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
    recipes: Collection[str],
    obstacle: Callable[[str], str | None],
    tried: Collection[str] = (),
) -> Advice:
    """Apply the rules.

    Parameters
    ----------
    shape
        Of the data.
    recipes
        Names of those in params.yaml.
    obstacle
        Says for a technique why it cannot be run here, None where it can.
    tried
        Techniques that have been run, by how they are written on the command line: they are not advised once
        more.
    """
    needed = shape.ratio > BALANCED_RATIO or shape.smallest_group is not None
    leave = [_warned(rule, shape, recipes) for rule in LEAVE if needed and rule.holds(shape)]
    avoided = {name for warned in leave for name in warned.techniques}
    first: dict[str, Suggestion] = {}
    blocked: dict[str, tuple[Suggestion, str]] = {}
    for rule in TRY:
        if len(first) == FIRST:
            break
        if not rule.holds(shape):
            continue
        for technique in rule.techniques:
            known = technique.partition("+")[0] in recipes
            if not known or technique in {*first, *blocked, *avoided, *tried}:
                continue
            suggestion = Suggestion(technique, rule, rule.because(shape))
            why = obstacle(technique)
            if why is None:
                first[technique] = suggestion
                break
            blocked[technique] = suggestion, why
    return Advice(
        tuple(first.values()), tuple(blocked.values()), tuple(warned for warned in leave if warned.techniques)
    )


def _warned(rule: Rule, shape: DataShape, recipes: Collection[str]) -> Warned:
    return Warned(tuple(name for name in rule.techniques if name in recipes), rule, rule.because(shape))
