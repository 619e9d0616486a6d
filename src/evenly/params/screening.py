"""Which synthetic samples are kept: the thresholds of the checks of `filter`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from evenly.params.base import Settings

CheckName = Literal[
    "format", "length", "script", "keywords", "schema", "constraints", "duplicate", "near_duplicate",
    "closeness", "memorised", "collapse", "agreement", "outlier", "realism", "judge",
]  # fmt: skip
Share = Annotated[float, Field(ge=0, le=1)]
Similarity = Annotated[float, Field(gt=0, le=1)]


class FormatRules(Settings):
    """What no sample may look like; a built-in pattern that real training rows show as well is not used.

    `refusals` are answers of a language model about itself, `leftovers` template marks, placeholders, code
    fences and pieces of JSON; `forbidden` adds regular expressions.
    """

    refusals: bool = True
    leftovers: bool = True
    forbidden: tuple[str, ...] = ()


class LengthRules(Settings):
    """Limits on the length of a text.

    The absolute limits hold for all. Where `quantiles` are given, a text must also lie between these
    quantiles of the real training rows of its class, widened by the factor `slack`; a class with fewer than
    `min_real` real rows is measured by all classes together. A Chinese or Japanese character counts as one
    token.
    """

    min_characters: PositiveInt = 1
    max_characters: PositiveInt | None = None
    min_tokens: PositiveInt = 1
    max_tokens: PositiveInt | None = None
    quantiles: tuple[Share, Share] | None = (0.01, 0.99)
    slack: Annotated[float, Field(ge=1)] = 2.0
    min_real: PositiveInt = 20

    @model_validator(mode="after")
    def _ordered(self) -> LengthRules:
        for unit in ("characters", "tokens"):
            most = getattr(self, f"max_{unit}")
            if most is not None and most < getattr(self, f"min_{unit}"):
                raise ValueError(f"max_{unit} must not be below min_{unit}")
        if self.quantiles is not None and self.quantiles[0] >= self.quantiles[1]:
            raise ValueError("quantiles must be two rising shares such as [0.01, 0.99]")
        return self


class ScriptRules(Settings):
    """Whether a text is written as the real ones are.

    At least `min_share` of its letters belong to scripts with `familiar` or more of the real letters, of all
    classes or of its own. And at most `max_unseen` of its character trigrams occur in no real training row,
    or as many as in all but the oddest real rows, each looked at beside the others, or as a further row of
    its class would have by the real ones: that tells other languages and gibberish.
    """

    min_share: Share = 0.8
    familiar: Share = 0.01
    max_unseen: Share = 0.2


class KeywordRules(Settings):
    """Words that a class's texts must contain: one of `any_of[class]`, and each of `all_of[class]`."""

    any_of: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    all_of: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class SchemaRules(Settings):
    """Limits on the columns of a table.

    A number must lie in the range of the real training rows, widened on both sides by `tolerance` × the
    range's width, or in `ranges[column]` where that is given; a category must occur in the real training
    rows.
    """

    tolerance: NonNegativeFloat = 0.1
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)


class SimilarityRules(Settings):
    """When two samples are too close to each other.

    Texts: when their sets of character n-grams have a Jaccard index of `jaccard` or more, or (where given)
    their vectors a cosine of `cosine` or more. Images and tables: when their vectors are closer than
    `distance` × the median distance between a real row and its nearest real neighbour, or less where that
    would strike more than a share of `false_alarms` of the real training rows.
    """

    jaccard: Similarity | None = 0.8
    ngram: Annotated[int, Field(ge=1, le=8)] = 3
    cosine: Similarity | None = None
    distance: Annotated[float, Field(ge=0, lt=1)] | None = 0.2
    false_alarms: Share = 0.004


class ClosenessRules(SimilarityRules):
    """The same, to a validation or test row."""

    jaccard: Similarity | None = 0.9


class MemorisedRules(Settings):
    """Whether an image or table row is a real training row with a little noise on it.

    Its distance to the nearest real row, divided by that to the `neighbours`-th nearest, may not be smaller
    than this ratio is for a real row that is left out, but for a share of `false_alarms` of these.
    """

    neighbours: Annotated[int, Field(ge=2)] = 5
    false_alarms: Annotated[float, Field(gt=0, le=0.5)] = 0.002


class CollapseRules(Settings):
    """When a class's candidates vary so little that their producer is at fault.

    Less than the share `variance` of the real rows' variance is a warning, where there are `min_rows`
    candidates and real rows of the class; interpolation leaves about .6.
    """

    variance: Share = 0.25
    min_rows: Annotated[int, Field(ge=2)] = 5


class AgreementRules(Settings):
    """Whether a classifier fitted on real training rows agrees with a sample's label.

    The label must be among its `top_k` classes (never more than half of all classes), or, where
    `min_confidence` is given, have at least that probability; or miss it by no more than genuine rows do. A
    class whose own real rows keep to that out of fold in less than `min_real_pass` of the cases is left
    alone: there the classifier is not to be trusted. With
    `relabel`, a sample that fails moves to the class that everything else agrees on: the classifier's
    first, with `relabel_confidence` or more, and that of the majority of its `neighbours` nearest real
    rows.
    """

    top_k: PositiveInt = 1
    min_confidence: Share | None = None
    min_real_pass: Share = 0.5
    relabel: bool = False
    relabel_confidence: Share = 0.5
    neighbours: PositiveInt = 5


class OutlierRules(Settings):
    """Whether a sample lies where its class lies.

    Its distance to the `neighbours`-th nearest real row of its class may be at most `slack` × the quantile
    `quantile` of the same distance among the real rows themselves; a class with fewer than `min_real` real
    rows is measured by all classes together.
    """

    neighbours: PositiveInt = 3
    quantile: Share = 0.995
    slack: PositiveFloat = 1.0
    min_real: PositiveInt = 20


class RealismRules(Settings):
    """Whether an image or table row looks real: it may not score less than `quantile` of the real rows do.

    `manifold` scores how deep a row lies among the `neighbours`-th nearest neighbours of real rows,
    `discriminator` how sure a classifier of real and generated rows is that it is real.
    """

    score: Literal["manifold", "discriminator"] = "manifold"
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    neighbours: PositiveInt = 3


#: What is said where a judge is set and no endpoint.
JUDGE_WITHOUT_ENDPOINT = (
    "params.yaml: filter.judge asks a language model, and no endpoint is set: set llm.base_url and llm.model "
    "(docs/llm.md), or set filter.judge to null."
)


class JudgeRules(Settings):
    """The least weighted mean of a language model's marks from 1 to 10, and the weight of each mark."""

    threshold: Annotated[float, Field(ge=1, le=10)] = 6.0
    consistency: NonNegativeFloat = 0.40
    completeness: NonNegativeFloat = 0.35
    naturalness: NonNegativeFloat = 0.25

    @model_validator(mode="after")
    def _weighs_something(self) -> JudgeRules:
        if self.consistency + self.completeness + self.naturalness <= 0:
            raise ValueError(
                "at least one of consistency, completeness and naturalness needs a weight above 0"
            )
        return self


class FilterSettings(Settings):
    """The checks of `filter` in order of cost; one is left out by its name in `disable` and in no other way.

    `realism` and `judge` run only where their sections are given. Limits are widened class by class until
    `genuine_pass` of the real training rows, each screened by what is known without it, pass all checks
    together; 0 leaves them as they are set. A class of which fewer than
    `warn_below_share` of the candidates, or fewer than `warn_below` samples, are kept gets a warning.
    `review_share` of the kept rows are written to the file for people.
    """

    disable: tuple[CheckName, ...] = ()
    format: FormatRules = FormatRules()
    length: LengthRules = LengthRules()
    script: ScriptRules = ScriptRules()
    keywords: KeywordRules = KeywordRules()
    table: SchemaRules = SchemaRules()
    constraints: tuple[str, ...] = ()
    near_duplicate: SimilarityRules = SimilarityRules()
    closeness: ClosenessRules = ClosenessRules()
    memorised: MemorisedRules = MemorisedRules()
    collapse: CollapseRules = CollapseRules()
    agreement: AgreementRules = AgreementRules()
    outlier: OutlierRules = OutlierRules()
    realism: RealismRules | None = None
    judge: JudgeRules | None = None
    genuine_pass: Annotated[float, Field(ge=0, lt=1)] = 0.95
    warn_below: NonNegativeInt = 1
    warn_below_share: Share = 0.5
    review_share: Share = 0.1
