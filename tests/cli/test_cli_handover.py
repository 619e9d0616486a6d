"""`evenly export` as a group with a default command, and `evenly doctor` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenly.cli import app
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
