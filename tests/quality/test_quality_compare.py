from __future__ import annotations

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenly.features import fit_featurizer
from evenly.features.images import LITE0_PACKAGE
from evenly.params.features import FeatureSettings
from evenly.quality.compare import UNSEEN, ProducerQuality, Quality, quality_by_origin, quality_of
from evenly.quality.features import fit_space
from evenly.quality.measures import balanced_accuracy_across, discriminator_auc
from evenly.quality.outputs import (
    MEASURES,
    measured,
    quality_json,
    quality_remarks,
    quality_section,
    write_quality,
)
from evenly.samples import Feature, SampleTable, Schema, concatenate, samples_from_columns
from tests.drawn_photographs import drawn_samples
from tests.quality.quality_digits import Digits, image_table


def of(quality: Quality, name: str) -> ProducerQuality:
    return next(producer for producer in quality.producers if producer.name == name)


def test_real_rows_that_were_held_out_score_as_the_standard_does(quality: Quality) -> None:
    good, real = of(quality, "good").values, of(quality, UNSEEN).values
    for name in (
        "precision",
        "recall",
        "density",
        "coverage",
        "tstr",
        "trts",
        "nearest_ratio",
        "variance_ratio",
    ):
        assert good[name] == pytest.approx(real[name], abs=0.1), name
    assert good["discriminator_auc"] == pytest.approx(0.5, abs=0.08)
    assert good["copied"] <= 0.02
    assert abs(good["kid"]) < 0.02


@pytest.mark.parametrize(
    ("producer", "told_by"),
    [
        (
            "noisy",
            {"fid", "kid", "precision", "density", "coverage", "discriminator_auc", "trts"},
        ),
        ("collapsed", {"fid", "kid", "recall", "coverage", "discriminator_auc", "variance_ratio", "tstr"}),
        ("copied", {"copied", "nearest_ratio"}),
        ("mislabelled", {"tstr", "trts"}),
        ("averaged", {"fid", "kid", "recall", "variance_ratio"}),
    ],
)
def test_every_fault_is_told_by_its_measures(quality: Quality, producer: str, told_by: set[str]) -> None:
    good, bad = of(quality, "good").values, of(quality, producer).values
    for name in told_by:
        measure = MEASURES[name]
        if measure.better == "near":
            target = measure.target or 0.0
            assert abs(bad[name] - target) > abs(good[name] - target) + 0.05, name
        else:
            worse = bad[name] - good[name] if measure.better == "lower" else good[name] - bad[name]
            assert worse > 0.02, name


def test_every_measure_is_worse_for_some_fault(quality: Quality) -> None:
    good = of(quality, "good").values
    shown = set(good) - {"inception_score"}
    assert shown == set(MEASURES) - {"inception_score", "correlation_difference", "column_distance"}
    # A generator that ignores its labels and makes one class is sure of it: no spread over classes.
    assert of(quality, "collapsed").values["inception_score"] != good["inception_score"]


def test_faults_are_named_in_a_sentence(quality: Quality) -> None:
    remarks = list(quality_remarks(quality))
    assert not any(remark.startswith(("good", UNSEEN)) for remark in remarks)
    assert any(remark.startswith("copied: 100%") for remark in remarks)
    assert any(remark.startswith("collapsed: rows of class 0, 1, 2") for remark in remarks)
    assert any(remark.startswith("mislabelled:") and "labels do not fit" in remark for remark in remarks)


def test_the_order_of_rows_and_of_producers_does_not_matter(digits: Digits, quality: Quality) -> None:
    rng = np.random.default_rng(1)

    def shuffled(samples: SampleTable) -> SampleTable:
        return samples.take(rng.permutation(len(samples)))

    mixed = replace(
        digits,
        train=shuffled(digits.train),
        held_out=shuffled(digits.held_out),
        unseen=shuffled(digits.unseen),
    )
    again = mixed.quality({name: shuffled(digits.producers[name]) for name in ("noisy", "good")})
    assert of(again, "noisy") == of(quality, "noisy")
    assert of(again, "good") == of(quality, "good")


def test_distributions_are_compared_on_rows_of_the_same_classes(digits: Digits) -> None:
    good = digits.producers["good"]
    few = good.take(np.isin(good.codes, [3, 8]))
    found = of(digits.quality({"few": few}), "few")
    held = digits.held_out.counts
    assert found.rows == len(few)
    assert found.compared == sum(min(few.counts[name], held[name]) for name in ("3", "8"))
    assert found.values["coverage"] > 0.85
    assert found.values["tstr"] > 0.8


def test_a_handful_of_rows_has_no_distribution_but_is_still_searched_for_copies(digits: Digits) -> None:
    found = of(digits.quality({"two": digits.producers["copied"].take([0, 1])}), "two")
    assert found.values["copied"] == 1
    assert "fid" not in found.values


def test_producers_are_told_by_the_origin_of_their_rows(digits: Digits) -> None:
    def found(*extra: SampleTable) -> Quality | None:
        return quality_by_origin(
            concatenate([digits.train, *extra]),
            train=digits.train,
            held_out=digits.held_out,
            featurizer=digits.featurizer,
            seed=0,
        )

    both = found(digits.producers["good"], digits.producers["noisy"])
    assert both is not None
    assert [(p.name, p.rows) for p in both.producers] == [("good", 597), ("noisy", 597)]
    assert found() is None


def test_real_rows_are_needed_to_compare_with(digits: Digits) -> None:
    with pytest.raises(ValueError, match="held-out rows"):
        replace(digits, held_out=digits.held_out.take([])).quality()


def test_files_tell_the_same_numbers_and_the_same_bytes_each_time(quality: Quality, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_quality(quality, tmp_path / name)
    assert [(tmp_path / "a" / file).read_bytes() for file in ("quality.csv", "quality.png")] == [
        (tmp_path / "b" / file).read_bytes() for file in ("quality.csv", "quality.png")
    ]
    with (tmp_path / "a" / "quality.csv").open(encoding="utf-8") as file:
        rows = {row["producer"]: row for row in csv.DictReader(file)}
    found = json.loads(json.dumps(quality_json(quality)))
    assert list(rows) == [producer.name for producer in quality.producers]
    assert found["producers"]["real_unseen"]["rows"] == 300
    assert "trained on 500 real rows" in found["features"]
    for name in measured(quality):
        assert float(rows["noisy"][name]) == pytest.approx(
            found["producers"]["noisy"][name], rel=1e-4, abs=1e-5
        )
    section = quality_section(quality, tmp_path / "a")
    table = next(block for block in section["blocks"] if "table" in block)
    assert table["columns"] == ["Measure", *rows, "Better is"]
    assert len(table["table"]) == 2 + len(measured(quality))


SCHEMA = Schema(
    "table",
    ("low", "high"),
    (Feature("a", "number"), Feature("b", "number"), Feature("kind", "category", ("x", "y"))),
)


def number_rows(n: int, seed: int, origin: str = "real", broken: bool = False) -> SampleTable:
    rng = np.random.default_rng(seed)
    high = rng.random(n) < 0.4
    a = rng.normal(0, 1, n) + 3 * high
    b = rng.normal(0, 1, n) if broken else a + rng.normal(0, 0.3, n)
    kind = np.where(rng.random(n) < (0.9 if broken else 0.3), "x", "y")
    columns = {
        "id": [f"{origin}-{seed}-{k:04d}" for k in range(n)],
        "label": np.where(high, "high", "low").tolist(),
        "origin": [origin] * n,
        "a": a.tolist(),
        "b": b.tolist(),
        "kind": kind.tolist(),
    }
    return samples_from_columns(columns, SCHEMA)


def test_tables_are_compared_by_columns_and_correlations_too() -> None:
    train = number_rows(300, 1)
    found = quality_of(
        {"good": number_rows(200, 2, "good"), "broken": number_rows(200, 3, "broken", broken=True)},
        train=train,
        held_out=number_rows(200, 4),
        featurizer=fit_featurizer(train, FeatureSettings(), 0),
        seed=0,
    )
    good, broken = of(found, "good"), of(found, "broken")
    for name in ("correlation_difference", "column_distance"):
        assert broken.values[name] > 2 * good.values[name]
    assert broken.worst_column in ("b", "kind")


def test_texts_are_compared_in_the_vectors_of_their_words() -> None:
    words = {"rain": "cloud storm wind umbrella wet snow", "loan": "bank rate credit mortgage repay money"}
    rng = np.random.default_rng(0)

    def texts(n: int, prefix: str, origin: str = "real", swapped: bool = False) -> SampleTable:
        labels = [("rain", "loan")[k % 2] for k in range(n)]
        other = {"rain": "loan", "loan": "rain"}
        rows = [" ".join(rng.choice(words[other[x] if swapped else x].split(), 4)) for x in labels]
        columns = {
            "id": [f"{prefix}{k}" for k in range(n)],
            "label": labels,
            "text": rows,
            "origin": [origin] * n,
        }
        return samples_from_columns(columns, Schema("text", ("loan", "rain")))

    train = texts(120, "t")
    found = quality_of(
        {"llm": texts(60, "l", "llm"), "swapped": texts(60, "s", "swapped", swapped=True)},
        train=train,
        held_out=texts(80, "h"),
        featurizer=fit_featurizer(train, FeatureSettings(), 0),
        seed=0,
    )
    assert of(found, "llm").values["tstr"] > 0.9
    assert of(found, "swapped").values["tstr"] < 0.2


def test_larger_images_are_seen_by_a_convolutional_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenly.quality.features._NETWORK_STEPS", 64)
    rng = np.random.default_rng(0)

    def shapes(n: int, prefix: str, origin: str = "real") -> SampleTable:
        codes = np.arange(n) % 2
        pixels = rng.normal(60, 20, (n, 18, 18))
        for image, code in zip(pixels, codes, strict=True):
            place = rng.integers(2, 12)
            image[(place, slice(None)) if code else (slice(None), place)] += 120
        return image_table(pixels, codes, prefix, origin)

    train = shapes(80, "t")
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    space = fit_space(train, featurizer, 0)
    assert "small CNN" in space.name
    seen = space.see(shapes(60, "h"))
    assert seen.compact.shape == (60, 80)
    assert seen.features.shape == (60, int(space.name.split()[0]))
    assert (seen.probabilities.argmax(axis=1) == seen.codes).mean() > 0.8
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 1)


@pytest.mark.skipif(importlib.util.find_spec(LITE0_PACKAGE) is None, reason="needs the extra lite0")
def test_photographs_are_compared_in_the_features_of_the_pretrained_network() -> None:
    def leaves(seed: int, origin: str = "real", **options: float) -> SampleTable:
        drawn = drawn_samples([12, 12], seed, side=64, **options)
        return drawn.with_column("origin", [origin] * len(drawn))

    train = leaves(1, trouble=0.3)
    found = quality_of(
        {"like": leaves(2, "like", trouble=0.3), "unlike": leaves(3, "unlike", trouble=1.6)},
        train=train,
        held_out=leaves(4, trouble=0.3),
        featurizer=fit_featurizer(train, FeatureSettings(), 0),
        seed=0,
    )
    assert found.features == "24 components of a pretrained encoder's vectors of 24 real rows"
    like, unlike = of(found, "like").values, of(found, "unlike").values
    assert like["fid"] < unlike["fid"] and like["kid"] < unlike["kid"]
    assert like["precision"] > unlike["precision"]


def test_features_are_of_unit_size_whatever_the_scale_of_the_vectors(digits: Digits) -> None:
    seen = fit_space(digits.train, digits.featurizer, 0).see(digits.train)
    assert np.sqrt((seen.features**2).mean()) == pytest.approx(1, abs=0.01)


def test_a_classifier_is_asked_about_the_classes_it_was_fitted_on() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    vectors = (np.eye(3)[codes] * 6 + rng.standard_normal((90, 3))).astype(np.float32)
    two = codes < 2
    assert balanced_accuracy_across(vectors[two], codes[two], vectors, codes) == pytest.approx(1, abs=0.05)
    assert balanced_accuracy_across(vectors[codes == 1], codes[codes == 1], vectors, codes) is None


def test_telling_apart_is_chance_for_one_distribution_and_certain_for_two() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2, 300, 5))
    assert discriminator_auc(*rows, seed=0) == pytest.approx(0.5, abs=0.06)
    assert discriminator_auc(rows[0], rows[1] + 5, seed=0) == pytest.approx(1)
