from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from loops import new_network, trained

from evenly.classifiers.training.checkpoints import Checkpoints, checkpoints_in, training_key
from evenly.params.training import TrainingSettings

COMMON = {"min_steps_per_epoch": 3, "batch_size": 32, "patience": None, "learning_rate": 0.01}


def state_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    "wanted",
    [
        {"schedule": "plateau", "plateau_patience": 1, "warmup": 0.2},
        {"optimizer": "sgd", "mix": "mixup"},
        {"unfreeze": {"method": "gradual", "by": "metric", "patience": 1}, "optimizer": "adamw"},
        {"unfreeze": {"method": "probe_then_finetune", "probe_epochs": 2}, "warmup": 0.1},
    ],
    ids=["plateau", "mixup", "gradual", "probe"],
)
def test_a_training_cut_short_after_any_epoch_ends_as_an_unbroken_one(
    tmp_path: Path, wanted: dict[str, object]
) -> None:
    settings = TrainingSettings(epochs=6, **COMMON, **wanted)  # type: ignore[arg-type]
    whole = new_network()
    expected = trained(whole, settings)
    for cut in range(6):
        folder = tmp_path / str(cut)
        with pytest.raises(KeyboardInterrupt):
            trained(new_network(), settings, checkpoints=folder, stop_after=cut)
        assert len(list(folder.glob("epoch-*"))) == (1 if cut else 0)
        network, history = new_network(), []  # type: ignore[var-annotated]
        resumed = trained(network, settings, checkpoints=folder, history=history)
        assert resumed == expected and history == list(expected.history)
        for name, value in whole.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=3, **COMMON)  # type: ignore[arg-type]
    network = new_network()
    expected = trained(network, settings, checkpoints=tmp_path)
    again = new_network()
    passes = again.passes
    assert trained(again, settings, checkpoints=tmp_path) == expected
    assert again.passes == passes
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))


def test_only_the_last_checkpoint_stays_and_holds_no_pickle(tmp_path: Path) -> None:
    trained(new_network(), TrainingSettings(epochs=4, **COMMON), checkpoints=tmp_path)  # type: ignore[arg-type]
    (folder,) = tmp_path.glob("epoch-*")
    assert folder.name == "epoch-000003"
    assert {path.name for path in folder.iterdir()} == {
        "progress.json", "last.safetensors", "best.safetensors",
    }  # fmt: skip


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainingSettings(epochs=3, **COMMON)  # type: ignore[arg-type]
    whole = new_network()
    expected = trained(whole, settings)
    with pytest.raises(KeyboardInterrupt):
        trained(new_network(), settings, checkpoints=tmp_path, stop_after=2)
    (folder,) = tmp_path.glob("epoch-*")
    (folder / "last.safetensors").write_bytes(b"half of it")
    (tmp_path / ".epoch-000002.abc.tmp").mkdir()
    assert trained(new_network(), settings, checkpoints=tmp_path) == expected
    assert "is damaged" in caplog.text
    assert not list(tmp_path.glob(".*.tmp"))


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with checkpoints_in(tmp_path) as first, checkpoints_in(tmp_path) as second:
        assert isinstance(first, Checkpoints) and second is None
    with checkpoints_in(tmp_path) as later:
        assert later is not None


def test_the_key_of_a_training_follows_its_plan_and_its_inputs(tmp_path: Path) -> None:
    data = tmp_path / "train.parquet"
    data.write_bytes(b"rows")
    one, other = TrainingSettings(), TrainingSettings(epochs=31)
    key = training_key(one, [data])
    assert key == training_key(one, [data]) and len(key) == 32
    assert key != training_key(other, [data])
    data.write_bytes(b"other rows")
    assert key != training_key(one, [data])


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from loops import new_network, trained
from evenly.params.training import TrainingSettings
trained(new_network(), TrainingSettings(**{settings!r}), checkpoints=Path({folder!r}), killed_after=4)
"""


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    settings = {"epochs": 12, **COMMON, "min_steps_per_epoch": 20}
    script = KILLED.format(tests=str(Path(__file__).parent), settings=settings, folder=str(tmp_path))
    child = subprocess.run([sys.executable, "-c", script])
    assert child.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("epoch-*")] == ["epoch-000003"]
    whole, resumed = new_network(), new_network()
    wanted = TrainingSettings(**settings)  # type: ignore[arg-type]
    assert trained(resumed, wanted, checkpoints=tmp_path) == trained(whole, wanted)
    assert resumed.passes < whole.passes
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
