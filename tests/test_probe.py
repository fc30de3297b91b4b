"""The language-model probe: what it counts, checked by slower and plainer code."""

import math
from itertools import islice
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from toys import TEXT, toy

from gqvae.errors import GqvaeError
from gqvae.reproduce.encoded import Encoded
from gqvae.reproduce.probe import (
    Shape,
    average,
    batches,
    flops_per_token,
    judged_windows,
    new_model,
    run_probe,
    score,
    shuffled,
)
from gqvae.reproduce.settings import ProbeSettings

SMALL = ProbeSettings(
    width=16,
    layers=2,
    heads=2,
    context_bytes=32,
    batch_bytes=128,
    epochs=6.0,
    learning_rate=1e-2,
    warmup_steps=2,
    points=3,
)
DOCUMENTS = [TEXT[start : start + 90] for start in range(0, len(TEXT), 60)]


def encoded(*documents: list[int], vocab_size: int = 20, bytes_per_id: int = 3) -> Encoded:
    ids = [numpy.array(document, dtype=numpy.int64) for document in documents]
    return Encoded(ids, [bytes_per_id * len(document) for document in documents], vocab_size)


texts = st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=30), min_size=1, max_size=6).map(
    lambda d: encoded(*d)
)


def test_encoded_documents_are_kept(tmp_path: Path) -> None:
    tokenizer = toy()
    before = Encoded.of(tokenizer, DOCUMENTS)
    before.save(tmp_path / "ids.parquet")
    after = Encoded.load(tmp_path / "ids.parquet")
    assert [ids.tolist() for ids in after.documents] == [tokenizer.encode(document) for document in DOCUMENTS]
    assert after.sizes == [len(document.encode()) for document in DOCUMENTS]
    assert (after.vocab_size, after.tokens, after.bytes) == (tokenizer.vocab_size, before.tokens, before.bytes)
    (tmp_path / "ids.parquet").write_bytes(b"no")
    with pytest.raises(GqvaeError, match="does not hold encoded documents"):
        Encoded.load(tmp_path / "ids.parquet")


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    class Lower:
        name, vocab_size = "lower", 256

        def encode(self, text: str) -> list[int]:
            return list(text.lower().encode())

        def decode_bytes(self, ids: list[int]) -> bytes:
            return bytes(ids)

    with pytest.raises(GqvaeError, match="lower loses text in document 2"):
        Encoded.of(Lower(), ["a", "B"])


@given(texts, st.integers(0, 3))
def test_an_epoch_has_every_document_once_after_a_separator(text: Encoded, epoch: int) -> None:
    stream = shuffled(text, 20, 7, epoch).tolist()
    assert stream[0] == 20
    parts = [part.split() for part in " ".join(map(str, stream)).split("20")[1:]]
    assert sorted(parts) == sorted(list(map(str, document.tolist())) for document in text.documents)


@given(texts, st.integers(1, 3), st.integers(2, 9))
def test_batches_predict_every_id_once(text: Encoded, rows: int, context: int) -> None:
    shape = Shape(context, rows, steps=5, bytes_per_id=3.0)
    found = list(islice(batches(text, 20, shape, seed=1), 5))
    assert all(batch.shape == (rows, context + 1) for batch in found)
    stream = shuffled(text, 20, 1, 0)
    of_first_epoch = (len(stream) - 1) // shape.batch
    wanted = torch.cat([batch[:, 1:].flatten() for batch in found[:of_first_epoch]]) if of_first_epoch else stream[:0]
    assert wanted.tolist() == stream[1 : 1 + min(5, of_first_epoch) * shape.batch].tolist()
    again = list(islice(batches(text, 20, shape, seed=1), 5))
    assert all(map(torch.equal, found, again))


@given(texts, st.integers(2, 9))
def test_every_id_is_scored_once_and_every_end(text: Encoded, context: int) -> None:
    targets = torch.cat([rows[:, 1:].flatten() for rows in judged_windows(text, 20, context)])
    wanted = [id_ for document in text.documents for id_ in [*document.tolist(), 20]]
    assert sorted(targets[targets >= 0].tolist()) == sorted(wanted)


@pytest.mark.parametrize("context", [3, 8, 64])
def test_bits_are_those_of_plain_code(context: int) -> None:
    text = encoded([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [12, 13, 12], [5])
    torch.manual_seed(0)
    model = new_model(21, context, SMALL).eval()
    nats, separators = score(model, judged_windows(text, 20, context), 20)
    of_text, of_ends = 0.0, 0.0
    for document in text.documents:
        line = [20, *document.tolist(), 20]
        for place in range(1, len(line)):
            start = (place - 1) // context * context  # the window it falls in, begun with the id before
            with torch.no_grad():
                logits = model(torch.tensor([line[start:place]])).logits[0, -1].double()
            cost = (logits.logsumexp(0) - logits[line[place]]).item()
            if place == len(line) - 1:
                of_ends += cost
            else:
                of_text += cost
    assert nats == pytest.approx(of_text, rel=1e-4)
    assert separators == pytest.approx(of_ends, rel=1e-4)


def test_flops_are_those_that_torch_counts() -> None:
    settings = ProbeSettings(width=64, layers=2, heads=2)
    model = new_model(500, 16, settings)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 16, dtype=torch.long), labels=torch.zeros(1, 16, dtype=torch.long)).loss.backward()
    assert flops_per_token(model, 16) * 16 == pytest.approx(counter.get_total_flops(), rel=0.04)


def test_the_average_follows_the_last_tenth() -> None:
    mean, weight = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for step in range(1, 1001):
        weight.weight.data.fill_(step)
        average(mean, weight, step)
    assert 870 < mean.weight.item() < 950


def test_shapes_give_every_tokenizer_the_same_bytes() -> None:
    settings = ProbeSettings(context_bytes=256, batch_bytes=1024, epochs=2.0)
    for bytes_per_id in (1, 2, 4):
        text = encoded(*([[1] * (9600 // bytes_per_id)] * 10), bytes_per_id=bytes_per_id)
        shape = Shape.of(text, settings)
        assert shape.context * shape.bytes_per_id == pytest.approx(256, rel=0.01)
        assert shape.steps * shape.batch * shape.bytes_per_id == pytest.approx(2 * 96_000, rel=0.01)


@pytest.fixture(scope="module")
def probed() -> dict[str, object]:
    return run_probe(Encoded.of(toy(), DOCUMENTS), Encoded.of(toy(), [TEXT]), SMALL, seed=3)


def test_a_probe_learns_and_repeats(probed: dict[str, object]) -> None:
    text = Encoded.of(toy(), DOCUMENTS)
    points = probed["points"]
    assert isinstance(points, list)
    assert [point["step"] for point in points] == sorted({point["step"] for point in points})
    uniform = math.log2(701) * Encoded.of(toy(), [TEXT]).tokens / len(TEXT.encode())
    assert points[-1]["bits_per_byte"] < points[0]["bits_per_byte"] < uniform * 1.05
    assert points[-1]["bytes"] == pytest.approx(6 * text.bytes, rel=0.15)
    assert run_probe(text, Encoded.of(toy(), [TEXT]), SMALL, seed=3) == probed
    assert run_probe(text, Encoded.of(toy(), [TEXT]), SMALL, seed=4) != probed


def test_its_sizes_are_counted(probed: dict[str, object]) -> None:
    assert probed["embedding_parameters"] == 701 * 16
    assert isinstance(probed["parameters"], int)
    assert probed["parameters"] > 701 * 16


@pytest.mark.parametrize("documents", [[], [""]])
def test_no_text_is_a_clear_error(documents: list[str]) -> None:
    full, empty = Encoded.of(toy(), DOCUMENTS), Encoded.of(toy(), documents)
    for text, judged in ((full, empty), (empty, full)):
        with pytest.raises(GqvaeError, match="needs text"):
            run_probe(text, judged, SMALL, 0)


def test_a_loss_that_is_not_finite_is_a_clear_error() -> None:
    text = Encoded.of(toy(), DOCUMENTS)
    with pytest.raises(GqvaeError, match=r"smaller probe\.learning_rate"):
        run_probe(text, text, ProbeSettings(width=16, heads=2, learning_rate=1e30, context_bytes=32, batch_bytes=64), 0)
