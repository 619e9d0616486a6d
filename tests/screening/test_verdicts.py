"""People's verdicts: what a filled-in file may hold, how it is kept, and when it counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from evenly.errors import DataError
from evenly.samples import SampleTable
from evenly.screening.review import (
    COLUMNS,
    Import,
    Review,
    applicable,
    import_reviews,
    read_reviews,
    write_review_sample,
)
from tests.screening.conftest import Splits, make_texts, number_table, text_table


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def test_a_filled_review_file_comes_back_as_verdicts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.csv",
        "\ufeffid,sample,verdict,label\na,x,Keep,\nb,y,relabel,loan\nc,z,,\nd,,drop,card\n",
    )
    assert read_reviews(path) == {"a": Review("keep"), "b": Review("relabel", "loan"), "d": Review("drop")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\na,x\n", "no column 'verdict'"),
        ("id,verdict\na,maybe\n", "row 2: verdict 'maybe' is not one of keep, drop, relabel"),
        ("id,verdict,label\na,keep,\nb,relabel,\n", "row 3: relabel needs the new class"),
        ("id,verdict\na,keep\na,drop\n", "row 3: 'a' has two verdicts"),
    ],
)
def test_verdicts_that_cannot_be_understood_are_named_by_row(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_reviews(write(tmp_path / "v.csv", content))


def test_a_review_file_that_is_missing_or_not_utf8_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_reviews(tmp_path / "none.csv")
    with pytest.raises(DataError, match="not UTF-8"):
        read_reviews(write(tmp_path / "v.csv", "id,verdict\nä,keep\n", "latin-1"))


# -- taking verdicts in ------------------------------------------------------------------------------------


@pytest.fixture
def made() -> SampleTable:
    return text_table(make_texts(80, {"card": 3, "loan": 2}), "new-", "llm")


def test_a_filled_in_review_sample_becomes_verdicts_that_filter_obeys(texts: Splits, tmp_path: Path) -> None:
    made = text_table(make_texts(81, {"card": 4, "loan": 3}), "=new-", "llm")
    screening = texts.screen(made)
    vectors = screening.kept_vectors, screening.real, screening.real_vectors
    write_review_sample(screening.kept, *vectors, tmp_path / "sample.csv", share=1.0, seed=0)
    with (tmp_path / "sample.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3
    rows[0]["verdict"], rows[1]["verdict"], rows[1]["label"] = "drop", "relabel", "rain"
    # A spreadsheet of another country, and one that changes the ends of lines.
    with (tmp_path / "filled.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    kept_file = tmp_path / "data/review/verdicts.csv"
    assert import_reviews(tmp_path / "filled.csv", kept_file, made) == Import(new=2, replaced=0, known=0)
    assert import_reviews(tmp_path / "filled.csv", kept_file, made) == Import(new=0, replaced=0, known=2)
    again = texts.screen(made, review=read_reviews(kept_file))
    dropped, moved = rows[0]["id"].removeprefix("'"), rows[1]["id"].removeprefix("'")
    assert dropped in set(again.rejected.ids)
    assert dict(zip(again.kept.ids, again.kept.labels, strict=True))[moved] == "rain"
    assert again.report["measured"]["review"] == {"decisions": 2}


def test_verdicts_are_kept_sorted_and_come_out_the_same_whatever_their_order(
    made: SampleTable, tmp_path: Path
) -> None:
    rows = ["new-00002,keep,", "new-00000,relabel,loan", "new-00001,drop,"]
    for name, order in (("a", rows), ("b", rows[::-1])):
        write(tmp_path / f"{name}.csv", "id,verdict,label\n" + "\n".join(order) + "\n")
        import_reviews(tmp_path / f"{name}.csv", tmp_path / f"{name}-kept.csv", made)
    kept = (tmp_path / "a-kept.csv").read_text()
    assert kept == (tmp_path / "b-kept.csv").read_text()
    assert [line.split(",")[:3] for line in kept.splitlines()] == [
        ["id", "verdict", "label"],
        ["new-00000", "relabel", "loan"],
        ["new-00001", "drop", ""],
        ["new-00002", "keep", ""],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,verdict,label\nnew-00000,keep,\nother,drop,\n", "row 3: there is no generated sample 'other'"),
        (
            "id,verdict,label\nnew-00000,relabel,cards\n",
            "row 2: 'cards' is not one of the classes card, ",
        ),
        ("id,sample,verdict\nnew-00000,another text,drop\n", "row 2: 'new-00000' reads otherwise now"),
        ("id,verdict,content\nnew-00000,drop,0123456789abcdef\n", "row 2: 'new-00000' reads otherwise now"),
    ],
)
def test_what_cannot_be_taken_in_is_named_by_row_and_changes_nothing(
    made: SampleTable, tmp_path: Path, content: str, message: str
) -> None:
    kept_file = write(tmp_path / "verdicts.csv", "id,verdict,label\nnew-00001,drop,\n")
    before = kept_file.read_bytes()
    with pytest.raises(DataError, match=message):
        import_reviews(write(tmp_path / "new.csv", content), kept_file, made)
    assert kept_file.read_bytes() == before


def test_a_second_opinion_is_refused_unless_it_is_to_replace_the_first(
    made: SampleTable, tmp_path: Path
) -> None:
    first = write(tmp_path / "first.csv", "id,verdict,label\nnew-00000,drop,\n")
    second = write(tmp_path / "second.csv", "id,verdict,label\nnew-00000,relabel,loan\n")
    kept_file = tmp_path / "verdicts.csv"
    import_reviews(first, kept_file, made)
    with pytest.raises(DataError, match="row 2: 'new-00000' is relabel to 'loan' here and drop in"):
        import_reviews(second, kept_file, made)
    assert import_reviews(second, kept_file, made, replacing=True) == Import(0, 1, 0)
    assert read_reviews(kept_file)["new-00000"].label == "loan"


def test_a_verdict_on_a_sample_that_reads_otherwise_now_counts_for_nothing(
    made: SampleTable, tmp_path: Path
) -> None:
    kept_file = tmp_path / "verdicts.csv"
    new = write(tmp_path / "new.csv", "id,verdict,label\nnew-00000,drop,\nnew-00001,drop,\n")
    import_reviews(new, kept_file, made)
    other = made.with_column("text", ["something else", *made.texts[1:]])
    assert set(applicable(read_reviews(kept_file), made)) == {0, 1}
    assert set(applicable(read_reviews(kept_file), other)) == {1}
    # Nor does it stand in the way of a new one.
    assert import_reviews(
        write(tmp_path / "k.csv", "id,verdict\nnew-00000,keep\n"), kept_file, other
    ) == Import(1, 0, 0)


def test_rows_of_a_table_are_told_apart_by_their_values(tmp_path: Path) -> None:
    made = number_table(3, 5, "new-", "gan")
    new = write(tmp_path / "new.csv", "id,verdict\nnew-00000,drop\n")
    import_reviews(new, tmp_path / "verdicts.csv", made)
    reviews = read_reviews(tmp_path / "verdicts.csv")
    assert applicable(reviews, made.with_column("label", ["high"] * 3)) == {0: reviews["new-00000"]}
    assert applicable(reviews, number_table(3, 6, "new-", "gan")) == {}


def test_keep_with_another_class_is_no_clear_word(tmp_path: Path) -> None:
    path = write(tmp_path / "v.csv", "id,class,verdict,label\na,card,keep,card\nb,card,keep,loan\n")
    with pytest.raises(DataError, match="row 3: 'b' is to be kept and has the label 'loan'; write relabel"):
        read_reviews(path)


def test_the_project_ships_a_file_without_a_verdict() -> None:
    shipped = Path(__file__).parents[2] / "data/review/verdicts.csv"
    assert shipped.read_text().split() == [",".join(COLUMNS)]
    assert read_reviews(shipped) == {}
