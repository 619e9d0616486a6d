"""A generation while it runs, for people: a live panel on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from evenly.llm.generate import Progress, Watch
    from evenly.llm.writing.quota import Quota

#: Seconds between two lines of a log.
LINE_SECONDS = 15.0
#: Lines of a terminal that are not for classes: frame, heading, sums.
_OTHER_LINES = 9


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """What `generate_samples` takes as `watch`: shows how far things are on this console."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            yield lambda progress: live.update(progress_panel(progress, console.height), refresh=True)
        return
    last = time.monotonic()

    def line(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(progress_line(progress), soft_wrap=True, highlight=False)

    yield line


def progress_line(progress: Progress) -> str:
    """Where the generation stands, in one line."""
    quotas = progress.quotas
    accepted, wanted = sum(len(q.taken) for q in quotas), sum(q.wanted for q in quotas)
    rejected = sum(sum(q.rejected.values()) for q in quotas)
    parts = [f"{accepted} of {wanted} samples accepted, {rejected} rejected", *_sums(progress)]
    return "; ".join(parts)


def progress_panel(progress: Progress, height: int = 40) -> RenderableType:
    """Where the generation stands, by class; those farthest from their quota where not all fit."""
    quotas = progress.quotas
    room = max(3, height - _OTHER_LINES)
    rows = list(quotas)
    if len(rows) > room:
        chosen = set(sorted(range(len(rows)), key=lambda k: (-rows[k].missing, k))[:room])
        rows = [quota for k, quota in enumerate(quotas) if k in chosen]
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("class", overflow="ellipsis", no_wrap=True, max_width=32)
    table.add_column("", ratio=1)
    for name in ("accepted", "wanted", "rejected", "calls"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("mostly because of", overflow="ellipsis", no_wrap=True, ratio=1)
    for quota in rows:
        table.add_row(*_row(quota.cell.name, [quota]))
    rest = [quota for quota in quotas if quota not in rows]
    if rest:
        table.add_row(*_row(f"… {len(rest)} more", rest), style="dim")
    if len(quotas) > 1:
        table.add_row(*_row("all", quotas), style="bold")
    model = progress.engine.statistics
    title = f"language model · {model.in_flight} in flight, at most {progress.engine.limit} at once"
    return Panel(Group(table, Text(), Text("; ".join(_sums(progress)))), title=title, title_align="left")


def _row(name: str, quotas: Sequence[Quota]) -> list[RenderableType]:
    accepted, wanted = sum(len(q.taken) for q in quotas), sum(q.wanted for q in quotas)
    reasons: Counter[str] = Counter()
    for quota in quotas:
        reasons.update(quota.rejected)
        reasons.update(quota.failures)
    mostly = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in reasons.most_common(2))
    rejected = sum(sum(q.rejected.values()) for q in quotas)
    calls = f"{sum(q.judged for q in quotas)}/{sum(q.calls for q in quotas)}"
    short = len(quotas) == 1 and quotas[0].done and quotas[0].missing > 0
    bar = ProgressBar(total=max(wanted, 1), completed=accepted, complete_style="red" if short else "green")
    return [Text(name), bar, str(accepted), str(wanted), str(rejected), calls, mostly]


def _sums(progress: Progress) -> list[str]:
    """Calls, tokens, money, errors and the time left, as far as they are known."""
    engine, s = progress.engine, progress.engine.statistics
    paid = s.prompt_tokens + s.completion_tokens
    calls = f"{s.calls} calls ({s.calls_per_minute():.0f}/min)"
    parts = [calls + (f", {s.from_journal} from the journal" if s.from_journal else "")]
    parts.append(f"{paid:,} tokens" + (f" and {s.journal_tokens:,} paid before" if s.journal_tokens else ""))
    if s.calls or s.from_journal:
        parts.append("cost unknown" if engine.cost is None else f"cost {engine.cost:.4f}")
    if errors := Counter(s.retries) + Counter(s.failures):
        named = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in errors.most_common())
        parts.append(f"retried or failed: {named}")
    if (left := _minutes_left(progress)) is not None:
        parts.append(f"about {left:.0f} min left" if left >= 1 else "less than a minute left")
    return parts


def _minutes_left(progress: Progress) -> float | None:
    """Minutes to go at the present pace and acceptance; None before there is a pace, and at the end."""
    s = progress.engine.statistics
    items = sum(q.items - q.unused for q in progress.quotas)
    accepted = sum(len(q.taken) for q in progress.quotas)
    if s.calls == 0 or all(quota.done for quota in progress.quotas):
        return None
    acceptance = max(accepted / items, 0.05) if items else 1.0
    due = 0.0
    for quota in progress.quotas:
        if quota.size and not quota.done:
            needed = math.ceil(quota.missing / quota.size / acceptance)
            due += max(quota.calls - quota.judged, min(needed, quota.most_calls - quota.judged))
    return due / max(s.calls_per_minute(), 1e-9)
