"""Text on which tokenizers lose bytes or disagree, for self-tests, `verify` and parity checks."""

from collections.abc import Sequence

AWKWARD_TEXT: tuple[str, ...] = (
    "",
    " ",
    "  ",
    "\n",
    "\r\n\r\n \t \n x",
    "\x00",
    "a\x00\x00\x00b",
    "Once upon a time, there was a little girl.\n\nShe didn't know: 3.14159 > 3, I'LL say!",
    "'s 'S don't I'LL we're’s 'ſ",
    " leading and trailing  ",
    "tab\tand   three spaces\n    indented\n\n\nend ",
    "x" * 1000,
    " " * 1000,
    "\n" * 1000,
    "0123456789 3.14159 1,000,000 ½ ² Ⅷ ٣ ৩",
    "naïve café Ünïcödé e\u0301e\u0301 \u0301",
    "Привет, мир! Γειά σου 你好，世界。こんにちは สวัสดี مرحبا नमस्ते שלום",
    "👍🏽 👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪\u200d\ufe0f",
    "\u00a0\u2003\u2028\u2029\u0085\u200b\ufeff\ufffd x",
    "\x1c\x1d \x1e \x1f a\x7f\x80\x9f",
    "\U00010348\U0001f9ff\U0002a6b2\U000e0041\U0010ffff\uffff",
    "new in Unicode 17: a\U0001e6c0b, 1\U00011de02, \U0001e6c0's \u088f't \U000323b0's",
    "<|endoftext|>",
    "before<|endoftext|>after <|endoftext|> <|endoftext",
    "def f(x):\n\treturn x ** 2  # comment\r\n",
    '{"key": ["value", null, 1e-9]}',
    "https://example.org/a_b?c=d&e=%20#f",
)

AWKWARD_BYTES: tuple[bytes, ...] = (
    bytes(range(256)),
    b"\xff\xfe caf\xe9 \xed\xa0\x80 \xf0\x9f\x91",
)


def special_texts(specials: Sequence[str]) -> list[str]:
    """Texts that hold the first of these special tokens, whole, in a row and cut short."""
    names = specials[:50]
    texts = [text for name in names for text in (f"a {name} b", name * 2, name[:-1], name + name[1:])]
    return [*texts, "".join(names)]
