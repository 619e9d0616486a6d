"""Image files as payload: a folder per class, or a manifest of file names; each is checked once, here."""

from __future__ import annotations

import contextlib
import os
import struct
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np

from evenly.datasets.sources import FileTree, Where
from evenly.errors import DataError
from evenly.wording import counted, first_names

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))

#: Endings of pictures that are not read; a class that has nothing else is refused.
_UNREAD = frozenset((
    ".avif", ".cr2", ".dng", ".emf", ".eps", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jpe",
    ".jp2", ".jxl", ".nef", ".pbm", ".pgm", ".ppm", ".psd", ".svg", ".tga",
))  # fmt: skip
#: Pixels above which a picture is refused before it is decoded: a small file can unfold to gigabytes.
MOST_PIXELS = 100_000_000

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
    read = {name.split("/")[0] for name in names}
    for name in tree.names:
        label, inside, _ = name.partition("/")
        if inside and label not in read and _suffix(name) in _UNREAD:
            own = [other for other in tree.names if other.startswith(f"{label}/")]
            raise DataError(
                f"The class {label!r} of {tree.title} has no picture that can be read, only "
                f"{_endings(own)}; convert them to PNG or JPEG, or take the folder away."
            )
    return names, [name.split("/")[0] for name in names]


def left_out(title: str, names: Sequence[str]) -> list[str]:
    """A warning about files that are no images: how many, with which ending, in which folders; or none."""
    if not names:
        return []
    folders = sorted({str(PurePosixPath(name).parent) for name in names} - {"."})
    where = f", in {first_names(folders, 5, '{!r}')}" if folders else ""
    if pictures := [name for name in names if _suffix(name) in _UNREAD]:
        where += f"; convert {first_names(pictures, 5, '{!r}')} to PNG or JPEG if they matter"
    verb = "is no image and was" if len(names) == 1 else "are no images and were"
    return [f"{counted(len(names), 'file')} below {title} {verb} left out: {_endings(names)}{where}."]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _endings(names: Sequence[str]) -> str:
    """Files by their ending, the most frequent first: `3 .gif, 1 .txt`."""
    counts = Counter(_suffix(name) or "without an ending" for name in names).most_common()
    return first_names([f"{number} {ending}" for ending, number in counts], 5)


def manifest_names(tree: FileTree, manifest: str, paths: Sequence[str], where: Where) -> list[str]:
    """Names in the tree of the images that a manifest lists, relative to itself or to the top of the tree."""
    # The same letters may be composed in the one and in parts in the other, as macOS writes names.
    known = {unicodedata.normalize("NFC", name): name for name in tree.names}
    beside = PurePosixPath(manifest).parent
    found: list[str] = []
    for row, path in enumerate(paths):
        listed = unicodedata.normalize("NFC", path.replace("\\", "/"))
        candidates = (str(beside / listed), str(PurePosixPath(listed)))
        name = next((known[candidate] for candidate in candidates if candidate in known), None)
        if name is None:
            raise DataError(f"{where(row)} names the image {path!r}, which is not in {tree.title}.")
        found.append(name)
    return found


def checked_images(
    read: Callable[[int], bytes], count: int, where: Where, moving: list[str] | None = None
) -> list[bytes]:
    """Encoded images, each decoded once to see that it can be.

    PNG and JPEG stay byte for byte as they are; what has another encoding becomes PNG, which loses nothing
    but all frames or pages after the first: `moving` gets the names of such files.
    """
    import cv2

    cv2.setNumThreads(1)
    # OpenCV releases the interpreter's lock while decoding; the files come back in order.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        images = list(pool.map(lambda row: _checked(read(row), row, where, moving), range(count)))
    if moving:
        moving.sort()
    return images


def first_frames(moving: Sequence[str]) -> tuple[str, ...]:
    """A warning that names files of which only the first frame or page is read; or none."""
    if not moving:
        return ()
    files = counted(len(moving), "image has", "images have")
    return (f"{files} several frames or pages, of which the first is read: {first_names(moving, 5)}.",)


def _several_frames(data: bytes) -> bool:
    """Whether an animation or a document of several pages, by what its head or its first directory says."""
    if data.startswith(_PNG):
        return b"acTL" in data[:200]
    if data.startswith(b"GIF8"):
        return _gif_frames(data) > 1
    if data[:4] == b"RIFF" and data[12:16] == b"VP8X":
        return bool(data[20] & 2)
    if data[:4] in (b"II*\0", b"MM\0*"):
        order = "<" if data.startswith(b"II") else ">"
        start = struct.unpack_from(f"{order}I", data, 4)[0]
        entries = struct.unpack_from(f"{order}H", data, start)[0]
        return bool(struct.unpack_from(f"{order}I", data, start + 2 + 12 * entries)[0])
    return False


def _gif_frames(data: bytes) -> int:
    """How many pictures a GIF holds: blocks that begin with a comma, behind the sub-blocks of others."""

    def palette(packed: int) -> int:
        return 3 << (packed & 7) + 1 if packed & 0x80 else 0

    frames, at = 0, 13 + palette(data[10])
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            frames += 1
            at += 11 + palette(data[at + 9])
        else:
            at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return frames


def _checked(data: bytes, row: int, where: Where, moving: list[str] | None) -> bytes:
    import cv2

    kept = data.startswith((_PNG, _JPEG))
    width, height = stated_size(data) or (0, 0)
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{where(row)} unfolds to {width:,}×{height:,} pixels, more than {MOST_PIXELS // 10**6} million; "
            "shrink or remove it."
        )
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
    with contextlib.suppress(struct.error, IndexError):
        if moving is not None and _several_frames(data):
            moving.append(where(row))
    if kept:
        return data
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{where(row)} has {pixels.dtype} pixels, which PNG cannot keep; convert it to PNG or JPEG."
        )
    try:
        return cv2.imencode(".png", pixels)[1].tobytes()
    except cv2.error as error:
        raise DataError(
            f"{where(row)} has a kind of pixels that PNG cannot keep; convert it to PNG or JPEG."
        ) from error


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the head of a PNG, JPEG, BMP, WebP or TIFF; None where they cannot be told."""
    try:
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<HH" if data[14] == 12 else "<ii", data, 18)
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data, "<" if data.startswith(b"II") else ">")
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (SOF0 to SOF15); other segments are passed over by their length."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        alone = marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9
        at += 1 if alone else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """From the extended, lossless or lossy form of a WebP's first chunk."""
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes, order: str) -> tuple[int, int] | None:
    """From the tags 256 and 257 of the first directory, as short or long integers."""
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    sides: dict[int, int] = {}
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from(f"{order}H", data, start)[0], 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (256, 257):
            (sides[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return (sides[256], sides[257]) if len(sides) == 2 else None
