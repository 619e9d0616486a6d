"""Which row goes to train, validation or test: stratified or by groups; smaller samples of a data set, and
long tails made on purpose.

Works on class codes, group codes and draws alone. A draw is a number that a row gets from its id and the
seed; within a class, rows with the smallest draws are taken first. So neither the order of a file nor another
class changes where a row goes, and a new row moves at most a few others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from evenly.params.datasets import InducedImbalance

#: Codes of the three parts; the same order as `evenly.params.datasets.PARTS`.
TRAIN, VALIDATION, TEST = 0, 1, 2


def draws(names: Sequence[str], seed: int, purpose: str) -> np.ndarray:
    """One random number per name, uint64 (n,), which depends on the name, the seed and the purpose alone."""
    start = hashlib.blake2b(f"{seed}\x1f{purpose}\x1f".encode(), digest_size=8)
    digests = []
    for name in names:
        hashed = start.copy()
        hashed.update(name.encode())
        digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def ranks(codes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Place of each row in its class when that is ordered by draw, from 0; int64 (n,)."""
    order = np.lexsort((drawn, codes))
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(codes), dtype=np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return rank


def part_sizes(n: np.ndarray, validation: float, test: float) -> tuple[np.ndarray, np.ndarray]:
    """How many of `n` rows of each class go to validation and to test; the rest, at least one, is for train.

    Shares are rounded half up; 0 asks for none. A class of one row is for training; of two rows, one is for
    test (for validation where no test is asked for); from three rows on, each part that is asked for gets at
    least one.
    """
    n = np.asarray(n, dtype=np.int64)
    two, three = (n >= 2).astype(np.int64), (n >= 3).astype(np.int64)
    n_test = np.zeros_like(n)
    if test > 0:
        most = n - 1 - (three if validation > 0 else 0)
        n_test = np.minimum(np.maximum(np.floor(n * test + 0.5).astype(np.int64), two), np.maximum(most, 0))
    n_validation = np.zeros_like(n)
    if validation > 0:
        least = three if test > 0 else two
        rounded = np.floor(n * validation + 0.5).astype(np.int64)
        n_validation = np.minimum(np.maximum(rounded, least), np.maximum(n - 1 - n_test, 0))
    return n_validation, n_test


def stratified(codes: np.ndarray, drawn: np.ndarray, validation: float, test: float) -> np.ndarray:
    """Part of each row (int8: `TRAIN`, `VALIDATION` or `TEST`), class by class, by shares of every class.

    See `part_sizes` for small classes. Classes are int64 codes from 0, draws uint64, both (n,).
    """
    n_validation, n_test = part_sizes(np.bincount(codes), validation, test)
    rank = ranks(codes, drawn)
    parts = np.full(len(codes), TRAIN, dtype=np.int8)
    parts[rank < (n_test + n_validation)[codes]] = VALIDATION
    parts[rank < n_test[codes]] = TEST
    return parts


def fold_test_rows(
    codes: np.ndarray, drawn: np.ndarray, groups: np.ndarray | None, folds: int, fold: int, seed: int
) -> np.ndarray:
    """Mask of the rows that one fold of stratified k-fold cross-validation tests, bool (n,).

    Over the folds 0 to k − 1 of a seed every row is tested once, but for classes of a single row, which are
    only trained on. With `groups`, codes int64 (n,), a group is tested as a whole.
    """
    single = np.bincount(codes)[codes] == 1
    if groups is None:
        place = np.empty(len(codes), dtype=np.int64)
        place[np.lexsort((drawn, codes))] = np.arange(len(codes))
        return np.asarray((place % folds == fold) & ~single)
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = list(splitter.split(codes[:, None], codes, groups))
    mask = np.zeros(len(codes), dtype=bool)
    mask[parts[fold][1]] = True
    return np.asarray(mask & ~single)


def grouped(
    codes: np.ndarray, groups: np.ndarray, drawn: np.ndarray, validation: float, test: float
) -> np.ndarray:
    """Part of each row so that no group is in two parts, and class shares are as near as groups allow.

    Groups are dealt out from the largest to the smallest (measured by the largest share of a class they
    hold), each to the part that then is emptiest of its classes. Where groups allow, no class is left out of
    train and no part stays empty: the smallest group that helps is moved.

    `drawn` has a draw of each group, which orders groups of equal size; the rest is as for `stratified`.
    """
    n_groups, n_classes = len(drawn), int(codes.max()) + 1
    table = np.bincount(groups * n_classes + codes, minlength=n_groups * n_classes).reshape(
        n_groups, n_classes
    )
    weights = table / np.maximum(table.sum(axis=0), 1)
    shares = [
        (part, share)
        for part, share in ((TRAIN, 1 - validation - test), (TEST, test), (VALIDATION, validation))
        if share
    ]
    share_of = np.array([share for _, share in shares])
    # filled[s, k]: how full part s is with class k, 1 where it has the share asked for.
    filled = np.zeros((len(shares), n_classes))
    part_of_group = np.empty(n_groups, dtype=np.int8)
    for group in np.lexsort((drawn, -weights.max(axis=1))):
        present = np.flatnonzero(table[group])
        weight = weights[group, present]
        after = filled[:, present] + weight / share_of[:, None]
        emptiest = int(np.argmin(after @ weight))
        part_of_group[group] = shares[emptiest][0]
        filled[emptiest, present] = after[emptiest]
    _fill_empty_parts(part_of_group, table, [part for part, _ in shares[1:]])
    parts: np.ndarray = part_of_group[groups]
    return parts


def _fill_empty_parts(part_of_group: np.ndarray, table: np.ndarray, others: list[int]) -> None:
    """Move the smallest group that helps into train for each class that train lacks, and into empty parts."""
    rows = table.sum(axis=1)
    for code in range(table.shape[1]):
        having = np.flatnonzero(table[:, code])
        if len(having) and not (part_of_group[having] == TRAIN).any():
            part_of_group[having[np.argmin(rows[having])]] = TRAIN
    for part in others:
        if (part_of_group == part).any():
            continue
        in_train = np.flatnonzero(part_of_group == TRAIN)
        groups_of_class = (table[in_train] > 0).sum(axis=0)
        spare = [group for group in in_train if (groups_of_class[table[group] > 0] > 1).all()]
        if spare:
            part_of_group[min(spare, key=lambda group: rows[group])] = part


def limited(strata: np.ndarray, drawn: np.ndarray, limit: int) -> np.ndarray:
    """Mask of a stratified sample of about `limit` rows, bool (n,); three of each stratum, if it has them."""
    sizes = np.bincount(strata)
    wanted = np.floor(sizes * (limit / len(strata)) + 0.5).astype(np.int64)
    return np.asarray(ranks(strata, drawn) < np.minimum(sizes, np.maximum(wanted, 3))[strata])


# -- long tails ---------------------------------------------------------------------------------------------


def long_tail_counts(available: np.ndarray, sizes: np.ndarray, imbalance: InducedImbalance) -> np.ndarray:
    """Training rows that each class keeps of the `available` ones, int64 (classes,).

    `sizes` are the rows of each class in the whole data set. They rank the classes from head to tail (equal
    sizes: by position), so that the tail consists of the same classes whatever the split. With K classes,
    ratio r and head size n, the class of rank i keeps n·r^(−i/(K−1)) rows (`exponential`; Cui et al. 2019,
    section 5.1), or n where i < K/2 and n/r from there on (`step`; Buda et al. 2018): rounded half up, at
    least one.
    """
    ranked = np.argsort(-np.asarray(sizes), kind="stable")
    rank = np.empty(len(ranked), dtype=np.int64)
    rank[ranked] = np.arange(len(ranked))
    if imbalance.profile == "exponential":
        share = imbalance.ratio ** (-rank / max(1, len(rank) - 1))
    else:
        share = np.where(rank < len(rank) / 2, 1.0, 1 / imbalance.ratio)
    wanted = np.floor(available.max() * share + 0.5).astype(np.int64)
    return np.asarray(np.minimum(available, np.maximum(wanted, 1)))


def long_tail(
    codes: np.ndarray, drawn: np.ndarray, sizes: np.ndarray, imbalance: InducedImbalance
) -> np.ndarray:
    """Mask of the training rows that stay, bool (n,): of each class those with the smallest draws.

    So a higher ratio keeps a subset of what a lower one keeps. `sizes` as for `long_tail_counts`.
    """
    counts = long_tail_counts(np.bincount(codes, minlength=len(sizes)), sizes, imbalance)
    return np.asarray(ranks(codes, drawn) < counts[codes])
