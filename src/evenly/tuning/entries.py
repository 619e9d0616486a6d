"""The best recipe as an entry for params.yaml, and the trials as a table."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenly.files import write_text
from evenly.tuning.candidates import Candidate, Origin
from evenly.tuning.search import Searched
from evenly.tuning.space import Space, shown_value


def entry_name(origin: Origin) -> str:
    """A name for the tuned recipe that params.yaml does not have yet: `smote_tuned`, `smote_tuned_2`, …"""
    taken = {*(origin.values.get("recipes") or {}), *(origin.values.get("policies") or {})}
    names = (f"{origin.name}_tuned{'' if i == 1 else f'_{i}'}" for i in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def entry(origin: Origin, candidate: Candidate, remarks: Sequence[str]) -> str:
    """Write a recipe, its policy and what else it sets as YAML, to be pasted under the keys of params.yaml.

    Parameters
    ----------
    origin
        What the search began with.
    candidate
        What it found.
    remarks
        Sentences that stand above it as comments.
    """
    from ruamel.yaml import YAML

    name = entry_name(origin)
    recipe, policy = origin.named(candidate, name)
    content: dict[str, Any] = {}
    for key, value in candidate.settings.items():
        place = content
        *path, last = key.split(".")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    if policy is not None:
        content["policies"] = {name: policy}
    content["recipes"] = {name: {"description": f"{origin.name}, tuned on {origin.params.dataset}", **recipe}}
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 110
    stream = io.StringIO()
    yaml.dump(content, stream)
    comments = [line for remark in remarks for line in textwrap.wrap(remark, 108)]
    return "".join(f"# {line}\n" for line in comments) + stream.getvalue()


def write_trials(space: Space, searched: Searched, metric: str, path: Path) -> None:
    """Write all trials as CSV: number, the metric, every setting, and why a trial failed."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["trial", f"validation_{metric}", *(setting.key for setting in space), "failed", "experiments"]
    )
    for trial in (searched.start, *searched.trials):
        values = [shown_value(trial.assignment[setting.key]) for setting in space]
        value = "" if trial.value is None else repr(trial.value)
        table.writerow([trial.number, value, *values, trial.reason, " ".join(trial.names)])
    write_text(text.getvalue(), path)


def changes(space: Space, assignment: Mapping[str, Any]) -> dict[str, Any]:
    """What an assignment changes, by key."""
    return {s.key: assignment[s.key] for s in space if assignment[s.key] != s.current}
