"""Rows that a report shows: the surest mistakes with their neighbours, made rows with their parents."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from evaluated_runs import ScoreReader

from evenly.evaluation.evaluate import evaluate
from evenly.evaluation.examples import (
    MISTAKES,
    ExampleRows,
    made_blocks,
    mistakes_blocks,
    surest_mistakes,
)
from evenly.evaluation.results import Evaluation
from evenly.pages import page_html, section
from evenly.params.evaluation import EvaluateSettings
from evenly.samples import Modality, SampleTable, Schema, samples_from_columns

HOSTILE = "</script><img src=x onerror=alert(1)>"


class Guesser(ScoreReader):
    """Knows nothing, and is sure of it."""

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        seeds = [int(name.rsplit("-", 1)[1]) for name in samples.ids]
        powers = np.exp(np.array([np.random.default_rng(s).normal(0, 2, len(self.classes)) for s in seeds]))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def payload_columns(modality: Modality, n: int, part: str, side: int) -> dict[str, list[object]]:
    if modality == "text":
        return {"text": [f"{part} text {i} {HOSTILE}" for i in range(n)]}
    pictures = (np.random.default_rng(i).integers(0, 255, (side, side, 3), np.uint8) for i in range(n))
    return {"image": [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures]}


def a_table(schema: Schema, each: int, part: str, side: int = 8, **lineage: list[object]) -> SampleTable:
    n = each * len(schema.classes)
    columns = {
        "id": [f"{part}-{i}" for i in range(n)],
        "label": [schema.classes[i % len(schema.classes)] for i in range(n)],
        "origin": ["real"] * n,
        **payload_columns(schema.modality, n, part, side),
    }
    return samples_from_columns(columns | lineage, schema)


def a_run(modality: Modality, classes: int, each: int, side: int = 8) -> tuple[Evaluation, ExampleRows]:
    schema = Schema(modality, tuple(f"{HOSTILE}{k:02d}" for k in range(classes)))
    train, validation, test = (a_table(schema, each, part, side) for part in ("train", "val", "test"))
    n = 2 * classes
    made = a_table(
        schema, 2, "made", side,
        origin=["smote"] * n,
        parent=[f"train-{i}" for i in range(n)],
        neighbour=[f"train-{i + classes}" for i in range(n)],
        neighbour_weight=[0.25] * n,
    )  # fmt: skip
    reason = {"screening": {"rejected_for": [{"rule": "too_short", "score": 1.5, "threshold": 2.0}]}}
    rejected = a_table(schema, 1, "rejected", side, details=[json.dumps(reason)] * classes)
    evaluation = evaluate(
        {"train": Guesser(None, schema, np.full(classes, 1 / classes))},
        train=train, balanced=made, validation=validation, test=test,
        settings=EvaluateSettings(bootstrap=200), prior="validation", seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(len(table), 5)).astype(np.float32) for table in (train, test)]
    rows = ExampleRows(train, made, rejected, *vectors, lambda some: vectors[0][: len(some)] + 0.01)
    return evaluation, rows


def page_of(evaluation: Evaluation, rows: ExampleRows) -> str:
    blocks = section(HOSTILE, *mistakes_blocks(evaluation, rows), *made_blocks(rows))
    facts = [(HOSTILE, HOSTILE)]
    return page_html({"title": HOSTILE, "summary": HOSTILE, "facts": facts, "sections": [blocks]})


@pytest.fixture(scope="module")
def texts() -> tuple[Evaluation, ExampleRows]:
    return a_run("text", 3, 20)


@pytest.fixture(scope="module")
def source(texts: tuple[Evaluation, ExampleRows]) -> str:
    return page_of(*texts)


def test_the_surest_mistakes_of_every_class_are_shown_the_surest_first(
    texts: tuple[Evaluation, ExampleRows],
) -> None:
    evaluation, _ = texts
    scores, codes = evaluation.final.probabilities, evaluation.test.codes
    found = list(surest_mistakes(evaluation))
    for k in range(3):
        wrong = np.flatnonzero((codes == k) & (scores.argmax(axis=1) != k))
        shown = [row for code, row in found if code == k]
        assert len(shown) == min(MISTAKES, len(wrong))
        assert set(shown) <= set(wrong.tolist())
        sure = scores.max(axis=1)
        assert [sure[row] for row in shown] == sorted(sure[wrong], reverse=True)[: len(shown)]


def test_a_mistake_stands_beside_the_training_rows_nearest_to_it(
    texts: tuple[Evaluation, ExampleRows], source: str
) -> None:
    evaluation, rows = texts
    for _, row in surest_mistakes(evaluation):
        distances = np.linalg.norm(rows.train_vectors - rows.test_vectors[row], axis=1)
        nearest = np.argsort(distances)[:3]
        line = next(line for line in source.splitlines() if f"<small>test-{row}</small>" in line)
        assert re.findall(r"train text (\d+) ", line) == [str(k) for k in nearest]
        assert f"distance {distances[nearest[0]]:.3g}<" in line


def test_made_rows_stand_beside_their_parents_and_rejected_ones_beside_the_nearest(source: str) -> None:
    made = next(line for line in source.splitlines() if "<small>made-1</small>" in line)
    assert re.findall(r"train text (\d+) ", made) == ["1", "4"]
    assert "weight 0.25" in made
    rejected = next(line for line in source.splitlines() if "<small>rejected-0</small>" in line)
    assert "too short<small>score 1.5, limit 2<" in rejected
    assert "train text 0 " in rejected and "nearest, distance" in rejected


def test_hostile_names_and_texts_are_words(source: str) -> None:
    assert source.count("<script>") == source.count("</script>") == 1
    assert not re.search(r"<[^>]* onerror", source)
    assert "train text 0 &lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in source


def test_examples_leave_a_page_room_and_say_what_is_not_there() -> None:
    run = a_run("image", 34, 9, side=96)
    source = page_of(*run)
    # Of the three megabytes of a page, tables and drawn pictures take one at most.
    assert 700_000 < len(source.encode()) < 2_000_000
    left_out = re.search(r"<p>(\d+) more rows would have made this page too large", source)
    assert left_out is not None
    shown = len(re.findall(r"<small>test-\d+</small>", source))
    assert shown + int(left_out[1]) == len(list(surest_mistakes(run[0])))
    # The surest of every class come first, so that none goes without.
    assert source.count("<details") == 34


def test_a_run_without_made_or_rejected_rows_has_no_such_tables() -> None:
    evaluation, rows = a_run("text", 2, 2)
    plain = ExampleRows(
        rows.train, rows.train, rows.rejected.take([]), rows.train_vectors, rows.test_vectors, rows.vectors
    )
    source = page_of(evaluation, plain)
    assert "Made row" not in source and "Rejected row" not in source
