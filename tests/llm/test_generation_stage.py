"""The stage, the dry run and `evenly llm` in a small project on disk."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from evenly.files import write_json
from evenly.llm.engine.journal import Journal
from evenly.llm.engine.journal_files import journal_summaries
from evenly.llm.generate import generate_samples
from evenly.llm.judging import LlmJudge
from evenly.llm.panel import progress_line, progress_panel, watching
from evenly.llm.preview import plan_estimate
from evenly.llm.writing.prompts import Prompts
from evenly.plans import write_plan
from evenly.samples import SampleTable, read_samples, write_samples
from tests.llm.generation_cases import (
    PROMPTS,
    TEXTS,
    engine_settings,
    generated,
    plan_for,
    text_table,
)
from tests.llm.test_generation import faulty_samples
from tests.llm.writer import Writer, content_seed, running_writer

ROOT = Path(__file__).parents[2]
KILLED = {"arrival": 60, "pin": 40}


def project(folder: Path, writer: Writer | None, mode: str = "generate", **counts: int) -> Path:
    """A project whose plan asks for these samples of a server; without one the plan is empty."""
    shutil.copytree(PROMPTS, folder / "prompts")
    write_samples(text_table(), _made(folder / "data/split/train.parquet"))
    if writer is None:
        write_plan(None, folder / "data/plan/llm.json")
        return folder
    (folder / "params.yaml").write_text(
        f"llm: {{base_url: '{writer.base_url}', model: tester, concurrency: 4, max_tokens: 500}}\n"
    )
    write_plan(
        plan_for(engine_settings(writer.base_url, max_tokens=500), counts, mode, attempts=10),
        folder / "data/plan/llm.json",
    )
    return folder


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "DVC_ROOT": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_an_empty_plan_writes_the_empty_table_and_imports_nothing_heavy(tmp_path):
    folder = project(tmp_path, None)
    code = (
        "import sys; from stages.llm_generate import main; main();"
        "heavy = 'numpy pyarrow pandas torch openai aiohttp jinja2 rich sklearn scipy'.split();"
        "print(sorted(set(heavy) & set(sys.modules)))"
    )
    done = run_python(folder, "-c", code)
    assert done.stdout.splitlines() == ["llm_generate: nothing to do", "[]"], done.stderr
    assert len(read_samples(folder / "data/generated/llm.parquet")) == 0
    assert json.loads((folder / "metrics/llm.json").read_text()) == {}


def test_a_dry_run_tells_the_calls_and_sends_and_writes_nothing(tmp_path):
    with running_writer() as writer:
        folder = project(tmp_path, writer, arrival=25, pin=10)
        done = run_python(folder, "-m", "stages.llm_generate", "--dry-run")
        assert done.returncode == 0, done.stderr
        shown = run_python(
            folder, "-c", "from evenly.cli import main; main()", "llm", "estimate", "--show", "1"
        )
        assert writer.bodies == []
    assert "calls       4 " in done.stdout
    assert not (folder / "data/generated").exists()
    assert "calls       4 " in shown.stdout
    assert '10 new texts of the class "arrival"' in shown.stdout


def test_the_dry_run_counts_the_judge_as_the_estimate_does(tmp_path):
    with running_writer() as writer:
        folder = project(tmp_path, writer, arrival=25, pin=10)
        params = yaml.safe_load((folder / "params.yaml").read_text()) | {"filter": {"judge": {}}}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        done = run_python(folder, "-m", "stages.llm_generate", "--dry-run")
        estimate = run_python(folder, "-c", "from evenly.cli import main; main()", "llm", "estimate")
        assert writer.bodies == []
    assert "calls       39 " in done.stdout and "35 judge" in done.stdout, done.stderr
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        line.rstrip() for line in estimate.stdout.splitlines()
    ]


def test_a_killed_stage_goes_on_where_it_was_and_pays_for_no_more_than_was_in_flight(tmp_path, kills=2):
    draw, happened = random.Random(1), 0
    with running_writer(faulty_samples) as writer:
        clean = project(tmp_path / "clean", writer, **KILLED)
        assert run_python(clean, "-m", "stages.llm_generate").returncode == 0
        wanted = Counter(map(content_seed, writer.bodies))
        expected = (clean / "data/generated/llm.parquet").read_bytes()
        writer.bodies.clear()

        folder = project(tmp_path / "killed", writer, **KILLED)
        writer.delay = lambda number: 0.1
        command = [sys.executable, "-m", "stages.llm_generate"]
        for _ in range(kills):
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(folder),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            until = len(writer.bodies) + draw.randint(1, max(2, 2 * wanted.total() // (kills + 1)))
            while process.poll() is None and len(writer.bodies) < until:
                time.sleep(0.01)
            time.sleep(draw.random() * 0.1)
            process.kill()
            happened += process.wait() == -9
        writer.delay = lambda number: 0.0
        done = run_python(folder, "-m", "stages.llm_generate")
        assert done.returncode == 0, done.stderr
        sent = Counter(map(content_seed, writer.bodies))
        paid = sum(
            len("".join(m["content"] for m in body["messages"])) // 4 + len(faulty_samples(body, number)) // 4
            for number, body in enumerate(writer.bodies)
        )
    repeated = sum((sent - wanted).values())
    (journal,) = journal_summaries(folder / ".cache" / "llm")
    with Journal(journal.path, journal.base_url, journal.model) as opened:
        ledger = opened.ledger()
    told = ledger.prompt_tokens + ledger.completion_tokens + ledger.uncertain_tokens
    print(f"{happened} kills, {wanted.total()} calls, {repeated} repeated, ledger {told / paid:.3f}")
    assert set(sent) == set(wanted) and happened > 0
    assert repeated <= 4 * happened  # what was in flight
    assert told == pytest.approx(paid, rel=0.05)
    assert (folder / "data/generated/llm.parquet").read_bytes() == expected


def test_answers_that_came_by_batch_are_not_asked_for_again(tmp_path, server):
    folder = project(tmp_path, server, arrival=5)
    command = ("-c", "from evenly.cli import main; main()", "llm", "batch", "--every", "1")
    done = run_python(folder, *command)
    assert "1 requests submitted, 1 answers collected" in done.stdout, done.stderr
    assert run_python(folder, "-m", "stages.llm_generate").returncode == 0
    assert (
        server.stats()["requests"] < 10
    )  # nine more attempts at a class that this server repeats itself for
    assert json.loads((folder / "metrics/llm.json").read_text())["run"]["from_journal"] == 1


def test_in_mode_boundary_a_second_batch_asks_for_the_classes(tmp_path, server):
    folder = project(tmp_path, server, arrival=5, mode="boundary")
    command = ("-c", "from evenly.cli import main; main()", "llm", "batch", "--every", "1")
    done = run_python(folder, *command)
    first, second = (line for line in done.stdout.splitlines() if "answers were there" in line)
    assert "0 answers were there, 1 requests submitted, 1 answers collected" in first, done.stderr
    assert "0 answers were there, 1 requests submitted, 1 answers collected" in second
    again = run_python(folder, *command).stdout
    assert "2 answers were there, 0 requests submitted" in again and "classes" not in again
    assert run_python(folder, "-m", "stages.llm_generate").returncode == 0
    assert json.loads((folder / "metrics/llm.json").read_text())["run"]["from_journal"] == 2


def test_a_batch_of_judge_requests_is_what_the_judge_then_finds(tmp_path, server):
    folder = project(tmp_path, server, arrival=5)
    params = yaml.safe_load((folder / "params.yaml").read_text()) | {"filter": {"judge": {}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    command = ("-c", "from evenly.cli import main; main()", "llm", "batch", "--every", "1", "--judge")
    assert "has no rows to judge; run `dvc repro llm_generate`" in run_python(folder, *command).stderr
    made = text_table({"arrival": ["a first new text", "a second one"]}).with_column("origin", ["llm"] * 2)
    write_samples(SampleTable(made.table, text_table().schema), _made(folder / "data/generated/llm.parquet"))
    done = run_python(folder, *command)
    assert "2 requests submitted, 2 answers collected" in done.stdout, done.stderr
    assert "2 answers were there, 0 requests submitted" in run_python(folder, *command).stdout


def test_the_estimate_counts_the_judge_and_the_acceptance_of_the_last_run(tmp_path):
    s = engine_settings("http://127.0.0.1:9", prices={"tester": {"input": 1.0, "output": 2.0}})
    plan, train = plan_for(s, {"arrival": 40}), text_table()
    judge = LlmJudge(s, train, {}, Prompts(PROMPTS), {}, tmp_path)
    alone = plan_estimate(plan, train, Prompts(PROMPTS), s, tmp_path, metrics=tmp_path)
    both = plan_estimate(plan, train, Prompts(PROMPTS), s, tmp_path, judge, tmp_path)
    assert (alone.calls, both.calls) == (4, 4 + 40) and both.cost > alone.cost
    write_json({"mode": "generate", "model": "tester", "acceptance": 0.5}, tmp_path / "llm.json")
    screened = {"candidates": 100, "measured": {"judge": {"judged": 25}}}
    write_json(screened, tmp_path / "filter.json")
    last = plan_estimate(plan, train, Prompts(PROMPTS), s, tmp_path, judge, tmp_path)
    assert last.calls == 8 + 10
    assert "0 relabelling, 10 judge; acceptance 50% as in the last run" in last.lines()[-1]


def test_shortfalls_are_told_class_by_class(tmp_path):
    same = json.dumps({"samples": ["one and the same answer for everybody"]})
    with running_writer(lambda body, number: same) as writer:
        folder = project(tmp_path, writer, arrival=3)
        done = run_python(folder, "-m", "stages.llm_generate")
    assert "short: arrival: 1 of 3 samples, its last 3 calls brought 1 of 30 samples for" in done.stdout
    assert json.loads((folder / "metrics/llm.json").read_text())["shortfall"] == 2


def test_the_estimate_is_near_what_the_run_then_takes(tmp_path):
    with running_writer() as writer:
        price = {"tester": {"input": 1.0, "output": 2.0}}
        s = engine_settings(writer.base_url, prices=price)
        plan = plan_for(s, {"arrival": 200, "refund": 100})
        first = plan_estimate(plan, text_table(), Prompts(PROMPTS), s, tmp_path)
        generated(s, plan_for(s, {"pin": 80}), text_table(), tmp_path)
        corrected = plan_estimate(plan, text_table(), Prompts(PROMPTS), s, tmp_path)
        made = generated(s, plan, text_table(), tmp_path)
        after = plan_estimate(plan, text_table(), Prompts(PROMPTS), s, tmp_path)
    assert first.calls == corrected.calls == made.metrics["calls"] == 30
    assert corrected.prompt_tokens == pytest.approx(made.metrics["prompt_tokens"], rel=0.15)
    assert corrected.cost == pytest.approx(made.metrics["cost"], rel=0.15)
    assert (after.calls, after.cost) == (0, 0.0)


def test_metrics_hold_tokens_and_cost_as_the_server_counted_them(tmp_path):
    with running_writer(faulty_samples) as writer:
        s = engine_settings(writer.base_url, prices={"tester": {"input": 1.0, "output": 2.0}})
        made = generated(s, plan_for(s, {"arrival": 20}, attempts=10), text_table(), tmp_path).metrics
        prompts = sum(len("".join(m["content"] for m in body["messages"])) // 4 for body in writer.bodies)
    assert made["prompt_tokens"] == prompts
    assert made["tokens_paid"] == made["prompt_tokens"] + made["completion_tokens"]
    assert made["cost"] == pytest.approx((made["prompt_tokens"] + 2 * made["completion_tokens"]) / 1e6)
    assert made["cost_per_accepted"] == pytest.approx(made["cost"] / 20)
    unpriced = generated(
        engine_settings(writer.base_url), plan_for(s, {"arrival": 20}, attempts=10), text_table(), tmp_path
    )
    assert unpriced.metrics["cost"] is None
    assert unpriced.metrics["cost_per_accepted"] is None


def test_the_panel_shows_every_number_and_fits_the_screen(tmp_path):
    seen = []
    texts = {
        f"class {k:02d}": [f"some words of class {k}", f"other words, number {k}"] for k in range(40)
    } | TEXTS
    with running_writer(faulty_samples) as writer:
        writer.delay = lambda number: 0.02
        s = engine_settings(writer.base_url)
        plan = plan_for(s, {name: 12 for name in texts if name not in TEXTS}, attempts=10)
        generate_samples(plan, text_table(texts), Prompts(PROMPTS), s, {}, tmp_path, seen.append)
        console = Console(width=110, height=30, record=True, file=(tmp_path / "out").open("w"))
        console.print(progress_panel(seen[-1], 30))
        text = console.export_text()
        line = progress_line(seen[-1])
    assert len(seen) > 1
    assert len(text.splitlines()) <= 30
    for part in ("480", "more", "duplicate of real"):
        assert part in text
    assert line.startswith("480 of 480 samples accepted")
    assert "cost unknown" in line


def test_no_terminal_no_control_characters(tmp_path):
    out = (tmp_path / "log").open("w+")
    with running_writer() as writer, watching(Console(file=out)) as watch:
        s = engine_settings(writer.base_url)
        generate_samples(plan_for(s, {"pin": 5}), text_table(), Prompts(PROMPTS), s, {}, tmp_path, watch)
    out.seek(0)
    assert "\x1b" not in out.read()


def test_the_journal_is_listed_shared_and_pruned(tmp_path):
    def evenly(folder, *arguments):
        done = run_python(folder, "-c", "from evenly.cli import main; main()", "llm", "journal", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with running_writer() as writer:
        mine, theirs = (project(tmp_path / name, writer, arrival=20) for name in ("mine", "theirs"))
        assert run_python(mine, "-m", "stages.llm_generate").returncode == 0
        sent = len(writer.bodies)
        assert "tester" in evenly(mine, "list")
        assert "2 answers written" in evenly(mine, "export", str(tmp_path / "answers.jsonl"))
        assert "2 answers taken in" in evenly(theirs, "import", str(tmp_path / "answers.jsonl"))
        assert run_python(theirs, "-m", "stages.llm_generate").returncode == 0
        assert len(writer.bodies) == sent
        assert "2 answers forgotten" in evenly(theirs, "prune", "--all")
    generated_by = [(folder / "data/generated/llm.parquet").read_bytes() for folder in (mine, theirs)]
    assert generated_by[0] == generated_by[1]
