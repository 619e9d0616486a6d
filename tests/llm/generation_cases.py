"""Small training tables and plans that the generation tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evenly.llm.generate import Generation, generate_samples
from evenly.llm.writing.prompts import Prompts
from evenly.params.generation import AskingSettings
from evenly.params.llm import EngineSettings
from evenly.plans import AskedModel, LlmPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

PROMPTS = Path(__file__).parents[2] / "prompts"

TEXTS = {
    "arrival": [
        "my card has not arrived yet",
        "where is the card you sent",
        "how long does delivery take",
        "still waiting for the post to bring it",
    ],
    "pin": ["the pin is blocked", "I entered a wrong code three times", "unlock my pin"],
    "refund": [
        "please return 12.50 to me",
        "I want my money back",
        "the shop owes me 1,000 euros since 3 May",
    ],
}


def text_table(texts: dict[str, list[str]] | None = None) -> SampleTable:
    rows = [(label, k, text) for label, some in (texts or TEXTS).items() for k, text in enumerate(some)]
    columns = {
        "id": [f"{label}-{k}" for label, k, _ in rows],
        "label": [label for label, _, _ in rows],
        "text": [text for _, _, text in rows],
    }
    return samples_from_columns(columns, Schema("text", tuple(sorted({label for label, _, _ in rows}))))


def mixed_table() -> SampleTable:
    n = 24
    features = (
        Feature("age", "integer"),
        Feature("pressure", "number"),
        Feature("sex", "category", ("f", "m", "seen only in test")),
        Feature("smoker", "boolean"),
    )
    columns = {
        "id": [f"r{k:02d}" for k in range(n)],
        "label": ["ill" if k % 4 == 0 else "well" for k in range(n)],
        "age": [30 + k for k in range(n)],
        "pressure": [None if k == 5 else 100.0 + 2.5 * k for k in range(n)],
        "sex": ["f" if k % 2 else "m" for k in range(n)],
        "smoker": [k % 3 == 0 for k in range(n)],
    }
    return samples_from_columns(columns, Schema("table", ("ill", "well"), features))


def engine_settings(base_url: str, **changes: Any) -> EngineSettings:
    return EngineSettings(**{"base_url": base_url, "model": "tester", "seed": 1, "concurrency": 8} | changes)


def plan_for(
    settings: EngineSettings, counts: dict[str, int], mode: str = "generate", **changes: Any
) -> LlmPlan:
    beside = {
        key: changes.pop(key)
        for key in ("notes", "group_counts", "attribute", "label_column", "seed")
        if key in changes
    }
    values = {"mode": mode, "counts": counts, "notes": {}, "seed": 3} | beside
    return LlmPlan(**values, asking=AskingSettings(**changes), model=AskedModel.of(settings))


def generated(
    settings: EngineSettings, plan: LlmPlan, train: SampleTable, folder: Path, prompts: Path = PROMPTS
) -> Generation:
    return generate_samples(plan, train, Prompts(prompts), settings, {}, folder)
