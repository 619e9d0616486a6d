"""Documentation leads where it says, and knows the settings, metrics and rules that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from evenly.evaluation.decisions import fitted_rules
from evenly.evaluation.metrics import HEADLINE
from evenly.params.evaluation import EvaluateSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """The text of a page without its code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def broken_links(pages: list[Path]) -> Iterator[str]:
    for page in pages:
        for link in _LINK.findall(prose(page)):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                yield f"{page.relative_to(ROOT)}: {link}"


def test_every_link_and_anchor_of_the_documentation_leads_somewhere(tmp_path: Path) -> None:
    assert list(broken_links(PAGES)) == []
    assert sum(len(_LINK.findall(prose(page))) for page in PAGES) > 30


def test_every_page_stands_in_the_contents_of_the_site() -> None:
    listed = {name.lstrip("/") for name in re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text())}
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if "docs" in page.parts}
    assert pages <= listed


def test_the_page_on_evaluation_has_every_setting_with_its_default_every_metric_and_every_rule() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    shipped = YAML(typ="safe").load(ROOT / "params.yaml")["evaluate"]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", text, flags=re.MULTILINE))
    assert set(EvaluateSettings.model_fields) <= set(rows)
    for key, value in shipped.items():
        assert rows[key].strip() == json.dumps(value).strip('"'), key
    assert [name for name in HEADLINE if f"`{name}`" not in text] == []
    draws = np.random.default_rng(0).dirichlet(np.ones(2), 40)
    prior = np.array([0.8, 0.2])
    y = np.tile([0, 1], 20)
    rules = fitted_rules(y, draws, effective=prior, deployment=prior, weights=None, shrinkage=5)
    assert [rule.name for rule in rules if f"| `{rule.name}` |" not in text] == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    if find_spec("material") is None or find_spec("mkdocstrings") is None:
        pytest.skip("the site needs the extra `docs`; `make docs` installs it and builds")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
