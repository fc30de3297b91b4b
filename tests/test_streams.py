"""`gqvae encode` and `decode` as filters: any bytes come back exactly, in whatever parts they arrive."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from calling import Result, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gqvae.errors import GqvaeError
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


@pytest.mark.parametrize("chunk", range(4, 12))
def test_the_last_id_is_read_wherever_a_line_without_an_end_is_cut(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.streams._CHUNK", chunk)
    found = list(ids_of_lines(io.BytesIO(b"12 345 6\n78 90")))
    wanted = [(1, 12), (1, 345), (1, 6), (2, 78), (2, 90)]
    assert [(number, index) for number, some in found for index in some] == wanted


@pytest.mark.parametrize("blanks", range(9))
def test_an_id_behind_blanks_is_not_cut(blanks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.streams._CHUNK", 4)
    found = list(ids_of_lines(io.BytesIO(b" " * blanks + b"1234567\n")))
    assert [index for _, some in found for index in some] == [1234567]


def test_what_is_too_long_for_an_id_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.streams._CHUNK", 1000)
    with pytest.raises(GqvaeError, match="line 1: not a line of ids"):
        list(ids_of_lines(io.BytesIO(b"1" * 9000)))


def test_text_without_a_boundary_is_refused_before_it_fills_the_memory(
    tok: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("patterns.UNBROKEN", 2_000), ("streams._CHUNK", 500), ("corpus.documents._BLOCK", 500)):
        monkeypatch.setattr(f"gqvae.{name}", value)
    monkeypatch.setattr("gqvae.corpus.documents.LONG", 1_000)
    path = tmp_path / "letters.txt"
    path.write_text("é" * 1_500, encoding="utf-8")
    for arguments in (["count", str(path), "--out", str(tmp_path / "t")],
                      ["encode", tok, str(path), "--out", str(tmp_path / "shards")], ["encode", tok]):  # fmt: skip
        refused = call(*arguments, stdin=path.read_bytes())
        assert refused.status == 1
        assert "over 2,000 bytes of text without a place" in refused.err
    assert call("encode", tok, stdin=b"x yz" * 5_000).status == 0


def test_separators_may_hold_escapes() -> None:
    assert unescape(r"\n\r\t\0\x00\xfF--\\n") == b"\n\r\t\0\0\xff--\\n"
    assert unescape("ü<|x|>") == "ü<|x|>".encode()


@pytest.mark.parametrize("separator", ["", "\\", r"\q", r"\x4"])
def test_a_bad_separator_is_wrong_usage(tok: str, separator: str) -> None:
    result = call("encode", tok, "--separator", separator)
    assert result.status == 2
    assert "--separator" in result.err


def run(*arguments: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", "from gqvae.cli import main; main()", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_as_a_filter(tok: str) -> None:
    """Through real pipes, where line ends and encodings could be translated."""
    data = b"\r\n\x00\xff Once upon \xe6\x97 a time\n\n"
    encoded = run("encode", tok, stdin=data)
    assert encoded.returncode == 0
    assert run("decode", tok, stdin=encoded.stdout).stdout == data
