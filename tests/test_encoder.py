"""Look-up, a word at a time and by columns: the ids of the pattern's pretokens, whatever is remembered."""

import subprocess
import sys
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splitting import AWKWARD
from toys import TEXT, toy

from gqvae import memo
from gqvae.awkward import AWKWARD_TEXT
from gqvae.encoder import columns, encoder
from gqvae.encoder.columns import Columns
from gqvae.encoder.packed import unpack
from gqvae.encoder.words import Words
from gqvae.patterns import PATTERNS, split
from gqvae.tokenizer import Found, Tokenizer

TOYS = {pattern: toy(pattern) for pattern in PATTERNS}
SPACES = st.text(alphabet="ab1'.\u0301 \t\n\r\x0b\x1c\x1f\x85\u00a0\u2028\u3000", max_size=30)
TEXTS = st.one_of(SPACES, st.text(), st.lists(st.sampled_from(AWKWARD), max_size=12).map("".join))
WAYS = {"words": 1 << 60, "columns": 1}  # from how many characters on texts are encoded by columns
each_pattern = pytest.mark.parametrize("pattern", PATTERNS)
each_way = pytest.mark.parametrize("much", WAYS.values(), ids=list(WAYS))


def by(much: int, patched: pytest.MonkeyPatch) -> None:
    """Have texts of at least so many characters encoded by columns."""
    patched.setattr(encoder, "_MUCH", much)
    patched.setattr(encoder, "_WORTH_ARROW", 0)


def plain(tokenizer: Tokenizer, text: str | bytes) -> list[int]:
    """The ids of `text`, pretoken by pretoken."""
    return unpack(b"".join(tokenizer._segmenter.segment(split(text, tokenizer.pattern))))


@each_pattern
@given(text=TEXTS)
@settings(max_examples=300)
@each_way
def test_ids_are_those_of_the_pattern_s_pretokens(much: int, pattern: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:  # a fixture would be one for all examples
        by(much, patched)
        assert TOYS[pattern].encode(text) == plain(TOYS[pattern], text)


@each_pattern
@given(texts=st.lists(st.one_of(TEXTS, st.binary())))
@each_way
def test_arrays_hold_the_ids_of_each(much: int, pattern: str, texts: list[str | bytes]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        by(much, patched)
        found = [ids.tolist() for ids in TOYS[pattern].encode_to_arrays(texts)]
    assert found == [plain(TOYS[pattern], text) for text in texts]


@each_pattern
@each_way
def test_sizes_of_blocks_and_groups_change_nothing(much: int, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by(much, monkeypatch)
    tokenizer = toy(pattern)
    texts: list[str | bytes] = [TEXT * 3, "", b"\xff \xfe", *AWKWARD_TEXT, TEXT, "a" * 1000]
    expected = [plain(tokenizer, text) for text in texts]
    for size in (1, 10, 100, 1000):
        monkeypatch.setattr(encoder, "_BLOCK", size)
        monkeypatch.setattr("gqvae.boundaries._BLOCK", size)
        monkeypatch.setattr(encoder, "_GROUP", size)
        monkeypatch.setattr(tokenizer._encoder._words, "_block", size)
        assert [ids.tolist() for ids in tokenizer.encode_to_arrays(texts)] == expected
        assert [tokenizer.encode(text) for text in texts] == expected


def test_what_is_not_utf_8_is_left_to_words(monkeypatch: pytest.MonkeyPatch) -> None:
    by(WAYS["columns"], monkeypatch)
    tokenizer = toy()
    texts = [TEXT, TEXT.encode() + b"\xff", TEXT]
    expected = [plain(tokenizer, text) for text in texts]
    assert tokenizer.encode_batch(texts) == expected
    monkeypatch.setattr(Words, "packed_groups", lambda *_: pytest.fail("by words"))
    assert tokenizer.encode_batch(texts[:1]) == expected[:1]
    with pytest.raises(pytest.fail.Exception, match="by words"):
        tokenizer.encode_batch(texts)


def test_columns_need_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    by(WAYS["columns"], monkeypatch)
    monkeypatch.setattr(encoder, "find_spec", lambda name: None if name == "pyarrow" else name)
    monkeypatch.setattr(Columns, "packed", lambda *_: pytest.fail("by columns"))
    assert toy().encode(TEXT) == plain(toy(), TEXT)


def test_much_text_goes_by_columns_and_little_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, much = toy(), TEXT * (1 + encoder._MUCH // len(TEXT))
    expected = plain(tokenizer, much)
    with monkeypatch.context() as patched:
        patched.setattr(Words, "packed", lambda *_: pytest.fail("by words"))
        assert tokenizer.encode(much) == expected
    monkeypatch.setattr(Columns, "packed", lambda *_: pytest.fail("by columns"))
    assert tokenizer.encode(TEXT) == plain(tokenizer, TEXT)


# What is remembered


@each_way
def test_small_memories_change_nothing(much: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by(much, monkeypatch)
    for module in (memo, columns):
        monkeypatch.setattr(module, "MEMO_ENTRIES", 3)
        monkeypatch.setattr(module, "MEMO_KEY", 4)
    tokenizer = toy()
    texts = [TEXT, TEXT[:50], "a b c a b c", TEXT]
    assert [tokenizer.encode(text) for text in texts] == [plain(tokenizer, text) for text in texts]
    words, by_columns = tokenizer._encoder._words, tokenizer._encoder._columns
    assert len(words._words) <= 3
    assert max(map(len, words._pretokens), default=0) <= 4
    assert by_columns
    assert (by_columns._known is not None) == (much == WAYS["columns"])
    if by_columns._known:
        parts = by_columns._known.parts.to_pylist()
        assert len(parts) <= 3
        assert max(map(len, parts)) <= 4


def test_columns_learn_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MEMO_ENTRIES", 3)
    found = Columns("gpt2", lambda pretokens: [piece * 4 for piece in pretokens])
    found.news.taken()
    found.learn({b"a": b"a" * 4, b" b": b" b" * 4})
    found.learn({b"a": b"a" * 4, b" c": b" c" * 4})
    assert found._known
    assert found._known.parts.to_pylist() == [b"a", b" b"]
    assert found.packed([b"a b c"]) == [b"a" * 4 + b" b" * 4 + b" c" * 4]
    assert found.news.taken() is None


def test_arrow_is_not_loaded_for_little() -> None:
    """For a text of a megabyte that takes longer than what it saves."""
    program = (
        "import sys, gqvae, gqvae.encoder.encoder as encoder\n"
        "tokenizer = gqvae.load('tinystories-1024')\n"
        "def loaded(text): tokenizer.encode(text); return 'pyarrow' in sys.modules\n"
        "text = ' word' * (encoder._WORTH_ARROW // 12)\n"
        "assert [loaded(text), loaded(text), loaded(text)] == [False, False, True]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_of_too_many_parts_those_in_use_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MEMO_ENTRIES", 3)
    found = Columns("gpt2", lambda pretokens: [piece * 4 for piece in pretokens])
    for text, kept in (
        (b"a bb", [b"a", b" bb"]),
        (b"a ccc dd", [b"a", b" ccc", b" dd"]),
        (b"a", [b"a", b" ccc", b" dd"]),
    ):
        assert found.packed([text]) == [b"".join(piece * 4 for piece in split(text, "gpt2"))]
        assert found._known
        assert found._known.parts.to_pylist() == kept


@each_pattern
def test_only_words_are_looked_up_in_columns(pattern: str) -> None:
    assert (toy(pattern)._encoder._columns is None) == (pattern in ("sentence", "none"))


@each_way
def test_what_a_copy_found_need_not_be_found_again(much: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by(much, monkeypatch)
    text, tokenizer, other = " once there was a once", toy(), toy()
    found = Found(tokenizer)
    assert found.news() is None
    expected = tokenizer.encode(text)
    other.encode(" there")
    Found(other).learn(found.news())
    assert found.news() is None
    monkeypatch.setattr(Words, "_of_words", lambda *_: pytest.fail("found again"))
    monkeypatch.setattr(Columns, "_ids_of", lambda *_: pytest.fail("found again"))
    assert other.encode(text) == expected
    assert [ids.tolist() for ids in other.encode_to_arrays([text])] == [expected]


@each_way
def test_when_too_much_is_found_it_is_not_told(much: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by(much, monkeypatch)
    for module in (memo, columns):
        monkeypatch.setattr(module, "MEMO_ENTRIES", 3)
    tokenizer, other = toy(), toy()
    found = Found(tokenizer)
    assert found.news() is None
    tokenizer.encode(" a b")
    news = found.news()
    tokenizer.encode(" c d e f")
    assert found.news() is None
    tokenizer.encode(" g")
    assert found.news() is None
    found.quiet()
    assert found.news() is None
    tokenizer.encode(" k")
    assert found.news()
    other.encode(" h i")
    Found(other).learn(news)
    assert other.encode(" a b h") == plain(other, " a b h")


def test_threads_may_share_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    by(WAYS["columns"], monkeypatch)
    monkeypatch.setattr(columns, "MEMO_ENTRIES", 200)
    tokenizer, wrong = toy(), []
    texts = [[f" word{number % (7 * offset + 50)} {TEXT}" for number in range(200)] for offset in range(4)]

    def check(some: list[str]) -> None:
        for text in some:
            if tokenizer.encode(text) != plain(tokenizer, text):
                wrong.append(text)

    threads = [Thread(target=check, args=(some,)) for some in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def doubled() -> "memo.Memo[tuple[int, int]]":
    return memo.Memo(lambda keys: [(len(key), len(key)) for key in keys])


def test_too_much_news_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MOST_NEWS", 2)
    found = doubled()
    found.news.taken()
    found.values_of(["a", "bb", "ccc"])
    assert found.news.taken() is None
    found.values_of(["d"])
    assert found.news.taken() == {"d": (1, 1)}


def test_a_full_memo_tells_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MEMO_ENTRIES", 3)
    found = doubled()
    assert found.news.taken() is None
    found.values_of(["a", "bb"])
    assert found.news.taken() == {"a": (1, 1), "bb": (2, 2)}
    found.values_of(["ccc", "dddd"])
    assert found.news.taken() is None
    found.learn({"e": (1, 1)})
    assert found["e"] == (1, 1)
    assert len(found) <= 3
    found.values_of(["f"])
    assert found.news.taken() is None
    found.news.quiet()
    found.values_of(["g"])
    assert found.news.taken() is None
    found.values_of(["h"])
    assert found.news.taken() == {"h": (1, 1)}
