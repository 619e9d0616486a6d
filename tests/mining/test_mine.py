"""Mining as a whole: which rows come out, what is said about them, and what the files hold."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mining_pools import Planted, digits_pool, mine_plan, planted, regression_plan, text_pool

from evenly.classifiers import Classifier, build_classifier
from evenly.files import write_json
from evenly.mining.mine import Mined, mine
from evenly.mining.outputs import hard_cells, mining_metrics, summary, write_plots, write_suspects
from evenly.params.models import RandomForestSettings, SmallCnnSettings
from evenly.params.training import TrainingSettings
from evenly.plans import MinePlan, ResamplePlan, write_plan
from evenly.resampling.resample import resample
from evenly.samples import SampleTable, has_no_samples, read_samples, write_samples

ROOT = Path(__file__).resolve().parents[2]


def fitted(case: Planted, table: SampleTable | None = None) -> Classifier:
    table = case.pool if table is None else table
    classifier = build_classifier(regression_plan(), table.schema, case.featurizer)
    classifier.fit(table, table.take(np.arange(0)))
    return classifier


def balanced(case: Planted, method: str, rows: int) -> SampleTable:
    plan = ResamplePlan.model_validate(
        {
            "method": method,
            "targets": dict.fromkeys(case.pool.classes, rows),
            "k_neighbors": 5,
            "clean_neighbors": 3,
            "clean": "all",
            "seed": 0,
        }
    )
    return resample(case.pool, plan, case.featurizer)[0]


@pytest.fixture(scope="module")
def digits() -> Planted:
    return planted(digits_pool(10))


@pytest.fixture(scope="module")
def model(digits: Planted) -> Classifier:
    return fitted(digits)


def mined(digits: Planted, model: Classifier, plan: MinePlan, table: SampleTable | None = None) -> Mined:
    table = digits.pool if table is None else table
    return mine(model, table, plan, regression_plan(), digits.featurizer)


def test_suspects_are_kept_out_of_the_hard_rows_by_default(digits: Planted, model: Classifier) -> None:
    dropped = mined(digits, model, mine_plan(by="loss", top_fraction=0.3))
    kept = mined(digits, model, mine_plan(by="loss", top_fraction=0.3, suspects="keep"))
    suspects = set(dropped.pool.ids[dropped.suspicion.suspect])
    assert not suspects & set(dropped.hard.ids)
    assert len(suspects & set(kept.hard.ids)) > len(suspects) / 2
    flagged = {
        name
        for name, details in zip(kept.hard.ids, kept.hard.column("details"), strict=True)
        if json.loads(details)["mining"].get("suspect")
    }
    assert flagged == suspects & set(kept.hard.ids)


def test_every_hard_row_says_why_and_agrees_with_the_model(digits: Planted, model: Classifier) -> None:
    result = mined(digits, model, mine_plan())
    assert len(result.hard)
    probabilities = model.predict_proba(result.hard)
    for row, details in enumerate(result.hard.column("details")):
        said = json.loads(details)["mining"]
        own = probabilities[row, result.hard.codes[row]]
        assert said["prediction"] == result.hard.classes[probabilities[row].argmax()]
        assert said["prediction"] != result.hard.labels[row]
        assert said["loss"] == pytest.approx(-np.log(own), abs=1e-5)
        assert said["margin"] == pytest.approx(own - probabilities[row].max(), abs=1e-5)
        assert said["prediction"] in said["why"]


def test_earlier_details_of_a_row_are_kept(digits: Planted, model: Classifier) -> None:
    table = digits.pool.with_column("details", ['{"rotate":3.5}'] * len(digits.pool))
    result = mined(digits, model, mine_plan(), table)
    assert all(json.loads(text)["rotate"] == 3.5 for text in result.hard.column("details"))


def test_mining_does_not_depend_on_the_order_of_the_rows(digits: Planted, model: Classifier) -> None:
    order = np.random.default_rng(1).permutation(len(digits.pool))
    plan = mine_plan(by="margin", top_fraction=0.1)
    straight, shuffled = mined(digits, model, plan), mined(digits, model, plan, digits.pool.take(order))
    assert straight.hard.table.equals(shuffled.hard.table)
    assert mining_metrics(straight) == mining_metrics(shuffled)


def test_copies_of_a_row_are_passed_over(digits: Planted, model: Classifier) -> None:
    table = balanced(digits, "random_over", 170)
    result = mined(digits, model, mine_plan(by="loss", top_fraction=0.5), table)
    assert result.left_out["copies"] == len(table) - len(digits.pool) > 0
    assert set(result.hard.origins) == {"real"}


def test_synthetic_rows_keep_their_origin_and_lineage(digits: Planted, model: Classifier) -> None:
    table = balanced(digits, "smote", 170)
    result = mined(digits, model, mine_plan(by="loss", top_fraction=0.5, suspects="keep"), table)
    parents = dict(zip(table.ids, table.column("parent"), strict=True))
    synthetic = result.hard.take(~result.hard.is_real)
    assert set(synthetic.origins) == {"smote"}
    assert synthetic.column("parent").tolist() == [parents[name] for name in synthetic.ids]


def test_wrong_labels_are_found_among_synthetic_rows(digits: Planted, model: Classifier) -> None:
    result = mined(digits, model, mine_plan(), balanced(digits, "smote", 170))
    wrong = np.isin(result.pool.ids, digits.pool.ids[digits.wrong])
    clean = result.pool.is_real & ~wrong
    assert result.suspicion.suspect[wrong].mean() >= 0.7
    assert result.suspicion.suspect[clean].mean() <= 0.1


def test_texts_that_are_vectors_only_are_left_out_for_a_network_alone() -> None:
    case = planted(text_pool(), share=0.0)
    table = balanced(case, "smote", 70)
    classifier = fitted(case, table)
    plan = mine_plan(by="loss", top_fraction=0.2)
    by_vectors = mine(classifier, table, plan, regression_plan(), case.featurizer)
    network = regression_plan().model_copy(update={"model": "small_cnn"})
    by_text = mine(classifier, table, plan, network, case.featurizer)
    assert by_vectors.left_out["vectors_only"] == 0
    assert by_text.left_out["vectors_only"] == len(table) - len(case.pool) == 60
    assert all(text is not None for text in by_text.pool.texts)


def test_scores_out_of_fold_are_less_flattering_than_the_models_own(digits: Planted) -> None:
    trained = regression_plan().model_copy(
        update={"model": "random_forest", "settings": RandomForestSettings(trees=30)}
    )
    classifier = build_classifier(trained, digits.pool.schema, digits.featurizer)
    classifier.fit(digits.pool, digits.pool.take(np.arange(0)))
    own, left_out, quick = (
        mine(classifier, digits.pool, mine_plan({"folds": 2}, scores=scores), trained, digits.featurizer)
        for scores in ("model", "out_of_fold", "quick")
    )
    misses = [int(result.scores.misclassified(result.pool.codes).sum()) for result in (own, left_out, quick)]
    assert misses[0] == 0
    assert misses[1] > len(digits.pool) * 0.05
    assert misses[2] > len(digits.pool) * 0.05


def test_an_image_network_can_be_mined() -> None:
    case = planted(digits_pool(30))
    trained = regression_plan().model_copy(
        update={
            "model": "small_cnn",
            "settings": SmallCnnSettings(width=8),
            "training": TrainingSettings(epochs=1, min_steps_per_epoch=5),
        }
    )
    classifier = build_classifier(trained, case.pool.schema, case.featurizer)
    classifier.fit(case.pool, case.pool.take(np.arange(0)))
    result = mine(classifier, case.pool, mine_plan(max_per_class=3), trained, case.featurizer)
    assert 0 < len(result.hard) <= 30
    assert max(result.hard.counts.values()) == 3


def test_the_table_of_what_is_hard_adds_up(digits: Planted, model: Classifier, tmp_path: Path) -> None:
    result = mined(digits, model, mine_plan(by="loss", top_fraction=0.2), balanced(digits, "smote", 100))
    cells = hard_cells(result)
    numbers = mining_metrics(result)
    assert sum(cell.rows for cell in cells) == numbers["rows"] == len(result.pool)
    assert sum(cell.hard for cell in cells) == numbers["hard"]["rows"] == len(result.hard)
    assert sum(cell.suspects for cell in cells) == numbers["suspects"]["rows"]
    assert {c.label: c.hard for c in cells if c.origin == "real"} == result.hard.take(
        result.hard.is_real
    ).counts
    json.dumps(numbers, allow_nan=False)
    write_plots(result, tmp_path / "plots")
    again = tmp_path / "again"
    write_plots(result, again)
    assert (tmp_path / "plots/hard_by_class.png").read_bytes() == (again / "hard_by_class.png").read_bytes()
    with (tmp_path / "plots/hard_by_class.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["hard"]) for line in lines] == [cell.hard for cell in cells]


def test_suspects_are_listed_with_their_text_most_suspicious_first(tmp_path: Path) -> None:
    case = planted(text_pool())
    result = mined(case, fitted(case), mine_plan())
    write_suspects(result, tmp_path / "suspects.csv")
    with (tmp_path / "suspects.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    texts = dict(zip(case.pool.ids, case.pool.texts, strict=True))
    assert len(lines) == int(result.suspicion.suspect.sum()) > 20
    confidences = [float(line["self_confidence"]) for line in lines]
    assert confidences == sorted(confidences)
    assert all(line["text"] == texts[line["id"]] and line["suggested"] != line["label"] for line in lines)


def test_a_model_that_knows_every_row_leaves_nothing_hard(digits: Planted) -> None:
    class Knows:
        classes = digits.pool.classes

        def predict_proba(self, samples: SampleTable) -> np.ndarray:
            return np.eye(len(self.classes))[samples.codes]

    result = mine(Knows(), digits.pool, mine_plan(), regression_plan(), digits.featurizer)  # type: ignore[arg-type]
    assert len(result.hard) == 0
    assert mining_metrics(result)["hard"]["by_class"] == dict.fromkeys(digits.pool.classes, 0)
    assert "0 of" in summary(result)


def test_without_a_plan_the_stage_writes_empty_files_and_imports_nothing_heavy(tmp_path: Path) -> None:
    write_json({}, tmp_path / "data/plan/mine.json")
    script = (
        "import sys; from stages.mine_hard_examples import main; main(); "
        "heavy = {'numpy', 'pandas', 'torch', 'sklearn', 'pyarrow', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["mine_hard_examples: nothing to do", "[]"]
    assert has_no_samples(tmp_path / "data/hard/hard.parquet")
    assert json.loads((tmp_path / "metrics/mining.json").read_text()) == {}
    assert (tmp_path / "reports/suspect_labels.csv").read_text().startswith("id,label,suggested")
    assert (tmp_path / "plots/mining/hard_by_class.csv").read_text().count("\n") == 1


def test_the_stage_mines_what_its_plan_asks(
    digits: Planted, model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.mine_hard_examples import main

    monkeypatch.chdir(tmp_path)
    write_plan(mine_plan(by="loss", top_fraction=0.1), "data/plan/mine.json")
    write_samples(digits.pool, "data/balanced/train.parquet")
    model.save("models/train")
    digits.featurizer.save("data/features/featurizer")
    main()
    hard = read_samples("data/hard/hard.parquet")
    assert set(hard.ids) == set(mined(digits, model, mine_plan(by="loss", top_fraction=0.1)).hard.ids)
    assert json.loads(Path("metrics/mining.json").read_text())["hard"]["rows"] == len(hard)
    assert Path("plots/mining/hard_by_class.png").exists()
