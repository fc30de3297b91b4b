"""`gqvae demo`: the whole chain on the text that every Python carries, in minutes and without a network."""

import ast
import hashlib
import inspect
import io
import shutil
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gqvae.errors import GqvaeError
from gqvae.files import write_json

if TYPE_CHECKING:
    from rich.table import Table

    from gqvae.evaluation import TokenizerLike

RESULTS = "demo.json"
HELD_OUT = 0.1  # share of the documents kept for the table
CODE_BYTES = 3_000_000  # of sources; with some 2 MB of prose that is a fair mix, and minutes of training

# Below these folders of the standard library lies what is no sample of it: tests and their fixtures,
# generated tables, what others installed.
_LEFT_OUT = {
    *("__pycache__", "dist-packages", "encodings", "ensurepip", "idlelib", "lib2to3"),
    *("pydoc_data", "site-packages", "test", "tests", "turtledemo"),
}

# Shown as each tokenizer splits them.
WORDS = (
    " configuration",
    " documentation",
    " unexpectedly",
    " multiprocessing",
    " raised",
    " isinstance",
    " café",
)


def run(out: Path) -> list[dict[str, Any]]:
    """Train, distill, export and compare; return the rows that go to `out/demo.json`, ours first.

    Leaves in `out`: corpus/ (train.jsonl, held_out.jsonl), run/, tokenizer/, hf/, demo.json, training.png.
    Raises GqvaeError when `out` holds anything but an earlier demo, when a stage fails, or when the exported tokenizer
    does not give the held-out text back.
    """
    from gqvae.corpus import Corpus, write_parts
    from gqvae.evaluation import compare, rate, train_peer
    from gqvae.evaluation.figures import draw_training
    from gqvae.export import export_huggingface
    from gqvae.learn import metrics
    from gqvae.learn.distill import distill
    from gqvae.learn.training import train
    from gqvae.names import load
    from gqvae.presets import preset
    from gqvae.terminal import evaluation_table, print_out, say

    if out.exists() and any(out.iterdir()) and not (out / RESULTS).exists():
        raise GqvaeError(f"{out} holds other files: give a folder of its own")
    write_json(out / RESULTS, [])  # so that the next demo knows this for one
    say("collecting (1 of 4): documentation, docstrings and sources of the standard library")
    training_file, held_out_file = write_parts(python_corpus(), HELD_OUT, out / "corpus")
    training_text, held_out = Corpus((str(training_file),)), Corpus((str(held_out_file),))

    say("training (2 of 4): the tiny preset")
    if (out / "run").exists():
        shutil.rmtree(out / "run")  # of an earlier demo
    config = preset("tiny").override([f"pretokens.held_out={HELD_OUT}"])  # chosen by the same hash
    train(config, Corpus((str(training_file), str(held_out_file))), out / "run")

    say("distilling (3 of 4): every code is one string")
    report = distill(out / "run", out / "tokenizer", name="gqvae")
    tokenizer = load(out / "tokenizer")

    say("comparing (4 of 4): with BPE of the same number of ids, on the held-out text")
    export_huggingface(tokenizer, out / "hf", held_out.documents())
    peer = train_peer(f"bpe:{tokenizer.vocab_size}", training_text.documents())
    rows = rate(compare([tokenizer, peer], held_out.documents()), reference=1)
    ours = {"exact_codes": report["exact_codes"], "agreement": report["agreement"]}
    results = [{**rows[0], **ours}, {**rows[1], **dict.fromkeys(ours)}]
    write_json(out / RESULTS, results)
    draw_training(
        metrics.read(out / "run" / "metrics.jsonl"),
        out / "training.png",
        title=f"gqvae demo: {tokenizer.vocab_size:,} ids",
        bpe=rows[1]["bytes_per_token"],
    )
    documents = round_trip(out / "hf", held_out.documents())

    print_out(evaluation_table(rows, peer.name))
    print_out(words_table([tokenizer, peer]))
    print_out(stages_table(report))
    print(f"exact codes {ours['exact_codes']:.1%}, agreement with the network {ours['agreement']:.1%}")
    print(f"AutoTokenizer loads {out / 'hf'} and gives {documents:,} held-out documents back unchanged")
    print(f"look at {out / 'training.png'}, or try: gqvae show {out / 'tokenizer'} 'Some text of yours'")
    return results


def round_trip(folder: Path, documents: Iterable[str]) -> int:
    """Encode and decode the documents with what AutoTokenizer makes of `folder`; return how many there were.

    Raises GqvaeError for the first that comes back changed.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    number = 0
    for number, document in enumerate(documents, 1):
        ids = tokenizer.encode(document, add_special_tokens=False, split_special_tokens=True)
        if tokenizer.decode(ids) != document:
            raise GqvaeError(f"{folder}: held-out document {number} does not come back unchanged from AutoTokenizer")
    return number


def stages_table(report: dict[str, Any]) -> "Table":
    """What the network did, and what came after it: bytes per token of held-out pretokens, stage by stage."""
    from rich.table import Table

    table = Table("stage", "ids", "bytes/token", title="from the network to the tokenizer")
    for row in report["held_out_stages"]:
        table.add_row(row["stage"], f"{row['ids']:,}", f"{row['bytes_per_token']:.4f}")
    learned = report["learned_strings"]
    table.caption = f"{learned['from_codes']} of {learned['all']} learned strings are strings of codes"
    return table


def words_table(tokenizers: "Sequence[TokenizerLike]") -> "Table":
    """Show how each tokenizer splits a few words."""
    from rich.table import Table

    from gqvae.terminal import visible

    table = Table("text", *(tokenizer.name for tokenizer in tokenizers))
    for word in WORDS:
        pieces = [[tokenizer.decode_bytes([id_]) for id_ in tokenizer.encode(word)] for tokenizer in tokenizers]
        table.add_row(visible(word.encode()), *(" | ".join(map(visible, split)) for split in pieces))
    return table


def python_corpus() -> Iterator[str]:
    """Yield the documents of the demo: documentation topics, docstrings and sources of the standard library.

    One document a topic, one with all docstrings of a module, one with the source of a module without them:
    no text comes twice, so that none of the held-out text is in the training text. The order and the choice
    depend on the files of this Python alone.
    """
    yield from dict.fromkeys(_documents())


def _documents() -> Iterator[str]:
    from pydoc_data.topics import topics

    for _, topic in sorted(topics.items()):
        yield topic.strip() + "\n"
    code_left = CODE_BYTES
    for path in _modules(Path(sysconfig.get_path("stdlib"))):
        docstrings, code = _separate(path.read_text(encoding="utf-8"))
        if docstrings:
            yield "\n\n".join(docstrings) + "\n"
        size = len(code.encode())
        if code.strip() and size <= code_left:
            code_left -= size
            yield code


def _modules(root: Path) -> list[Path]:
    """The sources to use, ordered by the hash of their path: fixed, and a mix wherever one stops reading."""
    found = {}
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        # What a distribution puts beside the library: config-3.11-x86_64-linux-gnu/, _sysconfigdata_...py
        generated = name.startswith(("config-", "_sysconfigdata"))
        if not generated and not _LEFT_OUT & set(name.split("/")):
            found[hashlib.blake2b(name.encode()).digest()] = path
    if not found:
        raise GqvaeError(f"{root} holds no sources of the standard library for the demo; name your own text instead")
    return [path for _, path in sorted(found.items())]


def _separate(source: str) -> tuple[list[str], str]:
    """Take a module apart into its docstrings, unindented, and its source without their lines.

    >>> _separate('def f():\\n    "Double it."\\n    return 2\\n')
    (['Double it.'], 'def f():\\n    return 2\\n')
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in the library
        tree = ast.parse(source)
    docstrings = []
    source_lines = list(io.StringIO(source))  # unlike str.splitlines, lines as Python counts them
    kept = list(source_lines)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node, clean=False)
        if text is None:
            continue
        place = node.body[0]
        first, last = place.lineno - 1, place.end_lineno or place.lineno
        before = source_lines[first].encode()[: place.col_offset]
        after = source_lines[last - 1].encode()[place.end_col_offset :]
        if before.strip() or after.strip():
            continue  # `def f(): "text"` shares its line with code and stays there
        docstrings.append(inspect.cleandoc(text))
        kept[first:last] = [""] * (last - first)
    return [text for text in docstrings if text], "".join(kept)
