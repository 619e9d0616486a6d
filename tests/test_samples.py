"""The sample table keeps what it is given, byte for byte, and refuses what would hurt later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import DataError
from evenly.samples import (
    Feature,
    Schema,
    concatenate,
    natural_order,
    read_samples,
    samples_from_columns,
    write_no_samples,
    write_samples,
)

TEXT = Schema("text", ("a", "b"))
TABLE = Schema(
    "table",
    ("no", "yes"),
    (
        Feature("age", "number"),
        Feature("n", "integer"),
        Feature("ok", "boolean"),
        Feature("c", "category", ("x", "y")),
    ),
)


def texts(*values: str, label: str = "a", prefix: str = "t"):
    return samples_from_columns(
        {"id": [f"{prefix}{k}" for k in range(len(values))], "label": [label] * len(values), "text": values},
        TEXT,
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.text(st.characters(exclude_categories=("Cs",)))), min_size=1
    ),
)
def test_a_written_table_comes_back_the_same(rows: list[tuple[str, str]]) -> None:
    import tempfile

    labels, words = zip(*rows, strict=True)
    samples = samples_from_columns(
        {"id": [str(k) for k in range(len(rows))], "label": labels, "text": words}, TEXT
    )
    with tempfile.TemporaryDirectory() as folder:
        write_samples(samples, Path(folder) / "x.parquet")
        back = read_samples(Path(folder) / "x.parquet")
    assert back.schema == samples.schema
    assert back.table.equals(samples.table)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_samples(texts("hello", "world"), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_table_features_keep_their_types_and_missing_values(tmp_path: Path) -> None:
    columns = {
        "id": ["1", "2"],
        "label": ["no", "yes"],
        "age": [1.5, None],
        "n": [None, 7],
        "ok": [True, None],
        "c": [None, "y"],
    }
    write_samples(samples_from_columns(columns, TABLE), tmp_path / "t.parquet")
    frame = read_samples(tmp_path / "t.parquet").features_frame()
    assert frame["age"].isna().tolist() == [False, True]
    assert frame["n"].tolist()[1] == 7 and frame["n"].isna().tolist() == [True, False]
    assert str(frame["ok"].dtype) == "boolean"
    assert frame["c"].tolist() == [None, "y"]


def test_counts_and_codes_follow_the_order_of_the_classes() -> None:
    samples = samples_from_columns({"id": ["1", "2", "3"], "label": ["b", "a", "b"], "text": "xyz"}, TEXT)
    assert samples.counts == {"a": 1, "b": 2}
    assert samples.codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"id": ["1", "1"], "label": ["a", "a"], "text": ["x", "y"]}, "'1' occurs more than once"),
        ({"id": ["1"], "label": ["c"], "text": ["x"]}, "'c' is not one of the classes"),
        ({"id": ["1"], "label": [None], "text": ["x"]}, "'label' is empty"),
        ({"id": ["1"], "label": ["a"]}, "needs the column 'text'"),
        ({"id": ["1"], "label": ["a"], "text": ["x"], "age": [1.0]}, "no column 'age'"),
    ],
)
def test_a_wrong_table_is_refused_with_a_sentence(columns: dict, part: str) -> None:
    with pytest.raises(DataError, match=part):
        samples_from_columns(columns, TEXT)


def test_joining_fills_lineage_with_nulls_and_skips_empty_tables(tmp_path: Path) -> None:
    write_no_samples(tmp_path / "none.parquet")
    copy = samples_from_columns(
        {"id": ["t0+dup1"], "label": ["a"], "origin": ["duplicate"], "parent": ["t0"], "text": ["hello"]},
        TEXT,
    )
    joined = concatenate([texts("hello", "world"), read_samples(tmp_path / "none.parquet", TEXT), copy])
    assert joined.column("parent").tolist() == [None, None, "t0"]
    assert joined.is_real.tolist() == [True, True, False]


def test_joining_tables_with_a_common_id_is_refused() -> None:
    with pytest.raises(DataError, match="'t0' occurs more than once"):
        concatenate([texts("x"), texts("y")])


def test_the_empty_table_takes_over_the_schema_it_is_read_with(tmp_path: Path) -> None:
    write_no_samples(tmp_path / "none.parquet")
    empty = read_samples(tmp_path / "none.parquet", TABLE)
    assert len(empty) == 0 and empty.schema == TABLE
    assert empty.counts == {"no": 0, "yes": 0}


def test_writing_no_samples_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from evenly.samples import write_no_samples; write_no_samples(sys.argv[1]);"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'torch', 'sklearn', 'pydantic', 'cv2'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"x\.parquet is damaged"):
        read_samples(tmp_path / "x.parquet")


def test_rows_are_taken_by_position_or_by_mask_and_sorted_by_id() -> None:
    samples = texts("x", "y", "z").take([2, 0])
    assert samples.ids.tolist() == ["t2", "t0"]
    assert samples.take(np.array([False, True])).ids.tolist() == ["t0"]
    assert samples.sorted_by_id().texts == ["x", "z"]


def test_numbers_as_class_names_are_ordered_as_numbers() -> None:
    assert natural_order(["10", "9", "1"]) == ("1", "9", "10")
    assert natural_order(["b", "10", "a"]) == ("10", "a", "b")


def test_columns_codes_and_frames_hold_what_the_rows_hold_one_by_one():
    features = (
        Feature("word", "category", ("a", "b")),
        Feature("whole", "integer"),
        Feature("flag", "boolean"),
        Feature("x", "number"),
    )
    schema = Schema("table", ("no", "yes", "never"), features)
    rows = {
        "id": ["1", "2", "3", "4"],
        "label": ["yes", "no", "yes", "yes"],
        "parent": [None, "1", None, "1"],
        "word": ["b", None, "a", "b"],
        "whole": [2**53 - 1, None, -1, 0],
        "flag": [True, None, False, True],
        "x": [0.5, None, float("nan"), -0.0],
    }
    table = samples_from_columns(rows, schema)
    table = concatenate([table.take([0, 1]), table.take([2, 3])]).take([3, 0, 1, 2])
    order = [3, 0, 1, 2]
    for name in ("id", "label", "parent", "word", "flag"):
        assert table.column(name).tolist() == [rows[name][k] for k in order]
    assert table.codes.tolist() == [1, 1, 0, 1]
    assert table.counts == {"no": 1, "yes": 3, "never": 0}
    assert table.places("word", ("b", None)).tolist() == [0, 0, 1, -1]
    frame = table.features_frame()
    assert [str(kind) for kind in frame.dtypes] == ["object", "Int64", "boolean", "float64"]
    assert frame["word"].tolist() == ["b", "b", None, "a"]
    assert frame["whole"].tolist()[:2] == [0, 2**53 - 1] and frame["whole"].isna().tolist()[2]
    assert frame["flag"].tolist()[:2] == [True, True] and frame["flag"].isna().tolist()[2]
    assert frame["x"].isna().tolist() == [False, False, True, True]
    assert table.take([]).codes.shape == (0,)


def test_a_row_without_a_weight_counts_like_a_mean_one_of_its_class() -> None:
    columns = {"id": list("abcde"), "label": ["x", "x", "x", "y", "z"], "f": [0.0] * 5}
    table = samples_from_columns(
        {**columns, "sample_weight": [1.0, 4.0, None, 10.0, None]},
        Schema("table", ("x", "y", "z"), (Feature("f", "number"),)),
    )
    assert table.weights is not None
    assert table.weights.tolist() == [1, 4, 2.5, 10, 5]
    assert table.take([3]).with_column("id", ["e"]).weights is not None
