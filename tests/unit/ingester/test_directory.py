"""The view of the elements: it follows what they say, and outlives those it asks."""

import pytest
from tests.support.hand_clock import HandClock

from artstore.core.errors import InternalError, NoRoom, Unavailable
from artstore.core.model.element import (
    Capacity,
    CapacityState,
    DrainState,
    ElementInfo,
    RegisteredElement,
    StorageMode,
)
from artstore.ingester.services.elements import RESTS_MAX, CachedDirectory
from artstore.ingester.services.placement import refusal, with_room


class Source:
    """Entries and answers as a test sets them; an absent answer means silence."""

    def __init__(self) -> None:
        self.entries: list[RegisteredElement] | None = [entry("a", 1), entry("b", 2)]
        self.infos: dict[str, ElementInfo | Exception] = {
            "https://a": info("a"),
            "https://b": info("b"),
        }

    async def registry(self) -> list[RegisteredElement]:
        if self.entries is None:
            raise Unavailable
        return self.entries

    async def info(self, entry: RegisteredElement) -> ElementInfo:
        answer = self.infos.get(entry.url, Unavailable())
        if isinstance(answer, Exception):
            raise answer
        return answer


def entry(element_id: str, priority: int, url: str | None = None) -> RegisteredElement:
    return RegisteredElement(
        element_id=element_id, url=url or f"https://{element_id}", priority=priority
    )


def info(element_id: str, free: int = 100, *, writable: bool = True) -> ElementInfo:
    return ElementInfo(
        element_id=element_id,
        mode=StorageMode.EDIT,
        version="1",
        writable=writable,
        capacity=Capacity(total=1000, used=0, free=free, reserved=10),
        feed_id="f",
        head_seq=0,
        oldest_seq=0,
    )


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def directory(source: Source, clock: HandClock) -> CachedDirectory:
    directory = CachedDirectory(source, clock, registry_refresh_s=1, element_refresh_s=1)
    await refreshed(directory)
    return directory


async def refreshed(directory: CachedDirectory) -> dict[str, tuple[bool, int]]:
    await directory.refresh_registry()
    await directory.refresh_elements()
    return view(directory)


def view(directory: CachedDirectory) -> dict[str, tuple[bool, int]]:
    """(answers, available bytes) by element."""
    return {r.element_id: (r.answers, r.available_bytes) for r in directory.reports()}


async def test_reports_say_what_elements_say(directory: CachedDirectory) -> None:
    assert view(directory) == {"a": (True, 90), "b": (True, 90)}
    assert {report.mode for report in directory.reports()} == {StorageMode.EDIT}


async def test_the_registry_outlives_the_admin_module(
    directory: CachedDirectory, source: Source
) -> None:
    source.entries = None
    source.infos["https://a"] = info("a", free=50)

    assert await refreshed(directory) == {"a": (True, 40), "b": (True, 90)}


@pytest.mark.parametrize("failure", [Unavailable(), InternalError(), TimeoutError()])
async def test_a_silent_element_keeps_what_it_said(
    directory: CachedDirectory, source: Source, failure: Exception
) -> None:
    source.infos["https://a"] = failure

    assert await refreshed(directory) == {"a": (False, 90), "b": (True, 90)}
    source.infos["https://a"] = info("a")
    assert await refreshed(directory) == {"a": (True, 90), "b": (True, 90)}


async def test_a_failed_element_is_passed_over_until_it_answers(
    directory: CachedDirectory,
) -> None:
    directory.failed("a")
    directory.failed("unknown")
    assert view(directory)["a"] == (False, 90)

    await directory.refresh_elements()
    assert view(directory)["a"] == (True, 90)


async def rest_after(directory: CachedDirectory, clock: HandClock) -> float:
    """How long the other one comes first, after a failure now."""
    directory.failed("a")
    began_s = clock.seconds
    await directory.refresh_elements()
    while order(directory) == "ba":
        clock.advance(0.25)
        await directory.refresh_elements()
    assert order(directory) == "ab"
    return clock.seconds - began_s


def order(directory: CachedDirectory) -> str:
    takers = with_room(directory.reports(), 0, StorageMode.EDIT)
    return "".join(report.element_id for report in takers)


async def test_an_element_that_fails_again_rests_for_longer(
    directory: CachedDirectory, clock: HandClock
) -> None:
    assert [await rest_after(directory, clock) for _ in range(4)] == [1, 2, 4, 8]
    assert [await rest_after(directory, clock) for _ in range(4)][1:] == [RESTS_MAX] * 3

    directory.worked("a")
    assert await rest_after(directory, clock) == 1


async def test_failures_at_the_same_time_are_one(
    directory: CachedDirectory, clock: HandClock
) -> None:
    for _ in range(20):
        directory.failed("a")
    assert await rest_after(directory, clock) == 1


async def test_what_was_under_way_does_not_end_a_rest(
    directory: CachedDirectory, clock: HandClock
) -> None:
    directory.failed("a")
    directory.worked("a")
    await directory.refresh_elements()
    assert order(directory) == "ba"


async def test_the_only_one_that_could_take_it_is_tried_while_it_rests(
    directory: CachedDirectory, source: Source
) -> None:
    source.infos["https://b"] = info("b", writable=False)
    directory.failed("a")
    assert order(directory) == "b"
    await directory.refresh_elements()
    assert order(directory) == "a"


async def test_an_element_at_a_wrong_address_gets_nothing(
    directory: CachedDirectory, source: Source
) -> None:
    source.infos["https://a"] = info("b")

    assert (await refreshed(directory))["a"][0] is False


async def test_a_registry_that_changes_is_followed(
    directory: CachedDirectory, source: Source
) -> None:
    source.entries = [entry("b", 7), entry("c", 1)]
    await directory.refresh_registry()

    assert view(directory) == {"b": (True, 90), "c": (False, 0)}
    assert [report.priority for report in directory.reports()] == [7, 1]


async def test_a_new_address_is_a_new_element_until_it_answers(
    directory: CachedDirectory, source: Source
) -> None:
    source.entries = [entry("a", 1, "https://elsewhere"), entry("b", 2)]
    await directory.refresh_registry()

    assert view(directory)["a"] == (False, 0)


async def test_ready_while_somebody_can_take_a_file(
    directory: CachedDirectory, source: Source
) -> None:
    source.infos = {"https://b": info("b")}
    await refreshed(directory)
    await directory.check()

    source.infos = {"https://b": info("b", writable=False)}
    await refreshed(directory)
    with pytest.raises(Unavailable):
        await directory.check()


async def test_a_full_element_is_passed_over_although_bytes_are_free(
    source: Source, directory: CachedDirectory
) -> None:
    full = Capacity(total=1000, used=0, free=100, reserved=10, state=CapacityState.FULL)
    source.infos["https://a"] = info("a").model_copy(update={"capacity": full})
    await directory.refresh_elements()
    takers = with_room(directory.reports(), 0, StorageMode.EDIT)
    assert [report.element_id for report in takers] == ["b"]


async def test_a_draining_element_gets_nothing_new_and_is_not_waited_for(
    source: Source, directory: CachedDirectory
) -> None:
    source.entries = [
        entry("a", 1).model_copy(update={"drain": DrainState.DRAINING}),
        entry("b", 2),
    ]
    await refreshed(directory)
    takers = with_room(directory.reports(), 0, StorageMode.EDIT)
    assert [report.element_id for report in takers] == ["b"]
    directory.failed("a")
    assert isinstance(refusal(directory.reports(), StorageMode.EDIT), NoRoom)
