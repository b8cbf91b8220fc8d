"""A log grows in batches of any size and reads back whole; damage is noticed and named."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.transparency import LOG_KEY, LOG_KEY_PQ, ORIGIN, POLICY, T0, entry, key, make_log

from artstore.core.tlog.errors import (
    DamagedLog,
    LogRolledBack,
    LogStopped,
    ObjectConflict,
    ObjectMissing,
    UntrustedNote,
)
from artstore.core.tlog.inspection import inspect_log
from artstore.core.tlog.log import Log, has_log
from artstore.core.tlog.merkle.hashing import leaf_hash, tree_root
from artstore.core.tlog.merkle.proofs import verify_consistency, verify_inclusion
from artstore.core.tlog.store import MemoryStore
from artstore.core.tlog.tiles import ENTRIES, ENTRY_BYTES_MAX, TileId, edge_tiles


def filled(*batches: int, store: MemoryStore | None = None) -> Log:
    log = make_log(store)
    numbers = itertools.count()
    for batch in batches:
        log.append([entry(next(numbers)) for _ in range(batch)], T0)
    return log


def test_a_new_log_is_empty_and_signed() -> None:
    store = MemoryStore()
    log = make_log(store)

    signed = POLICY.signed_checkpoint(store.read("checkpoint"))
    assert (signed.checkpoint.size, signed.checkpoint) == (0, log.checkpoint)
    assert list(inspect_log(log.reader())) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 600), max_size=8))
def test_a_log_is_the_tree_over_its_entries(batches: list[int]) -> None:
    log = filled(*batches)

    size = sum(batches)
    assert log.checkpoint.size == size
    assert log.checkpoint.root == tree_root([leaf_hash(entry(i)) for i in range(size)])
    reader = log.reader()
    assert list(reader.entries(0, size)) == [entry(i) for i in range(size)]
    assert list(inspect_log(reader)) == []


def test_a_log_of_several_levels_proves_every_entry_and_every_earlier_state() -> None:
    log = filled(65_536 + 300)
    reader = log.reader()
    root = log.checkpoint.root

    for index in (0, 1, 255, 256, 65_535, 65_536, 65_835):
        proof = reader.inclusion_proof(index)
        verify_inclusion(leaf_hash(entry(index)), index, reader.size, proof, root)
        assert reader.entry(index) == entry(index)
    for old in (1, 2, 255, 256, 257, 65_536, 65_537, 65_836):
        proof = reader.consistency_proof(old)
        verify_consistency(old, reader.root_at(old), reader.size, root, proof)


def test_a_log_goes_on_where_it_ended() -> None:
    store = MemoryStore()
    filled(300, store=store)

    log = Log.open(store, ORIGIN, [LOG_KEY], size_min=300)
    log.append([entry(i) for i in range(300, 600)], T0)

    assert log.checkpoint.root == tree_root([leaf_hash(entry(i)) for i in range(600)])
    assert list(inspect_log(log.reader())) == []


def test_a_log_is_signed_with_both_kinds_of_key() -> None:
    log = make_log(keys=[LOG_KEY, LOG_KEY_PQ])
    log.append([b"one"], T0)

    signed = log.note.verified([LOG_KEY.verifier, LOG_KEY_PQ.verifier])
    assert [(item.key, item.at) for item in signed] == [
        (LOG_KEY.verifier, None),
        (LOG_KEY_PQ.verifier, T0),
    ]


def test_after_a_rotation_the_old_key_still_counts_for_the_old_state() -> None:
    store = MemoryStore()
    filled(3, store=store)
    new = key(ORIGIN, number=2)

    with pytest.raises(UntrustedNote):
        Log.open(store, ORIGIN, [new])
    log = Log.open(store, ORIGIN, [new], old_keys=[LOG_KEY.verifier])
    log.append([b"x"], T0)

    assert log.note.verified([new.verifier])


def test_full_tiles_take_the_place_of_partial_ones() -> None:
    store = MemoryStore()
    filled(*[50] * 6, store=store)

    names = {name for name in store.objects if name.startswith("tile/0/")}
    assert names == {"tile/0/000", "tile/0/001.p/44"}


def test_a_reader_of_an_earlier_state_reads_on_when_its_partial_tiles_are_gone() -> None:
    store = MemoryStore()
    log = filled(100, store=store)
    before = log.reader()
    log.append([entry(i) for i in range(100, 300)], T0)

    assert "tile/0/000.p/100" not in store.objects
    assert before.inclusion_proof(7)
    assert list(before.entries(0, 100)) == [entry(i) for i in range(100)]


def test_an_entry_that_is_too_long_changes_nothing() -> None:
    log = filled(3)

    with pytest.raises(ValueError, match="65535 bytes"):
        log.append([b"ok", bytes(ENTRY_BYTES_MAX + 1)], T0)

    log.append([entry(3), bytes(ENTRY_BYTES_MAX)], T0)
    assert log.checkpoint.size == 5


def test_a_second_log_is_not_made_over_the_first() -> None:
    store = MemoryStore()
    filled(3, store=store)

    assert has_log(store)
    with pytest.raises(LogStopped):
        make_log(store)


def test_a_log_is_not_made_over_the_tiles_of_a_lost_one() -> None:
    store = MemoryStore()
    filled(3, store=store)
    del store.objects["checkpoint"]

    assert not has_log(store)
    with pytest.raises(DamagedLog):
        make_log(store)
    with pytest.raises(ObjectMissing):
        Log.open(store, ORIGIN, [LOG_KEY])


def test_a_log_that_was_put_back_is_noticed_and_left_alone() -> None:
    store = MemoryStore()
    log = filled(3, store=store)
    old = store.objects["checkpoint"]
    log.append([entry(i) for i in range(3, 600)], T0)
    store.objects["checkpoint"] = old
    before = dict(store.objects)

    with pytest.raises(LogRolledBack, match="has 3 entries and had 600"):
        Log.open(store, ORIGIN, [LOG_KEY], size_min=600)

    assert store.objects == before


def test_tiles_that_no_checkpoint_covers_are_set_aside() -> None:
    store = MemoryStore()
    log = filled(3, store=store)
    old = store.objects["checkpoint"]
    log.append([entry(i, "lost") for i in range(3, 10_000)], T0)
    store.objects["checkpoint"] = old
    # The tiles of the old edge were made superfluous; a crash would not have removed them.
    for name, data in filled_objects(3):
        store.objects.setdefault(name, data)

    again = Log.open(store, ORIGIN, [LOG_KEY])
    again.append([entry(i) for i in range(3, 700)], T0)

    assert list(again.reader().entries(0, 700)) == [entry(i) for i in range(700)]
    assert "tile/entries/038" in [name for name, _ in store.aside]


def filled_objects(size: int) -> Iterator[tuple[str, bytes]]:
    store = MemoryStore()
    filled(size, store=store)
    yield from ((tile.path, store.objects[tile.path]) for tile in edge_tiles(size))


def test_a_second_writer_is_noticed_before_it_changes_anything() -> None:
    store = MemoryStore()
    filled(3, store=store)
    one = Log.open(store, ORIGIN, [LOG_KEY])
    two = Log.open(store, ORIGIN, [LOG_KEY])
    one.append([b"one"], T0)

    with pytest.raises(ObjectConflict):
        two.append([b"two"], T0)
    with pytest.raises(LogStopped):
        two.append([b"two"], T0)

    assert list(one.reader().entries(3, 4)) == [b"one"]


SIZE = 65_536 + 700
LARGE = MemoryStore()
LARGE_LOG = filled(SIZE, store=LARGE)


@pytest.mark.parametrize(
    ("tile", "first", "last"),
    [
        (TileId(0, 7), 7 * 256, 7 * 256 + 255),
        (TileId(0, 258, 188), 65_536 + 512, SIZE - 1),
        (TileId(1, 0), 0, 65_535),
        (TileId(ENTRIES, 3), 3 * 256, 3 * 256 + 255),
    ],
)
def test_a_flipped_bit_is_found_in_any_file(tile: TileId, first: int, last: int) -> None:
    whole = LARGE.objects[tile.path]
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    LARGE.objects[tile.path] = damaged

    found = list(inspect_log(LARGE_LOG.reader()))

    LARGE.objects[tile.path] = whole
    assert found
    assert all(first <= finding.first <= finding.last <= last for finding in found)


@pytest.mark.parametrize("path", ["tile/0/004", "tile/entries/004", "tile/1/000"])
def test_a_missing_file_is_found(path: str) -> None:
    whole = LARGE.objects.pop(path)

    found = list(inspect_log(LARGE_LOG.reader()))

    LARGE.objects[path] = whole
    assert path in found[0].message


def test_no_proof_leaves_a_damaged_log() -> None:
    store = MemoryStore()
    log = filled(600, store=store)
    store.objects["tile/0/000"] = bytes(8192)
    reader = log.reader()

    with pytest.raises(DamagedLog):
        reader.inclusion_proof(3)
    with pytest.raises(DamagedLog):
        reader.consistency_proof(200)
    with pytest.raises(DamagedLog):
        reader.bundle_proof(0)
    with pytest.raises(DamagedLog):
        reader.entry(3)
    with pytest.raises(DamagedLog):
        list(reader.entries(0, 2))


def test_a_damaged_edge_is_not_written_on() -> None:
    store = MemoryStore()
    filled(300, store=store)
    store.objects["tile/0/001.p/44"] = bytes(44 * 32)

    with pytest.raises(DamagedLog):
        Log.open(store, ORIGIN, [LOG_KEY])
