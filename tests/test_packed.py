"""Ids as bytes and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gqvae.encoder import packed
from gqvae.encoder.packed import pack, unpack, unpack_each

ids = st.lists(st.integers(0, (1 << 17) - 1), max_size=20)


@pytest.mark.parametrize("many", [1, 1000])
@given(st.lists(ids, max_size=5))
def test_unpacking_gives_back_what_was_packed(many: int, lists: list[list[int]]) -> None:
    """With numpy, which makes the integers where there are many ids, and without."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packed, "_MANY", many)
        assert [unpack(pack(each)) for each in lists] == lists
        found = unpack_each(list(map(pack, lists)))
    assert found == lists
    assert {type(id_) for each in found for id_ in each} <= {int}


def test_many_ids_share_their_integers() -> None:
    """A list of them takes 8 bytes an id, not 40."""
    found = unpack(pack([1000, 70_000] * packed._MANY))
    assert found == [1000, 70_000] * packed._MANY
    assert len({id(id_) for id_ in found}) == 2
