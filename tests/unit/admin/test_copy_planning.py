"""What copies need: one rule for policies, damage, changes and draining elements."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.admin.services.copies.planning import (
    NO_SOURCE,
    NO_TARGET,
    TARGET_AWAY,
    ElementView,
    HeldFile,
    Holder,
    Plan,
    Purpose,
    Step,
    plan_for,
)
from artstore.core.catalogue import COPY_STATES
from artstore.core.model.element import Capacity, DrainState, ElementInfo, StorageMode
from artstore.core.model.ids import FileId

GOOD_STATES = ("present", "deleted")
FILE = FileId("01a204bc-d9d3-7009-8001-020304050607")
EDIT, RW, RO = StorageMode.EDIT, StorageMode.RW, StorageMode.RO


def element(
    name: str,
    mode: StorageMode = EDIT,
    *,
    answers: bool = True,
    free: int = 1000,
    drain: DrainState = DrainState.OFF,
    priority: int = 100,
) -> ElementView:
    info = ElementInfo(
        element_id=name,
        mode=mode,
        version="1",
        writable=mode.accepts_files,
        capacity=Capacity(total=2000, used=0, free=free, reserved=0),
        feed_id="f",
        head_seq=0,
        oldest_seq=0,
    )
    return ElementView(name, f"https://{name}", priority, drain, info if answers else None)


def held(*holders: tuple[str, int, str], wanted: int = 2, size: int = 10) -> HeldFile:
    return HeldFile(FILE, size, wanted, tuple(Holder(*holder) for holder in holders))


def plan(file: HeldFile, *elements: ElementView) -> Plan:
    return plan_for(file, {each.element_id: each for each in elements})


def step(target: str, source: str, purpose: Purpose = Purpose.COPY) -> Step:
    return Step(FILE, target, source, purpose)


def test_a_second_copy_goes_to_the_first_fitting_element() -> None:
    found = plan(held(("a", 1, "present")), element("a"), element("c"), element("b"))
    assert found == Plan([step("b", "a")])


def test_one_copy_is_enough_unless_more_are_wanted() -> None:
    assert plan(held(("a", 1, "present"), wanted=1), element("a"), element("b")) == Plan()


@pytest.mark.parametrize(
    "other",
    [
        element("b", RW),
        element("b", answers=False),
        element("b", free=5),
        element("b", drain=DrainState.DRAINING),
        element("b", drain=DrainState.DRAINED),
        element("b", RO),
    ],
)
def test_an_element_that_does_not_fit_gets_nothing(other: ElementView) -> None:
    assert plan(held(("a", 1, "present")), element("a"), other) == Plan(trouble=NO_TARGET)


@pytest.mark.parametrize("mode", [RW, RO, StorageMode.AR])
def test_what_must_not_be_deleted_goes_where_nothing_is(mode: StorageMode) -> None:
    elements = (element("a", mode), element("b", EDIT), element("c", RW))
    assert plan(held(("a", 1, "present")), *elements) == Plan([step("c", "a")])


def test_room_that_was_promised_is_not_promised_twice() -> None:
    elements = {each.element_id: each for each in (element("a"), element("b", free=15))}
    assert plan_for(held(("a", 1, "present")), elements).steps == [step("b", "a")]
    assert plan_for(held(("a", 1, "present")), elements) == Plan(trouble=NO_TARGET)


@pytest.mark.parametrize("state", ["damaged", "missing"])
def test_what_is_damaged_is_mended_from_the_good_one(state: str) -> None:
    found = plan(held(("a", 1, state), ("b", 1, "present")), element("a"), element("b"))
    assert found == Plan([step("a", "b", Purpose.REPAIR)])


def test_an_older_record_is_brought_forward() -> None:
    found = plan(held(("a", 2, "present"), ("b", 1, "present")), element("a"), element("b"))
    assert found == Plan([step("b", "a")])


@pytest.mark.parametrize("state", ["present", "damaged", "missing"])
def test_a_deletion_is_brought_forward_and_no_new_copy_is_made(state: str) -> None:
    elements = (element("a"), element("b"), element("c"))
    found = plan(held(("a", 2, "deleted"), ("b", 1, state)), *elements)
    assert found == Plan([step("b", "a")])
    assert plan(held(("a", 2, "deleted")), *elements) == Plan()


def test_nothing_good_is_left() -> None:
    elements = (element("a"), element("b"))
    assert plan(held(("a", 1, "damaged")), *elements) == Plan(trouble=NO_SOURCE)
    away = (element("a", answers=False), element("b"))
    assert plan(held(("a", 1, "present")), *away) == Plan(trouble=NO_SOURCE)


def test_good_bytes_mend_a_newer_record() -> None:
    elements = (element("a"), element("b"))
    older = held(("a", 2, "damaged"), ("b", 1, "present"))
    assert plan(older, *elements) == Plan([step("a", "b", Purpose.REPAIR)])
    lost = held(("a", 2, "missing"), ("b", 1, "present"))
    assert plan(lost, *elements) == Plan(trouble=NO_SOURCE)


def test_elements_that_are_away_lose_nothing() -> None:
    both = held(("a", 1, "present"), ("b", 1, "present"))
    away = [element("a", answers=False), element("b", answers=False)]
    assert plan(both, *away) == Plan()
    assert plan(both, element("a"), away[1], element("c")) == Plan()
    damaged = held(("a", 1, "present"), ("b", 1, "damaged"))
    assert plan(damaged, element("a"), away[1]) == Plan(trouble=TARGET_AWAY)


def test_a_draining_element_counts_for_nothing() -> None:
    draining = element("a", drain=DrainState.DRAINING)
    assert plan(held(("a", 1, "present"), wanted=1), draining, element("b")) == Plan(
        [step("b", "a")]
    )
    both = held(("a", 1, "present"), ("b", 1, "present"), wanted=1)
    assert plan(both, draining, element("b")) == Plan()


def test_a_removed_element_is_no_holder() -> None:
    assert plan(held(("gone", 1, "present"), ("b", 1, "present"), wanted=1), element("b")) == Plan()


views = st.builds(
    element,
    st.just("x"),
    st.sampled_from(StorageMode),
    answers=st.booleans(),
    free=st.sampled_from([0, 1000]),
    drain=st.sampled_from(DrainState),
)


@given(
    st.lists(views, min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(COPY_STATES)), min_size=1, max_size=5),
    st.sampled_from([1, 2]),
)
def test_rules_that_always_hold(
    found: list[ElementView], states: list[tuple[int, str]], wanted: int
) -> None:
    elements = {}
    for name, view in zip("abcde", found, strict=False):
        view.element_id = name
        elements[name] = view
    holders = [(name, *state) for name, state in zip("abcde", states, strict=False)]
    steps = plan_for(held(*holders, wanted=wanted), elements).steps
    good = {
        name
        for name, revision, state in holders
        if state in ("present", "deleted")
        and revision == max(r for n, r, _ in holders if n in elements)
    }
    assert len({each.target for each in steps}) == len(steps), "two orders for one element"
    for each in steps:
        assert each.source in good or each.purpose is Purpose.REPAIR
        assert each.source in {name for name, _, state in holders if state in GOOD_STATES}
        assert each.target not in good
        assert elements[each.source].answers
        assert elements[each.target].answers
    fresh = {each.target for each in steps} - {name for name, *_ in holders}
    assert len(fresh) <= wanted


def test_all_instances_decide_alike() -> None:
    elements = [element("a"), element("b"), element("c"), element("d", priority=1)]
    file = held(("a", 1, "present"), ("b", 1, "damaged"), wanted=2)
    plans = [plan(file, *order) for order in itertools.permutations(elements)]
    assert all(each == plans[0] for each in plans)
