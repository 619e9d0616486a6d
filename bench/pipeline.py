"""What the pipeline itself costs: the default run from nothing, a run with nothing to do, an idle stage,
there and back.

The rival is DVC itself, beside it: as many stages in a row that copy a file of one line. Targets: default
`dvc repro` under 60 s on 2 cores, no-op under 2.5 s, an idle stage under 0.2 s of CPU, A→B→A runs no stage.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IDLE_STAGES = ("llm_generate", "generate", "filter", "offline_augment", "mine_hard_examples", "finetune")


def main() -> None:
    """Measure in a temporary clone and print."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        (clone / "dvc.lock").unlink(missing_ok=True)
        first, output = _timed(clone, "dvc", "repro")
        stages = output.count("Running stage")
        print(f"dvc repro from nothing        {first:6.1f} s   target < 60 ({stages} stages)")
        idle = statistics.median(_timed(clone, "dvc", "repro")[0] for _ in range(3))
        print(f"dvc repro with nothing to do  {idle:6.2f} s   target < 2.5")
        bare = _bare(Path(folder) / "bare", stages)
        print(f"  ratio to {stages} stages that copy a line  {idle / bare:4.2f}")
        for stage in IDLE_STAGES:
            cpu = statistics.median(_cpu(clone, "python", "-m", f"stages.{stage}") for _ in range(5))
            print(f"idle stage {stage:<18} {cpu:6.2f} s CPU  target < 0.2")
        there = _timed(clone, "dvc", "exp", "run", "-S", "balancing=smote")[1].count("Running stage")
        back = _timed(clone, "dvc", "exp", "run", "-S", "balancing=none")[1].count("Running stage")
        again = _timed(clone, "dvc", "exp", "run", "-S", "balancing=smote")[1].count("Running stage")
        print(f"none → smote → none → smote   {there} stages run, then {back}, then {again}; target 0 after")
        shutil.rmtree(clone)


def _bare(folder: Path, stages: int) -> float:
    """Seconds of a `dvc repro` with nothing to do in a project of so many stages and nothing else."""
    folder.mkdir()
    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        _timed(folder, *command)
    (folder / "0.txt").write_text("one line\n", encoding="utf-8")
    text = "stages:\n"
    for k in range(stages):
        text += f"  s{k}:\n    cmd: cp {k}.txt {k + 1}.txt\n    deps: [{k}.txt]\n    outs: [{k + 1}.txt]\n"
    (folder / "dvc.yaml").write_text(text, encoding="utf-8")
    _timed(folder, "dvc", "repro")
    return statistics.median(_timed(folder, "dvc", "repro")[0] for _ in range(3))


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _timed(folder: Path, *command: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return time.perf_counter() - start, done.stdout


def _cpu(folder: Path, *command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=_environment(), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
