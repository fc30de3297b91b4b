"""The portable export: exactly as many ids, all reachable, and the same ids in every runtime."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFaceTokenizer
from toys import TEXT, toy

from gqvae.bpe import BPETokenizer
from gqvae.corpus import Corpus, is_held_out
from gqvae.errors import GqvaeError
from gqvae.evaluation.peers import load_peer
from gqvae.export import portable
from gqvae.export.chat import Settings
from gqvae.export.gguf import export_gguf, read_gguf
from gqvae.export.huggingface import build_huggingface, export_huggingface
from gqvae.export.portable import (
    count,
    counted,
    export_portable,
    is_portable,
    load_portable,
    measure,
    portable_bpe,
)
from gqvae.export.tiktoken import load_tiktoken
from gqvae.names import load

for package in ("tiktoken", "gigatoken", "gguf"):
    pytest.importorskip(package)

DATA = Path(os.environ.get("GQVAE_DATA", Path(__file__).parents[1] / "../shared/data"))
COUNTS = count([TEXT * 3, TEXT.upper(), "the rain, the girl, the little girl: the rain didn't stop"], "gpt2")
TRICKY = st.text(alphabet="abtsSſKk'’ \t\n\r\x0b\x1c\x1f\x85\u00a0\u2028\u3000\u0301\u200d1²٣天а.<|>\x00", max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("portable") / "out"
    export_portable(toy(size=400), out, COUNTS, [TEXT], keep=0.5)
    return out


# the files


def test_the_report(folder: Path) -> None:
    report = json.loads((folder / "parity.json").read_text())
    assert report["checked_with"] == ["tokenizers", "transformers", "tiktoken", "gigatoken"]
    assert (report["ids_equal"], report["unreachable_ids"], report["documents"]) == (True, 0, 1)
    assert report["vocab_size"] == 400
    assert report["agreement"]["documents"]["compression_kept"] > 0.5
    assert 0 < report["learned_strings"]["kept"] <= report["learned_strings"]["all"] == 143


def test_what_is_measured_is_what_both_make_of_the_pretokens() -> None:
    tokenizer, model = toy(size=400), portable_bpe(toy(size=400), COUNTS)
    counts = count([TEXT, "the rain"], "gpt2")
    pretokens = list(counts.elements())
    ours, theirs = ([each.split(piece) for piece in pretokens] for each in (tokenizer, model))
    size, tokens, others = sum(map(len, pretokens)), sum(map(len, ours)), sum(map(len, theirs))
    assert tokens != others
    assert measure(tokenizer, model, counts) == {
        "bytes_per_token": size / others,
        "bytes_per_token_of_the_tokenizer": size / tokens,
        "compression_kept": tokens / others,
        "pretokens_equal": sum(map(list.__eq__, ours, theirs)) / len(pretokens),
    }
    with pytest.raises(GqvaeError, match="there is no text"):
        measure(tokenizer, model, Counter())


def loaded(folder: Path) -> dict[str, Any]:
    import gigatoken

    model = HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))
    model.encode_special_tokens = True
    fast = gigatoken.Tokenizer(folder / "tokenizer.json")
    return {
        "tokenizers": lambda text: model.encode(text).ids,
        "tiktoken": load_tiktoken(folder).encode_ordinary,
        "gigatoken": lambda text: fast.encode(text).tolist(),
    }


@given(data=st.data())
@settings(max_examples=50)
def test_the_same_ids_in_every_runtime(folder: Path, data: st.DataObject) -> None:
    ours, runtimes = load_portable(folder), loaded_once(folder)
    texts = st.one_of(st.text(), TRICKY, st.lists(st.sampled_from(TEXT.split())).map(" ".join))
    for text in data.draw(st.lists(texts, min_size=20, max_size=20)):
        ids = ours.encode(text)
        assert ours.decode_bytes(ids) == text.encode()
        for name, encode in runtimes.items():
            if "<|endoftext|>" not in text:  # gigatoken always parses it
                assert encode(text) == ids, name


RUNTIMES: dict[Path, dict[str, Any]] = {}


def loaded_once(folder: Path) -> dict[str, Any]:
    return RUNTIMES.setdefault(folder, loaded(folder))


def test_it_is_measured_like_any_tokenizer(folder: Path) -> None:
    ours, peer = load_portable(folder), load_peer(f"hf:{folder}")
    assert is_portable(folder)
    assert peer.vocab_size == ours.vocab_size == 400
    assert peer.encode(TEXT) == ours.encode(TEXT)
    assert peer.decode_bytes(peer.encode(TEXT)) == TEXT.encode()


def test_the_documented_loader_of_tiktoken(folder: Path) -> None:
    lines = [line[4:] for line in portable_loader().splitlines()]
    scope: dict[str, Any] = {}
    exec("\n".join(lines).replace("FOLDER", str(folder)), scope)
    assert scope["encoding"].encode_ordinary(TEXT) == load_portable(folder).encode(TEXT)
    assert scope["encoding"].encode("<|endoftext|>", allowed_special="all") == [399]


def portable_loader() -> str:
    from gqvae.export import tiktoken

    assert tiktoken.__doc__
    return "\n".join(line for line in tiktoken.__doc__.splitlines() if line.startswith("    "))


def test_a_portable_export_can_be_exported_again_with_a_template(folder: Path, tmp_path: Path) -> None:
    report = export_huggingface(load_portable(folder), tmp_path / "chat", [TEXT], Settings(chat_template="chatml"))
    assert report["vocab_size"] == 402
    again = HuggingFaceTokenizer.from_file(str(tmp_path / "chat/tokenizer.json"))
    assert again.encode(TEXT).ids == load_portable(folder).encode(TEXT)


def test_too_much_lost_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"keeps [\d.]+% .* less than the 300.00%"):
        export_portable(toy(size=400), tmp_path / "out", COUNTS, keep=3)
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_that_differs_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reversed_ranks(model: BPETokenizer, folder: Path) -> None:
        write(model, folder)
        lines = (folder / "ranks.tiktoken").read_text().splitlines()
        ranks = [line.split()[1] for line in lines]
        swapped = [
            f"{line.split()[0]} {rank}\n" for line, rank in zip(lines, ranks[:256] + ranks[:255:-1], strict=True)
        ]
        (folder / "ranks.tiktoken").write_text("".join(swapped))

    write = portable.write_tiktoken
    monkeypatch.setattr(portable, "write_tiktoken", reversed_ranks)
    with pytest.raises(GqvaeError, match=r"nothing was written: ids differ on .* in tiktoken"):
        export_portable(toy(size=400), tmp_path / "out", COUNTS, keep=0.5)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_portable_export_is_refused(tmp_path: Path) -> None:
    export_huggingface(toy(), tmp_path / "unigram")
    with pytest.raises(GqvaeError, match="is not a portable export"):
        load_portable(tmp_path / "unigram")
    foreign = build_huggingface(portable_bpe(toy(size=300), COUNTS)).to_str()
    for text in ("{}", "[]", foreign.replace("ll|ve|re", "ll|ve"), foreign.replace('"Ġ"', '"Ж"')):
        (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
        with pytest.raises(GqvaeError, match="is not a portable export"):
            load_portable(tmp_path)


def test_a_forged_export_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary, merges = good["model"]["vocab"], good["model"]["merges"]
    (first, second), last = ("".join(pair) for pair in merges[:2]), max(vocabulary, key=vocabulary.__getitem__)
    swapped = vocabulary | {first: vocabulary[second], second: vocabulary[first]}
    for forged in ({"vocab": None}, {"vocab": "ab"}, {"vocab": vocabulary | {last: 10**9}}, {"vocab": swapped},
                   {"merges": merges[::-1]}, {"merges": 1}, {"dropout": 0.5}, {"byte_fallback": True}):  # fmt: skip
        (tmp_path / "tokenizer.json").write_text(json.dumps(good | {"model": good["model"] | forged}))
        with pytest.raises(GqvaeError, match="is not a portable export"):
            load_portable(tmp_path)
    (tmp_path / "tokenizer.json").write_text("[" * 100_000)
    with pytest.raises(GqvaeError, match="is not valid JSON"):
        load_portable(tmp_path)
    monkeypatch.setattr("gqvae.files.MAX_FILE_BYTES", 1000)
    with pytest.raises(GqvaeError, match="larger than the 1000 bytes"):
        load_portable(folder)


def test_damaged_counts_are_told(tmp_path: Path) -> None:
    (tmp_path / "segmentations.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(GqvaeError, match="cannot be read"):
        counted(tmp_path)


@pytest.mark.parametrize("pattern", ["gpt4", "gpt4-2digits", "punct", "whitespace", "sentence"])
def test_every_pattern_with_pretokens(pattern: str, tmp_path: Path) -> None:
    """gigatoken knows two of them, and is asked for no other."""
    counts = count([TEXT * 2, TEXT.upper(), TEXT.title()], pattern)
    report = export_portable(toy(pattern, size=300), tmp_path / "out", counts, [TEXT], keep=0.3)
    assert report["not_checked_with"] == ([] if pattern == "gpt4" else ["gigatoken"])
    assert load_portable(tmp_path / "out").pattern == pattern


def test_the_text_of_a_distillation_is_at_hand(distilled: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = distilled
    counts = counted(folder)
    assert counts
    assert counted(folder / "gqvae.json") == counts
    tokenizer = load(folder)
    report = export_portable(tokenizer, tmp_path / "out", counts)
    assert report["vocab_size"] == tokenizer.vocab_size
    assert report["agreement"]["counted_text"]["compression_kept"] > 0.98
    assert counted(tmp_path) is None


def test_it_costs_under_a_percent_on_held_out_stories(tmp_path: Path) -> None:
    if not (DATA / "tinystories_train.txt").exists():
        pytest.skip("no data folder")
    tokenizer = load("tinystories-1024")
    documents = list(Corpus((str(DATA / "tinystories_train.txt"),)).documents())
    counts = count((text for text in documents if not is_held_out(text, 0.05)), tokenizer.pattern)
    held_out = [text for text in documents if is_held_out(text, 0.05)]
    report = export_portable(tokenizer, tmp_path / "out", counts, held_out, keep=0.99)
    assert report["unreachable_ids"] == 0
    assert report["vocab_size"] == tokenizer.vocab_size


# GGUF


def test_gguf_of_merges_alone(tmp_path: Path) -> None:
    export_portable(toy(size=350), tmp_path / "out", COUNTS, keep=0.3, merges_only=True)
    model = load_portable(tmp_path / "out")
    assert "gigatoken (ranks)" in json.loads((tmp_path / "out/parity.json").read_text())["checked_with"]
    report = export_gguf(model, tmp_path / "gguf", [TEXT])
    keys = read_gguf(tmp_path / "gguf/tokenizer.gguf")
    assert (keys["tokenizer.ggml.pre"], keys["tokenizer.ggml.model"]) == ("gpt-2", "gpt2")
    assert keys["general.name"] == model.name
    assert keys["tokenizer.ggml.add_bos_token"] is False
    assert keys["tokenizer.ggml.tokens"][-1] == "<|endoftext|>"
    assert keys["tokenizer.ggml.token_type"][-2:] == [1, 3]
    assert keys["tokenizer.ggml.eos_token_id"] == model.vocab_size - 1
    assert len(keys["tokenizer.ggml.merges"]) == len(model.vocabulary.learned)
    assert "llama.cpp itself is not run here" in report["note"]


def test_gguf_of_whole_words_where_llama_cpp_knows_them(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"\d+ ids stand for whole words .* --merges-only"):
        export_gguf(load_portable(folder), tmp_path / "gguf")
    gpt4 = portable_bpe(toy("gpt4", size=350), count([TEXT * 3], "gpt4"))
    assert gpt4.whole_only
    export_gguf(gpt4, tmp_path / "gguf", [TEXT])
    assert read_gguf(tmp_path / "gguf/tokenizer.gguf")["tokenizer.ggml.pre"] == "llama-bpe"
    with pytest.raises(GqvaeError, match=r"llama\.cpp has no pattern 'punct'"):
        export_gguf(portable_bpe(toy("punct", size=300), COUNTS), tmp_path / "gguf")


def test_a_gguf_that_reads_back_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gqvae.export import gguf

    model = portable_bpe(toy(size=350), COUNTS, merges_only=True)
    read = gguf.read_gguf
    monkeypatch.setattr(gguf, "read_gguf", lambda path: read(path) | {"tokenizer.ggml.merges": ["t h"]})
    with pytest.raises(GqvaeError, match="merges is not the one of its tokens"):
        export_gguf(model, tmp_path / "gguf")
    assert list(tmp_path.iterdir()) == []
