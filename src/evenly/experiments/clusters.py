"""Where jobs run, behind one small interface: Slurm by submitit, Ray by its jobs, all else by commands.

A job has the name of its experiment everywhere, so that whoever asks anew finds what is already under way.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from evenly.errors import EvenlyError, ParameterError
from evenly.experiments import supervisor
from evenly.experiments.cluster_settings import CLUSTER_FILE, ClusterSettings
from evenly.experiments.history import without_keys
from evenly.experiments.jobs import job_command, main
from evenly.experiments.ledger import FOLDER

#: Between the names of experiments that share one job's GPUs, in the name of that job.
_AND = "+"
#: Seconds that a scheduler may take to answer.
_ANSWER_S = 60
#: Letters that `{name}` has at most.
_LONGEST = 63


class UnreachableError(EvenlyError):
    """The cluster does not answer; what it does meanwhile is not known."""


class RefusedError(UnreachableError):
    """The cluster does not take a job."""


class Cluster(Protocol):
    """Runs jobs, each under a name."""

    #: How many experiments one job is given to run side by side.
    together: int

    def submit(self, url: str, names: Sequence[str]) -> None:
        """Have a job run these experiments of the repository at `url`."""

    def alive(self, names: Collection[str]) -> dict[str, str]:
        """What of these waits or runs, whoever has sent it: by experiment, the state in a word."""
        ...

    def log(self, name: str) -> str:
        """What an experiment's job has printed, as far as that can be had."""
        ...

    def close(self) -> None:
        """Nobody asks any more; jobs that can go on without do so."""
        return None


class Slurm(Cluster):
    """Slurm through submitit, which writes the batch script; `kind="local"` runs the same here, to try it."""

    def __init__(self, root: Path, settings: ClusterSettings, kind: str = "slurm") -> None:
        submitit = _imported("submitit", "slurm")
        self.together = settings.jobs_per_gpu
        self._slurm = kind == "slurm"
        self._jobs: dict[str, Any] = {}
        if self._slurm:
            self.alive(())  # the controller answers
        asked = settings.slurm
        named = {"partition": asked.partition, "account": asked.account, "setup": asked.setup or None}
        self._executor = submitit.AutoExecutor(root / FOLDER / "slurm", cluster=kind)
        self._executor.update_parameters(
            timeout_min=asked.minutes,
            cpus_per_task=settings.cpus * self.together,
            **({"gpus_per_node": settings.gpus} if settings.gpus else {}),
            **({"mem_gb": asked.memory_gb * self.together} if asked.memory_gb else {}),
            **{f"slurm_{key}": value for key, value in named.items() if value is not None},
            slurm_additional_parameters=asked.further,
        )

    def submit(self, url: str, names: Sequence[str]) -> None:
        """Hand it in under the name of the experiment."""
        self._executor.update_parameters(name=_AND.join(names))
        try:
            job = self._executor.submit(main, url, *names)
        except Exception as error:  # submitit's own, of what sbatch says
            raise RefusedError(f"sbatch refuses the job: {_last_line(str(error))}") from None
        self._jobs |= dict.fromkeys(names, job)

    def alive(self, names: Collection[str]) -> dict[str, str]:
        """What of these waits or runs."""
        if not self._slurm:
            return {name: "runs" for name in names if name in self._jobs and not self._jobs[name].done()}
        listed = _printed(["squeue", "--me", "--noheader", "--format=%T\t%j"], "Slurm")
        states = [line.split("\t", 1) for line in listed.splitlines()]
        queued = {name: state.lower() for state, job in states for name in job.split(_AND)}
        return {name: queued[name] for name in names if name in queued}

    def log(self, name: str) -> str:
        """What the job has printed."""
        job = self._jobs.get(name)
        return "" if job is None else f"{job.stdout() or ''}{job.stderr() or ''}"


class Ray(Cluster):
    """Ray's jobs, which outlive whoever sent them; GPUs are shared as fractions of one."""

    together = 1

    def __init__(self, settings: ClusterSettings) -> None:
        _imported("ray", "ray")
        try:
            from ray.job_submission import JobSubmissionClient

            self._client = JobSubmissionClient(settings.ray.address)
        except Exception as error:  # ray has a class for each way not to connect
            raise ParameterError(
                f"Ray cannot be reached at {settings.ray.address or 'RAY_ADDRESS'}: {_last_line(str(error))} "
                f"Name the address of its dashboard, such as http://HEAD:8265, with --address."
            ) from None
        self._settings = settings

    def submit(self, url: str, names: Sequence[str]) -> None:
        """Hand it in under the name of the experiment."""
        settings, name = self._settings, names[0]
        try:
            if name in self._states():  # that of a job which has ended
                self._client.delete_job(name)
            self._client.submit_job(
                entrypoint=job_command(settings.python, url, names),
                submission_id=name,
                entrypoint_num_cpus=settings.cpus,
                entrypoint_num_gpus=settings.gpus / settings.jobs_per_gpu,
                entrypoint_memory=int(settings.ray.memory_gb * 2**30) or None,
            )
        except RuntimeError as error:
            raise RefusedError(f"Ray refuses the job: {_last_line(str(error))}") from None

    def alive(self, names: Collection[str]) -> dict[str, str]:
        """What of these waits or runs."""
        states = self._states()
        return {name: states[name] for name in names if states.get(name) in ("pending", "running")}

    def _states(self) -> dict[str, str]:
        try:
            return {str(job.submission_id): job.status.value.lower() for job in self._client.list_jobs()}
        except Exception as error:
            raise UnreachableError(f"Ray does not answer: {_last_line(str(error))}") from None

    def log(self, name: str) -> str:
        """What the job has printed."""
        try:
            return str(self._client.get_job_logs(name))
        except RuntimeError:
            return ""


#: The status of ssh where it reached no machine, which says nothing of the job.
_SSH_FAILED = 255


class Command(Cluster):
    """Commands that start a job, and where they only hand it in, say whether it is still there."""

    together = 1

    def __init__(self, root: Path, settings: ClusterSettings) -> None:
        if settings.command.submit is None:
            raise ParameterError(
                "--on command needs a command that runs a job: give --command, such as 'ssh HOST {job}', "
                f"or command.submit in {CLUSTER_FILE}."
            )
        if settings.jobs_per_gpu > 1:
            raise ParameterError(
                "--jobs-per-gpu goes with slurm and ray; with --on command the command says what a job gets."
            )
        self._settings = settings
        self._logs = root / FOLDER / "jobs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, url: str, names: Sequence[str]) -> None:
        """Hand it in under the name of the experiment."""
        (name,) = names
        asked = self._settings.command
        assert asked.submit is not None
        command = self._filled(asked.submit, name, job_command(self._settings.python, url, names))
        with (self._logs / f"{name}.txt").open("wb") as log:
            if asked.alive is None:
                # The supervisor ends the command, and so the job, with this process.
                supervised = [
                    sys.executable,
                    "-I",
                    str(Path(supervisor.__file__).resolve()),
                    "sh",
                    "-c",
                    command,
                ]
                self._processes[name] = subprocess.Popen(
                    supervised,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                return
            done = subprocess.run(
                command, shell=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            said = _last_line((self._logs / f"{name}.txt").read_text(errors="replace"))
            raise RefusedError(without_keys(f"`{command}` exited with {done.returncode}: {said}"))

    def alive(self, names: Collection[str]) -> dict[str, str]:
        """What of these waits or runs."""
        asked = self._settings.command
        if asked.alive is None:
            return {n: "running" for n in names if n in self._processes and self._processes[n].poll() is None}
        found = {}
        for name in names:
            command = self._filled(asked.alive, name)
            done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode in (0, _SSH_FAILED):
                found[name] = "there" if not done.returncode else "out of reach"
        return found

    def log(self, name: str) -> str:
        """What the job has printed."""
        asked = self._settings.command
        if asked.log is not None:
            done = subprocess.run(
                self._filled(asked.log, name), shell=True, capture_output=True, errors="replace"
            )
            return done.stdout
        log = self._logs / f"{name}.txt"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def close(self) -> None:
        """End the commands that last as long as their jobs."""
        for process in self._processes.values():
            process.communicate()

    def _filled(self, template: str, name: str, job: str = "") -> str:
        s = self._settings
        label = name.replace("_", "-")  # as Kubernetes has them
        label = label if len(label) <= _LONGEST else label[: _LONGEST - 11] + label[-11:]
        values = {"job": job, "name": label, "cpus": str(s.cpus), "gpus": str(s.gpus)}
        return re.sub(r"\{(job|name|cpus|gpus)\}", lambda found: values[found[1]], template)


def open_cluster(kind: str, root: Path, settings: ClusterSettings) -> Cluster:
    """Give the cluster of this kind, which has answered."""
    if kind == "slurm":
        return Slurm(root, settings)
    return Ray(settings) if kind == "ray" else Command(root, settings)


def _imported(name: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ParameterError(
            f"--on {extra} needs {name}, which is not installed: `pip install -e '.[{extra}]'` installs it."
        ) from None


def _printed(command: Sequence[str], whose: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, encoding="utf-8", timeout=_ANSWER_S
        )
    except subprocess.TimeoutExpired:
        raise UnreachableError(
            f"{whose} cannot be reached: {command[0]} has not answered for {_ANSWER_S} s."
        ) from None
    except FileNotFoundError:
        raise UnreachableError(
            f"{whose} cannot be reached: there is no `{command[0]}` here; run this where it takes jobs."
        ) from None
    if done.returncode:
        raise UnreachableError(
            f"{whose} cannot be reached: {shlex.join(command)} says: {_last_line(done.stderr)}"
        )
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said."])[-1].strip()
