"""The training table before resampling: real rows, kept generated rows and augmented rows, in one order."""

from __future__ import annotations

from collections.abc import Sequence

from evenly.samples import SampleTable, concatenate


def assemble(train: SampleTable, additions: Sequence[SampleTable] = ()) -> SampleTable:
    """Join training rows and what the producers made of them, ordered by id.

    Parameters
    ----------
    train
        The training split.
    additions
        Tables of synthetic rows, which may be empty.

    Raises
    ------
    DataError
        When an addition has another schema, or an id that is already taken.
    """
    return concatenate([train, *additions]).sorted_by_id()
