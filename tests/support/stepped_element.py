"""An element without threads, and a dictionary that says what it must hold.

`SteppedElement` runs the writer and the keeper when told, so a simulated crash can be put
between any two steps and every run is the same.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Any

import orjson

from artstore.core.errors import ArtStoreError, FileDamaged, FileDeleted, UnknownFile
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Digest, FileChange, FileDraft, FileRecord, Uploader
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.model.retention import Retention
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.new_files import NewSmallFile
from artstore.storage.engine.opening import EngineOptions
from artstore.storage.engine.submission import Answer
from artstore.storage.engine.upload import Adopted, Upload

SEGMENT_BYTES = 48 << 10
ELEMENT_ROOT = "/srv/element"
UPLOADER = Uploader(subject="person-1", name="clerk", via="ingester-1")


class FixedClock:
    """Time moves when told."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic_s(self) -> float:
        return self.moment.timestamp()

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


class Ids:
    """The same ids in every run."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self._source = FileIdSource()
        self._count = 0

    def new(self) -> FileId:
        self._count += 1
        return self._source.new(self._clock.now(), hashlib.sha256(b"%d" % self._count).digest())


def make_record(
    file_id: FileId,
    content: bytes,
    clock: FixedClock,
    name: str = "letter.pdf",
    retention: Retention | None = None,
) -> FileRecord:
    now = clock.now()
    return FileRecord(
        file_id=file_id,
        collection="default",
        original_filename=name,
        size=len(content),
        content_type="application/pdf",
        digests=(Digest(alg="sha256", value=hashlib.sha256(content).hexdigest(), computed_at=now),),
        uploaded_at=now,
        uploaded_by=UPLOADER,
        revision=1,
        retention=retention or Retention(),
    )


def options(root: str = ELEMENT_ROOT, **changes: Any) -> EngineOptions:
    values: dict[str, Any] = {
        "root": root,
        "element_id": "edit-1",
        "mode": StorageMode.EDIT,
        "reserved_bytes": 0,
        "segment_bytes": SEGMENT_BYTES,
        **changes,
    }
    return EngineOptions(**values)


class SteppedEngine(Engine):
    def _outcome(self, outcomes: "SimpleQueue[Answer]") -> Answer:
        while outcomes.empty():
            assert self._writer.run_once(), "somebody waits for nothing"
        # What is only logged yet would be waited for by whoever reads it next.
        self.step()
        return outcomes.get()

    def step(self) -> None:
        while self._writer.run_once():
            pass

    def step_once(self) -> None:
        """Log one group, and put the one before it in place."""
        self._writer.run_once()

    def checkpoint(self) -> None:
        """What the keeper does from time to time."""
        if self._keeper.is_due:
            marker = self._keeper.begin_checkpoint()
            self.step()
            self._keeper.end_checkpoint(marker)
        self._keeper.tidy()

    @property
    def fault(self) -> str | None:
        return self._writer.fault


State = tuple[bytes, bytes | None] | None
"""A file: its record and its content, no content after deletion; or no file."""


@dataclass
class Oracle:
    """`settled`: what was acknowledged. `open`: what was asked for and not yet answered; it
    may have happened or not, but nothing in between."""

    settled: dict[FileId, State] = field(default_factory=dict)
    open: dict[FileId, State] = field(default_factory=dict)
    damaged: set[FileId] = field(default_factory=set)
    """Whose content the disk has spoilt: it may be refused until it is repaired, never wrong."""

    def may_be(self, file_id: FileId) -> list[State]:
        states: list[State] = [self.settled.get(file_id)]
        if file_id in self.open:
            states.append(self.open[file_id])
        return states

    def settle(self, file_id: FileId) -> None:
        self.settled[file_id] = self.open.pop(file_id)

    parts: dict[FileId, bytes] = field(default_factory=dict)
    """Of uploads that come in parts: what was acknowledged so far."""

    @property
    def ids(self) -> list[FileId]:
        return sorted({*self.settled, *self.open})


class Element:
    """Drives an engine and tells the oracle."""

    def __init__(self, fs: Fs, oracle: Oracle, clock: FixedClock, **changes: Any) -> None:
        self.fs = fs
        self.oracle = oracle
        self.clock = clock
        self.engine = SteppedEngine.open(options(**changes), fs, clock)

    def put(self, *files: tuple[FileId, bytes, str]) -> None:
        """One group of small files."""
        for file_id, content, name in files:
            self.submit(file_id, content, name)
        self.engine.step()

    def submit(self, file_id: FileId, content: bytes, name: str = "letter.pdf") -> None:
        record = make_record(file_id, content, self.clock, name)
        self.oracle.open.setdefault(file_id, (record.to_json(), content))
        self.engine.new_files.put(
            record, content, None, lambda outcome: self._answer(file_id, outcome)
        )

    def upload(self, file_id: FileId, content: bytes, name: str = "film.mp4") -> None:
        """A large file, in three pieces."""
        upload = self.engine.large_files.begin(file_id, len(content), None)
        assert isinstance(upload, Upload)
        third = -(-len(content) // 3)
        for start in range(0, len(content), third):
            upload.write(content[start : start + third])
        record = make_record(file_id, content, self.clock, name)
        assert upload.finish() == record.sha256
        self.oracle.open[file_id] = (record.to_json(), content)
        self._answer(file_id, self.engine.large_files.finish(upload, record, None))

    def batch(self, *files: tuple[FileId, bytes, str]) -> None:
        """Many small files in one request."""
        new = []
        for file_id, content, name in files:
            record = make_record(file_id, content, self.clock, name)
            self.oracle.open.setdefault(file_id, (record.to_json(), content))
            new.append(NewSmallFile(record, content, None, partial(self._answer, file_id)))
        self.engine.new_files.put_all(new)
        self.engine.step()

    def copy(self, record: FileRecord, content: bytes | None) -> None:
        """A file, or a later state of one, as another element has it."""
        self.oracle.open[record.file_id] = (record.to_json(), content)
        if content is not None and record.file_id not in self.oracle.settled:
            stored = self.engine.new_files.put_copy(record, content, None)
        else:
            stored = self.engine.changes.take_over(record, None)
        self._answer(record.file_id, stored)

    def abort_upload(self, file_id: FileId, content: bytes) -> None:
        upload = self.engine.large_files.begin(file_id, len(content), None)
        assert isinstance(upload, Upload)
        upload.write(content[:-1])
        self.engine.large_files.abort(upload)

    def begin_parts(self, file_id: FileId, size: int, name: str = "film.mp4") -> None:
        expires_at = self.clock.now() + timedelta(days=1)
        self.engine.open_uploads.create(file_id, draft(name, size=size), size, expires_at)
        self.oracle.parts[file_id] = b""

    def add_part(self, file_id: FileId, data: bytes) -> None:
        """In two writes, the first of which counts only with the second."""
        uploads = self.engine.open_uploads
        part = uploads.begin_part(file_id, len(self.oracle.parts[file_id]))
        part.write(data[: len(data) // 2])
        part.write(data[len(data) // 2 :])
        part.keep(self.clock.now() + timedelta(days=1))
        self.oracle.parts[file_id] += data

    def complete_parts(self, file_id: FileId, name: str = "film.mp4") -> None:
        content = self.oracle.parts[file_id]
        with self.engine.open_uploads.whole(file_id) as (upload, sha256):
            record = make_record(file_id, content, self.clock, name)
            assert sha256 == record.sha256
            incoming = self.engine.large_files.adopt(file_id, upload.size, sha256, name)
            assert isinstance(incoming, Adopted)
            incoming.finish()
            self.oracle.open[file_id] = (record.to_json(), content)
            stored = self.engine.large_files.finish(incoming, record, None)
        del self.oracle.parts[file_id]
        self._answer(file_id, stored)

    def change(self, file_id: FileId, **fields: Any) -> None:
        record_json, content = self.state(file_id)
        record = FileRecord.from_json(record_json)
        changed = record.model_copy(update={**fields, "revision": record.revision + 1})
        self.oracle.open[file_id] = (changed.to_json(), content)
        self._answer(file_id, self.engine.changes.change(file_id, FileChange(**fields), None))

    def delete(self, file_id: FileId) -> None:
        record = FileRecord.from_json(self.state(file_id)[0])
        tombstone = record.model_dump(mode="json")
        tombstone["revision"] += 1
        tombstone["deleted"] = {"at": self.clock.now(), "by": "clerk", "reason": "wish"}
        self.oracle.open[file_id] = (FileRecord.from_json(orjson.dumps(tombstone)).to_json(), None)
        self._answer(
            file_id, self.engine.changes.delete(file_id, by="clerk", reason="wish", trace=None)
        )

    def state(self, file_id: FileId) -> tuple[bytes, bytes | None]:
        state = self.oracle.settled[file_id]
        assert state is not None
        return state

    def _answer(self, file_id: FileId, outcome: Outcome) -> None:
        if isinstance(outcome, Stored) and file_id in self.oracle.open:
            self.oracle.settle(file_id)


def read_state(engine: Engine, file_id: FileId) -> State:
    """What readers get, or in mode `ar` whoever restores; damage raises."""
    try:
        record_json = engine.reading.record(file_id).to_json()
    except UnknownFile:
        return None
    try:
        content = engine.contents.open(file_id, from_archive=True)
    except FileDeleted:
        return record_json, None
    try:
        return record_json, content.whole()
    finally:
        content.close()


def check_element(engine: SteppedEngine, oracle: Oracle) -> dict[FileId, State]:
    """Everything that was promised is there, nothing is there by half, and the feed, the
    listing and the files tell the same. Returns what is there."""
    found: dict[FileId, State] = {}
    for file_id in oracle.ids:
        try:
            state = read_state(engine, file_id)
        except FileDamaged as error:
            if file_id not in oracle.damaged:
                raise AssertionError(f"{file_id} is damaged: {error!r}") from error
            state = oracle.settled[file_id]
        except ArtStoreError as error:
            raise AssertionError(f"{file_id} cannot be read: {error!r}") from error
        assert state in oracle.may_be(file_id), f"{file_id} is not what was promised: {state}"
        if state is not None:
            found[file_id] = state
    for file_id, acknowledged in oracle.parts.items():
        if file_id not in found:
            sent = b"".join(engine.open_uploads.read(file_id))
            assert sent.startswith(acknowledged), f"{file_id} lost acknowledged parts"
    records = [state[0] for state in found.values() if state is not None]
    assert engine.reading.files(None, 1000) == records, "the listing differs from the files"
    assert last_records(engine) == found_records(found), "the feed differs from the files"
    return found


def last_records(engine: Engine) -> dict[str, Any]:
    """The last record of each file, as the feed tells it; checks its order on the way."""
    result: dict[str, Any] = {}
    after = engine.info().oldest_seq
    while lines := engine.feed.changes(after, 3).lines:
        for line in lines:
            change = orjson.loads(line)
            assert change["seq"] > after, "the feed is not in order"
            after = change["seq"]
            if "record" in change:
                result[change["record"]["file_id"]] = change["record"]
    return result


def found_records(found: dict[FileId, State]) -> dict[str, Any]:
    return {file_id: orjson.loads(state[0]) for file_id, state in found.items() if state}


def draft(name: str = "letter.pdf", **fields: Any) -> FileDraft:
    return FileDraft(original_filename=name, uploaded_by=UPLOADER, **fields)
