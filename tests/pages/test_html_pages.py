"""A page shows every kind of block, and takes no value for markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from evenly.pages import figure, page_html, section

MARKUP = '<i>"it\'s" & more</i>'
ESCAPED = "&lt;i&gt;&#34;it&#39;s&#34; &amp; more&lt;/i&gt;"


def page(*blocks: dict[str, object]) -> str:
    return page_html({"title": "t", "summary": "s", "facts": [], "sections": [section("Part", *blocks)]})


def test_a_table_has_notes_marks_and_dashes_for_what_is_not_there() -> None:
    row = ["noise", {"text": "0.9", "note": "0.8–1.0", "mark": "worse"}, {"text": None}, None, 0]
    source = page({"table": [row], "columns": ["", "1", "2", "3", "4"], "caption": "Rows"})
    assert '<th scope="row">noise</th><td class="worse">0.9<small>0.8–1.0</small></td>' in source
    assert "<td>–</td><td>–</td><td>0</td>" in source
    assert "<caption>Rows</caption>" in source


def test_tiles_pictures_and_sentences_are_laid_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    source = page(
        {"numbers": [{"label": "Tokens", "value": "1,200"}]},
        {"figures": [figure(tmp_path / "a.png", "alt", wide=True), figure(tmp_path / "a.png", "b", "below")]},
        {"remarks": ["one", "two"]},
        {},
    )
    assert "<span>Tokens</span><b>1,200</b></div>" in source
    assert source.count("data:image/png;base64,cG5n") == 2
    assert source.count('<figure class="wide">') == source.count("<figcaption>below</figcaption>") == 1
    assert "<li>one</li><li>two</li>" in source


def test_values_are_text_wherever_they_stand() -> None:
    blocks = [
        {"text": MARKUP},
        {"remarks": [MARKUP]},
        {"numbers": [{"label": MARKUP, "value": MARKUP, "note": MARKUP}]},
        {"table": [[MARKUP, {"text": MARKUP, "note": MARKUP}]], "columns": [MARKUP, ""], "caption": MARKUP},
        {"figures": [{"png": b"", "alt": MARKUP, "caption": MARKUP}]},
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
    # The title stands in the head and in the body, that of the section in its own place and among the links.
    assert source.count(ESCAPED) == 2 + 1 + 2 + 2 + 1 + 1 + 3 + 5 + 2


def test_a_page_without_one_of_its_parts_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="summary"):
        page_html({"title": "t", "facts": [], "sections": []})
