"""The same rows come out of every form that data can have on disk."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafiles import csv_lines, jpeg, png, texts
from hypothesis import given
from hypothesis import strategies as st

from evenly.datasets.tabular import _Dialect, _quotes_are_plain_to_see
from evenly.samples import Feature, concatenate

ROWS = texts(a=6, b=4)


def contents(splits):
    """All rows as id → (text, label)."""
    return {
        i: (text, label)
        for part in (splits.train, splits.validation, splits.test)
        for i, text, label in zip(part.ids, part.texts, part.labels, strict=True)
    }


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def zipped(**files: bytes | str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


FORMS = {
    "data.csv": csv_lines(ROWS),
    "data.tsv": csv_lines(ROWS, delimiter="\t"),
    "data.jsonl": [{"text": text, "label": label} for text, label in ROWS],
    "data.parquet": parquet(pa.table({"text": [t for t, _ in ROWS], "label": [c for _, c in ROWS]})),
    "data.zip": zipped(**{"wrapped/data.csv": csv_lines(ROWS), "__MACOSX/data.csv": "junk"}),
    "folder/data.csv": csv_lines(ROWS),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows_with_the_same_ids(name, write, split):
    write("reference.csv", csv_lines(ROWS))
    write(name, FORMS[name])
    assert contents(split(name.split("/")[0])) == contents(split("reference.csv"))


def test_ids_and_parts_do_not_depend_on_the_order_of_the_file(write, split):
    write("one.csv", csv_lines(ROWS))
    write("two.csv", csv_lines(ROWS[::-1]))
    one, two = split("one.csv"), split("two.csv")
    for part in ("train", "validation", "test"):
        assert getattr(one, part).table.equals(getattr(two, part).table)


def test_chinese_text_quotes_commas_and_newlines_arrive_as_they_are(write, split):
    odd = ['我的信用卡还没有到, "请帮忙"', "两行\n文字", "“引号”，标点。", "NA", "null", " space around "]
    out = io.StringIO()
    csv.writer(out).writerows(
        [("text", "label"), *((text, "甲" if k % 2 else "乙") for k, text in enumerate(odd))]
    )
    write("data.csv", b"\xef\xbb\xbf" + out.getvalue().encode())
    splits = split("data.csv")
    assert sorted(text for text, _ in contents(splits).values()) == sorted(odd)
    assert splits.train.classes == ("乙", "甲")


def test_tsv_quotes_are_plain_characters_unless_the_whole_file_is_quoted_well(write, split):
    write("plain.tsv", 'text\tlabel\n"so" he said\ta\nand "then\ta\nc\ta\nd\tb\n')
    write("quoted.tsv", 'text\tlabel\n"so ""x"" he\tsaid"\ta\nthen\ta\nc\ta\nd\tb\n')
    assert {'"so" he said', 'and "then'} <= {text for text, _ in contents(split("plain.tsv")).values()}
    assert 'so "x" he\tsaid' in {text for text, _ in contents(split("quoted.tsv")).values()}


@given(st.text('a,"\n', max_size=30))
def test_quotes_that_look_well_formed_are_so_for_a_strict_parser_too(content):
    if _quotes_are_plain_to_see(content.encode(), ","):
        list(_Dialect(",", quoting=True).records(content, strict=True))


def test_other_delimiters_can_be_named(write, split):
    write("data.csv", csv_lines(ROWS, delimiter=";"))
    assert len(contents(split("data.csv", delimiter=";"))) == 10


def test_given_splits_stay_and_a_missing_validation_part_comes_out_of_train(write, split):
    write("d/train.csv", csv_lines(texts(a=20, b=10)))
    write("d/test.csv", csv_lines([(f"other {k}", "ab"[k % 2]) for k in range(6)]))
    splits = split("d", files={"train": "train.csv", "test": "test.csv"}, split={"validation": 0.2})
    assert sorted(splits.test.texts) == [f"other {k}" for k in range(6)]
    assert splits.validation.counts == {"a": 4, "b": 2}
    assert splits.train.counts == {"a": 16, "b": 8}


def test_given_splits_may_be_members_of_a_zip_or_words_in_a_column(write, split):
    train, validation, test = texts(a=4, b=4), [("v1", "a"), ("v2", "b")], [("t1", "a"), ("t2", "b")]
    files = {"in/train.tsv": train, "in/valid.tsv": validation, "in/test.tsv": test}
    write("d.zip", zipped(**{name: csv_lines(rows, delimiter="\t") for name, rows in files.items()}))
    marked = [
        (*row, part)
        for part, rows in zip(("train", "dev", "Test"), files.values(), strict=True)
        for row in rows
    ]
    write("d.csv", csv_lines(marked, ("text", "label", "part")))
    named = {"train": "train.tsv", "validation": "valid.tsv", "test": "test.tsv"}
    for splits in (split("d.zip", files=named), split("d.csv", columns={"split": "part"})):
        assert sorted(splits.validation.texts) == ["v1", "v2"]
        assert sorted(splits.test.texts) == ["t1", "t2"]
        assert len(splits.train) == 8


def test_columns_are_mapped_and_ids_groups_and_attributes_kept(write, split):
    rows = [
        (f"id{k}", f"words {k}", "xy"[k % 2], f"g{k // 2}", "sun" if k % 3 else "rain") for k in range(20)
    ]
    write("data.csv", csv_lines(rows, ("key", "sentence", "topic", "speaker", "weather")))
    columns = {"id": "key", "text": "sentence", "label": "topic", "group": "speaker", "attribute": "weather"}
    splits = split("data.csv", columns=columns)
    expected = {row[0]: row[1:] for row in rows}
    parts = (splits.train, splits.validation, splits.test)
    found = {
        i: row
        for part in parts
        for i, *row in zip(
            *(part.column(c) for c in ("id", "text", "label", "group", "attribute")), strict=True
        )
    }
    assert {i: tuple(row) for i, row in found.items()} == expected
    groups = [set(part.column("group")) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert splits.report.strategy == "grouped"


# -- tables --------------------------------------------------------------------------------------------------


def test_features_of_a_table_get_the_type_that_their_values_have(write, split):
    header = ("age", "share", "smoker", "city", "zone", "seen", "note", "y")
    rows = [
        (30 + k, "" if k == 3 else k / 4, "true" if k % 2 else "false", ["Bonn", "Köln", "NA"][k % 3], 10 + k
        % 2,
         f"2024-01-0{k % 9 + 1}", "drop me", "no" if k % 4 else "yes")
        for k in range(24)
    ]  # fmt: skip
    write("t.csv", csv_lines(rows, header))
    columns = {"label": "y", "categorical": ["zone"], "drop": ["note"]}
    splits = split("t.csv", modality="table", columns=columns)
    assert splits.train.schema.features == (
        Feature("age", "integer"),
        Feature("share", "number"),
        Feature("smoker", "boolean"),
        Feature("city", "category", ("Bonn", "Köln")),
        Feature("zone", "category", ("10", "11")),
        Feature("seen", "number"),
    )
    frame = concatenate([splits.train, splits.validation, splits.test]).features_frame().set_index("age")
    assert frame.loc[31, "share"] == 0.25
    assert frame.loc[31, "smoker"]
    assert frame.loc[31, "zone"] == "11"
    assert frame.loc[31, "seen"] == 19724  # 2024-01-02, in days since 1970-01-01
    assert frame.loc[32, "city"] is None


def test_missing_numbers_are_nan_and_missing_integers_null(write, split):
    rows = [("" if k == 0 else k, "" if k == 1 else k / 2, "ab"[k % 2]) for k in range(12)]
    write("t.csv", csv_lines(rows, ("i", "x", "label")))
    splits = split("t.csv", modality="table")
    whole = pa.concat_tables([part.table for part in (splits.train, splits.validation, splits.test)])
    assert whole.column("i").null_count == 1
    assert np.isnan(whole.column("x").to_numpy()).sum() == 1


def test_listed_features_are_the_only_ones(write, split):
    rows = [(k, -k, k * k, "ab"[k % 2]) for k in range(10)]
    write("t.csv", csv_lines(rows, ("p", "q", "r", "label")))
    train = split("t.csv", modality="table", columns={"features": ["r", "p"]}).train
    assert [feature.name for feature in train.schema.features] == ["r", "p"]


def test_a_table_is_typed_the_same_from_csv_jsonl_and_parquet(write, split):
    records = [
        {"i": k, "x": k / 3, "b": k % 2 == 0, "c": "uv"[k % 2], "label": "ab"[k // 5]} for k in range(10)
    ]
    write("t.jsonl", records)
    write("t.csv", csv_lines([[str(v).lower() for v in r.values()] for r in records], records[0]))
    write("t.parquet", parquet(pa.Table.from_pylist(records)))
    tables = [split(name, modality="table").train for name in ("t.jsonl", "t.csv", "t.parquet")]
    assert tables[0].table.equals(tables[1].table)
    assert tables[0].table.equals(tables[2].table)


# -- images --------------------------------------------------------------------------------------------------


def test_an_image_folder_keeps_png_and_jpeg_bytes_and_turns_the_rest_into_png(write, split):
    originals = set()
    for k in range(6):
        originals.add(write(f"leaves/healthy/{k}.png", png(10 + k)).read_bytes())
        originals.add(write(f"leaves/blight/{k}.JPG", jpeg(100 + k)).read_bytes())
    write("leaves/blight/bitmap.bmp", bitmap(77))
    write("leaves/blight/notes.txt", "not an image")
    splits = split("leaves", modality="image", flip="both")
    images = [image for part in (splits.train, splits.validation, splits.test) for image in part.images]
    assert set(images) > originals
    (converted,) = set(images) - originals
    assert converted.startswith(b"\x89PNG")
    assert (decoded(converted) == decoded(bitmap(77))).all()
    assert splits.train.classes == ("blight", "healthy")
    assert any("1 file " in warning for warning in splits.report.warnings)


def test_a_manifest_names_images_beside_it_or_from_the_top(write, split):
    rows = []
    for k in range(8):
        write(f"set/pictures/{k}.png", png(k))
        rows.append((f"{'pictures/' if k % 2 else './pictures/'}{k}.png", "ab"[k // 4], f"g{k}"))
    write("set/list.csv", csv_lines(rows, ("file", "kind", "who")))
    splits = split("set", modality="image", columns={"image": "file", "label": "kind", "attribute": "who"})
    found = {
        who: image
        for part in (splits.train, splits.validation, splits.test)
        for who, image in zip(part.column("attribute"), part.images, strict=True)
    }
    assert found == {f"g{k}": png(k) for k in range(8)}


def test_images_come_from_zips_and_parquet_too(write, split):
    files = {f"top/{'ab'[k % 2]}/{k}.png": png(k) for k in range(8)}
    write("pictures.zip", zipped(**files))
    structs = [{"bytes": content, "path": name} for name, content in files.items()]
    table = pa.table({"image": structs, "label": [name[4] for name in files]})
    write("pictures.parquet", parquet(table))
    zipped_set = split("pictures.zip", modality="image")
    parquet_set = split("pictures.parquet", modality="image", columns={"image": "image"})
    assert zipped_set.train.table.equals(parquet_set.train.table)
    assert set(zipped_set.train.images) <= set(files.values())


def bitmap(value: int) -> bytes:
    import cv2

    return cv2.imencode(".bmp", np.full((4, 4, 3), value, np.uint8))[1].tobytes()


def decoded(data: bytes) -> np.ndarray:
    import cv2

    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
