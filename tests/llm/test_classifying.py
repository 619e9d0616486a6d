"""A language model as classifier: asked once, read strictly, paid for in the open, and never half done."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.classifier import HOLDS_ROWS, Classifier, read_manifest, spent_sentence
from evenly.cli.llm import batch, estimate
from evenly.errors import EvenlyError, ParameterError, RecipeError
from evenly.llm.classifying import AskedClassifier, class_named, token_probabilities
from evenly.llm.preview import asked_estimate
from evenly.params.datasets import DatasetEntry
from evenly.params.project import Params, read_params
from evenly.planning import make_plans
from evenly.plans import TrainPlan, write_plan
from evenly.samples import SampleTable, Schema, samples_from_columns, write_samples
from tests.llm.writer import Writer, running_writer

ROOT = Path(__file__).parents[2]
CLASSES = ("card", "card arrival", 'top "up"')
SCHEMA = Schema("text", CLASSES)


def rows(part: str, count: int) -> SampleTable:
    labels = [CLASSES[k % 3] for k in range(count)]
    texts = [f"{part} {k} about <{label}>" for k, label in enumerate(labels)]
    return samples_from_columns(
        {"id": [f"{part} {k}" for k in range(count)], "label": labels, "text": texts}, SCHEMA
    )


def told(body: dict[str, Any]) -> str:
    """The class that a text of `rows` names, from the prompt that asks about it."""
    found = re.search(r"Text: .* about <(.*)>", body["messages"][1]["content"])
    assert found is not None
    return str(json.loads(f'"{found[1]}"'))


def right(body: dict[str, Any], number: int) -> str:
    return json.dumps({"label": told(body)})


@pytest.fixture
def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., AbstractContextManager[Any]]]:
    """Planned as the pipeline would, in a project's folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    yield running_writer  # type: ignore[misc]


def settings(base_url: str | None, **model: Any) -> Params:
    values = read_params(ROOT / "params.yaml").model_dump(by_alias=True)
    limits = model.pop("llm", {})
    price = {"input": 1.0, "output": 2.0}
    engine = {"base_url": base_url, "model": "m", "prices": {"m": price}, "max_tokens": 100, "concurrency": 4}
    values |= {
        "dataset": "mine",
        "balancing": model.pop("balancing", "none"),
        "model": {"name": "llm", **model},
    }
    return Params.model_validate(values | {"llm": None if base_url is None else {**engine, **limits}})


def planned(base_url: str | None, **model: Any) -> TrainPlan:
    notes = {"card": {"description": "all about the plastic", "keywords": ["pin"]}}
    entry = DatasetEntry.model_validate(
        {"modality": "text", "licence": "own", "path": "x.csv", "classes": notes}
    )
    return make_plans(rows("train", 30).counts, SCHEMA, settings(base_url, **model), entry, {}).train


def classifier(writer: Writer, **model: Any) -> Classifier:
    return build_classifier(planned(writer.base_url, **model), SCHEMA, None)


def test_every_text_is_asked_about_once_and_never_paid_twice(asked: Any, tmp_path: Path) -> None:
    validation, test = rows("val", 6), rows("test", 9)
    with asked(right) as writer:
        first = classifier(writer)
        summary = first.fit(rows("train", 30), validation)
        scores = first.predict_proba(test)
        assert (scores.argmax(axis=1) == test.codes).all()
        assert scores[0].tolist() == pytest.approx([0.9, 0.05, 0.05])
        assert summary.metrics["val/macro_f1"] == 1.0
        assert len(writer.bodies) == 15
        assert first.spent == {**first.spent, "texts": 15, "calls": 15, "no_class": 0, "by_tokens": 0}
        first.save(tmp_path / "model")
        again = load_classifier(tmp_path / "model")
        assert np.array_equal(again.predict_proba(validation), first.predict_proba(validation))
        assert np.array_equal(again.predict_proba(test), scores)
        assert len(writer.bodies) == 15
        # What the journal answers counts with what it cost.
        assert again.spent == first.spent
        assert first.spent["cost"] > 0
    assert "15 texts in 15 calls" in spent_sentence(first.spent)


def test_the_prompt_names_classes_with_what_is_known_of_them_and_shows_examples_of_training_rows(
    asked: Any,
) -> None:
    with asked(right) as writer:
        classifier(writer).fit(rows("train", 30), rows("val", 3))
        bare = writer.bodies[-1]["messages"][1]["content"]
        assert '- "card": all about the plastic\n  typical words: pin' in bare
        assert '- "top \\"up\\""' in bare
        assert "for instance" not in bare
        shown = classifier(writer, examples=2, instructions="Think of money.")
        shown.fit(rows("train", 30), rows("val", 3))
        prompt = writer.bodies[-1]["messages"][1]["content"]
        assert prompt.count('for instance "train ') == 6
        assert '"val ' not in prompt.partition("Text:")[0]
        assert "Think of money." in prompt
        assert writer.bodies[-1]["response_format"]["json_schema"]["schema"]["properties"]["label"][
            "enum"
        ] == [*CLASSES]
        shown.save("shown")  # With the examples
        assert read_manifest(Path("shown")).details[HOLDS_ROWS]
        assert shown.effective_prior.tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('{"label": "card"}', "card"),
        ('```json\n{"label": "card arrival"}\n```', "card arrival"),
        ("<think>card arrival?</think> card", "card"),
        ('{"label": "Card"}', None),
        ('{"label": "card or card arrival"}', None),
        ('[{"label": "card"}, {"label": "card arrival"}]', None),
        ('{"label": ["card"]}', "card"),
        ('{"class": "card"}', None),
        ('{"label": null}', None),
        ("It is about a card.", None),
    ],
)
def test_an_answer_names_exactly_one_class_as_it_is_spelled_or_none(answer: str, label: str | None) -> None:
    assert class_named(answer, CLASSES) == label


def test_an_unknown_class_is_asked_about_once_more_and_then_has_the_shares_of_the_training_rows(
    asked: Any,
) -> None:
    def answer(body: dict[str, Any], number: int) -> str:
        if len(body["messages"]) > 2 and told(body) == "card":
            return right(body, number)
        return json.dumps({"label": "weather"})

    train, test = rows("train", 30).take(range(25)), rows("test", 6)
    with asked(answer) as writer:
        model = classifier(writer)
        model.fit(train, rows("val", 0))
        scores = model.predict_proba(test)
        assert len(writer.bodies) == 12
        assert writer.bodies[-1]["messages"][-2] == {"role": "assistant", "content": '{"label": "weather"}'}
        assert scores[0].argmax() == 0 and scores[0].max() == pytest.approx(0.9)
        assert scores[1].tolist() == pytest.approx([9 / 25, 8 / 25, 8 / 25])
        assert model.spent is not None
        assert (model.spent["asked_twice"], model.spent["no_class"], model.spent["calls"]) == (6, 4, 12)


def logprobs(*steps: tuple[str, float, dict[str, float]]) -> list[Any]:
    return [
        (token, math.log(p), {other: math.log(q) for other, q in others.items()})
        for token, p, others in steps
    ]


def test_probabilities_of_classes_are_those_of_the_tokens_that_spell_them() -> None:
    steps = logprobs(
        ('{"label": "', 1.0, {}),
        ("card", 0.7, {"card": 0.7, "top": 0.3}),
        (" arr", 0.6, {" arr": 0.6, '"}': 0.4}),
        ("ival", 1.0, {}),
        ('"}', 1.0, {}),
    )
    found = token_probabilities("card arrival", steps, CLASSES)
    assert found is not None
    assert found.tolist() == pytest.approx([0.28, 0.42, 0.3], abs=1e-3)
    shared = logprobs(('{"label": "', 1.0, {}), ("top", 0.5, {"card": 0.4}), (' \\"up\\""}', 1.0, {}))
    found = token_probabilities(CLASSES[2], shared, CLASSES)
    assert found is not None
    # An alternative that two classes begin with is shared, and what no alternative says is spread.
    assert found.tolist() == pytest.approx([0.2333, 0.2333, 0.5333], abs=1e-3)
    assert token_probabilities("card", logprobs(("ca", 1.0, {}), ("t", 1.0, {})), CLASSES) is None


@pytest.mark.parametrize("stream", [False, True])
def test_probabilities_are_asked_for_journalled_and_left_alone_where_the_server_has_none(
    asked: Any, stream: bool, tmp_path: Path
) -> None:
    content = [
        {"token": '{"label": "', "logprob": 0.0, "top_logprobs": []},
        {
            "token": "card",
            "logprob": math.log(0.8),
            "top_logprobs": [
                {"token": one, "logprob": math.log(p)} for one, p in (("card", 0.8), ("top", 0.2))
            ],
        },
        {"token": '"}', "logprob": 0.0, "top_logprobs": []},
    ]

    def answer(body: dict[str, Any], number: int) -> str:
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
        return '{"label": "card"}'

    with asked(answer) as writer:
        writer.logprobs = {"content": content}
        model = classifier(writer, llm={"stream": stream})
        model.fit(rows("train", 30), rows("val", 0))
        scores = model.predict_proba(rows("test", 3))
        assert scores[0].tolist() == pytest.approx([0.8, 0.0, 0.2], abs=1e-3)
        assert model.spent is not None and model.spent["by_tokens"] == 3
        model.save(tmp_path / "model")
        assert np.array_equal(load_classifier(tmp_path / "model").predict_proba(rows("test", 3)), scores)
        assert len(writer.bodies) == 3

    def refuses(body: dict[str, Any], number: int) -> str | tuple[str, str]:
        complaint = json.dumps({"error": {"message": "logprobs are not supported"}})
        return (complaint, "refused") if "logprobs" in body else right(body, number)

    with asked(refuses) as writer:
        model = classifier(writer)
        model.fit(rows("train", 30), rows("val", 0))
        assert model.predict_proba(rows("test", 6)).max(axis=1).tolist() == pytest.approx([0.9] * 6)
        assert sum("logprobs" not in body for body in writer.bodies) == 6


def test_a_cap_or_an_outage_is_no_result_and_what_was_answered_is_kept(asked: Any) -> None:
    train, test = rows("train", 30), rows("test", 6)
    with asked(right) as writer:
        model = classifier(writer, llm={"max_calls": 4})
        model.fit(train, rows("val", 0))
        with pytest.raises(EvenlyError, match=r"4 of 6 texts are answered\..*max_calls 4.*Raise the cap"):
            model.predict_proba(test)
        assert len(writer.bodies) == 4
        raised = classifier(writer)
        raised.fit(train, rows("val", 0))
        raised.predict_proba(test)
        assert len(writer.bodies) == 6
        # The cap binds all that a model is asked, also what the journal answers.
        capped = classifier(writer, llm={"max_calls": 8})
        capped.fit(train, rows("val", 0))
        capped.predict_proba(test)
        with pytest.raises(EvenlyError, match="2 of 3 texts are answered"):
            capped.predict_proba(rows("more", 3))


def test_the_estimate_counts_the_calls_and_money_of_what_the_journal_does_not_know(asked: Any) -> None:
    train, test = rows("train", 30), rows("test", 9)
    folder = Path(".cache/llm")
    with asked(right) as writer:
        plan = planned(writer.base_url, examples=1)
        texts = [str(text) for text in test.texts]
        before = asked_estimate(plan, train, texts, folder)
        assert (before.calls, before.from_journal, writer.bodies) == (9, 0, [])
        assert before.cost is not None and before.cost > 0
        model = build_classifier(plan, SCHEMA, None)
        model.fit(train, rows("val", 0))
        model.predict_proba(test.take(range(6)))
        after = asked_estimate(plan, train, texts, folder)
        assert (after.calls, after.from_journal) == (3, 6)


def test_set_ups_that_cannot_work_are_refused_in_one_sentence(asked: Any) -> None:
    with pytest.raises(RecipeError, match="The model 'llm' asks a language model, and no endpoint is set"):
        planned(None)
    with pytest.raises(RecipeError, match="loss weighted does not exist for llm"):
        planned("http://127.0.0.1:1/v1", balancing="class_weights")
    with pytest.raises(RecipeError, match="would be asked, and paid, about every training row"):
        planned("http://127.0.0.1:1/v1", balancing="hard_examples")
    with pytest.raises(RecipeError, match="vectors without a text, which the model 'llm' cannot read"):
        planned("http://127.0.0.1:1/v1", balancing="smote")
    plan = planned("http://127.0.0.1:1/v1", prompt="mine.jinja")
    with pytest.raises(
        ParameterError, match=r"prompts/mine.jinja does not exist; there are .*classify.jinja"
    ):
        build_classifier(plan, SCHEMA, None).fit(rows("train", 30), rows("val", 0))
    # A server that is not there.
    nowhere = build_classifier(planned("http://127.0.0.1:1/v1", llm={"attempts": 1}), SCHEMA, None)
    with pytest.raises(EvenlyError, match=r"0 of 3 texts are answered\. .*cannot be reached"):
        nowhere.fit(rows("train", 30), rows("val", 3))
    assert isinstance(nowhere, AskedClassifier)


def laid_out(base_url: str, **model: Any) -> TrainPlan:
    """A project's files as `analyze` leaves them."""
    plan = planned(base_url, **model)
    assert plan.asked is not None
    plan = plan.model_copy(update={"asked": plan.asked.with_prompt(Path("prompts/classify.jinja"))})
    write_plan(plan, "data/plan/train.json")
    write_plan(None, "data/plan/llm.json")
    for name, count in (("train", 30), ("val", 6), ("test", 9)):
        write_samples(rows(name, count), f"data/split/{name}.parquet")
    return plan


def test_estimate_and_batch_mode_know_what_the_model_will_be_asked(
    asked: Any, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reset(answer='{"label": "card"}')
    plan = laid_out(server.base_url, examples=1)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    estimate(show=1)
    said = capsys.readouterr().out
    assert "asked about 15 validation and test rows" in said and 'for instance "train' in said
    assert "15 (0 more are in the journal)" in said
    batch(wait=True, every=0.01, judge=False)
    assert "15 requests submitted, 15 answers collected" in capsys.readouterr().out
    model = build_classifier(plan, SCHEMA, None)
    model.fit(rows("train", 30), rows("val", 6))
    model.predict_proba(rows("test", 9))
    assert server.stats()["requests"] == 0
    estimate(show=0)
    assert "0 (15 more are in the journal)" in capsys.readouterr().out


def test_an_edited_prompt_is_another_plan_and_a_missing_one_is_named(asked: Any) -> None:
    plan = planned("http://127.0.0.1:1/v1").asked
    assert plan is not None
    path = Path("prompts/classify.jinja")
    before = plan.with_prompt(path)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert plan.with_prompt(path) != before
    with pytest.raises(
        EvenlyError, match=r"mine.jinja, which models.llm.prompt names, cannot be read; there"
    ):
        plan.with_prompt(Path("prompts/mine.jinja"))


def test_in_a_notebook_where_an_event_loop_runs_it_is_asked_all_the_same(asked: Any) -> None:
    async def cell(model: Classifier) -> np.ndarray:
        return model.predict_proba(rows("test", 3))

    with asked(right) as writer:
        model = classifier(writer)
        model.fit(rows("train", 30), rows("val", 0))
        assert asyncio.run(cell(model)).argmax(axis=1).tolist() == [0, 1, 2]
