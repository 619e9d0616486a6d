"""Tables and cells of Markdown."""

from __future__ import annotations

from evenly.wording import markdown_table, markdown_text


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
