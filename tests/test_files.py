"""Nothing is ever half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenly.files import atomic_folder, atomic_write, read_json, write_csv, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "a").write_text("2")
        raise RuntimeError
    assert (target / "a").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_canonical_and_refuses_nan(tmp_path: Path) -> None:
    write_json({"b": 1, "a": "类"}, tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text() == '{\n  "a": "\\u7c7b",\n  "b": 1\n}\n'
    assert read_json(tmp_path / "x.json") == {"a": "类", "b": 1}
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"a": float("nan")}, tmp_path / "x.json")


def test_text_of_a_guarded_file_is_no_formula_and_numbers_stay_numbers(tmp_path):
    rows = [["=1+1", "-x", -0.5, "-5", "@a", "\tb", "plain", None]]
    write_csv(tmp_path / "t.csv", [*"abcdefg", "=h"], rows, guarded=True)
    assert (tmp_path / "t.csv").read_text() == "a,b,c,d,e,f,g,'=h\n'=1+1,'-x,-0.5,-5,'@a,'\tb,plain,\n"
