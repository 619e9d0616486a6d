"""The screening as a whole: it finds what is planted, loses nobody, and says why."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.errors import DataError, ParameterError, RecipeError
from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable
from evenly.screening.checks.texts import foreign_script
from evenly.screening.context import Context, JudgeScores, Side
from evenly.screening.review import Review
from evenly.screening.screen import Screening
from tests.screening.conftest import TOPICS, Splits, make_texts, number_table, sentence, text_table


def reasons(screening: Screening) -> dict[str, list[dict[str, Any]]]:
    """Reasons by id of the rejected rows."""
    details = screening.rejected.column("details")
    return {
        name: json.loads(text)["screening"]["rejected_for"]
        for name, text in zip(screening.rejected.ids, details, strict=True)
    }


def rules(screening: Screening) -> dict[str, list[str]]:
    """Names of the failed rules by id, the primary one first."""
    return {name: [reason["rule"] for reason in found] for name, found in reasons(screening).items()}


def candidates(*rows: tuple[str, str], prefix: str = "new-", **columns: Any) -> SampleTable:
    return text_table(list(rows), prefix, "llm", **columns)


def good(n: int = 1, topic: str = "card", seed: int = 77) -> list[tuple[str, str]]:
    return make_texts(seed, {topic: n})


def test_good_candidates_are_kept_as_they_came(texts: Splits) -> None:
    made = candidates(*make_texts(50, {"card": 20, "loan": 20}))
    screening = texts.screen(made)
    assert screening.report["kept"] >= 38
    kept = screening.kept
    assert kept.column("details").tolist() == [None] * len(kept)
    assert kept.table.drop_columns(["details"]).equals(made.take(np.isin(made.ids, kept.ids)).table)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "my card \x07 is lost",
        "my card \ufffd is lost",
        "As an AI language model, I cannot write about lost cards",
        "I’m sorry, but I can’t assist with that request.",
        "Als KI kann ich keine Karte sperren",
        "作为一个人工智能语言模型，我无法提供",
        "Как языковая модель, я не могу",
        "AIとして、お答えできません",
        "where is my card {{customer_name}}",
        "my card is lost, [your name]",
        "Dear [Name], my card was stolen",
        '{"text": "my card is lost"',
        'my card is lost"},',
        "```json my card",
        "Here are 10 examples of lost cards:",
        "Example 3: my card was stolen",
    ],
)
def test_what_is_no_sample_is_rejected_for_its_form(texts: Splits, text: str) -> None:
    found = reasons(texts.screen(candidates(("card", text))))
    assert found["new-00000"][0]["rule"] == "format"


def test_a_pattern_that_real_rows_show_is_not_held_against_a_candidate(texts: Splits) -> None:
    rows = [(label, f"[name] {text}") for label, text in make_texts(1, dict.fromkeys(TOPICS, 30))]
    splits = Splits(text_table(rows, "train-"), texts.validation, texts.test)
    screening = splits.screen(candidates(*[(label, f"[name] {text}") for label, text in good(5)]))
    assert screening.report["kept"] == 5
    assert any("placeholder" in why for why in screening.report["skipped"]["format"])


def test_forbidden_patterns_are_the_users_own(texts: Splits) -> None:
    made = candidates(("card", good()[0][1] + " ACME-42"))
    found = reasons(texts.screen(made, settings={"format": {"forbidden": [r"acme-\d+"]}}))
    assert found["new-00000"][0]["detail"] == r"forbidden: acme-\d+"
    with pytest.raises(ParameterError, match="no regular expression"):
        texts.screen(made, settings={"format": {"forbidden": ["("]}})


def test_texts_far_from_the_usual_length_are_rejected(texts: Splits) -> None:
    long = " ".join(text for _, text in good(8))
    found = reasons(texts.screen(candidates(("card", long), ("card", "card lost"))))
    assert [reason["detail"] for reason in found["new-00000"]][:2] == ["most characters", "most tokens"]
    assert found["new-00001"][0]["detail"] == "fewest characters"
    free = {"length": {"quantiles": None, "max_tokens": 12}}
    found = reasons(texts.screen(candidates(("card", long), ("card", "card lost")), settings=free))
    assert found["new-00000"][0] == {
        "rule": "length",
        "detail": "most tokens",
        "score": 80.0,
        "threshold": 12.0,
    }
    assert "length" not in rules(texts.screen(candidates(("card", "card lost")), settings=free)).get(
        "new-00001", []
    )


def test_chinese_is_counted_in_characters(texts: Splits) -> None:
    made = candidates(("card", "我的银行卡丢了"))
    free = {"length": {"quantiles": None, "max_tokens": 6}, "disable": ["script"]}
    assert reasons(texts.screen(made, settings=free))["new-00000"][0]["score"] == 7


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("моя банковская карта была украдена вчера вечером в метро", "cyrillic"),
        (
            "我的银行卡昨天在地铁上被偷了，现在应该怎么办才能补办一张新卡呢，请告诉我怎么做，谢谢你们的帮助",
            "cjk",
        ),
    ],
)
def test_a_script_that_real_rows_do_not_use_is_rejected(texts: Splits, text: str, script: str) -> None:
    found = reasons(texts.screen(candidates(("card", text))))["new-00000"]
    assert next(reason["detail"] for reason in found if reason["rule"] == "script") == script


def test_keywords_are_asked_of_their_class_only(texts: Splits) -> None:
    made = candidates(
        ("card", "the CARDS, my bank! was lost so I need one today"), ("loan", good(1, "loan")[0][1])
    )
    wanted = {"disable": ["agreement"], "keywords": {"any_of": {"card": ["card", "plastic"]}}}
    assert rules(texts.screen(made, settings=wanted)) == {"new-00000": ["keywords"]}
    wanted["keywords"] = {"all_of": {"card": ["bank", "lost", "I need"]}}
    assert rules(texts.screen(made, settings=wanted)) == {}
    with pytest.raises(ParameterError, match="names the class 'car'"):
        texts.screen(made, settings={"keywords": {"any_of": {"car": ["x"]}}})


def variants(text: str) -> list[str]:
    return [text, text.upper(), f"  {text.replace(' ', '   ')}\n", f"{text}!!!", text.replace(" ", ", ", 1)]


def test_copies_of_real_rows_are_found_whatever_their_case_spaces_and_punctuation(texts: Splits) -> None:
    real = texts.train.take([3])
    made = candidates(*[(real.labels[0], text) for text in variants(str(real.texts[0]))])
    found = reasons(texts.screen(made))
    assert len(found) == len(made)
    for given_reasons in found.values():
        first = given_reasons[0]
        assert (first["rule"], first["detail"], first["matched"]) == ("duplicate", "real", real.ids[0])


def test_of_the_same_candidates_one_is_kept(texts: Splits) -> None:
    (label, text), *_ = good()
    screening = texts.screen(candidates(*[(label, each) for each in variants(text)]))
    assert screening.kept.ids.tolist() == ["new-00000"]
    for found in reasons(screening).values():
        assert (found[0]["rule"], found[0]["matched"]) == ("duplicate", "new-00000")


def test_near_duplicates_give_way_to_the_first_and_to_real_rows(texts: Splits) -> None:
    (label, text), *_ = good()
    real = str(texts.train.texts[0])
    made = candidates((label, text), (label, text + "s"), (texts.train.labels[0], real[:-1] + "y"))
    screening = texts.screen(made, settings={"disable": ["agreement"]})
    found = reasons(screening)
    assert screening.kept.ids.tolist() == ["new-00000"]
    assert found["new-00001"][0]["matched"] == "new-00000"
    assert found["new-00001"][0]["score"] >= 0.8
    assert found["new-00002"][0]["matched"] == texts.train.ids[0]


def test_a_class_of_one_real_example_cannot_be_filled_with_copies_of_it(texts: Splits) -> None:
    rows = [*make_texts(1, {"card": 40, "loan": 30}), ("rain", sentence("rain", random.Random(5)))]
    splits = Splits(text_table(rows, "train-"), texts.validation, texts.test)
    only = rows[-1][1]
    rng = random.Random(6)
    edits = [str.upper, str.title, lambda s: s + ".", lambda s: s.replace(" ", "  "), lambda s: s + "s", str]
    copies = [("rain", rng.choice(edits)(only)) for _ in range(84)]
    fresh = make_texts(8, {"rain": 30})
    screening = splits.screen(candidates(*copies, *fresh, *[fresh[k % 9] for k in range(50)]))
    plain = ["".join(str(text).lower().split()).strip(".") for text in screening.kept.texts]
    assert 20 <= len(plain) == len(set(plain))
    assert only.replace(" ", "") not in plain
    assert len(screening.report["warnings"]) == 1
    assert "Class rain gains" in screening.report["warnings"][0]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_row_leaked_from_a_held_out_split_is_dropped_and_counted(texts: Splits, split: str) -> None:
    held_out: SampleTable = getattr(texts, split)
    leaked = [
        (label, random.Random(k).choice(variants(str(text)))[: 200 if k % 2 else None])
        for k, (label, text) in enumerate(zip(held_out.labels, held_out.texts, strict=True))
    ]
    made = [candidates(*leaked, prefix="leaked-"), candidates(*good(10))]
    screening = texts.screen(*made)
    found = reasons(screening)
    for name, source in zip(made[0].ids, held_out.ids, strict=True):
        leak = next(reason for reason in found[name] if reason["rule"] == "closeness")
        assert leak["matched"] == source
        assert leak["detail"].startswith(split)
    assert screening.report["measured"]["closeness"][split] == len(leaked)
    assert screening.report["kept"] >= 9
    open_door = texts.screen(*made, settings={"disable": ["closeness"]})
    assert open_door.report["kept"] > screening.report["kept"]
    assert open_door.report["skipped"]["closeness"] == ["disabled"]


def test_rows_with_another_classs_label_are_rejected_and_moved_where_asked(texts: Splits) -> None:
    wrong = [("card", text) for _, text in good(12, "loan")]
    screening = texts.screen(candidates(*wrong))
    assert [found[0] for found in rules(screening).values()] == ["agreement"] * 12
    assert "first is loan" in reasons(screening)["new-00000"][0]["detail"]

    moved = texts.screen(candidates(*wrong), settings={"agreement": {"relabel": True}})
    assert set(moved.kept.labels) == {"loan"}
    assert moved.report["relabelled"] == moved.report["kept"] >= 10
    assert moved.report["relabelled_from"] == {"card": {"loan": moved.report["kept"]}}
    note = json.loads(moved.kept.column("details")[0])["screening"]
    assert note == {"label_before": "card", "moved_by": "agreement", "moved_to": "loan"}


def test_a_moved_row_must_pass_the_checks_of_its_new_class(texts: Splits) -> None:
    wrong = [("card", text) for _, text in good(6, "loan")]
    asked = {"agreement": {"relabel": True}, "keywords": {"all_of": {"loan": ["unheard"]}}}
    screening = texts.screen(candidates(*wrong), settings=asked)
    assert screening.report["kept"] == 0
    assert set(screening.rejected.labels) == {"card"}
    assert all(found[0] == "keywords" for found in rules(screening).values())


def test_a_class_that_the_classifier_does_not_know_is_left_alone(texts: Splits) -> None:
    rows = [*make_texts(1, {"card": 40, "loan": 30}), ("rain", sentence("card", random.Random(9)))]
    splits = Splits(text_table(rows, "train-"), texts.validation, texts.test)
    screening = splits.screen(candidates(*good(8, "rain")), settings={"disable": ["outlier", "script"]})
    assert screening.report["kept"] == 8
    assert screening.report["skipped"]["agreement"][0].startswith("class rain: 0%")


def test_gibberish_and_other_languages_in_the_same_script_are_rejected(texts: Splits) -> None:
    rng = random.Random(3)
    noise = [
        ("card", " ".join("".join(rng.choices("bcdfgklmprtv", k=6)) for _ in range(8))) for _ in range(10)
    ]
    screening = texts.screen(candidates(*noise, *good(20)), settings={"disable": ["agreement"]})
    assert sorted(rules(screening).items())[:10] == [(f"new-{k:05d}", ["script"]) for k in range(10)]
    assert screening.report["kept"] >= 19


CHINESE = {
    "card": [
        "我的银行卡在地铁上丢了",
        "钱包被偷了怎么挂失",
        "请马上冻结我的卡",
        "卡落在酒店能补办吗",
        "补卡要带身份证吗",
    ],
    "loan": [
        "房贷利率会下调吗",
        "提前还清有违约金吗",
        "征信不好还能借吗",
        "月供可以改日子吗",
        "助学贷款怎么还",
    ],
    "rain": [
        "APP 显示周末下雨",
        "iPhone 上的 weather 打不开",
        "台风几时登陆",
        "GPS 定位的城市不对",
        "明早降到几度",
    ],
}


@pytest.mark.parametrize("language", ["chinese", "words of its own"])
def test_genuine_rows_of_a_class_of_five_pass_the_script_check_left_out(texts: Splits, language: str) -> None:
    rng = random.Random(1)
    rows = [(label, text) for label, some in CHINESE.items() for text in some]
    if language != "chinese":  # two large classes of few words, and one of five rows that shares none
        own = [("rain", " ".join("".join(rng.choices("aeioulnst", k=5)) for _ in range(9))) for _ in range(5)]
        rows = [*make_texts(1, {"card": 60, "loan": 60}), *own]
    rare = [k for k, (label, _) in enumerate(rows) if label == "rain" or language == "chinese"]
    struck = 0
    for k in rare:
        train = text_table([row for j, row in enumerate(rows) if j != k], "train-")
        real = Side(train, lambda rows=train: texts.featurizer.transform(rows))
        context = Context(
            text_table([rows[k]], "new-", "llm"),
            dict.fromkeys(("train", "validation", "test"), real),
            FilterSettings(),
            texts.featurizer,
            0,
            None,
        )
        verdicts = foreign_script(context, np.arange(1)).verdicts
        struck += any(bool(each.failed[0]) for each in verdicts)
    assert struck <= 0.05 * len(rare)


def test_details_of_a_producer_are_kept_beside_the_reasons(texts: Splits) -> None:
    made = candidates(("card", ""), ("card", ""), details=['{"call": 3}', "free text"])
    details = [json.loads(text) for text in texts.screen(made).rejected.column("details")]
    assert details[0]["call"] == 3
    assert details[1]["producer"] == "free text"
    assert all(each["screening"]["rejected_for"] for each in details)


MIX = st.lists(
    st.tuples(
        st.sampled_from(sorted(TOPICS)),
        st.sampled_from(["good", "copy", "test", "empty", "wrong", "long", "cyrillic", "again"]),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=25,
)


def mixed(texts: Splits, plan: list[tuple[str, str, int]]) -> SampleTable:
    other = {"card": "loan", "loan": "rain", "rain": "card"}
    rows = []
    for k, (label, kind, seed) in enumerate(plan):
        text = {
            "good": sentence(label, random.Random(1000 + k)),
            "copy": str(texts.train.texts[seed]).upper(),
            "test": str(texts.test.texts[seed]),
            "empty": "",
            "wrong": sentence(other[label], random.Random(2000 + k)),
            "long": sentence(label, random.Random(k)) * 40,
            "cyrillic": "карта украдена вчера вечером в метро у вокзала города",
            "again": sentence(label, random.Random(seed)),
        }[kind]
        rows.append((label, text))
    return candidates(*rows)


@settings(max_examples=8)
@given(plan=MIX, relabel=st.booleans(), order=st.randoms(use_true_random=False))
def test_every_candidate_has_one_fate_the_counts_add_up_and_order_does_not_matter(
    texts: Splits, plan: list[tuple[str, str, int]], relabel: bool, order: random.Random
) -> None:
    made = mixed(texts, plan)
    asked = {"agreement": {"relabel": relabel}}
    screening = texts.screen(made, settings=asked)
    report = screening.report
    assert sorted([*screening.kept.ids, *screening.rejected.ids]) == sorted(made.ids)
    assert (report["kept"], report["rejected"]) == (len(screening.kept), len(screening.rejected))
    assert sum(numbers["primary"] for numbers in report["rules"].values()) == report["rejected"]
    assert all(reasons(screening).values())
    for name, numbers in report["classes"].items():
        assert numbers["candidates"] == made.counts[name] == numbers["kept"] + numbers["rejected"]
        assert numbers["gained"] == screening.kept.counts[name]
        assert numbers["gained"] == numbers["kept"] - numbers["moved_away"] + numbers["moved_here"]
        assert numbers["rejected"] == sum(numbers["rejected_for"].values())
    assert sum(numbers["moved_here"] for numbers in report["classes"].values()) == report["relabelled"]
    assert not set(screening.kept.texts) & set(texts.test.texts)
    assert screening.rejected.table.column_names == [*made.table.column_names, "details"]
    json.dumps(report, allow_nan=False)

    shuffled = list(range(len(made)))
    order.shuffle(shuffled)
    again = texts.screen(made.take(shuffled), settings=asked)
    assert again.report == report
    assert again.kept.table.equals(screening.kept.table)
    assert again.rejected.table.equals(screening.rejected.table)


def test_the_order_of_the_training_rows_does_not_matter(texts: Splits) -> None:
    made = mixed(texts, [(label, kind, 1) for label in TOPICS for kind in ("good", "wrong", "copy", "again")])
    backwards = Splits(texts.train.take(np.arange(len(texts.train))[::-1]), texts.validation, texts.test)
    backwards.featurizer = texts.featurizer
    one, other = texts.screen(made), backwards.screen(made)
    assert one.report == other.report
    assert one.rejected.table.equals(other.rejected.table)


def test_nothing_to_screen_is_no_error(texts: Splits) -> None:
    screening = texts.screen(candidates().take([]))
    assert (len(screening.kept), len(screening.rejected), screening.report["candidates"]) == (0, 0, 0)


def test_shortfalls_are_counted_against_what_was_asked_for(texts: Splits) -> None:
    screening = texts.screen(candidates(*good(5)), requested={"card": 20, "rain": 10})
    classes = screening.report["classes"]
    assert (classes["card"]["shortfall"], classes["rain"]["shortfall"], classes["loan"]["shortfall"]) == (
        15,
        10,
        0,
    )
    assert [warning.split()[1] for warning in screening.report["warnings"]] == ["card", "rain"]


def test_a_persons_word_overrules_taste_but_not_leaks_and_copies(texts: Splits) -> None:
    wrong = good(2, "loan")
    made = candidates(
        ("card", wrong[0][1]), ("card", wrong[1][1]), ("card", str(texts.test.texts[0])), *good(2)
    )
    review = {
        "new-00000": Review("keep"),
        "new-00001": Review("relabel", "rain"),
        "new-00002": Review("keep"),
        "new-00003": Review("drop"),
        "gone": Review("drop"),
    }
    screening = texts.screen(made, review=review)
    labels = dict(zip(screening.kept.ids, screening.kept.labels, strict=True))
    assert labels == {"new-00000": "card", "new-00001": "rain", "new-00004": "card"}
    assert rules(screening)["new-00002"][0] == "closeness"
    assert rules(screening)["new-00003"] == ["review"]
    assert "overruled" in json.loads(screening.kept.column("details")[0])["screening"]
    assert screening.report["measured"]["review"] == {"decisions": 4}
    with pytest.raises(DataError, match="not one of the classes"):
        texts.screen(made, review={"new-00000": Review("relabel", "snow")})


def test_a_judge_marks_what_is_left_and_its_agreement_is_reported(texts: Splits) -> None:
    seen: list[str] = []

    def judge(samples: SampleTable) -> JudgeScores:
        seen.extend(samples.ids)
        low = np.array([str(text).startswith("please") for text in samples.texts])
        marks = np.where(low, 2.0, 9.0)
        marks[-1] = np.nan
        return JudgeScores(np.where(low, 10.0, marks), marks, marks)

    words = [("card", f"please {text}") for _, text in good(4, seed=5)]
    made = candidates(*words, ("card", ""), *good(8))
    screening = texts.screen(made, settings={"judge": {"threshold": 6}}, judge=judge)
    assert "new-00004" not in seen
    found = reasons(screening)
    assert {name for name, each in found.items() if each[0]["rule"] == "judge"} == {
        f"new-{k:05d}" for k in range(4)
    }
    assert found["new-00000"][0]["score"] == pytest.approx(0.4 * 10 + 0.6 * 2)
    assert screening.report["measured"]["judge"]["agreement_with_classifier"] == pytest.approx(7 / 11)
    assert screening.report["skipped"]["judge"] == ["1 of 12 candidates not judged"]


def test_a_judge_that_is_asked_for_but_not_there_is_an_error(texts: Splits) -> None:
    with pytest.raises(RecipeError, match="asks for a judge and there is none"):
        texts.screen(candidates(*good()), settings={"judge": {}})


def test_table_rows_far_from_their_class_are_outliers(tables: Splits) -> None:
    made = number_table(60, 53, "new-", "gan")
    far = renamed(made.take(made.labels == "low"), "far-")
    far = far.with_column("size", _typed(far, "size", [85.0] * len(far)))
    off = {"disable": ["agreement", "near_duplicate"]}
    found = rules(tables.screen(made, far, settings=off))
    assert all(found[name] == ["outlier"] for name in far.ids)
    assert sum(name.startswith("new-") for name in found) <= 3


# -- tables ------------------------------------------------------------------------------------------------


def test_table_rows_outside_the_schema_are_rejected_with_the_column_named(tables: Splits) -> None:
    made = number_table(6, 50, "new-", "gan")
    columns = {name: made.column(name).tolist() for name in ("size", "count", "colour of it")}
    columns["size"][0], columns["size"][1], columns["size"][2] = 500.0, float("inf"), None
    columns["colour of it"][3] = "green"
    columns["count"][4] = -3
    for name, values in columns.items():
        made = made.with_column(name, _typed(made, name, values))
    found = reasons(tables.screen(made, settings={"disable": ["agreement", "outlier"]}))
    details = {name: each[0].get("detail") for name, each in found.items()}
    assert details == {
        "new-00000": "size is above its range",
        "new-00001": "size is above its range",
        "new-00002": "size is missing",
        "new-00003": "colour of it is new: green",
        "new-00004": "count is below its range",
    }
    wide = {"disable": ["agreement", "outlier"], "table": {"ranges": {"size": [0, 1000]}}}
    assert "new-00000" not in reasons(tables.screen(made, settings=wide))
    with pytest.raises(ParameterError, match="no number of the data set"):
        tables.screen(made, settings={"table": {"ranges": {"colour": [0, 1]}}})


def _typed(samples: SampleTable, name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    return pa.array(values, type=samples.table.schema.field(name).type)


def test_table_rows_that_violate_a_users_constraint_are_rejected(tables: Splits) -> None:
    made = number_table(40, 51, "new-", "gan")
    asked = {"constraints": ["count <= 7", "size > count"], "disable": ["agreement"]}
    screening = tables.screen(made, settings=asked)
    expected = {name for name, count in zip(made.ids, made.column("count"), strict=True) if count > 7}
    found = reasons(screening)
    assert expected == {n for n, each in found.items() if each[0]["rule"] == "constraints"}
    assert found[min(expected)][0]["detail"] == "count <= 7"
    real = screening.report["measured"]["constraints"]["real_rows_violating"]
    assert 0.1 < real["count <= 7"] < 0.3
    assert real["size > count"] == 0


def test_copies_and_near_copies_of_table_rows_are_found(tables: Splits) -> None:
    import pyarrow.compute as pc

    copies = tables.train.take(np.arange(20))
    shifted = copies.with_column("size", pc.add(copies.table.column("size"), 1e-4))
    leaked = tables.test.take(np.arange(20))
    made = [
        renamed(copies, "copy-"),
        renamed(shifted, "near-"),
        renamed(leaked, "leaked-"),
        number_table(50, 52, "new-", "gan"),
    ]
    found = rules(tables.screen(*made))
    assert {found[f"copy-{k:05d}"][0] for k in range(20)} == {"duplicate"}
    assert {found[f"near-{k:05d}"][0] for k in range(20)} == {"near_duplicate"}
    assert all("closeness" in found[f"leaked-{k:05d}"] for k in range(20))
    assert sum(name.startswith("new-") for name in found) <= 5


def renamed(samples: SampleTable, prefix: str) -> SampleTable:
    names = [f"{prefix}{k:05d}" for k in range(len(samples))]
    return samples.with_column("id", names).with_column("origin", ["gan"] * len(samples))


# -- images ------------------------------------------------------------------------------------------------


def test_copied_images_are_found_every_time_and_real_ones_spared(images: tuple[Splits, SampleTable]) -> None:
    import cv2

    splits, fresh = images
    planted = {
        "train-copy-": splits.train.take(np.arange(60)),
        "val-copy-": splits.validation.take(np.arange(60)),
        "test-copy-": splits.test.take(np.arange(60)),
    }
    copies = [renamed(samples, prefix) for prefix, samples in planted.items()]
    pixels = cv2.imdecode(np.frombuffer(splits.test.images[70] or b"", np.uint8), cv2.IMREAD_GRAYSCALE)
    pixels[0, 0] ^= 4
    again = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    nearly = renamed(splits.test.take([70]), "nearly-").with_column("image", [again])
    screening = splits.screen(*copies, nearly, fresh)
    found = rules(screening)
    assert all(found[f"train-copy-{k:05d}"][0] == "duplicate" for k in range(60))
    assert all(
        found[f"{split}-copy-{k:05d}"][0] == "closeness" for split in ("val", "test") for k in range(60)
    )
    assert found["nearly-00000"] == ["closeness"]
    struck = [
        name for name in fresh.ids if set(found.get(name, ())) & {"duplicate", "near_duplicate", "closeness"}
    ]
    assert len(struck) <= 0.01 * len(fresh)
    assert screening.report["measured"]["closeness"]["real_rows_struck"] <= 0.01
    assert len(set(found) & set(fresh.ids)) <= 0.05 * len(fresh)


def test_unreadable_blank_and_mislabelled_images_are_rejected(images: tuple[Splits, SampleTable]) -> None:
    from evenly.features.images import encode_images

    splits, fresh = images
    blank = encode_images(np.full((1, 8, 8, 1), 7, np.uint8))[0]
    large = encode_images(np.random.default_rng(0).integers(0, 255, (1, 9, 8, 1)).astype(np.uint8))[0]
    broken = renamed(fresh.take([0, 1, 2]), "broken-").with_column("image", [b"no image", blank, large])
    ones = fresh.take(fresh.labels == "1")
    wrong = renamed(ones, "wrong-").with_column("label", ["0"] * len(ones))
    found = reasons(splits.screen(broken, wrong, settings={"agreement": {"top_k": 1}}))
    assert [found[f"broken-{k:05d}"][0]["detail"] for k in range(3)] == [
        "unreadable",
        "one colour",
        "another size than the real images",
    ]
    assert all(found[f"wrong-{k:05d}"][0]["rule"] == "agreement" for k in range(len(ones)))


def test_kept_moved_and_rejected_rows_keep_their_attribute(texts: Splits) -> None:
    rows = [*make_texts(50, {"card": 8, "loan": 8}), ("card", ""), ("loan", "as"), good()[0]]
    made = candidates(*rows, attribute=[f"value {k}" for k in range(len(rows))])
    moved = {made.ids[-1]: Review("relabel", "loan")}
    screening = texts.screen(made, review=moved)
    assert len(screening.kept) and len(screening.rejected) and screening.report["relabelled"] == 1
    value = dict(zip(made.ids, made.column("attribute"), strict=True))
    for table in (screening.kept, screening.rejected):
        assert table.column("attribute").tolist() == [value[name] for name in table.ids]
