"""The second round: a fitted model trained on with hard rows, and the decision which of the two is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.classifier import (
    FEATURIZER,
    MANIFEST,
    Classifier,
    FitSummary,
    Log,
    no_log,
    read_manifest,
    write_sealed,
)
from evenly.classifiers.training.sampling import Mixture
from evenly.classifiers.weights import origin_weights
from evenly.confusion import macro_f1, outcomes
from evenly.evaluation.intervals import bootstrap_weights
from evenly.features import load_featurizer
from evenly.files import atomic_folder, read_json
from evenly.params.models import MODELS
from evenly.plans import FinetunePlan
from evenly.samples import SampleTable, concatenate

#: Resamples of the validation rows behind the decision.
RESAMPLES = 2000
#: The share of them in which the new model may be worse.
MAY_BE_WORSE = 0.1


@dataclass(frozen=True)
class Comparison:
    """Macro F1 of the first and second round's models on the validation rows.

    `worse` is the share of the resamples of these rows in which the second is worse.
    """

    before: float
    after: float
    worse: float

    @property
    def is_better(self) -> bool:
        """Whether the second model is better, and not by chance: at most a tenth of the resamples deny it.

        Both models were chosen by these very rows, the second from a start that was good on them already: a
        higher score alone says too little.
        """
        return self.after > self.before and self.worse <= MAY_BE_WORSE


@dataclass(frozen=True)
class Finetuned:
    """What the second round came to: the new model where it is kept, and a summary where it was trained.

    `kept` is the stage whose model is kept, `train` or `finetune`, `why` a sentence, and `numbers` are rows
    and the comparison, ready for JSON.
    """

    classifier: Classifier | None
    summary: FitSummary | None
    kept: str
    why: str
    numbers: dict[str, Any]

    def verdict(self) -> dict[str, Any]:
        """Give what `model.json` says of the round."""
        return {"kept": self.kept, "why": self.why, **self.numbers}


def finetune(
    folder: str | Path,
    plan: FinetunePlan,
    train: SampleTable,
    hard: SampleTable,
    validation: SampleTable,
    log: Log = no_log,
    checkpoints: Path | None = None,
    vectors: Path | None = None,
) -> Finetuned:
    """Train a fitted model on with hard rows among original ones, and keep the better model.

    Networks go on from where they are. Other models are fitted anew on all rows, which weigh as much in total
    as the mixture shows them. Validation rows choose when to stop, and which model is kept.

    Parameters
    ----------
    folder, vectors
        As for `load_classifier`.
    train
        What the model was fitted on. Rows that are hard count as hard alone.
    log, checkpoints
        As for `Classifier.fit`.
    """
    folder = Path(folder)
    if not len(hard):
        return Finetuned(None, None, "train", "there are no hard rows", {"hard_rows": 0})
    originals = train.take(~np.isin(train.ids, hard.ids))
    rows = concatenate([originals, hard])
    mixture = Mixture(len(originals), plan.ratio, plan.originals == "anew")
    trained = read_manifest(folder).plan
    weight = origin_weights(rows, trained.synthetic_weight)
    before = load_classifier(folder, vectors)
    after: Classifier
    model = load_classifier(folder, vectors)
    if MODELS[trained.model].is_network:
        from evenly.classifiers.networkclassifier import NetworkClassifier

        assert isinstance(model, NetworkClassifier)
        changes = {"training": plan.training, "seed": plan.seed, "threads": plan.threads}
        second = trained.model_copy(update=changes)
        summary = model.fit_further(second, rows, validation, mixture, log, weight, checkpoints)
        after = model
    else:
        own = folder / FEATURIZER
        featurizer = load_featurizer(own, vectors) if own.is_dir() else None
        after = build_classifier(trained, rows.schema, featurizer)
        weights = mixture.shares(len(rows)) * (1.0 if weight is None else weight)
        summary = after.fit(rows, validation, log, weights * (len(rows) / weights.sum()))
    numbers: dict[str, Any] = {"hard_rows": len(hard), "originals_an_epoch": mixture.drawn(len(rows))}
    comparison = None
    if len(validation):
        one, two = (model.predict_proba(validation).argmax(axis=1) for model in (before, after))
        codes, weights = validation.codes, validation.weights
        comparison = compared(codes, one, two, len(train.classes), plan.seed, weights)
    return _decided(after, summary, plan, comparison, numbers)


def compared(
    codes: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    classes: int,
    seed: int,
    sample_weight: np.ndarray | None = None,
) -> Comparison:
    """Compare the classes that two models predict for the same rows, by the paired bootstrap of macro F1."""
    worse = 0
    each = np.ones(len(codes)) if sample_weight is None else sample_weight
    for drawn_rows in bootstrap_weights(len(codes), RESAMPLES, seed):
        weights = drawn_rows * each
        drawn = [macro_f1(outcomes(codes, guess, classes, weights)) for guess in (before, after)]
        worse += int((drawn[1] < drawn[0]).sum())
    values = [float(macro_f1(outcomes(codes, guess, classes, each))) for guess in (before, after)]
    return Comparison(values[0], values[1], worse / RESAMPLES)


def write_finetuned(tuned: Finetuned, folder: str | Path) -> None:
    """Write the new model with the verdict in its `model.json`, or that file alone where it is not kept."""
    folder = Path(folder)
    if tuned.classifier is not None:
        tuned.classifier.save(folder)
        write_sealed(read_json(folder / MANIFEST) | tuned.verdict(), folder)
        return
    with atomic_folder(folder) as temporary:
        write_sealed(tuned.verdict(), temporary)


def _decided(
    after: Classifier,
    summary: FitSummary,
    plan: FinetunePlan,
    comparison: Comparison | None,
    numbers: dict[str, Any],
) -> Finetuned:
    found = "there are no validation rows to judge it by"
    if comparison is not None:
        numbers |= {
            "macro_f1_before": comparison.before,
            "macro_f1_after": comparison.after,
            "worse_in_resamples": comparison.worse,
        }
        found = (
            f"macro F1 on validation {comparison.after:.4f} after and {comparison.before:.4f} before the "
            f"second round, worse in {comparison.worse:.0%} of the resamples"
        )
    better = comparison is not None and comparison.is_better
    if better or plan.keep == "always":
        why = found if better else f"asked for (keep: always); {found}"
        return Finetuned(after, summary, "finetune", why, numbers)
    return Finetuned(None, summary, "train", f"the second round is not clearly better: {found}", numbers)
