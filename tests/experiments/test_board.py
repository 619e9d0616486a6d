"""The board gives out what its front page lists, to this machine alone, and goes with a sweep."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import headless_browser

import evenly
from evenly.errors import DataError
from evenly.experiments.board import make_server, serve
from evenly.experiments.experiments import Experiment, Technique
from evenly.experiments.ledger import Sweep, progress_file, read_progress, record_sweep
from evenly.experiments.sweeping import Event, recorded_progress
from evenly.files import write_json
from evenly.pages import page_html

HOSTILE = "</script><img src=x onerror=alert(1)>"
RUN = "digits-<b>'smote'-s1"


def stored(root: Path, content: bytes) -> str:
    """Put content into DVC's cache."""
    md5 = hashlib.md5(content).hexdigest()
    place = root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return md5


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one finished experiment, a report, and things that are nobody's business."""
    root = tmp_path / "project"
    (root / "reports" / "deep").mkdir(parents=True)
    outs = {
        "metrics/evaluate.json": json.dumps({"test": {"macro_f1": 0.8125}}).encode(),
        "reports/report.html": b"<p>of the experiment</p>",
    }
    listed = "\n".join(f"      - {{path: {path}, md5: {stored(root, data)}}}" for path, data in outs.items())
    (root / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  evaluate:\n    outs:\n{listed}\n")
    (root / "params.yaml").write_text(f"dataset: digits\nbalancing: {json.dumps(HOSTILE)}\nseed: 7\n")
    (root / "secret.txt").write_text("secret")
    (root / "reports" / "report.html").write_text("<p>of the workspace</p>")
    (root / "reports" / "deep" / "diff.html").write_text("<p>deep</p>")
    (root / "reports" / ".hidden.html").write_text("secret")
    (root / "reports" / "model.pkl").write_text("secret")
    (root / "reports" / "out.html").symlink_to(root / "secret.txt")
    (root / "reports" / "all").symlink_to(root)
    for command in (
        ("init", "-q"),
        ("add", "dvc.lock", "params.yaml"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "run"),
        ("update-ref", f"refs/exps/aa/{'b' * 38}/{RUN}", "HEAD"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture
def port(project: Path) -> Iterator[int]:
    server = make_server(project, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def test_the_front_page_leads_to_every_report_and_run(port: int) -> None:
    status, page, headers = ask(port, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "0.812" in page
    run = "/run/digits-%3Cb%3E%27smote%27-s1"
    for link, content in (
        ("/reports/report.html", "of the workspace"),
        ("/reports/deep/diff.html", "deep"),
        (run, "of the experiment"),
    ):
        assert f'href="{link}"' in page
        assert content in ask(port, link)[1]
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in page and HOSTILE not in page


@pytest.mark.parametrize(
    "path",
    [
        "/reports/../secret.txt",
        "/reports/%2e%2e/secret.txt",
        "/reports/..%2fsecret.txt",
        "/reports//etc/passwd",
        "/etc/passwd",
        "/secret.txt",
        "/reports",
        "/reports/",
        "/reports/deep",
        "/reports/.hidden.html",
        "/reports/model.pkl",
        "/reports/out.html",
        "/reports/all/secret.txt",
        "/run/",
        "/run/HEAD",
        "/run/workspace",
        "/run/..",
        "/%00",
        "/reports/report.html%00.png",
    ],
)
def test_nothing_else_is_given_out(port: int, path: str) -> None:
    status, body, _ = ask(port, path)
    assert status == 404
    assert "secret" not in body and "root:" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_request_under_another_name_is_refused(port: int, host: str) -> None:
    status, body, _ = ask(port, "/", Host=host.format(port=port))
    assert status == 421
    assert "digits" not in body
    assert ask(port, "/", Host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/reports/report.html", method)[0] == 501


def test_other_pages_can_neither_frame_nor_read_it(port: int) -> None:
    for path in ("/", "/reports/report.html", "/nothing"):
        headers = ask(port, path)[2]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers
    assert ask(port, "/", "HEAD")[1] == ""


def test_it_listens_on_loopback_only(project: Path) -> None:
    server = make_server(project, 0)
    try:
        assert server.server_address[0] == "127.0.0.1"
    finally:
        server.server_close()


def test_a_report_that_is_not_in_the_cache_is_a_sentence(port: int, project: Path) -> None:
    for content in (project / ".dvc" / "cache").rglob("*"):
        if content.is_file():
            content.unlink()
    status, body, _ = ask(port, "/run/digits-%3Cb%3E%27smote%27-s1")
    assert status == 404
    assert "not in DVC's cache" in body
    assert ask(port, "/")[0] == 200


def test_a_score_that_comes_into_the_cache_later_is_shown(port: int, project: Path) -> None:
    md5 = hashlib.md5(content := json.dumps({"test": {"macro_f1": 0.8125}}).encode()).hexdigest()
    (project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    assert "0.812" not in ask(port, "/")[1]
    stored(project, content)
    assert "0.812" in ask(port, "/")[1]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("params.yaml", b"- [", "params.yaml of .* is damaged"),
        ("params.yaml", b"\xff\xfe\x00", "params.yaml of .* is damaged"),
        ("params.yaml", b"seed: 1", "What .* has left is damaged .*"),
        ("metrics/evaluate.json", b'{"test"', "metrics/evaluate.json of .* is damaged"),
        ("metrics/evaluate.json", b"[1]", "metrics/evaluate.json of .* is damaged"),
    ],
)
def test_a_damaged_run_is_listed_and_a_comparison_says_what_is_wrong_with_it(
    port: int, project: Path, path: str, content: bytes, message: str
) -> None:
    if path == "params.yaml":
        (project / path).write_bytes(content)
    else:
        lock = project / "dvc.lock"
        before = hashlib.md5(json.dumps({"test": {"macro_f1": 0.8125}}).encode()).hexdigest()
        lock.write_text(lock.read_text().replace(before, stored(project, content)))
    for command in (
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-aqm", "damaged"),
        ("update-ref", f"refs/exps/aa/{'b' * 38}/{RUN}", "HEAD"),
    ):
        subprocess.run(["git", *command], cwd=project, check=True, capture_output=True)
    status, page, _ = ask(port, "/")
    assert status == 200 and "/run/digits-%3Cb%3E%27smote%27-s1" in page
    (project / "dvc.yaml").write_text("stages: {}\n")
    with (
        pytest.warns(UserWarning, match=message),
        pytest.raises(DataError, match="No run has finished"),
    ):
        evenly.compare(project=project)


def test_the_page_reloads_often_while_a_sweep_runs_and_tells_how_it_gets_on(port: int, project: Path) -> None:
    names = (RUN, "digits-none-s1", "digits-none-s2", "digits-none-s3")
    sweep = Sweep("smote-123456", f"smote {HOSTILE}", names, {"digits-none-s3": "it failed"})
    record_sweep(project, sweep)
    page = ask(port, "/")[1]
    assert "No sweep is running." in page and "not run" in page and "failed: it failed" in page
    experiments = {name: Experiment(Technique("none"), "digits", 1, name, frozenset()) for name in names}
    seen = []
    with recorded_progress(project, sweep.id, seen.append) as note:
        note(Event(experiments["digits-none-s1"], "running", "train"))
        note(Event(experiments["digits-none-s2"], "failed", reason=HOSTILE))
        page = ask(port, "/")[1]
        assert "A sweep is running." in page and 'content="3"' in page
        assert "running train" in page and "waiting" in page
        assert "failed: &lt;/script&gt;" in page and HOSTILE not in page
        for label, number in (("finished", 1), ("running", 1), ("failed", 1), ("waiting", 1)):
            assert f"<span>{label}</span><b>{number}</b>" in page
    assert [event.status for event in seen] == ["running", "failed"]
    page = ask(port, "/")[1]
    assert "No sweep is running." in page and 'content="3"' not in page


def test_a_sweep_that_was_killed_has_nothing_running(project: Path) -> None:
    sweep = Sweep("smote-123456", "smote", ("a",))
    path = progress_file(project, sweep.id)
    write_json({"running": {"a": "train"}, "failures": {}}, path)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert read_progress(project, sweep).running == {"a": "train"}
    assert not read_progress(project, sweep).alive
    assert read_progress(project, sweep).running == {}


def test_a_browser_sees_the_board_change_by_itself(port: int, project: Path, tmp_path: Path) -> None:
    (project / "reports" / "report.html").write_text(
        page_html({"title": "t", "summary": "s", "facts": [], "sections": []})
    )
    sweep = Sweep("smote-123456", "smote", ("digits-none-s1",))
    record_sweep(project, sweep)
    experiment = Experiment(Technique("none"), "digits", 1, "digits-none-s1", frozenset())
    with (
        headless_browser(tmp_path / "profile") as browser,
        recorded_progress(project, sweep.id, print) as note,
    ):
        browser.open(f"http://127.0.0.1:{port}/")
        assert browser.value("getComputedStyle(document.querySelector('.numbers')).display") == "grid"
        assert "running mine" not in browser.value("document.body.textContent")
        note(Event(experiment, "running", "mine_hard_examples"))
        browser.call("Page.getNavigationHistory", "Page.loadEventFired")
        assert "running mine_hard_examples" in browser.value("document.body.textContent")
        browser.open(f"http://127.0.0.1:{port}/reports/report.html")
        assert browser.value("document.querySelector('#tip') !== null")


def start_board(root: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from evenly.cli import main; main()", "board", "--port", str(port)]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_in_a_sentence(project: Path, number: signal.Signals) -> None:
    board = start_board(project, 0)
    assert board.stdout is not None
    line = board.stdout.readline()
    port = int(line.split("127.0.0.1:")[1].split("/")[0])
    assert ask(port, "/")[0] == 200
    board.send_signal(number)
    out, err = board.communicate(timeout=900)
    assert board.returncode == 0
    assert out == "The board has ended.\n"
    assert err == ""


def test_a_taken_port_is_one_sentence(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        board = start_board(project, port)
        out, err = board.communicate(timeout=900)
    assert board.returncode == 1
    assert out == ""
    assert err.startswith(f"evenly: Port {port} cannot be used (address already in use); choose another")
    assert err.count("\n") == 1


def test_a_folder_without_git_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a git repository"):
        serve(tmp_path, 0, print)


def test_a_project_without_runs_says_what_makes_some(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    server = make_server(tmp_path, 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        status, page, _ = ask(server.server_port, "/")
        assert status == 200 and "Nothing yet" in page
    finally:
        server.shutdown()
        server.server_close()
