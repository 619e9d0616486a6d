"""Stored images: decoded, transformed and encoded again, in this process or in several."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import cv2

from evenly.augmentation.lineage import Descent, Offspring
from evenly.errors import DataError
from evenly.features.images import decode_images, encode_images
from evenly.params.augmentation import Policy
from evenly.samples import SampleTable
from evenly.transforms.drawing import draw_parameters
from evenly.transforms.pixels import apply

#: Below this many images, starting processes takes longer than they save.
_WORTH_PROCESSES = 8_000
#: Images that a process makes before it asks for more.
_TASK_SIZE = 500

_Job = tuple[bytes, Descent]


def image_offspring(
    rows: SampleTable, turns: Sequence[Descent], policy: Policy, seed: int, workers: int | None = None
) -> list[Offspring]:
    """Copy and transform the parent for each of `turns`, in their order and at the parent's own size."""
    if workers is None:
        workers = _cores() if len(turns) >= _WORTH_PROCESSES else 1
    # Brothers and sisters side by side, so that their parent is decoded once.
    order = sorted(range(len(turns)), key=lambda k: turns[k].parent.position)
    jobs = [(rows.images[turns[k].parent.position] or b"", turns[k]) for k in order]
    make = partial(_transformed, policy=policy, seed=seed)
    if workers == 1:
        made = make(jobs)
    else:
        # Fresh processes: a fork would copy the locks of Arrow's threads in whatever state they are.
        tasks = [jobs[k : k + _TASK_SIZE] for k in range(0, len(jobs), _TASK_SIZE)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            made = list(itertools.chain(*pool.map(make, tasks)))
    images = dict(zip(order, made, strict=True))
    return [Offspring(turn, {"image": images[k][0]}, images[k][1]) for k, turn in enumerate(turns)]


def _transformed(jobs: Sequence[_Job], policy: Policy, seed: int) -> list[tuple[bytes, dict[str, Any]]]:
    """PNG bytes and drawn parameters of every job."""
    cv2.setNumThreads(1)
    made = []
    for parent, group in itertools.groupby(jobs, key=lambda job: job[1].parent):
        siblings = list(group)
        try:
            image = decode_images([siblings[0][0]])[0]
        except DataError as error:
            raise DataError(
                f"The image of training row {parent.id!r} cannot be decoded; it must be a PNG or JPEG file."
            ) from error
        for _, descent in siblings:
            parameters = draw_parameters(policy, image.shape, descent.stream(seed))
            made.append((encode_images(apply(image, parameters)[None])[0], parameters))
    return made


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
