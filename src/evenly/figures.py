"""One quiet house style for every picture, and PNG files whose bytes depend on nothing but what was drawn.

What is drawn lives with those who draw it. Nothing here touches matplotlib's global state: pictures are made
on the Agg canvas, without pyplot, and the style holds in `house_style`, `new_figure` and `save_figure` only.
"""

from __future__ import annotations

import json
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's colours, told apart with any kind of colour vision; the first four also in grey print.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
INK, MUTED, FAINT = "#1f2430", "#6b7280", "#d9dce1"
#: Pixels per inch of every PNG.
DPI = 110
#: Of the text chunk with the words of a picture; and the pixels that a part with words has at least.
_WORDS, _SMALLEST = b"Hover\0", 12.0

# Families that hold Chinese, Japanese and Korean glyphs, as the common systems name them.
_CJK_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Noto Serif CJK SC", "Noto Serif CJK JP", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip


def house_style() -> AbstractContextManager[None]:
    """Give a context inside which everything drawn has the house style."""
    import matplotlib

    return matplotlib.rc_context(_style())


def new_figure(
    width: float = 6.4, height: float = 4.0, *, rows: int = 1, columns: int = 1, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure of so many inches in the house style; its panels come row by row.

    `grid` is what `matplotlib.figure.Figure.subplots` takes (`sharey`, `width_ratios`, …).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, list(axes.ravel())


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a PNG atomically: no time, no version in it, so that the same picture gives the same bytes."""
    with house_style(), atomic_write(path) as temporary, warnings.catch_warnings():
        # Without a font for a script its letters are drawn as boxes; a warning for each of them helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Unlike `savefig` this draws once, since size and resolution are those of the figure.
        figure.canvas.print_png(temporary, metadata={"Software": None})  # type: ignore[attr-defined]
        if marks := _marks(figure):
            temporary.write_bytes(_with_words(temporary.read_bytes(), marks))


def hover(axes: Axes, box: tuple[float, float, float, float], words: str) -> None:
    """Give a part of a picture words that a page shows under the pointer.

    The part is left, bottom, right and top in data; a point has no size. The words travel in the
    PNG file itself, so that a page has them wherever the picture comes from.
    """
    from matplotlib.patches import Rectangle

    left, bottom, right, top = box
    part = Rectangle((left, bottom), right - left, top - bottom, visible=False, gid=words, in_layout=False)
    axes.add_artist(part)


def hover_marks(png: bytes) -> tuple[tuple[int, int] | None, list[list[Any]]]:
    """Size of a PNG file, and its parts with words: left, top, width, height (all in pixels), words."""
    size, marks = None, []
    for kind, content in _chunks(png):
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
        elif kind == b"tEXt" and content.startswith(_WORDS):
            marks = json.loads(content[len(_WORDS) :])
    return size, marks


def shortened(names: Sequence[str], width: int = 22) -> list[str]:
    """Cut names to about `width` Latin letters (a Chinese character counts two) for the labels of an axis."""
    cut = [_cut(name, width) for name in names]
    return [
        short if cut.count(short) == 1 else _cut_middle(name, width)
        for short, name in zip(cut, names, strict=True)
    ]


def legend_columns(figure: Figure, labels: Sequence[str]) -> int:
    """Entries of a legend beside each other that are no wider than the figure; at least one."""
    inches = 0.55 + 0.066 * max(map(_width, labels), default=0)
    return int(min(max(1, figure.get_figwidth() // inches), max(1, len(labels))))


def name_rows(axes: Axes, rows: Sequence[tuple[str, int]]) -> None:
    """Name the rows of a horizontal chart, the first on top, each with a number in brackets."""
    names = shortened([name for name, _ in rows], 30)
    labels = [f"{name}  ({count})" for name, (_, count) in zip(names, rows, strict=True)]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _marks(figure: Figure) -> list[list[Any]]:
    height, marks = round(figure.bbox.height), []
    for part in figure.findobj(lambda artist: artist.get_gid() is not None):
        x, y, width, tall = (float(v) for v in part.get_window_extent().bounds)
        # A point, or a bar of nothing, is given something to be pointed at.
        more, higher = max(0.0, _SMALLEST - width), max(0.0, _SMALLEST - tall)
        box = (x - more / 2, height - y - tall - higher / 2, width + more, tall + higher)
        marks.append([*map(round, box), part.get_gid()])
    return marks


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _with_words(png: bytes, marks: list[list[Any]]) -> bytes:
    """The same PNG file with the marks in a text chunk behind its first chunk, which has 33 bytes."""
    chunk = b"tEXt" + _WORDS + json.dumps(marks, separators=(",", ":")).encode()
    return (
        png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    )


def _cut(name: str, width: int) -> str:
    if _width(name) <= width:
        return name
    room = accumulate((_width(letter) for letter in name), initial=0)
    return name[: sum(used <= width - 1 for used in room) - 1].rstrip() + "…"


def _cut_middle(name: str, width: int) -> str:
    """Both ends of a name, for names that begin alike."""
    if _width(name) <= width:
        return name
    half = max(2, (width - 1) // 2)
    return _cut(name, half + 1).removesuffix("…") + "…" + _cut(name[::-1], half + 1).removesuffix("…")[::-1]


def _width(text: str) -> int:
    return sum(2 if ord(letter) >= 0x2E80 else 1 for letter in text)


@lru_cache(maxsize=1)
def _style() -> Any:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    cjk = [family for family in _CJK_FAMILIES if family in installed][:1]
    return {
        "font.family": ["DejaVu Sans", *cjk],
        "font.size": 9,
        "text.color": INK,
        # Class names are data: a dollar sign in one is no formula.
        "text.parse_math": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.labelcolor": MUTED,
        "axes.labelsize": 9,
        "axes.edgecolor": FAINT,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": f"cycler('color', {list(PALETTE)})",
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "figure.facecolor": "white",
        "figure.constrained_layout.w_pad": 0.08,
        "figure.constrained_layout.h_pad": 0.08,
        "savefig.facecolor": "white",
    }
