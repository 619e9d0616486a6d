"""Texts with typing errors: neighbouring keys, exchanged, dropped and doubled letters."""

from __future__ import annotations

import numpy as np

#: Shares of the letters with an error, by strength.
SHARES = (0.02, 0.05, 0.10)

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbouring_keys() -> dict[str, str]:
    """For each letter, its neighbours on the US layout, whose rows are set off by half a key."""
    places = {letter: (k + 0.5 * r, r) for r, row in enumerate(_ROWS) for k, letter in enumerate(row)}
    return {
        letter: "".join(
            other
            for other, (column, row) in places.items()
            if other != letter and abs(row - r) <= 1 and abs(column - x) <= (1 if row == r else 0.5)
        )
        for letter, (x, r) in places.items()
    }


NEIGHBOURS = _neighbouring_keys()


def mistyped(text: str, share: float, rng: np.random.Generator) -> str:
    """Give a text with errors in about this share of its letters, each of a kind drawn evenly.

    A letter is replaced by a neighbour on the keyboard, exchanged with the next, dropped or doubled. Letters
    that are not on the map (other scripts, accents) have the last three kinds. Digits, spaces and punctuation
    stay. Under the same stream, the errors of a smaller share are among those of a larger one, except where
    two meet.

    Parameters
    ----------
    text
        Any.
    share
        0…1; the number of errors is rounded up or down at random, so that the share holds on average.
    rng
        The stream of this text.
    """
    letters = [k for k, character in enumerate(text) if character.isalpha()]
    rounding = rng.random()
    order = rng.permutation(len(letters))
    kinds = rng.random(len(letters))
    keys = rng.random(len(letters))
    errors = int(share * len(letters) + rounding)
    struck = {letters[k]: (kinds[k], keys[k]) for k in order[:errors]}

    typed: list[str] = []
    k = 0
    while k < len(text):
        if k not in struck:
            typed.append(text[k])
            k += 1
            continue
        written, k = _error(text, k, *struck[k])
        typed.append(written)
    changed = "".join(typed)
    return changed if changed.strip() else text


def _error(text: str, k: int, kind: float, key: float) -> tuple[str, int]:
    """What is written instead of the letter at k, and the next position to read."""
    letter = text[k]
    keys = NEIGHBOURS.get(letter.lower(), "")
    names = ("neighbour", "swap", "drop", "double") if keys else ("swap", "drop", "double")
    name = names[int(kind * len(names))]
    if name == "neighbour":
        wrong = keys[int(key * len(keys))]
        return (wrong.upper() if letter.isupper() else wrong), k + 1
    if name == "drop":
        return "", k + 1
    if name == "swap" and k + 1 < len(text) and text[k + 1].isalpha() and text[k + 1] != letter:
        return text[k + 1] + letter, k + 2
    return letter * 2, k + 1
