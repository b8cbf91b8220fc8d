"""What can be restored from where."""

import pytest
from tests.unit.admin.test_copy_planning import EDIT, element, held

from artstore.admin.services.copies.planning import HeldFile, targets_of
from artstore.admin.services.restoring.rules import is_damaged, is_readable, sources_of
from artstore.core.model.element import DrainState, StorageMode

AR = StorageMode.AR
VIEW = {
    each.element_id: each
    for each in (
        element("deep-a", AR, priority=2),
        element("deep-b", AR, priority=1),
        element("deep-away", AR, answers=False),
        element("near", EDIT),
        element("near-away", EDIT, answers=False),
        element("near-full", EDIT, free=5),
        element("near-draining", EDIT, drain=DrainState.DRAINING),
        element("closed", StorageMode.RO),
    )
}


def test_archives_that_answer_are_asked_in_order() -> None:
    file = held(*((name, 1, "present") for name in ("deep-a", "deep-b", "deep-away", "gone")))
    assert [each.element_id for each in sources_of(file, VIEW)] == ["deep-b", "deep-a"]


@pytest.mark.parametrize("state", ["damaged", "missing", "deleted"])
def test_what_is_not_present_is_no_source(state: str) -> None:
    assert sources_of(held(("deep-a", 1, state)), VIEW) == []


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (held(("near", 1, "present")), True),
        (held(("deep-a", 1, "present"), ("closed", 1, "present")), True),
        (held(("deep-a", 1, "present")), False),
        (held(("deep-a", 1, "present"), ("near", 1, "damaged")), False),
        (held(("deep-a", 1, "present"), ("near-away", 1, "present")), False),
    ],
)
def test_what_somebody_hands_out_needs_no_restore(file: HeldFile, expected: bool) -> None:
    assert is_readable(file, VIEW) is expected


def test_a_copy_goes_where_there_is_room_and_the_file_is_not() -> None:
    file = held(("deep-a", 1, "present"), ("near", 1, "damaged"))
    assert targets_of(file, VIEW, EDIT) == []
    assert [each.element_id for each in targets_of(held(), VIEW, EDIT)] == ["near"]


def test_it_is_damaged_when_nobody_has_it_whole() -> None:
    assert is_damaged(held(("deep-a", 1, "damaged")), VIEW)
    assert not is_damaged(held(("deep-a", 1, "damaged"), ("deep-away", 1, "present")), VIEW)
    assert not is_damaged(held(("deep-a", 1, "missing")), VIEW)
