"""Which element gets the next file. A pure rule, so it is tested as a table."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import NoRoom, Unavailable
from artstore.core.model.element import StorageMode
from artstore.core.model.retention import Retention
from artstore.ingester.services.placement import (
    ElementReport,
    Placement,
    mode_for,
    refusal,
    with_room,
)

EDIT = StorageMode.EDIT
RW = StorageMode.RW


def report(element_id: str = "a", **changes: object) -> ElementReport:
    base = ElementReport(element_id, "https://x", 100, EDIT, True, True, 1000)
    return replace(base, **changes)  # type: ignore[arg-type]


def chosen(*reports: ElementReport, size_bytes: int = 10) -> str | None:
    found = next(iter(with_room(reports, size_bytes, EDIT)), None)
    return found.element_id if found else None


def test_the_lowest_priority_number_is_filled_first() -> None:
    assert chosen(report("a", priority=2), report("b", priority=1)) == "b"


def test_ties_go_to_the_lower_id_whatever_the_order() -> None:
    assert chosen(report("b"), report("a")) == chosen(report("a"), report("b")) == "a"


@pytest.mark.parametrize(
    "unfit",
    [
        {"mode": RW},
        {"mode": None},
        {"answers": False},
        {"writable": False},
        {"available_bytes": 9},
    ],
)
def test_what_does_not_fit_is_passed_over(unfit: dict[str, object]) -> None:
    assert chosen(report("a", **unfit), report("b")) == "b"
    assert chosen(report("a", **unfit)) is None


def test_the_last_byte_of_room_is_used() -> None:
    assert chosen(report(available_bytes=10)) == "a"


def test_an_empty_file_fits_into_a_full_element() -> None:
    assert chosen(report(available_bytes=0), size_bytes=0) == "a"


@pytest.mark.parametrize(
    ("reports", "failure"),
    [
        ((), Unavailable),
        ((report(available_bytes=0),), NoRoom),
        ((report(available_bytes=0), report("b", mode=RW, answers=False)), NoRoom),
        ((report(mode=RW),), NoRoom),
        ((report(answers=False),), Unavailable),
        ((report(writable=False),), Unavailable),
        ((report(available_bytes=0), report("b", answers=False)), Unavailable),
        ((report(mode=None, answers=False),), Unavailable),
    ],
)
def test_waiting_helps_only_while_somebody_is_silent(
    reports: tuple[ElementReport, ...], failure: type[Exception]
) -> None:
    assert isinstance(refusal(reports, EDIT), failure)


def test_retention_decides_the_mode() -> None:
    assert mode_for(Retention()) == EDIT
    assert mode_for(Retention(policy="permanent", mode="compliance")) == RW


class Listed:
    def __init__(self, *reports: ElementReport) -> None:
        self._reports = list(reports)
        self.given_up: list[str] = []

    def reports(self) -> list[ElementReport]:
        return self._reports

    def failed(self, element_id: str) -> None:
        self.given_up.append(element_id)

    def worked(self, element_id: str) -> None:
        pass


def test_candidates_are_never_empty() -> None:
    with pytest.raises(NoRoom):
        Placement(Listed(report(available_bytes=0))).candidates(1, EDIT)
    assert Placement(Listed(report())).candidates(1, EDIT) == [report()]


reports = st.lists(
    st.builds(
        ElementReport,
        st.sampled_from("abcdef"),
        st.just("https://x"),
        st.integers(0, 3),
        st.sampled_from([EDIT, RW, None]),
        st.booleans(),
        st.booleans(),
        st.integers(0, 20),
    ),
    unique_by=lambda item: item.element_id,
)


@given(reports, st.integers(0, 20), st.randoms(use_true_random=False))
def test_two_ingesters_with_the_same_reports_agree(
    items: list[ElementReport], size_bytes: int, random: object
) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert with_room(items, size_bytes, EDIT) == with_room(shuffled, size_bytes, EDIT)
