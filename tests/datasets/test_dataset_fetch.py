"""Downloads against a real server on loopback that understands ranges and can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from datafiles import make_entry

from evenly.datasets.intake import downloads, fetch
from evenly.errors import DataError

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`; `break_after` closes the connection after so many bytes; `ranges`: is Range known?"""

    content = CONTENT
    break_after: int | None = None
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        whole = self.server.content
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and self.server.ranges else 0
        if self.path == "/missing.bin":
            self.send_error(404)
            return
        if start >= len(whole):
            self.send_error(416)
            return
        body = whole[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.break_after is None else body[: self.server.break_after])

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bring(server, tmp_path):
    def bring(sha256: str = SHA256, **more) -> bool:
        return fetch(server.url, tmp_path / "data" / "file.bin", sha256, tmp_path / "cache", **more)

    return bring


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_download_is_whole_verified_and_the_only_thing_left(bring, tmp_path):
    seen = []
    assert bring(progress=lambda name, here, total: seen.append((name, here, total)))
    assert (tmp_path / "data" / "file.bin").read_bytes() == CONTENT
    assert files(tmp_path) == [tmp_path / "data" / "file.bin"]
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT))


def test_what_is_here_already_is_not_asked_for_again(bring, server):
    assert bring()
    assert not bring()
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(bring, server, tmp_path):
    server.break_after = 100_000
    with pytest.raises(DataError, match=r"broke off .* run the same command again"):
        bring()
    assert not (tmp_path / "data").exists()
    (part,) = files(tmp_path)
    kept = part.stat().st_size
    assert 0 < kept <= 100_000
    server.break_after = None
    assert bring()
    assert server.asked == [None, f"bytes={kept}-"]
    assert files(tmp_path) == [tmp_path / "data" / "file.bin"]


def test_a_download_that_had_all_bytes_before_it_was_interrupted_ends_well(bring, tmp_path):
    part = tmp_path / "cache" / f"{SHA256}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert bring()


def test_a_server_without_ranges_starts_over(bring, server, tmp_path):
    server.break_after = 50_000
    with pytest.raises(DataError):
        bring()
    server.break_after, server.ranges = None, False
    assert bring()
    assert (tmp_path / "data" / "file.bin").read_bytes() == CONTENT


def test_a_half_of_another_version_is_thrown_away_and_fetched_anew(bring, server, tmp_path):
    part = tmp_path / "cache" / f"{SHA256}.part"
    part.parent.mkdir()
    part.write_bytes(b"something else entirely")
    assert bring()
    assert len(server.asked) == 2


def test_a_wrong_checksum_names_both_and_leaves_nothing(bring, tmp_path):
    with pytest.raises(DataError) as caught:
        bring("0" * 64)
    assert SHA256 in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert files(tmp_path) == []


def test_a_different_file_in_the_place_is_not_overwritten(bring, tmp_path):
    target = tmp_path / "data" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(DataError, match="is there already"):
        bring()
    assert target.read_bytes() == b"mine"


def test_a_server_that_refuses_or_is_not_there_is_named(server, tmp_path):
    with pytest.raises(DataError, match=r"missing\.bin answers 404"):
        fetch(server.url.replace("file", "missing"), tmp_path / "x", SHA256, tmp_path / "cache")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="broke off"):
        fetch(server.url, tmp_path / "x", SHA256, tmp_path / "cache")


def test_what_to_download_follows_from_the_entry():
    one = make_entry(path="data/raw/d.zip", url="https://h/d.zip", sha256="1" * 64)
    two = make_entry(
        path="data/raw/d",
        files={"train": "a.csv", "test": "b.csv"},
        urls={"train": "https://h/x", "test": "https://h/y"},
        sha256={"train": "1" * 64, "test": "2" * 64},
    )
    assert downloads(one, "d") == [("https://h/d.zip", "data/raw/d.zip", "1" * 64)]
    assert downloads(two, "d") == [
        ("https://h/x", "data/raw/d/a.csv", "1" * 64),
        ("https://h/y", "data/raw/d/b.csv", "2" * 64),
    ]
    with pytest.raises(DataError, match="is built in"):
        downloads(make_entry(modality="table", builtin="wine"), "wine")
    with pytest.raises(DataError, match="has no url"):
        downloads(make_entry(), "mine")
