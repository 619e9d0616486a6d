"""Where the files of a data set lie: folders, zips and single files under one face, found and verified.

What is inside a file is read in `evenly.datasets.tabular` and `evenly.datasets.images`.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evenly.errors import DataError
from evenly.params.datasets import DatasetEntry

#: Raw data that evenly keeps; DVC tracks this folder, so changes below it are noticed.
RAW_FOLDER = "data/raw"

#: Names file and line of a row, for messages.
Where = Callable[[int], str]

#: A zip that unfolds to more than so many bytes, and to more than so many times its size, is refused.
MOST_UNFOLDED, MOST_TIMES = 512 * 2**20, 100
_ZIP_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, ValueError),
    *(RuntimeError, NotImplementedError, OverflowError, LookupError, MemoryError),
)
#: Where DVC keeps the content of a file for which it may leave a link.
_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")


@dataclass(frozen=True)
class FileTree:
    """Files under one name: a folder, the members of a zip, or a single file.

    `title` is what messages call the whole. `names` are relative, with forward slashes, sorted, without
    hidden files and folders; `read` gives the bytes of one of them.
    """

    title: str
    names: tuple[str, ...]
    read: Callable[[str], bytes]

    def title_of(self, name: str) -> str:
        """What to call one file in messages."""
        return self.title if self.names == (name,) and self.title.endswith(name) else f"{self.title}/{name}"

    def below(self, folder: str) -> FileTree:
        """The part of the tree inside one folder, with names relative to it."""
        prefix = folder.rstrip("/") + "/"
        names = tuple(name.removeprefix(prefix) for name in self.names if name.startswith(prefix))
        return FileTree(f"{self.title}/{folder.rstrip('/')}", names, lambda name: self.read(prefix + name))

    def without_wrapper(self) -> FileTree:
        """The tree inside the single top folder that archives often have, if there is one."""
        tops = {name.split("/", 1)[0] for name in self.names}
        if len(tops) == 1 and all("/" in name for name in self.names):
            return self.below(tops.pop())
        return self


def find_source(entry: DatasetEntry, name: str, roots: Sequence[Path]) -> Path:
    """The file or folder that `entry.path` means, looked for under each root in turn."""
    if not entry.path:
        raise DataError(
            f"datasets.yaml: {name}.path is empty; give it your data with `evenly add {name} FILE_OR_FOLDER`."
        )
    for root in roots:
        if (candidate := root / entry.path).exists():
            return candidate
    if entry.url or entry.urls:
        remedy = f"download it with `evenly fetch {name}`"
    elif any((root / f"{entry.path}.dvc").exists() for root in roots):
        remedy = f"bring it with `dvc checkout {entry.path}` or `dvc pull {entry.path}`"
    else:
        remedy = f"give it your data with `evenly add {name} FILE_OR_FOLDER`"
    raise DataError(f"{entry.path}, the path of datasets.yaml: {name}, does not exist; {remedy}.")


def is_tracked(path: str) -> bool:
    """Whether DVC notices when the data at this path of an entry change, because they lie under data/raw."""
    pure = PurePosixPath(path)
    return pure.is_relative_to(RAW_FOLDER) and ".." not in pure.parts


def source_identity(entry: DatasetEntry, name: str, roots: Sequence[Path]) -> dict[str, str]:
    """Path and SHA-256 of the data of an entry, where DVC tracks them; else its declared `sha256` is all."""
    if entry.builtin or not is_tracked(entry.path or RAW_FOLDER):
        return {}
    return {"path": entry.path or "", "sha256": checksum(find_source(entry, name, roots))}


@contextmanager
def open_tree(path: Path, title: str, links_out: bool = False) -> Iterator[FileTree]:
    """The files at `path`, readable while the block runs; links that lead out of a folder only if asked."""
    if path.is_dir():
        files = _folder_files(path, title, links_out)
        yield FileTree(title, _visible(files), lambda name: files[name].read_bytes())
    elif path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except _ZIP_DAMAGE as error:
            raise DataError(f"{title} is no readable zip file ({error}); bring it again.") from error
        with archive:
            members = _members(archive, title)
            unfolded = sum(info.file_size for info in archive.infolist())
            if unfolded > max(MOST_UNFOLDED, MOST_TIMES * path.stat().st_size):
                raise DataError(
                    f"{title} unfolds to {unfolded:,} bytes, more than {MOST_UNFOLDED:,} and more than "
                    f"{MOST_TIMES} times its size; unpack it and give the folder if it is what it should be."
                )
            yield FileTree(title, _visible(members), lambda name: _member(archive, title, members[name]))
    else:
        yield FileTree(title, (path.name,), lambda _: path.read_bytes())


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of a folder's sorted lines `relative path, two spaces, SHA-256 of the file`."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = _folder_files(path, str(path))
    lines = [f"{name}  {checksum(files[name])}\n" for name in _visible(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def verified_checksum(entry: DatasetEntry, name: str, source: Path) -> str | dict[str, str]:
    """Checksum of the data, or of each given part, after comparing it with what the entry declares."""
    if not isinstance(entry.sha256, dict):
        actual = checksum(source)
        if entry.sha256 and actual != entry.sha256:
            raise DataError(_mismatch(entry.path or "", f"{name}.sha256", entry.sha256, actual))
        return actual
    assert entry.files is not None  # the entry's own rule
    sums: dict[str, str] = {}
    for part, file in entry.files.given().items():
        if not (source / file).exists():
            raise DataError(
                f"{entry.path}/{file}, named by datasets.yaml: {name}.files.{part}, does not exist."
            )
        sums[part] = checksum(source / file)
        if sums[part] != entry.sha256[part]:
            where = f"{name}.sha256.{part}"
            raise DataError(_mismatch(f"{entry.path}/{file}", where, entry.sha256[part], sums[part]))
    return sums


def _mismatch(file: str, key: str, declared: str, actual: str) -> str:
    return (
        f"{file} has the SHA-256 {actual}, but datasets.yaml: {key} says {declared}; bring the declared "
        "data back, or write the new checksum there if the change is meant."
    )


def _folder_files(folder: Path, title: str, links_out: bool = False) -> dict[str, Path]:
    """The files of a folder by their names in it, but for hidden ones; what is no file is refused."""
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            name = path.relative_to(folder).as_posix()
            if _HIDDEN.search(name):
                continue
            if path.is_symlink():
                _check_link(path, folder, f"{title}/{name}", links_out)
            if path.is_dir():
                waiting.append(path)
            elif path.is_file():
                found[name] = path
            else:
                raise DataError(
                    f"{title}/{name} is neither a file nor a folder, but a pipe, socket or device; remove it."
                )
    return found


def _check_link(link: Path, folder: Path, title: str, links_out: bool) -> None:
    """Refuse a link that leads nowhere, in a circle, to a folder, or out of the data; DVC's own may do so."""
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        raise DataError(
            f"{title} is a link that leads nowhere (to {link.readlink()}); mend or remove it."
        ) from None
    except (OSError, RuntimeError):
        raise DataError(f"{title} is a link that leads in a circle; remove it.") from None
    inside = target.is_relative_to(folder.resolve())
    if not (inside or links_out or _DVC_CACHE.search(target.as_posix())):
        raise DataError(
            f"{title} is a link that leads out of {folder} (to {target}); put the file itself there, or "
            "remove the link."
        )
    if target.is_dir() and (inside or not links_out):
        raise DataError(
            f"{title} is a link to the folder {target}; put the folder itself there, or remove it."
        )


def _visible(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not _HIDDEN.search(name)))


def _members(archive: zipfile.ZipFile, title: str) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their names in it, with forward slashes also where Windows has written others."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if info.is_dir() or name.endswith("/"):
            continue
        if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:/", name):
            fault = ", which lies outside of it"
        elif name in members:
            fault = " twice"
        elif stat.S_ISLNK(info.external_attr >> 16):
            fault = ", which is a link"
        else:
            members[name] = info
            continue
        raise DataError(f"{title} holds {info.filename!r}{fault}; pack it again without.")
    return members


def _member(archive: zipfile.ZipFile, title: str, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except _ZIP_DAMAGE as error:
        name = member.filename.replace("\\", "/")
        if member.flag_bits & 1:
            raise DataError(f"{title}/{name} is encrypted; unpack it and give the folder.") from None
        raise DataError(f"{title}/{name} cannot be unpacked ({error}); bring the zip again.") from error
