"""Tables on terminals of any width: names are whole, columns on the right go first."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from evenly.console import ResultsTable, output_console, points, results_table

NUMBERS = ("Macro F1", "vs none", "Won-tied-lost", "vs best cheap rival", "95%", "Rank", "Seeds")
CELLS = (
    ".812",
    "[bold]+.012[/bold] (.003 to .021)",
    "4-0-1",
    "−.002 (−.011 to .008)",
    ".7 to .9",
    "2.4",
    "5",
)
TUNED = "smote+loss=focal+models.logistic_regression.C={} + tuned thresholds"
NAMES = (
    "none",
    "none + tuned thresholds",
    "少数类过采样技术（合成）",
    TUNED.format(100),
    "a [red]b[/red] :smile:",
)


def drawn(table: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, emoji=False).print(table)
    return out.getvalue()


def leaderboard(*names: str) -> ResultsTable:
    table = results_table("digits_lt", "Technique", *NUMBERS)
    for name in names:
        table.add_row(escape(name), *CELLS)
    return table


def headers(text: str) -> list[str]:
    first = next(line for line in text.splitlines() if line.startswith("Technique"))
    return [name for name in ("Technique", *NUMBERS) if name in first]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("names", [NAMES[:3], NAMES], ids=["short", "long"])
def test_names_are_whole_on_one_line_and_columns_on_the_right_go_first(
    names: tuple[str, ...], width: int
) -> None:
    text = drawn(leaderboard(*names), width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    for name in names:
        assert [line for line in lines if line.startswith(f"{name}  ") and ".812" in line], name
    shown = headers(text)
    assert shown == ["Technique", *NUMBERS][: len(shown)] and len(shown) >= 2
    left_out = [name for name in NUMBERS if name not in shown]
    # Lines of text are wrapped between words.
    assert (f"No room for {' · '.join(left_out)}:" in " ".join(text.split())) == bool(left_out)
    assert len(shown) == len(NUMBERS) + 1 or width < 200
    if width < 200:
        assert len(headers(drawn(leaderboard(*names), width + 40))) >= len(shown)


def test_what_fits_is_shown() -> None:
    assert headers(drawn(leaderboard(*NAMES[:3]), 80))[:3] == ["Technique", "Macro F1", "vs none"]
    assert "No room" not in drawn(leaderboard(*NAMES[:3]), 130)


def test_names_that_have_no_room_are_cut_in_the_middle_and_stay_different() -> None:
    names = [TUNED.format(number) for number in (100, 200)]
    text = drawn(leaderboard(*names), 60)
    rows = [line.split("  ")[0] for line in text.splitlines() if ".812" in line]
    assert len(set(rows)) == 2 and all("…" in row and row.startswith("smote") for row in rows)
    assert all(".812" in line for line in text.splitlines() if "smote" in line)


@given(names=st.lists(st.text(max_size=60), min_size=1, max_size=4), width=st.integers(30, 220))
def test_any_names_at_any_width_keep_every_row_on_a_line(names: list[str], width: int) -> None:
    lines = drawn(leaderboard(*names), width).splitlines()
    assert sum(".812" in line for line in lines) == len(names)
    assert max(map(cell_len, lines)) <= width
    assert not any(character in line for line in lines for character in "\x1b\x07\x9b")


def test_prose_is_wrapped_rather_than_left_out_and_one_line_is_cut() -> None:
    sentence = "Nothing is known of this data set, but that it was added, and by whom, and when."
    for one_line in (False, True):
        table = results_table(None, "name", "rows")
        table.add_prose("licence", one_line=one_line)
        table.add_row("digits_lt", "1,797", sentence)
        text = drawn(table, 60)
        assert ("by whom" in text, "…" in text) == (not one_line, one_line)
        assert len(text.splitlines()) == (4 if one_line else 5) and max(map(len, text.splitlines())) <= 60


def test_points_are_wrapped_behind_their_mark_and_are_no_markup() -> None:
    lines = drawn(points(["[bold]what a file says[/bold] " * 4]), 40).splitlines()
    assert len(lines) > 2 and lines[0].startswith("• [bold]what") and lines[1].startswith("  ")


def test_a_pipe_has_all_columns_no_wrapped_line_and_no_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    console = output_console()
    console.print(leaderboard(*NAMES))
    console.print("word " * 200)
    text = capsys.readouterr().out
    assert headers(text) == ["Technique", *NUMBERS] and "\x1b" not in text
    assert len(next(line for line in text.splitlines() if line.startswith("word")).split()) == 200


def test_numbers_and_paths_have_no_colour_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = output_console()
    with console.capture() as captured:
        console.print("17 rows in /data/raw, 'quoted', http://localhost True None")
    assert "\x1b" not in captured.get()
    with console.capture() as captured:
        console.print("[red]failed[/red]")
    assert "\x1b[31m" in captured.get()
    monkeypatch.setenv("NO_COLOR", "1")
    console = output_console()
    with console.capture() as captured:
        console.print("[red]failed[/red]")
    assert "\x1b[31m" not in captured.get()
