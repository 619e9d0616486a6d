"""Class names are data: whatever they are, every stage passes, and DVC reads what the stages report."""

from __future__ import annotations

import csv
import json
import random

from projects import Project

from evenly.files import read_csv

MATTERS = ["业务规则", "国际漫游", "流量套餐", "宽带故障", "机票退改签", "手续费", "发票", "积分", "号码"]
CHINESE = [topic + matter for topic in ("咨询", "办理", "投诉", "取消") for matter in MATTERS][:34]
HOSTILE = [
    "مرحبا بالعالم",
    "😀🎉",
    "say \"hi\", 'you'",
    "a.b.c",
    "../up/and\\down",
    "two\nlines",
    "long" * 50,
    "<script>alert(1)</script>",
    "=cmd()",
    "{x} | $y$ % # ${seed}",
    "-",
]


def _is_number(cell: str) -> bool:
    try:
        return bool(float(cell)) or True
    except ValueError:
        return False


def test_class_names_of_any_kind_pass_every_stage_and_dvc(project: Project) -> None:
    names = [*CHINESE, *HOSTILE]
    draw = random.Random(0)
    rows = [
        [draw.gauss(k, 1), draw.gauss(k % 5, 1), name]
        for k, name in enumerate(names)
        for _ in range(30 if k % 2 else 15)
    ]
    with (project.root / "named.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["x", "y", "intent"], *rows])
    project.run("evenly", "add", "named", "named.csv", "--label", "intent")
    project.commit("Data")
    settings = ["dataset=named", "balancing=smote", "model=logistic_regression", "evaluate.bootstrap=200"]
    project.dvc("exp", "run", *(part for setting in settings for part in ("-S", setting)))
    split = json.loads((project.root / "metrics" / "split.json").read_text(encoding="utf-8"))
    assert set(split["classes"]["train"]) == set(names)
    project.dvc("metrics", "diff")
    assert "index.html" in project.dvc("plots", "diff")
    report = (project.root / "reports" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in report
    assert CHINESE[0] in report and HOSTILE[0] in report
    project.run("evenly", "diff", "HEAD")
    project.run("evenly", "summary")
    new = "x,y\n1.0,2.0\n"
    (project.root / "new.csv").write_text(new)
    project.run("evenly", "predict", "models/train", "new.csv", "--output", "predictions.csv")
    with (project.root / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["predicted"].removeprefix("'") in names
    written = [*project.root.glob("reports/*.csv"), *project.root.glob("plots/**/*.csv")]
    assert len(written) >= 10
    for path in [*written, project.root / "predictions.csv"]:
        with path.open(encoding="utf-8", newline="") as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r") and not _is_number(cell)], path
        if path.name in ("per_class.csv", "class_distribution.csv") and len(cells) > 6:
            assert "'=cmd()" in cells
            assert {row["class"] for row in read_csv(path.read_bytes(), path.name)} == set(names)
