"""Pretrain a small language model on a tokenizer's ids, and leave what `transformers` loads.

    gqvae train stories.txt --out run && gqvae distill run --out my-tokenizer
    python examples/pretrain.py my-tokenizer stories.txt --out model

The text becomes token shards once; a Llama reads windows of them. The folder `model` then needs no gqvae:
`AutoTokenizer.from_pretrained("model")`, `AutoModelForCausalLM.from_pretrained("model")`.

The loss is in bits per byte of text, which is the same unit whatever the tokenizer. The sizes are for a few minutes on
two CPU cores. Shapes: B windows of a batch, L tokens of a window.
"""

import argparse
import math
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import LlamaConfig, LlamaForCausalLM

import gqvae
from gqvae.corpus import Corpus
from gqvae.export import export_huggingface
from gqvae.shards import Shards, encode_corpus


class Windows(Dataset[Tensor]):
    """(L,) ids each, end to end, of all shards. A window may hold the end of one document and the start of the next."""

    def __init__(self, shards: Shards, length: int) -> None:
        self.length = length
        maps = [shards.ids(number) for number in range(shards.count)]
        self.places = [(ids, start) for ids in maps for start in range(0, len(ids) - length + 1, length)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Tensor:
        ids, start = self.places[index]
        return torch.from_numpy(ids[start : start + self.length].astype("int64"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", help="its folder, or a bundled name")
    parser.add_argument("corpus", nargs="+", help="what `gqvae train` takes")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=16, help="windows")
    parser.add_argument("--length", type=int, default=128, help="tokens of a window")
    parser.add_argument("--width", type=int, default=128, help="a multiple of 32")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.width < 32 or given.width % 32:
        parser.error("--width: give a multiple of 32")

    tokenizer, corpus = gqvae.load(given.tokenizer), Corpus(tuple(given.corpus))
    corpus.sources()  # told now if a file is not there
    export_huggingface(tokenizer, given.out)  # first: it takes no folder that holds other files
    encode_corpus(tokenizer, corpus.streamed(), given.out / "shards")
    shards = Shards(given.out / "shards")

    torch.manual_seed(given.seed)
    model = train(new_model(shards, given.length, given.width, given.layers), shards, given.batch, given.steps)
    model.save_pretrained(given.out)
    print(sample(model, tokenizer, shards))


def new_model(shards: Shards, length: int, width: int, layers: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=shards.vocab_size,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=length,
        tie_word_embeddings=True,
        bos_token_id=shards.end,  # each document follows the end of another
        eos_token_id=shards.end,
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, shards: Shards, batch: int, steps: int) -> LlamaForCausalLM:
    windows = Windows(shards, model.config.max_position_embeddings)
    if len(windows) < batch:
        raise SystemExit(f"{len(windows)} windows for a batch of {batch}: give more text, or a smaller --batch")
    loader = DataLoader(windows, batch, shuffle=True, drop_last=True)
    bits = shards.tokens / shards.bytes / math.log(2)  # per byte, of a nat per token
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1 - step / steps))
    model.train()
    step = 0
    while step < steps:
        for ids in loader:  # (B, L)
            loss = model(ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            step += 1
            if step % 100 == 0 or step == steps:
                print(f"step {step}: {loss.item() * bits:.3f} bits per byte of training text")
            if step == steps:
                break
    return model.eval()


def sample(model: LlamaForCausalLM, tokenizer: gqvae.Tokenizer, shards: Shards) -> str:
    """A text of the model's own."""
    beginning = torch.tensor([[shards.end]])
    length = model.config.max_position_embeddings
    ids = model.generate(beginning, do_sample=True, max_length=length, pad_token_id=shards.end)[0, 1:]
    return tokenizer.decode(ids[ids != shards.end])


if __name__ == "__main__":
    try:
        main()
    except gqvae.GqvaeError as error:
        sys.exit(str(error))
