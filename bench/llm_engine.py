"""The engine against a loopback server in its own process, journal on: time, CPU, memory, faults.

Ideal is requests × latency / concurrency. The server shares the machine, so a raw aiohttp client without
journal, limits or retries is timed beside the engine: on a busy machine read the ratio to it, and the CPU.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.llm.server import Server, running_server

#: name, options of the server, settings of the engine, requests, target
CASES: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    (
        "0.2 s, 200 at once",
        {"latency": 0.2, "mute": True},
        {"concurrency": 200},
        2000,
        "ratio ≤ 1.25, CPU ≤ 1 ms",
    ),
    (
        "1 s, 200 at once",
        {"latency": 1.0, "mute": True},
        {"concurrency": 200},
        2000,
        "ratio ≤ 1.05, ≤ 120 MiB",
    ),
    (
        "faults: 20% 429, 10% 500, 5% cut",
        {"latency": 0.2, "p429": 0.2, "retry_after": 1, "p500": 0.1, "pcut": 0.05},
        {"concurrency": 50, "attempts": 12},
        500,
        "≤ 8.5 s, nothing missing, none early",
    ),
    ("unknown capacity 20", {"latency": 0.2, "capacity": 20}, {"concurrency": 50}, 500, "≤ 7 s, ≤ 60 429s"),
    (
        "600 a minute, told",
        {"latency": 0.2, "per_minute": 600, "burst": 3},
        {"concurrency": 50, "requests_per_minute": 600},
        600,
        "≤ 62 s, no 429",
    ),
    (
        "600 a minute, untold",
        {"latency": 0.2, "per_minute": 600, "retry_after": 1},
        {"concurrency": 50},
        600,
        "≤ 66 s",
    ),
]
RAW = "raw"
KILLS = 20


def main() -> None:
    """Run every case in a fresh process and print; the kills last."""
    start = _child("0", {}, 0, "")
    print(f"start-up: {start['start']:.2f} s ({start['start_cpu']:.2f} CPU-s), target ≤ 1 s")
    for name, options, changes, count, target in CASES:
        concurrency = changes["concurrency"]
        with running_server(**options) as server, tempfile.TemporaryDirectory() as folder:
            settings = {"base_url": server.base_url, "model": "m", "max_tokens": 512, **changes}
            told = _child(folder, settings, count, "")
            stats = server.stats()
            raw = {}
            if "per_minute" not in options:
                server.reset(**options)
                raw = _child(RAW, settings, count, server.base_url)
        ideal = count * options["latency"] / concurrency
        print(f"\n{name}: {count} requests; target {target}")
        print(
            f"  load {os.getloadavg()[0]:.1f}; {told['wall']:.2f} s = {told['wall'] / ideal:.2f} × ideal",
            end="",
        )
        if raw:
            print(f" = {told['wall'] / raw['wall']:.2f} × raw aiohttp ({raw['cpu']:.2f} ms CPU)", end="")
        print()
        print(f"  CPU {told['cpu']:.2f} ms a request; peak memory {told['memory']:.0f} MiB")
        print(f"  good {told['good']} of {count}; 429s {stats['429']}, early retries {stats['early']}")
        served = (stats["prompt_tokens"], stats["completion_tokens"])
        print(
            f"  ledger {'equals' if tuple(told['ledger']) == served else 'DIFFERS FROM'} the server's tokens"
        )
    _kills()


def _kills() -> None:
    """Kill -9 at random points, faults on, the log's end torn off every second time."""
    options = {"latency": 0.1, "p429": 0.2, "retry_after": 0.2, "p500": 0.1, "pcut": 0.05}
    count, concurrency, draw = 400, 20, random.Random(11)
    with running_server(**options) as server, tempfile.TemporaryDirectory() as folder:
        settings = {
            "base_url": server.base_url,
            "model": "m",
            "max_tokens": 512,
            "concurrency": concurrency,
            "attempts": 12,
        }
        killed = in_flight = 0
        while killed < KILLS:
            process = _started(folder, settings, count, "")
            wanted = _paid(server) + draw.randint(1, 15)
            while process.poll() is None and _paid(server) < wanted:
                time.sleep(0.005)
            time.sleep(draw.random() * 0.05)
            process.kill()
            process.communicate()
            if process.returncode != -9:
                break
            killed += 1
            in_flight += concurrency
            log = next(Path(folder).glob("*.sqlite-wal"), None)
            if killed % 2 and log is not None and log.stat().st_size > 100:
                with log.open("r+b") as file:
                    file.truncate(log.stat().st_size - 100)
        last = _child(folder, settings, count, "")
        stats = server.stats()
        before = stats["requests"]
        _child(folder, settings, count, "")
        repeats = stats["repeats"] - stats["cut"]
        print(
            f"\n{killed} kills: good {last['good']} of {count}, repeated {repeats} (in flight {in_flight}),",
            end="",
        )
        print(f" a repeated run sends {server.stats()['requests'] - before}")


def _paid(server: Server) -> int:
    return int(server.stats()["ok"])


def _child(folder: str, settings: dict[str, Any], count: int, url: str) -> dict[str, Any]:
    out, _ = _started(folder, settings, count, url).communicate()
    return dict(json.loads(out))


def _started(folder: str, settings: dict[str, Any], count: int, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.llm_engine", folder, json.dumps(settings), str(count), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _prompts(count: int) -> list[str]:
    return [f"Please write rows like #{i}, as JSON. " + "example " * 50 for i in range(count)]


def _engine(folder: str, values: dict[str, Any], count: int) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    from evenly.llm.engine.engine import Engine
    from evenly.llm.engine.journal import Journal, journal_path
    from evenly.llm.engine.messages import Answer, ChatRequest
    from evenly.params.llm import EngineSettings

    start, start_cpu = time.perf_counter() - started, time.process_time() - cpu
    if count == 0:
        return {"start": start, "start_cpu": start_cpu}
    settings = EngineSettings.model_validate(values)
    requests = [ChatRequest(messages=({"role": "user", "content": text},)) for text in _prompts(count)]

    def is_json(answer: Answer) -> bool:
        try:
            json.loads(answer.text)
        except ValueError:
            return False
        return True

    async def run() -> tuple[list[Answer], float, float]:
        async with Engine(settings, {}, Path(folder)) as engine:
            began, cpu = time.perf_counter(), time.process_time()
            answers = await engine.complete_all(requests, is_json)
            return answers, time.perf_counter() - began, time.process_time() - cpu

    answers, wall, used = asyncio.run(run())
    path = journal_path(Path(folder), settings.base_url, settings.model)
    with Journal(path, settings.base_url, settings.model) as journal:
        ledger = journal.ledger()
    return {
        "wall": wall,
        "cpu": used / count * 1e3,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "good": sum(a.ok and f"row {i} " in a.text for i, a in enumerate(answers)),
        "ledger": [ledger.prompt_tokens, ledger.completion_tokens],
    }


async def _raw(url: str, count: int, concurrency: int) -> dict[str, Any]:
    """What aiohttp alone costs: no journal, no limits but a semaphore; the same pauses before a retry."""
    import aiohttp

    draw = random.Random(3)
    room = asyncio.Semaphore(concurrency)

    async def one(session: aiohttp.ClientSession, text: str) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 512}
        bound = 0.5
        while True:
            async with room, session.post(f"{url}/chat/completions", json=body) as reply:
                content, status, wait = await reply.json(), reply.status, reply.headers.get("Retry-After")
            if status == 200:
                try:
                    json.loads(content["choices"][0]["message"]["content"])
                    return
                except ValueError:
                    continue
            await asyncio.sleep(float(wait) if wait else draw.random() * bound)
            bound = min(30.0, 2 * bound)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(session, text) for text in _prompts(count)))
        return {"wall": time.perf_counter() - began, "cpu": (time.process_time() - cpu) / count * 1e3}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        folder, settings, count, url = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        told = (
            asyncio.run(_raw(url, count, settings["concurrency"]))
            if url
            else _engine(folder, settings, count)
        )
        print(json.dumps(told))
    else:
        main()
