"""The ways of the README, typed from beginning to end on made data; the scripts beside hold the commands.

The first two run as a newcomer's shell would; what the others run are forks (tests/forked.py).
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from travelling import HERE, ROOT, clean_environment, travel

from tests import forked
from tests.pipeline.projects import first_run_of_all


def write_table(path: Path, rows: int = 240) -> None:
    """Numbers of three classes, one of them scarce."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    labels = draws.choice(["billing", "fault", "praise"], rows, p=[0.6, 0.3, 0.1])
    centres = {"billing": 0.0, "fault": 2.0, "praise": 4.0}
    lines = [f"{draws.normal(centres[one]):.3f},{draws.normal(-centres[one]):.3f},{one}" for one in labels]
    path.write_text("\n".join(["length,mood,intent", *lines]) + "\n", encoding="utf-8")


def test_the_wheel_carries_the_package_and_what_init_lays(installed: Path) -> None:
    (wheel,) = (installed.parent / "wheel").glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/evenly").rglob("*")}
    of_package = {name for name in sources if (ROOT / "src" / name).is_file() and "__pycache__" not in name}
    assert not of_package - held
    assert {f"evenly/project/{name}" for name in ("dvc.yaml", ".dvc/config", "stages/split.py")} <= held
    assert not [name for name in held if name.startswith(("tests", "src", "docs")) or name.endswith(".pyc")]
    where = subprocess.run(
        [installed / "python", "-c", "import evenly; print(evenly.__file__)"],
        cwd="/", env=clean_environment(installed), check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_scripts_type_what_the_readme_says_for_both_ways() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    own = readme.split("## Your own data")[1].split("\n## ")[0]
    typed = {
        " ".join(words) for words in re.findall(r"^    (evenly|make|git) (\w+)", own, flags=re.MULTILINE)
    }
    assert {"evenly init", "git clone", "make run", "evenly add", "evenly advise", "evenly sweep"} <= typed
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in HERE.glob("*.sh")}
    assert {"evenly init", "evenly add", "evenly advise", "evenly sweep"} == {
        command for command in typed if command in scripts["init"]
    }
    assert typed - {"evenly init"} == {
        command for command in typed if command in scripts["clone"] + scripts["own_csv"]
    }


def test_from_a_repository_of_ones_own(installed: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "tickets.csv")
    told = travel("init.sh", tmp_path, installed)
    root = tmp_path / "mine"
    assert ".gitignore was there" in told and (root / "ours.py").read_text() == "print('ours')\n"
    assert (root / ".gitignore").read_text().startswith("*.log\n")
    assert "[2/2]" in told and "0 broken" not in told
    assert (root / "predictions.csv").read_text().count("\n") == 241
    assert (root / "handed_over" / "README.md").is_file() and (root / "reports/comparison.md").is_file()


def test_from_a_clone_to_a_review_with_the_bytes_that_another_clone_has(
    installed: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = travel("clone.sh", tmp_path, installed)
    assert "Macro F1" in told and "adasyn" in told
    show = ["git", "show", "main:dvc.lock"]
    committed = subprocess.run(show, cwd=tmp_path / "evenly", check=True, capture_output=True, text=True)
    elsewhere = first_run_of_all(tmp_path_factory)[0].root / "dvc.lock"
    here, there = (YAML(typ="safe").load(text) for text in (committed.stdout, elsewhere.read_text()))
    assert len(here["stages"]) == 15 and here == there
    travel("review.sh", tmp_path, installed)
    report = (tmp_path / "evenly" / "reports" / "diff.md").read_text(encoding="utf-8")
    assert "balancing" in report and "adasyn" in report and "Macro F1" in report


def test_with_a_csv_of_ones_own(installed: Path, tmp_path: Path) -> None:
    words = {"billing": "invoice money card", "fault": "broken screen crash", "praise": "thanks great love"}
    draws = np.random.default_rng(0)
    lines = []
    for label in draws.choice(list(words), 150, p=[0.6, 0.3, 0.1]):
        text = draws.choice(
            [*words[label].split(), *["the", "a", "my", "your", "please", "again", "today", "now"]], 9
        )
        lines.append(f"{' '.join(text)} {len(lines)},{label}")
    (tmp_path / "tickets.csv").write_text("\n".join(["body,intent", *lines]) + "\n")
    told = travel("own_csv.sh", tmp_path, installed, forked.commands())
    assert "[2/2]" in told and "random_oversampling" in told
    assert (tmp_path / "evenly" / "reports" / "comparison.html").stat().st_size > 0


def test_with_images_of_ones_own(installed: Path, tmp_path: Path) -> None:
    import cv2

    draws = np.random.default_rng(0)
    for label, count in (("plain", 40), ("striped", 30), ("spotted", 12)):
        (tmp_path / "leaves" / label).mkdir(parents=True)
        for k in range(count):
            picture = draws.integers(0, 60, (12, 12), dtype=np.uint8)
            picture[:: 3 if label == "striped" else 12] += 150
            if label == "spotted":
                cv2.circle(picture, (6, 6), 3, 230, -1)
            cv2.imwrite(str(tmp_path / "leaves" / label / f"{k}.png"), picture)
    travel("own_images.sh", tmp_path, installed, forked.commands())
    assert (tmp_path / "evenly" / "predictions.csv").read_text().count("\n") == 13
