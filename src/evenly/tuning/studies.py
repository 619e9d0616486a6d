"""The trials of a search: proposed by a tree-structured Parzen estimator, kept in a journal under `.cache/`.

What is proposed depends on the seed and on the trials that have ended, and on nothing else: a search that was
killed goes on as if it had not been. Nothing is run here.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.errors import DataError
from evenly.files import reading
from evenly.tuning.space import Assignment, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as LiveTrial

FOLDER = Path(".cache/tuning")
#: Trials drawn at random before the estimator is asked.
_STARTUP = 8
#: After so many proposals in a row that were no use, they are drawn at random.
_STUBBORN = 12


@dataclass(frozen=True)
class Trial:
    """A trial that has ended."""

    number: int  # From 1, in the order in which they ended; 0 is the recipe as it is
    assignment: Assignment  # What was tried
    names: tuple[str, ...]  # Of its experiments
    value: float | None  # The metric; None where it failed
    reason: str = ""  # Why it failed


@dataclass(frozen=True)
class Proposal:
    """What to try next; `trial` is the study's own."""

    trial: LiveTrial
    assignment: dict[str, Any]


class Study:
    """The trials of one search; `id_` is another one where the values would not be comparable."""

    def __init__(self, root: Path, id_: str, space: Space, seed: int) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder = root / FOLDER / id_
        self.folder.mkdir(parents=True, exist_ok=True)
        self.space = space
        self._seed = seed
        self._distributions: dict[str, BaseDistribution] = {s.key: s.distribution for s in space}
        with self._reading():
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(self.folder / "journal.log"))),
                study_name=id_,
                direction="maximize",
                load_if_exists=True,
            )
            self.ended()

    def _reading(self) -> AbstractContextManager[None]:
        """A damaged journal is one sentence; DVC still has the runs of its trials."""
        remedy = f"delete {self.folder} and search again: finished runs are not run again"
        return reading(self.folder / "journal.log", remedy)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes away, and see to the trials that a killed one has left."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    "The same search is running already; wait for it, or give another --seed for one "
                    "beside it."
                ) from None
            self._retry_what_was_killed()
            yield

    def add_reference(self, assignment: Assignment, names: Sequence[str], value: float) -> None:
        """Tell the study what the recipe as it is scores, once, if its values are in the space."""
        from optuna.trial import create_trial

        if any("reference" in trial.user_attrs for trial in self._trials("COMPLETE")):
            return
        if not all(setting.has_current for setting in self.space):
            return
        written = {s.key: s.written(assignment[s.key]) for s in self.space}
        attributes = {"reference": True, "names": list(names)}
        known = create_trial(
            params=written, distributions=self._distributions, value=value, user_attrs=attributes
        )
        self._study.add_trial(known)

    def ended(self) -> list[Trial]:
        """The trials that have a value or have failed, in order; without the recipe as it is."""
        ended: list[Trial] = []
        for trial in self._trials("COMPLETE", "FAIL"):
            known = trial.user_attrs
            if "reference" not in known and (trial.value is not None or "failed" in known):
                assignment, reason = self._assignment(trial.params), known.get("failed", "")
                ended.append(Trial(len(ended) + 1, assignment, tuple(known["names"]), trial.value, reason))
        return ended

    def propose(self, attempt: int) -> Proposal:
        """Propose what to try next, after `attempt` proposals that were no use since the last trial ended."""
        from optuna.samplers import RandomSampler, TPESampler

        numbers = (self._seed, len(self.ended()), attempt)
        seed = int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:4], "big")
        self._study.sampler = (
            TPESampler(seed=seed, n_startup_trials=_STARTUP)
            if attempt < _STUBBORN
            else RandomSampler(seed=seed)
        )
        trial = self._study.ask(self._distributions)
        return Proposal(trial, self._assignment(trial.params))

    def discard(self, proposal: Proposal) -> None:
        """A proposal was no use; the estimator does not learn from it."""
        from optuna.trial import TrialState

        self._study.tell(proposal.trial, state=TrialState.FAIL)

    def tell(self, proposal: Proposal, names: Sequence[str], value: float) -> None:
        """Record what a trial scored: higher is better."""
        proposal.trial.set_user_attr("names", list(names))
        self._study.tell(proposal.trial, value)

    def fail(self, proposal: Proposal, names: Sequence[str], reason: str) -> None:
        """Record that a trial failed, and why."""
        proposal.trial.set_user_attr("names", list(names))
        proposal.trial.set_user_attr("failed", reason)
        self.discard(proposal)

    def _retry_what_was_killed(self) -> None:
        from optuna.trial import TrialState

        for trial in self._trials("RUNNING"):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def _trials(self, *states: str) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name in states]

    def _assignment(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {setting.key: setting.read(params[setting.key]) for setting in self.space}
