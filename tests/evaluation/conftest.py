from __future__ import annotations

import pytest
from evaluated_runs import Run, long_tailed_run

from evenly.evaluation.results import Evaluation


@pytest.fixture(scope="session")
def long_tail() -> Run:
    """Four classes, long-tailed in train, equal elsewhere."""
    return long_tailed_run()


@pytest.fixture(scope="session")
def evaluation(long_tail: Run) -> Evaluation:
    return long_tail.evaluate()
