"""The rules: for what data a technique is worth trying early, and for what data it is better left.

Each rule is one entry: when it holds, which kinds of recipes it speaks of, why, and where that is known from.
Rules that recommend stand in the order in which their techniques are to be tried. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evenly.advice.shape import DataShape
from evenly.params.generative import KINDS, GeneratorKind
from evenly.params.losses import LossName
from evenly.params.models import MODELS
from evenly.params.recipes import Recipe, RecipeTraining
from evenly.params.resampling import RESAMPLERS, ResamplerSpec

#: Classes this close in size are as good as balanced.
BALANCED_RATIO = 1.5
#: Validation rows of the smallest class that tuned thresholds need to be more than noise.
ENOUGH_TO_TUNE = 20
#: Rows a class up to which rows written by a language model have been seen to pay off.
FEW_FOR_LLM = 20
#: Rows of a table's smallest class up to which boosted trees have been measured to gain by noisy copies.
FEW_FOR_TREES = 25
#: Neighbours that SMOTE looks for, and the row itself.
ENOUGH_FOR_SMOTE = 6
#: Columns above which a row between two rows says little that is new.
MANY_COLUMNS = 100
#: Share of categories and booleans from which there is little between two rows.
MOSTLY_NOMINAL = 0.5
#: Rows and rows in the smallest class from which leaving rows out costs little and saves time.
MANY_ROWS, ENOUGH_TO_THIN = 100_000, 1_000
#: Rows up to which editing texts has been seen to help.
FEW_TEXTS = 5_000

_DIGITS = "measured, docs/results/digits_lt.md"


@dataclass(frozen=True)
class Rule:
    """One piece of advice: the data for which it holds, the recipes that it speaks of, why, and its source.

    A rule that recommends takes its `kinds` in order, and of each the first recipe of params.yaml; one
    that warns speaks of all recipes of its kinds. Those of a `family` can be called by the first of them.
    """

    name: str
    kinds: tuple[Callable[[Recipe], bool], ...]
    holds: Callable[[DataShape], bool]
    because: Callable[[DataShape], str]
    source: str
    family: bool = False

    def preferred(self, recipes: Mapping[str, Recipe]) -> list[str]:
        """The first recipe of each kind."""
        firsts = (next((name for name, one in recipes.items() if kind(one)), None) for kind in self.kinds)
        return [name for name in firsts if name is not None]

    def concerned(self, recipes: Mapping[str, Recipe]) -> tuple[str, ...]:
        """All recipes of its kinds."""
        return tuple(name for name, recipe in recipes.items() if any(kind(recipe) for kind in self.kinds))


# -- kinds of recipes, by what they do -----------------------------------------------------------------------


def _only(recipe: Recipe, *producers: str) -> bool:
    """Whether classes are balanced by these producers and by nothing else, in one round with any model."""
    return (
        recipe.producers == producers
        and recipe.balance_on == "class"
        and recipe.model is None
        and recipe.mining is None
    )


def _plain(recipe: Recipe) -> bool:
    return _only(recipe) and recipe.train == RecipeTraining()


def _transforms(recipe: Recipe) -> bool:
    return _only(recipe, "augment") and recipe.augment is not None and not recipe.augment.copies_of_all


def _transforms_batches(recipe: Recipe) -> bool:
    return _only(recipe) and bool(recipe.train.settings.get("augment"))


def _tunes_lightly(recipe: Recipe) -> bool:
    return not recipe.producers and recipe.train.settings.get("head") == "class_means"


def _writes(recipe: Recipe) -> bool:
    return _only(recipe, "llm")


def _is_answered(recipe: Recipe) -> bool:
    return recipe.model is not None and bool(MODELS[recipe.model.name].asked_by)


def _asks(recipe: Recipe) -> bool:
    return recipe.llm is not None and recipe.balance_on == "class"


def _copies(recipe: Recipe) -> bool:
    return _only(recipe, "resample") and _method(recipe).rule == "duplicate"


def _copies_groups(recipe: Recipe) -> bool:
    return (
        recipe.balance_on == "group"
        and recipe.producers == ("resample",)
        and _method(recipe).rule == "duplicate"
    )


def _thins(recipe: Recipe) -> bool:
    return _only(recipe, "resample") and _method(recipe).thins


def _interpolates(recipe: Recipe) -> bool:
    return _only(recipe, "resample") and _method(recipe).interpolates


def _interpolates_alone(recipe: Recipe) -> bool:
    return _interpolates(recipe) and _method(recipe).cleaning is None


def _method(recipe: Recipe) -> ResamplerSpec:
    """What is known of its resampling, where that is a method of our own."""
    settings = recipe.resample
    return RESAMPLERS[settings.method] if settings and settings.sampler is None else ResamplerSpec()


def _retrains_head_on_groups(recipe: Recipe) -> bool:
    return not recipe.producers and recipe.train.settings.get("retrain_head") == "group"


def _learns_with(loss: LossName) -> Callable[[Recipe], bool]:
    return lambda recipe: _only(recipe) and recipe.train.loss == loss


def _generates_by(kind: GeneratorKind) -> Callable[[Recipe], bool]:
    return lambda recipe: recipe.generate is not None and recipe.generate.kind == kind


# -- the rules -----------------------------------------------------------------------------------------------


def _imbalanced(shape: DataShape) -> bool:
    return shape.ratio > BALANCED_RATIO


def _reading(shape: DataShape) -> str:
    """Why no balancing comes first, and which decision rule to look at."""
    if not _imbalanced(shape) and shape.smallest_group is None:
        return (
            f"The largest class is {shape.ratio:.1f} times the smallest: there is nothing to balance, and "
            "more rows of any kind would cure another ill."
        )
    rule = (
        "tuned thresholds and logit adjustment"
        if shape.held_out >= ENOUGH_TO_TUNE
        else f"logit adjustment (the smallest class has {_rows(shape.held_out)} in validation, too few to "
        "tune a threshold on)"
    )
    return (
        f"Costs nothing beyond the baseline that everything is held against: in its table of decision rules, "
        f"look at {rule}."
    )


#: In the order in which to try; the first three whose technique can be run are the advice.
TRY: tuple[Rule, ...] = (
    Rule(
        "noisy copies for scarce tables",
        (_transforms,),
        lambda shape: (
            _imbalanced(shape)
            and shape.modality == "table"
            and shape.model == "hist_gradient_boosting"
            and shape.smallest <= FEW_FOR_TREES
            and shape.nominal_share <= MOSTLY_NOMINAL
            and shape.smallest_group is None
        ),
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)}, about what boosted trees want in one leaf: "
            "on small tables of numbers, noisy copies lost least against the best technique of each set."
        ),
        "mean regret .019 macro F1 against .050 of no balancing, measured, docs/results/advice.md",
    ),
    Rule(
        "decide differently",
        (_plain,),
        lambda shape: True,
        _reading,
        "Menon et al. 2021; Elor & Averbuch-Elor 2022; +.052 macro F1 measured, docs/results/digits_lt.md",
    ),
    Rule(
        "last layer over groups",
        (_retrains_head_on_groups,),
        lambda shape: shape.smallest_group is not None and shape.network,
        lambda shape: (
            f"The smallest group of class and attribute has {_rows(shape.smallest_group or 0)}: training the "
            "last layer again on balanced groups does as well as far more complex methods."
        ),
        "Kirichenko et al. 2022, arXiv 2204.02937",
    ),
    Rule(
        "copies over groups",
        (_copies_groups,),
        lambda shape: shape.smallest_group is not None,
        lambda shape: (
            f"The smallest group of class and attribute has {_rows(shape.smallest_group or 0)}: balancing "
            "groups, not classes, is what worst-group error answers to."
        ),
        "Idrissi et al. 2022, arXiv 2110.14503",
    ),
    Rule(
        "fewer rows",
        (_thins,),
        lambda shape: _imbalanced(shape) and shape.rows >= MANY_ROWS and shape.smallest >= ENOUGH_TO_THIN,
        lambda shape: (
            f"With {shape.rows:,} rows, {shape.smallest:,} of them in the smallest class, most majority rows "
            "say the same again: without them training is faster and loses little."
        ),
        "Wang 2020, arXiv 2006.00683",
    ),
    Rule(
        "transforms of images",
        (_transforms, _transforms_batches),
        lambda shape: _imbalanced(shape) and shape.modality == "image",
        lambda shape: (
            "Transforms keep the label and show the network what it has not seen: of all that makes rows "
            "the best on long-tailed digits, with tuned thresholds and without."
        ),
        f"+.061 macro F1 with tuned thresholds, of which +.045 are the thresholds', {_DIGITS}",
    ),
    Rule(
        "written rows for scarce texts",
        (_writes,),
        lambda shape: _imbalanced(shape) and shape.modality == "text" and 2 <= shape.smallest <= FEW_FOR_LLM,
        lambda shape: (
            f"{_classes(shape.below(FEW_FOR_LLM + 1))} at most {FEW_FOR_LLM} rows: rows of a language model "
            "pay off with 5 to 20 real rows a class, hardly with more."
        ),
        "Cegin et al. 2024, arXiv 2408.16502",
    ),
    Rule(
        "a language model instead",
        (_is_answered,),
        lambda shape: shape.modality == "text" and shape.smallest <= FEW_FOR_LLM,
        lambda shape: (
            f"{_classes(shape.below(FEW_FOR_LLM + 1))} at most {FEW_FOR_LLM} rows, and a language model that "
            "is asked for the class needs none: the rival to hold against, if each prediction may cost money "
            "for as long as the model is in use."
        ),
        "Brown et al. 2020, arXiv 2005.14165; not measured here",
    ),
    Rule(
        "prior in the loss",
        (_learns_with("logit_adjusted"),),
        lambda shape: _imbalanced(shape) and shape.network,
        lambda shape: (
            "Free, and consistent for the balanced error: the network learns with the class shares taken "
            "out, instead of having them taken out afterwards."
        ),
        "Menon et al. 2021, arXiv 2007.07314",
    ),
    Rule(
        "weights",
        (_learns_with("weighted"),),
        _imbalanced,
        lambda shape: (
            "Free. "
            + (
                "Boosted trees need it little: expect no more than the decision rules give."
                if shape.strong
                else "In a network the prior in the loss is usually the better of the two."
                if shape.network
                else "Does for a weak or linear learner what copies do, without the copies."
            )
        ),
        "Elor & Averbuch-Elor 2022, arXiv 2201.08528",
    ),
    Rule(
        "rows between rows",
        (_interpolates_alone,),
        lambda shape: (
            _imbalanced(shape)
            and shape.modality == "table"
            and not _smote_is_vain(shape)
            and shape.smallest >= ENOUGH_FOR_SMOTE
        ),
        lambda shape: (
            f"{shape.dimensions} columns, mostly numbers, and {_rows(shape.smallest)} in the smallest class "
            "are what it was made for. "
            + (
                "With boosted trees it rarely beats a tuned threshold: a check."
                if shape.strong
                else "Helps weak learners, rarely more than a tuned threshold does."
            )
        ),
        "Chawla et al. 2002; Elor & Averbuch-Elor 2022, arXiv 2201.08528",
    ),
    Rule(
        "edited texts",
        (_transforms,),
        lambda shape: _imbalanced(shape) and shape.modality == "text" and shape.rows <= FEW_TEXTS,
        lambda shape: (
            f"With {_rows(shape.rows)}, small edits of the texts can help; they say nothing new, so expect "
            "little once there are thousands."
        ),
        "Wei & Zou 2019, arXiv 1901.11196",
    ),
    Rule(
        "copies",
        (_copies,),
        _imbalanced,
        lambda shape: (
            "The plainest way of balancing: what any technique that makes rows has to beat, and close to "
            "weights in its effect. With a regularised classifier it comes near rows of a language model on "
            "some small tables, as `evenly curve` shows."
        ),
        "Elor & Averbuch-Elor 2022, arXiv 2201.08528",
    ),
    Rule(
        "written rows for scarce tables",
        (_writes,),
        lambda shape: _imbalanced(shape) and shape.modality == "table" and 2 <= shape.smallest <= FEW_FOR_LLM,
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)}, few enough for rows of a language model to pay "
            "off; hold them against copies with `evenly curve`."
        ),
        "Cegin et al. 2024, arXiv 2408.16502 (on texts)",
    ),
)


def _smote_is_vain(shape: DataShape) -> bool:
    return (shape.dimensions or 0) > MANY_COLUMNS or shape.nominal_share > MOSTLY_NOMINAL


def _needs_rows(kind: GeneratorKind) -> Rule:
    """Leave a generator where classes have too few rows to train it."""
    spec = KINDS[kind]
    least = spec.min_per_class
    return Rule(
        f"{spec.title} needs rows",
        (_generates_by(kind),),
        lambda shape: shape.modality in spec.modalities and bool(shape.below(least)),
        lambda shape: f"{_classes(shape.below(least))} fewer than {least} rows{spec.with_fewer}.",
        spec.source,
    )


#: Techniques to leave, for now or for good; a rule here overrules those above.
LEAVE: tuple[Rule, ...] = (
    *(_needs_rows(kind) for kind in KINDS),
    Rule(
        "SMOTE on pixels",
        (_interpolates,),
        lambda shape: shape.modality == "image" and not shape.encoded,
        lambda shape: "A mean of two pictures is a double exposure and no picture of the class.",
        f"smote −.005, adasyn −.007 macro F1 against no balancing under the same rule, {_DIGITS}",
        family=True,
    ),
    Rule(
        "SMOTE on texts",
        (_interpolates,),
        lambda shape: shape.modality == "text",
        lambda shape: (
            "Between the vectors of two texts there is no text, and in hundreds of dimensions such rows say "
            "little that is new."
        ),
        "Blagus & Lusa 2013",
        family=True,
    ),
    Rule(
        "SMOTE on wide tables",
        (_interpolates,),
        lambda shape: shape.modality == "table" and (shape.dimensions or 0) > MANY_COLUMNS,
        lambda shape: (
            f"In {shape.dimensions} columns its rows have about two thirds of the real variance and say "
            "little that is new."
        ),
        "Blagus & Lusa 2013",
        family=True,
    ),
    Rule(
        "SMOTE on categories",
        (_interpolates,),
        lambda shape: shape.modality == "table" and shape.nominal_share > MOSTLY_NOMINAL,
        lambda shape: (
            f"{shape.nominal_share:.0%} of the features are categories, between which there is nothing: its "
            "rows are copies or mixtures."
        ),
        "Chawla et al. 2002, section 6.1",
        family=True,
    ),
    Rule(
        "SMOTE on few rows",
        (_interpolates,),
        lambda shape: shape.modality == "table" and 0 < shape.smallest < ENOUGH_FOR_SMOTE,
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)} and SMOTE looks for five neighbours: what it "
            "makes there is nearly copies."
        ),
        "imbalanced-learn refuses it; docs/recipes.md",
        family=True,
    ),
    Rule(
        "undersampling throws away",
        (_thins,),
        lambda shape: shape.smallest < ENOUGH_TO_THIN,
        lambda shape: (
            f"It would leave {shape.smallest * len(shape.counts):,} of {shape.rows:,} rows, {shape.smallest} "
            "of each class."
        ),
        "docs/recipes.md",
    ),
    Rule(
        "written rows are for few rows",
        (_asks,),
        lambda shape: shape.modality != "image" and shape.smallest > FEW_FOR_LLM,
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)}: a language model's rows pay off with 5 to 20, "
            "hardly with more, and they cost money."
        ),
        "Cegin et al. 2024, arXiv 2408.16502",
    ),
    Rule(
        "last layers of a pretrained network",
        (_tunes_lightly,),
        lambda shape: shape.encoded,
        lambda shape: (
            "The photographs are vectors of a pretrained network, and a linear model on them did better on "
            "drawn photographs in a tenth of the time: tune the network where those vectors fall short."
        ),
        "macro F1 .894 against .920 of no balancing with the prior taken out and .909 of class weights, "
        "measured, docs/results/images.md; Shi et al. 2024, arXiv 2309.10019",
    ),
    Rule(
        "focal loss is for detection",
        (_learns_with("focal"),),
        lambda shape: shape.network,
        lambda shape: (
            "Made for dense detection; on plain class imbalance gains are small and calibration suffers."
        ),
        f"Lin et al. 2017; −.006 macro F1 against no balancing under the same rule, {_DIGITS}",
    ),
)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _classes(names: list[str]) -> str:
    """Begin a sentence about classes: what they have follows."""
    if len(names) == 1:
        return f"The class {names[0]!r} has"
    return f"{len(names)} classes have"
