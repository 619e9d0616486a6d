"""A language model as classifier: asked for the class of every text, by the same engine and journal.

Nothing is fitted. `fit` chooses the training rows that the prompt shows, and asks about the validation rows,
which every evaluation needs.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evenly.classifiers.classifier import (
    HOLDS_ROWS,
    REMEDY,
    Classifier,
    FitSummary,
    Log,
    no_log,
    spent_sentence,
    texts_of,
)
from evenly.classifiers.vectors import scores_of
from evenly.classifiers.weights import check_rows, rows_per_class, smoothed_prior
from evenly.errors import EvenlyError, ModelError
from evenly.files import read_json, write_json, write_text
from evenly.llm.engine.budget import cost_of
from evenly.llm.engine.endpoint import journal_folder, keys_from
from evenly.llm.engine.engine import Engine
from evenly.llm.engine.messages import GO_ON, OUTAGE, Answer, ChatRequest, Message, Token
from evenly.llm.writing.answers import parse_items
from evenly.llm.writing.columns import object_schema
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.training_rows import farthest_point_order, row_vectors
from evenly.params.datasets import ClassNote
from evenly.params.generation import read_engine_settings
from evenly.params.llm import EngineSettings
from evenly.params.models import LlmSettings
from evenly.params.project import PARAMS_FILE
from evenly.plans import AskedPlan, TrainPlan
from evenly.samples import SampleTable, Schema

#: Alternatives to each token that are asked for: the most that OpenAI and vLLM give.
ALTERNATIVES = 20
#: Of the requests, by which a journal tells what answers of this kind cost.
TAG = "class of a text"
#: Added to every probability, so that no class is impossible.
_FLOOR = 1e-4
_EXAMPLES, _PROMPT = "examples.json", "prompt.jinja"
_NO_TEXT = "has a vector but no text, which a language model cannot read; use a recipe that makes texts."
_AGAIN = "That is none of the classes. Answer again, with one of the classes exactly as spelled above."
#: Answers without a class that may have one the second time.
_AGAIN_AFTER = (None, "truncated", "empty")


class AskingError(EvenlyError):
    """Not every text could be asked about; what was answered is kept, and asked for no more."""


class Said(NamedTuple):
    """What was said of one text: the class, None where none; probabilities from tokens, where there are any;
    the answers that it took; and the failure of the last one.
    """

    label: str | None
    by_tokens: np.ndarray | None
    answers: tuple[Answer, ...]
    failure: str | None


class AskedClassifier(Classifier):
    """A language model that names the class of each text.

    Its scores carry no class shares, since it is told none: the effective prior is uniform.

    Parameters
    ----------
    plan
        With the model `llm`.
    schema
        Of the samples.
    """

    def __init__(self, plan: TrainPlan, schema: Schema) -> None:
        super().__init__(plan, schema)
        self._examples: dict[str, list[str]] = {}
        self._shares = np.full(len(schema.classes), 1 / len(schema.classes))
        self._prompts, self._prompt = Prompts(), self._settings.prompt
        self._said: dict[str, Said] = {}

    @property
    def _settings(self) -> LlmSettings:
        assert isinstance(self.plan.settings, LlmSettings)
        return self.plan.settings

    @property
    def asked(self) -> AskedPlan:
        """Who answers, and what is known of the classes."""
        if self.plan.asked is None:
            raise ModelError(f"The plan of the model llm names no endpoint; {REMEDY}.")
        return self.plan.asked

    @property
    def engine_settings(self) -> EngineSettings:
        """The endpoint, with the limits and patience of params.yaml where there is one."""
        here = read_engine_settings(PARAMS_FILE) if Path(PARAMS_FILE).is_file() else None
        return self.asked.model.applied_to(here).model_copy(update={"asks": 1})

    def prepare(self, train: SampleTable) -> None:
        """Choose the examples: of each class the most diverse texts, real ones where there are any."""
        check_rows(train)
        self._shares = smoothed_prior(rows_per_class(train.codes, len(self.classes)))
        self._prior = np.full(len(self.classes), 1 / len(self.classes))
        texts, real = texts_of(train, _NO_TEXT), train.is_real
        for code, label in enumerate(self.classes):
            own = np.flatnonzero((train.codes == code) & real)
            own = own if len(own) else np.flatnonzero(train.codes == code)
            rows = train.take(own).sorted_by_id()
            order = farthest_point_order(row_vectors(rows), self._settings.examples) if len(own) else []
            self._examples[label] = list(dict.fromkeys(str(rows.texts[row]) for row in order))
        self._messages(texts[0])  # a wrong prompt file fails here

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Choose the examples, and ask about the validation rows; see `Classifier.fit`."""
        self.prepare(train)
        scores = {}
        if len(validation):
            found = scores_of(validation, self.predict_proba(validation))
            scores = {f"val/{name}": value for name, value in found.items()}
        log(0, scores)
        return FitSummary(None, 0, scores, (spent_sentence(self.spent),) if len(validation) else ())

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k): of the answer's tokens, else smoothed around the answer.

        A text without a usable answer has the class shares of the training rows.

        Raises
        ------
        AskingError
            When the endpoint or a spending cap leaves texts unanswered. Run again to go on.
        ParameterError
            When the key is not set.
        """
        texts = texts_of(samples, _NO_TEXT)
        if unasked := [text for text in dict.fromkeys(texts) if text not in self._said]:
            _run(self._ask(unasked))
        return np.array([self._probabilities(self._said[text]) for text in texts]).reshape(
            -1, len(self.classes)
        )

    def requests(self, texts: Sequence[str]) -> Iterator[ChatRequest]:
        """The first request about each text."""
        return (self._request(self._messages(text)) for text in texts)

    @property
    def spent(self) -> dict[str, Any]:
        """What all answers so far took, whenever they were paid, and what they were worth."""
        said, prices = self._said.values(), self.asked.model.prices
        answers = [answer for one in said for answer in one.answers]
        costs = [cost_of(answer.usage, prices.get(answer.model)) for answer in answers]
        known = [cost for cost in costs if cost is not None]
        return {
            "model": self.asked.model.endpoints[0].model,
            "texts": len(said),
            "calls": len(answers),
            "asked_twice": sum(len(one.answers) > 1 for one in said),
            "no_class": sum(one.label is None for one in said),
            "refused": sum(one.failure in ("refusal", "bad_request") for one in said),
            "by_tokens": sum(one.by_tokens is not None for one in said),
            "tokens": sum(answer.usage.total for answer in answers),
            "cost": round(math.fsum(known), 6) if len(known) == len(costs) else None,
            "certainty": round(1 - self._settings.smoothing, 6),
        }

    def _messages(self, text: str) -> tuple[Message, ...]:
        notes = self.asked.notes
        classes = [
            {
                "label": label,
                "description": notes.get(label, ClassNote()).description,
                "keywords": list(notes.get(label, ClassNote()).keywords),
                "examples": self._examples.get(label, []),
            }
            for label in self.classes
        ]
        values = {"classes": classes, "instructions": self._settings.instructions, "text": text}
        return self._prompts.messages(self._prompt, values)

    def _request(self, messages: tuple[Message, ...], ordinal: int = 0) -> ChatRequest:
        temperature = 0.0 if self.asked.model.temperature is None else None
        schema = object_schema({"label": {"type": "string", "enum": list(self.classes)}})
        logprobs = ALTERNATIVES if self._settings.logprobs else 0
        return ChatRequest(messages, temperature, schema=schema, ordinal=ordinal, tag=TAG, logprobs=logprobs)

    def _second(self, text: str, answer: Answer) -> ChatRequest:
        """What is asked where an answer names no class: the same with a word about it, or as it is."""
        messages = self._messages(text)
        if not answer.text.strip() or answer.failure == "truncated":
            return self._request(messages, ordinal=1)
        reply = ({"role": "assistant", "content": answer.text}, {"role": "user", "content": _AGAIN})
        return self._request((*messages, *reply))

    async def _ask(self, texts: Sequence[str]) -> None:
        """Ask about texts, twice where need be; all of them are known afterwards, or none."""
        from tqdm import tqdm

        settings, before, said = self.engine_settings, self.spent, dict[str, Said]()
        async with Engine(settings, keys_from(os.environ), journal_folder(os.environ)) as engine:
            engine.budget.calls, engine.budget.tokens = before["calls"], before["tokens"]
            engine.budget.cost = before["cost"] or 0.0
            with tqdm(total=len(texts), desc="asked", unit="text", disable=None) as bar:
                async for place, answer in engine.stream(self.requests(texts)):
                    said[texts[place]] = self._read(answer)
                    bar.update()
            again = [
                text for text in texts if said[text].label is None and said[text].failure in _AGAIN_AFTER
            ]
            second = (self._second(text, said[text].answers[0]) for text in again)
            async for place, answer in engine.stream(second):
                found, first = self._read(answer), said[again[place]].answers
                said[again[place]] = found._replace(answers=first + found.answers)
        lost = [one for one in said.values() if one.failure == "budget" or one.failure in OUTAGE]
        refused = [one for one in said.values() if one.failure == "bad_request"]
        if lost or len(refused) == len(said):
            # Probabilities must not depend on an outage or a cap.
            last = (lost or refused)[-1]
            raised = " Raise the cap." if last.failure == "budget" else ""
            raise AskingError(
                f"{len(said) - len(lost or refused):,} of {len(said):,} texts are answered. "
                f"{last.answers[-1].error}{raised} {GO_ON}"
            )
        self._said |= {text: said[text] for text in texts}

    def _read(self, answer: Answer) -> Said:
        label = class_named(answer.text, self.classes) if answer.ok else None
        by_tokens = None if label is None else token_probabilities(label, answer.tokens, self.classes)
        return Said(label, by_tokens, (replace(answer, tokens=()),), answer.failure)

    def _probabilities(self, said: Said) -> np.ndarray:
        if said.label is None:
            return self._shares
        if said.by_tokens is not None:
            return said.by_tokens
        k, smoothing = len(self.classes), self._settings.smoothing
        out = np.full(k, smoothing / max(k - 1, 1))
        out[self.classes.index(said.label)] = 1 - smoothing
        return np.asarray(out / out.sum())

    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        write_json(self._examples, folder / _EXAMPLES)
        write_text((self._prompts.folder / self._prompt).read_text(encoding="utf-8"), folder / _PROMPT)
        shown = {HOLDS_ROWS: True} if any(self._examples.values()) else {}
        return {"shares": [float(share) for share in self._shares], **shown}

    def _restore(self, details: Mapping[str, Any], folder: Path) -> None:
        self._examples = read_json(folder / _EXAMPLES)
        self._shares = np.asarray(details["shares"], dtype=np.float64)
        if self._shares.shape != (len(self.classes),) or not (folder / _PROMPT).is_file():
            raise ModelError(f"{folder} is damaged: it lacks its prompt, or shares of classes; {REMEDY}.")
        self._prompts, self._prompt = Prompts(folder), _PROMPT


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a thread of its own where this one runs an event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
    else:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, work).result()


def class_named(text: str, classes: Sequence[str]) -> str | None:
    """The class that an answer names, as it is spelled; None where it names none, or several."""
    items = [item.get("label", "") if isinstance(item, dict) else item for item in parse_items(text)]
    named = {str(item).strip() for item in items or [text.rpartition("</think>")[2]]}
    return next(iter(named)) if len(named) == 1 and named <= set(classes) else None


def token_probabilities(label: str, tokens: Sequence[Token], classes: Sequence[str]) -> np.ndarray | None:
    """Probability of each class by the tokens that spell `label` in an answer, float64 (k,).

    The answer is one path through the spellings of the classes. An alternative at a step has the probability
    of the path up to there times its own, shared evenly by the classes that it still fits; what the
    alternatives listed do not reach is spread over all. None where the tokens do not spell the class.
    """
    spelled = [json.dumps(name, ensure_ascii=False)[1:] for name in classes]
    mine = spelled[list(classes).index(label)]
    start = "".join(token for token, _, _ in tokens).rfind('"' + mine) + 1
    if start < 1:
        return None
    out, path, at = np.zeros(len(classes)), 1.0, 0
    for token, logprob, others in tokens:
        end = at + len(token)
        if end > start and at < start + len(mine):
            before, lead = mine[: max(at - start, 0)], max(start - at, 0)
            for other, chance in others.items():
                spelling = before + other[lead:]
                if other == token or other[:lead] != token[:lead] or len(other) <= lead:
                    continue
                fits = [k for k, one in enumerate(spelled) if _fits(spelling, one)]
                out[fits] += path * math.exp(min(chance, 0.0)) / max(len(fits), 1)
            path *= math.exp(min(logprob, 0.0))
        at = end
    out[list(classes).index(label)] += path
    if not np.isfinite(out).all():
        return None
    out += max(0.0, 1.0 - out.sum()) / len(out) + _FLOOR
    return np.asarray(out / out.sum())


def _fits(spelling: str, whole: str) -> bool:
    return whole.startswith(spelling) or spelling.startswith(whole)
