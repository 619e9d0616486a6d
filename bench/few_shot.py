"""Contrastive few-shot training (SetFit's idea) of MiniLM against frozen vectors, terms and fine-tuning.

Banking77 with 8 and 16 training rows a class, where `EVENLY_SHARED_DATA` or ../shared/data has it. Tunstall
et al. 2022, arXiv 2209.11055; with the supervised contrastive loss of Khosla et al. 2020, arXiv 2004.11362.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.nn.functional import normalize

from bench.text import shared_rows
from bench.text_models import Rows, Split, ours
from evenly.classifiers import build_classifier
from evenly.classifiers.texts import KEY
from evenly.classifiers.vectors import VECTOR_LENGTH
from evenly.confusion import macro_f1, outcomes
from evenly.features.pretrained import load_network, load_tokenizer, pretrained_folder, tokenised
from evenly.features.tfidf import fit_term_weights
from evenly.params.features import TextFeatures
from evenly.params.losses import LossSettings
from evenly.params.models import LogisticRegressionSettings, TransformerSettings, resolved_training
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

CLASSES_A_BATCH, ROWS_A_CLASS = 16, 4
TEMPERATURE, RATE = 0.07, 5e-5
_KNOWN: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = {}
TESTED = 20  # test rows of a class


def split(rows: Rows, count: int, seed: int) -> Split:
    """So many training rows of each class, no validation rows, and test rows."""
    rng = np.random.default_rng(seed)
    names = sorted({label for _, label in rows})
    own = [rng.permutation([k for k, row in enumerate(rows) if row[1] == name]) for name in names]
    schema = Schema("text", tuple(names))

    def table(chosen: list[np.ndarray]) -> SampleTable:
        part = [int(k) for group in chosen for k in group]
        columns = {"id": [f"row {k}" for k in part], "label": [rows[k][1] for k in part]}
        return samples_from_columns({**columns, "text": [rows[k][0] for k in part]}, schema)

    train = table([group[:count] for group in own])
    return train, train.take([]), table([group[count : count + TESTED] for group in own])


def contrastive_vectors(train: SampleTable, test: SampleTable, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of MiniLM after training by the supervised contrastive loss; frozen after 0 epochs."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    folder = pretrained_folder("minilm", KEY)
    tokenizer, pad, _ = load_tokenizer(folder, KEY)
    body = load_network(folder, KEY)
    bf16 = bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())

    def vectors(tokens: np.ndarray) -> torch.Tensor:
        ids = torch.from_numpy(tokens)
        there = ids >= 0
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = body(input_ids=ids.where(there, pad), attention_mask=there.long()).last_hidden_state
        return normalize((found.float() * there[..., None]).sum(1), dim=1)

    tokens = tokenised([str(text) for text in train.texts], tokenizer, 128)
    steps = epochs * -(-len(train) // (CLASSES_A_BATCH * ROWS_A_CLASS))
    optimizer = torch.optim.AdamW(body.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, max(steps, 1))
    members = [np.flatnonzero(train.codes == code) for code in range(len(train.classes))]
    body.train()
    for _ in range(steps):
        drawn = rng.choice(len(members), min(CLASSES_A_BATCH, len(members)), replace=False)
        rows = np.concatenate([rng.choice(members[k], ROWS_A_CLASS, replace=False) for k in drawn])
        found = vectors(tokens.padded(rows))
        same = torch.from_numpy(train.codes[rows][:, None] == train.codes[rows]).float()
        same.fill_diagonal_(0)
        logits = (found @ found.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        shares = logits.log_softmax(dim=1).masked_fill(same == 0, 0)
        loss = -(shares.sum(1) / same.sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    body.eval()  # type: ignore[no-untyped-call]

    def encoded(samples: SampleTable) -> np.ndarray:
        all_tokens = tokenised([str(text) for text in samples.texts], tokenizer, 128)
        parts = np.array_split(np.arange(len(samples)), -(-len(samples) // 32))
        with torch.inference_mode():
            return np.concatenate([vectors(all_tokens.padded(part)).numpy() for part in parts])

    return encoded(train), encoded(test)


def by_vectors(tables: Split, epochs: int, terms: bool) -> np.ndarray:
    """Logistic regression on vectors, with terms beside them where asked for."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    train, _, test = tables
    key = (*train.ids, epochs)
    if key not in _KNOWN:
        _KNOWN[key] = contrastive_vectors(train, test, epochs)
    x, y = _KNOWN[key]
    if terms:
        weights = fit_term_weights([str(text) for text in train.texts], 50_000)
        x, y = (
            hstack([weights.transform([str(text) for text in part.texts]), csr_matrix(dense * VECTOR_LENGTH)])
            for part, dense in ((train, x), (test, y))
        )
    return np.asarray(LogisticRegression(C=10, max_iter=1000).fit(x, train.codes).predict_proba(y))


def fine_tuned(tables: Split) -> np.ndarray:
    """MiniLM as the model `transformer` fine-tunes it, all epochs."""
    settings = TransformerSettings()
    training = resolved_training(TrainingSettings(), settings)
    plan = TrainPlan(
        model="transformer",
        settings=settings,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=training,
        seed=0,
        threads=1,
    )
    classifier = build_classifier(plan, tables[0].schema, None)
    classifier.fit(tables[0], tables[1])
    return classifier.predict_proba(tables[2])


SIDES: dict[str, Callable[[Split], np.ndarray]] = {
    "terms (default)": ours(LogisticRegressionSettings(reads="terms"), None),
    "frozen vectors": partial(by_vectors, epochs=0, terms=False),
    "frozen vectors and terms": partial(by_vectors, epochs=0, terms=True),
    "frozen, both (default)": ours(LogisticRegressionSettings(reads="both"), TextFeatures(method="encoder")),
    "contrastive, vectors": partial(by_vectors, epochs=10, terms=False),
    "contrastive, and terms": partial(by_vectors, epochs=10, terms=True),
    "fine-tuned (transformer)": fine_tuned,
}


def main() -> None:
    """Print a table for each number of rows; vectors are in the seconds of the first side that reads them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--classes", type=int, default=20)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kept = sorted({label for _, label in shared_rows()})[: chosen.classes]
    rows = [row for row in shared_rows() if row[1] in kept]
    for count in chosen.rows:
        print(
            f"\nBanking77, {count} rows of each of {len(kept)} classes, mean of {chosen.seeds} draws",
            flush=True,
        )
        draws = [split(rows, count, seed) for seed in range(chosen.seeds)]
        for name, run in SIDES.items():
            scores = []
            for tables in draws:
                started, truth = time.process_time(), tables[2].codes
                guesses = run(tables).argmax(axis=1)
                f1 = float(macro_f1(outcomes(truth, guesses, len(kept))))
                scores.append((float((guesses == truth).mean()), f1, time.process_time() - started))
            accuracy, f1, seconds = np.mean(scores, axis=0)
            print(f"  {name:26} accuracy {accuracy:.3f}  macro F1 {f1:.3f}  {seconds:6.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
