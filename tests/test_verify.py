"""`verify` passes what is good and notices what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from toys import TEXT, toy

from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer
from gqvae.verify import verify


def test_verify_passes_a_good_tokenizer(tmp_path: Path) -> None:
    for pattern in PATTERNS:
        toy(pattern).save(tmp_path)
        checks = verify(tmp_path, [TEXT, b"\xff"])
        assert all(check.ok for check in checks)
        assert {check.name for check in checks} >= {"ids dense", "bytes complete", "samples round-trip"}


def test_verify_reports_a_bad_file(tmp_path: Path) -> None:
    path = toy().save(tmp_path)
    path.write_text(path.read_text().replace("toy", "boy"))
    checks = verify(tmp_path)
    assert [check.ok for check in checks] == [False]
    assert "sha256" in checks[0].detail


def test_verify_reports_lost_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy().save(tmp_path)
    encode = Tokenizer.encode

    def lossy(self: Tokenizer, text: Any, **options: Any) -> list[int]:
        return encode(self, text, **options)[:20]

    monkeypatch.setattr(Tokenizer, "load", classmethod(lambda cls, folder: toy()))
    monkeypatch.setattr(Tokenizer, "encode", lossy)
    assert {check.name for check in verify(tmp_path) if not check.ok} == {
        "random bytes round-trip",
        "awkward text round-trips",
    }
