"""Folders of models and of featurizers, damaged in every way: one sentence, or what they were."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.classifier import write_sealed
from evenly.errors import EvenlyError, ModelError
from evenly.features import fit_featurizer, load_featurizer
from evenly.features.vectors import write_description
from evenly.params.features import FeatureSettings
from evenly.params.models import TransformerSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

KINDS = (
    "logistic_regression",
    "random_forest",
    "hist_gradient_boosting",
    "easy_ensemble",
    "small_cnn",
    "transformer",
    "logistic_regression on texts",
)
#: What a value of a JSON file is replaced by; none of these makes a network large.
WRONG = (None, -1, 0, 3.5, True, "x", "", [], {}, [[]], {"x": 1})


@dataclass(frozen=True)
class Saved:
    """A folder, and what reading it back and using it gives."""

    folder: Path
    use: Callable[[Path], np.ndarray]
    expected: np.ndarray


@pytest.fixture(scope="session")
def texts() -> SampleTable:
    schema = Schema("text", ("card", "loan"))
    words = {"card": "my card is lost 卡", "loan": "a loan for the house 贷款"}
    labels = [schema.classes[row % 2] for row in range(40)]
    columns = {"id": [f"t{row}" for row in range(40)], "label": labels}
    return samples_from_columns(
        columns | {"text": [f"{words[label]} {row % 7}" for row, label in enumerate(labels)]}, schema
    )


def small_plan(kind: str, plan_for: Callable[..., TrainPlan]) -> TrainPlan:
    if kind == "transformer":
        tiny = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300}
        plan = plan_for(kind, epochs=1, min_steps_per_epoch=1)
        return plan.model_copy(
            update={"settings": TransformerSettings.model_validate({"pretrained": None, "scratch": tiny})}
        )
    small: dict[str, dict[str, Any]] = {
        "logistic_regression on texts": {"reads": "both", "C": 10.0},
        "random_forest": {"trees": 3},
        "hist_gradient_boosting": {"rounds": 3},
        "easy_ensemble": {"subsets": 2, "rounds": 2},
        "small_cnn": {"width": 4, "epochs": 1, "min_steps_per_epoch": 1},
    }
    return plan_for(kind.split()[0], **small.get(kind, {}))


@pytest.fixture
def plans(plan_for: Callable[..., TrainPlan]) -> Callable[[str], TrainPlan]:
    return lambda kind: small_plan(kind, plan_for)


@pytest.fixture
def rows_of(
    digits: tuple[SampleTable, ...], wine: tuple[SampleTable, SampleTable], texts: SampleTable
) -> Callable[[str], tuple[SampleTable, SampleTable]]:
    by_kind = {"small_cnn": digits[:2], "transformer": (texts, texts), KINDS[-1]: (texts, texts)}
    return lambda kind: by_kind.get(kind, wine)


@pytest.fixture(params=KINDS)
def model(
    request: pytest.FixtureRequest,
    plans: Callable[[str], TrainPlan],
    rows_of: Callable[[str], tuple[SampleTable, SampleTable]],
    tmp_path: Path,
) -> Saved:
    train, validation = rows_of(request.param)
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    classifier = build_classifier(plans(request.param), train.schema, featurizer)
    classifier.fit(train, validation)
    classifier.save(tmp_path / "model")
    some = validation.take(range(12))
    return Saved(
        tmp_path / "model", lambda at: load_classifier(at).predict_proba(some), classifier.predict_proba(some)
    )


@pytest.fixture(params=("table", "text", "image"))
def featurizer(
    request: pytest.FixtureRequest,
    digits: tuple[SampleTable, ...],
    wine: tuple[SampleTable, SampleTable],
    texts: SampleTable,
    tmp_path: Path,
) -> Saved:
    rows = {"table": wine[0], "text": texts, "image": digits[0]}[request.param].take(range(30))
    fitted = fit_featurizer(rows, FeatureSettings(), 0)
    fitted.save(tmp_path / "featurizer")
    return Saved(
        tmp_path / "featurizer", lambda at: load_featurizer(at).transform(rows), fitted.transform(rows)
    )


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage(folder: Path, data: st.DataObject) -> None:
    """Do one thing to the files of a folder that disks, copies and people do."""
    files = files_in(folder)
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    at = data.draw(st.integers(0, max(0, len(content) - 1)))
    match data.draw(st.sampled_from(("flip", "cut", "replace", "drop", "swap", "add", "link"))):
        case "flip":
            changed = bytearray(content)
            changed[at] ^= data.draw(st.integers(1, 255))
            path.write_bytes(changed)
        case "cut":
            path.write_bytes(content[:at])
        case "replace":
            noise = data.draw(st.binary(min_size=1, max_size=64))
            path.write_bytes(content[:at] + noise + content[at + len(noise) :])
        case "drop":
            path.unlink()
        case "swap":
            other = data.draw(st.sampled_from(files))
            theirs = other.read_bytes()
            other.write_bytes(content)
            path.write_bytes(theirs)
        case "add":
            path.with_name(f"{path.name}.bak").write_bytes(content)
        case "link":
            path.unlink()
            path.symlink_to("nowhere")


def replaced_value(content: Any, data: st.DataObject) -> None:
    """Replace, or leave out, one value somewhere in JSON."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = data.draw(st.sampled_from(keys))
        inner = content[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            content = inner
        elif data.draw(st.booleans()):
            content[key] = data.draw(st.sampled_from(WRONG))
            return
        else:
            del content[key]
            return


def holds_up(saved: Saved, hurt: Callable[[Path], None], same: bool = True) -> None:
    """A hurt copy is refused in one sentence, or gives what the whole folder gives."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, "copy")
        shutil.copytree(saved.folder, copy)
        hurt(copy)
        try:
            found = saved.use(copy)
        except EvenlyError as error:
            assert "copy" in str(error) and "Traceback" not in str(error)
        else:
            if same:
                np.testing.assert_array_equal(found, saved.expected)


FUZZ = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FUZZ
@given(st.data())
def test_a_damaged_model_is_refused_or_predicts_the_same(model: Saved, data: st.DataObject) -> None:
    holds_up(model, lambda folder: damage(folder, data))


@FUZZ
@given(st.data())
def test_a_damaged_featurizer_is_refused_or_gives_the_same_vectors(
    featurizer: Saved, data: st.DataObject
) -> None:
    holds_up(featurizer, lambda folder: damage(folder, data))


@FUZZ
@given(st.data())
def test_a_manifest_of_another_shape_is_one_sentence_also_with_a_right_checksum(
    model: Saved, data: st.DataObject
) -> None:
    def reshaped(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_text())
        body = {key: value for key, value in content.items() if key not in ("digest", "format", "files")}
        replaced_value(body, data)
        write_sealed(body, folder)

    loading = Saved(model.folder, lambda at: np.zeros(len(load_classifier(at).classes)), model.expected)
    holds_up(loading, reshaped, same=False)


@FUZZ
@given(st.data())
def test_a_featurizer_of_another_shape_is_one_sentence_also_with_a_right_checksum(
    featurizer: Saved, data: st.DataObject
) -> None:
    def reshaped(folder: Path) -> None:
        content = json.loads((folder / "featurizer.json").read_text())
        body = {key: value for key, value in content.items() if key not in ("digest", "format", "files")}
        replaced_value(body, data)
        write_description(body, folder)

    loading = Saved(featurizer.folder, lambda at: np.zeros(load_featurizer(at).dimension), np.zeros(0))
    holds_up(loading, reshaped, same=False)


@pytest.mark.parametrize("model", KINDS[:1], indirect=True)
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.json", "[1]", "holds no mapping"),
        ("model.json", "[" * 100_000, "nested too deeply"),
        ("model.json", "\udcff", r"model\.json is damaged"),
        ("model.json", '{"format": 1}', "format 1, this version reads 2: it is of an older version"),
        ("model.json", '{"format": 3}', "format 3, this version reads 2: it is of a newer version"),
        (
            "model.json",
            '{"kept": "train", "why": "not better"}',
            r"second round was not kept; give \S*train\.",
        ),
        ("notes.txt", "hello", r"does not belong there: notes\.txt"),
        ("featurizer/featurizer.json", "{}", r"featurizer/featurizer\.json has changed since"),
    ],
)
def test_what_is_wrong_with_a_model_folder_is_named(
    model: Saved, name: str, content: str, message: str
) -> None:
    (model.folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=message):
        load_classifier(model.folder)


@pytest.mark.parametrize("model", KINDS[:1], indirect=True)
def test_hidden_files_of_a_file_manager_do_no_harm(model: Saved) -> None:
    (model.folder / ".DS_Store").write_bytes(b"\0")
    np.testing.assert_array_equal(model.use(model.folder), model.expected)


@pytest.mark.parametrize("model", KINDS[:1], indirect=True)
def test_a_file_is_no_model_folder(model: Saved) -> None:
    with pytest.raises(ModelError, match=r"model\.json is a file; give the folder of a trained model"):
        load_classifier(model.folder / "model.json")


@pytest.mark.parametrize("model", KINDS[1:2], indirect=True)
def test_an_estimator_that_no_model_of_ours_is_is_not_loaded(
    model: Saved, wine: tuple[SampleTable, SampleTable]
) -> None:
    x = np.random.default_rng(0).normal(size=(30, 13)).astype(np.float32)
    foreign = DecisionTreeClassifier().fit(x, np.arange(30) % 3)
    skops.io.dump(foreign, model.folder / "estimator.skops")
    write_sealed(json.loads((model.folder / "model.json").read_text()), model.folder)
    with pytest.raises(
        ModelError, match=r"holds a sklearn\.tree\S*DecisionTreeClassifier, which is no random"
    ):
        load_classifier(model.folder)
    from sklearn.svm import LinearSVC

    skops.io.dump(LinearSVC().fit(x, np.arange(30) % 3), model.folder / "estimator.skops")
    write_sealed(json.loads((model.folder / "model.json").read_text()), model.folder)
    with pytest.raises(ModelError, match=r"names the type sklearn\.svm\S*LinearSVC, which no random_forest"):
        load_classifier(model.folder)


@pytest.mark.parametrize("model", KINDS[:1], indirect=True)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    model: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("timm", "skops"):
            raise importlib.metadata.PackageNotFoundError(name)
        return whole(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ModelError, match="needs skops, which is not installed; run `pip install 'skops'`"):
        load_classifier(model.folder)
    manifest = json.loads((model.folder / "model.json").read_text())
    write_sealed(manifest | {"libraries": {"timm": "1.0"}}, model.folder)
    with pytest.raises(
        ModelError, match=r"needs timm, which is not installed; run `pip install 'evenly\[vision"
    ):
        load_classifier(model.folder)
