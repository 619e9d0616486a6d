"""Commands about data sets: list them, fetch one of the catalogue, add one's own. Run in a project's root."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from evenly.cli.terminal import DECIMAL, DELIMITER, MISSING, THOUSANDS, dataset_names, progress_bar
from evenly.console import output_console, results_table
from evenly.datasets.images import is_image
from evenly.datasets.imported import check_origin, imported_rows, store
from evenly.datasets.intake import PARTIAL_FOLDER, bring_in, downloads, refuse_into_itself, track
from evenly.datasets.intake import fetch as fetch_file
from evenly.datasets.load import load_splits
from evenly.datasets.reading import count_rows
from evenly.datasets.sources import checksum, find_source, is_tracked, open_tree
from evenly.datasets.unlabelled import InputFile
from evenly.errors import DataError, EvenlyError, ParameterError
from evenly.params.base import read_yaml, settings_from
from evenly.params.datasets import DATASETS_FILE, DatasetEntry, Format, read_entries, read_entry
from evenly.params.project import read_params
from evenly.samples import Modality, read_samples

_SPLIT_TRAIN = "data/split/train.parquet"
#: Signs that a shell makes hard to give, by the words that stand for them.
_SIGNS = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "pipe": "|", "space": " ", "point": "."}
_SIGNS |= {"apostrophe": "'"}
#: Keys of datasets.yaml that `evenly add` has an option for, as messages write them.
_KEY = re.compile(
    r"\bcolumns\.(?P<dotted>label|text|image|id|group|attribute_is_feature|attribute|weight|split|drop|categorical)\b"
    r"|\bfiles\.(?P<bare>train|validation|test)\b"
    r"|`(?P<quoted>delimiter|decimal|thousands|missing|format|quoting|duplicates|classes)(?:: [^`]*)?`"
)


def datasets() -> None:
    """List the data sets of datasets.yaml: those that are here, those to fetch, those to bring."""
    table = results_table(None, "name")
    table.add_words("modality", "here")
    table.add_numbers("rows")
    table.add_prose("licence")
    found = [(name, entry, *_presence(entry, name)) for name, entry in read_entries().items()]
    for name, entry, here, rows in sorted(found, key=lambda one: _PRESENCES.index(one[2])):
        count = "" if rows is None else f"{rows:,}"
        table.add_row(escape(name), entry.modality, here, count, escape(entry.licence))
    output_console().print(table)


#: Whether a data set is here, in the order of the list: what one must bring is last.
_PRESENCES = ("yes", "built in", "unreadable", "fetch it", "add it")


def _presence(entry: DatasetEntry, name: str) -> tuple[str, int | None]:
    if not entry.builtin:
        try:
            find_source(entry, name, [Path()])
        except DataError:
            return ("fetch it" if entry.url or entry.urls else "add it"), None
    try:
        return ("built in" if entry.builtin else "yes"), count_rows(entry, name, [Path()])
    except DataError:
        return "unreadable", None


def fetch(
    name: Annotated[
        str, typer.Argument(help="An entry of datasets.yaml that has a url.", autocompletion=dataset_names)
    ],
) -> None:
    """Download a data set of the catalogue into data/raw, verify it, and put it under DVC."""
    entry = read_entry(name)
    files = downloads(entry, name)
    path = entry.path or ""
    if not is_tracked(path):
        raise DataError(f"datasets.yaml: {name}.path is {path!r}; `evenly fetch` writes below data/raw only.")
    typer.echo(f"{name}: {entry.source}\nLicence: {entry.licence}.")
    for url, target, sha256 in files:
        with progress_bar("B") as progress:
            new = fetch_file(
                url, Path(target), sha256, PARTIAL_FOLDER, lambda _, here, total: progress(here, total)
            )
        typer.echo(f"{target}: {'fetched and verified' if new else 'here already, verified'}")
    track(path, Path())
    _print_next(name, path)


def add(
    name: Annotated[str, typer.Argument(help="What to call it in datasets.yaml.")],
    path: Annotated[Path, typer.Argument(help="csv, tsv, jsonl, parquet, a zip of these, or a folder.")],
    modality: Annotated[
        Modality | None, typer.Option(help="Left out, it is told by the other options.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of a manifest with the image's path.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column with unique ids.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose groups are never split.")] = None,
    attribute: Annotated[
        str | None, typer.Option(help="Column with a spurious attribute, or a comparison: 'skin > 0'.")
    ] = None,
    attribute_is_feature: Annotated[
        bool, typer.Option("--attribute-is-feature", help="The attribute's column is a feature too.")
    ] = False,
    weight: Annotated[str | None, typer.Option(help="Column that says how much a row counts.")] = None,
    split: Annotated[str | None, typer.Option(help="Column that says train, validation or test.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(help="Column to take as categories; may be repeated.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="How a file is read whose name does not say it.")
    ] = None,
    delimiter: DELIMITER = None,
    quoting: Annotated[
        bool | None, typer.Option("--quoting/--no-quoting", help='Whether " encloses fields.')
    ] = None,
    decimal: DECIMAL = None,
    thousands: THOUSANDS = None,
    missing: MISSING = None,
    classes: Annotated[
        list[str] | None, typer.Option(help="Label that is a class, such as NA; may be repeated.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="File below PATH with the given training part.")] = None,
    validation: Annotated[str | None, typer.Option(help="File with the given validation part.")] = None,
    test: Annotated[str | None, typer.Option(help="File with the given test part.")] = None,
    duplicates: Annotated[
        Literal["drop", "keep"] | None, typer.Option(help="What becomes of identical rows.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Under which terms you have it.")] = None,
) -> None:
    """Copy your own data into data/raw, under DVC, and write or complete their entry in datasets.yaml.

    The data are read and split for trial first; what cannot work is said before anything is written.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is neither a file nor a folder; name one.")
    refuse_into_itself(path, name, Path())
    columns: dict[str, Any] = {"label": label, "text": text, "image": image, "id": id_, "group": group}
    columns |= {"attribute": attribute, "split": split, "drop": drop, "categorical": categorical}
    columns |= {"attribute_is_feature": attribute_is_feature, "weight": weight}
    columns = {key: value for key, value in columns.items() if value}
    files = {"train": train, "validation": validation, "test": test}
    files = {key: value for key, value in files.items() if value is not None}
    options: dict[str, Any] = {"modality": modality, "licence": licence}
    options |= {"delimiter": _sign(delimiter), "decimal": _sign(decimal), "thousands": _sign(thousands)}
    options |= {"missing": missing, "format": format_, "quoting": quoting, "duplicates": duplicates}
    options |= {"columns": columns, "files": files}
    changes = {key: value for key, value in options.items() if value or value is False}
    existing = _existing(name)
    known = (existing or {}).get("columns") or {}
    if classes:
        changes["classes"] = {**((existing or {}).get("classes") or {}), **{name: {} for name in classes}}
    chosen = {"label": "label", **known, **columns}
    with _options_named(chosen):
        if existing is None:
            changes = _new_entry(name, path, changes)
        trial = {**(existing or {}), **changes, "columns": {**known, **columns}}
        trial |= {"path": str(path.resolve()), "sha256": checksum(path)}
        entry = settings_from(DatasetEntry, trial, f"{DATASETS_FILE}: {name}")
        report = load_splits(entry, name, 0, [Path()]).report
    typer.echo(f"{name} ({report.modality}): {report.summary()}.")
    for warning in report.warnings:
        typer.echo(f"Warning: {_with_options(warning, chosen)}")
    relative = bring_in(path, name, changes, Path())
    _print_next(name, relative)


def import_rows(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="csv, tsv, jsonl, parquet, or a folder of images.")
    ],
    origin: Annotated[str, typer.Option(help="What to call where they come from, such as gpt-5.")],
    label: Annotated[
        str | None, typer.Option(help="Column with the class (default: as in datasets.yaml).")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column with the text (default: as in datasets.yaml).")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Column with the image's path (default: image).")] = None,
    delimiter: DELIMITER = None,
    replace: Annotated[bool, typer.Option("--replace", help="Instead of those of this origin.")] = False,
) -> None:
    """Keep rows that were made elsewhere in data/imported, under DVC, for the recipe `imported`.

    They are read as the data set's own rows are, into its classes and columns; images without a file that
    lists them are of the class of their folder. Nothing is kept where a row cannot be taken.
    """
    check_origin(origin)
    name = read_params().dataset
    entry = read_entry(name)
    if not Path(_SPLIT_TRAIN).exists():
        raise DataError(
            f"{_SPLIT_TRAIN} does not exist; run `dvc repro split` for the data set {name!r} first."
        )
    schema = read_samples(_SPLIT_TRAIN).schema
    in_folders = path.is_dir() or path.suffix.lower() == ".zip" or is_image(path.name)
    listed = schema.modality != "image" or not in_folders
    how = InputFile(
        text=(text or entry.columns.text) if schema.modality == "text" else text,
        image=image,
        delimiter=_sign(delimiter),
        decimal=entry.decimal,
        thousands=entry.thousands,
        missing=entry.missing,
        label=(label or entry.columns.label) if listed else label,
    )
    imported = imported_rows(path, origin, schema, how)
    for remark in imported.remarks:
        typer.echo(remark)
    kept = store(imported, name, origin, replace)
    track(str(kept), Path())
    counts = ", ".join(f"{label} {n:,}" for label, n in imported.samples.counts.items() if n)
    typer.echo(f"{kept}: {len(imported.samples):,} rows ({counts}).")
    typer.echo(f"Next: git add {kept}.dvc && git commit -m 'Rows of {origin}', then")
    typer.echo("dvc exp run -S balancing=imported")


def _sign(named: str | None) -> str | None:
    return _SIGNS.get(named or "", named)


@contextmanager
def _options_named(chosen: Mapping[str, Any]) -> Iterator[None]:
    """Let an error that speaks of a key of datasets.yaml name the option of `evenly add` as well."""
    try:
        yield
    except EvenlyError as error:
        raise type(error)(_with_options(str(error), chosen)) from error


def _with_options(message: str, chosen: Mapping[str, Any]) -> str:
    """A message in which each key that `evenly add` has an option for names it, the first time it is said."""
    for option, column in chosen.items():
        for name in column if isinstance(column, list | tuple) else [column]:
            message = message.replace(
                f"has no column {name!r}", f"has no column {name!r} (option --{option})"
            )
    mentioned: set[str] = set()

    def named(found: re.Match[str]) -> str:
        option = f"--{found['bare'] or found['quoted'] or found['dotted']}".replace("_", "-")
        option = "--no-quoting" if option == "--quoting" else option
        if option in mentioned or re.search(rf"{option}\b", message):
            return found[0]
        mentioned.add(option)
        return f"{found[0]} (option {option})"

    return _KEY.sub(named, message)


def _existing(name: str) -> dict[str, Any] | None:
    """The entry of this name as it is written, one that waits for its data; None where there is none."""
    found = read_yaml(DATASETS_FILE).get(name)
    if found is not None and not isinstance(found, dict):
        raise ParameterError(f"{DATASETS_FILE}: {name} must be a mapping of keys to values.")
    for key in ("columns", "files"):
        if found and not isinstance(found.get(key) or {}, dict):
            raise ParameterError(f"{DATASETS_FILE}: {name}.{key} must be a mapping of keys to values.")
    for key in ("builtin", "url", "urls", "path"):
        if found and found.get(key):
            raise ParameterError(
                f"datasets.yaml has an entry {name!r} with a {key} already; add the data under another "
                "name, or edit that entry."
            )
    return found


def _new_entry(name: str, path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """What a new entry says, in the order in which it is to be read."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ParameterError(
            f"A data set cannot be called {name!r}; use letters, digits, _ and -, and begin with a letter."
        )
    modality = changes.get("modality") or next(
        (m for m in ("text", "image") if m in changes.get("columns", {})), None
    )
    if modality is None:
        with open_tree(path, str(path)) as tree:
            modality = "image" if any(is_image(file) for file in tree.names) else "table"
    start = {
        "modality": modality,
        "licence": changes.get("licence", "your own"),
        "source": f"added from {path.name}",
    }
    return {**start, "path": None, **{key: value for key, value in changes.items() if key not in start}}


def _print_next(name: str, path: str) -> None:
    typer.echo(
        f"Next: git add datasets.yaml {path}.dvc && git commit -m 'Data set {name}', then\n"
        f"dvc exp run -S dataset={name}"
    )
