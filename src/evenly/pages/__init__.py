"""Reports as one HTML file that needs nothing else: a plain dict becomes a page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evenly.figures import hover_marks

#: A number as cells show it, perhaps with a sign or a mark before it, a unit after it, and more in brackets.
_NUMBER = re.compile(r"[×<]?([+−-]?)((?:\d[\d,]*)?\.?\d+)(?: ?(?:%|s|min|h))?\*?(?: \([^()]*\))?")

#: What sentences set apart, as Markdown has it.
_CODE = re.compile("`([^`]+)`")


def page_html(context: Mapping[str, Any]) -> str:
    """Lay out a report; its styles and pictures are in it, and no address of anything outside.

    Tables can be sorted and words of pictures show under the pointer where scripts run; nothing is said that
    needs one. A policy in the head lets the browser run this one script, by its checksum, and load nothing.

    Parameters
    ----------
    context
        Strings, numbers, lists and dicts, all of them escaped:

            title, summary   text
            facts            pairs of a name and a value, shown under the title
            sections         each with a `title` and `blocks`
            refresh          seconds after which the page loads itself anew; left out or 0 for never

        A block is a dict with one of these keys:

            text             a paragraph; in it and in remarks, `words` are code
            remarks          sentences
            numbers          tiles, each with `label`, `value` and perhaps `note`
            table            rows of cells; with `columns`, and perhaps `caption`
            figures          pictures, see `figure`
            details          blocks that a click opens; with `summary`, and perhaps `open`

        A cell is text, a number, None, or a dict with `text` and perhaps `note` (small print below it),
        `mark` (`better` or `worse`), `words` (true for a longer text), `image` (bytes of a small picture) and
        `link` (an address of a board).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    templates.filters["dash"] = lambda value: "–" if value is None else value
    templates.filters["code"] = lambda text: Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
    templates.filters["data_address"] = data_address
    templates.filters["sort_keys"] = _sort_keys
    templates.filters["is_words"] = lambda cell: (
        isinstance(cell, Mapping) and bool(cell.get("words") or cell.get("image"))
    )
    house = {"style": Markup(_part("page.css")), "script": Markup(_script())}
    whole = {"refresh": 0, **house, "policy": policy(_checksum(_part("page.css"))), **context}
    return templates.get_template("page.html.jinja").render(whole) + "\n"


def figure(picture: str | Path | bytes, alt: str, caption: str = "", *, wide: bool = False) -> dict[str, Any]:
    """Give a PNG file as a page's figure, with the words it carries; a `wide` one takes the whole width."""
    png = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    size, marks = hover_marks(png)
    return {"png": png, "alt": alt, "caption": caption, "wide": wide, "size": size, "marks": marks}


def section(title: str, *blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Give a section of a page; empty blocks are left out."""
    return {"title": title, "blocks": [block for block in blocks if block]}


def data_address(image: bytes) -> str:
    """An address that holds a picture itself."""
    kinds = {b"\xff\xd8": "jpeg", b"RI": "webp", b"GI": "gif", b"BM": "bmp"}
    return f"data:image/{kinds.get(image[:2], 'png')};base64,{base64.b64encode(image).decode('ascii')}"


def policy(style: str = "'unsafe-inline'") -> str:
    """What a browser may do with a page of this house: run its one script, show its styles, load nothing."""
    return (
        f"default-src 'none'; img-src data:; style-src {style}; script-src {_checksum(_script())}; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _script() -> str:
    return _part("tablesort.min.js") + _part("page.js")


def _checksum(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _sort_keys(rows: Sequence[Sequence[Any]]) -> list[list[float | str] | None]:
    """For each column what its cells are sorted by, "" for none, where all are numbers; else None."""
    keys: list[list[float | str] | None] = []
    for column in zip(*rows, strict=False):
        cells = [cell.get("text") if isinstance(cell, Mapping) else cell for cell in column]
        found = ["" if cell in (None, "", "–") else _number(cell) for cell in cells]
        numbers = [key for key in found if key is not None]
        keys.append(numbers if len(numbers) == len(found) and any(key != "" for key in numbers) else None)
    return keys


def _number(cell: Any) -> float | None:
    if isinstance(cell, int | float):
        return float(cell)
    if (match := _NUMBER.fullmatch(str(cell).strip())) is None:
        return None
    value = float(match[2].replace(",", ""))
    return -value if match[1] in ("−", "-") else value
