"""What every generator promises, whatever it is made of."""

import json

import numpy as np
import pytest
from generation_cases import people_table, plan_for, stripe_table, talk_table

from evenly.errors import RecipeError
from evenly.features import fit_featurizer
from evenly.features.images import decode_images
from evenly.generators.generate import Generated, generate
from evenly.generators.judging import RealClassifier, class_outcomes
from evenly.params.features import FeatureSettings
from evenly.samples import SampleTable, concatenate, samples_from_columns

TABLES = {"image": stripe_table, "table": people_table, "language": talk_table}
GENERATORS = ["image_gan", "image_vae", "table_gan", "table_vae", "language_model"]


def table_for(generator: str) -> SampleTable:
    return TABLES[generator.split("_")[0]]()


@pytest.fixture(scope="module")
def made() -> dict[str, Generated]:
    results = {}
    for generator in GENERATORS:
        train = table_for(generator)
        counts = {train.classes[0]: 4, train.classes[1]: 21}
        results[generator] = generate(train, plan_for(generator, counts))
    return results


@pytest.mark.parametrize("generator", GENERATORS)
def test_counts_are_exactly_as_asked_and_ids_unique(generator, made):
    result = made[generator]
    assert list(result.samples.counts.values()) == [4, 21]
    assert result.metrics["asked"] == result.metrics["made"] == 25
    assert set(result.samples.origins) == {generator.removeprefix("image_").removeprefix("table_")}
    assert len(set(result.samples.ids)) == 25
    concatenate(
        [table_for(generator), result.samples]
    )  # ids collide with no real one, the schema is the same


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_order_of_the_rows_changes_nothing_and_a_second_run_gives_the_same_bytes(generator, made):
    train = table_for(generator)
    counts = {train.classes[0]: 4, train.classes[1]: 21}
    again = generate(train.take(np.arange(len(train))[::-1]), plan_for(generator, counts))
    assert again.samples.table.equals(made[generator].samples.table)
    assert again.metrics == made[generator].metrics
    json.dumps(again.metrics, allow_nan=False)


@pytest.mark.parametrize("generator", ["image_vae", "table_gan"])
def test_a_class_does_not_depend_on_what_is_asked_of_others_and_more_rows_extend_fewer(generator, made):
    train = table_for(generator)
    more = generate(train, plan_for(generator, {train.classes[1]: 300})).samples
    first = made[generator].samples
    ours = first.take(first.labels == train.classes[1])
    assert more.take(np.arange(21)).table.equals(ours.table)


@pytest.mark.parametrize("generator", ["image_vae", "table_vae"])
def test_rows_belong_to_the_class_that_was_asked_for(generator, made):
    outcomes = made[generator].metrics["classes"]
    assert all(entry["agreement"] > 0.8 for entry in outcomes.values())
    assert made[generator].metrics["flagged"] == []


def test_texts_belong_to_the_class_that_was_asked_for(made):
    assert all(entry["agreement"] > 0.8 for entry in made["language_model"].metrics["classes"].values())


def test_a_trained_image_gan_is_conditional():
    train = stripe_table()
    plan = plan_for("image_gan", {"columns": 40, "rows": 40}, steps=150)
    outcomes = generate(train, plan).metrics["classes"]
    assert all(entry["agreement"] > 0.8 for entry in outcomes.values())


def test_a_trained_table_gan_is_conditional():
    train = people_table()
    plan = plan_for("table_gan", dict.fromkeys(train.classes, 60), steps=300)
    outcomes = generate(train, plan).metrics["classes"]
    assert all(entry["agreement"] > 0.8 for entry in outcomes.values())


def test_only_real_rows_train():
    train = stripe_table()
    extra = samples_from_columns(
        {"id": ["x"], "label": ["rows"], "origin": ["augmented"], "image": [train.images[0]]}, train.schema
    )
    plan = plan_for("image_vae", {"rows": 5})
    with_extra = generate(concatenate([train, extra]), plan)
    assert with_extra.samples.table.equals(generate(train, plan).samples.table)


def test_near_rows_record_their_parents_and_inherit_their_group():
    train = stripe_table().with_column("group", [f"g{k % 7}" for k in range(90)])
    made = generate(train, plan_for("image_vae", {"rows": 70}, mode="near")).samples
    group = dict(zip(train.ids, train.column("group"), strict=True))
    label = dict(zip(train.ids, train.labels, strict=True))
    parents = made.column("parent")
    assert {label[p] for p in parents} == {"rows"}
    assert [group[p] for p in parents] == list(made.column("group"))
    assert len(set(parents)) == 30  # they take turns: held-out rows are parents as well
    assert not made.has("neighbour")


def test_interpolated_rows_record_both_ends_and_the_weight():
    train = people_table()
    made = generate(train, plan_for("table_vae", {"old": 50}, mode="interpolate")).samples
    label = dict(zip(train.ids, train.labels, strict=True))
    ends = list(zip(made.column("parent"), made.column("neighbour"), strict=True))
    assert all(label[a] == label[b] == "old" and a != b for a, b in ends)
    assert all(0 <= weight <= 1 for weight in made.column("neighbour_weight"))
    assert set(made.column("details")) == {'{"mode":"interpolate"}'}


def test_a_near_image_is_closer_to_its_parent_than_to_other_rows_of_the_class():
    train = stripe_table()
    made = generate(train, plan_for("image_vae", {"columns": 60}, mode="near", steps=500)).samples
    pixels = decode_images(train.images).reshape(len(train), -1).astype(float)
    children = decode_images(made.images).reshape(60, -1).astype(float)
    position = {name: k for k, name in enumerate(train.ids)}
    own = np.array(
        [
            np.linalg.norm(c - pixels[position[p]])
            for c, p in zip(children, made.column("parent"), strict=True)
        ]
    )
    others = np.array([np.linalg.norm(c - pixels[:60], axis=1).mean() for c in children])
    assert (own < others).mean() > 0.9


def test_a_class_of_one_row_is_sampled_near_it():
    train = stripe_table()
    lone = train.take([*range(60), 60])
    made = generate(lone, plan_for("image_vae", {"rows": 3}, mode="interpolate")).samples
    assert set(made.column("parent")) == {train.ids[60]}
    assert set(made.column("details")) == {'{"mode":"near"}'}


def test_hard_rows_lie_nearer_to_the_decision_boundary():
    train = people_table()
    features = fit_featurizer(train, FeatureSettings(), 0)
    classifier = RealClassifier(train, features)

    def margin(**sampling: float) -> float:
        rows = generate(train, plan_for("table_vae", {"old": 40}, **sampling), featurizer=features).samples
        assert len(rows) == 40
        scores = classifier.probabilities(rows)
        return float(np.abs(scores[:, 1] - scores[:, 0]).mean())

    assert margin(hard=1.0, candidates_factor=5) < margin(hard=0.4, candidates_factor=5) < margin()


@pytest.mark.parametrize("generator", ["image_gan", "image_vae"])
@pytest.mark.parametrize(("side", "channels"), [(20, 3), (32, 1)])
def test_larger_and_coloured_images_come_back_at_their_size(generator, side, channels):
    train = stripe_table(14, 12, side, channels)
    made = generate(
        train,
        plan_for(generator, {"rows": 3}, steps=4, hidden=32)
        if generator == "image_vae"
        else plan_for(generator, {"rows": 3}, steps=3),
    ).samples
    assert decode_images(made.images).shape == (3, side, side, channels)


def test_sample_grids_are_drawn_at_every_checkpoint(tmp_path):
    generate(stripe_table(), plan_for("image_gan", {"rows": 2}, steps=6), sheets=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_00002.png",
        "step_00004.png",
        "step_00006.png",
    ]
    sheet = decode_images([(tmp_path / "step_00006.png").read_bytes()])[0]
    assert sheet.shape[0] == 2 * 42 + 2
    assert sheet.std() > 20


def test_nothing_is_trained_for_an_empty_plan_of_fallbacks():
    plan = plan_for("image_gan", {"rows": 0}).model_copy(update={"fallbacks": {"rows": "Too few."}})
    result = generate(stripe_table(), plan)
    assert result.samples is None
    assert result.metrics["fallbacks"] == {"rows": "Too few."}
    assert result.metrics["training"] is None


def test_a_generator_of_another_modality_is_refused():
    with pytest.raises(RecipeError, match="modality table"):
        generate(people_table(), plan_for("image_gan", {"old": 3}))


def test_a_class_without_rows_is_refused():
    train = stripe_table()
    with pytest.raises(RecipeError, match=r"'rows' is to get 3 .* no real training row"):
        generate(train.take(train.labels == "columns"), plan_for("image_vae", {"rows": 3}))


def test_a_generator_trained_on_one_class_only_is_flagged():
    train = stripe_table()
    only = train.take(train.labels == "columns")
    result = generate(only, plan_for("image_vae", {"columns": 20}))
    assert result.metrics["flagged"] == ["columns"]
    assert result.metrics["classes"]["columns"]["outcome"] == "one_class"
    # Its rows, passed off as another class, are recognised.
    passed_off = result.samples.with_column("label", ["rows"] * 20)
    features = fit_featurizer(train, FeatureSettings(), 0)
    found = class_outcomes(passed_off, train, features, RealClassifier(train, features))
    assert found["rows"].outcome == "ignores_class"


def test_one_image_over_and_over_is_flagged():
    train = stripe_table()
    one = train.images[70]
    same = samples_from_columns(
        {
            "id": [f"s{k}" for k in range(10)],
            "label": ["rows"] * 10,
            "origin": ["gan"] * 10,
            "image": [one] * 10,
        },
        train.schema,
    )
    features = fit_featurizer(train, FeatureSettings(), 0)
    found = class_outcomes(same, train, features, RealClassifier(train, features))
    assert found["rows"].outcome == "collapsed"
    assert found["rows"].spread == 0
