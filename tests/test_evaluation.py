"""Figures are recomputed here by hand, and peers are checked to be what they say they are."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gqvae.errors import GqvaeError
from gqvae.evaluation import compare, evaluate, load_peer, train_peer
from gqvae.evaluation.peers import HuggingFaceTokenizer, bpe_of_compression, parse_trained_peer
from gqvae.evaluation.trained import INSIDE, with_merges
from gqvae.evaluation.trained import bpe as bpe_of
from gqvae.evaluation.unigram import UnigramTokenizer
from gqvae.patterns import split_text

STORY = (
    "Once upon a time there was a little girl named Lily. She loved to play in the garden, and the garden "
    "loved her too. One day she found a red ball. “It’s mine!” said the café’s dog. 日本語 too.\n"
)
DOCUMENTS = [STORY, STORY.upper(), STORY * 3 + "the end", topics["import"], topics["numeric-types"]]
AWKWARD = [
    "<|endoftext|>",
    "a <|endoftext|> b<|endoftext|>",
    "\x00\x01\x7f\x80\xff",
    " \n\t  \r\n ",
    "👩‍👩‍👧‍👦 👍🏽 مرحبا дом ไทย",
    "Ġ Ċ ▁ �",
]


Peer = HuggingFaceTokenizer | UnigramTokenizer


class Halves:
    """Two characters a token; forgets the last one of an odd text when told to."""

    name = "halves"
    vocab_size = 300

    def __init__(self, forgetful: bool = False) -> None:
        self.forgetful = forgetful

    def encode(self, text: str) -> list[int]:
        data = text.encode()
        return list(data[: len(data) // 2 * 2] if self.forgetful else data)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


@pytest.fixture(scope="module")
def bpe() -> Peer:
    return train_peer("bpe:400", DOCUMENTS)


@pytest.fixture(scope="module")
def unigram() -> Peer:
    return train_peer("unigram:500", DOCUMENTS)


@pytest.fixture(scope="module")
def peers(bpe: Peer, unigram: Peer) -> list[Peer]:
    """One of each kind."""
    others = ("sentence-bpe:400", "superbpe:400:300", "wordpiece:700")
    return [bpe, unigram, *(train_peer(spec, DOCUMENTS) for spec in others)]


def tokens(peer: Peer) -> list[bytes]:
    return [peer.decode_bytes([id_]) for id_ in range(peer.vocab_size)]


def test_a_row_holds_totals_over_the_untouched_text(bpe: Peer) -> None:
    documents = [*DOCUMENTS, *AWKWARD]
    ids = [bpe.encode(text) for text in documents]
    row = evaluate(bpe, iter(documents))
    assert row["name"] == "bpe:400"
    assert row["vocab_size"] == 400
    assert row["documents"] == len(documents)
    assert row["bytes"] == sum(len(text.encode()) for text in documents)
    assert row["tokens"] == sum(map(len, ids))
    assert row["bytes_per_token"] == row["bytes"] / row["tokens"]
    assert row["used_ids"] == len({id_ for one in ids for id_ in one})
    assert row["lossless"] is True
    assert row["note"] == ""


def test_all_tokenizers_see_the_same_stream(bpe: Peer, unigram: Peer) -> None:
    together = compare([bpe, unigram], (text for text in DOCUMENTS))
    assert together == [evaluate(bpe, DOCUMENTS), evaluate(unigram, DOCUMENTS)]


def test_loss_is_reported_with_the_document() -> None:
    row = evaluate(Halves(forgetful=True), ["even", "odd", "four", "fi\nve"])
    assert row["lossless"] is False
    assert "2 of 4 documents" in row["note"]
    assert "number 2" in row["note"]
    assert evaluate(Halves(), ["even", "odd"])["lossless"] is True


def test_ids_beyond_the_vocabulary_are_reported() -> None:
    tokenizer = Halves()
    tokenizer.vocab_size = 100  # type: ignore[misc]
    assert "more ids than vocab_size" in evaluate(tokenizer, ["text"])["note"]


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_no_text_is_an_error(documents: list[str]) -> None:
    with pytest.raises(GqvaeError, match="holds no text"):
        evaluate(Halves(), documents)


def test_a_lone_surrogate_is_an_error() -> None:
    with pytest.raises(GqvaeError, match="U\\+D800 at character 1"):
        evaluate(Halves(), ["a\ud800"])


@pytest.mark.parametrize(
    "spec",
    ["bpe:400", "unigram:500", "sentence-bpe:400", "superbpe:400", "superbpe:400:400", "wordpiece:700"],
)
def test_trained_peers_have_exactly_n_ids_and_every_byte(spec: str) -> None:
    peer = train_peer(spec, iter(DOCUMENTS))
    assert peer.vocab_size == int(spec.split(":")[1])
    lossy = "loses some unusual text" if spec.startswith("unigram") else ""  # U+2581 is its space
    assert peer.note == lossy
    assert {bytes([byte]) for byte in range(256)} | {b"<|endoftext|>"} <= set(tokens(peer))


def test_tokens_that_cross_words_are_what_sets_peers_apart(peers: list[Peer]) -> None:
    crossing = [[token for token in tokens(peer) if b" " in token.strip()] for peer in peers]
    assert [bool(found) for found in crossing] == [False, False, True, True, False]
    for peer, found in zip(peers[2:4], crossing[2:4], strict=True):
        assert not [token for token in found if b". " in token], "no token crosses sentences"
        assert {token for text in DOCUMENTS for token in map(tokens(peer).__getitem__, peer.encode(text))} & {*found}


def test_superbpe_begins_as_bpe(peers: list[Peer]) -> None:
    assert tokens(peers[3])[:300] == tokens(train_peer("bpe:300", DOCUMENTS))
    by_default = train_peer("superbpe:1000", DOCUMENTS)
    assert by_default._tokenizer.to_str() == train_peer("superbpe:1000:400", DOCUMENTS)._tokenizer.to_str()


def test_superbpe_without_a_first_stage_is_sentence_bpe() -> None:
    whole, staged = train_peer("sentence-bpe:900", DOCUMENTS), train_peer("superbpe:900:257", DOCUMENTS)
    assert staged._tokenizer.to_str() == whole._tokenizer.to_str()


def test_superbpe_of_text_that_spells_the_special_token() -> None:
    """A merge spells it and so adds no id: another merge takes its place."""
    documents = [*DOCUMENTS, "<|endoftext|>".join("any two letters around it") * 9]
    peer = train_peer("superbpe:400:300", documents)
    assert peer.vocab_size == len(set(tokens(peer))) == 400
    assert peer.decode_bytes(peer.encode(documents[-1])) == documents[-1].encode()


def test_superbpe_goes_on_from_the_first_stage_as_bpe_would(peers: list[Peer]) -> None:
    """The slow twin: merge the most frequent pair of tokens inside sentences, one after the other."""
    first, superbpe = train_peer("superbpe:300:300", DOCUMENTS), peers[3]
    spelling = tokens(first)
    pieces = [first.encode(piece) for text in DOCUMENTS for piece in split_text(text, "sentence")]
    while len(spelling) < superbpe.vocab_size:
        counts = Counter(pair for piece in pieces for pair in pairwise(piece))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        pieces = [merged(piece, best, len(spelling)) for piece in pieces]
        spelling.append(spelling[best[0]] + spelling[best[1]])
    assert tokens(superbpe) == spelling
    assert [id_ for text in DOCUMENTS for id_ in superbpe.encode(text)] == [id_ for piece in pieces for id_ in piece]


def merged(ids: list[int], pair: tuple[int, int], into: int) -> list[int]:
    result: list[int] = []
    for id_ in ids:
        if result and (result[-1], id_) == pair:
            result[-1] = into
        else:
            result.append(id_)
    return result


@pytest.mark.parametrize("kind", ["bpe", "sentence-bpe", "superbpe"])
def test_a_peer_of_another_size_says_so(kind: str) -> None:
    peer = train_peer(f"{kind}:5000", ["so little text"])
    assert peer.vocab_size < 5000
    row = evaluate(peer, ["text"])
    assert row["vocab_size"] == peer.vocab_size
    assert row["note"] == f"has {peer.vocab_size} ids, not the 5000 asked for"


def test_training_is_deterministic(peers: list[Peer]) -> None:
    """Not so WordPiece: `tokenizers` numbers its merges of equal count by chance."""
    for peer in peers[:4]:
        again = train_peer(peer.name, DOCUMENTS)
        assert tokens(again) == tokens(peer)
        assert list(map(again.encode, DOCUMENTS)) == list(map(peer.encode, DOCUMENTS))


def test_wordpiece_takes_the_longest_piece_of_each_rest() -> None:
    peer = train_peer("wordpiece:600", ["aaaa bab abab"] * 20)
    word = "ababab" * 30  # longer than its words may be
    ids = peer.encode(word)
    assert peer.decode_bytes(ids) == word.encode()
    known = peer._tokenizer.get_vocab()
    rest, prefix, wanted = "babab", "", []
    while rest:
        longest = max(n for n in range(1, len(rest) + 1) if prefix + rest[:n] in known)
        wanted.append(known[prefix + rest[:longest]])
        rest, prefix = rest[longest:], INSIDE
    assert peer.encode("babab") == wanted
    assert len(wanted) > 1


@pytest.mark.parametrize("size", [257, 300, 371])
def test_a_smaller_bpe_is_the_beginning_of_a_larger(size: int) -> None:
    larger, smaller = bpe_of(DOCUMENTS, 400), bpe_of(DOCUMENTS, size)
    assert with_merges(larger, size).to_str() == smaller.to_str()


@pytest.mark.parametrize("wanted", [1.2, 1.4, 1.6])
def test_bpe_of_a_compression(wanted: float) -> None:
    found = bpe_of_compression(DOCUMENTS, wanted, DOCUMENTS[:3], 500)
    trained = train_peer(f"bpe:{found.vocab_size}", DOCUMENTS)
    assert evaluate(trained, DOCUMENTS[:3])["bytes_per_token"] == pytest.approx(wanted, rel=0.01)
    assert found.note == ""


def test_a_compression_out_of_reach_is_said() -> None:
    found = bpe_of_compression(DOCUMENTS, 50.0, DOCUMENTS, 300)
    assert found.vocab_size == 300
    assert "no BPE of up to 300 ids" in found.note


@pytest.mark.parametrize("text", AWKWARD)
def test_peers_take_special_text_as_text(text: str, peers: list[Peer]) -> None:
    for peer in peers:
        ids = peer.encode(text)
        if "▁" not in text or not isinstance(peer, UnigramTokenizer):
            assert peer.decode_bytes(ids) == text.encode()
        assert b"<|endoftext|>" not in [peer.decode_bytes([id_]) for id_ in ids]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_peers_are_lossless(text: str, peers: list[Peer]) -> None:
    for peer in peers:
        assert peer.decode_bytes(peer.encode(text)) == text.encode()


def test_a_hugging_face_folder_gives_the_same_ids(tmp_path: Path, bpe: Peer) -> None:
    """Even if the file asks for truncation, padding or tokens around the text: figures are of the text."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    saved = Tokenizer.from_str(bpe._tokenizer.to_str())
    saved.enable_truncation(4)
    saved.enable_padding()
    saved.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", saved.token_to_id("<|endoftext|>"))]
    )
    saved.save(str(tmp_path / "tokenizer.json"))
    loaded = load_peer(f"hf:{tmp_path}")
    assert loaded.name == f"hf:{tmp_path}"
    for text in [*DOCUMENTS, *AWKWARD, ""]:
        assert loaded.encode(text) == bpe.encode(text)
        assert loaded.decode_bytes(bpe.encode(text)) == text.encode()


def test_a_tokenizer_that_loses_text_is_caught(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "some": 1, "##thing": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    row = evaluate(load_peer(f"hf:{tmp_path}"), ["something else", "something"])
    assert row["lossless"] is False
    assert "1 of 2 documents" in row["note"]


def test_a_missing_or_damaged_hugging_face_folder(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match=r"cannot read .*nowhere.tokenizer\.json: No such file"):
        load_peer("hf:nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GqvaeError, match="is not a tokenizer"):
        load_peer(f"hf:{tmp_path}")


def test_specs_of_trained_peers() -> None:
    assert parse_trained_peer("bpe:4096") == ("bpe", (4096,))
    assert parse_trained_peer("unigram:257") == ("unigram", (257,))
    assert parse_trained_peer("sentence-bpe:4096") == ("sentence-bpe", (4096,))
    assert parse_trained_peer("superbpe:4096") == ("superbpe", (4096,))
    assert parse_trained_peer("superbpe:4096:1024") == ("superbpe", (4096, 1024))
    for other in ("some/folder", "hf:folder", "bpe", "superbpe", "word:400", "word:400:300"):
        assert parse_trained_peer(other) is None
    for bad in ("bpe:", "bpe:256", "bpe:-1", "unigram:4k", "bpe:١٢٣٤", "bpe:400:300", "superbpe:", "superbpe::300"):
        with pytest.raises(GqvaeError, match=rf"{bad}: write {bad.split(':')[0]}:N .*257"):
            parse_trained_peer(bad)
    for bad in ("superbpe:400:", "superbpe:400:256", "superbpe:400:401", "superbpe:400:300:300"):
        with pytest.raises(GqvaeError, match=f"{bad}: write superbpe:N:T .*for T, from 257 to N"):
            parse_trained_peer(bad)
    with pytest.raises(GqvaeError, match=r"unknown peer 'word:400': write .*superbpe:N"):
        train_peer("word:400", DOCUMENTS)


def test_an_id_out_of_range(bpe: Peer) -> None:
    with pytest.raises(GqvaeError, match="bpe:400 has no id 400"):
        bpe.decode_bytes([400])
