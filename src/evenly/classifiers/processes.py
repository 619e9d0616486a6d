"""Where this process stands among those of one training, which `accelerate launch` may have started.

Every process takes its share of each batch, so that the batches are the same whatever their number; only
the main process writes.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

T = TypeVar("T")


class Processes:
    """The processes of one training, of which this is one.

    Attributes
    ----------
    accelerator
        What talks to the others.
    count
        How many there are.
    number
        Which one this is; 0 is the main process.
    device
        What this one computes on.
    """

    def __init__(self) -> None:
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
        if self.count == 1:
            return rows
        return np.array_split(rows, self.count)[self.number]

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Module whose gradients are averaged over the processes; itself where there is one."""
        if self.count == 1:
            return module
        if self.device.type == "cuda":
            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            module = convert(module)
        wrapped: nn.Module = self.accelerator.prepare_model(module)
        return wrapped

    def total(self, value: Tensor) -> Tensor:
        """Sum of a scalar over the processes."""
        if self.count == 1:
            return value
        summed: Tensor = self.accelerator.reduce(value.detach(), "sum")
        return summed

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
