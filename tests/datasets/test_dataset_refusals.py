"""What cannot work is refused in one sentence that names the file, the row or key, and what to do."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafiles import csv_lines, jpeg, png, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.datasets.images import checked_images, stated_size
from evenly.errors import DataError

GOOD = texts(a=6, b=6)


@pytest.fixture
def refusal(split):
    """The sentence with which splitting refuses."""

    def refusal(path=None, **values) -> str:
        with pytest.raises(DataError) as caught:
            split(path, **values)
        message = str(caught.value)
        assert message.endswith((".", "?"))
        assert "\n" not in message
        return message

    return refusal


def test_empty_text_names_the_line_even_behind_longer_records_and_empty_lines(write, refusal):
    write("d.csv", 'text,label\n"two\nlines",a\n\nx,b\n   ,a\n')
    assert "d.csv, line 6 has no text (column 'text'" in refusal("d.csv")
    write("d.jsonl", '{"text": "x", "label": "a"}\n\n{"text": null, "label": "b"}\n')
    assert "d.jsonl, line 3 has no text" in refusal("d.jsonl")


@pytest.mark.parametrize("label", ["", "  ", "\u200b"])
def test_a_missing_label_names_its_line(label, write, refusal):
    write("d.csv", csv_lines([*GOOD, ("x", label)]))
    assert "d.csv, line 14 has no label (column 'label'" in refusal("d.csv")


def test_a_missing_label_in_parquet_names_its_row(write, refusal):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["x", "y", "z"], "label": [1.0, float("nan"), 0.0]}), out)
    write("d.parquet", out.getvalue())
    assert "d.parquet, row 2 has no label" in refusal("d.parquet")


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "None", "null", "NULL", "n/a", "<NA>"])
def test_words_for_a_missing_value_are_classes_only_where_the_entry_names_them(word, write, split, refusal):
    write("d.csv", csv_lines([(f"{k}", (word, "other")[k % 2]) for k in range(8)]))
    message = refusal("d.csv")
    assert f"d.csv, line 2 has the label {word!r} in column 'label'" in message
    assert "under `classes`" in message
    assert word in split("d.csv", classes={word: {}}).train.classes


def test_a_single_class_is_refused(write, refusal):
    write("d.csv", csv_lines(texts(a=5)))
    assert "Every row has the label 'a'" in refusal("d.csv")


def test_a_label_column_of_numbers_or_names_is_refused(write, refusal):
    write("d.csv", csv_lines([(f"t{k}", k / 7) for k in range(60)]))
    assert "60 different labels in 60 rows" in refusal("d.csv")


def test_a_class_without_training_rows_is_refused_with_its_line(write, refusal):
    write("d/train.csv", csv_lines(GOOD))
    write("d/test.csv", csv_lines([("t1", "a"), ("t2", "c"), ("t3", "b")]))
    message = refusal("d", files={"train": "train.csv", "test": "test.csv"})
    assert (
        "The class 'c' (d/test.csv, line 3) has no training rows: the given train split has none" in message
    )


def test_a_class_whose_only_training_rows_are_copies_of_test_rows_is_refused(write, refusal):
    write("d/train.csv", csv_lines([*GOOD, ("t2", "c")]))
    write("d/test.csv", csv_lines([("t1", "a"), ("t2", "c"), ("t3", "b")]))
    assert "identical rows in validation or test" in refusal(
        "d", files={"train": "train.csv", "test": "test.csv"}
    )


def test_too_few_rows_for_three_parts_are_refused(write, refusal):
    write("d.csv", csv_lines(texts(a=2, b=2)))
    assert "No rows of mine are left for validation" in refusal("d.csv")


def test_another_encoding_names_the_line_and_how_to_convert(write, refusal):
    write("d.csv", csv_lines(GOOD).encode() + "你好,a\n".encode("gb18030"))
    message = refusal("d.csv")
    assert "d.csv, line 14 is not UTF-8" in message
    assert "iconv -f GB18030 -t UTF-8" in message
    write("d.tsv", csv_lines(GOOD, delimiter="\t").encode("utf-16"))
    assert "iconv -f UTF-16" in refusal("d.tsv")


def test_a_missing_column_names_those_that_are_there(write, refusal):
    write("d.csv", csv_lines(GOOD, ("sentence", "topic")))
    assert "d.csv has no column 'label'; its columns are 'sentence', 'topic'" in refusal("d.csv")
    write("d.jsonl", [{"text": "x", "label": "a"}])
    assert "no column 'speaker'" in refusal("d.jsonl", columns={"group": "speaker"})


@pytest.mark.parametrize(("row", "fields"), [("x,y,a", 3), ("x", 1)])
def test_ragged_rows_name_their_line(row, fields, write, refusal):
    write("d.csv", 'text,label\n"1\n2",a\nu,b\n' + row + "\n")
    assert f"d.csv, line 5 has {fields} fields where the header has 2" in refusal("d.csv")


def test_a_quote_that_does_not_close_is_refused_rather_than_swallowing_rows(write, refusal):
    write("d.csv", 'text,label\nx,a\n"y,b\nz,a\n')
    assert "d.csv, in or after line 2 has a quoted field that does not end" in refusal("d.csv")


def test_an_inner_quote_is_an_ordinary_character(write, split):
    write("d.csv", csv_lines([*GOOD, ('a 5" pipe', "a")]))
    assert split("d.csv").report.rows_read == 13


def test_another_delimiter_is_guessed_at_in_the_message(write, refusal):
    write("d.csv", csv_lines(GOOD, delimiter=";"))
    assert "separated by ';', not ','; set `delimiter`" in refusal("d.csv")


def test_ids_that_occur_twice_name_both_lines(write, refusal):
    rows = [(f"i{k}", f"t{k}", "ab"[k % 2]) for k in range(6)]
    write("d.csv", csv_lines([*rows, ("i2", "again", "a")], ("key", "text", "label")))
    message = refusal("d.csv", columns={"id": "key"})
    assert "The id 'i2' occurs twice: d.csv, line 4, and d.csv, line 8" in message


def test_broken_json_names_line_and_place(write, refusal):
    write("d.jsonl", '{"text": "x", "label": "a"}\n{"text": "y", "label" "b"}\n')
    assert "d.jsonl, line 2 is not JSON" in refusal("d.jsonl")
    write("d.jsonl", '{"text": "x", "label": "a"}\n["y", "b"]\n')
    assert "d.jsonl, line 2 is not a JSON object" in refusal("d.jsonl")


def test_unknown_words_in_a_split_column_name_their_line(write, refusal):
    write("d.csv", csv_lines([("x", "a", "train"), ("y", "b", "holdout")], ("text", "label", "part")))
    assert "d.csv, line 3 has 'holdout' in column 'part'" in refusal("d.csv", columns={"split": "part"})


def test_empty_and_headless_files_are_refused(write, refusal):
    write("none.csv", "")
    write("header.csv", "text,label\n")
    assert "none.csv is empty" in refusal("none.csv")
    assert "header.csv has no rows" in refusal("header.csv")


def test_two_columns_of_one_name_are_refused(write, refusal):
    write("d.csv", csv_lines([], ("text", "label", "text")))
    assert "line 1 has two columns 'text'" in refusal("d.csv")


def test_files_that_are_not_what_their_name_says_are_refused(write, refusal):
    write("d.parquet", b"no parquet")
    write("d.zip", b"no zip")
    write("d.xlsx", b"no table")
    assert "d.parquet cannot be read as Parquet" in refusal("d.parquet")
    assert "d.zip is no readable zip" in refusal("d.zip")
    assert "d.xlsx is none of csv, tsv, jsonl or parquet" in refusal("d.xlsx")


def test_a_damaged_member_of_a_zip_is_named(write, refusal):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("d.csv", csv_lines(GOOD))
    write("d.zip", out.getvalue().replace(b"text 3", b"text 9"))
    assert "d.zip/d.csv cannot be unpacked" in refusal("d.zip")


def test_several_files_ask_for_one_to_be_named(write, refusal):
    write("d/one.csv", csv_lines(GOOD))
    write("d/two.csv", csv_lines(GOOD))
    assert "d must hold one csv" in refusal("d")
    assert (
        "'three.csv', named by datasets.yaml: mine.files.test, is not in d, where there is one.csv"
        in refusal("d", files={"train": "one.csv", "test": "three.csv"})
    )


def test_missing_data_say_how_to_bring_them(refusal):
    url = {"url": "https://example.org/d.csv", "sha256": "0" * 64}
    assert "mine.path is empty; give it your data with `evenly add mine" in refusal(None)
    assert "does not exist; give it your data with `evenly add mine" in refusal("d.csv")
    assert "download it with `evenly fetch mine`" in refusal("data/raw/d.csv", **url)


def test_data_that_dvc_knows_are_checked_out(write, refusal):
    write("data/raw/d.csv.dvc", "outs:\n")
    assert "`dvc checkout data/raw/d.csv`" in refusal("data/raw/d.csv")


def test_notes_on_unknown_classes_are_refused(write, refusal):
    write("d.csv", csv_lines(GOOD))
    message = refusal("d.csv", classes={"A": {"description": "x"}})
    assert "mine.classes describes 'A', which is no label of the data; the labels are 'a', 'b'" in message


# -- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("x", ["", "NA"] * 6, "Column 'x' is empty in every row"),
        ("x", ["inf", *range(11)], "t.csv, line 2 has an infinite number in column 'x'"),
        ("x", [2**60 + k for k in range(12)], "integers beyond 2^53"),
        ("origin", range(12), "'origin' has a name that evenly needs"),
    ],
)
def test_features_that_cannot_be_used_are_named(column, values, words, write, refusal):
    write("t.csv", csv_lines([(v, "ab"[k % 2]) for k, v in enumerate(values)], (column, "label")))
    assert words in refusal("t.csv", modality="table")


def test_a_table_without_features_or_with_unknown_ones_is_refused(write, refusal):
    write("t.csv", csv_lines([(k, "ab"[k % 2]) for k in range(8)], ("x", "label")))
    assert "no column is left as a feature" in refusal("t.csv", modality="table", columns={"drop": ["x"]})
    assert "columns.drop names 'z'" in refusal("t.csv", modality="table", columns={"drop": ["z"]})
    assert "no column 'z'" in refusal("t.csv", modality="table", columns={"features": ["z"]})


def test_given_splits_with_different_columns_are_refused(write, refusal):
    write("d/train.csv", csv_lines([(1, 2, "a"), (3, 4, "b")], ("x", "y", "label")))
    write("d/test.csv", csv_lines([(1, "a"), (3, "b")], ("x", "label")))
    message = refusal("d", modality="table", files={"train": "train.csv", "test": "test.csv"})
    assert "The column 'y' is in only one of d/train.csv and d/test.csv" in message


def test_nested_json_values_are_refused_with_their_line(write, refusal):
    write("t.jsonl", [{"x": 1, "label": "a"}, {"x": [2], "label": "b"}])
    assert "t.jsonl, line 2: 'x' is a nested value" in refusal("t.jsonl", modality="table")


def test_a_text_like_category_is_warned_about(write, split):
    write("t.csv", csv_lines([(f"name {k}", k, "ab"[k % 2]) for k in range(60)], ("who", "x", "label")))
    (*_, warning) = split("t.csv", modality="table").report.warnings
    assert "'who' has 60 different values in 60 rows" in warning


# -- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"no image", jpeg(3)[:-40], png(3)[:-20]])
def test_an_unreadable_image_is_named(damage, write, refusal):
    for k in range(4):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    write("pictures/b/broken.jpg", damage)
    assert "pictures/b/broken.jpg is not a readable image" in refusal("pictures", modality="image")


def test_pixels_that_png_cannot_keep_are_refused_rather_than_rounded(write, refusal):
    for k in range(4):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    write("pictures/a/float.tiff", cv2.imencode(".tiff", np.full((4, 4), 0.5, np.float32))[1].tobytes())
    assert "pictures/a/float.tiff has float32 pixels" in refusal("pictures", modality="image")


def test_images_beside_or_below_class_folders_are_named(write, refusal):
    write("pictures/a/1.png", png(1))
    write("pictures/b/deep/2.png", png(2))
    assert "pictures/b/deep/2.png does not lie in a class folder" in refusal("pictures", modality="image")


def test_a_manifest_row_without_its_image_is_named(write, refusal):
    write("set/1.png", png(1))
    write("set/list.csv", csv_lines([("1.png", "a"), ("2.png", "b")], ("file", "label")))
    message = refusal("set", modality="image", columns={"image": "file"})
    assert "set/list.csv, line 3 names the image '2.png', which is not in set" in message


def test_a_manifest_alone_asks_for_its_folder(write, refusal):
    write("list.csv", csv_lines([("1.png", "a"), ("2.png", "b")], ("file", "label")))
    assert "set path to the folder or zip" in refusal("list.csv", modality="image", columns={"image": "file"})


def test_a_damaged_image_of_a_manifest_names_file_and_line(write, refusal):
    write("set/1.png", png(1))
    write("set/2.png", b"oops")
    write("set/list.csv", csv_lines([("1.png", "a"), ("2.png", "b")], ("file", "label")))
    message = refusal("set", modality="image", columns={"image": "file"})
    assert "set/2.png (set/list.csv, line 3) is not a readable image" in message


def test_an_image_folder_cannot_have_groups(write, refusal):
    write("pictures/a/1.png", png(1))
    write("pictures/b/2.png", png(2))
    assert "mine.columns.group needs a manifest" in refusal(
        "pictures", modality="image", columns={"group": "g"}
    )


@pytest.fixture
def pictures(write, tmp_path):
    """A folder of two classes with two pictures each."""
    for k in range(4):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    return tmp_path / "pictures"


def test_a_class_of_pictures_that_are_not_read_is_named_with_their_type(pictures, write, refusal):
    write("pictures/c/1.gif", b"GIF89a")
    write("pictures/c/2.gif", b"GIF89a")
    message = refusal("pictures", modality="image")
    assert "The class 'c' of pictures has no picture that can be read, only 2 .gif" in message


def test_files_that_are_left_out_are_told_by_type_and_folder(write, split):
    for k in range(8):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    write("pictures/a/1.gif", b"GIF89a")
    write("pictures/readme.txt", "x")
    (warning,) = (w for w in split("pictures", modality="image").report.warnings if "left out" in w)
    assert warning == (
        "2 files below pictures are no images and were left out: 1 .gif, 1 .txt, in 'a'; convert 'a/1.gif' "
        "to PNG or JPEG if they matter."
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.png", "pictures/a/link.png is a link that leads nowhere (to nowhere.png)"),
        ("link.png", "pictures/a/link.png is a link that leads in a circle"),
        ("../../outside.png", "pictures/a/link.png is a link that leads out of"),
        ("/etc/hostname", "pictures/a/link.png is a link that leads out of"),
        ("..", "pictures/a/link.png is a link to the folder"),
        ("../../..", "pictures/a/link.png is a link that leads out of"),
    ],
)
def test_a_link_that_cannot_be_followed_is_named(target, words, pictures, write, refusal):
    write("outside.png", png(9))
    (pictures / "a/link.png").symlink_to(target)
    assert words in refusal("pictures", modality="image")


def test_a_link_to_a_picture_inside_the_folder_and_into_the_cache_of_dvc_is_followed(write, split, tmp_path):
    for k in range(8):
        write(f"pictures/{'ab'[k % 2]}/{k}.png", png(k))
    cached = write(f"cache/files/md5/0a/{'b' * 30}", png(100))
    (tmp_path / "pictures/a/cached.png").symlink_to(cached)
    write("pictures/.store/inside.png", png(101))
    (tmp_path / "pictures/b/inside.png").symlink_to("../.store/inside.png")
    assert split("pictures", modality="image").report.rows_read == 10


def test_a_named_pipe_among_pictures_is_named(pictures, refusal):
    os.mkfifo(pictures / "a/pipe.png")
    assert "pictures/a/pipe.png is neither a file nor a folder" in refusal("pictures", modality="image")


def huge_png(side: int) -> bytes:
    """A grey PNG of side × side pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_that_unfolds_to_gigabytes_is_refused_before_it_is_decoded(pictures, write, refusal):
    write("pictures/b/huge.png", huge_png(30_000))
    message = refusal("pictures", modality="image")
    assert "pictures/b/huge.png unfolds to 30,000×30,000 pixels, more than 100 million" in message


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_the_size_of_a_picture_is_told_from_its_head(ending):
    for channels, lossless in ((1, 100), (3, 101), (4, 101)):
        if channels == 4 and ending == ".jpg":
            continue
        pixels = np.random.default_rng(0).integers(0, 255, (21, 43, channels), dtype=np.uint8)
        options = [cv2.IMWRITE_WEBP_QUALITY, lossless] if ending == ".webp" else []
        assert stated_size(cv2.imencode(ending, pixels, options)[1].tobytes()) == (43, 21)


PICTURES = [
    cv2.imencode(ending, np.arange(300, dtype=np.uint8).reshape(10, 10, 3))[1].tobytes()
    for ending in (".png", ".jpg", ".bmp", ".tiff", ".webp")
]


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.tuples(
        st.sampled_from(PICTURES), st.integers(0, 400), st.binary(max_size=6), st.integers(0, 500)
    ).map(lambda parts: (parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :])[: parts[3]])
)
def test_whatever_bytes_a_picture_has_it_is_read_or_refused_by_name(data):
    try:
        (kept,) = checked_images(lambda _: data, 1, lambda _: "a/1.png")
    except DataError as error:
        assert "a/1.png" in str(error)
    else:
        assert stated_size(kept)


@pytest.mark.parametrize("weight", ["-1", "inf", "heavy", "1e999"])
def test_what_is_no_weight_names_its_line(weight, write, refusal):
    write("d.csv", csv_lines([*((*row, 1) for row in GOOD), ("x", "a", weight)], ("text", "label", "w")))
    found = refusal("d.csv", columns={"weight": "w"})
    assert f"d.csv, line 14 has {weight!r} in column 'w', which is no weight" in found


def test_a_missing_weight_names_its_line_and_weights_of_one_class_are_none(write, refusal):
    write("d.csv", csv_lines([*((*row, 1) for row in GOOD), ("x", "a", "")], ("text", "label", "w")))
    assert "d.csv, line 14 has no weight (column 'w'" in refusal("d.csv", columns={"weight": "w"})
    write("d.csv", csv_lines([(*row, int(row[1] == "a")) for row in GOOD], ("text", "label", "w")))
    assert "fewer than two classes" in refusal("d.csv", columns={"weight": "w"})
