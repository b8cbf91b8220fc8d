"""Findings and changes of mode in the log: durable, told in order, and nothing else."""

import orjson
import pytest
from tests.support.power_cut import Explorer, Workload
from tests.support.simulated_fs import CrashPlan, SimulatedFs
from tests.support.stepped_element import Element, Ids, check_element

from artstore.core.errors import Unavailable
from artstore.storage.engine.record import NOTE_BYTES_MAX, RecordType


def told(element: Element) -> list[tuple[int, str]]:
    lines = [orjson.loads(line) for line in element.engine.feed.changes(0, 1000).lines]
    return [(line["seq"], line["type"]) for line in lines]


def test_notes_stand_in_the_feed_in_order(element: Element, ids: Ids) -> None:
    element.put((ids.new(), b"text", "a.txt"))
    finding = element.engine._foundation.submission.note(
        RecordType.FINDING, {"finding": "surplus"}, "0" * 31 + "1"
    )
    mode = element.engine._foundation.submission.note(RecordType.MODE, {"to": "ro"})
    element.put((ids.new(), b"text", "b.txt"))

    assert told(element) == [(1, "created"), (2, "finding"), (3, "mode_changed"), (4, "created")]
    assert (finding, mode) == (2, 3)
    line = orjson.loads(element.engine.feed.changes(1, 1).lines[0])
    assert line["detail"] == {"finding": "surplus"}
    assert line["trace_id"] == "0" * 31 + "1"
    assert "record" not in line
    check_element(element.engine, element.oracle)


def test_notes_become_history(element: Element, ids: Ids) -> None:
    for number in range(300):
        element.engine._foundation.submission.note(
            RecordType.FINDING, {"number": number, "text": "x" * 300}
        )
    before = element.engine.feed.changes(0, 1000).lines
    element.engine.checkpoint()

    assert element.engine._foundation.segments.raw_count == 1
    assert element.engine.feed.changes(0, 1000).lines == before
    assert len(before) == 300


def test_a_told_note_survives_a_power_cut(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    element.put((ids.new(), b"text", "a.txt"))
    element.engine._foundation.submission.note(RecordType.FINDING, {"finding": "surplus"})
    left = SimulatedFs(fs.image(CrashPlan(set(), {})))
    again = Element(left, element.oracle, element.clock)

    assert told(again) == [(1, "created"), (2, "finding")]
    check_element(again.engine, element.oracle)


def notes_between_changes(work: Workload) -> None:
    first, large = work.ids.new(), work.ids.new()
    work.element.engine._foundation.submission.note(RecordType.MODE, {"to": "edit"})
    work.element.put((first, b"text", "a.txt"))
    work.element.engine._foundation.submission.note(
        RecordType.FINDING, {"finding": "damaged", "file_id": first}
    )
    work.element.upload(large, bytes(5000))
    work.element.engine._foundation.submission.note(
        RecordType.FINDING, {"finding": "damaged", "file_id": large}
    )
    work.element.engine.checkpoint()
    work.element.delete(first)
    work.kill_and_restart()
    work.element.engine._foundation.submission.note(RecordType.FINDING, {"finding": "surplus"})


@pytest.mark.usefixtures("quiet_logs")
def test_notes_disturb_no_change() -> None:
    Explorer(seed=11, states_max=600).run(notes_between_changes)


def test_a_note_that_is_too_long_is_refused(element: Element) -> None:
    with pytest.raises(ValueError, match="too long"):
        element.engine._foundation.submission.note(
            RecordType.FINDING, {"cause": "x" * NOTE_BYTES_MAX}
        )
    assert told(element) == []


def test_a_note_that_cannot_be_written_is_not_told(
    element: Element, fs: SimulatedFs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "injected")

    monkeypatch.setattr(fs, "flush", fail)
    with pytest.raises(Unavailable):
        element.engine._foundation.submission.note(RecordType.FINDING, {"finding": "surplus"})
    assert told(element) == []
