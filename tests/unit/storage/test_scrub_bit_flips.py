"""Goal: no changed bit goes unnoticed by the scrub, and none by `artstore verify`.

Method: flip every bit of a file and of its record, and a sample of the bits of the log and
of its history, one at a time; look with the very checks that both use. A sample of the
flips goes through a whole pass, and must not be repaired by anything but a good copy.
"""

import random
from collections.abc import Iterator

import pytest
from tests.support.quiet import quiet_logs
from tests.support.scrubbing import file_at, find_path, kinds, overwrite, paths, repair, scrub
from tests.support.simulated_fs import SimulatedFs
from tests.support.stepped_element import (
    ELEMENT_ROOT,
    Element,
    FixedClock,
    Ids,
    Oracle,
    SteppedEngine,
    check_element,
    read_state,
)

from artstore.cli.progress import Meter
from artstore.core.errors import ArtStoreError, DigestMismatch, FileDamaged
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import BLOCK_BYTES, MAGIC
from artstore.storage.engine.scrub.findings import Finding
from artstore.storage.engine.scrub.inspection import Inspection
from artstore.storage.engine.scrub.log_check import LogCheck
from artstore.storage.engine.scrub.shelf import LocalShelf
from artstore.storage.engine.scrub.survey import Survey
from artstore.storage.engine.scrub.walk import Group

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
CONTENT = random.Random(1).randbytes(500)
LOG_FLIPS = 1500
VERIFY_EVERY = 16
WHOLE_PASSES = 40
LAYOUT = Layout(ELEMENT_ROOT)


class Sample:
    """A small element after some work."""

    def __init__(self) -> None:
        self.fs = SimulatedFs()
        self.fs.make_directory("/srv")
        clock = FixedClock()
        ids = Ids(clock)
        self.element = Element(self.fs, Oracle(), clock)
        self.first = ids.new()
        self.element.put((self.first, CONTENT, "letter.pdf"))
        for size in (0, 3000):
            self.element.put((ids.new(), b"x" * size, "a.pdf"), (ids.new(), b"y" * size, "b.txt"))
        self.element.engine.checkpoint()
        self.element.change(self.first, tags=("blue",))
        self.element.upload(ids.new(), random.Random(2).randbytes(5000))

    @property
    def engine(self) -> SteppedEngine:
        return self.element.engine

    def inspect(self, file_id: FileId) -> list[Finding]:
        directory = LAYOUT.directory(file_id)
        names = sorted(name for name in self.fs.names(directory) if name.startswith(file_id))
        shelf = LocalShelf(self.fs, LAYOUT)
        return Inspection(shelf, LAYOUT, lambda size: None).group(Group(directory, names))

    def verify(self) -> list[Finding]:
        survey = Survey(self.fs, ELEMENT_ROOT, Meter(), lambda seconds: None)
        return list(survey.findings())

    def log_findings(self) -> list[Finding]:
        check = LogCheck(self.fs, LAYOUT, self.engine._standing.element.log_id, lambda size: None)
        return [event for event in check.events() if isinstance(event, Finding)]


@pytest.fixture
def sample() -> Sample:
    return Sample()


def flips(fs: SimulatedFs, path: str, bits: Iterator[int]) -> Iterator[int]:
    """Each bit is changed while the caller looks."""
    file = file_at(fs, path)
    whole = file.durable
    for bit in bits:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        overwrite(fs, path, bytes(changed))
        yield bit
    overwrite(fs, path, whole)


def spread(bits: int, count: int) -> Iterator[int]:
    chance = random.Random(3)
    step = max(1, bits // count)
    for start in range(0, bits, step):
        yield min(bits - 1, start + chance.randrange(step))


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".pdf", FindingKind.DAMAGED), (".attr.json", FindingKind.ATTR_DAMAGED)],
)
def test_every_bit_of_a_file_and_its_record(sample: Sample, suffix: str, kind: FindingKind) -> None:
    sample.engine.checkpoint()
    path = find_path(sample.fs, f"{sample.first}{suffix}")
    assert sample.inspect(sample.first) == []
    for bit in flips(sample.fs, path, iter(range(len(file_at(sample.fs, path).durable) * 8))):
        assert [finding.kind for finding in sample.inspect(sample.first)] == [kind], bit
        with pytest.raises(FileDamaged):
            read_state(sample.engine, sample.first)
        if bit % VERIFY_EVERY == 0:
            assert [finding.kind for finding in sample.verify()] == [kind], bit
    assert sample.inspect(sample.first) == []


@pytest.mark.parametrize("suffix", [".pdf", ".attr.json"])
def test_none_is_repaired_from_a_bad_copy(sample: Sample, suffix: str) -> None:
    sample.engine.checkpoint()
    path = find_path(sample.fs, f"{sample.first}{suffix}")
    record = sample.engine.reading.record(sample.first)
    bits = len(file_at(sample.fs, path).durable) * 8
    for bit in flips(sample.fs, path, spread(bits, WHOLE_PASSES)):
        sample.element.clock.advance(minutes=1)
        assert [file_id for _, file_id in kinds(scrub(sample.engine))] == [sample.first], bit
        bad = bytearray(CONTENT)
        bad[bit // 8 % len(bad)] ^= 1 << bit % 8
        with pytest.raises(DigestMismatch):
            repair(sample.element, sample.first, bytes(bad), record)
        with pytest.raises(ArtStoreError):
            sample.engine.contents.open(sample.first)
        repair(sample.element, sample.first, CONTENT, record)
        check_element(sample.engine, sample.element.oracle)


def test_bits_of_the_log(sample: Sample) -> None:
    """All but the last group, which may always be one that never became durable, and the
    zeros behind groups, which hold nothing."""
    path = next(path for path in paths(sample.fs, LAYOUT.log) if path.endswith(".log"))
    content = file_at(sample.fs, path).durable
    last_group = content.rindex(MAGIC) // BLOCK_BYTES * BLOCK_BYTES
    bits = [bit for bit in spread(last_group * 8, LOG_FLIPS) if not is_padding(content, bit // 8)]
    assert sample.log_findings() == []
    missed = [bit for bit in flips(sample.fs, path, iter(bits)) if not sample.log_findings()]
    assert missed == []
    some = bits[::VERIFY_EVERY]
    assert [bit for bit in flips(sample.fs, path, iter(some)) if not sample.verify()] == []
    assert len(bits) > LOG_FLIPS // 4


def is_padding(content: bytes, offset: int) -> bool:
    block_end = (offset // BLOCK_BYTES + 1) * BLOCK_BYTES
    return not any(content[offset:block_end])


def test_bits_of_the_history(sample: Sample) -> None:
    fill(sample)
    path = next(path for path in paths(sample.fs, LAYOUT.log) if path.endswith(".gz"))
    assert sample.log_findings() == []
    bits = len(file_at(sample.fs, path).durable) * 8
    missed = sum(not sample.log_findings() for _ in flips(sample.fs, path, spread(bits, LOG_FLIPS)))
    # In the head of a gzip member, time and system have no meaning and no check.
    assert missed <= 6 * 8


def fill(sample: Sample) -> None:
    clock = FixedClock()
    clock.advance(hours=1)
    ids = Ids(clock)
    for _ in range(14):
        sample.element.put((ids.new(), b"z" * 3000, "z.bin"))
    sample.engine.checkpoint()
    assert any(path.endswith(".gz") for path in paths(sample.fs, LAYOUT.log))
