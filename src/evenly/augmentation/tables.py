"""Jittered table rows: noise on numbers, exchanged booleans and categories, all within what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.augmentation.lineage import Descent, Offspring, Variation
from evenly.params.augmentation import Jitter, Policy
from evenly.samples import SampleTable

#: Draws for one row before its parent passes its turn.
_ATTEMPTS = 12
#: Fewer observed values than this say too little about the spread of a class: that of all rows is taken.
_ENOUGH_FOR_SPREAD = 5


@dataclass(frozen=True)
class _Numbers:
    """Columns of one numeric kind."""

    names: list[str]  # Features, in schema order
    values: np.ndarray  # (rows, features), float64 or int64
    missing: np.ndarray  # Where there is no value, bool (rows, features)
    #: Observed range of each feature, of the dtype of `values`.
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray  # Standard deviation that noise is scaled by, float64 (features,)

    def jittered(self, row: int, jitter: Jitter, rng: np.random.Generator) -> np.ndarray:
        """Values of one row with noise, in the observed range; missing and infinite ones stay."""
        noise = rng.standard_normal(len(self.names)) * (jitter.noise * self.spread)
        noise[rng.random(len(self.names)) >= jitter.probability] = 0
        values = self.values[row]
        if values.dtype.kind == "i":
            noise = np.rint(noise).astype(np.int64)
        kept = self.missing[row] | ~np.isfinite(values)
        moved: np.ndarray = np.where(kept, values, np.clip(values + noise, self.low, self.high))
        return moved

    def payload(self, row: int, values: np.ndarray) -> dict[str, Any]:
        """Values by feature name, None where missing."""
        listed = zip(self.names, values.tolist(), self.missing[row].tolist(), strict=True)
        return {name: None if missing else value for name, value, missing in listed}


def table_variation(rows: SampleTable, label: str, policy: Policy) -> Variation:
    """Variation of the rows of one class.

    A row that equals a training row of the class, or one made before, is not made again.
    """
    jitter = policy.jitter or Jitter(noise=0)
    members = np.flatnonzero(rows.labels == label)
    numbers = [_numbers(rows, kind, members, jitter) for kind in ("number", "integer")]
    exchangeable = [f.name for f in rows.schema.features if f.kind in ("boolean", "category")]
    others = {name: rows.table.column(name).to_pylist() for name in exchangeable}
    known = {
        _key([part.values[row] for part in numbers], [others[name][row] for name in exchangeable])
        for row in members
    }

    def vary(descent: Descent, rng: np.random.Generator) -> Offspring | None:
        row = descent.parent.position
        for _ in range(_ATTEMPTS):
            moved = [part.jittered(row, jitter, rng) for part in numbers]
            taken = rng.random(len(exchangeable)) < jitter.replace
            donors = members[rng.integers(len(members), size=len(exchangeable))]
            payload = {name: others[name][row] for name in exchangeable}
            exchanged = []
            for name, take, donor in zip(exchangeable, taken, donors, strict=True):
                value = others[name][donor]
                if take and None not in (value, payload[name]) and value != payload[name]:
                    payload[name] = value
                    exchanged.append(name)
            key = _key(moved, list(payload.values()))
            if key not in known:
                known.add(key)
                for part, values in zip(numbers, moved, strict=True):
                    payload |= part.payload(row, values)
                details = {"noise": jitter.noise, "spread": jitter.spread, "exchanged": exchanged}
                return Offspring(descent, payload, details)
        return None

    return vary


def _numbers(rows: SampleTable, kind: str, members: np.ndarray, jitter: Jitter) -> _Numbers:
    """Columns of one numeric kind, with ranges from all rows and spreads from the class's `members`."""
    names = [feature.name for feature in rows.schema.features if feature.kind == kind]
    dtype = np.int64 if kind == "integer" else np.float64
    values = np.zeros((len(rows), len(names)), dtype=dtype)
    missing = np.zeros(values.shape, dtype=bool)
    low, high = np.zeros(len(names), dtype=dtype), np.zeros(len(names), dtype=dtype)
    spread = np.zeros(len(names))
    for k, name in enumerate(names):
        column = rows.table.column(name).combine_chunks()
        missing[:, k] = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        values[:, k] = column.fill_null(0).to_numpy(zero_copy_only=False)
        values[missing[:, k], k] = 0
        observed = ~missing[:, k] & np.isfinite(values[:, k])
        if not observed.any():
            continue
        low[k], high[k] = values[observed, k].min(), values[observed, k].max()
        of_class = members[observed[members]]
        own = jitter.spread == "class" and len(of_class) >= _ENOUGH_FOR_SPREAD
        spread[k] = np.std(values[of_class, k] if own else values[observed, k])
    return _Numbers(names, values, missing, low, high, spread)


def _key(numbers: list[np.ndarray], others: list[Any]) -> tuple[Any, ...]:
    return (*(values.tobytes() for values in numbers), *others)
