from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenly.errors import EvenlyError, ParameterError, RecipeError
from evenly.experiments.experiments import Experiment, Technique, Workshop, override_text, read_technique
from evenly.experiments.groups import plan_sweep, read_seeds, techniques_of


@pytest.fixture
def workshop(project_files: Path) -> Workshop:
    return Workshop(project_files, {})


def name(workshop: Workshop, text: str, dataset: str = "digits_lt", seed: int = 1) -> str:
    return workshop.experiment(read_technique(text), dataset, seed).name


def edited(root: Path, file: str, old: str, new: str) -> Workshop:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return Workshop(root, {})


def test_an_experiment_is_named_for_what_it_is(workshop: Workshop) -> None:
    assert name(workshop, "smote+loss=focal").startswith("digits_lt-smote-loss-focal-s1-")
    assert name(workshop, "smote") == name(Workshop(workshop.root, {}), "smote")
    others = {name(workshop, "smote", seed=2), name(workshop, "none"), name(workshop, "smote", "digits")}
    assert name(workshop, "smote") not in others and len(others) == 3


def test_the_name_changes_with_code_settings_and_data_that_count(workshop: Workshop) -> None:
    before, root = name(workshop, "smote"), workshop.root
    assert name(edited(root, "params.yaml", "k_neighbors: 5", "k_neighbors: 4"), "smote") != before
    before = name(Workshop(root, {}), "smote")
    assert name(edited(root, "datasets.yaml", "ratio: 50", "ratio: 40"), "smote") != before
    before = name(Workshop(root, {}), "smote")
    (root / "stages" / "train.py").write_text("print()\n")
    assert name(Workshop(root, {}), "smote") != before


def test_the_name_stays_with_what_does_not_count(workshop: Workshop) -> None:
    before, root = name(workshop, "none"), workshop.root
    assert name(edited(root, "params.yaml", "k_neighbors: 5", "k_neighbors: 4"), "none") == before
    (root / "README.md").write_text("Another readme.\n")
    (root / "src" / "evenly" / "comparison" / "new.py").write_text("x = 1\n")
    assert name(Workshop(root, {}), "none") == before


def test_the_classical_group_has_eight_experiments_and_three_ensembles_for_tables() -> None:
    labels = [technique.label for technique in techniques_of("classical", {"none": {}})]
    assert len(labels) == len(set(labels)) == 8 + 3
    assert labels[8:] == ["easy_ensemble", "balanced_random_forest", "rusboost"]
    assert labels[0] == "none" and "smote+loss=focal" in labels


def test_settings_are_read_beside_values_with_a_plus() -> None:
    read = read_technique("smote+train.learning_rate=1e+2+loss=focal")
    assert read == Technique("smote", (("loss", "focal"), ("train.learning_rate", "1e+2")))


def test_every_sweep_has_the_baseline_first(workshop: Workshop) -> None:
    plan = plan_sweep(workshop, ["smote"], datasets=["digits_lt"], seeds=[1, 2])
    assert [(e.technique.recipe, e.seed) for e in plan.experiments] == [
        ("none", 1),
        ("none", 2),
        ("smote", 1),
        ("smote", 2),
    ]


def test_the_baseline_is_known_by_what_it_does_and_not_by_its_name() -> None:
    recipes = {"mine": {"resample": {"method": "smote"}}, "as_is": {"description": "nothing"}}
    for group in ("baseline", "rivals", "classical"):
        assert techniques_of(group, recipes)[0] == Technique("as_is")


def test_runs_of_a_seed_share_its_split_and_others_do_not(workshop: Workshop) -> None:
    plan = plan_sweep(workshop, ["smote"], datasets=["digits_lt"], seeds=[1, 2])
    none_1, none_2, smote_1, _ = plan.experiments
    assert none_1.shared == smote_1.shared
    assert not none_1.shared & none_2.shared


def test_a_member_of_a_group_that_cannot_run_is_left_out_with_a_sentence(workshop: Workshop) -> None:
    plan = plan_sweep(workshop, ["loss_function", "llm"], datasets=["wine"], seeds=[1])
    assert [experiment.technique.recipe for experiment in plan.experiments] == ["none"]
    assert any("focal" in sentence and "logistic_regression" in sentence for sentence in plan.left_out)
    assert any(sentence.startswith("llm on wine is left out") for sentence in plan.left_out)


def test_balanced_ensembles_are_for_tables_and_for_no_other_model(workshop: Workshop) -> None:
    names = ["easy_ensemble", "balanced_random_forest", "rusboost"]
    plan = plan_sweep(workshop, ["classical"], datasets=["wine"], seeds=[1])
    assert set(names) <= {experiment.technique.recipe for experiment in plan.experiments}
    for dataset, kind in (("digits_lt", "image"), ("banking77_lt", "text")):
        plan = plan_sweep(workshop, ["ensembles"], datasets=[dataset], seeds=[1])
        assert [experiment.technique.recipe for experiment in plan.experiments] == ["none"]
        assert [sentence.split(" on ")[0] for sentence in plan.left_out] == names
        assert all(f"does not take {kind} data" in sentence for sentence in plan.left_out)
    with pytest.raises(RecipeError, match="is its model, rusboost: nothing of it is left"):
        plan_sweep(workshop, ["rusboost"], datasets=["wine"], seeds=[1], settings=[("model", "catboost")])


def test_recipes_for_other_data_are_left_out_of_all(workshop: Workshop) -> None:
    plan = plan_sweep(workshop, ["all"], datasets=["digits_lt"], seeds=[1])
    left_out = {sentence.split(" on digits_lt")[0] for sentence in plan.left_out}
    assert {"tweets_hard", "language_model", "llm_smote"} <= left_out
    assert {"group_oversampling", "group_retrain_head", "group_llm"} <= left_out
    assert {"gan", "retrain_head", "smote"} <= {e.technique.recipe for e in plan.experiments}
    plan = plan_sweep(workshop, ["spurious"], datasets=["coloured_digits"], seeds=[1])
    assert plan.left_out == ()


def test_what_is_named_itself_is_refused_where_it_cannot_run(workshop: Workshop) -> None:
    with pytest.raises(RecipeError, match="focal"):
        plan_sweep(workshop, ["focal"], datasets=["wine"], seeds=[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smoote", "did you mean 'smote'"),
        ("smote+los=focal", "no key 'los'"),
        ("smote+loss=fokal", "loss"),
        ("smote+seed=3", "--seeds"),
    ],
)
def test_a_wrong_technique_is_one_sentence(workshop: Workshop, text: str, message: str) -> None:
    with pytest.raises(EvenlyError, match=message) as caught:
        plan_sweep(workshop, [text], datasets=["digits_lt"], seeds=[1])
    assert "\n" not in str(caught.value)


def test_seeds_are_ranges_and_lists() -> None:
    assert read_seeds("1..4") == [1, 2, 3, 4]
    assert read_seeds("7, 1..2,7") == [7, 1, 2]
    for text in ("", "a", "4..1", "1-3"):
        with pytest.raises(ParameterError, match=r"1\.\.10"):
            read_seeds(text)


def test_a_recipe_that_is_only_tried_reaches_dvc_as_it_is() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    recipe = {
        "description": "it's a \\ , {x: 1}' end\\",
        "values": [1, 2.5e-07, True, None, "null", "3", ""],
        "more": {"d-e": "1e-3", "empty": {}},
    }
    technique = Technique("tried", added=(("recipes.tried", json.dumps(recipe)),))
    (added,) = (o for o in Experiment(technique, "wine", 1, "n", frozenset()).overrides if o[0] == "+")
    parsed = OverridesParser.create().parse_override(added)

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        return getattr(value, "text", value)

    assert parsed.key_or_group == "recipes.tried" and plain(parsed.value()) == recipe
    for key in ("3", "null", "kärt", "a b"):
        with pytest.raises(ParameterError, match="cannot be given"):
            override_text({key: 1})


def test_an_experiment_that_stops_early_has_a_name_of_its_own(workshop: Workshop) -> None:
    technique = read_technique("smote")
    whole = workshop.experiment(technique, "digits_lt", 1)
    part = workshop.experiment(technique, "digits_lt", 1, until="finetune")
    assert part.name.startswith("digits_lt-smote-s1-finetune-") and whole.name != part.name


def test_a_recipe_that_is_only_tried_is_checked_and_counts(workshop: Workshop) -> None:
    def tried(**recipe: object) -> Technique:
        return Technique("tried", added=(("recipes.tried", json.dumps(recipe)),))

    names = {
        workshop.experiment(tried(resample={"method": "smote", "k_neighbors": k}), "wine", 1).name
        for k in (3, 5)
    }
    assert len(names) == 2
    with pytest.raises(RecipeError, match="focal"):
        workshop.experiment(tried(train={"loss": "focal"}), "wine", 1)
    with pytest.raises(ParameterError, match="k_neighbours"):
        workshop.experiment(tried(resample={"method": "smote", "k_neighbours": 3}), "wine", 1)
