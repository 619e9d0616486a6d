"""Nothing is ever half-written."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import evenly
from evenly.errors import DataError, EvenlyError
from evenly.experiments.ledger import Sweep, read_sweep, record_sweep
from evenly.files import atomic_folder, atomic_write, read_csv, read_json, write_csv, write_json
from evenly.plans import MinePlan, read_plan
from evenly.resamples import RESAMPLES, Scored, read_resamples, write_resamples
from evenly.samples import Schema, read_samples, samples_from_columns, write_samples


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


def test_no_text_of_a_csv_file_is_a_formula_and_numbers_stay_numbers(tmp_path):
    rows = [["=1+1", "-x", -0.5, "-5", "@a", "\tb", "plain", None, "-1.2e-05"]]
    write_csv(tmp_path / "t.csv", [*"abcdefg", "=h", "i"], rows)
    assert (tmp_path / "t.csv").read_text() == (
        "a,b,c,d,e,f,g,'=h,i\n'=1+1,'-x,-0.5,-5,'@a,'\tb,plain,,-1.2e-05\n"
    )


@given(st.lists(st.tuples(st.text(), st.text() | st.sampled_from(["'=x", "''-y", "'", "'z", "-", "\r\n"]))))
def test_the_text_of_a_csv_file_is_read_as_it_was(rows):
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder) / "t.csv", ["=a", "b"], rows)
        content = (Path(folder) / "t.csv").read_bytes()
    assert [tuple(row.values()) for row in read_csv(content, "t.csv")] == rows
    cells = [cell for line in csv.reader(io.StringIO(content.decode(), newline="")) for cell in line]
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r\n") and not cell.lstrip("+-").isdigit()]


@given(st.binary() | st.from_regex(r'("?[a-c,\n"]*){5}').map(str.encode))
def test_a_damaged_csv_file_is_one_sentence(content):
    try:
        read_csv(content, "t.csv", ("id",))
    except DataError as error:
        assert str(error).startswith("t.csv is damaged (") and "\n" not in str(error)


def _written(folder: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """Files that evenly writes, and who reads them."""
    rows = {"id": list("abcd"), "label": list("xyxy"), "text": ["one", "two", "three", "four"]}
    samples = samples_from_columns(rows, Schema("text", ("x", "y")))
    write_samples(samples, folder / "samples.parquet")
    scores = {Scored("test", "argmax", "f1"): np.ones(RESAMPLES, np.float32)}
    write_resamples(scores, folder / "resamples.parquet")
    write_json({"seed": 1, "threads": 1}, folder / "plan.json")
    record_sweep(folder, Sweep("s-1", "smote", ("run",)))
    return {
        "samples": (folder / "samples.parquet", lambda path: read_samples(path).table.to_pylist()),
        "resamples": (
            folder / "resamples.parquet",
            lambda path: read_resamples(path.read_bytes(), str(path)),
        ),
        "plan": (folder / "plan.json", lambda path: read_plan(MinePlan, path)),
        "sweep": (folder / ".cache/sweeps/s-1.sweep.json", lambda path: read_sweep(folder, "s-1")),
    }


@pytest.mark.parametrize("kind", ["samples", "resamples", "plan", "sweep"])
def test_damage_anywhere_in_a_file_of_ours_is_one_sentence(kind):
    with tempfile.TemporaryDirectory() as name:
        path, read = _written(Path(name))[kind]
        whole = path.read_bytes()

        @settings(max_examples=60, deadline=None)
        @given(
            st.integers(0, len(whole)),
            st.binary(max_size=8) | st.sampled_from([b"[" * 9999, b"null"]),
            st.booleans(),
        )
        @example(0, b"[" * 99999, True)
        @example(0, b"[]", True)
        @example(0, b'{"asked": 1, "experiments": 3}', True)
        def damage(place, put, cut):
            path.write_bytes(whole[:place] + put + (b"" if cut else whole[place + len(put) :]))
            try:
                read(path)
            except EvenlyError as error:
                assert "\n" not in str(error).strip() and path.name in str(error)

        damage()


def test_every_csv_file_is_written_and_read_by_the_one_writer_and_reader():
    src = Path(evenly.__file__).parent
    own = {"files.py", "datasets/tabular.py", "screening/review.py", "handover/tracking.py"}
    using = {
        p.relative_to(src).as_posix()
        for p in src.rglob("*.py")
        if re.search(r"^import csv", p.read_text(), re.M)
    }
    assert using <= own, "use evenly.files.write_csv and read_csv: they guard against formulas"
