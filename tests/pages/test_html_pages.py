"""A page shows every kind of block, and takes no value for markup."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from evenly.figures import hover, hover_marks, new_figure, save_figure
from evenly.pages import figure, page_html, section

PNG = cv2.imencode(".png", np.zeros((2, 3), np.uint8))[1].tobytes()
MARKUP = '<i>"it\'s" & more</i>'
ESCAPED = "&lt;i&gt;&#34;it&#39;s&#34; &amp; more&lt;/i&gt;"


def page(*blocks: dict[str, object]) -> str:
    return page_html({"title": "t", "summary": "s", "facts": [], "sections": [section("Part", *blocks)]})


def script_of(source: str) -> str:
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    return str(script)


def test_the_browser_may_run_the_script_of_the_house_and_load_nothing() -> None:
    source = page({"text": "</script><script>alert(1)</script>"})
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', source)
    assert policy is not None
    allowed = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy[1]).split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"
    for kind, text in (
        ("script", script_of(source)),
        ("style", source.split("<style>")[1].split("</style>")[0]),
    ):
        checksum = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[f"{kind}-src"] == f"'sha256-{checksum}'"
    assert not re.search(r" style=| on[a-z]+=", source.split("<body>")[1].split("<script>")[0])


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        ([".053", "−.012", "1.204"], ["0.053", "-0.012", "1.204"]),
        (["1,204", "–", None], ["1204.0", "", ""]),
        (["17%", "×0.3", "12 min"], ["17.0", "0.3", "12.0"]),
        ([{"text": "+.5", "note": "p .1"}, 3], ["0.5", "3.0"]),
        (["+.059 (.051 to .068)", ".9 *"[:2] + "*"], ["0.059", "0.9"]),
        (["smote", "1"], None),
        (["3-1-1", "2"], None),
    ],
)
def test_a_column_of_numbers_is_sorted_as_numbers(cells: list[object], keys: list[str] | None) -> None:
    source = page({"table": [["a", cell] for cell in cells], "columns": ["", "b"]})
    assert re.findall(r'<td data-sort="([^"]*)">', source) == (keys or [])
    assert ('data-sort-method="number"' in source) == (keys is not None)


def test_words_travel_in_a_picture_to_where_they_show(tmp_path: Path) -> None:
    drawn, (axes,) = new_figure(3, 2)
    axes.bar([0, 1], [2, 1])
    for place, rows in enumerate((2, 1)):
        hover(axes, (place - 0.4, 0, place + 0.4, rows), f"班 {place}</title>: {rows} rows")
    hover(axes, (0, 2, 0, 2), "a point")
    save_figure(drawn, tmp_path / "a.png")
    size, marks = hover_marks((tmp_path / "a.png").read_bytes())
    pixels = cv2.imread(str(tmp_path / "a.png"))
    assert pixels is not None
    assert size == (pixels.shape[1], pixels.shape[0])
    assert [mark[4] for mark in marks] == ["班 0</title>: 2 rows", "班 1</title>: 1 rows", "a point"]
    (left, top, width, height, _), other, point = marks
    # In the middle of the first bar is its colour, and right above the second one there is none.
    assert pixels[top + height // 2, left + width // 2].tolist() == [0xB2, 0x72, 0x00]
    assert pixels[other[1] - 6, other[0] + other[2] // 2].tolist() == [255, 255, 255]
    assert point[2] >= 10
    source = page({"figures": [figure(tmp_path / "a.png", "alt")]})
    assert (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}"><title>班 0&lt;/title&gt;: 2 rows<'
        in source
    )


def test_a_table_has_notes_marks_and_dashes_for_what_is_not_there() -> None:
    row = ["noise", {"text": "0.9", "note": "0.8–1.0", "mark": "worse"}, {"text": None}, None, 0]
    source = page({"table": [row], "columns": ["", "1", "2", "3", "4"], "caption": "Rows"})
    assert (
        '<th scope="row">noise</th><td class="worse" data-sort="0.9">0.9<small>0.8–1.0</small></td>' in source
    )
    assert '<td>–</td><td>–</td><td data-sort="0.0">0</td>' in source
    assert "<caption>Rows</caption>" in source


def test_tiles_pictures_and_sentences_are_laid_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    source = page(
        {"numbers": [{"label": "Tokens", "value": "1,200"}]},
        {"figures": [figure(tmp_path / "a.png", "alt", wide=True), figure(tmp_path / "a.png", "b", "below")]},
        {"remarks": ["one", "two"]},
        {},
    )
    assert "<span>Tokens</span><b>1,200</b></div>" in source
    assert source.count("data:image/png;base64," + base64.b64encode(PNG).decode()) == 2
    assert source.count('<figure class="wide">') == source.count("<figcaption>below</figcaption>") == 1
    assert "<li>one</li><li>two</li>" in source


def test_commands_in_sentences_are_set_as_code_and_still_escaped() -> None:
    source = page({"text": "Run `a <b>`."}, {"remarks": ["`c`, not ` d"]})
    assert "<p>Run <code>a &lt;b&gt;</code>.</p>" in source
    assert "<li><code>c</code>, not ` d</li>" in source


def test_values_are_text_wherever_they_stand() -> None:
    blocks = [
        {"text": MARKUP},
        {"remarks": [MARKUP]},
        {"numbers": [{"label": MARKUP, "value": MARKUP, "note": MARKUP}]},
        {"table": [[MARKUP, {"text": MARKUP, "note": MARKUP}]], "columns": [MARKUP, ""], "caption": MARKUP},
        {
            "figures": [
                {
                    "png": b"",
                    "alt": MARKUP,
                    "caption": MARKUP,
                    "marks": [[1, 2, 3, 4, MARKUP]],
                    "size": (9, 9),
                }
            ]
        },
        {"details": [{"text": MARKUP}], "summary": MARKUP},
    ]
    source = page_html(
        {
            "title": MARKUP,
            "summary": MARKUP,
            "facts": [(MARKUP, MARKUP)],
            "sections": [section(MARKUP, *blocks)],
        }
    )
    assert "<i>" not in source
    assert (
        hashlib.sha256(script_of(source).encode()).digest()
        == hashlib.sha256(script_of(page()).encode()).digest()
    )
    # The title stands in the head and in the body, that of the section in its own place and among the links.
    assert source.count(ESCAPED) == 2 + 1 + 2 + 2 + 1 + 1 + 3 + 4 + 1 + 3 + 2


def test_a_page_without_one_of_its_parts_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="summary"):
        page_html({"title": "t", "facts": [], "sections": []})
