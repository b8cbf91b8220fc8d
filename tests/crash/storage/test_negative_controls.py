"""Goal: show that the power-cut tests would notice. A search that finds nothing proves
something only if it finds the bugs that are there.

Method: put one deliberate bug at a time into the engine or the disk, run the same search,
and demand that it fails. The twelve bugs that every engine of this kind has had somewhere:

    1  content not flushed                   no_flush_of_large_files, no_flush_of_the_log
    2  directory not flushed                 no_flush_of_directories
    3  directories above it not flushed      no_flush_of_ancestors
    4  answer before the flush               answer_before_the_flush
    5  flush tried again after a failure     flush_tried_again
    6  names in the wrong order              place_before_the_log, staged_names_dropped_at_once,
                                             unlink_before_the_tombstone_is_durable
    7  short write ignored                   short_writes_ignored
    8  checksum not compared                 crc_off
    9  order of records not checked          chain_off
    10 log cut at damage in its middle       log_cut_at_damage
    11 redo that works only once             redo_only_once, replay_trusts_what_is_there
    12 temporary name used again             temporary_name_used_again

and three of this engine's own: no_flush_of_the_volume, killed_log_not_flushed,
staging_cleared_before_the_checkpoint.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from tests.support.power_cut import Explorer
from tests.support.scrubbing import file_at, paths
from tests.support.simulated_fs import CrashPlan, SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    FixedClock,
    Ids,
    Oracle,
    SteppedEngine,
    check_element,
    options,
)
from tests.support.workloads import WORKLOADS

from artstore.storage.engine import fs as engine_fs
from artstore.storage.engine import (
    layout,
    log,
    placement,
    placer,
    record,
    recovery,
    segments,
    upload,
    writer,
)
from artstore.storage.engine.entries import Entry, Stored
from artstore.storage.engine.refusals import LogCorrupt

Patch = pytest.MonkeyPatch
SEEDS = 4
pytestmark = pytest.mark.usefixtures("quiet_logs")


def no_flush_of_the_log(patch: Patch) -> None:
    patch.setattr(log.Log, "_flush", lambda self, records: None)


def no_flush_of_large_files(patch: Patch) -> None:
    def finish(self: upload.Upload) -> str:
        self._fs.flush_directory(self._layout.staging)
        self._close()
        return self._digest.hexdigest()

    patch.setattr(upload.Upload, "finish", finish)


def no_flush_of_directories(patch: Patch) -> None:
    patch.setattr(SimulatedFs, "flush_directory", lambda self, path: None)


def no_flush_of_ancestors(patch: Patch) -> None:
    patch.setattr("artstore.storage.engine.identity.flush_everything", lambda fs, layout: None)


def no_flush_of_the_volume(patch: Patch) -> None:
    """A checkpoint that only says so."""
    patch.setattr(SimulatedFs, "flush_volume", lambda self, handle: None)


def answer_before_the_flush(patch: Patch) -> None:
    log_group = writer.Writer._log_group

    def early(self: writer.Writer, group: Sequence[Entry], marker: Any) -> Any:
        for entry in group:
            entry.done(Stored(entry.record, entry.record_json, created=True))
        return log_group(self, group, marker)

    patch.setattr(writer.Writer, "_log_group", early)


def place_before_the_log(patch: Patch) -> None:
    log_group = writer.Writer._log_group

    def early(self: writer.Writer, group: Sequence[Entry], marker: Any) -> Any:
        for entry in group:
            if entry.type is not record.RecordType.CREATED:
                self._backend.replay(entry.placeable(0))
        return log_group(self, group, marker)

    patch.setattr(writer.Writer, "_log_group", early)


def checkpoint_covers_what_is_only_logged(patch: Patch) -> None:
    advance = writer.Writer._advance

    def hasty(self: writer.Writer, *arguments: Any) -> None:
        advance(self, *arguments)
        self.changed_head = self._log.next_sequence - 1

    patch.setattr(writer.Writer, "_advance", hasty)


def staged_names_dropped_at_once(patch: Patch) -> None:
    apply = writer.Writer._apply

    def eager(self: writer.Writer, change: placement.Placeable, *, verify: bool) -> None:
        apply(self, change, verify=verify)
        self._backend.drop_staged(change.sequence)

    patch.setattr(writer.Writer, "_apply", eager)


def short_writes_ignored(patch: Patch) -> None:
    def once(fs: engine_fs.Fs, handle: int, data: bytes, offset: int) -> None:
        fs.write(handle, data, offset)

    def short(self: SimulatedFs, handle: int, data: bytes, offset: int) -> int:
        return write(self, handle, data[:2000], offset)

    write = SimulatedFs.write
    patch.setattr(SimulatedFs, "write", short)
    for module in (log, placer, segments, upload):
        patch.setattr(module, "write_all", once)


def crc_off(patch: Patch) -> None:
    def trusting(self: record.Codec, data: bytes, start: int, offset: int) -> Any:
        """As `decode`, without the comparison."""
        length = record.payload_length(data, start)
        end = start + record.HEADER.size + (length or 0)
        if length is None or end > len(data):
            raise record.BadRecord(offset)
        _, crc, _, kind, flags, _, sequence, durable, previous = record.HEADER.unpack_from(
            data, start
        )
        behind = offset + end - start
        following = record.block_end(behind) if flags & record.FLAG_GROUP_END else behind
        payload = data[start + record.HEADER.size : end]
        found = record.Record(
            record.RecordType(kind), flags, sequence, durable, payload, crc, offset, following
        )
        return found, previous

    patch.setattr(record.Codec, "decode", trusting)


def chain_off(patch: Patch) -> None:
    """Any valid record is taken for the next one, also an old one in a recycled segment."""

    def unchained(fs: Any, handle: int, codec: Any, *, offset: int, **_: Any) -> Iterator[Any]:
        while True:
            window = fs.read(handle, 1 << 20, offset)
            if len(window) < record.HEADER.size:
                raise record.BadRecord(offset)
            found, _previous = codec.decode(window, 0, offset)
            yield found
            offset = found.next

    patch.setattr(recovery, "read_records", unchained)


def flush_tried_again(patch: Patch) -> None:
    def again(self: log.Log, records: int) -> None:
        try:
            flush(self, records)
        except log.LogFailed:
            flush(self, records)

    flush = log.Log._flush
    patch.setattr(log.Log, "_flush", again)


def temporary_name_used_again(patch: Patch) -> None:
    def reusing(self: SimulatedFs, path: str) -> int:
        try:
            return create(self, path)
        except FileExistsError:
            if not path.endswith("/incoming"):
                raise
            return self.open(path, writable=True)

    create = SimulatedFs.create
    patch.setattr(SimulatedFs, "create", reusing)
    patch.setattr(layout.Layout, "staged", lambda self, name: f"{self.staging}/incoming")


def redo_only_once(patch: Patch) -> None:
    """A replay that takes it for granted that nothing is there."""

    def replay(
        self: placement.Placement, change: placement.Placeable, *, verify: bool = True
    ) -> None:
        original(self, change, verify=False)

    def settle(self: placement.Placement, path: str, data: bytes) -> None:
        placer.put_new(self._fs, path, data)

    original = placement.Placement.replay
    patch.setattr(placement.Placement, "replay", replay)
    patch.setattr(placement.Placement, "_settle", settle)
    patch.setattr(placement.Placement, "_settle_content", settle)


def replay_trusts_what_is_there(patch: Patch) -> None:
    def settle(self: placement.Placement, path: str, data: bytes) -> None:
        if not self._fs.exists(path):
            self._replace(path, data)

    patch.setattr(placement.Placement, "_settle", settle)
    patch.setattr(placement.Placement, "_settle_content", settle)


def killed_log_not_flushed(patch: Patch) -> None:
    """A start that builds on records which are only in memory."""

    class Unflushed:
        def __init__(self, fs: engine_fs.Fs) -> None:
            self._fs = fs

        def __getattr__(self, name: str) -> Any:
            return (lambda handle: None) if name == "flush" else getattr(self._fs, name)

    read_log = recovery.read_log
    patch.setattr(
        recovery, "read_log", lambda fs, layout, log_id: read_log(Unflushed(fs), layout, log_id)
    )


def staging_cleared_before_the_checkpoint(patch: Patch) -> None:
    replay = recovery.replay

    def hasty(fs: Any, codec: Any, found: Any, backend: Any) -> int:
        count = replay(fs, codec, found, backend)
        recovery.clear_staging(fs, backend._layout)
        return count

    patch.setattr(recovery, "replay", hasty)


def unlink_before_the_tombstone_is_durable(patch: Patch) -> None:
    def delete(self: Any, file_id: Any, **fields: Any) -> Any:
        current = self._reading.record(file_id)
        if current.deleted is None:
            self._backend._fs.unlink(self._backend._layout.content(current))
        return original(self, file_id, **fields)

    from artstore.storage.engine.changes import Changes

    original = Changes.delete
    patch.setattr(Changes, "delete", delete)


BUGS: Mapping[Callable[[Patch], None], str] = {
    no_flush_of_the_log: "one_file",
    no_flush_of_large_files: "large_files",
    no_flush_of_directories: "one_file",
    no_flush_of_ancestors: "one_file",
    no_flush_of_the_volume: "one_file",
    answer_before_the_flush: "one_file",
    place_before_the_log: "changes",
    checkpoint_covers_what_is_only_logged: "groups_in_a_row",
    staged_names_dropped_at_once: "large_files",
    short_writes_ignored: "group_of_eight",
    crc_off: "group_of_eight",
    chain_off: "recycled_then_torn",
    flush_tried_again: "failing_flush",
    temporary_name_used_again: "large_files",
    redo_only_once: "one_file",
    replay_trusts_what_is_there: "one_file",
    killed_log_not_flushed: "kills_in_the_middle",
    staging_cleared_before_the_checkpoint: "large_files",
    unlink_before_the_tombstone_is_durable: "deletions",
}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_search_finds(bug: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    name = BUGS[bug]
    with pytest.raises(AssertionError):
        search(name)


def search(name: str) -> None:
    """Which states one seed comes to is chance."""
    for attempt in range(SEEDS):
        seed = zlib.crc32(name.encode()) + attempt
        Explorer(seed, states_max=3000).run(WORKLOADS[name])


def log_cut_at_damage(patch: Patch) -> None:
    patch.setattr(recovery, "find_later", lambda data, codec, sequence: None)


def start_on_a_damaged_log() -> None:
    """Two files are acknowledged, the disk spoils the record of the first, the power goes.

    Raises:
        AssertionError: The element started, and lost them.
    """
    fs, oracle, clock = SimulatedFs(), Oracle(), FixedClock()
    fs.make_directory("/srv")
    fs.flush_volume(0)
    element, ids = Element(fs, oracle, clock), Ids(clock)
    element.put((ids.new(), b"first", "a.txt"))
    element.put((ids.new(), b"second", "b.txt"))
    segment = file_at(fs, next(path for path in paths(fs, f"{ELEMENT_ROOT}/log")))
    spoilt = bytearray(segment.durable)
    spoilt[record.BLOCK_BYTES + record.HEADER.size] ^= 1
    segment.durable = bytes(spoilt)
    disk = SimulatedFs(fs.image(CrashPlan(set(), {})))
    try:
        engine = SteppedEngine.open(options(), disk, clock)
    except LogCorrupt:
        return
    check_element(engine, oracle)


def test_a_damaged_log_is_not_cut() -> None:
    start_on_a_damaged_log()


def test_a_log_that_is_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    log_cut_at_damage(monkeypatch)
    with pytest.raises(AssertionError):
        start_on_a_damaged_log()
