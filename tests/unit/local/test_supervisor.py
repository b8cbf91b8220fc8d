"""The supervisor with programs of three lines."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.processes import wait_until

from artstore.core.clock import SystemClock
from artstore.local.account import launched
from artstore.local.logs import EventLog, RotatingLog
from artstore.local.program import Program
from artstore.local.supervised import StartFailed, State
from artstore.local.supervisor import Supervisor, end_orphans, orphans, read_status

LIMIT_S = 30.0
STAY = "import time; time.sleep(600)"


def program(name: str, script: str = STAY, **more: object) -> Program:
    async def always_ready(_: int) -> bool:
        return True

    command = launched([sys.executable, "-c", script], parent_death=signal.SIGKILL)
    settings: dict[str, object] = {"is_ready": always_ready, **more}
    return Program(name=name, command=command, **settings)  # type: ignore[arg-type]


def make(folder: Path, log: EventLog, *programs: Program) -> Supervisor:
    clock = SystemClock()
    return Supervisor(
        programs,
        folder,
        logs=folder,
        status_file=folder / "status.json",
        clock=clock,
        events=log,
    )


@asynccontextmanager
async def started(folder: Path, *programs: Program) -> AsyncIterator[Supervisor]:
    log = event_log(folder)
    supervisor = make(folder, log, *programs)
    try:
        await supervisor.start(LIMIT_S)
        yield supervisor
    finally:
        await supervisor.stop()
        log.close()


def event_log(folder: Path) -> EventLog:
    return EventLog(RotatingLog(folder / "supervisor.log"), SystemClock())


def pid_of(folder: Path, name: str) -> int | None:
    found = {entry.name: entry for entry in read_status(folder / "status.json")}
    return found[name].pid if found[name].state is State.READY else None


def events(folder: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (folder / "supervisor.log").read_text().splitlines()]
    return [(line["process"], line["event"]) for line in lines]


async def new_pid(folder: Path, name: str, old: int | None) -> int:
    for _ in range(1000):
        pid = pid_of(folder, name)
        if pid is not None and pid != old:
            return pid
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} did not come back")


async def test_what_others_need_is_ready_before_they_start(tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def flag_is_there(_: int) -> bool:
        return flag.exists()

    first = program("first", f"open({str(flag)!r}, 'w'); {STAY}", is_ready=flag_is_there)
    second = program("second", f"open({str(flag)!r}); {STAY}", after=frozenset({"first"}))

    async with started(tmp_path, second, first):
        pass

    assert events(tmp_path).index(("first", "process ready")) < events(tmp_path).index(
        ("second", "process starting")
    )


async def test_who_relies_on_others_starts_beside_them_and_is_asked_after_them(
    tmp_path: Path,
) -> None:
    both_run = tmp_path / "second-runs"

    async def second_runs(_: int) -> bool:
        return both_run.exists()

    first = program("first", is_ready=second_runs)
    second = program(
        "second", f"open({str(both_run)!r}, 'w'); {STAY}", relies_on=frozenset({"first"})
    )
    async with started(tmp_path, first, second):
        pass

    assert events(tmp_path).index(("first", "process ready")) < events(tmp_path).index(
        ("second", "process ready")
    )


async def test_the_hook_runs_before_those_that_wait(tmp_path: Path) -> None:
    order: list[str] = []

    async def provision() -> None:
        await asyncio.sleep(0)
        order.append("hook")

    async def before_second() -> None:
        order.append("second")

    first = program("first", when_ready=provision)
    second = program("second", after=frozenset({"first"}), before=before_second)
    async with started(tmp_path, first, second):
        assert order == ["hook", "second"]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_dies_is_started_again(tmp_path: Path, signal_number: signal.Signals) -> None:
    async with started(tmp_path, program("one"), program("two")):
        one, two = pid_of(tmp_path, "one"), pid_of(tmp_path, "two")
        assert one is not None
        os.kill(one, signal_number)

        again = await new_pid(tmp_path, "one", one)

        assert again != one
        assert pid_of(tmp_path, "two") == two


async def test_what_dies_again_and_again_is_given_longer_pauses(tmp_path: Path) -> None:
    async with started(tmp_path, program("one")):
        pid = None
        for _ in range(3):
            pid = await new_pid(tmp_path, "one", pid)
            os.kill(pid, signal.SIGKILL)
        await new_pid(tmp_path, "one", pid)

    lines = [json.loads(line) for line in (tmp_path / "supervisor.log").read_text().splitlines()]
    pauses = [line["restart_in_s"] for line in lines if line["event"] == "process died"]
    assert pauses == [0.1, 0.2, 0.4]


async def test_a_program_that_never_gets_ready_fails_the_start_with_its_last_words(
    tmp_path: Path,
) -> None:
    async def never(_: int) -> bool:
        return False

    broken = program("broken", "print('no such setting'); raise SystemExit(3)", is_ready=never)
    with pytest.raises(StartFailed, match=r"broken ended with code 3[\s\S]*no such setting"):
        async with started(tmp_path, program("fine"), broken):
            pass
    assert read_status(tmp_path / "status.json")[0].state is State.STOPPED


async def test_a_start_that_takes_too_long_says_who_is_late(tmp_path: Path) -> None:
    async def never(_: int) -> bool:
        return False

    log = event_log(tmp_path)
    supervisor = make(tmp_path, log, program("slow", is_ready=never))
    with pytest.raises(StartFailed, match="slow is starting"):
        await supervisor.start(0.2)
    await supervisor.stop()
    log.close()


async def test_a_hook_that_fails_fails_the_start(tmp_path: Path) -> None:
    async def provision() -> None:
        raise StartFailed("no role")

    with pytest.raises(StartFailed, match="no role"):
        async with started(tmp_path, program("one", when_ready=provision)):
            pass


async def test_later_stages_stop_first(tmp_path: Path) -> None:
    async with started(tmp_path, program("database", stage=0), program("edge", stage=4)):
        pass
    order = [name for name, event in events(tmp_path) if event == "process stopped"]
    assert order == ["edge", "database"]


async def test_who_ignores_the_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def flag_is_there(_: int) -> bool:
        return flag.exists()

    stubborn = program(
        "stubborn",
        f"import signal; signal.signal(15, signal.SIG_IGN); open({str(flag)!r}, 'w'); {STAY}",
        is_ready=flag_is_there,
        stop_grace_s=0.2,
    )
    async with started(tmp_path, stubborn):
        pid = pid_of(tmp_path, "stubborn")
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_all_that_a_program_says_is_in_its_log_to_the_last_word(tmp_path: Path) -> None:
    log = tmp_path / "talker.log"

    async def has_said_all(_: int) -> bool:
        return log.exists() and log.read_text() == "x" * 300_000 + "end"

    script = (
        "import sys; sys.stdout.write('x' * 300_000); sys.stdout.flush(); "
        f"sys.stderr.write('end'); sys.stderr.flush(); {STAY}"
    )
    async with started(tmp_path, program("talker", script, is_ready=has_said_all)):
        pass


async def test_what_a_program_says_as_it_dies_is_kept(tmp_path: Path) -> None:
    async def never(_: int) -> bool:
        return False

    script = "import sys; sys.stdout.write('x' * 300_000 + 'end'); sys.exit(1)"
    with pytest.raises(StartFailed, match=r"end$"):
        async with started(tmp_path, program("talker", script, is_ready=never)):
            pass
    assert (tmp_path / "talker.log").stat().st_size == 3 * 300_003


async def test_children_get_only_the_environment_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    async with started(tmp_path, program("one", environment={"A": "b"})):
        pid = pid_of(tmp_path, "one")
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"A=b" in environment
    assert b"SECRET_OF_THE_CALLER=1" not in environment


LONELY = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {path!r}
from tests.unit.local.test_supervisor import event_log, make, program
async def main():
    supervisor = make(Path({folder!r}), event_log(Path({folder!r})), program("one"), program("two"))
    await supervisor.start(30)
    print("up", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def lonely_supervisor(folder: Path) -> asyncio.subprocess.Process:
    script = LONELY.format(path=sys.path, folder=str(folder))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    return process


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    process = await lonely_supervisor(tmp_path)
    children = [pid_of(tmp_path, name) for name in ("one", "two")]

    process.kill()
    await process.wait()

    wait_until(lambda: not orphans(tmp_path / "status.json", tmp_path), "the end of the children")
    assert None not in children


async def test_what_was_left_behind_is_ended(tmp_path: Path) -> None:
    """As if the kernel had not tied them: the status names a living process of ours."""
    async with started(tmp_path, program("one")):
        assert [entry.name for entry, _ in orphans(tmp_path / "status.json", tmp_path)] == ["one"]
        pid = pid_of(tmp_path, "one")
        assert end_orphans(tmp_path / "status.json", tmp_path, LIMIT_S) == ["one"]
        await new_pid(tmp_path, "one", pid)


async def test_a_number_that_went_to_another_program_is_left_alone(tmp_path: Path) -> None:
    async with started(tmp_path, program("one")):
        pass
    entries = json.loads((tmp_path / "status.json").read_text())
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", STAY, cwd=tmp_path)
    entries[0].update(pid=bystander.pid, started_ticks=1, boot_id="another", state="ready")
    (tmp_path / "status.json").write_text(json.dumps(entries))

    assert end_orphans(tmp_path / "status.json", tmp_path, LIMIT_S) == []

    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_process_of_ours_that_works_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    async with started(tmp_path, program("one")):
        assert orphans(tmp_path / "status.json", tmp_path / "home") == []
