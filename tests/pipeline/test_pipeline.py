"""What people rely on when they type `dvc repro` and `dvc exp run`, tried on the real pipeline."""

from __future__ import annotations

import json

from projects import Project

STAGES = [
    "source",
    "split",
    "featurize",
    "analyze",
    "llm_generate",
    "imported",
    "generate",
    "filter",
    "offline_augment",
    "resample",
    "train",
    "mine_hard_examples",
    "finetune",
    "evaluate",
    "scores",
]

#: Where the promise is not about what is evaluated.
LIGHT = ("-S", "evaluate.robustness=false", "-S", "evaluate.bootstrap=200")


def metrics(project: Project, name: str = "evaluate") -> dict:
    return json.loads((project.root / "metrics" / f"{name}.json").read_text())


def test_the_first_run_goes_through_every_stage(first_run: tuple[Project, str]) -> None:
    project, output = first_run
    assert sorted(project.stages_run(output)) == sorted(STAGES)
    for name in ("predictions.csv", "per_class.csv", "report.html"):
        assert (project.root / "reports" / name).stat().st_size > 0


def test_the_default_model_has_learnt_the_digits(first_run: tuple[Project, str]) -> None:
    # Chance is .10; the small network without balancing reaches about .90 at this imbalance.
    assert metrics(first_run[0])["test"]["macro_f1"] > 0.8


def test_a_second_run_does_nothing_and_leaves_git_clean(project: Project) -> None:
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert project.stages_run(project.dvc("repro")) == []
    assert "Running stage" not in project.dvc("repro", "--allow-missing", "--dry")
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_only_dvc_lock_and_the_scores_are_new_after_the_first_run(first_run: tuple[Project, str]) -> None:
    status = first_run[0].run("git", "status", "--porcelain").stdout.split()
    assert status[1::2] == ["dvc.lock", "scores.json"]


def test_going_to_another_recipe_and_back_runs_nothing_twice(project: Project) -> None:
    adasyn = ("-S", "balancing=adasyn", "-S", "train.epochs=2", *LIGHT)
    there = project.stages_run(project.dvc("exp", "run", *adasyn))
    later = {"resample", "train", "mine_hard_examples", "finetune", "evaluate", "scores"}
    assert set(there) <= {"analyze", *later}
    assert {"analyze", "resample", "train", "evaluate"} <= set(there)
    assert metrics(project, "resample")["method"] == "adasyn"
    project.run("git", "checkout", "-q", "--", "params.yaml")
    back = project.stages_run(project.dvc("exp", "run"))
    again = project.stages_run(project.dvc("exp", "run", *adasyn))
    assert (back, again) == ([], [])


def test_another_loss_trains_again_and_resamples_nothing(project: Project) -> None:
    ran = project.stages_run(project.dvc("exp", "run", "train", "-S", "loss=focal", "-S", "train.epochs=2"))
    assert "train" in ran and "resample" not in ran and "offline_augment" not in ran


def test_editing_another_recipe_runs_nothing(project: Project) -> None:
    path = project.root / "params.yaml"
    text = path.read_text()
    assert "k_neighbors" not in text.split("recipes:")[1].split("smote:")[0]
    project.dvc("exp", "run", "-S", "recipes.smote.resample.k_neighbors=3")
    assert metrics(project, "resample")["method"] == "none"
    assert project.stages_run(project.dvc("repro")) == []


def test_a_small_number_given_on_the_command_line_stays_a_number(project: Project) -> None:
    # DVC writes 1e-05 without a dot, which YAML 1.1 reads as text.
    output = project.dvc("exp", "run", "analyze", "-S", "train.learning_rate=0.00001")
    assert project.stages_run(output) == ["analyze"]
    plan = json.loads((project.root / "data/plan/train.json").read_text())
    assert plan["training"]["learning_rate"] == 1e-5


def test_a_wrong_key_is_one_sentence_without_a_traceback(project: Project) -> None:
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("\nbalancing: none", "\nbalancing: smoote", 1))
    # DVC itself cannot resolve recipes.smoote; the stage says what there is when it is asked directly.
    done = project.run("python", "-m", "stages.analyze", check=False)
    assert done.returncode == 1
    assert "did you mean 'smote'?" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_queued_grid_uses_the_code_that_was_queued_and_shows_in_exp_show(project: Project) -> None:
    stage = project.root / "src/evenly/imbalance.py"
    queued = stage.read_text()
    stage.write_text(queued.replace('"rows": sum(sizes),', '"rows": sum(sizes), "marker": "queued",'))
    grid = ("-S", "balancing=random_oversampling,smote", "-S", "train.epochs=2", *LIGHT)
    project.dvc("exp", "run", "--queue", *grid)
    stage.write_text(queued.replace('"rows": sum(sizes),', '"rows": sum(sizes), "marker": "live",'))
    project.dvc("exp", "run", "--run-all", "-j", "1")
    project.run("git", "checkout", "-q", "--", "src")
    experiments = json.loads(project.dvc("exp", "show", "--json"))[-1]["experiments"] or []
    assert len(experiments) == 2
    for experiment in experiments:
        assert experiment["revs"][0]["data"]["metrics"]["scores.json"]["data"]["f1"] >= 0
        project.dvc("exp", "apply", experiment["name"])
        assert metrics(project, "imbalance")["train"]["marker"] == "queued"
