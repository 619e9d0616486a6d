"""Generated images and table rows: copies of real ones, what looks unreal, producers that repeat one row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evenly.features.images import decode_images, encode_images
from evenly.features.neighbours import nearest_neighbours
from evenly.samples import SampleTable, concatenate
from evenly.screening.checks.memorised import copy_detector, copy_limit
from evenly.screening.checks.realism import realism_scores
from evenly.screening.screen import Screening
from tests.screening.conftest import Splits, number_table


def noised(samples: SampleTable, levels: float, seed: int, prefix: str) -> SampleTable:
    """Images with normal noise of so many of 255 levels, under new ids."""
    rng = np.random.default_rng(seed)
    pixels = decode_images([image or b"" for image in samples.images]).astype(np.float64)
    pixels += rng.normal(0, levels, pixels.shape)
    images = encode_images(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    renamed = samples.with_column("id", [f"{prefix}{k:04d}" for k in range(len(samples))])
    return renamed.with_column("origin", ["gan"] * len(samples)).with_column("image", images)


def rejected_for(screening: Screening) -> dict[str, set[str]]:
    return {
        name: {reason["rule"] for reason in json.loads(details)["screening"]["rejected_for"]}
        for name, details in zip(screening.rejected.ids, screening.rejected.column("details"), strict=True)
    }


COPY_RULES = {"duplicate", "near_duplicate", "memorised", "closeness"}


@pytest.mark.parametrize("levels", [0, 2, 6])
def test_copies_of_every_split_are_found_every_time_noise_or_not_and_fresh_images_spared(
    images: tuple[Splits, SampleTable], levels: float
) -> None:
    splits, fresh = images
    sides = {"train": splits.train, "val": splits.validation, "test": splits.test}
    copies = [
        noised(side.take(np.arange(150)), levels, 1, f"copy-of-{name}-") for name, side in sides.items()
    ]
    found = rejected_for(splits.screen(*copies, fresh))
    for samples in copies:
        missed = [name for name in samples.ids if not found.get(name, set()) & COPY_RULES]
        assert missed == []
    alarms = [name for name in fresh.ids if found.get(name, set()) & COPY_RULES]
    assert len(alarms) <= 0.01 * len(fresh)


def test_stronger_noise_is_what_the_ratio_finds_and_the_radius_does_not(
    images: tuple[Splits, SampleTable],
) -> None:
    splits, fresh = images
    copies = noised(splits.train.take(np.arange(200)), 10, 2, "copy-")
    with_ratio = rejected_for(splits.screen(copies, fresh))
    without = rejected_for(splits.screen(copies, fresh, settings={"disable": ["memorised"]}))
    assert sum(bool(with_ratio.get(name, set()) & COPY_RULES) for name in copies.ids) >= 190
    assert sum(bool(without.get(name, set()) & COPY_RULES) for name in copies.ids) < 100


def test_a_memorised_row_names_the_row_it_was_taken_from(images: tuple[Splits, SampleTable]) -> None:
    splits, _ = images
    originals = splits.train.take(np.arange(30))
    rejected = splits.screen(noised(originals, 6, 3, "copy-")).rejected
    for name, details in zip(rejected.ids, rejected.column("details"), strict=True):
        reasons = json.loads(details)["screening"]["rejected_for"]
        known = next(reason for reason in reasons if reason["rule"] == "memorised")
        assert known["matched"] == originals.ids[int(name.removeprefix("copy-"))]
        assert known["score"] < known["threshold"]


def test_copies_of_table_rows_are_found_and_fresh_rows_spared(tables: Splits) -> None:
    fresh = number_table(300, 9, "fresh-", "gan")
    copies = splits_copies(tables)
    found = rejected_for(tables.screen(copies, fresh, settings={"disable": ["agreement", "outlier"]}))
    assert all(found.get(name, set()) & COPY_RULES for name in copies.ids)
    assert sum(bool(found.get(name, set()) & COPY_RULES) for name in fresh.ids) <= 3


def splits_copies(tables: Splits) -> SampleTable:
    sizes = np.array(tables.train.table.column("size").to_pylist()) + 0.001
    columns = {"size": sizes.tolist(), "id": [f"copy-{k}" for k in range(len(sizes))]}
    copies = tables.train
    for name, values in columns.items():
        copies = copies.with_column(name, values)
    return copies.with_column("origin", ["vae"] * len(sizes))


@pytest.mark.parametrize("dimensions", [2, 5, 12, 40])
@pytest.mark.parametrize("rows", [60, 300])
def test_the_share_of_fresh_rows_taken_for_copies_is_the_one_asked_for(dimensions: int, rows: int) -> None:
    alarms = []
    for seed in range(20):
        rng = np.random.default_rng([seed, dimensions])
        real, fresh = (rng.standard_normal((n, dimensions)).astype(np.float32) for n in (rows, 500))
        copies = copy_detector(real, 5, 0.01, seed)
        assert copies is not None
        alarms.append((copies.ratios(fresh)[0] < copies.limit).mean())
    assert np.mean(alarms) <= 0.02


def test_the_limit_follows_from_the_dimension_of_evenly_spread_rows() -> None:
    rng = np.random.default_rng(0)
    for dimension in (2, 7):
        # P(d₁/d₅ ≤ t) = 1 − (1 − t^D)⁴, inverted.
        ratios = (1 - rng.random(200_000) ** (1 / 4)) ** (1 / dimension)
        expected = (1 - 0.99 ** (1 / 4)) ** (1 / dimension)
        assert copy_limit(ratios, 5, 0.01) == pytest.approx(expected, rel=0.05)


def test_many_real_rows_are_sampled_and_copies_of_all_of_them_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    real, fresh = (rng.standard_normal((3000, 20)).astype(np.float32) for _ in range(2))
    near = real + 0.01 * rng.standard_normal(real.shape).astype(np.float32)
    whole = copy_detector(real, 5, 0.002, 0)
    monkeypatch.setattr("evenly.screening.checks.memorised._MEASURED", 300)
    monkeypatch.setattr("evenly.features.neighbours._FEW_PAIRS", 0)
    sampled = copy_detector(real, 5, 0.002, 0)
    assert whole is not None and sampled is not None
    for copies in (whole, sampled):
        ratios, nearest = copies.ratios(near)
        assert (ratios < copies.limit).all()
        np.testing.assert_array_equal(nearest, np.arange(3000))
        assert (copies.ratios(fresh)[0] < copies.limit).mean() <= 0.01
        searched = nearest_neighbours(near, real, 1)
        known = copies.ratios(near, (searched[0][:, 0], searched[1][:, 0]))
        np.testing.assert_array_equal(known, (ratios, nearest))


def test_rows_that_repeat_each_other_tell_nothing_about_copies() -> None:
    rows = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    assert copy_detector(rows, 5, 0.002, 0) is None
    assert copy_detector(rows[:2], 5, 0.002, 0) is None


def test_realism_is_the_score_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    real, made = (
        rng.standard_normal((60, 6)).astype(np.float32),
        rng.standard_normal((25, 6)).astype(np.float32),
    )
    radii = np.array([np.sort(np.linalg.norm(real - row, axis=1))[3] for row in real])
    dense = np.flatnonzero(radii <= np.median(radii))
    expected = [max(radii[r] / np.linalg.norm(real[r] - row) for r in dense) for row in made]
    np.testing.assert_allclose(realism_scores(made, real, 3), expected, rtol=1e-5)
    left_out = [
        max(radii[r] / np.linalg.norm(real[r] - row) for r in dense if r != k) for k, row in enumerate(real)
    ]
    np.testing.assert_allclose(realism_scores(real, real, 3, exclude_self=True), left_out, rtol=1e-5)
    assert np.isinf(realism_scores(real[dense], real, 3)).all()


@pytest.mark.parametrize("score", ["manifold", "discriminator"])
def test_noise_does_not_look_real_and_fresh_images_do(images: tuple[Splits, SampleTable], score: str) -> None:
    splits, fresh = images
    rng = np.random.default_rng(0)
    noise = encode_images(rng.integers(0, 255, (100, 8, 8, 1)).astype(np.uint8))
    unreal = fresh.take(np.arange(100)).with_column("id", [f"noise-{k}" for k in range(100)])
    unreal = unreal.with_column("image", noise)
    settings = {"realism": {"score": score}, "disable": ["outlier", "agreement"]}
    found = rejected_for(splits.screen(unreal, fresh, settings=settings))
    assert sum("realism" in found.get(name, set()) for name in unreal.ids) >= 95
    assert sum("realism" in found.get(name, set()) for name in fresh.ids) <= 0.03 * len(fresh)
    unasked = splits.screen(unreal, fresh, settings={"disable": ["outlier", "agreement"]})
    assert "realism" not in set().union(*rejected_for(unasked).values())


def test_a_producer_that_repeats_itself_is_named(images: tuple[Splits, SampleTable]) -> None:
    splits, fresh = images
    sevens, others = fresh.take(fresh.labels == "7"), fresh.take(fresh.labels != "7")
    numbered = [sevens.take([0]).with_column("id", [f"again-{k}"]) for k in range(40)]
    again = noised(concatenate(numbered), 8, 0, "again-")
    report = splits.screen(again, others).report
    warned = [warning for warning in report["warnings"] if "collapsed" in warning]
    assert len(warned) == 1
    assert warned[0].startswith("Class 7:")
    assert report["measured"]["collapse"]["collapsed"] == ["7"]


def test_a_generator_that_knows_one_class_only_fills_no_other(images: tuple[Splits, SampleTable]) -> None:
    splits, fresh = images
    ones = fresh.take(fresh.labels == "1")
    labels = [str(k % 10) for k in range(len(ones))]
    report = splits.screen(ones.with_column("label", labels)).report
    warned = {warning.split()[1] for warning in report["warnings"] if "agreement" in warning}
    assert len(warned & set("023456789")) >= 7
