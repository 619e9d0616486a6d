"""What a paraphrase must keep: the numbers, addresses and links of its source."""

from __future__ import annotations

import re
import unicodedata

_LINKS = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。；）)]+", re.IGNORECASE)
_ADDRESSES = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
#: Digits with the points and commas between them; a sign counts where no digit or letter stands before it.
_NUMBERS = re.compile(r"(?:(?<![0-9A-Za-z.,)\]])[-+−])?\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def facts(text: str) -> set[str]:
    """Links, e-mail addresses and numbers of a text in comparable form.

    Width is normalised, `1,000` equals `1000`, and a number keeps its decimal point and sign: `3.5` is
    neither `35` nor `3` and `5`.
    """
    rest = unicodedata.normalize("NFKC", text)
    found: set[str] = set()
    for pattern in (_LINKS, _ADDRESSES):
        found.update(match.rstrip(".,;:!?").casefold() for match in pattern.findall(rest))
        rest = pattern.sub(" ", rest)
    for number in _NUMBERS.findall(rest):
        plain = number.replace(",", "") if _THOUSANDS.fullmatch(number) else number
        found.add(plain.replace("−", "-").removeprefix("+"))
    return found


def missing_facts(source: str, paraphrase: str) -> list[str]:
    """Facts of the source that the paraphrase lacks, sorted."""
    return sorted(facts(source) - facts(paraphrase))
