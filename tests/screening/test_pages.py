from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from evenly.samples import SampleTable
from evenly.screening import PLOT_COLUMNS
from evenly.screening.checks.realism import variance_ratio
from evenly.screening.checks.texts import compression_ratio, distinct_n
from evenly.screening.pages import write_pages
from tests.screening.conftest import Splits, make_texts, number_table, text_table


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_tells_counts_reasons_and_warnings_and_comes_out_the_same_twice(
    texts: Splits, tmp_path: Path
) -> None:
    rows = [*make_texts(61, {"card": 12, "loan": 5}), ("rain", ""), ("rain", str(texts.test.texts[0]))]
    screening = texts.screen(text_table(rows, "new-", "llm"))
    for name in ("one", "two"):
        folder = tmp_path / name
        write_pages(screening, folder / "reports", folder / "plots/filter", share=0.2, seed=0)
    made = digests(tmp_path / "one")
    assert made == digests(tmp_path / "two")
    assert set(made) == {
        "reports/augmentation.md",
        "reports/review_sample.csv",
        *(f"plots/filter/{name}" for name in PLOT_COLUMNS),
        *(f"plots/filter/{name.replace('.csv', '.png')}" for name in PLOT_COLUMNS),
    }
    page = (tmp_path / "one/reports/augmentation.md").read_text(encoding="utf-8")
    assert "19 candidates" in page
    assert "| rain | 2 | 2 | 0 | 2 |" in page
    assert "Class rain gains 0 of 2 samples" in page
    assert all(f"](../{name})" in page for name in made if name.endswith(".png"))


def test_the_tables_behind_the_pictures_add_up(texts: Splits, tmp_path: Path) -> None:
    rows = [*make_texts(62, {"card": 10}), ("rain", ""), ("loan", str(texts.test.texts[9]))]
    screening = texts.screen(text_table(rows, "new-", "llm"))
    write_pages(screening, tmp_path / "reports", tmp_path / "plots", share=0.2, seed=0)
    tables = {}
    for name, columns in PLOT_COLUMNS.items():
        with (tmp_path / "plots" / name).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            tables[name] = list(reader)
            assert tuple(reader.fieldnames or ()) == columns
    assert sum(int(row["rejected"]) for row in tables["rejections.csv"]) == len(screening.rejected)
    for name, sides in (("similarity.csv", ("real", "kept")), ("lengths.csv", ("real", "kept", "rejected"))):
        for side in sides:
            assert sum(float(row[side]) for row in tables[name]) == pytest.approx(1, abs=1e-4)
    sizes = {(row["class"], row["step"]): int(row["rows"]) for row in tables["class_distribution.csv"]}
    gained = {name: sizes[name, "kept"] - sizes[name, "train"] for name in screening.kept.classes}
    assert gained == screening.kept.counts


def test_what_a_sample_says_is_no_markdown(texts: Splits, tmp_path: Path) -> None:
    rude = "my card | **bold** <img src=x> [go](http://x.example) `code`\n# heading" + " card" * 200
    screening = texts.screen(text_table([("card", rude)], "new-", "llm"))
    write_pages(screening, tmp_path, tmp_path / "plots", share=0.2, seed=0)
    (line,) = [
        each for each in (tmp_path / "augmentation.md").read_text("utf-8").splitlines() if "bold" in each
    ]
    assert r"\|" in line and r"\*\*bold" in line and "<img" not in line and r"\[go\](" in line
    assert len(line) < 400


def test_a_screening_that_kept_nothing_has_a_page_too(texts: Splits, tmp_path: Path) -> None:
    screening = texts.screen(text_table([("card", "")], "new-", "llm"))
    write_pages(screening, tmp_path / "pages", tmp_path / "plots", share=0.1, seed=0)
    assert "1 rejected" in (tmp_path / "pages" / "augmentation.md").read_text(encoding="utf-8")
    assert (tmp_path / "plots" / "similarity.csv").read_text() == "nearest,real,kept\n"


def test_distinct_n_counts_different_ngrams() -> None:
    assert distinct_n(["a b a b", "A b"], 1) == pytest.approx(2 / 6)
    assert distinct_n(["a b a b", "a b"], 2) == pytest.approx(2 / 4)
    assert distinct_n(["我的卡", "我的狗"], 2) == pytest.approx(3 / 4)
    assert distinct_n(["", "a"], 2) == 0


def test_repetition_compresses() -> None:
    rng = random.Random(0)
    varied = ["".join(rng.choices("abcdefghijklmnop ", k=60)) for _ in range(100)]
    assert compression_ratio(varied[:1] * 100) > 10 * compression_ratio(varied) > 10
    assert compression_ratio([]) == 1


def test_variance_ratio_is_the_factor_of_the_spread() -> None:
    rng = np.random.default_rng(0)
    real, codes = rng.normal(size=(60, 4)), np.repeat([0, 1, 2], 20)
    assert variance_ratio(real / 2, codes, real, codes) == pytest.approx(0.25)
    assert variance_ratio(real[:1], codes[:1], real, codes) is None


def test_tables_and_images_have_pages_too(
    tables: Splits, images: tuple[Splits, SampleTable], tmp_path: Path
) -> None:
    made = number_table(60, 9, "new-", "gan")
    write_pages(tables.screen(made), tmp_path / "a", tmp_path / "a/plots", share=0.1, seed=0)
    splits, fresh = images
    broken = fresh.take([0]).with_column("image", [b"no image"]).with_column("id", ["broken"])
    screening = splits.screen(fresh.take(range(1, 60)), broken)
    write_pages(screening, tmp_path / "b", tmp_path / "b/plots", share=0.1, seed=0)
    for name in ("a", "b"):
        assert (tmp_path / name / "plots/similarity.png").exists()
        assert (tmp_path / name / "plots/lengths.csv").read_text() == "characters,real,kept,rejected\n"
    assert "(an image) | unreadable" in (tmp_path / "b/augmentation.md").read_text(encoding="utf-8")
