"""Goal: a whole element behaves like a dictionary, also over restarts, kills and power cuts.

Method: hypothesis makes up histories; after each step everything is compared.
"""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import (
    Element,
    FixedClock,
    Ids,
    Oracle,
    check_element,
    read_state,
)

from artstore.core.model.ids import FileId

contents = st.integers(0, 4000).map(lambda size: random.Random(size).randbytes(size))
names = st.sampled_from(["letter.pdf", "letter.txt", "письмо", "a.b.c", "../x.sh", "film.mp4"])


class ElementMachine(RuleBasedStateMachine):
    present = Bundle("present")

    @initialize()
    def begin(self) -> None:
        self.fs = SimulatedFs()
        self.fs.make_directory("/srv")
        self.fs.flush_volume(0)
        self.oracle = Oracle()
        self.clock = FixedClock()
        self.ids = Ids(self.clock)
        self.element = Element(self.fs, self.oracle, self.clock)

    @rule(target=present, content=contents, name=names)
    def put(self, content: bytes, name: str) -> FileId:
        file_id = self.ids.new()
        self.element.put((file_id, content, name))
        return file_id

    @rule(target=present, content=contents.filter(bool), name=names)
    def upload(self, content: bytes, name: str) -> FileId:
        file_id = self.ids.new()
        self.element.upload(file_id, content, name)
        return file_id

    @rule(content=contents.filter(bool))
    def abort(self, content: bytes) -> None:
        self.element.abort_upload(self.ids.new(), content)

    @rule(file_id=present, tag=st.text(min_size=1, max_size=5))
    def tag(self, file_id: FileId, tag: str) -> None:
        self.element.change(file_id, tags=(tag.encode(errors="replace").decode(),))

    @rule(file_id=present, name=names)
    def rename(self, file_id: FileId, name: str) -> None:
        self.element.change(file_id, original_filename=name)

    @rule(file_id=consumes(present))
    def delete(self, file_id: FileId) -> None:
        self.element.delete(file_id)

    @rule(hours=st.integers(0, 100))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule()
    def checkpoint(self) -> None:
        self.element.engine.checkpoint()

    @rule()
    def restart(self) -> None:
        self.element.engine.close()
        self.element = Element(self.fs, self.oracle, self.clock)

    @rule()
    def kill(self) -> None:
        self.fs.kill()
        self.element = Element(self.fs, self.oracle, self.clock)

    @rule(seed=st.integers(0, 1000))
    def cut_the_power(self, seed: int) -> None:
        chance = random.Random(seed)
        plan = chance.choice(self.fs.crash_plans(chance, 5))
        self.fs = SimulatedFs(self.fs.image(plan))
        self.element = Element(self.fs, self.oracle, self.clock)

    @invariant()
    def everything_is_as_promised(self) -> None:
        found = check_element(self.element.engine, self.oracle)
        assert found == self.oracle.settled
        if self.oracle.ids:
            assert read_state(self.element.engine, self.oracle.ids[0]) is not None


@pytest.mark.usefixtures("quiet_logs")
class TestElement(ElementMachine.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
