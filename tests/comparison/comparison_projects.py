"""Names of types of these tests."""

from __future__ import annotations

from collections.abc import Callable

from evenly.experiments.runs import Run

MakeRun = Callable[..., Run]
