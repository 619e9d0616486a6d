from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import DataError
from evenly.features.images import decode_images, encode_images, image_shape


def noise(n: int, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 99))
def test_png_gives_back_the_same_pixels(height: int, width: int, channels: int, seed: int) -> None:
    pixels = noise(2, height, width, channels, seed)
    back = decode_images(encode_images(pixels), channels=channels)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, pixels)


def test_the_same_pixels_give_the_same_bytes() -> None:
    assert encode_images(noise(3, 8, 8, 3)) == encode_images(noise(3, 8, 8, 3))


def test_channels_are_red_green_blue() -> None:
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    stored = cv2.imdecode(np.frombuffer(encode_images(red)[0], np.uint8), cv2.IMREAD_COLOR)
    assert stored[0, 0].tolist() == [0, 0, 255]  # OpenCV's order is blue, green, red
    np.testing.assert_array_equal(decode_images(encode_images(red)), red)


def test_grey_stored_as_colour_counts_as_grey() -> None:
    grey = np.repeat(noise(2, 5, 4, 1), 3, axis=3)
    images = encode_images(grey)
    assert image_shape(images) == (5, 4, 1)
    np.testing.assert_array_equal(decode_images(images), grey[..., :1])


def test_shape_is_common_size_else_32_and_colour_when_one_image_is() -> None:
    assert image_shape(encode_images(noise(2, 7, 9, 1))) == (7, 9, 1)
    assert image_shape(encode_images(noise(1, 7, 9, 1)) + encode_images(noise(1, 8, 9, 3))) == (32, 32, 3)


def test_resizing_averages_areas_when_shrinking() -> None:
    checkers = np.indices((8, 8)).sum(axis=0) % 2 * 254
    small = decode_images(encode_images(checkers.astype(np.uint8)[None, :, :, None]), size=(4, 4))
    assert small.shape == (1, 4, 4, 1)
    assert (small == 127).all()


def test_16_bit_and_transparent_images_become_8_bit() -> None:
    deep = np.full((3, 3), 65535, np.uint16)
    clear = np.full((3, 3, 4), 255, np.uint8)
    images = [cv2.imencode(".png", image)[1].tobytes() for image in (deep, clear)]
    assert (decode_images(images) == 255).all()


def test_an_unreadable_image_is_named() -> None:
    images = [*encode_images(noise(1, 4, 4, 1)), b"no image"]
    with pytest.raises(DataError, match="Image 1 cannot be decoded"):
        decode_images(images)
    with pytest.raises(DataError, match="Image 1 cannot be decoded"):
        image_shape(images)


def test_different_sizes_without_a_size_are_refused() -> None:
    with pytest.raises(DataError, match="give a size"):
        decode_images(encode_images(noise(1, 4, 4, 1)) + encode_images(noise(1, 5, 4, 1)))


def test_no_images_decode_to_an_empty_array() -> None:
    assert decode_images([], size=(4, 5), channels=3).shape == (0, 4, 5, 3)
