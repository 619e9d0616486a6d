"""What every command answers to: help, version, completion, and a name that is mistyped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evenly import __version__
from evenly.cli import COMMANDS, SECTIONS, app, imported_command
from evenly.experiments.groups import GROUPS, group_names


def words(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return " ".join(result.output.replace("│", " ").split())


def command_paths(name: str) -> list[list[str]]:
    def below(command: Any, path: list[str]) -> list[list[str]]:
        inner = getattr(command, "commands", {})
        return [path, *(one for key, sub in inner.items() for one in below(sub, [*path, key]))]

    return below(imported_command(name), [name])


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_help_everywhere(name: str) -> None:
    for path in command_paths(name):
        result = CliRunner().invoke(app, [*path, "-h"])
        assert result.exit_code == 0 and f"Usage: evenly {' '.join(path)} [OPTIONS]" in result.output


def test_the_version_is_told() -> None:
    assert words("--version") == f"evenly {__version__}"


def test_commands_stand_in_sections_in_the_order_of_use() -> None:
    names = [name for section in SECTIONS.values() for name in section]
    assert set(COMMANDS) <= set(names) and len(set(names)) == len(names)
    shown = words("-h")
    listed = [name for name in names if name in COMMANDS]
    places = [shown.index(f" {name} {COMMANDS[name][1].split()[0]} ") for name in listed]
    assert places == sorted(places)
    assert all(section in shown for section in SECTIONS)


def test_a_sweep_says_what_is_in_its_groups() -> None:
    shown = words("sweep", "-h").split(" Groups ")[-1]
    for name in group_names():
        assert f"{name} " in shown, name
    for name, techniques in GROUPS.items():
        assert f"{name} {', '.join(techniques)}" in shown.replace("no balancing, ", ""), name


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("swep",), "no command 'swep'; did you mean 'sweep'?"),
        (("llm", "jurnal"), "no command 'jurnal'; did you mean 'journal'?"),
        (("llm", "journal", "prun"), "no command 'prun'; did you mean 'prune'?"),
        (("list",), "no command 'list'; there are"),
        (("predict", "m", "r", "--ouput", "o"), "No such option: --ouput (Possible options: --output)"),
        (("llm", "estimate", "--shw", "1"), "No such option: --shw (Possible options: --show)"),
    ],
)
def test_what_is_mistyped_is_answered_with_what_is_near_or_with_all_commands(
    arguments: tuple[str, ...], answer: str
) -> None:
    assert answer in words(*arguments)
    assert CliRunner().invoke(app, list(arguments)).exit_code == 2


def test_no_option_is_named_for_one_that_is_far_from_all() -> None:
    shown = words("predict", "m", "r", "--model", "o")
    assert "No such option: --model" in shown and "Possible" not in shown


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("evenly sw", {"sweep"}),
        ("evenly sweep s", {"smote", "smote_tuned", "spurious"}),
        ("evenly fetch wi", {"wine"}),
    ],
)
def test_a_shell_completes_commands_options_recipes_groups_and_data_sets(
    typed: str, found: set[str], tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text("recipes: {none: {}, smote: {}, smote_tuned: {}}\n")
    (tmp_path / "datasets.yaml").write_text("wine: {}\ndigits: {}\n")
    env = os.environ | {
        "_EVENLY_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    command = [sys.executable, "-c", "import sys; sys.argv = ['evenly']; from evenly.cli import main; main()"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == found, done.stderr
