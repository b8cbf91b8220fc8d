"""How uploads gather: nobody waits alone, everybody gets an answer of his own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.support.fake_element import record_of

from artstore.core.errors import ArtStoreError, InternalError, ModeForbids, NoRoom, Unavailable
from artstore.core.model.batch import BATCH_BYTES_MAX, BATCH_FILES_MAX
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileDraft, FileRecord, Uploader
from artstore.core.model.ids import FileId
from artstore.core.tracing import current_trace_id, enter_trace, new_trace
from artstore.ingester.services.batching import (
    GATHERED_BYTES_MAX,
    LANES,
    WORTH_A_LANE,
    Batching,
)
from artstore.ingester.services.content import Flowing, SmallFile
from artstore.ingester.services.flow import NotReached
from artstore.ingester.services.placement import ElementReport

FULL = [1] + [WORTH_A_LANE] * (LANES - 1)
"""Files in each request once every lane is taken."""
ELEMENT = ElementReport("a", "https://a", 1, StorageMode.EDIT, True, True, 1 << 40)


def draft(account: str = "clerk") -> FileDraft:
    uploader = Uploader(subject=account, name=account, via="test")
    return FileDraft(original_filename="a", uploaded_by=uploader)


def stored(file_id: FileId, size: int) -> FileRecord:
    return record_of(draft(), file_id, "0" * 64, size)


@dataclass
class Wire:
    """Holds every request until `release`; fails as told."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[list[str]] = field(default_factory=list)
    """File ids, request by request."""
    traces: list[str | None] = field(default_factory=list)
    files: list[SmallFile] = field(default_factory=list)
    failure: Exception | None = None
    bad: dict[str, ArtStoreError] = field(default_factory=dict)

    async def _wait(self, ids: list[str]) -> None:
        self.sent.append(ids)
        self.traces.append(current_trace_id())
        await self.is_open.wait()
        if self.failure is not None:
            raise self.failure

    async def put(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: bytes
    ) -> FileRecord:
        await self._wait([file_id])
        return stored(file_id, len(content))

    async def put_all(
        self, element: ElementReport, files: Sequence[SmallFile]
    ) -> list[FileRecord | ArtStoreError]:
        self.files += files
        await self._wait([file.file_id for file in files])
        return [
            self.bad.get(file.file_id) or stored(file.file_id, len(file.content)) for file in files
        ]

    async def put_flowing(
        self, element: ElementReport, file_id: FileId, draft: FileDraft, content: Flowing
    ) -> FileRecord:
        raise NotImplementedError


@dataclass
class Uploads:
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        self.batching = Batching(self.wire)
        self.tasks: list[asyncio.Task[FileRecord]] = []
        self.ids: list[FileId] = []

    async def begin(
        self, count: int, account: str = "clerk", size: int = 1
    ) -> list[asyncio.Task[FileRecord]]:
        tasks = [
            asyncio.create_task(
                self.batching.put(ELEMENT, self._new_id(account), draft(account), bytes(size))
            )
            for _ in range(count)
        ]
        self.tasks += tasks
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks

    def _new_id(self, account: str) -> FileId:
        first = account.encode()[:1].hex()
        self.ids.append(FileId(f"{len(self.ids):08x}-0000-7000-8000-0000000000{first}"))
        return self.ids[-1]

    async def outcomes(self) -> list[FileRecord | BaseException]:
        self.wire.is_open.set()
        async with asyncio.timeout(30):
            return await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def uploads() -> Uploads:
    return Uploads()


async def full_lanes(uploads: Uploads) -> None:
    for count in FULL:
        await uploads.begin(count)
    assert [len(ids) for ids in uploads.wire.sent] == FULL


async def test_a_lone_upload_goes_at_once(uploads: Uploads) -> None:
    await uploads.begin(1)
    assert len(uploads.wire.sent) == 1
    (record,) = await uploads.outcomes()
    assert isinstance(record, FileRecord)


async def test_what_comes_meanwhile_travels_together(uploads: Uploads) -> None:
    await full_lanes(uploads)
    await uploads.begin(50)
    assert len(uploads.wire.sent) == LANES, "nothing goes before a lane is free"
    outcomes = await uploads.outcomes()
    assert [len(ids) for ids in uploads.wire.sent] == [*FULL, 50]
    assert all(isinstance(outcome, FileRecord) for outcome in outcomes)


async def test_what_arrives_in_one_moment_travels_together(uploads: Uploads) -> None:
    await uploads.begin(5)
    assert [len(ids) for ids in uploads.wire.sent] == [5]


async def test_a_few_wait_until_they_are_worth_a_request(uploads: Uploads) -> None:
    await uploads.begin(1)
    await uploads.begin(WORTH_A_LANE - 1)
    assert len(uploads.wire.sent) == 1
    await uploads.begin(1)
    assert [len(ids) for ids in uploads.wire.sent] == [1, WORTH_A_LANE]


async def test_a_batch_is_bounded_in_count(uploads: Uploads) -> None:
    await full_lanes(uploads)
    await uploads.begin(BATCH_FILES_MAX + 10)
    await uploads.outcomes()
    assert [len(ids) for ids in uploads.wire.sent[LANES:]] == [BATCH_FILES_MAX, 10]


async def test_a_batch_is_bounded_in_bytes(uploads: Uploads) -> None:
    size = 65536
    await full_lanes(uploads)
    await uploads.begin(200, size=size)
    outcomes = await uploads.outcomes()
    assert all(len(ids) * size <= GATHERED_BYTES_MAX for ids in uploads.wire.sent)
    assert sum(map(len, uploads.wire.sent)) == sum(FULL) + 200
    assert all(isinstance(outcome, FileRecord) for outcome in outcomes)
    # Even one file beyond the bound fits into a request.
    assert GATHERED_BYTES_MAX + (2 << 20) < BATCH_BYTES_MAX


async def test_an_account_with_many_files_does_not_keep_others_waiting(uploads: Uploads) -> None:
    await full_lanes(uploads)
    await uploads.begin(BATCH_FILES_MAX * 3, "greedy")
    (modest,) = await uploads.begin(1, "modest")
    await uploads.outcomes()
    batches = [set(ids) for ids in uploads.wire.sent]
    assert modest.result().file_id in batches[LANES], "it goes with the very next batch"


async def test_a_bad_file_fails_alone(uploads: Uploads) -> None:
    await full_lanes(uploads)
    await uploads.begin(3)
    uploads.wire.bad = {uploads.ids[-2]: NoRoom("full")}
    outcomes = await uploads.outcomes()
    assert [type(outcome) for outcome in outcomes[-3:]] == [FileRecord, NoRoom, FileRecord]
    assert [getattr(outcome, "file_id", None) for outcome in outcomes[-3:]] == [
        uploads.ids[-3],
        None,
        uploads.ids[-1],
    ]


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (NotReached(), NotReached),
        (Unavailable(), Unavailable),
        (ModeForbids(), ModeForbids),
        (RuntimeError("bug"), InternalError),
    ],
)
async def test_a_failed_request_is_told_to_each(
    uploads: Uploads, failure: Exception, seen: type[Exception]
) -> None:
    await full_lanes(uploads)
    tasks = await uploads.begin(3)
    uploads.wire.failure = failure
    await uploads.outcomes()
    assert [type(task.exception()) for task in tasks] == [seen] * 3


async def test_who_leaves_while_waiting_is_not_sent(uploads: Uploads) -> None:
    await full_lanes(uploads)
    tasks = await uploads.begin(3)
    tasks[1].cancel()
    await uploads.outcomes()
    assert len(uploads.wire.sent[LANES]) == 2


async def test_each_file_keeps_its_trace_and_the_batch_has_its_own(uploads: Uploads) -> None:
    traces = [new_trace(sampled=False) for _ in range(3)]
    for trace in traces:
        enter_trace(trace)
        await uploads.begin(1)
    await uploads.outcomes()
    ids = [trace.trace_id for trace in traces]
    assert uploads.wire.traces[0] == ids[0], "a lone upload goes under its own trace"
    assert [file.trace_id for file in uploads.wire.files] == ids[1:]
    assert uploads.wire.traces[1] not in ids
