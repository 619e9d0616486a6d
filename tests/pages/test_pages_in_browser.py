"""A page in a real browser: it sorts, shows words, fits every width and paper, and runs nothing from data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Browser, headless_browser

from evenly.figures import hover, new_figure, save_figure
from evenly.pages import figure, page_html, section

HOSTILE = '</script></style><img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>\'"`'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with headless_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    drawn, (axes,) = new_figure(9, 2)
    axes.bar([0, 1], [2, 1])
    hover(axes, (-0.4, 0, 0.4, 2), HOSTILE)
    save_figure(drawn, folder / "a.png")
    scores = [
        ["smote", ".904", "12%"],
        ["none", "−.012", None],
        ["adasyn", "1.2", "5%"],
        [HOSTILE, "0", "1,000"],
    ]
    wide = [
        [f"class_with_a_rather_long_name_{i}", *[{"text": "0.912", "note": "0.85–0.97"}] * 14]
        for i in range(3)
    ]
    words = [[{"text": HOSTILE * 3, "words": True}] * 5] * 2
    page = {
        "title": HOSTILE,
        "summary": HOSTILE,
        "facts": [(HOSTILE, HOSTILE)] * 3,
        "sections": [
            section(HOSTILE, {"table": scores, "columns": ["Technique", "Macro F1", HOSTILE]}),
            section("Wide", {"table": wide, "columns": ["Class", *["Average precision"] * 14]}),
            section("Folded", {"details": [{"table": words, "columns": [HOSTILE] * 5}], "summary": HOSTILE}),
            section("Drawn", {"figures": [figure(folder / "a.png", HOSTILE, HOSTILE, wide=True)]}),
        ],
    }
    (folder / "page.html").write_text(page_html(page), encoding="utf-8")
    return (folder / "page.html").as_uri()


def column(browser: Browser, number: int) -> list[str]:
    cells = f"[...document.querySelectorAll('#s0 tbody tr')].map(row => row.cells[{number}].textContent)"
    return [str(cell) for cell in browser.value(cells)]


def click(browser: Browser, number: int) -> None:
    browser.value(f"document.querySelectorAll('#s0 thead th')[{number}].click()")


def test_a_click_sorts_numbers_as_numbers_and_what_is_missing_last(browser: Browser, address: str) -> None:
    browser.open(address)
    assert column(browser, 1) == [".904", "−.012", "1.2", "0"]
    click(browser, 1)
    assert column(browser, 1) == ["1.2", ".904", "0", "−.012"]
    click(browser, 1)
    assert column(browser, 1) == ["−.012", "0", ".904", "1.2"]
    click(browser, 2)
    assert column(browser, 2) == ["1,000", "12%", "5%", "–"]
    click(browser, 0)
    assert column(browser, 0)[1:] == ["adasyn", "none", "smote"]


def test_a_part_of_a_picture_says_what_it_is_under_the_pointer(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.value("document.querySelector('#tip').hidden") is True
    browser.value("document.querySelector('rect').scrollIntoView()")
    x, y = browser.value(
        "(() => { const r = document.querySelector('rect').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert browser.value("document.querySelector('#tip').hidden") is False
    assert browser.value("document.querySelector('#tip').textContent") == HOSTILE
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.value("document.querySelector('#tip').hidden") is True
    assert browser.value("document.querySelector('rect title').textContent") == HOSTILE


def test_nothing_from_data_runs_and_no_script_could(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.value("document.title") == " ".join(HOSTILE.split())
    assert browser.value("document.scripts.length") == 1
    smuggled = """(async () => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.hacked = 1">');
        await new Promise((done) => setTimeout(done, 200));
        return window.hacked === undefined;
    })()"""
    assert browser.value(smuggled) is True


@pytest.mark.parametrize("width", [420, 1280, 1920])
def test_the_page_is_no_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    browser.open(address, width)
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_on_paper_no_table_is_cut_and_what_is_folded_is_there(browser: Browser, address: str) -> None:
    browser.open(address, 690)  # A4 between its margins
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        edges = "[...document.querySelectorAll('table')].map(table => table.getBoundingClientRect().right)"
        assert max(browser.value(edges)) <= 691
        assert browser.value("document.querySelector('details').open") is False
        assert browser.value("document.querySelector('details table').getBoundingClientRect().height") > 30
        assert browser.value("document.querySelector('details table').checkVisibility()") is True
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_everything_is_there(browser: Browser, address: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address)
        assert browser.value("document.querySelector('#tip')") is None
        assert column(browser, 1) == [".904", "−.012", "1.2", "0"]
        assert browser.value("document.querySelector('rect title').textContent") == HOSTILE
        assert browser.value("document.querySelector('details summary') !== null") is True
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
