"""Findings about an installation and its project, each with what mends it; `project.examine` gathers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    #: What it is about, in a word or two.
    area: str
    #: Whether it works, may surprise, or stops work.
    status: Status
    #: What was found, in one sentence without a full stop.
    says: str
    #: What mends it; empty where there is nothing to mend, or `says` says so already.
    fix: str = ""


def ok(area: str, says: str, fix: str = "") -> Finding:
    """A finding that works."""
    return Finding(area, "ok", says, fix)


def warning(area: str, says: str, fix: str = "") -> Finding:
    """A finding that may surprise."""
    return Finding(area, "warning", says, fix)


def broken(area: str, says: str | Exception, fix: str = "") -> Finding:
    """A finding that stops work; an error says it in its own words."""
    return Finding(area, "broken", str(says).rstrip("."), fix)


def worst(findings: Sequence[Finding]) -> Status:
    """Give the worst status of all."""
    statuses = {finding.status for finding in findings}
    return "broken" if "broken" in statuses else "warning" if "warning" in statuses else "ok"
