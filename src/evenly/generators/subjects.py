"""Images and tables as subjects of a latent generator: decoded and split, the generator, and its rows as
payload columns again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from evenly.features import Featurizer
from evenly.features.images import decode_images, encode_images, fit_pixels
from evenly.generators.fitting import Trainee
from evenly.generators.image_gan import ImageGan
from evenly.generators.judging import HeldOut, Judge, TableVectors
from evenly.generators.report import Sheets, as_vectors
from evenly.generators.sampling import Decoder, Members, class_stream, evenly_spaced, hold_out_rows
from evenly.generators.table_gan import TableGan
from evenly.generators.table_transform import fit_transform
from evenly.generators.vae import ImageVae, TableVae
from evenly.params.features import ImageFeatures
from evenly.params.generative import ImageGanSettings, ImageVaeSettings, TableGanSettings, TableVaeSettings
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable

#: Real rows of a class that say how varied it is while training, at most.
MOST_JUDGING = 200


class LatentModel(Decoder, Trainee, Protocol):
    """A GAN or a VAE."""


class Encoder(Protocol):
    """What a VAE can do beside."""

    def encode(self, rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and deviations of the latent vectors, float32 (n, latent) each."""


@dataclass(frozen=True)
class Subject:
    """What generation of images and of tables have in common.

    Attributes
    ----------
    model
        The generator, not trained yet.
    held_out
        Positions of the real rows that only judge.
    payload
        Payload columns of rows that the generator of a class made; the class's name seeds what is drawn.
    members
        Encoded real rows of a class, held-out ones included; only for a VAE.
    watch
        Told of every checkpoint.
    """

    model: LatentModel
    held_out: np.ndarray
    payload: Callable[[np.ndarray, str], Mapping[str, pa.Array]]
    members: Callable[[int], Members]
    watch: Callable[[int], None]


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
    codes, classes = real.codes, len(real.classes)
    judging = train[evenly_spaced(codes[train], MOST_JUDGING)]
    judge = Judge(
        HeldOut(as_vectors(pixels[held_out]), codes[held_out]) if len(held_out) else None,
        as_vectors(pixels[judging]),
        codes[judging],
    )
    model: ImageGan | ImageVae
    if isinstance(settings, ImageGanSettings):
        model = ImageGan(pixels[train], codes[train], classes, judge, settings, seed)
    else:
        outside = (pixels[held_out], codes[held_out])
        model = ImageVae(pixels[train], codes[train], classes, *outside, judge, settings, seed)
    return Subject(
        model=model,
        held_out=held_out,
        payload=lambda rows, label: {"image": pa.array(encode_images(rows), pa.binary())},
        members=_members_of(model, pixels, codes),
        watch=_drawing(model, pixels, codes, seed, sheets) if sheets else lambda step: None,
    )


def _table_subject(
    real: SampleTable, settings: TableGanSettings | TableVaeSettings, featurizer: Featurizer, seed: int
) -> Subject:
    """Fit the transform, and make the generator."""
    codes, classes = real.codes, len(real.classes)
    train, held_out = hold_out_rows(codes, settings.hold_out, seed)
    transform = fit_transform(real.take(train), settings.numbers, settings.max_modes, seed)
    # A value that only a held-out row has would have no place in the matrix: such rows train as well.
    unknown = transform.unknown(real)
    train, held_out = np.union1d(train, held_out[unknown[held_out]]), held_out[~unknown[held_out]]
    if unknown.any():
        transform = fit_transform(real.take(train), settings.numbers, settings.max_modes, seed)
    matrix = transform.matrix(real, np.random.default_rng([seed, 6]))
    vectors = TableVectors(transform, featurizer, real.schema)
    judging = train[evenly_spaced(codes[train], MOST_JUDGING)]
    judge = Judge(
        HeldOut(featurizer.transform(real.take(held_out)), codes[held_out]) if len(held_out) else None,
        featurizer.transform(real.take(judging)),
        codes[judging],
    )
    model: TableGan | TableVae
    trained, common = (matrix[train], codes[train], classes), (transform, vectors, judge)
    if isinstance(settings, TableGanSettings):
        model = TableGan(*trained, *common, settings, seed)
    else:
        model = TableVae(*trained, matrix[held_out], codes[held_out], *common, settings, seed)
    return Subject(
        model=model,
        held_out=held_out,
        payload=lambda rows, label: transform.payload(rows, class_stream(seed, label, "rare values")),
        members=_members_of(model, matrix, codes),
        watch=lambda step: None,
    )


def _members_of(model: Any, rows: np.ndarray, codes: np.ndarray) -> Callable[[int], Members]:
    """How to encode the rows of a class; a plan asks for it only where the model is a VAE."""

    def members(code: int) -> Members:
        own = np.flatnonzero(codes == code)
        return Members(own, *model.encode(rows[own], codes[own]))

    return members


def _drawing(
    model: Decoder, pixels: np.ndarray, codes: np.ndarray, seed: int, folder: Path
) -> Callable[[int], None]:
    sheets = Sheets(folder, pixels, codes)

    def draw(step: int) -> None:
        rng = np.random.default_rng([seed, 5])
        latent = rng.standard_normal((len(sheets.codes), model.latent), dtype=np.float32)
        sheets.write(step, model.decode(latent, sheets.codes, rng))

    return draw
