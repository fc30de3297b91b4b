"""Any bytes through the commands `encode` and `decode`, any separator: the same bytes, or one line of error."""

import io
import sys
import tempfile

from fuzz.inputs import Choices
from gqvae import Tokenizer, Vocabulary, cli

SEPARATORS = (None, r"\n", "--", "a", r"\x00\xff", "<|endoftext|>", "aa", r"\r\n", " ", "\ufeff")
FOLDER = tempfile.mkdtemp()
VOCABULARY = Vocabulary((b" the", b"ab", b"--", b"\xc3\xa9", b"\r\n"))
Tokenizer(VOCABULARY, [-9.0] * 256 + [-2.0] * 5, "gpt2", "fuzzed").save(FOLDER)
SEEDS = [
    b"\x00one document",
    b"\x01a line\nanother\n",
    b"\x0297 98\n",
    b"\x83 97 98\n99\n",
    b"\x85<|endoftext|>",
    b"\x80+1",
]


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(256)
    separator = SEPARATORS[kind % len(SEPARATORS)]
    options = [FOLDER] + ([] if separator is None else ["--separator", separator])
    text = choices.rest()
    if kind < 128:
        status, ids, error = call("encode", *options, stdin=text)
        assert (status, error) == (0, "")
        status, back, error = call("decode", *options, stdin=ids)
        assert (status, back, error) == (0, text, "")
        return
    status, _, error = call("decode", *options, stdin=text)
    assert status == 0 or (status == 1 and error.startswith("gqvae: error: ") and error.count("\n") == 1)


def call(*arguments: str, stdin: bytes = b"") -> tuple[object, bytes, str]:
    """Run `gqvae ARGUMENTS` in this process: its exit status, stdout and stderr."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    sys.stdout, sys.stderr = io.TextIOWrapper(out, encoding="utf-8", write_through=True), err
    status: object = 0
    try:
        cli.main(list(arguments))
    except SystemExit as exit_:
        status = exit_.code or 0
    finally:
        sys.stdout.flush()
        data = out.getvalue()
        sys.stdin, sys.stdout, sys.stderr = before
    return status, data, err.getvalue()
