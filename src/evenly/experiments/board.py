"""The board: a small server that shows runs, the progress of a sweep, the comparison and every report in a
browser on this machine.

It listens on the loopback address only, answers GET alone, and gives out nothing but what its front page
lists: reports of finished runs by their name, and files of `reports/`. A request that names another host is
refused, so that no page of the internet can read it under a name of its own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from evenly.errors import DataError, EvenlyError, ParameterError
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.ledger import Progress, Sweep, read_progress, read_sweep
from evenly.experiments.runs import json_of
from evenly.files import reading
from evenly.pages import page_html, policy, section

_REPORTS, _REPORT, _WORKSPACE = "reports", "reports/report.html", "workspace"
#: What files of `reports/` are given out as; all else is not.
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}
#: Runs outside the last sweep that are listed, the newest ones.
_MOST_RUNS = 50
#: Seconds after which the front page loads itself anew, while a sweep runs and otherwise.
_BUSY, _IDLE = 3, 30


def serve(root: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve the board of a project until Ctrl-C or SIGTERM.

    Raises
    ------
    DataError
        When this is no Git repository.
    ParameterError
        When the port is taken, or may not be used.
    """
    experiment_revisions(root)
    try:
        server = make_server(root, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ParameterError(
            f"Port {port} cannot be used ({why}); choose another with --port, 0 for any that is free."
        ) from error

    def end(*_: object) -> None:
        # From another thread: `shutdown` waits for the loop that this signal has interrupted.
        threading.Thread(target=server.shutdown).start()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    say(f"The board is at http://127.0.0.1:{server.server_port}/ for this machine alone; Ctrl-C ends it.")
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        for number, handler in before.items():
            signal.signal(number, handler)
    say("The board has ended.")


def make_server(root: Path, port: int) -> ThreadingHTTPServer:
    """A server of the board that already listens; port 0 takes a free one."""
    pages = Board(root)

    class Handler(_Handler):
        board = pages

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    board: Board
    server_version, sys_version, timeout = "evenly", "", 10

    def do_GET(self) -> None:
        """Give a page, or the sentence that says why there is none."""
        if self.headers.get("Host") not in self._hosts():
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"This board answers to its own address only.\n")
            return
        try:
            found = self.board.page(unquote(urlsplit(self.path).path))
        except EvenlyError as error:
            self._send(HTTPStatus.NOT_FOUND, f"{error}\n".encode())
            return
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, b"There is no such page; / lists those there are.\n")
        else:
            self._send(HTTPStatus.OK, *found)

    def do_HEAD(self) -> None:
        """The same without the page; every other method is refused by the base class."""
        self.do_GET()

    def _hosts(self) -> set[str]:
        port = self.connection.getsockname()[1]
        names = ("127.0.0.1", "localhost")
        # Browsers leave the port out where it is the one of HTTP.
        return {f"{name}:{port}" for name in names} | ({*names} if port == HTTP_PORT else set())

    def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is for people."""


class Board:
    """The pages of a project, by address."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, list[Any]] = {}

    def page(self, path: str) -> tuple[bytes, str] | None:
        """Content and kind of a page; None where there is none of this address."""
        if path == "/":
            return page_html(self.front()).encode(), _KINDS[".html"]
        kind, _, name = path.removeprefix("/").partition("/")
        if kind == "run":
            commit = experiment_revisions(self.root).get(name)
            report = None if commit is None else Revision(self.root, name, commit).read(_REPORT)
            return None if report is None else (report, _KINDS[".html"])
        # Looked up among the files there are, so that no address leads elsewhere.
        file = self.files().get(name) if kind == _REPORTS else None
        try:
            return None if file is None else (file.read_bytes(), _KINDS[file.suffix])
        except FileNotFoundError:  # written anew just now
            return None

    def files(self) -> dict[str, Path]:
        """Files of `reports/` that are given out, by their path in it; none that a link leads out to."""
        folder = self.root / _REPORTS
        inside = folder.resolve()
        return {
            file.relative_to(folder).as_posix(): file
            for file in sorted(folder.rglob("*"))
            if file.suffix in _KINDS
            and file.is_file()
            and file.resolve().is_relative_to(inside)
            and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        }

    def front(self) -> dict[str, Any]:
        """The front page, as the context of `page_html`."""
        finished = experiment_revisions(self.root)
        files = self.files()
        sections, swept, progress = [], set[str](), Progress({}, {}, False)
        with suppress(DataError, KeyError):  # none, or a file of another version
            sweep = read_sweep(self.root, None)
            progress, swept = read_progress(self.root, sweep), set(sweep.names)
            sections.append(self._sweep(sweep, progress, finished))
        known = [name for name in _MEANINGS if name in files]
        pages = [name for name in files if name.endswith(".html") and name not in known]
        rest = [name for name in files if "/" not in name and name not in (*known, *pages)]
        if links := [
            [
                {"text": name, "link": f"/{_REPORTS}/{quote(name)}"},
                {"text": _MEANINGS.get(name, ""), "words": True},
            ]
            for name in (*known, *pages, *rest)
        ]:
            sections.append(section("Reports here", {"table": links, "columns": ["File", "What it shows"]}))
        runs = [name for name in reversed(finished) if name not in swept][:_MOST_RUNS]
        if runs:
            rows = [self._row(name, finished[name], "finished") for name in runs]
            more = len(finished.keys() - swept) - len(runs)
            caption = (
                f"The newest first; {more} older ones are not listed." if more > 0 else "The newest first."
            )
            sections.append(section("Other runs", {"table": rows, "columns": _COLUMNS, "caption": caption}))
        if not sections:
            sections.append(
                section("Nothing yet", {"text": "dvc repro makes a report, evenly sweep runs many."})
            )
        return {
            "title": f"evenly: {self.root.resolve().name}",
            "summary": "A sweep is running." if progress.alive else "No sweep is running.",
            "facts": [("finished runs", len(finished))],
            "refresh": _BUSY if progress.alive else _IDLE,
            "sections": sections,
        }

    def _sweep(self, sweep: Sweep, progress: Progress, finished: dict[str, str]) -> dict[str, Any]:
        failed = {name: why for name, why in progress.failures.items() if name not in finished}
        counts = {
            "finished": sum(name in finished for name in sweep.names),
            "running": len(progress.running),
            "failed": len(failed),
        }
        counts["waiting" if progress.alive else "not run"] = len(sweep.names) - sum(counts.values())
        running, failing, ready, waiting = [], [], [], []
        for name in sweep.names:
            if name in finished:
                ready.append(self._row(name, finished[name], "finished"))
            elif name in progress.running:
                running.append(_unfinished(name, f"running {progress.running[name]}".strip()))
            elif name in failed:
                failing.append(_unfinished(name, f"failed: {failed[name]}"))
            else:
                waiting.append(_unfinished(name, "waiting" if progress.alive else "not run"))
        tiles = [{"label": word, "value": f"{number:,}"} for word, number in counts.items()]
        caption = f"evenly sweep {sweep.groups}: {len(sweep.names)} runs"
        return section(
            f"Sweep {sweep.id}",
            {"numbers": tiles},
            {"table": [*running, *failing, *ready, *waiting], "columns": _COLUMNS, "caption": caption},
        )

    def _row(self, name: str, commit: str, state: str) -> list[Any]:
        """The cells of a finished run; once all can be read, they do not change and are kept."""
        cells = self._known.get(commit)
        if cells is None:
            cells = [None] * 4
            revision = Revision(self.root, name, commit)
            with suppress(DataError):  # not pulled, or damaged
                params = revision.yaml("params.yaml")
                cells[1:] = [params.get(key) for key in ("dataset", "balancing", "seed")]
                with reading(name):
                    score = json_of(revision, "metrics/evaluate.json").get("test", {}).get("macro_f1")
                    cells[0] = None if score is None else f"{score:.3f}"
                self._known[commit] = cells
        return [{"text": name, "link": f"/run/{quote(name, safe='')}"}, state, *cells]


def _unfinished(name: str, state: str) -> list[Any]:
    return [name, {"text": state, "words": True}, None, None, None, None]


_COLUMNS = ["Run", "State", "Macro F1", "Data set", "Recipe", "Seed"]
#: Files of `reports/` that people open first, in this order.
_MEANINGS = {
    "comparison.html": "the last comparison of techniques",
    "report.html": "the run that lies here",
    "diff.html": "what a branch changes",
    "augmentation.md": "what the screening kept of generated rows, and why not the others",
    "per_class.csv": "scores of every class",
    "predictions.csv": "probabilities of every test row",
    "review_sample.csv": "generated rows for people to judge",
    "suspect_labels.csv": "training rows whose label may be wrong",
}
