"""Plan files as the stages read them."""

from __future__ import annotations

from evenly.params.generation import AskingSettings
from evenly.params.llm import EngineSettings
from evenly.plans import AskedModel, LlmPlan


def test_what_is_requested_of_a_class_includes_its_groups() -> None:
    plan = LlmPlan(
        mode="table",
        counts={"ill": 3, "well": 0},
        group_counts={"ill": {"night": 2, "day": 0}, "dead": {"night": 4}},
        notes={},
        asking=AskingSettings(),
        model=AskedModel.of(EngineSettings(base_url="http://localhost:1/v1", model="m")),
        seed=0,
    )
    assert plan.requested == {"ill": 5, "well": 0, "dead": 4}
