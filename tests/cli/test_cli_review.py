"""`evenly review` and `evenly export`, in a folder with the tables that they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evenly.cli import app
from evenly.errors import DataError, EvenlyError, ParameterError
from evenly.samples import (
    Feature,
    SampleTable,
    Schema,
    samples_from_columns,
    write_no_samples,
    write_samples,
)

TEXT = Schema("text", ("card", "loan"))


def texts(names: list[str], **columns: Any) -> SampleTable:
    n = len(names)
    given = {"id": names, "label": ["card"] * n, "text": [f"text of {name}" for name in names]}
    return samples_from_columns({**given, "origin": ["llm"] * n, **columns}, TEXT)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("filtered", "balanced"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    return tmp_path


def run(*arguments: str) -> str:
    """What a command prints; an error that it raises is raised here."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# -- review ------------------------------------------------------------------------------------------------


@pytest.fixture
def screened(project: Path) -> Path:
    write_samples(texts(["llm:0", "llm:1"]), project / "data/filtered/kept.parquet")
    write_samples(texts(["llm:2"]), project / "data/filtered/rejected.parquet")
    return project


def test_a_filled_in_file_is_merged_with_the_verdicts_there_are(screened: Path) -> None:
    (screened / "mine.csv").write_text("id,verdict,label\nllm:0,drop,\nllm:1,,\n")
    (screened / "yours.csv").write_text("id,verdict,label\nllm:2,keep,\nllm:1,relabel,loan\n")
    assert run("review", "import", "mine.csv").startswith("1 new verdicts, 0 replaced, 0 known already.")
    assert "2 new verdicts" in run("review", "import", "yours.csv")
    kept = (screened / "data/review/verdicts.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[0] for line in kept] == [
        "id,verdict,label",
        "llm:0,drop,",
        "llm:1,relabel,loan",
        "llm:2,keep,",
    ]
    assert run("review", "status") == (
        "3 verdicts (keep 1, drop 1, relabel 1), 3 on the present 3 candidates.\n"
    )


def test_one_row_that_cannot_be_used_leaves_everything_as_it_was(screened: Path) -> None:
    (screened / "mine.csv").write_text("id,verdict,label\nllm:0,drop,\nllm:9,drop,\n")
    with pytest.raises(DataError, match=r"mine\.csv, row 3: there is no generated sample 'llm:9'"):
        run("review", "import", "mine.csv")
    assert not (screened / "data/review").exists()


def test_a_conflict_is_settled_with_replace(screened: Path) -> None:
    (screened / "mine.csv").write_text("id,verdict,label\nllm:0,drop,\n")
    (screened / "yours.csv").write_text("id,verdict,label\nllm:0,keep,\n")
    run("review", "import", "mine.csv")
    with pytest.raises(DataError, match="--replace"):
        run("review", "import", "yours.csv")
    assert "1 replaced" in run("review", "import", "yours.csv", "--replace")


def test_without_generated_samples_there_is_nothing_to_review(project: Path) -> None:
    write_no_samples(project / "data/filtered/kept.parquet")
    write_no_samples(project / "data/filtered/rejected.parquet")
    (project / "mine.csv").write_text("id,verdict\nx,keep\n")
    with pytest.raises(DataError, match="no generated sample to review"):
        run("review", "import", "mine.csv")


# -- export ------------------------------------------------------------------------------------------------


def balanced(project: Path) -> None:
    made = texts(["a", "b", "c"], label=["card", "loan", "card"], text=['你好 "x"\n2', None, "plain"])
    made = made.with_column("origin", ["real", "smote", "llm"])
    write_samples(made, project / "data/balanced/train.parquet")


def test_texts_are_written_with_label_origin_and_id(project: Path) -> None:
    balanced(project)
    said = run("export", "jsonl")
    assert lines(project / "data/balanced/train.jsonl") == [
        {"text": '你好 "x"\n2', "label": "card", "origin": "real", "id": "a"},
        {"text": "plain", "label": "card", "origin": "llm", "id": "c"},
    ]
    assert "你好" in (project / "data/balanced/train.jsonl").read_text(encoding="utf-8")
    assert "2 rows written" in said and "left out: smote 1" in said


def test_chats_are_what_fine_tuning_takes(project: Path) -> None:
    balanced(project)
    Path("out").mkdir()
    run("export", "jsonl", "--format", "chat", "--system", "Name the class.", "--output", "out/chat.jsonl")
    assert lines(project / "out/chat.jsonl")[1] == {
        "messages": [
            {"role": "system", "content": "Name the class."},
            {"role": "user", "content": "plain"},
            {"role": "assistant", "content": "card"},
        ]
    }
    run("export", "jsonl", "--format", "chat")
    assert [m["role"] for m in lines(project / "data/balanced/train.jsonl")[0]["messages"]] == [
        "user",
        "assistant",
    ]


def test_rows_of_a_table_keep_their_columns_and_types(project: Path) -> None:
    schema = Schema("table", ("x", "y"), (Feature("size", "number"), Feature("n", "integer")))
    columns = {"id": ["a", "b"], "label": ["x", "y"], "size": [1.5, float("nan")], "n": [3, None]}
    write_samples(samples_from_columns(columns, schema), project / "data/balanced/train.parquet")
    run("export", "jsonl")
    assert lines(project / "data/balanced/train.jsonl") == [
        {"size": 1.5, "n": 3, "label": "x", "origin": "real", "id": "a"},
        {"size": None, "n": None, "label": "y", "origin": "real", "id": "b"},
    ]
    run("export", "jsonl", "--format", "chat")
    user = lines(project / "data/balanced/train.jsonl")[0]["messages"][0]["content"]
    assert json.loads(user) == {"size": 1.5, "n": 3}


def test_what_cannot_be_exported_is_one_sentence(project: Path) -> None:
    columns = {"id": ["a"], "label": ["x"], "image": [b"png"]}
    images = samples_from_columns(columns, Schema("image", ("x",)))
    write_samples(images, project / "data/balanced/train.parquet")
    with pytest.raises(DataError, match="Images cannot be written as JSON Lines"):
        run("export", "jsonl")
    assert not (project / "data/balanced/train.jsonl").exists()
    with pytest.raises(ParameterError, match="--system belongs to --format chat"):
        run("export", "jsonl", "--system", "x")
    (project / "data/balanced/train.parquet").unlink()
    with pytest.raises(EvenlyError, match=r"train.parquet does not exist; run `dvc repro`"):
        run("export", "jsonl")
