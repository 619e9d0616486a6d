"""The environment as the engine needs it: variables that are set, and those of the project's `.env`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def keys_from(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by name; those of `.env` where the environment has none.

    Parameters
    ----------
    environment
        `os.environ`. DVC names the original workspace there as `DVC_ROOT`, also in the temporary checkouts of
        queued experiments, which lack `.env`; elsewhere the current folder is taken.
    """
    from dotenv import dotenv_values

    file = project_root(environment) / ".env"
    written = dotenv_values(file, interpolate=False) if file.is_file() else {}
    return {name: value for name, value in written.items() if value is not None} | dict(environment)


def journal_folder(environment: Mapping[str, str]) -> Path:
    """Where the journals lie: below the original workspace, so that all experiments share them."""
    return project_root(environment) / ".cache" / "llm"


def project_root(environment: Mapping[str, str]) -> Path:
    """The original workspace."""
    return Path(environment.get("DVC_ROOT") or ".")
