from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluated_runs import Run, long_tailed_run
from rich.console import Console

from evenly.errors import DataError
from evenly.evaluation.intervals import Interval
from evenly.evaluation.metrics import HEADLINE, Metric
from evenly.evaluation.outputs import metrics_json, write_evaluation
from evenly.evaluation.plots import MANY_CLASSES, write_plots
from evenly.evaluation.remarks import rule_sentence
from evenly.evaluation.results import Evaluation, RuleResult
from evenly.evaluation.summary import print_summary
from evenly.files import write_json

PLOTS = (
    "by_origin",
    "class_distribution",
    "confidence",
    "confusion",
    "decision_rules",
    "per_class",
    "precision_recall",
    "reliability",
)


class Page(HTMLParser):
    """What a page holds: tags, addresses, text; and whether every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report_of(evaluation: Evaluation, root: Path) -> str:
    write_evaluation(
        evaluation,
        root,
        title="flowers · smote",
        facts={"data set": "flowers", "model": "small_cnn", "seed": 42},
        stages={
            "split": {
                "duplicates": {"dropped": {"train": 7, "validation": 0}, "dropped_before_split": 0},
                "warnings": ["3 labels conflict <i>"],
            },
            "filter": {},
        },
    )
    return (root / "reports" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    report_of(evaluation, root)
    return root


def test_a_run_leaves_metrics_plots_predictions_and_a_report(written: Path) -> None:
    found = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert found == {
        "metrics/evaluate.json",
        *(f"plots/evaluate/{name}.{kind}" for name in PLOTS for kind in ("csv", "png")),
        "reports/predictions.csv",
        "reports/per_class.csv",
        "reports/resamples.parquet",
        "reports/report.html",
    }


def test_two_runs_leave_the_same_bytes(evaluation: Evaluation, written: Path, tmp_path: Path) -> None:
    report_of(evaluation, tmp_path)
    for path in written.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes(), path


def test_every_plot_is_a_picture_with_something_on_it(written: Path) -> None:
    for name in PLOTS:
        picture = cv2.imread(str(written / "plots" / "evaluate" / f"{name}.png"))
        assert picture is not None, name
        assert min(picture.shape[:2]) > 150, name
        assert picture.std() > 10, name


def test_the_confusion_csv_has_one_row_a_test_sample(written: Path, evaluation: Evaluation) -> None:
    lines = (written / "plots" / "evaluate" / "confusion.csv").read_text().splitlines()
    assert lines[0] == "actual,predicted"
    assert len(lines) == 1 + len(evaluation.test)
    hits = sum(actual == predicted for actual, predicted in (line.split(",") for line in lines[1:]))
    assert hits / len(evaluation.test) == pytest.approx(evaluation.final.test["accuracy"].value)


def test_the_report_needs_nothing_from_outside(written: Path) -> None:
    source = (written / "reports" / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    # The one script is that of every page: the policy in the head lets no other run.
    assert page.tags.count("script") == 1
    plain = re.sub(r'src="data:[^"]*"|<script>.*</script>', "", source, flags=re.DOTALL)
    assert not re.search(r"https?:|@import|url\(|//", plain)
    assert "link" not in page.tags


def test_the_report_tells_what_a_reader_needs(written: Path, evaluation: Evaluation) -> None:
    page = Page((written / "reports" / "report.html").read_text(encoding="utf-8"))
    f1 = evaluation.final.test["macro_f1"]
    for words in (
        "flowers · smote",
        "small_cnn",
        f"{f1.value:.3f}",
        f"{f1.low:.3f}–{f1.high:.3f}",
        "Decision rules",
        "Tuned thresholds",
        "Every class",
        "7 copies of other rows were dropped: 7 from train.",
        "not say how much they would move with another seed",
    ):
        assert words in page.text, words
    assert page.tags.count("img") == 7
    assert "0 from validation" not in page.text


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", 'a"b&c', "$x_1$", "睡眠障碍")
    page = Page(report_of(long_tailed_run(names, test_each=12).evaluate(), tmp_path))
    assert page.tags.count("script") == 1
    assert all(name in page.text for name in names)
    assert "3 labels conflict <i>" in page.text


def test_many_classes_are_drawn_and_told_in_readable_numbers(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_class_{i:02d}" for i in range(MANY_CLASSES + 10)]
    evaluation = long_tailed_run(names, test_each=3, largest=30).evaluate()
    page = Page(report_of(evaluation, tmp_path))
    for name in PLOTS:
        picture = cv2.imread(str(tmp_path / "plots" / "evaluate" / f"{name}.png"))
        assert picture is not None
        assert max(picture.shape) < 2200, name
    assert "50 classes have fewer than 10 test rows" in page.text
    assert "and 40 more" in page.text


def test_one_training_origin_needs_no_picture_of_origins(tmp_path: Path) -> None:
    several = long_tailed_run(origins=("real", "smote")).evaluate()
    assert Page(report_of(several, tmp_path)).tags.count("img") == 8


def test_two_models_stand_side_by_side(long_tail: Run, tmp_path: Path) -> None:
    evaluation = long_tail.evaluate({"train": long_tail.model, "finetune": long_tail.model})
    assert "finetune against train" in Page(report_of(evaluation, tmp_path)).text


def test_plots_can_be_drawn_where_everything_is_right(long_tail: Run, tmp_path: Path) -> None:
    certain = long_tailed_run(separation=9.0).evaluate()
    assert certain.final.test["accuracy"].value == 1
    write_plots(certain, tmp_path)
    page = Page(report_of(certain, tmp_path))
    assert "No test row was taken for another class." in page.text
    found = certain.final.test
    assert all(found[name].low < 1 for name in ("accuracy", "macro_f1", "worst_class_recall", "auroc"))
    assert found["nll"].high > found["nll"].value


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (Interval(0.05, 0.03, 0.07), "better by 0.050 (95% +0.030 to +0.070)"),
        (Interval(-0.05, -0.07, -0.03), "worse by 0.050"),
        (Interval(0.05, -0.01, 0.07), "does not differ"),
        (Interval(0.0, 0.0, 0.0), "stays the same"),
    ],
)
def test_a_gain_is_called_one_only_where_its_interval_says_so(
    evaluation: Evaluation, gain: Interval, words: str
) -> None:
    result = RuleResult(evaluation.rules[1].rule, evaluation.rules[1].metrics, {"macro_f1": gain})
    assert words in rule_sentence(result)


def test_a_smaller_loss_is_better(evaluation: Evaluation) -> None:
    result = RuleResult(evaluation.rules[1].rule, {}, {"nll": Interval(-0.2, -0.3, -0.1)})
    assert "better by 0.200" in rule_sentence(result, "nll")


def test_a_metric_is_one_entry_that_every_table_and_file_reads(
    long_tail: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = Metric(
        "Squared log loss", False, "mean of its squares", lambda w: w.mean(w.predictions.losses**2)
    )
    monkeypatch.setitem(HEADLINE, "squared", metric)
    evaluation = long_tail.evaluate()
    interval = evaluation.final.test["squared"]
    assert 0 < interval.low < interval.value < interval.high
    assert metrics_json(evaluation)["test"]["squared"] == pytest.approx(interval.value, abs=1e-6)
    assert "Squared log loss" in Page(report_of(evaluation, tmp_path)).text


def test_the_summary_fits_a_terminal_and_shows_both_tables(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "evaluate.json"
    write_json(metrics_json(evaluation), path)
    out = io.StringIO()
    print_summary(path, Console(file=out, width=80))
    printed = out.getvalue()
    assert f"{evaluation.final.test['macro_f1'].value:.3f}" in printed
    for words in ("Decision rules", "Adjusted to deployment", "Log loss", "report.html", "plots"):
        assert words in printed, words
    assert "…" not in printed
    assert printed.index("Most probable class") < printed.index("Tuned thresholds")


def test_the_summary_says_when_there_is_nothing_yet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `dvc repro` first"):
        print_summary(tmp_path / "metrics" / "evaluate.json")


def test_a_picture_is_the_same_whatever_was_drawn_before(evaluation: Evaluation, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_plots(evaluation, tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert np.all([(tmp_path / f"{name}.png").stat().st_size > 0 for name in PLOTS])


def test_a_model_that_is_asked_is_not_scored_on_training_rows_and_says_what_it_cost(tmp_path: Path) -> None:
    run = long_tailed_run(origins=("real", "smote"))
    spent = {
        "model": "m",
        "texts": 8,
        "calls": 9,
        "tokens": 70,
        "cost": 0.5,
        "by_tokens": 3,
        "certainty": 0.9,
    }
    spent |= {"no_class": 1, "refused": 0}
    found = run.evaluate({"train": replace(run.model, spent=spent)})
    assert found.final.train == {} and found.final.origins == ()
    page = report_of(found, tmp_path)
    assert "m was asked about 8 texts in 9 calls, 70 tokens, for 0.5." in page
    assert "1 answer named no class" in page and "The model was asked, not fitted" in page
    metrics = json.loads((tmp_path / "metrics" / "evaluate.json").read_text())
    assert metrics["asked"] == spent and metrics["train"] == {}
    assert list(metrics["gap"]) == ["validation_minus_test"]
