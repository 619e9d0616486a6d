"""Test rows made worse on purpose, in three strengths: typing noise, image corruptions, missing values.

They are for judging models and never for training them. A row's damage comes from the seed and its id alone,
and a higher strength carries the same damage further.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.samples import Modality, SampleTable

CLEAN = 0
STRENGTHS = (1, 2, 3)
#: Shares of the letters with a typing error, and of the cells of a table that go missing, by strength.
TYPING = (0.02, 0.05, 0.10)
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
    shares = {"typing noise": TYPING, "missing values": MISSING}.get(name)
    return str(strength) if shares is None else f"{shares[strength - 1]:.0%}"


def corrupted(samples: SampleTable, name: str, strength: int, seed: int) -> SampleTable:
    """Give the same rows with their payload made worse.

    `name` is one of `corruption_names` of their modality, strength 0 gives the rows as they are, `seed` is
    that of the rows' random streams. A `DataError` where an image cannot be decoded.
    """
    if name not in _NAMES[samples.modality]:
        raise ValueError(f"{name} is no corruption of {samples.modality} data")
    if strength == CLEAN or not len(samples):
        return samples
    streams = _streams(samples, name, seed)
    if samples.modality == "text":
        texts = [
            None if text is None else mistyped(text, TYPING[strength - 1], rng)
            for text, rng in zip(samples.texts, streams, strict=True)
        ]
        return samples.with_column("text", pa.array(texts, pa.string()))
    if samples.modality == "image":
        return samples.with_column("image", _images(samples, name, strength, streams))
    return _with_missing_values(samples, MISSING[strength - 1], streams)


def _images(
    samples: SampleTable, name: str, strength: int, streams: Iterator[np.random.Generator]
) -> pa.Array:
    from evenly.features.images import decode_images

    images = []
    for row, (encoded, rng) in enumerate(zip(samples.images, streams, strict=True)):
        try:
            pixels = decode_images([encoded or b""])[0]
        except DataError as error:
            raise DataError(
                f"The image of row {samples.ids[row]!r} cannot be decoded; it must be a PNG or JPEG file."
            ) from error
        images.append(worsened(pixels, name, strength, rng))
    return pa.array(images, pa.binary())


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


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbouring_keys() -> dict[str, str]:
    """For each letter, its neighbours on the US layout, whose rows are set off by half a key."""
    places = {letter: (k + 0.5 * r, r) for r, row in enumerate(_ROWS) for k, letter in enumerate(row)}
    return {
        letter: "".join(
            other
            for other, (column, row) in places.items()
            if other != letter and abs(row - r) <= 1 and abs(column - x) <= (1 if row == r else 0.5)
        )
        for letter, (x, r) in places.items()
    }


NEIGHBOURS = _neighbouring_keys()


def mistyped(text: str, share: float, rng: np.random.Generator) -> str:
    """Give a text with errors in about this share of its letters, each of a kind drawn evenly.

    A letter is replaced by a neighbour on the keyboard, exchanged with the next, dropped or doubled. Letters
    that are not on the map (other scripts, accents) have the last three kinds. Digits, spaces and punctuation
    stay. Under the same stream, the errors of a smaller share are among those of a larger one, except where
    two meet; the number of errors is rounded at random, so that the share holds on average.
    """
    letters = [k for k, character in enumerate(text) if character.isalpha()]
    rounding = rng.random()
    order = rng.permutation(len(letters))
    kinds = rng.random(len(letters))
    keys = rng.random(len(letters))
    errors = int(share * len(letters) + rounding)
    struck = {letters[k]: (kinds[k], keys[k]) for k in order[:errors]}

    typed: list[str] = []
    k = 0
    while k < len(text):
        if k not in struck:
            typed.append(text[k])
            k += 1
            continue
        written, k = _error(text, k, *struck[k])
        typed.append(written)
    changed = "".join(typed)
    return changed if changed.strip() else text


def _error(text: str, k: int, kind: float, key: float) -> tuple[str, int]:
    """What is written instead of the letter at k, and the next position to read."""
    letter = text[k]
    keys = NEIGHBOURS.get(letter.lower(), "")
    names = ("neighbour", "swap", "drop", "double") if keys else ("swap", "drop", "double")
    name = names[int(kind * len(names))]
    if name == "neighbour":
        wrong = keys[int(key * len(keys))]
        return (wrong.upper() if letter.isupper() else wrong), k + 1
    if name == "drop":
        return "", k + 1
    if name == "swap" and k + 1 < len(text) and text[k + 1].isalpha() and text[k + 1] != letter:
        return text[k + 1] + letter, k + 2
    return letter * 2, k + 1


# Strengths of image corruptions are severities 1, 3 and 5 of Hendrycks & Dietterich 2019 (arXiv 1903.12261),
# who give one set for pictures of 32 pixels (CIFAR-10-C) and one for 224 (ImageNet-C). Between the two sizes
# they lie between the two, on the scale of the logarithm of the shorter side; outside, the nearer set holds.
_SMALL, _LARGE = 32, 224
#: By strength, at 32 and at 224 pixels: standard deviation and brightness as shares of the full range,
#: blur in pixels, JPEG quality.
_SEVERITIES: dict[str, tuple[tuple[float, float], ...]] = {
    "gaussian noise": ((0.04, 0.08), (0.08, 0.18), (0.10, 0.38)),
    "blur": ((0.4, 1.0), (0.7, 3.0), (1.0, 6.0)),
    "brightness": ((0.05, 0.1), (0.15, 0.3), (0.3, 0.5)),
    "jpeg": ((80, 25), (58, 15), (40, 7)),
}


def severity(name: str, strength: int, side: int) -> float:
    """Size of a corruption for pictures whose shorter side has so many pixels."""
    small, large = _SEVERITIES[name][strength - 1]
    place = math.log(min(max(side, _SMALL), _LARGE) / _SMALL) / math.log(_LARGE / _SMALL)
    return small + place * (large - small)


def worsened(pixels: np.ndarray, name: str, strength: int, rng: np.random.Generator) -> bytes:
    """Corrupt a picture, uint8 (height, width, 1 or 3), and encode it: as JPEG for `jpeg`, else as PNG."""
    import cv2

    from evenly.features.images import encode_images

    size = severity(name, strength, min(pixels.shape[:2]))
    if name == "jpeg":
        return _jpeg(pixels, round(size))
    if name == "gaussian noise":
        # Drawn for every channel by numpy: OpenCV's randn, given single numbers, fills the first of three
        # alone.
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        changed = pixels + noise * np.float32(255 * size)
    elif name == "blur":
        # A blurred single channel comes back without its axis.
        blurred = cv2.GaussianBlur(pixels, (0, 0), size, borderType=cv2.BORDER_REFLECT_101)
        changed = blurred.reshape(pixels.shape)
    else:
        changed = _brighter(pixels.astype(np.float32), 255 * size)
    return encode_images(np.rint(np.clip(changed, 0, 255)).astype(np.uint8)[None])[0]


def _brighter(pixels: np.ndarray, offset: float) -> np.ndarray:
    """Raise the value of hue, saturation and value, up to the top of the range; hue and saturation stay."""
    value = pixels.max(axis=2, keepdims=True)
    raised = np.minimum(value + offset, 255)
    return np.asarray(np.where(value > 0, pixels * raised / np.maximum(value, 1), raised))


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    import cv2

    stored = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, ::-1]
    ok, buffer = cv2.imencode(".jpg", np.ascontiguousarray(stored), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode an image of shape {pixels.shape}")
    return buffer.tobytes()
