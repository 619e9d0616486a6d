"""Where networks compute, in which precision, and how that is made repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from evenly.params.training import TrainingSettings


def place(network: nn.Module) -> None:
    """Move a network to the GPU where there is one, its filters in the order that convolutions like."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def uses_bf16(settings: TrainingSettings, network: nn.Module, device: torch.device) -> bool:
    """Whether to compute in bfloat16: when asked for, or with `auto` where it is faster for this network and
    device.

    On a CPU that is where the processor has matrix units for it (`amx_bf16`, or `avx512_bf16`) and the
    network says that it pays; on a GPU where it is native.
    """
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable: bool = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return bool(getattr(network, "bf16_pays", False)) and capable


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch and choose deterministic kernels inside the block; the generator outside stays as it was."""
    with (
        torch.random.fork_rng(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield
