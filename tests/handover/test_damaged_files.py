"""Whatever happens to the files of a finished run, each command that reads them says so in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evenly.comparison.changes import find_changes
from evenly.errors import EvenlyError
from evenly.evaluation.decisions import read_rules
from evenly.evaluation.summary import print_summary
from evenly.experiments.board import Board
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.runs import read_run
from evenly.handover.stored import read_stored_run
from evenly.plans import LlmPlan, ResamplePlan, TrainPlan, read_plan
from stages import asks_nothing, scores
from tests.pipeline.projects import Project

WORDS = st.one_of(st.none(), st.text(max_size=5), st.integers(), st.lists(st.none(), max_size=2))


def paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a JSON file."""
    yield path
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from paths(value, (*path, key))


def replaced(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = dict(content) if isinstance(content, dict) else list(content)
    copied[path[0]] = replaced(copied[path[0]], path[1:], value)
    return copied


@st.composite
def damaged(draw: Any, whole: bytes) -> bytes:
    """The file cut, with other bytes in it, as no mapping, or with a value of another kind somewhere."""
    cut = draw(st.integers(0, len(whole) - 1))
    content = json.loads(whole)
    place = draw(st.sampled_from(list(paths(content))))
    return draw(
        st.sampled_from(
            [
                whole[:cut],
                whole[:cut] + draw(st.binary(min_size=1, max_size=4)) + whole[cut + 1 :],
                whole[:cut] + b"\xff\xfe" + whole[cut:],
                b"[" * 99_999,
                json.dumps(replaced(content, place, draw(WORDS))).encode(),
            ]
        )
    )


EVALUATED = "metrics/evaluate.json"
#: Files of a project's workspace by who reads them there as they are.
READERS: dict[str, list[Callable[[Path], object]]] = {
    EVALUATED: [print_summary, lambda _: scores.main()],
    "data/plan/train.json": [lambda path: read_plan(TrainPlan, path)],
    "data/plan/resample.json": [lambda path: read_plan(ResamplePlan, path)],
    "data/plan/llm.json": [lambda path: asks_nothing(str(path)) or read_plan(LlmPlan, path)],
    "models/rules.json": [lambda path: read_rules(path.parent / "train")],
}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_sentence_that_names_it(name: str, project: Project) -> None:
    path = Path(name)
    whole = path.read_bytes()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damaged(whole))
    @example(b"[]")
    @example(b'{"test": {}}')
    def damage(content: bytes) -> None:
        path.unlink()
        path.write_bytes(content)
        for read in READERS[name]:
            try:
                read(path)
            except EvenlyError as error:
                assert "\n" not in str(error)
                assert path.name in str(error)

    damage()


@pytest.mark.parametrize("name", [EVALUATED, "metrics/split.json", "data/plan/train.json"])
def test_files_that_are_not_what_the_run_has_written_are_never_read(name: str, project: Project) -> None:
    tried = Revision(project.root, "tried", experiment_revisions(project.root)["tried"])
    here = Revision(project.root, "workspace", None)
    cached = project.root / ".dvc/cache/files/md5" / tried.outputs[name][:2] / tried.outputs[name][2:]
    whole = cached.read_bytes()
    for file in (cached, project.root / name):
        file.unlink()
    for content in (whole[:-3], whole.replace(b"1", b"2"), b"[]", b"\xff", b"{}"):
        for file in (cached, project.root / name):
            file.write_bytes(content)
        for read, words in (
            (lambda: read_run(tried), f"{name} of tried is damaged in DVC's cache"),
            (lambda: read_stored_run(project.root, "tried"), f"{name} of tried is damaged in DVC's cache"),
            (lambda: read_run(here), f"{name} is damaged, or of another run than dvc.lock describes"),
            (lambda: find_changes(here, tried), f"{name} is damaged, or of another run"),
        ):
            with pytest.raises(EvenlyError) as caught:
                read()
            assert words in str(caught.value)
        assert Board(project.root).page("/") is not None
