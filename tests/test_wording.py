"""Pieces of sentences: Markdown, names that are near, clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.wording import clock, duration, markdown_table, markdown_text, near_names, nearest_names


def test_data_in_a_cell_is_never_markdown_or_html() -> None:
    rude = "a | **b** <img src=x> [go](http://x) `c` _d_ $e$ ~f~ & \\\n# g"
    cell = markdown_text(rude)
    assert "\n" not in cell and "<" not in cell
    for letter in "|*[]`_$~":
        assert cell.count(letter) == cell.count(f"\\{letter}")
    lines = markdown_table(["one", "two"], [[cell, "1|2"]]).splitlines()
    assert lines[-1] == f"| {cell} | 1\\|2 |"


def test_numbers_are_aligned_right_and_text_left() -> None:
    table = markdown_table(["run", "F1", "why"], [["a", ".5", None]], text_columns=["why"])
    assert table.splitlines() == ["| run | F1 | why |", "|---|---:|---|", "| a | .5 |  |"]


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("smoot", ["none", "smote"], ["smote"]),
        ("SMOTE", ["none", "smote"], ["smote"]),
        ("class-weights", ["class_weights"], ["class_weights"]),
        ("txet", ["text", "test"], ["text"]),
        ("mote", ["smote"], ["smote"]),
        ("bankin77", ["wine", "banking77"], ["banking77"]),
        ("datsets", ["datasets", "fetch"], ["datasets"]),
        # What is another word, another member of a series, or nothing like it.
        ("llama", ["llm", "all"], []),
        ("car", ["cat"], []),
        ("unhappy", ["happy"], []),
        ("female", ["male"], []),
        ("class_3", ["class_1", "class_2"], []),
        ("class c", ["class a", "class b"], []),
        ("digits_2019", ["digits_2018"], []),
        ("负面评价", ["正面评价"], []),
        ("zzz", ["smote"], []),
        ("", ["a"], []),
    ],
)
def test_a_name_is_proposed_only_where_it_is_near(typed: str, known: list[str], meant: list[str]) -> None:
    assert near_names(typed, known, most=3) == meant
    assert ("did you mean" in nearest_names(typed, known)) == bool(meant)


def test_a_clock_shows_whole_seconds_that_are_over() -> None:
    assert [clock(s) for s in (0, 59.99, 60, 690, 675.4, 3723.9)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "11 min 30 s",
        "11 min 15 s",
        "1 h 02 min 03 s",
    ]


def seconds_of(text: str) -> float:
    units = {"h": 3600, "min": 60, "s": 1}
    words = text.split()
    return sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_clocks_and_estimates_never_run_backwards(one: float, other: float) -> None:
    first, second = sorted((one, other))
    assert seconds_of(clock(first)) <= seconds_of(clock(second)) <= second
    assert seconds_of(duration(first)) <= seconds_of(duration(second))
