"""A new environment with the built wheel, in which nothing of this checkout is importable; a shell in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def travel(script: str, place: Path, commands: Path, first: str | None = None) -> str:
    """Run a script as a shell would that stops at the first failure, and give what it printed.

    Commands are those of an environment; those of the folder `first`, if any, come before.
    """
    place.mkdir(exist_ok=True)
    home = commands.parent
    environment = clean_environment(commands) | {"DATA": str(place), "URL": str(home / "source")}
    environment |= {"MAKEFLAGS": f"VENV={home}"}
    if first is not None:
        environment["PATH"] = os.pathsep.join([first, environment["PATH"]])
    command = ["bash", "-euo", "pipefail", str(HERE / script)]
    done = subprocess.run(
        command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def make_environment(place: Path) -> None:
    """Build a wheel of what git would commit, and install it beside the libraries that are here."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / "source" / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "wheel")]
    subprocess.run(build, cwd=place / "source", check=True, capture_output=True)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "evenly"]):
        subprocess.run([*git, *words], cwd=place / "source", check=True, capture_output=True)
    venv.create(place, symlinks=True)
    (wheel,) = (place / "wheel").glob("evenly-*.whl")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), *install]
    subprocess.run(pip, check=True, capture_output=True)
    # Lines of a .pth file are put on the path, and what .pth files there say (editable installs) is not read.
    (here,) = place.glob("lib/python*/site-packages")
    libraries = [path for path in sys.path if path.endswith("-packages")]
    (here / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    dvc = place / "bin" / "dvc"
    dvc.write_text(f"#!{place / 'bin' / 'python'}\nfrom dvc.cli import main\nraise SystemExit(main())\n")
    dvc.chmod(0o755)
    # What `make run` would install is there: newer than all that a clone brings.
    (place / ".installed").touch()
    os.utime(place / ".installed", (2**32, 2**32))


def clean_environment(commands: Path) -> dict[str, str]:
    """What a user's shell has, with the commands of an environment first on the path."""
    drop = ("DVC_", "PYTEST_", "EVENLY_", "VIRTUAL_ENV", "GIT_", "PYTHONPATH")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    person = {
        f"GIT_{who}_{what}": "tester@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    kept |= person | {"PATH": f"{commands}{os.pathsep}{kept['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
    return kept | {"NO_COLOR": "1", "COLUMNS": "160", "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
