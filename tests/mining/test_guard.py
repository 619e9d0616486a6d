"""Planted wrong labels are found, right ones are left alone, and what cannot be judged is not."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from mining_pools import Planted, digits_pool, planted, text_pool

from evenly.mining.guard import Suspicion, suspicion
from evenly.mining.scores import (
    calibrated,
    family_folds,
    family_names,
    independent_rows,
    out_of_fold,
    regression_judge,
)
from evenly.params.mining import GuardSettings
from evenly.samples import SampleTable, Schema, natural_order, samples_from_columns

FOUND, FALSE_ALARMS = 0.7, 0.1


def judged(case: Planted, settings: GuardSettings | None = None) -> Suspicion:
    settings = settings or GuardSettings()
    pool = case.pool
    names = family_names(pool)
    fold = family_folds(pool, names, settings.folds, seed=0)
    judge = regression_judge(case.featurizer.transform(pool), pool.codes, len(pool.classes), seed=0)
    probabilities = calibrated(out_of_fold(pool, fold, judge), pool.codes)
    return suspicion(probabilities, pool.codes, independent_rows(pool, names), settings)


def assert_guarded(case: Planted, settings: GuardSettings | None = None) -> None:
    suspect = judged(case, settings).suspect
    assert suspect[case.wrong].mean() >= FOUND
    assert suspect[~case.wrong].mean() <= FALSE_ALARMS


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("ratio", [1, 20, 50])
def test_a_tenth_of_wrong_labels_is_found_among_digits(ratio: float, seed: int) -> None:
    assert_guarded(planted(digits_pool(ratio), seed=seed))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_tenth_of_wrong_labels_is_found_among_texts(seed: int) -> None:
    assert_guarded(planted(text_pool(seed=seed), seed=seed))


def test_pruning_by_noise_rate_finds_them_too() -> None:
    assert_guarded(planted(digits_pool()), GuardSettings(prune="noise_rate"))


def test_a_tenth_of_wrong_labels_is_found_among_banking_questions() -> None:
    path = _shared_data() / "banking77" / "train.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here; set EVENLY_SHARED_DATA to a folder with banking77/train.csv")
    assert_guarded(planted(_banking(path)))


def test_without_wrong_labels_hardly_a_row_is_suspected() -> None:
    case = planted(digits_pool(), share=0.0)
    assert judged(case).suspect.mean() <= 0.02


def test_most_suggestions_are_the_true_class() -> None:
    clean = digits_pool()
    case = planted(clean)
    found = judged(case)
    rows = found.suspect & case.wrong
    assert (found.suggested[rows] == clean.codes[rows]).mean() >= 0.9


def test_rows_of_tiny_classes_are_never_suspected() -> None:
    pool = digits_pool()
    sizes = {"8": 5, "9": 1}
    kept = [k for k, label in enumerate(pool.labels) if label not in sizes]
    for label, size in sizes.items():
        kept += np.flatnonzero(pool.labels == label)[:size].tolist()
    case = planted(pool.take(sorted(kept)), share=0.0)
    found = judged(case)
    tiny = np.isin(case.pool.labels, list(sizes))
    assert not found.suspect[tiny].any()
    assert not np.isin(found.suggested, [8, 9])[found.suspect].any()
    assert found.unjudged == {8: 5, 9: 1}


def test_a_row_given_to_its_own_label_is_never_suspected() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4) * 0.5, 300)
    codes = np.where(rng.random(300) < 0.5, probabilities.argmax(axis=1), rng.integers(4, size=300))
    found = suspicion(probabilities, codes, np.bincount(codes, minlength=4), GuardSettings(min_odds=1))
    assert found.suspect.any()
    assert not found.suspect[probabilities.argmax(axis=1) == codes].any()


def test_higher_odds_suspect_fewer_rows() -> None:
    case = planted(text_pool())
    few, many = (judged(case, GuardSettings(min_odds=odds)).suspect for odds in (50, 1))
    assert 0 < few.sum() < many.sum()
    assert not (few & ~many).any()


def test_rows_without_an_opinion_are_never_suspected() -> None:
    probabilities = np.tile([0.1, 0.9], (20, 1))
    probabilities[:10] = [0.9, 0.1]
    probabilities[5] = np.nan
    codes = np.repeat([0, 1], 10)
    found = suspicion(probabilities, codes, np.array([10, 10]), GuardSettings())
    assert not found.suspect.any()
    assert np.isnan(found.self_confidence[5])


def _shared_data() -> Path:
    given = os.environ.get("EVENLY_SHARED_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"


def _banking(path: Path) -> SampleTable:
    """Every third question, which keeps the test short."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::3]
    classes = natural_order(row["category"] for row in rows)
    return samples_from_columns(
        {
            "id": [f"q{k:05}" for k in range(len(rows))],
            "label": [row["category"] for row in rows],
            "text": [row["text"] for row in rows],
        },
        Schema("text", classes),
    )
