"""The rules: for what data a technique is worth trying early, and for what data it is better left.

Each rule is one entry: when it holds, which techniques it speaks of, why, and where that is known from. Rules
that recommend stand in the order in which their techniques are to be tried. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evenly.advice.shape import DataShape
from evenly.params.generative import MIN_PER_CLASS

#: Classes this close in size are as good as balanced.
BALANCED_RATIO = 1.5
#: Validation rows of the smallest class that tuned thresholds need to be more than noise.
ENOUGH_TO_TUNE = 20
#: Rows a class up to which rows written by a language model have been seen to pay off.
FEW_FOR_LLM = 20
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

SMOTE_FAMILY = (
    "smote",
    "borderline_smote",
    "svm_smote",
    "kmeans_smote",
    "adasyn",
    "smote_tomek",
    "smote_enn",
)
_DIGITS = "measured, docs/results/digits_lt.md"


@dataclass(frozen=True)
class Rule:
    """One piece of advice.

    Attributes
    ----------
    name
        What the rule is about, for tests and for people.
    techniques
        Recipes, or recipes with settings as `evenly sweep` takes them. Of a rule that recommends, the first
        that can be run is taken; a rule that warns speaks of all of them.
    holds
        Whether it applies to data of this shape.
    because
        Why, in one or two sentences with the numbers of the data.
    source
        Where that is known from.
    """

    name: str
    techniques: tuple[str, ...]
    holds: Callable[[DataShape], bool]
    because: Callable[[DataShape], str]
    source: str


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
        "decide differently",
        ("none",),
        lambda shape: True,
        _reading,
        "Menon et al. 2021; Elor & Averbuch-Elor 2022; +.052 macro F1 measured, docs/results/digits_lt.md",
    ),
    Rule(
        "last layer over groups",
        ("group_retrain_head",),
        lambda shape: shape.smallest_group is not None and shape.network,
        lambda shape: (
            f"The smallest group of class and attribute has {_rows(shape.smallest_group or 0)}: training the "
            "last layer again on balanced groups does as well as far more complex methods."
        ),
        "Kirichenko et al. 2022, arXiv 2204.02937",
    ),
    Rule(
        "copies over groups",
        ("group_oversampling",),
        lambda shape: shape.smallest_group is not None,
        lambda shape: (
            f"The smallest group of class and attribute has {_rows(shape.smallest_group or 0)}: balancing "
            "groups, not classes, is what worst-group error answers to."
        ),
        "Idrissi et al. 2022, arXiv 2110.14503",
    ),
    Rule(
        "fewer rows",
        ("random_undersampling",),
        lambda shape: _imbalanced(shape) and shape.rows >= MANY_ROWS and shape.smallest >= ENOUGH_TO_THIN,
        lambda shape: (
            f"With {shape.rows:,} rows, {shape.smallest:,} of them in the smallest class, most majority rows "
            "say the same again: without them training is faster and loses little."
        ),
        "Wang 2020, arXiv 2006.00683",
    ),
    Rule(
        "transforms of images",
        ("offline_augmentation", "on_the_fly_augmentation"),
        lambda shape: _imbalanced(shape) and shape.modality == "image",
        lambda shape: (
            "Transforms keep the label and show the network what it has not seen: the only technique that "
            "makes rows and beat no balancing on long-tailed digits."
        ),
        f"+.042 macro F1 {_DIGITS}",
    ),
    Rule(
        "written rows for scarce texts",
        ("llm",),
        lambda shape: _imbalanced(shape) and shape.modality == "text" and 2 <= shape.smallest <= FEW_FOR_LLM,
        lambda shape: (
            f"{_classes(shape.below(FEW_FOR_LLM + 1))} at most {FEW_FOR_LLM} rows: rows of a language model "
            "pay off with 5 to 20 real rows a class, hardly with more."
        ),
        "Cegin et al. 2024, arXiv 2408.16502",
    ),
    Rule(
        "prior in the loss",
        ("logit_adjustment",),
        lambda shape: _imbalanced(shape) and shape.network,
        lambda shape: (
            "Free, and consistent for the balanced error: the network learns with the class shares taken "
            "out, instead of having them taken out afterwards."
        ),
        "Menon et al. 2021, arXiv 2007.07314",
    ),
    Rule(
        "weights",
        ("class_weights",),
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
        ("smote",),
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
        ("offline_augmentation",),
        lambda shape: _imbalanced(shape) and shape.modality == "text" and shape.rows <= FEW_TEXTS,
        lambda shape: (
            f"With {_rows(shape.rows)}, small edits of the texts can help; they say nothing new, so expect "
            "little once there are thousands."
        ),
        "Wei & Zou 2019, arXiv 1901.11196",
    ),
    Rule(
        "copies",
        ("random_oversampling",),
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
        ("llm",),
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


#: Techniques to leave, for now or for good; a rule here overrules those above.
LEAVE: tuple[Rule, ...] = (
    Rule(
        "a GAN needs rows",
        ("gan", "hybrid_augment_gan"),
        lambda shape: shape.modality != "text" and bool(shape.below(MIN_PER_CLASS["gan"])),
        lambda shape: (
            f"{_classes(shape.below(MIN_PER_CLASS['gan']))} fewer than {MIN_PER_CLASS['gan']} rows: a GAN "
            "makes things worse there."
        ),
        "arXiv 2603.16134",
    ),
    Rule(
        "a VAE needs rows",
        ("vae", "hybrid_augment_vae"),
        lambda shape: shape.modality != "text" and bool(shape.below(MIN_PER_CLASS["vae"])),
        lambda shape: (
            f"{_classes(shape.below(MIN_PER_CLASS['vae']))} fewer than {MIN_PER_CLASS['vae']} rows, too few "
            "to learn a distribution from."
        ),
        "docs/recipes.md",
    ),
    Rule(
        "a language model of one's own needs rows",
        ("language_model",),
        lambda shape: shape.modality == "text" and bool(shape.below(MIN_PER_CLASS["language_model"])),
        lambda shape: (
            f"{_classes(shape.below(MIN_PER_CLASS['language_model']))} fewer than "
            f"{MIN_PER_CLASS['language_model']} rows; a small model trained on them writes plausible word "
            "salad."
        ),
        "docs/recipes.md",
    ),
    Rule(
        "SMOTE on pixels",
        SMOTE_FAMILY,
        lambda shape: shape.modality == "image",
        lambda shape: "A mean of two pictures is a double exposure and no picture of the class.",
        f"smote −.012, adasyn −.006 macro F1, neither differs from no balancing, {_DIGITS}",
    ),
    Rule(
        "SMOTE on texts",
        SMOTE_FAMILY,
        lambda shape: shape.modality == "text",
        lambda shape: (
            "Between the vectors of two texts there is no text, and in hundreds of dimensions such rows say "
            "little that is new."
        ),
        "Blagus & Lusa 2013",
    ),
    Rule(
        "SMOTE on wide tables",
        SMOTE_FAMILY,
        lambda shape: shape.modality == "table" and (shape.dimensions or 0) > MANY_COLUMNS,
        lambda shape: (
            f"In {shape.dimensions} columns its rows have about two thirds of the real variance and say "
            "little that is new."
        ),
        "Blagus & Lusa 2013",
    ),
    Rule(
        "SMOTE on categories",
        SMOTE_FAMILY,
        lambda shape: shape.modality == "table" and shape.nominal_share > MOSTLY_NOMINAL,
        lambda shape: (
            f"{shape.nominal_share:.0%} of the features are categories, between which there is nothing: its "
            "rows are copies or mixtures."
        ),
        "Chawla et al. 2002, section 6.1",
    ),
    Rule(
        "SMOTE on few rows",
        SMOTE_FAMILY,
        lambda shape: shape.modality == "table" and 0 < shape.smallest < ENOUGH_FOR_SMOTE,
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)} and SMOTE looks for five neighbours: what it "
            "makes there is nearly copies."
        ),
        "imbalanced-learn refuses it; docs/recipes.md",
    ),
    Rule(
        "undersampling throws away",
        ("random_undersampling",),
        lambda shape: shape.smallest < ENOUGH_TO_THIN,
        lambda shape: (
            f"It would leave {shape.smallest * len(shape.counts):,} of {shape.rows:,} rows, {shape.smallest} "
            "of each class."
        ),
        "docs/recipes.md",
    ),
    Rule(
        "written rows are for few rows",
        ("llm", "llm_smote", "llm_focal", "llm_paraphrase", "llm_boundary"),
        lambda shape: shape.modality != "image" and shape.smallest > FEW_FOR_LLM,
        lambda shape: (
            f"The smallest class has {_rows(shape.smallest)}: a language model's rows pay off with 5 to 20, "
            "hardly with more, and they cost money."
        ),
        "Cegin et al. 2024, arXiv 2408.16502",
    ),
    Rule(
        "focal loss is for detection",
        ("focal",),
        lambda shape: shape.network,
        lambda shape: (
            "Made for dense detection; on plain class imbalance gains are small and calibration suffers."
        ),
        f"Lin et al. 2017; −.006 macro F1, does not differ from no balancing, {_DIGITS}",
    ),
)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _classes(names: list[str]) -> str:
    """Begin a sentence about classes: what they have follows."""
    if len(names) == 1:
        return f"The class {names[0]!r} has"
    return f"{len(names)} classes have"
