"""Goal: history that was rewritten by whoever holds the keys is found out, as long as one witness,
or one reader with a memory, is not theirs.

Method: the log is written anew with one other record and signed with the true key. Forgers
without keys are in `test_export_tampering`.
"""

import orjson
import pytest
from tests.support.tampering import (
    KNOWN,
    LINES,
    LOG,
    SIZE,
    STEP,
    WHOLE,
    count,
    exported,
    fitted,
    spelled,
)
from tests.support.transparency import (
    LOG_KEY,
    ORIGIN,
    T0,
    WITNESS_KEY,
    WITNESSED,
    AuditLog,
    cosigned,
    key,
)

from artstore.core.audit.defect import DefectFound, DefectKind
from artstore.core.audit.verification import verify_export
from artstore.core.tlog.notes.note import Note, SignatureLine, sign, signature_line


def rewritten(index: int, witness: bool = False) -> tuple[AuditLog, list[Note]]:
    """The log as the holder of its key would have it: record `index` is another one, and all
    that follows was signed anew. The states before it keep their cosignatures."""
    forged = AuditLog(0, STEP)
    events = [*LOG.events]
    events[index] = events[index].model_copy(update={"details": {"sha256": "0" * 64, "size": 0}})
    notes: list[Note] = []
    for number, start in enumerate(range(0, SIZE, STEP)):
        stretch = events[start : start + STEP]
        forged.log.append([event.to_entry() for event in stretch], T0 + number)
        note = forged.log.note
        if start + STEP <= index:
            note = LOG.notes[number]
        elif witness:
            note = cosigned(note, at=T0 + 10_000 + number)
        notes.append(note)
    forged.facts = LOG.facts
    return forged, notes


REWRITES = range(SIZE) if WHOLE else range(3, SIZE, 124)


def test_history_rewritten_with_the_stolen_key_is_found_by_the_witness_alone() -> None:
    for index in REWRITES:
        log, notes = rewritten(index)
        count("complete rewrite with the stolen log key")
        with pytest.raises(DefectFound) as defect:
            verify_export(exported(log, notes), WITNESSED)
        assert defect.value.kind is DefectKind.UNCONFIRMED
        assert defect.value.first == index - index % STEP
        assert defect.value.first <= index <= defect.value.last


def test_cosignatures_of_the_true_history_do_not_fit_the_false_one() -> None:
    for index in REWRITES:
        log, notes = rewritten(index)
        witness_lines = LOG.notes[-1].signatures[1:]
        grafted = [*notes[:-1], notes[-1].with_signatures(witness_lines)]
        count("complete rewrite with the stolen log key")
        with pytest.raises(DefectFound) as defect:
            verify_export(exported(log, grafted), WITNESSED)
        assert defect.value.kind is DefectKind.UNSIGNED


def test_true_states_do_not_fit_between_false_records() -> None:
    """The forger keeps all that the witness has signed, to look confirmed."""
    for index in REWRITES:
        log, notes = rewritten(index)
        count("complete rewrite with the stolen log key")
        with pytest.raises(DefectFound) as defect:
            verify_export(exported(log, [*LOG.notes[:-1], notes[-1]]), WITNESSED)
        assert defect.value.kind in (DefectKind.FORKED, DefectKind.UNCONFIRMED)
        assert defect.value.first <= index <= defect.value.last
        assert defect.value.first == index - index % STEP


def test_a_witness_that_was_put_back_is_found_by_whoever_has_seen_the_truth() -> None:
    for index in REWRITES:
        log, notes = rewritten(index, witness=True)
        lines = exported(log, notes)
        for known in (KNOWN, KNOWN[-1:], KNOWN[index // STEP : index // STEP + 1]):
            count("witness rolled back")
            with pytest.raises(DefectFound) as defect:
                verify_export(lines, WITNESSED, known=known)
            assert defect.value.kind is DefectKind.FORKED
            assert defect.value.first <= index <= defect.value.last


def test_two_views_of_one_log_are_never_both_confirmed() -> None:
    """The log shows one history to the witness and another one to this reader, who may also be
    given the head of one with the records of the other."""
    for index in REWRITES:
        log, notes = rewritten(index)
        other = exported(log, notes)
        count("forked view")
        with pytest.raises(DefectFound) as defect:
            verify_export([other[0], *LINES[1:]], WITNESSED)
        assert defect.value.kind is DefectKind.UNPROVEN
        count("forked view")
        with pytest.raises(DefectFound) as defect:
            verify_export([LINES[0], *other[1:]], WITNESSED)
        assert defect.value.kind is DefectKind.UNPROVEN


@pytest.mark.parametrize("number", range(2, 252 if WHOLE else 12))
def test_a_substituted_key_is_found(number: int) -> None:
    head, final = orjson.loads(LINES[0]), orjson.loads(LINES[-1])
    own, own_witness = key(ORIGIN, number=number), key("witness.example/w1", number=number)
    for signers, kind in (
        ([own], DefectKind.UNSIGNED),
        ([own, WITNESS_KEY], DefectKind.UNSIGNED),
        ([own, own_witness], DefectKind.UNSIGNED),
        ([LOG_KEY, own_witness], DefectKind.UNCONFIRMED),
    ):
        note = sign(LOG.notes[-1].text, signers, T0).to_bytes().decode()
        lines = [
            spelled({**head, "checkpoint": note}),
            *LINES[1:-1],
            spelled({**final, "checkpoint": note}),
        ]
        count("key substituted")
        with pytest.raises(DefectFound) as defect:
            verify_export(fitted(lines), WITNESSED)
        assert defect.value.kind is kind


def test_a_line_that_borrows_the_name_and_id_of_a_trusted_key_is_found() -> None:
    false = key(ORIGIN, number=2)
    line = signature_line(LOG.notes[-1].text, false, T0)
    borrowed = Note(
        LOG.notes[-1].text,
        (
            SignatureLine(LOG_KEY.name, LOG_KEY.verifier.key_id, line.signature),
            *LOG.notes[-1].signatures[1:],
        ),
    )
    head = spelled({**orjson.loads(LINES[0]), "checkpoint": borrowed.to_bytes().decode()})

    count("key substituted")

    with pytest.raises(DefectFound, match="false"):
        verify_export([head, *LINES[1:]], WITNESSED)
