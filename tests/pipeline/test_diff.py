"""What a reviewer gets to read: `evenly diff` on two real revisions."""

from __future__ import annotations

import json
import re
from pathlib import Path

from projects import Project, Team


def report(project: Project, path: Path, *revisions: str) -> str:
    project.evenly("diff", *revisions, "--output", str(path))
    return path.read_text()


def test_a_report_tells_what_an_experiment_changes(team: Team, tmp_path: Path) -> None:
    (tmp_path / "review").mkdir()
    written = report(team.author, tmp_path / "review" / "diff.md", "main", "colleague")
    assert written.startswith("# `colleague` against `main`\n\n- Macro F1 falls (−")
    assert "over the same 359 test rows" in written
    assert '| `balancing` | `"none"` | `"adasyn"` |' in written
    assert "| `train.epochs` | `30` | `2` |" in written
    assert "Stages with other outputs: `analyze`, `resample`, `train`" in written
    for title in ("Scores on test rows", "As techniques, beside the cheap rivals", "F1 by class", "Plots"):
        assert f"## {title}\n" in written
    assert "| none + logit adjustment |" in written

    pictures = re.findall(r"!\[evaluate/confusion\]\((.+?)\)", written)
    assert pictures == ["diff/evaluate-confusion-base.png", "diff/evaluate-confusion-here.png"]
    before, after = ((tmp_path / "review" / name).read_bytes() for name in pictures)
    assert before == (team.author.root / "plots/evaluate/confusion.png").read_bytes() != after
    assert all((tmp_path / "review" / name).is_file() for name in re.findall(r"\]\((diff/.+?)\)", written))


def test_the_scores_are_those_that_dvc_metrics_diff_shows(team: Team, tmp_path: Path) -> None:
    written = report(team.author, tmp_path / "diff.md", "main", "colleague")
    shown = json.loads(team.author.dvc("metrics", "diff", "main", "colleague", "--json"))
    score = shown["scores.json"]["f1"]
    row = next(line for line in written.splitlines() if line.startswith("| Macro F1 |"))
    cells = [cell.strip(" *").replace("−", "-") for cell in row.strip("|").split("|")]
    expected = (score["old"], score["new"], score["diff"])
    assert all(abs(float(cell) - value) <= 0.00101 for cell, value in zip(cells[1:4], expected, strict=True))


def test_what_dvc_shows_of_two_revisions_is_a_page_with_plots(team: Team, tmp_path: Path) -> None:
    shown = team.author.dvc("plots", "diff", "main", "colleague", "--out", str(tmp_path / "plots"))
    assert "vega" in Path(re.sub(r"^file://", "", shown.split()[-1])).read_text()


def test_a_workspace_that_is_its_base_has_nothing_to_report(team: Team, tmp_path: Path) -> None:
    written = report(team.author, tmp_path / "diff.md", "main")
    assert "Macro F1 does not differ" in written and "No setting." in written
    assert "All stages have the same outputs." in written and "No class changes." in written
    assert "![" not in written and not list((tmp_path / "diff").iterdir())


def test_a_base_whose_data_are_nowhere_is_one_sentence(team: Team, tmp_path: Path) -> None:
    clone = team.clone(tmp_path / "clone")
    done = clone.evenly("diff", "main", check=False)
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert "metrics/evaluate.json of main is not in DVC's cache" in done.stdout
