"""The command line as a person or a script meets it: stdin, stdout, stderr and the exit status."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae import cli
from gqvae.patterns import PATTERNS
from gqvae.streams import encode_stream, ids_of_lines, split_stream, unescape
from gqvae.tokenizer import Tokenizer
from gqvae.vocabulary import Vocabulary

AWKWARD = [
    b"",
    b"\n",
    b"a",
    b"--",
    b"--a--",
    b"a----b",
    b"\x00\xff\xfe--\x80",
    "Once upon a time --\nthere was <|endoftext|> 日本 👩‍👩‍👧\r\n".encode(),
    b"x" * 3000,
]

PARTS = [b" ", b"\n", b"a", b"b", b"1", b"'s", b". ", b"x" * 50, "é".encode(), "日本".encode(), b"\xff", b"\xc3"]


class Result(NamedTuple):
    status: int
    out: bytes
    err: str


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> str:
    learned = [
        b" the",
        b"the",
        b" Once",
        b"Once",
        b" upon",
        b" a",
        b" time",
        b"--",
        "é".encode(),
        b"\n\n",
        b"xxxx",
    ]
    scores = [-10.0] * 256 + [-5.0 - number / 8 for number in range(len(learned))]
    folder = tmp_path_factory.mktemp("tokenizers") / "small"
    Tokenizer(Vocabulary(tuple(learned)), scores, "gpt2", "small").save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    documents = ["Once upon a time, the café.\n", "the time -- upon the time <b>\n" * 30, "日本 👩‍👩‍👧\n"]
    path.write_text("<|endoftext|>\n".join(documents), encoding="utf-8")
    return str(path)


def call(*arguments: str, stdin: bytes = b"") -> Result:
    """Run `gqvae ARGUMENTS` in this process."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    sys.stdout, sys.stderr = io.TextIOWrapper(out, encoding="utf-8", write_through=True), err
    status: object = None
    try:
        cli.main(list(arguments))
    except SystemExit as exit_:
        status = exit_.code
    finally:
        sys.stdout.flush()
        data = out.getvalue()
        sys.stdin, sys.stdout, sys.stderr = before
    assert status is None or isinstance(status, int)
    return Result(status or 0, data, err.getvalue())


# encode and decode


@pytest.mark.parametrize("data", AWKWARD)
@pytest.mark.parametrize("separator", [[], ["--separator", "--"], ["--separator", r"\n"], ["--separator", r"\x00\xff"]])
def test_decode_is_the_inverse_of_encode(tok: str, data: bytes, separator: list[str]) -> None:
    encoded = call("encode", tok, *separator, stdin=data)
    assert encoded.status == 0
    assert encoded.out.endswith(b"\n")
    assert call("decode", tok, *separator, stdin=encoded.out) == Result(0, data, "")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary() | st.text("-a\n ").map(str.encode), separator=st.sampled_from(["--", r"\n", "-", "a-a"]))
def test_decode_is_the_inverse_of_encode_for_any_bytes(tok: str, data: bytes, separator: str) -> None:
    lines = call("encode", tok, "--separator", separator, stdin=data).out
    assert call("decode", tok, "--separator", separator, stdin=lines).out == data


def test_one_line_of_ids_a_document(tok: str) -> None:
    model = Tokenizer.load(tok)
    result = call("encode", tok, "--separator", "|", stdin=b"the time||Once\n")
    expected = [model.encode(b"the time"), [], model.encode(b"Once\n")]
    assert result.out.decode().split("\n") == [*(" ".join(map(str, ids)) for ids in expected), ""]
    assert call("encode", tok, stdin=b"the\n\ntime").out.count(b"\n") == 1


def test_special_text_is_text(tok: str) -> None:
    ids = [int(word) for word in call("encode", tok, stdin=b"<|endoftext|>").out.split()]
    assert len(ids) > 1
    assert Tokenizer.load(tok).special_ids["<|endoftext|>"] not in ids


def test_decoding_ids_from_elsewhere(tok: str) -> None:
    assert call("decode", tok, stdin=b"").out == b""
    assert call("decode", tok, stdin=b"97 98").out == b"ab"
    assert call("decode", tok, stdin=b" 97\t98 \r\n").out == b"ab"
    assert call("decode", tok, "--separator", r"\n", stdin=b"97\n\n98\n").out == b"a\n\nb"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"97 x", "stdin, line 1: not a line of ids"),
        (b"+97", "stdin, line 1: not a line of ids"),
        (b"9_7", "stdin, line 1: not a line of ids"),
        (b"97\n98\n", "several lines of ids: say with --separator"),
        (b"99999", "99999"),
        (b"-1", "-1"),
    ],
)
def test_bad_ids_fail_in_one_line(tok: str, stdin: bytes, message: str) -> None:
    result = call("decode", tok, stdin=stdin)
    assert result.status == 1
    assert result.err.startswith("gqvae: error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


class Drip(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._parts = [data[i : i + step] for i in range(0, len(data), step)][::-1]

    def read(self, size: int = -1) -> bytes:
        return self._parts.pop() if self._parts else b""


@given(data=st.text("ab").map(str.encode), between=st.text("ab", min_size=1, max_size=4), step=st.integers(1, 5))
def test_splitting_a_stream_equals_bytes_split(data: bytes, between: str, step: int) -> None:
    found = [b"".join(parts) for parts in split_stream(Drip(data, step), between.encode())]
    assert found == data.split(between.encode())
    assert [b"".join(parts) for parts in split_stream(Drip(data, step), None)] == [data]


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.sampled_from(PARTS)).map(b"".join), step=st.integers(1, 5))
def test_a_stream_gives_the_ids_of_the_whole(
    data: bytes, step: int, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gqvae.streams._CHUNK", 12)
    vocabulary = Vocabulary((b"ab", b" ab", "é".encode(), b". ", b"\n\n"))
    tokenizer = Tokenizer(vocabulary, [-9.0] * 256 + [-1.0] * 5, pattern, "streamed")
    document = next(split_stream(Drip(data, step), None))
    ids = [index for found in encode_stream(tokenizer, document) for index in found]
    assert ids == tokenizer.encode(data)
    lines = b" ".join(b"%d" % index for index in ids) + b"\n"
    found = list(ids_of_lines(io.BytesIO(lines + b" 007\t8 \n\n9")))
    assert {number for number, _ in found} == {1, 2, 3, 4}
    assert [index for number, some in found for index in some if number == 1] == ids
    assert [index for number, some in found for index in some if number > 1] == [7, 8, 9]


def test_text_without_a_boundary_is_refused_before_it_fills_the_memory(
    tok: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("patterns.UNBROKEN", 2_000), ("streams._CHUNK", 500), ("documents._BLOCK", 500)):
        monkeypatch.setattr(f"gqvae.{name}", value)
    monkeypatch.setattr("gqvae.documents.LONG", 1_000)
    path = tmp_path / "letters.txt"
    path.write_bytes(b"x" * 5_000)
    for arguments in (["count", str(path), "--out", str(tmp_path / "t")],
                      ["encode", tok, str(path), "--out", str(tmp_path / "shards")], ["encode", tok]):  # fmt: skip
        refused = call(*arguments, stdin=path.read_bytes())
        assert refused.status == 1
        assert "over 2,000 bytes of text without a place" in refused.err
    assert call("encode", tok, stdin=b"x yz" * 5_000).status == 0


def test_encoding_that_is_stopped_says_how_to_go_on(
    tok: str, text_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gqvae.encoding.encode_batch", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    stopped = call("encode", tok, text_file, "--out", str(tmp_path / "shards"), "--workers", "1")
    assert stopped.status == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; continue with the same command and --resume" in stopped.err.splitlines()[-1]


def test_separators_may_hold_escapes() -> None:
    assert unescape(r"\n\r\t\0\x00\xfF--\\n") == b"\n\r\t\0\0\xff--\\n"
    assert unescape("ü<|x|>") == "ü<|x|>".encode()


@pytest.mark.parametrize("separator", ["", "\\", r"\q", r"\x4"])
def test_a_bad_separator_is_wrong_usage(tok: str, separator: str) -> None:
    result = call("encode", tok, "--separator", separator)
    assert result.status == 2
    assert "--separator" in result.err


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


def test_export_then_evaluate_the_export(tok: str, text_file: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "hf")
    result = call("export", tok, "--out", folder, "--corpus", text_file)
    assert result.status == 0
    assert json.loads(result.out)["ids_equal"] is True
    ours, theirs = json.loads(call("evaluate", tok, f"hf:{folder}", "--corpus", text_file, "--json").out)
    assert theirs["name"] == f"hf:{folder}"
    assert {key: ours[key] for key in KEYS - {"name"}} == {key: theirs[key] for key in KEYS - {"name"}}


def test_verify(tok: str, text_file: str, tmp_path: Path) -> None:
    result = call("verify", tok, "--corpus", text_file)
    assert result.status == 0
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


# the whole


def test_unknown_tokenizers_and_files_fail_in_one_line(tok: str) -> None:
    for arguments in (
        ["encode", "nowhere"],
        ["show", "hf:nowhere", "x"],
        ["export", tok, "--out", "/dev/null/x"],
    ):
        result = call(*arguments)
        assert result.status == 1
        assert result.err.startswith("gqvae: error: ")
        assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["encode"],
        ["encode", "a", "b"],
        ["train", "x"],
        [],
        ["train", "--out", "x", "--resume", "--steps", "5"],  # would be ignored
        ["distill", "x", "--out", "y", "--vocab-size", "257"],  # no room for a learned string
        ["evaluate", "x", "--corpus", "-", "--against", "bpe:300", "--train-corpus", "-"],  # stdin twice
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert call(*arguments).status == 2


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("gguf", "formats")])
def test_a_missing_extra_is_named(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(cli, "app", missing)
    result = call("train")
    assert result.status == 1
    assert f"this needs the package {package}: pip install 'gqvae[{extra}]'" in result.err


def test_help_names_every_verb() -> None:
    text = call("--help").out.decode()
    for verb in ("train", "distill", "encode", "decode", "evaluate", "export", "verify", "show", "demo"):
        assert f"  {verb}" in text
    assert call("--version").out.startswith(b"gqvae ")


def run(*arguments: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", "from gqvae.cli import main; main()", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_as_a_filter(tok: str) -> None:
    """Through real pipes, where line ends and encodings could be translated."""
    data = b"\r\n\x00\xff Once upon \xe6\x97 a time\n\n"
    encoded = run("encode", tok, stdin=data)
    assert encoded.returncode == 0
    assert run("decode", tok, stdin=encoded.stdout).stdout == data


def test_a_reader_that_stops_early_is_no_crash(tok: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from gqvae.cli import main; main()",
        "encode",
        tok,
        "--separator",
        r"\n",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    _, err = process.communicate(b"Once upon a time\n" * 20000)
    assert b"Traceback" not in err
    assert os.name == "nt" or process.returncode == 1


def test_count_writes_the_table_that_training_reads(text_file: str, tmp_path: Path) -> None:
    from gqvae.corpus import Corpus
    from gqvae.pretokens import PretokenTable, count_pretokens

    out = tmp_path / "deep" / "table.parquet"
    result = call("count", text_file, "--out", str(out), "--pattern", "gpt4", "--window", "8", "--memory", "0.5 GB")
    table = PretokenTable.load(out)
    twin = count_pretokens(Corpus((text_file,)).documents(), pattern="gpt4", window=8)
    assert (table.pieces, table.counts.tolist()) == (twin.pieces, twin.counts.tolist())
    assert f"{len(twin.pieces)} distinct pretokens: {out}" in result.err
    assert result.status == 0
    for size in ("much", "0", "-1GB", "1 XB"):
        refused = call("count", text_file, "--out", str(out), "--memory", size)
        assert refused.status == 1
        assert f"{size!r} is not a size; write 500MB or 2GB" in refused.err
