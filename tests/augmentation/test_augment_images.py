"""Transforms of pixels, and the drawing of their parameters."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.params.augmentation import Policy
from evenly.params.base import read_yaml
from evenly.transforms.drawing import draw_parameters
from evenly.transforms.pixels import apply, transform_images

STRONG = Policy.model_validate(read_yaml("params.yaml")["policies"]["image_strong"])
#: Every transform at once, each time.
EVERYTHING = Policy.model_validate(
    {
        name: {**value, "probability": 1} if isinstance(value, dict) and name != "flip" else value
        for name, value in STRONG.model_dump().items()
    }
)


def image_policy(**transforms) -> Policy:
    return Policy.model_validate({"modality": "image", **transforms})


def noise_image(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def gradient(height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * 3 + y * 2 + 20 * c + 40) % 256 for c in range(channels)], axis=-1).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    border=st.sampled_from(["reflect", "replicate", "constant"]),
    seed=st.integers(0, 2**32),
)
def test_any_image_keeps_its_shape_and_type_and_is_not_written_to(height, width, channels, border, seed):
    image = noise_image(seed, (height, width, channels))
    before = image.copy()
    policy = EVERYTHING.model_copy(update={"border": border})
    parameters = draw_parameters(policy, image.shape, np.random.default_rng(seed))
    out = apply(image, parameters)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert np.array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), channels=st.sampled_from([1, 3]))
def test_recorded_parameters_reproduce_the_pixels(seed, channels):
    image = noise_image(seed, (17, 23, channels))
    parameters = draw_parameters(EVERYTHING, image.shape, np.random.default_rng(seed))
    recorded = json.loads(json.dumps(parameters))
    first = apply(image, parameters)
    apply(noise_image(1, (9, 9, 1)), draw_parameters(EVERYTHING, (9, 9, 1), np.random.default_rng(1)))
    assert np.array_equal(apply(image, recorded), first)


def test_a_policy_that_draws_nothing_returns_the_same_pixels():
    images = noise_image(0, (4, 8, 8, 3))
    assert np.array_equal(transform_images(images, image_policy(), np.random.default_rng(0)), images)
    never = image_policy(rotate={"degrees": 90, "probability": 0}, noise={"strength": 1, "probability": 0})
    assert np.array_equal(transform_images(images, never, np.random.default_rng(0)), images)


@pytest.mark.parametrize(
    "neutral",
    [
        {"rotate": 0.0, "border": "constant"},
        {"shift": [0.0, 0.0], "scale": 1.0, "crop": [0.0, 0.0, 1.0], "border": "reflect"},
        {"brightness": 0.0, "contrast": 1.0, "hue": 0.0, "saturation": 1.0},
        {"elastic": {"cells": 4, "seed": 1, "share": 0.0}, "border": "replicate"},
    ],
)
def test_neutral_parameters_change_no_pixel(neutral):
    image = noise_image(3, (13, 18, 3))
    assert np.array_equal(apply(image, neutral), image)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"flip": "horizontal"}, lambda a: a[:, ::-1]),
        ({"flip": "vertical"}, lambda a: a[::-1]),
        ({"flip": "both"}, lambda a: a[::-1, ::-1]),
        ({"rotate": 180.0}, lambda a: a[::-1, ::-1]),
        ({"crop": [0.25, 0.5, 0.25], "scale": 0.25, "shift": [-0.125, 0.125]}, lambda a: a),
    ],
)
def test_geometry_puts_pixels_where_it_says(parameters, expected):
    """The last case shrinks the picture to the quarter that the window then enlarges: back where it was."""
    image = gradient(16, 16)
    out = apply(image, {**parameters, "border": "reflect"})
    assert np.abs(out.astype(int) - expected(image)).max() <= (1 if "rotate" in parameters else 0)


def test_a_quarter_turn_is_counter_clockwise():
    image = gradient(16, 16)
    out = apply(image, {"rotate": 90.0, "border": "reflect"})
    assert np.abs(out.astype(int) - np.rot90(image)).max() <= 1


def test_a_shift_moves_right_and_down_by_a_share_of_the_side():
    image = gradient(20, 40)
    out = apply(image, {"shift": [0.25, 0.5], "border": "constant", "border_value": 7})
    assert np.array_equal(out[10:, 10:], image[:10, :30])
    assert (out[:10] == 7).all()
    assert (out[:, :10] == 7).all()


def test_a_crop_shows_its_window():
    image = gradient(32, 32)
    image[8:16, 16:24] = 255
    out = apply(image, {"crop": [0.5, 0.25, 0.25], "border": "reflect"})
    assert (out[4:-4, 4:-4] == 255).all()


def test_a_shear_slants_vertical_lines_and_keeps_the_middle_row():
    image = np.zeros((33, 33, 1), dtype=np.uint8)
    image[:, 16] = 255
    out = apply(image, {"shear": 45.0, "border": "constant"})[..., 0]
    assert out[16].argmax() == 16
    assert out[8].argmax() == 8
    assert out[24].argmax() == 24


def test_colours_stay_grey_where_they_are_grey():
    grey = np.repeat(noise_image(0, (8, 8, 1)), 3, axis=2)
    out = apply(grey, {"hue": 77.0, "saturation": 1.7})
    assert np.abs(out.astype(int) - grey).max() <= 1


def test_a_third_of_a_turn_of_hue_makes_red_green():
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    assert apply(red, {"hue": 120.0})[0, 0].tolist() == [0, 200, 0]
    assert apply(red, {"saturation": 0.0})[0, 0].tolist() == [67, 67, 67]


def test_brightness_and_contrast_do_what_they_say_and_saturate():
    image = np.array([[[50], [150]]], dtype=np.uint8)
    assert apply(image, {"brightness": 0.2})[0, :, 0].tolist() == [101, 201]
    assert apply(image, {"contrast": 0.5})[0, :, 0].tolist() == [75, 125]
    assert apply(image, {"contrast": 2.0, "brightness": 0.4})[0, :, 0].tolist() == [102, 255]


def test_noise_has_the_strength_it_says_and_no_bias():
    image = np.full((128, 128, 3), 128, dtype=np.uint8)
    difference = apply(image, {"noise": {"seed": 5, "strength": 0.05}}).astype(float) - 128
    for channel in range(3):
        assert abs(difference[..., channel].mean()) < 0.5
        assert difference[..., channel].std() == pytest.approx(0.05 * 255, rel=0.03)
    assert abs(np.corrcoef(difference.reshape(-1, 3).T)[0, 1]) < 0.05


def test_a_cutout_covers_its_box_with_the_mean_or_the_border_value():
    image = gradient(20, 20)
    box = {"box": [1.0, 0.0, 0.3, 0.5]}
    assert (apply(image, {"cutout": {**box, "value": 9}})[:10, 14:] == 9).all()
    filled = apply(image, {"cutout": box})
    assert np.array_equal(filled[0, -1], np.rint(image.mean(axis=(0, 1))))
    assert np.array_equal(filled[10:], image[10:])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_drawn_parameters_stay_in_the_ranges_of_the_policy(seed):
    policy, drawn = EVERYTHING, draw_parameters(EVERYTHING, (64, 64, 3), np.random.default_rng(seed))
    assert abs(drawn["rotate"]) <= policy.rotate.degrees
    assert abs(drawn["shear"]) <= policy.shear.degrees
    assert max(map(abs, drawn["shift"])) <= policy.shift.share
    assert policy.scale.low - 1e-4 <= drawn["scale"] <= policy.scale.high + 1e-4
    left, top, window = drawn["crop"]
    assert 1 - policy.crop.share <= window <= 1
    assert min(left, top) >= 0
    assert max(left, top) + window <= 1 + 2e-4
    assert abs(drawn["brightness"]) <= policy.brightness.strength
    assert abs(drawn["contrast"] - 1) <= policy.contrast.strength + 1e-9
    assert abs(drawn["hue"]) <= policy.hue.degrees
    assert abs(drawn["saturation"] - 1) <= policy.saturation.strength + 1e-9
    assert drawn.get("blur", 0) <= policy.blur.share
    assert drawn["elastic"]["share"] <= policy.elastic.share
    assert max(drawn["cutout"]["box"][2:]) <= policy.cutout.share


def test_each_transform_is_drawn_as_often_as_its_probability_says():
    policy = image_policy(
        flip={"horizontal": 0.25},
        rotate={"degrees": 10, "probability": 0.6},
        noise={"strength": 0.1, "probability": 0.1},
    )
    rng = np.random.default_rng(0)
    drawn = [draw_parameters(policy, (32, 32, 3), rng) for _ in range(4000)]
    for name, share in {"flip": 0.25, "rotate": 0.6, "noise": 0.1}.items():
        assert np.mean([name in parameters for parameters in drawn]) == pytest.approx(share, abs=0.03)


def test_a_transform_more_leaves_the_draws_of_the_others_as_they_are():
    rotate = {"degrees": 10, "probability": 0.5}
    alone = image_policy(rotate=rotate)
    beside = image_policy(rotate=rotate, shift={"share": 0.1}, noise={"strength": 0.1}, flip={"vertical": 1})
    for seed in range(30):
        first = draw_parameters(alone, (32, 32, 3), np.random.default_rng(seed))
        second = draw_parameters(beside, (32, 32, 3), np.random.default_rng(seed))
        assert first.get("rotate") == second.get("rotate")


def test_what_cannot_change_an_image_is_not_drawn():
    policy = image_policy(hue={"degrees": 90}, saturation={"strength": 0.9}, blur={"share": 0.01})
    assert draw_parameters(policy, (8, 8, 1), np.random.default_rng(0)) == {}
    assert set(draw_parameters(policy, (200, 200, 3), np.random.default_rng(0))) == {
        "hue",
        "saturation",
        "blur",
    }


def test_a_stack_of_images_may_be_cut_anywhere():
    images = noise_image(0, (9, 16, 16, 3))
    whole = transform_images(images, STRONG, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    parts = [transform_images(part, STRONG, rng) for part in (images[:2], images[2:3], images[3:])]
    assert np.array_equal(whole, np.concatenate(parts))
    assert len({image.tobytes() for image in whole}) == 9


def test_an_empty_stack_stays_empty():
    assert transform_images(np.empty((0, 8, 8, 1), np.uint8), STRONG, np.random.default_rng(0)).shape == (
        0,
        8,
        8,
        1,
    )


@pytest.mark.parametrize("name", ["image_light", "image_standard", "image_strong", "digits"])
def test_small_digits_stay_closer_to_their_own_class(policies, name):
    """Down to 8×8 pixels, labels are preserved: the nearest centroid still reads most transformed digits."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
    centroids = np.stack([images[data.target == k].mean(axis=0).ravel() for k in range(10)])

    def accuracy(pixels: np.ndarray) -> float:
        flat = pixels.reshape(len(pixels), -1).astype(float)
        nearest = ((flat[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        return float((nearest == data.target).mean())

    out = transform_images(images, policies[name].restricted_to_flips("none"), np.random.default_rng(0))
    floor = {"image_light": 0.8, "image_standard": 0.65, "image_strong": 0.4, "digits": 0.55}[name]
    assert accuracy(images) > 0.89
    assert accuracy(out) > floor
    assert np.mean((out != images).any(axis=(1, 2, 3))) > 0.95
