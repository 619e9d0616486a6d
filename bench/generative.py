"""Seconds to train a generator on the long-tailed digits and to sample 1,000 images, and on table rows.

Run it with two threads on an otherwise idle machine; CPU seconds are printed as well, and
the peak memory of the process so far. Each size is one of: long-tailed digits, 3,000 table rows, 100,000.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from evenly.datasets.load import load_splits
from evenly.generators.generate import generate
from evenly.params.datasets import read_entry
from evenly.params.generative import GenerativeSettings, GeneratorKind, generator_settings
from evenly.plans import GeneratePlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

#: Seconds on two cores that each may take.
BUDGETS = {("digits_lt", "vae"): 20.0, ("digits_lt", "gan"): 60.0}


def mixed_rows(n: int) -> SampleTable:
    """A table of five numbers and two categories in two classes."""
    rng = np.random.default_rng(0)
    codes = (np.arange(n) % 10 == 0).astype(int)
    columns: dict[str, list] = {f"x{k}": rng.normal(codes, 1 + k).tolist() for k in range(5)}
    columns |= {f"c{k}": [f"v{v}" for v in rng.integers(0, 8, n)] for k in range(2)}
    features = tuple(Feature(f"x{k}", "number") for k in range(5))
    features += tuple(Feature(f"c{k}", "category", tuple(f"v{v}" for v in range(8))) for k in range(2))
    labels = ["many" if code == 0 else "few" for code in codes]
    return samples_from_columns(
        {"id": [f"{k:07}" for k in range(n)], "label": labels, **columns},
        Schema("table", ("many", "few"), features),
    )


def seconds(train: SampleTable, kind: GeneratorKind, rows: int, threads: int) -> tuple[float, float]:
    """Wall and CPU seconds for `rows` new rows, shared out over the classes."""
    settings = GenerativeSettings(kind=kind)
    generator = generator_settings(settings, train.modality, "recipes.bench.generate")
    each = rows // len(train.classes)
    plan = GeneratePlan(
        kind=kind,
        counts=dict.fromkeys(train.classes, each),
        generator=generator,
        sampling=settings.sampling,
        seed=0,
        threads=threads,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    generate(train, plan)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print one line a generator, and whether it is within its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    digits = load_splits(read_entry("digits_lt"), "digits_lt", 42, [Path()]).train
    kinds: tuple[GeneratorKind, ...] = ("vae", "gan")
    for name, train in (
        ("digits_lt", digits),
        ("3,000 rows", mixed_rows(3000)),
        ("100,000", mixed_rows(100_000)),
    ):
        for kind in kinds:
            wall, cpu = seconds(train, kind, 1000, threads)
            budget = BUDGETS.get((name, kind))
            verdict = f"   budget {budget:.0f} s: {'kept' if wall <= budget else 'MISSED'}" if budget else ""
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{name:<12} {kind:<4} {wall:6.1f} s wall {cpu:6.1f} s CPU, peak {peak:,.0f} MiB{verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
