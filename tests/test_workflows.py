"""The workflows of .github run nothing that people cannot run by hand: targets of the Makefile, and git."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(workflow: Path) -> list[list[str]]:
    jobs = YAML(typ="safe").load(workflow)["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return [shlex.split(line) for run in runs for line in run.splitlines()]


def test_there_are_documentation_tests_and_a_report() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "report", "test"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_is_a_target_that_exists_or_a_plain_tool(workflow: Path) -> None:
    for words in commands(workflow):
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        else:
            assert words[0] in ("git", "cml", "cat", "echo"), words


def test_the_report_that_is_posted_is_the_one_that_is_written() -> None:
    words = commands(ROOT / ".github" / "workflows" / "report.yml")
    told = subprocess.run(
        ["make", "--dry-run", "report", "BASE=other"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert "evenly diff other" in told and "dvc metrics diff other" in told
    assert words[-1][:3] == ["cml", "comment", "update"] and words[-1][-1] == "reports/diff.md"
    assert f">> {words[-1][-1]}" in told


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_that_a_stranger_can_name_reaches_a_shell(workflow: Path) -> None:
    # Names of branches and titles come in through the environment only.
    for words in commands(workflow):
        assert not re.search(r"\$\{\{", " ".join(words)), words


def test_all_supported_versions_of_python_are_tested() -> None:
    job = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
