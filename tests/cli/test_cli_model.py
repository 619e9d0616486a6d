"""`evenly predict` and `evenly summary`, with models trained here."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evenly.classifiers import Classifier, build_classifier, load_classifier
from evenly.cli import app
from evenly.errors import EvenlyError
from evenly.evaluation.decisions import DecisionRule, write_rules
from evenly.features import fit_featurizer
from evenly.features.images import encode_images
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import ModelName, ModelsSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns, write_samples
from evenly.wording import csv_cell


@dataclass(frozen=True)
class Trained:
    """A model in a folder, the classifier read back from it, and rows that it has not seen."""

    folder: Path
    classifier: Classifier
    rows: SampleTable

    def expected(self) -> list[dict[str, str]]:
        """What predictions.csv must say of the rows."""
        probabilities = self.classifier.predict_proba(self.rows)
        return [
            {
                "id": id_,
                "predicted": self.rows.classes[row.argmax()],
                "confidence": csv_cell(row.max()),
                **{f"p_{name}": csv_cell(p) for name, p in zip(self.rows.classes, row, strict=True)},
            }
            for id_, row in zip(self.rows.ids, probabilities, strict=True)
        ]


def trained(samples: SampleTable, model: ModelName, folder: Path) -> Trained:
    """About two thirds of the rows train the model, the others are left."""
    settings = getattr(ModelsSettings(), model)
    plan = TrainPlan(
        model=model,
        settings=settings.model_copy(update={"width": 4}) if model == "small_cnn" else settings,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=TrainingSettings(epochs=2, min_steps_per_epoch=2),
        seed=0,
        threads=1,
    )
    held_out = np.random.default_rng(1).random(len(samples)) < 1 / 3
    train, rows = samples.take(~held_out), samples.take(held_out)
    classifier = build_classifier(plan, samples.schema, fit_featurizer(train, FeatureSettings(), 0))
    classifier.fit(train, rows.take([]))
    classifier.save(folder)
    return Trained(folder, load_classifier(folder), rows)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three imbalanced classes; a number, an integer and a category with values like numbers."""
    rng = np.random.default_rng(0)
    codes = rng.choice(3, 900, p=[0.8, 0.15, 0.05])
    features = (Feature("x", "number"), Feature("n", "integer"), Feature("c", "category", ("01", "1", "二")))
    columns = {
        "id": [f"row {k}" for k in rng.permutation(900)],
        "label": ["abc"[k] for k in codes],
        "x": rng.normal(codes).round(3).tolist(),
        "n": rng.integers(0, 5, 900).tolist(),
        "c": [("01", "1", "二")[k] for k in rng.integers(0, 3, 900)],
    }
    samples = samples_from_columns(columns, Schema("table", ("a", "b", "c"), features))
    return trained(samples, "logistic_regression", tmp_path_factory.mktemp("table") / "models" / "train")


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Questions in Chinese and English."""
    topics = {
        "话费": "我想查一下{}月的话费",
        "流量": "{}月流量还剩多少, 谢谢",
        "other": 'say "{}", please\nnow',
    }
    rows = [(f"问-{k}", name, form.format(k)) for k in range(300) for name, form in topics.items()]
    columns = {
        "id": [f"{i}-{n}" for i, n, _ in rows],
        "label": [n for _, n, _ in rows],
        "text": [t for *_, t in rows],
    }
    samples = samples_from_columns(columns, Schema("text", tuple(topics)))
    return trained(samples, "logistic_regression", tmp_path_factory.mktemp("text") / "train")


def noise() -> SampleTable:
    """Pictures of dark and light noise."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, 900)
    pixels = rng.integers(0, 200, (900, 8, 8, 1)) + codes[:, None, None, None] * 20
    columns = {
        "id": [f"{k:04}.png" for k in range(900)],
        "label": [("dark", "light")[k] for k in codes],
        "image": encode_images(pixels.astype(np.uint8)),
    }
    return samples_from_columns(columns, Schema("image", ("dark", "light")))


@pytest.fixture(scope="session")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(noise(), "logistic_regression", tmp_path_factory.mktemp("pixels") / "train")


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(noise(), "small_cnn", tmp_path_factory.mktemp("network") / "train")


def written(samples: SampleTable, path: Path) -> Path:
    """The rows as users have them: id and payload in a csv; images as files, with a list of them."""
    names = ["id", *(f.name for f in samples.schema.features)] if samples.schema.features else ["id", "text"]
    if samples.modality == "image":
        names = ["id", "image"]
        for id_, image in zip(samples.ids, samples.images, strict=True):
            (path.parent / "pictures" / id_).parent.mkdir(exist_ok=True)
            (path.parent / "pictures" / id_).write_bytes(image or b"")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in samples.table.select(names).to_pylist():
            writer.writerow([f"pictures/{row['id']}" if name == "image" else row[name] for name in names])
    return path


def run(*arguments: Any) -> str:
    """What a command prints; an error that it raises is raised here."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: Any) -> str:
    with pytest.raises(EvenlyError) as caught:
        run(*arguments)
    return str(caught.value)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["table", "text", "pixels", "network"])
def model(request: pytest.FixtureRequest) -> Trained:
    found: Trained = request.getfixturevalue(request.param)
    return found


def test_a_file_gets_what_the_classifier_says_of_its_rows_in_their_order(
    model: Trained, tmp_path: Path
) -> None:
    source, output = written(model.rows, tmp_path / "new.csv"), tmp_path / "predictions.csv"
    said = run("predict", model.folder, source, "--output", output)
    found = rows_of(output)
    assert found == model.expected()
    assert len({row["predicted"] for row in found}) > 1
    counts = sorted(
        (sum(row["predicted"] == name for row in found) for name in model.rows.classes), reverse=True
    )
    assert f"predictions.csv: {len(found)} rows; " in said
    assert [int(part.split()[-1]) for part in said.strip().rstrip(".").split("; ")[1].split(", ")] == [
        n for n in counts if n
    ]


def test_batches_give_the_same_file_byte_for_byte(model: Trained, tmp_path: Path) -> None:
    source = written(model.rows, tmp_path / "new.csv")
    files = []
    assert len(model.rows) > 256
    for batch in (1, 256, 300, 4096):
        run("predict", model.folder, source, "--output", tmp_path / f"{batch}.csv", "--batch", batch)
        files.append((tmp_path / f"{batch}.csv").read_bytes())
    assert all(file == files[0] for file in files)


def test_a_sample_table_gets_the_same_predictions(model: Trained, tmp_path: Path) -> None:
    write_samples(model.rows, tmp_path / "test.parquet")
    run("predict", model.folder, tmp_path / "test.parquet", "--output", tmp_path / "p.csv")
    assert rows_of(tmp_path / "p.csv") == model.expected()


def test_a_folder_of_images_needs_no_list(pixels: Trained, tmp_path: Path) -> None:
    written(pixels.rows, tmp_path / "list.csv")
    run("predict", pixels.folder, tmp_path / "pictures", "--output", tmp_path / "p.csv")
    assert rows_of(tmp_path / "p.csv") == pixels.expected()


def test_the_output_is_predictions_csv_where_one_is(text: Trained, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.jsonl").write_text('{"body": "查话费"}\n{"body": "x"}\n')
    run("predict", text.folder, "new.jsonl", "--text", "body")
    assert [row["id"] for row in rows_of(tmp_path / "predictions.csv")] == ["1", "2"]
    assert rows_of(tmp_path / "predictions.csv")[0]["predicted"] == "话费"


def test_where_the_second_round_was_not_kept_the_first_model_predicts(table: Trained, tmp_path: Path) -> None:
    shutil.copytree(table.folder, tmp_path / "models" / "train")
    (tmp_path / "models" / "finetune").mkdir()
    (tmp_path / "models" / "finetune" / "model.json").write_text('{"kept": "train", "why": "worse"}')
    source = written(table.rows, tmp_path / "new.csv")
    run("predict", tmp_path / "models" / "finetune", source, "--output", tmp_path / "p.csv")
    assert rows_of(tmp_path / "p.csv") == table.expected()


@pytest.mark.parametrize("form", ["uniform", "yaml", "json"])
def test_a_prior_moves_the_odds_by_what_it_differs_from_the_model_s(
    form: str, table: Trained, tmp_path: Path
) -> None:
    shares = {"a": 2, "b": 2, "c": 2} if form == "uniform" else {"a": 1, "b": 1, "c": 8}
    file = tmp_path / f"prior.{form}"
    file.write_text(
        json.dumps(shares) if form == "json" else "".join(f"{k}: {v}\n" for k, v in shares.items())
    )
    prior = "uniform" if form == "uniform" else file
    source = written(table.rows, tmp_path / "new.csv")
    run("predict", table.folder, source, "--output", tmp_path / "p.csv", "--prior", prior)
    weights = table.classifier.predict_proba(table.rows) * np.array(list(shares.values()))
    weights /= table.classifier.effective_prior
    expected = weights / weights.sum(axis=1, keepdims=True)
    found = rows_of(tmp_path / "p.csv")
    np.testing.assert_allclose([[float(row[f"p_{k}"]) for k in "abc"] for row in found], expected, rtol=1e-5)
    assert [row["predicted"] for row in found] == ["abc"[k] for k in expected.argmax(axis=1)]


def test_columns_and_categories_that_the_model_does_not_know_are_said(table: Trained, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("label,c,n,x\nb,1,2,.5\nb,三,2,.5\n", encoding="utf-8")
    said = run("predict", table.folder, tmp_path / "new.csv", "--output", tmp_path / "p.csv")
    assert "not used: label." in said
    assert "the first is '三'" in said
    assert len(rows_of(tmp_path / "p.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "new.csv"), "nowhere does not exist; give the folder of a trained model"),
        (("empty", "new.csv"), "empty holds no model: there is no model.json in it"),
        (("broken", "new.csv"), "model.json is damaged"),
        (("torn", "new.csv"), "estimator.skops has changed since it was written; copy the model anew"),
        (("new.csv", "new.csv"), "new.csv is a file; give the folder of a trained model"),
        (("train", "none.csv"), "none.csv does not exist"),
        (("train", "short.csv"), "short.csv has no column 'n', which the model needs"),
        (("train", "new.csv", "--id", "key"), "new.csv has no column 'key'"),
        (("train", "new.csv", "--text", "x"), "takes table rows"),
        (("train", "new.csv", "--output", "new.csv"), "is the input itself"),
        (("train", "new.csv", "--output", "empty"), "is a folder"),
        (("train", "new.csv", "--output", "nowhere/p.csv"), "nowhere does not exist; make the folder"),
        (("train", "new.csv", "--output", "new.csv/p.csv"), "new.csv is no folder; make the folder"),
        (("train", "new.csv", "--prior", "equal"), "'equal' is neither uniform nor a file"),
        (("train", "new.csv", "--prior", "wrong.yaml"), "wrong.yaml misses 'c'"),
        (("train", "new.csv", "--prior", "zero.yaml"), "the share of class c must be a number above 0"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence_and_writes_nothing(
    arguments: tuple[str, ...], words: str, table: Trained, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train").symlink_to(table.folder)
    for name in ("empty", "broken"):
        Path(name).mkdir()
    Path("broken/model.json").write_text("{")
    shutil.copytree(table.folder, "torn")
    Path("torn/estimator.skops").write_bytes(Path("torn/estimator.skops").read_bytes()[:-9])
    files = {"new.csv": "x,n,c\n1,2,1\n", "short.csv": "x,c\n1,1\n"}
    files |= {"wrong.yaml": "a: 1\nb: 1\n", "zero.yaml": "a: 1\nb: 1\nc: 0\n"}
    for name, content in files.items():
        Path(name).write_text(content)
    before = sorted(tmp_path.iterdir())
    message = refused("predict", *arguments)
    assert words in message
    assert "\n" not in message
    assert sorted(tmp_path.iterdir()) == before
    assert Path("new.csv").read_text() == files["new.csv"]


def test_a_damaged_image_is_named(pixels: Trained, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    output = tmp_path / "p.csv"
    assert "torn.jpg is not a readable image" in refused(
        "predict", pixels.folder, tmp_path / "new", "--output", output
    )
    assert not output.exists()


def test_summary_shows_the_last_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert "metrics/evaluate.json does not exist; run `dvc repro` first." in refused("summary")
    test = {"rows": 9, "classes": 3, "worst_class": "b"}
    test |= {"macro_f1": 0.5, "macro_f1_low": 0.4, "macro_f1_high": 0.6}
    found = {"test": test, "validation": {"macro_f1": 0.7}, "train": {"macro_f1": 0.8}}
    found["decision_rules"] = {"argmax": {"macro_f1": 0.5, "nll": 1.25}}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "evaluate.json").write_text(json.dumps(found))
    shown = run("summary")
    assert "0.400 – 0.600" in shown
    assert "1.250" in shown
    assert "found least: class b" in shown


# -- the rules that the evaluation leaves beside the model ---------------------------------------------------


@pytest.fixture
def ruled(table: Trained, tmp_path: Path) -> Path:
    """The model in a folder of its own, with rules beside it of which the tuned one is chosen."""
    folder = tmp_path / "models" / "train"
    shutil.copytree(table.folder, folder)
    tuned = DecisionRule("tuned_thresholds", np.array([0, 0, 2.5]), restates_probabilities=False)
    write_rules(
        [DecisionRule("argmax", np.zeros(3)), tuned],
        "tuned_thresholds",
        "abc",
        deployment=None,
        rare="c",
        sets=(0.9, np.array([0.6, 0.2, 0.05])),
        model=folder,
    )
    return folder


def test_predictions_are_decided_by_the_rule_that_is_stored_with_the_model(
    ruled: Path, table: Trained, tmp_path: Path
) -> None:
    source, output = written(table.rows, tmp_path / "new.csv"), tmp_path / "p.csv"
    printed = run("predict", ruled, source, "--output", output)
    assert "Decided by tuned_thresholds, chosen on validation rows" in printed
    p = table.classifier.predict_proba(table.rows)
    decided = (np.log(np.clip(p, 1e-12, 1)) + np.array([0, 0, 2.5])).argmax(axis=1)
    found = rows_of(output)
    assert [row["predicted"] for row in found] == ["abc"[k] for k in decided]
    assert [row["p_a"] for row in found] == [row["p_a"] for row in table.expected()]
    assert [row["confidence"] for row in found] == [csv_cell(p[i, k]) for i, k in enumerate(decided)]
    run("predict", ruled, source, "--output", output, "--rule", "argmax")
    assert rows_of(output) == table.expected()


def test_prediction_sets_come_as_a_column(ruled: Path, table: Trained, tmp_path: Path) -> None:
    source, output = written(table.rows, tmp_path / "new.csv"), tmp_path / "p.csv"
    run("predict", ruled, source, "--output", output, "--sets")
    p = table.classifier.predict_proba(table.rows)
    expected = [["abc"[k] for k in np.flatnonzero(row >= [0.6, 0.2, 0.05])] for row in p]
    assert [json.loads(row["set"]) for row in rows_of(output)] == expected


def test_rules_of_another_model_are_not_applied_and_damaged_ones_refused(
    ruled: Path, table: Trained, pixels: Trained, tmp_path: Path
) -> None:
    source, output = written(table.rows, tmp_path / "new.csv"), tmp_path / "p.csv"
    rules = ruled.parent / "rules.json"
    assert "has no rule 'tuned'" in refused("predict", ruled, source, "--rule", "tuned", "--output", output)
    assert "--prior or --rule" in refused(
        "predict", ruled, source, "--rule", "argmax", "--prior", "uniform", "--output", output
    )
    whole = rules.read_text()
    rules.write_text(whole.replace("2.5", "9.5"))
    assert "rules.json is damaged" in refused("predict", ruled, source, "--output", output)
    rules.write_text(whole[:40])
    assert "rules.json is damaged" in refused("predict", ruled, source, "--output", output)
    rules.unlink()
    assert "there is no rule" in refused(
        "predict", ruled, source, "--rule", "temperature", "--output", output
    )
    assert "--sets has no thresholds" in refused("predict", ruled, source, "--sets", "--output", output)
    # Beside a model that they were not made for, rules say nothing of it.
    other = tmp_path / "models" / "other"
    shutil.copytree(pixels.folder, other)
    rules.write_text(whole)
    pictures = written(pixels.rows, tmp_path / "pixels.csv")
    run("predict", other, pictures, "--output", output)
    assert rows_of(output) == pixels.expected()
    assert not any(tmp_path.glob("*.tmp"))
