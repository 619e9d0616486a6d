"""Images in the three forms that generators need: pixels 0..255, a signal in −1..1, flat vectors in 0..1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def as_signal(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Pixels uint8 (n, h, w, c) as float32 (n, c, h, w) in −1..1."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pixels(signal: Tensor) -> np.ndarray:
    """Give the signal (n, c, h, w), clipped and rounded, as uint8 (n, h, w, c)."""
    levels = ((signal.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def as_vectors(pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 (n, h, w, c) as float32 (n, h × w × c) in 0..1."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
