"""The parts that generation is made of, each by its own promises."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.errors import ParameterError
from evenly.features.ngramsets import character_ngrams
from evenly.llm.engine.endpoint import journal_folder, keys_from
from evenly.llm.writing.answers import facts, missing_facts
from evenly.llm.writing.columns import (
    MisfitError,
    columns_of,
    fitted_row,
    named_classes,
    row_as_json,
    row_as_sentence,
    row_schema,
    statistics_of,
)
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.quota import Shaping, TextIndex, ngram_frequencies
from evenly.llm.writing.training_rows import (
    Cell,
    TrainingRows,
    distinctive_terms,
    farthest_point_order,
    in_turn,
    nearest_classes,
    random_stream,
    row_vectors,
    terms,
)
from evenly.samples import Feature, Schema, samples_from_columns
from tests.llm.generation_cases import PROMPTS, TEXTS, mixed_table, text_table

# --- examples ------------------------------------------------------------------------------------------


def test_row_vectors_have_unit_length_for_texts_and_tables():
    for samples in (text_table(), mixed_table()):
        vectors = row_vectors(samples)
        assert vectors.shape[0] == len(samples)
        np.testing.assert_allclose(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel(), 1.0)


def test_farthest_point_order_is_greedy_and_a_prefix_of_a_longer_one():
    rng = np.random.default_rng(0)
    from scipy.sparse import csr_array

    points = rng.random((40, 5))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    order = farthest_point_order(csr_array(points), 40)
    assert sorted(order) == list(range(40))
    assert farthest_point_order(csr_array(points), 7) == order[:7]
    cosines = points @ points.T
    for k in range(1, 40):
        nearest = cosines[:, order[:k]].max(axis=1)
        left = [row for row in range(40) if row not in order[:k]]
        assert nearest[order[k]] == pytest.approx(min(nearest[left]))


def test_duplicates_come_last_in_an_order_of_diversity():
    train = text_table(
        {"a": ["same words here", "same words here", "something else entirely", "and a third thing"]}
    )
    order = farthest_point_order(row_vectors(train), 4)
    assert set(order[-1:]) < {0, 1}


def test_examples_go_round_without_repeating_within_a_call():
    order = list(range(7))
    shown = [in_turn(order, call, 3) for call in range(7)]
    assert all(len(set(rows)) == 3 for rows in shown)
    assert sorted(itertools.chain(*shown)) == sorted(order * 3)
    assert in_turn([1, 2], 5, 10) == [1, 2]
    assert in_turn([], 0, 3) == []


def test_the_nearest_class_shares_the_most_words():
    train = text_table(
        {
            "card": ["my card is late", "card not here"],
            "lost": ["my card is lost", "card was stolen"],
            "rate": ["exchange fee of euros", "what does exchanging euros cost"],
        }
    )
    near = nearest_classes(row_vectors(train), train.labels, train.classes)
    assert near["card"][0] == "lost"
    assert near["lost"][0] == "card"
    assert all(name not in others for name, others in near.items())


def test_random_streams_depend_on_every_name():
    draws = {
        tuple(random_stream(1, *names).integers(0, 2**60, 2))
        for names in [("a",), ("b",), ("a", 0), ("a", 1)]
    }
    assert len(draws) == 4
    assert random_stream(5, "x").integers(0, 2**60) == random_stream(5, "x").integers(0, 2**60)


def test_a_cell_without_rows_takes_the_examples_of_its_class():
    train = text_table().with_column("attribute", ["land"] * 10)
    rows = TrainingRows(train, {}, 5)
    assert list(rows.members(Cell("pin", "sea"))) == list(rows.members(Cell("pin")))
    assert Cell("a/b", "c").name != Cell("a", "b/c").name


# --- keywords ------------------------------------------------------------------------------------------


def test_distinctive_terms_are_those_of_the_class():
    found = distinctive_terms(
        *zip(*[(t, name) for name, some in TEXTS.items() for t in some], strict=True), count=3
    )
    assert "pin" in found["pin"]
    assert "my" not in found["pin"]
    assert len(found["refund"]) <= 3


def test_log_odds_agree_with_the_formula_of_the_paper():
    from evenly.llm.writing.training_rows import _log_odds_z

    inside, outside, n, total = 4.0, 6.0, 50, 1000
    weight = math.sqrt(n * total)
    prior = weight * 10 / total
    own, others = inside + prior, outside + prior
    delta = math.log(own / (n + weight - own)) - math.log(others / (total - n + weight - others))
    expected = delta / math.sqrt(1 / own + 1 / others)
    assert _log_odds_z(np.array([inside]), np.array([outside]), n, total)[0] == pytest.approx(
        expected, rel=1e-12
    )


def test_scripts_without_spaces_give_words_or_nothing():
    assert list(terms("I'm 42 ລາວ ok")) == ["i'm", "ok"]
    for package, text, words in (
        ("rjieba", "我的银行卡丢失了 ABC", ["银行卡", "丢失", "abc"]),
        ("sudachipy", "再発行をお願いします", ["発行"]),
        ("pythainlp", "บัตรเครดิตของฉันหายไปเมื่อวานนี้", ["บัตรเครดิต", "เมื่อวาน"]),
    ):
        found = list(terms(text))
        if importlib.util.find_spec(package):
            assert set(words) <= set(found), found
        else:
            assert found == [word for word in words if word.isascii()], "fragments are no words"


# --- nearness ------------------------------------------------------------------------------------------


def jaccard(a: str, b: str, n: int) -> float:
    left, right = character_ngrams(a, n), character_ngrams(b, n)
    return len(left & right) / len(left | right)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("abc 的", min_size=1, max_size=12), min_size=1, max_size=12),
    query=st.text("abc 的", min_size=1, max_size=12),
    threshold=st.sampled_from([0.3, 0.5, 0.6, 0.75, 0.8, 1.0]),
    n=st.integers(1, 4),
)
def test_near_duplicates_are_found_exactly(texts, query, threshold, n):
    texts, query = [text + "x" for text in texts], query + "x"
    shaping = Shaping(threshold, n, ngram_frequencies(texts[:3], n))
    index = TextIndex(threshold)
    for text in texts:
        index.add(shaping.shape(text))
    best = max(jaccard(query, text, n) for text in texts)
    found = index.similarity(shaping.shape(query))
    if best >= threshold:
        assert found == pytest.approx(best)
    else:
        assert found is None


def test_without_a_threshold_only_equal_texts_are_found():
    shaping, index = Shaping(None, 3, {}), TextIndex(None)
    index.add(shaping.shape("Where is my card?"))
    assert index.similarity(shaping.shape("  where is MY card ")) == 1.0
    assert index.similarity(shaping.shape("where is my cards")) is None


# --- facts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kept", "lost"),
    [
        ("I paid 12.50 euros", "12.50 euros were paid", "I paid 1250 euros"),
        ("I paid 12.50 euros", "paid: 12.50.", "I paid 12 or 50 euros"),
        ("it is -5 degrees", "minus? no: -5 it is", "it is 5 degrees"),
        ("1,000 people came", "1000 came", "1,00 came"),
        ("on 2026-11-20", "20/11/2026 it was", "in 2026"),
        ("write to a.b@example.org now", "a.b@example.org is the address", "write to ab@example.org"),
        ("see https://example.org/a?b=1.", "https://example.org/a?b=1 shows it", "see https://example.org/a"),
        ("温度是3.5度", "3.5度", "温度35度"),
    ],
)
def test_numbers_and_addresses_survive_or_are_missed(source, kept, lost):
    assert missing_facts(source, kept) == []
    assert missing_facts(source, lost)


@given(st.decimals(min_value=0, max_value=10**6, places=2))
def test_a_number_that_loses_its_point_is_another_number(number):
    text = f"{number:.2f}"
    assert facts(f"cost {text} in all") == {text}
    assert missing_facts(f"cost {text}", f"cost {text.replace('.', '')}")


# --- columns -------------------------------------------------------------------------------------------

GOOD = {"age": "41", "pressure": 120, "sex": " M", "smoker": "Yes"}


def test_a_row_is_read_as_typed_values_in_schema_order():
    row = fitted_row({**GOOD, "note": "ignored"}, columns_of(mixed_table()), 0.1)
    assert row == {"age": 41, "pressure": 120.0, "sex": "m", "smoker": True}
    assert [type(value) for value in row.values()] == [int, float, str, bool]
    assert list(row) == ["age", "pressure", "sex", "smoker"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"age": 41.5}, "column_type"),
        ({"age": True}, "column_type"),
        ({"age": None}, "column_missing"),
        ({"age": 56}, "column_range"),
        ({"pressure": "NaN"}, "column_type"),
        ({"pressure": 1e400}, "column_type"),
        ({"sex": "seen only in test"}, "column_category"),
        ({"sex": ["m"]}, "column_type"),
        ({"smoker": "perhaps"}, "column_type"),
    ],
)
def test_a_value_that_no_training_row_allows_is_a_misfit(change, reason):
    with pytest.raises(MisfitError) as caught:
        fitted_row(GOOD | change, columns_of(mixed_table()), 0.1)
    assert caught.value.reason == reason


def test_tolerance_widens_the_range_and_missing_needs_precedent():
    columns = columns_of(mixed_table())
    assert fitted_row(GOOD | {"age": 55}, columns, 0.1)["age"] == 55
    assert fitted_row(GOOD | {"pressure": None}, columns, 0.1)["pressure"] is None
    schema = row_schema(columns)["properties"]
    assert schema["pressure"]["type"] == ["number", "null"]
    assert schema["age"]["type"] == "integer"
    assert row_as_sentence({"age": 41, "sex": None}) == "age is 41, sex is missing"


def test_examples_and_ranges_keep_every_digit_of_the_column():
    values = [263358.03, 1234567.25, 0.00000125, 1e-9, 3.0]
    assert json.loads(row_as_json({str(k): value for k, value in enumerate(values)})) == {
        str(k): value for k, value in enumerate(values)
    }
    assert row_as_sentence({"a": 263358.03, "b": 3.0}) == "a is 263358.03, b is 3"
    assert row_as_json({"a": float("nan"), "b": float("inf")}) == '{"a": null, "b": null}'
    features = (Feature("paid", "number"), Feature("rate", "number"), Feature("at", "integer"))
    columns = {
        "id": ["a", "b"],
        "label": ["x", "y"],
        "paid": [1234567.25, 2345678.5],
        "rate": [1.25e-8, 5e-8],
        "at": [1764288000, 1764374400],
    }
    samples = samples_from_columns(columns, Schema("table", ("x", "y"), features))
    paid, rate, at = statistics_of(samples, columns_of(samples))
    assert (paid["low"], paid["high"], paid["decimals"]) == (1234567.25, 2345678.5, 2)
    assert (rate["low"], rate["decimals"]) == (1.25e-8, 10)
    assert (at["low"], at["usual"]["middle"]) == (1764288000, 1764331200)


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (1, {"1"}),
        (1.0, {"1"}),
        (" 1 ", {"1"}),
        ("1.0", {"1"}),
        (True, {"1"}),
        (False, {"0"}),
        ("Died", {"1"}),
        ("perhaps", set()),
        (["1"], set()),
        (10**400, set()),
    ],
)
def test_a_stated_class_is_understood_as_name_number_or_meaning(value, classes):
    assert named_classes(value, {"0": "", "1": "died"}) == classes


def test_a_class_written_exactly_is_no_other_that_differs_in_case():
    assert named_classes("a", {"a": "", "A": ""}) == {"a"}


# --- prompts, keys -------------------------------------------------------------------------------------


def prompt_folder(tmp_path: Path, text: str) -> Prompts:
    (tmp_path / "own.jinja").write_text(text, encoding="utf-8")
    return Prompts(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{% block user %}\nfine\n{{ lable }}\n{% endblock %}", r"own\.jinja, line 3: 'lable' is undefined"),
        ("{% block user %}\n{% if %}{% endblock %}", r"own\.jinja, line 2"),
        ("{% block user %}\n{{ label + 1 }}\n{% endblock %}", r"own\.jinja, line 2"),
        ("{% block user %}\n{{ label.__class__.__mro__ }}\n{% endblock %}", r"own\.jinja, line 2.*unsafe"),
        ("no blocks", r"own\.jinja has no block 'user'"),
    ],
)
def test_a_wrong_prompt_file_is_named_with_its_line(tmp_path, text, told):
    with pytest.raises(ParameterError, match=told):
        prompt_folder(tmp_path, text).messages("own.jinja", {"label": "x"})


def test_a_missing_prompt_file_names_those_there_are(tmp_path):
    with pytest.raises(ParameterError, match=r"other\.jinja does not exist.*own\.jinja"):
        prompt_folder(tmp_path, "x").messages("other.jinja", {})


def test_text_in_a_prompt_is_never_a_template(tmp_path):
    prompts = prompt_folder(tmp_path, "{% block user %}{{ label | json }}{% endblock %}")
    (message,) = prompts.messages("own.jinja", {"label": '{{ 1 + 1 }} "quoted" 卡'})
    assert message == {"role": "user", "content": '"{{ 1 + 1 }} \\"quoted\\" 卡"'}


def test_every_prompt_of_the_project_compiles():
    for path in PROMPTS.glob("*.jinja"):
        assert "user" in Prompts(PROMPTS)._template(path.name).blocks


def test_keys_come_from_the_environment_first_and_then_from_the_workspace(tmp_path):
    (tmp_path / ".env").write_text("A_KEY=from-file\nB_KEY='quoted $HOME'\n# no\nC_KEY\n")
    keys = keys_from({"DVC_ROOT": str(tmp_path), "A_KEY": "from-environment"})
    assert (keys["A_KEY"], keys["B_KEY"], "C_KEY" in keys) == ("from-environment", "quoted $HOME", False)
    assert journal_folder({"DVC_ROOT": str(tmp_path)}) == tmp_path / ".cache" / "llm"


def test_examples_in_prompts_survive_as_json():
    rng = random.Random(0)
    text = "".join(rng.choice('ab"\\\n{}%#的') for _ in range(60))
    assert json.loads(Prompts(PROMPTS)._environment.filters["json"](text)) == text
