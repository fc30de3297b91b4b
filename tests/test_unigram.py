"""SentencePiece drops text in many ways; the peer made of it drops nothing."""

from collections.abc import Iterator
from pydoc_data.topics import topics

import pytest

from gqvae.errors import GqvaeError
from gqvae.evaluation import train_peer
from gqvae.evaluation.peers import HuggingFacePeer
from gqvae.evaluation.unigram import RESERVED, SPACE, UnigramTokenizer, train_unigram

MANY = [topics[name] for name in sorted(topics)[:40]]
STORY = "Once upon a time there was a little girl named Lily. She loved to play in the garden."
Peer = HuggingFacePeer | UnigramTokenizer


def tokens(peer: Peer) -> list[bytes]:
    return [peer.decode_bytes([id_]) for id_ in range(peer.vocab_size)]


def scores(peer: Peer) -> list[float]:
    assert isinstance(peer, UnigramTokenizer)
    return [peer._processor.get_score(id_) for id_ in range(peer.vocab_size)]


def unigram_of(documents: list[str], size: int = 1000) -> Peer:
    """Trained on `documents` among others. (It considers only strings that different characters follow.)"""
    return train_peer(f"unigram:{size}", [*MANY, *documents])


@pytest.mark.parametrize("character", ["\0", "▁", "▅", "\n", "\t", "\r\n", "<|endoftext|>", "\ufeff"])
def test_it_learns_from_documents_with_any_character(character: str) -> None:
    """By itself SentencePiece drops some, silently."""
    assert b" quagga" in tokens(unigram_of([f"{character}a quagga, a{character} quagga and " * 50]))


@pytest.mark.parametrize("character", ["\0", "▁", "▅"])
def test_reserved_characters_are_where_a_document_may_be_cut(character: str) -> None:
    """By itself SentencePiece counts NUL as if it were its commonest piece, and the second as a space."""
    words = [f"zebra{number % 9} and a quagga{number % 7}" for number in range(400)]
    assert scores(unigram_of([character.join(words)])) == scores(unigram_of(words))


def test_it_learns_from_all_of_a_long_document() -> None:
    """By itself SentencePiece drops those of more than 4,192 bytes."""
    found = tokens(unigram_of(["a 👍 zebra, a zebra " * 500 + "a quagga, a quagga " * 500]))
    assert {b" zebra", b" quagga"} <= set(found)
    assert any(token.count("👍".encode()) > 1 for token in tokens(unigram_of(["👍" * 3000])))


@pytest.mark.parametrize("ending", ["\n", "\r", "x\n"])
def test_it_learns_how_documents_end(ending: str) -> None:
    """By itself SentencePiece strips newlines, which would then have no ids but those of the bytes."""
    assert tokens(train_peer("unigram:400", [f"{STORY.strip()}{ending}"])).count(ending[-1].encode()) == 2


def test_it_learns_runs_of_spaces() -> None:
    assert b"    " in tokens(unigram_of(["if it:\n    so\n        and so\n    or so\n"] * 50))


def test_it_learns_from_long_stretches_without_a_space() -> None:
    """By itself SentencePiece ends with an error here."""
    length = 100_000
    peer = train_peer("unigram:280", ["a" * length, "ab" * length + " ", "xyz\n" * length])
    assert b"a" * 16 in tokens(peer)


def test_it_spells_rare_characters_in_bytes_where_ids_are_few() -> None:
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 600)))
    assert unigram_of([letters], 1400).note == ""
    peer = unigram_of([letters], 800)
    assert peer.note == "spells the rarest 1% of the characters in bytes, to have room in 800 ids"
    assert peer.vocab_size == 800
    assert len(peer.encode(letters)) == 3 * len(letters)
    with pytest.raises(GqvaeError, match=r"Unigram needs \d+ ids for the .* of this text, not 270: ask for more"):
        unigram_of([letters], 270)


@pytest.mark.parametrize("documents", [[], [""], [RESERVED]])
def test_it_of_no_text(documents: list[str]) -> None:
    with pytest.raises(GqvaeError, match="no text to train Unigram on"):
        train_unigram(documents, 400, "<|endoftext|>", "unigram")


def test_an_interruption_is_not_an_error_of_sentencepiece() -> None:
    def interrupted() -> Iterator[str]:
        yield from MANY
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_unigram(interrupted(), 400, "<|endoftext|>", "unigram")


def test_it_segments_as_sentencepiece_does() -> None:
    peer = train_unigram(MANY, 800, "<|endoftext|>", "unigram")
    for text in [*MANY, "", "日本語 é\0\t\r\n", "<unk><0x0A><|endoftext|>", "a▅b"]:
        assert peer.encode(text) == peer._processor.encode(text)
        with_spaces = f"{text}{SPACE}{SPACE}{text}"
        assert peer._processor.decode(peer.encode(with_spaces)) == with_spaces
