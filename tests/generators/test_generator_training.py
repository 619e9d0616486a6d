"""The loop, the judgement and the networks' parts."""

import math

import numpy as np
import pytest
import torch

from evenly.errors import ModelError
from evenly.generators.fitting import Judgement, fit_generator
from evenly.generators.image_networks import ProjectionDiscriminator, Upsampler, distorted
from evenly.generators.judging import HeldOut, spread_ratios
from evenly.generators.sampling import Batches, hardest_first, hold_out_rows
from evenly.params.generative import ImageVaeSettings


class Scripted:
    """A trainee whose state is its number of steps, and whose judgement is written down."""

    criterion = "score"

    def __init__(self, script: dict[int, Judgement], loss: float = 1.0) -> None:
        self.script, self.loss, self.steps = script, loss, 0

    def step(self) -> dict[str, torch.Tensor]:
        self.steps += 1
        return {"loss": torch.tensor(self.loss)}

    def judge(self) -> Judgement:
        return self.script[self.steps]

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": torch.tensor(self.steps)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.steps = int(state["steps"])


def settings(**wanted: object) -> ImageVaeSettings:
    return ImageVaeSettings(**{"steps": 50, "checkpoints": 5, "patience": None, **wanted})  # type: ignore[arg-type]


def fitted(script: dict[int, Judgement], **wanted: object) -> tuple[Scripted, object, list[dict[str, float]]]:
    trainee, logged = Scripted(script), []
    fit = fit_generator(
        trainee, settings(**wanted), lambda step, m: logged.append(dict(m)), lambda step: None
    )
    return trainee, fit, logged


def test_the_state_with_the_smallest_criterion_is_kept():
    scores = {10: 5.0, 20: 2.0, 30: 3.0, 40: 2.0, 50: 4.0}
    trainee, fit, logged = fitted({k: Judgement(v, 1.0) for k, v in scores.items()})
    assert (fit.best_step, fit.steps, fit.stop, trainee.steps) == (20, 50, "finished", 20)
    assert fit.curve == tuple(scores.values())
    assert logged[0] == {"train/loss": 1.0, "val/score": 5.0, "val/spread": 1.0}


def test_training_stops_when_nothing_better_comes():
    scores = {10: 5.0, 20: 2.0, 30: 3.0, 40: 2.5, 50: 1.0}
    trainee, fit, _ = fitted({k: Judgement(v) for k, v in scores.items()}, patience=2)
    assert (fit.best_step, fit.steps, fit.stop, trainee.steps) == (20, 40, "no_progress", 20)


def test_training_stops_on_collapse_and_goes_back_to_before():
    script = {10: Judgement(9.0, 0.8), **{k: Judgement(1.0, 0.01) for k in (20, 30, 40, 50)}}
    trainee, fit, _ = fitted(script)
    assert (fit.best_step, fit.steps, fit.stop, trainee.steps) == (10, 40, "collapsed", 10)


def test_without_held_out_rows_the_last_state_is_kept():
    trainee, fit, logged = fitted({k: Judgement(None, 0.9) for k in (10, 20, 30, 40, 50)})
    assert (fit.best_step, trainee.steps, fit.curve) == (50, 50, ())
    assert "val/score" not in logged[0]


def test_divergence_is_one_sentence():
    with pytest.raises(ModelError, match="learning_rate"):
        fit_generator(Scripted({}, math.nan), settings(), lambda s, m: None, lambda s: None)


def test_small_classes_keep_all_rows_and_held_out_rows_do_not_train():
    codes = np.repeat([0, 1, 2], [100, 40, 9])
    train, held_out = hold_out_rows(codes, 0.15, 0)
    assert len(np.intersect1d(train, held_out)) == 0
    assert len(train) + len(held_out) == 149
    assert np.bincount(codes[held_out], minlength=3).tolist() == [15, 6, 0]
    assert len(hold_out_rows(codes[100:], 0.1, 0)[1]) == 0  # four rows would judge nothing


def test_batches_balance_classes_as_told():
    codes = np.repeat([0, 2], [90, 10])
    for balance, share in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        rows = Batches(codes, balance, np.random.default_rng(0)).rows(4000)
        assert (codes[rows] == 2).mean() == pytest.approx(share, abs=0.03)


def test_the_discrepancy_is_zero_on_average_for_the_same_distribution_and_large_for_another():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 40)
    made_codes = np.repeat([0, 1], 200)

    def draw(of: np.ndarray, shift: float) -> np.ndarray:
        return rng.normal(size=(len(of), 5)) + 3 * of[:, None] + shift

    same = [HeldOut(draw(codes, 0), codes).discrepancy(draw(made_codes, 0), made_codes) for _ in range(20)]
    assert abs(np.mean(same)) < 2 * np.std(same) / math.sqrt(20) + 1e-3
    held_out = HeldOut(draw(codes, 0), codes)
    assert held_out.discrepancy(draw(made_codes, 1.0), made_codes) > 10 * np.abs(same).max()
    # The right rows under the wrong labels are far away: the class counts.
    assert held_out.discrepancy(draw(1 - made_codes, 0), made_codes) > 10 * np.abs(same).max()


def test_the_spread_is_one_for_the_same_distribution_and_zero_for_one_point():
    rng = np.random.default_rng(0)
    real, codes = rng.normal(size=(400, 6)), np.zeros(400, dtype=int)
    made = np.concatenate([rng.normal(size=(400, 6)), np.ones((20, 6))])
    made_codes = np.repeat([0, 1], [400, 20])
    ratios = spread_ratios(made, made_codes, np.concatenate([real, real]), np.concatenate([codes, codes + 1]))
    assert ratios[0] == pytest.approx(1, abs=0.1)
    assert ratios[1] == 0


def test_distortions_reach_the_generator_and_keep_shape_and_draw():
    images = torch.linspace(-1, 1, 4 * 3 * 12 * 10).reshape(4, 3, 12, 10).requires_grad_(True)
    torch.manual_seed(0)
    out = distorted(images, ("colour", "translation", "cutout"))
    assert out.shape == images.shape
    assert not torch.equal(out, images)
    out.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert distorted(images, ()) is images


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 20, 3), (28, 28, 1), (64, 64, 3)])
def test_networks_fit_any_size(shape):
    codes = torch.tensor([0, 2, 1])
    images = Upsampler(5, 3, shape, 32)(torch.randn(3, 5), codes)
    assert images.shape == (3, shape[2], shape[0], shape[1])
    assert images.abs().max() <= 1
    assert ProjectionDiscriminator(3, shape, 32)(images, codes).shape == (3,)


def test_hard_rows_come_first_and_the_rest_as_drawn():
    margins = np.array([0.9, 0.8, -0.1, 0.7, 0.05, -0.95])
    assert hardest_first(margins, 4, 0.5).tolist() == [0, 1, 2, 4]
    assert hardest_first(margins, 3, 0.0).tolist() == [0, 1, 2]
    assert hardest_first(margins, 2, 1.0).tolist() == [2, 4]
