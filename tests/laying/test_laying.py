"""`evenly init` lays a project into a repository, replaces nothing, and upgrades what nobody has changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from evenly.cli import app
from evenly.doctor.project import examine
from evenly.errors import EvenlyError
from evenly.laying import CODE, LAID, project_files
from evenly.params.datasets import read_entries
from evenly.params.project import read_params

ROOT = Path(__file__).resolve().parents[2]
PATHS = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder outside of any repository, to type commands in."""
    root = tmp_path / "mine"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def init(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(EvenlyError) as caught:
        init(*arguments)
    return str(caught.value)


def tree(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if ".git" not in file.relative_to(root).parts)
    return {file.relative_to(root).as_posix(): file.read_bytes() if file.is_file() else b"" for file in files}


def as_laid_before(root: Path, name: str, content: bytes | None, stands: bytes | None = None) -> None:
    """As if another version had laid `content` for a file, or no such file, and `stands` were there now."""
    laid = json.loads((root / LAID).read_text())
    laid["version"] = "0.0.9"
    laid["files"].pop(name, None)
    (root / name).unlink(missing_ok=True)
    if content is not None:
        laid["files"][name] = hashlib.sha256(content).hexdigest()
        (root / name).write_bytes(content if stands is None else stands)
    (root / LAID).write_text(json.dumps(laid))


def test_an_empty_folder_becomes_a_repository_with_a_sound_project(root: Path) -> None:
    told = init()
    assert "a new Git repository" in told and "dvc repro && evenly summary" in told
    commands = next(line for line in told.splitlines() if "git add" in line).split("&&")[0].split()
    git(root, *commands[1:])
    git(root, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "Begin")
    assert git(root, "status", "--porcelain") == ""
    assert read_params().recipes and read_entries()
    found = {one.area: one for one in examine(root, PATHS)}
    assert [one for one in found.values() if one.status == "broken"] == []
    assert found["laid files"].status == "ok" and found["next run"].status == "ok"


def test_every_stage_depends_on_its_code_and_on_no_source_that_is_not_here(root: Path) -> None:
    init()
    ours = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    for name, stage in YAML(typ="safe").load(root / "dvc.yaml")["stages"].items():
        sources = [dep.removeprefix("src/") for dep in ours[name]["deps"] if dep.startswith("src/")]
        others = [dep for dep in ours[name]["deps"] if not dep.startswith("src/")]
        assert sorted(stage["deps"]) == sorted([*others, *([f"{CODE}/{name}"] if sources else [])])
        code = (root / CODE / name).read_text() if sources else ""
        assert [line.split("  ")[1] for line in code.splitlines()] == sources
        assert (root / "stages" / f"{name}.py").is_file()
        assert stage == {**ours[name], "deps": stage["deps"]}


def test_all_that_git_keeps_of_the_pipeline_is_laid() -> None:
    parts = (
        ".dvc",
        ".dvcignore",
        ".gitignore",
        "data",
        "datasets.yaml",
        "dvc.yaml",
        "params.yaml",
        "prompts",
        "stages",
    )
    kept = set(git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "--", *parts).splitlines())
    assert {name for name in kept if not name.endswith(".dvc")} <= set(project_files())


def test_a_folder_that_is_not_there_is_made_and_the_next_commands_go_there(root: Path) -> None:
    told = init("new place")
    assert "cd 'new place'" in told and (root / "new place" / "dvc.yaml").is_file()


def test_what_an_existing_repository_holds_stays_and_ignore_files_grow(root: Path) -> None:
    git(root, "init", "-q")
    (root / ".dvc").mkdir()
    before = {
        ".gitignore": b"*.log\n/build/",
        ".dvc/config": b"[core]\n    remote = ours # kept\n    autostage = false\n",
        ".dvc/.gitignore": b"/tmp\n/cache\n",
        "README.md": b"ours\n",
        "src/mine/__init__.py": b"",
        "stages/another.py": b"",
    }
    for name, content in before.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    told = init()
    after = tree(root)
    assert after[".gitignore"].startswith(before[".gitignore"] + b"\n") and b"/models/" in after[".gitignore"]
    config = after[".dvc/config"].decode()
    assert (
        "remote = ours" in config
        and "# kept" in config
        and "autostage = false" in config
        and "analytics" in config
    )
    assert ".gitignore was there" in told and ".dvc/config was there" in told
    for name in set(before) - {".gitignore", ".dvc/config"}:
        assert after[name] == before[name]
    assert "a new Git repository" not in told


@pytest.mark.parametrize(
    "name", ["dvc.yaml", "params.yaml", "stages/split.py", "stages", "data", "params.yaml/x"]
)
def test_what_is_in_the_way_is_named_and_nothing_is_laid(root: Path, name: str) -> None:
    git(root, "init", "-q")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("ours\n")
    before = tree(root)
    told = refused()
    assert name.removesuffix("/x") in told and "nothing was laid" in told
    assert tree(root) == before


def test_laying_goes_on_where_files_of_the_same_content_are_there(root: Path) -> None:
    files = project_files()
    (root / "params.yaml").write_bytes(files["params.yaml"])
    assert "a new Git repository" in init()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(root: Path) -> None:
    git(root, "init", "-q")
    (root / "prompts").symlink_to(root / "nowhere")
    assert "cannot be written" in refused()
    assert [path.name for path in root.iterdir() if path.name != ".git"] == ["prompts"]


@pytest.mark.parametrize(
    ("pattern", "hides"), [("data/", "data/"), ("*.lock", "dvc.lock"), ("*.dvc", ".dvc")]
)
def test_a_rule_that_hides_what_must_be_committed_is_named(root: Path, pattern: str, hides: str) -> None:
    git(root, "init", "-q")
    (root / ".gitignore").write_text(f"*.log\n{pattern}\n")
    told = refused()
    assert f".gitignore, line 2 ({pattern})" in told and hides in told
    assert not (root / "dvc.yaml").exists()


def test_only_the_root_of_a_repository_will_do_and_only_once(root: Path) -> None:
    git(root, "init", "-q")
    assert str(root) in refused("below/here") and not (root / "below").exists()
    (root / "file").touch()
    assert "file is a file" in refused("file")
    assert "nothing was laid here" in refused("--upgrade")
    init()
    assert "--upgrade" in refused()
    assert "Everything is as evenly" in init("--upgrade")
    (root / LAID).write_text("{")
    assert "is damaged" in refused("--upgrade")


def test_a_repository_that_git_cannot_read_is_not_made_anew(root: Path) -> None:
    (root / ".git").write_text("gitdir: nowhere\n")
    assert "git cannot read the repository" in refused() and not (root / "dvc.yaml").exists()


def test_a_checkout_of_evenly_is_told_so(root: Path) -> None:
    (root / "src/evenly").mkdir(parents=True)
    (root / "src/evenly/__init__.py").touch()
    assert "checkout of evenly itself" in refused()


def test_an_upgrade_replaces_what_nobody_has_changed_and_puts_new_files_beside_the_rest(root: Path) -> None:
    (root / ".gitignore").write_text("ours\n")
    init()
    files = project_files()
    as_laid_before(root, "stages/split.py", b"old\n")
    as_laid_before(root, "stages/gone.py", b"old\n")
    as_laid_before(root, "stages/kept.py", b"old\n", b"mine\n")
    as_laid_before(root, "prompts/table.jinja", None)
    mine = files["params.yaml"].replace(b"seed: 42", b"mine: 42\nsneed: 1")
    as_laid_before(root, "params.yaml", b"old\n", mine)
    as_laid_before(root, f"{CODE}/train", b"old\n")
    (root / "datasets.yaml").write_text("mine: {}\n")  # this version has what was laid
    told = init("--upgrade")
    after = tree(root)
    assert after["stages/split.py"] == files["stages/split.py"] and "stages/split.py: replaced (" in told
    assert "stages/gone.py" not in after and "stages/gone.py: removed" in told
    assert after["stages/kept.py"] == b"mine\n"
    assert after["prompts/table.jinja"] == files["prompts/table.jinja"] and "prompts/table.jinja: new" in told
    assert after["params.yaml"] == mine and after["params.yaml.new"] == files["params.yaml"]
    assert "only in the new file: seed" in told and "only in yours: mine, sneed" in told
    assert after["datasets.yaml"] == b"mine: {}\n" and "datasets.yaml" not in told
    assert "Code has changed of train:" in told and "From evenly 0.0.9" in told
    assert [one.says for one in examine(root, PATHS) if one.area == "laid files"] == [
        "an upgrade has left params.yaml.new"
    ]
    (root / "params.yaml.new").unlink()
    assert "Everything is as evenly" in init("--upgrade")


def test_an_upgrade_changes_our_part_of_an_ignore_file_only(root: Path) -> None:
    (root / ".gitignore").write_text("ours\n")
    init()
    grown = (root / ".gitignore").read_bytes()
    ours = project_files()[".gitignore"]
    as_laid_before(root, ".gitignore", b"old\n", grown.replace(ours, b"old\n") + b"more of ours\n")
    init("--upgrade")
    assert (root / ".gitignore").read_bytes() == grown + b"more of ours\n"


def test_an_upgrade_waits_for_what_an_earlier_one_has_left(root: Path) -> None:
    init()
    as_laid_before(root, "params.yaml", b"old\n", b"mine\n")
    (root / "params.yaml.new").write_text("half merged\n")
    as_laid_before(root, "stages/split.py", b"old\n")
    before = tree(root)
    assert "params.yaml.new would be in the way" in refused("--upgrade")
    assert tree(root) == before


def test_a_sweep_before_the_first_commit_says_what_to_commit(root: Path) -> None:
    init()
    sweep = ["sweep", "none", "--dataset", "wine", "--seeds", "1"]
    with pytest.raises(EvenlyError, match="has no commit yet, and experiments start from a commit"):
        CliRunner().invoke(app, sweep, catch_exceptions=False)
    git(root, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "x", "--allow-empty")
    with pytest.raises(EvenlyError, match=r"dvc\.yaml that git does not know"):
        CliRunner().invoke(app, sweep, catch_exceptions=False)


def test_a_stage_refuses_code_that_dvc_does_not_know(root: Path) -> None:
    init()
    (root / CODE / "split").write_text("0" * 64 + "  evenly/datasets\n")
    environment = {**os.environ, **PATHS, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "stages.split"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "evenly init --upgrade" in done.stderr and f"{CODE}/split" in done.stderr
    broken = [one for one in examine(root, PATHS) if one.status == "broken"]
    assert [one.area for one in broken if one.area != "git"] == ["laid files"]
    assert "Code has changed of split:" in init("--upgrade")
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
