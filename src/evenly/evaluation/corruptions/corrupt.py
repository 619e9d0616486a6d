"""Which corruptions a modality has, and a sample table with one of them done to every row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.evaluation.corruptions.typing_noise import SHARES, mistyped
from evenly.samples import Modality, SampleTable

CLEAN = 0
STRENGTHS = (1, 2, 3)
#: Shares of the cells of a table that go missing, by strength.
MISSING = (0.05, 0.15, 0.30)

_NAMES: dict[Modality, tuple[str, ...]] = {
    "text": ("typing noise",),
    "image": ("gaussian noise", "blur", "brightness", "jpeg"),
    "table": ("missing values",),
}


def corruption_names(modality: Modality) -> tuple[str, ...]:
    """Corruptions of a modality."""
    return _NAMES[modality]


def strength_label(name: str, strength: int) -> str:
    """Say what a strength means: a share where the corruption has one, else the number."""
    if strength == CLEAN:
        return "clean"
    shares = {"typing noise": SHARES, "missing values": MISSING}.get(name)
    return str(strength) if shares is None else f"{shares[strength - 1]:.0%}"


def corrupted(samples: SampleTable, name: str, strength: int, seed: int) -> SampleTable:
    """Give the same rows with their payload made worse.

    Parameters
    ----------
    samples
        Rows with a payload.
    name
        One of `corruption_names` of their modality.
    strength
        1, 2 or 3; 0 gives the rows as they are.
    seed
        Of the rows' random streams.

    Raises
    ------
    DataError
        When an image cannot be decoded.
    """
    if name not in _NAMES[samples.modality]:
        raise ValueError(f"{name} is no corruption of {samples.modality} data")
    if strength == CLEAN or not len(samples):
        return samples
    streams = _streams(samples, name, seed)
    if samples.modality == "text":
        texts = [
            None if text is None else mistyped(text, SHARES[strength - 1], rng)
            for text, rng in zip(samples.texts, streams, strict=True)
        ]
        return samples.with_column("text", pa.array(texts, pa.string()))
    if samples.modality == "image":
        return samples.with_column("image", _images(samples, name, strength, streams))
    return _with_missing_values(samples, MISSING[strength - 1], streams)


def _images(
    samples: SampleTable, name: str, strength: int, streams: Iterator[np.random.Generator]
) -> pa.Array:
    from evenly.evaluation.corruptions.images import worsened
    from evenly.features.images import decode_images

    made = []
    for row, (encoded, rng) in enumerate(zip(samples.images, streams, strict=True)):
        try:
            pixels = decode_images([encoded or b""])[0]
        except DataError as error:
            raise DataError(
                f"The image of row {samples.ids[row]!r} cannot be decoded; it must be a PNG or JPEG file."
            ) from error
        made.append(worsened(pixels, name, strength, rng))
    return pa.array(made, pa.binary())


def _with_missing_values(
    samples: SampleTable, share: float, streams: Iterator[np.random.Generator]
) -> SampleTable:
    """Take cells away completely at random: each with the same probability, whatever stands in it."""
    import pyarrow.compute as pc

    features = samples.schema.features
    gone = np.stack([rng.random(len(features)) < share for rng in streams])
    for k, feature in enumerate(features):
        column = samples.table.column(feature.name)
        emptied = pc.if_else(pa.array(gone[:, k]), pa.scalar(None, column.type), column)
        samples = samples.with_column(feature.name, emptied)
    return samples


def _streams(samples: SampleTable, name: str, seed: int) -> Iterator[np.random.Generator]:
    """One stream a row, from the seed, the corruption and the row's id; the same for all strengths."""
    for row in samples.ids:
        digest = hashlib.blake2b(f"{seed}\0{name}\0{row}".encode(), digest_size=16).digest()
        yield np.random.default_rng(int.from_bytes(digest, "little"))
