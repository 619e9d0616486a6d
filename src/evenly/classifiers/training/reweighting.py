"""The head again on rows that the network has not seen, weighted by how little it believes them (AFR)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evenly.classifiers.devices import Processes
from evenly.classifiers.training.losses import Objective, build_objective, mean_loss
from evenly.classifiers.training.steps import FrozenBody, Rows, predict_logits
from evenly.classifiers.weights import inverse_frequency_weights, rows_per_class
from evenly.plans import TrainPlan

#: Share of the rows of each class that the network is not trained on.
UNSEEN = 0.2
#: Values of γ and λ that validation groups choose among, and γ where nobody knows their groups.
GAMMAS, PULLS, GAMMA = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0), (0.0, 0.1), 2.0
#: Full batches at most, how often they are judged, and the rate of Adam.
STEPS, EVERY, RATE = 100, 5, 0.03


def unseen_rows(codes: np.ndarray, families: np.ndarray, seed: int) -> np.ndarray:
    """Draw rows that the network shall not see, bool (n,): whole families, of each class that has several."""
    drawn = np.random.default_rng([seed, 3])
    first = np.unique(families, return_index=True)[1]
    chosen = []
    for code in np.unique(codes):
        own = families[first[codes[first] == code]]
        chosen.append(drawn.permutation(own)[: min(len(own) - 1, max(1, round(UNSEEN * len(own))))])
    return np.isin(families, np.concatenate(chosen))


@dataclass(frozen=True)
class Reweighted:
    """The loss that a head was fitted by, the weighted mean of it on the rows, and how it was chosen."""

    objective: Objective
    loss: float
    choice: str


def refit_by_doubt(
    head: FrozenBody,
    plan: TrainPlan,
    classes: tuple[str, ...],
    rows: Rows,
    watched: Rows,
    groups: np.ndarray | None,
) -> Reweighted:
    """Fit a head in place to rows that its network has not seen; those that it is unsure of weigh more.

    Full batches, the weights of equation 2 and a pull λ‖φ − φ₀‖² to the head as it was. γ, λ and the number
    of steps have the least error in the worst of the `groups` of the rows watched, int64 (n,), and among
    equals the least loss in the mean of groups; the head as it was is a candidate. Without groups λ is 0,
    and the loss on rows watched, weighted alike, says when to stop.

    References
    ----------
    Qiu et al., Simple and Fast Group Robustness by Automatic Feature Reweighting, ICML 2023 (2306.11074).
    """
    head.eval()
    parameters = [p for group in head.parameter_groups() for p in group.parameters]
    start = [p.detach().clone() for p in parameters]
    beliefs = [_beliefs(head, part) for part in (rows, watched)]
    given, epoch = plan.training.afr_gamma, plan.training.epochs - 1
    grid = GAMMAS if groups is not None else (GAMMA,)
    best: tuple[tuple[float, float], list[Tensor], Reweighted] | None = None
    pulls = PULLS if groups is not None else (0.0,)
    for gamma, pull in product(grid if given == "auto" else (given,), pulls):
        weighted, judged = (
            _by_doubt(part, belief, gamma, len(classes))
            for part, belief in zip((rows, watched), beliefs, strict=True)
        )
        counts = rows_per_class(weighted.codes, len(classes), weighted.weight)
        objective = build_objective(plan.loss, plan.losses, classes, counts, plan.sampler, epoch + 1)
        for step, loss in _descent(head, parameters, start, weighted, objective, epoch, pull):
            worth = _worth(predict_logits(head, judged.inputs), judged, groups, objective, epoch, step)
            if best is None or worth < best[0]:
                choice = f"γ = {gamma:g}, λ = {pull:g}, {step} full batches"
                kept = [p.detach().clone() for p in parameters]
                best = worth, kept, Reweighted(objective, loss, choice)
    assert best is not None
    _set(parameters, best[1])
    return best[2]


def _beliefs(head: FrozenBody, rows: Rows) -> np.ndarray:
    """Probabilities that a head gives rows of being of their own class, float64 (n,)."""
    if not len(rows.codes):
        return np.empty(0)
    p = torch.softmax(predict_logits(head, rows.inputs).double(), dim=1).numpy()
    own: np.ndarray = p[np.arange(len(p)), rows.codes]
    return own


def _by_doubt(rows: Rows, belief: np.ndarray, gamma: float, classes: int) -> Rows:
    """Rows with the weights β exp(−γ p): β of inverse class frequency, p of their class."""
    if not len(belief):
        return rows
    counts = rows_per_class(rows.codes, classes, rows.weight)
    weight = inverse_frequency_weights(counts)[rows.codes] * np.exp(-gamma * belief)
    weight = weight if rows.weight is None else weight * rows.weight
    return Rows(rows.inputs, rows.codes, weight / weight.mean())


def _descent(
    head: FrozenBody,
    parameters: Sequence[Tensor],
    start: Sequence[Tensor],
    rows: Rows,
    objective: Objective,
    epoch: int,
    pull: float,
) -> Iterator[tuple[int, float]]:
    """Descend from the start in full batches; the steps taken and the loss, every few of them."""
    _set(parameters, start)
    optimizer = torch.optim.Adam(list(parameters), RATE)
    device = Processes().device
    features, targets = rows.inputs.batch(np.arange(len(rows.codes)), device), torch.as_tensor(rows.codes)
    weight = torch.as_tensor(rows.weight, dtype=torch.float32, device=device)
    for step in range(STEPS + 1):
        losses = objective.row_losses(head.classify(features), targets.to(device), epoch)
        loss = mean_loss(losses, weight)
        if step % EVERY == 0:
            yield step, float(loss.detach())
        for parameter, origin in zip(parameters, start, strict=True):
            loss = loss + pull * ((parameter - origin) ** 2).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()


def _worth(
    logits: Tensor, rows: Rows, groups: np.ndarray | None, objective: Objective, epoch: int, step: int
) -> tuple[float, float]:
    """What is to be small: the error in the worst group and the mean loss of groups, or the loss by doubt."""
    if not len(rows.codes):
        return 0.0, -step
    codes = torch.as_tensor(rows.codes)
    if groups is None:
        weight = torch.as_tensor(rows.weight)
        return 0.0, float(mean_loss(objective.row_losses(logits, codes, epoch), weight))
    wrong = (logits.argmax(dim=1) != codes).numpy()
    losses = functional.cross_entropy(logits, codes, reduction="none").numpy()
    sizes = np.bincount(groups)
    means = [np.bincount(groups, values)[sizes > 0] / sizes[sizes > 0] for values in (wrong, losses)]
    return float(means[0].max()), float(means[1].mean())


def _set(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
