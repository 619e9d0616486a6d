"""Trials are proposed, remembered and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evenly.errors import DataError
from evenly.tuning.space import Range, Setting
from evenly.tuning.studies import Study

SPACE = (
    Setting("a", 2, (1, 2, 3, None)),
    Setting("b", 1.0, Range(low=0.5, high=2.0, log=True)),
    Setting("c", 3, Range(low=1, high=9)),
)


def score(assignment: Mapping[str, Any]) -> float:
    return (assignment["a"] or 0) + assignment["b"] - abs(assignment["c"] - 5) / 10


def run(study: Study, until: int) -> None:
    """Trials until there are so many; every fifth fails."""
    with study.held():
        study.add_reference({"a": 2, "b": 1.0, "c": 3}, ["start"], 3.0)
        while (number := len(study.ended())) < until:
            proposal = study.propose(0)
            names = [f"run-{number}"]
            if number % 5 == 4:
                study.fail(proposal, names, "too few rows")
            else:
                study.tell(proposal, names, score(proposal.assignment))


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n{}\n", b"[]\n[]\n", b'{"op_code": 99}\n{}\n', b"null\nnull\n"]
)
def test_a_damaged_journal_of_trials_is_one_sentence(damage, tmp_path: Path) -> None:
    study = Study(tmp_path, "s", SPACE, 0)
    run(study, 2)
    journal = study.folder / "journal.log"
    journal.write_bytes(journal.read_bytes() + damage)
    with pytest.raises(DataError, match=r"journal\.log is damaged \(.*\); delete .* finished runs"):
        Study(tmp_path, "s", SPACE, 0)


def test_the_same_seed_tries_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    for root, seed in (("x", 0), ("y", 0), ("z", 1)):
        run(Study(tmp_path / root, "s", SPACE, seed), 14)
    x, y, z = ([t.assignment for t in Study(tmp_path / r, "s", SPACE, 0).ended()] for r in "xyz")
    assert x == y != z


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    run(Study(tmp_path / "whole", "s", SPACE, 0), 14)
    killed = Study(tmp_path / "killed", "s", SPACE, 0)
    run(killed, 11)
    with killed.held():
        lost = killed.propose(0)  # and nobody ever tells what became of it
    run(Study(tmp_path / "killed", "s", SPACE, 0), 14)
    whole = Study(tmp_path / "whole", "s", SPACE, 0).ended()
    resumed = Study(tmp_path / "killed", "s", SPACE, 0).ended()
    assert resumed == whole and resumed[11].assignment == lost.assignment


def test_a_failed_trial_is_kept_with_its_reason_and_numbered(tmp_path: Path) -> None:
    run(Study(tmp_path, "s", SPACE, 0), 6)
    ended = Study(tmp_path, "s", SPACE, 0).ended()
    assert [trial.number for trial in ended] == [1, 2, 3, 4, 5, 6]
    assert [(trial.number, trial.reason) for trial in ended if trial.value is None] == [(5, "too few rows")]
    assert ended[4].names == ("run-4",)


def test_what_is_discarded_is_no_trial_and_something_else_is_proposed(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", SPACE, 0)
    with study.held():
        first = study.propose(0)
        study.discard(first)
        second = study.propose(1)
    assert study.ended() == [] and first.assignment != second.assignment


def test_two_searches_of_the_same_do_not_run_at_once(tmp_path: Path) -> None:
    first, second = (Study(tmp_path, "s", SPACE, 0) for _ in range(2))
    with first.held(), pytest.raises(DataError, match="running already"), second.held():
        pass
    with second.held():
        pass


def test_the_estimator_finds_better_recipes_than_it_began_with(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", SPACE, 0)
    run(study, 40)
    values = [trial.value for trial in study.ended() if trial.value is not None]
    assert max(values[20:]) > max(values[:6]) and max(values) > 4.6
