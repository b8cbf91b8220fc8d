"""Goal: the power may go at any step of a finding and of a repair, and nothing is lost by it.

Method: one damaged file on a simulated disk. Before every step that changes the disk, all
kinds of states that a cut may leave are started again: the damaged bytes or the whole file
must still be there, reads say the truth, and scrub and repair can be done again.
"""

import random

import pytest
from tests.support.power_cut import Explorer, Workload
from tests.support.quiet import quiet_logs
from tests.support.scrubbing import file_at, find_path, overwrite, paths, repair, scrub
from tests.support.simulated_fs import Image, SimulatedFs
from tests.support.stepped_element import ELEMENT_ROOT, Element, Ids, check_element, read_state

from artstore.core.errors import FileDamaged
from artstore.core.model.ids import FileId

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
STATES_MAX = 150
CONTENT = b"what was stored" * 20
DAMAGED = b"what is there!!" * 20


def damaged(element: Element, ids: Ids, fs: SimulatedFs) -> FileId:
    file_id = ids.new()
    element.put((file_id, CONTENT, "letter.pdf"), (ids.new(), b"another", "b.txt"))
    element.engine.checkpoint()
    overwrite(fs, find_path(fs, f"{file_id}.pdf"), DAMAGED)
    return file_id


def cuts(fs: SimulatedFs, chance: random.Random) -> list[Image]:
    """Grows while the disk is changed."""
    images: list[Image] = []

    def before_step(step: str) -> None:
        images.extend(fs.image(plan) for plan in fs.crash_plans(chance, 2))

    fs.before_step = before_step
    return images


def contents(fs: SimulatedFs) -> list[bytes]:
    return [bytes(file_at(fs, path).current) for path in paths(fs, ELEMENT_ROOT)]


def check(image: Image, element: Element, file_id: FileId) -> None:
    fs = SimulatedFs(image)
    again = Element(fs, element.oracle, element.clock)
    whole = element.state(file_id)
    try:
        assert read_state(again.engine, file_id) == whole
    except FileDamaged:
        assert DAMAGED in contents(fs), "the damaged bytes are gone"
    again.clock.advance(minutes=1)
    scrub(again.engine)
    repair(again, file_id, CONTENT)
    check_element(again.engine, element.oracle)
    again.clock.advance(minutes=1)
    scrub(again.engine)
    assert again.engine.scrub.status().open_findings == 0


def test_a_finding_cut_anywhere(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    file_id = damaged(element, ids, fs)
    images = cuts(fs, random.Random(1))
    scrub(element.engine)
    assert len(images) > 50
    for image in random.Random(3).sample(images, min(STATES_MAX, len(images))):
        check(image, element, file_id)


def test_a_repair_cut_anywhere(element: Element, ids: Ids, fs: SimulatedFs) -> None:
    file_id = damaged(element, ids, fs)
    scrub(element.engine)
    images = cuts(fs, random.Random(2))
    repair(element, file_id, CONTENT)
    element.engine.checkpoint()
    assert len(images) > 50
    for image in random.Random(3).sample(images, min(STATES_MAX, len(images))):
        check(image, element, file_id)


def passes_between_changes(work: Workload) -> None:
    first, second = work.ids.new(), work.ids.new()
    work.element.put((first, b"text", "a.txt"), (second, b"text", "b.txt"))
    scrub(work.element.engine)
    work.element.upload(work.ids.new(), bytes(5000))
    work.element.delete(first)
    work.element.engine.checkpoint()
    scrub(work.element.engine)
    work.element.change(second, tags=("blue",))


def test_a_scrub_disturbs_no_change() -> None:
    Explorer(seed=12, states_max=300).run(passes_between_changes)
