"""An export of a sound log verifies, whole or in part; what it leaves open it says."""

from collections.abc import Sequence
from io import BytesIO

import pytest
from tests.support.transparency import (
    LOG_KEY,
    ORIGIN,
    POLICY,
    T0,
    WITNESSED,
    AuditLog,
    cosigned,
    key,
)

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.export import export_lines, no_disclosures
from artstore.core.audit.lines import LINE_BYTES_MAX, lines_of
from artstore.core.audit.verification import VerifiedExport, verify_export
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.policy import TrustPolicy

LOG = AuditLog(700, step=64)


def exported(log: AuditLog = LOG, first: int = 0, end: int | None = None) -> list[bytes]:
    lines = export_lines(
        log.log.reader(),
        log.notes[-1],
        earlier=log.notes[:-1],
        disclosures_of=log.disclosures_of,
        first=first,
        end=end,
    )
    return list(lines)


def verified(
    lines: Sequence[bytes], known: Sequence[Checkpoint] = (), allow_part: bool = False
) -> VerifiedExport:
    return verify_export(lines, WITNESSED, known=known, allow_part=allow_part)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 700])
def test_a_whole_export_verifies(size: int) -> None:
    log = AuditLog(size, step=100)

    found = verified(exported(log))

    assert (found.first, found.end, found.state.checkpoint.size) == (0, size, size)
    assert (found.disclosed, found.withheld) == (2 * size, 0)
    assert list(found.state.witnesses) == ["witness.example/w1"]


def test_an_empty_log_exports_and_verifies() -> None:
    log = AuditLog(0)
    log.notes = [cosigned(log.log.note)]

    assert verified(exported(log)).end == 0


@pytest.mark.parametrize(
    ("first", "end"), [(0, 10), (5, 6), (250, 260), (256, 512), (300, 700), (699, 700), (9, 9)]
)
def test_a_part_verifies_where_a_part_will_do(first: int, end: int) -> None:
    lines = exported(first=first, end=end)

    found = verified(lines, allow_part=True)
    assert (found.first, found.end, found.state.checkpoint.size) == (first, end, 700)
    with pytest.raises(DefectFound) as defect:
        verified(lines)
    assert defect.value.kind is DefectKind.MISSING
    assert defect.value.first == (0 if first else end)


def test_there_are_no_records_outside_the_log() -> None:
    with pytest.raises(ValueError, match="no records"):
        exported(end=701)


def test_erased_facts_leave_the_record_provable() -> None:
    lines = list(export_lines(LOG.log.reader(), LOG.notes[-1], disclosures_of=no_disclosures))

    found = verified(lines)
    assert (found.disclosed, found.withheld) == (0, 1400)


def test_known_states_are_compared_with_the_records() -> None:
    known = [Checkpoint.parse(note.text) for note in LOG.notes]

    assert verified(exported(), known).not_compared == ()
    part = verified(exported(first=300), known, allow_part=True)
    assert [state.size for state in part.not_compared] == [64, 128, 192]


def test_an_export_in_which_no_witness_had_a_say_is_enough_for_those_who_ask_for_none() -> None:
    log = AuditLog(30, witness_keys=())
    log.notes = [log.log.note]

    assert verify_export(exported(log), POLICY).end == 30
    with pytest.raises(DefectFound) as defect:
        verified(exported(log))
    assert defect.value.kind is DefectKind.UNCONFIRMED


def test_checkpoints_of_an_old_key_need_the_old_key() -> None:
    log = AuditLog(100, step=50)
    new = key(ORIGIN, number=7)
    log.log._keys = (new,)
    log.append(log.events[:50])

    both = TrustPolicy(ORIGIN, (LOG_KEY.verifier, new.verifier))
    assert verify_export(exported(log), both).end == 150
    with pytest.raises(DefectFound) as defect:
        verify_export(exported(log), TrustPolicy(ORIGIN, (new.verifier,)))
    assert (defect.value.kind, defect.value.first) == (DefectKind.UNPROVEN, 50)


def test_an_export_of_nothing_at_all_proves_nothing() -> None:
    with pytest.raises(DefectFound, match="empty"):
        verified([])
    with pytest.raises(DefectFound, match="not the head"):
        verified([b"{}\n"])


def test_lines_are_read_in_bounded_pieces() -> None:
    lines = list(lines_of(BytesIO(b"a\n" + b"x" * (LINE_BYTES_MAX + 5) + b"\nb")))

    assert [len(line) for line in lines] == [2, LINE_BYTES_MAX, 6, 1]


def test_the_same_log_exports_the_same_bytes() -> None:
    assert exported() == exported()


def test_the_time_of_a_confirmation_is_told() -> None:
    assert verified(exported()).state.witnesses["witness.example/w1"] == T0 + len(LOG.notes) - 1
