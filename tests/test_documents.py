"""A long document, which waits on disk, is the same document and has the same faults as a short one."""

import errno
import tempfile
from pathlib import Path

import pytest
from formats import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae.corpus import Corpus
from gqvae.corpus.documents import LongDocument
from gqvae.errors import GqvaeError


@given(data=st.lists(st.sampled_from([b"ab", "é日".encode(), b"\n", b"\r\n", b"<|endoftext|>", b" "])).map(b"".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_long_documents_are_the_same_documents(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    whole = read(path)
    with monkeypatch.context() as patch:
        for name, value in (("corpus.documents.LONG", 4), ("corpus.documents._BLOCK", 2), ("corpus.readers._LINE", 20)):
            patch.setattr(f"gqvae.{name}", value)
        assert read(path) == whole
        assert read(path, separator=None) == ([data.decode()] if data else [])


def test_the_length_of_a_long_document_is_its_bytes() -> None:
    document = LongDocument()
    for part in ("é", "日本"):
        document.append(part.encode())
    assert len(document) == 8
    assert "".join(document) == "é日本"


def test_bytes_that_are_not_utf8_are_found_in_a_long_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("日本\n".encode() * 100 + b"a\xff\nb\n<|endoftext|>\ncut \xe6")
    errors = []
    for long in (1 << 26, 64):
        monkeypatch.setattr("gqvae.corpus.documents.LONG", long)
        monkeypatch.setattr("gqvae.corpus.documents._BLOCK", 10)
        corpus = Corpus((str(path),), on_error="skip")
        assert list(corpus.documents()) == []
        errors.append(corpus.skips.examples)
    assert errors[0] == errors[1]
    assert "a.txt:101: not UTF-8 (byte 0xff)" in errors[0][0]


def test_a_full_disk_for_what_waits_there_is_no_bad_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr("gqvae.corpus.documents.LONG", 4)
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    (tmp_path / "a.txt").write_text("a long document\n<|endoftext|>\nb\n")
    with pytest.raises(GqvaeError, match=rf"cannot write {tempfile.gettempdir()}: No space left"):
        list(Corpus((str(tmp_path / "a.txt"),), on_error="skip").streamed())


@pytest.mark.parametrize("place", ["tempfile.TemporaryFile", "tempfile.gettempdir"])
def test_a_temporary_file_that_cannot_be_made_is_no_bad_document(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOSPC, "No space")

    monkeypatch.setattr("gqvae.corpus.documents.LONG", 4)
    monkeypatch.setattr(place, refuse)
    (tmp_path / "a.txt").write_text("a long one\n<|endoftext|>\nb")
    with pytest.raises(GqvaeError, match=r"(cannot write .*|no place for temporary files): No space"):
        list(Corpus((str(tmp_path / "a.txt"),), on_error="skip").streamed())
