"""What splitting promises about copies, conflicts, small classes, limits, long tails and its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from datafiles import csv_lines, make_entry, texts

from evenly.datasets.builtin import BUILTIN_ROWS
from evenly.datasets.load import load_splits
from evenly.errors import DataError
from evenly.params.datasets import read_entry

PROJECT = Path(__file__).parents[2]


def shared_data() -> Path:
    """The folder with data that are not the project's, or a skip that says so."""
    folder = Path(os.environ.get("EVENLY_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not (folder / "banking77").is_dir():
        pytest.skip(
            f"there is no {folder / 'banking77'}; EVENLY_SHARED_DATA names the folder that holds banking77"
        )
    return folder


def all_texts(splits):
    return {part: sorted(getattr(splits, part).texts) for part in ("train", "validation", "test")}


# -- copies and conflicts ------------------------------------------------------------------------------------


def test_of_identical_rows_one_stays(write, split):
    write("d.csv", csv_lines([*texts(a=10, b=10), *texts(a=3)]))
    splits = split("d.csv")
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 20
    assert splits.report.duplicates["dropped_before_split"] == 3
    assert len(splits.report.duplicates["examples"]) == 3


def test_of_copies_across_given_splits_the_test_copy_stays(write, split):
    write("d/train.csv", csv_lines([*texts(a=5, b=5), ("in test", "a"), ("in all", "b"), ("in val", "b")]))
    write("d/val.csv", csv_lines([("v a", "a"), ("v b", "b"), ("in all", "b"), ("in val", "b")]))
    write("d/test.csv", csv_lines([("t a", "a"), ("t b", "b"), ("in test", "a"), ("in all", "b")]))
    splits = split("d", files={"train": "train.csv", "validation": "val.csv", "test": "test.csv"})
    found = all_texts(splits)
    assert found["test"] == ["in all", "in test", "t a", "t b"]
    assert found["validation"] == ["in val", "v a", "v b"]
    assert len(found["train"]) == 10
    assert splits.report.duplicates["dropped"] == {"train": 3, "validation": 1, "test": 0}
    assert {(e["dropped_from"], e["kept_in"]) for e in splits.report.duplicates["examples"]} == {
        ("train", "test"),
        ("train", "validation"),
        ("validation", "test"),
    }


def test_a_conflicting_copy_of_a_test_row_leaves_train_and_conflicts_inside_a_part_are_reported(write, split):
    write("d/train.csv", csv_lines([*texts(a=5, b=5), ("hot", "a"), ("odd", "a"), ("odd", "b")]))
    write("d/test.csv", csv_lines([("hot", "b"), ("t", "a")]))
    splits = split("d", files={"train": "train.csv", "test": "test.csv"}, split={"validation": 0.1})
    everything = all_texts(splits)
    assert "hot" not in everything["train"] + everything["validation"]
    assert splits.report.conflicts["rows"] == 4
    labels = {entry["label"] for entry in splits.report.conflicts["examples"]}
    assert labels == {"a", "b"}
    assert splits.report.conflicts["dropped"] >= 1


def test_no_payload_is_ever_in_two_parts_of_a_table_of_few_values(write, split):
    rng = np.random.default_rng(0)
    rows = [
        (int(x), int(y), "ab"[int(x + y) % 2 if k % 9 else 0])
        for k, (x, y) in enumerate(rng.integers(0, 6, (200, 2)))
    ]
    write("t.csv", csv_lines(rows, ("x", "y", "label")))
    splits = split("t.csv", modality="table")
    payloads = [
        set(zip(part.column("x"), part.column("y"), strict=True))
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, payloads)) == len(set.union(*payloads))


def test_equal_observations_are_kept_on_request_and_the_leak_is_told(write, split):
    rows = [(k % 2, k % 3, "ab"[k % 2]) for k in range(120)]
    write("t.csv", csv_lines(rows, ("x", "y", "label")))
    splits = split("t.csv", modality="table", duplicates="keep")
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 120
    assert any("identical" in warning for warning in splits.report.warnings)


def test_negative_zero_and_missing_values_count_as_equal(write, split):
    rows = [("0.0", "", "a"), ("-0.0", "NA", "a"), *((k, 1.5, "ab"[k % 2]) for k in range(1, 9))]
    write("t.csv", csv_lines(rows, ("x", "y", "label")))
    assert split("t.csv", modality="table").report.duplicates["dropped_before_split"] == 1


# -- small classes, limits, groups, tails --------------------------------------------------------------------


def test_a_class_of_one_row_is_for_training_and_one_of_two_shows_one_in_test(write, split):
    write("d.csv", csv_lines(texts(many=30, one=1, two=2, three=3)))
    counts = split("d.csv").report.counts
    assert [counts[part]["one"] for part in ("train", "validation", "test")] == [1, 0, 0]
    assert [counts[part]["two"] for part in ("train", "validation", "test")] == [1, 0, 1]
    assert [counts[part]["three"] for part in ("train", "validation", "test")] == [1, 1, 1]


def test_a_limit_cuts_every_given_part_alike(write, split):
    write("d/train.csv", csv_lines(texts(a=160, b=40)))
    write("d/test.csv", csv_lines([(f"t{k}", "a" if k % 5 else "b") for k in range(100)]))
    splits = split("d", files={"train": "train.csv", "test": "test.csv"}, limit=60)
    assert len(splits.test) == 20
    assert len(splits.train) + len(splits.validation) == 40
    assert splits.test.counts == {"a": 16, "b": 4}


def test_an_induced_tail_leaves_validation_and_test_as_they_are(write, split):
    write("d.csv", csv_lines(texts(a=100, b=90, c=80)))
    natural, tailed = split("d.csv"), split("d.csv", imbalance={"ratio": 10})
    assert tailed.validation.table.equals(natural.validation.table)
    assert tailed.test.table.equals(natural.test.table)
    assert set(tailed.train.ids) < set(natural.train.ids)
    assert tailed.train.counts == {"a": 70, "b": 22, "c": 7}
    assert tailed.report.imbalance["train_before"] == natural.train.counts


def test_a_seed_of_the_tail_fixes_which_rows_stay_for_a_given_split(write, split):
    write("d/train.csv", csv_lines(texts(a=60, b=60)))
    write("d/validation.csv", csv_lines([("va", "a"), ("vb", "b")]))
    write("d/test.csv", csv_lines([("ta", "a"), ("tb", "b")]))
    files = {part: f"{part}.csv" for part in ("train", "validation", "test")}

    def rows(run, tail=None):
        return set(split("d", seed=run, files=files, imbalance={"ratio": 6, "seed": tail}).train.ids)

    assert rows(1, tail=5) == rows(2, tail=5)
    assert rows(1) != rows(2)


def test_a_group_in_several_given_splits_is_told(write, split):
    rows = [(text, label, f"g{k % 5}") for k, (text, label) in enumerate(texts(a=10, b=10))]
    header = ("text", "label", "speaker")
    write("d/train.csv", csv_lines(rows, header))
    write("d/test.csv", csv_lines([("t1", "a", "g1"), ("t2", "b", "new")], header))
    splits = split("d", files={"train": "train.csv", "test": "test.csv"}, columns={"group": "speaker"})
    assert any("1 groups" in warning for warning in splits.report.warnings)
    assert not set(splits.train.column("group")) & set(splits.validation.column("group"))


def test_the_same_seed_gives_the_same_splits_and_another_seed_others(write, split):
    write("d.csv", csv_lines(texts(a=50, b=50)))
    assert split("d.csv", seed=1).test.table.equals(split("d.csv", seed=1).test.table)
    assert not split("d.csv", seed=1).test.table.equals(split("d.csv", seed=2).test.table)


def test_classes_are_in_the_order_that_people_expect(write, split):
    write("d.csv", csv_lines([(f"{k} {j}", k) for k in (10, 9, 2) for j in range(5)]))
    assert split("d.csv").train.classes == ("2", "9", "10")


def test_the_report_is_json_and_adds_up(write, split):
    write("d.csv", csv_lines([*texts(a=20, b=20), *texts(a=2)]))
    report = json.loads(json.dumps(split("d.csv", split={"validation": 0.1, "test": 0.3}).report.to_json()))
    assert report["rows"] == {"read": 42, "train": 24, "validation": 4, "test": 12}
    assert report["classes"]["test"] == {"a": 6, "b": 6}
    assert len(report["sha256"]) == 64


def test_data_outside_data_raw_without_a_checksum_are_warned_about(write, split):
    path = write("d.csv", csv_lines(texts(a=9, b=9)))
    assert any("sha256" in warning for warning in split("d.csv").report.warnings)
    write("data/raw/d.csv", path.read_text())
    assert split("data/raw/d.csv").report.warnings == ()


def test_a_path_is_looked_for_under_each_root_in_turn(write, tmp_path):
    write("workspace/d.csv", csv_lines(texts(a=9, b=9)))
    (tmp_path / "checkout").mkdir()
    roots = [tmp_path / "checkout", tmp_path / "workspace"]
    assert load_splits(make_entry(path="d.csv"), "mine", 0, roots).report.rows_read == 18
    write("checkout/d.csv", csv_lines(texts(a=5, b=5)))
    assert load_splits(make_entry(path="d.csv"), "mine", 0, roots).report.rows_read == 10


def test_checksums_of_files_folders_and_given_parts_are_verified(write, split):
    from evenly.datasets.sources import checksum

    file, folder = (
        write("d.csv", csv_lines(texts(a=9, b=9))),
        write("f/d.csv", csv_lines(texts(a=9, b=9))).parent,
    )
    assert split("d.csv", sha256=checksum(file)).report.sha256 == checksum(file)
    assert split("f", sha256=checksum(folder)).report.warnings == ()
    with pytest.raises(
        DataError, match=f"d.csv has the SHA-256 {checksum(file)}, but .* mine.sha256 says {'0' * 64}"
    ):
        split("d.csv", sha256="0" * 64)
    files = {"train": "d.csv", "test": "d.csv"}
    with pytest.raises(DataError, match=r"mine\.sha256\.test says"):
        split("f", files=files, sha256={"train": checksum(folder / "d.csv"), "test": "0" * 64})


# -- the built-in sets and a real one ------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN_ROWS)
def test_built_in_sets_are_whole_and_have_the_rows_they_claim(name):
    modality = "image" if name.endswith("digits") else "table"
    splits = load_splits(make_entry(modality=modality, builtin=name), name, 0, [])
    assert splits.report.rows_read == BUILTIN_ROWS[name]


def test_digits_are_those_of_scikit_learn_as_png(tmp_path):
    from sklearn.datasets import load_digits

    original = load_digits()
    splits = load_splits(make_entry(modality="image", builtin="digits"), "digits", 0, [])
    for part in (splits.train, splits.test):
        rows = [int(i.removeprefix("digit-")) for i in part.ids]
        assert part.labels.tolist() == [str(label) for label in original.target[rows]]
        pixels = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED) for image in part.images]
        assert (np.array(pixels) == np.rint(original.images[rows] * 255 / 16)).all()


def test_the_default_data_set_has_a_ratio_of_50_on_its_training_side_only():
    splits = load_splits(read_entry("digits_lt", PROJECT / "datasets.yaml"), "digits_lt", 42, [])
    train, test = splits.train.counts.values(), splits.test.counts.values()
    assert 40 <= max(train) / min(train) <= 60
    assert 300 <= sum(train) <= 380
    assert max(test) / min(test) < 1.1


def test_splitting_digits_imports_neither_scikit_learn_nor_torch():
    code = (
        "import sys; from evenly.datasets.load import load_splits; from evenly.params.datasets import "
        "read_entry\nload_splits(read_entry('digits_lt'), 'digits_lt', 1, [])\nprint([name for name in "
        "('sklearn', 'torch', 'imblearn', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "ratio"), [("banking77", 5.3), ("banking77_lt", 50)])
def test_banking77_is_read_whole_and_made_long_tailed(name, ratio):
    path = str(shared_data() / "banking77")
    entry = read_entry(name, PROJECT / "datasets.yaml").model_copy(update={"path": path})
    splits = load_splits(entry, name, 1, [Path()])
    counts = splits.train.counts.values()
    assert splits.report.rows_read == 13083
    assert len(splits.test) == 3080
    assert len(counts) == 77
    assert max(counts) / min(counts) == pytest.approx(ratio, rel=0.1)


# -- cross-validation ----------------------------------------------------------------------------------------


def test_the_seeds_of_a_repetition_test_every_row_once(write, split):
    write("d.csv", csv_lines(texts(a=31, b=11, c=5)))
    tested: list[str] = []
    for seed in range(1, 6):
        splits = split("d.csv", seed=seed, split={"folds": 5})
        assert splits.report.to_json()["folds"] == 5
        assert set(all_texts(splits)["train"]).isdisjoint(all_texts(splits)["test"])
        assert len(splits.validation) >= 3
        tested += all_texts(splits)["test"]
    assert len(tested) == 47 == len(set(tested))
    # The next repetition shares them out anew.
    assert all_texts(split("d.csv", seed=6, split={"folds": 5}))["test"] != tested[:10]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 5, "test": 0.2}, "take it out"),
        ({"folds": 1}, "folds"),
        ({"folds": 2, "validation": 0.5}, "leave something to train on"),
    ],
)
def test_folds_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_entry(path="d.csv", split=settings)


def test_weights_go_with_their_rows_and_rows_of_weight_zero_are_left_out(write, split):
    rows = [(k, "ab"[k % 2], k % 5 / 2) for k in range(40)]
    write("d.csv", csv_lines(rows, ("x", "label", "w")))
    found = split("d.csv", modality="table", columns={"weight": "w"})
    tables = (found.train, found.validation, found.test)
    assert [feature.name for feature in found.train.schema.features] == ["x"]
    kept = {x: w for t in tables for x, w in zip(t.column("x"), t.weights, strict=True)}
    assert kept == {x: w for x, _, w in rows if w}
    assert found.report.rows_read == 40
    assert "8 rows of weight 0 left out." in found.report.warnings
