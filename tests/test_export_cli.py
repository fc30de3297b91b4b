"""`gqvae export` and its formats as a person meets them: files, reports, refusals and the exit status."""

import json
from pathlib import Path

import pytest
from calling import Result, call
from toys import TEXT, toy

from gqvae.export.parity import unreachable_ids
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

for package in ("tiktoken", "gguf", "sentencepiece"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizers") / "toy"
    toy(size=330).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "some.txt"
    path.write_text(f"{TEXT}\n<|endoftext|>\n{TEXT.upper()}\n<|endoftext|>\n{TEXT}", encoding="utf-8")
    return str(path)


def export(tok: str, out: Path, *more: str) -> Result:
    return call("export", tok, "--out", str(out), *more)


def test_portable_then_evaluate_then_gguf(tok: str, text_file: str, tmp_path: Path) -> None:
    options = ("--train-corpus", text_file, "--corpus", text_file, "--merges-only", "--keep", "0.5")
    result = export(tok, tmp_path / "fast", "--format", "portable", *options)
    assert result.status == 0
    report = json.loads(result.out)
    assert report == json.loads((tmp_path / "fast/parity.json").read_text())
    assert (report["documents"], report["unreachable_ids"], report["vocab_size"]) == (3, 0, 330)

    rows = json.loads(call("evaluate", tok, f"hf:{tmp_path / 'fast'}", "--corpus", text_file, "--json").out)
    assert all(row["lossless"] for row in rows)
    kept = rows[1]["bytes_per_token"] / rows[0]["bytes_per_token"]
    assert kept == pytest.approx(report["agreement"]["documents"]["compression_kept"])

    result = export(str(tmp_path / "fast"), tmp_path / "llama", "--format", "gguf", "--corpus", text_file)
    assert result.status == 0
    assert {path.name for path in (tmp_path / "llama").iterdir()} == {"tokenizer.gguf", "parity.json"}


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--format", "portable", "--train-corpus", "-", "--corpus", "-"], 2, "stdin can be read once"),
        (["--format", "portable"], 1, "--train-corpus"),
        (["--format", "portable", "--train-corpus", "SHORT"], 1, "give more of it"),
        (["--format", "sentencepiece"], 1, "no pretokens"),
        (["--format", "gguf"], 1, "first gqvae export"),
        (["--pad-token", "<nobody>"], 1, "is no special token"),
        (["--train-corpus", "TEXT"], 2, "are for --format portable"),
        (["--keep", "0.9"], 2, "are for --format portable"),
        (["--format", "gguf", "--chat-template", "chatml"], 2, "go into a tokenizer.json"),
        (["--format", "onnx"], 2, "onnx"),
    ],
)
def test_refusals_write_nothing(
    tok: str, text_file: str, tmp_path: Path, options: list[str], status: int, message: str
) -> None:
    files = {"TEXT": text_file, "SHORT": str(Path(text_file).with_name("short.txt"))}
    Path(files["SHORT"]).write_text("a word")
    result = export(tok, tmp_path / "out", *(files.get(option, option) for option in options))
    assert result.status == status
    assert message in result.err
    assert result.out == b""
    assert list(tmp_path.iterdir()) == []


def test_a_portable_export_is_not_made_portable_again(tok: str, text_file: str, tmp_path: Path) -> None:
    more = ("--format", "portable", "--train-corpus", text_file, "--keep", "0.5", "--merges-only")
    assert export(tok, tmp_path / "fast", *more).status == 0
    for given in (more, ("--format", "portable")):
        assert "portable export already" in export(str(tmp_path / "fast"), tmp_path / "again", *given).err
    assert export(str(tmp_path / "fast"), tmp_path / "chat", "--chat-template", "chatml").status == 0


def test_only_an_earlier_export_is_replaced(tok: str, text_file: str, tmp_path: Path) -> None:
    """Somebody's tokenizer is called like one of ours; and what is exported would be gone."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "tokenizer.model").write_text("precious")
    result = export(tok, foreign)
    assert (result.status, "holds other files (tokenizer.model)" in result.err) == (1, True)
    assert [path.name for path in foreign.iterdir()] == ["tokenizer.model"]
    assert export(tok, tmp_path / "hf").status == export(tok, tmp_path / "hf").status == 0

    fast = tmp_path / "fast"
    portable = ("--format", "portable", "--train-corpus", text_file, "--keep", "0.5", "--merges-only")
    assert export(tok, fast, *portable).status == 0
    before = {path.name: path.read_bytes() for path in fast.iterdir()}
    for more in ((), ("--format", "gguf")):
        assert "would be replaced" in export(str(fast), fast, *more).err
    assert {path.name: path.read_bytes() for path in fast.iterdir()} == before


def test_a_token_within_a_character_is_reachable() -> None:
    """Alone, its bytes are no letters, and the pattern cuts them; in a word it occurs."""
    vocabulary = Vocabulary(("\u0438\u043a".encode()[1:], b"a b"))
    tokenizer = Tokenizer(vocabulary, [-9.0] * 256 + [-1.0] * 2, "gpt2", "cut")
    assert 256 in tokenizer.encode("\u0438\u043a")
    assert tokenizer.encode(vocabulary.learned[0]) != [256]
    assert unreachable_ids(tokenizer) == 1


def test_a_name_means_the_same_as_elsewhere(
    tok: str, text_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer here, though a bundled one is called so."""
    portable = ("--format", "portable", "--train-corpus", text_file, "--keep", "0.5", "--merges-only")
    assert export(tok, tmp_path / "tinystories-1024", *portable).status == 0
    monkeypatch.chdir(tmp_path)
    assert export("tinystories-1024", tmp_path / "hf").status == 0
    assert json.loads((tmp_path / "hf" / "tokenizer.json").read_text())["model"]["type"] == "BPE"
    assert call("encode", "tinystories-1024", stdin=b"words").status == 1


def test_the_export_of_a_portable_export_is_proven_again(tok: str, text_file: str, tmp_path: Path) -> None:
    portable = ("--format", "portable", "--train-corpus", text_file, "--keep", "0.5", "--merges-only")
    assert export(tok, tmp_path / "fast", *portable).status == 0
    assert export(str(tmp_path / "fast"), tmp_path / "chat", "--chat-template", "chatml").status == 0
    result = call("verify", tok, "--export", str(tmp_path / "chat"))
    assert (result.status, b"ids of its own, the same in tokenizers, transformers" in result.out) == (0, True)
    tokens = tmp_path / "chat" / "tokenizer.json"
    tokens.write_text(tokens.read_text().replace("\u0120the", "\u0120teh").replace("Ġthe", "Ġteh"))
    assert call("verify", tok, "--export", str(tmp_path / "chat")).status == 1
