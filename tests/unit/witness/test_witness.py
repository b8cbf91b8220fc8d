"""The rules of c2sp.org/tlog-witness, one by one, and what a crash may leave."""

import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.transparency import (
    LOG_KEY,
    ORIGIN,
    T0,
    WITNESS_KEY,
    FolderFs,
    entry,
    folder_store,
    key,
    make_log,
)

from artstore.core.tlog.errors import InvalidNote
from artstore.core.tlog.log import Log
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import Algorithm, SigningKey
from artstore.core.tlog.notes.note import Note, parse_signatures, sign, signature_line
from artstore.core.tlog.store import LogStore, MemoryStore
from artstore.core.tlog.witnessing import SIZE_MEDIA_TYPE, AddCheckpoint
from artstore.witness.witness import EVIDENCE_MAX, Refused, Witness

PQ_KEY = key("witness.example/w1", Algorithm.ML_DSA_44_COSIGNATURE)
OTHER_ORIGIN = "other.example/log"
OTHER_LOG_KEY = key(OTHER_ORIGIN, number=5)


class MovableClock:
    def __init__(self) -> None:
        self.seconds = T0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic_s(self) -> float:
        return float(self.seconds)


def witness(store: LogStore, clock: MovableClock | None = None) -> Witness:
    logs = [LOG_KEY.verifier, OTHER_LOG_KEY.verifier]
    return Witness(store, [WITNESS_KEY, PQ_KEY], logs, clock or MovableClock())


def log_of(size: int, flavour: str = "") -> Log:
    log = make_log()
    log.append([entry(i, flavour) for i in range(size)], T0)
    return log


def request(log: Log, old_size: int, note: Note | None = None) -> bytes:
    proof = tuple(log.reader().consistency_proof(old_size))
    return AddCheckpoint(old_size, proof, note or log.note).to_bytes()


def refused(asked: Witness, body: bytes) -> Refused:
    with pytest.raises(Refused) as refusal:
        asked.add_checkpoint(body)
    return refusal.value


def test_the_first_state_of_a_log_is_cosigned_with_every_key() -> None:
    asked, log = witness(MemoryStore()), log_of(5)

    lines = parse_signatures(asked.add_checkpoint(request(log, 0)))

    signed = Note(log.note.text, lines).verified([WITNESS_KEY.verifier, PQ_KEY.verifier])
    assert [(item.key.algorithm, item.at) for item in signed] == [
        (Algorithm.ED25519_COSIGNATURE, T0),
        (Algorithm.ML_DSA_44_COSIGNATURE, T0),
    ]


def test_a_log_may_grow_and_stand_still() -> None:
    asked, log = witness(MemoryStore()), log_of(5)
    asked.add_checkpoint(request(log, 0))
    asked.add_checkpoint(request(log, 5))
    log.append([entry(i) for i in range(5, 700)], T0)

    assert asked.add_checkpoint(request(log, 5))


def test_an_empty_log_may_be_cosigned() -> None:
    asked, log = witness(MemoryStore()), make_log()

    assert asked.add_checkpoint(request(log, 0))
    assert asked.add_checkpoint(request(log_of(3), 0))


@pytest.mark.parametrize("body", [b"", b"old 0\n", b"old x\n\n" + log_of(1).note.to_bytes()])
def test_400_for_what_is_no_request(body: bytes) -> None:
    assert refused(witness(MemoryStore()), body).status == 400


def test_404_for_an_unknown_log() -> None:
    text = Checkpoint("stranger.example", 0, EMPTY_ROOT).text()
    note = sign(text, [key("stranger.example")], T0)

    assert refused(witness(MemoryStore()), AddCheckpoint(0, (), note).to_bytes()).status == 404


def test_403_without_a_true_signature_of_the_log() -> None:
    asked, log = witness(MemoryStore()), log_of(5)
    stranger = sign(log.note.text, [key(ORIGIN, number=9)], T0)
    own = signature_line("another text\n", LOG_KEY, T0)
    false = Note(log.note.text, (own,))
    false_beside_true = Note(log.note.text, (*log.note.signatures, own))

    for note in (stranger, false, false_beside_true):
        assert refused(asked, AddCheckpoint(0, (), note).to_bytes()).status == 403
    # Not even the size is told to those who are not the log.
    asked.add_checkpoint(request(log, 0))
    assert refused(asked, AddCheckpoint(0, (), stranger).to_bytes()).status == 403


def test_a_key_of_one_log_does_not_speak_for_another() -> None:
    note = sign(log_of(5).note.text, [OTHER_LOG_KEY], T0)

    assert refused(witness(MemoryStore()), AddCheckpoint(0, (), note).to_bytes()).status == 403


def test_400_when_the_old_size_is_the_larger_one() -> None:
    note = log_of(5).note

    assert refused(witness(MemoryStore()), AddCheckpoint(6, (), note).to_bytes()).status == 400


@pytest.mark.parametrize("old_size", [0, 4, 6])
def test_409_names_the_size_that_is_known(old_size: int) -> None:
    asked, log = witness(MemoryStore()), log_of(5)
    asked.add_checkpoint(request(log, 0))
    log.append([entry(i) for i in range(5, 9)], T0)

    refusal = refused(asked, request(log, old_size))
    assert (refusal.status, refusal.text, refusal.media_type) == (409, "5\n", SIZE_MEDIA_TYPE)


def test_409_for_a_log_that_was_never_seen() -> None:
    assert refused(witness(MemoryStore()), request(log_of(5), 3)).text == "0\n"


def test_422_for_a_history_that_forked() -> None:
    asked, fork = witness(MemoryStore()), log_of(9, "fork")
    asked.add_checkpoint(request(log_of(5), 0))

    assert refused(asked, request(fork, 5)).status == 422
    assert refused(asked, request(log_of(5, "fork"), 5)).status == 422
    proof = tuple(log_of(9).reader().consistency_proof(5))
    assert refused(asked, AddCheckpoint(5, proof, fork.note).to_bytes()).status == 422


def test_422_for_a_proof_where_none_is_needed() -> None:
    asked, log = witness(MemoryStore()), log_of(5)

    assert refused(asked, AddCheckpoint(0, (EMPTY_ROOT,), log.note).to_bytes()).status == 422
    asked.add_checkpoint(request(log, 0))
    assert refused(asked, AddCheckpoint(5, (EMPTY_ROOT,), log.note).to_bytes()).status == 422


def test_422_for_a_false_empty_log() -> None:
    note = sign(Checkpoint(ORIGIN, 0, bytes(32)).text(), [LOG_KEY], T0)

    assert refused(witness(MemoryStore()), AddCheckpoint(0, (), note).to_bytes()).status == 422


def test_a_history_that_shrank_is_refused_whatever_it_says() -> None:
    asked = witness(MemoryStore())
    asked.add_checkpoint(request(log_of(9), 0))
    short = log_of(5)

    assert refused(asked, request(short, 0)).text == "9\n"
    assert refused(asked, request(short, 5)).text == "9\n"
    assert refused(asked, AddCheckpoint(9, (), short.note).to_bytes()).status == 400


def test_a_refusal_changes_nothing() -> None:
    store = MemoryStore()
    asked, log = witness(store), log_of(5)
    asked.add_checkpoint(request(log, 0))
    before = dict(store.objects)
    refused(asked, request(log_of(9, "fork"), 5))
    refused(asked, request(log, 0))

    assert store.objects == before


def test_several_logs_do_not_know_of_each_other() -> None:
    store = MemoryStore()
    asked = witness(store)
    other = Log.create(MemoryStore(), OTHER_ORIGIN, [OTHER_LOG_KEY], T0)
    other.append([b"x"] * 40, T0)
    asked.add_checkpoint(request(log_of(5), 0))

    assert asked.add_checkpoint(request(other, 0))
    assert refused(asked, request(log_of(7), 0)).text == "5\n"


def test_two_signed_states_of_one_size_are_kept_as_evidence() -> None:
    store = MemoryStore()
    asked = witness(store)
    asked.add_checkpoint(request(log_of(5), 0))
    for number in range(EVIDENCE_MAX + 5):
        refused(asked, request(log_of(5, f"fork {number}"), 5))

    kept = [data for path, data in store.objects.items() if "contradictions" in path]
    assert len(kept) == EVIDENCE_MAX
    assert all(Note.parse(data).verified([LOG_KEY.verifier]) for data in kept)


def test_422_also_when_the_evidence_cannot_be_kept() -> None:
    class Full(MemoryStore):
        def publish(self, objects: Mapping[str, bytes]) -> None:
            raise OSError(28, "injected")

    asked = witness(Full())
    asked.add_checkpoint(request(log_of(5), 0))

    assert refused(asked, request(log_of(5, "fork"), 5)).status == 422


def test_a_monitor_can_fetch_what_was_cosigned() -> None:
    asked, log = witness(MemoryStore()), log_of(5)
    lines = asked.add_checkpoint(request(log, 0))
    origin_hash = "66d9b9ab1e1d0d4f0000000000000000000000000000000000000000000000ff"

    assert asked.newest(origin_hash) is None
    note = Note.parse(asked.newest(_hash_of(ORIGIN)) or b"")
    assert note == log.note.with_signatures(parse_signatures(lines))
    assert asked.newest(_hash_of(OTHER_ORIGIN)) is None


def _hash_of(origin: str) -> str:
    from hashlib import sha256

    return sha256(origin.encode()).hexdigest()


def test_lines_of_a_note_beyond_the_three_are_signed_too() -> None:
    asked, log = witness(MemoryStore()), log_of(5)
    note = sign(log.note.text + "extension\n", [LOG_KEY], T0)

    lines = parse_signatures(asked.add_checkpoint(request(log, 0, note)))
    assert Note(note.text, lines).verified([WITNESS_KEY.verifier])


def test_signatures_of_strangers_are_not_kept() -> None:
    store = MemoryStore()
    asked, log = witness(store), log_of(5)
    stranger = signature_line(log.note.text, key("stranger.example"), T0)
    asked.add_checkpoint(request(log, 0, log.note.with_signatures([stranger])))

    assert all(b"stranger" not in data for data in store.objects.values())


def test_a_clock_that_went_back_does_not_make_a_later_state_look_older() -> None:
    clock = MovableClock()
    asked, log = witness(MemoryStore(), clock), log_of(5)
    asked.add_checkpoint(request(log, 0))
    clock.seconds -= int(timedelta(days=3).total_seconds())
    log.append([entry(5)], T0)

    lines = parse_signatures(asked.add_checkpoint(request(log, 5)))
    (signed,) = Note(log.note.text, lines).verified([WITNESS_KEY.verifier])
    assert signed.at == T0


@pytest.mark.parametrize(
    "damage",
    [
        lambda note: note[:-40],
        lambda note: note.replace(b"\n5\n", b"\n4\n"),
        lambda note: b"",
        lambda note: sign(note.decode().partition("\n\n")[0] + "\n", [LOG_KEY], T0).to_bytes(),
    ],
)
def test_a_damaged_record_stops_the_witness_and_is_not_forgotten(
    damage: Callable[[bytes], bytes],
) -> None:
    store = MemoryStore()
    asked, log = witness(store), log_of(5)
    asked.add_checkpoint(request(log, 0))
    (path,) = store.objects
    store.objects[path] = damage(store.objects[path])

    with pytest.raises(InvalidNote):
        asked.check()
    with pytest.raises(InvalidNote):
        asked.add_checkpoint(request(log, 0))


def test_the_record_of_one_log_is_not_taken_for_that_of_another() -> None:
    store = MemoryStore()
    asked = witness(store)
    asked.add_checkpoint(request(log_of(5), 0))
    own, other = (f"{_hash_of(origin)}/checkpoint" for origin in (ORIGIN, OTHER_ORIGIN))
    store.objects[other] = store.objects[own]

    with pytest.raises(InvalidNote, match="another log"):
        asked.check()


def test_after_its_own_rotation_a_witness_remembers() -> None:
    store, log = MemoryStore(), log_of(5)
    witness(store).add_checkpoint(request(log, 0))
    new = SigningKey.from_seed("witness.example/w1", WITNESS_KEY.algorithm, bytes(32))

    forgetful = Witness(store, [new], [LOG_KEY.verifier], MovableClock())
    with pytest.raises(InvalidNote):
        forgetful.check()
    rotated = Witness(
        store, [new], [LOG_KEY.verifier], MovableClock(), old_keys=[WITNESS_KEY.verifier]
    )
    assert refused(rotated, request(log, 0)).text == "5\n"
    assert rotated.add_checkpoint(request(log, 5))


def test_after_a_rotation_of_the_log_both_keys_speak_for_it() -> None:
    new = key(ORIGIN, number=2)
    asked = Witness(MemoryStore(), [WITNESS_KEY], [LOG_KEY.verifier, new.verifier], MovableClock())
    log = log_of(5)
    asked.add_checkpoint(request(log, 0))

    assert asked.add_checkpoint(request(log, 5, sign(log.note.text, [new], T0)))


def test_requests_at_one_time_never_put_a_log_back() -> None:
    """The race that the specification describes: many grow the same log from the same size."""
    asked, log = witness(MemoryStore()), log_of(5)
    asked.add_checkpoint(request(log, 0))
    bodies = []
    for size in range(6, 30):
        log.append([entry(size - 1)], T0)
        bodies.append(request(log, 5))
    answers: list[str | int] = []

    def ask(body: bytes) -> None:
        try:
            answers.append(asked.add_checkpoint(body))
        except Refused as refusal:
            answers.append(refusal.status)

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers.count(409) == len(bodies) - 1


def test_a_power_cut_at_any_moment_loses_no_state_that_was_answered() -> None:
    chance = random.Random(7)
    fs = FolderFs({"/srv": None, "/srv/w": None})
    asked, log = witness(folder_store(Path("/srv/w"), fs)), make_log()
    answered, states = 0, 0

    def cut(step: str) -> None:
        nonlocal states
        for image in fs.after_power_cut(chance, 3):
            states += 1
            store = folder_store(Path("/srv/w"), FolderFs(image))
            again = witness(store)
            again.check()
            size = int(refused(again, request(log_of(50), 40)).text)
            assert size in (answered, log.checkpoint.size), f"power cut before '{step}'"

    fs.before_step = cut
    for size in (1, 3, 9, 20):
        log.append([entry(i) for i in range(log.checkpoint.size, size)], T0)
        asked.add_checkpoint(request(log, answered))
        answered = size
        cut("the next request")
    assert states > 50


def test_a_disk_that_fails_gets_no_signature() -> None:
    fs = FolderFs({"/srv": None, "/srv/w": None})
    asked, log = witness(folder_store(Path("/srv/w"), fs)), log_of(5)

    def fail(step: str) -> None:
        if step.startswith("flush"):
            raise OSError(5, "injected")

    fs.before_step = fail
    with pytest.raises(OSError, match="injected"):
        asked.add_checkpoint(request(log, 0))
