"""What DVC itself shows: a table of runs that fits a screen, few scores, plots offline, small diffs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dvc.utils.serialize import modify_yaml
from projects import ROOT, Project, Team
from ruamel.yaml import YAML

PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")
#: As README has it: the files that stages depend on have a slash in their names.
TABLE = ("exp", "show", "--only-changed", "--drop", ".*/")


def test_changing_a_setting_changes_its_line_of_params_yaml_and_nothing_else(tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    copy = tmp_path / "params.yaml"
    copy.write_text(before, encoding="utf-8")
    with modify_yaml(str(copy)) as content:  # what -S does
        content["balancing"] = "adasyn"
        content["train"]["gradient_clip"] = 1.5
    changed = set(copy.read_text(encoding="utf-8").splitlines()) - set(before.splitlines())
    assert {line.split("#")[0].strip() for line in changed} == {"balancing: adasyn", "gradient_clip: 1.5"}
    assert all("#" in line for line in changed)
    assert copy.read_text(encoding="utf-8").count("\n") == before.count("\n")


def test_dvc_knows_at_most_ten_scores_as_metrics_and_git_keeps_them(first_run: tuple[Project, str]) -> None:
    named = [one for stage in PIPELINE["stages"].values() for one in stage.get("metrics", ())]
    assert named == [{"scores.json": {"cache": False}}] and "metrics" not in PIPELINE
    scores = json.loads((first_run[0].root / "scores.json").read_text())
    assert len(scores) <= 10
    test = json.loads((first_run[0].root / "metrics/evaluate.json").read_text())["test"]
    assert scores["f1"] == round(test["macro_f1"], 3) and scores["low"] < scores["f1"] < scores["high"]
    assert scores["rare_ap"] == round(test["rare_average_precision"], 3)
    assert scores["rule"] in ("argmax", "prior", "uniform", "scaled", "tuned") and scores["made"] == 0


def test_a_fresh_clone_shows_and_compares_scores_without_a_pull(team: Team, tmp_path: Path) -> None:
    clone = team.clone(tmp_path / "clone")
    scores = json.loads((team.author.root / "scores.json").read_text())
    assert json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]["scores.json"]["data"] == scores
    (clone.root / "scores.json").write_text(json.dumps(scores | {"f1": 0.5}))
    shown = clone.dvc("metrics", "diff", "main")
    assert [line.split()[1:4] for line in shown.splitlines()[1:]] == [["f1", str(scores["f1"]), "0.5"]]


def test_the_table_of_runs_fits_160_columns(team: Team) -> None:
    table = team.author.dvc(*TABLE)
    assert max(map(len, table.splitlines())) <= 160
    header = next(line for line in table.splitlines() if "Experiment" in line).split()
    assert header[2:5] == ["f1", "low", "high"] and {"rule", "balancing"} <= set(header)
    assert "dataset" not in header and "/" not in "".join(header)
    assert "adasyn" in table


def test_the_page_of_plots_needs_no_network_and_has_no_empty_plot(team: Team, tmp_path: Path) -> None:
    shown = team.author.dvc("plots", "diff", "main", "colleague", "--out", str(tmp_path / "plots"))
    page = Path(re.sub(r"^file://", "", shown.split()[-1])).read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", page)
    specs = {
        one: json.loads(text) for one, text in re.findall(r'<div id = "(.+?)">.*?spec = (.*?);\n', page, re.S)
    }
    drawn = {name for name, spec in specs.items() if spec}
    assert {"learning_curves", "confidence", "plots_evaluate_reliability_csv"} <= drawn
    assert "plots_filter_rejections_csv" not in drawn  # the page leaves out those without a row
    assert [layer["mark"]["type"] for layer in specs["plots_evaluate_reliability_csv"]["layer"]] == [
        "line"
    ] * 2
    rows = specs["confidence"]["data"]["values"]
    assert {row["field"] for row in rows} == {"right", "wrong"}
    assert specs["confidence"]["encoding"]["color"]["field"] == "series"


def test_another_data_set_makes_none_stale_and_changed_data_their_own(project: Project) -> None:
    def stale() -> list[str]:
        return project.stages_run(project.dvc("repro", "split", "--dry"))

    rows = "".join(f"{k / 7},{k % 3}\n" for k in range(90))
    for name in ("one", "two"):
        (project.root / f"{name}.csv").write_text("x,label\n" + rows)
    project.evenly("add", "one", "one.csv", "--label", "label")
    assert stale() == ["source"]  # which reads no rows
    assert "nothing would run" in project.evenly("doctor", check=False).stdout

    assert project.stages_run(project.dvc("exp", "run", "split", "-S", "dataset=one")) == ["source", "split"]
    project.evenly("add", "two", "two.csv", "--label", "label")
    assert project.stages_run(project.dvc("repro", "split")) == ["source"]
    (project.root / "data/raw/one.csv").write_text("x,label\n" + rows + "1.5,1\n")
    assert project.stages_run(project.dvc("repro", "split")) == ["source", "split"]
    # Back to one without a file: nothing is read again.
    assert project.stages_run(project.dvc("exp", "run", "split", "-S", "dataset=digits_lt")) == ["source"]
