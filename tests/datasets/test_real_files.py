"""Files as people have them: odd ones are read rightly or refused in one sentence."""

from __future__ import annotations

import io
import json
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafiles import csv_lines, make_entry, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenly.datasets import sources
from evenly.datasets.load import load_splits
from evenly.datasets.unlabelled import open_unlabelled
from evenly.errors import DataError, EvenlyError
from evenly.samples import Feature, Schema

LABELS = ["ab"[k % 2] for k in range(12)]
EUROPE = {"thousands": ".", "decimal": ","}


@pytest.fixture
def table(write, split):
    """Split a csv of the columns given, each a list of 12 values, and the label."""

    def table(cells, labels=LABELS, **values):
        rows = list(zip(*cells.values(), labels, strict=True))
        quoted = [[json.dumps(v) if "," in str(v) else v for v in row] for row in rows]
        write("t.csv", csv_lines(quoted, [*cells, "label"]))
        return split("t.csv", modality="table", **values)

    return table


def refused(call, *args, **values) -> str:
    with pytest.raises(DataError) as caught:
        call(*args, **values)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def features(splits):
    return {feature.name: feature.kind for feature in splits.train.schema.features}


def parts(splits):
    return (splits.train, splits.validation, splits.test)


def packed(frame) -> bytes:
    out = io.BytesIO()
    if isinstance(frame, pd.DataFrame):
        frame.to_parquet(out)
    else:
        pq.write_table(frame, out)
    return out.getvalue()


# -- columns -------------------------------------------------------------------------------------------------


def test_the_nameless_index_of_a_pandas_frame_is_no_feature(write, split):
    frame = pd.DataFrame({"f": range(12), "label": LABELS}).sample(frac=1, random_state=0)
    write("t.parquet", packed(frame))
    assert features(split("t.parquet", modality="table")) == {"f": "integer"}


def test_an_index_with_a_name_is_a_column_as_any_other(write, split):
    write(
        "t.parquet",
        packed(pd.DataFrame({"f": range(12), "label": LABELS}).sample(frac=1, random_state=0).set_index("f")),
    )
    assert features(split("t.parquet", modality="table")) == {"f": "integer"}


@pytest.mark.parametrize("values", [list("uvw") * 4, [1, 2, 3] * 4, [1.5, None] * 6])
def test_categories_of_pandas_are_categories(values, write, split):
    frame = pd.DataFrame({"c": pd.Categorical(values), "f": range(12), "label": pd.Categorical(LABELS)})
    write("t.parquet", packed(frame))
    assert features(split("t.parquet", modality="table")) == {"c": "category", "f": "integer"}


def test_a_column_twice_in_parquet_or_a_key_twice_in_json_is_refused(write, split):
    columns = [pa.array(range(12)), pa.array(LABELS), pa.array(LABELS)]
    write("t.parquet", packed(pa.Table.from_arrays(columns, ["f", "label", "label"])))
    assert "t.parquet has two columns 'label'" in refused(split, "t.parquet", modality="table")
    write("t.jsonl", '{"text": "x", "label": "a"}\n{"text": "y", "label": "b", "label": "c"}\n')
    assert "t.jsonl, line 2 has the key 'label' twice" in refused(split, "t.jsonl")


def test_columns_without_a_name_are_left_out_with_a_warning(write, split):
    rows = [(k, k % 5, label, "") for k, label in enumerate(LABELS)]
    write("t.csv", "\n" + csv_lines(rows, ("", "f", "label", "")))
    splits = split("t.csv", modality="table")
    assert features(splits) == {"f": "integer"}
    assert any("t.csv, line 2: 2 columns have no name and are left out" in w for w in splits.report.warnings)


def test_spaces_around_column_names_do_not_count_and_are_told(write, split):
    write("t.csv", csv_lines(enumerate(LABELS), ("f", " label ")))
    splits = split("t.csv", modality="table")
    assert features(splits) == {"f": "integer"}
    assert any("spaces around column names do not count (' label ')" in w for w in splits.report.warnings)
    assert "its columns are 'f', 'label'" in refused(split, "t.csv", modality="table", columns={"label": "y"})


def test_a_model_takes_rows_with_a_nameless_column_and_spaces_in_the_header(write):
    path = write("new.csv", ", f ,c\n0,1.5,x\n1,2.5,y\n")
    schema = Schema("table", ("a", "b"), (Feature("f", "number"), Feature("c", "category", ("x", "y"))))
    with open_unlabelled(path, schema) as rows:
        (batch,) = rows.batches(10)
    assert batch.table.column("f").to_pylist() == [1.5, 2.5]
    assert any("no name" in remark for remark in rows.remarks)


# -- JSON lines and zips -------------------------------------------------------------------------------------

ODD_LINES = {
    '{"text": "cut \\ud83d", "label": "a"}': "half a character (\\ud83d) in 'text'",
    '{"text": "x", "n": ' + "7" * 5000 + ', "label": "a"}': "an integer of thousands of digits",
    '{"text": ' + "[" * 100_000 + "]" * 100_000 + ', "label": "a"}': "nested too deeply",
}


@pytest.mark.parametrize("line", ODD_LINES, ids=["surrogate", "integer", "nested"])
def test_an_odd_line_of_json_is_named(line, write, split):
    good = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts(a=6, b=6))
    write("t.jsonl", good + line + "\n")
    assert f"t.jsonl, line 13 {'has' if 'cut' in line else 'holds' if 'n' in line[15:20] else 'is'} " in (
        message := refused(split, "t.jsonl")
    )
    assert ODD_LINES[line] in message


def test_a_whole_emoji_in_escapes_is_text(write, split):
    lines = [json.dumps({"text": f"{k} \U0001f600", "label": label}) for k, label in enumerate(LABELS)]
    assert "\\ud83d\\ude00" in lines[0]
    write("t.jsonl", "\n".join(lines))
    assert "0 \U0001f600" in {
        t for p in ("train", "validation", "test") for t in getattr(split("t.jsonl"), p).texts
    }


def test_integers_that_no_float_can_tell_apart_are_not_taken_for_copies(write, split):
    for name, rows in {
        "t.csv": csv_lines([(10**20 + k, label) for k, label in enumerate(LABELS)], ("n", "label")),
        "t.jsonl": [{"n": 10**20 + k, "label": label} for k, label in enumerate(LABELS)],
    }.items():
        write(name, rows)
        splits = split(name, modality="table")
        assert features(splits) == {"n": "category"}
        assert splits.report.conflicts["rows"] == 0


def test_a_damaged_stream_in_a_zip_names_its_member(write, split):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.csv", csv_lines(texts(a=60, b=60)))
    data = bytearray(out.getvalue())
    data[40:60] = b"\xff" * 20
    write("d.zip", bytes(data))
    assert "d.zip/d.csv cannot be unpacked" in refused(split, "d.zip")


def test_a_zip_that_unfolds_to_far_more_than_its_size_is_refused(write, split, monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.csv", csv_lines(texts(a=6, b=6)) + "\n" * 10**6)
    write("d.zip", out.getvalue())
    assert split("d.zip").report.rows_read == 12
    monkeypatch.setattr(sources, "MOST_UNFOLDED", 10**5)
    assert "more than 100,000 and more than 100 times its size" in refused(split, "d.zip")


# -- numbers and labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("?", "11 of 12 values are numbers, but t.csv, line 5 holds '?'"),
        ("unknown", "11 of 12 values are numbers, but t.csv, line 5 holds 'unknown'"),
        ("3,5", "1 have a decimal comma; t.csv, line 5 holds '3,5': set `decimal: ','`"),
        ("3 kg", "1 have a unit or currency beside them; t.csv, line 5 holds '3 kg'"),
        ("€3", "1 have a unit or currency beside them; t.csv, line 5 holds '€3'"),
        ("3 500", "1 have a sign between thousands; t.csv, line 5 holds '3 500'"),
    ],
)
def test_one_odd_cell_makes_no_category_of_a_numeric_column(cell, words, table):
    values = [k / 2 for k in range(12)]
    values[3] = cell
    message = refused(table, {"x": values})
    assert words in message
    assert "columns.categorical" in message
    assert features(table({"x": values}, columns={"categorical": ["x"]})) == {"x": "category"}


def test_a_column_with_decimal_commas_says_how_to_read_it(table):
    values = [f"{k},5" for k in range(12)]
    assert "12 have a decimal comma" in refused(table, {"x": values})
    points = [f"{k}.25" for k in range(12)]
    assert features(table({"x": values, "y": points}, decimal=",")) == {"x": "number", "y": "number"}
    thousands = [f"{k + 1}.000" for k in range(12)]
    assert "may be thousands or decimals" in refused(table, {"x": values, "y": thousands}, decimal=",")


@pytest.mark.parametrize(
    ("values", "told", "settings", "first"),
    [
        (["1,000", "2,500.5"], "`thousands: ','` in", {"thousands": ","}, 1000.0),
        (
            ["1.000,5", "2.500,5"],
            "`thousands: '.'` and `decimal: ','`",
            EUROPE,
            1000.5,
        ),
        (
            ["1.000.000", "2.500.000"],
            "`thousands: '.'` and `decimal",
            EUROPE,
            1e6,
        ),
        (["1 000", "2\u202f500"], "`thousands: ' '` in", {"thousands": " "}, 1000.0),
        (["1 000,5", "2 500,5"], "`thousands: ' '` and `decimal", {"thousands": " ", "decimal": ","}, 1000.5),
        (["1'000.5", "2’500"], '`thousands: "\'"` in', {"thousands": "'"}, 1000.5),
    ],
)
def test_a_sign_between_thousands_is_named_with_its_key_and_then_read(values, told, settings, first, table):
    assert told in refused(table, {"x": values * 6})
    splits = table({"x": values * 6}, duplicates="keep", **settings)
    assert features(splits)["x"] in ("number", "integer")
    read = [x for part in parts(splits) for x in part.table.column("x").to_pylist()]
    assert min(read) == first


def test_a_sign_cannot_be_between_thousands_and_before_decimals(table):
    with pytest.raises(ValueError, match="give decimal ',' as well"):
        table({"x": ["1.000"] * 12}, thousands=".")
    message = refused(table, {"x": ["1.000", "2.5"] * 6}, thousands=".", decimal=",")
    assert "not all points in column 'x' are between thousands" in message


@pytest.mark.parametrize("word", ["?", "N/A", "-", "unknown", "k.A."])
def test_words_for_a_missing_value_are_missing_where_the_entry_says_so(word, table):
    values = [word, f" {word} ", *range(10)]
    colours = [word, *["red", "blue"] * 5, "red"]
    splits = table({"x": values, "colour": colours}, missing=["?", "N/A", "-", "unknown", "k.A."])
    assert features(splits) == {"x": "integer", "colour": "category"}
    rows = [row for part in parts(splits) for row in part.table.to_pylist()]
    assert sum(row["x"] is None for row in rows) == 2
    assert {row["colour"] for row in rows} == {None, "red", "blue"}


@pytest.mark.parametrize("form", ["{:02}.12.2024", "12/{:02}/2024", "2024/12/{:02}"])
def test_dates_in_another_order_are_no_categories(form, table):
    message = refused(table, {"x": [form.format(k + 1) for k in range(12)]})
    assert "12 of 12 values are dates" in message
    assert "write dates as 2024-12-31" in message


@pytest.mark.parametrize("name", ["../a/x.csv", "/a/x.csv", "a/../../x.csv"])
def test_a_member_of_a_zip_that_lies_outside_of_it_is_named(name, write, split):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("t.csv", "x,label\n1,a\n")
        archive.writestr(name, "x,label\n1,a\n")
    write("t.zip", out.getvalue())
    assert f"t.zip holds {name!r}, which lies outside of it" in refused(split, "t.zip", modality="table")


def test_a_day_that_no_calendar_has_is_named(table):
    message = refused(table, {"x": [f"2024-02-{k + 20}" for k in range(12)]})
    assert "t.csv, line 12 holds '2024-02-30', which is no day" in message


def test_a_doubled_mark_of_the_encoding_is_no_part_of_a_name_and_utf16_without_one_is_told(write, split):
    lines = csv_lines([[k, "ab"[k % 2]] for k in range(12)], ["x", "label"])
    content = lines if isinstance(lines, str) else lines.decode()
    write("t.csv", "\ufeff\ufeff" + content)
    assert features(split("t.csv", modality="table")) == {"x": "integer"}
    write("u.csv", content.encode("utf-16-le"))
    assert "u.csv, line 1 is UTF-16" in refused(split, "u.csv", modality="table")


def test_codes_with_some_numbers_stay_categories(table):
    assert features(table({"x": ["1", "A2", "B3", "7c"] * 3, "f": range(12)})) == {
        "x": "category",
        "f": "integer",
    }


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("Spam", "spam", "'Spam' (6 rows) and 'spam' (6 rows)"),
        ("1", "1.0", "'1' (6 rows) and '1.0' (6 rows)"),
        ("a b", "a  b", "'a  b' (6 rows) and 'a b' (6 rows)"),
        ("caf\u00e9", "cafe\u0301", "'cafe\\u0301' (6 rows)"),
    ],
)
def test_labels_that_look_alike_get_one_warning_that_names_them(one, other, named, table):
    warnings = table({"x": range(12)}, labels=[one, other] * 6).report.warnings
    (warning,) = (w for w in warnings if "Labels that differ only" in w)
    assert named in warning


def test_copies_that_leave_a_given_test_set_are_told_with_the_key_that_keeps_them(write, split):
    write("d/train.csv", csv_lines(texts(a=20, b=20)))
    write("d/test.csv", csv_lines([("t1", "a"), ("t1", "a"), ("t2", "b")]))
    files = {"train": "train.csv", "test": "test.csv"}
    assert any(
        "1 rows of the given" in w and "`duplicates: keep`" in w
        for w in split("d", files=files).report.warnings
    )
    assert len(split("d", files=files, duplicates="keep").test) == 3


# -- any bytes -----------------------------------------------------------------------------------------------

_ROWS = [(f"text {k}", k / 4, "uv"[k % 2], label) for k, label in enumerate(LABELS)]
_NAMES = ("text", "x", "c", "label")
_RECORDS = [dict(zip(_NAMES, row, strict=True)) for row in _ROWS]


def _zip(content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.csv", content)
    return out.getvalue()


WHOLE = {
    "csv": csv_lines(_ROWS, _NAMES).encode(),
    "tsv": csv_lines(_ROWS, _NAMES, delimiter="\t").encode(),
    "jsonl": "".join(json.dumps(record) + "\n" for record in _RECORDS).encode(),
    "parquet": packed(pa.Table.from_pylist(_RECORDS)),
    "zip": _zip(csv_lines(_ROWS, _NAMES)),
}
MODEL = Schema("table", ("a", "b"), (Feature("x", "number"), Feature("c", "category", ("u", "v"))))


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_bytes_a_file_has_it_is_read_or_refused(kind, data, tmp_path):
    whole = WHOLE[kind]
    damage = st.tuples(st.integers(0, len(whole)), st.binary(max_size=8), st.integers(0, 8)).map(
        lambda cut: whole[: cut[0]] + cut[1] + whole[cut[0] + cut[2] :]
    )
    letters = st.text('{}[]":,;\\\n\r\t\0 aeu019.-', max_size=40).map(str.encode)
    path = tmp_path / f"d.{kind}"
    path.write_bytes(
        data.draw(st.one_of(damage, st.binary(max_size=60), letters, damage.map(lambda b: b[:-9])))
    )
    for modality in ("table", "text"):
        try:
            load_splits(make_entry(modality=modality, path=str(path)), "mine", 0, [tmp_path])
        except EvenlyError as error:
            assert str(error)
    try:
        with open_unlabelled(path, MODEL) as rows:
            list(rows.batches(100))
    except EvenlyError as error:
        assert str(error)
