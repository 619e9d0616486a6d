"""A report as one HTML file that needs nothing else: a plain dict becomes a page. Its words come from others.

The context is made of strings, numbers, lists and dicts:

    title, summary   text
    facts            pairs of a name and a value, shown under the title
    sections         each with a `title` and `blocks`

A block is a dict with one of these keys:

    text             a paragraph
    remarks          sentences
    numbers          tiles, each with `label`, `value` and perhaps `note`
    table            rows of cells; with `columns`, and perhaps `caption`
    figures          pictures, each with `png` (bytes), `alt`, and perhaps `caption` and `wide`

A cell is text, a number, None, or a dict with `text` and perhaps `note` (small print below it) and `mark`
(`better` or `worse`). All text is escaped here: none of it is HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evenly.evaluation.report_style import STYLE

Context = Mapping[str, Any]


def report_html(context: Context) -> str:
    """Lay out a report.

    Parameters
    ----------
    context
        As described at the top of this module.

    Returns
    -------
    str
        A complete page: styles and pictures are in it, and no address of anything outside.
    """
    title = _text(context["title"])
    facts = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in context["facts"]
    )
    sections = list(context["sections"])
    links = "".join(f'<a href="#s{i}">{_text(section["title"])}</a>' for i, section in enumerate(sections))
    body = "\n".join(_section(f"s{i}", section) for i, section in enumerate(sections))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="summary">{_text(context["summary"])}</p>
<dl>{facts}</dl>
<nav>{links}</nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _section(anchor: str, section: Mapping[str, Any]) -> str:
    blocks = "\n".join(map(_block, section["blocks"]))
    return f'<section id="{anchor}">\n<h2>{_text(section["title"])}</h2>\n{blocks}\n</section>'


def _block(block: Mapping[str, Any]) -> str:
    if "text" in block:
        return f"<p>{_text(block['text'])}</p>"
    if "remarks" in block:
        return "<ul>" + "".join(f"<li>{_text(remark)}</li>" for remark in block["remarks"]) + "</ul>"
    if "numbers" in block:
        return '<div class="numbers">' + "".join(map(_tile, block["numbers"])) + "</div>"
    if "table" in block:
        return _table(block["columns"], block["table"], block.get("caption"))
    return '<div class="figures">' + "".join(map(_figure, block["figures"])) + "</div>"


def _tile(tile: Mapping[str, Any]) -> str:
    return f"<div><span>{_text(tile['label'])}</span><b>{_text(tile['value'])}</b>{_note(tile)}</div>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str | None) -> str:
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{_cell(row[0])}</th>{"".join(map(_data, row[1:]))}</tr>\n' for row in rows
    )
    table = f"{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"
    return f'<div class="scroll"><table>{table}</table></div>'


def _data(cell: Any) -> str:
    mark = cell.get("mark") if isinstance(cell, Mapping) else None
    return f'<td class="{escape(mark)}">{_cell(cell)}</td>' if mark else f"<td>{_cell(cell)}</td>"


def _cell(cell: Any) -> str:
    return _text(cell["text"]) + _note(cell) if isinstance(cell, Mapping) else _text(cell)


def _note(block: Mapping[str, Any]) -> str:
    return f"<small>{_text(block['note'])}</small>" if block.get("note") else ""


def _figure(figure: Mapping[str, Any]) -> str:
    picture = base64.b64encode(figure["png"]).decode("ascii")
    caption = f"<figcaption>{_text(figure['caption'])}</figcaption>" if figure.get("caption") else ""
    image = f'<img alt="{_text(figure["alt"])}" src="data:image/png;base64,{picture}">'
    opening = '<figure class="wide">' if figure.get("wide") else "<figure>"
    return f"{opening}{image}{caption}</figure>"


def _text(value: Any) -> str:
    return "–" if value is None else escape(str(value))
