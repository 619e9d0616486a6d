"""Over- and under-sampling in feature space: the balanced training table is assembled and completed here.

The methods are those of imbalanced-learn, whose selections and segments the tests compare with. They are
written anew because its classes hide which rows a sample was made from, draw from one stream for all classes,
so that row order and other classes change a result, and stop or do nothing on small, separable or identical
rows.
"""

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
