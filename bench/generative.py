"""Seconds to train a generator on the long-tailed digits and to sample 1,000 images, and on table rows.

The rivals, in the same process: a plain PyTorch loop that trains a VAE of the same layers for as many steps
from a `DataLoader`, and imbalanced-learn's SMOTE. Run it with two threads on an otherwise idle machine; the
peak memory of the process so far is printed as well.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from evenly.datasets.load import load_splits
from evenly.features.images import decode_images
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
    generator = generator.model_copy(update={"patience": None})  # All steps, as the plain loop does.
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


def numbers(train: SampleTable) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, or numbers and categories one of k, as float32 (n, d), and codes (n,)."""
    if train.modality == "image":
        pixels = decode_images(train.column("image").tolist())
        return pixels.reshape(len(train), -1).astype(np.float32) / 127.5 - 1, train.codes
    columns = []
    for feature in train.schema.features:
        values = np.asarray(train.column(feature.name))
        if feature.categories:
            columns.append(values[:, None] == np.asarray(feature.categories))
        else:
            columns.append(((values - values.mean()) / values.std())[:, None])
    return np.hstack(columns).astype(np.float32), train.codes


def plain_vae(train: SampleTable, rows: int) -> float:
    """CPU seconds of a plain loop: a conditional VAE of the same layers, steps and batches."""
    kind: GeneratorKind = "vae"
    settings = generator_settings(GenerativeSettings(kind=kind), train.modality, "recipes.bench.generate")
    hidden, latent = settings.hidden, settings.latent  # type: ignore[union-attr]
    start = time.process_time()
    x, codes = (torch.from_numpy(a) for a in numbers(train))
    y = functional.one_hot(codes.long(), len(train.classes)).float()

    def layers(size: int, out: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out)
        )

    encoder, decoder = layers(x.shape[1] + y.shape[1], 2 * latent), layers(latent + y.shape[1], x.shape[1])
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], settings.learning_rate)
    batches, steps = DataLoader(TensorDataset(x, y), settings.batch_size, shuffle=True), 0
    while steps < settings.steps:
        for a, b in batches:
            mean, log_variance = encoder(torch.cat([a, b], 1)).chunk(2, 1)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
            loss = (divergence + ((decoder(torch.cat([z, b], 1)) - a) ** 2).sum(1)).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            steps += 1
            if steps == settings.steps:
                break
    with torch.inference_mode():
        wanted = y[torch.randint(len(y), (rows,))]
        decoder(torch.cat([torch.randn(rows, latent), wanted], 1))
    return time.process_time() - start


def smote(train: SampleTable) -> float:
    """CPU seconds of imbalanced-learn's SMOTE, which brings every class to the size of the largest."""
    start = time.process_time()
    x, codes = numbers(train)
    SMOTE(k_neighbors=min(5, int(np.bincount(codes).min()) - 1), random_state=0).fit_resample(x, codes)
    return time.process_time() - start


def main() -> None:
    """Print one line a generator, and whether it is within its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    digits = load_splits(read_entry("digits_lt"), "digits_lt", 42, [Path()]).train
    kinds: tuple[GeneratorKind, ...] = ("vae", "gan")
    for name, train in (
        ("digits_lt", digits),
        ("3,000 rows", mixed_rows(3000)),
        ("100,000", mixed_rows(100_000)),
    ):
        for kind in kinds:
            wall, cpu = seconds(train, kind, 1000, threads)
            notes = f", {cpu / smote(train):,.0f} times SMOTE"
            if kind == "vae":
                notes = f", {cpu / plain_vae(train, 1000):.2f} times plain PyTorch" + notes
            budget = BUDGETS.get((name, kind))
            notes += f"   budget {budget:.0f} s: {'kept' if wall <= budget else 'MISSED'}" if budget else ""
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{name:<12} {kind:<4} {wall:6.1f} s wall {cpu:6.1f} s CPU, peak {peak:,.0f} MiB{notes}",
                flush=True,
            )


if __name__ == "__main__":
    main()
