from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from evenly.screening.diversity import compression_ratio, distinct_n, variance_ratio
from evenly.screening.pages import write_pages
from tests.screening.conftest import Splits, make_texts, text_table


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_page_tells_counts_reasons_and_warnings_and_comes_out_the_same_twice(
    texts: Splits, tmp_path: Path
) -> None:
    rows = [*make_texts(61, {"card": 12, "loan": 5}), ("rain", ""), ("rain", str(texts.test.texts[0]))]
    screening = texts.screen(text_table(rows, "new-", "llm"))
    for name in ("one", "two"):
        write_pages(screening, tmp_path / name, share=0.2, seed=0)
    made = digests(tmp_path / "one")
    assert made == digests(tmp_path / "two")
    assert set(made) == {
        "augmentation.md",
        "class_distribution.csv",
        "class_distribution.png",
        "distances.png",
        "lengths.png",
        "rejections.png",
        "review_sample.csv",
    }
    page = (tmp_path / "one" / "augmentation.md").read_text(encoding="utf-8")
    assert "19 candidates" in page
    assert "| rain | 2 | 0 | 2 |" in page
    assert "Class rain gains 0 of 2 samples" in page
    assert all(f"({name})" in page for name in made if name.endswith(".png"))


def test_a_screening_that_kept_nothing_has_a_page_too(texts: Splits, tmp_path: Path) -> None:
    screening = texts.screen(text_table([("card", "")], "new-", "llm"))
    write_pages(screening, tmp_path / "pages", share=0.1, seed=0)
    assert "1 rejected" in (tmp_path / "pages" / "augmentation.md").read_text(encoding="utf-8")


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
