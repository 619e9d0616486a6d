"""Class distributions as tables and pictures."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from evenly.distribution import growing, write_class_distribution

TRAIN = {"a": 4, "b": 100, "c": 20}
STEPS = {
    "train": TRAIN,
    "kept": {"a": 30, "b": 100, "c": 40},
    "augment": {"a": 60, "b": 100, "c": 60},
    "resample": {"a": 100, "b": 100, "c": 100},
}


def table(folder: Path) -> list[list[str]]:
    with (folder / "class_distribution.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def picture(folder: Path) -> bytes:
    return (folder / "class_distribution.png").read_bytes()


def test_the_table_has_every_step_of_every_class_largest_first(tmp_path: Path) -> None:
    write_class_distribution(STEPS, tmp_path)
    rows = table(tmp_path)
    assert rows[0] == ["class", "step", "rows"]
    assert rows[1:4] == [["b", "train", "100"], ["c", "train", "20"], ["a", "train", "4"]]
    assert {(row[0], row[1]): int(row[2]) for row in rows[1:]} == {
        (name, step): n for step, counts in STEPS.items() for name, n in counts.items()
    }


@pytest.mark.parametrize("classes", [3, 60])
def test_every_step_changes_the_picture(tmp_path: Path, classes: int) -> None:
    base = {f"class {k}": 5 + k for k in range(classes)}
    steps = {name: {c: n + 10 * k for c, n in base.items()} for k, name in enumerate(STEPS)}
    pictures = set()
    for n in (1, 2, 3, 4):
        shown = dict(list(steps.items())[:n])
        write_class_distribution(shown, tmp_path)
        pictures.add(picture(tmp_path))
    for step in ("kept", "augment"):  # a step between first and last is no decoration either
        write_class_distribution(steps | {step: steps[step] | {"class 0": 90}}, tmp_path)
        pictures.add(picture(tmp_path))
    assert len(pictures) == 6


def test_the_same_steps_give_the_same_picture(tmp_path: Path) -> None:
    write_class_distribution(STEPS, tmp_path / "one")
    write_class_distribution(STEPS, tmp_path / "two")
    assert picture(tmp_path / "one") == picture(tmp_path / "two")


def test_a_class_needs_room_for_its_bars(tmp_path: Path) -> None:
    heights = []
    for n in (2, 3, 4):
        write_class_distribution(dict(list(STEPS.items())[:n]), tmp_path)
        image = cv2.imread(str(tmp_path / "class_distribution.png"))
        assert image is not None
        heights.append(image.shape[0])
    assert heights == sorted(set(heights))


def test_without_a_picture_matplotlib_stays_away_and_an_old_picture_goes(tmp_path: Path) -> None:
    write_class_distribution(STEPS, tmp_path)
    code = (
        "import sys; from evenly.distribution import write_class_distribution as write; "
        f"write({{'train': {TRAIN}}}, {str(tmp_path)!r}, picture=False); "
        "print({'matplotlib', 'pydantic', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert len(table(tmp_path)) == 4
    assert not (tmp_path / "class_distribution.png").exists()


def test_steps_add_up_and_one_that_adds_nothing_is_none() -> None:
    kept, nothing = {"a": 6, "b": 0, "c": 1}, {"a": 0, "b": 0, "c": 0}
    assert growing(TRAIN, {"kept": kept, "augment": nothing}) == {
        "train": TRAIN,
        "kept": {"a": 10, "b": 100, "c": 21},
    }
    assert growing(TRAIN, {"kept": kept, "augment": {"c": 4}})["augment"] == {"a": 10, "b": 100, "c": 25}
    assert list(growing(TRAIN, {"kept": nothing, "augment": nothing})) == ["train"]
