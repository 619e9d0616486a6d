"""How samples become vectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from evenly.params.base import Settings


class ImageFeatures(Settings):
    """Pixels, scaled to 0..1 and flattened, or vectors of a frozen network that was trained on photographs.

    `encoder` is EfficientNet-Lite0, which the extra `lite0` brings. `auto` takes it for photographs (half of
    the training images have sides of 48 pixels or more) where the extra is there, else pixels.
    """

    method: Literal["auto", "pixels", "encoder"] = "auto"
    #: Height and width in pixels. None: the size of the training images where all have the same (their longer
    #: side brought down to 64 where it is larger), else 32. `encoder`: their longer side, 96 to 224.
    size: Annotated[int, Field(ge=2, le=512)] | None = None
    #: `auto` is `grey` where every training image is grey.
    channels: Literal["auto", "grey", "colour"] = "auto"


class TextFeatures(Settings):
    """Latent semantic analysis of word and character n-grams, or vectors of a frozen pretrained encoder."""

    method: Literal["lsa", "encoder"] = "lsa"
    #: `encoder`: which network, as `minilm`, a hub id, or a folder.
    encoder: Annotated[str, Field(min_length=1)] = "minilm"
    #: `encoder`: tokens of a text that are read.
    max_length: Annotated[int, Field(ge=4, le=8192)] = 128
    #: `lsa`: length of the vectors, fewer where the training texts span fewer.
    dimensions: Annotated[int, Field(ge=2, le=4096)] = 256
    #: `lsa`: of word n-grams and of character n-grams, the most frequent this many are kept.
    max_terms: PositiveInt = 20_000


class TableFeatures(Settings):
    """Scaled numbers, booleans as 0 and 1, categories one-hot."""

    #: Of each category column, the most frequent this many values get a column of their own; the rest are all
    #: zeros.
    max_categories: PositiveInt = 64


class FeatureSettings(Settings):
    """What `featurize` makes of each modality."""

    image: ImageFeatures = ImageFeatures()
    text: TextFeatures = TextFeatures()
    table: TableFeatures = TableFeatures()
