"""Who descends from whom: the order in which parents take turns, and the random stream of every new row."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: A class is given up when this many turns in a row of all its parents bring nothing new.
_IDLE_ROUNDS = 3


@dataclass(frozen=True)
class Parent:
    """A real training row: its position in the table ordered by id, and its id."""

    position: int
    id: str


@dataclass(frozen=True)
class Descent:
    """A row to be made: the `ordinal`-th descendant, from 1, of a parent."""

    parent: Parent
    ordinal: int

    @property
    def id(self) -> str:
        """Id of the new row."""
        return f"{self.parent.id}~aug{self.ordinal}"

    def stream(self, seed: int) -> np.random.Generator:
        """Random numbers of this row alone: they come from the seed, the parent's id and the ordinal."""
        import numpy as np

        return np.random.default_rng(_number(seed, self.parent.id, self.ordinal))


@dataclass(frozen=True)
class Offspring:
    """A row that was made: its descent, its payload by column, and what was drawn (ready for JSON)."""

    descent: Descent
    payload: dict[str, Any]
    details: dict[str, Any]


#: Makes a row from its descent and random stream, or nothing where the parent brings nothing new this time.
Variation = Callable[[Descent, "np.random.Generator"], Offspring | None]


def descents(parents: Sequence[Parent], seed: int) -> Iterator[Descent]:
    """Endless turns of the parents, in an order shuffled by the seed.

    A parent's place is a hash of its id, so that the order does not depend on how the rows came, and one
    parent more leaves the order of the others as it is.
    """
    order = sorted(parents, key=lambda parent: (_number(seed, parent.id, 0), parent.id))
    for ordinal in itertools.count(1):
        for parent in order:
            yield Descent(parent, ordinal)


def new_offspring(parents: Sequence[Parent], count: int, seed: int, vary: Variation) -> list[Offspring]:
    """Up to `count` rows of one class.

    A smaller count gives the first rows of a larger one. Fewer come back when all parents have had several
    turns in vain.
    """
    made: list[Offspring] = []
    turns = descents(parents, seed)
    idle = 0
    while len(made) < count and idle < _IDLE_ROUNDS * len(parents):
        descent = next(turns)
        offspring = vary(descent, descent.stream(seed))
        if offspring is None:
            idle += 1
        else:
            idle = 0
            made.append(offspring)
    return made


def _number(seed: int, name: str, ordinal: int) -> int:
    text = f"{seed}\0{name}\0{ordinal}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
