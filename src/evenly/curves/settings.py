"""What a curve is drawn over, and with which classifiers; the regularised variants come from the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import NonNegativeInt, PositiveInt

from evenly.errors import ParameterError
from evenly.params.base import Settings
from evenly.params.losses import LossSettings
from evenly.params.models import MODELS, ModelsSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan

SourceName = Literal["run", "duplication", "smote", "fair_duplication"]
MetricName = Literal["balanced_error", "macro_f1", "worst_class_error", "worst_group_error"]
if TYPE_CHECKING:
    CurveModel = str
else:
    CurveModel = Literal[tuple(name for name, spec in MODELS.items() if spec.regularised)]
#: A grid is hundreds of fits: trees and rounds are no more than these, whatever params.yaml says.
MOST: dict[str, int] = {"trees": 100, "rounds": 80}


class CurveSettings(Settings):
    """What to draw.

    Attributes
    ----------
    sources
        Where the rows that are added come from; `run` are the kept rows of the run's producers.
    models
        Each is fitted plain, with the settings of params.yaml, and regularised.
    steps
        Steps after the first, which is no synthetic row.
    most
        Rows of the last step; None takes those of the run, or what it takes to balance the classes.
    seeds
        Each draws other synthetic rows and seeds the classifier anew.
    metric
        On test rows.
    """

    sources: tuple[SourceName, ...]
    models: tuple[CurveModel, ...]
    steps: PositiveInt = 4
    most: PositiveInt | None = None
    seeds: tuple[NonNegativeInt, ...]
    metric: MetricName = "balanced_error"


class Variant(Settings):
    """A classifier of the curves: a model with the settings of params.yaml, or its regularised form."""

    model: CurveModel
    regularised: bool

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.model}, regularised" if self.regularised else self.model

    def plan(self, models: ModelsSettings, seed: int) -> TrainPlan:
        """Say how it is fitted, in one thread, with the plain loss."""
        settings = getattr(models, self.model)
        capped = {
            key: min(most, getattr(settings, key)) for key, most in MOST.items() if hasattr(settings, key)
        }
        settings = settings.model_copy(update=capped)
        if self.regularised:
            settings = settings.model_copy(update=dict(MODELS[self.model].regularised))
        return TrainPlan(
            model=self.model,
            settings=settings,
            loss="cross_entropy",
            losses=LossSettings(),
            sampler="uniform",
            training=TrainingSettings(),
            seed=seed,
            threads=1,
        )


def variants(models: tuple[CurveModel, ...]) -> list[Variant]:
    """All classifiers of the curves, the plain form of each model before its regularised one."""
    return [Variant(model=model, regularised=strong) for model in models for strong in (False, True)]


def named_choices(text: str, kind: Any, option: str) -> tuple[Any, ...]:
    """Read `a,b,c`, each of them one of a `Literal`.

    Raises
    ------
    ParameterError
        Naming what is allowed.
    """
    allowed = get_args(kind)
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in allowed:
            raise ParameterError(f"{option} takes {', '.join(allowed)}, separated by commas, not {name!r}.")
    return names
