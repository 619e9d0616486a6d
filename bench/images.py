"""Macro F1 on drawn photographs with a long tail: the default before and now, recipes, scikit-learn alone.

900, 300, 100 and 30 training photographs of four classes, 40 of each for validation and 150 of each for the
test, all drawn anew for every seed. Scores are given as they are, and with the prior taken out. Smaller seeds
are left out: on them it was chosen what the encoder's vectors hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.features import Featurizer, fit_featurizer
from evenly.features.images import decode_images
from evenly.params.datasets import DatasetEntry
from evenly.params.features import FeatureSettings, ImageFeatures
from evenly.params.project import read_params
from evenly.planning import make_plans
from evenly.resampling.resample import resample
from evenly.samples import SampleTable
from tests.drawn_photographs import drawn_samples

COUNTS, TROUBLE, SIDE = (900, 300, 100, 30), 0.4, 96
#: Model, recipe, and changes of params.yaml.
RUNS = {
    "default now": ("auto", "none"),
    "default now, class_weights": ("auto", "class_weights"),
    "default now, random_oversampling": ("auto", "random_oversampling"),
    "default now, smote": ("auto", "smote"),
    "light_finetune": ("auto", "light_finetune"),
    "lite0, probed, then all of it": ("lite0", "none"),
    "default before (small CNN)": ("small_cnn", "none"),
}


def scikit_learn(train: SampleTable, test: SampleTable) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield what one would write without evenly: the network's features, scikit-learn's defaults."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from evenly.features.lite0 import pretrained_lite0

    network = pretrained_lite0("bench")

    def features(samples: SampleTable) -> np.ndarray:
        images = torch.from_numpy(decode_images(samples.images, (SIDE, SIDE), 3)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return torch.cat([network((part.float() - 127) / 128) for part in images.split(32)]).numpy()

    x, z = features(train), features(test)
    prior = np.bincount(train.codes) / len(train)
    for name, model in {
        "scikit-learn, LogisticRegression": LogisticRegression(max_iter=1000),
        "scikit-learn, StandardScaler and LogisticRegression": make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000)
        ),
    }.items():
        yield name, model.fit(x, train.codes).predict_proba(z), prior


def evenly(
    name: str, parts: tuple[SampleTable, SampleTable, SampleTable], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities of test rows, and the prior that they carry."""
    train, validation, test = parts
    model, recipe = RUNS[name]
    encoded = model != "small_cnn"
    changes = {"model": model, "balancing": recipe, "seed": seed}
    params = read_params("params.yaml").model_copy(update=changes)
    entry = DatasetEntry.model_validate({"modality": "image", "licence": "-", "path": "-"})
    plans = make_plans(train.counts, train.schema, params, entry, {}, encoded=encoded)
    settings = FeatureSettings(image=ImageFeatures(method="encoder" if encoded else "pixels"))
    featurizer: Featurizer = fit_featurizer(train, settings, seed, Path(".cache/vectors"))
    if plans.resample is not None:
        train, _ = resample(train, plans.resample, featurizer)
    classifier = build_classifier(plans.train, train.schema, featurizer)
    classifier.fit(train, validation)
    return classifier.predict_proba(test), classifier.effective_prior


def report(title: str, began: float, truth: np.ndarray, p: np.ndarray, prior: np.ndarray) -> None:
    """Print the scores of probabilities as they are and with the prior taken out, and CPU seconds."""
    seconds = time.process_time() - began
    plain, adjusted = (float(macro_f1(outcomes(truth, q.argmax(axis=1), 4))) for q in (p, p / prior))
    print(f"{title}: {plain:.3f}, prior taken out {adjusted:.3f}, {seconds:.0f} CPU s", flush=True)


def main() -> None:
    """Run all on every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=list(RUNS))
    options = parser.parse_args()
    for seed in options.seeds:
        # Other seeds for the other parts: no photograph is drawn twice.
        train, validation, test = (
            drawn_samples(n, 1000 * seed + k, SIDE, TROUBLE)
            for k, n in enumerate((COUNTS, (40,) * 4, (150,) * 4))
        )
        began = time.process_time()
        for name, probabilities, prior in scikit_learn(train, test):
            report(f"{seed} {name}", began, test.codes, probabilities, prior)
            began = time.process_time()
        for name in options.runs:
            began = time.process_time()
            report(f"{seed} {name}", began, test.codes, *evenly(name, (train, validation, test), seed))


if __name__ == "__main__":
    main()
