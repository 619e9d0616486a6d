from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.texts import TextClassifier, trained_tokenizer
from evenly.confusion import macro_f1, outcomes
from evenly.errors import ModelError
from evenly.features.pretrained import MINILM_PACKAGE
from evenly.params.losses import LossSettings
from evenly.params.models import TransformerSettings, resolved_training
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

SCHEMA = Schema("text", ("bank", "weather", "货币"))
WORDS = {
    "bank": ["card", "account", "transfer", "pin", "fee"],
    "weather": ["rain", "sun", "wind", "cloud", "storm"],
    "货币": ["汇率", "外币", "兑换", "美元", "欧元"],
}
OTHERS = ["the", "is", "my", "please", "今天", "请问", "我"]
TINY = {"layers": 1, "width": 32, "heads": 2, "vocabulary": 500}


@pytest.fixture(scope="session")
def topics() -> tuple[SampleTable, SampleTable]:
    """Train and validation of short texts in two languages; one word of each tells the class."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[str]] = {"id": [], "label": [], "text": []}
    for row in range(160):
        label = SCHEMA.classes[row % 3]
        words = [rng.choice(WORDS[label]), *rng.choice(OTHERS, size=rng.integers(1, 7))]
        text = "".join(rng.permutation(words)) if label == "货币" else " ".join(rng.permutation(words))
        for name, value in (("id", f"t{row}"), ("label", label), ("text", text)):
            columns[name].append(value)
    table = samples_from_columns(columns, SCHEMA)
    return table.take(range(100)), table.take(range(100, 160))


def tiny_plan(training: dict[str, object] | None = None, **changes: object) -> TrainPlan:
    given: dict[str, object] = {"pretrained": None, "scratch": TINY, "max_length": 32}
    settings = TransformerSettings.model_validate(given | changes)
    quick: dict[str, object] = {"epochs": 6, "batch_size": 16, "patience": None}
    return TrainPlan(
        model="transformer",
        settings=settings,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=resolved_training(TrainingSettings(), settings, quick | (training or {})),
        seed=3,
        threads=1,
    )


@pytest.fixture(scope="session")
def fitted(topics: tuple[SampleTable, SampleTable]) -> TextClassifier:
    classifier = TextClassifier(tiny_plan({"epochs": 15, "learning_rate": 3e-3}), SCHEMA)
    classifier.fit(*topics)
    return classifier


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def with_texts(texts: list[str | None], **columns: list[object]) -> SampleTable:
    labels = [SCHEMA.classes[k % 3] for k in range(len(texts))]
    ids = [f"x{k}" for k in range(len(texts))]
    return samples_from_columns({"id": ids, "label": labels, "text": texts, **columns}, SCHEMA)


def test_a_network_from_scratch_learns_english_and_chinese(
    topics: tuple[SampleTable, SampleTable], fitted: TextClassifier
) -> None:
    _, validation = topics
    probabilities = fitted.predict_proba(validation)
    assert macro_f1(outcomes(validation.codes, probabilities.argmax(axis=1), 3)) > 0.9
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert fitted.predict_proba(validation.take([])).shape == (0, 3)


def test_a_loaded_model_gives_identical_probabilities_and_stands_alone(
    topics: tuple[SampleTable, SampleTable], fitted: TextClassifier, tmp_path: Path
) -> None:
    _, validation = topics
    fitted.save(tmp_path / "model")
    moved = (tmp_path / "model").rename(tmp_path / "elsewhere")
    loaded = load_classifier(moved)
    np.testing.assert_array_equal(loaded.predict_proba(validation), fitted.predict_proba(validation))
    np.testing.assert_array_equal(loaded.effective_prior, fitted.effective_prior)
    assert not any(path.suffix in {".pkl", ".bin", ".pt"} for path in moved.rglob("*"))
    assert str(tmp_path) not in (moved / "encoder.json").read_text() + (moved / "tokenizer.json").read_text()


def test_probabilities_do_not_depend_on_what_else_is_asked(
    topics: tuple[SampleTable, SampleTable], fitted: TextClassifier
) -> None:
    together = fitted.predict_proba(with_texts(["rain", "my card is please " * 8, "", "汇率"]))
    for row, text in enumerate(["rain", "my card is please " * 8, "", "汇率"]):
        alone = fitted.predict_proba(with_texts([text]))[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-4)


@pytest.mark.parametrize("method", ["all", "probe_then_finetune"])
def test_the_same_seed_gives_the_same_bytes(
    topics: tuple[SampleTable, SampleTable], tmp_path: Path, method: str
) -> None:
    plan = tiny_plan({"unfreeze": {"method": method, "probe_epochs": 1}, "epochs": 2}, head=(16,))
    for name in ("one", "again"):
        torch.rand(5)  # what happened before does not matter
        classifier = TextClassifier(plan, SCHEMA)
        classifier.fit(*topics)
        classifier.save(tmp_path / name)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "again")


def test_another_process_trains_the_same_tokenizer() -> None:
    texts = [" ".join(WORDS["bank"]), "".join(WORDS["货币"]), "naïve café 🙂"] * 3
    code = (
        "import json, sys; from evenly.classifiers.texts import trained_tokenizer;"
        "sys.stdout.write(trained_tokenizer(json.loads(sys.argv[1]), 400).to_str())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, json.dumps(texts[::-1])], capture_output=True, check=True
    )
    assert other.stdout.decode() == trained_tokenizer(texts, 400).to_str()


def test_no_text_is_unknown_to_a_tokenizer_of_its_own() -> None:
    tokenizer = trained_tokenizer(["only english words here"], 400)
    for text in ("银行账户", "ไทยไม่มีช่องว่าง" * 30, "🙂"):
        encoded = tokenizer.encode(text)
        assert tokenizer.decode(encoded.ids).strip() == text


def test_cut_texts_are_counted_and_said(topics: tuple[SampleTable, SampleTable]) -> None:
    train, validation = topics
    short = TextClassifier(tiny_plan({"epochs": 1}, max_length=6), SCHEMA)
    (note,) = short.fit(train, validation).notes
    assert "of 100 training texts are cut after 6 tokens (models.transformer.max_length)" in note
    assert TextClassifier(tiny_plan({"epochs": 1}, max_length=64), SCHEMA).fit(train, validation).notes == ()


def test_rows_that_are_vectors_only_are_refused_before_any_work(
    topics: tuple[SampleTable, SampleTable],
) -> None:
    rows = with_texts(["rain", "card", None, "sun"], vector=[None, None, [0.5, 0.5], None])
    with pytest.raises(ModelError, match=r"'x2' .* has a vector but no text.* vector model"):
        TextClassifier(tiny_plan(pretrained="no/such"), SCHEMA).fit(rows, topics[1])


def test_every_loss_and_a_deep_head_train(topics: tuple[SampleTable, SampleTable]) -> None:
    for loss in ("focal", "ldam", "logit_adjusted"):
        plan = tiny_plan({"epochs": 1}, head=(24, 12), dropout=0.3).model_copy(update={"loss": loss})
        classifier = build_classifier(plan, SCHEMA, None)
        classifier.fit(*topics)
        assert np.isfinite(classifier.predict_proba(topics[1])).all()


def test_parameter_groups_lead_from_the_embeddings_to_the_head(fitted: TextClassifier) -> None:
    groups = fitted.network.parameter_groups()
    assert [group.name for group in groups] == ["embeddings", "layer 2", "head"]
    assert [group.role for group in groups] == ["body", "body", "head"]
    listed = [id(parameter) for group in groups for parameter in group.parameters]
    assert sorted(listed) == sorted(id(parameter) for parameter in fitted.network.parameters())


def test_weights_that_cannot_be_had_are_one_sentence_and_no_request() -> None:
    code = """
import socket
def refuse(*args, **options):
    raise SystemExit("a network was looked for")
socket.socket.connect = socket.getaddrinfo = refuse
from evenly.errors import ModelError
from evenly.features.pretrained import pretrained_folder
for name in ("albert", "someone/something"):
    try:
        pretrained_folder(name, "models.transformer.pretrained")
    except ModelError as error:
        print(error)
"""
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent/cache"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **quiet}
    )
    first, second = done.stdout.strip().splitlines()
    assert "weights of albert/albert-base-v2 cannot be had (HF_HUB_OFFLINE is set and" in first
    assert "set models.transformer.pretrained to another hub id or to a folder" in first
    assert "someone/something" in second


@pytest.mark.parametrize(
    ("name", "says"),
    [("./nowhere", "there is no folder"), ("not an id!", "no folder"), ("", "holds no network")],
)
def test_a_name_that_stands_for_nothing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = tiny_plan(pretrained=name or str(tmp_path))
    with pytest.raises(ModelError, match=says):
        TextClassifier(plan, SCHEMA).fit(with_texts(["a", "b"]), with_texts([]))


def test_a_folder_of_transformers_is_fine_tuned_with_its_own_tokenizer(
    topics: tuple[SampleTable, SampleTable], tmp_path: Path
) -> None:
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    tokenizer = trained_tokenizer([text for text in topics[0].texts if text], 400)
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), dim=32, hidden_dim=64, n_layers=2, n_heads=2,
        max_position_embeddings=8,
    )  # fmt: skip
    DistilBertModel(config).save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    plan = tiny_plan({"epochs": 2}, pretrained=str(tmp_path), pooling="first")
    assert plan.training.unfreeze.method == "probe_then_finetune"
    classifier = TextClassifier(plan, SCHEMA)
    (note,) = classifier.fit(*topics).notes
    assert "cut after 8 tokens." in note  # as many as it has positions for
    assert classifier.network.pooling == "first"
    assert [group.name for group in classifier.network.parameter_groups()] == [
        "embeddings", "layer 2", "layer 3", "head",
    ]  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec(MINILM_PACKAGE) is None, reason="needs the extra minilm")
def test_minilm_tells_texts_apart_by_what_they_mean_after_a_probe(tmp_path: Path) -> None:
    schema = Schema("text", ("animal", "vehicle"))

    def table(**texts: list[str]) -> SampleTable:
        rows = [(label, text) for label, listed in texts.items() for text in listed]
        columns = {"id": [f"m{k}" for k in range(len(rows))], "label": [label for label, _ in rows]}
        return samples_from_columns(columns | {"text": [text for _, text in rows]}, schema)

    train = table(
        animal=["a dog barks", "the cat sleeps", "horses run"],
        vehicle=["my car is fast", "the train left", "a red bus"],
    )
    unseen = table(animal=["an elephant", "two sparrows"], vehicle=["an old lorry", "the aeroplane"])
    settings = TransformerSettings()
    training = {"epochs": 3, "min_steps_per_epoch": 10, "batch_size": 4, "learning_rate": 1e-5}
    plan = tiny_plan().model_copy(
        update={
            "settings": settings,
            "training": resolved_training(TrainingSettings(), settings, training),
        }
    )
    classifier = TextClassifier(plan, schema)
    classifier.fit(train, unseen.take([]))
    np.testing.assert_array_equal(classifier.predict_proba(unseen).argmax(axis=1), unseen.codes)
    classifier.save(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(unseen), classifier.predict_proba(unseen))


def test_importing_the_classifiers_imports_no_network_library() -> None:
    code = (
        "import sys, evenly.classifiers, evenly.features, evenly.features.pretrained;"
        "print([n for n in ('torch', 'transformers', 'tokenizers', 'huggingface_hub') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
