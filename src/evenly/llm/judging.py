"""A language model as judge: marks for whole samples, by the same engine and from the same journal.

Which marks are good enough is decided in `evenly.screening.checks.opinions`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evenly.errors import EvenlyError, RecipeError
from evenly.llm.engine.endpoint import journal_folder, keys_from
from evenly.llm.engine.engine import Engine
from evenly.llm.engine.messages import GO_ON, OUTAGE, Answer, ChatRequest
from evenly.llm.writing.answers import parse_items
from evenly.llm.writing.columns import object_schema, row_as_json
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.training_rows import farthest_point_order, nearest_classes, row_vectors
from evenly.params.base import read_yaml
from evenly.params.datasets import ClassNote
from evenly.params.llm import EngineSettings
from evenly.params.project import PARAMS_FILE
from evenly.params.screening import JUDGE_WITHOUT_ENDPOINT
from evenly.payloads import feature_rows
from evenly.plans import LlmPlan
from evenly.samples import SampleTable
from evenly.screening.context import MARKS, JudgeScores

PROMPT = "judge.jinja"
#: Real rows shown of the sample's class, and of each class that is easily confused with it.
EXAMPLES, OTHERS, OTHERS_EXAMPLES = 4, 2, 1
_SCHEMA = object_schema({name: {"type": "integer"} for name in MARKS})


class JudgingError(EvenlyError):
    """The endpoint could not be asked to the end; what it has answered is kept, and asked for no more."""


def llm_judge(
    settings: EngineSettings | None,
    train: SampleTable,
    notes: Mapping[str, ClassNote],
    environment: Mapping[str, str],
    generation: Mapping[str, Any] | None = None,
    label_column: str | None = None,
) -> LlmJudge:
    """The judge with this project's prompt, keys and journals; `environment` is `os.environ`.

    `generation`, the content of metrics/llm.json, is what the run has spent before: the caps bind both.
    """
    keys, folder = keys_from(environment), journal_folder(environment)
    return LlmJudge(settings, train, notes, Prompts(), keys, folder, generation or {}, label_column)


def planned_judge(
    plan: LlmPlan, settings: EngineSettings, train: SampleTable, environment: Mapping[str, str]
) -> LlmJudge | None:
    """The judge of the rows that a plan asks for; None where params.yaml sets no `filter.judge`."""
    rules = read_yaml(PARAMS_FILE).get("filter")
    if not isinstance(rules, dict) or rules.get("judge") is None:
        return None
    return llm_judge(settings, train, plan.notes, environment, label_column=plan.label_column)


@dataclass(frozen=True)
class LlmJudge:
    """Marks samples by asking a language model about each; `evenly.screening.context.Judge`.

    One request a sample, at temperature 0, with the whole sample in it and real training rows of its class
    and of its nearest classes beside it. The request depends on these alone, so that a sample which has been
    judged is never paid for again, whichever others stand beside it.
    """

    settings: EngineSettings | None
    train: SampleTable
    notes: Mapping[str, ClassNote]
    prompts: Prompts
    keys: Mapping[str, str] = field(repr=False)
    folder: Path
    generation: Mapping[str, Any] = field(default_factory=dict)
    label_column: str | None = None

    def __call__(self, samples: SampleTable) -> JudgeScores:
        """Marks of every sample, NaN where the model refused, or gave no marks that can be read.

        Raises
        ------
        RecipeError
            When no endpoint is set.
        ParameterError
            When the prompt file is wrong, or the key is not set.
        JudgingError
            When the endpoint refuses the key, has no quota left, or is gone. Run again to go on.
        """
        if self.settings is None:
            raise RecipeError(JUDGE_WITHOUT_ENDPOINT)
        answers, measured = asyncio.run(self._answers(self.settings, samples))
        _refuse_half_done(answers)
        read = [marks_of(answer) for answer in answers]
        marks = np.array([each or (math.nan,) * len(MARKS) for each in read]).reshape(-1, len(MARKS)).T
        pairs = zip(read, answers, strict=True)
        failures = [None if each else answer.failure or "unusable" for each, answer in pairs]
        return JudgeScores(marks[0], marks[1], marks[2], failures, measured)

    def requests(self, samples: SampleTable) -> Iterator[ChatRequest]:
        """One request a sample, in order."""
        surroundings = _Surroundings(self.train, self.notes, self.label_column)
        for label, sample in zip(samples.labels, _worded(samples), strict=True):
            messages = self.prompts.messages(PROMPT, {**surroundings.beside(label), "sample": sample})
            yield ChatRequest(messages, temperature=0.0, schema=_SCHEMA, tag=label)

    async def _answers(
        self, settings: EngineSettings, samples: SampleTable
    ) -> tuple[list[Answer], dict[str, Any]]:
        from tqdm import tqdm

        answers: dict[int, Answer] = {}
        bar = tqdm(total=len(samples), desc="judge", unit="sample", disable=None)
        async with Engine(settings, self.keys, self.folder) as engine:
            budget, before = engine.budget, self.generation
            budget.calls = before.get("requests") or 0
            budget.tokens = earlier = before.get("tokens_paid") or 0
            budget.cost = paid = before.get("cost") or 0.0
            async for position, answer in engine.stream(self.requests(samples), _final):
                answers[position] = answer
                bar.update()
                if answer.failure in OUTAGE and engine.stopped is not None:
                    raise JudgingError(f"{answer.error} {GO_ON}")
            bar.close()
            if answers and not budget.calls and all(one.failure == "budget" for one in answers.values()):
                raise JudgingError(f"Not one sample could be judged. {engine.stopped} Raise the cap.")
            # The last digits of a sum depend on the order of the answers.
            cost = None if engine.cost is None else round(engine.cost - paid, 6)
            measured = {"model": settings.model, "tokens": budget.tokens - earlier, "cost": cost}
        return [answers[position] for position in range(len(answers))], measured


def marks_of(answer: Answer) -> tuple[float, ...] | None:
    """The three marks of an answer, each in 1..10; None where one is missing or is no such number."""
    if not (answer.ok or answer.failure == "truncated"):
        return None
    for item in parse_items(answer.text):
        if isinstance(item, dict):
            marks = tuple(_mark(item.get(name)) for name in MARKS)
            if all(mark is not None for mark in marks):
                return marks  # type: ignore[return-value]
    return None


def _mark(value: Any) -> float | None:
    """A mark as a number: `8`, `"8"` and `"8/10"` are the same."""
    if isinstance(value, str):
        value = value.strip().removesuffix("/10")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 1 <= number <= 10 else None


def _final(answer: Answer) -> bool:
    """Whether an answer is the last word: marks, a refusal, or one that is cut at any time."""
    return answer.failure in ("refusal", "truncated") or marks_of(answer) is not None


def _refuse_half_done(answers: list[Answer]) -> None:
    """Raise where samples went unjudged because the endpoint failed: that must not be taken for a result.

    A request that the server will not take (a sample longer than the model's context, say) is no outage,
    unless it takes none at all.
    """
    outages = [answer for answer in answers if answer.failure in OUTAGE]
    refused = [answer for answer in answers if answer.failure == "bad_request"]
    if refused and len(refused) == len(answers):
        outages = refused
    if outages:
        kinds = Counter(str(answer.failure) for answer in outages)
        reasons = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in sorted(kinds.items()))
        raise JudgingError(
            f"{len(outages)} of {len(answers)} samples could not be judged ({reasons}). "
            f"{outages[0].error} {GO_ON}"
        )


class _Surroundings:
    """What stands beside a sample of a class, the same for all its samples."""

    def __init__(self, train: SampleTable, notes: Mapping[str, ClassNote], label_column: str | None) -> None:
        self._label_column = label_column
        self._rows = train.take(train.is_real).sorted_by_id()
        self._notes = notes
        self._vectors = row_vectors(self._rows)
        self._nearest = nearest_classes(self._vectors, self._rows.labels, train.classes)
        self._known: dict[str, dict[str, Any]] = {}

    def beside(self, label: str) -> dict[str, Any]:
        """The values of the prompt for this class."""
        if label not in self._known:
            others = self._nearest.get(label, ())[:OTHERS]
            self._known[label] = {
                **self._class(label, EXAMPLES),
                "modality": self._rows.modality,
                "label_column": self._label_column,
                "others": [self._class(other, OTHERS_EXAMPLES) for other in others],
            }
        return self._known[label]

    def _class(self, label: str, examples: int) -> dict[str, Any]:
        note = self._notes.get(label, ClassNote())
        own = np.flatnonzero(self._rows.labels == label)
        chosen = own[farthest_point_order(self._vectors[own], examples)] if len(own) else own
        return {
            "label": label,
            "description": note.description,
            "keywords": list(note.keywords),
            "examples": _worded(self._rows.take(chosen)),
        }


def _worded(samples: SampleTable) -> list[str]:
    """Samples as the prompt shows them, whole."""
    if samples.modality == "table":
        return [row_as_json(row) for row in feature_rows(samples)]
    return [text or "" for text in samples.texts]
