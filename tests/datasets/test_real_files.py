"""Files as people have them: odd ones are read rightly or refused in one sentence."""

from __future__ import annotations

import gzip
import io
import json
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafiles import csv_lines, make_entry, png, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

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


def told(splits):
    """Warnings, but for the one about data outside of data/raw."""
    return [warning for warning in splits.report.warnings if "sha256" not in warning]


def packed(frame) -> bytes:
    out = io.BytesIO()
    if isinstance(frame, pd.DataFrame):
        frame.to_parquet(out)
    else:
        pq.write_table(frame, out)
    return out.getvalue()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
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
        ("3,5", "1 has a decimal comma; t.csv, line 5 holds '3,5': set `decimal: ','`"),
        ("3 kg", "1 has a unit or currency beside them; t.csv, line 5 holds '3 kg'"),
        ("€3", "1 has a unit or currency beside them; t.csv, line 5 holds '€3'"),
        ("3 500", "1 has a sign between thousands; t.csv, line 5 holds '3 500'"),
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


WRITTEN = [
    *((mark + "{}", "a minus that is not the sign -") for mark in "−–－"),
    ("({})", "a minus that is not the sign -"),
    ("{}-", "a minus that is not the sign -"),
    ("{}%", "a unit or currency"),
    ("{} kg", "a unit or currency"),
    ("€ {}", "a unit or currency"),
    ("'{}'", "quotes around them"),
    ("1٣{}", "digits other than 0 to 9"),
]


@pytest.mark.parametrize(("form", "words"), WRITTEN)
def test_numbers_in_a_form_that_is_not_read_are_no_categories(form, words, table):
    values = [form.format(k) for k in range(12)]
    assert f"12 have {words}" in refused(table, {"x": values})
    assert features(table({"x": values}, columns={"categorical": ["x"]})) == {"x": "category"}


def test_most_rows_without_a_value_hide_no_numbers(table):
    assert "15 of 30 values are numbers, but t.csv, line 2 holds '-'" in refused(
        table, {"x": ["-"] * 15 + [k / 8 for k in range(15)]}, labels=["a", "b"] * 15
    )


def test_a_few_numbers_with_a_unit_are_a_category(table):
    assert features(table({"x": ["2 cyl", "4 cyl", "8 cyl"] * 4, "f": range(12)}))["x"] == "category"


@pytest.mark.parametrize("around", ["\u00a0{}", "{}\u00a0", "\u200b{}", "\ufeff{}\u200e"])
def test_signs_that_cannot_be_seen_make_no_category_of_numbers(around, table):
    assert features(table({"x": [around.format(k) for k in range(12)]})) == {"x": "integer"}


def test_long_identifiers_beside_missing_values_keep_their_digits(table):
    splits = table({"x": ["?", *(10**20 + k for k in range(11))]}, missing=["?"])
    assert features(splits) == {"x": "category"} and splits.report.conflicts["rows"] == 0


def test_codes_that_begin_with_zeros_are_warned_about(table):
    (warning,) = told(table({"zip": [f"0{k}123" for k in range(12)], "f": range(12)}))
    assert "column 'zip' holds '00123', which is read as the number" in warning
    assert not told(table({"day": [f"2024-01-{k + 1:02}" for k in range(12)]}))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("form", ["{}", "{}T10:00:00Z", "{} 10:00:00.25+02:00", "{}T00:00:00.123456789"])
def test_dates_are_days_whatever_the_file_is_and_for_a_model_too(kind, form, write, split):
    rows = [{"x": form.format(f"2024-01-{k + 1:02}"), "label": label} for k, label in enumerate(LABELS)]
    content = {"csv": csv_lines([row.values() for row in rows], ("x", "label")), "jsonl": rows}
    path = write(f"t.{kind}", content.get(kind) or packed(pa.Table.from_pylist(rows)))
    splits = split(path.name, modality="table")
    assert features(splits) == {"x": "number"}
    days = sorted(x for part in parts(splits) for x in part.table.column("x").to_pylist())
    first = {"{}": 0, "{}T10:00:00Z": 10 / 24, "{} 10:00:00.25+02:00": 8 / 24 + 0.25 / 86400}.get(form, 0)
    assert days[0] == pytest.approx(19723 + first, abs=1e-5)
    assert np.diff(days) == pytest.approx(np.ones(11), abs=1e-9)
    with open_unlabelled(path, splits.train.schema) as new:
        assert sorted(next(new.batches(99)).table.column("x").to_pylist()) == days


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_times_that_are_too_near_or_of_two_zones_are_refused(kind, write, split):
    for values, words in (
        ([f"2024-01-01 10:00:00.1000000{k:02}" for k in range(12)], "nearer to one another than numbers"),
        ([f"2024-01-{k + 1:02}T10:00:00{'Z' * (k % 2)}" for k in range(12)], "with and without a zone"),
    ):
        rows = [{"x": x, "label": label} for x, label in zip(values, LABELS, strict=True)]
        content = {"csv": csv_lines([row.values() for row in rows], ("x", "label")), "jsonl": rows}
        write(f"t.{kind}", content.get(kind) or packed(pa.Table.from_pylist(rows)))
        assert words in refused(split, f"t.{kind}", modality="table")


def test_times_between_seconds_are_kept(write, split):
    for unit in ("ms", "us", "ns"):
        times = pa.array(range(0, 12 * 10**4, 10**4), pa.timestamp("us")).cast(pa.timestamp(unit))
        write("t.parquet", packed(pa.table({"x": times, "label": LABELS})))
        days = [
            x for p in parts(split("t.parquet", modality="table")) for x in p.table.column("x").to_pylist()
        ]
        assert sorted(days) == [k * 10**4 / 86400e6 for k in range(12)]


def test_numbers_in_quotes_among_numbers_are_numbers_and_alone_are_told(write, split):
    mixed = [
        {"x": str(k) if k % 2 else k, "y": "" if k == 3 else k / 2, "label": v} for k, v in enumerate(LABELS)
    ]
    write("t.jsonl", mixed)
    assert features(split("t.jsonl", modality="table")) == {"x": "integer", "y": "number"}
    write("t.jsonl", [{"x": str(k), "label": v} for k, v in enumerate(LABELS)])
    (warning,) = told(split("t.jsonl", modality="table"))
    assert "'x' holds numbers that are written as text ('0')" in warning
    write("t.jsonl", [{"x": k if k % 2 else True, "label": v} for k, v in enumerate(LABELS)])
    assert "t.jsonl, line 1: 'x' is true or false" in refused(split, "t.jsonl", modality="table")


def test_names_of_columns_are_read_alike_in_every_form(write, split):
    rows = [{" f ": k, "": k % 2, "label": label} for k, label in enumerate(LABELS)]
    write("t.jsonl", rows)
    write("t.parquet", packed(pa.Table.from_pylist(rows)))
    for name in ("t.jsonl", "t.parquet"):
        splits = split(name, modality="table")
        assert features(splits) == {"f": "integer"}
        assert [w.split(": ")[1].split(" (")[0] for w in told(splits)] == [
            "spaces around column names do not count",
            "1 column has no name and is left out",
        ]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_may_end_as_on_any_machine(end, write, split):
    write("t.csv", csv_lines(enumerate(LABELS), ("f", "label")).replace("\n", end))
    write("t.jsonl", end.join(json.dumps({"f": k, "label": label}) for k, label in enumerate(LABELS)))
    for name in ("t.csv", "t.jsonl"):
        assert features(split(name, modality="table")) == {"f": "integer"}


NO_TABLES = {
    "t.csv.gz": (b"", "t.csv.gz is none of csv, tsv, jsonl or parquet by its name; unpack it"),
    "t.xlsx": (b"", "save the sheet as `CSV UTF-8`"),
    "t.json": (b"[]", "write one object a line, as `jq -c '.[]' OLD > NEW.jsonl`"),
    "t.txt": (b"", "rename it, or say `format: csv` in datasets.yaml"),
    "gzip.csv": (gzip.compress(b"x"), "gzip.csv is a gzip file"),
    "book.csv": (b"PK\3\4xx", "book.csv is a zip file or an Excel workbook"),
    "u32.csv": ("x,label\n".encode("utf-32"), "u32.csv is UTF-32"),
    "note.csv": (b"sep=;\nx;label\n1;a\n", "note.csv, line 1 is a note for Excel ('sep=;')"),
    "page.csv": (b"<html>not found</html>\n", "page.csv, line 1 is '<html>not found</html>'"),
    "remark.csv": (b"# from lab 3\nx,label\n", "remark.csv, line 1 is '# from lab 3'"),
    "words.csv": (b"x label\n1 a\n", "fields seem to be separated by ' '"),
    "head.csv": (b"x,label", "head.csv has no rows"),
    "list.jsonl": (b'[{"x": 1}]', "list.jsonl holds a list"),
    "pretty.jsonl": (b'{\n"x": 1}', "pretty.jsonl has objects of several lines"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_says_what_to_make_of_it(name, write, split):
    content, words = NO_TABLES[name]
    write(name, content)
    assert words in refused(split, name, modality="table")


def test_bytes_that_are_no_text_name_their_row(write, split):
    for column in ("text", "label"):
        values = {"text": [b"t%d" % k for k in range(12)], "label": [label.encode() for label in LABELS]}
        values[column][4] = b"\xff"
        write("t.parquet", packed(pa.table(values)))
        assert f"t.parquet, row 5 holds bytes in column {column!r}" in refused(split, "t.parquet")


def test_a_zip_that_windows_wrote_has_folders(write, split):
    write("w.zip", zipped({f"top\\{'ab'[k % 2]}\\{k}.png": png(k) for k in range(12)}))
    assert split("w.zip", modality="image").train.classes == ("a", "b")


@pytest.mark.parametrize("name", ["..\\a.csv", "C:\\a.csv", "d\\..\\..\\a.csv"])
def test_nor_does_a_zip_of_windows_reach_out_of_itself(name, write, split):
    write("w.zip", zipped({name: "x,label\n1,a\n"}))
    assert f"w.zip holds {name!r}, which lies outside of it" in refused(split, "w.zip", modality="table")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_or_a_link_in_a_zip_is_refused(write, split):
    link = zipfile.ZipInfo("l.csv")
    link.external_attr = 0o120777 << 16
    for name, words in (
        ("t.csv", "w.zip holds 't.csv' twice"),
        (link, "w.zip holds 'l.csv', which is a link"),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("t.csv", "x,label\n1,a\n")
            archive.writestr(name, "x,label\n1,b\n")
        write("w.zip", out.getvalue())
        assert words in refused(split, "w.zip", modality="table")


def moving(kind):
    """Two frames, or pages, in one file."""
    out, frames = io.BytesIO(), [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "m.png"), ("GIF", "m.png"), ("WEBP", "m.webp"), ("TIFF", "m.tif")]
)
def test_a_picture_that_moves_is_told_by_name(kind, name, write, split):
    for k in range(8):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    write(f"pictures/a/{name}", moving(kind))
    (warning,) = (w for w in split("pictures", modality="image").report.warnings if "frames" in w)
    assert warning.endswith(f"of which the first is read: pictures/a/{name}.")


def test_a_manifest_finds_names_that_a_mac_has_taken_apart(write, split):
    names = [f"{k}\u00e9.png" for k in range(12)]
    for k, name in enumerate(names):
        write("m/" + unicodedata.normalize("NFD", name), png(k))
    write("m/list.csv", csv_lines(zip(names, LABELS, strict=True), ("image", "label")))
    assert split("m", modality="image", columns={"image": "image"}).report.rows_read == 12


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


WHOLE = {
    "csv": csv_lines(_ROWS, _NAMES).encode(),
    "tsv": csv_lines(_ROWS, _NAMES, delimiter="\t").encode(),
    "jsonl": "".join(json.dumps(record) + "\n" for record in _RECORDS).encode(),
    "parquet": packed(pa.Table.from_pylist(_RECORDS)),
    "zip": zipped({"d.csv": csv_lines(_ROWS, _NAMES)}),
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
