"""Requests of a plan: what the k-th call of a class asks, in every mode. Sending them is the engine's.

The content of a call depends on the plan's settings, the training rows, the class and k alone: not on how
many samples are wanted, on other classes, or on the clock. So a larger quota repeats no call, it adds some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evenly.llm.engine.messages import ChatRequest
from evenly.llm.writing.columns import object_schema, row_as_json, row_as_sentence, row_schema, statistics_of
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.training_rows import Cell, TrainingRows, in_turn, random_stream
from evenly.plans import LlmPlan

#: A call whose answer is cut asks for the rest in further parts, each a request of its own.
MOST_PARTS = 8
#: Examples of each class that is only shown for the difference.
_OTHERS_EXAMPLES = 2
#: However short the training rows are, a text may have so many characters.
_SHORTEST_LIMIT = 200
RELABEL_PROMPT = "relabel.jinja"


@dataclass(frozen=True)
class Source:
    """A training row that is paraphrased, with its number in the prompt."""

    number: int
    id: str
    text: str


@dataclass(frozen=True)
class Call:
    """The k-th call of a cell: what its prompt shows, and how many samples it is worth."""

    cell: Cell
    number: int
    size: int
    examples: tuple[int, ...] = ()
    sources: tuple[Source, ...] = ()
    partner: str | None = None
    vary: Mapping[str, str] | None = None

    @property
    def first_ordinal(self) -> int:
        """Ordinal of the call's first request; those of its further parts follow."""
        return self.number * MOST_PARTS


class Asking:
    """Makes the requests of one plan."""

    def __init__(self, plan: LlmPlan, rows: TrainingRows, prompts: Prompts) -> None:
        self.plan = plan
        self.rows = rows
        self._settings = plan.asking
        self._prompts = prompts
        self._file = plan.asking.prompt or f"{plan.mode}.jinja"
        self._statistics: dict[Cell, list[dict[str, Any]]] = {}
        self.longest = plan.asking.max_characters or (
            0 if plan.mode == "table" else max(2 * rows.longest, _SHORTEST_LIMIT)
        )

    @property
    def size(self) -> int:
        """Samples that every call of this plan is worth at most."""
        if self.plan.mode == "paraphrase":
            per_source = self._settings.per_source
            return per_source * max(1, self._settings.samples_per_call // per_source)
        return self._settings.samples_per_call

    def call(self, cell: Cell, number: int) -> Call:
        """The `number`-th call of a cell."""
        s = self._settings
        order = self.rows.diverse(cell)
        vary = self._varied(cell, number)
        if self.plan.mode == "paraphrase":
            rows = in_turn(order, number, self.size // s.per_source)
            sources = tuple(
                Source(k, str(self.rows.ids[row]), self.rows.texts[row])
                for k, row in enumerate(rows, start=1)
            )
            return Call(cell, number, s.per_source * len(sources), (), sources, None, vary)
        rows = in_turn(order, number, s.examples)
        random_stream(self.plan.seed, "examples", cell.name, number).shuffle(rows)
        partners = self.rows.neighbours(cell.label, s.confusable) if self.plan.mode == "boundary" else ()
        partner = partners[number % len(partners)] if partners else None
        return Call(cell, number, self.size, tuple(rows), (), partner, vary)

    def request(
        self, call: Call, part: int, count: int, sources: Sequence[Source] | None = None
    ) -> ChatRequest:
        """One request of a call."""
        values = self._values(call, count)
        if self.plan.mode == "paraphrase":
            sources = call.sources if sources is None else sources
            values["sources"] = [{"number": source.number, "text": source.text} for source in sources]
            values["per_source"] = self._settings.per_source
        messages = self._prompts.messages(self._file, values)
        return ChatRequest(
            messages, schema=self._schema(), ordinal=call.first_ordinal + part, tag=call.cell.name
        )

    def sources_left(self, call: Call, parents: Iterable[str | None], count: int) -> tuple[Source, ...]:
        """The sources to ask for next, of those that have not got all their paraphrases."""
        done, per_source = Counter(parents), self._settings.per_source
        left = [source for source in call.sources if done[source.id] < per_source]
        return tuple(left[: max(1, count // per_source)])

    def relabel_request(self, call: Call, texts: Sequence[tuple[int, str]]) -> ChatRequest:
        """The request that asks which class the texts of a boundary call belong to."""
        labels = list(self.candidates(call.cell.label))
        random_stream(self.plan.seed, "candidates", call.cell.name, call.number).shuffle(labels)
        values = {
            "candidates": [self._class(label, call.number, _OTHERS_EXAMPLES) for label in labels],
            "texts": [{"number": number, "text": text} for number, text in texts],
            "instructions": self._settings.instructions,
            "language": self._settings.language,
        }
        label = {"type": "string", "enum": sorted(labels)}
        schema = _samples_of(object_schema({"number": {"type": "integer"}, "label": label}))
        messages = self._prompts.messages(RELABEL_PROMPT, values)
        return ChatRequest(
            messages, temperature=0.0, schema=schema, ordinal=call.first_ordinal, tag=call.cell.name
        )

    def candidates(self, label: str) -> tuple[str, ...]:
        """The classes that a boundary sample of this class may turn out to belong to."""
        return (label, *self.rows.neighbours(label, max(self._settings.confusable, 4)))

    @cached_property
    def meanings(self) -> dict[str, str]:
        """Every class of the training rows with what it is about, where somebody wrote it down."""
        return {name: self.rows.description(name) for name in self.rows.samples.classes}

    def row_text(self, row: int) -> str:
        """A training row as prompts show it."""
        if self.plan.mode != "table":
            return self.rows.texts[row]
        write = row_as_json if self._settings.rows_as == "json" else row_as_sentence
        return write(self.rows.rows[row])

    def _values(self, call: Call, count: int) -> dict[str, Any]:
        s, cell = self._settings, call.cell
        values: dict[str, Any] = {
            "label": cell.label,
            "label_column": self.plan.label_column,
            "classes": list(self.rows.samples.classes),
            "descriptions": {name: text for name, text in self.meanings.items() if text},
            "description": self.rows.description(cell.label),
            "keywords": list(self.rows.keywords(cell.label)),
            "attribute": None,
            "count": count,
            "vary": dict(call.vary or {}),
            "language": s.language,
            "instructions": s.instructions,
            "others": [],
            "examples": [],
        }
        if cell.attribute is not None:
            values["attribute"] = {"name": self.plan.attribute or "the attribute", "value": cell.attribute}
        if self.plan.mode == "paraphrase":
            return values
        values["examples"] = [self.row_text(row) for row in call.examples]
        if self.plan.mode != "table":
            low, high = self.rows.usual_lengths(cell)
            values["length"] = {"usual_low": low, "usual_high": high, "most": self.longest}
        else:
            values["columns"] = self._column_statistics(cell)
        if call.partner is not None:
            percent = round(100 * s.mix)
            own = self._class(cell.label, call.number, 0)
            values["own"] = own | {"percent": percent, "examples": values["examples"]}
            values["partner"] = self._class(call.partner, call.number, s.examples) | {
                "percent": 100 - percent
            }
        else:
            labels = self.rows.neighbours(cell.label, s.confusable)
            values["others"] = [self._class(label, call.number, _OTHERS_EXAMPLES) for label in labels]
        return values

    def _class(self, label: str, number: int, examples: int) -> dict[str, Any]:
        rows = in_turn(self.rows.diverse(Cell(label)), number, examples)
        return {
            "label": label,
            "description": self.rows.description(label),
            "keywords": list(self.rows.keywords(label)),
            "examples": [self.row_text(row) for row in rows],
        }

    def _column_statistics(self, cell: Cell) -> list[dict[str, Any]]:
        if cell not in self._statistics:
            samples = self.rows.samples.take(self.rows.members(cell))
            self._statistics[cell] = statistics_of(samples, self.rows.columns)
        return self._statistics[cell]

    def _varied(self, cell: Cell, number: int) -> dict[str, str]:
        """One value of each attribute: in as many calls as it has values each once, in random order."""
        chosen = {}
        for name, values in self._settings.attributes.items():
            turn, place = divmod(number, len(values))
            order = random_stream(self.plan.seed, "vary", cell.name, name, turn).permutation(len(values))
            chosen[name] = values[int(order[place])]
        return chosen

    def _schema(self) -> dict[str, Any]:
        if self.plan.mode == "table":
            return _samples_of(row_schema(self.rows.columns))
        if self.plan.mode == "paraphrase":
            properties = {"source": {"type": "integer"}, "text": {"type": "string"}}
            return _samples_of(object_schema(properties))
        return _samples_of({"type": "string"})


def _samples_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return object_schema({"samples": {"type": "array", "items": item}})
