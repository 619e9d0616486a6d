"""What a text looks like that is no sample: a language model's refusal, or pieces of the machinery around
a text.

Patterns are matched without regard to case, with straight apostrophes. Whether a pattern is used on a
data set is decided in `evenly.screening.text_rules`: real rows may look like that too.
"""

from __future__ import annotations

import re

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
FAULTY_CHARACTER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ud800-\udfff\ue000-\uf8ff]"
)


def _compiled(sources: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(sources), re.IGNORECASE | re.MULTILINE)


REFUSAL = _compiled(_REFUSALS)
LEFTOVERS = {name: _compiled(sources) for name, sources in _LEFTOVERS.items()}
