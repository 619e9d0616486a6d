"""What every stage costs as rows grow: CPU seconds, peak memory, and the growth exponents.

    python -m bench.scale table 1000 10000 100000 1000000    a csv of 18 numbers and 2 categories, 40:1, SMOTE
    python -m bench.scale text 1000 10000 100000             sentences of 6 to 24 words, 40:1, linear model
    python -m bench.scale image 1000 10000                   JPEG files of 64 pixels, 40:1, SMOTE

Stages run one after the other on one thread, in a temporary folder, with this checkout's code. Rival: the
same data, recipe and model by hand with pandas, imbalanced-learn and scikit-learn, in one process, with a
macro F1 and no more (of images: pixels and logistic regression).
`--set balancing=adasyn` and the like changes params.yaml as `dvc exp run -S` does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
RATIO = 40


def main() -> None:
    """Measure and print one table of the stages for each size, and one of the exponents."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modality", nargs="?", default="table", choices=("table", "text", "image"))
    parser.add_argument("rows", nargs="*", type=int, default=[1000, 10_000])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which stays")
    parser.add_argument("--profile", action="store_true", help="write STAGE.prof beside the outputs")
    chosen = parser.parse_args()
    cpu: dict[str, list[float]] = {}
    spawned = get_context("spawn").Process
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = chosen.keep or Path(temporary)
            # In a process of its own: what is measured of a child begins with the memory of its parent.
            making = spawned(target=project, args=(folder, chosen.modality, rows, chosen.set))
            making.start()
            making.join()
            print(f"{chosen.modality}, {rows:,} rows", flush=True)
            for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
                seconds, peak = cost(folder, stage, chosen.profile)
                cpu.setdefault(stage, []).append(seconds)
                print(f"  {stage:<20} {seconds:8.1f} s CPU {peak / 2**30:7.2f} GiB", flush=True)
            print(f"  {'all of them':<20} {sum(spent[-1] for spent in cpu.values()):8.1f} s CPU", flush=True)
            rival = spawned(target=by_hand, args=(folder, chosen.modality))
            rival.start()
            rival.join()
    for (few, many), k in zip(zip(chosen.rows, chosen.rows[1:], strict=False), range(len(cpu)), strict=False):
        exponents = {
            stage: math.log(spent[k + 1] / spent[k]) / math.log(many / few) for stage, spent in cpu.items()
        }
        steepest = ", ".join(f"{stage} {n:.2f}" for stage, n in exponents.items() if cpu[stage][k + 1] > 2)
        print(f"growth exponents {few:,} → {many:,}: {steepest}")


def project(folder: Path, modality: str, rows: int, changes: list[str]) -> None:
    """A folder in which the stages run: this checkout's code, and a data set of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "stages", "prompts", "data"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    for name in ("dvc.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    data, columns = {"table": made_table, "text": made_texts, "image": made_images}[modality](folder, rows)
    entry = {"modality": modality, "path": str(data), "columns": columns}
    entry |= {"licence": "none", "source": "made up", "split": {"validation": 0.15, "test": 0.2}}
    (folder / "datasets.yaml").write_text(yaml.safe_dump({"scale": entry}))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"dataset": "scale", "balancing": "none" if modality == "text" else "smote"}
    for change in changes:
        key, value = change.split("=", 1)
        *parents, last = key.split(".")
        at = params
        for name in parents:
            at = at[name]
        at[last] = yaml.safe_load(value)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def by_hand(folder: Path, modality: str) -> None:
    """What one would write without evenly; prints CPU seconds, imports included, and peak memory."""
    began = time.process_time()
    import cv2
    import pandas as pd
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    cv2.setNumThreads(1)
    model = {
        "hist_gradient_boosting": HistGradientBoostingClassifier(max_iter=300, early_stopping=True),
        "random_forest": RandomForestClassifier(n_estimators=300),
    }.get(
        json.loads((folder / "data/plan/train.json").read_text())["model"], LogisticRegression(max_iter=1000)
    )
    if modality == "image":
        files = sorted((folder / "scale").glob("*/*.jpg"))
        x: Any = np.stack([cv2.resize(cv2.imread(str(f)), (16, 16)).ravel() for f in files])
        y, steps = np.array([f.parent.name for f in files]), [StandardScaler(), SMOTE()]
    else:
        x = pd.read_csv(folder / "scale.csv")
        y = x.pop("label").to_numpy()
        if modality == "text":
            x, steps = x["text"], [TfidfVectorizer(sublinear_tf=True)]
        else:
            numbers = StandardScaler(), make_column_selector(dtype_include="number")
            categories = OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")
            steps = [make_column_transformer(numbers, categories), SMOTE()]
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    score = f1_score(y_test, make_pipeline(*steps, model).fit(x, y).predict(x_test), average="macro")
    spent, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  {'by hand':<20} {spent:8.1f} s CPU {peak:7.2f} GiB  macro F1 {score:.3f}", flush=True)


def cost(folder: Path, stage: str, profile: bool) -> tuple[float, int]:
    """CPU seconds and peak memory in bytes of one stage."""
    command = [sys.executable, "-m", *(("cProfile", "-o", f"{stage}.prof", "-m") if profile else ())]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    log = folder / f"{stage}.log"
    with log.open("w") as out:
        running = subprocess.Popen(
            [*command, f"stages.{stage}"], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{stage} failed:\n{log.read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def labels_of(rows: int) -> np.ndarray:
    """Class of each row: one of 41 is `rare`."""
    return np.where(np.arange(rows) % (RATIO + 1) == 0, "rare", "common")


def made_table(folder: Path, rows: int) -> tuple[Path, dict[str, str]]:
    """A csv of 18 numbers, some of them whole, and 2 categories; the classes overlap."""
    import pyarrow as pa
    import pyarrow.csv

    rng, labels = np.random.default_rng(0), labels_of(rows)
    rare = (labels == "rare").astype(float)
    columns: dict[str, np.ndarray] = {}
    for k in range(18):
        values = rng.standard_normal(rows) + 0.25 * rare
        columns[f"x{k}"] = np.round(values * 100).astype(np.int64) if k % 9 == 8 else np.round(values, 6)
    for k in range(2):
        columns[f"kind{k}"] = np.array(["red", "green", "blue", "grey"])[rng.integers(0, 4, rows)]
    path = folder / "scale.csv"
    pa.csv.write_csv(pa.table(columns | {"label": labels}), path)
    return path, {"label": "label"}


def made_texts(folder: Path, rows: int) -> tuple[Path, dict[str, str]]:
    """A csv of sentences whose words follow Zipf's law; each class has some words of its own."""
    import pyarrow as pa
    import pyarrow.csv

    rng, labels = np.random.default_rng(0), labels_of(rows)
    letters = np.array(list("aaabcdeeefghiiklmnooprstuvw"))
    words = np.unique(["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(40_000)])
    rng.shuffle(words)
    share = 1 / (np.arange(len(words)) + 3)
    lengths = rng.integers(6, 25, rows)
    drawn = words[rng.choice(len(words), lengths.sum(), p=share / share.sum())]
    ends = np.cumsum(lengths)
    starts = ends - lengths
    own = np.where((labels == "rare") & (rng.random(rows) < 0.7), "overdue", "today")
    texts = [f"{' '.join(drawn[a:b])} {w}" for a, b, w in zip(starts, ends, own, strict=True)]
    path = folder / "scale.csv"
    pa.csv.write_csv(pa.table({"text": texts, "label": labels}), path)
    return path, {"label": "label", "text": "text"}


def made_images(folder: Path, rows: int) -> tuple[Path, dict[str, str]]:
    """JPEG files of 64 pixels in a folder of each class: smooth colours, brighter on one side for `rare`."""
    import cv2

    rng = np.random.default_rng(0)
    for row, label in enumerate(labels_of(rows)):
        below = folder / "scale" / str(label)
        if row < 2:
            below.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 200, (6, 6, 3)).astype(np.uint8)
        small[:, 3:] += np.uint8(40 if label == "rare" else 0)
        picture = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(below / f"{row}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return folder / "scale", {}


if __name__ == "__main__":
    main()
