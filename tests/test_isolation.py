"""What an artifact or a text cannot make the program do: use the network, unpickle, run code, make a special token.

And what must not change a result: the hash seed, the number of processes, the process itself.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning import TINY, as_options, vary
from toys import TEXT, toy

from gqvae.awkward import AWKWARD_TEXT
from gqvae.learn.run import Run
from gqvae.tokenizer import Tokenizer

END = "<|endoftext|>"

# Runs commands with everything refused that reaches out or runs code from data; prints what was refused.
GUARDED = """
import io, json, sys
refused = []
REFUSED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
           "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "marshal.loads")

def guard(event, arguments):
    if event in REFUSED:
        frames, frame = [], sys._getframe(1)
        while frame:
            frames.append(frame.f_code.co_filename)
            frame = frame.f_back
        if event == "marshal.loads" or "importlib" in str(frames[0]) or any("platform.py" in name for name in frames):
            return  # how Python loads its own modules, and asks what machine it is on
        if str(arguments[0]) == "/sbin/ldconfig":
            return  # how it finds libraries: torch has it look for CUDA's, if that is what it was built for
        refused.append([event, str(arguments)[:200], frames[0]])
        raise RuntimeError(f"refused: {event}")

sys.addaudithook(guard)
from gqvae.cli import main
for command in json.loads(sys.argv[1]):
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"97 98" if command[0] == "decode" else b"Once upon a time"))
    try:
        main(command)
    except SystemExit as done:
        assert not done.code, (command, done.code)
print(json.dumps(refused))
"""


def test_no_verb_uses_the_network_a_pickle_or_a_shell(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"the {word} and the {word}s\n{END}\n" for word in TEXT.split()), encoding="utf-8")
    quick = {"warmup_steps": 3, "revive_every": 3}
    config = vary(replace(TINY, vocab_size=280), training={"steps": 12}, quantizer=quick)
    commands = [
        ["train", str(text), "--out", "run", *as_options(config)],
        ["distill", "run", "--out", "tok"],
        ["encode", "tok"],
        ["encode", "tok", str(text), "--out", "shards", "--workers", "1"],
        ["decode", "tok"],
        ["show", "tok", "the text"],
        ["evaluate", "tok", "--corpus", str(text), "--against", "bpe:270", "--train-corpus", str(text)],
        ["export", "tok", "--out", "hf"],
        ["verify", "tok", "tinystories-1024"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, json.dumps(commands)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_guard_guards() -> None:
    code = GUARDED.replace("from gqvae.cli import main", "import pickle, socket, subprocess")
    for attempt in ('socket.create_connection(("localhost", 9))', 'subprocess.run(["true"])', "pickle.loads(PICKLE)"):
        pickled = "PICKLE = b'cposix\\nsystem\\n.'\n"
        script = code.replace("for command in", f"{pickled}{attempt}\nfor command in")
        done = subprocess.run([sys.executable, "-c", script, "[]"], capture_output=True, text=True, check=False)
        assert "RuntimeError: refused" in done.stderr


# Determinism

SAME = """
import sys
from pathlib import Path
from learning import TINY, as_options, vary
from gqvae.corpus import Corpus
from gqvae.learn.distill import distill
from gqvae.learn.training import train
folder = Path(sys.argv[2])
train(TINY, Corpus((sys.argv[1],)), folder / "run")
distill(folder / "run", folder / "tiny")
"""


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_and_hash_seed_give_the_same_tokenizer(
    hash_seed: str, trained: Run, distilled: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SAME, *trained.corpus.inputs, str(tmp_path)]
    subprocess.run(command, env=environment, cwd=Path(__file__).parent, capture_output=True, check=True)
    for name in ("config.json", "pretokens.parquet", "checkpoint.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (trained.folder / name).read_bytes(), name
    for name in ("gqvae.json", "segmentations.parquet", "report.json"):
        assert (tmp_path / "tiny" / name).read_bytes() == (distilled[0] / name).read_bytes(), name


# Special tokens

NAMES = (END, "<|im_start|>", "<|pad|>")
SPECIAL = toy(specials=NAMES)
HOLDS_NAMES = st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=8), st.sampled_from(["<|", "|>", "<"]))).map(
    "".join
)


@given(HOLDS_NAMES)
def test_no_way_to_encode_makes_a_special_id_of_text(text: str) -> None:
    special = set(SPECIAL.special_ids.values())
    ways = [
        SPECIAL.encode(text),
        SPECIAL.encode(text.encode()),
        [index for index, _, _ in SPECIAL.encode_with_offsets(text)],
        *SPECIAL.encode_batch([text, text.encode()]),
    ]
    for ids in ways:
        assert not special & set(ids)
        assert SPECIAL.decode(ids) == text


def test_shards_hold_no_special_id_but_the_ends_of_documents(tmp_path: Path) -> None:
    from gqvae.shards import Shards, encode_corpus

    texts = [f"a{END}b{''.join(NAMES)}", END, *AWKWARD_TEXT[1:]]
    encode_corpus(SPECIAL, texts, tmp_path)
    for text, ids in zip(texts, Shards(tmp_path), strict=True):
        *inside, last = ids.tolist()
        assert last == SPECIAL.special_ids[END]
        assert not set(SPECIAL.special_ids.values()) & set(inside)
        assert SPECIAL.decode(inside) == text


def test_a_separator_inside_a_json_document_is_text(tmp_path: Path) -> None:
    from gqvae.corpus import Corpus

    path, text = tmp_path / "a.jsonl", f"one\n{END}\ntwo\n"
    path.write_text(json.dumps({"text": text}) + "\n")
    assert list(Corpus((str(path),)).documents()) == [text]


def test_the_export_says_how_text_is_kept_from_being_special(tmp_path: Path) -> None:
    """Hugging Face parses special tokens by default: the report says so, and the switch it names works."""
    transformers = pytest.importorskip("transformers")
    from gqvae.export import export_huggingface

    report = export_huggingface(SPECIAL, tmp_path / "hf")
    assert "split_special_tokens=True" in report["note"]
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf", split_special_tokens=True)
    text = f"a{END}<|im_start|>b"
    assert auto(text)["input_ids"] == SPECIAL.encode(text)
    assert not set(SPECIAL.special_ids.values()) & set(auto(text)["input_ids"])


def test_a_tokenizer_is_the_same_in_other_processes(tmp_path: Path) -> None:
    texts: list[str | bytes] = [*AWKWARD_TEXT, TEXT]
    for workers in (1, 2, 3):
        assert SPECIAL.encode_batch(texts, workers) == [SPECIAL.encode(text) for text in texts]
    path = SPECIAL.save(tmp_path)
    code = "import sys, gqvae; print(gqvae.load(sys.argv[1]).encode(sys.stdin.buffer.read()))"
    for hash_seed in ("0", "77"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, input=TEXT.encode(), env=environment, capture_output=True, check=True)
        assert json.loads(done.stdout) == Tokenizer.load(path).encode(TEXT)
