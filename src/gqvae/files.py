"""Writing artifacts so that a reader never sees half of one, whatever dies in between: a process or the power."""

import errno
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gqvae.errors import GqvaeError

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps two processes out of one folder
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
"""Ends the name of what is not finished; here the name begins with a dot, too."""
MAX_FILE_BYTES = 64 * 2**20
"""The most bytes of a JSON file: parsed, a hostile one takes some twenty times as much memory."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what file systems without locks answer
LOCK = "lock"
"""The file that marks a folder as in use while a process holds a lock on it."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block succeeds, put that file on the disk and rename it over `path`.

    An exception leaves the old file untouched and nothing else; a kill leaves the old file or the new, and what the
    next write to `path` clears away. A link stays one, and a file that is replaced keeps its permissions.

    Raises GqvaeError for what the system refuses, inside the block too: a full disk, a folder without permission.
    """
    with reporting_os_errors(path):
        path = behind_links(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # in a folder of its own: a library that writes may put temporary files of its own beside the one it is given
        with scratch(path.parent, f".{path.name}.") as folder:
            temporary = folder / path.name
            yield temporary
            sync(temporary)  # or a power cut could leave the new name on an empty file
            os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else _folder_mode(folder) & 0o666)
            os.replace(temporary, path)
            sync(path.parent)


def behind_links(path: Path) -> Path:
    """Where a link leads to. `Path.resolve` raises RuntimeError for links in a circle before Python 3.13."""
    return Path(os.path.realpath(path))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; put it in the place of `path` when the block succeeds.

    The old folder is moved aside first and deleted last: a kill in between leaves both, under hidden names.
    """
    path = behind_links(path)
    with reporting_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new"))
        aside = temporary.with_suffix(".old")
        try:
            yield temporary
            os.chmod(temporary, _folder_mode(temporary))
            for file in (*temporary.rglob("*"), temporary):
                sync(file)
            if path.exists():
                os.replace(path, aside)
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            if aside.exists() and not path.exists():
                os.replace(aside, path)
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(aside, ignore_errors=True)


def _folder_mode(folder: Path) -> int:
    """The mode of a new folder. Found by making one, as reading the umask means setting it, for all threads."""
    probe = folder / ".probe"
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    return mode


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, on the disk itself and not only in the system's memory."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and needs no help with their names
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what file systems without this answer
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, as in use, and clear away what a killed process left unfinished in it.

    The operating system lets go of the lock when the process ends, however it ends. Raises GqvaeError where another
    process holds it.
    """
    if folder.is_file():
        raise GqvaeError(f"{folder} is a file: name a folder")
    with reporting_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")  # it may be somebody's file of that name
    with file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GqvaeError(f"another process is at work in {folder}: wait for it, or stop it") from None
            except OSError as error:  # without locks, as on Windows, nothing keeps two processes out
                if error.errno not in _NO_LOCKS:
                    raise GqvaeError(f"cannot lock {folder}: {error.strerror or error}") from error
        _clear(folder, ".")
        yield


def temporary_folder() -> Path:
    """Where temporary files go. Raises GqvaeError where there is no such place."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise GqvaeError(f"no place for temporary files: {error.strerror or error}") from error


@contextmanager
def scratch(folder: Path | None, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `folder` (None: where temporary files go) that is gone after the block.

    Those with the same prefix whose processes were killed are cleared away first.
    """
    folder = folder or temporary_folder()
    with reporting_os_errors(folder):
        _clear(folder, prefix)
        made, lock = _locked_folder(folder, prefix)
    try:
        with lock:
            yield made
    finally:
        with suppress(OSError):
            _remove(made)


def _locked_folder(folder: Path, prefix: str) -> tuple[Path, IO[str]]:
    while True:
        made = Path(tempfile.mkdtemp(PARTIAL, prefix, folder))
        with suppress(FileNotFoundError):  # until it was locked, another process may have taken it for left
            lock = (made / LOCK).open("w")
            if fcntl:
                with suppress(OSError):  # a file system without locks, where nobody will take it for left
                    fcntl.flock(lock, fcntl.LOCK_EX)
            if (made / LOCK).exists():
                return made, lock
            lock.close()


def _clear(folder: Path, prefix: str) -> None:
    """Remove the unfinished folders of `scratch` that no living process holds."""
    if not fcntl:
        return
    for left in folder.glob(f"{glob.escape(prefix)}*{PARTIAL}"):
        with suppress(OSError):  # gone by now, locked, on a file system without locks, or not ours
            if left.is_symlink() or left.stat().st_uid != os.geteuid():
                continue  # not of `scratch`, or somebody else's: temporary files go where all may write
            if not (left / LOCK).exists():
                left.rmdir()  # its process was killed before it put the lock there
                continue
            with (left / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)


def _remove(folder: Path) -> None:
    """The lock goes last: a folder without it counts as somebody else's."""
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(folder)


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form: sorted keys, no spaces, ASCII."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file. Raises GqvaeError that names the file when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GqvaeError(f"cannot read {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises GqvaeError that names the file when it is missing, malformed or too large."""
    try:
        return json.loads(read_bounded(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise GqvaeError(f"{path} is not valid JSON: {error}") from error


def read_bounded(path: Path) -> bytes:
    """The content of a file that may be hostile, at most MAX_FILE_BYTES.

    Raises GqvaeError that names the file when it is larger, none or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe or a device could be read for ever
            raise GqvaeError(f"{path} is not a file")
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise GqvaeError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise GqvaeError(f"{path} is larger than the {MAX_FILE_BYTES} bytes such a file may have")
    return content


@contextmanager
def reporting_os_errors(path: Path) -> Iterator[None]:
    """Make what the operating system refuses an error that says where."""
    try:
        yield
    except OSError as error:
        raise GqvaeError(f"cannot write {path}: {error.strerror or error}") from error
