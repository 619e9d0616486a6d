"""Fine-tuning MiniLM against the Trainer of transformers, and sentence vectors against sentence-transformers.

Same network, same texts, same CPU, one process; the sides alternate, and CPU seconds are what counts. Texts
are those of Banking77 where `EVENLY_SHARED_DATA` or ../shared/data has them, else made up to the length of
tweets.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.features.encoder import fit_encoder
from evenly.features.pretrained import pretrained_folder, quiet_transformers
from evenly.params.features import TextFeatures
from evenly.params.losses import LossSettings
from evenly.params.models import TransformerSettings, resolved_training
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

EPOCHS = 3
CLASSES = 20


def shared_rows() -> list[tuple[str, str]]:
    """Texts and labels of Banking77, or an empty list."""
    for root in (os.environ.get("EVENLY_SHARED_DATA", ""), "../shared/data"):
        path = Path(root, "banking77", "train.csv")
        if root and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                return [(row["text"], row["category"]) for row in csv.DictReader(file)]
    return []


def generated_rows(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 5 to 40 words, four of which tell the class."""
    rng = np.random.default_rng(seed)
    words = [
        "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=rng.integers(2, 9))) for _ in range(2000)
    ]
    made = []
    for row in range(rows):
        label = row % CLASSES
        telling = [words[label * 10 + k] for k in rng.integers(0, 10, 4)]
        text = [*telling, *rng.choice(words[500:], size=rng.integers(1, 37))]
        made.append((" ".join(rng.permutation(text)), f"class {label}"))
    return made


def tables(rows: int) -> tuple[SampleTable, SampleTable, str]:
    """Training and held-out rows of 20 classes, and what they are."""
    found = shared_rows()
    source = "Banking77" if found else "made-up texts"
    pool = found or generated_rows(3 * rows)
    names = sorted({label for _, label in pool})[:CLASSES]
    schema = Schema("text", tuple(names))
    chosen = [(text, label) for text, label in pool if label in names]
    order = np.random.default_rng(1).permutation(len(chosen))[: rows + 600]

    def table(part: np.ndarray) -> SampleTable:
        return samples_from_columns(
            {
                "id": [f"row {k}" for k in part],
                "label": [chosen[k][1] for k in part],
                "text": [chosen[k][0] for k in part],
            },
            schema,
        )

    return table(order[:-600]), table(order[-600:]), source


def our_fine_tuning(train: SampleTable, test: SampleTable) -> tuple[float, float]:
    """CPU seconds of the fit, and macro F1: our defaults, everything trained from the start."""
    settings = TransformerSettings()
    changes = {"epochs": EPOCHS, "patience": None, "unfreeze": "all"}
    plan = TrainPlan(
        model="transformer",
        settings=settings,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=resolved_training(TrainingSettings(), settings, changes),
        seed=0,
        threads=torch.get_num_threads(),
    )
    classifier = build_classifier(plan, train.schema, None)
    started = time.process_time()
    classifier.fit(train, test.take([]))
    seconds = time.process_time() - started
    predicted = classifier.predict_proba(test).argmax(axis=1)
    return seconds, float(macro_f1(outcomes(test.codes, predicted, CLASSES)))


def their_fine_tuning(train: SampleTable, test: SampleTable) -> tuple[float, float]:
    """Do the same with the defaults of the Trainer: batches of 8, padded to their longest text."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    folder = pretrained_folder("minilm", "bench")
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def rows(table: SampleTable) -> Any:
        ids = tokenizer(table.texts, truncation=True, max_length=128)["input_ids"]
        return [
            {"input_ids": tokens, "labels": int(code)} for tokens, code in zip(ids, table.codes, strict=True)
        ]

    with quiet_transformers(), tempfile.TemporaryDirectory() as output:
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=CLASSES)
        arguments = TrainingArguments(
            output, num_train_epochs=EPOCHS, report_to=[], save_strategy="no", disable_tqdm=True, seed=0,
            use_cpu=not torch.cuda.is_available(), logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=rows(train), data_collator=DataCollatorWithPadding(tokenizer)
        )
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
        predicted = np.asarray(trainer.predict(rows(test)).predictions).argmax(axis=1)
    return seconds, float(macro_f1(outcomes(test.codes, predicted, CLASSES)))


def compare_fine_tuning(rounds: int, rows: int) -> None:
    """Print examples per CPU second, their ratio, and macro F1 of both."""
    train, test, source = tables(rows)
    sides: dict[str, Callable[[SampleTable, SampleTable], tuple[float, float]]] = {
        "evenly": our_fine_tuning,
        "Trainer": their_fine_tuning,
    }
    for run in sides.values():  # imports and first calls are not part of it
        run(train.take(range(32)), test.take(range(8)))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in sides.items():
            seconds, scores[name] = run(train, test)
            rates[name].append(EPOCHS * len(train) / seconds)
    ours, theirs = (statistics.median(rates[name]) for name in sides)
    print(f"fine-tuning MiniLM, {EPOCHS} epochs on {len(train):,} rows of {source}, {CLASSES} classes")
    print(f"  evenly   {ours:7.1f} examples per CPU second   macro F1 {scores['evenly']:.3f}")
    print(f"  Trainer  {theirs:7.1f} examples per CPU second   macro F1 {scores['Trainer']:.3f}")
    print(f"  ratio    {ours / theirs:7.2f}×")


def compare_vectors(rounds: int, rows: int) -> None:
    """Print sentences per CPU second, their ratio, and how alike the vectors are."""
    if importlib.util.find_spec("sentence_transformers") is None:
        print("sentence vectors: sentence-transformers is not installed, nothing to compare with")
        return
    from sentence_transformers import SentenceTransformer

    found = shared_rows() or generated_rows(rows)
    texts = list(dict.fromkeys(text for text, _ in found))[:rows]
    schema = Schema("text", ("a",))
    table = samples_from_columns(
        {"id": [f"row {k}" for k in range(len(texts))], "label": ["a"] * len(texts), "text": texts}, schema
    )
    encoder = fit_encoder(TextFeatures(method="encoder", max_length=256))
    with quiet_transformers():
        reference = SentenceTransformer(str(pretrained_folder("minilm", "bench")))

    def ours() -> np.ndarray:
        return encoder.transform(table)

    def theirs() -> np.ndarray:
        return np.asarray(reference.encode(texts))

    encoder.transform(table.take([0]))
    reference.encode(texts[:8])
    rates: list[list[float]] = [[], []]
    vectors: list[np.ndarray] = [np.zeros(0), np.zeros(0)]
    for _ in range(rounds):
        for side, run in enumerate((ours, theirs)):
            started = time.process_time()
            vectors[side] = run()
            rates[side].append(len(texts) / (time.process_time() - started))
    mine, other = (statistics.median(rate) for rate in rates)
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    print(f"sentence vectors of {len(texts):,} texts")
    print(f"  evenly                 {mine:7.1f} per CPU second")
    print(f"  sentence-transformers  {other:7.1f} per CPU second")
    print(f"  ratio {mine / other:.2f}×, cosine between the two at least {cosines.min():.4f}")


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1500, help="training rows")
    parser.add_argument("--texts", type=int, default=4000, help="texts to make vectors of")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    compare_vectors(chosen.rounds, chosen.texts)
    compare_fine_tuning(chosen.rounds, chosen.rows)


if __name__ == "__main__":
    main()
