"""`evenly export` as a group with a default command, and `evenly doctor` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenly.cli import COMMANDS, app, imported_command
from evenly.errors import DataError
from evenly.samples import Schema, samples_from_columns, write_samples


@pytest.mark.parametrize("words", [["export"], ["export", "run"]])
def test_a_word_that_is_no_command_is_a_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(DataError, match="out is not empty"):
        CliRunner().invoke(app, [*words, "tried", "out"], catch_exceptions=False)


def test_jsonl_still_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = {"id": ["1", "2"], "label": ["a", "b"], "text": ["x", "y"]}
    table = samples_from_columns(columns, Schema("text", ("a", "b")))
    write_samples(table, tmp_path / "data" / "balanced" / "train.parquet")
    result = CliRunner().invoke(app, ["export", "jsonl", "--output", "rows.jsonl"], catch_exceptions=False)
    assert result.exit_code == 0 and "2 rows written" in result.output
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["x", "y"]


def test_help_shows_the_short_form_and_a_folder_is_asked_for() -> None:
    shown = CliRunner().invoke(app, ["export", "--help"]).output
    assert "RUN DIR" in shown and "jsonl" in shown
    missing = CliRunner().invoke(app, ["export", "tried"])
    assert missing.exit_code == 2 and "DIR" in missing.output


def test_the_list_of_commands_says_of_each_what_its_own_help_says_first() -> None:
    for name, (_, words) in COMMANDS.items():
        first = " ".join((imported_command(name).help or "").split("\n\n")[0].split())
        assert first.startswith(words.rstrip(".").split(",")[0].split(":")[0]), name


def test_commands_are_imported_when_they_are_called() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from evenly.cli import app; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "print(sorted({'numpy', 'pydantic', 'evenly.cli.data'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "datasets.yaml" in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_doctor_outside_of_a_project_says_so_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if line.startswith("✗ project"))
    assert "holds no dvc.yaml" in line and "go to the root of the project" in line
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert {finding["status"] for finding in told} >= {"ok", "broken"}
    assert [finding for finding in told if finding["status"] == "broken" and not finding["fix"]] == []
