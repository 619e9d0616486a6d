"""Curves over synthetic volume, on small tables made here."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from evenly.classifiers import build_classifier
from evenly.curves.findings import Curve, Curves, sentences
from evenly.curves.grid import Material, draw_curves, fitted_score, group_codes, read_material, score
from evenly.curves.outputs import print_curves, seed_rows, write_curves
from evenly.curves.sources import (
    CurveModel,
    CurveSettings,
    Pool,
    SourceName,
    Variant,
    VectorRows,
    added_rows,
    filling_order,
    named_choices,
    variants,
    vector_rows,
)
from evenly.errors import DataError, ParameterError
from evenly.experiments.history import find_revisions
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.models import LogisticRegressionSettings, ModelsSettings
from evenly.samples import Feature, SampleTable, Schema, concatenate, samples_from_columns

SCHEMA = Schema("table", ("common", "rare"), tuple(Feature(name, "number") for name in "xyz"))
MODELS = ModelsSettings()
EVERY: tuple[SourceName, ...] = ("run", "duplication", "smote", "fair_duplication")


def table(common: int, rare: int, seed: int, name: str, origin: str = "real") -> SampleTable:
    """Two clouds that overlap."""
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1], [common, rare])
    values = rng.normal(size=(common + rare, 3)) + 1.2 * codes[:, None]
    columns = {name: values[:, i].tolist() for i, name in enumerate("xyz")}
    labels = [SCHEMA.classes[code] for code in codes]
    ids = [f"{name}{i:04}" for i in range(len(labels))]
    return samples_from_columns(
        {"id": ids, "label": labels, "origin": [origin] * len(ids), **columns}, SCHEMA
    )


TRAIN, VALIDATION, TEST = (
    table(*n, seed, f"r{seed}") for seed, n in enumerate([(60, 8), (20, 10), (80, 60)])
)
FEATURIZER = fit_featurizer(TRAIN, FeatureSettings(), 0)


def pool(made: int = 24) -> Pool:
    rows = table(0, made, 7, "m", "vae")
    return Pool(TRAIN, vector_rows(TRAIN, FEATURIZER), vector_rows(rows, FEATURIZER), FEATURIZER)


def material(models: ModelsSettings = MODELS) -> Material:
    parts = (vector_rows(part, FEATURIZER) for part in (TRAIN, VALIDATION, TEST))
    return Material(*parts, groups=None, classes=2, models=models)


def drawn(**changes: object) -> Curves:
    given = {"sources": EVERY, "models": ("logistic_regression",), "seeds": (1, 2, 3), "steps": 2, **changes}
    return draw_curves(pool(), material(), CurveSettings.model_validate(given))


@pytest.mark.parametrize("model", ["logistic_regression", "random_forest", "hist_gradient_boosting"])
def test_no_synthetic_row_is_the_pipelines_own_training(model: CurveModel) -> None:
    variant = Variant(model=model, regularised=False)
    classifier = build_classifier(variant.plan(MODELS, 3), SCHEMA, FEATURIZER)
    classifier.fit(TRAIN, VALIDATION)
    expected = score(material(), classifier.predict_proba(TEST).argmax(axis=1), "balanced_error")
    assert fitted_score(material(), variant, 3, pool().rows.first(0), "balanced_error") == expected
    curves = drawn(models=(model,), seeds=(3,))
    assert {curve.values[0, 0] for curve in curves.of(variant)} == {expected}


def test_a_copy_of_every_row_changes_nothing_without_a_penalty() -> None:
    free = MODELS.model_copy(update={"logistic_regression": LogisticRegressionSettings(C=1e9)})
    variant = Variant(model="logistic_regression", regularised=False)
    twice = added_rows("duplication", pool(), len(TRAIN), 5)
    assert np.array_equal(np.sort(twice.vectors, axis=0), np.sort(pool().rows.vectors, axis=0))
    once, doubled = (
        fitted_score(material(free), variant, 5, rows, "balanced_error") for rows in (twice.first(0), twice)
    )
    assert doubled == pytest.approx(once, abs=1e-6)


def test_duplication_copies_no_row_a_third_time_before_all_have_been_copied() -> None:
    rows = added_rows("duplication", pool(), 100, 1)
    real = pool().rows.vectors
    copies = (rows.vectors[:, None] == real[None]).all(axis=2).sum(axis=0)
    assert copies.sum() == 100 and set(copies) == {1, 2}


@pytest.mark.parametrize("source", ["fair_duplication", "smote"])
def test_fair_sources_fill_the_scarce_class_only_until_classes_are_equal(source: SourceName) -> None:
    rows = added_rows(source, pool(), 52, 1)
    assert set(rows.codes) == {1}
    beyond = added_rows(source, pool(), 60, 1)
    assert np.bincount(beyond.codes[52:]).tolist() == [4, 4]


def test_fair_duplication_adds_copies_and_smote_adds_rows_between() -> None:
    real = pool().rows.vectors[pool().rows.codes == 1]
    copied, between = (added_rows(s, pool(), 40, 1).vectors for s in ("fair_duplication", "smote"))
    assert (copied[:, None] == real[None]).all(axis=2).any(axis=1).all()
    assert not (between[:, None] == real[None]).all(axis=2).any(axis=1).all()
    assert (between >= real.min(axis=0) - 1e-6).all() and (between <= real.max(axis=0) + 1e-6).all()


def test_every_row_goes_to_the_class_with_the_fewest() -> None:
    assert filling_order([3, 0, 1], 5).tolist() == [2, 2, 0, 2, 0]


@pytest.mark.parametrize("source", EVERY)
def test_steps_are_nested_and_seeds_differ(source: SourceName) -> None:
    # SMOTE draws as many rows as are asked for at the last step, from which all steps take their first.
    rows, again, other = (added_rows(source, pool(), 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(rows.vectors, again.vectors)
    assert not np.array_equal(rows.vectors, other.vectors)
    assert np.array_equal(rows.first(10).vectors, rows.vectors[:10])


def test_the_runs_rows_are_taken_once_each() -> None:
    rows = added_rows("run", pool(), 99, 1)
    assert len(rows) == 24
    assert np.array_equal(np.sort(rows.vectors, axis=0), np.sort(pool().made.vectors, axis=0))


def test_a_run_without_kept_rows_is_refused_in_a_sentence() -> None:
    with pytest.raises(DataError, match=r"kept\.parquet is empty"):
        added_rows("run", pool(made=0), 5, 1)


def test_the_curve_of_the_run_ends_with_its_rows_and_others_are_seen_there_too() -> None:
    curves = drawn(most=40)
    plain = Variant(model="logistic_regression", regularised=False)
    assert curves.curve(plain, "run").steps == (0, 20, 24)
    assert curves.curve(plain, "smote").steps == (0, 20, 24, 40)


def test_the_grid_does_not_depend_on_the_number_of_processes() -> None:
    settings = CurveSettings(sources=("smote",), models=("logistic_regression",), seeds=(1, 2), steps=1)
    one, two = (draw_curves(pool(), material(), settings, jobs) for jobs in (1, 2))
    for a, b in zip(one.curves, two.curves, strict=True):
        assert np.array_equal(a.values, b.values)


def test_balanced_classes_need_a_number_of_rows() -> None:
    even = table(20, 20, 1, "e")
    balanced = Pool(even, vector_rows(even, FEATURIZER), pool().rows.first(0), FEATURIZER)
    settings = CurveSettings(sources=("smote",), models=("random_forest",), seeds=(1,))
    with pytest.raises(DataError, match="--rows"):
        draw_curves(balanced, material(), settings)


def test_metrics_of_test_rows() -> None:
    rows = VectorRows(np.zeros((4, 1)), np.array([0, 0, 0, 1]))
    groups = np.array([0, 0, 1, -1])
    given = Material(rows, rows, rows, groups, 2, MODELS)
    predicted = np.array([0, 0, 1, 1])
    assert score(given, predicted, "balanced_error") == pytest.approx(1 / 6)
    assert score(given, predicted, "worst_class_error") == pytest.approx(1 / 3)
    assert score(given, predicted, "macro_f1") == pytest.approx((0.8 + 2 / 3) / 2)
    assert score(given, predicted, "worst_group_error") == 1.0


def test_groups_are_pairs_of_class_and_attribute() -> None:
    rows = table(2, 2, 1, "g").with_column("attribute", ["a", None, "a", "b"])
    assert group_codes(rows).tolist() == [0, -1, 1, 2]  # type: ignore[union-attr]
    assert group_codes(TRAIN) is None


def made_up(run: float, fair: float, deviation: float = 0.01) -> Curves:
    """Error .5 without rows; that of the run's rows, and of fair copies with the regularised forest."""
    ends = {("run", False): run, ("fair_duplication", False): 0.48, ("fair_duplication", True): fair}
    curves = []
    for variant in variants(("random_forest",)):
        for source in ("run", "fair_duplication"):
            end = ends.get((source, variant.regularised), 0.45)
            values = np.array([[0.5, end - deviation], [0.5, end + deviation]])
            curves.append(Curve(variant, source, (1, 2), (0, 30), values))  # type: ignore[arg-type]
    return Curves("balanced_error", tuple(curves))


def test_mean_and_standard_deviation_over_seeds() -> None:
    curve = made_up(0.3, 0.34).curves[0]
    assert dict(seed_rows(curve))["mean"] == pytest.approx([0.5, 0.3])
    assert dict(seed_rows(curve))["sd"] == pytest.approx([0.0, np.std([0.29, 0.31], ddof=1)])


def test_it_is_said_how_much_of_the_gain_fair_copies_bring_with_a_regularised_classifier() -> None:
    told = " ".join(sentences(made_up(0.3, 0.34)))
    assert "30 rows of the run bring .200" in told
    assert "fair duplication with the regularised classifier 80%" in told
    assert "fair duplication 10%" in told


@pytest.mark.parametrize(("run", "deviation"), [(0.49, 0.02), (0.495, 0.0), (0.6, 0.01)])
def test_no_share_of_a_gain_that_is_none(run: float, deviation: float) -> None:
    told = " ".join(sentences(made_up(run, 0.34, deviation)))
    assert "there is no gain that copies could match" in told and "%" not in told


def test_files_hold_seeds_steps_and_a_picture(tmp_path: Path) -> None:
    curves = drawn()
    write_curves(curves, tmp_path / "curve", "made here")
    rows = list(csv.DictReader((tmp_path / "curve/table.csv").open()))
    assert list(rows[0]) == ["model", "source", "seed", "0", "12", "24"]
    assert [row["seed"] for row in rows[:5]] == ["1", "2", "3", "mean", "sd"]
    assert float(rows[3]["24"]) == pytest.approx(np.mean([float(row["24"]) for row in rows[:3]]), abs=1e-5)
    points = list(csv.DictReader((tmp_path / "curve/curve.csv").open()))
    assert len(points) == 2 * 4 * 3 * 3 and "balanced_error" in points[0]
    means = list(csv.DictReader((tmp_path / "curve/means.csv").open()))
    assert len(means) == 2 * 4 * 3
    assert (tmp_path / "curve/curve.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "curve/curve.png").read_bytes(), (tmp_path / "curve/table.csv").read_bytes()
    write_curves(drawn(), tmp_path / "again", "made here")
    assert written == (
        (tmp_path / "again/curve.png").read_bytes(),
        (tmp_path / "again/table.csv").read_bytes(),
    )


@pytest.mark.parametrize("brief", [True, False])
def test_the_terminal_shows_seeds_or_means(tmp_path: Path, brief: bool) -> None:
    with (tmp_path / "out").open("w") as file:
        console = Console(width=120, record=True, file=file)
        print_curves(drawn(), "made here", brief, console)
    text = console.export_text()
    assert "logistic_regression, regularised" in text and "fair duplication" in text
    assert ("±" in text.split("•")[0]) == brief


def test_unknown_names_are_refused_with_those_allowed() -> None:
    with pytest.raises(ParameterError, match="duplication, smote, fair_duplication"):
        named_choices("smote,adasyn", SourceName, "--against")


def test_a_workspace_without_a_split_says_what_to_do(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    workspace = find_revisions(root, ["workspace"])[0]
    with pytest.raises(DataError, match="dvc repro"):
        read_material(type(workspace)(tmp_path, "workspace", None), tmp_path)


# -- as published tables have it -----------------------------------------------------------------------------


def test_plain_error_is_the_share_of_wrong_rows() -> None:
    predicted = TEST.codes.copy()
    predicted[:14] = 1 - predicted[:14]
    assert score(material(), predicted, "error") == pytest.approx(14 / len(TEST))


def test_rows_of_the_run_can_be_added_in_the_order_in_which_they_came() -> None:
    rows = pool()
    assert np.array_equal(added_rows("run", rows, 10, 1, in_order=True).vectors, rows.made.vectors[:10])
    assert not np.array_equal(added_rows("run", rows, 10, 1).vectors, rows.made.vectors[:10])


def test_named_rounds_are_all_made_and_train_on_the_validation_rows_as_well() -> None:
    variant = Variant(model="hist_gradient_boosting", regularised=False)
    assert variant.plan(MODELS, 1).settings.rounds == 80  # type: ignore[union-attr]
    assert variant.plan(MODELS, 1, 200).settings.rounds == 200  # type: ignore[union-attr]
    # With validation rows of another class order the score differs: they are trained on.
    whole = material()
    flipped = Material(
        whole.train,
        VectorRows(whole.validation.vectors, 1 - whole.validation.codes),
        whole.test,
        None,
        2,
        MODELS,
    )
    plain = Variant(model="logistic_regression", regularised=False)
    none = pool().rows.first(0)
    scores = [fitted_score(one, plain, 1, none, "error", 5) for one in (whole, flipped)]
    assert scores[0] < scores[1]
    without = [fitted_score(one, plain, 1, none, "error") for one in (whole, flipped)]
    assert without[0] == without[1]


def test_seeds_can_split_anew() -> None:
    everything = concatenate([TRAIN, VALIDATION, TEST])

    def resplit(seed: int) -> tuple[Pool, Material]:
        order = np.random.default_rng(seed).permutation(len(everything))
        parts = [everything.take(np.sort(part)) for part in np.split(order, [68, 98])]
        train, held_out, scored = (vector_rows(part, FEATURIZER) for part in parts)
        made = Pool(parts[0], train, pool().made, FEATURIZER)
        return made, Material(train, held_out, scored, None, 2, MODELS)

    settings = CurveSettings(
        sources=("run",), models=("logistic_regression",), seeds=(1, 2, 3), steps=1, metric="error"
    )
    fixed = draw_curves(pool(), material(), settings).curves[0].values[:, 0]
    varied = draw_curves(pool(), material(), settings, resplit=resplit).curves[0].values[:, 0]
    assert len(set(fixed)) == 1 and len(set(varied)) == 3


def test_a_single_seed_has_no_spread_and_none_is_printed() -> None:
    curves = drawn(seeds=(4,))
    assert [name for name, _ in seed_rows(curves.curves[0])] == ["4"]
    assert not any("±" in sentence for sentence in sentences(curves))
    console = Console(width=200, record=True, file=io.StringIO())
    print_curves(curves, "One seed.", brief=True, console=console)
    text = console.export_text()
    assert "±" not in text and "1 seed" in text and "1 seeds" not in text
