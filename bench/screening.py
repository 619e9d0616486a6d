"""How long the screening takes: exact near-duplicates, and the whole filter on ten thousand rows.

Texts are recombined from Banking77 where its folder is given (`EVENLY_SHARED_DATA`, else
`../shared/data`), from a small vocabulary otherwise. Rival for the near-duplicates: comparing all sets in
plain Python, on a part, scaled up.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import time
from pathlib import Path

import numpy as np

from evenly.features.featurizer import fit_featurizer
from evenly.features.ngramsets import character_ngrams, ngram_sets
from evenly.params.features import FeatureSettings
from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable, Schema, samples_from_columns
from evenly.screening.screen import screen
from evenly.screening.similarity import Pairs, joined_pairs, similar_sets, similar_vectors


def base_texts() -> tuple[list[str], list[str]]:
    """Texts and their labels."""
    path = Path(os.environ.get("EVENLY_SHARED_DATA", "../shared/data")) / "banking77" / "train.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [row["text"] for row in rows], [row["category"] for row in rows]
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 8))) for _ in range(3000)]
    topics = {f"class {k}": rng.sample(words, 60) for k in range(20)}
    labels = rng.choices(sorted(topics), k=10_000)
    return [
        " ".join(rng.choices(topics[label] + words[:60], k=rng.randint(6, 16))) for label in labels
    ], labels


def recombined(base: list[str], n: int, seed: int) -> list[str]:
    """Texts that begin as one and end as another: all different, many alike."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        head, tail = rng.choice(base).split(), rng.choice(base).split()
        texts.append(" ".join(head[: rng.randrange(len(head) + 1)] + tail[rng.randrange(len(tail)) :])[:150])
    return texts


def near_duplicates(texts: list[str], others: list[str] | None = None) -> Pairs:
    """Pairs whose trigrams have a Jaccard index of .8 or more."""
    sets = ngram_sets([*texts, *(others or ())], 3)
    rows = np.arange(len(sets))
    sides = (sets, None) if others is None else (sets[rows[: len(texts)]], sets[rows[len(texts) :]])
    return joined_pairs(similar_sets(*sides, 0.8))


def timed(name: str, start: tuple[float, float], note: str = "") -> None:
    """Print the time since `start` and the peak of memory so far."""
    cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<58} {cpu:7.2f} CPU s {wall:7.2f} s  peak {peak:.2f} GiB  {note}", flush=True)


def now() -> tuple[float, float]:
    """CPU and wall clock."""
    return time.process_time(), time.perf_counter()


def table(texts: list[str], labels: list[str], classes: tuple[str, ...], prefix: str) -> SampleTable:
    """Texts as a sample table."""
    origin = "real" if prefix != "new" else "llm"
    ids = [f"{prefix}{k:06d}" for k in range(len(texts))]
    columns = {"id": ids, "label": labels, "text": texts, "origin": [origin] * len(texts)}
    return samples_from_columns(columns, Schema("text", classes))


def main() -> None:
    """Print every measurement."""
    base, labels = base_texts()
    few = recombined(base, 400, 9)
    sets = [character_ngrams(text, 3) for text in few]
    start = now()
    found = sum(len(a & b) >= 0.8 * len(a | b) for k, a in enumerate(sets) for b in sets[k + 1 :])
    plain = (time.process_time() - start[0]) / (400 * 399 / 2)
    assert found == len(near_duplicates(few))
    for n in (10_000, 100_000):
        texts = recombined(base, n, 1)
        start = now()
        pairs = near_duplicates(texts)
        spent = time.process_time() - start[0]
        ratio = plain * n * (n - 1) / 2 / spent
        timed(
            f"near-duplicates among {n:,} texts", start, f"{len(pairs):,} pairs; {ratio:,.0f}× plain Python"
        )
    others = recombined(base, 100_000, 2)
    start = now()
    pairs = near_duplicates(texts, others)
    timed("near-duplicates of 100,000 texts in 100,000", start, f"{len(pairs):,} pairs")
    vectors = np.random.default_rng(0).standard_normal((10_000, 256)).astype(np.float32)
    start = now()
    joined_pairs(similar_vectors(vectors, vectors, 0.9))
    timed("cosine ≥ 0.9 of 10,000 vectors of 256 in 10,000", start)

    classes = tuple(sorted(set(labels)))
    half = len(base) // 2
    train = table(base[:half], labels[:half], classes, "train")
    held_out = table(base[half : half + 2000], labels[half : half + 2000], classes, "held")
    rng = random.Random(3)
    chosen = rng.choices(range(len(base)), k=10_000)
    made = [" ".join(word for word in base[k].split() if rng.random() > 0.25) or base[k] for k in chosen]
    candidates = table(made, [labels[k] for k in chosen], classes, "new")
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    start = now()
    screening = screen(
        candidates,
        train=train,
        validation=held_out,
        test=held_out.take([]),
        settings=FilterSettings(),
        featurizer=featurizer,
        seed=0,
    )
    report = screening.report
    note = ", ".join(f"{rule} {numbers['primary']:,}" for rule, numbers in report["rules"].items())
    timed(f"the filter on 10,000 texts against {half:,} real ones", start, f"{report['kept']:,} kept; {note}")


if __name__ == "__main__":
    main()
