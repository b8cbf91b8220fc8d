"""Goal: a whole element behaves like a dictionary, also over restarts, kills and power cuts,
and whatever else it does meanwhile: scrubs, repairs, copies from another element.

Method: hypothesis makes up histories; after each step everything is compared.
"""

import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from tests.support.scrubbing import kinds, overwrite, repair, scrub
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import (
    Element,
    FixedClock,
    Ids,
    Oracle,
    check_element,
    make_record,
    read_state,
)

from artstore.core.errors import FileDamaged, RetentionForbids
from artstore.core.model.file import Deletion, FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.retention import Retention

contents = st.integers(0, 4000).map(lambda size: random.Random(size).randbytes(size))
names = st.sampled_from(["letter.pdf", "letter.txt", "письмо", "a.b.c", "../x.sh", "film.mp4"])


class ElementMachine(RuleBasedStateMachine):
    present = Bundle("present")
    kept = Bundle("kept")

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

    @rule(target=present, batch=st.lists(contents, min_size=1, max_size=5))
    def put_batch(self, batch: list[bytes]) -> MultipleResults[FileId]:
        files = [(self.ids.new(), content, "letter.pdf") for content in batch]
        self.element.batch(*files)
        return multiple(*(file_id for file_id, _, _ in files))

    @rule(target=kept, content=contents, days=st.integers(100, 900), revision=st.integers(1, 5))
    def copy_what_must_be_kept(self, content: bytes, days: int, revision: int) -> FileId:
        until = self.clock.now() + timedelta(days=days)
        retention = Retention(policy="kept", mode="compliance", retain_until=until)
        record = make_record(self.ids.new(), content, self.clock, retention=retention)
        self.element.copy(record.model_copy(update={"revision": revision}), content)
        return record.file_id

    @rule(file_id=kept)
    def delete_too_early(self, file_id: FileId) -> None:
        record = self.element.engine.reading.record(file_id)
        assume(record.retention.forbids_deletion_at(self.clock.now()))
        with pytest.raises(RetentionForbids):
            self.element.engine.changes.delete(file_id, by="clerk", reason="wish", trace=None)
        tombstone = record.model_copy(
            update={
                "revision": record.revision + 1,
                "deleted": Deletion(at=self.clock.now(), by="clerk", reason="wish"),
            }
        )
        with pytest.raises(RetentionForbids):
            self.element.engine.changes.take_over(tombstone, None)

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
    def scrub(self) -> None:
        assert kinds(scrub(self.element.engine)) == []

    @rule(file_id=present, bit=st.integers(0, 1 << 20))
    def damage_and_repair(self, file_id: FileId, bit: int) -> None:
        record_json, content = self.element.state(file_id)
        assume(content)
        path = self.element.engine._foundation.layout.content(FileRecord.from_json(record_json))
        spoilt = bytearray(content or b"")
        spoilt[bit // 8 % len(spoilt)] ^= 1 << bit % 8
        overwrite(self.fs, path, bytes(spoilt))
        with pytest.raises(FileDamaged):
            read_state(self.element.engine, file_id)
        assert kinds(scrub(self.element.engine)) == [("damaged", file_id)]
        repair(self.element, file_id, content or b"")

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
