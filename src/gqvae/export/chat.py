"""What `transformers` is told beside the ids: special tokens and their roles, padding, lengths, a chat template.

The template "chatml" is the one most models use, in its plainest form:

    <|im_start|>user
    Who are you?<|im_end|>
    <|im_start|>assistant
    A tokenizer.<|im_end|>

Messages become text before that is tokenized, so a message could hold `<|im_end|>` and pretend to be another's. This
template refuses such a message (and one with any other special token of the tokenizer) with an error. The tokens of the
assistant are marked for trainers that learn from these alone (`return_assistant_tokens_mask`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gqvae.errors import GqvaeError
from gqvae.vocabulary import END_OF_TEXT

PAD = "<|pad|>"
NO_LIMIT = 10**30
"""transformers' own word for it."""
CHATML = "chatml"
TURN, END_OF_TURN = "<|im_start|>", "<|im_end|>"

_CHATML = """\
{%- for message in messages -%}
{%- if message.content is not string -%}
{{- raise_exception('the content of a message must be text: this template has no other') -}}
{%- endif -%}
{%- for special in SPECIALS -%}
{%- if special in message.role ~ message.content -%}
{{- raise_exception('a message holds the special token ' ~ special) -}}
{%- endif -%}
{%- endfor -%}
{{- '<|im_start|>' ~ message.role ~ '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}{{- message.content ~ '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message.content ~ '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a Hugging Face export.

    chat_template: None, "chatml", or the path of a Jinja file.
    more_specials: special tokens to add after all other ids.
    pad_token: one of the special tokens; by default `<|pad|>` if there is one.
    padding_side, model_max_length: as in transformers; None leaves its default, no limit.
    """

    chat_template: str | None = None
    more_specials: tuple[str, ...] = ()
    pad_token: str | None = None
    padding_side: Literal["left", "right"] | None = None
    model_max_length: int | None = None

    def __post_init__(self) -> None:
        if self.model_max_length is not None and self.model_max_length < 1:
            raise GqvaeError(f"model_max_length must be at least 1, not {self.model_max_length}")

    @property
    def specials(self) -> tuple[str, ...]:
        """The special tokens to add, those of the template first."""
        return ((TURN, END_OF_TURN) if self.chat_template == CHATML else ()) + self.more_specials

    def config(self, specials: Sequence[str]) -> dict[str, Any]:
        """What goes into tokenizer_config.json; transformers 4.x and 5.x both know this class name.

        Args:
            specials: all special tokens of the export.

        Raises GqvaeError if the pad token is none of them, or the template cannot be read.
        """
        pad = self.pad_token or (PAD if PAD in specials else None)
        if pad is not None and pad not in specials:
            raise GqvaeError(f"pad token {pad!r} is no special token of this tokenizer: add it with --special {pad!r}")
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,  # true would change decoded text
            "model_max_length": self.model_max_length or NO_LIMIT,
        }
        if END_OF_TEXT in specials:
            config["bos_token"] = config["eos_token"] = END_OF_TEXT  # as in GPT-2
        if self.chat_template == CHATML:
            config["eos_token"] = END_OF_TURN  # where generation has to stop
        more = [name for name in specials if name not in (END_OF_TEXT, pad) and name != config.get("eos_token")]
        if more:
            config["additional_special_tokens"] = more
        given = {"pad_token": pad, "padding_side": self.padding_side, "chat_template": self._template(specials)}
        return config | {key: value for key, value in given.items() if value is not None}

    def _template(self, specials: Iterable[str]) -> str | None:
        if self.chat_template is None:
            return None
        if self.chat_template == CHATML:
            names = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in specials)
            return _CHATML.replace("SPECIALS", f"[{names}]")
        try:
            return Path(self.chat_template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GqvaeError(f"cannot read the chat template {self.chat_template}: {error}") from error
