"""What the verifier says of an export, word for word: a sentence goes into a court's file, so it
must be true, name only what there is, and not accuse anybody of what a mail program did.
"""

import gzip
from collections.abc import Callable
from io import BytesIO

import pytest
from tests.support.transparency import ORIGIN, T0, AuditLog, cosigned, key, make_log
from tests.unit.audit.test_export import LOG, exported, verified

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.export import export_lines
from artstore.core.audit.lines import lines_of
from artstore.core.audit.verification import verify_export
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.store import MemoryStore


def test_each_known_state_is_compared_or_said_not_to_be() -> None:
    known = [Checkpoint(ORIGIN, size, LOG.log.reader().root_at(size)) for size in range(701)]
    for first, end in (
        (0, 300),
        (300, 310),
        (256, 512),
        (300, 700),
        (5, 6),
        (513, 513),
        (700, 700),
    ):
        lines = exported(first=first, end=end)
        left = {state.size for state in verified(lines, known, allow_part=True).not_compared}
        for state in known[1::7]:
            forged = Checkpoint(ORIGIN, state.size, bytes(32))
            if state.size in left:
                assert verified(lines, [forged], allow_part=True).not_compared == (forged,)
                continue
            with pytest.raises(DefectFound) as defect:
                verified(lines, [forged], allow_part=True)
            assert defect.value.kind is DefectKind.FORKED
    assert left, "an export of nothing leaves nearly everything open"
    assert 700 not in left, "but not the state that it has itself"


def test_a_sentence_names_only_records_that_there_can_be() -> None:
    log = AuditLog(300, step=300, witness_keys=())
    log.notes = [log.log.note]
    for first, end in ((0, 300), (290, 300), (0, 0)):
        with pytest.raises(DefectFound) as defect:
            verified(exported(log, first, end), allow_part=True)
        assert defect.value.kind is DefectKind.UNCONFIRMED
        assert "-1" not in defect.value.sentence
        assert "may be made up" in defect.value.sentence


def test_a_file_that_is_cut_off_is_said_to_be_and_no_record_is_called_changed() -> None:
    lines = exported()
    for place in (len(lines) - 1, len(lines) - 2, 20, 400):
        for cut in (1, len(lines[place]) // 2, len(lines[place]) - 1):
            with pytest.raises(DefectFound) as defect:
                verified([*lines[:place], lines[place][:-cut]])
            assert "cut off" in defect.value.sentence
            assert defect.value.kind in (DefectKind.MISSING, DefectKind.CHANGED)
            assert "Record 700" not in defect.value.sentence
    with pytest.raises(DefectFound, match="The last line is missing"):
        verified(lines[:-1])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (gzip.compress, "compressed"),
        (lambda data: b"\xef\xbb\xbf" + data, "before its first line"),
        (lambda data: data.decode().encode("utf-16"), "before its first line"),
        (lambda data: data.replace(b"\n", b"\r\n"), "line ends"),
        (lambda data: b"PK\x03\x04" + data, "zip"),
        (lambda data: b"\n" + data, "not the head"),
        (lambda data: data + data, "behind the end"),
    ],
)
def test_what_a_program_on_the_way_did_to_the_file_is_said(
    spoil: Callable[[bytes], bytes], sentence: str
) -> None:
    with pytest.raises(DefectFound, match=sentence):
        verified(list(lines_of(BytesIO(spoil(b"".join(exported()))))))


def test_a_head_twice_is_no_export() -> None:
    lines = exported()
    for place in (1, 2, 5, len(lines) - 1):
        with pytest.raises(DefectFound):
            verified([*lines[:place], lines[0], *lines[place:]])


def test_who_names_only_the_newest_key_is_told_which_is_missing() -> None:
    log = AuditLog(100, step=50)
    new = key(ORIGIN, number=7)
    log.log._keys = (new,)
    log.append(log.events[:50])

    with pytest.raises(DefectFound, match="name its earlier keys too") as defect:
        verify_export(exported(log), TrustPolicy(ORIGIN, (new.verifier,)))
    assert "false" not in defect.value.sentence


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_parts_around_the_edge_of_a_tile_of_tiles(size: int) -> None:
    store = MemoryStore()
    log = make_log(store)
    entries = [event.to_entry() for event in LOG.events]
    log.append([entries[number % 700] for number in range(size)], T0)
    note = cosigned(log.note)
    for first, end in ((size - 1, size), (65_279, 65_281), (65_534, size), (0, 1), (255, 257)):
        lines = list(export_lines(log.reader(), note, first=first, end=end))
        assert verified(lines, allow_part=True).end == end
        with pytest.raises(DefectFound):
            verified([line.replace(b"rw-1", b"rw-2") for line in lines], allow_part=True)
