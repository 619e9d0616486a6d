"""Commands about a trained model: its results on the test split, and its predictions for new rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evenly.classifiers import Classifier, load_classifier
from evenly.classifiers.classifier import kept_folder, spent_sentence, vectors_at_hand
from evenly.cli.terminal import DECIMAL, DELIMITER, MISSING, THOUSANDS, output_file, progress_bar
from evenly.datasets.unlabelled import InputFile, Unlabelled, open_unlabelled
from evenly.errors import ParameterError
from evenly.evaluation.calibration import prediction_sets
from evenly.evaluation.decisions import (
    RULES_FILE,
    DecisionRule,
    normalised_shares,
    prior_offsets,
    read_rule,
    read_rules,
)
from evenly.evaluation.outputs import prediction_cells, prediction_columns
from evenly.evaluation.summary import print_summary
from evenly.files import write_csv
from evenly.params.base import read_yaml, settings_from
from evenly.params.evaluation import GivenPrior
from evenly.wording import first_names

CHOSEN = "chosen"
#: Classes that the closing line of `predict` names.
_MOST_CLASSES = 12
#: Networks score so many rows at a time, and matrix products round alike in all rows of full blocks: batches
#: of whole units give the same bytes, whatever their size.
_BATCH_UNIT = 256


def summary() -> None:
    """Show the metrics and the decision rules of the last run, and where its report is."""
    print_summary("metrics/evaluate.json")


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a trained model, such as models/train.")
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="csv, tsv, jsonl, parquet, a zip of these, or a folder of images."
        ),
    ],
    text: Annotated[str | None, typer.Option(help="Column with the text (default: text).")] = None,
    image: Annotated[
        str | None, typer.Option(help="Column with the image or its path (default: image).")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Column with unique ids (default: id, else rows are numbered).")
    ] = None,
    delimiter: DELIMITER = None,
    decimal: DECIMAL = None,
    thousands: THOUSANDS = None,
    missing: MISSING = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="uniform|FILE",
            help="Adjust the probabilities to where the model is used: equal classes, or a YAML or JSON file "
            "with the share of every class.",
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            metavar="chosen|argmax|RULE",
            help="How to decide: by the rule that the evaluation has chosen on validation rows, for the most "
            "probable class, or by another rule of rules.json.",
        ),
    ] = CHOSEN,
    sets: Annotated[
        bool,
        typer.Option(
            "--sets",
            help="Also a column `set`: as a JSON list, the classes that hold the true one as often as "
            "evaluate.coverage says, for rows of every class.",
        ),
    ] = False,
    output: Annotated[
        Path,
        typer.Option(callback=output_file, help="The csv file to write."),
    ] = Path("predictions.csv"),
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE",
            help="Load a model of a class of this package, which neither evenly nor params.yaml here names; "
            "repeatable. Only where you trust who made the model.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help=f"Rows scored at a time, rounded up to a multiple of {_BATCH_UNIT}.")
    ] = 4096,
) -> None:
    """Predict the classes of new rows, in their order, as csv: id, predicted, confidence, p_CLASS of each.

    The rows come in the forms that data sets have, without labels. Tables need the columns that the model was
    trained with; other columns are ignored.
    """
    if output.resolve() == source.resolve():
        raise ParameterError(f"The output {output} is the input itself; name another file with --output.")
    if prior is not None and rule != CHOSEN:
        raise ParameterError("--prior is a rule of its own; give --prior or --rule, not both.")
    folder = kept_folder(model)
    classifier = load_classifier(folder, vectors_at_hand(), trust=trust or ())
    classes = classifier.classes
    decision = _decision(rule, folder) if prior is None else _adjustment(prior, classifier)
    thresholds = _set_thresholds(folder) if sets else None
    how = InputFile(text, image, id_, delimiter, decimal, thousands, tuple(missing or ()))
    with open_unlabelled(source, classifier.schema, how) as rows:
        for remark in rows.remarks:
            typer.echo(remark)
        probabilities = _probabilities(classifier, rows, -(-batch // _BATCH_UNIT) * _BATCH_UNIT)
    decided, scores = probabilities.argmax(axis=1), probabilities
    if decision is not None:
        decided, probabilities = decision.decisions(probabilities), decision.probabilities(probabilities)
    cells = prediction_cells(classes, probabilities, decided)
    columns = ["id", *prediction_columns(classes)]
    lines = ([name, *row] for name, row in zip(rows.ids, cells, strict=True))
    if thresholds is not None:
        columns.append("set")
        held = (
            [c for c, one in zip(classes, row, strict=True) if one]
            for row in prediction_sets(scores, thresholds)
        )
        lines = ([*line, json.dumps(one, ensure_ascii=False)] for line, one in zip(lines, held, strict=True))
    write_csv(output, columns, lines)
    typer.echo(f"{output}: {len(rows):,} rows; {_counted(classes, decided)}.")
    if classifier.spent is not None:
        typer.echo(spent_sentence(classifier.spent))
    if decision is not None and prior is None:
        why = ", chosen on validation rows" if rule == CHOSEN else ""
        typer.echo(f"Decided by {decision.name}{why}; --rule argmax gives the most probable class.")


def _set_thresholds(folder: Path) -> np.ndarray:
    """From which probability of the model each class belongs to a prediction set, (k,)."""
    content = read_rules(folder)
    if content is None:
        raise ParameterError(
            f"There is no {folder.parent / RULES_FILE} of this model, so that --sets has no thresholds; "
            "`dvc repro` makes it."
        )
    return np.array(content["sets"]["thresholds"], dtype=np.float64)


def _decision(name: str, folder: Path) -> DecisionRule | None:
    """The rule that is asked for; None where the most probable class is taken."""
    if name == "argmax":
        return None
    found = read_rule(name, folder)
    if found is None and name != CHOSEN:
        raise ParameterError(
            f"There is no {folder.parent / RULES_FILE} of this model, so that there is no rule {name!r}; "
            "`dvc repro` makes it, --rule argmax does without."
        )
    return None if found is None or found.name == "argmax" else found


def _adjustment(prior: str, classifier: Classifier) -> DecisionRule:
    """The prior adjustment from what the model's scores carry to the prior that is named or in a file."""
    classes = classifier.classes
    if prior == "uniform":
        target = np.full(len(classes), 1 / len(classes))
    elif Path(prior).is_file():
        given = settings_from(GivenPrior, {"shares": read_yaml(prior)}, prior)
        target = normalised_shares(given.shares, classes, prior)
    else:
        raise ParameterError(
            f"The prior {prior!r} is neither uniform nor a file; give a YAML or JSON file with the share of "
            "every class."
        )
    return DecisionRule("logit_adjustment", prior_offsets(target, classifier.effective_prior))


def _probabilities(classifier: Classifier, rows: Unlabelled, batch: int) -> np.ndarray:
    """Class probabilities of all rows, float64 (n, k), with a progress bar on a terminal."""
    parts: list[np.ndarray] = []
    with progress_bar("rows") as progress:
        for samples in rows.batches(batch):
            parts.append(classifier.predict_proba(samples))
            progress(sum(map(len, parts)), len(rows))
    return np.concatenate(parts)


def _counted(classes: Sequence[str], decided: np.ndarray) -> str:
    """Rows of each predicted class, the most frequent first."""
    counts = np.bincount(decided, minlength=len(classes))
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    listed = first_names((f"{classes[k]} {counts[k]:,}" for k in order), _MOST_CLASSES)
    return f"{listed} classes" if len(order) > _MOST_CLASSES else listed
