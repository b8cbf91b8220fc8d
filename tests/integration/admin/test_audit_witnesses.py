"""Witnesses confirm the log; a slow one delays nobody, and one that lies raises an alarm."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.integration.admin.following import eventually
from tests.integration.admin.test_audit_sequencer import audit as audit_fixture
from tests.integration.admin.test_audit_sequencer import database as database_fixture
from tests.support.audit_writing import CLOCK, TRAIL, AuditUnderTest, make_event
from tests.support.witnesses import WitnessFiles, running_witness

from artstore.admin.services.audit import witnesses as module
from artstore.admin.services.audit.reading import AuditLog
from artstore.admin.services.audit.witnesses import WitnessAddress, Witnesses, read_witnesses
from artstore.core.database import Database
from artstore.core.metrics import REGISTRY
from artstore.core.model.audit import AuditEvent
from artstore.core.secrets.chain import fixed_login
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.notes.policy import TrustPolicy

audit = audit_fixture
database = database_fixture


@pytest.fixture
async def pool(audit: AuditUnderTest) -> AsyncIterator[Database]:
    made = Database(
        audit.database.admin_url, fixed_login(audit.database.admin_password), application_name="t"
    )
    yield made
    await made.close()


@contextlib.contextmanager
def witness(audit: AuditUnderTest, folder: Path, name: str) -> Iterator[WitnessAddress]:
    folder = folder / name
    folder.mkdir(exist_ok=True)
    files = WitnessFiles.make(folder, audit.policy().log_keys, f"{name}.example/w")
    with running_witness(files) as running:
        yield WitnessAddress(f"{name}.example/w", running.url, files.keys)


@contextlib.asynccontextmanager
async def stuck(like: WitnessAddress) -> AsyncIterator[WitnessAddress]:
    """Takes every request and never answers."""
    asked: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        await reader.read()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield WitnessAddress(like.name, f"http://127.0.0.1:{port}", like.keys)
        assert asked
    finally:
        server.close()
        for writer in asked:
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def in_pieces(true: WitnessAddress) -> AsyncIterator[WitnessAddress]:
    """The witness `true` at the end of a line that brings its answers bit by bit."""
    port = int(true.url.rpartition(":")[2])

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(_forward(reader, back, 1 << 16, 0))
        await _forward(there, writer, 1000, 0.02)
        asking.cancel()
        back.close()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        port_here = server.sockets[0].getsockname()[1]
        yield WitnessAddress(true.name, f"http://127.0.0.1:{port_here}", true.keys)


async def _forward(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, piece_bytes: int, pause_s: float
) -> None:
    while piece := await source.read(piece_bytes):
        target.write(piece)
        await target.drain()
        await asyncio.sleep(pause_s)


def behind(name: str) -> float:
    value = REGISTRY.get_sample_value("artstore_audit_witness_behind_entries", {"witness": name})
    assert value is not None
    return value


def asking(audit: AuditUnderTest, pool: Database, *addresses: WitnessAddress) -> Witnesses:
    return Witnesses(pool, FolderStore(audit.folder), addresses, CLOCK, TRAIL)


def confirmed_sizes(audit: AuditUnderTest, number: int) -> list[int]:
    rows = audit.query(
        "SELECT size FROM audit.checkpoints WHERE witnesses >= %s ORDER BY size", number
    )
    return [int(str(size)) for (size,) in rows]


async def test_a_quorum_confirms_one_state_while_another_is_stuck(
    audit: AuditUnderTest, pool: Database, tmp_path: Path
) -> None:
    await audit.tell([make_event(number) for number in range(300)])
    await audit.write_all()
    with (
        witness(audit, tmp_path, "w1") as first,
        witness(audit, tmp_path, "w2") as second,
        witness(audit, tmp_path, "w3") as third,
    ):
        async with stuck(third) as silent, aiohttp.ClientSession() as session:
            witnesses = asking(audit, pool, first, second, silent)
            await witnesses.begin_round(session)
            size = len(audit.entries())

            async def both() -> bool:
                return confirmed_sizes(audit, 2) == [size]

            await eventually(both, "two witnesses confirming")
            assert behind(silent.name) == size

            await audit.tell([make_event(number) for number in range(300, 310)])
            await audit.write_all()
            await witnesses.begin_round(session)
            larger = len(audit.entries())

            async def again() -> bool:
                return confirmed_sizes(audit, 2) == [size, larger]

            await eventually(again, "the next state being confirmed without the stuck one")
            await eventually(lambda: _is(behind(first.name) == 0), "the metric")
            assert behind(silent.name) == larger
            await witnesses.end()

        keys = [key for address in (first, second) for key in address.keys]
        reading = AuditLog(pool, FolderStore(audit.folder), keys, 2)
        state = await reading.confirmed()
        policy = audit.policy()
        strict = TrustPolicy(policy.origin, policy.log_keys, tuple(keys), 2)
        assert strict.confirmed_checkpoint(state.note.to_bytes()).checkpoint.size == larger


async def _is(value: bool) -> bool:
    return value


async def test_an_answer_may_come_in_pieces(
    audit: AuditUnderTest, pool: Database, tmp_path: Path
) -> None:
    await audit.tell([make_event(1)])
    await audit.write_all()
    with witness(audit, tmp_path, "w1") as true:
        async with in_pieces(true) as far, aiohttp.ClientSession() as session:
            witnesses = asking(audit, pool, far)
            await witnesses.begin_round(session)
            await asyncio.wait(witnesses._asking.values())
            await witnesses.end()
    assert audit.query("SELECT entry FROM audit.outbox WHERE kind = 'audit.witness_alarm'") == []
    assert confirmed_sizes(audit, 1) == [len(audit.entries())]


async def test_without_its_quorum_a_state_is_not_called_confirmed(
    audit: AuditUnderTest, pool: Database, tmp_path: Path
) -> None:
    await audit.tell([make_event(1)])
    await audit.write_all()
    with witness(audit, tmp_path, "w1") as only:
        async with aiohttp.ClientSession() as session:
            witnesses = asking(audit, pool, only)
            await witnesses.begin_round(session)

            async def kept() -> bool:
                return bool(confirmed_sizes(audit, 1))

            await eventually(kept, "one witness confirming")
            await witnesses.end()
    assert confirmed_sizes(audit, 2) == []


async def test_a_witness_that_was_put_back_raises_an_alarm_once(
    audit: AuditUnderTest, pool: Database, tmp_path: Path
) -> None:
    await audit.tell([make_event(1)])
    await audit.write_all()
    with witness(audit, tmp_path, "w1") as before:
        async with aiohttp.ClientSession() as session:
            witnesses = asking(audit, pool, before)
            await witnesses.begin_round(session)

            async def kept() -> bool:
                return bool(confirmed_sizes(audit, 1))

            await eventually(kept, "the witness confirming")
            await witnesses.end()
    shutil.rmtree(tmp_path / "w1" / "state")
    await audit.tell([make_event(2)])
    await audit.write_all()

    files = WitnessFiles(tmp_path / "w1", before.keys)
    with running_witness(files) as running:
        address = WitnessAddress(before.name, running.url, before.keys)
        async with aiohttp.ClientSession() as session:
            witnesses = asking(audit, pool, address)
            for _ in range(2):
                await witnesses.begin_round(session)
                await asyncio.wait(witnesses._asking.values())
            await witnesses.end()
    rows = audit.query("SELECT entry FROM audit.outbox WHERE kind = 'audit.witness_alarm'")
    (event,) = [AuditEvent.from_entry(bytes(entry)) for (entry,) in rows]  # type: ignore[call-overload]
    assert event.details["alarm"] == "WitnessRolledBack"
    assert event.target is not None
    assert event.target.id == before.name


async def test_a_witness_that_is_away_is_only_behind(
    audit: AuditUnderTest, pool: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await audit.tell([make_event(1)])
    await audit.write_all()
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)
    with witness(audit, tmp_path, "w1") as known:
        pass
    async with stuck(known) as silent, aiohttp.ClientSession() as session:
        witnesses = asking(audit, pool, silent)
        await witnesses.begin_round(session)
        await asyncio.wait(witnesses._asking.values())
        await witnesses.end()
    assert behind(silent.name) == len(audit.entries())
    assert audit.query("SELECT 1 FROM audit.outbox WHERE kind = 'audit.witness_alarm'") == []


def test_the_list_of_witnesses_is_checked(tmp_path: Path, audit: AuditUnderTest) -> None:
    path = tmp_path / "witnesses"
    path.write_text("# nobody yet\n\n")
    assert read_witnesses(path) == ()
    for text in ("https://w.example", "https://w.example not-a-key", "\udcff"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ConfigurationError):
            read_witnesses(path)
