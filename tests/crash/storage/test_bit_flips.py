"""Goal: no changed bit goes unnoticed, and none is "repaired" from damaged bytes.

Method: flip bits of everything an element keeps, one at a time, and look at what a start and
readers make of it. Content and records: every bit. Log and history: a sample, spread evenly.
"""

import random
from collections.abc import Iterator

import orjson
import pytest
from tests.support.simulated_fs import CrashPlan, Image, SimulatedFs
from tests.support.stepped_element import (
    Element,
    FixedClock,
    Ids,
    Oracle,
    SteppedEngine,
    check_element,
    options,
    read_state,
)

from artstore.core.errors import FileDamaged, PositionGone
from artstore.core.model.ids import FileId
from artstore.storage.engine import recovery
from artstore.storage.engine.record import MAGIC
from artstore.storage.engine.refusals import LogCorrupt

pytestmark = pytest.mark.usefixtures("quiet_logs")
LOG_FLIPS = 1500
HISTORY_FLIPS = 600


class Sample:
    """A small element after some work, as it lies on the disk."""

    def __init__(self, *, kill: bool) -> None:
        self.fs, self.oracle = SimulatedFs(), Oracle()
        self.fs.make_directory("/srv")
        clock = FixedClock()
        ids = Ids(clock)
        element = Element(self.fs, self.oracle, clock)
        self.first = ids.new()
        element.put((self.first, random.Random(1).randbytes(500), "letter.pdf"))
        for size in (0, 3000):
            element.put((ids.new(), b"x" * size, "letter.pdf"), (ids.new(), b"y" * size, "b.txt"))
        element.engine.checkpoint()
        element.change(self.first, tags=("blue",))
        element.upload(ids.new(), random.Random(2).randbytes(5000))
        self.last: FileId | None = None
        if kill:
            # One more group, so that all groups before it are known to have been durable.
            element.put((ids.new(), b"last", "z.txt"))
            self.last = self.oracle.ids[-1]
            del self.oracle.settled[self.last]
        else:
            element.engine.close()
        self.image = self.fs.image(CrashPlan(set(), {}))

    def path(self, suffix: str) -> str:
        return next(path for path in self.image if path.endswith(suffix))


def flipped(image: Image, path: str, bit: int) -> SimulatedFs:
    content = image[path]
    assert content is not None
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return SimulatedFs({**image, path: bytes(changed)})


def opened(fs: SimulatedFs) -> SteppedEngine:
    return SteppedEngine.open(options(), fs, FixedClock())


def spread(bits: int, count: int) -> Iterator[int]:
    chance = random.Random(3)
    step = max(1, bits // count)
    for start in range(0, bits, step):
        yield min(bits - 1, start + chance.randrange(step))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample(kill=False)


@pytest.mark.parametrize("suffix", [".pdf", ".attr.json"])
def test_every_bit_of_a_file_and_its_record(sample: Sample, suffix: str) -> None:
    path = sample.path(f"{sample.first}{suffix}")
    engine = opened(SimulatedFs(sample.image))
    file = engine._foundation.fs.nodes[engine._foundation.fs._find(path)]
    for bit in range(len(file.current) * 8):
        file.current[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileDamaged):
            read_state(engine, sample.first)
        file.current[bit // 8] ^= 1 << bit % 8
    assert read_state(engine, sample.first) is not None


def test_a_file_with_the_record_of_another(sample: Sample) -> None:
    mine, other = (sample.path(f"{file_id}.attr.json") for file_id in sample.oracle.ids[:2])
    fs = SimulatedFs({**sample.image, mine: sample.image[other]})
    with pytest.raises(FileDamaged):
        opened(fs).reading.record(sample.first)


@pytest.mark.parametrize("change", [b"", b"longer"])
def test_a_file_that_became_shorter_or_longer(sample: Sample, change: bytes) -> None:
    path = sample.path(f"{sample.first}.pdf")
    content = sample.image[path] or b""
    fs = SimulatedFs({**sample.image, path: content + change if change else content[:-1]})
    with pytest.raises(FileDamaged):
        opened(fs).contents.open(sample.first)


@pytest.mark.parametrize("kill", [True, False], ids=["after a crash", "after a clean stop"])
def test_bits_of_the_log(*, kill: bool) -> None:
    sample = Sample(kill=kill)
    path = sample.path(".log")
    content = sample.image[path] or b""
    used = content.rindex(MAGIC) + 64
    refused = 0
    for bit in spread(used * 8, LOG_FLIPS):
        try:
            engine = opened(flipped(sample.image, path, bit))
        except LogCorrupt:
            refused += 1
            continue
        check_promised(engine, sample)
    assert refused > LOG_FLIPS // 3


def check_promised(engine: SteppedEngine, sample: Sample) -> None:
    """The last group of a log may always be one that never became durable: it may be cut."""
    oracle = Oracle(settled=dict(sample.oracle.settled))
    if sample.last is not None and (state := read_state(engine, sample.last)) is not None:
        oracle.settled[sample.last] = state
    check_element(engine, oracle)


def test_a_start_that_cuts_without_looking_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: recovery that takes every bad record for a torn tail."""
    monkeypatch.setattr(recovery, "find_later", lambda data, codec, sequence: None)
    with pytest.raises(AssertionError):
        test_bits_of_the_log(kill=True)


def test_bits_of_the_history(sample: Sample) -> None:
    fs, oracle = SimulatedFs(sample.image), sample.oracle
    engine = opened(fs)
    engine._keeper.tidy()
    engine._keeper._covered = engine.head
    engine._keeper.tidy()
    image = fs.image(CrashPlan(set(), {}))
    path = next(path for path in image if path.endswith(".jsonl.gz"))
    expected = engine.feed.changes(0, 100).lines
    check_element(engine, oracle)
    damaged = 0
    for bit in spread(len(image[path] or b"") * 8, HISTORY_FLIPS):
        try:
            assert opened(flipped(image, path, bit)).feed.changes(0, 100).lines == expected
        except PositionGone:
            damaged += 1
    assert damaged > HISTORY_FLIPS // 2


def test_a_lost_log_segment_is_noticed() -> None:
    sample = Sample(kill=True)
    fs, oracle = SimulatedFs(sample.image), sample.oracle
    element = Element(fs, oracle, FixedClock())
    ids = Ids(FixedClock())
    ids._count = 100
    for _ in range(14):
        element.put((ids.new(), b"z" * 3000, "z.bin"))
    image = fs.image(CrashPlan(set(), {}))
    segments = sorted(path for path in image if path.endswith(".log"))
    assert len(segments) > 2
    del image[segments[1]]
    with pytest.raises(LogCorrupt):
        opened(SimulatedFs(image))


def test_a_log_without_its_element_file_is_not_taken_over(sample: Sample) -> None:
    image = {path: data for path, data in sample.image.items() if "element.json" not in path}
    with pytest.raises(Exception, match="is missing"):
        opened(SimulatedFs(image))


def test_the_attr_can_be_checked_without_this_program(sample: Sample) -> None:
    """As docs/formats/attr-json.md says."""
    import hashlib

    data = sample.image[sample.path(f"{sample.first}.attr.json")] or b""
    body, _, seal = data.rpartition(b',"record_sha256":"')
    assert hashlib.sha256(body).hexdigest() == seal.decode().strip('"}\n')
    assert orjson.loads(data)["file_id"] == sample.first
