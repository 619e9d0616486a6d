"""A sweep among failing machines: a fifth of its jobs killed at random, whoever sends them killed twice.

Nothing may be lost, nothing run twice but what was killed, and the results must be those of one machine,
the rival, against which some are held: `python -m bench.chaos [RUNS [HELD]]`. The project is tiny, so that
what is measured is what a job costs beyond its work.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenly.experiments.cluster_settings import ClusterSettings
from evenly.experiments.clusters import open_cluster
from evenly.experiments.dispatching import run_on_cluster
from evenly.experiments.experiments import Experiment, Technique
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.hub import Hub
from evenly.experiments.sweeping import Event, run_experiments
from evenly.files import write_text

ROOT = Path(__file__).resolve().parent.parent
PARAMS = "seed: 1\ndataset: tiny\nbalancing: none\n"
IGNORED = "/.cache/\n/.env\n/cluster.yaml\n__pycache__/\n/data/rows.json\n/metrics/\n"
CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
PIPELINE = """
stages:
  filter:
    cmd: python -m stages.filter
    deps: [stages/filter.py]
    params: [seed, dataset, balancing]
    outs: [data/rows.json]
  evaluate:
    cmd: python -m stages.evaluate
    deps: [stages/evaluate.py, data/rows.json]
    params: [dataset]
    metrics: [metrics/evaluate.json]
"""
#: Writes down that it runs, and where; kills its job, or whoever sent it, where the folder says so.
FILTER = """
import contextlib, json, os, random, signal, sys, threading
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))
name = f"{params['balancing']}-{params['seed']}"
folder = Path(os.environ["STORM"])
with (folder / "tally.txt").open("a") as tally:
    tally.write(f"{name} {os.environ.get('PLACE') or os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
ran = [line.split()[0] for line in (folder / "tally.txt").read_text().splitlines()]
storm = json.loads((folder / "storm.json").read_text())
if sum(len(ran) >= at for at in storm["senders"]) > len(list(folder.glob("killed-*"))):
    with contextlib.suppress(FileNotFoundError):  # somebody else does it
        pid = (folder / "sender.pid").read_text()
        (folder / "sender.pid").rename(folder / f"killed-{pid}")
        os.kill(int(pid), signal.SIGKILL)
if name in storm["jobs"] and ran.count(name) == 1:
    os.kill(int(os.environ["JOB_PID"]), signal.SIGKILL)
    threading.Event().wait()  # until the supervisor notices
if params["balancing"] == "adasyn":
    sys.exit("stages/filter.py: The class 'b' has too few rows.")
Path("data").mkdir(exist_ok=True)
Path("data/rows.json").write_text(json.dumps(random.Random(name).random()))
"""
EVALUATE = """
import json
from pathlib import Path

Path("metrics").mkdir(exist_ok=True)
score = json.loads(Path("data/rows.json").read_text())
Path("metrics/evaluate.json").write_text(json.dumps({"score": score}))
"""
#: The lock is held as long as the job lives, and no longer, whoever has started it.
SUBMIT = (
    "exec 9>{folder}/{{name}}.lock; flock -n 9 || exit 1; "
    "setsid sh -c 'JOB_PID=$$ PLACE=away exec {{job}}' </dev/null >{folder}/{{name}}.log 2>&1 &"
)
LOG = "cat {folder}/{{name}}.log"
ALIVE = "! flock -n {folder}/{{name}}.lock true"


def make_project(root: Path) -> None:
    """Make a DVC project of two small stages, in a git repository with one commit."""
    (root / "stages").mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".gitignore").write_text(IGNORED)
    # With it, this package comes before one of the same name that PYTHONPATH may lead to.
    (root / "stages" / "__init__.py").touch()
    (root / "stages" / "filter.py").write_text(FILTER)
    (root / "stages" / "evaluate.py").write_text(EVALUATE)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(CONFIG)
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for command in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "Chaos"],
        ["config", "user.email", "chaos@example.org"],
        ["add", "-A"],
        ["commit", "-qm", "The project"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)


def detached(folder: Path) -> ClusterSettings:
    """Settings under which jobs are processes here that outlive whoever has sent them."""
    templates = {"submit": SUBMIT, "alive": ALIVE, "log": LOG}
    templates = {key: text.format(folder=folder) for key, text in templates.items()}
    values = {"command": templates, "python": sys.executable, "poll_seconds": 0.2}
    return ClusterSettings.model_validate(values)


def planned(recipes: Sequence[str], seeds: Sequence[int]) -> list[Experiment]:
    """The experiments of a sweep over these recipes and seeds; those of a seed share a split."""
    return [
        Experiment(Technique(recipe), "tiny", seed, f"{recipe}-s{seed}", frozenset({f"split {seed}"}))
        for recipe in recipes
        for seed in seeds
    ]


def send(root: Path, folder: Path, seeds: Sequence[int], jobs: int, watch: Callable[[Event], None]) -> None:
    """Do what `evenly sweep none smote --on command` does, without the comparison."""
    write_text(str(os.getpid()), folder / "sender.pid")
    settings = detached(folder)
    cluster = open_cluster("command", root, settings)
    experiments = planned(["none", "smote"], seeds)
    failures = run_on_cluster(root, experiments, cluster, Hub(root, None), settings, jobs, watch)
    assert not failures, failures


@dataclass(frozen=True)
class Aftermath:
    """What a storm has left: how often each run was begun, and what came out, by experiment."""

    begun: Counter[str]
    killed: frozenset[str]
    senders: int
    results: dict[str, dict[str, str]]


def storm(root: Path, folder: Path, seeds: Sequence[int], jobs: int) -> Aftermath:
    """Run `none` and `smote` over seeds, killing a fifth of the jobs once, and the sender twice."""
    runs = [f"{recipe}-{seed}" for recipe in ("none", "smote") for seed in seeds]
    killed = random.Random(0).sample(runs, max(1, len(runs) // 5))
    at = [max(1, len(runs) // 3), max(2, 2 * len(runs) // 3)]
    (folder / "storm.json").write_text(json.dumps({"jobs": killed, "senders": at}))
    code = (
        "import sys; from pathlib import Path; from bench.chaos import send; "
        f"send(Path({str(root)!r}), Path({str(folder)!r}), {list(seeds)!r}, {jobs}, lambda event: None)"
    )
    env = os.environ | {"STORM": str(folder), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    senders = 1
    while (status := subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env).returncode) != 0:
        if status != -signal.SIGKILL:
            raise RuntimeError(f"the sender ended with {status}")
        senders += 1
    begun = Counter(line.split()[0] for line in (folder / "tally.txt").read_text().splitlines())
    return Aftermath(begun, frozenset(killed), senders, results(root))


def results(root: Path) -> dict[str, dict[str, str]]:
    """MD5 of all that each experiment has put out."""
    return {n: dict(Revision(root, n, c).outputs) for n, c in experiment_revisions(root).items()}


def main() -> None:
    """Print what a storm over many runs has done, and what one machine gives."""
    runs, held = (*map(int, sys.argv[1:]), 40, 40)[:2]
    seeds = list(range(1, runs // 2 + 1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, many = folder / "one", folder / "many"
        make_project(many)
        make_project(one)
        wall, cpu = time.monotonic(), _child_seconds()
        left = storm(many, folder, seeds, jobs=4)
        wall, cpu = time.monotonic() - wall, _child_seconds() - cpu
        twice = {run for run, times in left.begun.items() if times > 1}
        print(
            f"{runs} runs, {len(left.killed)} killed, {left.senders} senders: {wall:.0f} s, {cpu:.0f} CPU s"
        )
        print(f"without a result              {runs - len(left.results)}")
        print(f"begun again without need      {len(twice - left.killed)}")
        print(f"begun more than twice         {sum(times > 2 for times in left.begun.values())}", flush=True)
        os.environ["STORM"] = str(folder)
        (folder / "storm.json").write_text(json.dumps({"jobs": [], "senders": []}))
        wall, cpu = time.monotonic(), _child_seconds()
        few = planned(["none", "smote"], seeds)[:: max(1, runs // held)]
        run_experiments(one, few, jobs=2, watch=lambda event: None)
        wall, cpu = time.monotonic() - wall, _child_seconds() - cpu
        same = sum(left.results.get(run) == outputs for run, outputs in results(one).items())
        print(f"as on one machine             {same} of {len(few)} ({wall:.0f} s, {cpu:.0f} CPU s)")


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
