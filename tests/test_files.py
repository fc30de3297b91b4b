"""Files and folders are replaced whole or not at all."""

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gqvae import files
from gqvae.errors import GqvaeError
from gqvae.files import (
    digest,
    file_digest,
    locked,
    read_json,
    replacing,
    replacing_folder,
    write_json,
)  # fmt: skip


def failing(call: Callable[..., Any], at: int) -> Callable[..., Any]:
    """`call`, but on a full disk the `at`-th time."""
    count = 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(*arguments)

    return counted


@pytest.mark.parametrize("operation", ["fsync", "replace", "chmod"])
def test_a_full_disk_leaves_the_old_file(operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, "old")
    monkeypatch.setattr(os, operation, failing(getattr(os, operation), 1))
    with pytest.raises(GqvaeError, match=rf"cannot write {path}: No space left on device"):
        write_json(path, "new")
    assert read_json(path) == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failure_inside_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(f"half {1 // 0}")
    with pytest.raises(GqvaeError, match=r"cannot write .*a\.txt: No space left"), replacing(path) as temporary:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_content_is_on_the_disk_before_its_name_and_the_name_before_we_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut can leave the new name on an empty file."""
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(files, "sync", lambda path: done.append(f"sync {path.name[:6]}"))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("rename"), replace(old, new)))
    write_json(tmp_path / "a.json", "new")
    assert done == ["sync a.json", "rename", f"sync {tmp_path.name[:6]}"]


def test_the_names_in_a_folder_are_on_the_disk_before_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(files, "sync", lambda path: done.append(str(path)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("rename"), replace(old, new)))
    with replacing_folder(tmp_path / "a") as folder:
        (folder / "b").write_text("c")
    assert done == [str(folder / "b"), str(folder), "rename", str(tmp_path)]


def test_file_systems_that_cannot_sync_are_borne_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.EINVAL, errno.EIO):

        def fails(_: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fails)
        if number == errno.EINVAL:
            files.sync(tmp_path)
        else:
            with pytest.raises(OSError, match="error"):
                files.sync(tmp_path)


@pytest.mark.parametrize("at", [1, 2])
def test_a_folder_is_replaced_or_the_old_one_stays(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "a").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(os.replace, at))
        with pytest.raises(GqvaeError, match="cannot write"), replacing_folder(folder) as temporary:
            (temporary / "a").write_text("new")
    assert (folder / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["hf"]
    with replacing_folder(folder) as temporary:
        (temporary / "b").write_text("new")
    assert os.listdir(folder) == ["b"]
    assert os.listdir(tmp_path) == ["hf"]


def replace_until_killed(folder: Path, at: int) -> None:
    count, replace = 0, os.replace

    def dying(old: Any, new: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), 9)
        replace(old, new)

    os.replace = dying
    with replacing_folder(folder) as temporary:
        (temporary / "a").write_text("new")


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither(at: int, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "a").write_text("old")
    process = multiprocessing.get_context("fork").Process(target=replace_until_killed, args=(folder, at))
    process.start()
    process.join()
    assert process.exitcode == -9
    found = sorted(path.read_text() for path in tmp_path.rglob("a"))
    assert found == ["new", "old"]
    assert folder.exists() == (at == 1)


def write_until_killed(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        (temporary.parent / ".tmpAbC123").write_text("what a library keeps beside the file it writes")
        os.kill(os.getpid(), 9)


def test_the_next_write_clears_what_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    path.write_text("old")
    process = multiprocessing.get_context("fork").Process(target=write_until_killed, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a[1].txt"]


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GqvaeError, match=rf"cannot write {tmp_path / 'file'}"):
        write_json(tmp_path / "file" / "a", 1)
    with pytest.raises(GqvaeError, match=rf"{tmp_path / 'file'} is a file: name a folder"), locked(tmp_path / "file"):
        pass
    with pytest.raises(GqvaeError, match=rf"cannot write {tmp_path / 'file' / 'a'}"), locked(tmp_path / "file" / "a"):
        pass


def test_digests_depend_on_the_content_alone(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": [1.5, "é"]}) == digest({"b": [1.5, "é"], "a": 1}) != digest({"a": 1})
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf")  # the SHA-256 of "abc", from its standard
    with pytest.raises(GqvaeError, match="cannot read"):
        file_digest(tmp_path / "b")


def test_json_is_read_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    for content, message in (
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"1" * 5000, "not valid"),
    ):
        path.write_bytes(content)
        with pytest.raises(GqvaeError, match=rf"a\.json is {message}"):
            read_json(path)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 4999)
    with pytest.raises(GqvaeError, match=r"a\.json is larger than the 4999 bytes"):
        read_json(path)
    for nothing, message in ((tmp_path / "b", "cannot read"), (Path("/dev/zero"), "is not a file")):
        with pytest.raises(GqvaeError, match=message):
            read_json(nothing)


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_written_may_be_read_by_whom_the_umask_lets(mask: int, file: int, folder: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "a.json", 1)
        with replacing_folder(tmp_path / "b") as new:
            (new / "c").touch()
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == folder


def test_the_folder_that_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    (real / "old").touch()
    link.symlink_to(real)
    with replacing_folder(link) as temporary:
        (temporary / "new").touch()
    assert link.is_symlink()
    assert [path.name for path in real.iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_file_that_is_replaced_keeps_its_permissions_and_the_links_to_it(tmp_path: Path) -> None:
    file, link = tmp_path / "file.json", tmp_path / "link.json"
    link.symlink_to(file.name)
    for before, after in ((0o600, 0o600), (0o4755, 0o755)):  # new content does not inherit whose rights it runs with
        file.touch()
        file.chmod(before)
        write_json(link, "new")
        assert (link.is_symlink(), read_json(file)) == (True, "new")
        assert stat.S_IMODE(file.stat().st_mode) == after


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(GqvaeError, match="cannot write"):
        write_json(tmp_path / "one" / "file.json", "new")
