"""Everything that stops or surprises a run has a finding that says what to do; a sound project has none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evenly.doctor import Finding
from evenly.doctor.endpoint import endpoint_findings
from evenly.doctor.installation import installation_findings, machine_findings
from evenly.doctor.project import (
    data_findings,
    dvc_findings,
    examine,
    git_findings,
    read_settings,
    remote_findings,
)
from evenly.params.datasets import DatasetEntry, read_entry

ROOT = Path(__file__).resolve().parents[2]
PATHS = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The settings, the table of contents of the pipeline and its code, committed, without a run."""
    root = tmp_path / "project"
    for name in ("params.yaml", "datasets.yaml", "dvc.yaml", "pyproject.toml", ".gitignore", ".dvc/config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n/config.local\n")
    for name in ("stages", "src/evenly", "prompts", "data/review", "data/raw"):
        keep = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=keep)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Test")
    git(root, "config", "user.email", "test@example.org")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "The project")
    return root


def about(area: str, found: list[Finding]) -> Finding:
    (one,) = (finding for finding in found if finding.area == area)
    return one


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_fresh_project_has_nothing_broken(project: Path) -> None:
    found = examine(project, PATHS)
    assert [finding for finding in found if finding.status == "broken"] == []
    assert about("next run", found).status == "ok"
    assert "split" not in about("git", found).says
    behind = about("DVC", found)
    assert behind.status == "warning" and "dvc repro" in behind.fix


def test_a_library_of_another_version_and_one_that_is_absent_are_named(project: Path) -> None:
    edit(project / "pyproject.toml", '"rich>=14"', '"rich>=999", "no-such-library"')
    edit(project / "pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=9"')
    broken = [one for one in installation_findings(project, PATHS) if one.status == "broken"]
    assert [one.area for one in broken] == ["python", "libraries", "libraries"]
    assert "evenly needs >=9" in broken[0].says
    assert ">=999 is needed" in broken[1].says and broken[2].says == "no-such-library is not installed"
    assert all(one.fix for one in broken)


def test_stages_without_this_python_are_told(project: Path, tmp_path: Path) -> None:
    def stages(path: str) -> Finding:
        return about("stages", list(installation_findings(project, {"PATH": path})))

    assert stages(PATHS["PATH"]).status == "ok"
    assert "no `python` on the path" in stages(str(tmp_path)).says
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    other = stages(str(tmp_path))
    assert other.status == "broken" and str(tmp_path / "python") in other.says and "activate" in other.fix


def test_more_threads_than_cores_surprise(tmp_path: Path) -> None:
    assert about("threads", list(machine_findings(tmp_path, 1))).status == "ok"
    many = about("threads", list(machine_findings(tmp_path, 100_000)))
    assert many.status == "warning" and "100000" in many.says


def test_uncommitted_changes_are_named_but_for_the_lock(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert about("git", list(git_findings(project))).status == "ok"
    (project / "ä.txt").write_text("new")
    edit(project / "params.yaml", "seed: 42", "seed: 1")
    found = about("git", list(git_findings(project)))
    assert found.status == "warning" and "2 uncommitted changes" in found.says
    assert "params.yaml" in found.says and "ä.txt" in found.says


def test_no_repository_and_no_commit_are_told_apart(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".git")
    found = examine(project, PATHS)
    assert "no git repository" in about("git", found).says and about("git", found).fix
    git(project, "init", "-q")
    assert "no commit yet" in next(git_findings(project)).says


def test_a_missing_dvc_and_a_dvc_yaml_that_is_wrong_are_broken(project: Path) -> None:
    edit(project / "dvc.yaml", "cmd: python -m stages.split", "command: python -m stages.split")
    assert about("DVC", list(dvc_findings(project))).status == "broken"
    shutil.rmtree(project / ".dvc")
    found = about("DVC", list(dvc_findings(project)))
    assert found.status == "broken" and "dvc init" in found.fix


@pytest.mark.parametrize(
    ("file", "old", "new", "area", "says"),
    [
        ("params.yaml", "threads: 1", "threads: 1\nthread: 1", "params.yaml", "thread is not a known key"),
        ("params.yaml", "balancing: none", "balancing: smoot", "next run", "did you mean 'smote'"),
        ("params.yaml", "dataset: digits_lt", "dataset: digit", "next run", "not an entry"),
        ("params.yaml", "balancing: none", "balancing: llm", "next run", "asks a language model"),
        ("datasets.yaml", "builtin: digits", "builtin: numbers", "datasets.yaml", "digits_lt.builtin"),
    ],
)
def test_wrong_settings_are_named(project: Path, file: str, old: str, new: str, area: str, says: str) -> None:
    edit(project / file, old, new)
    *_, found = read_settings(project, PATHS)
    broken = [one for one in found if one.status == "broken"]
    assert [one.area for one in broken] == [area] and says in broken[0].says


def test_data_must_be_where_queued_experiments_have_them(project: Path) -> None:
    def data() -> Finding:
        return about("data", list(data_findings(project, entry, "mine")))

    entry = DatasetEntry(modality="text", licence="mine", path="data/raw/mine.csv")
    assert data().status == "broken" and "evenly add mine" in data().fix
    (project / "data/raw/mine.csv").write_text("text,label\n")
    assert data().status == "broken" and "dvc add data/raw/mine.csv" in data().fix
    (project / "data/raw/mine.csv.dvc").write_text("outs: []\n")
    assert data() == Finding("data", "ok", "data/raw/mine.csv is tracked by DVC")
    (project / "data/raw/mine.csv").unlink()
    assert "dvc pull data/raw/mine.csv.dvc" in data().fix


@pytest.mark.parametrize("trap", ["/data/raw/*\n!/data/raw/*.dvc\n", "/data/\n", "*.dvc\n"])
def test_a_gitignore_that_hides_raw_data_from_dvc_is_broken(project: Path, trap: str) -> None:
    entry = read_entry("digits_lt", project / "datasets.yaml")
    assert about(".gitignore", list(data_findings(project, entry, "digits_lt"))).status == "ok"
    with (project / ".gitignore").open("a") as file:
        file.write(trap)
    found = about(".gitignore", list(data_findings(project, entry, "digits_lt")))
    assert found.status == "broken" and "!/data/raw/*.dvc" in found.fix


def test_an_output_that_git_does_not_ignore_surprises(project: Path) -> None:
    edit(project / ".gitignore", "/models/\n", "")
    found = about(".gitignore", list(data_findings(project, None, None)))
    assert found.status == "warning" and "models/train" in found.says


def test_a_remote_is_tried_where_it_is_a_folder(project: Path, tmp_path: Path) -> None:
    def remote(url: str) -> Finding:
        config = (
            ROOT / ".dvc/config"
        ).read_text() + f"[core]\n    remote = mine\n['remote \"mine\"']\n    url = {url}\n"
        (project / ".dvc/config").write_text(config)
        return about("remote", list(remote_findings(project)))

    assert about("remote", list(remote_findings(project))).status == "warning"
    (tmp_path / "store").mkdir()
    assert remote("../../store").status == "ok"
    assert remote(str(tmp_path / "none")).status == "warning"
    (tmp_path / "file").touch()
    assert remote(str(tmp_path / "file" / "store")).status == "broken"
    elsewhere = remote("https://me:secret@example.org/store")
    assert elsewhere.status == "ok" and "secret" not in elsewhere.says and "not contacted" in elsewhere.says


Serve = Callable[[int, str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that answers every GET with a status and a body, and give its address."""
    servers = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/v1/models" and self.headers.get("Authorization") == "Bearer k"
                self.send_response(status if known else 401)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_endpoint_is_asked_for_its_models(project: Path, serve: Serve) -> None:
    def endpoint(url: str, key: str = "k") -> Finding:
        text = (ROOT / "params.yaml").read_text()
        text, found = re.subn(r"^  base_url:.*$", f"  base_url: {url}", text, flags=re.MULTILINE)
        text, named = re.subn(r"^  model:$", "  model: m", text, flags=re.MULTILINE)
        assert found == named == 1
        (project / "params.yaml").write_text(text)
        environment = {**PATHS, "DVC_ROOT": str(project), "OPENAI_API_KEY": key}
        return about("language model", list(endpoint_findings(project, environment)))

    models = json.dumps({"data": [{"id": "m"}, {"id": "n"}]})
    assert endpoint(serve(200, models)).status == "ok"
    other = endpoint(serve(200, models.replace('"m"', '"x"')))
    assert other.status == "warning" and "does not list m" in other.says and "x, n" in other.fix
    assert endpoint(serve(404, "")).status == "warning"
    refused = endpoint(serve(200, models), key="wrong")
    assert refused.status == "broken" and "OPENAI_API_KEY" in refused.fix and "wrong" not in str(refused)
    nobody = endpoint("http://127.0.0.1:9/v1")
    assert nobody.status == "broken" and "nothing answers" in nobody.says


def test_the_endpoint_is_looked_at_only_where_it_is_asked_for(project: Path) -> None:
    assert "language model" not in {one.area for one in examine(project, PATHS)}
    found = about("language model", examine(project, PATHS, llm=True))
    assert found.status == "broken" and "docs/llm.md" in found.fix
