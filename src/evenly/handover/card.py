"""The model card of an experiment folder: README.md as the Hugging Face Hub reads it, from stored numbers.

Its words are in `card.md.jinja`; tables, limits and front matter are made here.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE, SHORT
from evenly.handover.stored import StoredRun
from evenly.wording import first_names, markdown_table

#: Names under which the Hub knows metrics.
_HUB = {"macro_f1": "f1", "accuracy": "accuracy", "mcc": "matthews_correlation", "auroc": "roc_auc"}
_TASKS = {"text": "text-classification", "image": "image-classification", "table": "tabular-classification"}
#: Classes with less of these are named as uncertain.
_FEW_TRAIN, _FEW_TEST = 10, 30
_NAMED = 12
#: Of more classes than this, the table has the smallest.
_MOST = 40


def model_card(stored: StoredRun, code: Mapping[str, Any], analysis: Mapping[str, Any]) -> str:
    """Give the model card as Markdown with YAML front matter.

    `code` holds `commit`, `base` and `patch` of the code that made the run, `analysis` what
    `balancing_analysis.json` does.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "paragraph": lambda text: " ".join(text.split()) + "\n",
        "thousands": lambda number: f"{number:,}",
        "interval": _interval,
        "quoted": _quoted,
    }
    scores, shares = stored.run.scores, stored.manifest["effective_prior"]
    order = sorted(range(len(shares)), key=lambda k: -shares[k])
    classes = stored.table("reports/per_class.csv")
    scarcest = sorted(classes, key=lambda row: int(row["train_rows"]))[:_MOST]
    try:
        package = f"evenly {version('evenly')}"
    except PackageNotFoundError:
        package = "evenly"
    return templates.get_template("card.md.jinja").render(
        front_matter=_yaml(_front_matter(stored)),
        stored=stored,
        run=stored.run,
        test=scores["test"],
        results=_results(scores),
        rules=_rules(scores["decision_rules"]),
        rule_labels=RULES,
        shares=[(stored.classes[k], shares[k]) for k in dict.fromkeys(order[:1] + order[-1:])],
        scaling=scores["decision_rules"].get("temperature"),
        split=stored.metrics["split"]["rows"],
        imbalance=stored.metrics["imbalance"].get("train"),
        classes=_classes(classes if len(classes) <= _MOST else scarcest),
        smallest=len(scarcest),
        all_classes=len(classes),
        analysis=analysis,
        limits=list(_limits(stored, classes)),
        package=package,
        code=code,
    )


def _front_matter(stored: StoredRun) -> dict[str, Any]:
    """Metadata in the Hub's terms, with the headline results as `model-index`.

    The licence of the model is for its owner to say and is left out; that of the data is told in the text.
    """
    run, test = stored.run, stored.run.scores["test"]
    task = _TASKS[stored.modality]
    results = [
        {"type": _HUB.get(name, name), "name": HEADLINE[name].label, "value": test[name]}
        for name in SHORT
        if name in test
    ]
    return {
        "library_name": "evenly",
        "pipeline_tag": task,
        "tags": ["imbalanced-classification", f"balancing:{run.recipe}", f"model:{run.model}"],
        "metrics": [_HUB[name] for name in SHORT if name in _HUB and name in test],
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


def _results(scores: Mapping[str, Any]) -> str:
    rows = []
    for name in SHORT:
        if name in scores["test"]:
            value, ends = _value_and_ends(scores["test"], name)
            validation = scores["validation"].get(name)
            before = "–" if validation is None else f"{validation:.3f}"
            rows.append([HEADLINE[name].label, value, ends, before])
    return markdown_table(["Metric", "Test", "95% interval", "Validation"], rows)


def _rules(rules: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name in (name for name in RULES if name in rules):
        gain = rules[name].get("gain")
        rows.append([RULES[name], f"{rules[name]['macro_f1']:.3f}", _signed(gain) if gain else "–"])
    return markdown_table(["Rule", "Macro F1", "Gain (95%)"], rows)


def _classes(table: Iterable[Mapping[str, str]]) -> str:
    counts = ("train_rows", "balanced_rows", "test_rows")
    return markdown_table(
        ["Class", "Training rows", "Trained on", "Test rows", "Recall (95%)", "F1"],
        [
            [_quoted(row["class"]), *(row[name] for name in counts), _recall(row), _two_digits(row["f1"])]
            for row in table
        ],
    )


def _limits(stored: StoredRun, table: Sequence[Mapping[str, str]]) -> Iterator[str]:
    scores = stored.run.scores
    if stored.holds_rows:
        yield "The folder `model` holds training rows: whoever gets the model gets them."
    for column, few, what in (("train_rows", _FEW_TRAIN, "training"), ("test_rows", _FEW_TEST, "test")):
        scarce = [row["class"] for row in table if int(row[column]) < few]
        if scarce:
            named = first_names(map(_quoted, scarce), _NAMED)
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
    recall, low, high = (_two_digits(row[column]) for column in ("recall", "recall_low", "recall_high"))
    return f"{recall} ({low} to {high})"


def _two_digits(value: str) -> str:
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
