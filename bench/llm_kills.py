"""Kills at random points of `dvc repro filter` with a recipe that asks a language model, and a judge.

`python -m bench.llm_kills [KILLS [SEED]]`: the whole process group of DVC is killed as often, at random
numbers of requests that have come to a loopback server or at random moments of a start, and started again.
Nothing may be lost: the end is byte for byte that of a run without kills. Repeated are at most the requests
that were in flight, and the ledger of the journal is what the server has counted, within 5%.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evenly.files import file_digest
from evenly.llm.engine.journal import Journal, Ledger
from evenly.llm.engine.journal_files import journal_summaries
from tests.llm.writer import Writer, content_seed, running_writer
from tests.pipeline.projects import Project, make_project

CONCURRENCY = 8
WORDS = [
    f"{a}{b}" for a in ("lamp", "coat", "phone", "kettle", "chair", "mirror") for b in ("", "s", "y", "let")
]
HELD = ("data/generated/llm.parquet", "data/filtered/kept.parquet", "data/filtered/rejected.parquet")
SAYINGS = {
    "delivery": "my {} and {} have not arrived, where is parcel {}",
    "refund": "I sent the {} and {} back and want my money, case {}",
    "password": "the login refused me, {} or {}, reset it for account {}",
}


def saying(label: str, rng: random.Random) -> str:
    """Give a sentence of a class."""
    return SAYINGS[label].format(rng.choice(WORDS), rng.choice(WORDS), rng.randrange(10**6))


def reply(body: dict[str, Any], _: int) -> str:
    """New texts as the prompt asks, or the marks of a judge."""
    prompt = body["messages"][-1]["content"]
    found = re.search(r"Write (\d+) new texts? of the class \"(\w+)\"", prompt)
    if found is None:
        return json.dumps({"consistency": 9, "completeness": 9, "naturalness": 8})
    rng = random.Random(content_seed(body))
    return json.dumps({"samples": [saying(found[2], rng) for _ in range(int(found[1]))]})


def shop(folder: Path, base_url: str) -> Project:
    """A project whose recipe asks for 400 texts, with a judge."""
    project = make_project(folder / "project")
    rng = random.Random(0)
    with (folder / "shop.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "topic"])
        for label, count in (("delivery", 150), ("refund", 40), ("password", 12)):
            rows.writerows([saying(label, rng), label] for _ in range(count))
    project.run("evenly", "add", "shop", str(folder / "shop.csv"), "--text", "message", "--label", "topic")
    path, yaml = project.root / "params.yaml", YAML()
    params = yaml.load(path)
    params["dataset"], params["balancing"] = "shop", "llm"
    endpoint = {"base_url": base_url, "model": "small", "key_variable": None, "concurrency": CONCURRENCY}
    params["llm"].update(endpoint)
    asked = {"samples_per_call": 4, "targets": {"fixed": 160, "max_ratio": 30}}
    params["recipes"]["llm"]["llm"].update(asked)
    params["filter"]["judge"] = {}
    yaml.dump(params, path)
    project.commit("A shop")
    return project


def repro(project: Project) -> subprocess.Popen[bytes]:
    """`dvc repro` as the head of a process group of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "PYTHONPATH"))}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "OMP_NUM_THREADS": "1"}
    with (project.root.parent / "repro.log").open("ab") as log:
        return subprocess.Popen(
            ["dvc", "repro", "filter"],
            cwd=project.root,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def killed(project: Project, writer: Writer, requests: int, pause: float) -> bool:
    """Run, and kill all of it once so many requests have come and the pause is over; False: it had ended."""
    process = repro(project)
    while process.poll() is None and len(writer.bodies) < requests:
        time.sleep(0.005)
    stop = time.monotonic() + pause
    while process.poll() is None and time.monotonic() < stop:
        time.sleep(0.005)
    over = process.poll() is not None
    if not over:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    elif process.returncode:
        raise RuntimeError((project.root.parent / "repro.log").read_text()[-3000:])
    return not over


def finished(project: Project) -> dict[str, str]:
    """Run to the end; what came out."""
    if (process := repro(project)).wait():
        raise RuntimeError((project.root.parent / "repro.log").read_text()[-3000:])
    assert process.returncode == 0
    return {name: file_digest(project.root / name) for name in HELD}


def served(writer: Writer) -> list[dict[str, Any]]:
    """Give the requests that were answered, and cost: the others got an error on purpose."""
    return [body for number, body in enumerate(writer.bodies) if not writer.fails(number)]


def ledger(project: Project) -> Ledger:
    """What the one journal of a project says was paid."""
    (one,) = journal_summaries(project.root / ".cache" / "llm")
    with Journal(one.path, one.base_url, one.model) as journal:
        return journal.ledger()


def main() -> None:
    """Print what the kills have cost."""
    kills, seed = (
        (*map(int, sys.argv[1:]), 20, 0)[:2] if len(sys.argv) < 3 else tuple(map(int, sys.argv[1:3]))
    )
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, running_writer(reply) as writer:
        folder = Path(name)
        writer.delay = lambda number: random.Random(number).uniform(0.02, 0.2)
        writer.fails = lambda number: number % 9 == 4
        plain = shop(folder, writer.base_url)
        (folder / "storm").mkdir()
        project = plain.copy(folder / "storm" / "project")
        whole = finished(plain)
        wanted = Counter(json.dumps(body, sort_keys=True) for body in served(writer))
        writer.bodies.clear()
        # Two of three among the requests, the others at any moment of a start without requests.
        points = sorted(rng.sample(range(1, wanted.total()), kills * 2 // 3)) + [0] * (kills - kills * 2 // 3)
        rng.shuffle(points)
        done, in_flight = 0, 0
        for point in sorted(points):
            before = len(writer.bodies)
            if killed(
                project, writer, max(point, 0), rng.uniform(0.0, 0.3) if point else rng.uniform(0.5, 8.0)
            ):
                done += 1
                in_flight += min(CONCURRENCY, len(writer.bodies) - before)
        same = finished(project) == whole
        sent = Counter(json.dumps(body, sort_keys=True) for body in served(writer))
        counted = 0
        for body in served(writer):
            prompt = "".join(message["content"] for message in body["messages"])
            counted += len(prompt) // 4 + len(reply(body, 0)) // 4
        paid = ledger(project)
        told = paid.prompt_tokens + paid.completion_tokens + paid.uncertain_tokens
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{done} kills of {kills} points, {wanted.total()} requests asked for")
    print(f"the same bytes at the end     {same}")
    print(f"requests lost                 {(wanted - sent).total()}")
    print(f"requests repeated             {(sent - wanted).total()} (at most {in_flight} were in flight)")
    print(f"tokens, ledger / server       {told:,} / {counted:,} = {told / counted:.3f}")
    print(f"calls without an end          {paid.uncertain_calls}")
    print(f"CPU seconds                   {used.ru_utime + used.ru_stime:.0f}")


if __name__ == "__main__":
    main()
