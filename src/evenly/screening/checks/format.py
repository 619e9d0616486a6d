"""The check `format`: is a text or an image one at all, by itself and beside no other.

A text may be a language model's refusal, or pieces of the machinery around a text; an image may be
unreadable, of another size, or empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from evenly.errors import DataError, ParameterError
from evenly.screening.context import Context, Outcome, limited, verdict

#: A pattern that more than this share of the real rows shows is how the data look, not a fault.
_COMMON = 0.001

# Patterns are matched without regard to case, with straight apostrophes.
_CANNOT = r"(?:can't|cannot|can not|won't|am not able to|am unable to|'m not able to|'m unable to)"
_DO = r"(?:assist|help|comply|provide|create|generate|fulfill|write)"
_MODEL = r"(?:ai|artificial intelligence|(?:large )?language model)\b"

#: A language model speaks of itself, or declines; a few words each in the most spoken languages.
_REFUSALS = (
    rf"\bas an? {_MODEL}",
    rf"\bi(?:'m| am) (?:just |only )?an? {_MODEL}",
    rf"\bi(?:'m| am) (?:sorry|afraid),? (?:but )?i ?{_CANNOT} {_DO}\b",
    rf"\bi ?{_CANNOT} (?:assist|comply|fulfill|help) with (?:that|this|your|the) (?:request|prompt)\b",
    r"\b(?:als|ich bin)(?: nur)? eine? (?:ki\b|künstliche intelligenz|(?:großes )?sprachmodell)",
    r"\bals (?:ki|künstliche intelligenz|sprachmodell) (?:kann|darf|bin|habe|ist)\b",
    r"\ben tant qu(?:e |')(?:modèle de langage|intelligence artificielle|ia\b|assistant ia)",
    r"\bcomo (?:uma? |una? )?(?:modelo de (?:lenguaje|linguagem)|intelig[eê]ncia artificial)",
    r"\bcomo (?:uma|una) ia\b",
    r"\b(?:come|in quanto) (?:un |una |un')?(?:modello linguistico|intelligenza artificiale)",
    r"\bals een (?:ai|taalmodel|kunstmatige intelligentie)\b",
    r"\bjako (?:model językowy|sztuczna inteligencja)",
    r"\bbir (?:yapay zeka|dil modeli)\b",
    r"\blà một (?:mô hình ngôn ngữ|trí tuệ nhân tạo|ai\b)",
    r"\bкак (?:языковая модель|искусственный интеллект|ии\b)",
    r"作为(?:一个|一款|一名)?(?:人工智能|大?型?语言模型|ai)",
    r"作為(?:一個|一款|一名)?(?:人工智慧|人工智能|大?型?語言模型|ai)",
    r"我(?:无法|不能)(?:满足|提供|生成|协助|完成)(?:您的|你的|该|这个|此)?(?:请求|要求|内容)",
    r"(?:ai|人工知能|言語モデル)(?:アシスタント)?として",
    r"(?:ai|인공지능|언어 ?모델)(?:로서|로써|이기 때문에)",
    r"(?:بصفتي|باعتباري) (?:نموذج(?:ًا|ا)? ?لغوي|ذكاء(?:ً)? ?اصطناعي)",
    r"एक (?:एआई|भाषा मॉडल|कृत्रिम बुद्धिमत्ता)(?: मॉडल)? के रूप में",
)

_THING = (
    r"(?:name|date|number|address|amount|e-?mail|text|company|product|city|country|time|order|id|reason|url|link"
    r"|placeholder|here)"
)

#: Names of what is left over in a text, and how it looks.
_LEFTOVERS = {
    "template mark": (r"\{\{|\}\}|\{%|%\}", r"<\|[^|>\n]{1,40}\|>", r"\[/?inst\]|<<sys>>|</?s>"),
    "placeholder": (
        rf"\[(?:your |insert |the |my |customer |user |account |order |phone )?{_THING}(?: here| \d+)?\]",
        rf"\{{(?:[a-z]+_)*{_THING}\}}|\{{(?:label|class|topic|category|input)\}}",
        r"<(?:your|insert)[^>\n]{0,30}>",
        r"\blorem ipsum\b",
    ),
    "JSON debris": (
        r"^\s*[\[{]\s*[\"']",
        r"[\"']\s*[\]}]\s*,?\s*$",
        r"^\s*\"\w+\"\s*:\s",
        r"\"(?:text|label|samples?)\"\s*:",
        r"\\[nt\"]",
    ),
    "answer markup": (
        r"```",
        r"^\s*(?:sure|certainly|of course)[,!].{0,60}:\s*$",
        r"^\s*here (?:are|is) (?:\w+ ){0,6}(?:examples?|samples?|texts?|messages?|variations?)\b.{0,40}:",
        r"^\s*(?:sample|example|text|output|answer|paraphrase|label|class)\s*\d*\s*:\s",
    ),
}

#: Control characters, halves of surrogate pairs, private and unassigned ones, and the mark for unreadable
#: bytes.
_FAULTY_CHARACTER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]"
)


def _compiled(sources: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(sources), re.IGNORECASE | re.MULTILINE)


def badly_formed(context: Context, rows: np.ndarray) -> Outcome:
    """Texts that are empty, hold control characters, or look like something else than a sample.

    The built-in patterns are tried on the real training rows first: one that more than a thousandth of
    them match says nothing about a candidate and is left out.
    """
    rules = context.settings.format
    texts = [_straight(text) for text in context.side(rows).texts]
    real = [_straight(text) for text in context.train.texts]
    patterns = {"control character": _FAULTY_CHARACTER}
    patterns |= {"refusal": _compiled(_REFUSALS)} if rules.refusals else {}
    if rules.leftovers:
        patterns |= {name: _compiled(sources) for name, sources in _LEFTOVERS.items()}
    verdicts = [verdict(np.array([not text.strip() for text in texts]), detail="empty")]
    skipped = []
    for name, pattern in patterns.items():
        common = sum(pattern.search(text) is not None for text in real)
        if common > _COMMON * len(real):
            skipped.append(f"{name}: {common} real training rows look the same")
        else:
            found = _matching(pattern, texts)
            verdicts.append(limited(context, rows, f"format: {name}", found, detail=name))
    for source in rules.forbidden:
        try:
            pattern = _compiled([source])
        except re.error as error:
            raise ParameterError(
                f"params.yaml: filter.format.forbidden holds {source!r}, which is no regular expression: "
                f"{error}."
            ) from error
        verdicts.append(verdict(_matching(pattern, texts), detail=f"forbidden: {source}"))
    return Outcome(tuple(verdicts), skipped=tuple(skipped))


def badly_drawn(context: Context, rows: np.ndarray) -> Outcome:
    """Images that cannot be decoded, have another size than all real ones, or show one colour only."""
    from evenly.features.images import decode_images

    shapes: list[tuple[int, ...] | None] = []
    blank = np.zeros(len(rows), dtype=bool)
    for k, image in enumerate(context.side(rows).samples.images):
        try:
            pixels = decode_images([image])[0] if image else None
        except DataError:
            pixels = None
        shapes.append(None if pixels is None else pixels.shape[:2])
        blank[k] = pixels is not None and pixels.min() == pixels.max()
    unreadable = np.array([shape is None for shape in shapes], dtype=bool)
    verdicts = [verdict(unreadable, detail="unreadable"), verdict(blank, detail="one colour")]
    real = {decode_images([image])[0].shape[:2] for image in context.train.samples.images if image}
    if len(real) == 1:
        other = np.array([shape is not None and shape not in real for shape in shapes], dtype=bool)
        verdicts.append(verdict(other, detail="another size than the real images"))
    return Outcome(tuple(verdicts))


def _straight(text: str) -> str:
    return text.replace("’", "'")


def _matching(pattern: re.Pattern[str], texts: Iterable[str]) -> np.ndarray:
    return np.array([pattern.search(text) is not None for text in texts], dtype=bool)
