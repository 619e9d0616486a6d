"""Over- and under-sampling in feature space: the balanced training table is assembled and completed here.

`resample` is the stage, `growth` makes the rows of one class, `selection` says between which rows and
`segments` draws them; `library` runs samplers of imbalanced-learn by their name. The SMOTE family is our own:
the library's draws from one stream for all classes, so that row order and other classes change a result, and
stops or does nothing on small, separable or identical rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from evenly.samples import SampleTable, concatenate


def assemble(train: SampleTable, additions: Sequence[SampleTable] = ()) -> SampleTable:
    """Join training rows and the tables of synthetic rows that producers made of them, ordered by id."""
    return concatenate([train, *additions]).sorted_by_id()
