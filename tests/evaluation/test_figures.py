from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.figures import DPI, house_style, legend_columns, new_figure, save_figure, shortened


def draw(path: Path, title: str = "A title") -> bytes:
    figure, (axes,) = new_figure(3.0, 2.0)
    with house_style():
        axes.plot([0, 1, 2], [2, 0, 1])
        axes.set_title(title)
    save_figure(figure, path)
    return path.read_bytes()


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    assert draw(tmp_path / "one.png") == draw(tmp_path / "two.png")


def test_a_picture_says_nothing_of_when_and_by_what_it_was_made(tmp_path: Path) -> None:
    content = draw(tmp_path / "one.png")
    assert b"tEXt" not in content
    assert b"tIME" not in content


def test_a_picture_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    draw(tmp_path / "one.png")
    picture = cv2.imread(str(tmp_path / "one.png"))
    assert picture is not None
    assert picture.shape[:2] == (2 * DPI, 3 * DPI)


def test_a_dollar_sign_in_a_name_is_no_formula(tmp_path: Path) -> None:
    assert draw(tmp_path / "one.png", "$x_1$") != draw(tmp_path / "two.png", "x1")
    draw(tmp_path / "three.png", r"$\frac")


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_no_reason_to_fail(tmp_path: Path) -> None:
    draw(tmp_path / "one.png", "睡眠 \U0001f9ff")


def test_panels_come_row_by_row() -> None:
    figure, axes = new_figure(rows=2, columns=3)
    assert len(axes) == 6
    assert figure.axes == axes


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8, unique=True))
def test_short_names_stay_and_long_ones_fit(names: list[str]) -> None:
    for name, short in zip(names, shortened(names, 20), strict=True):
        width = sum(2 if ord(letter) >= 0x2E80 else 1 for letter in short)
        assert width <= 21
        assert short == name or "…" in short


def test_names_that_begin_alike_are_cut_in_the_middle() -> None:
    names = ["card_payment_wrong_exchange_rate", "card_payment_wrong_exchange_fee"]
    short = shortened(names, 20)
    assert len(set(short)) == 2
    assert short[0].endswith("rate")


def test_a_chinese_character_counts_two() -> None:
    (short,) = shortened(["焦虑以及与之相关的睡眠障碍问题"], 12)
    assert len(short) <= 7


@pytest.mark.parametrize("width", [3.2, 4.6, 9])
@pytest.mark.parametrize("labels", [["duplication", "SMOTE", "fair duplication", "training rows"], ["a"] * 9])
def test_a_legend_is_no_wider_than_its_picture(width: float, labels: list[str], tmp_path: Path) -> None:
    drawn, (axes,) = new_figure(width, 4)
    handles = [axes.plot([0, 1], [k, k], marker="o")[0] for k in range(len(labels))]
    with house_style():
        legend = drawn.legend(
            handles, labels, loc="outside lower center", ncols=legend_columns(drawn, labels)
        )
    save_figure(drawn, tmp_path / "a.png")
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawn.bbox.width
