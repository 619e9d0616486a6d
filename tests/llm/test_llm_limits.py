"""The gate: told limits are kept, a server's capacity is found. Only time is simulated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.llm.engine.limits import Admission, Ticket, TokenWindow, retry_after_seconds, seconds_of


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def simulate(
    count: int,
    server: Callable[[float, int], bool],
    latency: float = 0.2,
    concurrency: int = 50,
    retry: float = 0.5,
    **limits: float,
) -> tuple[list[float], int, float]:
    """Arrivals, rejections and end of `count` requests to a server that says whether it takes one."""
    arrivals: list[float] = []
    rejections = 0
    held = 0

    async def one(gate: Admission, tokens: float) -> None:
        nonlocal rejections, held
        tried = False
        while True:
            ticket = await gate.acquire(tokens, urgent=tried)
            now = asyncio.get_running_loop().time()
            arrivals.append(now)
            if server(now, held):
                held += 1
                await asyncio.sleep(latency)
                held -= 1
                gate.accepted(ticket, tokens)
                return
            rejections += 1
            tried = True
            await asyncio.sleep(0.002)
            gate.rejected(ticket)
            await asyncio.sleep(retry)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        gate = Admission(concurrency, limits.get("rpm"), limits.get("tpm"), clock=loop.time)
        await asyncio.gather(*(one(gate, limits.get("tokens", 0.0)) for _ in range(count)))
        assert gate.in_flight == 0
        return loop.time()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        end = runner.run(run())
    return arrivals, rejections, end


def most_in_a_minute(arrivals: list[float]) -> int:
    window: list[float] = []
    most = 0
    for at in sorted(arrivals):
        window = [other for other in window if other > at - 60.0]
        window.append(at)
        most = max(most, len(window))
    return most


class Bucket:
    def __init__(self, per_minute: float, depth: float) -> None:
        self.rate, self.depth, self.left, self.at = per_minute / 60, depth, depth, 0.0

    def __call__(self, now: float, held: int) -> bool:
        self.left = min(self.depth, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def test_a_told_rate_is_never_exceeded_and_hardly_undercut() -> None:
    arrivals, rejections, end = simulate(1200, Bucket(600, 2), rpm=600)
    assert rejections == 0 and most_in_a_minute(arrivals) <= 600
    assert end <= 122


def test_told_tokens_are_never_exceeded() -> None:
    arrivals, _, end = simulate(60, lambda now, held: True, tpm=30_000, tokens=1000.0)
    assert most_in_a_minute(arrivals) <= 30
    assert end <= 150  # a window of ten seconds holds four whole requests of its five


def test_a_request_larger_than_the_window_still_leaves() -> None:
    window = TokenWindow(600)
    window.add(Ticket(1, 500, 0.0))
    assert 0 < window.wait(1.0, 900) <= 90
    assert window.wait(200.0, 900) == 0


@pytest.mark.parametrize("capacity", [1, 3, 20, 40])
def test_unknown_capacity_is_found_and_kept(capacity: int) -> None:
    _, rejections, end = simulate(25 * capacity, lambda now, held: held < capacity)
    assert rejections <= (50 - capacity) + 30
    assert end <= 25 * 0.2 * 1.5


@pytest.mark.parametrize("depth", [3, 10, 60])
def test_an_unknown_rate_is_found(depth: int) -> None:
    _, rejections, end = simulate(600, Bucket(600, depth))
    assert end <= 66 and rejections <= 200


@pytest.mark.parametrize("concurrency", [2, 8, 50])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_rejections_do_not_throttle(concurrency: int, seed: int) -> None:
    draw = random.Random(seed)
    count = 40 * concurrency
    _, _, end = simulate(count, lambda now, held: draw.random() > 0.2, concurrency=concurrency)
    assert end <= 40 * 0.2 * 1.5 + 5.0


def test_a_server_that_recovers_is_used_again() -> None:
    _, _, end = simulate(2000, lambda now, held: held < (5 if now < 2 else 50))
    assert end <= 2 + 2000 * 0.2 / 50 * 2.5


def test_those_turned_away_go_before_new_work() -> None:
    async def run() -> list[str]:
        gate = Admission(1)
        first = await gate.acquire(0, urgent=False)
        order: list[str] = []

        async def wait(name: str, urgent: bool) -> None:
            ticket = await gate.acquire(0, urgent)
            order.append(name)
            gate.leave(ticket)

        tasks = [asyncio.create_task(wait("new", False)), asyncio.create_task(wait("retry", True))]
        await asyncio.sleep(0)
        gate.leave(first)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["retry", "new"]


def test_rate_limit_headers_set_the_pace() -> None:
    async def run() -> float:
        gate = Admission(50)
        gate.learn(
            {
                "x-ratelimit-limit-requests": "600",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m0s",
            },
            Ticket(0, 0.0, 0.0),
        )
        assert gate.learned is not None
        return gate.learned.per_minute

    assert asyncio.run(run()) == pytest.approx(600)


@pytest.mark.parametrize("limits", [{"rpm": 60}, {"tpm": 60_000, "tokens": 1000.0}])
def test_told_rates_burst_as_the_server_allows_and_keep_their_minute(limits: dict[str, float]) -> None:
    """The server says with its first answer that a whole minute is left: that leaves at once."""

    def arrivals(kind: str) -> list[float]:
        async def run() -> list[float]:
            loop = asyncio.get_running_loop()
            gate = Admission(50, limits.get("rpm"), limits.get("tpm"), clock=loop.time)
            sent: list[float] = []

            async def one() -> None:
                ticket = await gate.acquire(limits.get("tokens", 0.0), urgent=False)
                sent.append(loop.time())
                await asyncio.sleep(0.2)
                gate.accepted(ticket)
                left = 60 - sum(at > loop.time() - 60 for at in sent)
                number = left * 1000 if kind == "tokens" else left
                gate.learn({f"x-ratelimit-remaining-{kind}": str(number)}, ticket)

            await asyncio.gather(*(one() for _ in range(150)))
            return sent

        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            return runner.run(run())

    even = arrivals("nothing")
    burst = arrivals("tokens" if "tpm" in limits else "requests")
    assert even[40] > 15 and burst[40] < 3
    assert most_in_a_minute(even) <= 60 and most_in_a_minute(burst) <= 60
    assert burst[-1] <= even[-1] + 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.5", 1.5),
        ("20ms", 0.02),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("soon", None),
        ("", None),
        ("5x", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_retry_after_in_all_its_forms() -> None:
    now = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT
    assert retry_after_seconds({"retry-after": "2"}, now) == 2
    assert retry_after_seconds({"retry-after-ms": "250", "retry-after": "9"}, now) == 0.25
    assert retry_after_seconds({"retry-after": "Sun, 09 Sep 2001 01:46:50 GMT"}, now) == 10
    assert retry_after_seconds({"retry-after": "Sun, 09 Sep 2001 01:00:00 GMT"}, now) == 0
    for nonsense in ({}, {"retry-after": "later"}, {"retry-after": "-3"}, {"retry-after": "inf"}):
        assert retry_after_seconds(nonsense, now) is None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(1, 400)), max_size=60))
def test_no_minute_of_tokens_is_over(steps: list[tuple[float, float]]) -> None:
    window = TokenWindow(2400)
    now = 0.0
    sent: list[tuple[float, float]] = []
    for pause, tokens in steps:
        now += pause
        while (wait := window.wait(now, tokens)) > 0:
            now += wait + 1e-6
        window.add(Ticket(0, tokens, now))
        sent.append((now, tokens))
    for at, _ in sent:
        assert sum(tokens for other, tokens in sent if at <= other < at + 59.99) <= 2400 + 1e-6
