"""Sweeps whose runs are jobs elsewhere, over a pipeline of two small stages that the real git and DVC run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.chaos import make_project, planned, storm
from evenly.cli import app
from evenly.errors import EvenlyError, ParameterError
from evenly.experiments.cluster_settings import ClusterSettings, read_cluster
from evenly.experiments.clusters import Cluster, Command, Ray, RefusedError, Slurm, open_cluster
from evenly.experiments.dispatching import run_on_cluster
from evenly.experiments.experiments import Experiment
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.hub import Hub
from evenly.experiments.jobs import MARK, main
from evenly.experiments.ledger import measured_seconds
from evenly.experiments.sweeping import Event, log_file

SCRIPT = Path(__file__).with_name("slurm.sh")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project; what its stages have done is written down beside it."""
    root = tmp_path / "tiny"
    make_project(root)
    (tmp_path / "storm.json").write_text('{"jobs": [], "senders": []}')
    monkeypatch.setenv("STORM", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return root


def tally(root: Path) -> list[str]:
    path = root.parent / "tally.txt"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def settings(**values: object) -> ClusterSettings:
    return ClusterSettings.model_validate({"poll_seconds": 0.1, "python": sys.executable} | values)


def command(root: Path, submit: str, **values: object) -> tuple[ClusterSettings, Cluster]:
    site = settings(command={"submit": submit}, **values)
    return site, open_cluster("command", root, site)


def run(
    root: Path, experiments: list[Experiment], site: ClusterSettings, cluster: Cluster, jobs: int = 4
) -> tuple[dict[str, str], list[Event]]:
    events: list[Event] = []
    failures = run_on_cluster(root, experiments, cluster, Hub(root, site.git), site, jobs, events.append)
    return failures, events


def references(root: Path) -> str:
    return subprocess.run(
        ["git", "for-each-ref", "refs/evenly"], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def test_whatever_is_killed_nothing_is_lost_and_nothing_else_is_run_twice(tiny: Path) -> None:
    left = storm(tiny, tiny.parent, seeds=[1, 2], jobs=2)
    assert left.senders >= 3
    assert left.begun == {run: 1 + (run in left.killed) for run in ("none-1", "none-2", "smote-1", "smote-2")}
    order = [line.split()[0] for line in tally(tiny)]
    for seed in "12":  # what shares a split waits for the one that makes it
        assert order.index(f"smote-{seed}") > len(order) - 1 - order[::-1].index(f"none-{seed}")
    assert set(left.results) == {"none-s1", "none-s2", "smote-s1", "smote-s2"}
    assert len({outputs["metrics/evaluate.json"] for outputs in left.results.values()}) == 4
    assert references(tiny) == ""  # what nobody needs any more is gone
    # A job that is sent once more, by whomever, finds that there is nothing to do.
    assert main(str(tiny), "none-s1") == 0
    assert left.begun["none-1"] == sum(line.startswith("none-1") for line in tally(tiny))


@pytest.mark.usefixtures("without_imports")
def test_jobs_of_slurm_share_a_gpu_and_a_failed_one_says_why(tiny: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")
    experiments = [*planned(["none"], [1]), *planned(["adasyn"], [2])]
    site = settings(gpus=1, jobs_per_gpu=2)
    failures, events = run(tiny, experiments, site, Slurm(tiny, site, kind="local"))
    assert failures == {"adasyn-s2": "filter: The class 'b' has too few rows."}
    assert {e.experiment.name: e.status for e in events if e.status in ("done", "failed")} == {
        "none-s1": "done",
        "adasyn-s2": "failed",
    }
    assert "stages/filter.py: The class 'b' has too few rows." in log_file(tiny, "adasyn-s2").read_text()
    # One submission for both, so that they run on the same card.
    assert len(list((tiny / ".cache/sweeps/slurm").glob("*_result.pkl"))) == 1
    # What it took is known as it is of runs here.
    assert measured_seconds(tiny, experiments[0]) is not None

    events.clear()
    failures, events = run(tiny, experiments[:1], site, Slurm(tiny, site, kind="local"))
    assert [e.status for e in events] == ["cached"] and len(tally(tiny)) == 2


@pytest.mark.usefixtures("without_imports")
def test_rows_of_a_language_model_are_written_here_and_reach_jobs_by_the_remote(
    tiny: Path, tmp_path: Path
) -> None:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(hub)], check=True)
    with (tiny / ".dvc" / "config").open("a") as config:
        config.write(f"    remote = store\n['remote \"store\"']\n    url = {tmp_path / 'store'}\n")
    subprocess.run(["git", "commit", "-qam", "A remote"], cwd=tiny, check=True)
    asking = [replace(one, asks_llm=True) for one in planned(["llm"], [1])]
    # Where jobs run, the workspace is not in sight.
    hidden = f"rm -f {tiny / MARK}; PLACE=away {{job}}"
    site, cluster = command(tiny, hidden, git=str(hub))
    failures, events = run(tiny, asking, site, cluster)
    assert failures == {}
    assert tally(tiny) == ["llm-1 "]  # once, and not away
    assert next(e.stage for e in events if e.status == "running") == "rows"
    assert Revision(tiny, "llm-s1", experiment_revisions(tiny)["llm-s1"]).complete


@pytest.mark.usefixtures("without_imports")
def test_a_machine_that_reaches_no_data_ends_the_sweep_in_one_sentence(tiny: Path) -> None:
    site, cluster = command(tiny, f"rm -f {tiny / MARK}; {{job}}")
    with pytest.raises(EvenlyError, match=r"^No job can run here: .* the project has no DVC remote; add one"):
        run(tiny, planned(["none", "smote"], [1, 2]), site, cluster)
    assert tally(tiny) == []


def test_a_job_that_ends_without_a_word_is_sent_again_so_often(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, cluster = command(tiny, "echo sent >> sent.txt; echo no memory is left; : {job}", tries=2)
    subprocess.run(["git", "config", "core.excludesFile", str(tiny.parent / "ignored")], cwd=tiny, check=True)
    (tiny.parent / "ignored").write_text("sent.txt\n")
    monkeypatch.chdir(tiny)
    failures, _ = run(tiny, planned(["none"], [1]), site, cluster)
    assert failures == {
        "none-s1": "Its job ended 2 times without a result; the last thing printed was: no memory is left"
    }
    assert (tiny / "sent.txt").read_text() == "sent\nsent\n"


class Narrow(Command):
    """Has room for one job."""

    refused = 0

    def submit(self, url: str, names: Sequence[str]) -> None:
        if self.alive(list(self._processes)):
            self.refused += 1
            raise RefusedError("No room.")
        super().submit(url, names)


@pytest.mark.usefixtures("without_imports")
def test_a_cluster_without_room_is_asked_again_when_something_has_ended(tiny: Path) -> None:
    site = settings(command={"submit": "{job}"})
    cluster = Narrow(tiny, site)
    failures, events = run(tiny, planned(["none"], [1, 2]), site, cluster)
    assert failures == {} and cluster.refused > 0
    assert sorted(e.status for e in events if e.status != "running") == ["done"] * 2 + ["started"] * 2


def test_no_key_of_a_url_is_printed(tiny: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be reached") as caught:
        Hub(tiny, "file://secret@/nowhere")
    assert "secret" not in str(caught.value)


def test_jobs_of_ray_take_their_share_of_a_gpu(tiny: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[ray]'")
    folder = tempfile.mkdtemp()  # short: a socket's path may have 107 letters
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = [*ray, "start", "--head", "--port=0", "--num-cpus=2", "--num-gpus=1"]
    start += ["--include-dashboard=true", f"--dashboard-port={port}"]
    subprocess.run(start, env=environment, check=True, capture_output=True)
    try:
        site = settings(gpus=1, jobs_per_gpu=2, ray={"address": f"http://127.0.0.1:{port}"})
        failures, _ = run(tiny, planned(["none"], [1]), site, open_cluster("ray", tiny, site))
        assert failures == {} and set(experiment_revisions(tiny)) == {"none-s1"}
        assert tally(tiny) == ["none-1 0"]  # on the card that Ray gave
        with pytest.raises(
            ParameterError, match=r"^Ray cannot be reached at http://127.0.0.1:1: .*--address"
        ):
            Ray(settings(ray={"address": "http://127.0.0.1:1"}))
    finally:
        subprocess.run([*ray, "stop", "--force"], env=environment, check=True, capture_output=True)
        shutil.rmtree(folder)


@pytest.mark.skipif(
    not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "squeue"))),
    reason="slurm is not installed: apt-get install slurm-wlm",
)
def test_a_slurm_of_one_node_runs_the_jobs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")
    folder = tmp_path / "slurm"
    started = subprocess.run([SCRIPT, "start", folder], check=True, capture_output=True, text=True)
    try:
        monkeypatch.setenv("SLURM_CONF", started.stdout.strip())
        site = settings()
        cluster = open_cluster("slurm", tiny, site)
        failures, events = run(tiny, planned(["none", "adasyn"], [1]), site, cluster)
        assert failures == {"adasyn-s1": "filter: The class 'b' has too few rows."}
        assert set(experiment_revisions(tiny)) == {"none-s1"}
        assert "running" in {e.stage for e in events}
        with pytest.raises(EvenlyError, match=r"^sbatch refuses the job: .*partition"):
            wrong = settings(slurm={"partition": "nowhere"})
            run(tiny, planned(["smote"], [1]), wrong, open_cluster("slurm", tiny, wrong))
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


def test_what_is_not_committed_and_a_hub_out_of_reach_are_refused(tiny: Path) -> None:
    with pytest.raises(
        ParameterError, match=r"^The git repository at /nowhere, .* cannot be reached: .*`git:`"
    ):
        Hub(tiny, "/nowhere")
    for name in ("dvc.lock", "notes.txt"):  # they decide nothing
        (tiny / name).touch()
    Hub(tiny, None)
    (tiny / "params.yaml").write_text("seed: 2\n")
    with pytest.raises(
        ParameterError, match=r"^params.yaml differs from the last commit: .* commit or stash"
    ):
        Hub(tiny, None)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("command: {submit: ssh host}", r"cluster.yaml: command.submit is 'ssh host': .* holds \{job\}"),
        ("command: {alive: pgrep x}", r"cluster.yaml: command.alive .* holds \{name\}"),
        ("jobs_per_gpu: 2", r"cluster.yaml: jobs_per_gpu is 2: .* give gpus \(--gpus\), too"),
        ("gpu: 1", r"cluster.yaml: gpu is not a known key; did you mean 'gpus'\?"),
        ("ray: 3", r"cluster.yaml: ray is 3: it should be a mapping"),
    ],
)
def test_a_wrong_key_of_the_site_is_one_sentence(tmp_path: Path, written: str, says: str) -> None:
    (tmp_path / "cluster.yaml").write_text(written)
    with pytest.raises(ParameterError, match=says):
        read_cluster(tmp_path / "cluster.yaml", ray__address=None, command__submit=None)


def test_the_command_line_comes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("gpus: 1\nray: {address: a, memory_gb: 2}\n")
    site = read_cluster(tmp_path / "cluster.yaml", gpus=2, jobs_per_gpu=None, ray__address="b")
    assert (site.gpus, site.jobs_per_gpu, site.ray.address, site.ray.memory_gb) == (2, 1, "b", 2)


def test_what_is_missing_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ParameterError, match=r"^--on command needs a command .* --command, such as 'ssh HOST"
    ):
        Command(tmp_path, settings())
    with pytest.raises(ParameterError, match="--jobs-per-gpu goes with slurm and ray"):
        command(tmp_path, "{job}", gpus=1, jobs_per_gpu=2)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")
        with pytest.raises(EvenlyError, match=r"^Slurm cannot be reached: there is no `squeue` here"):
            open_cluster("slurm", tmp_path, settings())
    for name in ("submitit", "ray"):
        monkeypatch.setitem(sys.modules, name, None)
    for kind, name in (("slurm", "submitit"), ("ray", "ray")):
        with pytest.raises(
            ParameterError, match=rf"^--on {kind} needs {name}, .*pip install -e '.\[{kind}\]'"
        ):
            open_cluster(kind, tmp_path, settings())


def test_what_is_for_jobs_elsewhere_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["sweep", "none", "--gpus", "1"])
    assert isinstance(result.exception, ParameterError)
    assert str(result.exception).startswith("--gpus is for jobs elsewhere: name the place with --on")


def test_a_name_fits_kubernetes_and_still_tells_jobs_apart(tmp_path: Path) -> None:
    submit = "echo {name} {gpus} {cpus} >> " + str(tmp_path / "names.txt") + " # {job}"
    site = settings(command={"submit": submit, "alive": "! true {name}"}, gpus=1, cpus=2)
    cluster = open_cluster("command", tmp_path, site)
    long = "a_data_set-" + "technique-" * 10
    for digest in ("0123456789", "9876543210"):
        cluster.submit("url", [f"{long}{digest}"])
    names = [line.split()[0] for line in (tmp_path / "names.txt").read_text().splitlines()]
    assert len(set(names)) == 2 and all(len(name) <= 63 and "_" not in name for name in names)
    assert (tmp_path / "names.txt").read_text().splitlines()[0].endswith(" 1 2")
    assert cluster.alive([f"{long}0123456789"]) == {}


def test_a_job_is_not_lost_because_ssh_reached_nothing(tmp_path: Path) -> None:
    commands = {"submit": "true {job}", "alive": "exit 255 # {name}"}
    cluster = open_cluster("command", tmp_path, settings(command=commands))
    cluster.submit("url", ["a"])
    assert cluster.alive(["a"]) == {"a": "out of reach"}
