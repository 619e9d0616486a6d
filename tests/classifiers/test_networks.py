from __future__ import annotations

import pytest
import torch
from torch import nn

from evenly.classifiers.networks.bodies import channel_shuffle, shufflenet_v2_body, small_cnn_body
from evenly.classifiers.networks.modalities import CosineHead, ImageNetwork, Normalise


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("width", "millions"), [("0.5x", 1.4), ("1.0x", 2.3)])
def test_shufflenet_has_the_parameters_of_table_8_of_its_paper(width: str, millions: float) -> None:
    body, dimension = shufflenet_v2_body(3, 224, width)
    assert round((parameters(body) + 1000 * (dimension + 1)) / 1e6, 1) == millions


@pytest.mark.parametrize(("side", "last"), [(224, 7), (64, 8), (32, 4)])
def test_shufflenet_keeps_the_resolution_of_small_images_in_its_stem(side: int, last: int) -> None:
    body, _ = shufflenet_v2_body(3, side, "0.5x")
    maps = body[:-1](torch.zeros(2, 3, side, side))  # type: ignore[index]
    assert maps.shape == (2, 1024, last, last)


def test_channel_shuffle_interleaves_the_halves() -> None:
    maps = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert channel_shuffle(maps).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("shape", [(4, 4, 1), (8, 8, 1), (9, 17, 3), (64, 48, 3), (224, 224, 3)])
@pytest.mark.parametrize(
    "build", [lambda c, s: small_cnn_body(c, s, 8), lambda c, s: shufflenet_v2_body(c, s, "0.5x")]
)
def test_networks_score_images_of_any_size(shape: tuple[int, int, int], build) -> None:  # type: ignore[no-untyped-def]
    height, width, channels = shape
    body, dimension = build(channels, max(height, width))
    network = ImageNetwork(body, dimension, channels, classes=5)
    pixels = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    features = network.features(pixels)
    assert features.shape == (2, dimension)
    network.eval()
    torch.testing.assert_close(network(pixels), network.head(network.features(pixels)))


def test_normalisation_standardises_the_training_pixels_by_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (20, 5, 7, 3), dtype=torch.uint8, generator=generator)
    pixels[..., 2] = 9  # a channel without variation
    normalise = Normalise(3)
    normalise.fit(pixels)
    out = normalise(pixels)
    assert out.shape == (20, 3, 5, 7)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, :2].std((0, 2, 3), correction=0), torch.ones(2))
    assert (out[:, 2] == 0).all()


def test_cosine_head_gives_scaled_cosines_whatever_the_lengths() -> None:
    head = CosineHead(6, 4, scale=30.0)
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    expected = 30 * nn.functional.cosine_similarity(x[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(10 * x), head(x))
