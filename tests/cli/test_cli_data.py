"""`evenly datasets`, `evenly fetch` and `evenly add`, in a project of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenly.cli import app
from evenly.datasets.load import load_splits
from evenly.errors import EvenlyError
from evenly.params.datasets import read_entry

PROJECT = Path(__file__).parents[2]
ROWS = "message,topic\n" + "".join(f"text {k} 你好,{'ab'[k % 2]}\n" for k in range(20))


@pytest.fixture
def project(tmp_path, monkeypatch, without_imports):
    """The root of an empty project: git, DVC, and the shipped datasets.yaml."""
    root = tmp_path / "project"
    (root / "data" / "raw").mkdir(parents=True)
    for name in ("datasets.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, root / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    return root


def run(*arguments: str) -> str:
    """What a command prints; an error that it raises is raised here."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(EvenlyError) as caught:
        run(*arguments)
    return str(caught.value)


def test_datasets_lists_what_there_is_what_is_here_and_under_which_terms(tmp_path, monkeypatch):
    shutil.copy(PROJECT / "datasets.yaml", tmp_path)
    (tmp_path / "data/raw/banking77").mkdir(parents=True)
    for part in ("train", "test"):
        (tmp_path / f"data/raw/banking77/{part}.csv").write_text("text,category\nx,a\ny,b\n")
    monkeypatch.chdir(tmp_path)
    lines = {line.split()[0]: line for line in run("datasets").splitlines() if line.strip()}
    assert "1,797" in lines["digits_lt"]
    assert "yes" in lines["banking77"]
    assert " 4 " in lines["banking77"]
    assert "fetch it" in lines["wnut2020"]
    assert "for research only" in lines["wnut2020"]
    assert "add it" in lines["cmcc34"]


def test_add_copies_tracks_and_writes_an_entry_that_splits(project, tmp_path):
    (tmp_path / "mine.csv").write_text(ROWS)
    output = run("add", "mine", str(tmp_path / "mine.csv"), "--text", "message", "--label", "topic")
    assert "mine (text): 20 rows read" in output
    assert "git add datasets.yaml data/raw/mine.csv.dvc" in output
    assert (project / "data/raw/mine.csv").read_text() == ROWS
    entry = read_entry("mine")
    assert (entry.modality, entry.path) == ("text", "data/raw/mine.csv")
    assert (entry.columns.text, entry.columns.label) == ("message", "topic")
    untracked = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all", "data"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert untracked.split() == ["??", "data/raw/mine.csv.dvc"]


def test_add_fills_in_a_path_that_waits_for_its_data(project, tmp_path):
    header = "sentence_sep,label_raw\n"
    (tmp_path / "cmcc.csv").write_text(
        header + "".join(f"我要查话费 {k},{'甲乙'[k % 2]}\n" for k in range(12))
    )
    before = (project / "datasets.yaml").read_text()
    run("add", "cmcc34", str(tmp_path / "cmcc.csv"))
    after = (project / "datasets.yaml").read_text()
    changed = set(after.splitlines()) - set(before.splitlines())
    assert changed == {"  path: data/raw/cmcc34.csv"}
    assert "has an entry 'cmcc34' with a path already" in refused("add", "cmcc34", str(tmp_path / "cmcc.csv"))


def test_add_writes_nothing_when_the_data_cannot_be_used(project, tmp_path):
    (tmp_path / "bad.csv").write_text("message,topic\nx,a\n,b\n")
    before = (project / "datasets.yaml").read_text()
    message = refused("add", "bad", str(tmp_path / "bad.csv"), "--text", "message", "--label", "topic")
    assert "bad.csv, line 3 has no text" in message
    assert (project / "datasets.yaml").read_text() == before
    assert list((project / "data/raw").iterdir()) == []


TABLE = "who;size;kind;part;label\n" + "".join(
    f"n{k};{k},5;{k % 3};{('train', 'validation', 'test')[k % 3]};{'ab'[k // 3 % 2]}\n" for k in range(36)
)


def test_add_takes_the_options_that_tables_of_spreadsheets_need(project, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    options = [
        "--delimiter",
        ";",
        "--decimal",
        ",",
        "--drop",
        "who",
        "--categorical",
        "kind",
        "--split",
        "part",
    ]
    output = run("add", "t", str(tmp_path / "t.csv"), *options)
    assert "12 train, 12 validation, 12 test" in output
    entry = read_entry("t")
    assert (entry.delimiter, entry.decimal, entry.columns.split) == (";", ",", "part")
    assert (entry.columns.drop, entry.columns.categorical) == (("who",), ("kind",))
    features = load_splits(entry, "t", 0, [project]).train.schema.features
    assert {feature.name: feature.kind for feature in features} == {"size": "number", "kind": "category"}
    (tmp_path / "odd.txt").write_text("x,label\n" + '"a\\"b",NA\n"c\\"d",None\n' * 9)
    options = [
        "--format",
        "csv",
        "--no-quoting",
        "--duplicates",
        "keep",
        "--classes",
        "NA",
        "--classes",
        "None",
    ]
    assert "18 rows read" in run("add", "odd", str(tmp_path / "odd.txt"), *options)
    entry = read_entry("odd")
    assert (entry.format, entry.quoting, entry.duplicates, set(entry.classes)) == (
        "csv", False, "keep", {"NA", "None"}
    )  # fmt: skip


def test_add_writes_an_attribute_that_is_a_comparison_or_a_feature_too(project, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    given = (str(tmp_path / "t.csv"), "--delimiter", ";", "--decimal", ",", "--drop", "who", "--drop", "part")
    run("add", "compared", *given, "--attribute", "size > 7.5")
    run("add", "both", *given, "--attribute", "kind", "--attribute-is-feature")
    for name, values in (("compared", {"size > 7.5", "size <= 7.5"}), ("both", {"0", "1", "2"})):
        train = load_splits(read_entry(name), name, 0, [project]).train
        assert {feature.name for feature in train.schema.features} == {"size", "kind"}
        assert set(train.column("attribute")) == values


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("x;label\n1;a\n", (), "option --delimiter"),
        ("x,empty,label\n" + "1,,a\n2,,b\n" * 4, (), "columns.drop (option --drop)"),
        ("x,label\n" + "".join(f"{k},c{k}\n" for k in range(60)), (), "columns.label (option --label)"),
        ("x,class\n1,a\n2,b\n", (), "no column 'label' (option --label)"),
        ("x,label\n1,a\n2,b\n", ("--drop", "y"), "columns.drop (option --drop) names 'y'"),
        (
            "x,label\n1,a\n2,b\n",
            ("--categorical", "y"),
            "no column 'y' (option --categorical)",
        ),
        ("x,label,id\n1,a,1\n2,b,1\n", ("--id", "id"), "columns.id (option --id)"),
        (
            "x,label\n1,a\n2,b\n",
            ("--attribute", "y > 1"),
            "columns.attribute (option --attribute) is 'y > 1'",
        ),
        ("x,label\n1,a\n2,b\n", ("--attribute-is-feature",), "(option --attribute-is-feature) goes with"),
        ("x,label\n1,NA\n2,b\n", (), "`classes` (option --classes)"),
        ('x,label\n"a\\"b",a\n2,b\n', (), "`quoting: false` (option --no-quoting)"),
        ("x,label\n1,a\n2,b\n", ("--format", "parquet"), "cannot be read as Parquet"),
    ],
)
def test_what_add_says_of_a_key_names_the_option_as_well(content, options, words, project, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    assert words in refused("add", "t", str(tmp_path / "t.csv"), *options)


def _state(project: Path) -> dict[str, bytes]:
    files = [project / "datasets.yaml", *(project / "data").rglob("*")]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize(
    "there",
    ["mine: 5\n", "mine: {modality: text, columns: 3}\n", "mine: {modality: text, licens: x}\n", "a: [\n"],
)
def test_a_broken_entry_of_the_catalogue_is_said_before_anything_is_copied(there, project, tmp_path):
    (tmp_path / "mine.csv").write_text(ROWS)
    (project / "datasets.yaml").write_text(there)
    before = _state(project)
    message = refused("add", "mine", str(tmp_path / "mine.csv"), "--text", "message", "--label", "topic")
    assert "datasets.yaml" in message
    assert _state(project) == before


def test_when_dvc_refuses_data_and_catalogue_stay_as_they_were(project, tmp_path):
    (tmp_path / "mine.csv").write_text(ROWS)
    (project / ".dvc" / "config").write_text("[core\n")
    before = _state(project)
    message = refused("add", "mine", str(tmp_path / "mine.csv"), "--text", "message", "--label", "topic")
    assert "`dvc add data/raw/mine.csv` did not work" in message
    assert _state(project) == before


def test_when_the_disk_takes_no_more_data_and_catalogue_stay_as_they_were(project, tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "mine.csv").write_text(
        "message,topic\n" + "".join(f"{k} {'long ' * 2000},{'ab'[k % 2]}\n" for k in range(20))
    )
    before = _state(project)
    arguments = ["add", "mine", str(tmp_path / "mine.csv"), "--text", "message", "--label", "topic"]
    done = subprocess.run(
        [sys.executable, "-B", "-c", "from evenly.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "could not be brought to data/raw/mine.csv" in done.stderr
    assert _state(project) == before


def test_data_that_lie_in_place_stay_there_when_adding_them_fails(project):
    (project / "data/raw/mine.csv").write_text(ROWS)
    (project / ".dvc" / "config").write_text("[core\n")
    before = _state(project)
    refused("add", "mine", "data/raw/mine.csv", "--text", "message", "--label", "topic")
    assert _state(project) == before


@pytest.mark.parametrize("folder", ["data/raw", "data", "."])
def test_data_are_not_copied_into_themselves(folder, project):
    (project / "data/raw/a").mkdir()
    assert "name the file or the folder of the data themselves" in refused("add", "x", folder)
    assert not (project / "data/raw/x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "mine", "nowhere.csv"), "nowhere.csv does not exist"),
        (("add", "my data", "datasets.yaml"), "cannot be called 'my data'"),
        (("add", "digits", "datasets.yaml"), "with a builtin already"),
        (("fetch", "digits"), "is built in"),
        (("fetch", "cmcc34"), "has no url"),
        (("fetch", "bankin77"), "did you mean 'banking77'"),
    ],
)
def test_what_cannot_be_added_or_fetched_is_said(arguments, words, tmp_path, monkeypatch):
    shutil.copy(PROJECT / "datasets.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert words in refused(*arguments)


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "group"),
        ("compare",),
        ("diff", "a", "b"),
        ("tune", "smote"),
        ("curve",),
        ("export", "jsonl"),
        ("predict", "models/train", "new.csv"),
    ],
)
def test_no_command_writes_into_a_folder_that_does_not_exist(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--output nowhere/out: nowhere does not exist; make the folder"
    assert words in refused(*command, "--output", "nowhere/out")
    assert not list(tmp_path.iterdir())


def test_fetch_says_the_terms_verifies_and_tracks(project, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "d.csv").write_text(ROWS)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        (project / "datasets.yaml").write_text(
            "mine:\n  modality: text\n  licence: for tests only\n  path: data/raw/mine.csv\n"
            f"  url: http://127.0.0.1:{server.server_address[1]}/d.csv\n"
            f"  sha256: {hashlib.sha256(ROWS.encode()).hexdigest()}\n"
        )
        try:
            output = run("fetch", "mine")
        finally:
            server.shutdown()
            thread.join()
    assert "Licence: for tests only" in output
    assert "fetched and verified" in output
    assert (project / "data/raw/mine.csv").read_text() == ROWS
    assert (project / "data/raw/mine.csv.dvc").exists()


def test_the_program_prints_one_sentence_and_exits_1(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", "from evenly.cli import main; main()", "datasets"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("evenly: datasets.yaml does not exist; run this in the root of an evenly")


def test_the_command_line_imports_nothing_heavy():
    code = (
        "import sys, evenly.cli\nprint([m for m in ('numpy', 'pandas', 'pyarrow', 'sklearn', 'torch', "
        "'dvc', 'cv2') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# -- rows made elsewhere -----------------------------------------------------------------------------------


@pytest.fixture
def split_project(project):
    """A project whose data set has been split."""
    from evenly.samples import Feature, Schema, samples_from_columns, write_samples

    shutil.copy(PROJECT / "params.yaml", project)
    features = (Feature("size", "number"), Feature("count", "integer"), Feature("town", "category", ("Ulm",)))
    columns = {"size": [1.5, 2.5], "count": [3, 4], "town": ["Ulm", "Ulm"]}
    rows = {"id": ["a", "b"], "label": ["yes", "no"], **columns}
    table = samples_from_columns(rows, Schema("table", ("no", "yes"), features))
    write_samples(table, project / "data/split/train.parquet")
    (project / "data/imported").mkdir()
    return project


ELSEWHERE = "size,count,town,label\n1.25,3,Ulm,yes\n2.5,4,Bonn,no\n2.5,4,Bonn,no\n"


def test_rows_made_elsewhere_are_kept_under_dvc_and_say_where_they_come_from(split_project, tmp_path):
    import json

    from evenly.samples import read_samples

    (tmp_path / "made.csv").write_text(ELSEWHERE)
    output = run("import-rows", str(tmp_path / "made.csv"), "--origin", "gpt-5")
    kept = split_project / "data/imported/digits_lt.gpt-5.parquet"
    assert "3 rows (no 2, yes 1)" in output
    assert kept.with_name(kept.name + ".dvc").exists()
    samples = read_samples(kept)
    assert set(samples.origins) == {"gpt-5"}
    assert samples.ids[2] == f"{samples.ids[1]}:2" and samples.ids[0].startswith("gpt-5:")
    details = [json.loads(text)["imported"] for text in samples.column("details")]
    digest = hashlib.sha256(ELSEWHERE.encode()).hexdigest()
    assert details[1] == {"file": "made.csv", "sha256": digest, "row": "2"}
    # The same again changes nothing; other rows need a word.
    before = kept.read_bytes()
    run("import-rows", str(tmp_path / "made.csv"), "--origin", "gpt-5")
    (tmp_path / "made.csv").write_text(ELSEWHERE + "9,9,Ulm,no\n")
    message = refused("import-rows", str(tmp_path / "made.csv"), "--origin", "gpt-5")
    assert "holds 3 other rows" in message and "--replace" in message
    assert kept.read_bytes() == before
    assert "4 rows" in run("import-rows", str(tmp_path / "made.csv"), "--origin", "gpt-5", "--replace")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_made_elsewhere_may_come_as_jsonl_and_parquet(split_project, tmp_path, suffix):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"made.{suffix}"
    if suffix == "jsonl":
        path.write_text('{"size": 1.5, "count": 2, "town": "Ulm", "topic": "yes"}\n')
    else:
        pq.write_table(pa.table({"size": [1.5], "count": [2], "town": ["Ulm"], "topic": ["yes"]}), path)
    assert "1 rows (yes 1)" in run("import-rows", str(path), "--origin", "a", "--label", "topic")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("size,count,town,label\n1,2,Ulm,maybe\n", (), ("made.csv", "line 2", "'maybe'", "'no', 'yes'")),
        ("size,count,town,label\n1,2,Ulm,\n", (), ("made.csv", "line 2", "label")),
        ("size,count,town,label\n1,2.5,Ulm,no\n", (), ("line 2", "2.5", "'count'", "whole numbers")),
        ("size,count,town,label\nbig,2,Ulm,no\n", (), ("line 2", "'big'", "'size'")),
        ("size,town,label\n1,Ulm,no\n", (), ("made.csv", "'count'")),
        ("size,count,town\n1,2,Ulm\n", (), ("made.csv", "'label'")),
        ("size,count,town,label\n", (), ("made.csv", "no rows")),
        (ELSEWHERE, ("--origin", "real"), ("--origin 'real'", "another name")),
        (ELSEWHERE, ("--origin", "a b"), ("--origin", "'a b'", "letters")),
    ],
)
def test_what_cannot_be_imported_is_one_sentence_and_nothing_is_kept(
    split_project, tmp_path, content, options, words
):
    (tmp_path / "made.csv").write_text(content)
    options = options or ("--origin", "gpt-5")
    message = refused("import-rows", str(tmp_path / "made.csv"), *options)
    assert all(word in message for word in words), message
    assert list((split_project / "data/imported").iterdir()) == []


def test_importing_needs_a_file_and_a_split(split_project, tmp_path):
    assert "nowhere.csv does not exist" in refused(
        "import-rows", str(tmp_path / "nowhere.csv"), "--origin", "a"
    )
    (split_project / "data/split/train.parquet").unlink()
    (tmp_path / "made.csv").write_text(ELSEWHERE)
    message = refused("import-rows", str(tmp_path / "made.csv"), "--origin", "a")
    assert "dvc repro split" in message


def test_images_made_elsewhere_are_of_the_class_of_their_folder(split_project, tmp_path):
    import numpy as np

    from evenly.features.images import encode_images
    from evenly.samples import Schema, read_samples, samples_from_columns, write_samples

    image = encode_images(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1))[0]
    rows = {"id": ["a"], "label": ["0"], "image": [image]}
    train = samples_from_columns(rows, Schema("image", ("0", "1")))
    write_samples(train, split_project / "data/split/train.parquet")
    for name in ("0", "1"):
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "x.png").write_bytes(image)
    assert "2 rows (0 1, 1 1)" in run("import-rows", str(tmp_path / "made"), "--origin", "painter")
    kept = read_samples(split_project / "data/imported/digits_lt.painter.parquet")
    assert sorted(kept.labels) == ["0", "1"]
    (tmp_path / "made" / "7").mkdir()
    (tmp_path / "made" / "7" / "x.png").write_bytes(image)
    assert "7/x.png" in refused("import-rows", str(tmp_path / "made"), "--origin", "other")


def test_the_recipe_takes_what_was_imported_and_says_what_is_missing(split_project, tmp_path):
    from evenly.params.base import read_yaml
    from evenly.params.project import read_params
    from evenly.planning import check_recipe
    from evenly.samples import read_samples

    text = (split_project / "params.yaml").read_text(encoding="utf-8")
    name = read_yaml("params.yaml")["balancing"]
    (split_project / "params.yaml").write_text(text.replace(f"balancing: {name}", "balancing: imported"))
    params, entry = read_params(), read_entry("digits_lt")
    with pytest.raises(EvenlyError, match="evenly import-rows"):
        check_recipe(params, entry, {})
    (tmp_path / "made.csv").write_text(ELSEWHERE)
    run("import-rows", str(tmp_path / "made.csv"), "--origin", "gpt-5")
    check_recipe(params, entry, {})
    plan = {"dataset": "digits_lt", "origins": [], "where": "recipes.imported.imported"}
    (split_project / "data/plan").mkdir()
    import json

    (split_project / "data/plan/imported.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "stages.imported"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "3 rows of gpt-5" in done.stdout
    train = read_samples(split_project / "data/split/train.parquet")
    assert len(read_samples(split_project / "data/generated/imported.parquet", train.schema)) == 3
