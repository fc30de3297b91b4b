"""One process at a time holds a folder, and what killed ones left is cleared away, and nothing else."""

import errno
import multiprocessing
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from gqvae import files
from gqvae.errors import GqvaeError
from gqvae.files import LOCK, PARTIAL, locked, read_json, replacing_folder, scratch, write_json


def hold(block: AbstractContextManager[Any], ready: Any) -> None:
    with block:
        ready.set()
        multiprocessing.get_context("fork").Event().wait()


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(locked(tmp_path), ready))
    process.start()
    assert ready.wait(30)
    with pytest.raises(GqvaeError, match="another process is at work"), locked(tmp_path):
        pass
    process.kill()
    process.join()
    with locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == [LOCK]


def test_taking_a_folder_clears_what_a_kill_left_there(tmp_path: Path) -> None:
    left = tmp_path / f".folder.abc{PARTIAL}"
    (left / "inside").mkdir(parents=True)
    (left / LOCK).touch()
    (tmp_path / f".killed before it was locked{PARTIAL}").mkdir()
    (tmp_path / f".mine{PARTIAL}" / "not ours").mkdir(parents=True)
    (tmp_path / "mine.partial").write_text("not ours")
    with replacing_folder(tmp_path / "hf") as being_written, locked(tmp_path):
        assert sorted(os.listdir(tmp_path)) == sorted([LOCK, "mine.partial", ".mine.partial", being_written.name])


def test_files_are_written_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    write_json(tmp_path / "a.json", "new")
    assert read_json(tmp_path / "a.json") == "new"
    assert os.listdir(tmp_path) == ["a.json"]
    with locked(tmp_path / "folder"):
        pass


def test_what_else_a_lock_may_be_refused_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(GqvaeError, match=r"cannot lock .*folder: Input/output error"), locked(tmp_path / "folder"):
        pass


def test_scratch_goes_at_the_end_or_when_another_finds_its_process_dead(tmp_path: Path) -> None:
    (tmp_path / ".scratch.txt").write_text("not ours")
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(scratch(tmp_path, ".scratch."), ready))
    process.start()
    assert ready.wait(30)
    with scratch(tmp_path, ".scratch.") as ours:
        (ours / "folder").mkdir()
        assert len(os.listdir(tmp_path)) == 3
    assert len(os.listdir(tmp_path)) == 2
    process.kill()
    process.join()
    with scratch(tmp_path, ".scratch.") as ours:
        assert sorted(os.listdir(tmp_path)) == sorted([".scratch.txt", ours.name])


def test_scratch_taken_for_left_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, taken = files.fcntl.flock, []

    def late(file: Any, how: int) -> None:
        if not taken:
            taken.append(file.name)
            files.shutil.rmtree(Path(file.name).parent)
        flock(file, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    with scratch(tmp_path, ".scratch.") as ours:
        assert os.listdir(ours) == [LOCK]
        assert taken


def test_links_and_folders_of_others_are_not_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("checkpoint", files.LOCK):
        (run / name).write_text("")
    link = tmp_path / ".scratch.a.partial"
    link.symlink_to(run)
    with scratch(tmp_path, ".scratch."):
        assert sorted(os.listdir(run)) == ["checkpoint", files.LOCK]
    link.unlink()
    run.rename(link)
    monkeypatch.setattr(os, "geteuid", lambda: link.stat().st_uid + 1)
    with scratch(tmp_path, ".scratch."):
        assert link.exists()
    monkeypatch.undo()
    with scratch(tmp_path, ".scratch."):
        assert not link.exists()
