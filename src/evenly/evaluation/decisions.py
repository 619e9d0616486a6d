"""Decision rules: ways to turn the same scores of the same model into decisions, cheap rivals of balancing.

Rules are made from the training prior, the deployment prior and validation rows, and read out on test rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from evenly.classifiers.classifier import MANIFEST, REMEDY
from evenly.confusion import Outcomes, macro_f1
from evenly.errors import ModelError, ParameterError
from evenly.evaluation.calibration import EPSILON, fitted_temperature, scaled
from evenly.files import file_digest, reading, seal_fault, sealed, write_json
from evenly.params.evaluation import PriorSetting
from evenly.wording import nearest_names

RuleName = Literal[
    "argmax", "logit_adjustment", "logit_adjustment_uniform", "tuned_thresholds", "temperature"
]

#: No threshold weight leaves 1/1000…1000, whatever a few validation rows say.
_LARGEST_OFFSET = float(np.log(1000))
_SWEEPS = 10
#: Priors whose shares differ by less than 10% are one rule, not two.
_ALIKE = 0.1


@dataclass(frozen=True)
class DecisionRule:
    """Decide for the class with the largest log p / temperature + offset."""

    name: RuleName
    #: One per class, in nats, (k,); 0 is neutral.
    offsets: np.ndarray
    temperature: float = 1.0
    #: Whether the shifted scores are meant as probabilities, or are only there to decide by.
    restates_probabilities: bool = True

    def decisions(self, probabilities: np.ndarray) -> np.ndarray:
        """Class positions decided for, int (n,)."""
        return np.asarray(self._restated(probabilities).argmax(axis=1))

    def probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities as the rule states them, float64 (n, k)."""
        return self._restated(probabilities) if self.restates_probabilities else probabilities

    def _restated(self, probabilities: np.ndarray) -> np.ndarray:
        if self.temperature == 1 and not self.offsets.any():
            return probabilities
        return scaled(probabilities, self.temperature, self.offsets)


def deployment_shares(
    setting: PriorSetting, classes: Sequence[str], train: np.ndarray, validation: np.ndarray
) -> np.ndarray:
    """Share of each class where the model will be used, float (k,), all above 0, summing to 1.

    `train` and `validation` are real rows per class, int (k,), whose shares are Laplace-smoothed.
    """
    if setting == "uniform":
        return np.full(len(classes), 1 / len(classes))
    if isinstance(setting, str):
        counts = train if setting == "train" else validation
        return np.asarray((counts + 1) / (counts.sum() + len(classes)))
    return normalised_shares(setting, classes, "params.yaml: deployment_prior")


def normalised_shares(setting: Mapping[str, float], classes: Sequence[str], where: str) -> np.ndarray:
    """Shares by class as float (k,), summing to 1, in the order of the classes.

    A `ParameterError` where the mapping, called `where`, misses a class or names one that is not there.
    """
    missing = [name for name in classes if name not in setting]
    unknown = [name for name in setting if name not in set(classes)]
    if missing or unknown:
        found = f"misses {missing[0]!r}" if missing else f"names {unknown[0]!r}, which is no class"
        raise ParameterError(f"{where} {found}; give a share for every class: {', '.join(classes)}.")
    shares = np.array([setting[name] for name in classes], dtype=np.float64)
    return np.asarray(shares / shares.sum())


def prior_offsets(target: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Give log(target / effective) per class, (k,): Bayes' rule for a changed prior.

    p'(y|x) ∝ p(y|x)·target(y)/effective(y): Saerens et al. 2002, equation 2.4; Menon et al. 2021, arXiv
    2007.07314, section 4.1. Both priors sum to 1. A class the model was trained without (0) stays neutral.
    """
    known = effective > 0
    return np.asarray(np.where(known, np.log(target / np.where(known, effective, 1)), 0.0))


def deployment_weights(
    target: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Give weights of rows, (n,), of classes `y`, that bring these to the shares of `target`; the mean is 1.

    Rows of a class that weigh differently keep their ratios.
    """
    own = np.ones(len(y)) if sample_weight is None else sample_weight
    counts = np.bincount(y, own, len(target))
    weights = own * (target / np.where(counts > 0, counts, 1))[y]
    return np.asarray(weights / weights.mean())


def tuned_offsets(
    y: np.ndarray,
    probabilities: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    shrinkage: float = 5.0,
    objective: Callable[[Outcomes], np.ndarray] | None = macro_f1,
    costs: np.ndarray | None = None,
) -> np.ndarray:
    """Offsets per class that give a large macro F1 on these rows, shrunk towards neutral, float (k,).

    Or a large value of another metric of a confusion matrix; or, without one, small costs: what each decision
    costs on each row, (n, k).

    Coordinate ascent from neutral: one class after the other, scarcest first, takes the offset that is best
    given the others (found exactly, by sorting the rows by the offset at which they would change sides), the
    smallest where several are as good. At the end a class with n rows keeps n/(n + shrinkage) of its offset.
    Classes without rows stay neutral; `weights`, (n,), is what each row counts.
    """
    classes = probabilities.shape[1]
    logits = np.log(np.clip(probabilities, EPSILON, 1))
    counts = np.bincount(y, minlength=classes)
    row_weights = np.ones(len(y)) if weights is None else weights
    offsets = np.zeros(classes)
    present = np.flatnonzero(counts)
    order = present[np.argsort(counts[present], kind="stable")]
    best = -np.inf
    for _ in range(_SWEEPS):
        before = best
        for k in order:
            offsets[k], best = _best_offset(k, y, logits, offsets, row_weights, objective, costs)
        if best <= before + 1e-9:
            break
    return np.asarray(offsets * counts / np.maximum(counts + shrinkage, 1))


def _best_offset(
    k: int,
    y: np.ndarray,
    logits: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    objective: Callable[[Outcomes], np.ndarray] | None,
    costs: np.ndarray | None,
) -> tuple[float, float]:
    """Find the offset of class k that is best given the other offsets, and how good it is."""
    scores = logits + offsets
    scores[:, k] = -np.inf
    rival = scores.argmax(axis=1)
    # Row i goes to class k once the offset is above turn[i].
    turn = scores[np.arange(len(y)), rival] - logits[:, k]
    order = np.argsort(turn, kind="stable")
    turn = turn[order]
    if objective is None:
        assert costs is not None
        rows, w = np.arange(len(y)), weights[order]
        kept, moved = costs[order][rows, rival[order]], costs[order][:, k]
        total = -(w @ kept + _sums(w * (moved - kept))) / weights.sum()
    else:
        total = objective(_outcomes_by_cut(k, y[order], rival[order], weights[order], logits.shape[1]))

    # Cut m lies between turn[m − 1] and turn[m]. Scores that are equal but for rounding cannot be cut apart.
    low, high = np.append(-np.inf, turn), np.append(turn, np.inf)
    middle = (np.maximum(low, high - 2) + np.minimum(high, low + 2)) / 2
    offset = np.where((low < 0) & (high > 0), 0.0, np.clip(middle, -_LARGEST_OFFSET, _LARGEST_OFFSET))
    possible = (high - low > 1e-9) & (offset > low) & (offset < high)
    good = np.flatnonzero(possible & (total >= total[possible].max() - 1e-12))
    chosen = good[np.abs(offset[good]).argmin()]
    return float(offset[chosen]), float(total[chosen])


def _outcomes_by_cut(k: int, y: np.ndarray, rival: np.ndarray, weights: np.ndarray, classes: int) -> Outcomes:
    """Outcomes if the first m rows go to class k and the others to their rival, (n + 1, classes)."""
    hits, predicted = np.zeros((len(y) + 1, classes)), np.zeros((len(y) + 1, classes))
    right = weights * (y == rival)
    hits[0], predicted[0] = np.bincount(rival, right, classes), np.bincount(rival, weights, classes)
    rows = np.arange(len(y)) + 1
    hits[rows, rival], predicted[rows, rival] = -right, -weights
    hits[rows, k], predicted[rows, k] = weights * (y == k), weights
    return Outcomes(
        hits=np.maximum(np.cumsum(hits, axis=0), 0),
        actual=np.broadcast_to(np.bincount(y, weights, classes), hits.shape),
        predicted=np.maximum(np.cumsum(predicted, axis=0), 0),
    )


def _sums(values: np.ndarray) -> np.ndarray:
    """Sum of the first m values, for m from 0 to n, (n + 1,)."""
    return np.append(0.0, np.cumsum(values))


def fitted_rules(
    y: np.ndarray,
    probabilities: np.ndarray,
    *,
    effective: np.ndarray,
    deployment: np.ndarray,
    weights: np.ndarray | None,
    shrinkage: float,
    objective: Callable[[Outcomes], np.ndarray] | None = macro_f1,
    costs: np.ndarray | None = None,
) -> tuple[DecisionRule, ...]:
    """All decision rules, made from validation rows; `argmax`, what the model says by itself, is the first.

    Parameters
    ----------
    y, probabilities
        Validation rows: true class positions (n,), scores (n, k).
    effective, deployment
        Priors (k,): the one that the scores stand for, and the one where the model will be used.
    weights
        What each validation row counts, (n,); None where all count alike and are like deployment.
    shrinkage
        Of the tuned thresholds, in rows.
    objective, costs
        What thresholds are tuned for; see `tuned_offsets`.
    """
    classes = len(effective)
    neutral = np.zeros(classes)
    rules = [
        DecisionRule("argmax", neutral),
        DecisionRule("logit_adjustment", prior_offsets(deployment, effective)),
    ]
    uniform = np.full(classes, 1 / classes)
    if np.abs(np.log(deployment / uniform)).max() > _ALIKE:
        rules.append(DecisionRule("logit_adjustment_uniform", prior_offsets(uniform, effective)))
    tuned = tuned_offsets(
        y, probabilities, weights=weights, shrinkage=shrinkage, objective=objective, costs=costs
    )
    rules.append(DecisionRule("tuned_thresholds", tuned, restates_probabilities=False))
    temperature = fitted_temperature(y, probabilities, weights)
    rules.append(DecisionRule("temperature", neutral, temperature=temperature))
    return tuple(rules)


def out_of_fold(
    y: np.ndarray,
    probabilities: np.ndarray,
    *,
    folds: int = 5,
    costs: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    **fitting: Any,
) -> dict[RuleName, tuple[np.ndarray, np.ndarray]]:
    """Read the rules out on the rows that they are made from, each row by rules made without its fold.

    Rules that are chosen by what they score on validation rows must not have seen these rows. The folds take
    the rows of each class in turn, in the order given. Gives, by rule, probabilities as it states them and
    class positions that it decides for; `fitting` is the rest of what `fitted_rules` takes.
    """
    turn = np.empty(len(y), dtype=np.int64)
    turn[np.argsort(y, kind="stable")] = np.arange(len(y)) % min(folds, len(y))
    found: dict[RuleName, tuple[np.ndarray, np.ndarray]] = {}
    for fold in range(turn.max() + 1):
        held = turn == fold
        known, counted = (None if values is None else values[~held] for values in (costs, weights))
        for rule in fitted_rules(y[~held], probabilities[~held], costs=known, weights=counted, **fitting):
            stated, decided = found.setdefault(
                rule.name, (np.empty(probabilities.shape), np.empty(len(y), dtype=np.int64))
            )
            stated[held] = rule.probabilities(probabilities[held])
            decided[held] = rule.decisions(probabilities[held])
    return found


#: Beside the folder of the model that they were made for.
RULES_FILE = "rules.json"


def write_rules(
    rules: Sequence[DecisionRule],
    chosen: str,
    classes: Sequence[str],
    *,
    deployment: np.ndarray | None,
    rare: str,
    sets: tuple[float, np.ndarray],
    model: Path,
) -> None:
    """Write the decision rules of a model beside its folder, with the one that validation rows choose.

    `deployment` are the shares that rows are weighted to, (k,), None where they count as they are; `rare` is
    the class that `rare_…` metrics are of; `sets` the coverage of prediction sets, and from which probability
    (k,) a class belongs to one.
    """
    content = {
        "chosen": chosen,
        "classes": list(classes),
        "deployment": None if deployment is None else deployment.tolist(),
        "rare": rare,
        "sets": {"coverage": sets[0], "thresholds": sets[1].tolist()},
        "rules": {
            rule.name: {
                "offsets": rule.offsets.tolist(),
                "temperature": rule.temperature,
                "restates_probabilities": rule.restates_probabilities,
            }
            for rule in rules
        },
    }
    write_json(sealed(content, {MANIFEST: model / MANIFEST}), model.parent / RULES_FILE)


def read_rules(model: Path) -> dict[str, Any] | None:
    """Read the decision rules of a model; None where there are none for it.

    Raises
    ------
    ModelError
        When the file is damaged.
    """
    path, manifest = model.parent / RULES_FILE, model / MANIFEST
    try:
        with reading(path, REMEDY, ModelError):
            content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    files = content.get("files") if isinstance(content, dict) else None
    if isinstance(files, dict) and files.get(MANIFEST) not in (None, file_digest(manifest)):
        return None  # those of the model of another round
    if fault := seal_fault(content, {MANIFEST: manifest}):
        raise ModelError(f"{path} {fault}; {REMEDY}.")
    return dict(content)


def read_rule(name: str, model: Path) -> DecisionRule | None:
    """Read a decision rule of a model, or the one `chosen`; None where there are none for this model.

    Raises
    ------
    ModelError
        When the file is damaged, or has no such rule.
    """
    content = read_rules(model)
    if content is None:
        return None
    rules, wanted = content["rules"], content["chosen"] if name == "chosen" else name
    if wanted not in rules:
        path = model.parent / RULES_FILE
        raise ModelError(f"{path} has no rule {wanted!r}; {nearest_names(wanted, ['chosen', *rules])}")
    return rule_of(content, wanted)


def rule_of(content: Mapping[str, Any], name: str) -> DecisionRule:
    """A rule out of the content of a file of rules."""
    found = content["rules"][name]
    return DecisionRule(
        cast(RuleName, name),
        np.array(found["offsets"], dtype=np.float64),
        float(found["temperature"]),
        bool(found["restates_probabilities"]),
    )


RULES: Mapping[RuleName, str] = {
    "argmax": "Most probable class",
    "logit_adjustment": "Adjusted to deployment",
    "logit_adjustment_uniform": "Adjusted to equal classes",
    "tuned_thresholds": "Tuned thresholds",
    "temperature": "Temperature scaling",
}
