"""Commands of a project as forks of one process that has imported the libraries once.

`python -m stages.NAME`, `dvc` and `evenly` of `commands()` do what the real ones do, with the code of the
folder they run in, and spend nothing on imports. tests/journeys runs the real ones and compares the bytes.
What is to be killed is real, too.
"""

from __future__ import annotations

import array
import atexit
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: What stages and DVC import. None starts a thread or a pool, so that forking is safe.
_LIBRARIES = """
dvc.cli dvc.repo dvc.dvcfile dvc.stage.serialize dvc.commands.repro dvc.commands.experiments.run
dvc.commands.metrics dvc.repo.experiments dvc.repo.experiments.executor.local
dvc.repo.experiments.queue.tempdir dvc.repo.reproduce dvc.repo.metrics.diff dvc.repo.plots dvc_data.index
pygit2 asyncssh dvc_render git numpy pandas pandas.io.formats.style pyarrow.parquet pyarrow.compute
pydantic ruamel.yaml jinja2 rich.console rich.table rich.progress typer PIL.Image cv2 scipy.stats
scipy.optimize scipy.sparse.linalg sklearn.linear_model sklearn.metrics sklearn.ensemble
sklearn.decomposition sklearn.feature_extraction.text sklearn.neighbors sklearn.cluster
sklearn.model_selection sklearn.pipeline matplotlib.pyplot matplotlib.backends.backend_agg torch
torch.utils.data tenacity aiohttp openai
"""

#: Passes the words, the folder, the environment and the three streams on, and ends as the fork does.
_CLIENT = """#!{python} -ISE
import array, json, os, socket, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and not (words[:1] == ["-m"] and words[1].split(".")[0] in ("stages", "dvc", "evenly")):
    os.execv({python!r}, [{python!r}, *words])
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
asked = json.dumps([name, words, os.getcwd(), dict(os.environ)]).encode()
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
link.sendmsg([len(asked).to_bytes(8, "big")], [rights])
link.sendall(asked)
status = link.recv(1)
os._exit(status[0] if status else 137)
"""


@cache
def commands() -> str:
    """The folder of the commands."""
    folder = tempfile.mkdtemp(prefix="evenly-forked-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = str(Path(folder, "socket"))
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    for name in ("python", "dvc", "evenly"):
        path = Path(folder, name)
        path.write_text(_CLIENT.format(python=sys.executable, address=address))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    atexit.register(server.communicate)  # closes its standard input, and waits for it
    return folder


def _run(name: str, words: list[str], path: str) -> None:
    """Be the command: its modules are found as the real one finds them."""
    sys.executable = str(Path(path, "python"))
    module = words[1] if name == "python" else {"dvc": "dvc", "evenly": "evenly.cli"}[name]
    sys.argv = words[1:] if name == "python" else [name, *words]
    if name == "python":
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    own = Path("src").resolve()
    sys.path.insert(0, str(own if (own / "evenly").is_dir() else ROOT / "src"))
    if name == "evenly":
        importlib.import_module("evenly.cli").main()
        return
    from dvc.cli import main

    importlib.import_module("evenly.experiments.lockfile").write_by_entries()
    sys.exit(main(words))


def _become(
    streams: list[int], path: str, name: str, words: list[str], folder: str, env: dict[str, str]
) -> int:
    """Run the command in this fork, and give its exit status."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    status = 0
    try:
        _run(name, words, path)
    except SystemExit as done:
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
        status = done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for out in (sys.stdout, sys.stderr):
        with suppress(Exception):
            out.flush()
    return status


def _serve(link: socket.socket, path: str) -> None:
    """Fork what a client asks for; its status goes back, and if the client is killed, so is it."""
    size, rights, _, _ = link.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = list(array.array("i", rights[0][2]))
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += link.recv(1 << 16)
    name, words, folder, env = json.loads(asked)
    child = os.fork()
    if not child:
        link.close()
        os._exit(_become(streams, path, name, words, folder, env) & 0xFF)
    for stream in streams:
        os.close(stream)

    def end_with_client() -> None:
        if not link.recv(1):
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)

    threading.Thread(target=end_with_client, daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    link.sendall(bytes([status if status >= 0 else 128 - status]))


def _reap(number: int, frame: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _listen(address: str) -> None:
    for library in _LIBRARIES.split():
        with suppress(ImportError):
            importlib.import_module(library)
    assert not [name for name in sys.modules if name.split(".")[0] in ("evenly", "stages")]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)

    def end_with_starter() -> None:
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=end_with_starter, daemon=True).start()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        link, _ = listener.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _serve(link, str(Path(address).parent))
            os._exit(0)
        link.close()


if __name__ == "__main__":
    _listen(sys.argv[1])
