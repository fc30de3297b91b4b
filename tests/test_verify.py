"""`verify` passes what is good and notices what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from toys import TEXT, toy

from gqvae.export.again import verify_export
from gqvae.patterns import PATTERNS
from gqvae.tokenizer import Tokenizer
from gqvae.verify import verify
from gqvae.vocabulary import Vocabulary


def test_verify_passes_a_good_tokenizer(tmp_path: Path) -> None:
    for pattern in PATTERNS:
        toy(pattern).save(tmp_path)
        checks = verify(tmp_path, [TEXT, b"\xff"])
        assert all(check.ok for check in checks)
        assert {check.name for check in checks} >= {"ids decode to their tokens", "samples round-trip"}


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


def test_verify_reports_an_id_that_decodes_to_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy().save(tmp_path)
    decode = Tokenizer.decode_bytes

    def confused(self: Tokenizer, ids: Any) -> bytes:
        return b"?" if list(ids) == [300] else decode(self, ids)

    monkeypatch.setattr(Tokenizer, "decode_bytes", confused)
    assert "ids decode to their tokens" in {check.name for check in verify(tmp_path) if not check.ok}


def test_exports_are_proven_again(tmp_path: Path) -> None:
    from collections import Counter

    from gqvae.export.again import verify_export
    from gqvae.export.chat import Settings
    from gqvae.export.huggingface import export_huggingface
    from gqvae.export.portable import export_portable
    from gqvae.patterns import split

    tokenizer = toy(size=400)
    tokenizer.save(tmp_path / "tok")
    counts = Counter(split(TEXT, tokenizer.pattern))
    folders = [tmp_path / name for name in ("plain", "chat", "portable")]
    export_huggingface(tokenizer, folders[0])
    export_huggingface(tokenizer, folders[1], settings=Settings(chat_template="chatml"))
    export_portable(tokenizer, folders[2], counts, keep=0.5)
    for folder in folders:
        check = verify_export(tmp_path / "tok", folder, [TEXT])
        assert check.ok, check.detail
        assert "tokenizers, transformers" in check.detail
    toy(size=390).save(tmp_path / "other")
    assert "differ" in verify_export(tmp_path / "other", folders[0]).detail
    assert "number of learned ids is 143, not 133" in verify_export(tmp_path / "other", folders[2]).detail
    config = folders[0] / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"clean_up_tokenization_spaces": false', '"strip": true'))
    tokens = folders[1] / "tokenizer.json"
    tokens.write_text(tokens.read_text().replace('"Ġthe"', '"Ġteh"'))
    (folders[2] / "ranks.tiktoken").write_bytes(b"garbage")
    empty = tmp_path / "empty"
    for folder in (folders[1], folders[2], empty, tmp_path / "tok"):
        check = verify_export(tmp_path / "tok", folder, [TEXT])
        assert not check.ok
        assert "written" not in check.detail
    unigram = '{"model": {"type": "Unigram"}'
    for damage in ("", "{", "[]", "{}", unigram + "}", unigram + ', "added_tokens": 3}', "[" * 100_000):
        tokens.write_text(damage)
        assert not verify_export(tmp_path / "tok", folders[1]).ok


def test_a_package_that_is_missing_says_nothing_of_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'gguf'", name="gguf")

    toy().save(tmp_path / "toy")
    monkeypatch.setattr("gqvae.export.again._checked", missing)
    with pytest.raises(ModuleNotFoundError):
        verify_export(tmp_path / "toy", tmp_path / "export")


def test_exports_to_gguf_and_sentencepiece_are_proven_again(tmp_path: Path) -> None:
    from collections import Counter

    from gqvae.export.again import verify_export
    from gqvae.export.gguf import export_gguf
    from gqvae.export.portable import portable_bpe
    from gqvae.export.sentencepiece import export_sentencepiece
    from gqvae.patterns import split

    vocabulary = Vocabulary((b"the", b" the", b" rain"), ("<|endoftext|>",))
    whole = Tokenizer(vocabulary, [-9.0] * 256 + [-3.0] * 3, "none", "whole")
    whole.save(tmp_path / "sentencepiece-tok")
    export_sentencepiece(whole, tmp_path / "sentencepiece")
    cut = toy("gpt4", size=350)
    cut.save(tmp_path / "gguf-tok")
    export_gguf(portable_bpe(cut, Counter(split(TEXT, "gpt4"))), tmp_path / "gguf")
    for name, file in (("sentencepiece", "tokenizer.model"), ("gguf", "tokenizer.gguf")):
        check = verify_export(tmp_path / f"{name}-tok", tmp_path / name, [TEXT])
        assert check.ok, check.detail
        assert name in check.detail
        if name == "gguf":
            toy("gpt2", size=350).save(tmp_path / "other")
            assert "its pattern is gpt4, not gpt2" in verify_export(tmp_path / "other", tmp_path / name).detail
        path = tmp_path / name / file
        good = path.read_bytes()
        for damage in (good[:-200], good.replace(b"the", b"teh"), b"", b"garbage" * 100):
            path.write_bytes(damage)
            check = verify_export(tmp_path / f"{name}-tok", tmp_path / name, [TEXT])
            assert not check.ok
            assert "written" not in check.detail
