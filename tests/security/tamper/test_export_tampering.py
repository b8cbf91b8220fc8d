"""Goal: whoever changes anything in an exported audit log is found out, and the record is named.

Method: an export of 1000 records with checkpoints that a witness confirmed, and some 80,000
forgeries of it by people without keys. They change the file carefully: all that can be made to
fit does fit. What holders of the keys can do is in `test_stolen_keys`.

Each forgery is checked from the last line before it: what is in front of it is the same for all,
so the verifier's state there is kept (`States`). A sample is checked through the whole file.
`make test` takes one forgery in nine; `make test-tamper` takes all.
"""

import base64
import copy
import random
from collections.abc import Callable

import orjson
import pytest
from tests.support.tampering import (
    EARLIER,
    KNOWN,
    LINES,
    PLACES,
    SIZE,
    STATES,
    STEP,
    TILES,
    assert_named,
    changed,
    count,
    exported,
    fitted,
    leaves_of,
    sampled,
    spelled,
)
from tests.support.transparency import (
    WITNESSED,
    AuditLog,
    audit_events,
)

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.verification import verify_export
from artstore.core.canonical_json import canonical_json
from artstore.core.model.audit import PersonalField, commitment
from artstore.core.tlog.merkle.hashing import leaf_hash


def test_the_true_export_is_found_true() -> None:
    assert verify_export(LINES, WITNESSED, known=KNOWN).end == SIZE
    assert len(PLACES) == SIZE


def test_any_changed_value_of_any_record_is_found() -> None:
    """More than 25 values a record: of the event, of the facts beside it, index and hash."""
    for index, place in sampled(list(enumerate(PLACES))):
        record = orjson.loads(LINES[place])
        for path in leaves_of(record):
            forged = [spelled(changed(record, path)), *LINES[place + 1 : place + 3]]
            assert_named("field changed", place, forged, index, DefectKind.CHANGED)


def test_any_changed_value_is_found_when_the_hash_beside_it_was_made_to_fit() -> None:
    for index, place in sampled(list(enumerate(PLACES))):
        record = orjson.loads(LINES[place])
        for path in leaves_of(record["event"]):
            event = changed(record["event"], path)
            fitted = {**record, "event": event, "hash": leaf_hash(canonical_json(event)).hex()}
            forged = [spelled(fitted), *LINES[place + 1 : place + 3]]
            assert_named("field changed", place, forged, index, DefectKind.CHANGED)


def test_another_fact_is_found_when_the_commitment_was_made_to_fit() -> None:
    for index, place in sampled(list(enumerate(PLACES))):
        record = orjson.loads(LINES[place])
        for field in PersonalField.ACTOR_NAME, PersonalField.CLIENT_ADDRESS:
            fact = {**record["personal"][field], "value": "somebody else"}
            event = copy.deepcopy(record["event"])
            event["personal"][field] = commitment(field, fact["salt"], fact["value"])
            fitted = {
                "event": event,
                "hash": leaf_hash(canonical_json(event)).hex(),
                "index": index,
                "personal": {**record["personal"], field: fact},
            }
            assert_named(
                "field changed",
                place,
                [spelled(fitted), *LINES[place + 1 : place + 3]],
                index,
                DefectKind.CHANGED,
            )


def test_any_missing_record_is_found() -> None:
    for index, place in sampled(list(enumerate(PLACES))):
        assert_named(
            "deleted", place, LINES[place + 1 :], index, DefectKind.MISSING, DefectKind.UNPROVEN
        )


def test_any_missing_stretch_is_found() -> None:
    chance = random.Random(1)
    for index in sampled(range(SIZE)):
        last = chance.randrange(index, SIZE)
        rest = LINES[PLACES[last] + 1 :]
        assert_named("deleted", PLACES[index], rest, index, DefectKind.MISSING, DefectKind.UNPROVEN)


def test_two_exchanged_records_are_found() -> None:
    chance = random.Random(2)
    for index, place in sampled(list(enumerate(PLACES[:-1]))):
        for other in {PLACES[index + 1], chance.choice(PLACES[index + 1 :])}:
            forged = LINES[place : other + 1]
            forged[0], forged[-1] = forged[-1], forged[0]
            assert_named(
                "swapped",
                place,
                [*forged, *LINES[other + 1 : other + 3]],
                index,
                DefectKind.MOVED,
                DefectKind.MISSING,
            )


def test_exchanged_events_under_true_numbers_are_found() -> None:
    chance = random.Random(3)
    for index, place in sampled(list(enumerate(PLACES))):
        record, other = orjson.loads(LINES[place]), orjson.loads(LINES[chance.choice(PLACES)])
        if other["index"] == index:
            continue
        forged = {**other, "index": index}
        lines = [spelled(forged), *LINES[place + 1 : place + 3]]
        assert_named("swapped", place, lines, index, DefectKind.CHANGED, DefectKind.MOVED)
        assert record["hash"] != forged["hash"]


def test_any_added_record_is_found() -> None:
    invented, _ = next(audit_events(1, seed=99))
    for index, place in sampled(list(enumerate(PLACES))):
        line = spelled(
            {
                "event": orjson.loads(invented.to_entry()),
                "hash": leaf_hash(invented.to_entry()).hex(),
                "index": index,
                "personal": {},
            }
        )
        assert_named("inserted", place, [line, *LINES[place : place + 3]], index, DefectKind.ADDED)


def test_any_repeated_record_is_found() -> None:
    chance = random.Random(4)
    for index, place in sampled(list(enumerate(PLACES))):
        again = LINES[place]
        following = LINES[place + 1 :]
        count("duplicated")
        defect = STATES.defect(place + 1, [again, *following])
        assert defect is not None
        assert defect.first == index + 1
        other = chance.randrange(SIZE)
        count("duplicated")
        defect = STATES.defect(PLACES[other], [again, *LINES[PLACES[other] :]])
        assert defect is not None or other == index + 1
        assert defect is None or defect.first in (other, other + 1)


def test_a_tail_cut_anywhere_is_found() -> None:
    for index, place in sampled(list(enumerate(PLACES))):
        if place in TILES:
            continue
        count("tail cut")
        with pytest.raises(DefectFound) as defect:
            _finish_at(place)
        assert (defect.value.kind, defect.value.first) == (DefectKind.MISSING, index)
        assert defect.value.last == SIZE - 1
        assert_named("tail cut", place, LINES[-1:], index, DefectKind.MISSING)


def _finish_at(place: int) -> None:
    verifier = copy.copy(STATES._before[place])
    verifier.finish("")


def test_a_tail_cut_is_found_when_the_head_was_made_to_fit() -> None:
    head = orjson.loads(LINES[0])
    for end in sampled(range(SIZE)):
        forged = [spelled({**head, "end": end}), *LINES[1 : PLACES[end]], LINES[-1]]
        count("tail cut")
        with pytest.raises(DefectFound) as defect:
            verify_export(fitted(forged), WITNESSED)
        assert (defect.value.kind, defect.value.first) == (DefectKind.MISSING, end)


def test_an_older_true_export_is_found_by_whoever_has_seen_a_newer_state() -> None:
    for shorter in sampled(range(STEP, SIZE, STEP)):
        log = AuditLog(shorter, STEP)
        old = exported(log)
        assert verify_export(old, WITNESSED).end == shorter
        for newer in KNOWN[shorter // STEP :]:
            count("older checkpoint")
            with pytest.raises(DefectFound) as defect:
                verify_export(old[:1], WITNESSED, known=[newer])
            assert (defect.value.kind, defect.value.first) == (DefectKind.MISSING, shorter)
            assert defect.value.last == newer.size - 1


def test_hashes_of_another_log_or_another_place_are_found() -> None:
    others = [AuditLog(SIZE, SIZE, seed=seed) for seed in sampled(range(2, 52))]
    for log in others:
        other = [line for line in exported(log) if line.startswith(b'{"leaves"')]
        for number, place in enumerate(TILES):
            start = number * 256
            for line in other:
                forged = [line, *LINES[place + 1 : place + 3]]
                assert_named(
                    "another log's tile",
                    place,
                    forged,
                    start,
                    DefectKind.UNPROVEN,
                    DefectKind.MISSING,
                )
    for number, place in enumerate(TILES):
        for wrong in TILES:
            if wrong != place:
                forged = [LINES[wrong], *LINES[place + 1 : place + 3]]
                kinds = DefectKind.UNPROVEN, DefectKind.MISSING
                assert_named("another log's tile", place, forged, number * 256, *kinds)
        assert_named(
            "another log's tile", place, LINES[place + 1 :], number * 256, DefectKind.UNPROVEN
        )


def test_any_changed_hash_or_proof_is_found() -> None:
    chance = random.Random(5)
    for number, place in enumerate(TILES):
        tile = orjson.loads(LINES[place])
        leaves = bytearray(base64.b64decode(tile["leaves"]))
        for _ in sampled(range(500)):
            bit = chance.randrange(len(leaves) * 8)
            forged = bytearray(leaves)
            forged[bit // 8] ^= 1 << bit % 8
            line = spelled({**tile, "leaves": base64.b64encode(forged).decode()})
            assert_named(
                "bit flips over tiles",
                place,
                [line, *LINES[place + 1 : place + 3]],
                number * 256,
                DefectKind.UNPROVEN,
            )
        for at, item in enumerate(tile["proof"]):
            for bit in sampled(range(256)):
                forged = bytearray(base64.b64decode(item))
                forged[bit // 8] ^= 1 << bit % 8
                proof = [*tile["proof"]]
                proof[at] = base64.b64encode(forged).decode()
                line = spelled({**tile, "proof": proof})
                assert_named(
                    "bit flips over tiles",
                    place,
                    [line, LINES[place + 1]],
                    number * 256,
                    DefectKind.UNPROVEN,
                )


def test_a_record_changed_together_with_its_hashes_is_found() -> None:
    """The forger makes the whole bundle fit; its proof cannot be made to."""
    for index in sampled(range(SIZE)):
        place = PLACES[index]
        number = index // 256
        record, tile = orjson.loads(LINES[place]), orjson.loads(LINES[TILES[number]])
        event = changed(record["event"], ("details", "sha256"))
        leaves = bytearray(base64.b64decode(tile["leaves"]))
        position = index % 256 * 32
        leaves[position : position + 32] = leaf_hash(canonical_json(event))
        line = spelled({**tile, "leaves": base64.b64encode(leaves).decode()})
        count("field changed")
        defect = STATES.defect(TILES[number], [line, *LINES[TILES[number] + 1 :]])
        assert defect is not None
        assert defect.kind is DefectKind.UNPROVEN
        assert defect.first <= index <= defect.last


@pytest.mark.parametrize("place", [0, len(LINES) - 1, *TILES, *EARLIER[::4], *PLACES[::50]])
def test_any_flipped_bit_of_the_file_is_found(place: int) -> None:
    chance = random.Random(place)
    line = LINES[place]
    bits = range(len(line) * 8)
    for bit in sampled(chance.sample(bits, min(400, len(bits)))):
        damaged = bytearray(line)
        damaged[bit // 8] ^= 1 << bit % 8
        lines = bytes(damaged).splitlines(keepends=True)
        count("bit flips over exports")
        defect = STATES.defect(place, [*lines, *LINES[place + 1 :]]) if place else None
        if defect is None:
            # Nothing that is proven was hit; the digest over the file shows it.
            count("bit flips over exports")
            with pytest.raises(DefectFound):
                verify_export([*LINES[:place], *lines, *LINES[place + 1 :]], WITNESSED)
        elif place in PLACES:
            assert defect.first == PLACES.index(place)


@pytest.mark.parametrize(
    "forge",
    [
        lambda line: [],
        lambda line: [line, line],
        lambda line: [line.replace(b"rw-1", b"rw-2")],
        lambda line: [b"\n", line],
        lambda line: [line.replace(b":", b": ", 1)],
    ],
)
def test_forgeries_are_found_through_the_whole_file_too(
    forge: Callable[[bytes], list[bytes]],
) -> None:
    for index in sampled(range(0, SIZE, 37)):
        place = PLACES[index]
        forged = [*LINES[:place], *forge(LINES[place]), *LINES[place + 1 :]]
        with pytest.raises(DefectFound) as defect:
            verify_export(fitted(forged), WITNESSED)
        assert defect.value.first in (index, index + 1)
