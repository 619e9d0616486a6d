from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evenly.datasets.identity import conflicting, first_copies, leaked_copies

rows = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=60).map(
    lambda pairs: (
        np.array([a for a, _ in pairs], dtype=np.uint64),
        np.array([b for _, b in pairs], dtype=np.int64),
    )
)


@given(rows)
def test_first_copies_points_to_the_first_row_with_the_same_payload_and_label(pairs):
    fingerprints, codes = pairs
    seen: dict[tuple[int, int], int] = {}
    expected = [seen.setdefault((f, c), k) for k, (f, c) in enumerate(zip(fingerprints, codes, strict=True))]
    assert first_copies(fingerprints, codes).tolist() == expected


@given(rows)
def test_a_row_leaks_exactly_when_a_later_part_has_its_payload(pairs):
    fingerprints, parts = pairs
    copies = leaked_copies(fingerprints, parts.astype(np.int8))
    for k, copy in enumerate(copies):
        latest = parts[fingerprints == fingerprints[k]].max()
        if copy < 0:
            assert latest == parts[k]
        else:
            assert fingerprints[copy] == fingerprints[k]
            assert parts[copy] == latest > parts[k]


@given(rows)
def test_conflicting_marks_payloads_with_several_labels(pairs):
    fingerprints, codes = pairs
    expected = [len(set(codes[fingerprints == f])) > 1 for f in fingerprints]
    assert conflicting(fingerprints, codes).tolist() == expected
