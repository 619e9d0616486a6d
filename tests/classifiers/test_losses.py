from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional

from evenly.classifiers.training import losses
from evenly.classifiers.training.losses import build_objective
from evenly.params.losses import (
    LOSSES,
    FocalSettings,
    LdamSettings,
    LogitAdjustedSettings,
    LossName,
    LossSettings,
)

COUNTS = torch.tensor([100.0, 20.0, 4.0])
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 1.0], [5.0, 5.0, 5.0]])
TARGETS = torch.tensor([0, 2, 1, 2])
PLAIN = functional.cross_entropy(LOGITS, TARGETS, reduction="none")


def test_cross_entropy_with_class_weights_and_smoothing_follows_its_formula() -> None:
    weights, epsilon = torch.tensor([0.5, 1.0, 3.0]), 0.2
    log_p = torch.log_softmax(LOGITS, 1)
    q = (1 - epsilon) * functional.one_hot(TARGETS, 3) + epsilon / 3
    expected = -weights[TARGETS] * (q * log_p).sum(1)
    torch.testing.assert_close(losses.cross_entropy(LOGITS, TARGETS, weights, epsilon), expected)


def test_focal_without_focus_is_cross_entropy() -> None:
    torch.testing.assert_close(losses.focal(LOGITS, TARGETS, gamma=0.0), PLAIN)


def test_focal_follows_its_closed_form_and_weighs_by_class() -> None:
    alpha = torch.tensor([0.25, 0.5, 2.0])
    p = torch.softmax(LOGITS, 1).gather(1, TARGETS[:, None]).squeeze(1)
    expected = -alpha[TARGETS] * (1 - p) ** 2 * p.log()
    torch.testing.assert_close(losses.focal(LOGITS, TARGETS, 2.0, alpha), expected)


def test_focal_fades_easy_rows_faster_than_hard_ones() -> None:
    ratio = losses.focal(LOGITS, TARGETS, 2.0) / PLAIN
    assert ratio[0] < ratio[3] < 1


def test_balanced_softmax_follows_equation_3_of_its_paper() -> None:
    scaled = COUNTS * LOGITS.exp()
    expected = -(scaled / scaled.sum(1, keepdim=True)).gather(1, TARGETS[:, None]).log().squeeze(1)
    torch.testing.assert_close(losses.balanced_softmax(LOGITS, TARGETS, COUNTS), expected)


def test_balanced_softmax_of_balanced_classes_is_cross_entropy() -> None:
    torch.testing.assert_close(losses.balanced_softmax(LOGITS, TARGETS, torch.full((3,), 7.0)), PLAIN)


def test_logit_adjustment_with_tau_0_is_cross_entropy_and_with_1_balanced_softmax() -> None:
    prior = COUNTS / COUNTS.sum()
    torch.testing.assert_close(losses.logit_adjusted(LOGITS, TARGETS, prior, tau=0.0), PLAIN)
    balanced = losses.balanced_softmax(LOGITS, TARGETS, COUNTS)
    torch.testing.assert_close(losses.logit_adjusted(LOGITS, TARGETS, prior, tau=1.0), balanced)


def test_ldam_margins_shrink_with_the_fourth_root_and_the_rarest_class_has_the_largest() -> None:
    margins = losses.ldam_margins(torch.tensor([16.0, 1.0, 81.0]), max_margin=0.5)
    torch.testing.assert_close(margins, torch.tensor([0.25, 0.5, 0.5 / 3]))


def test_ldam_takes_the_margin_off_the_true_logit_alone() -> None:
    margins = torch.tensor([0.1, 0.2, 0.5])
    shifted = LOGITS.clone()
    for row, target in enumerate(TARGETS):
        shifted[row, target] -= 30 * margins[target]
    expected = functional.cross_entropy(shifted, TARGETS, reduction="none")
    torch.testing.assert_close(losses.ldam(LOGITS, TARGETS, margins, scale=30.0), expected)


def test_mean_loss_weighs_rows_as_if_they_were_repeated() -> None:
    repeated = torch.cat([PLAIN, PLAIN[1:2], PLAIN[1:2]])
    torch.testing.assert_close(losses.mean_loss(PLAIN, torch.tensor([1.0, 3.0, 1.0, 1.0])), repeated.mean())
    torch.testing.assert_close(losses.mean_loss(PLAIN, torch.tensor([1.0, 0.0, 0.0, 0.0])), PLAIN[0])
    assert losses.mean_loss(PLAIN, torch.zeros(4)) == 0


@pytest.mark.parametrize("loss", sorted(LOSSES))
@settings(max_examples=25, deadline=None)
@given(
    values=hnp.arrays(np.float32, (3, 4), elements=st.floats(-200, 200, width=32)),
    counts=st.lists(st.integers(0, 10**6), min_size=4, max_size=4).filter(any),
    gamma=st.floats(0, 5),
)
def test_every_loss_and_its_gradient_stay_finite(
    loss: LossName, values: np.ndarray, counts: list[int], gamma: float
) -> None:
    wanted = LossSettings(focal=FocalSettings(gamma=gamma, alpha="inverse_frequency"))
    objective = build_objective(loss, wanted, tuple("abcd"), np.array(counts, float), "uniform", epochs=10)
    logits = torch.tensor(values, requires_grad=True)
    for epoch in (0, 9):
        value = losses.mean_loss(objective.row_losses(logits, torch.tensor([0, 3, 1]), epoch))
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite() and value >= 0
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "loss", ["cross_entropy", "weighted", "class_balanced", "balanced_softmax", "logit_adjusted"]
)
def test_every_cross_entropy_can_smooth_its_labels(loss: LossName) -> None:
    counts, targets = np.array([60.0, 30.0, 10.0]), torch.tensor([0, 1, 2])
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])

    def row_losses(epsilon: float, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        own = {loss: {"label_smoothing": epsilon}}
        objective = build_objective(
            loss,
            LossSettings(**own),
            tuple("abc"),
            counts,
            "uniform",
            1,  # type: ignore[arg-type]
        )
        return objective.row_losses(logits, targets, 0) / torch.tensor(objective.weights_in(0))[targets]

    # (1 − ε) of the loss of its own class, and ε / k of that of each class, under the weight of its own.
    each = torch.stack([row_losses(0.0, logits, torch.full((3,), c)) for c in range(3)])
    expected = 0.7 * row_losses(0.0, logits, targets) + 0.3 * each.mean(dim=0)
    torch.testing.assert_close(row_losses(0.3, logits, targets), expected)


def test_deferred_reweighting_begins_after_its_share_of_the_epochs() -> None:
    wanted = LossSettings(ldam=LdamSettings(reweight_after=0.8))
    objective = build_objective("ldam", wanted, ("a", "b"), np.array([90.0, 10.0]), "uniform", epochs=10)
    assert objective.settled_from == 8
    np.testing.assert_array_equal(objective.weights_in(7), [1, 1])
    assert objective.weights_in(8)[1] > 5 * objective.weights_in(8)[0]
    never = LossSettings(ldam=LdamSettings(reweight_after=1.0))
    objective = build_objective("ldam", never, ("a", "b"), np.array([90.0, 10.0]), "uniform", epochs=10)
    assert objective.settled_from == 0
    np.testing.assert_array_equal(objective.weights_in(9), [1, 1])


def test_effective_prior_is_what_sampler_and_loss_leave_of_the_class_shares() -> None:
    def prior(loss: LossName, sampler: str = "uniform", wanted: LossSettings | None = None) -> list[float]:
        counts = np.array([90.0, 10.0])
        objective = build_objective(loss, wanted or LossSettings(), ("a", "b"), counts, sampler, 10)  # type: ignore[arg-type]
        return list(objective.effective_prior(9))

    assert prior("cross_entropy") == pytest.approx([0.9, 0.1])
    assert prior("focal") == pytest.approx([0.9, 0.1])
    assert prior("weighted") == pytest.approx([0.5, 0.5])
    assert prior("balanced_softmax") == pytest.approx([0.5, 0.5])
    assert prior("logit_adjusted") == pytest.approx([0.5, 0.5])
    assert prior("cross_entropy", "class_balanced") == pytest.approx([0.5, 0.5])
    assert prior("cross_entropy", "square_root") == pytest.approx([0.75, 0.25])
    assert prior("weighted", "class_balanced") == pytest.approx([0.5, 0.5])
    half = LossSettings(logit_adjusted=LogitAdjustedSettings(tau=0.5))
    assert prior("logit_adjusted", wanted=half) == pytest.approx([0.75, 0.25])
    alpha = LossSettings(focal=FocalSettings(alpha={"b": 9.0}))
    assert prior("focal", wanted=alpha) == pytest.approx([0.5, 0.5])
