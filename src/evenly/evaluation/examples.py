"""Rows to look at: the surest mistakes beside the training rows most like them, and made or screened rows
beside those they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenly.evaluation.results import Evaluation
from evenly.payloads import feature_rows, first_of_each_rule
from evenly.samples import SampleTable
from evenly.wording import counted

#: Mistakes of a class, and training rows beside each.
MISTAKES, NEIGHBOURS = 8, 3
#: Made rows of an origin, and rejected ones of a rule, that are shown.
_MADE, _REJECTED = 6, 2
#: Features of a row, the first ones.
_FEATURES = 10
#: Bytes that the examples of each section may add to a page; letters of a row; bytes and pixels of a picture.
_ROOM, _LETTERS, _SMALL, _SIDE = 800_000, 320, 1200, 72
#: Bytes that a class takes in other tables of the page, and that examples have in any case.
_CLASS, _LEAST = 1000, 200_000


@dataclass(frozen=True)
class ExampleRows:
    """The tables that examples are taken from.

    Attributes
    ----------
    train, balanced, rejected
        Real training rows, the rows trained on, and candidates that the screening rejected.
    train_vectors, test_vectors
        Those of `data/features`, float32 (n, d), in the order of the training and the test rows.
    vectors
        Makes such vectors for a few other rows, which have no parent.
    """

    train: SampleTable
    balanced: SampleTable
    rejected: SampleTable
    train_vectors: np.ndarray
    test_vectors: np.ndarray
    vectors: Callable[[SampleTable], np.ndarray]


@dataclass
class _Room:
    """What a page has left for examples; many classes leave less."""

    classes: int
    left: int = 0
    skipped: int = 0
    rows: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = max(_LEAST, _ROOM - _CLASS * self.classes)

    def take(self, key: Any, cells: Sequence[Any]) -> None:
        size = sum(_size(cell) for cell in cells)
        if self.skipped or size > self.left:
            self.skipped += 1
            return
        self.left -= size
        self.rows.append((key, list(cells)))

    def remark(self) -> dict[str, Any]:
        left_out = f"{counted(self.skipped, 'more row')} would have made this page too large."
        return {"text": left_out} if self.skipped else {}


def surest_mistakes(evaluation: Evaluation) -> Iterator[tuple[int, int]]:
    """Give class and position of wrong test rows of which the final model was surest, eight a class at most.

    The surest of every class come first, then the second ones. Equally sure ones stand by their id.
    """
    scores, codes = evaluation.final.probabilities, evaluation.test.codes
    wrong = scores.argmax(axis=1) != codes
    sure, ids = scores.max(axis=1), evaluation.test.ids.astype(str)
    order = np.lexsort((ids, -sure))
    own = [order[(codes[order] == k) & wrong[order]][:MISTAKES] for k in range(len(evaluation.classes))]
    for rank in range(MISTAKES):
        yield from ((k, int(rows[rank])) for k, rows in enumerate(own) if rank < len(rows))


def mistakes_blocks(evaluation: Evaluation, rows: ExampleRows) -> list[dict[str, Any]]:
    """Show the surest mistakes of each class beside the training rows nearest to them."""
    from evenly.features.neighbours import nearest_neighbours

    found = list(surest_mistakes(evaluation))
    if not found:
        return []
    at = [row for _, row in found]
    k = min(NEIGHBOURS, len(rows.train))
    distances, near = nearest_neighbours(rows.test_vectors[at], rows.train_vectors, k)
    shown, around = _cells(evaluation.test, at), _cells(rows.train, near.ravel().tolist())
    scores = evaluation.final.probabilities[at]
    room = _Room(len(evaluation.classes))
    for i, (code, place) in enumerate(found):
        neighbours = [
            around[j] | {"note": f"{rows.train.labels[j]}, distance {distance:.3g}"}
            for j, distance in zip(near[i].tolist(), distances[i], strict=True)
        ]
        predicted = evaluation.classes[int(scores[i].argmax())]
        sure, own = f"{scores[i].max():.3f}", f"{scores[i, code]:.3f}"
        row = shown[place] | {"note": str(evaluation.test.ids[place])}
        room.take(code, [row, {"text": predicted, "words": True}, sure, own, *neighbours])
    by_class: dict[int, list[Any]] = {}
    for code, cells in room.rows:
        by_class.setdefault(code, []).append(cells)
    columns = ["Test row", "Taken for", "Probability of that", "Of its class"]
    columns += [f"{nth} training row" for nth in ("Nearest", "Second", "Third")[:k]]
    results = evaluation.per_class
    wrong_rows = np.bincount(
        evaluation.test.codes[evaluation.final.probabilities.argmax(axis=1) != evaluation.test.codes],
        minlength=len(results),
    )
    text = (
        f"Of each class the up to {MISTAKES} wrong test rows of which the model was surest; rarest class "
        "first. Beside each the real training rows nearest to it, with their class: neighbours of the class "
        "it was taken for hint at a label to check, far ones at a kind of row that training lacks."
    )
    parts = [
        {
            "details": [{"table": by_class[code], "columns": columns}],
            "summary": f"{results[code].name}: {wrong_rows[code]} of {results[code].test_rows} test rows "
            f"wrong, {counted(results[code].train_rows, 'real training row')}",
            "open": place == 0,
        }
        for place, code in enumerate(sorted(by_class, key=lambda code: (results[code].train_rows, code)))
    ]
    return [{"text": text}, *parts, room.remark()]


def made_blocks(rows: ExampleRows) -> list[dict[str, Any]]:
    """Show some made rows, and some that the screening rejected, beside the rows they come from."""
    made = [
        rows.balanced.take(_rarest_first(rows.balanced, rows.balanced.origins == origin, rows.train)[:_MADE])
        for origin in sorted(set(rows.balanced.origins) - {"real", "duplicate"})
    ]
    room = _Room(len(rows.train.classes))
    for table in made:
        sources = _sources(table, rows)
        for i, payload in enumerate(_payloads(table)):
            cells = [payload | {"note": str(table.ids[i])}, table.labels[i], *sources[i]]
            room.take(table.origins[i], cells)
    blocks: list[dict[str, Any]] = []
    for origin in dict.fromkeys(key for key, _ in room.rows):
        own = [cells for key, cells in room.rows if key == origin]
        columns = ["Made row", "Class", "Made from", "And from"]
        empty = all(cells[3] is None for cells in own)
        blocks.append(
            {
                "table": [cells[: 4 - empty] for cells in own],
                "columns": columns[: 4 - empty],
                "caption": f"{origin}, of the rarest classes first",
            }
        )
    return [*blocks, *_rejected_blocks(rows, room), room.remark()]


def _rejected_blocks(rows: ExampleRows, room: _Room) -> Iterator[dict[str, Any]]:
    """A table of some rejected candidates of each rule."""
    pairs = first_of_each_rule(rows.rejected, _REJECTED)
    if not pairs:
        return
    rejected = rows.rejected.take([row for row, _ in pairs])
    sources = _sources(rejected, rows, [reason.get("matched") for _, reason in pairs])
    before = len(room.rows)
    for i, payload in enumerate(_payloads(rejected)):
        reason = pairs[i][1]
        why = reason.get("detail") or "".join(
            f"{word} {reason[key]:.3g}"
            for word, key in (("score", "score"), (", limit", "threshold"))
            if key in reason
        )
        rule = {"text": reason["rule"].replace("_", " "), "note": why[:_LETTERS], "words": True}
        cells = [payload | {"note": str(rejected.ids[i])}, rejected.labels[i], rule, sources[i][0]]
        room.take("rejected", cells)
    if table := [cells for _, cells in room.rows[before:]]:
        columns = ["Rejected row", "Class", "For", "Beside"]
        yield {"table": table, "columns": columns, "caption": "Rejected by the screening, some of each rule"}


def _rarest_first(table: SampleTable, mask: np.ndarray, train: SampleTable) -> list[int]:
    """Positions of rows in turns of their classes, the one with the fewest training rows first."""
    counts = train.counts
    turns: dict[str, int] = {}
    keys = []
    for row in np.flatnonzero(mask):
        label = str(table.labels[row])
        turns[label] = turns.get(label, -1) + 1
        keys.append((turns[label], counts.get(label, 0), label, int(row)))
    return [row for *_, row in sorted(keys)]


def _sources(
    table: SampleTable, rows: ExampleRows, matched: Sequence[str | None] = ()
) -> list[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """The two rows that each row was made from, as cells; without a parent, the real one nearest to it."""
    from evenly.features.neighbours import nearest_neighbours

    position = {name: k for k, name in enumerate(rows.train.ids)}
    first = [position.get(name) for name in matched or [None] * len(table)]
    first = [
        position.get(parent) if known is None else known
        for known, parent in zip(first, table.column("parent"), strict=True)
    ]
    second = [position.get(name) for name in table.column("neighbour")]
    words = ["" for _ in range(len(table))]
    if alone := [k for k, place in enumerate(first) if place is None]:
        distances, near = nearest_neighbours(rows.vectors(table.take(alone)), rows.train_vectors, 1)
        for k, place, distance in zip(alone, near[:, 0].tolist(), distances[:, 0], strict=True):
            first[k], words[k] = place, f", nearest, distance {distance:.3g}"
    cells = _cells(rows.train, [place for place in [*first, *second] if place is not None])
    weights = table.column("neighbour_weight")
    found = []
    for k, (one, other) in enumerate(zip(first, second, strict=True)):
        pair: list[dict[str, Any] | None] = [None, None]
        for end, (place, word) in enumerate(
            ((one, words[k]), (other, "" if weights[k] is None else f", weight {weights[k]:.2f}"))
        ):
            if place is not None and (end == 0 or other != one):
                pair[end] = cells[place] | {"note": f"{rows.train.labels[place]}{word}"}
        found.append((pair[0], pair[1]))
    return found


def _cells(samples: SampleTable, places: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the rows at these places hold."""
    there = sorted(set(places))
    return dict(zip(there, _payloads(samples.take(there)), strict=True))


def _payloads(samples: SampleTable) -> list[dict[str, Any]]:
    """What rows hold as cells of a page: a text or the features, cut if long, or a small picture."""
    if samples.modality == "text":
        return [_words("(a vector without a text)" if text is None else text) for text in samples.texts]
    if samples.modality == "table":
        more = len(samples.schema.features) - _FEATURES
        rest = f" and {more} more" if more > 0 else ""
        return [
            _words(", ".join(f"{name} {_value(row[name])}" for name in list(row)[:_FEATURES]) + rest)
            for row in feature_rows(samples)
        ]
    pictures = [None if image is None else _thumbnail(image) for image in samples.images]
    return [
        _words("(no picture)") if picture is None else {"image": picture, "alt": f"of class {label}"}
        for picture, label in zip(pictures, samples.labels, strict=True)
    ]


def _words(text: str) -> dict[str, Any]:
    return {"text": text if len(text) <= _LETTERS else text[:_LETTERS].rstrip() + " …", "words": True}


def _value(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _thumbnail(image: bytes) -> bytes | None:
    """The picture itself where it is small, else a smaller one; None where it cannot be read."""
    if len(image) <= _SMALL:
        return image
    import cv2

    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    shrink = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * shrink)), max(1, round(pixels.shape[0] * shrink)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 80])[1])


def _size(cell: Any) -> int:
    """About the bytes that a cell takes in a page."""
    if not isinstance(cell, dict):
        return 30
    return 60 + 4 * len(cell.get("image", b"")) // 3 + len(str(cell.get("text", "")).encode())
