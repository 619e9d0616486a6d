from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafiles import jpeg, png

from evenly.datasets.unlabelled import InputFile, Unlabelled, open_unlabelled
from evenly.errors import DataError, ParameterError
from evenly.samples import Feature, SampleTable, Schema, concatenate, samples_from_columns, write_samples

Write = Callable[..., Path]

TABLE = Schema(
    "table",
    ("no", "yes"),
    (
        Feature("age", "integer"),
        Feature("height", "number"),
        Feature("member", "boolean"),
        Feature("size", "category", ("01", "2", "十")),
    ),
)
TEXT = Schema("text", ("没有", "有"))
IMAGE = Schema("image", ("cat", "dog"))


def read(path: Path, schema: Schema, size: int = 100, **how: Any) -> tuple[SampleTable, tuple[str, ...]]:
    with open_unlabelled(path, schema, InputFile(**how)) as rows:
        return concatenate(list(rows.batches(size))), rows.remarks


def refusal(path: Path, schema: Schema, **how: Any) -> str:
    with pytest.raises((DataError, ParameterError)) as caught:
        read(path, schema, **how)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def values(samples: SampleTable, name: str) -> list[Any]:
    found: list[Any] = samples.table.column(name).to_pylist()
    return found


# -- tables --------------------------------------------------------------------------------------------------


def test_columns_get_the_types_of_the_model_whatever_they_look_like(write: Write) -> None:
    path = write("new.csv", "size,age,member,height,id\n01,3.0,1,7,b\n2,,0,,a\n10,5,1,2.5,c\n")
    samples, _ = read(path, TABLE)
    assert samples.schema == TABLE
    assert list(samples.ids) == ["b", "a", "c"]
    assert values(samples, "size") == ["01", "2", "10"]
    assert values(samples, "age") == [3, None, 5]
    assert values(samples, "member") == [True, False, True]
    np.testing.assert_array_equal(values(samples, "height"), [7.0, np.nan, 2.5])


def test_an_integer_feature_with_fractions_keeps_them(write: Write) -> None:
    samples, _ = read(write("n.csv", "age,height,member,size\n2.5,1,true,2\n3,1,false,2\n"), TABLE)
    assert values(samples, "age") == [2.5, 3.0]
    assert samples.schema.features[0] == Feature("age", "number")
    assert samples.schema.features[1:] == TABLE.features[1:]


def test_a_column_that_is_empty_throughout_is_missing_values(write: Write) -> None:
    samples, _ = read(write("n.csv", "age,height,member,size\n,,,\n,NA,,NA\n"), TABLE)
    assert values(samples, "age") == values(samples, "member") == values(samples, "size") == [None, None]
    assert np.isnan(values(samples, "height")).all()


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "zip"])
def test_every_form_gives_the_same_rows(form: str, tmp_path: Path, write: Write) -> None:
    records = [
        {"age": 3, "height": 1.5, "member": True, "size": "01", "id": "x"},
        {"age": 4, "height": 2.0, "member": False, "size": "十", "id": "y"},
    ]
    path = tmp_path / f"new.{form}"
    sign = "\t" if form == "tsv" else ","
    lines = "".join(sign.join(map(str, row)) + "\n" for row in (records[0], *(r.values() for r in records)))
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside/new.csv", lines)
    else:
        write(path.name, records if form == "jsonl" else lines)
    samples, remarks = read(path, TABLE)
    assert list(samples.ids) == ["x", "y"]
    assert {name: values(samples, name) for name in ("age", "height", "member", "size")} == {
        name: [record[name] for record in records] for name in ("age", "height", "member", "size")
    }
    assert remarks == ()


def test_extra_columns_are_ignored_and_said_even_where_they_could_not_be_read(write: Write) -> None:
    record = {"age": 1, "height": 1, "member": True, "size": "2", "nested": {"a": [1]}, "label": "yes"}
    samples, remarks = read(write("n.jsonl", [record]), TABLE)
    assert len(samples) == 1
    assert remarks == ("Columns that are not used: nested, label.",)


def test_new_categories_are_allowed_and_said(write: Write) -> None:
    samples, remarks = read(write("n.csv", "age,height,member,size\n1,1,true,2\n1,1,true,big\n"), TABLE)
    assert values(samples, "size") == ["2", "big"]
    assert len(remarks) == 1
    assert "'size': 1 of 2 values are unknown to the model, the first is 'big'" in remarks[0]


def test_times_of_day_and_dates_mean_what_they_meant_in_training(write: Write, split: Any) -> None:
    rows = [f"{8 + k % 3:02}:30,2024-01-{k + 1:02},{'ab'[k % 2]}\n" for k in range(24)]
    write("train.csv", "at,day,label\n" + "".join(rows))
    train = split("train.csv", modality="table").train
    assert train.schema.features[0].categories == ("08:30", "09:30", "10:30")
    samples, remarks = read(write("new.csv", "day,at\n2024-02-01,09:30\n1970-01-03,10:30\n"), train.schema)
    assert values(samples, "at") == ["09:30", "10:30"]
    assert values(samples, "day") == [19754.0, 2.0]
    assert remarks == ()


def test_rows_of_training_come_back_exactly_as_they_were_trained_on(write: Write, split: Any) -> None:
    text = "n,x,flag,word,label\n" + "".join(
        f"{k},{k / 7:.4f},{'true' if k % 3 else 'false'},{['01', 'ä', ''][k % 3]},{'ab'[k % 2]}\n"
        for k in range(30)
    )
    train = split(write("d.csv", text).name, modality="table", split={"validation": 0.1, "test": 0.1}).train
    write_samples(train, Path(write("keep", "").parent / "train.parquet"))
    again, _ = read(write("keep", "").parent / "train.parquet", train.schema)
    assert list(again.ids) == list(train.ids)
    fresh, _ = read(write("d.csv", text), train.schema, id="n")
    positions = [list(fresh.ids).index(str(n)) for n in values(train, "n")]
    for feature in train.schema.features:
        assert values(again, feature.name) == values(train, feature.name)
        assert [values(fresh, feature.name)[k] for k in positions] == values(train, feature.name)


@pytest.mark.parametrize(
    ("content", "how", "words"),
    [
        (
            "age,member,size\n1,true,2\n",
            {},
            "new.csv has no column 'height', which the model needs; its columns",
        ),
        ("age\n1\n", {}, "no column 'height' (and 2 more), which the model needs"),
        (
            "age,height,member,size\n1,1,true,2\n",
            {"id": "key"},
            "has no column 'key'; name one of its columns",
        ),
        ("age,height,member,size\n1,1,true,2\n", {"text": "size"}, "takes table rows, so no text column"),
        ("age,height,member,size\n1,2,true,2\n1,tall,true,2\n", {}, "line 3 has 'tall' in column 'height'"),
        (
            "age,height,member,size\n1,2,true,2\n1,1,perhaps,2\n",
            {},
            "line 3 has 'perhaps' in column 'member'",
        ),
        ("age,height,member,size\n1,2,1,2\n1,1,3,2\n", {}, "line 3 has 3.0 in column 'member', where"),
        (
            "age,height,member,size\n2024-01-01,2,1,2\n",
            {},
            "line 2 has 2024-01-01 in column 'age'",
        ),
        ("age,height,member,size\n1,inf,1,2\n", {}, "line 2 has an infinite number in column 'height'"),
        ("age,height,member,size,id\n1,1,1,2,k\n1,1,1,2,k\n", {}, "'k' occurs twice in column 'id': "),
        ("age,height,member,size,id\n1,1,1,2,\n", {}, "line 2 has no id"),
        ("age;height;member;size\n1;2;true;2\n", {}, "the option --delimiter"),
        ("age,height,member,size\n1,2,true,2\n", {"delimiter": "ab"}, "delimiter is 'ab'"),
        ("age,height,member,size\n", {}, "new.csv has no rows"),
        ("", {}, "new.csv is empty"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    content: str, how: dict[str, str], words: str, write: Write
) -> None:
    assert words in refusal(write("new.csv", content), TABLE, **how)


def test_another_delimiter_can_be_named(write: Write) -> None:
    samples, _ = read(write("new.csv", "age;height;member;size\n1;2;true;2\n"), TABLE, delimiter=";")
    assert values(samples, "height") == [2.0]


def test_a_missing_file_and_a_file_of_no_known_kind_are_refused(write: Write, tmp_path: Path) -> None:
    assert "nowhere.csv does not exist" in refusal(tmp_path / "nowhere.csv", TABLE)
    assert "there is none" in refusal(write("new.dat", "age\n1\n"), TABLE)
    write("many/a.csv", "age\n1\n")
    assert "there are several" in refusal(write("many/b.csv", "age\n1\n").parent, TABLE)


# -- texts ---------------------------------------------------------------------------------------------------


def test_texts_stay_as_they_are_in_the_order_of_the_file(write: Write) -> None:
    path = write("new.csv", '句子,key\n"  查话费, 谢谢 ",007\nnan,1e3\n第三,z\n')
    samples, _ = read(path, TEXT, size=2, text="句子", id="key")
    assert samples.texts == ["  查话费, 谢谢 ", "nan", "第三"]
    assert list(samples.ids) == ["007", "1e3", "z"]


def test_without_an_id_rows_are_numbered(write: Write) -> None:
    samples, _ = read(write("new.csv", "text\na\nb\na\n"), TEXT, size=2)
    assert list(samples.ids) == ["1", "2", "3"]


def test_a_row_without_text_is_refused(write: Write) -> None:
    assert "line 3 has no text" in refusal(write("new.csv", "text,n\na,1\n ,2\n"), TEXT)
    assert "no column 'text'; name one of its columns: body" in refusal(write("n.csv", "body\na\n"), TEXT)


def test_sample_tables_keep_their_ids_and_the_vectors_of_rows_without_text(tmp_path: Path) -> None:
    columns = {"id": ["b", "a"], "label": ["x", "y"], "text": ["文", None], "vector": [None, [1.0, 2.0]]}
    write_samples(samples_from_columns(columns, Schema("text", ("x", "y"))), tmp_path / "s.parquet")
    samples, remarks = read(tmp_path / "s.parquet", TEXT)
    assert list(samples.ids) == ["b", "a"]
    assert samples.texts == ["文", None]
    assert values(samples, "vector") == [None, [1.0, 2.0]]
    assert samples.classes == TEXT.classes
    assert remarks == ("Columns that are not used: label, origin.",)


# -- images --------------------------------------------------------------------------------------------------


def test_a_folder_of_images_needs_no_class_folders_and_ids_are_names(write: Write, tmp_path: Path) -> None:
    for name, value in (("new/b.png", 1), ("new/deep/er/a.png", 2), ("new/a.PNG", 3)):
        write(name, png(value))
    write("new/notes.txt", "not a picture")
    samples, remarks = read(tmp_path / "new", IMAGE, size=2)
    assert list(samples.ids) == ["a.PNG", "b.png", "deep/er/a.png"]
    assert samples.images == [png(3), png(1), png(2)]
    assert remarks == (f"1 file below {tmp_path / 'new'} is no image and was left out: 1 .txt.",)


def test_zips_of_images_and_one_image_are_read_too(write: Write, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for k in range(5):
            archive.writestr(f"{k}.jpg", jpeg(k))
    samples, _ = read(tmp_path / "new.zip", IMAGE, size=2)
    assert samples.images == [jpeg(k) for k in range(5)]
    samples, _ = read(write("one.png", png(9)), IMAGE)
    assert samples.images == [png(9)]


def test_a_manifest_lists_images_beside_itself_or_anywhere(write: Write, tmp_path: Path) -> None:
    write("in/pictures/x.png", png(1))
    elsewhere = write("out/y.png", png(2))
    path = write("in/list.csv", f"file,n\npictures/x.png,1\n{elsewhere},2\npictures\\x.png,3\n")
    samples, _ = read(path, IMAGE, size=2, image="file", id="n")
    assert samples.images == [png(1), png(2), png(1)]
    assert list(samples.ids) == ["1", "2", "3"]


def test_the_column_with_the_path_can_be_the_id(write: Write) -> None:
    write("x.png", png(1))
    samples, _ = read(write("list.jsonl", json.dumps({"image": "x.png"})), IMAGE, id="image")
    assert list(samples.ids) == ["x.png"]


def test_parquet_may_hold_the_images_themselves(tmp_path: Path) -> None:
    plain = pa.table({"image": [png(1), png(2), png(3)]})
    nested = pa.table({"image": [{"bytes": png(k), "path": None} for k in (1, 2, 3)]})
    for table in (plain, nested):
        pq.write_table(table, tmp_path / "new.parquet")
        assert read(tmp_path / "new.parquet", IMAGE, size=2)[0].images == [png(1), png(2), png(3)]
    pq.write_table(pa.table({"image": pa.array([png(1), None])}), tmp_path / "new.parquet")
    assert "row 2 has no image" in refusal(tmp_path / "new.parquet", IMAGE)


def test_images_that_are_missing_or_damaged_are_named(write: Write, tmp_path: Path) -> None:
    write("in/good.png", png(1))
    write("in/bad.png", b"\x89PNG\r\n\x1a\nnothing")
    assert "bad.png is not a readable image" in refusal(tmp_path / "in", IMAGE)
    path = write("list.csv", "image\nin/good.png\nin/none.png\n")
    assert "list.csv, line 3 names the image" in refusal(path, IMAGE)
    path = write("list.csv", "image\nin/good.png\nin/bad.png\n")
    message = refusal(path, IMAGE)
    assert "in/bad.png (" in message
    assert "list.csv, line 3) is not a readable image" in message
    assert "which have no columns" in refusal(tmp_path / "in", IMAGE, image="file")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refusal(tmp_path / "empty", IMAGE)


def test_images_are_read_batch_by_batch(write: Write, tmp_path: Path) -> None:
    for k in range(4):
        write(f"new/{k}.png", png(k))
    with open_unlabelled(tmp_path / "new", IMAGE) as rows:
        assert isinstance(rows, Unlabelled)
        batches = rows.batches(2)
        assert next(batches).images == [png(0), png(1)]
        (tmp_path / "new" / "3.png").write_bytes(b"damaged meanwhile")
        with pytest.raises(DataError, match=r"3\.png is not a readable image"):
            next(batches)
