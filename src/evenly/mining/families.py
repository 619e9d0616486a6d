"""Which rows descend from one another, and folds that keep relatives together.

A synthetic row tells a model the answer for the row it was made from. A model that is to judge a row must
therefore see neither the row nor any relative of it.
"""

from __future__ import annotations

import hashlib

import numpy as np

from evenly.samples import SampleTable

#: Of rows that are copies of another row, with nothing of their own.
COPY = "duplicate"


def family_names(samples: SampleTable) -> np.ndarray:
    """Give the name of each row's family, object array (n,).

    A family is a row with all that was made from it, however many steps away; rows of one `group` are one
    family.
    """
    parents = dict(zip(samples.ids, samples.column("parent"), strict=True))
    groups = dict(zip(samples.ids, samples.column("group"), strict=True))
    names = np.empty(len(samples), dtype=object)
    for row, name in enumerate(samples.ids):
        group = groups[name]
        seen = {name}
        while (parent := parents.get(name)) is not None and parent not in seen:
            name = parent
            group = groups.get(name) or group
            seen.add(name)
        names[row] = f"group {group}" if group is not None else f"row {name}"
    return names


def is_spare_copy(samples: SampleTable) -> np.ndarray:
    """Mask of the copies of rows that are there themselves, bool (n,)."""
    here = set(samples.ids)
    copies = samples.origins == COPY
    return np.fromiter(
        (copy and parent in here for copy, parent in zip(copies, samples.column("parent"), strict=True)),
        dtype=bool,
        count=len(samples),
    )


def family_folds(samples: SampleTable, names: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal the families of every class to the folds in turn, int64 (n,).

    A family's turn is a hash of its name, so that the order of the rows does not matter. A family with
    several labels is dealt with that of its first row by id.
    """
    label_of: dict[str, int] = {}
    for row in np.argsort(samples.ids.astype(str), kind="stable"):
        label_of.setdefault(names[row], int(samples.codes[row]))
    dealt: dict[str, int] = {}
    turns = np.zeros(len(samples.classes), dtype=np.int64)
    for name in sorted(label_of, key=lambda name: (_number(seed, name), name)):
        code = label_of[name]
        # Classes begin at different folds, so that the small ones do not all meet in the first.
        dealt[name] = int((turns[code] + code) % folds)
        turns[code] += 1
    return np.fromiter((dealt[name] for name in names), dtype=np.int64, count=len(samples))


def neighbour_folds(samples: SampleTable, fold: np.ndarray) -> np.ndarray:
    """Fold of the row that each interpolated row leans towards, int64 (n,); −1 where there is none."""
    fold_of = dict(zip(samples.ids, fold.tolist(), strict=True))
    return np.fromiter(
        (fold_of.get(name, -1) for name in samples.column("neighbour")), dtype=np.int64, count=len(samples)
    )


def independent_rows(samples: SampleTable, names: np.ndarray) -> np.ndarray:
    """Number of families among the rows of each class, int64 (k,)."""
    pairs = set(zip(samples.codes.tolist(), names, strict=True))
    codes = np.fromiter((code for code, _ in pairs), dtype=np.int64, count=len(pairs))
    return np.bincount(codes, minlength=len(samples.classes))


def _number(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "little")
