"""A trained model in a notebook: frames, arrays, texts and images in, classes and probabilities out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import ConfusionMatrixDisplay

import evenly
from evenly.classifiers import build_classifier, load_classifier
from evenly.errors import EvenlyError
from evenly.evaluation.decisions import DecisionRule, write_rules
from evenly.features import fit_featurizer
from evenly.features.images import encode_images
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import ModelsSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

N = 120
CODES = np.arange(N) % 2
LABELS = ["ab"[code] for code in CODES]
RNG = np.random.default_rng(0)
PIXELS = np.clip(RNG.integers(0, 150, (N, 8, 8)) + 90 * CODES[:, None, None], 0, 255).astype(np.uint8)
TEXTS = [f"{('cold snow', 'warm sun')[code]} {k % 7}" for k, code in enumerate(CODES)]
X = RNG.normal(CODES).round(3)
INTEGERS = RNG.integers(0, 5, N)
WORDS = [("u", "v")[k % 3 == 0] for k in range(N)]
FRAME = pd.DataFrame({"other": range(N), "c": WORDS, "n": INTEGERS, "x": X})


def samples(modality: Any, columns: dict[str, Any], *features: Feature) -> SampleTable:
    described = {"id": [f"{k:03}" for k in range(N)], "label": LABELS}
    return samples_from_columns({**described, **columns}, Schema(modality, ("a", "b"), features))


TABLE = samples(
    "table",
    {"x": X.tolist(), "n": INTEGERS.tolist(), "c": WORDS},
    Feature("x", "number"),
    Feature("n", "integer"),
    Feature("c", "category", ("u", "v")),
)
IMAGES = samples("image", {"image": encode_images(PIXELS[..., None])})
SENTENCES = samples("text", {"text": TEXTS})


def trained(table: SampleTable, folder: Path) -> Path:
    plan = TrainPlan(
        model="logistic_regression",
        settings=ModelsSettings().logistic_regression,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=TrainingSettings(),
        seed=0,
        threads=1,
    )
    classifier = build_classifier(plan, table.schema, fit_featurizer(table, FeatureSettings(), 0))
    classifier.fit(table, table.take([]))
    classifier.save(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {t.modality: trained(t, root / t.modality / "train") for t in (TABLE, IMAGES, SENTENCES)}


def forms(modality: str, folder: Path) -> list[Any]:
    """The same rows in every form that a model takes."""
    if modality == "text":
        return [
            TEXTS,
            np.array(TEXTS),
            pd.Series(TEXTS),
            pd.DataFrame({"text": TEXTS, "other": 1}),
            tuple(TEXTS),
        ]
    if modality == "image":
        paths = [folder / f"{k}.png" for k in range(N)]
        for path, image in zip(paths, IMAGES.images, strict=True):
            path.write_bytes(image or b"")
        texts = [str(path) for path in paths]
        colour = np.repeat(PIXELS[..., None], 3, axis=3)
        return [paths, texts, pd.Series(texts), pd.DataFrame({"image": texts}), IMAGES.images, PIXELS, colour]
    plain = FRAME[["x", "n", "c"]]
    typed = FRAME.astype({"c": "category", "n": "Int64", "x": "float64"})
    return [
        FRAME,
        plain.to_numpy(),
        plain.values.tolist(),
        FRAME.to_dict("records"),
        typed,
        FRAME.astype(str),
    ]


@pytest.mark.parametrize("modality", ["table", "image", "text"])
def test_rows_in_every_form_get_the_probabilities_that_the_classifier_gives(
    folders: dict[str, Path], modality: str, tmp_path: Path
) -> None:
    table = {"table": TABLE, "image": IMAGES, "text": SENTENCES}[modality]
    expected = load_classifier(folders[modality]).predict_proba(table)
    model = evenly.load(folders[modality])
    assert model.classes_.tolist() == ["a", "b"] and model.rule == "argmax"
    for given in forms(modality, tmp_path):
        np.testing.assert_allclose(model.predict_proba(given), expected, err_msg=str(type(given)))
        assert model.predict(given).tolist() == [model.classes_[k] for k in expected.argmax(axis=1)]
    assert model.predict_proba(given[:0]).shape == (0, 2)


def test_the_model_decides_by_the_rule_that_was_chosen_or_by_another(tmp_path: Path) -> None:
    folder = trained(TABLE, tmp_path / "models" / "train")
    rules = [
        DecisionRule("argmax", np.zeros(2)),
        DecisionRule("logit_adjustment", np.array([0.0, 5.0])),
        DecisionRule("tuned_thresholds", np.array([0.0, 9.0]), restates_probabilities=False),
    ]
    sets = (0.9, np.array([0.5, 0.5]))
    write_rules(rules, "tuned_thresholds", ("a", "b"), deployment=None, rare="b", sets=sets, model=folder)
    plain, chosen = evenly.load(folder, rule="argmax"), evenly.load(str(folder))
    assert (plain.rule, chosen.rule) == ("argmax", "tuned_thresholds")
    np.testing.assert_array_equal(chosen.predict_proba(FRAME), plain.predict_proba(FRAME))
    assert set(chosen.predict(FRAME)) == {"b"} and set(plain.predict(FRAME)) == {"a", "b"}
    adjusted = evenly.load(folder, rule="logit_adjustment").predict_proba(FRAME)
    assert (adjusted[:, 1] > plain.predict_proba(FRAME)[:, 1]).all()
    with pytest.raises(EvenlyError, match=r"rules.json has no rule 'tuned_threshold'; did you mean"):
        evenly.load(folder, rule="tuned_threshold")


def test_tools_of_scikit_learn_take_the_model(folders: dict[str, Path]) -> None:
    model = evenly.load(folders["table"])
    assert model.score(FRAME, LABELS) > 0.6
    assert ConfusionMatrixDisplay.from_estimator(model, FRAME, LABELS).confusion_matrix.sum() == N


def test_values_that_training_did_not_know_are_told(folders: dict[str, Path]) -> None:
    with pytest.warns(UserWarning, match="Column 'c': 1 of 120 values are unknown to the model"):
        evenly.load(folders["table"]).predict(FRAME.assign(c=["new", *WORDS[1:]]))


DAMAGED = [
    ("table", FRAME.drop(columns=["x", "n"]), r"no column 'x' \(and 1 more\), which the model needs"),
    ("table", FRAME.assign(x=["w", *X[1:].astype(str)]), r"Row 0 \(counted from 0\) has 'w' in column 'x'"),
    ("table", FRAME.assign(x=np.inf), "infinite number in column 'x'"),
    ("table", FRAME[["x", "n"]].to_numpy(), r"shape \(120, 2\), and the model takes 3 columns: .*x, n, c"),
    ("table", TEXTS, r"shape \(120,\)"),
    ("table", pd.concat([FRAME, FRAME[["x"]]], axis=1), "the column 'x' several times"),
    ("table", {"x": 1}, "is a dict; give a list"),
    ("text", "one text", "is a str; give a list"),
    ("text", ["fine", None], r"Row 1 \(counted from 0\) has no text"),
    ("text", ["fine", 3], r"Row 1 \(counted from 0\) is of type int"),
    ("text", FRAME, "no column 'text'"),
    ("image", ["/no/such.png"], r"Row 0 .* names the image /no/such.png: No such file"),
    ("image", [b"nothing"], r"Row 0 \(counted from 0\) is not a readable image"),
    ("image", PIXELS / 255.0, r"array of float64 with the shape \(8, 8\); give pixels of 0 to 255"),
    ("image", Path("a.png"), "give a list"),
    ("image", 5, "is a int; give a list"),
    ("table", sparse.csr_array(np.ones((4, 3))), "is a csr_array; give a list, an array or a frame"),
    ("table", np.array(1.0), "is a ndarray; give a list"),
    ("text", {"a", "b"}, "is a set; give a list"),
    ("table", [[1.0, 2, "u"], [1.0]], r"shape \(2,\), and the model takes 3 columns"),
]


@pytest.mark.parametrize(("modality", "given", "message"), DAMAGED)
def test_rows_that_a_model_cannot_take_are_one_sentence(
    folders: dict[str, Path], modality: str, given: Any, message: str
) -> None:
    with pytest.raises(EvenlyError, match=message) as caught:
        evenly.load(folders[modality]).predict(given)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_no_model_is_one_sentence(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(EvenlyError, match="does not exist; give the folder of a trained model"):
        evenly.load(tmp_path / "none")
    with pytest.raises(EvenlyError, match="holds no model"):
        evenly.load(tmp_path)
    with pytest.raises(
        EvenlyError, match=r"There is no .*rules.json of this model, so that there is no rule"
    ):
        evenly.load(folders["table"], rule="temperature")
    with pytest.raises(EvenlyError, match="trained already"):
        evenly.load(folders["table"]).fit(FRAME, LABELS)


def test_pictures_of_pillow_are_pixels(folders: dict[str, Path]) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    opened = [image.open(io.BytesIO(one or b"")) for one in IMAGES.images[:3]]
    model = evenly.load(folders["image"])
    np.testing.assert_allclose(model.predict_proba(opened), model.predict_proba(PIXELS[:3]))
