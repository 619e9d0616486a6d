from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparison_projects import MakeRun

from evenly.comparison.changes import (
    Changes,
    ClassChange,
    Picture,
    PredictionTable,
    ScoreChange,
    paired_scores,
)
from evenly.comparison.changes_report import changes_markdown, changes_page, verdicts, write_changes
from evenly.evaluation.intervals import Interval
from evenly.pages import page_html
from evenly.params.evaluation import EvaluateSettings

SETTINGS = EvaluateSettings(bootstrap=500)


def table(right: np.ndarray, classes: int = 3) -> PredictionTable:
    """Rows in turn of each class, predicted right where `right` says so and as the next class elsewhere."""
    y = np.arange(len(right)) % classes
    predicted = np.where(right, y, (y + 1) % classes)
    probabilities = np.full((len(y), classes), 0.2 / (classes - 1))
    probabilities[np.arange(len(y)), predicted] = 0.8
    ids = tuple(f"row{i:04}" for i in range(len(y)))
    return PredictionTable(ids, tuple(f"c{k}" for k in range(classes)), y, predicted, probabilities)


def test_a_run_does_not_differ_from_itself() -> None:
    one = table(np.random.default_rng(0).random(300) < 0.8)
    paired = paired_scores(one, one, SETTINGS, seed=1)
    assert paired.rows == 300
    for difference in (*paired.metrics.values(), *paired.classes.values()):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_rows_that_both_get_wrong_do_not_blur_the_difference() -> None:
    base = np.random.default_rng(0).random(300) < 0.6
    here = base.copy()
    here[np.flatnonzero(~base)[:20]] = True
    paired = paired_scores(table(base), table(here), SETTINGS, seed=1).metrics["accuracy"]
    shuffled = np.random.default_rng(1).permutation(here)
    unpaired = paired_scores(table(base), table(shuffled), SETTINGS, seed=1).metrics["accuracy"]
    assert paired.value == pytest.approx(20 / 300) and paired.excludes_zero
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_the_class_that_gets_better_is_the_one_that_differs() -> None:
    base = np.random.default_rng(0).random(600) < 0.7
    here = base.copy()
    here[0::3] = True
    classes = paired_scores(table(base), table(here), SETTINGS, seed=1).classes
    assert list(classes) == ["c0", "c1", "c2"]
    # c1 is no longer predicted for rows of c0, so its precision is better, too; c2 is not touched.
    assert classes["c0"].low > 0 and classes["c1"].low > 0
    assert (classes["c2"].low, classes["c2"].high) == (0, 0)


def test_other_rows_or_labels_are_not_paired() -> None:
    one = table(np.ones(30, dtype=bool))
    assert one.same_rows(replace(one, probabilities=one.probabilities * 0.5))
    assert not one.same_rows(replace(one, ids=(*one.ids[:-1], "another")))
    assert not one.same_rows(replace(one, y=np.roll(one.y, 1)))
    assert not one.same_rows(replace(one, classes=("c0", "c1", "other")))


@pytest.fixture
def changes(make_run: MakeRun) -> Changes:
    return Changes(
        base=make_run("none", 1, 0.8, name="main"),
        here=make_run("smote", 1, 0.86, name="workspace"),
        settings={"balancing": ("none", "smote"), "new | key": (None, [1, 2])},
        sources=("src/evenly/mining",),
        stages=("resample", "train"),
        metrics=(
            ScoreChange("macro_f1", 0.8, 0.86, Interval(0.06, 0.02, 0.1)),
            ScoreChange("accuracy", 0.9, 0.9, Interval(0.0, -0.01, 0.01)),
            ScoreChange("nll", 0.3, 0.4, Interval(0.1, 0.05, 0.15)),
        ),
        classes=(
            ClassChange(ScoreChange("rare | odd", 0.2, 0.6, Interval(0.4, 0.1, 0.7)), 5, 100),
            ClassChange(ScoreChange("usual", 0.9, 0.9, Interval(0.0, 0.0, 0.0)), 100, 100),
            ClassChange(ScoreChange("untested", None, None, None), 3, 3),
        ),
        paired_rows=120,
        pictures=(Picture("plots/evaluate/quality.png", None, b"png"),),
        same_pictures=4,
    )


def test_a_report_says_what_is_better_and_what_is_worse(changes: Changes) -> None:
    told = changes_markdown(changes, "diff")
    assert "- Macro F1 rises (+.060, 95% .020 to .100, over the same 120 test rows)." in told
    assert "- Other metrics that are worse: Log loss.\n" in told and "better" not in told
    assert "| Log loss | .300 | .400 | **+.100** | .050 to .150 |" in told
    assert "| Accuracy | .900 | .900 | .000 | −.010 to .010 |" in told
    assert "| rare \\| odd | 5 → 100 | .200 | .600 | **+.400** | .100 to .700 |" in told
    assert "Unchanged: 2 of 3 classes." in told and "| usual |" not in told
    assert "| `new \\| key` | – | `[1, 2]` |" in told
    assert "| – | evaluate/quality<br>![evaluate/quality](diff/evaluate-quality-here.png) |" in told


def test_a_difference_on_other_rows_is_not_called_one(changes: Changes) -> None:
    unpaired = tuple(replace(score, difference=None) for score in changes.metrics)
    told = changes_markdown(replace(changes, metrics=unpaired, paired_rows=0), "diff")
    assert "Macro F1 goes from .800 to .860. The two were not tested on the same rows" in told
    assert "better" not in told and "worse" not in told
    assert "| Macro F1 | .800 | .860 | +.060 |  |" in told


def test_many_classes_are_cut_to_those_that_change_most(changes: Changes) -> None:
    many = tuple(ClassChange(ScoreChange(f"c{i:02}", 0.5, 0.9 - i / 100, None), 10, 10) for i in range(30))
    told = changes_markdown(replace(changes, classes=many), "diff")
    assert "| c19 |" in told and "| c20 |" not in told
    assert "The other 10 classes change less." in told


def test_names_of_classes_and_settings_are_data_and_not_markdown(changes: Changes) -> None:
    odd = ClassChange(ScoreChange("a|b<c>", 0.2, 0.6, None), 5, 100)
    settings = {"recipe.augment.targets.classes.x`y<z>": (None, "a ` b")}
    report = changes_markdown(replace(changes, classes=(odd,), settings=settings), "diff")
    assert "| a\\|b&lt;c&gt; | 5 → 100 |" in report
    assert '| `` recipe.augment.targets.classes.x`y<z> `` | – | `` "a ` b" `` |' in report


def test_a_diff_says_first_what_a_rule_brings_for_free(changes: Changes) -> None:
    def rule(validation: float, gain: float) -> dict[str, dict[str, float]]:
        ends = {"macro_f1": gain, "macro_f1_low": gain - 0.01, "macro_f1_high": gain + 0.01}
        return {"validation": {"macro_f1": validation}, "gain": ends}

    rules = {"argmax": {"validation": {"macro_f1": 0.8}}, "tuned_thresholds": rule(0.85, 0.04)}
    here = replace(changes.here, scores={**changes.here.scores, "decision_rules": rules})
    assert any(
        sentence.startswith("Free on the same model: tuned thresholds") and "+.040 (95% +.030" in sentence
        for sentence in verdicts(replace(changes, here=here))
    )
    # A rule that is no better on validation rows is no gain, whatever test rows say.
    rules["tuned_thresholds"] = rule(0.8, 0.2)
    assert not any("Free" in sentence for sentence in verdicts(replace(changes, here=here)))


def test_the_page_says_what_the_markdown_says(changes: Changes, tmp_path: Path) -> None:
    write_changes(changes, tmp_path / "diff.md")
    assert {path.name for path in tmp_path.iterdir()} == {"diff.md", "diff.html", "diff"}
    page = (tmp_path / "diff.html").read_text(encoding="utf-8")
    for words in (
        "Macro F1 rises (+.060",
        "Other metrics that are worse: Log loss.",
        "evaluate/quality, workspace",
    ):
        assert words in page
    assert '<td class="worse" data-sort="0.1">+.100<small>.050 to .150</small></td>' in page
    assert '<td class="better" data-sort="0.4">+.400<small>.100 to .700</small></td>' in page
    assert page.count("<figure") == 1


def test_a_class_that_is_called_like_a_loss_is_better_when_it_rises(changes: Changes) -> None:
    odd = ClassChange(ScoreChange("nll", 0.2, 0.6, Interval(0.4, 0.1, 0.7)), 5, 100)
    page = page_html(changes_page(replace(changes, classes=(odd,))))
    assert '<td class="better" data-sort="0.4">+.400' in page


def test_names_of_runs_classes_and_settings_are_words_of_the_page(changes: Changes) -> None:
    name = "</script><img src=x onerror=alert(1)>"
    hostile = replace(
        changes,
        here=replace(changes.here, name=name, recipe=name, dataset=name),
        classes=(ClassChange(ScoreChange(name, 0.2, 0.6, None), 5, 100),),
        settings={name: (None, name)},
        sources=(name,),
        stages=(name,),
    )
    page = page_html(changes_page(hostile))
    assert page.count("</script>") == 1 and not re.search(r"<[^>]*onerror", page)


def test_a_page_holds_no_more_pictures_than_it_has_room_for(changes: Changes) -> None:
    pictures = tuple(Picture(f"plots/a{i}.png", b"\x89PNG" * 50_000, b"\x89PNG" * 50_000) for i in range(9))
    page = page_html(changes_page(replace(changes, pictures=pictures)))
    assert len(page) < 3_000_000
    assert 0 < page.count("<figure") < 18
    assert "Some more are in the folder beside this page." in page
