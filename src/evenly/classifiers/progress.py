"""What a fit shows and writes: dvclive's files, a progress bar or lines, its metrics, what it ran on.

Fitting itself knows none of this: it calls a log. Only stages and commands use this module.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evenly.classifiers.classifier import FitSummary, Log
from evenly.files import write_json

#: In the folder of a fit: the metrics of what was kept, for `dvc metrics`.
METRICS = "metrics.json"
#: Distributions whose versions can matter, and the modules of those that are named otherwise.
_LIBRARIES = (
    *("accelerate", "catboost", "numpy", "opencv-python-headless", "pyarrow"),
    *("safetensors", "scikit-learn", "tokenizers", "torch", "transformers"),
)
_MODULES = {"opencv-python-headless": "cv2", "scikit-learn": "sklearn"}


@contextmanager
def training_log(folder: str | Path, epochs: int, show: Callable[[str], None] | None) -> Iterator[Log]:
    """Give a log that writes every step with dvclive and shows it.

    Parameters
    ----------
    folder
        Where dvclive puts `plots/metrics/*.tsv`, one file a metric.
    epochs
        The most steps there will be, for the progress bar.
    show
        Prints a line where standard error is no terminal; None shows nothing at all.
    """
    live = _open_live(Path(folder).absolute())
    bar = None
    if show and os.isatty(2):
        from tqdm import tqdm

        bar = tqdm(total=epochs, unit="epoch", leave=False)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        live.step = step
        for name, value in metrics.items():
            live.log_metric(name, float(value))
        live.make_summary()
        short = {name: f"{value:.4g}" for name, value in metrics.items()}
        if bar is not None:
            bar.set_postfix(short)
            bar.update()
        elif show:
            show(f"{step + 1:3d}  " + "  ".join(f"{name} {value}" for name, value in short.items()))

    try:
        yield log
    finally:
        if bar is not None:
            bar.close()
        live.end()


def write_metrics(
    summary: FitSummary | None, folder: str | Path, more: Mapping[str, Any] | None = None
) -> None:
    """Write the metrics of what was kept over dvclive's, which are those of the last step.

    `{"best_epoch": 7, "epochs": 13, "train": {"loss": …}, "val": {…}}`: nested as `dvc metrics` shows them.

    Parameters
    ----------
    summary
        Of the fit; None where there was none.
    folder
        That of the log.
    more
        What else there is to say, JSON-ready.
    """
    nested: dict[str, Any] = dict(more or {})
    if summary is not None and summary.best_step is not None:
        nested |= {"best_epoch": summary.best_step, "epochs": summary.steps}
    for name, value in ({} if summary is None else summary.metrics).items():
        section, _, metric = name.rpartition("/")
        (nested.setdefault(section, {}) if section else nested)[metric] = value
    write_json(nested, Path(folder) / METRICS)


def headline(summary: FitSummary) -> str:
    """Scores of what was kept in one line, without what only says how it was trained."""
    scores = {name: value for name, value in summary.metrics.items() if "/" in name}
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def training_environment(threads: int) -> dict[str, Any]:
    """Describe this process after a training with so many threads, for the log; nothing reads it back."""
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": threads,
        "device": str(torch.cuda.get_device_name()) if torch and on_gpu else "cpu",
        "libraries": {name: _version(name) for name in _LIBRARIES if _MODULES.get(name, name) in sys.modules},
    }


def _open_live(folder: Path) -> Any:
    """Open dvclive on a folder, for metrics alone: it makes no experiments, reports, or dvc.yaml of its own.

    In a Git repository without a commit dvclive fails on opening; from a folder outside of any it works.
    """
    from dvclive import Live
    from scmrepo.exceptions import SCMError

    logging.getLogger("dvclive").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "dvcyaml": None,
        "save_dvc_exp": False,
        "report": None,
        "monitor_system": False,
    }
    try:
        return Live(str(folder), **options)
    except SCMError:
        with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
            return Live(str(folder), **options)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
