"""Experiments: a recipe, settings, a data set and a seed, with a name that changes when the result could.

The name of the DVC experiment ends in a hash of everything that the result depends on: what params.yaml says
to this run, the data set's entry, and the content of every source file that dvc.yaml names. An experiment
that has this name has this result, on whatever commit it was made.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.datasets.load import load_splits
from evenly.datasets.reading import some_images
from evenly.errors import DataError, ParameterError
from evenly.features.images import becomes_vectors
from evenly.params.base import read_yaml, settings_from
from evenly.params.datasets import DATASETS_FILE, DatasetEntry, read_entry
from evenly.params.project import PARAMS_FILE, Params
from evenly.planning import check_recipe

# Keys that stay text in DVC's grammar of overrides.
_PLAIN_KEY = re.compile(r"(?!(?i:null|true|false|nan|inf)$)[A-Za-z_][\w-]*", re.ASCII)
# A + before KEY= begins a setting; others belong to a value.
_PLUS = re.compile(r"\+(?=[A-Za-z_][\w.]*=)")


@dataclass(frozen=True)
class Technique:
    """A recipe with settings, as it is asked for: `smote`, or `smote+loss=focal`."""

    recipe: str
    settings: tuple[tuple[str, str], ...] = ()
    #: What params.yaml does not have, such as a recipe that is only being tried: dotted key to JSON.
    added: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """As it is written on the command line."""
        return "+".join([self.recipe, *(f"{key}={value}" for key, value in self.settings)])


@dataclass(frozen=True)
class Experiment:
    """One run of the pipeline; `name` is that of the DVC experiment."""

    technique: Technique
    dataset: str
    seed: int
    name: str
    #: Keys of expensive work: of two that share one, the second starts when the first has ended.
    shared: frozenset[str]
    #: The last stage to run; all of them where it is empty.
    until: str = ""
    #: Whether its recipe asks a language model.
    asks_llm: bool = False

    @property
    def overrides(self) -> list[str]:
        """What `dvc exp run -S` is given."""
        return [
            f"dataset={self.dataset}",
            f"seed={self.seed}",
            f"balancing={self.technique.recipe}",
            *(f"{key}={value}" for key, value in self.technique.settings),
            *(f"+{key}={override_text(json.loads(value))}" for key, value in self.technique.added),
        ]


def read_technique(text: str) -> Technique:
    """Read `smote+loss=focal`."""
    recipe, *settings = _PLUS.split(text.strip())
    return Technique(recipe, tuple(sorted(read_setting(setting) for setting in settings)))


def read_setting(text: str) -> tuple[str, str]:
    """Read `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", key.strip()):
        raise ParameterError(f"A setting is KEY=VALUE, such as loss=focal, not {text!r}.")
    if key.strip() in ("seed", "dataset", "balancing"):
        raise ParameterError(
            f"{key.strip()} is no setting of a technique; give --seeds, --dataset, or the recipe's name."
        )
    return key.strip(), value.strip()


class Workshop:
    """Makes experiments from what params.yaml, datasets.yaml, dvc.yaml and the source files say now.

    `keys` are the environment variables that may hold an endpoint's key.
    """

    def __init__(self, root: Path, keys: Mapping[str, str]) -> None:
        self.root = root
        self._keys = keys
        self.params = read_yaml(root / PARAMS_FILE)
        self._code = code_digest(root)
        self._images: dict[str, list[bytes]] = {}
        self._rows: dict[str, int] = {}

    def experiment(self, technique: Technique, dataset: str, seed: int, until: str = "") -> Experiment:
        """Make an experiment up to the stage `until`, after checking that it can be run."""
        values = self.values(technique, dataset, seed)
        params = settings_from(Params, values, f"{PARAMS_FILE} with {technique.label}")
        entry = read_entry(dataset, self.root / DATASETS_FILE)
        check_recipe(
            params, entry, self._keys, self.encodes(params, entry), self.training_rows(params, entry)
        )
        settings = {key: value for key, value in values.items() if key != "recipes"}
        recipe = values["recipes"][technique.recipe]
        data = {
            "entry": read_yaml(self.root / DATASETS_FILE)[dataset],
            "dataset": dataset,
            "seed": seed,
            "code": self._code,
        }
        makers = {key: recipe[key] for key in ("llm", "generate") if recipe.get(key)}
        shared = {digest(data)}
        if makers:
            shared.add(digest([data, makers, settings.get("llm")]))
        # What has been run up to a stage is not finished: `until` is part of the name.
        key = digest([data, settings, {k: v for k, v in recipe.items() if k != "description"}])
        name = re.sub(r"[^a-z0-9_-]+", "-", f"{dataset}-{technique.label}-s{seed}-{until}".lower())
        return Experiment(
            technique,
            dataset,
            seed,
            name=f"{name.rstrip('-')}-{key[:10]}",
            shared=frozenset(shared),
            until=until,
            asks_llm="llm" in makers,
        )

    def encodes(self, params: Params, entry: DatasetEntry) -> bool:
        """Whether the images of a data set will be vectors of an encoder, as far as a few of them tell."""
        if params.features.image.method != "auto" or entry.modality != "image":
            return entry.modality == "image" and params.features.image.method == "encoder"
        if params.dataset not in self._images:
            self._images[params.dataset] = some_images(entry, params.dataset, [self.root])
        try:
            return becomes_vectors(self._images[params.dataset], params.features.image)
        except DataError:  # a damaged image is for the split to name
            return False

    def training_rows(self, params: Params, entry: DatasetEntry) -> int:
        """Training rows of a table whose model follows from them; 0 for other data, or if unreadable."""
        if entry.modality != "table" or params.model != "auto":
            return 0
        if params.dataset not in self._rows:
            try:
                splits = load_splits(entry, params.dataset, params.seed, [self.root])
                self._rows[params.dataset] = len(splits.train)
            except DataError:  # what is wrong with the file is for the split to say
                self._rows[params.dataset] = 0
        return self._rows[params.dataset]

    def settings(self, experiment: Experiment) -> Params:
        """Give params.yaml as it will be in an experiment's run, as settings."""
        values = self.values(experiment.technique, experiment.dataset, experiment.seed)
        return settings_from(Params, values, f"{PARAMS_FILE} with {experiment.technique.label}")

    def values(self, technique: Technique, dataset: str, seed: int) -> dict[str, Any]:
        """Give params.yaml as it will be in the run."""
        values = copy.deepcopy(self.params)
        for key, text in technique.settings:
            *path, last = key.split(".")
            place: Any = values
            for part in path:
                place = place.get(part) if isinstance(place, dict) else None
            if not isinstance(place, dict) or last not in place:
                raise ParameterError(f"{PARAMS_FILE} has no key {key!r} to set.")
            place[last] = _parsed(text)
        for key, text in technique.added:
            section, name = key.split(".")
            values[section] = {**(values.get(section) or {}), name: json.loads(text)}
        values |= {"balancing": technique.recipe, "dataset": dataset, "seed": seed}
        return values


def override_text(value: Any) -> str:
    """Write a plain value as the grammar of `dvc exp run -S` has it, which has no quotes for keys."""
    if isinstance(value, dict):
        for key in value:
            if not _PLAIN_KEY.fullmatch(str(key)):
                raise ParameterError(
                    f"The key {key!r} cannot be given to an experiment: a recipe that is tried may only have "
                    "keys of letters, digits, - and _; leave out the class or name it so."
                )
        return "{" + ", ".join(f"{key}: {override_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(override_text, value)) + "]"
    if isinstance(value, str):
        escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
        return f"'{escaped}'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def digest(value: Any) -> str:
    """Hash plain values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(root: Path) -> str:
    """Hash what dvc.yaml says of the stages, and the source files that they depend on.

    Files that git ignores are left out: DVC does not take them into a temporary checkout either. Raw data
    count by the `.dvc` files that hold their hashes.
    """
    stages = read_yaml(root / "dvc.yaml").get("stages", {})
    sources = pipeline_sources(root)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *sources],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    hashes = {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in sorted(filter(None, set(listed.split("\0"))))
        if (root / name).is_file()
    }
    return digest([stages, hashes])


def pipeline_sources(root: Path) -> list[str]:
    """Files and folders that stages of dvc.yaml depend on and no stage makes."""
    stages = read_yaml(root / "dvc.yaml").get("stages", {})
    return sorted({source for stage in stages.values() for source in _sources(stage, stages)})


def _sources(stage: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterable[str]:
    outputs = [
        _path(out) for other in stages.values() for key in ("outs", "metrics") for out in other.get(key, ())
    ]
    for dependency in stage.get("deps", ()):
        path = _path(dependency)
        if not any(path == out or path.startswith(f"{out}/") for out in outputs):
            yield path


def _path(entry: str | Mapping[str, Any]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _parsed(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ParameterError(f"The value {text!r} is not valid YAML.") from error
