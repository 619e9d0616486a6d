"""Sweeps over a pipeline of one small stage, run by the real DVC."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiment_projects import ROOT, commit

from evenly.experiments import supervisor
from evenly.experiments.experiments import Experiment, Workshop
from evenly.experiments.groups import plan_sweep
from evenly.experiments.history import experiment_revisions, interrupted_runs
from evenly.experiments.ledger import FOLDER, estimate
from evenly.experiments.sweeping import Event, failure_reason, run_experiments

PIPELINE = """
stages:
  evaluate:
    cmd: python -m stages.evaluate
    deps: [stages/evaluate.py]
    params: [seed, dataset, balancing, loss]
    metrics: [metrics/evaluate.json]
"""
STAGE = """
import json, os, subprocess, sys, time
from pathlib import Path
from ruamel.yaml import YAML

root = Path(os.environ["DVC_ROOT"])
params = YAML(typ="safe").load(Path("params.yaml"))
with (root / ".cache" / "tally.txt").open("a") as tally:
    print(params["balancing"], params["seed"], file=tally)
if params["balancing"] == "adasyn":
    sys.exit("stages/evaluate.py: The class 'b' has too few rows.")
if params["balancing"] == "smote" and (root / ".cache" / "alive").exists():
    alive = (root / ".cache" / "alive").open("w")  # a named pipe: open until all that have it are gone
    subprocess.Popen(["sleep", "86400"], pass_fds=[alive.fileno()])
while params["balancing"] == "smote" and (root / ".cache" / "hold").exists():
    time.sleep(0.1)
Path("metrics").mkdir(exist_ok=True)
Path("metrics/evaluate.json").write_text(json.dumps({"seed": params["seed"]}))
"""


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    root = tmp_path / "small"
    (root / "stages").mkdir(parents=True)
    for name in ("params.yaml", "datasets.yaml", ".gitignore"):
        shutil.copy2(ROOT / name, root / name)
    (root / "dvc.yaml").write_text(PIPELINE)
    # With it, this package comes before one of the same name that PYTHONPATH may lead to.
    (root / "stages" / "__init__.py").touch()
    (root / "stages" / "evaluate.py").write_text(STAGE)
    (root / ".cache").mkdir()
    commit(root, "The project")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    commit(root, "DVC")
    return root


def planned(root: Path, *names: str) -> tuple[Experiment, ...]:
    return plan_sweep(Workshop(root, {}), names, datasets=["digits_lt"], seeds=[1]).experiments


def tally(root: Path) -> list[str]:
    path = root / ".cache" / "tally.txt"
    return path.read_text().splitlines() if path.exists() else []


def running_to_dvc(root: Path) -> list[str]:
    """Names of the runs that `dvc exp show` calls running."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    shown = json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)
    runs = [run for state in shown for run in state["experiments"] or []]
    return [run["name"] for run in runs if (run["executor"] or {}).get("state") == "running"]


@pytest.mark.usefixtures("without_imports")
def test_a_failed_run_is_an_outcome_with_its_reason_and_the_others_go_on(small_project: Path) -> None:
    experiments = planned(small_project, "adasyn", "smote")
    events: list[Event] = []
    failures = run_experiments(small_project, experiments, jobs=2, watch=events.append)
    ended = {e.experiment.technique.recipe: e.status for e in events if e.status in ("done", "failed")}
    assert ended == {"none": "done", "adasyn": "failed", "smote": "done"}
    assert list(failures.values()) == ["evaluate: The class 'b' has too few rows."]
    assert len(experiment_revisions(small_project)) == 2
    # What they printed is kept where git does not look.
    assert list((small_project / FOLDER / "logs").glob("*none*.txt"))
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=small_project, capture_output=True, text=True, check=True
    )
    assert ".cache" not in status.stdout
    # What the finished runs took is the estimate for the next ones, on another seed as well.
    expected = estimate(small_project, experiments, jobs=1)
    assert expected.seconds is not None and expected.seconds > 0

    # A second sweep runs nothing again but what failed.
    before = tally(small_project)
    events.clear()
    run_experiments(small_project, experiments, jobs=2, watch=events.append)
    assert [e.status for e in events if e.experiment.technique.recipe != "adasyn"] == ["cached", "cached"]
    assert tally(small_project) == [*before, "adasyn 1"]


@pytest.mark.usefixtures("without_imports")
def test_what_a_sweep_hands_dvc_is_what_dvc_makes_itself(small_project: Path) -> None:
    locked = {
        "texts": ["long " * 30, "it's: #1", "a\n  b\n", "", "été 你好", "  'x':"],
        "1e3": None,
        "12": "012",
    }
    (small_project / "odd.yaml").write_text(json.dumps(locked))
    first = "  first:\n    cmd: echo 1 > first.txt\n    params: [odd.yaml: ]\n    outs: [first.txt]\n"
    last = first.replace("first", "z-last")
    pipeline = small_project / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().rstrip() + "\n" + first + last)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "repro"], cwd=small_project, check=True, capture_output=True)
    locked["texts"] = locked["texts"][::-1]
    (small_project / "odd.yaml").write_text(json.dumps(locked))
    commit(small_project, "Some of the lock is old, and some of it stays")

    (planned_one,) = planned(small_project)
    assert not run_experiments(small_project, [planned_one], jobs=1, watch=lambda event: None)
    changes = [part for override in planned_one.overrides for part in ("-S", override)]
    by_dvc = [*dvc, "exp", "run", "--temp", "--name", "by-dvc", *changes]
    subprocess.run(by_dvc, cwd=small_project, check=True, capture_output=True)
    trees = {
        subprocess.run(
            ["git", "rev-parse", f"{commit_of}^{{tree}}"], cwd=small_project, capture_output=True, text=True
        ).stdout
        for commit_of in (
            subprocess.run(
                ["git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}"],
                cwd=small_project, capture_output=True, text=True, check=True,
            ).stdout.strip()
            for name in (planned_one.name, "by-dvc")
        )
    }  # fmt: skip
    assert len(trees) == 1 and trees != {""}
    # The stage ran for the sweep, and DVC then took it from the run-cache.
    assert tally(small_project) == ["none 42", "none 1"]


def test_a_killed_sweep_takes_its_runs_with_it_and_goes_on_where_it_was(small_project: Path) -> None:
    hold, alive = small_project / ".cache" / "hold", small_project / ".cache" / "alive"
    hold.touch()
    os.mkfifo(alive)
    command = "from evenly.cli import app; app(['sweep', 'smote', '--seeds', '1'])"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    sweep = subprocess.Popen([sys.executable, "-c", command], cwd=small_project, env=env)
    with os.fdopen(os.open(alive, os.O_RDONLY | os.O_NONBLOCK)) as holders:
        while tally(small_project) != ["none 1", "smote 1"]:
            assert sweep.poll() is None
            time.sleep(0.1)
        os.set_blocking(holders.fileno(), True)
        sweep.kill()
        assert sweep.wait() == -signal.SIGKILL
        holders.read()  # returns when the stage and what it has started are gone
    assert len(experiment_revisions(small_project)) == 1
    while not (left := interrupted_runs(small_project)):  # until DVC's own process is gone, too
        time.sleep(0.1)
    assert [run.name for run in left] == [planned(small_project, "smote")[1].name] and left[
        0
    ].checkout.is_dir()
    assert running_to_dvc(small_project) == [left[0].name]

    hold.unlink()
    alive.unlink()
    events: list[Event] = []
    assert run_experiments(small_project, planned(small_project, "smote"), jobs=1, watch=events.append) == {}
    assert [(e.experiment.technique.recipe, e.status) for e in events if e.status in ("cached", "done")] == [
        ("none", "cached"),
        ("smote", "done"),
    ]
    assert tally(small_project) == ["none 1", "smote 1", "smote 1"]
    assert not interrupted_runs(small_project) and not left[0].checkout.exists()
    assert running_to_dvc(small_project) == []


# What starts something that outlives it, ignores SIGTERM, and holds standard output.
STUBBORN = "(trap '' TERM; sleep 86400) & echo started; "


def supervised(command: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-I", supervisor.__file__, "sh", "-c", command]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_is_supervised_ends_with_its_starter() -> None:
    process = supervised(STUBBORN + "wait")
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.stdin.close()
    assert process.stdout.read() == ""  # returns when nothing is left that could print
    assert process.wait() == 128 + signal.SIGTERM


def test_a_supervised_command_leaves_nothing_behind_and_its_status_is_told() -> None:
    process = supervised(STUBBORN + "exit 3")
    assert process.stdout is not None
    assert process.stdout.read() == "started\n"
    assert process.wait() == 3
    process.communicate()


@pytest.mark.usefixtures("without_imports")
def test_runs_that_share_expensive_work_do_not_start_together(small_project: Path) -> None:
    (small_project / ".cache" / "hold").touch()
    experiments = planned(small_project, "smote")[::-1]  # smote first, which waits
    started: list[str] = []

    def watch(event: Event) -> None:
        if event.status == "started":
            started.append(event.experiment.technique.recipe)
        if event.status == "running" and event.experiment.technique.recipe == "smote":
            assert started == ["smote"]
            (small_project / ".cache" / "hold").unlink()

    run_experiments(small_project, experiments, jobs=2, watch=watch)
    assert started == ["smote", "none"]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "Running stage 'resample':\n/x/stages/resample.py: Class '3' has one row.\nERROR: failed to run",
            "resample: Class '3' has one row.",
        ),
        (
            "Running stage 'train':\nTraceback (most recent call last):\nValueError: bad shape\nERROR: x",
            "train: ValueError: bad shape",
        ),
        ("ERROR: no DVC repository here", "no DVC repository here"),
        ("", "`dvc exp run` exited with 3."),
    ],
)
def test_the_reason_is_what_the_stage_says(log: str, reason: str) -> None:
    assert failure_reason(log, 3) == reason
