"""Entries of datasets.yaml: what is filled in, and how a wrong one is refused."""

from __future__ import annotations

import pytest

from evenly.errors import ParameterError
from evenly.params.datasets import read_entries, read_entry

ENTRY = "{modality: text, licence: x, path: d.csv"


@pytest.fixture
def refused(tmp_path):
    """The sentence with which an entry called `mine` is refused."""

    def refused(entry: str) -> str:
        file = tmp_path / "datasets.yaml"
        file.write_text(f"mine: {entry}\n")
        with pytest.raises(ParameterError) as caught:
            read_entry("mine", file)
        return str(caught.value)

    return refused


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (ENTRY + ", columns: {txet: a}}", "mine.columns.txet is not a known key; did you mean 'text'?"),
        (ENTRY + ", split: {test: 1.5}}", "mine.split.test is 1.5"),
        (ENTRY + ", split: {test: 0.6, validation: 0.5}}", "must leave something to train on"),
        (ENTRY + ", builtin: digits}", "a builtin data set takes no path"),
        (ENTRY + ", flip: both}", "flip is for images"),
        (ENTRY + ", columns: {drop: [a]}}", "columns.drop is for tables"),
        (ENTRY + ", columns: {image: a}}", "columns.image is for image data sets"),
        (ENTRY + ", split: {strategy: grouped}}", "split.strategy grouped needs columns.group"),
        (ENTRY + ", split: {strategy: stratified}, columns: {group: g}}", "must be grouped"),
        (ENTRY + ", split: {strategy: given}}", "given goes with files or columns.split"),
        (ENTRY + ", split: {strategy: stratified}, files: {train: a, test: b}}", "given goes with files"),
        (
            ENTRY + ", files: {train: a, test: b}, columns: {split: p}}",
            "give files or columns.split, not both",
        ),
        (ENTRY + ", files: {train: a}}", "mine.files.test is missing"),
        (
            ENTRY + ", url: 'file:///etc/passwd', sha256: " + "0" * 64 + "}",
            "mine.url is 'file:///etc/passwd'",
        ),
        (ENTRY + ", url: 'https://h/d'}", "needs sha256 and path"),
        (ENTRY + ", sha256: abc}", "mine.sha256"),
        (ENTRY + ", imbalance: {ratio: 0.5}}", "mine.imbalance.ratio is 0.5"),
        (ENTRY + ", limit: 0}", "mine.limit is 0"),
        ("{modality: audio, licence: x}", "mine.modality is 'audio'"),
        ("{modality: text}", "mine.licence is missing"),
        ("words", "mine must be a mapping"),
    ],
)
def test_a_wrong_entry_is_one_sentence_with_its_key(entry, words, refused):
    message = refused(entry)
    assert words in message
    assert "datasets.yaml" in message
    assert "\n" not in message


def test_an_unknown_name_is_answered_with_the_nearest_ones(tmp_path):
    file = tmp_path / "datasets.yaml"
    file.write_text(f"banking77: {ENTRY}}}\nbanking77_lt: {ENTRY}}}\nwine: {ENTRY}}}\n")
    with pytest.raises(ParameterError, match="did you mean 'banking77' or 'banking77_lt'"):
        read_entry("bankin77", file)
    with pytest.raises(ParameterError, match="there are banking77, banking77_lt, wine"):
        read_entry("zzz", file)


def test_another_wrong_entry_does_not_stand_in_the_way_of_a_right_one(tmp_path):
    file = tmp_path / "datasets.yaml"
    file.write_text(f"good: {ENTRY}}}\nbad: {{modality: audio}}\n")
    assert read_entry("good", file).path == "d.csv"
    with pytest.raises(ParameterError, match=r"bad\.modality"):
        read_entries(file)


@pytest.mark.parametrize(
    ("keys", "strategy"),
    [("", "stratified"), (", columns: {group: g}", "grouped"), (", files: {train: a, test: b}", "given")],
)
def test_the_strategy_follows_from_the_entry(keys, strategy, tmp_path):
    file = tmp_path / "datasets.yaml"
    file.write_text(f"mine: {ENTRY}{keys}}}\n")
    assert read_entry("mine", file).strategy == strategy
