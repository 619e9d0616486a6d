"""cluster.yaml: where the jobs of a sweep run, and what each of them asks for.

Nothing here changes a result, so that it is no parameter of any stage and in no experiment's name. The file
is a site's own, and git ignores it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from evenly.params.base import Settings, read_yaml, settings_from

CLUSTER_FILE = "cluster.yaml"
#: What a command template must hold: the job itself.
JOB = "{job}"


class SlurmSettings(Settings):
    """What `sbatch` is given beside CPUs and GPUs; `further` holds any other of its options (`qos: long`)."""

    partition: str | None = None
    account: str | None = None
    minutes: PositiveInt = 720
    memory_gb: PositiveFloat | None = None
    #: Shell lines before the job, such as `module load cuda`.
    setup: list[str] = Field(default_factory=list)
    further: dict[str, Any] = Field(default_factory=dict)


class RaySettings(Settings):
    """`address` as Ray takes it; without one `RAY_ADDRESS`, else a cluster on this machine."""

    address: str | None = None
    memory_gb: NonNegativeFloat = 0


class CommandSettings(Settings):
    """Shell commands with `{job}`, and where they like `{name}`, `{cpus}` and `{gpus}`.

    Without `alive`, `submit` lasts as long as the job, and ends with the sweep. With it, `submit` only hands
    the job in, and `alive` succeeds as long as a job of this name waits or runs. `log` prints what it has
    printed.
    """

    submit: str | None = None
    alive: str | None = None
    log: str | None = None

    @field_validator("submit")
    @classmethod
    def _has_the_job(cls, value: str | None) -> str | None:
        if value is not None and JOB not in value:
            raise ValueError(f"a command holds {JOB} where that of the job goes: --command 'ssh HOST {JOB}'")
        return value

    @field_validator("alive", "log")
    @classmethod
    def _names_the_job(cls, value: str | None) -> str | None:
        if value is not None and "{name}" not in value:
            raise ValueError("this command holds {name}, by which it tells one job from another")
        return value


class ClusterSettings(Settings):
    """What a job needs, and how it reaches the project."""

    cpus: PositiveInt = 1
    gpus: NonNegativeInt = 0
    #: Experiments that share the GPUs of one job.
    jobs_per_gpu: PositiveInt = 1
    #: The git repository as jobs reach it; None: `origin`, and without one this folder.
    git: Annotated[str, Field(min_length=1)] | None = None
    #: Python on the machines of `ray` and `command`, in whose environment evenly is installed.
    python: str = "python"
    #: A job that ends without a word is sent so many times.
    tries: PositiveInt = 5
    poll_seconds: PositiveFloat = 5.0
    slurm: SlurmSettings = SlurmSettings()
    ray: RaySettings = RaySettings()
    command: CommandSettings = CommandSettings()

    @field_validator("jobs_per_gpu")
    @classmethod
    def _shares_something(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and not info.data.get("gpus"):
            raise ValueError("it shares the GPUs of a job (--jobs-per-gpu); give gpus (--gpus), too")
        return value


def read_cluster(path: Path, **changes: Any) -> ClusterSettings:
    """Read cluster.yaml where there is one, with what the command line changes: `ray__address`, not None."""
    values = read_yaml(path) if path.exists() else {}
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        if value is not None and isinstance(
            place := values.setdefault(section, {}) if section else values, dict
        ):
            place[name] = value
    return settings_from(ClusterSettings, values, str(path))
