"""Which rows an epoch shows, in which order and how mixed: functions of seed and epoch, which repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evenly.classifiers.weights import sampled_counts
from evenly.params.training import MixSettings, SamplerName

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: The batches of an epoch, as positions of rows.
Batches = Callable[[int], list[np.ndarray]]
#: Rows are sorted by length within so many batches: enough that padding all but goes away, few enough that
#: batches still differ from epoch to epoch.
MEGABATCH = 50


@dataclass(frozen=True)
class Mixture:
    """An epoch of a second round: all hard rows, and so many of the original ones.

    Attributes
    ----------
    originals
        How many rows of the table are original; they come first, the hard rows after them.
    ratio
        Originals to one hard row. More than there are show each of them equally often (within one).
    anew
        Whether every epoch draws its originals anew, or all take those of the first.
    """

    originals: int
    ratio: float
    anew: bool = True

    def rows(self, total: int, seed: int, epoch: int) -> np.ndarray:
        """Give the rows of an epoch, int64, out of a table of `total` rows."""
        hard = np.arange(self.originals, total)
        # Of a stream of its own: the order of the rows is drawn from (seed, epoch).
        generator = np.random.default_rng([seed, epoch if self.anew else 0, 1])
        wanted = self.drawn(total)
        if not wanted:
            return hard
        return np.concatenate([repeated_shuffles(np.arange(self.originals), wanted, generator), hard])

    def drawn(self, total: int) -> int:
        """Originals in an epoch."""
        return round(self.ratio * (total - self.originals)) if self.originals else 0

    def shares(self, total: int) -> np.ndarray:
        """How often an epoch shows each row on average, float64 (total,)."""
        shares = np.ones(total)
        shares[: self.originals] = self.drawn(total) / max(1, self.originals)
        return shares


def epoch_batches(
    codes: np.ndarray,
    sampler: SamplerName,
    batch_size: int,
    min_steps: int,
    seed: int,
    epoch: int,
    lengths: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Positions of the rows of every batch of one epoch.

    The epoch has as many rows as the table, or `min_steps` × `batch_size` where that is more. Batches differ
    by at most one row in size, so that none is too small for batch statistics.

    Parameters
    ----------
    codes
        Classes of the training rows as positions, int64 (n,); or whatever else the sampler shall balance.
    sampler
        `uniform` shows every row equally often (within one); `class_balanced` every class; `square_root`
        classes in proportion to the root of their size. Within a class every row is shown equally often
        (within one).
    lengths
        Size of each row, int64 (n,): batches then hold rows of similar size, in random order, the largest
        first so that memory runs out at once or not at all. Which rows an epoch shows stays the same.

    Returns
    -------
    batches : list of int64 arrays
    """
    generator = np.random.default_rng([seed, epoch])
    total = max(len(codes), min_steps * batch_size)
    if sampler == "uniform":
        rows = repeated_shuffles(np.arange(len(codes)), total, generator)
    else:
        counts = np.bincount(codes)
        draws = _rounded(total * sampled_counts(counts, sampler) / counts.sum(), generator)
        by_class = [np.flatnonzero(codes == k) for k in range(len(counts))]
        drawn = [repeated_shuffles(r, n, generator) for r, n in zip(by_class, draws, strict=True) if n]
        rows = generator.permutation(np.concatenate(drawn))
    batches = np.array_split(rows, -(-total // batch_size))
    return batches if lengths is None else _of_similar_length(batches, lengths, generator)


@dataclass(frozen=True)
class Mixing:
    """Which rows of a batch are mixed, and how.

    Attributes
    ----------
    partner
        Position in the batch of the row that each row is mixed with, int64 (n,).
    share
        λ of the inputs: what of itself a row keeps.
    label_share
        λ of the labels, float32 (n,): what of the loss is that of its own class.
    """

    partner: Tensor
    share: float
    label_share: Tensor

    def mixed(self, inputs: Tensor) -> Tensor:
        """Give λ x + (1 − λ) x′ of inputs, float (n, …)."""
        return self.share * inputs + (1 - self.share) * inputs[self.partner]


def draw_mixing(
    codes: np.ndarray,
    counts: np.ndarray,
    settings: MixSettings,
    generator: np.random.Generator,
    device: torch.device,
) -> Mixing:
    """Draw how the rows of one batch are mixed; their classes and the `counts` of all decide for remix.

    References
    ----------
    Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (1710.09412), equations 1 and 2: one λ
    a batch, and partners of the same batch. Chou et al., Remix: Rebalanced Mixup, ECCV Workshops 2020
    (2007.03943), equation 8.
    """
    import torch

    share = float(generator.beta(settings.alpha, settings.alpha))
    partner = generator.permutation(len(codes))
    label_share = np.full(len(codes), share)
    if settings.method == "remix":
        own, other = counts[codes], counts[codes[partner]]
        label_share[(own >= settings.kappa * other) & (share < settings.tau)] = 0.0
        label_share[(other >= settings.kappa * own) & (1 - share < settings.tau)] = 1.0
    return Mixing(
        torch.as_tensor(partner, device=device),
        share,
        torch.as_tensor(label_share, dtype=torch.float32, device=device),
    )


def _of_similar_length(
    batches: list[np.ndarray], lengths: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """Exchange rows within groups of batches so that each batch has rows of similar length."""
    grouped: list[np.ndarray] = []
    for start in range(0, len(batches), MEGABATCH):
        group = batches[start : start + MEGABATCH]
        rows = np.concatenate(group)
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        grouped += np.split(rows, np.cumsum([len(batch) for batch in group])[:-1])
    order = generator.permutation(len(grouped))
    longest = int(np.argmax([lengths[batch].max() for batch in grouped]))
    return [grouped[k] for k in (longest, *order[order != longest])]


def repeated_shuffles(rows: np.ndarray, total: int, generator: np.random.Generator) -> np.ndarray:
    """Shuffle the rows again and again until there are `total`."""
    rounds = [generator.permutation(rows) for _ in range(-(-total // len(rows)))]
    return np.concatenate([rows[:0], *rounds])[:total]


def _rounded(expected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers with the same sum, each within one of what is expected, and equal to it on average."""
    edges = np.floor(np.concatenate([[0.0], np.cumsum(expected)]) + generator.random())
    edges[-1] = edges[0] + round(expected.sum())
    return np.diff(edges).astype(np.int64)
