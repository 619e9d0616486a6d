"""The quality of synthetic rows in what an evaluation leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

from evaluated_runs import long_tailed_run

from evenly.evaluation.outputs import write_evaluation
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.quality.compare import quality_by_origin


def test_producers_stand_side_by_side_in_metrics_plots_and_report(tmp_path: Path) -> None:
    run = long_tailed_run(origins=("real", "smote", "gan"))
    quality = quality_by_origin(
        run.balanced,
        train=run.train,
        held_out=run.validation,
        unseen=run.test,
        featurizer=fit_featurizer(run.train, FeatureSettings(), 0),
        seed=0,
    )
    write_evaluation(run.evaluate(), tmp_path, title="a run", facts={}, stages={}, quality=quality)
    metrics = json.loads((tmp_path / "metrics" / "evaluate.json").read_text())
    assert list(metrics["quality"]["producers"]) == ["gan", "real_unseen", "smote"]
    assert metrics["quality"]["held_out_rows"] == len(run.validation)
    assert {path.name for path in (tmp_path / "plots" / "evaluate").glob("quality.*")} == {
        "quality.csv",
        "quality.png",
    }
    page = (tmp_path / "reports" / "report.html").read_text(encoding="utf-8")
    assert "Quality of synthetic rows" in page
    assert "perceptron trained on" in page


def test_a_run_without_synthetic_rows_has_no_quality(tmp_path: Path) -> None:
    run = long_tailed_run()
    write_evaluation(run.evaluate(), tmp_path, title="a run", facts={}, stages={})
    assert "quality" not in json.loads((tmp_path / "metrics" / "evaluate.json").read_text())
    assert not (tmp_path / "plots" / "evaluate" / "quality.csv").exists()
    assert "Quality of synthetic rows" not in (tmp_path / "reports" / "report.html").read_text(
        encoding="utf-8"
    )
