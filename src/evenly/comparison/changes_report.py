"""Writes down what changes between two revisions, for a code review: Markdown for a comment, and a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenly.comparison.changes import Changes, ClassChange, Picture, ScoreChange
from evenly.comparison.leaderboards import compare
from evenly.comparison.tables import column_rows, cost_columns, leaderboard_columns
from evenly.comparison.techniques import ARGMAX, RULE_NAMES
from evenly.evaluation.metrics import HEADLINE
from evenly.experiments.runs import Run
from evenly.files import atomic_folder, write_text
from evenly.pages import figure, page_html, section
from evenly.wording import decimal, first_names, markdown_code, markdown_table, markdown_text, signed_decimal

#: More classes than this are not listed one by one in Markdown.
_CLASSES = 20
#: Bytes of pictures that a page holds.
_PICTURES = 1_500_000
#: More changed files, folders and stages than this are not named one by one.
_MOST_NAMES = 12


def write_changes(changes: Changes, path: str | Path) -> None:
    """Write the report to `path` (NAME.md), beside it the page NAME.html, and the pictures into the folder
    NAME.
    """
    path = Path(path)
    with atomic_folder(path.with_suffix("")) as folder:
        for picture in changes.pictures:
            for side, content in (("base", picture.base), ("here", picture.here)):
                if content is not None:
                    (folder / _file_name(picture, side)).write_bytes(content)
    write_text(page_html(changes_page(changes)), path.with_suffix(".html"))
    write_text(changes_markdown(changes, path.stem), path)


def changes_markdown(changes: Changes, pictures: str) -> str:
    """Lay out the report; `pictures` is the folder of its pictures, relative to it."""
    parts = [
        f"# `{changes.here.name}` against `{changes.base.name}`",
        "\n".join(f"- {sentence}" for sentence in verdicts(changes)),
        *_what_changes(changes),
        "## Scores on test rows",
        _metric_table(changes),
        *_techniques(changes),
        *_class_section(changes),
        *_plots(changes, pictures),
    ]
    return "\n\n".join(parts) + "\n"


def changes_page(changes: Changes) -> dict[str, Any]:
    """Tell the same as the context of `evenly.pages.page_html`; pictures come in pairs."""
    sides = [changes.base.name, changes.here.name]
    columns = [*sides, "Difference, 95%"]
    settings = [[key, *map(_setting_text, values)] for key, values in changes.settings.items()]
    changed = {
        "Code and data that stages depend on": changes.sources,
        "Stages with other outputs": changes.stages,
    }
    lists = [f"{title}: {first_names(found, _MOST_NAMES)}." for title, found in changed.items() if found]
    classes = [
        [change.f1.name, change.base_rows, change.here_rows, *_page_cells(change.f1, of_class=True)]
        for change in changes.classes
    ]
    figures, left = [], _PICTURES
    for picture in changes.pictures:
        both = [content for content in (picture.base, picture.here) if content is not None]
        left -= sum(map(len, both))
        if left < 0:
            continue
        name = picture.path.removeprefix("plots/").removesuffix(".png")
        figures += [
            figure(content, name, f"{name}, {side}")
            for side, content in zip(sides, (picture.base, picture.here), strict=True)
            if content is not None
        ]
    same = f"The same in both: {changes.same_pictures} plots." if changes.same_pictures else ""
    more = "Some more are in the folder beside this page." if left < 0 else ""
    return {
        "title": f"{changes.here.name} against {changes.base.name}",
        "summary": next(verdicts(changes)),
        "facts": [
            (name, before if before == now else f"{before} → {now}")
            for name, before, now in (
                ("data set", changes.base.dataset, changes.here.dataset),
                ("recipe", changes.base.recipe, changes.here.recipe),
                ("seed", changes.base.seed, changes.here.seed),
            )
        ],
        "sections": [
            section(
                "What to take from it",
                {"remarks": [line.replace("`", "") for line in [*verdicts(changes)][1:]]},
            ),
            section(
                "What was changed",
                {"table": settings, "columns": ["Setting", *sides]} if settings else {"text": "No setting."},
                {"remarks": lists or ["All stages have the same outputs."]},
            ),
            section(
                "Scores on test rows",
                {
                    "table": [[HEADLINE[s.name].label, *_page_cells(s)] for s in changes.metrics],
                    "columns": ["Metric", *columns],
                    "caption": "In colour: the paired interval excludes zero.",
                },
            ),
            *(
                section(
                    "As techniques, beside the cheap rivals",
                    {
                        "table": [[cell and cell.replace("**", "") for cell in row] for row in rows],
                        "columns": names,
                    },
                )
                for names, rows in _technique_tables(changes)
            ),
            section(
                "F1 by class",
                {"table": classes, "columns": ["Class", "Rows before", "Rows now", *columns]},
            ),
            section(
                "Plots",
                {"figures": figures} if figures else {},
                {"text": f"{same} {more}".strip()} if same or more else {},
            ),
        ],
    }


def _page_cells(score: ScoreChange, *, of_class: bool = False) -> list[Any]:
    difference, mark = score.difference, _is_better(score, of_class=of_class)
    cell = None if score.plain is None else {"text": signed_decimal(score.plain)}
    if cell is not None and difference is not None:
        cell["note"] = f"{decimal(difference.low)} to {decimal(difference.high)}"
        cell |= {} if mark is None else {"mark": "better" if mark else "worse"}
    return [*(None if value is None else decimal(value) for value in (score.base, score.here)), cell]


def verdicts(changes: Changes) -> Iterator[str]:
    """What a reviewer should know first."""
    macro = next(score for score in changes.metrics if score.name == "macro_f1")
    if macro.difference is None:
        yield (
            f"Macro F1 goes from {_score(macro.base)} to {_score(macro.here)}. The two were not tested on "
            "the same rows, so that chance cannot be told from a difference."
        )
    else:
        change, rows = macro.difference, changes.paired_rows
        verb = "rises" if change.value > 0 else "falls"
        yield (
            f"Macro F1 {verb if change.excludes_zero else 'does not differ'} "
            f"({signed_decimal(change.value)}, 95% {decimal(change.low)} to {decimal(change.high)}, "
            f"over the same {rows} test rows)."
        )
        others = [score for score in changes.metrics if score is not macro]
        for word, better in (("better", True), ("worse", False)):
            if names := [HEADLINE[score.name].label for score in others if _is_better(score) is better]:
                yield f"Other metrics that are {word}: {', '.join(names)}."
    yield from _free_gain(changes.here)
    yield (
        "One run on each side: the intervals are over test rows, not over splits and initialisations. "
        "`evenly sweep` says whether it holds over seeds."
    )


def _free_gain(run: Run) -> Iterator[str]:
    """What the decision rule that validation rows choose brings on the same model."""
    rules = run.scores.get("decision_rules", {})
    scored = {name: one["validation"]["macro_f1"] for name, one in rules.items() if "validation" in one}
    best = max(scored, key=lambda name: scored[name], default=ARGMAX)
    if best == ARGMAX or scored[best] <= scored.get(ARGMAX, -1.0) or "gain" not in rules[best]:
        return
    gain = rules[best]["gain"]
    yield (
        f"Free on the same model: {RULE_NAMES[best]}, chosen on validation rows, changes macro F1 by "
        f"{signed_decimal(gain['macro_f1'])} (95% {signed_decimal(gain['macro_f1_low'])} to "
        f"{signed_decimal(gain['macro_f1_high'])})."
    )


def _is_better(score: ScoreChange, *, of_class: bool = False) -> bool | None:
    """Whether a metric, or the F1 of a class, differs for the better; None where its interval has 0 in it."""
    if score.difference is None or not score.difference.excludes_zero:
        return None
    return (score.difference.value > 0) == (of_class or HEADLINE[score.name].higher_is_better)


def _what_changes(changes: Changes) -> Iterator[str]:
    yield "## What was changed"
    columns = ["Setting", f"`{changes.base.name}`", f"`{changes.here.name}`"]
    if changes.settings:
        rows = [[markdown_code(key), *map(_setting, values)] for key, values in changes.settings.items()]
        yield markdown_table(columns, rows)
    else:
        yield "No setting."
    if changes.sources:
        yield f"Code and data that stages depend on: {first_names(changes.sources, _MOST_NAMES, '`{}`')}."
    if changes.stages:
        yield f"Stages with other outputs: {first_names(changes.stages, _MOST_NAMES, '`{}`')}."
    else:
        yield "All stages have the same outputs."


def _setting(value: Any) -> str:
    return "–" if value is None else markdown_code(_setting_text(value) or "")


def _setting_text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _metric_table(changes: Changes) -> str:
    columns = ["Metric", f"`{changes.base.name}`", f"`{changes.here.name}`", "Difference", "95%"]
    return markdown_table(columns, [[HEADLINE[s.name].label, *_cells(s)] for s in changes.metrics])


def _cells(score: ScoreChange) -> list[str | None]:
    difference, plain = score.difference, score.plain
    mark = "**" if difference is not None and difference.excludes_zero else ""
    return [
        _score(score.base),
        _score(score.here),
        None if plain is None else f"{mark}{signed_decimal(plain)}{mark}",
        None if difference is None else f"{decimal(difference.low)} to {decimal(difference.high)}",
    ]


def _score(value: float | None) -> str:
    return "–" if value is None else decimal(value)


def _technique_tables(changes: Changes) -> Iterator[tuple[list[str], list[list[str | None]]]]:
    """Both runs in one table with the cheap rivals, where they are two techniques on the same data set."""
    for board in compare([changes.base, changes.here]).leaderboards:
        if {changes.base.name, changes.here.name} <= {run.name for run in board.field.runs}:
            scores = leaderboard_columns(board)
            first = ("Technique", HEADLINE[board.metric].label)
            columns = {name: scores[name] for name in first} | cost_columns(board)
            yield list(columns), column_rows(columns, board)


def _techniques(changes: Changes) -> Iterator[str]:
    for columns, rows in _technique_tables(changes):
        yield "## As techniques, beside the cheap rivals"
        yield markdown_table(columns, rows)


def _class_section(changes: Changes) -> Iterator[str]:
    changed = [change for change in changes.classes if change.f1.base != change.f1.here]
    yield "## F1 by class"
    if not changed:
        yield "No class changes."
        return
    sides = [f"`{changes.base.name}`", f"`{changes.here.name}`"]
    columns = ["Class", "Rows trained on", *sides, "Difference", "95%"]
    yield markdown_table(columns, [_class_row(change) for change in changed[:_CLASSES]])
    left = len(changes.classes) - len(changed[:_CLASSES])
    if len(changed) > _CLASSES:
        yield f"The other {left} classes change less."
    elif left:
        yield f"Unchanged: {left} of {len(changes.classes)} classes."


def _class_row(change: ClassChange) -> list[str | None]:
    before, now = ("–" if rows is None else str(rows) for rows in (change.base_rows, change.here_rows))
    return [markdown_text(change.f1.name), now if before == now else f"{before} → {now}", *_cells(change.f1)]


def _plots(changes: Changes, folder: str) -> Iterator[str]:
    yield "## Plots"
    if changes.pictures:
        lines = [f"| `{changes.base.name}` | `{changes.here.name}` |", "|---|---|"]
        for picture in changes.pictures:
            sides = (("base", picture.base), ("here", picture.here))
            name = picture.path.removeprefix("plots/").removesuffix(".png")
            cells = (
                "–" if content is None else f"{name}<br>![{name}]({folder}/{_file_name(picture, side)})"
                for side, content in sides
            )
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join(lines)
    if same := changes.same_pictures:
        yield f"The same in both: {same} of {same + len(changes.pictures)} plots."


def _file_name(picture: Picture, side: str) -> str:
    return f"{picture.path.removeprefix('plots/').removesuffix('.png').replace('/', '-')}-{side}.png"
