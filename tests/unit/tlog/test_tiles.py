import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.tlog.errors import DamagedLog
from artstore.core.tlog.tiles import (
    ENTRIES,
    TileId,
    decode_bundle,
    edge_tiles,
    encode_bundle,
    tile_at,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileId(0, 0), "tile/0/000"),
        (TileId(0, 1234067), "tile/0/x001/x234/067"),  # the example of the specification
        (TileId(1, 999, 17), "tile/1/999.p/17"),
        (TileId(ENTRIES, 1000), "tile/entries/x001/000"),
        (TileId(ENTRIES, 5, 255), "tile/entries/005.p/255"),
    ],
)
def test_names_are_those_of_the_specification(tile: TileId, path: str) -> None:
    assert tile.path == path


def test_a_log_of_70000_has_the_edge_that_the_specification_says() -> None:
    assert list(edge_tiles(70_000)) == [
        TileId(ENTRIES, 273, 112),
        TileId(0, 273, 112),
        TileId(1, 1, 17),
        TileId(2, 0, 1),
    ]


def test_a_log_of_256_has_one_full_tile_and_one_hash_above() -> None:
    assert list(edge_tiles(256)) == [TileId(1, 0, 1)]
    assert tile_at(0, 0, 256).is_full


def test_there_is_no_tile_beyond_the_log() -> None:
    with pytest.raises(ValueError, match="no tile"):
        tile_at(0, 1, 256)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_come_back_as_they_were(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5), st.data())
def test_a_bundle_that_is_cut_is_never_taken_for_a_whole_one(
    entries: list[bytes], data: st.DataObject
) -> None:
    whole = encode_bundle(entries)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]

    try:
        found = decode_bundle(cut)
    except DamagedLog:
        return
    assert found == entries[: len(found)]
    assert len(found) < len(entries)


def test_a_tile_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(DamagedLog, match="31 bytes, not 32"):
        TileId(0, 0, 1).checked(bytes(31))
