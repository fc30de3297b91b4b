"""Ids that come from other processes."""

import pytest

from gqvae.encoder.packed import pack
from gqvae.encoder.processes import encode_in_processes


def ids_of(texts: list[str]) -> list[list[int]]:
    return [[*map(ord, text)] for text in texts]


def packed_of(texts: list[str]) -> list[bytes]:
    return [pack(map(ord, text)) for text in texts]


@pytest.mark.parametrize("without_numpy", [False, True])
def test_ids_come_back_as_they_were(without_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gqvae.encoder.packed._MANY", 1)
    if without_numpy:
        monkeypatch.setattr("gqvae.encoder.packed.find_spec", lambda _: None)
    texts = ["", "one", "", "two and more", "\U0010ffff", *["x" * 9] * 20, ""] * 3
    found = encode_in_processes(packed_of, texts, 2, 10)
    assert found == ids_of(texts)
    assert {type(id_) for ids in found for id_ in ids} == {int}
