from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from evenly.screening.review import stratified_rows, write_review_sample
from tests.screening.conftest import Splits, make_texts, text_table


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_review_file_shows_a_share_of_every_class_beside_its_nearest_real_rows(
    texts: Splits, tmp_path: Path
) -> None:
    made = text_table(make_texts(60, {"card": 25, "loan": 11, "rain": 1}), "new-", "llm")
    parents = [None] * len(made)
    parents[0] = texts.train.ids[5]
    made = made.with_column("parent", parents)
    screening = texts.screen(made, settings={"disable": ["agreement", "outlier", "length"]})
    path = tmp_path / "review.csv"
    vectors = screening.kept_vectors, screening.real, screening.real_vectors
    n = write_review_sample(screening.kept, *vectors, path, share=0.1, seed=3)
    shown = rows_of(path)
    assert len(shown) == n == sum(math.ceil(0.1 * count) for count in screening.kept.counts.values())
    real = dict(zip(texts.train.texts, texts.train.labels, strict=True))
    for row in shown:
        assert {real[row[f"source_{k}"]] for k in (1, 2, 3)} == {row["class"]}
    everything = write_review_sample(screening.kept, *vectors, path, share=1.0, seed=3)
    assert everything == len(screening.kept)
    assert rows_of(path)[0]["source_1"] == texts.train.texts[5]


def test_a_cell_that_a_spreadsheet_would_calculate_is_shown_as_text(texts: Splits, tmp_path: Path) -> None:
    made = text_table([("card", "=1+1 my card")], "=cmd", "llm")
    vectors = texts.featurizer.transform(made), texts.train, texts.featurizer.transform(texts.train)
    write_review_sample(made, *vectors, tmp_path / "review.csv", share=1.0, seed=0)
    assert rows_of(tmp_path / "review.csv")[0]["sample"] == "'=1+1 my card"


def test_stratified_rows_take_a_share_of_each_class_rounded_up() -> None:
    labels = np.array(["a"] * 30 + ["b"] * 5, dtype=object)
    rows = stratified_rows(labels, 0.1, seed=1)
    assert np.unique(labels[rows], return_counts=True)[1].tolist() == [3, 1]
    assert len(stratified_rows(labels[:0], 0.1, seed=1)) == 0
