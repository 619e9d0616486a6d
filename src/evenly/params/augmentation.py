"""Augmentation policies: which label-preserving transforms are drawn, how often, and how strong.

A policy only says what may be drawn. Drawing and applying live in `evenly.augmentation`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from evenly.params.base import Settings

Probability = Annotated[float, Field(ge=0, le=1)]
Border = Literal["reflect", "replicate", "constant"]
#: Which mirror images of a data set's pictures keep their label.
FlipAxes = Literal["none", "horizontal", "vertical", "both"]

# Lengths are shares of the picture's side, so that one policy serves 8 and 800 pixels.


class Transform(Settings):
    """What every transform but the mirror images has: the probability with which it is drawn."""

    probability: Probability = 1.0


class Flip(Settings):
    """Mirror images, each direction with its own probability."""

    horizontal: Probability = 0.0
    vertical: Probability = 0.0


class Rotate(Transform):
    """Rotation about the centre by an angle uniform in ± `degrees`."""

    degrees: Annotated[float, Field(ge=0, le=180)]


class Shift(Transform):
    """Translation, each direction uniform in ± `share` of the side."""

    share: Annotated[float, Field(ge=0, le=0.5)]


class Scale(Transform):
    """Zoom about the centre by a factor log-uniform between `low` and `high` (above 1 enlarges)."""

    low: Annotated[float, Field(ge=0.1, le=10)]
    high: Annotated[float, Field(ge=0.1, le=10)]

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and above high, {self.high}")
        return self


class Shear(Transform):
    """Slant of the vertical lines by an angle uniform in ± `degrees`."""

    degrees: Annotated[float, Field(ge=0, le=60)]


class Crop(Transform):
    """A window that leaves out up to `share` of each side, anywhere, brought back to full size."""

    share: Annotated[float, Field(ge=0, le=0.9)]


class Strength(Transform):
    """A change of levels or colours by up to `strength`; the policy says of what."""

    strength: Annotated[float, Field(ge=0, le=1)]


class Hue(Transform):
    """Colours turned about the grey axis by an angle uniform in ± `degrees`; grey pictures stay grey."""

    degrees: Annotated[float, Field(ge=0, le=180)]


class Blur(Transform):
    """Gaussian blur with a standard deviation uniform up to `share` of the shorter side."""

    share: Annotated[float, Field(ge=0, le=0.2)]


class Cutout(Transform):
    """One rectangle, its sides up to `share` of the picture's, painted over (DeVries & Taylor 2017).

    It takes the border value where the border is `constant`, and the picture's mean colour otherwise.
    """

    share: Annotated[float, Field(ge=0, le=1)]


class Elastic(Transform):
    """Smooth local distortion (Simard et al. 2003): a `cells` × `cells` grid of nodes, moved at random.

    A node moves by a Gaussian with a standard deviation uniform up to `share` of the side; between nodes the
    movement is interpolated.
    """

    share: Annotated[float, Field(ge=0, le=0.2)]
    cells: Annotated[int, Field(ge=2, le=16)] = 4


class TokenEdit(Transform):
    """An edit of up to `share` of a text's tokens, at least one (α of Wei & Zou 2019)."""

    share: Annotated[float, Field(gt=0, le=0.5)]


class Jitter(Transform):
    """Gaussian noise on numbers, `noise` standard deviations wide, and exchanged booleans and categories.

    The standard deviation is that of the row's class, or of all training rows (`spread: overall`). Each
    number is touched with `probability`; each boolean or category is exchanged with probability `replace` for
    the value of a random row of the class.
    """

    noise: NonNegativeFloat = 0.1
    spread: Literal["class", "overall"] = "class"
    replace: Probability = 0.0


class _ImagePolicy(Settings):
    border: Border = "reflect"
    border_value: Annotated[int, Field(ge=0, le=255)] = 0
    flip: Flip | None = None
    rotate: Rotate | None = None
    shift: Shift | None = None
    scale: Scale | None = None
    shear: Shear | None = None
    crop: Crop | None = None
    elastic: Elastic | None = None
    #: All values raised or lowered by a share of the full range, uniform in ± `strength`.
    brightness: Strength | None = None
    #: Values stretched about the picture's mean level by a factor uniform in 1 ± `strength`.
    contrast: Strength | None = None
    hue: Hue | None = None
    #: Distance from grey multiplied by a factor uniform in 1 ± `strength`; grey pictures stay grey.
    saturation: Strength | None = None
    blur: Blur | None = None
    #: Independent Gaussian noise with a standard deviation uniform up to `strength` of the full range.
    noise: Strength | None = None
    cutout: Cutout | None = None


class _TextPolicy(Settings):
    delete: TokenEdit | None = None
    duplicate: TokenEdit | None = None
    swap: TokenEdit | None = None
    punctuate: TokenEdit | None = None


class _TablePolicy(Settings):
    jitter: Jitter | None = None


_KEYS = {
    "image": tuple(_ImagePolicy.model_fields),
    "text": tuple(_TextPolicy.model_fields),
    "table": tuple(_TablePolicy.model_fields),
}


class Policy(_TablePolicy, _TextPolicy, _ImagePolicy):
    """A distribution over label-preserving transforms for one modality. A transform left out is never drawn.

    `border` says what a warped picture shows beyond its edge: its mirror image, its last pixel, or the grey
    level `border_value`.
    """

    modality: Literal["image", "text", "table"]

    @model_validator(mode="after")
    def _of_one_modality(self) -> Policy:
        allowed = _KEYS[self.modality]
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        for name in sorted(given - {"modality", *allowed}):
            owner = next(modality for modality, keys in _KEYS.items() if name in keys)
            raise ValueError(
                f"{name} belongs to {owner} policies; a policy for modality {self.modality} has "
                f"{', '.join(allowed)}"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is never drawn, so that a transform added to this class changes no existing plan."""
        kept = ("modality", *_KEYS[self.modality])
        return {key: value for key, value in handler(self).items() if key in kept and value is not None}

    def restricted_to_flips(self, flip: FlipAxes) -> Policy:
        """Policy without the mirror images that would change a label of the data set."""
        if self.flip is None or flip == "both":
            return self
        allowed = Flip(
            horizontal=self.flip.horizontal if flip == "horizontal" else 0.0,
            vertical=self.flip.vertical if flip == "vertical" else 0.0,
        )
        return self.model_copy(update={"flip": allowed if allowed != Flip() else None})
