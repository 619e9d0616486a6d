"""What an examination finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    area
        What it is about, in a word or two.
    status
        Whether it works, may surprise, or stops work.
    says
        What was found, in one sentence without a full stop.
    fix
        What mends it; empty where there is nothing to mend, or `says` says so already.
    """

    area: str
    status: Status
    says: str
    fix: str = ""

    def json(self) -> dict[str, str]:
        """As plain values."""
        return {"area": self.area, "status": self.status, "says": self.says, "fix": self.fix}


def worst(findings: Sequence[Finding]) -> Status:
    """Give the worst status of all."""
    found = {finding.status for finding in findings}
    return "broken" if "broken" in found else "warning" if "warning" in found else "ok"
