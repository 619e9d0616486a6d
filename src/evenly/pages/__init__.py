"""Reports as one HTML file that needs nothing else: a plain dict becomes a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def page_html(context: Mapping[str, Any]) -> str:
    """Lay out a report; its styles and pictures are in it, and no address of anything outside.

    Parameters
    ----------
    context
        Strings, numbers, lists and dicts, all of them escaped:

            title, summary   text
            facts            pairs of a name and a value, shown under the title
            sections         each with a `title` and `blocks`

        A block is a dict with one of these keys:

            text             a paragraph
            remarks          sentences
            numbers          tiles, each with `label`, `value` and perhaps `note`
            table            rows of cells; with `columns`, and perhaps `caption`
            figures          pictures, see `figure`

        A cell is text, a number, None, or a dict with `text` and perhaps `note` (small print below it) and
        `mark` (`better` or `worse`).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    templates.filters["dash"] = lambda value: "–" if value is None else value
    templates.filters["base64"] = lambda png: base64.b64encode(png).decode("ascii")
    return templates.get_template("page.html.jinja").render(context) + "\n"


def figure(picture: str | Path, alt: str, caption: str = "", *, wide: bool = False) -> dict[str, Any]:
    """Give a PNG file as a page's figure; a `wide` one takes the whole width of the page."""
    return {"png": Path(picture).read_bytes(), "alt": alt, "caption": caption, "wide": wide}


def section(title: str, *blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Give a section of a page; empty blocks are left out."""
    return {"title": title, "blocks": [block for block in blocks if block]}
