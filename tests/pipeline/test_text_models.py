"""Networks for text, hard examples and the second round, through the real pipeline."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from projects import Project

TOPICS = {
    "delivery": ["parcel", "courier", "arrive", "shipping", "door"],
    "refund": ["money", "return", "refund", "card", "invoice"],
    "password": ["login", "account", "reset", "code", "locked"],
}
COMMON = ["please", "help", "order", "today", "again", "still", "about", "with", "the", "my", "number"]


@pytest.fixture
def desk(project: Project, tmp_path: Path) -> Project:
    """The project with a csv of short texts, every eighth row under a wrong label; 90, 40 and 20 rows."""
    rng = random.Random(0)
    with (tmp_path / "desk.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "topic"])
        for label, count in (("delivery", 90), ("refund", 40), ("password", 20)):
            for k in range(count):
                telling = TOPICS[label if k % 8 else rng.choice(list(TOPICS))]
                words = [*rng.choices(telling, k=2), *rng.choices(COMMON, k=4), str(rng.randrange(10**5))]
                rows.writerow([" ".join(rng.sample(words, len(words))), label])
    project.run("evenly", "add", "desk", str(tmp_path / "desk.csv"), "--text", "message", "--label", "topic")
    project.commit("A data set of one's own")
    return project


def run(project: Project, *settings: str, until: str = "scores") -> list[str]:
    """The stages that an experiment on these texts ran, up to `until`."""
    chosen = ("dataset=desk", "evaluate.robustness=false", "evaluate.bootstrap=200", *settings)
    return project.stages_run(
        project.dvc("exp", "run", until, *(part for one in chosen for part in ("-S", one)))
    )


def read_json(project: Project, name: str) -> dict[str, Any]:
    return json.loads((project.root / name).read_text(encoding="utf-8"))


def test_a_network_from_scratch_and_its_second_round_go_through_every_stage(desk: Project) -> None:
    small = (
        "models.transformer.pretrained=null",
        "models.transformer.scratch.layers=1",
        "models.transformer.scratch.width=32",
        "models.transformer.scratch.heads=2",
        "models.transformer.scratch.vocabulary=300",
        "recipes.tweets_hard.train.epochs=6",
        "recipes.tweets_hard.train.unfreeze.every=2",
        "recipes.tweets_hard.train.learning_rate=0.001",
        "recipes.tweets_hard.finetune.keep=always",
    )
    ran = run(desk, "balancing=tweets_hard", *small)
    assert {"offline_augment", "train", "mine_hard_examples", "finetune", "evaluate"} <= set(ran)
    plan = read_json(desk, "data/plan/train.json")
    assert (plan["model"], plan["settings"]["head"], plan["settings"]["dropout"]) == (
        "transformer",
        [384],
        0.3,
    )
    assert plan["losses"]["cross_entropy"]["label_smoothing"] == 0.1
    hard = read_json(desk, "metrics/mining.json")
    assert hard["hard"]["rows"] > 0
    scores = read_json(desk, "metrics/evaluate.json")
    assert set(scores["earlier"]) == {"train"}
    with (desk.root / "reports/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = [[float(row[f"p_{name}"]) for name in TOPICS] for row in rows]
    assert all(row["id"] and row["label"] in TOPICS for row in rows)
    assert all(abs(sum(row) - 1) < 1e-4 for row in probabilities)
    assert run(desk, "balancing=tweets_hard", *small) == []


NOTE_WHAT_IS_ENCODED = """
_unnoted = _FrozenNetwork.vectors


def _noted(self, texts, max_length):
    with open({log!r}, "a", encoding="utf-8") as file:
        file.writelines(f"{{text}}\\n" for text in texts)
    return _unnoted(self, texts, max_length)


_FrozenNetwork.vectors = _noted
"""


def test_an_encoder_reads_every_text_once_and_a_second_round_trains_no_first_one(
    desk: Project, tmp_path: Path
) -> None:
    log = tmp_path / "encoded.txt"
    with (desk.root / "src/evenly/features/encoder.py").open("a", encoding="utf-8") as file:
        file.write(NOTE_WHAT_IS_ENCODED.format(log=str(log)))
    desk.commit("Note what is encoded")
    encoded = "features.text.method=encoder"
    first = run(desk, encoded, "balancing=none")
    assert {"featurize", "train"} <= set(first)
    assert read_json(desk, "metrics/evaluate.json")["test"]["macro_f1"] > 0.6
    smote = run(desk, encoded, "balancing=smote", until="train")
    assert "resample" in smote and "featurize" not in smote
    assert read_json(desk, "metrics/resample.json")["method"] == "smote"
    second = run(desk, encoded, "balancing=hard_examples")
    assert "train" not in second and {"mine_hard_examples", "finetune", "evaluate"} <= set(second)
    predict = ("predict", "models/train", str(tmp_path / "desk.csv"), "--text", "message")
    desk.evenly(*predict, "--output", str(tmp_path / "predicted.csv"))
    texts = log.read_text(encoding="utf-8").splitlines()
    assert len(texts) == len(set(texts)) == 150
