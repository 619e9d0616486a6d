"""Where networks compute: threads, device, precision, repeatable kernels, and processes side by side.

torch is imported where it is used: models on vectors need the threads alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from evenly.params.training import TrainingSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

T = TypeVar("T")


@contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Compute with this many threads inside the block: torch, where it is loaded, BLAS and OpenMP."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(limits=threads):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch and choose deterministic kernels inside the block; the generator outside stays as it was."""
    import torch

    with (
        torch.random.fork_rng(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


def place(network: nn.Module) -> None:
    """Move a network to the GPU where there is one, its filters in the order that convolutions like."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def uses_bf16(settings: TrainingSettings, network: nn.Module, device: torch.device) -> bool:
    """Whether to compute in bfloat16: when asked for, or with `auto` where it is faster.

    On a CPU that is where the processor has matrix units for it (`amx_bf16`, or `avx512_bf16`) and the
    network says that it pays; on a GPU where it is native.
    """
    import torch

    if settings.precision != "auto":
        return settings.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable: bool = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return bool(getattr(network, "bf16_pays", False)) and capable


class Processes:
    """The processes of one training, of which `accelerate launch` may have started several.

    Every process takes its share of each batch, so that the batches are the same whatever their number; only
    the main process, number 0, writes.
    """

    def __init__(self) -> None:
        import torch
        from accelerate import Accelerator

        threads = torch.get_num_threads()
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.count: int = self.accelerator.num_processes
        self.number: int = self.accelerator.process_index
        self.device: torch.device = self.accelerator.device
        # Where it finds several processes on CPUs, it shares the cores out; results depend on the number.
        torch.set_num_threads(threads)

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.number == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """Rows of a batch that this process takes; all of them where there is one process."""
        return rows if self.count == 1 else np.array_split(rows, self.count)[self.number]

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Module whose gradients are averaged over the processes; itself where there is one."""
        if self.count == 1:
            return module
        if self.device.type == "cuda":
            from torch import nn

            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            module = convert(module)
        wrapped: nn.Module = self.accelerator.prepare_model(module)
        return wrapped

    def total(self, value: Tensor) -> Tensor:
        """Sum of a scalar over the processes."""
        if self.count == 1:
            return value
        total: Tensor = self.accelerator.reduce(value.detach(), "sum")
        return total

    def joined(self, part: Tensor, rows: int) -> Tensor:
        """All rows in order, from parts of equal length that are rows of each process in turn."""
        if self.count == 1:
            return part
        gathered: Tensor = self.accelerator.gather(part)
        return gathered[:rows]

    def from_main(self, value: T) -> T:
        """Value of the main process, in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        values: list[Any] = [value]
        broadcast_object_list(values)
        received: T = values[0]
        return received
