"""What every classifier can do, and the folder that it is saved as.

`model.json` says what the model is, with the checksums of its files; `featurizer/` is a copy of what turns
its samples into vectors, where it needs one. Nothing in the folder is a pickle, and nothing in it is a time.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from evenly.errors import EvenlyError, ModelError
from evenly.files import atomic_folder, files_beside, read_json, read_sealed, sealed, write_json
from evenly.params.base import settings_from
from evenly.params.models import MODELS, installed_version
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema
from evenly.wording import counted

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

MANIFEST = "model.json"
FEATURIZER = "featurizer"
#: Among the details of `model.json`: whether the folder has training rows in it.
HOLDS_ROWS = "holds_training_rows"
REMEDY = "copy the model anew from where it is whole, or train the model again with `dvc repro`"
#: Extras that bring what some models need.
_EXTRAS = {name: name for name in ("catboost", "lightgbm", "tabicl", "xgboost")}
_EXTRAS |= {"torchvision": "vision", "timm": "vision"}


class Log(Protocol):
    """Receives the numbers of a fit: once an epoch for networks, once at the end for other models."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a step, counted from 0. Names have the form `train/loss`, `val/macro_f1`."""


def no_log(step: int, metrics: Mapping[str, float]) -> None:
    """Forget the metrics."""


@dataclass(frozen=True)
class FitSummary:
    """What a fit came to.

    Attributes
    ----------
    best_step
        The epoch (networks, from 0) or boosting round whose state was kept; None where a model has no steps.
    steps
        Epochs or boosting rounds that were run; 0 where a model has no steps.
    metrics
        Train and validation metrics of what was kept: `train/loss`, `val/loss`, `val/macro_f1`,
        `val/balanced_accuracy` and so on. Without validation rows there are none of the latter.
    notes
        What was done otherwise than asked, and why, each one sentence.
    """

    best_step: int | None
    steps: int
    metrics: dict[str, float]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Manifest:
    """What `model.json` holds; `libraries` are versions of what fitted it, `details` those of its kind."""

    plan: TrainPlan
    schema: Schema
    effective_prior: np.ndarray
    libraries: dict[str, str]
    details: dict[str, Any]


class Classifier(ABC):
    """Fits sample tables and gives class probabilities.

    `save` writes a folder that stands alone (the featurizer is in it), and
    `evenly.classifiers.load_classifier` reads it back.
    """

    def __init__(self, plan: TrainPlan, schema: Schema) -> None:
        self.plan = plan
        self.schema = schema
        self._prior: np.ndarray | None = None
        self._cache: Path | None = None
        self._trust: Collection[str] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; column j of every probability matrix is class j, also if training saw no row of it."""
        return self.schema.classes

    @property
    def effective_prior(self) -> np.ndarray:
        """The class prior that the scores carry, float64 (k,), positive, sums to 1.

        The class shares of the training table, changed by the sampler and by a loss that weighs or adjusts:
        what a score is to be divided by when the model is used under another prior. A class without a
        training row counts as half a row.
        """
        if self._prior is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._prior

    @property
    def spent(self) -> dict[str, Any] | None:
        """What a model that is asked for every prediction has cost so far; None of one that is fitted."""
        return None

    @abstractmethod
    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Fit on the training rows; the validation rows choose when to stop and nothing else.

        Parameters
        ----------
        train
            Rows of at least two classes.
        validation
            May be empty: then all epochs or rounds are run and the last is kept.
        log
            Receives metrics while fitting.
        sample_weight
            Non-negative weight of each training row, float (n,), or None for one each.
        checkpoints
            Folder for the state after every epoch, from which a fit that was killed goes on; the caller
            removes it when it has the model. Models that are not trained in epochs leave it alone.

        Raises
        ------
        ModelError
            When the rows cannot train the model, naming what is missing.
        """

    @abstractmethod
    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k); rows sum to 1."""

    def save(self, folder: str | Path) -> None:
        """Write the model as a folder, atomically; the same fit gives the same bytes."""
        with atomic_folder(folder) as temporary:
            content = {
                "kind": self.plan.model,
                "plan": self.plan.model_dump(mode="json"),
                "schema": self.schema.to_json(),
                "effective_prior": [float(share) for share in self.effective_prior],
                "libraries": _library_versions(
                    dict.fromkeys((*MODELS[self.plan.model].libraries, *self.plan.settings.libraries))
                ),
                "details": self._saved_parts(temporary),
            }
            write_sealed(content, temporary)

    @classmethod
    def load(
        cls, manifest: Manifest, folder: Path, cache: Path | None = None, trust: Collection[str] = ()
    ) -> Self:
        """Read what `save` wrote, if all parts are there, undamaged, and belong to this model."""
        classifier = cls(manifest.plan, manifest.schema)
        classifier._cache, classifier._trust = cache, trust
        classifier._restore(manifest.details, folder)
        classifier._prior = manifest.effective_prior
        return classifier

    @abstractmethod
    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        """Write what a model has beside `model.json`, and give the details that belong there."""

    @abstractmethod
    def _restore(self, details: Mapping[str, Any], folder: Path) -> None:
        """Take over what `_saved_parts` wrote and gave."""


def spent_sentence(spent: Mapping[str, Any]) -> str:
    """What a model that is asked has cost, and how its answers became probabilities (`Classifier.spent`)."""
    cost = "at an unknown price" if spent["cost"] is None else f"for {spent['cost']:.4g}"
    lost, refused = spent["no_class"], spent["refused"]
    without = f" {counted(lost, 'answer')} named no class ({refused:,} refused): training shares instead."
    return (
        f"{spent['model']} was asked about {counted(spent['texts'], 'text')} in "
        f"{counted(spent['calls'], 'call')}, {spent['tokens']:,} tokens, {cost}. The probabilities of "
        f"{spent['by_tokens']:,} are those of the answer's tokens, the others give {spent['certainty']:g} to "
        f"the class answered.{without if lost else ''}"
    )


def write_sealed(content: Mapping[str, Any], folder: Path) -> None:
    """Write `model.json` with the checksums of the files beside it."""
    write_json(sealed(content, files_beside(folder / MANIFEST)), folder / MANIFEST)


def kept_folder(folder: Path) -> Path:
    """The folder of the model that is meant: that of `train` where the second round was not kept."""
    try:
        content = read_json(folder / MANIFEST)
    except (OSError, EvenlyError):
        return folder  # loading says what is wrong with it
    not_kept = isinstance(content, dict) and content.get("kept") == "train" and "plan" not in content
    return folder.parent / "train" if not_kept else folder


def vectors_at_hand(root: Path = Path()) -> Path | None:
    """Where the project in `root` keeps vectors of encoders, for `load_classifier`; None without any."""
    kept = root / ".cache" / "vectors"
    return kept if kept.is_dir() else None


def texts_of(samples: SampleTable, complaint: str) -> list[str]:
    """Texts of all rows; a `ModelError` that names the row without one, and goes on with `complaint`."""
    texts: list[Any] = samples.texts
    missing = next((row for row, text in enumerate(texts) if text is None), None)
    if missing is not None:
        raise ModelError(f"Row {samples.ids[missing]!r} ({samples.origins[missing]}) {complaint}")
    return texts


def read_manifest(folder: Path) -> Manifest:
    """Read `model.json`, if the model is whole, and warn where a library that fitted it is now another."""
    path = folder / MANIFEST
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ModelError(f"{folder} {what}; give the folder of a trained model, such as models/train.")
    if kept_folder(folder) != folder:
        raise ModelError(
            f"{folder} holds no model: the second round was not kept; give {kept_folder(folder)}."
        )
    try:
        manifest = _manifest(read_sealed(path, ModelError, REMEDY), path)
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no model: there is no {MANIFEST} in it; give a folder such as models/train."
        ) from None
    here = _library_versions(name for name in manifest.libraries if name != "python")
    changed = [
        f"{name} {old}, now {here[name]}" for name, old in manifest.libraries.items() if old != here[name]
    ]
    if changed:
        logger.warning("%s was fitted with %s; probabilities may differ.", folder, "; ".join(changed))
    return manifest


def _manifest(content: Mapping[str, Any], path: Path) -> Manifest:
    """What `model.json` says, if it fits together."""
    import numpy as np

    try:
        manifest = Manifest(
            plan=settings_from(TrainPlan, content["plan"], str(path)),
            schema=Schema.from_json(content["schema"]),
            effective_prior=np.asarray(content["effective_prior"], dtype=np.float64),
            libraries={str(name): str(version) for name, version in content["libraries"].items()},
            details=dict(content["details"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}); {REMEDY}.") from error
    plan, classes = manifest.plan, manifest.schema.classes
    if plan.settings.kind != plan.model or manifest.schema.modality not in MODELS[plan.model].modalities:
        raise ModelError(f"{path} is damaged: its plan is not one of {plan.model}; {REMEDY}.")
    prior = manifest.effective_prior
    if prior.shape != (len(classes),) or not (np.isfinite(prior) & (prior > 0)).all():
        raise ModelError(f"{path} is damaged: its prior has no share for each of its classes; {REMEDY}.")
    return manifest


def _library_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of installed distributions, by name."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = installed_version(name)
        except importlib.metadata.PackageNotFoundError:
            package = f"evenly[{_EXTRAS[name]}]" if name in _EXTRAS else name
            raise ModelError(
                f"The model needs {name}, which is not installed; run `pip install '{package}'`, or choose "
                "another model."
            ) from None
    return versions
