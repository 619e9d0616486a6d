"""The machine: processor cores, GPU, and room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from evenly.doctor.findings import Finding

_GIB = 2**30
#: Below these DVC's cache soon has no room for another run, or for any.
_LITTLE, _NONE = 5 * _GIB, _GIB // 4


def machine_findings(root: Path, threads: int | None) -> Iterator[Finding]:
    """Look at the machine.

    Parameters
    ----------
    root
        The project's folder.
    threads
        Of params.yaml; None where that cannot be read.
    """
    yield _processor(threads)
    yield _gpu()
    yield _disk(root)


def _processor(threads: int | None) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = f"; `threads` in params.yaml is {threads}" if threads else ""
    says = f"{cores} processor core{'s' if cores > 1 else ''} to use{asked}"
    if threads and threads > cores:
        return Finding("threads", "warning", says, f"set threads to {cores} or less: results depend on it")
    return Finding("threads", "ok", says)


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("GPU", "warning", "unknown, since torch cannot be imported")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
        shown = ", ".join(f"{one.name} ({one.total_memory / _GIB:.0f} GiB)" for one in names)
        return Finding("GPU", "ok", f"{shown}; networks train on it")
    if shutil.which("nvidia-smi"):
        build = f"torch {torch.__version__}"
        return Finding(
            "GPU",
            "warning",
            f"there is an NVIDIA driver, but {build} cannot use it, so networks train on the processor",
            "install the build of torch that fits the driver (pytorch.org says which)",
        )
    return Finding("GPU", "ok", "none; networks train on the processor")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    says = f"{free / _GIB:.1f} GiB free for the cache"
    if free >= _LITTLE:
        return Finding("disk", "ok", says)
    fix = "`dvc gc --workspace --all-commits --all-experiments` frees what no run needs"
    return Finding("disk", "broken" if free < _NONE else "warning", says, fix)
