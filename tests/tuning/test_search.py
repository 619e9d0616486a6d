"""A whole search by the real DVC, over a pipeline of two small stages."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tuning_projects import ROOT

from evenly.errors import ParameterError
from evenly.experiments.history import Revision, experiment_revisions
from evenly.params.base import read_yaml, settings_from
from evenly.params.project import Params
from evenly.tuning.workbench import find_experiments, validation_predictions, validation_score
from tests import forked

pytestmark = pytest.mark.xdist_group("pipeline")

PIPELINE = """
stages:
  finetune:
    cmd: python -m stages.finetune
    deps: [stages/finetune.py]
    params: [seed, dataset, balancing, "recipes.${balancing}"]
    outs: [data/split/val.parquet, models/train, models/finetune, metrics/train, metrics/finetune]
    metrics: [metrics/split.json]
  evaluate:
    cmd: python -m stages.evaluate
    deps: [models/train]
    metrics: [metrics/evaluate.json]
"""
#: The more neighbours, the more wrong labels the model learns from; with one there is nothing to learn from.
STAGE = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
import numpy as np
from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.features import fit_featurizer
from evenly.files import write_json
from evenly.params.base import read_yaml
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import LogisticRegressionSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import Feature, Schema, samples_from_columns, write_samples

cache = Path(os.environ["DVC_ROOT"], ".cache")
params = read_yaml("params.yaml")
neighbours = params["recipes"][params["balancing"]].get("resample", {{}}).get("k_neighbors", 8)
with (cache / "tally.txt").open("a") as tally:
    print(params["balancing"].partition("_")[0], neighbours, params["seed"], file=tally)
if neighbours == 1:
    sys.exit("stages/finetune.py: The class 'b' has too few rows.")
while neighbours < 5 and (cache / "hold").exists():
    time.sleep(0.1)

generator = np.random.default_rng(params["seed"])
schema = Schema("table", ("a", "b"), features=(Feature("x", "number"), Feature("y", "number")))

def rows(name, number, wrong):
    codes = generator.integers(2, size=number)
    place = generator.normal(size=(number, 2)) + codes[:, None]
    labels = np.where(generator.random(number) < wrong, 0, codes)
    ids = [f"{{name}}-{{i}}" for i in range(number)]
    columns = {{"id": ids, "label": [schema.classes[k] for k in labels]}}
    return samples_from_columns(columns | {{"x": place[:, 0].tolist(), "y": place[:, 1].tolist()}}, schema)

validation, train = rows("val", 120, 0), rows("train", 200, neighbours / 12)
plan = TrainPlan(model="logistic_regression", settings=LogisticRegressionSettings(), loss="cross_entropy",
                 losses=LossSettings(), sampler="uniform", training=TrainingSettings(), seed=0, threads=1)
model = build_classifier(plan, schema, fit_featurizer(train, FeatureSettings(), seed=0))
model.fit(train, validation)
model.save("models/train")
predicted = model.predict_proba(validation).argmax(axis=1)
write_samples(validation, "data/split/val.parquet")
f1 = float(macro_f1(outcomes(validation.codes, predicted, 2)))
write_json({{"val": {{"macro_f1": f1}}}}, "metrics/train/metrics.json")
write_json({{"kept": "train"}}, "models/finetune/model.json")
write_json({{}}, "metrics/finetune/metrics.json")
split = {{"rows": {{"train": 200, "validation": 120, "test": 80}}, "strategy": "stratified"}}
write_json(split, "metrics/split.json")
"""
TEST_OPENED = """
import os
from pathlib import Path
with Path(os.environ["DVC_ROOT"], ".cache", "tally.txt").open("a") as tally:
    print("the test split was opened", file=tally)
"""


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    root = tmp_path / "small"
    (root / "stages").mkdir(parents=True)
    for name in ("params.yaml", "datasets.yaml", ".gitignore"):
        shutil.copy2(ROOT / name, root / name)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "space.yaml").write_text("resample.k_neighbors: [5, 1, 2, 3]\n")
    # With it, this package comes before one of the same name that PYTHONPATH may lead to.
    (root / "stages" / "__init__.py").touch()
    (root / "stages" / "finetune.py").write_text(STAGE)
    (root / "stages" / "evaluate.py").write_text(TEST_OPENED)
    (root / ".cache").mkdir()
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "config", "user.name", "Test"],
        ["git", "config", "user.email", "test@example.org"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "The project"],
    ):
        subprocess.run(command, cwd=root, check=True)
    return root


def tally(root: Path) -> list[str]:
    path = root / ".cache" / "tally.txt"
    return path.read_text().splitlines() if path.exists() else []


REAL = [sys.executable, "-c", "from evenly.cli import main; main()"]


def start(root: Path, evenly: list[str]) -> subprocess.Popen[str]:
    options = ["--dataset", "wine", "--space", "space.yaml", "--trials", "3", "--confirm", "2"]
    return subprocess.Popen(
        [*evenly, "tune", "smote", *options],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=900)[0]
    assert process.returncode == 0, said
    return said


def test_a_search_is_killed_goes_on_ends_with_a_recipe_and_never_opens_the_test_split(
    small_project: Path,
) -> None:
    root, quick = small_project, [str(Path(forked.commands(), "evenly"))]
    # Killed in the first trial that takes a while: the references are there, the trial is not.
    (root / ".cache" / "hold").touch()
    search = start(root, REAL)
    while not any(line.startswith(("smote 2", "smote 3")) for line in tally(root)):
        assert search.poll() is None, search.communicate()[0]
        time.sleep(0.1)
    search.send_signal(signal.SIGTERM)
    assert "goes on where this one was" in search.communicate(timeout=900)[0] and search.returncode == 130
    killed = tally(root)[-1]
    assert tally(root)[:2] == ["none 8 42", "smote 5 42"]
    assert sorted(name.rpartition("-s42")[0] for name in experiment_revisions(root)) == [
        "wine-none",
        "wine-smote",
    ]

    # It goes on with the one that was killed, tries nothing twice, and keeps the one that fails.
    (root / ".cache" / "hold").unlink()
    said = finish(start(root, quick))
    searched = [line for line in tally(root) if line.endswith(" 42")]
    assert sorted(set(searched)) == ["none 8 42", "smote 1 42", "smote 2 42", "smote 3 42", "smote 5 42"]
    assert searched.count(killed) == 2 and len(searched) == 6
    assert "failed: finetune: The class 'b' has too few rows." in said
    assert "Best of 2" in said and "new seeds" in said and "too good" in said
    assert sorted({line.split()[-1] for line in tally(root)}) == ["42", "43", "44"]
    assert "the test split was opened" not in tally(root)

    # The recipe can be pasted.
    told = read_yaml(root / "reports" / "smote_tuned.yaml")
    assert told["recipes"]["smote_tuned"]["resample"]["k_neighbors"] in (2, 3)
    values = read_yaml(root / "params.yaml")
    values["recipes"] |= told["recipes"]
    settings_from(Params, values, "params.yaml")
    rows = list(csv.DictReader((root / "reports" / "smote_trials.csv").read_text().splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3"]
    assert [bool(row["failed"]) for row in rows].count(True) == 1
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""

    # What training wrote is what the model predicts, and the same command runs nothing again.
    done = next(row for row in rows if row["trial"] != "0" and row["validation_macro_f1"])
    (revision,) = find_experiments(root, done["experiments"].split())
    assert validation_score(revision, "macro_f1") == float(done["validation_macro_f1"])
    y, predicted = validation_predictions(revision, root / ".cache" / "again", root)
    from evenly.confusion import macro_f1, outcomes

    assert float(macro_f1(outcomes(y, predicted, 2))) == float(done["validation_macro_f1"])
    before = tally(root)
    again = finish(start(root, quick))
    assert tally(root) == before and again.split("Best of")[1] == said.split("Best of")[1]


def test_a_dry_run_shows_what_varies_and_runs_nothing(
    small_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evenly.cli.tuning import tune

    monkeypatch.chdir(small_project)
    tune("smote", space=Path("space.yaml"), dataset="wine", minutes=5, dry_run=True)
    said = capsys.readouterr().out
    assert "resample.k_neighbors 5 5, 1, 2, 3" in " ".join(said.split()) and "5 minutes" in said
    assert "6 runs to confirm" in said
    assert not tally(small_project) and not list((small_project / ".cache").rglob("journal.log"))


def test_the_kept_model_is_the_one_that_counts(tmp_path: Path) -> None:
    class Told(Revision):
        def read(self, path: str) -> bytes | None:
            return {
                "models/finetune/model.json": b'{"kept": "finetune"}',
                "metrics/train/metrics.json": b'{"val": {"macro_f1": 0.5}}',
                "metrics/finetune/metrics.json": b'{"val": {"macro_f1": 0.6}}',
            }[path]

    assert validation_score(Told(tmp_path, "x", "c"), "macro_f1") == 0.6


@pytest.mark.parametrize(
    ("options", "message"), [({"metric": "accuracy"}, "--metric"), ({"confirm": 1}, "--confirm")]
)
def test_a_wrong_option_is_one_sentence(options: dict[str, object], message: str) -> None:
    from evenly.cli.tuning import tune

    with pytest.raises(ParameterError, match=message):
        tune("smote", **options)  # type: ignore[arg-type]
