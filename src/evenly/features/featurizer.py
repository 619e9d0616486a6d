"""What every featurizer can do, and which one a data set gets. The featurizers themselves have a module each:
`images` and `lite0` for images, `tfidf` and `encoder` for text, `columns` for tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evenly.errors import DataError, EvenlyError
from evenly.features.vectors import DESCRIPTION, present_payload
from evenly.files import read_sealed
from evenly.params.features import FeatureSettings
from evenly.samples import SampleTable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

REMEDY = "run `dvc repro featurize` to make it anew"


class Featurizer(Protocol):
    """Fitted on training rows; turns any rows of that data set into vectors, and vectors into rows."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Give vectors, float32 (n, dimension), finite; a row that carries a `vector` keeps that."""

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Payload columns of samples that stand at these vectors (n, dimension), for a sample table.

        Pixels come back as PNG, tables as columns of their types, texts and the vectors of an encoder as a
        null text or image with a `vector`.
        """

    def save(self, folder: str | Path) -> None:
        """Write everything to a folder, as JSON and npz; the same featurizer gives the same bytes."""


def fit_featurizer(
    train: SampleTable, settings: FeatureSettings, seed: int, cache: Path | None = None
) -> Featurizer:
    """Fit the featurizer of the samples' modality.

    Parameters
    ----------
    train
        Training rows, and only those. Their order does not matter.
    settings
        The section of the modality is used.
    seed
        For the randomised decomposition of text features.
    cache
        Folder for vectors of an encoder, which cost time; None computes them each time.

    Raises
    ------
    DataError
        When there is no row, or one whose payload cannot be read.
    ModelError
        When the weights of an encoder cannot be had.
    """
    if not len(train):
        raise DataError("There is no training row to fit features on.")
    train = train.sorted_by_id()
    if train.modality == "image":
        from evenly.features.images import becomes_vectors, fit_pixels

        if becomes_vectors(present_payload(train), settings.image):
            from evenly.features.lite0 import fit_lite0

            return fit_lite0(train, settings.image, cache)
        return fit_pixels(train, settings.image)
    if train.modality == "table":
        from evenly.features.columns import fit_columns

        return fit_columns(train, settings.table)
    if settings.text.method == "encoder":
        from evenly.features.encoder import fit_encoder

        return fit_encoder(settings.text, cache)
    from evenly.features.tfidf import fit_lsa

    return fit_lsa(train, settings.text, seed)


def load_featurizer(folder: str | Path, cache: Path | None = None) -> Featurizer:
    """Read a featurizer that `save` wrote; `cache` as in `fit_featurizer`.

    Raises
    ------
    DataError
        When the folder holds none, or one that is damaged or of another format.
    """
    description = _description(folder)
    try:
        return _featurizer(description, Path(folder), cache)
    except EvenlyError:
        raise
    except Exception as error:  # whatever the damage happens to break
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{folder} is damaged ({type(error).__name__}: {why}); {REMEDY}.") from error


def encodes_images(folder: str | Path) -> bool:
    """Whether a saved featurizer makes vectors of a pretrained encoder of images."""
    return bool(_description(folder)["kind"] == "lite0")


def _description(folder: str | Path) -> Mapping[str, Any]:
    path = Path(folder) / DESCRIPTION
    try:
        return read_sealed(path, DataError, REMEDY)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run `dvc repro featurize` to make it.") from None


def _featurizer(description: Mapping[str, Any], folder: Path, cache: Path | None) -> Featurizer:
    match description["kind"]:
        case "pixels":
            from evenly.features.images import Pixels

            return Pixels.from_description(description)
        case "lite0":
            from evenly.features.lite0 import ImageEncoder

            return ImageEncoder.from_description(description, cache)
        case "columns":
            from evenly.features.columns import Columns

            return Columns.from_description(description)
        case "tfidf_lsa":
            from evenly.features.tfidf import load_lsa

            return load_lsa(folder, description)
        case "encoder":
            from evenly.features.encoder import Encoder

            return Encoder.from_description(description, cache)
    raise DataError(f"{folder / DESCRIPTION} describes an unknown kind of features; {REMEDY}.")
