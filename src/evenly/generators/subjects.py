"""Images and tables as subjects of a latent generator: decoded and split, the generator, and its rows as
payload columns again.

Rows come from the prior, from near a real row, or from between two of a class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.features import Featurizer
from evenly.features.images import decode_images, encode_images, fit_pixels
from evenly.features.neighbours import nearest_neighbours
from evenly.generators.image_gan import ImageGan
from evenly.generators.judging import HeldOut, Judge, LatentModel, TrainingRows
from evenly.generators.report import Sheets, as_vectors
from evenly.generators.sampling import class_stream, evenly_spaced, hold_out_rows
from evenly.generators.table_gan import TableGan
from evenly.generators.table_transform import fit_transform
from evenly.generators.vae import ImageVae, TableVae, Variational
from evenly.params.features import ImageFeatures
from evenly.params.generative import (
    ImageGanSettings,
    ImageVaeSettings,
    SamplingSettings,
    TableGanSettings,
    TableVaeSettings,
)
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable

#: Real rows of a class that say how varied it is while training, at most.
MOST_JUDGING = 200
#: Rows decoded at once. Always so many, so that a row's last bit does not depend on how many were asked for.
CHUNK = 256


@dataclass(frozen=True)
class Made:
    """Rows of one class as the generator gives them."""

    rows: np.ndarray  # (n, …)
    #: Positions of the real rows that each came from, int64 (n,), where there are any.
    parents: np.ndarray | None
    neighbours: np.ndarray | None
    #: λ of z = z(parent) + λ · (z(neighbour) − z(parent)), float64 (n,), where there is a neighbour.
    weights: np.ndarray | None


@dataclass(frozen=True)
class Subject:
    """What generation of images and of tables have in common."""

    model: LatentModel  # Not trained yet
    #: All real rows as the model takes them, held-out ones included, and their classes.
    rows: np.ndarray
    codes: np.ndarray
    held_out: np.ndarray  # Positions of the real rows that only judge
    #: Payload columns of rows that the generator of a class made; the class's name seeds what is drawn.
    payload: Callable[[np.ndarray, str], Mapping[str, pa.Array]]
    watch: Callable[[int], None] = lambda step: None  # Called with the step of every checkpoint

    def made(self, label: str, code: int, n: int, plan: GeneratePlan) -> Made:
        """Make rows of one class; a smaller `n` gives the first rows of a larger one."""
        rng = class_stream(plan.seed, label, "sampling")
        latents = self._latents(code, plan.sampling, rng)
        codes = np.full(CHUNK, code, dtype=np.int64)
        parts = []
        for latent, *origin in islice(latents, math.ceil(n / CHUNK)):
            parts.append((self.model.decode(latent, codes, rng), *origin))
        columns = zip(*parts, strict=True)
        joined: list[Any] = [None if column[0] is None else np.concatenate(column)[:n] for column in columns]
        return Made(*joined)

    def _latents(
        self, code: int, sampling: SamplingSettings, rng: np.random.Generator
    ) -> Iterator[tuple[Any, ...]]:
        """Latent vectors of `CHUNK` rows after another, with parents, neighbours and weights."""

        def noise() -> np.ndarray:
            return rng.standard_normal((CHUNK, self.model.latent), dtype=np.float32)

        spread = np.float32(sampling.spread)
        if sampling.mode == "prior" or not isinstance(self.model, Variational):
            while True:
                yield spread * noise(), None, None, None
        own = np.flatnonzero(self.codes == code)
        means, deviations = self.model.encode(self.rows[own], self.codes[own])
        partners = None
        if sampling.mode == "interpolate" and len(own) > 1:
            k = min(sampling.k_neighbors, len(own) - 1)
            partners = nearest_neighbours(means, means, k, True)[1]
        order = rng.permutation(len(own))
        for start in count(0, CHUNK):
            # Real rows take turns, as they do in augmentation.
            turn = order[np.arange(start, start + CHUNK) % len(order)]
            distance = noise()
            if partners is None:
                yield means[turn] + spread * deviations[turn] * distance, own[turn], None, None
                continue
            partner = partners[turn, rng.integers(partners.shape[1], size=CHUNK)]
            weight = rng.random(CHUNK)
            between = weight[:, None].astype(np.float32) * (means[partner] - means[turn])
            yield means[turn] + between, own[turn], own[partner], weight


def latent_subject(
    real: SampleTable, plan: GeneratePlan, featurizer: Featurizer, sheets: Path | None
) -> Subject:
    """The subject of a plan whose generator decodes latent vectors."""
    match plan.generator:
        case ImageGanSettings() | ImageVaeSettings() as settings:
            return _image_subject(real, settings, plan.seed, sheets)
        case TableGanSettings() | TableVaeSettings() as settings:
            return _table_subject(real, settings, featurizer, plan.seed)
        case other:
            raise TypeError(f"{other.name} has no latent vectors")


def _image_subject(
    real: SampleTable, settings: ImageGanSettings | ImageVaeSettings, seed: int, sheets: Path | None
) -> Subject:
    """Decode the images, at the shape that their features have by default, and make the generator."""
    shape = fit_pixels(real, ImageFeatures())
    images = [image for image in real.images if image is not None]
    pixels = decode_images(images, (shape.height, shape.width), shape.channels)
    train, held_out = hold_out_rows(real.codes, settings.hold_out, seed)
    real_vectors, vectors = (lambda rows: as_vectors(pixels[rows])), (lambda made, _: as_vectors(made))
    data = _training_rows(real, pixels, train, held_out, seed, real_vectors, vectors)
    model = ImageGan(data, settings) if isinstance(settings, ImageGanSettings) else ImageVae(data, settings)

    def payload(rows: np.ndarray, label: str) -> Mapping[str, pa.Array]:
        return {"image": pa.array(encode_images(rows), pa.binary())}

    subject = Subject(model, pixels, real.codes, held_out, payload)
    return replace(subject, watch=_drawing(subject, seed, sheets)) if sheets else subject


def _table_subject(
    real: SampleTable, settings: TableGanSettings | TableVaeSettings, featurizer: Featurizer, seed: int
) -> Subject:
    """Fit the transform, and make the generator."""
    train, held_out = hold_out_rows(real.codes, settings.hold_out, seed)
    transform = fit_transform(real.take(train), settings.numbers, settings.max_modes, seed)
    # A value that only a held-out row has would have no place in the matrix: such rows train as well.
    unknown = transform.unknown(real)
    train, held_out = np.union1d(train, held_out[unknown[held_out]]), held_out[~unknown[held_out]]
    if unknown.any():
        transform = fit_transform(real.take(train), settings.numbers, settings.max_modes, seed)
    matrix = transform.matrix(real, np.random.default_rng([seed, 6]))

    def vectors(made: np.ndarray, codes: np.ndarray) -> np.ndarray:
        columns = {
            "id": pa.array(map(str, range(len(codes))), pa.string()),
            "label": pa.array([real.classes[code] for code in codes], pa.string()),
            "origin": pa.array(["generated"] * len(codes), pa.string()),
            **transform.payload(made, np.random.default_rng(0)),
        }
        return featurizer.transform(SampleTable(pa.table(columns), real.schema))

    data = _training_rows(
        real, matrix, train, held_out, seed, lambda rows: featurizer.transform(real.take(rows)), vectors
    )
    model: LatentModel
    if isinstance(settings, TableGanSettings):
        model = TableGan(data, transform, settings)
    else:
        model = TableVae(data, transform, settings)

    def payload(rows: np.ndarray, label: str) -> Mapping[str, pa.Array]:
        return transform.payload(rows, class_stream(seed, label, "rare values"))

    return Subject(model, matrix, real.codes, held_out, payload)


def _training_rows(
    real: SampleTable,
    rows: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    seed: int,
    real_vectors: Callable[[np.ndarray], np.ndarray],
    vectors: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> TrainingRows:
    """Split the rows; `real_vectors` gives those of real rows by position, `vectors` those of made rows."""
    codes = real.codes
    judging = train[evenly_spaced(codes[train], MOST_JUDGING)]
    compared = HeldOut(real_vectors(held_out), codes[held_out]) if len(held_out) else None
    return TrainingRows(
        rows=rows[train],
        codes=codes[train],
        held_out=rows[held_out],
        held_out_codes=codes[held_out],
        classes=len(real.classes),
        judge=Judge(compared, real_vectors(judging), codes[judging]),
        vectors=vectors,
        seed=seed,
    )


def _drawing(subject: Subject, seed: int, folder: Path) -> Callable[[int], None]:
    sheets = Sheets(folder, subject.rows, subject.codes)

    def draw(step: int) -> None:
        rng = np.random.default_rng([seed, 5])
        latent = rng.standard_normal((len(sheets.codes), subject.model.latent), dtype=np.float32)
        sheets.write(step, subject.model.decode(latent, sheets.codes, rng))

    return draw
