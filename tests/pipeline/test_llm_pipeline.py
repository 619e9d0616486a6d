"""The recipes that ask a language model, through the real pipeline and over real HTTP: never paid twice."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Project
from ruamel.yaml import YAML

from evenly.samples import SampleTable, read_samples
from tests.llm.writer import Writer, content_seed, running_writer

SENTENCES = {
    "delivery": "{hi} my {thing} ordered on {day} has not {came} yet, where is the parcel {number}?",
    "refund": "{hi} I sent back the {thing} on {day} and want my money {back}, case {number}",
    "password": "{hi} the login refused me on {day} after {number} tries with the {thing}, reset {it}",
}
WORDS = {
    "hi": ["hello", "hi", "good morning", "please help,", "dear team,", "hey"],
    "thing": ["lamp", "coat", "phone", "kettle", "tablet", "chair", "keyboard", "mirror", "carpet", "radio"],
    "day": ["monday", "tuesday", "friday", "the 3rd", "new year", "sunday morning", "the weekend"],
    "came": ["arrived", "been delivered", "come", "turned up", "reached me"],
    "back": ["back", "returned", "refunded now", "on my card"],
    "it": ["it", "it please", "my account", "the whole thing"],
}


def sentence(label: str, rng: random.Random) -> str:
    slots = {name: rng.choice(words) for name, words in WORDS.items()} | {"number": rng.randrange(10**6)}
    return SENTENCES[label].format(**slots)


def customer(body: dict[str, Any], number: int) -> str:
    """What a model that has understood the prompt would write."""
    prompt = body["messages"][-1]["content"]
    found = re.search(r"Write (\d+) new texts? of the class \"(\w+)\"", prompt)
    assert found is not None
    rng = random.Random(content_seed(body))
    return json.dumps({"samples": [sentence(found[2], rng) for _ in range(int(found[1]))]})


@pytest.fixture
def writer() -> Iterator[Writer]:
    with running_writer(customer) as running:
        yield running


@pytest.fixture(scope="module")
def shop_with_data(
    first_run: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project with a csv of its own, 3 classes, about 100 to 8 training rows; tests copy it."""
    folder = tmp_path_factory.mktemp("shop")
    project = first_run[0].copy(folder / "project")
    rng = random.Random(0)
    with (folder / "shop.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "topic"])
        for label, count in (("delivery", 150), ("refund", 40), ("password", 12)):
            rows.writerows([sentence(label, rng), label] for _ in range(count))
    project.run("evenly", "add", "shop", str(folder / "shop.csv"), "--text", "message", "--label", "topic")
    project.commit("A data set of one's own")
    yield project
    shutil.rmtree(project.root, ignore_errors=True)


@pytest.fixture
def shop(shop_with_data: Project, tmp_path: Path) -> Iterator[Project]:
    copy = shop_with_data.copy(tmp_path / "project")
    yield copy
    shutil.rmtree(copy.root, ignore_errors=True)


def command(recipe: str, writer: Writer, *more: str, until: str) -> list[str]:
    """`dvc exp run` up to `until`, asking `writer`."""
    endpoint = (f"llm.base_url={writer.base_url}", "llm.model=small", "llm.key_variable=null")
    settings = ("dataset=shop", f"balancing={recipe}", "evaluate.robustness=false", *endpoint, *more)
    return ["exp", "run", until, *(part for one in settings for part in ("-S", one))]


def run(project: Project, writer: Writer, recipe: str, *more: str, until: str = "evaluate") -> list[str]:
    """The stages that an experiment ran, up to `until`."""
    return project.stages_run(project.dvc(*command(recipe, writer, *more, until=until)))


def few(recipe: str, rows: int) -> str:
    """The setting that brings classes of fewer than ten rows to so many."""
    return f"recipes.{recipe}.llm.targets.per_tier.ultra_minority={rows}"


def table(project: Project, name: str) -> SampleTable:
    return read_samples(
        project.root / "data" / name, read_samples(project.root / "data/split/train.parquet").schema
    )


def test_a_recipe_that_needs_an_endpoint_says_how_to_get_one(project: Project) -> None:
    done = project.run("dvc", "exp", "run", "-S", "dataset=wine", "-S", "balancing=llm", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "set llm.base_url" in done.stdout and "transformers serve" in done.stdout
    assert "random_oversampling" in done.stdout


def no_validation_or_test_row_stands_in_a_prompt(project: Project, writer: Writer) -> bool:
    prompts = "\n".join(writer.prompts)
    shown = {
        split: [text for text in table(project, f"split/{split}.parquet").texts if text and text in prompts]
        for split in ("train", "val", "test")
    }
    return bool(shown["train"]) and not shown["val"] and not shown["test"]


def test_no_prompt_shows_an_unseen_row_and_going_from_llm_to_llm_smote_and_back_makes_no_second_call(
    shop: Project, writer: Writer
) -> None:
    fixed = few("llm", 60), few("llm_smote", 60)
    first = run(shop, writer, "llm", *fixed)
    assert "llm_generate" in first
    calls = len(writer.bodies)
    assert calls > 0 and no_validation_or_test_row_stands_in_a_prompt(shop, writer)
    kept = table(shop, "filtered/kept.parquet")
    assert kept.counts["password"] > 0
    balanced = table(shop, "balanced/train.parquet")
    assert set(balanced.origins) == {"real", "llm"}

    second = run(shop, writer, "llm_smote", *fixed, until="resample")
    assert "llm_generate" not in second and "resample" in second
    assert set(table(shop, "balanced/train.parquet").origins) >= {"real", "llm", "smote"}
    assert run(shop, writer, "llm", *fixed) == []
    assert len(writer.bodies) == calls


def test_what_was_paid_is_not_asked_again_when_dvc_has_forgotten(shop: Project, writer: Writer) -> None:
    fixed = (few("llm", 40),)
    run(shop, writer, "llm", *fixed, until="llm_generate")
    calls, bytes_before = len(writer.bodies), (shop.root / "data/generated/llm.parquet").read_bytes()
    shop.dvc("repro", "--force", "--no-run-cache", "--single-item", "llm_generate")
    assert len(writer.bodies) == calls
    assert (shop.root / "data/generated/llm.parquet").read_bytes() == bytes_before
    # Eight real rows and four calls of ten: what was paid is enough.
    run(shop, writer, "llm", few("llm", 45), until="llm_generate")
    assert len(writer.bodies) == calls
    run(shop, writer, "llm", few("llm", 55), until="llm_generate")
    assert len(writer.bodies) == calls + 1


def test_the_focal_loss_goes_with_llm_rows_where_the_model_has_it(shop: Project, writer: Writer) -> None:
    told = shop.dvc(*command("llm_focal", writer, until="analyze"), check=False)
    assert "The loss focal does not exist for logistic_regression" in told
    assert not writer.bodies


def test_a_language_model_that_is_asked_goes_through_the_pipeline_and_is_paid_once(shop: Project) -> None:
    def reply(body: dict[str, Any], number: int) -> str:
        text = body["messages"][1]["content"].rpartition("Text: ")[2]
        words = {"parcel": "delivery", "money": "refund", "login": "password"}
        return json.dumps({"label": next(label for word, label in words.items() if word in text)})

    with running_writer(reply) as asked:
        run(
            shop,
            asked,
            "llm_few_shot",
            "+llm.prices.small.input=1",
            "+llm.prices.small.output=2",
            until="scores",
        )
        held_out = [table(shop, f"split/{name}.parquet") for name in ("val", "test")]
        calls = len(asked.bodies)
        assert calls == len({text for rows in held_out for text in rows.texts})
        prompt = asked.bodies[0]["messages"][1]["content"]
        assert prompt.count("for instance") == 12
        assert not [text for rows in held_out for text in rows.texts if text in prompt.rpartition("Text:")[0]]
        scores = json.loads((shop.root / "metrics/evaluate.json").read_text())
        assert scores["test"]["macro_f1"] == 1.0 and scores["train"] == {}
        assert scores["asked"]["calls"] == calls and scores["asked"]["cost"] > 0
        assert f"was asked about {calls} texts in {calls} calls" in (
            shop.root / "reports/report.html"
        ).read_text(encoding="utf-8")
        shop.dvc("repro", "--force", "--no-run-cache", "--single-item", "evaluate")
        assert json.loads((shop.root / "metrics/evaluate.json").read_text()) == scores
        assert f"({calls} more are in the journal)" in shop.run("evenly", "llm", "estimate").stdout
        assert len(asked.bodies) == calls
        prompt_file = shop.root / "prompts" / "classify.jinja"
        shorter = prompt_file.read_text(encoding="utf-8").replace("spelled exactly as above", "as above")
        prompt_file.write_text(shorter, encoding="utf-8")
        assert "train" in shop.stages_run(shop.dvc("repro", "train"))
        assert len(asked.bodies) == calls + len({*held_out[0].texts})
        (shop.root / "new.csv").write_text("text\nwhere is my parcel\n", encoding="utf-8")
        done = shop.run("evenly", "predict", "models/train", "new.csv", "--output", "out.csv").stdout
        assert "out.csv: 1 rows; delivery 1." in done and "was asked about 1 text in 1 call," in done


PAGE = Path(__file__).parents[2] / "docs" / "llm.md"


def printed_blocks() -> list[str]:
    """The blocks of code of docs/llm.md, in order, without their margin."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = (part for block in found for part in re.split(r"\n{2,}", textwrap.dedent(block).strip("\n")))
    return [part for part in parts if part]


def test_the_commands_of_the_page_do_as_printed_on_a_fresh_clone(
    first_run: tuple[Project, str], writer: Writer, tmp_path: Path
) -> None:
    said, start, *others = printed_blocks()
    (journal,) = (block for block in others if "evenly llm journal list" in block)
    project = first_run[0].copy(tmp_path / "clone")
    project.run("git", "clean", "-fdxq", "--exclude=/.dvc/cache")
    rng = random.Random(1)
    with (project.root / "tickets.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "topic"])
        for label, count in (("delivery", 120), ("refund", 30), ("password", 12)):
            rows.writerows([sentence(label, rng), label] for _ in range(count))
    params = YAML().load(project.root / "params.yaml")
    for key, value in YAML().load(said).items():
        params[key] = {**params[key], **value} if isinstance(value, dict) else value
    assert params["llm"]["base_url"].startswith("https://")
    params["llm"]["base_url"] = writer.base_url
    YAML().dump(params, project.root / "params.yaml")

    printed = {line: project.run("bash", "-c", line).stdout for line in start.splitlines()}
    (estimate,) = (out for line, out in printed.items() if "estimate" in line)
    assert re.search(r"cost +0\.\d+", estimate) and "--- class" in estimate
    (whole,) = (out for line, out in printed.items() if line.strip() == "dvc repro")
    assert "llm_generate" in project.stages_run(whole) and len(writer.bodies) > 0
    assert {"real", "llm"} <= set(table(project, "balanced/train.parquet").origins)
    assert all(body["model"] == "gpt-5-mini" for body in writer.bodies)

    asked = len(writer.bodies)
    shown = {line: project.run("bash", "-c", line).stdout for line in journal.splitlines()}
    words = ("gpt-5-mini", f"{asked} answers written", "0 answers taken in", "", "is sound")
    assert len(shown) == len(words)
    for (line, out), word in zip(shown.items(), words, strict=True):
        assert word in out, line
