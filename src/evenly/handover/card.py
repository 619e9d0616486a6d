"""The model card of an experiment folder: README.md as the Hugging Face Hub reads it, from stored numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE
from evenly.handover import tables
from evenly.handover.stored import StoredRun
from evenly.wording import markdown_table

_SHOWN = (
    "macro_f1", "balanced_accuracy", "accuracy", "worst_class_recall", "mcc", "auroc", "average_precision",
    "nll", "brier", "calibration_error",
)  # fmt: skip
#: Names under which the Hub knows metrics.
_HUB = {"macro_f1": "f1", "accuracy": "accuracy", "mcc": "matthews_correlation", "auroc": "roc_auc"}
_TASKS = {"text": "text-classification", "image": "image-classification", "table": "tabular-classification"}
#: Classes with less of these are named as uncertain.
_FEW_TRAIN, _FEW_TEST = 10, 30
_NAMED = 12


def model_card(stored: StoredRun, code: Mapping[str, Any]) -> str:
    """Give the model card as Markdown with YAML front matter.

    Parameters
    ----------
    stored
        The run.
    code
        `commit`, `base` and `patch` of the code that made it.
    """
    run = stored.run
    parts = [
        f"---\n{_yaml(front_matter(stored))}---",
        f"# {run.dataset} · {run.recipe}",
        _opening(stored),
        "## How to load",
        _loading(stored),
        "## Results",
        *_results(stored),
        "## Decision rule",
        *_decisions(stored),
        "## Calibration",
        _calibration(stored),
        "## Data",
        *_data(stored),
        "## Technique",
        _technique(stored),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(stored)),
        "## Code",
        _code(stored, code),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(stored: StoredRun) -> dict[str, Any]:
    """Metadata in the Hub's terms, with the headline results as `model-index`.

    The licence of the model is for its owner to say and is left out; that of the data is told in the text.
    """
    run, test = stored.run, stored.run.scores["test"]
    task = _TASKS[stored.modality]
    results = [
        {"type": _HUB.get(name, name), "name": HEADLINE[name].label, "value": test[name]}
        for name in _SHOWN
        if name in test
    ]
    return {
        "library_name": "evenly",
        "pipeline_tag": task,
        "tags": ["imbalanced-classification", f"balancing:{run.recipe}", f"model:{run.model}"],
        "metrics": [_HUB[name] for name in _SHOWN if name in _HUB and name in test],
        "model-index": [
            {
                "name": f"{run.dataset}-{run.recipe}-s{run.seed}",
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"type": run.dataset, "name": run.dataset, "split": "test"},
                        "metrics": results,
                    }
                ],
            }
        ],
    }


def _opening(stored: StoredRun) -> str:
    run, test = stored.run, stored.run.scores["test"]
    kind = {"text": "texts", "image": "images", "table": "table rows"}[stored.modality]
    return (
        f"A `{run.model}` that sorts {kind} into {len(stored.classes)} classes, trained on the imbalanced "
        f"data set `{run.dataset}` with the balancing technique `{run.recipe}`. Macro F1 "
        f"{_interval(test, 'macro_f1')} on {test['rows']:,} test rows, on which nothing was fitted."
    )


def _loading(stored: StoredRun) -> str:
    """How to use `model/`; the rows come as in `evenly predict`."""
    versions = ", ".join(f"{name} {version}" for name, version in stored.manifest["libraries"].items())
    return (
        "With the package `evenly` installed, in this folder:\n\n"
        "```\nevenly predict model new.csv --output predictions.csv\n```\n\n"
        "```python\nfrom pathlib import Path\n\n"
        "from evenly.classifiers import load_classifier\n"
        "from evenly.samples import read_samples\n\n"
        'classifier = load_classifier(Path("model"))\n'
        "# One column for each of classifier.classes.\n"
        'probabilities = classifier.predict_proba(read_samples("rows.parquet"))\n'
        f"```\n\nFitted with {versions}. The folder holds weights and settings, no pickle."
    )


def _results(stored: StoredRun) -> Iterator[str]:
    scores = stored.run.scores
    rows = [
        [HEADLINE[name].label, *_value_and_ends(scores["test"], name), _number(scores, name)]
        for name in _SHOWN
        if name in scores["test"]
    ]
    yield markdown_table(["Metric", "Test", "95% interval", "Validation"], rows)
    yield (
        "Intervals are over test rows, for this one training; they do not hold how much another seed would "
        "differ. Every class, with Wilson intervals, is in `per_class.csv`; all metrics are in "
        "`test_metrics.csv`."
    )
    yield "![Confusion matrix](confusion_matrix.png)"


def _number(scores: Mapping[str, Any], name: str) -> str:
    value = scores["validation"].get(name)
    return "–" if value is None else f"{value:.3f}"


def _decisions(stored: StoredRun) -> Iterator[str]:
    rules, best = stored.run.scores["decision_rules"], stored.best_rule
    yield (
        "The results above are those of the most probable class. The same scores decided otherwise, on test "
        "rows; no rule has seen one:"
    )
    rows = []
    for name in (name for name in RULES if name in rules):
        gain = rules[name].get("gain")
        told = _signed(gain) if gain else "–"
        rows.append([RULES[name], f"{rules[name]['macro_f1']:.3f}", told])
    yield markdown_table(["Rule", "Macro F1", "Gain (95%)"], rows)
    chosen = f"Best on validation rows: **{RULES[best].lower()}**"
    if best == "argmax":
        yield f"{chosen}, which `evenly predict` gives."
    elif best == "tuned_thresholds":
        yield (
            f"{chosen}: multiply each class's probability by its `threshold_weight` in `per_class.csv` and "
            "take the largest."
        )
    elif best == "temperature":
        yield f"{chosen}, which decides as the most probable class does, with better probabilities."
    else:
        prior = "uniform" if best == "logit_adjustment_uniform" else "shares.yaml"
        where = "" if prior == "uniform" else ", a file with the share of every class where the model is used"
        yield f"{chosen}: `evenly predict model new.csv --prior {prior}`{where}."


def _calibration(stored: StoredRun) -> str:
    test, rules = stored.run.scores["test"], stored.run.scores["decision_rules"]
    shares = stored.manifest["effective_prior"]
    order = sorted(range(len(shares)), key=lambda k: -shares[k])
    ends = ", ".join(
        f"{_quoted(stored.classes[k])} {shares[k]:.3g}" for k in dict.fromkeys(order[:1] + order[-1:])
    )
    text = (
        f"Confidence and accuracy are {_interval(test, 'calibration_error')} apart (calibration error). The "
        f"scores carry the class shares of the training (largest and smallest: {ends}; all in "
        "`model/model.json`): where the classes are distributed otherwise, say so with `--prior`."
    )
    if fitted := rules.get("temperature", {}).get("fitted_temperature"):
        which = "over" if fitted > 1 else "under"
        text += (
            f" On validation rows a temperature of {fitted:.3g} fits best: as it is, the model is "
            f"{which}confident; with it, the calibration error on test rows is "
            f"{rules['temperature']['calibration_error']:.3f}."
        )
    return text + "\n\n![Confidence where right and where wrong](confidence_distribution.png)"


def _data(stored: StoredRun) -> Iterator[str]:
    split, entry = stored.metrics["split"], stored.entry
    rows = split["rows"]
    yield (
        f"Source: {entry.get('source') or 'not stated'}. Licence of the data: "
        f"{entry.get('licence') or 'not stated'}. {rows['train']:,} training, {rows['validation']:,} "
        f"validation and {rows['test']:,} test rows."
    )
    measures = stored.metrics["imbalance"].get("train", {})
    if measures:
        yield (
            f"The largest class ({_quoted(measures['largest_class'])}) has "
            f"{measures['imbalance_ratio']:.3g} times the training rows of the smallest "
            f"({_quoted(measures['smallest_class'])})."
        )
    table = stored.table("reports/per_class.csv")
    shown = table if len(table) <= 40 else sorted(table, key=lambda row: int(row["train_rows"]))[:40]
    if len(shown) < len(table):
        yield f"The {len(shown)} smallest of {len(table)} classes:"
    yield markdown_table(
        ["Class", "Training rows", "Trained on", "Test rows", "Recall (95%)", "F1"],
        [
            [
                _quoted(row["class"]),
                row["train_rows"],
                row["balanced_rows"],
                row["test_rows"],
                _recall(row),
                _short(row["f1"]),
            ]
            for row in shown
        ],
    )


def _technique(stored: StoredRun) -> str:
    run = stored.run
    what = stored.recipe.get("description", "")
    analysis = tables.balancing_analysis(stored)
    rows = analysis["rows"]
    text = f"Recipe `{run.recipe}`{f': {what}' if what else ''}. Loss `{run.loss}`, seed {run.seed}. "
    if rows["synthetic"]:
        by = ", ".join(
            f"{origin} {told['rows']:,}" for origin, told in analysis["by_origin"].items() if origin != "real"
        )
        text += f"Of {rows['trained_on']:,} rows trained on, {rows['synthetic']:,} are not real ({by})."
    else:
        text += f"All {rows['trained_on']:,} rows trained on are real."
    if fallbacks := analysis["classes_with_fallback"]:
        text += (
            f" The technique could not do all that it was asked in {fallbacks} of {len(stored.classes)} "
            "classes; `balancing_analysis.json` says why."
        )
    if stored.final == "finetune":
        text += " A second round on hard examples made the model."
    if run.tokens:
        money = "at an unknown price" if run.money is None else f"for {run.money:.4g}"
        text += f" A language model wrote rows with {run.tokens:,} tokens {money}."
    return text


def _limits(stored: StoredRun) -> Iterator[str]:
    scores = stored.run.scores
    table = stored.table("reports/per_class.csv")
    for column, few, what in (("train_rows", _FEW_TRAIN, "training"), ("test_rows", _FEW_TEST, "test")):
        scarce = [row["class"] for row in table if int(row[column]) < few]
        if scarce:
            more = f" and {len(scarce) - _NAMED} more" if len(scarce) > _NAMED else ""
            named = ", ".join(map(_quoted, scarce[:_NAMED])) + more
            yield f"Fewer than {few} real {what} rows, hence little known about: {named}."
    test = scores["test"]
    yield (
        f"The class found least is {_quoted(test['worst_class'])}, with a recall of "
        f"{_interval(test, 'worst_class_recall')}."
    )
    if gap := scores.get("gap", {}).get("train_minus_test", {}).get("macro_f1"):
        yield f"On its training rows the model scores {gap:+.3f} macro F1 against test rows."
    for name, damage in (scores.get("robustness", {}).get(stored.final) or {}).items():
        if damage["accuracy_lost"] >= 0.05:
            kind = name.replace("_", " ").capitalize()
            yield f"{kind} costs {damage['accuracy_lost']:.2f} of accuracy on average over three strengths."
    yield (
        f"It knows its {len(stored.classes)} classes only, and gives one of them to every input. It was "
        "tested on rows of the same source; where inputs or class shares differ, these numbers do not hold."
    )
    if stored.run.added_rows:
        yield "Rows that are not real may carry their maker's errors; no test row is one of them."


def _code(stored: StoredRun, code: Mapping[str, Any]) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        made = f"evenly {version('evenly')}"
    except PackageNotFoundError:
        made = "evenly"
    text = f"Made by {made} at commit `{code['base']}`"
    if code["patch"]:
        text += f", with `{code['patch']}` applied (`git apply {code['patch']}` on that commit)"
    return (
        f"{text}; `dvc repro` there makes this model again. Settings are in `config.json`, everything in one "
        "page in `experiment_summary.json`."
    )


def _value_and_ends(scores: Mapping[str, Any], name: str) -> tuple[str, str]:
    """`0.922` and `0.892 to 0.948`."""
    return f"{scores[name]:.3f}", f"{scores[f'{name}_low']:.3f} to {scores[f'{name}_high']:.3f}"


def _interval(scores: Mapping[str, Any], name: str) -> str:
    """`0.922 (95% 0.892 to 0.948)`."""
    value, ends = _value_and_ends(scores, name)
    return f"{value} (95% {ends})"


def _signed(gain: Mapping[str, float]) -> str:
    value, low, high = (gain[f"macro_f1{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _recall(row: Mapping[str, str]) -> str:
    if not row["recall"]:
        return "–"
    return f"{_short(row['recall'])} ({_short(row['recall_low'])} to {_short(row['recall_high'])})"


def _short(value: str) -> str:
    return f"{float(value):.2f}" if value else "–"


def _quoted(name: str) -> str:
    """A class name as Markdown code, whatever is in it."""
    return f"`{' '.join(str(name).split()).replace('`', chr(39))}`"


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(value, stream)
    return stream.getvalue()
