"""`gqvae evaluate`, `export`, `verify` and `show`: their figures, their proofs and what they refuse."""

import json
from pathlib import Path

import pytest
from calling import call

from gqvae.tokenizer import Tokenizer

# evaluate

KEYS = {"name", "vocab_size", "bytes", "tokens", "bytes_per_token", "lossless", "used_ids"}


def test_evaluate_prints_json(tok: str, text_file: str) -> None:
    peers = ["--against", "bpe:300", "--against", "unigram:300", "--train-corpus", text_file]
    result = call("evaluate", tok, tok, "--corpus", text_file, *peers, "--json")
    rows = json.loads(result.out)
    size = sum(len(d.encode()) for d in Path(text_file).read_text("utf-8").split("<|endoftext|>\n"))
    assert result.status == 0
    assert [row["name"] for row in rows] == [tok, tok, "bpe:300", "unigram:300"]
    assert rows[0] == rows[1]
    for row in rows:
        assert set(row) >= KEYS
        assert row["bytes"] == size
        assert row["bytes_per_token"] == row["bytes"] / row["tokens"]
        assert row["lossless"] is True
        assert row["ratio"] == row["bytes_per_token"] / rows[2]["bytes_per_token"]
    assert rows[2]["vocab_size"] <= 300


def test_evaluate_without_peers_compares_with_the_first(tok: str, text_file: str) -> None:
    rows = json.loads(call("evaluate", tok, "--corpus", text_file, "--json").out)
    assert [row["ratio"] for row in rows] == [1.0]


def test_evaluate_prints_a_table(tok: str, text_file: str) -> None:
    arguments = ["evaluate", tok, "--corpus", text_file, "--against", "bpe:5000", "--train-corpus", text_file]
    result = call(*arguments)
    table = result.out.decode()
    for heading in ("tokenizer", "ids", "bytes/token", "x bpe:5000", "tokens", "used ids", "lossless"):
        assert heading in table
    assert tok in table
    assert "not the 5000 asked for" in table
    assert "\x1b" not in table


def test_evaluate_takes_several_files_and_the_separator(tok: str, text_file: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("one\n===\ntwo\n")
    arguments = ["evaluate", tok, "--corpus", text_file, "--corpus", str(other), "--json", "--separator"]
    (row,) = json.loads(call(*arguments, "===").out)
    assert row["documents"] == 3
    assert row["bytes"] == Path(text_file).stat().st_size + 8
    (row,) = json.loads(call(*arguments, "").out)
    assert row["documents"] == 2
    assert row["bytes"] == Path(text_file).stat().st_size + 12


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ([], 2, "--corpus"),
        (["--corpus", "TEXT", "--against", "bpe:300"], 2, "needs --train-corpus"),
        (["--corpus", "TEXT", "--against", "bpe:3", "--train-corpus", "TEXT"], 2, "257"),
        (["--corpus", "TEXT", "--against", "gpe:300"], 1, "gpe:300"),
        (["--corpus", "nowhere.txt"], 1, "nowhere.txt"),
        (["--corpus", "EMPTY"], 1, "holds no text"),
    ],
)
def test_evaluate_refuses(tok: str, text_file: str, tmp_path: Path, more: list[str], status: int, message: str) -> None:
    (tmp_path / "empty.txt").write_text("")
    files = {"TEXT": text_file, "EMPTY": str(tmp_path / "empty.txt")}
    result = call("evaluate", tok, *(files.get(word, word) for word in more))
    assert result.status == status
    assert message in result.err
    assert result.out == b""


def test_skipped_documents_are_reported(tok: str, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "fine"}\n{"no": 1}\n{"text": "good"}\n')
    assert call("evaluate", tok, "--corpus", str(path), "--json").status == 1
    result = call("evaluate", tok, "--corpus", str(path), "--json", "--on-error", "skip")
    assert json.loads(result.out)[0]["documents"] == 2
    assert "skipped 1" in result.err
    assert f"{path}:2" in result.err


# export, verify, show


def test_skipped_documents_of_the_training_text_are_reported(tok: str, text_file: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine words to train on"}\nnot JSON\n')
    more = ("--against", "bpe:270", "--train-corpus", str(path), "--on-error", "skip")
    result = call("evaluate", tok, "--corpus", text_file, *more)
    assert (result.status, "skipped 1" in result.err) == (0, True)


def test_stdin_is_not_read_again(tok: str, text_file: str, tmp_path: Path) -> None:
    """It would be an empty text."""
    peers = ("--against", "bpe:270", "--against", "wordpiece:270", "--train-corpus", "-")
    exported = str(tmp_path / "hf")
    assert call("export", tok, "--out", exported).status == 0
    for arguments in (
        ("evaluate", tok, "--corpus", text_file, *peers),
        ("evaluate", tok, "--corpus", "-", *peers[2:]),
        ("verify", tok, tok, "--corpus", "-"),
        ("verify", tok, "--export", exported, "--corpus", "-"),
    ):
        result = call(*arguments, stdin=b"some words")
        assert result.status == 2
        assert "stdin can be read once" in result.err
    assert call("evaluate", tok, "--corpus", text_file, *peers[2:], stdin=b"some words").status == 0
    assert call("verify", tok, "--corpus", "-", stdin=b"some words").status == 0


def test_export_then_evaluate_the_export(tok: str, text_file: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "hf")
    result = call("export", tok, "--out", folder, "--corpus", text_file)
    assert result.status == 0
    assert json.loads(result.out)["ids_equal"] is True
    ours, theirs = json.loads(call("evaluate", tok, f"hf:{folder}", "--corpus", text_file, "--json").out)
    assert theirs["name"] == f"hf:{folder}"
    assert {key: ours[key] for key in KEYS - {"name"}} == {key: theirs[key] for key in KEYS - {"name"}}
    for name in (tok, f"hf:{folder}"):
        result = call("show", name, "a\udcff")  # a byte of the command line that is not UTF-8
        assert (result.status, "not UTF-8: byte 0xff at 1" in result.err) == (1, True)


def test_a_training_text_that_nothing_reads_is_told(tok: str, text_file: str) -> None:
    result = call("evaluate", tok, "--corpus", text_file, "--train-corpus", "nowhere.txt", "--json")
    assert (result.status, "--train-corpus is not read" in result.err) == (0, True)


def test_verify(tok: str, text_file: str, tmp_path: Path) -> None:
    result = call("verify", tok, "--corpus", text_file)
    assert result.status == 0
    assert result.out.startswith(f"{tok}:\n  ok ".encode())
    assert b"lossless: true" in result.out
    assert b"FAILED" not in result.out

    damaged = tmp_path / "damaged"
    damaged.mkdir()
    content = (Path(tok) / "gqvae.json").read_text(encoding="utf-8")
    (damaged / "gqvae.json").write_text(content.replace("-5.125", "-5.126", 1), encoding="utf-8")
    result = call("verify", tok, str(damaged), "--json")
    good, bad = json.loads(result.out)
    assert result.status == 1
    assert (good["ok"], good["lossless"], bad["ok"], bad["lossless"]) == (True, True, False, False)


def test_verify_an_export(tok: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "hf")
    assert call("export", tok, "--out", folder).status == 0
    result = call("verify", tok, "--export", folder)
    assert result.status == 0
    assert f"ok     export {folder} equal: in tokenizers, transformers" in result.out.decode()
    assert call("verify", tok, tok, "--export", folder).status == 2
    (tmp_path / "hf" / "tokenizer.json").write_text("{}")
    assert call("verify", tok, "--export", folder).status == 1


@pytest.mark.parametrize("option", ["--field=body", "--on-error=skip", "--separator=x"])
def test_how_to_read_a_text_that_is_not_given_is_refused(tok: str, tmp_path: Path, option: str) -> None:
    for verb in (["verify", tok], ["export", tok, "--out", str(tmp_path / "hf")]):
        result = call(*verb, option)
        assert result.status == 2
        assert "how to read a text, and none is given" in result.err


def test_bad_documents_to_choose_from_are_reported(tok: str, text_file: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 3}\n')
    texts = ["--train-corpus", text_file, "--train-corpus", str(tmp_path / "a.jsonl"), "--on-error", "skip"]
    portable = ["export", tok, "--out", str(tmp_path / "out"), "--format", "portable", "--keep", "0.3", "--merges-only"]
    result = call(*portable, *texts)
    assert result.status == 0, result.err
    assert "skipped 1" in result.err


def test_text_to_prove_on_may_lie_in_another_field(tok: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "words"}\n{"body": 3}\n')
    for verb in (["verify", tok], ["export", tok, "--out", str(tmp_path / "hf")]):
        options = ["--corpus", str(tmp_path / "a.jsonl"), "--field", "body"]
        assert call(*verb, *options).status == 1
        result = call(*verb, *options, "--on-error", "skip")
        assert result.status == 0
        assert "skipped 1" in result.err
    assert json.loads(result.out)["documents"] == 1


def test_show(tok: str) -> None:
    result = call("show", tok, "Once upon\n")
    ids = Tokenizer.load(tok).encode("Once upon\n")
    assert result.out.decode().splitlines() == [
        f"Once({ids[0]}:4) ␣upon({ids[1]}:5) ⏎({ids[2]}:1)",
        "",
        "10 bytes, 3 tokens, 3.333 bytes per token",
    ]
    assert call("show", tok, stdin=b"Once upon\n").out == result.out
    assert call("show", tok, "").out.endswith(b"0 bytes, 0 tokens, no tokens\n")
    assert call("show", tok, stdin=b"\xff").status == 1
