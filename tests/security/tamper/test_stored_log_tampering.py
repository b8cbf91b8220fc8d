"""Goal: any change of the stored files of a log is noticed and, where it hits one entry, that entry
is named. The checkpoint falls with any single bit.
"""

import random

import pytest
from tests.support.tampering import count, sampled
from tests.support.transparency import (
    LOG_KEY_PQ,
    ORIGIN,
    POLICY,
    T0,
    WITNESS_KEY,
    WITNESSED,
    cosigned,
    entry,
    key,
    make_log,
)

from artstore.core.tlog.errors import InvalidNote, TlogError
from artstore.core.tlog.inspection import inspect_log
from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.note import sign
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import MemoryStore

SIZE = 300


def filled(flavour: str = "") -> tuple[MemoryStore, Log]:
    store = MemoryStore()
    log = make_log(store)
    log.append([entry(number, flavour) for number in range(SIZE)], T0)
    return store, log


STORE, LOG = filled()
TILES = sorted(path for path in STORE.objects if path.startswith("tile/"))


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def findings_with(path: str, data: bytes) -> list[tuple[int, int]]:
    store = MemoryStore()
    store.objects = {**STORE.objects, path: data}
    reader = TreeReader(store, SIZE, LOG.checkpoint.root)
    return [(finding.first, finding.last) for finding in inspect_log(reader)]


@pytest.mark.parametrize("path", TILES)
def test_any_flipped_bit_of_a_tile_is_found(path: str) -> None:
    chance = random.Random(path)
    whole = STORE.objects[path]
    for bit in sampled(chance.sample(range(len(whole) * 8), min(1200, len(whole) * 8))):
        count("bit flips over tiles")
        assert findings_with(path, flipped(whole, bit)), f"bit {bit} of {path}"


def test_a_changed_hash_names_its_entry() -> None:
    for path, first in (("tile/0/000", 0), ("tile/0/001.p/44", 256)):
        for position in range(len(STORE.objects[path]) // 32):
            found = findings_with(path, flipped(STORE.objects[path], position * 256 + 5))
            assert (first + position, first + position) in found


def test_a_changed_entry_is_named() -> None:
    for number in range(SIZE):
        count("field changed")
        path, position = ("tile/entries/000", number)
        if number >= 256:
            path, position = "tile/entries/001.p/44", number - 256
        start = STORE.objects[path].index(b"entry %d " % number)
        changed = flipped(STORE.objects[path], start * 8)
        assert findings_with(path, changed) == [(number, number)], position


@pytest.mark.parametrize("path", TILES)
def test_a_tile_of_another_log_is_found(path: str) -> None:
    for number in sampled(range(50)):
        count("another log's tile")
        other, _ = filled(f"other {number}")
        assert findings_with(path, other.objects[path])


@pytest.mark.parametrize("path", TILES)
def test_a_shorter_or_longer_file_is_found(path: str) -> None:
    whole = STORE.objects[path]
    for cut in range(1, 40):
        assert findings_with(path, whole[:-cut])


def _signed_by_both() -> tuple[bytes, TrustPolicy]:
    note = sign(LOG.checkpoint.text(), [LOG_KEY_PQ], T0)
    policy = TrustPolicy(ORIGIN, (LOG_KEY_PQ.verifier,), (WITNESS_KEY.verifier,), 1)
    return cosigned(note).to_bytes(), policy


@pytest.mark.parametrize(
    ("note", "policy"),
    [
        (LOG.note.to_bytes(), POLICY),
        (cosigned(LOG.note).to_bytes(), WITNESSED),
        _signed_by_both(),
    ],
    ids=["ed25519", "ed25519 and witness", "ml-dsa-44 and witness"],
)
def test_any_flipped_bit_of_a_checkpoint_is_found(note: bytes, policy: TrustPolicy) -> None:
    assert policy.confirmed_checkpoint(note)
    for bit in sampled(range(len(note) * 8)):
        count("bit flips over checkpoints")
        with pytest.raises(InvalidNote):
            policy.confirmed_checkpoint(flipped(note, bit))


def test_a_flipped_bit_of_the_stored_checkpoint_keeps_the_log_from_opening() -> None:
    whole = STORE.objects["checkpoint"]
    for bit in sampled(range(0, len(whole) * 8, 7)):
        count("bit flips over checkpoints")
        store = MemoryStore()
        store.objects = {**STORE.objects, "checkpoint": flipped(whole, bit)}
        with pytest.raises(TlogError):
            Log.open(store, ORIGIN, [key(ORIGIN)])


def test_a_checkpoint_of_another_size_does_not_fit_the_tiles() -> None:
    store = MemoryStore()
    for size in range(SIZE + 1, SIZE + 300, 7):
        checkpoint = Checkpoint(ORIGIN, size, LOG.checkpoint.root)
        note = sign(checkpoint.text(), [key(ORIGIN)], T0).to_bytes()
        store.objects = {**STORE.objects, "checkpoint": note}
        with pytest.raises(TlogError):
            Log.open(store, ORIGIN, [key(ORIGIN)])
