"""Corruptions do what they say, the same way every time, and the table of robustness adds up."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.compute as pc
import pytest
from evaluated_runs import Run, ScoreReader, long_tailed_run, score_table
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import DataError
from evenly.evaluation.corruptions import (
    NEIGHBOURS,
    STRENGTHS,
    corrupted,
    corruption_names,
    mistyped,
    severity,
    worsened,
)
from evenly.evaluation.robustness import RobustnessPoint, robustness, robustness_metrics, write_robustness
from evenly.features.images import decode_images, encode_images
from evenly.samples import Feature, Modality, SampleTable, Schema, samples_from_columns


@dataclass(frozen=True)
class Reader:
    """The best possible classifier of `long_tailed_run`, to which a missing score says nothing."""

    inner: ScoreReader

    @property
    def classes(self) -> tuple[str, ...]:
        return self.inner.classes

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        for feature in samples.schema.features:
            filled = pc.fill_null(samples.table.column(feature.name), 0.0)
            samples = samples.with_column(feature.name, filled)
        return self.inner.predict_proba(samples)


def models_of(run: Run) -> dict[str, Any]:
    return {"train": Reader(run.model)}


TEXT = "I still have not received my new card, and 3 of my payments were declined at https://a.example. "


def texts(values: list[str]) -> SampleTable:
    return samples_from_columns(
        {"id": [f"t{k}" for k in range(len(values))], "label": ["a"] * len(values), "text": values},
        Schema("text", ("a", "b")),
    )


def pictures(channels: int = 3, side: int = 32, n: int = 6) -> SampleTable:
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 190, size=(n, side // 4, side // 4, channels), dtype=np.uint8)
    pixels = pixels.repeat(4, axis=1).repeat(4, axis=2)
    return samples_from_columns(
        {"id": [f"p{k}" for k in range(n)], "label": ["a"] * n, "image": encode_images(pixels)},
        Schema("image", ("a", "b")),
    )


def numbers(n: int = 400) -> SampleTable:
    features = (
        Feature("x", "number"),
        Feature("k", "integer"),
        Feature("b", "boolean"),
        Feature("c", "category", ("u",)),
    )
    return samples_from_columns(
        {
            "id": [f"r{k}" for k in range(n)],
            "label": ["a"] * n,
            "x": [float(k) for k in range(n)],
            "k": list(range(n)),
            "b": [k % 2 == 0 for k in range(n)],
            "c": ["u"] * n,
        },
        Schema("table", ("a", "b"), features),
    )


def table_of(modality: Modality) -> SampleTable:
    return {"text": lambda: texts([TEXT * k for k in range(1, 9)]), "image": pictures, "table": numbers}[
        modality
    ]()


def pixels_of(samples: SampleTable, channels: int = 3) -> np.ndarray:
    return decode_images([image or b"" for image in samples.images], channels=channels).astype(np.float64)


# -- all of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["text", "image", "table"])
def test_a_row_is_corrupted_alike_in_any_company(modality: Modality) -> None:
    samples = table_of(modality)
    order = np.random.default_rng(0).permutation(len(samples))[: len(samples) // 2]
    for name in corruption_names(modality):
        whole = corrupted(samples, name, 2, seed=5)
        assert corrupted(samples.take(order), name, 2, seed=5).table.equals(whole.take(order).table)


@pytest.mark.parametrize("modality", ["text", "image", "table"])
def test_corruptions_change_the_payload_and_nothing_else(modality: Modality) -> None:
    samples = table_of(modality)
    for name in corruption_names(modality):
        for strength in STRENGTHS:
            changed = corrupted(samples, name, strength, seed=0)
            assert not changed.table.equals(samples.table)
            assert changed.table.select(["id", "label", "origin"]).equals(
                samples.table.select(["id", "label", "origin"])
            )
        assert corrupted(samples, name, 0, seed=0) is samples


@pytest.mark.parametrize("modality", ["text", "image", "table"])
def test_another_seed_makes_other_damage(modality: Modality) -> None:
    samples = table_of(modality)
    name = corruption_names(modality)[0]
    assert not corrupted(samples, name, 2, seed=0).table.equals(corrupted(samples, name, 2, seed=1).table)


# -- text ------------------------------------------------------------------------------------------------


def edits(before: str, after: str) -> int:
    """Edit distance with exchanged neighbours as one edit (optimal string alignment)."""
    d = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(after) + 1)] for i in range(len(before) + 1)]
    for i in range(1, len(before) + 1):
        for j in range(1, len(after) + 1):
            d[i][j] = min(
                d[i - 1][j] + 1,
                d[i][j - 1] + 1,
                d[i - 1][j - 1] + (before[i - 1] != after[j - 1]),
            )
            if i > 1 and j > 1 and before[i - 1] == after[j - 2] and before[i - 2] == after[j - 1]:
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1)
    return d[-1][-1]


@pytest.mark.parametrize("share", [0.02, 0.05, 0.10])
def test_the_share_of_mistyped_letters_holds_on_average(share: float) -> None:
    letters = sum(map(str.isalpha, TEXT))
    made = [edits(TEXT, mistyped(TEXT, share, np.random.default_rng(k))) for k in range(60)]
    assert np.mean(made) / letters == pytest.approx(share, rel=0.2)


def test_digits_and_punctuation_are_never_mistyped() -> None:
    for k in range(40):
        changed = mistyped(TEXT, 0.3, np.random.default_rng(k))
        assert [c for c in changed if not c.isalpha()] == [c for c in TEXT if not c.isalpha()]


def test_wrong_keys_are_neighbours_on_the_keyboard_and_keep_their_case() -> None:
    assert set(NEIGHBOURS["g"]) == set("tyfhvb")
    assert set(NEIGHBOURS["q"]) == set("wa")
    assert all(a in NEIGHBOURS[b] for a in NEIGHBOURS for b in NEIGHBOURS[a])
    replaced = {mistyped("G", 1.0, np.random.default_rng(k)) for k in range(100)}
    assert replaced == {"G", "GG", *"TYFHVB"}  # a dropped single letter, or one with no next, leaves G or GG


@pytest.mark.parametrize("text", ["今天天气很好我们一起去公园散步吧", "Почему мой платёж был отклонён"])
def test_scripts_without_a_keyboard_map_are_mistyped_with_their_own_letters(text: str) -> None:
    changed = [mistyped(text, 0.2, np.random.default_rng(k)) for k in range(30)]
    assert sum(c != text for c in changed) > 25
    assert set("".join(changed)) <= set(text)


@given(st.text(max_size=40), st.integers(0, 1000), st.floats(0, 1))
def test_any_text_can_be_mistyped_and_never_vanishes(text: str, seed: int, share: float) -> None:
    changed = mistyped(text, share, np.random.default_rng(seed))
    assert bool(changed.strip()) == bool(text.strip())
    if share == 0:
        assert changed == text


# -- images ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", corruption_names("image"))
def test_images_are_damaged_more_with_strength_and_keep_their_shape(name: str, channels: int) -> None:
    samples = pictures(channels)
    before = pixels_of(samples, channels)
    damage = []
    for strength in STRENGTHS:
        after = pixels_of(corrupted(samples, name, strength, seed=0), channels)
        assert after.shape == before.shape
        damage.append(np.abs(after - before).mean())
    assert 0 < damage[0] < damage[1] < damage[2]


def test_noise_reaches_every_channel_with_the_strength_it_says() -> None:
    samples = pictures(3, side=64, n=4)
    noise = pixels_of(corrupted(samples, "gaussian noise", 1, seed=0)) - pixels_of(samples)
    expected = 255 * severity("gaussian noise", 1, 64)
    np.testing.assert_allclose(noise.std(axis=(0, 1, 2)), expected, rtol=0.05)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05


def test_brightness_raises_the_value_and_keeps_the_hue() -> None:
    samples = pictures(3)
    before, after = (
        cv2.cvtColor(pixels_of(table)[0].astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.int64)
        for table in (samples, corrupted(samples, "brightness", 2, seed=0))
    )
    np.testing.assert_allclose(after[..., 2] - before[..., 2], 0.15 * 255, atol=1)
    turned = np.abs(after[..., 0] - before[..., 0])
    assert np.minimum(turned, 180 - turned).max() <= 3


def test_severities_are_those_of_the_paper_at_its_two_sizes() -> None:
    assert [severity("gaussian noise", s, 32) for s in STRENGTHS] == [0.04, 0.08, 0.10]
    assert [severity("gaussian noise", s, 224) for s in STRENGTHS] == [0.08, 0.18, 0.38]
    assert severity("blur", 3, 8) == 1.0 and severity("blur", 3, 500) == 6.0
    assert 1.0 < severity("blur", 3, 64) < 6.0


def test_jpeg_comes_back_as_jpeg_of_falling_size() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoded = [worsened(noisy, "jpeg", strength, rng) for strength in STRENGTHS]
    assert all(data.startswith(b"\xff\xd8") for data in encoded)
    assert len(encoded[0]) > len(encoded[1]) > len(encoded[2])


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    samples = pictures().with_column("image", [b"no picture"] * 6)
    with pytest.raises(DataError, match="p0"):
        corrupted(samples, "blur", 1, seed=0)


# -- tables ----------------------------------------------------------------------------------------------


def test_cells_go_missing_at_their_rates_in_every_column_and_stay_missing() -> None:
    samples = numbers()
    gone = []
    for strength, share in zip(STRENGTHS, (0.05, 0.15, 0.30), strict=True):
        table = corrupted(samples, "missing values", strength, seed=0).table
        empty = np.array([table.column(f.name).is_null().to_pylist() for f in samples.schema.features])
        np.testing.assert_allclose(empty.mean(axis=1), share, atol=0.06)
        gone.append(empty)
    assert not (gone[0] & ~gone[1]).any() and not (gone[1] & ~gone[2]).any()


# -- the table of robustness -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def points() -> list[RobustnessPoint]:
    run = long_tailed_run(test_each=60)
    blunt = Reader(replace(run.model, sharpness=0.2))
    return robustness({**models_of(run), "finetune": blunt}, run.test, seed=0, resamples=200)


def test_strength_0_is_the_clean_test(points: list[RobustnessPoint]) -> None:
    run = long_tailed_run(test_each=60)
    hit = run.model.predict_proba(run.test).argmax(axis=1) == run.test.codes
    clean = [p for p in points if p.strength == 0 and p.model == "train"]
    assert len(clean) == 1
    assert clean[0].metrics["accuracy"].value == pytest.approx(hit.mean())
    assert clean[0].change["accuracy"].value == 0


def test_missing_values_cost_accuracy(points: list[RobustnessPoint]) -> None:
    line = [p for p in points if p.model == "train"]
    assert [p.label for p in line] == ["clean", "5%", "15%", "30%"]
    assert line[3].change["accuracy"].high < 0
    for point in line:
        for interval in point.metrics.values():
            assert interval.low <= interval.value <= interval.high


def test_robustness_does_not_depend_on_the_order_of_the_rows() -> None:
    run = long_tailed_run()
    order = np.random.default_rng(0).permutation(len(run.test))
    first, second = (
        robustness(models_of(run), table, seed=1, resamples=200) for table in (run.test, run.test.take(order))
    )
    assert first == second


def test_a_large_test_set_is_sampled_alike_whatever_its_order() -> None:
    run = long_tailed_run()
    test = score_table(run.train.classes, [200] * 4, 9, prefix="big")
    order = np.random.default_rng(0).permutation(len(test))
    first, second = (
        robustness(models_of(run), table, seed=0, rows=150, resamples=200)
        for table in (test, test.take(order))
    )
    assert first == second
    assert first[0].metrics["accuracy"].value * 150 == pytest.approx(
        round(first[0].metrics["accuracy"].value * 150)
    )


def test_files_and_metrics_hold_every_point(points: list[RobustnessPoint], tmp_path: Path) -> None:
    write_robustness(points, tmp_path)
    with (tmp_path / "robustness.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(points) == 8
    assert [line["condition"] for line in lines[:2]] == ["missing values clean", "missing values 5%"]
    assert (tmp_path / "robustness.png").read_bytes().startswith(b"\x89PNG")
    found = robustness_metrics(points)["train"]["missing_values"]
    lost = [found["clean"]["accuracy"] - found[f"strength_{s}"]["accuracy"] for s in STRENGTHS]
    assert found["accuracy_lost"] == pytest.approx(np.mean(lost), abs=1e-5)
