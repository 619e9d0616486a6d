"""datasets.yaml as the project ships it, and writing to it without disturbing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evenly.datasets.intake import bring_in, entry_text
from evenly.errors import DataError
from evenly.params.datasets import read_entries, read_entry

SHIPPED = Path(__file__).parents[2] / "datasets.yaml"


@pytest.fixture
def catalogue(tmp_path):
    return Path(shutil.copy(SHIPPED, tmp_path / "datasets.yaml"))


def test_every_shipped_entry_is_valid_and_says_its_licence():
    entries = read_entries(SHIPPED)
    assert {"digits_lt", "digits", "breast_cancer", "wine", "banking77", "banking77_lt", "wnut2020"} <= set(
        entries
    )
    assert {"cmcc34", "tomato", "gender", "heart_failure", "diabetes", "craft"} <= set(entries)
    assert all(entry.licence for entry in entries.values())


def test_what_is_fetched_lies_under_data_raw_and_may_not_be_passed_on_unsaid():
    entries = read_entries(SHIPPED)
    fetched = [entry for entry in entries.values() if entry.url or entry.urls]
    assert len(fetched) == 3
    assert all(entry.path.startswith("data/raw/") for entry in fetched)
    assert "redistribution" in entries["wnut2020"].licence


def test_a_new_entry_goes_to_the_end_and_changes_nothing_else(catalogue):
    before = catalogue.read_text()
    values = {"modality": "text", "licence": "mine", "path": "data/raw/m.csv", "columns": {"label": "topic"}}
    after = entry_text(before, "m", values, catalogue)
    catalogue.write_text(after)
    assert after.startswith(before)
    assert "\n\nm:\n  modality: text\n" in after
    assert read_entry("m", catalogue).columns.label == "topic"


def test_filling_in_a_path_changes_that_entry_alone_and_keeps_comments(catalogue):
    before = catalogue.read_text().splitlines()
    values = {"path": "data/raw/gender.csv", "columns": {"id": "who"}}
    after = entry_text(catalogue.read_text(), "gender", values, catalogue).splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed == [
        ("  path:", "  path: data/raw/gender.csv"),
        ("  columns: {label: gender}", "  columns: {label: gender, id: who}"),
    ]


def test_an_entry_can_be_added_to_a_file_in_one_line_and_to_an_empty_one(tmp_path):
    for before in ("{}\n", "{a: {modality: text}}\n", "", "# nothing yet\n"):
        path = tmp_path / "datasets.yaml"
        path.write_text(entry_text(before, "m", {"modality": "text", "licence": "mine"}, path))
        assert read_entry("m", path).licence == "mine"


def test_files_and_folders_are_copied_under_their_new_name(tmp_path, monkeypatch):
    monkeypatch.setattr("evenly.datasets.intake.track", lambda *_: None)
    (tmp_path / "datasets.yaml").write_text("{}\n")
    (tmp_path / "Some File.CSV").write_text("x")
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "pictures" / "a" / "1.png").write_text("x")
    assert bring_in(tmp_path / "Some File.CSV", "mine", {}, tmp_path) == "data/raw/mine.csv"
    assert bring_in(tmp_path / "pictures", "leaves", {}, tmp_path) == "data/raw/leaves"
    assert (tmp_path / "data/raw/mine.csv").read_text() == "x"
    assert (tmp_path / "data/raw/leaves/a/1.png").exists()
    with pytest.raises(DataError, match=r"data/raw/mine.csv is there already"):
        bring_in(tmp_path / "Some File.CSV", "mine", {}, tmp_path)
