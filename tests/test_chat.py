"""What transformers is told beside the ids: chat templates, padding, lengths, more special tokens."""

import json
from pathlib import Path

import pytest
from toys import TEXT, toy

from gqvae.errors import GqvaeError
from gqvae.export import Settings, export_huggingface

transformers = pytest.importorskip("transformers")

TALK = [
    {"role": "system", "content": "You tell stories."},
    {"role": "user", "content": "Tell one."},
    {"role": "assistant", "content": "Once upon a time."},
]
SETTINGS = Settings(
    chat_template="chatml",
    more_specials=("<|pad|>", "<it's>", "<|im_end|>"),
    padding_side="left",
    model_max_length=512,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chat") / "out"
    export_huggingface(toy(), out, [TEXT], SETTINGS)
    return out


def test_more_specials_leave_all_ids_as_they_are(folder: Path) -> None:
    tokenizer, auto = toy(), transformers.AutoTokenizer.from_pretrained(folder)
    assert auto(TEXT)["input_ids"] == tokenizer.encode(TEXT)
    assert len(auto) == tokenizer.vocab_size + 4
    added = ("<|im_start|>", "<|im_end|>", "<|pad|>", "<it's>")
    assert auto.convert_tokens_to_ids(list(added)) == list(range(tokenizer.vocab_size, len(auto)))
    assert set(added) <= set(auto.all_special_tokens)


def test_the_specials_that_a_tokenizer_has_are_told(tmp_path: Path) -> None:
    export_huggingface(toy(specials=("<|endoftext|>", "<|mask|>")), tmp_path / "hf")
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert set(auto.all_special_tokens) == {"<|endoftext|>", "<|mask|>"}


def test_all_of_it_survives_save_pretrained(folder: Path, tmp_path: Path) -> None:
    first = transformers.AutoTokenizer.from_pretrained(folder)
    first.save_pretrained(tmp_path)
    for auto in (first, transformers.AutoTokenizer.from_pretrained(tmp_path)):
        assert (auto.pad_token, auto.eos_token, auto.bos_token) == ("<|pad|>", "<|im_end|>", "<|endoftext|>")
        assert (auto.padding_side, auto.model_max_length) == ("left", 512)
        batch = auto(["Once upon a time", "x"], padding=True)
        assert batch["input_ids"][1][:2] == [auto.pad_token_id] * 2
        assert auto.apply_chat_template(TALK)["input_ids"] == first.apply_chat_template(TALK)["input_ids"]


def test_the_template(folder: Path) -> None:
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    assert auto.apply_chat_template(TALK[1:], tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nTell one.<|im_end|>\n"
        "<|im_start|>assistant\nOnce upon a time.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    masked = auto.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    learned = [id_ for id_, mask in zip(masked["input_ids"], masked["assistant_masks"], strict=True) if mask]
    assert auto.decode(learned) == "Once upon a time.<|im_end|>"


@pytest.mark.parametrize("special", ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|pad|>", "<it's>"])
def test_a_message_cannot_bring_in_a_special_token(folder: Path, special: str) -> None:
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    for message in ({"role": "user", "content": f"Hi{special}there"}, {"role": special, "content": "Hi"}):
        with pytest.raises(Exception, match="a message holds the special token"):
            auto.apply_chat_template([TALK[0], message])


@pytest.mark.parametrize("content", [None, [{"type": "text", "text": "Hi"}]])
def test_content_that_is_no_text_is_refused(folder: Path, content: object) -> None:
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    with pytest.raises(Exception, match="the content of a message must be text"):
        auto.apply_chat_template([{"role": "assistant", "content": content}])


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("{% for message in messages %}[{{ message.content }}]{% endfor %}")
    settings = Settings(chat_template=str(tmp_path / "mine.jinja"), pad_token="<|endoftext|>")
    report = export_huggingface(toy(), tmp_path / "out", settings=settings)
    assert report["vocab_size"] == toy().vocab_size
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert auto.apply_chat_template(TALK[2:], tokenize=False) == "[Once upon a time.]"
    assert auto.pad_token == auto.eos_token == "<|endoftext|>"


def test_a_template_that_is_no_jinja_is_refused(tmp_path: Path) -> None:
    template, out = tmp_path / "mine.jinja", tmp_path / "out"
    for broken in ("{% for message in messages %}[{{ message.content }}]", "a\n{{ messages[ }}", "{% nonsense %}"):
        template.write_text(broken)
        with pytest.raises(GqvaeError, match="the chat template is not Jinja, so nothing was written: line"):
            export_huggingface(toy(), out, settings=Settings(chat_template=str(template)))
        assert not out.exists()
    for demanding in ("{{ raise_exception('the system speaks first') }}", "{{ messages[0].content[0].text.strip() }}"):
        template.write_text(demanding)
        export_huggingface(toy(), out, settings=Settings(chat_template=str(template)))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for settings, message in (
        (Settings(pad_token="<nobody>"), "'<nobody>' is no special token"),
        (Settings(chat_template=str(tmp_path / "none.jinja")), "cannot read the chat template"),
        (Settings(more_specials=("\n\n",)), "printable"),
        (Settings(more_specials=(" said",)), "also a learned token"),
    ):
        with pytest.raises(GqvaeError, match=message):
            export_huggingface(toy(), tmp_path / "out", settings=settings)
    with pytest.raises(GqvaeError, match="model_max_length"):
        Settings(model_max_length=0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_asked_nothing_added(tmp_path: Path) -> None:
    export_huggingface(toy(), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "parity.json",
    }
    assert json.loads((tmp_path / "out/tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 10**30,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
    }
