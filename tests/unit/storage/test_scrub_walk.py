"""The walk leaves nothing out whatever the window, and the pace keeps its rate."""

import pytest
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import ELEMENT_ROOT, FixedClock, Ids

from artstore.core.model.ids import FileId
from artstore.storage.engine.fs import make_directories
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub import walk
from artstore.storage.engine.scrub.pace import Pace

LAYOUT = Layout(ELEMENT_ROOT)
RATE = 1000


@pytest.fixture
def files(fs: SimulatedFs, ids: Ids, clock: FixedClock) -> list[FileId]:
    """Over three hours, two names each, and names that belong nowhere among them."""
    found: list[FileId] = []
    for hour in range(3):
        for _ in range(7):
            found.append(ids.new())
            directory = LAYOUT.directory(found[-1])
            make_directories(fs, directory)
            for suffix in (".attr.json", ".pdf"):
                fs.close(fs.create(f"{directory}/{found[-1]}{suffix}"))
        fs.close(fs.create(f"{directory}/stray-{hour}"))
        clock.advance(hours=7)
    fs.make_directory(f"{LAYOUT.data}/lost+found")
    return found


@pytest.mark.parametrize("window", [1, 2, 3, 5, 14, 100])
def test_every_group_comes_once_and_in_order(
    fs: SimulatedFs, files: list[FileId], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(walk, "WINDOW_NAMES", window)
    groups = list(walk.groups(fs, LAYOUT, None))
    assert [group.file_id for group in groups if group.file_id] == files
    strays = [name for group in groups if group.file_id is None for name in group.names]
    assert sorted(strays) == ["lost+found", "stray-0", "stray-1", "stray-2"]
    if window > 1:
        assert {len(group.names) for group in groups if group.file_id} == {2}


@pytest.mark.parametrize("position", range(20))
def test_it_goes_on_behind_any_file(fs: SimulatedFs, files: list[FileId], position: int) -> None:
    groups = walk.groups(fs, LAYOUT, files[position])
    assert [group.file_id for group in groups if group.file_id] == files[position + 1 :]


def test_names_may_go_while_it_walks(fs: SimulatedFs, files: list[FileId]) -> None:
    groups = walk.groups(fs, LAYOUT, None)
    next(groups)
    for file_id in files[5:]:
        for suffix in (".attr.json", ".pdf"):
            fs.unlink(f"{LAYOUT.directory(file_id)}/{file_id}{suffix}")
    assert set(files[1:5]) <= {group.file_id for group in groups}


def test_an_empty_element(fs: SimulatedFs) -> None:
    assert list(walk.groups(fs, LAYOUT, None)) == []


# --- pace ---------------------------------------------------------------------------------


class Sleeper:
    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self.slept_s = 0.0

    def __call__(self, seconds: float) -> None:
        self.slept_s += seconds
        self._clock.advance(seconds=seconds)


def test_the_rate_is_kept(clock: FixedClock) -> None:
    sleeper = Sleeper(clock)
    pace = Pace(clock, sleeper, RATE)
    for _ in range(100):
        pace.take(100, lambda: True)
    assert 9.7 < sleeper.slept_s < 10


def test_what_was_not_used_is_not_saved_up(clock: FixedClock) -> None:
    sleeper = Sleeper(clock)
    pace = Pace(clock, sleeper, RATE)
    clock.advance(hours=1)
    pace.take(5 * RATE, lambda: True)
    assert 4.7 < sleeper.slept_s < 5


def test_a_large_piece_can_be_given_up(clock: FixedClock) -> None:
    sleeper = Sleeper(clock)
    pace = Pace(clock, sleeper, RATE)
    pace.take(10**9, lambda: sleeper.slept_s < 1)
    assert sleeper.slept_s > 0
