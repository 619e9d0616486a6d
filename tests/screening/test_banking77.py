"""Real questions of bank customers: what is planted among them is found, and they themselves are spared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenly.features.featurizer import fit_featurizer
from evenly.params.features import FeatureSettings, TextFeatures
from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable, Schema, concatenate, samples_from_columns
from evenly.screening.screen import Screening, screen

Read = Callable[[str], list[tuple[str, str]]]


@pytest.fixture(scope="module")
def screened(banking77: Read) -> tuple[Screening, dict[str, SampleTable]]:
    rows, held_out = banking77("train"), banking77("test")
    order = np.random.default_rng(7).permutation(len(rows))
    schema = Schema("text", tuple(sorted({label for label, _ in rows})))

    def table(chosen: list[tuple[str, str]], prefix: str, origin: str = "real") -> SampleTable:
        return samples_from_columns(
            {
                "id": [f"{prefix}{k:05d}" for k in range(len(chosen))],
                "label": [label for label, _ in chosen],
                "text": [text for _, text in chosen],
                "origin": [origin] * len(chosen),
            },
            schema,
        )

    train = table([rows[k] for k in order[:4000]], "train-")
    validation, test = table(held_out[:1000], "val-"), table(held_out[1000:], "test-")
    planted = {
        "fresh-": [rows[k] for k in order[4000:6000]],
        "leak-": [(label, text.upper() + " ?!") for label, text in held_out[1500:1600]],
        "copy-": [(str(train.labels[k]), f" {train.texts[k]}.") for k in range(100)],
        "wrong-": [(rows[order[(k + 50)]][0], rows[k2][1]) for k, k2 in enumerate(order[7000:7100])],
        "foreign-": [
            ("card_arrival", "Meine Karte wurde gestern gestohlen und ich brauche sofort eine neue"),
            ("card_arrival", "Wie kann ich mein Passwort zurücksetzen, wenn ich es vergessen habe?"),
            ("card_arrival", "我的银行卡昨天在地铁上被偷了，现在应该怎么办"),
            ("card_arrival", "bcdfgk lmprtv gkbdfc tvprml kkdfgb mmtrlv"),
        ],
    }
    tables = {name: table(chosen, name, "llm") for name, chosen in planted.items()}
    small = FeatureSettings(text=TextFeatures(dimensions=96, max_terms=5000))
    screening = screen(
        concatenate(list(tables.values())),
        train=train,
        validation=validation,
        test=test,
        settings=FilterSettings(),
        featurizer=fit_featurizer(train, small, 0),
        seed=0,
    )
    return screening, tables


def struck(screening: Screening, prefix: str, *wanted: str) -> int:
    """How many rejected rows of this prefix failed one of these rules."""
    details = zip(screening.rejected.ids, screening.rejected.column("details"), strict=True)
    return sum(
        name.startswith(prefix) and any(f'"rule": "{rule}"' in text for rule in wanted)
        for name, text in details
    )


def test_real_questions_pass_the_checks_against_leaks_and_form(
    screened: tuple[Screening, dict[str, SampleTable]],
) -> None:
    screening, tables = screened
    fresh = len(tables["fresh-"])
    assert struck(screening, "fresh-", "closeness") <= 0.01 * fresh
    assert struck(screening, "fresh-", "duplicate") <= 0.01 * fresh
    assert struck(screening, "fresh-", "format", "length", "script") <= 0.01 * fresh
    assert struck(screening, "fresh-", "outlier") <= 0.02 * fresh
    assert struck(screening, "fresh-", "agreement") <= 0.08 * fresh


def test_everything_planted_is_found(screened: tuple[Screening, dict[str, SampleTable]]) -> None:
    screening, tables = screened
    assert struck(screening, "leak-", "closeness") == len(tables["leak-"])
    assert struck(screening, "copy-", "duplicate") == len(tables["copy-"])
    assert struck(screening, "foreign-", "script") == len(tables["foreign-"])
    assert struck(screening, "wrong-", "agreement", "near_duplicate", "closeness") >= 85
