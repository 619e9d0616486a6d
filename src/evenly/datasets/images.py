"""Image files as payload: a folder per class, or a manifest of file names; each is checked once, here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from evenly.datasets.sources import FileTree
from evenly.errors import DataError

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


def is_image(name: str) -> bool:
    """Whether a file name ends as an image's does."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def folder_images(tree: FileTree) -> tuple[list[str], list[str]]:
    """Names and labels of the images of a folder per class (`class/picture.jpg`)."""
    names = [name for name in tree.names if is_image(name)]
    if not names:
        raise DataError(
            f"{tree.title} holds no images; put them in one folder per class, as class/picture.jpg."
        )
    for name in names:
        if name.count("/") != 1:
            raise DataError(
                f"{tree.title_of(name)} does not lie in a class folder directly below {tree.title}; images "
                "must lie as class/picture.jpg."
            )
    return names, [name.split("/")[0] for name in names]


def manifest_names(
    tree: FileTree, manifest: str, paths: Sequence[str], where: Callable[[int], str]
) -> list[str]:
    """Names in the tree of the images that a manifest lists, relative to itself or to the top of the tree."""
    known = set(tree.names)
    beside = PurePosixPath(manifest).parent
    found: list[str] = []
    for row, path in enumerate(paths):
        listed = path.replace("\\", "/")
        candidates = (str(beside / listed), str(PurePosixPath(listed)))
        name = next((candidate for candidate in candidates if candidate in known), None)
        if name is None:
            raise DataError(f"{where(row)} names the image {path!r}, which is not in {tree.title}.")
        found.append(name)
    return found


def checked_images(read: Callable[[int], bytes], count: int, where: Callable[[int], str]) -> list[bytes]:
    """Encoded images, each decoded once to see that it can be.

    PNG and JPEG stay byte for byte as they are; what has another encoding becomes PNG, which loses nothing.
    """
    import cv2

    cv2.setNumThreads(1)
    # OpenCV releases the interpreter's lock while decoding; the files come back in order.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda row: _checked(read(row), row, where), range(count)))


def _checked(data: bytes, row: int, where: Callable[[int], str]) -> bytes:
    import cv2
    import numpy as np

    kept = data.startswith((_PNG, _JPEG))
    # A check needs no pixels: JPEG decodes about three times faster at an eighth of its size.
    flag = cv2.IMREAD_REDUCED_GRAYSCALE_8 if data.startswith(_JPEG) else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(
            f"{where(row)} is not a readable image (empty, damaged or of an unknown kind); mend or remove it."
        )
    if kept:
        return data
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{where(row)} has {pixels.dtype} pixels, which PNG cannot keep; convert it to PNG or JPEG."
        )
    return cv2.imencode(".png", pixels)[1].tobytes()
