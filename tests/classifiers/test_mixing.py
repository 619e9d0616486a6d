from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from loops import new_network, trained

from evenly.classifiers.devices import Processes
from evenly.classifiers.training.losses import build_objective
from evenly.classifiers.training.sampling import draw_mixing
from evenly.classifiers.training.steps import batch_loss
from evenly.params.losses import LossSettings
from evenly.params.training import MixSettings, TrainingSettings

COUNTS = np.array([90.0, 30.0, 9.0])


@given(st.integers(0, 1000))
def test_mixup_gives_labels_the_shares_of_the_inputs(seed: int) -> None:
    codes = np.array([0, 1, 2, 0])
    mixing = draw_mixing(codes, COUNTS, MixSettings(), np.random.default_rng(seed), torch.device("cpu"))
    assert 0 <= mixing.share <= 1
    assert sorted(mixing.partner.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(mixing.label_share, torch.full((4,), mixing.share))
    x = torch.arange(8.0).reshape(4, 2)
    torch.testing.assert_close(mixing.mixed(x), mixing.share * x + (1 - mixing.share) * x[mixing.partner])


@given(st.integers(0, 1000), st.floats(0, 1))
def test_remix_gives_the_label_to_the_rare_class_where_it_has_enough_of_the_row(
    seed: int, tau: float
) -> None:
    codes = np.array([0, 1, 2, 2, 0, 1])
    wanted = MixSettings(method="remix", alpha=1.0, kappa=3.0, tau=tau)
    mixing = draw_mixing(codes, COUNTS, wanted, np.random.default_rng(seed), torch.device("cpu"))
    for own, other, label in zip(codes, codes[mixing.partner], mixing.label_share.tolist(), strict=True):
        # Equation 8 of the paper, word for word.
        if COUNTS[own] / COUNTS[other] >= 3 and mixing.share < tau:
            assert label == 0
        elif COUNTS[own] / COUNTS[other] <= 1 / 3 and 1 - mixing.share < tau:
            assert label == 1
        else:
            assert label == np.float32(mixing.share)


def test_the_loss_of_mixed_rows_is_the_weighted_mean_of_their_two_losses() -> None:
    codes = np.array([0, 1, 2, 0])
    mixing = draw_mixing(codes, COUNTS, MixSettings(alpha=1.0), np.random.default_rng(4), torch.device("cpu"))
    objective = build_objective("cross_entropy", LossSettings(), ("a", "b", "c"), COUNTS, "uniform", 1)
    scores, targets = torch.randn(4, 3), torch.tensor(codes)
    soft = mixing.share * torch.eye(3)[targets] + (1 - mixing.share) * torch.eye(3)[targets[mixing.partner]]
    expected = torch.nn.functional.cross_entropy(scores, soft)
    found = batch_loss(scores, targets, None, mixing, objective, 0, Processes())
    torch.testing.assert_close(found, expected)
    ones = batch_loss(scores, targets, torch.ones(4), mixing, objective, 0, Processes())
    torch.testing.assert_close(ones, expected)


def test_training_on_mixed_rows_learns() -> None:
    settings = TrainingSettings(epochs=8, batch_size=32, learning_rate=0.01, mix="remix", patience=None)  # type: ignore[arg-type]
    mixed = trained(new_network(), settings).history
    assert mixed[-1]["val/macro_f1"] > max(0.45, mixed[0]["val/macro_f1"])
    plain = trained(new_network(), settings.model_copy(update={"mix": None})).history
    assert plain[-1]["train/loss"] < mixed[-1]["train/loss"]
