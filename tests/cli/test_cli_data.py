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
def project(tmp_path, monkeypatch):
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
    assert "redistribution" in lines["wnut2020"]
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
    assert done.stderr == "evenly: datasets.yaml does not exist; run this in the root of an evenly project.\n"


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
