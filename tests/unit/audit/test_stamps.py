"""Time stamps over checkpoints, made by a real authority (`openssl ts`)."""

import contextlib
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from tests.support.tampering import fitted, spelled
from tests.support.timestamps import Authority
from tests.support.transparency import POLICY, AuditLog

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.export import export_lines
from artstore.core.audit.stamps import (
    InvalidStamp,
    Stamp,
    StampFolder,
    read_authorities,
    stamp_request,
)
from artstore.core.audit.verification import VerifiedExport, verify_export
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.store import MemoryStore

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")

LOG = AuditLog(600, 100)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("stranger"), "Other TSA")


def stamped(authority: Authority, number: int) -> Stamp:
    note = LOG.notes[number].to_bytes()
    return Stamp(note, authority.reply(stamp_request(note).body))


@pytest.fixture(scope="module")
def stamps(authority: Authority) -> list[Stamp]:
    return [stamped(authority, 1), stamped(authority, 4)]


def exported(stamps: list[Stamp]) -> list[bytes]:
    return list(
        export_lines(
            LOG.log.reader(),
            LOG.notes[-1],
            earlier=LOG.notes[:-1],
            stamps=stamps,
            disclosures_of=LOG.disclosures_of,
        )
    )


def verified(lines: list[bytes], authority: Authority) -> VerifiedExport:
    return verify_export(lines, POLICY, authorities=read_authorities(authority.ca_file))


def test_a_stamp_says_when_a_state_existed(authority: Authority, stamps: list[Stamp]) -> None:
    at = stamps[0].verified(read_authorities(authority.ca_file))

    assert abs(datetime.now(UTC) - at) < timedelta(minutes=10)
    assert stamps[0].size == 200


def test_openssl_believes_what_lies_beside_the_log(
    authority: Authority, stamps: list[Stamp], tmp_path: Path
) -> None:
    StampFolder(FolderStore(tmp_path)).add(stamps[0])
    folder = tmp_path / "stamps" / "000000000200"
    command = ["openssl", "ts", "-verify", "-in", "checkpoint.tsr", "-data", "checkpoint"]
    done = subprocess.run(
        [*command, "-CAfile", authority.ca_file], cwd=folder, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_stamp_over_something_else_or_of_a_stranger_is_not_believed(
    authority: Authority, stranger: Authority, stamps: list[Stamp]
) -> None:
    ours, theirs = map(read_authorities, (authority.ca_file, stranger.ca_file))
    note, response = stamps[0].note, stamps[0].response

    for stamp, believed in (
        (Stamp(note + b"\n", response), ours),
        (Stamp(stamps[1].note, response), ours),
        (Stamp(note, stamps[1].response), ours),
        (stamps[0], theirs),
        (stamped(stranger, 1), ours),
        (Stamp(note, response[:-1]), ours),
        (Stamp(note, b""), ours),
        (Stamp(note, b"0" * 500), ours),
    ):
        with pytest.raises(InvalidStamp):
            stamp.verified(believed)


def test_the_answer_to_another_question_is_not_taken(authority: Authority) -> None:
    note = LOG.notes[0].to_bytes()
    first, second = stamp_request(note), stamp_request(note)
    stamp = Stamp(note, authority.reply(first.body))
    authorities = read_authorities(authority.ca_file)

    assert stamp.verified(authorities, first.nonce)
    with pytest.raises(InvalidStamp):
        stamp.verified(authorities, second.nonce)


def test_any_flipped_bit_of_a_stamp_is_found(authority: Authority, stamps: list[Stamp]) -> None:
    authorities = read_authorities(authority.ca_file)
    whole = stamps[0].response
    believed = []
    for bit in range(0, len(whole) * 8, 11):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(InvalidStamp):
            believed.append(Stamp(stamps[0].note, bytes(damaged)).verified(authorities))
    # What no signature covers (the status text, a spare certificate field) may change; the time
    # that is believed never does.
    assert set(believed) <= {stamps[0].verified(authorities)}


def test_an_export_carries_its_stamps(authority: Authority, stamps: list[Stamp]) -> None:
    found = verified(exported(stamps), authority)

    assert found.stamped.size == 500
    assert found.stamped.at == stamps[1].verified(read_authorities(authority.ca_file))
    assert verify_export(exported(stamps), POLICY).stamped.unchecked == 2


def test_an_export_without_the_stamp_that_was_asked_for_is_not_proven(
    authority: Authority, stranger: Authority, stamps: list[Stamp]
) -> None:
    with pytest.raises(DefectFound, match="No state in this export has a time stamp") as none:
        verified(exported([]), authority)
    with pytest.raises(DefectFound, match="first 200 records is false") as false:
        verified(exported(stamps), stranger)

    assert none.value.kind is DefectKind.UNCONFIRMED
    assert false.value.kind is DefectKind.UNPROVEN


def test_a_stamp_that_was_moved_to_another_state_is_found(
    authority: Authority, stamps: list[Stamp]
) -> None:
    lines = exported(stamps)
    places = [place for place, line in enumerate(lines) if b'"timestamp"' in line]
    first, second = (orjson.loads(lines[place]) for place in places)
    lines[places[0]] = spelled({**first, "timestamp": second["timestamp"]})

    with pytest.raises(DefectFound, match="time stamp over the first 200 records is false"):
        verified(fitted(lines), authority)


def test_stamps_are_kept_beside_the_tiles(stamps: list[Stamp]) -> None:
    store = MemoryStore()
    folder = StampFolder(store)
    assert folder.newest() is None
    for stamp in reversed(stamps):
        folder.add(stamp)
        folder.add(stamp)

    assert list(folder.every()) == stamps
    assert folder.newest() == stamps[1]


def test_after_a_crash_between_the_two_files_the_same_state_is_stamped_again(
    stamps: list[Stamp],
) -> None:
    store = MemoryStore()
    folder = StampFolder(store)
    store.publish({"stamps/000000000200/checkpoint": stamps[0].note})

    assert folder.newest() is None
    assert folder.note_to_stamp(200, b"with other cosignatures") == stamps[0].note
    folder.add(stamps[0])
    assert folder.newest() == stamps[0]
